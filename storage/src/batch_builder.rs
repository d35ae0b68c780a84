//! Makes record batches: for internal topics, markers, recompression and tests.
//!
//! Invariant: what comes out passes [`crate::batch::check`].
//!
//! Absent: splitting. A builder makes one batch; its user watches [`BatchBuilder::records_len`].

use thiserror::Error;

use crate::batch::{
    Attributes, BatchHeader, EndTransactionMarker, HEADER_LEN, LENGTH_PREFIX, MAGIC_V2, NO_SEQUENCE, crc32c,
    field,
};
use crate::compression::{Codec, CompressError, compress};
use crate::ids::{LeaderEpoch, Offset, ProducerEpoch, ProducerId, Sequence, TimestampMs};

/// Why there is no batch.
#[derive(Debug, Error)]
pub enum BuildError {
    /// Lengths in a batch are 32 bits, and signed.
    #[error("{bytes} bytes of records do not fit into a batch")]
    TooLarge {
        /// Bytes of the records.
        bytes: usize,
    },
    /// The codec failed.
    #[error(transparent)]
    Compress(#[from] CompressError),
}

/// What the header of a new batch says, apart from what its records decide.
#[derive(Clone, Copy, Debug)]
pub struct BatchSpec {
    /// The offset of the first record; 0 for a batch that is still to be appended.
    pub base_offset: Offset,
    /// The leader's epoch.
    pub partition_leader_epoch: LeaderEpoch,
    /// How the records are compressed.
    pub codec: Codec,
    /// The codec's level; see [`compress`].
    pub level: i32,
    /// Any of [`Attributes`]' flags; the codec's bits are added.
    pub flags: i16,
    /// Who writes.
    pub producer_id: ProducerId,
    /// Its epoch.
    pub producer_epoch: ProducerEpoch,
    /// The sequence of the first record.
    pub base_sequence: Sequence,
}

impl Default for BatchSpec {
    /// Uncompressed, without a producer, at offset 0.
    fn default() -> Self {
        Self {
            base_offset: Offset(0),
            partition_leader_epoch: LeaderEpoch::NONE,
            codec: Codec::None,
            level: -1,
            flags: 0,
            producer_id: ProducerId::NONE,
            producer_epoch: ProducerEpoch::NONE,
            base_sequence: NO_SEQUENCE,
        }
    }
}

/// Collects records for one batch.
#[derive(Clone, Debug)]
pub struct BatchBuilder {
    spec: BatchSpec,
    records: Vec<u8>,
    count: i32,
    last_offset_delta: i32,
    base_timestamp: TimestampMs,
    max_timestamp: TimestampMs,
    scratch: Vec<u8>,
}

impl BatchBuilder {
    /// No records yet.
    #[must_use]
    pub fn new(spec: BatchSpec) -> Self {
        Self {
            spec,
            records: Vec::new(),
            count: 0,
            last_offset_delta: -1,
            base_timestamp: TimestampMs::NONE,
            max_timestamp: TimestampMs::NONE,
            scratch: Vec::new(),
        }
    }

    /// Adds a record at the next offset. Headers are keys and values, in order.
    pub fn push(
        &mut self,
        timestamp: TimestampMs,
        key: Option<&[u8]>,
        value: Option<&[u8]>,
        headers: &[(&[u8], Option<&[u8]>)],
    ) {
        self.push_at(self.last_offset_delta + 1, timestamp, key, value, headers);
    }

    /// Adds a record at an offset relative to the base offset, which compaction keeps when it leaves records
    /// out.
    ///
    /// # Panics
    /// If the offset is not greater than the last one.
    pub fn push_at(
        &mut self,
        offset_delta: i32,
        timestamp: TimestampMs,
        key: Option<&[u8]>,
        value: Option<&[u8]>,
        headers: &[(&[u8], Option<&[u8]>)],
    ) {
        assert!(offset_delta > self.last_offset_delta, "offsets within a batch grow");
        if self.count == 0 {
            self.base_timestamp = timestamp;
        }
        let mut body = std::mem::take(&mut self.scratch);
        body.clear();
        body.push(0);
        put_varint(&mut body, timestamp.0.wrapping_sub(self.base_timestamp.0));
        put_varint(&mut body, i64::from(offset_delta));
        put_bytes(&mut body, key);
        put_bytes(&mut body, value);
        put_varint(&mut body, length(headers.len()));
        for &(key, value) in headers {
            put_bytes(&mut body, Some(key));
            put_bytes(&mut body, value);
        }
        put_varint(&mut self.records, length(body.len()));
        self.records.extend_from_slice(&body);
        self.scratch = body;
        self.count += 1;
        self.last_offset_delta = offset_delta;
        self.max_timestamp = self.max_timestamp.max(timestamp);
    }

    /// Bytes of the records so far, uncompressed; the batch is [`HEADER_LEN`] longer.
    #[must_use]
    pub fn records_len(&self) -> usize {
        self.records.len()
    }

