//! The records of `__consumer_offsets`: what persists of groups.
//!
//! A record says what became true; [`crate::shard::GroupShard::apply`] makes it so. A record without a value is a
//! tombstone. The bytes are Kafka's (`codec`), so that Kafka's tools and lag exporters read them, and a topic that
//! Kafka wrote can be loaded.

use std::sync::Arc;

use bytes::Bytes;
use storage::ids::{LeaderEpoch, Offset, PartitionIndex, TimestampMs, TopicId};

use crate::ids::{GenerationId, GroupEpoch, GroupId, InstanceId, MemberEpoch, MemberId};

pub mod codec;

/// One record: what it is about, and the value, `None` for a tombstone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Record {
    /// How far a group has read a partition. Key types 0 and 1.
    OffsetCommit {
        /// The group.
        group_id: GroupId,
        /// The topic's name.
        topic: Arc<str>,
        /// The partition.
        partition: PartitionIndex,
        /// The offset, or `None` where it is forgotten.
        value: Option<OffsetCommitValue>,
    },
    /// A classic group. Key type 2.
    ClassicGroup {
        /// The group.
        group_id: GroupId,
        /// Its state, or `None` where it is deleted.
        value: Option<ClassicGroupValue>,
    },
    /// A consumer group. Key type 3.
    ConsumerGroup {
        /// The group.
        group_id: GroupId,
        /// Its epoch, or `None` where it is deleted.
        value: Option<ConsumerGroupValue>,
    },
    /// What Kafka 4.0 kept of the topics of a consumer group; only its removal is written any more. Key type 4.
    ConsumerGroupPartitionMetadata {
        /// The group.
        group_id: GroupId,
        /// That there is such a record, or `None` where it is removed.
        value: Option<PartitionMetadataValue>,
    },
    /// What a member of a consumer group said of itself. Key type 5.
    ConsumerMember {
        /// The group.
        group_id: GroupId,
        /// The member.
        member_id: MemberId,
        /// What it said, or `None` where it is gone.
        value: Option<ConsumerMemberValue>,
    },
    /// When the target assignment of a consumer group was computed. Key type 6.
    TargetAssignmentMetadata {
        /// The group.
        group_id: GroupId,
        /// The epoch, or `None` where the group is deleted.
        value: Option<TargetAssignmentMetadataValue>,
    },
    /// What a member of a consumer group is to own. Key type 7.
    TargetAssignmentMember {
        /// The group.
        group_id: GroupId,
        /// The member.
        member_id: MemberId,
        /// The partitions, or `None` where the member is gone.
        value: Option<Vec<TopicPartitions>>,
    },
    /// What a member of a consumer group owns. Key type 8.
    CurrentAssignment {
        /// The group.
        group_id: GroupId,
        /// The member.
        member_id: MemberId,
        /// What it owns, or `None` where it is gone.
        value: Option<CurrentAssignmentValue>,
    },
    /// The topics that a pattern of a consumer group matches. Key type 16.
    RegularExpression {
        /// The group.
        group_id: GroupId,
        /// The pattern.
        regular_expression: Arc<str>,
        /// What it matches, or `None` where nobody subscribes to it any more.
        value: Option<RegularExpressionValue>,
    },
}

impl Record {
    /// The group that it is of.
    #[must_use]
    pub fn group_id(&self) -> &GroupId {
        match self {
            Self::OffsetCommit { group_id, .. }
            | Self::ClassicGroup { group_id, .. }
            | Self::ConsumerGroup { group_id, .. }
            | Self::ConsumerGroupPartitionMetadata { group_id, .. }
            | Self::ConsumerMember { group_id, .. }
            | Self::TargetAssignmentMetadata { group_id, .. }
            | Self::TargetAssignmentMember { group_id, .. }
            | Self::CurrentAssignment { group_id, .. }
            | Self::RegularExpression { group_id, .. } => group_id,
        }
    }
}

/// A committed offset. Source: OffsetCommitValue.json.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OffsetCommitValue {
    /// The next offset that the group reads.
    pub offset: Offset,
    /// The leader epoch of the last record that it read, [`LeaderEpoch::NONE`] where it did not say.
    pub leader_epoch: LeaderEpoch,
    /// What the client wanted kept beside it.
    pub metadata: Arc<str>,
    /// When it was committed.
    pub commit_timestamp: TimestampMs,
    /// When it is forgotten, where the client chose that itself (OffsetCommit up to version 4).
    pub expire_timestamp: Option<TimestampMs>,
    /// The topic's id, [`TopicId::ZERO`] where the client did not say.
    pub topic_id: TopicId,
}

/// A classic group as it was when a rebalance was complete. Source: GroupMetadataValue.json.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClassicGroupValue {
    /// What kind of members it has (`consumer`, `connect`); empty for a group that only keeps offsets.
    pub protocol_type: Arc<str>,
    /// How often it rebalanced.
    pub generation_id: GenerationId,
    /// The protocol that its members agreed on.
    pub protocol: Option<Arc<str>>,
    /// The member that assigns.
    pub leader: Option<MemberId>,
    /// When the state last changed, [`TimestampMs::NONE`] where unknown; offsets of an empty group age from here.
    pub current_state_timestamp: TimestampMs,
    /// Its members.
    pub members: Vec<ClassicMemberValue>,
}

