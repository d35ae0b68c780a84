//! What persists of a consumer group. The group keeps it twice, as applied and as committed; values are shared, so that
//! the second costs a pointer a value.

use std::collections::BTreeMap;
use std::sync::Arc;

use storage::ids::TimestampMs;

use super::partitions::{CurrentAssignment, set_of};
use crate::group::assignor::PartitionSet;
use crate::ids::{GroupEpoch, MemberId};
use crate::record::{ConsumerMemberValue, Record, RegularExpressionValue};

/// A member: what it said, and how far it has come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Member {
    pub(crate) said: Arc<ConsumerMemberValue>,
    pub(crate) current: Arc<CurrentAssignment>,
}

impl Default for Member {
    /// One that has said nothing yet. Kafka writes an empty pattern for a member that never gave one.
    fn default() -> Self {
        let said = ConsumerMemberValue {
            instance_id: None,
            rack_id: None,
            client_id: "".into(),
            client_host: "".into(),
            subscribed_topic_names: Vec::new(),
            subscribed_topic_regex: Some("".into()),
            rebalance_timeout_ms: -1,
            server_assignor: None,
            classic: None,
        };
        Self { said: Arc::new(said), current: Arc::default() }
    }
}

impl Member {
    /// The pattern that it subscribes to.
    pub(crate) fn pattern(&self) -> Option<&Arc<str>> {
        self.said.subscribed_topic_regex.as_ref().filter(|pattern| !pattern.is_empty())
    }

    /// Whether it speaks the classic protocol.
    pub(crate) fn is_classic(&self) -> bool {
        self.said.classic.is_some()
    }
}

/// What persists of a group.
#[derive(Clone, Debug)]
pub(crate) struct State {
    /// How often what the assignment depends on has changed.
    pub(crate) epoch: GroupEpoch,
    /// A hash of the topics that the group is subscribed to.
    pub(crate) metadata_hash: i64,
    /// The group epoch that the targets were computed for.
    pub(crate) assignment_epoch: GroupEpoch,
    /// When, 0 where unknown.
    pub(crate) assignment_timestamp: TimestampMs,
    /// The members.
    pub(crate) members: BTreeMap<MemberId, Member>,
    /// What each is to own.
    pub(crate) targets: BTreeMap<MemberId, Arc<PartitionSet>>,
    /// What the patterns of the members match.
    pub(crate) patterns: BTreeMap<Arc<str>, Arc<RegularExpressionValue>>,
    /// Whether there is a record that Kafka 4.0 wrote and nobody reads any more.
    pub(crate) has_partition_metadata: bool,
}

impl Default for State {
    /// That of a group before its first record. A group begins in epoch 1 with nothing to assign, so that its first
    /// change makes epoch 2. Source: ModernGroup.java, TargetAssignmentMetadata.java.
    fn default() -> Self {
        Self {
            epoch: GroupEpoch(1),
            metadata_hash: 0,
            assignment_epoch: GroupEpoch(1),
            assignment_timestamp: TimestampMs(0),
            members: BTreeMap::new(),
            targets: BTreeMap::new(),
            patterns: BTreeMap::new(),
            has_partition_metadata: false,
        }
    }
}

/// What a record changes.
#[derive(Clone, Debug)]
pub(crate) enum Change {
    Epoch(GroupEpoch, i64),
    PartitionMetadata(bool),
    Said(MemberId, Option<Arc<ConsumerMemberValue>>),
    TargetEpoch(GroupEpoch, TimestampMs),
    Target(MemberId, Option<Arc<PartitionSet>>),
    Current(MemberId, Option<Arc<CurrentAssignment>>),
    Pattern(Arc<str>, Option<Arc<RegularExpressionValue>>),
}

impl Change {
    /// What the record changes of a group that goes on, if anything: the tombstone of a group ends it.
    pub(crate) fn of(record: &Record) -> Option<Self> {
        let change = match record {
            Record::OffsetCommit { .. } | Record::ClassicGroup { .. } => return None,
            Record::ConsumerGroup { value, .. } => {
                let value = value.as_ref()?;
                // Negative epochs are words of the protocol, and no group's.
                Self::Epoch(value.epoch.max(GroupEpoch(1)), value.metadata_hash)
            }
            Record::ConsumerGroupPartitionMetadata { value, .. } => Self::PartitionMetadata(value.is_some()),
            Record::ConsumerMember { member_id, value, .. } => {
                Self::Said(member_id.clone(), value.clone().map(|said| Arc::new(in_order(said))))
            }
            Record::TargetAssignmentMetadata { value, .. } => match value {
                Some(value) => Self::TargetEpoch(value.assignment_epoch, value.assignment_timestamp),
                None => Self::TargetEpoch(GroupEpoch(-1), TimestampMs(0)),
            },
            Record::TargetAssignmentMember { member_id, value, .. } => {
                Self::Target(member_id.clone(), value.as_deref().map(|topics| Arc::new(set_of(topics))))
            }
            Record::CurrentAssignment { member_id, value, .. } => {
                Self::Current(member_id.clone(), value.as_ref().map(|value| Arc::new(value.into())))
            }
            Record::RegularExpression { regular_expression, value, .. } => {
                let value = value.clone().map(|mut value| {
                    sort(&mut value.topics);
                    Arc::new(value)
                });
                Self::Pattern(regular_expression.clone(), value)
            }
        };
        Some(change)
    }

    /// Whether it says that something is there; what says that something is gone makes no group.
    pub(crate) fn adds(&self) -> bool {
        match self {
            Self::Epoch(..) => true,
            Self::TargetEpoch(epoch, _) => epoch.0 >= 0,
            Self::PartitionMetadata(is_there) => *is_there,
            Self::Said(_, value) => value.is_some(),
            Self::Target(_, value) => value.is_some(),
            Self::Current(_, value) => value.is_some(),
            Self::Pattern(_, value) => value.is_some(),
        }
    }
}

fn in_order(mut said: ConsumerMemberValue) -> ConsumerMemberValue {
    sort(&mut said.subscribed_topic_names);
    said
}

/// Names of topics are looked up, so they are kept in order and once each.
pub(super) fn sort(topics: &mut Vec<Arc<str>>) {
    topics.sort_unstable();
    topics.dedup();
}

impl State {
    /// Makes a change true.
    pub(crate) fn apply(&mut self, change: Change) {
        match change {
            Change::Epoch(epoch, metadata_hash) => {
                self.epoch = epoch;
                self.metadata_hash = metadata_hash;
            }
            Change::PartitionMetadata(is_there) => self.has_partition_metadata = is_there,
            Change::Said(member_id, Some(said)) => self.members.entry(member_id).or_default().said = said,
            Change::Said(member_id, None) => {
                self.members.remove(&member_id);
            }
            Change::TargetEpoch(epoch, timestamp) => {
                self.assignment_epoch = epoch;
                self.assignment_timestamp = timestamp;
            }
            Change::Target(member_id, Some(target)) => {
                self.targets.insert(member_id, target);
            }
            Change::Target(member_id, None) => {
                self.targets.remove(&member_id);
            }
            Change::Current(member_id, Some(current)) => {
                self.members.entry(member_id).or_default().current = current;
            }
            Change::Current(member_id, None) => {
                if let Some(member) = self.members.get_mut(&member_id) {
                    member.current = Arc::new(CurrentAssignment::gone());
                }
            }
            Change::Pattern(pattern, Some(value)) => {
                self.patterns.insert(pattern, value);
            }
            Change::Pattern(pattern, None) => {
                self.patterns.remove(&pattern);
            }
        }
    }
}
