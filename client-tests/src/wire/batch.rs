//! Record batches (magic 2), whole or with one field made wrong.
//!
//! ```text
//!  0 base_offset i64 | 8 batch_length i32 | 12 partition_leader_epoch i32 | 16 magic i8 | 17 crc u32
//! 21 attributes i16 | 23 last_offset_delta i32 | 27 base_timestamp i64 | 35 max_timestamp i64
//! 43 producer_id i64 | 51 producer_epoch i16 | 53 base_sequence i32 | 57 record_count i32 | 61 records
//! ```

use anyhow::{Context as _, Result};
use bytes::{Bytes, BytesMut};
use crc_fast::CrcAlgorithm;
use kafka_protocol::records::{
    Compression, NO_PARTITION_LEADER_EPOCH, NO_PRODUCER_EPOCH, NO_PRODUCER_ID, NO_SEQUENCE, Record,
    RecordBatchEncoder, RecordEncodeOptions, TimestampType,
};

/// Where a batch's offset begins.
pub const BASE_OFFSET: usize = 0;
/// Where the bytes that follow are counted.
pub const LENGTH: usize = 8;
/// Where its magic number is.
pub const MAGIC: usize = 16;
/// Where its checksum begins.
pub const CRC: usize = 17;
/// Where its attributes begin, the first bytes that the checksum covers.
pub const ATTRIBUTES: usize = 21;
/// Where the last record's offset, counted from the first one's, begins.
pub const LAST_OFFSET_DELTA: usize = 23;
/// Where the producer's id begins.
pub const PRODUCER_ID: usize = 43;
/// Where the producer's epoch begins.
pub const PRODUCER_EPOCH: usize = 51;
/// Where the number of records begins.
pub const RECORD_COUNT: usize = 57;
/// Where the records begin.
pub const RECORDS: usize = 61;

/// One plain record, for tests to start from.
#[must_use]
pub fn record(offset: i64, key: Option<Bytes>, value: Bytes) -> Record {
    Record {
        transactional: false,
        control: false,
        delete_horizon: false,
        partition_leader_epoch: NO_PARTITION_LEADER_EPOCH,
        producer_id: NO_PRODUCER_ID,
        producer_epoch: NO_PRODUCER_EPOCH,
        timestamp_type: TimestampType::Creation,
        offset,
        // The encoder begins a new batch where sequences do not run with the offsets, also where there are none.
        sequence: NO_SEQUENCE.saturating_add(i32::try_from(offset).unwrap_or(i32::MAX)),
        timestamp: crate::records::FIRST_TIMESTAMP,
        key,
        value: Some(value),
        headers: Default::default(),
    }
}

/// A batch of `count` records with values of `value_size` bytes, by a producer without an id.
///
/// # Errors
/// When the records do not encode.
pub fn plain(count: i64, value_size: usize) -> Result<Bytes> {
    let value = Bytes::from(vec![b'v'; value_size]);
    let records: Vec<Record> =
        (0..count).map(|offset| record(offset, Some("key".into()), value.clone())).collect();
    encode(&records)
}

/// The records as one batch, not compressed.
///
/// # Errors
/// When the records do not encode.
pub fn encode(records: &[Record]) -> Result<Bytes> {
    let mut bytes = BytesMut::new();
    let options = RecordEncodeOptions { version: 2, compression: Compression::None };
    RecordBatchEncoder::encode(&mut bytes, records, &options)?;
    Ok(bytes.freeze())
}

/// The batch with `field` written at `position`, its checksum left as it was.
///
/// # Errors
/// When the batch is shorter than that.
pub fn with_field(batch: &[u8], position: usize, field: &[u8]) -> Result<Bytes> {
    let mut bytes = batch.to_vec();
    bytes.get_mut(position..position + field.len()).context("beyond the batch")?.copy_from_slice(field);
    Ok(bytes.into())
}

/// The batch with `field` written at `position` and the checksum made right again.
///
/// # Errors
/// As [`with_field`].
pub fn with_checked_field(batch: &[u8], position: usize, field: &[u8]) -> Result<Bytes> {
    let bytes = with_field(batch, position, field)?;
    let covered = bytes.get(ATTRIBUTES..).context("shorter than a header")?;
    let crc = u32::try_from(crc_fast::checksum(CrcAlgorithm::Crc32Iscsi, covered))?;
    with_field(&bytes, CRC, &crc.to_be_bytes())
}

/// The first batch's size in bytes, prefix included, and the offset after its last record; nothing where zeros stand
/// or the bytes end.
#[must_use]
pub fn extent(bytes: &[u8]) -> Option<(usize, i64)> {
    const PREFIX: usize = 12;
    let base_offset = i64::from_be_bytes(*bytes.first_chunk()?);
    let length = i32::from_be_bytes(*bytes.get(8..)?.first_chunk()?);
    let last_offset_delta = i32::from_be_bytes(*bytes.get(LAST_OFFSET_DELTA..)?.first_chunk()?);
    let length = usize::try_from(length).ok().filter(|&length| length > 0)?;
    Some((PREFIX + length, base_offset + i64::from(last_offset_delta) + 1))
}
