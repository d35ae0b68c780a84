//! One partition on this node: its log, the part that this node plays for it, and who waits for it.
//!
//! The part is the core's (`replication::leader`, `replication::follower`), behind a lock; what requests look at on their
//! way are atomics beside it. A *tenure* is one uninterrupted time of leading: who appended in one and waits for replicas
//! must find the same one when it is told that they have it, since between two of them the log may have been cut.
//!
//! Two locks. `changing` says who may change the log: the appends of a leader share it; a change of the part and what a
//! follower does to its log hold it alone, so that no record of an old leader slips into the log of a follower. `role`
//! holds the core, for moments: nothing is written to the disk and no other lock of the log directory is waited for under
//! it, since the flusher takes it, too. `changing` comes before `role`.
//!
//! Waiting is a future with a deadline: it registers with each partition that it depends on *before* it reads, is woken
//! by any of them, and reads again; so no wake-up can fall between a read and a wait.

mod following;
mod leading;
mod waiters;

use crate::busy_partitions::{FirstBatchRefused, LastRound};
use crate::clock;
use crate::isr::IsrDuties;
use crate::partitions::PartitionKey;
use crate::ready::Mark;
use arc_swap::ArcSwapOption;
use config::broker::Durability;
use parking_lot::{Mutex, RwLock};
use replication::fetch::LogEnds;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI32, AtomicI64, AtomicU64, Ordering};
use storage::batch::ValidatedBatch;
use storage::disk::os::OsDisk;
use storage::error::AppendError;
use storage::ids::{LeaderEpoch, Offset, TimestampMs};
use storage::log::{Appended, Log};
use tokio::sync::Notify;

pub(crate) use following::AfterAnswer;
use following::Following;
pub(crate) use leading::DeleteRecordsError;
use leading::Leading;
use waiters::Waiters;
pub use waiters::{Milestone, Registration};

/// The log of a partition on this machine's disk.
pub type NodeLog = Log<OsDisk>;

/// One partition of which this node holds a replica.
///
/// Invariant: `log_start_offset <= last_stable_offset <= high_watermark <= log_end_offset`.
#[derive(Debug)]
pub struct Partition {
    /// Its log.
    pub log: Arc<NodeLog>,
    /// When clients last wrote to it.
    pub(crate) last_round: LastRound,
    pub(crate) first_batch_refused: FirstBatchRefused,
    durability: Durability,
    /// Where the page cache counts as durable: the end, exclusive, of what counts without being flushed.
    admitted_end_offset: AtomicI64,
    isr_duties: Arc<IsrDuties>,
    /// Of the part that this node plays, whoever leads.
    leader_epoch: AtomicI32,
    high_watermark: AtomicI64,
    /// Odd while this node leads. It grows with every beginning and every end.
    tenure: AtomicU64,
    /// Whether a leader's ISR is large enough for `acks=all`.
    is_enough: AtomicBool,
    /// Whether a leader's high watermark has reached what earlier leaders may have told as theirs.
    is_latest_offset_available: AtomicBool,
    is_closed: AtomicBool,
    changing: RwLock<()>,
    role: Mutex<Role>,
    waiters: Waiters,
    /// The followers that are told of what a leader appends, once there is one.
    subscribers: ArcSwapOption<Vec<Arc<Mark>>>,
    /// Who is told that a follower has flushed.
    flush_reporter: ArcSwapOption<Mark>,
}

/// The part that this node plays for a partition.
#[derive(Debug)]
enum Role {
    /// None yet: this node is about to be told.
    Idle,
    Leader(Box<Leading>),
    /// Also where there is no leader to follow.
    Follower(Box<Following>),
}

/// One time of leading a partition, as who appends keeps it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Leadership {
    /// The epoch to append in.
    pub epoch: LeaderEpoch,
    tenure: u64,
}

