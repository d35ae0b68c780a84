//! The leader of one partition in one leader epoch: how far the replicas are, what is committed, and who is in sync.
//!
//! It takes its own progress ([`Leader::local`]), what followers send ([`Leader::fetch`], [`Leader::flushed`]), what the
//! metadata says ([`Leader::metadata`]) and the time ([`Leader::on_deadline`]). After each of them the caller looks at
//! [`Leader::high_watermark`], sends [`Leader::proposal`] to the controller if there is one, and sleeps until
//! [`Leader::next_deadline`].
//!
//! Invariants:
//! - everything below the high watermark is durable at each member of the ISR, and at each replica that a proposal
//!   that may still be carried out would make a member;
//! - the high watermark never goes back, and does not move while the ISR is smaller than it must be for writes: this is
//!   what makes replicas that left such an ISR eligible leaders;
//! - a follower joins the ISR only when what it holds durably reaches the high watermark, and the log end with which
//!   this epoch began, below which an earlier leader may have committed more than this one knows;
//! - one proposal is on its way at a time, and a report counts only in the leader epoch and the run that it is of.
//!
//! Absent: records, the controller's side of a proposal, how fast followers may copy, and who waits for the high watermark.
//!
//! Source: `Partition.scala`, KIP-101, KIP-497, KIP-841, KIP-903, KIP-966. What differs: durable ends count, not log ends;
//! and a replica outside the ISR holds back the high watermark for [`JOIN_PATIENCE`] at first, and for longer only where
//! it stays close without ever joining, not for the full lag time.

mod proposal;
mod replica;
#[cfg(test)]
mod tests;

use crate::fetch::{BrokerRun, FetchPosition, FetchRefusal, FlushReport, LogEnds};
use crate::leader::proposal::Pending;
use crate::leader::replica::{Progress, Replica};
use crate::metadata::image::PartitionImage;
use std::collections::BTreeMap;
use std::time::Duration;
use storage::ids::{BrokerEpoch, BrokerId, LeaderEpoch, Offset, PartitionEpoch};
use storage::leader_epochs::EpochEnd;

pub use crate::leader::proposal::{IsrProposal, ProposalOutcome};

/// How far behind a replica outside the ISR may be for the high watermark to wait for it, at first. Larger: producers wait
/// longer when a replica returns. Smaller: one that needs longer to flush joins later.
pub const JOIN_PATIENCE: Duration = Duration::from_millis(200);

/// The same for a replica whose slow disk keeps it close without letting it join. Larger: producers wait longer for it,
/// once. Smaller: a replica that needs a fourth of this for a flush never joins while writes go on.
pub const JOIN_PATIENCE_MAX: Duration = Duration::from_secs(5);

/// What is asked of the in-sync replicas.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct IsrRules {
    /// The topic's `min.insync.replicas`.
    pub min_insync_replicas: usize,
    /// `replica.lag.time.max.ms`: how long a member of the ISR may lag.
    pub replica_lag_time_max: Duration,
}

/// What the metadata says of a broker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Standing {
    /// Its registered run.
    pub broker_epoch: BrokerEpoch,
    /// Whether it is neither fenced nor shutting down.
    pub may_join_isr: bool,
}

/// What one metadata image says of a partition. All of it must be of the same image: replicas become eligible leaders by
/// the same rules and at the same moment.
#[derive(Clone, Copy)]
pub struct PartitionMetadata<'a> {
    /// The partition's replicas, ISR and epochs.
    pub partition: &'a PartitionImage,
    /// The rules of its topic.
    pub rules: IsrRules,
    /// The standing of each registered broker.
    pub brokers: &'a dyn Fn(BrokerId) -> Option<Standing>,
}

/// A follower, for those who describe it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FollowerView {
    /// The broker.
    pub broker_id: BrokerId,
    /// Exclusive end of its log; `None` before it was heard in this epoch.
    pub log_end_offset: Option<Offset>,
    /// Exclusive end of what is durable there; `None` before it was heard in this epoch.
    pub durable_end_offset: Option<Offset>,
    /// The first offset of its log.
    pub log_start_offset: Option<Offset>,
    /// The latest moment at which it was known to be caught up.
    pub last_caught_up: Option<Duration>,
    /// Whether it is a member of the committed ISR.
    pub is_in_sync: bool,
}

