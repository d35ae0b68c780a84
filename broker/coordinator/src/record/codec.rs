//! The bytes of the records: Kafka's, so that either broker reads what the other wrote.
//!
//! A key is never flexible, whatever its value is:
//!
//! ```text
//! type i16  0, 1: how far a group has read   group string, topic string, partition i32
//!           2: a classic group               group string
//!           3: a consumer group              group string
//!           4: its topics (Kafka 4.0)        group string
//!           5: a member of it                group string, member string
//!           6: its target assignment         group string
//!           7: what a member is to own       group string, member string
//!           8: what a member owns            group string, member string
//!           16: a pattern of it              group string, regular expression string
//! ```
//!
//! A value begins with its version, an i16, which says what follows; the files of this directory draw that. Within them:
//!
//! ```text
//!                  up to the last version that is not flexible   flexible
//! string           i16 length, UTF-8                             varint length + 1, UTF-8
//! bytes            i32 length                                    varint length + 1
//! [ ]              i32 count                                     varint count + 1
//! null             length -1                                     varint 0
//! uuid             16 bytes                                      16 bytes
//! tags             none                                          varint count, then of each: varint tag, varint size, bytes
//! ```
//!
//! Integers are big-endian; a varint is unsigned. What is written is what Kafka 4.4 writes, offsets without a topic id aside
//! (`offset_commit`), and every version is read that Kafka ever wrote. Tags that nobody here knows are skipped, and so is
//! what follows the last field, as in Kafka: a later version may add to either, and says with the version where that may
//! not be skipped.
//!
//! Invariants: no byte is trusted, and nothing is reserved for a count that the bytes do not bear out.
//!
//! Absent: share groups, streams groups and types that are not known, of which [`decode`] says `None`.
//!
//! Source: KIP-915, `CoordinatorRecordSerde.java`, `GroupCoordinatorRecordHelpers.java`.

use bytes::Bytes;
use thiserror::Error;

use crate::ids::{GroupId, MemberId};
use crate::record::Record;

mod assignment;
mod classic_group;
mod consumer_group;
mod consumer_member;
mod key;
mod offset_commit;
mod reader;
mod writer;

#[cfg(test)]
mod tests;

use key::{Key, RecordType};
use reader::Reader;
use writer::Writer;

/// A record as it is appended to `__consumer_offsets`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EncodedRecord {
    /// The key, by which the topic is compacted.
    pub key: Bytes,
    /// The value, `None` for a tombstone.
    pub value: Option<Bytes>,
}

/// Why bytes are no record that this broker, or Apache Kafka 4.4, can read.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum CodecError {
    /// The bytes end within a field.
    #[error("the bytes end within {field}")]
    Truncated {
        /// The field.
        field: &'static str,
    },
    /// A value of a later version.
    #[error("values of version {version} are not known for keys of type {record_type}")]
    UnsupportedVersion {
        /// What the key begins with.
        record_type: i16,
        /// What the value begins with.
        version: i16,
    },
    /// Null where there must be something, or a length that nothing can have.
    #[error("{length} is no possible length of {field}")]
    BadLength {
        /// The field.
        field: &'static str,
        /// The length as it was read, -1 for null.
        length: i64,
    },
    /// A variable-length integer of more than 32 bits.
    #[error("the variable-length integer before {field} is too long")]
    BadVarint {
        /// The field.
        field: &'static str,
    },
    /// A text that is none.
    #[error("{field} is not UTF-8")]
    NotUtf8 {
        /// The field.
        field: &'static str,
    },
}

/// A text, from a client, that no record can hold: Kafka bounds every one by [`TextTooLong::BYTES_MAX`].
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{field} has {length} bytes, and a record holds at most {}", Self::BYTES_MAX)]
pub struct TextTooLong {
    /// The field.
    pub field: &'static str,
    /// Its bytes.
    pub length: usize,
}

impl TextTooLong {
    /// The most bytes of a text. Larger would not fit the length that stands before it.
    pub const BYTES_MAX: usize = 32_767;
}

