//! The header of a record batch, format v2: where its fields are, and whether a batch is whole.
//!
//! ```text
//!  0 base_offset            i64   of the first record; set by the broker
//!  8 batch_length           i32   bytes that follow this field
//! 12 partition_leader_epoch i32   set by the broker
//! 16 magic                  i8    2
//! 17 crc                    u32   CRC-32C of everything from `attributes` on
//! 21 attributes             i16   see [`Attributes`]
//! 23 last_offset_delta      i32   offset of the last record, relative to base_offset
//! 27 base_timestamp         i64   the records' timestamps are relative to it
//! 35 max_timestamp          i64
//! 43 producer_id            i64   -1: none
//! 51 producer_epoch         i16   -1: none
//! 53 base_sequence          i32   -1: none
//! 57 record_count           i32
//! 61 records                      compressed as a whole where `attributes` say so
//! ```
//!
//! All numbers are big-endian. `base_offset` and `partition_leader_epoch` lie before the CRC, so a leader
//! sets them without a new checksum. Source: KIP-98, `DefaultRecordBatch.java`.
//!
//! Invariants: nothing here panics, whatever the bytes; a header that was parsed has magic 2, a length of at
//! least a header, and offsets that do not overflow.
//!
//! Absent: what a broker demands of a batch that a client sent ([`validate()`]), and the records
//! ([`crate::records`]).

mod control;
mod validate;

use thiserror::Error;

use crate::compression::Codec;
use crate::ids::{LeaderEpoch, Offset, ProducerEpoch, ProducerId, Sequence, TimestampMs};

pub use control::{EndTransactionMarker, MarkerError, TransactionResult};
pub use validate::{
    AppendOrigin, AppendRules, DECOMPRESSED_BYTES_MAX, InvalidBatch, RECORD_ERRORS_MAX, RecordError,
    TopicCompression, ValidatedBatch, validate,
};

/// Bytes of a batch before its records.
pub const HEADER_LEN: usize = 61;

/// Bytes of `base_offset` and `batch_length`, which `batch_length` does not count.
pub const LENGTH_PREFIX: usize = 12;

/// The only batch format since Kafka 4.0.
pub const MAGIC_V2: i8 = 2;

/// Bytes that hold what the broker sets without a new checksum: base offset, length, leader epoch.
pub const POSITION_LEN: usize = 16;

/// The byte offset of each header field within a batch.
pub mod field {
    /// `i64`
    pub const BASE_OFFSET: usize = 0;
    /// `i32`
    pub const BATCH_LENGTH: usize = 8;
    /// `i32`
    pub const PARTITION_LEADER_EPOCH: usize = 12;
    /// `i8`
    pub const MAGIC: usize = 16;
    /// `u32`
    pub const CRC: usize = 17;
    /// `i16`; the CRC covers the batch from here to its end.
    pub const ATTRIBUTES: usize = 21;
    /// `i32`
    pub const LAST_OFFSET_DELTA: usize = 23;
    /// `i64`
    pub const BASE_TIMESTAMP: usize = 27;
    /// `i64`
    pub const MAX_TIMESTAMP: usize = 35;
    /// `i64`
    pub const PRODUCER_ID: usize = 43;
    /// `i16`
    pub const PRODUCER_EPOCH: usize = 51;
    /// `i32`
    pub const BASE_SEQUENCE: usize = 53;
    /// `i32`
    pub const RECORD_COUNT: usize = 57;
    /// To the end of the batch.
    pub const RECORDS: usize = 61;
}

/// Why bytes are no record batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum BatchError {
    /// The bytes end before the batch does. For a log's tail this is the ordinary end after a crash.
    #[error("the batch needs {needed} bytes and {available} are there")]
    Incomplete {
        /// Bytes that the header, or the whole batch, takes.
        needed: usize,
        /// Bytes given.
        available: usize,
    },
    /// The length cannot hold a header. Zeros, as in the unwritten part of a segment, end here.
    #[error("a batch length of {batch_length} cannot hold a header")]
    BadLength {
        /// The field as it was read.
        batch_length: i32,
    },
    /// Another format than v2.
    #[error("batches of magic {magic} are not supported, only of magic {MAGIC_V2}")]
    UnsupportedMagic {
        /// The field as it was read.
        magic: i8,
    },
    /// Negative offsets, or a range past the end of all offsets.
    #[error("the base offset {base_offset} and the last offset delta {last_offset_delta} are no range")]
    BadOffsets {
        /// The field as it was read.
        base_offset: i64,
        /// The field as it was read.
        last_offset_delta: i32,
    },
    /// The bytes are not those that were written.
    #[error("the stored CRC is {stored:#010x} and the bytes have {computed:#010x}")]
    BadCrc {
        /// The header's field.
        stored: u32,
        /// The CRC-32C of the bytes.
        computed: u32,
    },
}

