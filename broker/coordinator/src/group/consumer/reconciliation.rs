//! How a member moves to its target, one heartbeat at a time: first it gives up what it is to lose, and only when it
//! says that it no longer owns that, it enters the new epoch and takes what is free.
//!
//! What another member still holds is taken later, so that no partition has two owners. Source: KIP-848,
//! CurrentAssignmentBuilder.java.

use std::collections::BTreeMap;

use storage::ids::{PartitionIndex, TopicId};

use super::partitions::{CurrentAssignment, OwnedPartitions};
use crate::error::GroupError;
use crate::group::assignor::PartitionSet;
use crate::ids::MemberEpoch;
use crate::record::{MemberState, TopicPartitions};

/// What a step depends on.
pub(crate) struct Step<'a> {
    /// Where the member stands.
    pub(crate) current: &'a CurrentAssignment,
    /// The epoch of the target.
    pub(crate) target_epoch: MemberEpoch,
    /// What it is to own.
    pub(crate) target: &'a PartitionSet,
    /// Whether the member has just changed what it subscribes to.
    pub(crate) has_subscription_changed: bool,
    /// Whether it subscribes to a topic, and the topic is there.
    pub(crate) is_subscribed: &'a dyn Fn(TopicId) -> bool,
    /// Whether a member of the group holds a partition.
    pub(crate) is_held: &'a dyn Fn(TopicId, PartitionIndex) -> bool,
    /// What the member says that it owns, where it says so.
    pub(crate) owned: Option<&'a [TopicPartitions]>,
}

impl Step<'_> {
    /// Where the member stands next.
    ///
    /// # Errors
    /// When a member whose state this version does not know has to join anew.
    pub(crate) fn next(&self) -> Result<CurrentAssignment, GroupError> {
        let current = self.current;
        match current.state {
            MemberState::Stable if current.epoch == self.target_epoch && !self.has_subscription_changed => {
                Ok(current.clone())
            }
            MemberState::Stable if current.epoch == self.target_epoch => Ok(self.without_unsubscribed()),
            MemberState::UnrevokedPartitions if self.still_owns(&current.pending_revocation) => {
                if self.has_subscription_changed { Ok(self.without_unsubscribed()) } else { Ok(current.clone()) }
            }
            MemberState::Stable | MemberState::UnrevokedPartitions | MemberState::UnreleasedPartitions => {
                Ok(self.towards_target())
            }
            MemberState::Unknown if self.owned.is_some_and(<[TopicPartitions]>::is_empty) => {
                let known = CurrentAssignment { epoch: self.target_epoch, ..current.clone() };
                let next = Step { current: &known, ..*self }.towards_target();
                Ok(CurrentAssignment { previous_epoch: current.epoch, ..next })
            }
            MemberState::Unknown => Err(GroupError::FencedMemberEpoch(
                "The consumer group member is in a unknown state. The member must abandon all its partitions and \
                 rejoin."
                    .to_owned(),
            )),
        }
    }

    /// Compares what the member owns with its target.
    fn towards_target(&self) -> CurrentAssignment {
        let mut kept = OwnedPartitions::new();
        let mut lost = OwnedPartitions::new();
        for (topic, partitions) in &self.current.assigned {
            for (partition, epoch) in partitions {
                let side = if self.is_due(*topic, *partition) { &mut kept } else { &mut lost };
                side.entry(*topic).or_default().insert(*partition, *epoch);
            }
        }
        if !lost.is_empty() && self.still_owns(&lost) {
            return self.reached(self.current.epoch, MemberState::UnrevokedPartitions, kept, lost);
        }
        let mut state = MemberState::Stable;
        for (topic, partition) in self.due() {
            if kept.get(&topic).is_some_and(|partitions| partitions.contains_key(&partition)) {
                continue;
            }
            let is_mine =
                self.current.pending_revocation.get(&topic).is_some_and(|mine| mine.contains_key(&partition));
            if (self.is_held)(topic, partition) && !is_mine {
                state = MemberState::UnreleasedPartitions;
            } else {
                kept.entry(topic).or_default().insert(partition, self.target_epoch);
            }
        }
        self.reached(self.target_epoch, state, kept, OwnedPartitions::new())
    }

    /// Gives up at once what the member no longer subscribes to, before a new target is there.
    fn without_unsubscribed(&self) -> CurrentAssignment {
        let mut kept = self.current.assigned.clone();
        let mut pending = self.current.pending_revocation.clone();
        let mut has_lost = false;
        kept.retain(|topic, partitions| {
            let is_subscribed = (self.is_subscribed)(*topic);
            if !is_subscribed {
                has_lost = true;
                pending.entry(*topic).or_default().append(partitions);
            }
            is_subscribed
        });
        if !has_lost {
            return self.current.clone();
        }
        if self.still_owns(&pending) {
            return self.reached(self.current.epoch, MemberState::UnrevokedPartitions, kept, pending);
        }
        let pending = self.current.pending_revocation.clone();
        self.reached(self.current.epoch, self.current.state, kept, pending)
    }

    fn reached(
        &self,
        epoch: MemberEpoch,
        state: MemberState,
        assigned: OwnedPartitions,
        pending_revocation: OwnedPartitions,
    ) -> CurrentAssignment {
        CurrentAssignment { epoch, previous_epoch: self.current.epoch, state, assigned, pending_revocation }
    }

    /// Whether the member, as far as it says, owns one of these.
    fn still_owns(&self, partitions: &OwnedPartitions) -> bool {
        let Some(owned) = self.owned else { return true };
        owned.iter().any(|topic| {
            let lost: Option<&BTreeMap<_, _>> = partitions.get(&topic.topic_id);
            lost.is_some_and(|lost| topic.partitions.iter().any(|partition| lost.contains_key(partition)))
        })
    }

    /// The target, less the topics that the member no longer subscribes to.
    fn due(&self) -> impl Iterator<Item = (TopicId, PartitionIndex)> + '_ {
        let topics = self.target.iter().filter(|(topic, _)| (self.is_subscribed)(**topic));
        topics.flat_map(|(topic, partitions)| partitions.iter().map(|partition| (*topic, *partition)))
    }

    fn is_due(&self, topic: TopicId, partition: PartitionIndex) -> bool {
        self.target.get(&topic).is_some_and(|partitions| partitions.contains(&partition))
            && (self.is_subscribed)(topic)
    }
}
