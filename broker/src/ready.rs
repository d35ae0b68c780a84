//! What has news, said to the one task that passes it on.
//!
//! Whoever makes news marks it, at a cost that does not depend on how much else there is; the task takes all marks at
//! once and looks at those partitions alone. What is marked again before it was taken stays marked once, so a queue never
//! holds more than there are partitions.
//!
//! Invariant: news that was published before a mark is seen by who takes the mark and looks afterwards.

use crate::partitions::PartitionKey;
use parking_lot::Mutex;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use tokio::sync::Notify;

/// The marks that one task takes.
#[derive(Debug, Default)]
pub(crate) struct ReadyQueue {
    marked: Mutex<Vec<Arc<Mark>>>,
    wake: Notify,
}

/// The mark of one partition for one task.
#[derive(Debug)]
pub(crate) struct Mark {
    key: PartitionKey,
    is_set: AtomicBool,
    queue: Arc<ReadyQueue>,
}

impl Mark {
    /// A mark that is not set.
    pub(crate) fn new(key: PartitionKey, queue: &Arc<ReadyQueue>) -> Arc<Self> {
        Arc::new(Self { key, is_set: AtomicBool::new(false), queue: Arc::clone(queue) })
    }

    /// Whose it is.
    #[cfg(test)]
    fn key(&self) -> PartitionKey {
        self.key
    }

    /// Says that there is news.
    pub(crate) fn set(self: &Arc<Self>) {
        // A swap also where it is set: what was published before is then seen by who takes it away.
        if !self.is_set.swap(true, Ordering::AcqRel) {
            self.queue.marked.lock().push(Arc::clone(self));
            self.queue.wake.notify_one();
        }
    }
}

impl ReadyQueue {
    /// Takes all marks away, in the order in which they were set.
    pub(crate) fn take(&self) -> Vec<PartitionKey> {
        let marked = std::mem::take(&mut *self.marked.lock());
        marked
            .into_iter()
            .map(|mark| {
                mark.is_set.swap(false, Ordering::AcqRel);
                mark.key
            })
            .collect()
    }

    /// Wakes the task although nothing is marked.
    pub(crate) fn wake(&self) {
        self.wake.notify_one();
    }

    /// Returns once something was marked, or the task was woken, since this last returned. Cancel-safe.
    pub(crate) async fn woken(&self) {
        self.wake.notified().await;
    }
}

#[cfg(test)]
mod tests {
    use super::{Mark, ReadyQueue};
    use futures_util::FutureExt;
    use std::sync::Arc;
    use storage::ids::{PartitionIndex, TopicId};

    #[test]
    fn what_is_marked_twice_is_taken_once_and_can_be_marked_again() {
        let queue = Arc::new(ReadyQueue::default());
        let [first, second] = [0, 1].map(|index| Mark::new((TopicId::ZERO, PartitionIndex(index)), &queue));
        assert!(queue.woken().now_or_never().is_none());
        second.set();
        first.set();
        second.set();
        assert!(queue.woken().now_or_never().is_some());
        assert_eq!(queue.take(), [second.key(), first.key()]);
        assert!(queue.take().is_empty());
        second.set();
        assert!(queue.woken().now_or_never().is_some());
        assert_eq!(queue.take(), [second.key()]);
    }
}
