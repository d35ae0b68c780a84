//! How many partitions are written to at the same time: a log that is written to has a segment open and mapped, and one that
//! cannot open its next segment ends the node.
//!
//! Invariant: clients have no more logs open for writing than there is room for. A log lets go of its segment where nothing was
//! appended between two checkpoints, so that those of this round and of the one before are open. Who wants to append to another
//! one, where there is no room, is told to come back, and the next round begins soon. Whoever is written to in each round stays,
//! so that others wait for as long as that goes on.
//!
//! Absent: which segments are open for reading (`storage`); fairness among those that are written to all the time; and what clients
//! do not write themselves. Neither followers, which append what their leaders have, nor coordinators ask for a place: in a set
//! two thirds of the room are left to followers (`Broker::busy_partitions_max`), and coordinators append to the few partitions of
//! their topics. A follower that has to catch up in very many partitions at once can have more open than there is room for.

use parking_lot::Mutex;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::Duration;
use storage::batch::BatchHeader;
use tokio::sync::Notify;

/// The first round: two after what [`LastRound`] is without any.
const FIRST_ROUND: u32 = 2;

/// How long a producer whose first batch was refused is waited for with it. Longer: a producer that the log has forgotten, and
/// that rightly goes on where it was, waits longer for others. Shorter: a client that takes longer to come back finds its second
/// batch in the log, and has to give up the first.
const FIRST_BATCH_WITHIN: Duration = Duration::from_secs(10);

/// The round in which a partition was last appended to; none is round zero.
#[derive(Debug, Default)]
pub(crate) struct LastRound(AtomicU32);

/// When the first batch of a producer was refused last, in milliseconds; 0 is never.
///
/// A log takes any sequence from a producer that it does not know. Without this, the second batch, which is on its way
/// already, would be taken once there is room, and the first would be out of order for ever.
#[derive(Debug, Default)]
pub(crate) struct FirstBatchRefused(AtomicU64);

impl FirstBatchRefused {
    /// The batch was refused for want of room at `now`, on a clock that never goes back.
    pub(crate) fn note(&self, header: &BatchHeader, now: Duration) {
        if header.has_producer_id() && header.base_sequence.0 == 0 {
            let now_ms = u64::try_from(now.as_millis()).unwrap_or(u64::MAX);
            self.0.store(now_ms.max(1), Ordering::Relaxed);
        }
    }

    /// Whether the batch has to wait, since one before it may have been refused. `is_known` looks for its producer in the log.
    pub(crate) fn holds_back(
        &self,
        header: &BatchHeader,
        now: impl FnOnce() -> Duration,
        is_known: impl FnOnce() -> bool,
    ) -> bool {
        let refused_ms = self.0.load(Ordering::Relaxed);
        refused_ms != 0
            && header.has_producer_id()
            && header.base_sequence.0 != 0
            && now().saturating_sub(Duration::from_millis(refused_ms)) < FIRST_BATCH_WITHIN
            && !is_known()
    }
}

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
    use super::{BusyPartitions, FIRST_BATCH_WITHIN, FirstBatchRefused, LastRound};
    use std::time::Duration;
    use storage::batch::BatchHeader;
    use storage::batch_builder::{BatchBuilder, BatchSpec};
    use storage::ids::{ProducerEpoch, ProducerId, Sequence, TimestampMs};

    const NOW: Duration = Duration::from_secs(5);

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

    /// A partition, and the producers that its log knows.
    #[derive(Default)]
    struct Written {
        last: LastRound,
        refused: FirstBatchRefused,
        known: Vec<ProducerId>,
    }

    impl Written {
        /// As `produce` does it, with room for one partition.
        fn append(&mut self, busy: &BusyPartitions, now: Duration, (id, sequence): (i64, i32)) -> bool {
            let header = batch(id, sequence);
            let has_room = busy.admit(&self.last, || 1);
            if !has_room {
                self.refused.note(&header, now);
            }
            let is_known = || self.known.contains(&header.producer_id);
            let is_taken = has_room && !self.refused.holds_back(&header, || now, is_known);
            if is_taken {
                self.known.push(header.producer_id);
            }
            is_taken
        }
    }

    fn batch(id: i64, sequence: i32) -> BatchHeader {
        let (producer_id, base_sequence) = (ProducerId(id), Sequence(sequence));
        let spec = BatchSpec {
            producer_id,
            producer_epoch: ProducerEpoch(0),
            base_sequence,
            ..BatchSpec::default()
        };
        let mut builder = BatchBuilder::new(spec);
        builder.push(TimestampMs(0), None, Some(b"a reading"), &[]);
        BatchHeader::parse(&builder.build().expect("one batch")).expect("a header")
    }

    /// A node with room for one partition, which another one has until there is a new round.
    fn full() -> BusyPartitions {
        let busy = BusyPartitions::default();
        assert!(busy.admit(&LastRound::default(), || 1));
        busy
    }

    #[test]
    fn a_second_batch_does_not_overtake_a_first_that_was_refused() {
        let (busy, mut partition) = (full(), Written::default());
        assert!(!partition.append(&busy, NOW, (1, 0)));
        assert!(!partition.append(&busy, NOW, (2, 0)), "another producer");
        round(&busy);
        round(&busy);
        assert!(!partition.append(&busy, NOW, (1, 3)), "the log would take any sequence");
        assert!(!partition.append(&busy, NOW, (2, 5)));
        assert!(partition.append(&busy, NOW, (1, 0)));
        assert!(partition.append(&busy, NOW, (1, 3)), "its producer is known");
        assert!(!partition.append(&busy, NOW, (2, 5)), "this one is not yet");
        assert!(partition.append(&busy, NOW, (2, 0)) && partition.append(&busy, NOW, (2, 5)));
        assert!(partition.append(&busy, NOW, (-1, -1)), "without a producer id nothing is in order");
    }

    #[test]
    fn a_producer_that_the_log_forgot_goes_on_after_a_while() {
        let (busy, mut partition) = (full(), Written::default());
        assert!(!partition.append(&busy, NOW, (1, 0)));
        round(&busy);
        round(&busy);
        assert!(!partition.append(&busy, NOW, (2, 70)));
        assert!(partition.append(&busy, NOW + FIRST_BATCH_WITHIN, (2, 70)), "not longer");
        let mut quiet = Written::default();
        assert!(!quiet.append(&busy, NOW, (3, 70)), "no room");
        round(&busy);
        round(&busy);
        assert!(quiet.append(&busy, NOW, (3, 70)), "no first batch was refused here");
    }
}