/// The flags of a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Attributes(pub i16);

impl Attributes {
    /// Bits of the codec number.
    pub const CODEC: i16 = 0x07;
    /// The records' timestamps are all `max_timestamp`, set by the broker.
    pub const LOG_APPEND_TIME: i16 = 0x08;
    /// The records belong to a transaction.
    pub const TRANSACTIONAL: i16 = 0x10;
    /// The records are markers, not data.
    pub const CONTROL: i16 = 0x20;
    /// `base_timestamp` is when tombstones may go. Source: KIP-534.
    pub const DELETE_HORIZON: i16 = 0x40;

    /// How the records are compressed; `None` where the number (5 to 7) means nothing.
    #[must_use]
    pub fn compression(self) -> Option<Codec> {
        Codec::from_number(self.codec_number())
    }

    /// The number of the codec, 0 to 7.
    #[must_use]
    pub fn codec_number(self) -> i16 {
        self.0 & Self::CODEC
    }

    /// Whether the broker set the time of all records; otherwise the producer set the time of each.
    #[must_use]
    pub fn is_log_append_time(self) -> bool {
        self.0 & Self::LOG_APPEND_TIME != 0
    }

    /// Whether the records belong to a transaction.
    #[must_use]
    pub fn is_transactional(self) -> bool {
        self.0 & Self::TRANSACTIONAL != 0
    }

    /// Whether the records are markers (the end of a transaction), not data.
    #[must_use]
    pub fn is_control(self) -> bool {
        self.0 & Self::CONTROL != 0
    }

    /// Whether `base_timestamp` is the time from which tombstones may be removed.
    #[must_use]
    pub fn has_delete_horizon(self) -> bool {
        self.0 & Self::DELETE_HORIZON != 0
    }
}

/// The header of one batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BatchHeader {
    /// The offset of the first record (or, after compaction, of where the first record was).
    pub base_offset: Offset,
    /// Bytes after this field: the whole batch is [`LENGTH_PREFIX`] longer.
    pub batch_length: i32,
    /// The epoch of the leader that appended it.
    pub partition_leader_epoch: LeaderEpoch,
    /// Always [`MAGIC_V2`].
    pub magic: i8,
    /// The stored CRC-32C.
    pub crc: u32,
    /// Codec and flags.
    pub attributes: Attributes,
    /// The last offset, relative to the base offset; not negative.
    pub last_offset_delta: i32,
    /// What the records' timestamps are relative to.
    pub base_timestamp: TimestampMs,
    /// The greatest timestamp of a record.
    pub max_timestamp: TimestampMs,
    /// Who wrote it, or [`ProducerId::NONE`].
    pub producer_id: ProducerId,
    /// Its epoch, or [`ProducerEpoch::NONE`].
    pub producer_epoch: ProducerEpoch,
    /// The sequence of the first record, or -1.
    pub base_sequence: Sequence,
    /// Records that are there; fewer than the offsets span after compaction.
    pub record_count: i32,
}

impl BatchHeader {
    /// The header at the start of `bytes`, which need not hold the records. The CRC is not looked at.
    ///
    /// # Errors
    /// [`BatchError`], but never [`BatchError::BadCrc`].
    pub fn parse(bytes: &[u8]) -> Result<Self, BatchError> {
        let available = bytes.len();
        let Some(head) = bytes.first_chunk::<HEADER_LEN>() else {
            return Err(BatchError::Incomplete { needed: HEADER_LEN, available });
        };
        let mut fields = Fields(head);
        let header = Self {
            base_offset: Offset(i64::from_be_bytes(fields.next())),
            batch_length: i32::from_be_bytes(fields.next()),
            partition_leader_epoch: LeaderEpoch(i32::from_be_bytes(fields.next())),
            magic: i8::from_be_bytes(fields.next()),
            crc: u32::from_be_bytes(fields.next()),
            attributes: Attributes(i16::from_be_bytes(fields.next())),
            last_offset_delta: i32::from_be_bytes(fields.next()),
            base_timestamp: TimestampMs(i64::from_be_bytes(fields.next())),
            max_timestamp: TimestampMs(i64::from_be_bytes(fields.next())),
            producer_id: ProducerId(i64::from_be_bytes(fields.next())),
            producer_epoch: ProducerEpoch(i16::from_be_bytes(fields.next())),
            base_sequence: Sequence(i32::from_be_bytes(fields.next())),
            record_count: i32::from_be_bytes(fields.next()),
        };
        header.plausible()
    }

