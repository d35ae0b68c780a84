//! What a broker demands of a batch before it appends it, and what it changes.
//!
//! An uncompressed batch is walked record by record, without an allocation. A compressed one is opened only
//! where a rule looks at its records: keys on a compacted topic, another codec than the topic's, or
//! timestamps that the header cannot vouch for. Otherwise its header is believed: a client that lies there
//! harms its own records only, and readers here never trust it.
//!
//! Invariants: hostile bytes end in an error, never in a panic, and cost the memory of a piece of what they open into; only
//! a batch that has passed, and is to be compressed anew, is opened as a whole. A batch that passes is the same slice that came in, unless a rule rewrote it.
//!
//! Absent: sequences and epochs ([`crate::producer_state`]), offsets (the log). Source: `LogValidator.java`,
//! `ProduceRequest.java`, `UnifiedLog.java`.

use bytes::Bytes;
use config::topic::{CompressionType, TimestampType, TopicConfig};

use super::{Attributes, BatchError, BatchHeader, ProducerId, check, crc32c, field};
use crate::batch_builder::{BuildError, assemble};
use crate::compression::{Codec, Opened, compress, decompress};
use crate::ids::{Offset, TimestampMs};
use crate::records::{OutlineError, Record, RecordFault, RecordOutline, RecordOutlines, Records};

mod error;

pub use error::{InvalidBatch, RecordError};

/// Bytes that the records of one batch may take when decompressed (or `max.message.bytes`, if that is more).
/// Larger lets one small request keep a worker busy for longer, and hold that much memory where a topic has a codec of
/// its own; smaller refuses batches that compress very well, such as a full megabyte of repetitive log lines at 1:60.
pub const DECOMPRESSED_BYTES_MAX: usize = 64 * 1024 * 1024;

/// Records whose errors are reported one by one; the client fails the others of the batch all the same.
/// Larger lets a request of 1 MiB ask for an answer a hundred times its size; smaller tells less.
pub const RECORD_ERRORS_MAX: usize = 1000;

/// Bytes of the smallest record: a length and six fields of a byte. A batch cannot have more records than fit
/// into what it may open into, so a header that is believed cannot claim offsets without bound.
const RECORD_BYTES_MIN: usize = 7;

/// The first version of Produce whose clients know Zstandard. Source: KIP-110.
const PRODUCE_VERSION_WITH_ZSTD: i16 = 7;

/// Where a batch comes from, which says how much of it is checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AppendOrigin {
    /// A producer: everything is checked.
    Client,
    /// A coordinator of this broker: offsets, groups, transactions and their markers. It may write control
    /// batches and batches that have a producer id and no sequence.
    Coordinator,
    /// The leader, to a follower: it has checked.
    Replication,
}

/// How a topic wants its records stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TopicCompression {
    /// As the producer sent them.
    Producer,
    /// With this codec; batches of another one are compressed anew.
    Fixed {
        /// The codec.
        codec: Codec,
        /// Its level; see [`compress`].
        level: i32,
    },
}

/// What a topic demands of batches from one origin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AppendRules {
    /// The largest batch, its first 12 bytes included.
    pub max_message_bytes: usize,
    /// The largest segment, which a batch must fit into.
    pub segment_bytes: usize,
    /// Who sets the records' timestamps.
    pub timestamp_type: TimestampType,
    /// How far a record's timestamp may lie before now, in milliseconds; `i64::MAX` for any distance.
    pub timestamp_before_max_ms: i64,
    /// How far it may lie after now, in milliseconds.
    pub timestamp_after_max_ms: i64,
    /// How the records are stored.
    pub compression: TopicCompression,
    /// Whether every record needs a key, as on compacted topics.
    pub keys_required: bool,
    /// Where the batch comes from.
    pub origin: AppendOrigin,
    /// The version of the Produce request that carried it; matters for [`AppendOrigin::Client`] only.
    pub produce_version: i16,
}

impl AppendRules {
    /// The rules of a topic.
    #[must_use]
    pub fn of_topic(topic: &TopicConfig, origin: AppendOrigin, produce_version: i16) -> Self {
        let fixed = |codec, level| TopicCompression::Fixed { codec, level };
        Self {
            max_message_bytes: usize::try_from(topic.max_message_bytes).unwrap_or(0),
            segment_bytes: usize::try_from(topic.segment_bytes).unwrap_or(0),
            timestamp_type: topic.message_timestamp_type,
            timestamp_before_max_ms: topic.message_timestamp_before_max_ms,
            timestamp_after_max_ms: topic.message_timestamp_after_max_ms,
            compression: match topic.compression_type {
                CompressionType::Producer => TopicCompression::Producer,
                CompressionType::Uncompressed => fixed(Codec::None, 0),
                CompressionType::Gzip => fixed(Codec::Gzip, topic.compression_gzip_level),
                CompressionType::Snappy => fixed(Codec::Snappy, 0),
                CompressionType::Lz4 => fixed(Codec::Lz4, topic.compression_lz4_level),
                CompressionType::Zstd => fixed(Codec::Zstd, topic.compression_zstd_level),
            },
            keys_required: topic.cleanup_policy.compact,
            origin,
            produce_version,
        }
    }

