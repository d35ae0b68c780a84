//! The file form of the producers of a log: `<end offset>.snapshot`.
//!
//! ```text
//! 0 version i16  1
//! 2 crc     u32  CRC-32C of everything from `count` on
//! 6 count   i32
//! then of each producer, 46 bytes:
//!  0 producer_id               i64
//!  8 producer_epoch            i16
//! 10 last_sequence             i32  -1: no batch of this epoch
//! 14 last_offset               i64  -1: no batch of this epoch
//! 22 offset_delta              i32  of the last batch
//! 26 timestamp                 i64
//! 34 coordinator_epoch         i32
//! 38 transaction_first_offset  i64  -1: none open
//! ```
//!
//! Big-endian. It holds a producer's last batch only, so that after a restart the window for duplicates is
//! one batch and what is replayed. Source: `ProducerSnapshot.json` v1, `ProducerStateManager.java`.

use thiserror::Error;

use super::{Batches, ProducerBatch, ProducerState, ProducerStates};
use crate::batch::crc32c;
use crate::ids::{Offset, ProducerEpoch, ProducerId, Sequence, TimestampMs};

const VERSION: i16 = 1;
const ENTRY_LEN: usize = 46;

/// Why bytes are no snapshot of producers. The log then takes an older one, or replays from its start.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum SnapshotError {
    /// The bytes end too early, or go on too long.
    #[error("{length} bytes are not what the snapshot declares")]
    BadLength {
        /// Bytes given.
        length: usize,
    },
    /// Another format.
    #[error("snapshots of version {version} are not supported")]
    UnsupportedVersion {
        /// The field as it was read.
        version: i16,
    },
    /// The bytes are not those that were written.
    #[error("the stored CRC is {stored:#010x} and the bytes have {computed:#010x}")]
    BadCrc {
        /// The field as it was read.
        stored: u32,
        /// The CRC-32C of the bytes.
        computed: u32,
    },
    /// It is of a later end of the log than its name says.
    #[error("it was taken behind offset {last_offset}, not at {end_offset}")]
    FromLater {
        /// Of the newest batch of a producer.
        last_offset: Offset,
        /// Exclusive: what the name says.
        end_offset: Offset,
    },
}

impl ProducerStates {
    /// The bytes of the snapshot at [`ProducerStates::end_offset`].
    #[must_use]
    pub fn encode_snapshot(&self) -> Vec<u8> {
        let count = i32::try_from(self.producers.len()).expect("producers are bounded by PRODUCERS_MAX");
        let mut body = Vec::with_capacity(4 + self.producers.len() * ENTRY_LEN);
        body.extend_from_slice(&count.to_be_bytes());
        for (producer_id, state) in &self.producers {
            encode_entry(*producer_id, state, &mut body);
        }
        let mut bytes = VERSION.to_be_bytes().to_vec();
        bytes.extend_from_slice(&crc32c(&body).to_be_bytes());
        bytes.append(&mut body);
        bytes
    }

    /// The producers in the bytes of a snapshot that was taken at `end_offset`. They count as active `now`,
    /// since the file does not say when they were. More than a log remembers are taken as they are; the next
    /// new producer makes room.
    ///
    /// # Errors
    /// [`SnapshotError`].
    pub fn decode_snapshot(
        bytes: &[u8],
        end_offset: Offset,
        now: TimestampMs,
    ) -> Result<Self, SnapshotError> {
        let bad_length = SnapshotError::BadLength { length: bytes.len() };
        let (version, rest) = bytes.split_first_chunk::<2>().ok_or(bad_length)?;
        let version = i16::from_be_bytes(*version);
        if version != VERSION {
            return Err(SnapshotError::UnsupportedVersion { version });
        }
        let (stored, body) = rest.split_first_chunk::<4>().ok_or(bad_length)?;
        let (stored, computed) = (u32::from_be_bytes(*stored), crc32c(body));
        if stored != computed {
            return Err(SnapshotError::BadCrc { stored, computed });
        }
        let (count, entries) = body.split_first_chunk::<4>().ok_or(bad_length)?;
        let (entries, rest) = entries.as_chunks::<ENTRY_LEN>();
        let declared = usize::try_from(i32::from_be_bytes(*count));
        if !rest.is_empty() || declared != Ok(entries.len()) {
            return Err(bad_length);
        }
        let mut states = Self::new(end_offset);
        for entry in entries {
            states.load(entry, now);
        }
        let last_offsets =
            states.producers.values().filter_map(|state| Some(state.last_batch()?.last_offset));
        match last_offsets.max().filter(|last_offset| *last_offset >= end_offset) {
            Some(last_offset) => Err(SnapshotError::FromLater { last_offset, end_offset }),
            None => Ok(states),
        }
    }

    fn load(&mut self, entry: &[u8; ENTRY_LEN], now: TimestampMs) {
        let (producer_id, state) = decode_entry(entry, now);
        if let Some(first_offset) = state.current_transaction_first_offset {
            self.opened(first_offset, producer_id);
        }
        self.producers.insert(producer_id, state);
    }
}

fn encode_entry(producer_id: ProducerId, state: &ProducerState, bytes: &mut Vec<u8>) {
    let batch = state.last_batch();
    let last_offset = batch.map_or(-1, |batch| batch.last_offset.0);
    bytes.extend_from_slice(&producer_id.0.to_be_bytes());
    bytes.extend_from_slice(&state.producer_epoch.0.to_be_bytes());
    bytes.extend_from_slice(&state.last_sequence().0.to_be_bytes());
    bytes.extend_from_slice(&last_offset.to_be_bytes());
    bytes.extend_from_slice(&batch.map_or(0, |batch| batch.offset_delta).to_be_bytes());
    bytes.extend_from_slice(&state.last_timestamp.0.to_be_bytes());
    bytes.extend_from_slice(&state.coordinator_epoch.to_be_bytes());
    bytes.extend_from_slice(
        &state.current_transaction_first_offset.map_or(-1, |offset| offset.0).to_be_bytes(),
    );
}

fn decode_entry(entry: &[u8; ENTRY_LEN], now: TimestampMs) -> (ProducerId, ProducerState) {
    let mut fields = Fields(entry);
    let producer_id = ProducerId(i64::from_be_bytes(fields.next()));
    let producer_epoch = ProducerEpoch(i16::from_be_bytes(fields.next()));
    let last_sequence = Sequence(i32::from_be_bytes(fields.next()));
    let last_offset = Offset(i64::from_be_bytes(fields.next()));
    let offset_delta = i32::from_be_bytes(fields.next());
    let last_timestamp = TimestampMs(i64::from_be_bytes(fields.next()));
    let coordinator_epoch = i32::from_be_bytes(fields.next());
    let first_offset = Offset(i64::from_be_bytes(fields.next()));
    let mut batches = Batches::default();
    if last_offset.0 >= 0 {
        batches.push(ProducerBatch { last_sequence, last_offset, offset_delta, timestamp: last_timestamp });
    }
    let current_transaction_first_offset = (first_offset.0 >= 0).then_some(first_offset);
    let last_seen_offset = last_offset;
    let state = ProducerState {
        producer_epoch,
        coordinator_epoch,
        last_timestamp,
        last_active: now,
        current_transaction_first_offset,
        last_seen_offset,
        batches,
    };
    (producer_id, state)
}

/// Reads the fields of an entry in order.
struct Fields<'a>(&'a [u8]);

impl Fields<'_> {
    fn next<const N: usize>(&mut self) -> [u8; N] {
        let (field, rest) = self.0.split_first_chunk::<N>().expect("the fields add up to ENTRY_LEN");
        self.0 = rest;
        *field
    }
}