    fn plausible(self) -> Result<Self, BatchError> {
        let Self { base_offset: Offset(base_offset), batch_length, magic, last_offset_delta, .. } = self;
        let whole = usize::try_from(batch_length).ok().and_then(|length| length.checked_add(LENGTH_PREFIX));
        if whole.is_none_or(|size| size < HEADER_LEN) {
            return Err(BatchError::BadLength { batch_length });
        }
        if magic != MAGIC_V2 {
            return Err(BatchError::UnsupportedMagic { magic });
        }
        let next_offset = base_offset.checked_add(i64::from(last_offset_delta) + 1);
        if base_offset < 0 || last_offset_delta < 0 || next_offset.is_none() {
            return Err(BatchError::BadOffsets { base_offset, last_offset_delta });
        }
        Ok(self)
    }

    /// Bytes of the whole batch; at least [`HEADER_LEN`].
    #[must_use]
    pub fn size_in_bytes(&self) -> usize {
        LENGTH_PREFIX + usize::try_from(self.batch_length).unwrap_or(0)
    }

    /// The last offset, inclusive.
    #[must_use]
    pub fn last_offset(&self) -> Offset {
        self.base_offset.plus(i64::from(self.last_offset_delta))
    }

    /// The offset after the last one: where the next batch may begin.
    #[must_use]
    pub fn next_offset(&self) -> Offset {
        self.last_offset().plus(1)
    }

    /// The sequence of the last record, inclusive; -1 where the batch has none. Wraps from 2^31-1 to 0.
    #[must_use]
    pub fn last_sequence(&self) -> Sequence {
        if self.base_sequence == NO_SEQUENCE {
            return NO_SEQUENCE;
        }
        Sequence(self.base_sequence.0.wrapping_add(self.last_offset_delta) & i32::MAX)
    }

    /// Whether an idempotent or transactional producer, or a coordinator for one, wrote it.
    #[must_use]
    pub fn has_producer_id(&self) -> bool {
        self.producer_id.0 > ProducerId::NONE.0
    }

    /// The first [`POSITION_LEN`] bytes of this batch once it stands at `base_offset`, appended in
    /// `leader_epoch`. Copying them over a batch's own leaves its CRC right.
    #[must_use]
    pub fn position_bytes(&self, base_offset: Offset, leader_epoch: LeaderEpoch) -> [u8; POSITION_LEN] {
        let mut bytes = [0; POSITION_LEN];
        let fields = base_offset.0.to_be_bytes().into_iter();
        let fields = fields.chain(self.batch_length.to_be_bytes()).chain(leader_epoch.0.to_be_bytes());
        for (byte, value) in bytes.iter_mut().zip(fields) {
            *byte = value;
        }
        bytes
    }

    /// The same header at another position, as [`Self::position_bytes`] writes it.
    #[must_use]
    pub fn at(self, base_offset: Offset, leader_epoch: LeaderEpoch) -> Self {
        Self { base_offset, partition_leader_epoch: leader_epoch, ..self }
    }
}

/// "No sequence", as the wire writes it.
pub const NO_SEQUENCE: Sequence = Sequence(-1);

/// Reads the fields of a header in order.
struct Fields<'a>(&'a [u8]);

impl Fields<'_> {
    fn next<const N: usize>(&mut self) -> [u8; N] {
        let (field, rest) = self.0.split_first_chunk::<N>().expect("the fields add up to HEADER_LEN");
        self.0 = rest;
        *field
    }
}

/// The first batch of `bytes`, with nothing taken on trust: it is whole, of magic 2, and its CRC is right.
/// What follows it is not looked at. Recovery and followers use this.
///
/// # Errors
/// [`BatchError`]; [`BatchError::Incomplete`] where `bytes` end within the batch.
pub fn check(bytes: &[u8]) -> Result<BatchHeader, BatchError> {
    let header = BatchHeader::parse(bytes)?;
    let needed = header.size_in_bytes();
    let covered = bytes.get(field::ATTRIBUTES..needed);
    let covered = covered.ok_or(BatchError::Incomplete { needed, available: bytes.len() })?;
    let computed = crc32c(covered);
    if computed != header.crc {
        return Err(BatchError::BadCrc { stored: header.crc, computed });
    }
    Ok(header)
}

/// CRC-32C (Castagnoli), which guards record batches and Kafka's producer snapshots. Of a batch it covers the
/// bytes from [`field::ATTRIBUTES`] to the end. Source: RFC 3720, appendix B.4.
#[must_use]
pub fn crc32c(bytes: &[u8]) -> u32 {
    crc_fast::crc32_iscsi(bytes)
}

#[cfg(test)]
mod tests;
