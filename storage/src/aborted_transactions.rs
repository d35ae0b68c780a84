//! The aborted transactions of a segment: what a `.txnindex` file holds.
//!
//! ```text
//!  0 version            i16  0
//!  2 producer_id        i64
//! 10 first_offset       i64  of the transaction's data in this partition
//! 18 last_offset        i64  of its marker
//! 26 last_stable_offset i64  once the marker was appended
//! ```
//!
//! 34 bytes each, big-endian, in the order of their markers. A higher version is refused: it means a newer
//! writer. Source: `AbortedTxn.java`, `TransactionIndex.java`.
//!
//! Absent: committed transactions, which readers need not know, and files.

use thiserror::Error;

use crate::ids::{Offset, ProducerId};

/// Bytes of an entry.
pub const ENTRY_LEN: usize = 34;

const VERSION: i16 = 0;

/// One aborted transaction in one partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AbortedTransaction {
    /// Whose it was.
    pub producer_id: ProducerId,
    /// Where its data begins.
    pub first_offset: Offset,
    /// Where its marker is.
    pub last_offset: Offset,
    /// The last stable offset (exclusive end of decided data) once the marker was appended.
    pub last_stable_offset: Offset,
}

/// Why bytes are no index of aborted transactions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum AbortedTransactionsError {
    /// The length is no multiple of an entry's.
    #[error("{length} bytes are no whole number of entries")]
    TornEntry {
        /// Bytes given.
        length: usize,
    },
    /// Another format.
    #[error("entries of version {version} are not supported")]
    UnsupportedVersion {
        /// The field as it was read.
        version: i16,
    },
    /// Markers out of order.
    #[error("the marker at {last_offset} is not after the one before it")]
    OutOfOrder {
        /// The marker's offset.
        last_offset: Offset,
    },
}

impl AbortedTransaction {
    /// The entry as the file has it.
    #[must_use]
    pub fn encode(&self) -> [u8; ENTRY_LEN] {
        let mut entry = [0; ENTRY_LEN];
        let fields = [self.producer_id.0, self.first_offset.0, self.last_offset.0, self.last_stable_offset.0];
        let bytes = VERSION.to_be_bytes().into_iter().chain(fields.into_iter().flat_map(i64::to_be_bytes));
        for (place, byte) in entry.iter_mut().zip(bytes) {
            *place = byte;
        }
        entry
    }

    fn decode(entry: &[u8; ENTRY_LEN]) -> Result<Self, AbortedTransactionsError> {
        let (version, mut fields) = entry.split_first_chunk::<2>().expect("an entry is longer than 2 bytes");
        let version = i16::from_be_bytes(*version);
        if version != VERSION {
            return Err(AbortedTransactionsError::UnsupportedVersion { version });
        }
        let mut next = || {
            let (field, rest) = fields.split_first_chunk::<8>().expect("an entry has four fields of 8 bytes");
            fields = rest;
            i64::from_be_bytes(*field)
        };
        Ok(Self {
            producer_id: ProducerId(next()),
            first_offset: Offset(next()),
            last_offset: Offset(next()),
            last_stable_offset: Offset(next()),
        })
    }
}

/// The aborted transactions whose markers are in one segment, in marker order.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct AbortedTransactions {
    entries: Vec<AbortedTransaction>,
}

impl AbortedTransactions {
    /// The entries of a `.txnindex` file.
    ///
    /// # Errors
    /// [`AbortedTransactionsError`]; the file is then to be rebuilt from the segment.
    pub fn decode(bytes: &[u8]) -> Result<Self, AbortedTransactionsError> {
        let (entries, rest) = bytes.as_chunks::<ENTRY_LEN>();
        if !rest.is_empty() {
            return Err(AbortedTransactionsError::TornEntry { length: bytes.len() });
        }
        let mut decoded = Self::default();
        for entry in entries {
            let entry = AbortedTransaction::decode(entry)?;
            if decoded.entries.last().is_some_and(|last| last.last_offset >= entry.last_offset) {
                return Err(AbortedTransactionsError::OutOfOrder { last_offset: entry.last_offset });
            }
            decoded.entries.push(entry);
        }
        Ok(decoded)
    }

