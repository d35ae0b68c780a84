//! Partitions that members own, each with the epoch in which it was assigned, and how they are written in records.

use std::collections::BTreeMap;

use storage::ids::{PartitionIndex, TopicId};

use crate::group::assignor::PartitionSet;
use crate::ids::MemberEpoch;
use crate::record::{AssignedPartitions, CurrentAssignmentValue, MemberState, TopicPartitions};

/// Partitions by topic, each with the member epoch in which it was assigned. A topic with no partitions is left out.
pub(crate) type OwnedPartitions = BTreeMap<TopicId, BTreeMap<PartitionIndex, MemberEpoch>>;

/// How far a member has come towards its target. Source: ConsumerGroupMember.java.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct CurrentAssignment {
    /// The epoch that it has reached.
    pub(crate) epoch: MemberEpoch,
    /// The one before, with which it may come back when an answer was lost.
    pub(crate) previous_epoch: MemberEpoch,
    /// How it stands to its target.
    pub(crate) state: MemberState,
    /// What it owns.
    pub(crate) assigned: OwnedPartitions,
    /// What it has yet to give up.
    pub(crate) pending_revocation: OwnedPartitions,
}

impl Default for CurrentAssignment {
    /// That of a member that joins.
    fn default() -> Self {
        Self {
            epoch: MemberEpoch::JOIN,
            previous_epoch: MemberEpoch(-1),
            state: MemberState::Stable,
            assigned: OwnedPartitions::new(),
            pending_revocation: OwnedPartitions::new(),
        }
    }
}

impl CurrentAssignment {
    /// That of a member that has left, until it is forgotten.
    pub(crate) fn gone() -> Self {
        Self { epoch: MemberEpoch::LEAVE, ..Self::default() }
    }

    /// Whether nothing is left to do for the member in this epoch.
    pub(crate) fn is_reconciled_to(&self, target_epoch: MemberEpoch) -> bool {
        self.state == MemberState::Stable && self.epoch == target_epoch
    }

    /// Everything that nobody else may have: what it owns and what it has yet to give up.
    pub(crate) fn held(&self) -> impl Iterator<Item = (TopicId, PartitionIndex)> + '_ {
        let topics = self.assigned.iter().chain(&self.pending_revocation);
        topics.flat_map(|(topic, partitions)| partitions.keys().map(|partition| (*topic, *partition)))
    }

    /// The epoch in which a partition was assigned that the member owns or has yet to give up.
    pub(crate) fn assignment_epoch(&self, topic: TopicId, partition: PartitionIndex) -> Option<MemberEpoch> {
        let epoch = |owned: &OwnedPartitions| owned.get(&topic)?.get(&partition).copied();
        epoch(&self.assigned).or_else(|| epoch(&self.pending_revocation))
    }
}

impl From<&CurrentAssignmentValue> for CurrentAssignment {
    fn from(value: &CurrentAssignmentValue) -> Self {
        Self {
            epoch: value.member_epoch,
            previous_epoch: value.previous_member_epoch,
            state: value.state,
            assigned: from_record(&value.assigned, value.member_epoch),
            pending_revocation: from_record(&value.pending_revocation, value.member_epoch),
        }
    }
}

impl From<&CurrentAssignment> for CurrentAssignmentValue {
    fn from(current: &CurrentAssignment) -> Self {
        Self {
            member_epoch: current.epoch,
            previous_member_epoch: current.previous_epoch,
            state: current.state,
            assigned: to_record(&current.assigned),
            pending_revocation: to_record(&current.pending_revocation),
        }
    }
}

/// Versions before 4.3 wrote no epochs; the member's own is then as early as it can have been assigned.
fn from_record(topics: &[AssignedPartitions], member_epoch: MemberEpoch) -> OwnedPartitions {
    let unknown = member_epoch.max(MemberEpoch(0));
    let mut owned = OwnedPartitions::new();
    for topic in topics.iter().filter(|topic| !topic.partitions.is_empty()) {
        let partitions =
            topic.partitions.iter().map(|(partition, epoch)| (*partition, epoch.unwrap_or(unknown)));
        owned.entry(topic.topic_id).or_default().extend(partitions);
    }
    owned
}

fn to_record(owned: &OwnedPartitions) -> Vec<AssignedPartitions> {
    let topics = owned.iter().map(|(topic_id, partitions)| AssignedPartitions {
        topic_id: *topic_id,
        partitions: partitions.iter().map(|(partition, epoch)| (*partition, Some(*epoch))).collect(),
    });
    topics.collect()
}

/// The same without epochs, as members are told.
pub(crate) fn without_epochs(owned: &OwnedPartitions) -> Vec<TopicPartitions> {
    let topics = owned.iter().map(|(topic_id, partitions)| TopicPartitions {
        topic_id: *topic_id,
        partitions: partitions.keys().copied().collect(),
    });
    topics.collect()
}

/// What the member may be reading: what it owns, and what it has yet to give up.
pub(crate) fn held(current: &CurrentAssignment) -> Vec<TopicPartitions> {
    let mut held = current.assigned.clone();
    for (topic, partitions) in &current.pending_revocation {
        held.entry(*topic)
            .or_default()
            .extend(partitions.iter().map(|(partition, epoch)| (*partition, *epoch)));
    }
    without_epochs(&held)
}

/// A target as a record has it, and descriptions.
pub(crate) fn listed(target: &PartitionSet) -> Vec<TopicPartitions> {
    let topics = target.iter().map(|(topic_id, partitions)| TopicPartitions {
        topic_id: *topic_id,
        partitions: partitions.iter().copied().collect(),
    });
    topics.collect()
}

/// The reverse of [`listed`].
pub(crate) fn set_of(topics: &[TopicPartitions]) -> PartitionSet {
    let mut set = PartitionSet::new();
    for topic in topics.iter().filter(|topic| !topic.partitions.is_empty()) {
        set.entry(topic.topic_id).or_default().extend(topic.partitions.iter().copied());
    }
    set
}