impl Partition {
    /// A partition that nobody leads yet, of which everything below `high_watermark` (exclusive) is known to be replicated.
    #[must_use]
    pub fn new(
        log: Arc<NodeLog>,
        durability: Durability,
        high_watermark: Offset,
        isr_duties: Arc<IsrDuties>,
    ) -> Self {
        let high_watermark = high_watermark.min(log.log_end_offset()).max(log.log_start_offset());
        Self {
            log,
            last_round: LastRound::default(),
            first_batch_refused: FirstBatchRefused::default(),
            durability,
            admitted_end_offset: AtomicI64::new(Offset(-1).0),
            isr_duties,
            leader_epoch: AtomicI32::new(LeaderEpoch::NONE.0),
            high_watermark: AtomicI64::new(high_watermark.0),
            tenure: AtomicU64::new(0),
            is_enough: AtomicBool::new(false),
            is_latest_offset_available: AtomicBool::new(false),
            is_closed: AtomicBool::new(false),
            changing: RwLock::default(),
            role: Mutex::new(Role::Idle),
            waiters: Waiters::default(),
            subscribers: ArcSwapOption::default(),
            flush_reporter: ArcSwapOption::default(),
        }
    }

    /// Which partition this is, in which life of its topic.
    #[must_use]
    pub fn key(&self) -> PartitionKey {
        (self.log.topic_id(), self.log.topic_partition().partition)
    }

    /// Whether others hold it, too.
    #[must_use]
    pub fn is_replicated(&self) -> bool {
        match &*self.role.lock() {
            Role::Leader(leading) => leading.is_replicated(),
            Role::Idle | Role::Follower(_) => true,
        }
    }

    /// The epoch of the partition's leader, as this node knows it.
    #[must_use]
    pub fn leader_epoch(&self) -> LeaderEpoch {
        LeaderEpoch(self.leader_epoch.load(Ordering::Acquire))
    }

    /// The time of leading that runs, or `None` where this node does not lead.
    #[must_use]
    pub fn leadership(&self) -> Option<Leadership> {
        let tenure = self.tenure.load(Ordering::Acquire);
        (tenure % 2 == 1).then(|| Leadership { epoch: self.leader_epoch(), tenure })
    }

    /// Whether this node has led without interruption since `leadership` was taken.
    #[must_use]
    pub fn still_leads(&self, leadership: &Leadership) -> bool {
        self.tenure.load(Ordering::Acquire) == leadership.tenure
    }

    /// The end, exclusive, of what every in-sync replica holds: what consumers may read.
    #[must_use]
    pub fn high_watermark(&self) -> Offset {
        Offset(self.high_watermark.load(Ordering::Acquire))
    }

    /// The end, exclusive, of what this node will not lose: its flushed end, or where the page cache counts as durable,
    /// what `flush.messages` lets count before it is flushed.
    #[must_use]
    pub fn durable_end_offset(&self) -> Offset {
        let flushed = self.log.flushed_end_offset();
        match self.durability {
            Durability::Flushed => flushed,
            Durability::Replicated => {
                let admitted = Offset(self.admitted_end_offset.load(Ordering::Acquire));
                flushed.max(admitted.min(self.log.log_end_offset()))
            }
        }
    }

    /// The log ends at `end_offset`, exclusive, after an append: that counts as durable at once while the records that are
    /// not flushed are fewer than `flush.messages`, and otherwise once it is flushed. What counts once goes on counting.
    /// Source: `UnifiedLog.append`, which flushes by itself instead.
    fn admit(&self, end_offset: Offset) {
        let unflushed = end_offset.0.saturating_sub(self.log.flushed_end_offset().0);
        if unflushed < self.log.config().flush_messages {
            self.admitted_end_offset.fetch_max(end_offset.0, Ordering::AcqRel);
        }
    }

    /// The log is about to be cut so that it ends at `end_offset`, exclusive: what is appended after that has yet to count.
    /// The caller holds `changing` alone.
    fn admit_no_more_than(&self, end_offset: Offset) {
        self.admitted_end_offset.fetch_min(end_offset.0, Ordering::AcqRel);
    }

    /// How far `milestone` is, exclusive.
    #[must_use]
    pub fn reached(&self, milestone: Milestone) -> Offset {
        match milestone {
            Milestone::HighWatermark => self.high_watermark(),
            Milestone::DurableEnd => self.durable_end_offset(),
            Milestone::LowWatermark => self.low_watermark().unwrap_or(Offset(-1)),
        }
    }

    /// The end, exclusive, of what a `read_committed` consumer may read. Source: KIP-98.
    #[must_use]
    pub fn last_stable_offset(&self) -> Offset {
        self.last_stable_offset_below(self.high_watermark())
    }

