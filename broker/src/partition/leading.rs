//! A partition that this node leads: what moves its high watermark and its in-sync replicas.

use super::{Leadership, Milestone, Partition, Role};
use crate::clock;
use crate::ready::Mark;
use replication::fetch::{BrokerRun, FetchPosition, FetchRefusal, FlushReport};
use replication::leader::{FollowerView, IsrProposal, Leader, PartitionMetadata, ProposalOutcome};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use storage::error::ReadError;
use storage::ids::{BrokerId, LeaderEpoch, Offset};
use storage::log::LogRead;

/// The core of a leader, and what the shell remembers of it.
#[derive(Debug)]
pub(super) struct Leading {
    core: Leader,
    /// The deadline that stands in `IsrDuties`.
    scheduled: Option<Duration>,
}

/// Why a leader does not delete records.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DeleteRecordsError {
    #[error("this node does not lead the partition")]
    NotLeader,
    #[error("offset {offset} is not within what every in-sync replica holds, which ends at {high_watermark}")]
    OutOfRange { offset: Offset, high_watermark: Offset },
}

impl Leading {
    pub(super) fn is_replicated(&self) -> bool {
        self.core.replica_count() > 1
    }
}

impl Role {
    /// When time itself is a reason to look, as `IsrDuties` has it.
    pub(super) fn scheduled(&self) -> Option<Duration> {
        match self {
            Self::Leader(leading) => leading.scheduled,
            Self::Idle | Self::Follower(_) => None,
        }
    }
}

impl Partition {
    /// Leads by `metadata`, in which `local` is the leader: begins where the epoch is new, and otherwise follows a change
    /// of the replicas, their rules, or what the brokers are allowed. An older epoch than the one that is known changes
    /// nothing.
    pub fn lead(&self, local: BrokerId, metadata: PartitionMetadata<'_>) {
        let now = clock::monotonic();
        let epoch = metadata.partition.leader_epoch;
        let _changing = self.changing.write();
        let mut role = self.role.lock();
        if epoch < self.leader_epoch() {
            return;
        }
        if let Role::Leader(leading) = &mut *role
            && leading.core.leader_epoch() == epoch
        {
            leading.core.metadata(metadata, now);
            self.led(leading, now);
            return;
        }
        let begins = !matches!(*role, Role::Leader(_));
        self.log.begin_leader_epoch(epoch);
        self.leader_epoch.store(epoch.0, Ordering::Release);
        let log = self.log_ends();
        // A log that starts over within a batch ends below its start until the batch is in it.
        let high_watermark = self.high_watermark().min(log.log_end_offset);
        let core = Leader::new(local, metadata, &log, high_watermark, now);
        let mut leading = Box::new(Leading { core, scheduled: role.scheduled() });
        self.flush_reporter.store(None);
        self.led(&mut leading, now);
        *role = Role::Leader(leading);
        if begins {
            self.tenure.fetch_add(1, Ordering::AcqRel);
        }
        drop(role);
        // A flush that ended since the core was made found nobody who leads.
        self.lead_on(now);
        // Followers of the epoch before are told that it has ended.
        self.tell_subscribers();
    }

    /// The local log has moved.
    pub(super) fn lead_on(&self, now: Duration) {
        self.with_leader(|leading| {
            leading.core.local(self.log.log_end_offset(), self.durable_end_offset(), now);
            self.led(leading, now);
        });
    }

    /// The time that the leader asked for has come.
    pub(crate) fn on_isr_deadline(&self) {
        let now = clock::monotonic();
        self.with_leader(|leading| {
            leading.scheduled = None;
            leading.core.on_deadline(now);
            self.propose(leading, now);
            self.led(leading, now);
        });
    }

    /// What the controller was asked for was not carried out, as far as is known.
    pub(crate) fn proposal_failed(&self, proposal: &IsrProposal, outcome: ProposalOutcome) {
        let now = clock::monotonic();
        self.with_leader(|leading| {
            leading.core.proposal_failed(proposal, outcome, now);
            self.led(leading, now);
        });
    }

    /// A follower asks for records. What it holds counts where its log agrees with this one; the answer says in which
    /// time of leading that was found.
    ///
    /// # Errors
    /// [`FetchRefusal`] where it gets no records.
    pub(crate) fn follower_fetches(
        &self,
        from: BrokerRun,
        position: &FetchPosition,
    ) -> Result<Leadership, FetchRefusal> {
        let now = clock::monotonic();
        let mut role = self.role.lock();
        let Role::Leader(leading) = &mut *role else { return Err(FetchRefusal::NotLeader) };
        let epoch_end = |epoch: LeaderEpoch| self.log.end_offset_for_epoch(epoch);
        leading.core.fetch(from, position, &self.log_ends(), epoch_end, now)?;
        self.led(leading, now);
        let tenure = self.tenure.load(Ordering::Acquire);
        Ok(Leadership { epoch: position.leader_epoch, tenure })
    }

    /// A follower has flushed.
    ///
    /// # Errors
    /// [`FetchRefusal`] where that counts for nothing.
    pub(crate) fn follower_flushed(&self, from: BrokerRun, report: &FlushReport) -> Result<(), FetchRefusal> {
        let now = clock::monotonic();
        let mut role = self.role.lock();
        let Role::Leader(leading) = &mut *role else { return Err(FetchRefusal::NotLeader) };
        leading.core.flushed(from, report, now)?;
        self.led(leading, now);
        Ok(())
    }

