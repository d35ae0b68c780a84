//! One partition on this node: its log, the part that this node plays for it, and who waits for it.
//!
//! The part changes only under one lock; what requests look at on their way are atomics beside it. A *tenure* is one
//! uninterrupted time of leading: who appended in one and waits for replicas must find the same one when it is told that
//! they have it, since between two of them the log may have been cut.
//!
//! Waiting is a future with a deadline: it registers with each partition that it depends on *before* it reads, is woken
//! by any of them, and reads again; so no wake-up can fall between a read and a wait.

mod waiters;

use config::broker::Durability;
use parking_lot::Mutex;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI32, AtomicI64, AtomicU64, Ordering};
use storage::batch::ValidatedBatch;
use storage::disk::os::OsDisk;
use storage::error::AppendError;
use storage::ids::{LeaderEpoch, Offset, TimestampMs};
use storage::log::{Appended, Log};
use tokio::sync::Notify;

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
    durability: Durability,
    /// Of the part that this node plays, whoever leads.
    leader_epoch: AtomicI32,
    high_watermark: AtomicI64,
    /// Odd while this node leads. It grows with every beginning and every end.
    tenure: AtomicU64,
    is_closed: AtomicBool,
    role: Mutex<Role>,
    waiters: Waiters,
}

/// The part that this node plays for a partition.
#[derive(Debug)]
enum Role {
    /// It appends what producers send.
    Leader,
    /// There is no leader, or this node is yet to be told.
    Offline,
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
    pub fn new(log: Arc<NodeLog>, durability: Durability, high_watermark: Offset) -> Self {
        let high_watermark = high_watermark.min(log.log_end_offset()).max(log.log_start_offset());
        Self {
            log,
            durability,
            leader_epoch: AtomicI32::new(LeaderEpoch::NONE.0),
            high_watermark: AtomicI64::new(high_watermark.0),
            tenure: AtomicU64::new(0),
            is_closed: AtomicBool::new(false),
            role: Mutex::new(Role::Offline),
            waiters: Waiters::default(),
        }
    }

    /// The epoch of the partition's leader, as this node knows it.
    #[must_use]
    pub fn leader_epoch(&self) -> LeaderEpoch {
        LeaderEpoch(self.leader_epoch.load(Ordering::Acquire))
    }

    /// When a record of it counts as stored.
    #[must_use]
    pub fn durability(&self) -> Durability {
        self.durability
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

    /// Leads from now on in `epoch`, or leads on in it. An epoch that is not later changes nothing.
    pub fn lead(&self, epoch: LeaderEpoch) {
        let mut role = self.role.lock();
        if epoch <= self.leader_epoch() {
            return;
        }
        self.log.begin_leader_epoch(epoch);
        self.leader_epoch.store(epoch.0, Ordering::Release);
        if !matches!(*role, Role::Leader) {
            *role = Role::Leader;
            self.tenure.fetch_add(1, Ordering::AcqRel);
        }
        drop(role);
        self.progressed();
    }

    /// The end, exclusive, of what every in-sync replica holds: what consumers may read.
    #[must_use]
    pub fn high_watermark(&self) -> Offset {
        Offset(self.high_watermark.load(Ordering::Acquire))
    }

    /// The end, exclusive, of what this node will not lose: its flushed end, or its log end where the page cache counts as
    /// durable.
    #[must_use]
    pub fn durable_end_offset(&self) -> Offset {
        match self.durability {
            Durability::Flushed => self.log.flushed_end_offset(),
            Durability::Replicated => self.log.log_end_offset(),
        }
    }

    /// How far `milestone` is, exclusive.
    #[must_use]
    pub fn reached(&self, milestone: Milestone) -> Offset {
        match milestone {
            Milestone::HighWatermark => self.high_watermark(),
            Milestone::DurableEnd => self.durable_end_offset(),
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

    /// Appends a batch in `epoch`, in which this node leads, or finds that it is in the log already.
    ///
    /// # Errors
    /// [`AppendError`]; the log is then as it was.
    pub fn append(
        &self,
        batch: ValidatedBatch,
        epoch: LeaderEpoch,
        now: TimestampMs,
    ) -> Result<Appended, AppendError> {
        let appended = self.log.append_as_leader(batch, epoch, now)?;
        if !appended.is_duplicate && self.durability == Durability::Replicated {
            self.progressed();
        }
        Ok(appended)
    }

    /// The log's durable end has moved: so may the high watermark, and whoever waited for either is woken.
    pub fn progressed(&self) {
        let durable_end = self.durable_end_offset();
        let role = self.role.lock();
        if let Role::Leader = &*role {
            self.raise_high_watermark(durable_end);
        }
        drop(role);
        self.waiters.reached(Milestone::DurableEnd, durable_end);
    }

    /// The caller holds the lock of the part that this node plays.
    fn raise_high_watermark(&self, to: Offset) {
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

    /// Wakes everybody, since the partition is gone or its disk has failed.
    pub fn wake_all(&self) {
        self.waiters.wake_all();
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

    /// Whether this node has stopped serving the partition, since its topic was deleted.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.is_closed.load(Ordering::Acquire)
    }
}

#[cfg(test)]
mod tests;
