//! Why a batch is not appended. Each variant names the answer that Kafka gives; the codes are the broker's to
//! assign.

use thiserror::Error;

use crate::batch_builder::BuildError;
use crate::compression::DecompressError;
use crate::ids::{Offset, ProducerId, Sequence};
use crate::records::RecordFault;

/// A record that breaks a rule. Source: KIP-467.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecordError {
    /// The record's place in its batch, from 0.
    pub batch_index: i32,
    /// What is wrong with it, for the producer's log.
    pub message: String,
}

/// Why a batch is not appended.
#[derive(Debug, Error)]
pub enum InvalidBatch {
    /// No bytes. `INVALID_RECORD`.
    #[error("there is no batch")]
    NoBatch,
    /// The bytes end within the batch. `INVALID_RECORD`.
    #[error("the batch needs {needed} bytes and {available} are there")]
    CutOff {
        /// Bytes that the batch takes.
        needed: usize,
        /// Bytes given.
        available: usize,
    },
    /// Bytes follow the first batch. `INVALID_RECORD`.
    #[error("{trailing_bytes} bytes follow the first batch, and only one is allowed")]
    MoreThanOneBatch {
        /// How many.
        trailing_bytes: usize,
    },
    /// Another format than v2. `INVALID_RECORD`.
    #[error("batches of magic {magic} are not supported")]
    UnsupportedMagic {
        /// The field as it was read.
        magic: i8,
    },
    /// The length cannot hold a header. `CORRUPT_MESSAGE`.
    #[error("a batch length of {batch_length} cannot hold a header")]
    BadLength {
        /// The field as it was read.
        batch_length: i32,
    },
    /// Negative offsets. `INVALID_RECORD`.
    #[error("the base offset {base_offset} and the last offset delta {last_offset_delta} are no range")]
    BadOffsets {
        /// The field as it was read.
        base_offset: i64,
        /// The field as it was read.
        last_offset_delta: i32,
    },
    /// Clients number records from 0; the broker sets the offset. `INVALID_RECORD`.
    #[error("the base offset is {base_offset}, not 0")]
    BaseOffsetNotZero {
        /// The field as it was read.
        base_offset: Offset,
    },
    /// The batch was damaged on its way. `CORRUPT_MESSAGE`, which clients retry.
    #[error("the stored CRC is {stored:#010x} and the bytes have {computed:#010x}")]
    BadCrc {
        /// The header's field.
        stored: u32,
        /// The CRC-32C of the bytes.
        computed: u32,
    },
    /// Larger than `max.message.bytes`. `MESSAGE_TOO_LARGE`; the Java client then splits the batch.
    #[error("the batch has {size} bytes and the topic takes {max}")]
    MessageTooLarge {
        /// The size of the batch, in bytes.
        size: usize,
        /// The largest allowed.
        max: usize,
    },
    /// Larger than a segment. `RECORD_LIST_TOO_LARGE`.
    #[error("the batch has {size} bytes and a segment {max}")]
    RecordListTooLarge {
        /// The size of the batch, in bytes.
        size: usize,
        /// The size of a segment.
        max: usize,
    },
    /// No codec has that number. `UNKNOWN_SERVER_ERROR`.
    #[error("{codec_number} is no number of a codec")]
    UnknownCodec {
        /// The number in the attributes.
        codec_number: i16,
    },
    /// Zstandard in a request whose consumers might not know it. `UNSUPPORTED_COMPRESSION_TYPE`.
    #[error("produce requests of version {produce_version} cannot carry zstd")]
    ZstdNotNegotiated {
        /// The request's version.
        produce_version: i16,
    },
    /// The count of records and the range of offsets differ, or are empty. `INVALID_RECORD`.
    #[error("{record_count} records cannot span the offsets 0 to {last_offset_delta}")]
    BadRecordCount {
        /// The field as it was read.
        record_count: i32,
        /// The field as it was read.
        last_offset_delta: i32,
    },
    /// Only coordinators write markers. `INVALID_RECORD`.
    #[error("clients cannot write control batches")]
    ControlBatch,
    /// A producer id without a sequence. `INVALID_RECORD`.
    #[error("producer {producer_id} sent sequence {base_sequence}")]
    NoSequence {
        /// Whose batch it is.
        producer_id: ProducerId,
        /// The field as it was read.
        base_sequence: Sequence,
    },
    /// The records cannot be read. `INVALID_RECORD`.
    #[error("the records are malformed: {0}")]
    MalformedRecords(#[from] RecordFault),
    /// The compressed records cannot be opened. `INVALID_RECORD`, since another try cannot help.
    #[error("{0}")]
    Undecompressable(DecompressError),
    /// More records than a batch may open into. `MESSAGE_TOO_LARGE`; the Java client then splits the batch.
    #[error("the records are more than {cap} bytes when decompressed")]
    DecompressedTooLarge {
        /// The most allowed, in bytes.
        cap: usize,
    },
    /// Records without a key on a compacted topic. `INVALID_RECORD`, with the records.
    #[error("{} records were rejected", errors.len())]
    InvalidRecords {
        /// The first of those records; not empty.
        errors: Vec<RecordError>,
    },
    /// Timestamps out of bounds, or claimed for the broker. `INVALID_TIMESTAMP`, with the records.
    #[error("{} records were rejected, some of them for their timestamp", errors.len())]
    InvalidTimestamps {
        /// The first of those records.
        errors: Vec<RecordError>,
    },
    /// The topic's codec failed. `UNKNOWN_SERVER_ERROR`.
    #[error("the records cannot be compressed anew: {0}")]
    Recompression(BuildError),
}

impl From<DecompressError> for InvalidBatch {
    fn from(error: DecompressError) -> Self {
        match error {
            DecompressError::TooLarge { cap } => Self::DecompressedTooLarge { cap },
            DecompressError::Corrupt { .. } => Self::Undecompressable(error),
        }
    }
}