    /// The codec and level to compress a batch with anew, if it is stored otherwise than it came. Control
    /// batches stay as the coordinator wrote them.
    fn recompression(&self, header: &BatchHeader, codec: Codec) -> Option<(Codec, i32)> {
        match self.compression {
            TopicCompression::Fixed { codec: wanted, level } if wanted != codec => {
                (!header.attributes.is_control()).then_some((wanted, level))
            }
            TopicCompression::Fixed { .. } | TopicCompression::Producer => None,
        }
    }
}

/// A batch that may be appended once its sequence is checked and its offsets are set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ValidatedBatch {
    /// The header of [`Self::bytes`].
    pub header: BatchHeader,
    /// One whole batch: what came in, unless a rule rewrote it.
    pub bytes: Bytes,
    /// The time that the broker gave the records, or [`TimestampMs::NONE`] where the producer set the time.
    pub log_append_time: TimestampMs,
}

/// Checks that `bytes` are exactly one batch that `rules` allow, and rewrites what they want otherwise:
/// timestamps on topics with log append time, a false maximum timestamp, the codec.
///
/// # Errors
/// [`InvalidBatch`] with the first rule that is broken; those about single records list the records.
pub fn validate(bytes: Bytes, rules: &AppendRules, now: TimestampMs) -> Result<ValidatedBatch, InvalidBatch> {
    let header = check_batch(&bytes, rules)?;
    if rules.origin == AppendOrigin::Replication {
        return Ok(ValidatedBatch { header, bytes, log_append_time: TimestampMs::NONE });
    }
    let codec_number = header.attributes.codec_number();
    let codec = header.attributes.compression().ok_or(InvalidBatch::UnknownCodec { codec_number })?;
    if rules.origin == AppendOrigin::Client {
        check_client_batch(&header, codec, rules)?;
    }
    check_timestamp_type(&header, rules)?;
    // From here on the records' own timestamps count, also where the producer claimed the broker's.
    let created = Attributes(header.attributes.0 & !Attributes::LOG_APPEND_TIME);
    let walked = BatchHeader { attributes: created, ..header };
    let area = bytes.get(field::RECORDS..).unwrap_or_default();
    let recompression = rules.recompression(&header, codec);
    let (max_timestamp, opened) = match codec {
        Codec::None => (walk(Records::new(&walked, area).map(outline), rules, now)?, None),
        Codec::Gzip | Codec::Snappy | Codec::Lz4 | Codec::Zstd => {
            if recompression.is_some() || rules.look_into(&header, now) {
                let bytes_max = rules.opened_bytes_max();
                let records = RecordOutlines::new(&walked, Opened::new(codec, area, bytes_max)?);
                let max_timestamp = walk(records, rules, now)?;
                let opened = recompression.map(|_| decompress(codec, area, bytes_max)).transpose()?;
                (max_timestamp, opened)
            } else {
                (header.max_timestamp, None)
            }
        }
    };
    let (wanted, log_append_time) = match rules.timestamp_type {
        TimestampType::CreateTime => (BatchHeader { max_timestamp, ..walked }, TimestampMs::NONE),
        TimestampType::LogAppendTime => {
            let attributes = Attributes(created.0 | Attributes::LOG_APPEND_TIME);
            (BatchHeader { attributes, max_timestamp: now, ..walked }, now)
        }
    };
    let (header, bytes) = match recompression {
        Some(target) => recompress(&wanted, opened.as_deref().unwrap_or(area), target)?,
        None if wanted == header => (header, bytes),
        None => rewrite(&wanted, &bytes),
    };
    check_size(bytes.len(), rules)?;
    Ok(ValidatedBatch { header, bytes, log_append_time })
}

