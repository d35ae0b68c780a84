//! What follows when a member of a consumer group speaks, in either protocol: its subscription is kept, the group's
//! epoch grows if the subscription or the topics changed, the target is computed anew if it is time, and the member
//! takes the next step towards it.
//!
//! The work is decided on the state before the request: a record that is added here is not applied yet.
//! Source: GroupMetadataManager.java (`consumerGroupHeartbeat`).

use std::sync::Arc;

use super::metadata_hash::metadata_hash;
use super::reconciliation::Step;
use super::state::Member;
use super::subscriptions::{PatternChanges, is_subscribed, refresh_patterns, topics_after};
use super::target::{self, Speaker};
use super::timers::Timer;
use super::{Checked, ConsumerGroup, deadline_after_ms, records};
use crate::environment::Environment;
use crate::error::GroupError;
use crate::group::assignor::PartitionSet;
use crate::ids::{GroupEpoch, GroupId, InstanceId, MemberEpoch, MemberId};
use crate::record::{ConsumerMemberValue, MemberState, Record, TopicPartitions};

/// A member that speaks.
pub(crate) struct Speaking<'a> {
    pub(crate) group: &'a mut ConsumerGroup,
    pub(crate) group_id: &'a GroupId,
    pub(crate) env: &'a Environment<'a>,
    pub(crate) member_id: MemberId,
    /// As it was; where it is new, one that said nothing, or the static one that it replaces.
    pub(crate) before: Member,
    /// As it is.
    pub(crate) after: Member,
    /// The group's epoch.
    pub(crate) epoch: GroupEpoch,
    /// What it changed of the patterns of the group.
    patterns: PatternChanges,
    /// Whether it subscribes to something else than before.
    has_subscription_changed: bool,
    /// What is to be persisted.
    pub(crate) records: Vec<Record>,
}

impl<'a> Speaking<'a> {
    /// A member as it was before.
    pub(crate) fn new(
        group: &'a mut ConsumerGroup,
        group_id: &'a GroupId,
        env: &'a Environment<'a>,
        member_id: MemberId,
        before: Member,
    ) -> Self {
        Self {
            epoch: group.state.epoch,
            group,
            group_id,
            env,
            member_id,
            after: before.clone(),
            before,
            patterns: PatternChanges::default(),
            has_subscription_changed: false,
            records: Vec::new(),
        }
    }

    /// The static member takes the place of another: all that was said and owned goes on under the new id.
    pub(crate) fn replace(&mut self, replaced: &MemberId) {
        let target = self.group.state.targets.get(replaced).cloned().unwrap_or_default();
        records::remove_member(self.group_id, replaced, &mut self.records);
        self.records.push(records::member(self.group_id, &self.member_id, &self.before.said));
        self.records.push(records::target(self.group_id, &self.member_id, &target));
        self.records.push(records::current(self.group_id, &self.member_id, &self.before.current));
    }

    /// Keeps what the member says, and lets the group's epoch grow where that or the topics changed.
    ///
    /// # Errors
    /// When its pattern cannot be read, or it says more than the group can hold.
    pub(crate) fn says(&mut self, said: Arc<ConsumerMemberValue>) -> Result<(), GroupError> {
        if said != self.before.said {
            self.group.check_said(&self.before.said, &said)?;
            self.records.push(records::member(self.group_id, &self.member_id, &said));
            self.after.said = said;
        }
        let (before, after) = (&self.before, &self.after);
        self.patterns = refresh_patterns(self.group, before, after, self.env)?;
        self.patterns.record(self.group_id, &mut self.records);
        self.has_subscription_changed = before.pattern() != after.pattern()
            || before.said.subscribed_topic_names != after.said.subscribed_topic_names;
        if self.has_assignment_changed() || self.group.has_metadata_expired(self.env) {
            self.update_epoch();
        }
        Ok(())
    }

    /// Whether what the assignment depends on has changed, topics aside.
    fn has_assignment_changed(&self) -> bool {
        self.has_subscription_changed || self.patterns.is_different || self.group.is_epoch_due
    }

    fn update_epoch(&mut self) {
        let topics = topics_after(self.group, &self.before, &self.after, &self.patterns);
        let hash = metadata_hash(topics.iter(), self.env.cluster);
        let has_topics_changed = hash != self.group.state.metadata_hash;
        if self.has_assignment_changed() || has_topics_changed {
            self.epoch = self.epoch.next();
            self.records.push(records::epoch(self.group_id, self.epoch, hash));
        }
        self.group.checked = Some(Checked { version: self.env.cluster.version(), epoch: self.epoch });
        if self.group.state.has_partition_metadata {
            self.records.push(records::no_partition_metadata(self.group_id));
        }
    }

    /// Computes the target if it is time, and answers its epoch with what the member is to own.
    pub(crate) fn target(&mut self) -> (MemberEpoch, Arc<PartitionSet>) {
        if self.group.state.assignment_epoch >= self.epoch {
            return self.last_target();
        }
        let interval_ms = self.env.cluster.group_config(self.group_id).consumer_assignment_interval_ms;
        if !target::may_compute(self.group, interval_ms, self.env) {
            return self.last_target();
        }
        let speaker = Speaker { member_id: &self.member_id, before: &self.before, after: &self.after };
        let target = target::compute(
            self.group,
            self.group_id,
            self.epoch,
            &speaker,
            &self.patterns,
            self.env,
            &mut self.records,
        );
        (MemberEpoch(self.epoch.0), target)
    }

    /// The epoch of the target that is there, and what the member is to own by it.
    pub(crate) fn last_target(&self) -> (MemberEpoch, Arc<PartitionSet>) {
        let instance_id: Option<&InstanceId> = self.after.said.instance_id.as_ref();
        let target = target::last_target(self.group, &self.member_id, instance_id);
        (MemberEpoch(self.group.state.assignment_epoch.0), target)
    }

    /// Takes the next step towards the target.
    ///
    /// # Errors
    /// When the member has to join anew.
    pub(crate) fn reconcile(
        &mut self,
        (target_epoch, target): &(MemberEpoch, Arc<PartitionSet>),
        owned: Option<&[TopicPartitions]>,
    ) -> Result<(), GroupError> {
        if !self.has_subscription_changed && self.after.current.is_reconciled_to(*target_epoch) {
            return Ok(());
        }
        let by_pattern = self.patterns.topics_of(self.group, &self.after);
        let step = Step {
            current: &self.after.current,
            target_epoch: *target_epoch,
            target,
            has_subscription_changed: self.has_subscription_changed,
            is_subscribed: &|topic| is_subscribed(&self.after, by_pattern, topic, self.env.cluster),
            is_held: &|topic, partition| self.group.index.is_held(topic, partition),
            owned,
        };
        let next = step.next()?;
        if next == *self.after.current {
            return Ok(());
        }
        self.records.push(records::current(self.group_id, &self.member_id, &next));
        self.after.current = Arc::new(next);
        self.watch_revocation();
        Ok(())
    }

    /// Whoever has partitions to give up has its rebalance timeout for it; in the classic protocol other timers see to
    /// that.
    fn watch_revocation(&mut self) {
        if self.after.is_classic() {
            return;
        }
        let (member_id, current) = (&self.member_id, &self.after.current);
        if current.state == MemberState::UnrevokedPartitions {
            let deadline = deadline_after_ms(self.env, self.after.said.rebalance_timeout_ms);
            self.group.timers.set(member_id, Timer::Revocation(current.epoch), deadline);
        } else {
            self.group.timers.cancel(member_id, |timer| matches!(timer, Timer::Revocation(_)));
        }
    }
}