/// The leader of one partition in one leader epoch.
#[derive(Debug, Clone)]
pub struct Leader {
    local: BrokerId,
    local_epoch: Option<BrokerEpoch>,
    leader_epoch: LeaderEpoch,
    epoch_start_offset: Offset,
    partition_epoch: PartitionEpoch,
    rules: IsrRules,
    /// The fewest members of the ISR with which records are committed.
    enough: usize,
    /// Whether replicas outside the ISR may be elected: the high watermark must not leave them behind, whatever this node
    /// thinks that is enough.
    has_eligible_replicas: bool,
    /// The committed ISR, in the order of the metadata.
    isr: Box<[BrokerId]>,
    followers: BTreeMap<BrokerId, Replica>,
    log_end_offset: Offset,
    durable_end_offset: Offset,
    high_watermark: Offset,
    /// Boxed: most leaders have none.
    pending: Option<Box<Pending>>,
    /// After a refusal, nothing is proposed before this time.
    quiet_until: Option<Duration>,
}

/// How many in-sync replicas a write to the partition needs: `min.insync.replicas`, but no more than there are replicas,
/// those that are being added aside. The controller makes eligible leaders by this same number.
#[must_use]
pub fn effective_min_insync_replicas(partition: &PartitionImage, min_insync_replicas: usize) -> usize {
    min_insync_replicas.min(partition.settled_replication_factor()).max(1)
}

impl Leader {
    /// `local` has become leader with a log that stands at `log`, and knew `high_watermark` as a follower.
    ///
    /// # Panics
    /// If the metadata names another leader, or the high watermark is beyond the log's end.
    #[must_use]
    pub fn new(
        local: BrokerId,
        metadata: PartitionMetadata<'_>,
        log: &LogEnds,
        high_watermark: Offset,
        now: Duration,
    ) -> Self {
        assert_eq!(metadata.partition.leader, Some(local), "the metadata names another leader");
        assert!(high_watermark <= log.log_end_offset, "the high watermark is within the log");
        assert!(log.durable_end_offset <= log.log_end_offset, "what is durable is within the log");
        let mut leader = Self {
            local,
            local_epoch: None,
            leader_epoch: metadata.partition.leader_epoch,
            epoch_start_offset: log.log_end_offset,
            partition_epoch: metadata.partition.partition_epoch,
            rules: metadata.rules,
            enough: 0,
            has_eligible_replicas: false,
            isr: Box::default(),
            followers: BTreeMap::new(),
            log_end_offset: log.log_end_offset,
            durable_end_offset: log.durable_end_offset,
            high_watermark,
            pending: None,
            quiet_until: None,
        };
        leader.take(metadata, now);
        leader.advance(now);
        leader
    }

    /// The local log ends at `log_end_offset` and is durable up to `durable_end_offset`. Calls may come out of order:
    /// an end of a leader never goes back.
    pub fn local(&mut self, log_end_offset: Offset, durable_end_offset: Offset, now: Duration) {
        self.log_end_offset = self.log_end_offset.max(log_end_offset);
        if durable_end_offset > self.durable_end_offset {
            for replica in self.followers.values_mut() {
                replica.leader_moved(self.durable_end_offset, durable_end_offset, now);
            }
            self.durable_end_offset = durable_end_offset;
            self.log_end_offset = self.log_end_offset.max(durable_end_offset);
            self.advance(now);
        }
    }

    /// A follower fetches. Its ends count where its log agrees with the leader's, which stands at `log` and whose epochs
    /// ended where `epoch_end` says. The caller then answers with what it reads at the fetch offset.
    ///
    /// # Errors
    /// [`FetchRefusal`] where it gets no records; nothing of the report counts then.
    pub fn fetch(
        &mut self,
        from: BrokerRun,
        position: &FetchPosition,
        log: &LogEnds,
        epoch_end: impl FnOnce(LeaderEpoch) -> Option<EpochEnd>,
        now: Duration,
    ) -> Result<(), FetchRefusal> {
        self.admit(from, position.leader_epoch)?;
        agree(position, log, epoch_end)?;
        let report = Progress {
            broker_epoch: from.broker_epoch,
            log_end_offset: position.fetch_offset,
            durable_end_offset: position.durable_end_offset.min(position.fetch_offset),
            log_start_offset: position.log_start_offset,
        };
        self.report(from.broker_id, report, now);
        Ok(())
    }

    /// A follower has flushed. The report counts from the first fetch on that agreed; earlier ones change nothing.
    ///
    /// # Errors
    /// [`FetchRefusal`] where it is of another epoch, another run, or no replica.
    pub fn flushed(
        &mut self,
        from: BrokerRun,
        flushed: &FlushReport,
        now: Duration,
    ) -> Result<(), FetchRefusal> {
        let replica = self.admit(from, flushed.leader_epoch)?;
        let Some(known) = replica.progress.filter(|known| known.broker_epoch == from.broker_epoch) else {
            return Ok(());
        };
        let report = Progress {
            log_end_offset: known.log_end_offset.max(flushed.durable_end_offset),
            durable_end_offset: flushed.durable_end_offset,
            ..known
        };
        self.report(from.broker_id, report, now);
        Ok(())
    }

