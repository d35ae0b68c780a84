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
    high_watermark: Mutex<Kind>,
    durable_end: Mutex<Kind>,
    low_watermark: Mutex<Kind>,
}

/// Made with its first waiter, since most partitions of a node with many of them never have one; then it stays, so that no
/// ticket is given twice.
type Kind = Option<Box<Waiting>>;

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
    fn of(&self, milestone: Milestone) -> &Mutex<Kind> {
        match milestone {
            Milestone::HighWatermark => &self.high_watermark,
            Milestone::DurableEnd => &self.durable_end,
            Milestone::LowWatermark => &self.low_watermark,
        }
    }

    /// Wakes whoever waited for `milestone` to reach `offset`.
    pub(super) fn reached(&self, milestone: Milestone, offset: Offset) {
        let mut kind = self.of(milestone).lock();
        let Some(waiting) = &mut *kind else { return };
        waiting.by_ticket.retain(|_, waiter| {
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
            let woken =
                self.of(milestone).lock().as_mut().map(|waiting| std::mem::take(&mut waiting.by_ticket));
            for waiter in woken.into_iter().flat_map(BTreeMap::into_values) {
                waiter.wake.notify_one();
            }
        }
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        let of = |milestone| self.of(milestone).lock().as_ref().map_or(0, |waiting| waiting.by_ticket.len());
        of(Milestone::HighWatermark) + of(Milestone::DurableEnd)
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
        let mut kind = partition.waiters.of(milestone).lock();
        let waiting = kind.get_or_insert_default();
        let ticket = waiting.next_ticket;
        waiting.next_ticket += 1;
        waiting.by_ticket.insert(ticket, Waiter { until, wake: Arc::clone(wake) });
        drop(kind);
        Self { partition: Arc::clone(partition), milestone, ticket }
    }
}

impl Drop for Registration {
    fn drop(&mut self) {
        if let Some(waiting) = &mut *self.partition.waiters.of(self.milestone).lock() {
            waiting.by_ticket.remove(&self.ticket);
        }
    }
}