    /// Records so far.
    #[must_use]
    pub fn record_count(&self) -> i32 {
        self.count
    }

    /// The batch.
    ///
    /// # Errors
    /// [`BuildError`].
    pub fn build(&self) -> Result<Vec<u8>, BuildError> {
        let BatchSpec { base_offset, partition_leader_epoch, codec, level, flags, .. } = self.spec;
        let header = BatchHeader {
            base_offset,
            batch_length: 0,
            partition_leader_epoch,
            magic: MAGIC_V2,
            crc: 0,
            attributes: Attributes(flags & !Attributes::CODEC | codec.number()),
            last_offset_delta: self.last_offset_delta.max(0),
            base_timestamp: self.base_timestamp,
            max_timestamp: self.max_timestamp,
            producer_id: self.spec.producer_id,
            producer_epoch: self.spec.producer_epoch,
            base_sequence: self.spec.base_sequence,
            record_count: self.count,
        };
        match codec {
            Codec::None => assemble(&header, &self.records),
            Codec::Gzip | Codec::Snappy | Codec::Lz4 | Codec::Zstd => {
                assemble(&header, &compress(codec, level, &self.records)?)
            }
        }
    }
}

/// The control batch that ends a producer's transaction, still without an offset. Source:
/// `MemoryRecords.java`.
///
/// # Errors
/// [`BuildError`], in theory: nothing is compressed and nothing is large.
pub fn end_transaction_batch(
    producer_id: ProducerId,
    producer_epoch: ProducerEpoch,
    marker: EndTransactionMarker,
    timestamp: TimestampMs,
) -> Result<Vec<u8>, BuildError> {
    let flags = Attributes::TRANSACTIONAL | Attributes::CONTROL;
    let mut builder =
        BatchBuilder::new(BatchSpec { flags, producer_id, producer_epoch, ..BatchSpec::default() });
    builder.push(timestamp, Some(&marker.key()), Some(&marker.value()), &[]);
    builder.build()
}

/// A batch of `header` and `records`, which are compressed as the header says; length and CRC are computed.
///
/// # Errors
/// [`BuildError::TooLarge`].
pub fn assemble(header: &BatchHeader, records: &[u8]) -> Result<Vec<u8>, BuildError> {
    let too_large = BuildError::TooLarge { bytes: records.len() };
    let Ok(batch_length) = i32::try_from(HEADER_LEN - LENGTH_PREFIX + records.len()) else {
        return Err(too_large);
    };
    let mut covered = Vec::with_capacity(HEADER_LEN - field::ATTRIBUTES + records.len());
    covered.extend_from_slice(&header.attributes.0.to_be_bytes());
    covered.extend_from_slice(&header.last_offset_delta.to_be_bytes());
    covered.extend_from_slice(&header.base_timestamp.0.to_be_bytes());
    covered.extend_from_slice(&header.max_timestamp.0.to_be_bytes());
    covered.extend_from_slice(&header.producer_id.0.to_be_bytes());
    covered.extend_from_slice(&header.producer_epoch.0.to_be_bytes());
    covered.extend_from_slice(&header.base_sequence.0.to_be_bytes());
    covered.extend_from_slice(&header.record_count.to_be_bytes());
    covered.extend_from_slice(records);
    let header = BatchHeader { batch_length, ..*header };
    let mut batch = Vec::with_capacity(header.size_in_bytes());
    batch.extend_from_slice(&header.position_bytes(header.base_offset, header.partition_leader_epoch));
    batch.extend_from_slice(&MAGIC_V2.to_be_bytes());
    batch.extend_from_slice(&crc32c(&covered).to_be_bytes());
    batch.append(&mut covered);
    Ok(batch)
}

/// Lengths beyond 2^31-1 bytes make a batch that [`assemble`] refuses.
fn length(length: usize) -> i64 {
    i64::try_from(length).unwrap_or(i64::MAX)
}

fn put_bytes(into: &mut Vec<u8>, bytes: Option<&[u8]>) {
    put_varint(into, bytes.map_or(-1, |bytes| length(bytes.len())));
    into.extend_from_slice(bytes.unwrap_or_default());
}

/// A zigzag integer in groups of seven bits, least significant first.
pub(crate) fn put_varint(into: &mut Vec<u8>, value: i64) {
    let mut rest = ((value << 1) ^ (value >> 63)) as u64;
    while rest >= 0x80 {
        into.push((rest & 0x7f) as u8 | 0x80);
        rest >>= 7;
    }
    into.push(rest as u8);
}

/// How many bytes [`put_varint`] takes for a value.
pub(crate) fn varint_len(value: i64) -> usize {
    let zigzag = ((value << 1) ^ (value >> 63)) as u64;
    (64 - zigzag.leading_zeros() as usize).div_ceil(7).max(1)
}