    /// The last stable offset, exclusive, for a reader who took `high_watermark` before: never beyond it.
    #[must_use]
    pub fn last_stable_offset_below(&self, high_watermark: Offset) -> Offset {
        self.log.first_unstable_offset().map_or(high_watermark, |unstable| unstable.min(high_watermark))
    }

    /// Appends a batch in the time of leading that `leadership` is of, or finds that it is in the log already.
    ///
    /// # Errors
    /// [`AppendError`]; the log is then as it was.
    pub fn append(
        &self,
        batch: ValidatedBatch,
        leadership: &Leadership,
        now: TimestampMs,
    ) -> Result<Appended, AppendError> {
        let changing = self.changing.read();
        if !self.still_leads(leadership) {
            let (epoch, latest) = (leadership.epoch, self.leader_epoch());
            return Err(AppendError::StaleLeaderEpoch { epoch, latest });
        }
        let appended = self.log.append_as_leader(batch, leadership.epoch, now)?;
        if !appended.is_duplicate && self.durability == Durability::Replicated {
            self.admit(appended.end_offset);
        }
        drop(changing);
        if !appended.is_duplicate {
            self.tell_subscribers();
            if self.durability == Durability::Replicated {
                self.durable_end_moved();
            }
        }
        Ok(appended)
    }

    /// What this node will not lose has grown. It is called on the flusher's thread, too, and waits for no disk.
    pub fn durable_end_moved(&self) {
        if self.leadership().is_some() {
            self.lead_on(clock::monotonic());
        } else if let Some(reporter) = &*self.flush_reporter.load() {
            reporter.set();
        }
        self.waiters.reached(Milestone::DurableEnd, self.durable_end_offset());
    }

    /// Whether somebody changes the log or the part that this node plays, which may take until the disk is done.
    pub(crate) fn is_being_changed(&self) -> bool {
        self.changing.is_locked()
    }

    /// Where the log stands.
    fn log_ends(&self) -> LogEnds {
        // In this order, so that what is durable is within the log.
        let durable_end_offset = self.durable_end_offset();
        LogEnds {
            log_start_offset: self.log.log_start_offset(),
            durable_end_offset,
            log_end_offset: self.log.log_end_offset(),
            latest_epoch: self.log.latest_epoch(),
        }
    }

    /// The caller holds the lock of the part that this node plays.
    fn set_high_watermark(&self, to: Offset) {
        if to > self.high_watermark() {
            self.high_watermark.store(to.0, Ordering::Release);
            self.log.advance_high_watermark(to);
            self.waiters.reached(Milestone::HighWatermark, to);
        }
    }

    /// Wakes `wake` once `milestone` is `until` or more. Register before reading.
    #[must_use]
    pub fn register(
        self: &Arc<Self>,
        milestone: Milestone,
        until: Offset,
        wake: &Arc<Notify>,
    ) -> Registration {
        Registration::new(self, milestone, until, wake)
    }

    /// Wakes everybody, since the partition is gone, has another leader, or its disk has failed.
    pub fn wake_all(&self) {
        self.waiters.wake_all();
        self.tell_subscribers();
    }

    /// Tells the followers that there is something to look at.
    fn tell_subscribers(&self) {
        if let Some(subscribers) = &*self.subscribers.load() {
            subscribers.iter().for_each(Mark::set);
        }
    }

    /// Keeps everybody from changing the log or the part that this node plays, as a cut does that waits for the disk.
    #[cfg(test)]
    pub(crate) fn hold_changes(&self) -> parking_lot::RwLockReadGuard<'_, ()> {
        self.changing.read()
    }

    /// How many wait.
    #[cfg(test)]
    pub(crate) fn waiting(&self) -> usize {
        self.waiters.len()
    }

    /// Says that the partition is served no more, and wakes everybody: its high watermark moves no further.
    pub(crate) fn close(&self) {
        self.is_closed.store(true, Ordering::Release);
        self.wake_all();
    }

    /// Whether this node has stopped serving the partition: its topic was deleted, or it is on other nodes now.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.is_closed.load(Ordering::Acquire)
    }
}

#[cfg(test)]
mod tests;