    /// The metadata has changed: the ISR or the assignment of this partition, its rules, or the standing of a broker
    /// that holds it. An older state than the one that is known is ignored.
    ///
    /// # Panics
    /// If the leader or its epoch is another one: that is the end of this value.
    pub fn metadata(&mut self, metadata: PartitionMetadata<'_>, now: Duration) {
        assert_eq!(metadata.partition.leader, Some(self.local), "another broker leads the partition");
        assert_eq!(metadata.partition.leader_epoch, self.leader_epoch, "another leader epoch has begun");
        if metadata.partition.partition_epoch < self.partition_epoch {
            return;
        }
        self.take(metadata, now);
        self.advance(now);
    }

    /// The time is [`Self::next_deadline`] or later.
    pub fn on_deadline(&mut self, now: Duration) {
        self.advance(now);
    }

    /// The exclusive end of what is committed, as far as this leader knows: what consumers may read, and what
    /// `acks=all` waits for.
    #[must_use]
    pub fn high_watermark(&self) -> Offset {
        self.high_watermark
    }

    /// The epoch.
    #[must_use]
    pub fn leader_epoch(&self) -> LeaderEpoch {
        self.leader_epoch
    }

    /// The log's end when the epoch began.
    #[must_use]
    pub fn epoch_start_offset(&self) -> Offset {
        self.epoch_start_offset
    }

    /// Whether the high watermark has reached what earlier leaders may have told as theirs. Until then the latest offset
    /// is not available, since it could go back. Source: KIP-207.
    #[must_use]
    pub fn is_latest_offset_available(&self) -> bool {
        self.high_watermark >= self.epoch_start_offset
    }

    /// Whether the ISR is large enough for `acks=all`; where not, writes are refused.
    #[must_use]
    pub fn is_enough(&self) -> bool {
        self.isr.len() >= self.enough && !self.has_eligible_replicas
    }

    /// Whether the high watermark may wait for that replica: then nothing may hold it back.
    #[must_use]
    pub fn waits_for(&self, broker_id: BrokerId, now: Duration) -> bool {
        self.counts(broker_id)
            || self.followers.get(&broker_id).is_some_and(|replica| self.is_waited_for(replica, now))
    }

    /// How many replicas there are, this one included.
    #[must_use]
    pub fn replica_count(&self) -> usize {
        self.followers.len() + 1
    }

    /// The members of the committed ISR.
    #[must_use]
    pub fn isr(&self) -> &[BrokerId] {
        &self.isr
    }

    /// The smallest log start offset of this leader, whose log starts at `log_start_offset`, and of the followers that run:
    /// what a deletion of records waits for. `None` before all of those were heard in this epoch. A follower that does
    /// not run deletes the records when it returns. Source: `Partition.lowWatermarkIfLeader`.
    #[must_use]
    pub fn low_watermark(&self, log_start_offset: Offset) -> Option<Offset> {
        let running = self.followers.values().filter(|replica| replica.runs());
        let mut starts = running.map(|replica| replica.progress.map(|progress| progress.log_start_offset));
        starts.try_fold(log_start_offset, |low, start| Some(low.min(start?)))
    }

    /// The followers, by ascending id.
    pub fn followers(&self) -> impl Iterator<Item = FollowerView> {
        self.followers.iter().map(|(&broker_id, replica)| FollowerView {
            broker_id,
            log_end_offset: replica.progress.map(|progress| progress.log_end_offset),
            durable_end_offset: replica.progress.map(|progress| progress.durable_end_offset),
            log_start_offset: replica.progress.map(|progress| progress.log_start_offset),
            last_caught_up: replica.last_caught_up,
            is_in_sync: self.isr.contains(&broker_id),
        })
    }

    fn take(&mut self, metadata: PartitionMetadata<'_>, now: Duration) {
        let PartitionMetadata { partition, rules, brokers } = metadata;
        if partition.partition_epoch > self.partition_epoch {
            // The controller refuses what was proposed on an older state, so it can come true no more.
            self.pending = None;
        }
        self.partition_epoch = partition.partition_epoch;
        self.rules = rules;
        self.enough = effective_min_insync_replicas(partition, rules.min_insync_replicas);
        self.has_eligible_replicas = !partition.eligible_leader_replicas.is_empty();
        for (broker_id, replica) in &mut self.followers {
            if self.isr.contains(broker_id) != partition.isr.contains(broker_id) {
                replica.close_since = None;
            }
        }
        self.isr.clone_from(&partition.isr);
        self.local_epoch = brokers(self.local).map(|standing| standing.broker_epoch);
        self.followers.retain(|broker_id, _| partition.replicas.contains(broker_id));
        for &broker_id in partition.replicas.iter().filter(|&&broker_id| broker_id != self.local) {
            let replica = self.followers.entry(broker_id).or_insert_with(|| Replica::new(None));
            replica.stands(brokers(broker_id));
            if self.isr.contains(&broker_id) && replica.last_caught_up.is_none() {
                replica.begin_in_sync(now);
            }
        }
    }

