//! Who waits for a partition, and for what.

use super::Partition;
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::sync::Arc;
use storage::ids::Offset;
use tokio::sync::Notify;

/// What is waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Milestone {
    /// Every in-sync replica holds it.
    HighWatermark,
    /// This node will not lose it.
    DurableEnd,
    /// All replicas that run have deleted what is below it.
    LowWatermark,
}

/// Who waits, each kind by itself: a flush need not look at those who wait for followers.
#[derive(Debug, Default)]
pub(super) struct Waiters {
    high_watermark: Mutex<Waiting>,
    durable_end: Mutex<Waiting>,
    low_watermark: Mutex<Waiting>,
}

#[derive(Debug, Default)]
struct Waiting {
    next_ticket: u64,
    /// By ticket, so that one of very many leaves without a search.
    by_ticket: BTreeMap<u64, Waiter>,
}

#[derive(Debug)]
struct Waiter {
    until: Offset,
    wake: Arc<Notify>,
}

impl Waiters {
    fn of(&self, milestone: Milestone) -> &Mutex<Waiting> {
        match milestone {
            Milestone::HighWatermark => &self.high_watermark,
            Milestone::DurableEnd => &self.durable_end,
            Milestone::LowWatermark => &self.low_watermark,
        }
    }

    /// Wakes whoever waited for `milestone` to reach `offset`.
    pub(super) fn reached(&self, milestone: Milestone, offset: Offset) {
        self.of(milestone).lock().by_ticket.retain(|_, waiter| {
            let is_reached = waiter.until <= offset;
            if is_reached {
                waiter.wake.notify_one();
            }
            !is_reached
        });
    }

    /// Wakes everybody.
    pub(super) fn wake_all(&self) {
        for milestone in [Milestone::HighWatermark, Milestone::DurableEnd, Milestone::LowWatermark] {
            let waiting = std::mem::take(&mut self.of(milestone).lock().by_ticket);
            for waiter in waiting.into_values() {
                waiter.wake.notify_one();
            }
        }
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.high_watermark.lock().by_ticket.len() + self.durable_end.lock().by_ticket.len()
    }
}

/// A place among the waiters of a partition, given up on drop.
#[derive(Debug)]
pub struct Registration {
    partition: Arc<Partition>,
    milestone: Milestone,
    ticket: u64,
}

impl Registration {
    pub(super) fn new(
        partition: &Arc<Partition>,
        milestone: Milestone,
        until: Offset,
        wake: &Arc<Notify>,
    ) -> Self {
        let mut waiting = partition.waiters.of(milestone).lock();
        let ticket = waiting.next_ticket;
        waiting.next_ticket += 1;
        waiting.by_ticket.insert(ticket, Waiter { until, wake: Arc::clone(wake) });
        drop(waiting);
        Self { partition: Arc::clone(partition), milestone, ticket }
    }
}

impl Drop for Registration {
    fn drop(&mut self) {
        self.partition.waiters.of(self.milestone).lock().by_ticket.remove(&self.ticket);
    }
}