/// One whole batch of a size that the rules allow, with the right CRC.
fn check_batch(bytes: &[u8], rules: &AppendRules) -> Result<BatchHeader, InvalidBatch> {
    let is_client = rules.origin == AppendOrigin::Client;
    if bytes.is_empty() {
        return Err(InvalidBatch::NoBatch);
    }
    let header = BatchHeader::parse(bytes)?;
    let size = header.size_in_bytes();
    if size < bytes.len() {
        return Err(InvalidBatch::MoreThanOneBatch { trailing_bytes: bytes.len() - size });
    }
    if is_client && header.base_offset != Offset(0) {
        return Err(InvalidBatch::BaseOffsetNotZero { base_offset: header.base_offset });
    }
    if rules.origin != AppendOrigin::Replication && size > rules.max_message_bytes {
        return Err(InvalidBatch::MessageTooLarge { size, max: rules.max_message_bytes });
    }
    Ok(check(bytes)?)
}

fn check_client_batch(header: &BatchHeader, codec: Codec, rules: &AppendRules) -> Result<(), InvalidBatch> {
    let BatchHeader { last_offset_delta, record_count, producer_id, base_sequence, .. } = *header;
    if codec == Codec::Zstd && rules.produce_version < PRODUCE_VERSION_WITH_ZSTD {
        return Err(InvalidBatch::ZstdNotNegotiated { produce_version: rules.produce_version });
    }
    let records_max = rules.opened_bytes_max() / RECORD_BYTES_MIN;
    let has_too_many = usize::try_from(record_count).is_ok_and(|count| count > records_max);
    if record_count <= 0 || i64::from(last_offset_delta) + 1 != i64::from(record_count) || has_too_many {
        return Err(InvalidBatch::BadRecordCount { record_count, last_offset_delta });
    }
    if header.attributes.is_control() {
        return Err(InvalidBatch::ControlBatch);
    }
    if producer_id > ProducerId::NONE && base_sequence.0 < 0 {
        return Err(InvalidBatch::NoSequence { producer_id, base_sequence });
    }
    Ok(())
}

/// Only the broker may say that the broker set the time. On topics where the producer does, the claim is
/// dropped.
fn check_timestamp_type(header: &BatchHeader, rules: &AppendRules) -> Result<(), InvalidBatch> {
    let broker_sets_time = rules.timestamp_type == TimestampType::LogAppendTime;
    let claimed = header.attributes.is_log_append_time();
    if !claimed || !(broker_sets_time || header.max_timestamp == TimestampMs::NONE) {
        return Ok(());
    }
    let listed = i32::try_from(RECORD_ERRORS_MAX).unwrap_or(i32::MAX).min(header.record_count);
    let message = "a producer must not set the timestamp type to LogAppendTime";
    let error = |batch_index| RecordError { batch_index, message: message.to_owned() };
    Err(InvalidBatch::InvalidTimestamps { errors: (0..listed).map(error).collect() })
}

impl AppendRules {
    /// The most bytes that a batch's records may take, decompressed where they are compressed.
    fn opened_bytes_max(&self) -> usize {
        DECOMPRESSED_BYTES_MAX.max(self.max_message_bytes)
    }

    /// Whether a rule needs the records of a compressed batch, since the header cannot vouch for them: it has
    /// no least timestamp, and a greatest one that is too late must be blamed on a record.
    fn look_into(&self, header: &BatchHeader, now: TimestampMs) -> bool {
        let in_doubt = match self.timestamp_type {
            TimestampType::LogAppendTime => false,
            TimestampType::CreateTime => {
                let latest = now.0.saturating_add(self.timestamp_after_max_ms);
                let has_earliest = self.timestamp_before_max_ms < i64::MAX;
                has_earliest || header.max_timestamp.0 < 0 || header.max_timestamp.0 > latest
            }
        };
        self.keys_required || in_doubt
    }
}

/// What is asked of a record that is there as a whole.
#[inline(always)]
fn outline(record: Result<Record<'_>, RecordFault>) -> Result<RecordOutline, OutlineError> {
    let Record { offset_delta, timestamp, key, .. } = record?;
    Ok(RecordOutline { offset_delta, timestamp, has_key: key.is_some() })
}

/// Looks at every record, and gives the greatest timestamp.
fn walk(
    records: impl Iterator<Item = Result<RecordOutline, OutlineError>>,
    rules: &AppendRules,
    now: TimestampMs,
) -> Result<TimestampMs, InvalidBatch> {
    let (earliest, latest) = match rules.timestamp_type {
        TimestampType::CreateTime => {
            let earliest = now.0.saturating_sub(rules.timestamp_before_max_ms);
            (earliest, now.0.saturating_add(rules.timestamp_after_max_ms))
        }
        TimestampType::LogAppendTime => (i64::MIN, i64::MAX),
    };
    let keys_optional = !rules.keys_required;
    let mut max_timestamp = TimestampMs::NONE;
    let mut rejected = Rejected::default();
    for (index, record) in (0..).zip(records) {
        let record = record?;
        if record.offset_delta != index {
            return Err(InvalidBatch::MalformedRecords(RecordFault::BadOffsetDelta(record.offset_delta)));
        }
        let timestamp = record.timestamp;
        if !record.has_key && !keys_optional {
            rejected.add(index, false, || "a record of a compacted topic needs a key".to_owned());
        } else if (timestamp.0 < earliest || timestamp.0 > latest) && timestamp != TimestampMs::NONE {
            rejected
                .add(index, true, || format!("timestamp {timestamp} is not within [{earliest}, {latest}]"));
        }
        max_timestamp = max_timestamp.max(timestamp);
    }
    rejected.verdict().map(|()| max_timestamp)
}

