//! The partitions that this node serves, and who waits for them.
//!
//! A lookup takes no lock. Waiting is a future with a deadline: it registers with each partition that it depends on
//! *before* it reads, is woken by any of them, and reads again; so no wake-up can fall between a read and a wait.

use arc_swap::ArcSwap;
use config::broker::Durability;
use parking_lot::Mutex;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI32, Ordering};
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
    is_closed: AtomicBool,
    waiters: Mutex<Waiters>,
}

#[derive(Debug, Default)]
struct Waiters {
    next_ticket: u64,
    /// By ticket, so that one of very many leaves without a search.
    waiting: BTreeMap<u64, Waiter>,
}

#[derive(Debug)]
struct Waiter {
    until: Offset,
    wake: Arc<Notify>,
}

impl Partition {
    /// A partition that this node leads in `leader_epoch`.
    #[must_use]
    pub fn new(log: Arc<NodeLog>, leader_epoch: LeaderEpoch, durability: Durability) -> Self {
        log.begin_leader_epoch(leader_epoch);
        Self {
            log,
            leader_epoch: AtomicI32::new(leader_epoch.0),
            durability,
            is_closed: AtomicBool::new(false),
            waiters: Mutex::default(),
        }
    }

    /// The epoch in which this node leads the partition.
    #[must_use]
    pub fn leader_epoch(&self) -> LeaderEpoch {
        LeaderEpoch(self.leader_epoch.load(Ordering::Acquire))
    }

    /// When a record of it counts as stored.
    #[must_use]
    pub fn durability(&self) -> Durability {
        self.durability
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
        self.last_stable_offset_below(self.high_watermark())
    }

    /// The last stable offset, exclusive, for a reader who took `high_watermark` before: never beyond it.
    #[must_use]
    pub fn last_stable_offset_below(&self, high_watermark: Offset) -> Offset {
        self.log.first_unstable_offset().map_or(high_watermark, |unstable| unstable.min(high_watermark))
    }

    /// Wakes `wake` once the high watermark is `until` or more. Register before reading.
    #[must_use]
    pub fn register(self: &Arc<Self>, until: Offset, wake: &Arc<Notify>) -> Registration {
        let mut waiters = self.waiters.lock();
        let ticket = waiters.next_ticket;
        waiters.next_ticket += 1;
        waiters.waiting.insert(ticket, Waiter { until, wake: Arc::clone(wake) });
        Registration { partition: Arc::clone(self), ticket }
    }

    /// Wakes whoever waited for the high watermark as it is now.
    pub fn high_watermark_moved(&self) {
        let high_watermark = self.high_watermark();
        self.log.advance_high_watermark(high_watermark);
        self.waiters.lock().waiting.retain(|_, waiter| {
            let is_reached = waiter.until <= high_watermark;
            if is_reached {
                waiter.wake.notify_one();
            }
            !is_reached
        });
    }

    /// Wakes everybody, since the partition is gone or its disk has failed.
    pub fn wake_all(&self) {
        let waiting = std::mem::take(&mut self.waiters.lock().waiting);
        for waiter in waiting.into_values() {
            waiter.wake.notify_one();
        }
    }

    /// How many wait.
    #[cfg(test)]
    pub(crate) fn waiting(&self) -> usize {
        self.waiters.lock().waiting.len()
    }

    /// Says that the partition is served no more, and wakes everybody: its high watermark moves no further.
    fn close(&self) {
        self.is_closed.store(true, Ordering::Release);
        self.wake_all();
    }

    /// Whether this node has stopped serving the partition, since its topic was deleted.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.is_closed.load(Ordering::Acquire)
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
        self.partition.waiters.lock().waiting.remove(&self.ticket);
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

    /// Adds partitions in one step: readers see all of them or none. Only the task that follows the metadata calls it.
    pub fn add(&self, added: Vec<(TopicId, PartitionIndex, Arc<Partition>)>) {
        if added.is_empty() {
            return;
        }
        let mut by_topic = HashMap::clone(&self.by_topic.load());
        for (topic_id, index, partition) in added {
            let topic = by_topic.entry(topic_id).or_default();
            Arc::make_mut(topic).insert(index, partition);
        }
        self.by_topic.store(Arc::new(by_topic));
    }

    /// Removes topics, and tells whoever waits for one of their partitions, in this order: who is woken and looks
    /// again finds them gone. Only the task that follows the metadata calls it.
    pub fn remove(&self, removed: &BTreeSet<TopicId>) {
        if removed.is_empty() {
            return;
        }
        let mut by_topic = HashMap::clone(&self.by_topic.load());
        let gone: Vec<_> = removed.iter().filter_map(|topic_id| by_topic.remove(topic_id)).collect();
        self.by_topic.store(Arc::new(by_topic));
        for partition in gone.iter().flat_map(|topic| topic.values()) {
            partition.close();
        }
    }
}

#[cfg(test)]
mod tests;