    /// The records at a position that agreed in `leadership`: what the log holds up to its end, as far as `bytes_max`
    /// goes and, with `at_least_one`, a whole batch of any size.
    ///
    /// # Errors
    /// [`ReadError`]; `None` where this node leads no more, or in another epoch: the position may mean something else.
    pub(crate) fn read_for_follower(
        &self,
        position: &FetchPosition,
        leadership: &Leadership,
        bytes_max: usize,
        at_least_one: bool,
    ) -> Option<Result<LogRead, ReadError>> {
        let from = position.fetch_offset;
        let read = self.log.read(from, self.log.log_end_offset(), bytes_max, at_least_one);
        // Afterwards: what was read meanwhile is of the log in which the position agreed.
        let is_same = self.still_leads(leadership) && self.leader_epoch() == leadership.epoch;
        is_same.then_some(read)
    }

    /// Whether copying to `follower` is throttled: the topic says so of the replica `local`, and the high watermark does
    /// not wait for the follower. Source: KIP-73.
    pub(crate) fn is_throttled_for(&self, local: BrokerId, follower: BrokerId) -> bool {
        let index = self.log.topic_partition().partition.0;
        let is_named = self.log.config().leader_replication_throttled_replicas.contains(index, local.0);
        let mut waits = false;
        if is_named {
            let now = clock::monotonic();
            self.with_leader(|leading| waits = leading.core.waits_for(follower, now));
        }
        is_named && !waits
    }

    /// Deletes what is below `offset`, or all that every in-sync replica holds where it is `None`: the log starts there now,
    /// and followers are told. Answers where it starts at least. It is kept across a restart once the log directory has
    /// written it. Source: KIP-107.
    ///
    /// # Errors
    /// [`DeleteRecordsError`]; nothing was deleted then.
    pub(crate) fn delete_records(
        &self,
        offset: Option<Offset>,
        leadership: &Leadership,
    ) -> Result<Offset, DeleteRecordsError> {
        let _unchanged = self.changing.read();
        if !self.still_leads(leadership) {
            return Err(DeleteRecordsError::NotLeader);
        }
        let high_watermark = self.high_watermark();
        let start = offset.unwrap_or(high_watermark);
        if start < Offset(0) || start > high_watermark {
            return Err(DeleteRecordsError::OutOfRange { offset: start, high_watermark });
        }
        if start > self.log.log_start_offset() {
            self.log.advance_log_start_offset(start);
            self.tell_subscribers();
        }
        Ok(start)
    }

    /// Where the logs of all replicas that run start at least; `None` where that is not known, or this node does not lead.
    #[must_use]
    pub fn low_watermark(&self) -> Option<Offset> {
        let mut low_watermark = None;
        self.with_leader(|leading| low_watermark = leading.core.low_watermark(self.log.log_start_offset()));
        low_watermark
    }

    /// Tells `mark` of what is appended from now on.
    pub(crate) fn subscribe(&self, mark: &Arc<Mark>) {
        self.subscribers.rcu(|subscribers| {
            let mut subscribers = subscribers.as_deref().cloned().unwrap_or_default();
            subscribers.push(Arc::clone(mark));
            Some(Arc::new(subscribers))
        });
    }

    /// Tells `mark` nothing any more.
    pub(crate) fn unsubscribe(&self, mark: &Arc<Mark>) {
        self.subscribers.rcu(|subscribers| {
            let mut subscribers = subscribers.as_deref().cloned().unwrap_or_default();
            subscribers.retain(|subscriber| !Arc::ptr_eq(subscriber, mark));
            Some(Arc::new(subscribers))
        });
    }

    /// Whether the ISR of this leader is large enough for `acks=all`.
    #[must_use]
    pub fn has_enough_replicas(&self) -> bool {
        self.is_enough.load(Ordering::Acquire)
    }

    /// Whether the high watermark of this leader has reached what earlier leaders may have told as theirs. Until then the
    /// latest offset could go back. Source: KIP-207.
    #[must_use]
    pub fn is_latest_offset_available(&self) -> bool {
        self.is_latest_offset_available.load(Ordering::Acquire)
    }

    /// The followers of this leader, by their ids.
    #[must_use]
    pub fn followers(&self) -> Vec<FollowerView> {
        let mut views = Vec::new();
        self.with_leader(|leading| views.extend(leading.core.followers()));
        views
    }

    fn with_leader(&self, act: impl FnOnce(&mut Leading)) {
        if let Role::Leader(leading) = &mut *self.role.lock() {
            act(leading);
        }
    }

    /// Makes known what a call of the core has changed. The caller holds the lock of the part that this node plays.
    fn led(&self, leading: &mut Leading, now: Duration) {
        let core = &leading.core;
        self.set_high_watermark(core.high_watermark());
        self.is_enough.store(core.is_enough(), Ordering::Release);
        self.is_latest_offset_available.store(core.is_latest_offset_available(), Ordering::Release);
        if core.isr().len() < core.replica_count() {
            self.propose(leading, now);
        }
        if let Some(low_watermark) = leading.core.low_watermark(self.log.log_start_offset()) {
            self.waiters.reached(Milestone::LowWatermark, low_watermark);
        }
        let deadline = leading.core.next_deadline(now);
        if deadline.is_some_and(|deadline| leading.scheduled.is_none_or(|scheduled| deadline < scheduled)) {
            self.isr_duties.reschedule(self.key(), leading.scheduled, deadline);
            leading.scheduled = deadline;
        }
    }

    fn propose(&self, leading: &mut Leading, now: Duration) {
        if let Some(proposal) = leading.core.proposal(now) {
            self.isr_duties.propose(self.key(), proposal);
        }
    }
}