/// The records of a batch that break a rule.
#[derive(Default)]
struct Rejected {
    errors: Vec<RecordError>,
    has_timestamp: bool,
}

impl Rejected {
    #[cold]
    fn add(&mut self, batch_index: i32, is_timestamp: bool, message: impl FnOnce() -> String) {
        self.has_timestamp |= is_timestamp;
        if self.errors.len() < RECORD_ERRORS_MAX {
            self.errors.push(RecordError { batch_index, message: message() });
        }
    }

    /// One false timestamp makes the batch one of false timestamps, as in Kafka.
    fn verdict(self) -> Result<(), InvalidBatch> {
        match self {
            Self { errors, .. } if errors.is_empty() => Ok(()),
            Self { errors, has_timestamp: true } => Err(InvalidBatch::InvalidTimestamps { errors }),
            Self { errors, has_timestamp: false } => Err(InvalidBatch::InvalidRecords { errors }),
        }
    }
}

/// The batch with another codec; its records stay byte for byte.
fn recompress(
    wanted: &BatchHeader,
    records: &[u8],
    (codec, level): (Codec, i32),
) -> Result<(BatchHeader, Bytes), InvalidBatch> {
    let attributes = Attributes(wanted.attributes.0 & !Attributes::CODEC | codec.number());
    let header = BatchHeader { attributes, ..*wanted };
    let batch = match codec {
        Codec::None => assemble(&header, records),
        Codec::Gzip | Codec::Snappy | Codec::Lz4 | Codec::Zstd => compress(codec, level, records)
            .map_err(BuildError::from)
            .and_then(|packed| assemble(&header, &packed)),
    };
    let batch = Bytes::from(batch.map_err(InvalidBatch::Recompression)?);
    let header = BatchHeader::parse(&batch)?;
    Ok((header, batch))
}

/// The batch with other attributes and maximum timestamp, and the CRC that goes with them.
fn rewrite(wanted: &BatchHeader, bytes: &[u8]) -> (BatchHeader, Bytes) {
    let mut batch = bytes.to_vec();
    let put = |batch: &mut [u8], at: usize, value: &[u8]| {
        let place = batch.get_mut(at..at + value.len()).expect("a checked batch has a whole header");
        place.copy_from_slice(value);
    };
    put(&mut batch, field::ATTRIBUTES, &wanted.attributes.0.to_be_bytes());
    put(&mut batch, field::MAX_TIMESTAMP, &wanted.max_timestamp.0.to_be_bytes());
    let crc = crc32c(batch.get(field::ATTRIBUTES..).unwrap_or_default());
    put(&mut batch, field::CRC, &crc.to_be_bytes());
    (BatchHeader { crc, ..*wanted }, Bytes::from(batch))
}

/// Sizes once more, since another codec may have made the batch larger.
fn check_size(size: usize, rules: &AppendRules) -> Result<(), InvalidBatch> {
    if size > rules.max_message_bytes {
        return Err(InvalidBatch::MessageTooLarge { size, max: rules.max_message_bytes });
    }
    if size > rules.segment_bytes {
        return Err(InvalidBatch::RecordListTooLarge { size, max: rules.segment_bytes });
    }
    Ok(())
}

impl From<OutlineError> for InvalidBatch {
    fn from(error: OutlineError) -> Self {
        match error {
            OutlineError::Fault(fault) => Self::MalformedRecords(fault),
            OutlineError::Decompress(error) => error.into(),
        }
    }
}

impl From<BatchError> for InvalidBatch {
    fn from(error: BatchError) -> Self {
        match error {
            BatchError::Incomplete { needed, available } => Self::CutOff { needed, available },
            BatchError::BadLength { batch_length } => Self::BadLength { batch_length },
            BatchError::UnsupportedMagic { magic } => Self::UnsupportedMagic { magic },
            BatchError::BadOffsets { base_offset, last_offset_delta } => {
                Self::BadOffsets { base_offset, last_offset_delta }
            }
            BatchError::BadCrc { stored, computed } => Self::BadCrc { stored, computed },
        }
    }
}

#[cfg(test)]
mod tests;
