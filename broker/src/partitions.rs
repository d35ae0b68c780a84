//! The partitions that this node serves, and who waits for them.
//!
//! A lookup takes no lock. Waiting is a future with a deadline: it registers with each partition that it depends on
//! *before* it reads, is woken by any of them, and reads again; so no wake-up can fall between a read and a wait.

use arc_swap::ArcSwap;
use config::broker::Durability;
use parking_lot::Mutex;
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicI32, Ordering};
use storage::disk::os::OsDisk;
use storage::ids::{LeaderEpoch, Offset, PartitionIndex, TopicId};
use storage::log::Log;
use tokio::sync::Notify;

/// The log of a partition on this machine's disk.
pub type NodeLog = Log<OsDisk>;

/// One partition that this node leads.
///
/// Invariant: `log_start_offset <= last_stable_offset <= high_watermark <= log_end_offset`.
#[derive(Debug)]
pub struct Partition {
    /// Its log.
    pub log: Arc<NodeLog>,
    leader_epoch: AtomicI32,
    durability: Durability,
    waiters: Mutex<Waiters>,
}

#[derive(Debug, Default)]
struct Waiters {
    next_ticket: u64,
    waiting: Vec<Waiter>,
}

#[derive(Debug)]
struct Waiter {
    ticket: u64,
    until: Offset,
    wake: Arc<Notify>,
}

impl Partition {
    /// A partition that this node leads in `leader_epoch`.
    #[must_use]
    pub fn new(log: Arc<NodeLog>, leader_epoch: LeaderEpoch, durability: Durability) -> Self {
        log.begin_leader_epoch(leader_epoch);
        Self { log, leader_epoch: AtomicI32::new(leader_epoch.0), durability, waiters: Mutex::default() }
    }

    /// The epoch in which this node leads the partition.
    #[must_use]
    pub fn leader_epoch(&self) -> LeaderEpoch {
        LeaderEpoch(self.leader_epoch.load(Ordering::Acquire))
    }

    /// Leads on in a later epoch. An epoch that is not later changes nothing.
    pub fn lead(&self, epoch: LeaderEpoch) {
        if epoch > self.leader_epoch() {
            self.log.begin_leader_epoch(epoch);
            self.leader_epoch.store(epoch.0, Ordering::Release);
        }
    }

    /// The end, exclusive, of what every in-sync replica holds: what consumers may read. With this node as the only
    /// replica, it is the flushed end, or the log end where the page cache counts as durable.
    #[must_use]
    pub fn high_watermark(&self) -> Offset {
        match self.durability {
            Durability::Flushed => self.log.flushed_end_offset(),
            Durability::Replicated => self.log.log_end_offset(),
        }
    }

    /// The end, exclusive, of what a `read_committed` consumer may read. Source: KIP-98.
    #[must_use]
    pub fn last_stable_offset(&self) -> Offset {
        let high_watermark = self.high_watermark();
        self.log.first_unstable_offset().map_or(high_watermark, |unstable| unstable.min(high_watermark))
    }

    /// Wakes `wake` once the high watermark is `until` or more. Register before reading.
    #[must_use]
    pub fn register(self: &Arc<Self>, until: Offset, wake: &Arc<Notify>) -> Registration {
        let mut waiters = self.waiters.lock();
        let ticket = waiters.next_ticket;
        waiters.next_ticket += 1;
        waiters.waiting.push(Waiter { ticket, until, wake: Arc::clone(wake) });
        Registration { partition: Arc::clone(self), ticket }
    }

    /// Wakes whoever waited for the high watermark as it is now.
    pub fn high_watermark_moved(&self) {
        let high_watermark = self.high_watermark();
        self.log.advance_high_watermark(high_watermark);
        self.waiters.lock().waiting.retain(|waiter| {
            let is_reached = waiter.until <= high_watermark;
            if is_reached {
                waiter.wake.notify_one();
            }
            !is_reached
        });
    }

    /// Wakes everybody, since the partition is gone or its disk has failed.
    pub fn wake_all(&self) {
        for waiter in self.waiters.lock().waiting.drain(..) {
            waiter.wake.notify_one();
        }
    }
}

/// A place among the waiters of a partition, given up on drop.
#[derive(Debug)]
pub struct Registration {
    partition: Arc<Partition>,
    ticket: u64,
}

impl Drop for Registration {
    fn drop(&mut self) {
        let mut waiters = self.partition.waiters.lock();
        if let Some(place) = waiters.waiting.iter().position(|waiter| waiter.ticket == self.ticket) {
            waiters.waiting.swap_remove(place);
        }
    }
}

/// The partitions of one topic that this node serves, by number.
pub type TopicPartitions = HashMap<PartitionIndex, Arc<Partition>>;

/// Every partition that this node serves.
#[derive(Debug, Default)]
pub struct Partitions {
    by_topic: ArcSwap<HashMap<TopicId, Arc<TopicPartitions>>>,
}

impl Partitions {
    /// The partition, or `None` where this node does not serve it.
    #[must_use]
    pub fn find(&self, topic_id: TopicId, partition: PartitionIndex) -> Option<Arc<Partition>> {
        self.by_topic.load().get(&topic_id)?.get(&partition).cloned()
    }

    /// Every partition, in no order.
    #[must_use]
    pub fn all(&self) -> Vec<Arc<Partition>> {
        self.by_topic.load().values().flat_map(|topic| topic.values().cloned()).collect()
    }

    /// Changes the set in one step: readers see all of `added` and none of `removed`, or nothing of the change.
    /// Only the task that follows the metadata calls it.
    pub fn change(&self, added: Vec<(TopicId, PartitionIndex, Arc<Partition>)>, removed: &[TopicId]) {
        let mut by_topic = HashMap::clone(&self.by_topic.load());
        for topic_id in removed {
            for partition in by_topic.remove(topic_id).iter().flat_map(|topic| topic.values()) {
                partition.wake_all();
            }
        }
        for (topic_id, index, partition) in added {
            let topic = by_topic.entry(topic_id).or_default();
            Arc::make_mut(topic).insert(index, partition);
        }
        self.by_topic.store(Arc::new(by_topic));
    }
}