/// The bytes of a record.
///
/// # Errors
/// [`TextTooLong`], where a client sent such a text.
pub fn encode(record: &Record) -> Result<EncodedRecord, TextTooLong> {
    let key = key::encode(record)?;
    let value = match record {
        Record::OffsetCommit { value, .. } => value.as_ref().map(offset_commit::encode),
        Record::ClassicGroup { value, .. } => value.as_ref().map(classic_group::encode),
        Record::ConsumerGroup { value, .. } => value.as_ref().map(consumer_group::encode),
        Record::ConsumerGroupPartitionMetadata { value, .. } => {
            value.map(|_| consumer_group::encode_partition_metadata())
        }
        Record::ConsumerMember { value, .. } => value.as_ref().map(consumer_member::encode),
        Record::TargetAssignmentMetadata { value, .. } => {
            value.as_ref().map(consumer_group::encode_target_assignment_metadata)
        }
        Record::TargetAssignmentMember { value, .. } => value.as_deref().map(assignment::encode_target),
        Record::CurrentAssignment { value, .. } => value.as_ref().map(assignment::encode_current),
        Record::RegularExpression { value, .. } => {
            value.as_ref().map(consumer_group::encode_regular_expression)
        }
    };
    let value = value.map(Writer::finish).transpose()?;
    Ok(EncodedRecord { key, value })
}

/// The record in these bytes, or `None` where it is of a kind of group that this broker does not keep.
///
/// # Errors
/// [`CodecError`], where the bytes are damaged or of a later version.
pub fn decode(key: &[u8], value: Option<&[u8]>) -> Result<Option<Record>, CodecError> {
    let Some(Key { record_type, mut names }) = Key::read(key)? else { return Ok(None) };
    let mut value = value.map(|bytes| Value::read(record_type, bytes)).transpose()?;
    let value = value.as_mut().map(|value| (value.version, &mut value.fields));
    let group_id = names.string("group_id").map(GroupId)?;
    Ok(Some(match record_type {
        RecordType::LegacyOffsetCommit | RecordType::OffsetCommit => Record::OffsetCommit {
            group_id,
            topic: names.string("topic")?,
            partition: names.partition()?,
            value: value.map(offset_commit::decode).transpose()?,
        },
        RecordType::ClassicGroup => {
            Record::ClassicGroup { group_id, value: value.map(classic_group::decode).transpose()? }
        }
        RecordType::ConsumerGroup => {
            Record::ConsumerGroup { group_id, value: value.map(consumer_group::decode).transpose()? }
        }
        RecordType::PartitionMetadata => Record::ConsumerGroupPartitionMetadata {
            group_id,
            value: value.map(consumer_group::decode_partition_metadata),
        },
        RecordType::ConsumerMember => Record::ConsumerMember {
            group_id,
            member_id: names.string("member_id").map(MemberId)?,
            value: value.map(consumer_member::decode).transpose()?,
        },
        RecordType::TargetAssignmentMetadata => Record::TargetAssignmentMetadata {
            group_id,
            value: value.map(consumer_group::decode_target_assignment_metadata).transpose()?,
        },
        RecordType::TargetAssignmentMember => Record::TargetAssignmentMember {
            group_id,
            member_id: names.string("member_id").map(MemberId)?,
            value: value.map(assignment::decode_target).transpose()?,
        },
        RecordType::CurrentAssignment => Record::CurrentAssignment {
            group_id,
            member_id: names.string("member_id").map(MemberId)?,
            value: value.map(assignment::decode_current).transpose()?,
        },
        RecordType::RegularExpression => Record::RegularExpression {
            group_id,
            regular_expression: names.string("regular_expression")?,
            value: value.map(consumer_group::decode_regular_expression).transpose()?,
        },
    }))
}

/// The version of a value and a reader of the fields behind it.
struct Value<'a> {
    version: i16,
    fields: Reader<'a>,
}

impl<'a> Value<'a> {
    fn read(record_type: RecordType, bytes: &'a [u8]) -> Result<Self, CodecError> {
        let mut reader = Reader::inflexible(bytes);
        let version = reader.i16("the version of a value")?;
        if !(0..=record_type.version_max()).contains(&version) {
            return Err(CodecError::UnsupportedVersion { record_type: record_type.number(), version });
        }
        let fields = if version >= record_type.first_flexible_version() { reader.flexible() } else { reader };
        Ok(Self { version, fields })
    }
}