    /// The follower that a message is of, if it may count.
    fn admit(&self, from: BrokerRun, leader_epoch: LeaderEpoch) -> Result<&Replica, FetchRefusal> {
        let replica = self.followers.get(&from.broker_id).ok_or(FetchRefusal::NotAReplica)?;
        if let Some(registered) = replica.newest_run().filter(|newest| *newest > from.broker_epoch) {
            return Err(FetchRefusal::StaleBrokerEpoch { registered });
        }
        let current = self.leader_epoch;
        match leader_epoch.cmp(&current) {
            std::cmp::Ordering::Less => Err(FetchRefusal::FencedLeaderEpoch { current }),
            std::cmp::Ordering::Greater => Err(FetchRefusal::UnknownLeaderEpoch { current }),
            std::cmp::Ordering::Equal => Ok(replica),
        }
    }

    fn report(&mut self, broker_id: BrokerId, report: Progress, now: Duration) {
        let replica = self.followers.get_mut(&broker_id).expect("the report was admitted");
        replica.report(report, self.durable_end_offset, now);
        self.advance(now);
    }

    /// Moves the high watermark to the smallest durable end of those that count, if there are enough of them.
    fn advance(&mut self, now: Duration) {
        if !self.is_enough() {
            return;
        }
        let mut end = self.durable_end_offset;
        for (&broker_id, replica) in &self.followers {
            if self.counts(broker_id) || self.is_waited_for(replica, now) {
                match replica.progress {
                    Some(progress) => end = end.min(progress.durable_end_offset),
                    None => return,
                }
            }
        }
        self.high_watermark = self.high_watermark.max(end);
    }

    /// Whether the replica is in the ISR, or would be if the proposal on its way were carried out. Source: KIP-497.
    fn counts(&self, broker_id: BrokerId) -> bool {
        self.isr.contains(&broker_id) || self.pending.as_ref().is_some_and(|pending| pending.joins(broker_id))
    }

    /// Whether the replica is so close that it joins in a moment if the high watermark waits for it; under steady writes
    /// it would run after it forever.
    fn is_waited_for(&self, replica: &Replica, now: Duration) -> bool {
        let patience = self.join_patience(replica);
        replica.may_join_isr(now) && replica.is_caught_up(self.durable_end_offset, patience, now)
    }

    /// Grows with the time for which the replica has been close in vain, so that a slow one joins in the end, and one that
    /// returns and is fast makes nobody wait for long.
    fn join_patience(&self, replica: &Replica) -> Duration {
        let patience = replica.close_for() / 4;
        patience.clamp(JOIN_PATIENCE, JOIN_PATIENCE_MAX).min(self.rules.replica_lag_time_max)
    }
}

/// Whether the follower's log is a prefix of the leader's: either its last record is in the leader's log, in the same
/// epoch, or it has none. One that ends where the leader's log starts has records that the leader has deleted and cannot
/// vouch for: they may be others than those that were committed there. Kafka takes such a log as it is.
/// Source: KIP-595, `Partition.readRecords`.
fn agree(
    position: &FetchPosition,
    log: &LogEnds,
    epoch_end: impl FnOnce(LeaderEpoch) -> Option<EpochEnd>,
) -> Result<(), FetchRefusal> {
    let out_of_range = FetchRefusal::OutOfRange {
        log_start_offset: log.log_start_offset,
        log_end_offset: log.log_end_offset,
    };
    let is_empty = position.log_start_offset >= position.fetch_offset;
    if position.fetch_offset < log.log_start_offset
        || (position.fetch_offset == log.log_start_offset && !is_empty)
    {
        return Err(out_of_range);
    }
    let Some(epoch) = position.last_fetched_epoch else {
        return if position.fetch_offset > log.log_end_offset { Err(out_of_range) } else { Ok(()) };
    };
    match epoch_end(epoch) {
        None => Err(out_of_range),
        Some(end) if end.epoch < epoch || end.end_offset < position.fetch_offset => {
            Err(FetchRefusal::Diverging(end))
        }
        Some(_) => Ok(()),
    }
}
