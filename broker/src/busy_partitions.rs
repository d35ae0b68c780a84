//! How many partitions are written to at the same time: a log that is written to has a segment open and mapped, and one that
//! cannot open its next segment ends the node.
//!
//! Invariant: no more logs are open for writing than there is room for. A log lets go of its segment where nothing was appended
//! between two checkpoints, so that those of this round and of the one before are open. Who wants to append to another one,
//! where there is no room, is told to come back, and the next round begins soon. Absent: which segments are open for reading
//! (`storage`), and what followers and coordinators append, for which the room is not given away (`OpenFiles::of_writers`).

use parking_lot::Mutex;
use std::sync::atomic::{AtomicU32, Ordering};
use tokio::sync::Notify;

/// The first round: two after what [`LastRound`] is without any.
const FIRST_ROUND: u32 = 2;

/// The round in which a partition was last appended to; none is round zero.
#[derive(Debug, Default)]
pub(crate) struct LastRound(AtomicU32);

/// The partitions of a node that clients write to.
#[derive(Debug)]
pub(crate) struct BusyPartitions {
    round: AtomicU32,
    counts: Mutex<Counts>,
    next_round: Notify,
}

/// How many partitions were last appended to when.
#[derive(Debug, Default)]
struct Counts {
    in_this_round: usize,
    in_the_one_before: usize,
    /// Before that: their logs are letting go of their segments.
    leaving: usize,
}

impl Default for BusyPartitions {
    fn default() -> Self {
        Self { round: AtomicU32::new(FIRST_ROUND), counts: Mutex::default(), next_round: Notify::new() }
    }
}

impl BusyPartitions {
    /// Whether a partition that was appended to in round `last` may be now, where there is room for `room` of them in all.
    pub(crate) fn admit(&self, last: &LastRound, room: impl FnOnce() -> usize) -> bool {
        if last.0.load(Ordering::Relaxed) == self.round.load(Ordering::Relaxed) {
            return true;
        }
        let mut counts = self.counts.lock();
        // It changes under the lock only.
        let round = self.round.load(Ordering::Relaxed);
        let before = last.0.load(Ordering::Relaxed);
        if before == round {
            return true;
        }
        if before.wrapping_add(1) == round {
            counts.in_the_one_before = counts.in_the_one_before.saturating_sub(1);
        } else if counts.total() >= room() {
            self.next_round.notify_one();
            return false;
        }
        counts.in_this_round += 1;
        last.0.store(round, Ordering::Relaxed);
        true
    }

    /// A round begins, before logs let go of their segments.
    pub(crate) fn begin_round(&self) {
        let mut counts = self.counts.lock();
        counts.leaving += std::mem::take(&mut counts.in_the_one_before);
        counts.in_the_one_before = std::mem::take(&mut counts.in_this_round);
        self.round.fetch_add(1, Ordering::Relaxed);
    }

    /// The logs have let go of their segments.
    pub(crate) fn has_let_go(&self) {
        self.counts.lock().leaving = 0;
    }

    /// Waits until somebody found no room.
    pub(crate) async fn wants_round(&self) {
        self.next_round.notified().await;
    }

    /// How many there are.
    pub(crate) fn count(&self) -> usize {
        self.counts.lock().total()
    }
}

impl Counts {
    fn total(&self) -> usize {
        self.in_this_round + self.in_the_one_before + self.leaving
    }
}

#[cfg(test)]
mod tests {
    use super::{BusyPartitions, LastRound};

    fn round(busy: &BusyPartitions) {
        busy.begin_round();
        busy.has_let_go();
    }

    #[test]
    fn others_are_admitted_once_some_were_not_written_to_for_a_round() {
        let busy = BusyPartitions::default();
        let partitions: [LastRound; 4] = Default::default();
        let admitted = || partitions.each_ref().map(|partition| busy.admit(partition, || 2));
        assert_eq!(admitted(), [true, true, false, false]);
        assert_eq!(admitted(), [true, true, false, false], "those that are in stay in");
        round(&busy);
        let admit = |partition: &LastRound| busy.admit(partition, || 2);
        assert!(admit(&partitions[1]));
        assert_eq!((admit(&partitions[2]), busy.count()), (false, 2), "the first may still be open");
        busy.begin_round();
        assert_eq!((admit(&partitions[2]), busy.count()), (false, 2), "it is letting go");
        busy.has_let_go();
        assert_eq!(busy.count(), 1);
        assert!(admit(&partitions[2]) && !admit(&partitions[0]));
        round(&busy);
        round(&busy);
        assert_eq!(busy.count(), 0);
    }
}