    /// The whole file.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        self.entries.iter().flat_map(AbortedTransaction::encode).collect()
    }

    /// Adds a transaction whose marker was just appended.
    ///
    /// # Panics
    /// If a marker at or after this one is there already: markers are appended in offset order.
    pub fn push(&mut self, entry: AbortedTransaction) {
        let in_order = self.entries.last().is_none_or(|last| last.last_offset < entry.last_offset);
        assert!(in_order, "aborted transactions are added in the order of their markers");
        self.entries.push(entry);
    }

    /// All entries, in marker order.
    #[must_use]
    pub fn entries(&self) -> &[AbortedTransaction] {
        &self.entries
    }

    /// Forgets transactions whose marker is at or after `offset`; the file keeps its first
    /// `entries().len() * ENTRY_LEN` bytes.
    pub fn truncate_from(&mut self, offset: Offset) {
        let kept = self.entries.partition_point(|entry| entry.last_offset < offset);
        self.entries.truncate(kept);
    }

    /// Adds to `found` what overlaps `from` (inclusive) to `upper_bound` (exclusive), in marker order. True
    /// once later segments cannot add anything: a last stable offset at or past the upper bound was met.
    pub fn collect(&self, from: Offset, upper_bound: Offset, found: &mut Vec<AbortedTransaction>) -> bool {
        for entry in &self.entries {
            if entry.last_offset >= from && entry.first_offset < upper_bound {
                found.push(*entry);
            }
            if entry.last_stable_offset >= upper_bound {
                return true;
            }
        }
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn aborted(producer: i64, first: i64, last: i64, last_stable: i64) -> AbortedTransaction {
        AbortedTransaction {
            producer_id: ProducerId(producer),
            first_offset: Offset(first),
            last_offset: Offset(last),
            last_stable_offset: Offset(last_stable),
        }
    }

    /// Three transactions that overlap: 1 stays open while 2 and 3 end.
    fn sample() -> AbortedTransactions {
        let mut index = AbortedTransactions::default();
        index.push(aborted(2, 5, 10, 0));
        index.push(aborted(3, 12, 20, 0));
        index.push(aborted(1, 0, 30, 31));
        index
    }

    #[test]
    fn entry_has_kafkas_bytes() {
        let bytes = aborted(1, 2, 3, 0x0102_0304_0506_0708).encode();
        let expected = [
            0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 3, 1, 2, 3, 4, 5, 6,
            7, 8,
        ];
        assert_eq!(bytes, expected);
    }

    #[test]
    fn index_survives_its_file() {
        assert_eq!(AbortedTransactions::decode(&sample().encode()), Ok(sample()));
        assert_eq!(AbortedTransactions::decode(&[]), Ok(AbortedTransactions::default()));
    }

    #[test]
    fn decode_refuses_torn_newer_and_disordered_files() {
        let bytes = sample().encode();
        let torn = AbortedTransactionsError::TornEntry { length: 101 };
        assert_eq!(AbortedTransactions::decode(&bytes[..101]), Err(torn));
        let mut newer = bytes.clone();
        newer[1] = 1;
        let version = AbortedTransactionsError::UnsupportedVersion { version: 1 };
        assert_eq!(AbortedTransactions::decode(&newer), Err(version));
        let twice = [&bytes[..], &bytes[..]].concat();
        let disorder = AbortedTransactionsError::OutOfOrder { last_offset: Offset(10) };
        assert_eq!(AbortedTransactions::decode(&twice), Err(disorder));
    }

    #[test]
    fn collect_finds_what_overlaps_and_stops_at_the_first_stable_end() {
        let collect = |from, upper| {
            let mut found = Vec::new();
            let complete = sample().collect(Offset(from), Offset(upper), &mut found);
            (found.iter().map(|entry| entry.producer_id.0).collect::<Vec<_>>(), complete)
        };
        assert_eq!(collect(0, 31), (vec![2, 3, 1], true));
        assert_eq!(collect(0, 100), (vec![2, 3, 1], false));
        assert_eq!(collect(11, 12), (vec![1], true));
        assert_eq!(collect(10, 13), (vec![2, 3, 1], true));
        assert_eq!(collect(31, 40), (vec![], false));
    }

    #[test]
    fn truncation_forgets_markers_from_the_offset_on() {
        let mut index = sample();
        index.truncate_from(Offset(20));
        assert_eq!(index.entries(), &[aborted(2, 5, 10, 0)]);
        index.push(aborted(9, 11, 15, 0));
    }
}