/// A member of a classic group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClassicMemberValue {
    /// Its id.
    pub member_id: MemberId,
    /// The name that it keeps, where it is static.
    pub group_instance_id: Option<InstanceId>,
    /// The name that its client gives itself.
    pub client_id: Arc<str>,
    /// The address that it came from.
    pub client_host: Arc<str>,
    /// How long it has to rejoin, in milliseconds.
    pub rebalance_timeout_ms: i32,
    /// How long it may be silent, in milliseconds.
    pub session_timeout_ms: i32,
    /// What it said for the chosen protocol.
    pub subscription: Bytes,
    /// What the leader assigned to it.
    pub assignment: Bytes,
}

/// A consumer group. Source: ConsumerGroupMetadataValue.json.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConsumerGroupValue {
    /// The group's epoch.
    pub epoch: GroupEpoch,
    /// A hash of the topics that it is subscribed to, 0 where unknown: a change of it bumps the epoch.
    pub metadata_hash: i64,
}

/// That a record of the topics of a consumer group is there: it has to be removed with the group. What Kafka 4.0 said
/// in it is not kept. Source: ConsumerGroupPartitionMetadataValue.json.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PartitionMetadataValue;

/// What a member of a consumer group said of itself. Source: ConsumerGroupMemberMetadataValue.json.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConsumerMemberValue {
    /// The name that it keeps, where it is static.
    pub instance_id: Option<InstanceId>,
    /// Its rack.
    pub rack_id: Option<Arc<str>>,
    /// The name that its client gives itself.
    pub client_id: Arc<str>,
    /// The address that it came from.
    pub client_host: Arc<str>,
    /// The topics that it named.
    pub subscribed_topic_names: Vec<Arc<str>>,
    /// The pattern that it subscribed to.
    pub subscribed_topic_regex: Option<Arc<str>>,
    /// How long it has to give partitions up, in milliseconds.
    pub rebalance_timeout_ms: i32,
    /// The assignor that it prefers.
    pub server_assignor: Option<Arc<str>>,
    /// What it said in the classic protocol, where it speaks that.
    pub classic: Option<ClassicMemberMetadata>,
}

/// What a member said that speaks the classic protocol to a consumer group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClassicMemberMetadata {
    /// How long it may be silent, in milliseconds.
    pub session_timeout_ms: i32,
    /// The protocols that it supports, with what it said for each, its favourite first.
    pub supported_protocols: Vec<(Arc<str>, Bytes)>,
}

/// When a target assignment was computed. Source: ConsumerGroupTargetAssignmentMetadataValue.json.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TargetAssignmentMetadataValue {
    /// The group epoch that it was computed for.
    pub assignment_epoch: GroupEpoch,
    /// When, 0 where unknown.
    pub assignment_timestamp: TimestampMs,
}

/// Partitions of a topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicPartitions {
    /// The topic.
    pub topic_id: TopicId,
    /// Its partitions.
    pub partitions: Vec<PartitionIndex>,
}

/// What a member owns. Source: ConsumerGroupCurrentMemberAssignmentValue.json.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CurrentAssignmentValue {
    /// The epoch that it has reached.
    pub member_epoch: MemberEpoch,
    /// The one before, with which it may come back when an answer was lost.
    pub previous_member_epoch: MemberEpoch,
    /// How it stands to its target.
    pub state: MemberState,
    /// The partitions that it owns.
    pub assigned: Vec<AssignedPartitions>,
    /// The partitions that it has to give up.
    pub pending_revocation: Vec<AssignedPartitions>,
}

/// Partitions of a topic, each with the member epoch in which it was assigned: commits from before it are refused.
/// Source: KIP-1251, CommitPartitionValidator.java.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AssignedPartitions {
    /// The topic.
    pub topic_id: TopicId,
    /// Its partitions with their epochs; `None` where whoever wrote the record did not say.
    pub partitions: Vec<(PartitionIndex, Option<MemberEpoch>)>,
}

/// How a member of a consumer group stands to its target. Source: MemberState.java.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MemberState {
    /// It owns what it is to own. On disk 0.
    Stable,
    /// It has yet to give partitions up. On disk 1.
    UnrevokedPartitions,
    /// It waits for partitions that others have yet to give up. On disk 2.
    UnreleasedPartitions,
    /// Written by a later version. On disk 127.
    Unknown,
}

/// What a pattern matches. Source: ConsumerGroupRegularExpressionValue.json.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RegularExpressionValue {
    /// The names of the topics.
    pub topics: Vec<Arc<str>>,
    /// The version of the metadata that it was matched against.
    pub version: i64,
    /// When.
    pub timestamp: TimestampMs,
}
