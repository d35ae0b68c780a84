//! What a record is about: the key, and what its type says of the value.

use bytes::Bytes;

use super::{CodecError, Reader, TextTooLong, Writer};
use crate::record::Record;

/// The types of records that groups have. Source: `CoordinatorRecordType.java`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum RecordType {
    /// An offset as Kafka 0.8 wrote it.
    LegacyOffsetCommit,
    OffsetCommit,
    ClassicGroup,
    ConsumerGroup,
    PartitionMetadata,
    ConsumerMember,
    TargetAssignmentMetadata,
    TargetAssignmentMember,
    CurrentAssignment,
    RegularExpression,
}

impl RecordType {
    const ALL: [Self; 10] = [
        Self::LegacyOffsetCommit,
        Self::OffsetCommit,
        Self::ClassicGroup,
        Self::ConsumerGroup,
        Self::PartitionMetadata,
        Self::ConsumerMember,
        Self::TargetAssignmentMetadata,
        Self::TargetAssignmentMember,
        Self::CurrentAssignment,
        Self::RegularExpression,
    ];

    /// What the key begins with.
    pub(super) fn number(self) -> i16 {
        match self {
            Self::LegacyOffsetCommit => 0,
            Self::OffsetCommit => 1,
            Self::ClassicGroup => 2,
            Self::ConsumerGroup => 3,
            Self::PartitionMetadata => 4,
            Self::ConsumerMember => 5,
            Self::TargetAssignmentMetadata => 6,
            Self::TargetAssignmentMember => 7,
            Self::CurrentAssignment => 8,
            Self::RegularExpression => 16,
        }
    }

    /// The last version of its value.
    pub(super) fn version_max(self) -> i16 {
        match self {
            Self::OffsetCommit | Self::ClassicGroup => 4,
            Self::LegacyOffsetCommit
            | Self::ConsumerGroup
            | Self::PartitionMetadata
            | Self::ConsumerMember
            | Self::TargetAssignmentMetadata
            | Self::TargetAssignmentMember
            | Self::CurrentAssignment
            | Self::RegularExpression => 0,
        }
    }

    /// The first version of its value that is flexible.
    pub(super) fn first_flexible_version(self) -> i16 {
        match self {
            Self::OffsetCommit | Self::ClassicGroup => 4,
            Self::LegacyOffsetCommit => i16::MAX,
            Self::ConsumerGroup
            | Self::PartitionMetadata
            | Self::ConsumerMember
            | Self::TargetAssignmentMetadata
            | Self::TargetAssignmentMember
            | Self::CurrentAssignment
            | Self::RegularExpression => 0,
        }
    }
}

/// A key whose type is known.
pub(super) struct Key<'a> {
    pub(super) record_type: RecordType,
    /// What follows the type.
    pub(super) names: Reader<'a>,
}

impl<'a> Key<'a> {
    /// The key, or `None` where nothing here has its type.
    pub(super) fn read(bytes: &'a [u8]) -> Result<Option<Self>, CodecError> {
        let mut names = Reader::inflexible(bytes);
        let number = names.i16("the type of a key")?;
        let record_type = RecordType::ALL.into_iter().find(|record_type| record_type.number() == number);
        Ok(record_type.map(|record_type| Self { record_type, names }))
    }
}

/// The bytes of a record's key.
pub(super) fn encode(record: &Record) -> Result<Bytes, TextTooLong> {
    let begin = |record_type: RecordType, group_id: &str| {
        let mut writer = Writer::inflexible();
        writer.i16(record_type.number());
        writer.string("group_id", group_id);
        writer
    };
    let member = |record_type, group_id, member_id: &str| {
        let mut writer = begin(record_type, group_id);
        writer.string("member_id", member_id);
        writer
    };
    let writer = match record {
        Record::OffsetCommit { group_id, topic, partition, .. } => {
            let mut writer = begin(RecordType::OffsetCommit, group_id.as_str());
            writer.string("topic", topic);
            writer.i32(partition.0);
            writer
        }
        Record::ClassicGroup { group_id, .. } => begin(RecordType::ClassicGroup, group_id.as_str()),
        Record::ConsumerGroup { group_id, .. } => begin(RecordType::ConsumerGroup, group_id.as_str()),
        Record::ConsumerGroupPartitionMetadata { group_id, .. } => {
            begin(RecordType::PartitionMetadata, group_id.as_str())
        }
        Record::ConsumerMember { group_id, member_id, .. } => {
            member(RecordType::ConsumerMember, group_id.as_str(), member_id.as_str())
        }
        Record::TargetAssignmentMetadata { group_id, .. } => {
            begin(RecordType::TargetAssignmentMetadata, group_id.as_str())
        }
        Record::TargetAssignmentMember { group_id, member_id, .. } => {
            member(RecordType::TargetAssignmentMember, group_id.as_str(), member_id.as_str())
        }
        Record::CurrentAssignment { group_id, member_id, .. } => {
            member(RecordType::CurrentAssignment, group_id.as_str(), member_id.as_str())
        }
        Record::RegularExpression { group_id, regular_expression, .. } => {
            let mut writer = begin(RecordType::RegularExpression, group_id.as_str());
            writer.string("regular_expression", regular_expression);
            writer
        }
    };
    writer.finish()
}
