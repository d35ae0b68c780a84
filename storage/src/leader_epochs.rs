//! Which leader epoch each offset of a log belongs to: what `leader-epoch-checkpoint` holds.
//!
//! Invariants: from one entry to the next, both the epoch and its start offset grow.
//!
//! Absent: files, and who is leader. Source: KIP-101, KIP-320, `LeaderEpochFileCache.java`.

use crate::checkpoint::{CheckpointError, decode_epochs, encode_epochs};
use crate::ids::{LeaderEpoch, Offset};
use serde::{Deserialize, Serialize};

/// An epoch and the offset of the first record that its leader may append.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EpochStart {
    /// The epoch.
    pub epoch: LeaderEpoch,
    /// The log end offset when the epoch began.
    pub start_offset: Offset,
}

/// The answer to "where did that epoch end": the largest epoch at or below the one asked for, and its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EpochEnd {
    /// The epoch that the end belongs to.
    pub epoch: LeaderEpoch,
    /// The exclusive end offset of that epoch.
    pub end_offset: Offset,
}

/// The leader epochs of one log.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct LeaderEpochs {
    /// Growing in both fields.
    entries: Vec<EpochStart>,
}

impl LeaderEpochs {
    /// The epochs that the text of a `leader-epoch-checkpoint` lists.
    ///
    /// # Errors
    /// [`CheckpointError`] where the text is none, or the entries do not grow.
    pub fn decode(text: &str) -> Result<Self, CheckpointError> {
        let mut epochs = Self::default();
        for (index, entry) in decode_epochs(text)?.into_iter().enumerate() {
            let grows = epochs
                .entries
                .last()
                .is_none_or(|last| last.epoch < entry.epoch && last.start_offset < entry.start_offset);
            if !grows {
                return Err(CheckpointError::Disorder { entry: index + 1 });
            }
            epochs.entries.push(entry);
        }
        Ok(epochs)
    }

    /// The text of `leader-epoch-checkpoint`.
    #[must_use]
    pub fn encode(&self) -> String {
        encode_epochs(&self.entries)
    }

    /// The entries, oldest first.
    #[must_use]
    pub fn entries(&self) -> &[EpochStart] {
        &self.entries
    }

    /// The newest epoch, if there is any.
    #[must_use]
    pub fn latest(&self) -> Option<LeaderEpoch> {
        self.entries.last().map(|entry| entry.epoch)
    }

    /// `epoch` begins at `start_offset`. Entries that contradict it (a later epoch, or one that starts at or
    /// after this offset) are false and go. True if anything changed, so that the file must be written before
    /// a record of that epoch is.
    ///
    /// # Panics
    /// If either is negative: callers have no such epochs.
    pub fn assign(&mut self, epoch: LeaderEpoch, start_offset: Offset) -> bool {
        assert!(epoch.0 >= 0, "an epoch that is assigned is not negative");
        assert!(start_offset.0 >= 0, "an epoch starts at an offset");
        let known =
            self.entries.last().is_some_and(|last| last.epoch == epoch && last.start_offset <= start_offset);
        if known {
            return false;
        }
        let contradicts = |entry: &EpochStart| entry.epoch >= epoch || entry.start_offset >= start_offset;
        while self.entries.last().is_some_and(contradicts) {
            self.entries.pop();
        }
        if self.entries.is_empty() {
            // Most logs never have a second one; by itself a list grows to four.
            self.entries.reserve_exact(1);
        }
        self.entries.push(EpochStart { epoch, start_offset });
        true
    }

    /// The epoch of the record at `offset`; `None` before the first entry. An offset past the log's end has
    /// the latest epoch.
    #[must_use]
    pub fn epoch_for_offset(&self, offset: Offset) -> Option<LeaderEpoch> {
        let after = self.entries.partition_point(|entry| entry.start_offset <= offset);
        self.entries.get(after.checked_sub(1)?).map(|entry| entry.epoch)
    }

    /// Where `requested` ended in a log that ends at `log_end_offset` (exclusive). `None` where that cannot
    /// be told: the epoch is newer than any here, or negative. Between two epochs the older one is the
    /// answer; before the oldest, the requested one, which ended where the oldest began.
    #[must_use]
    pub fn end_offset_for(&self, requested: LeaderEpoch, log_end_offset: Offset) -> Option<EpochEnd> {
        if requested.0 < 0 {
            return None;
        }
        if self.latest() == Some(requested) {
            return Some(EpochEnd { epoch: requested, end_offset: log_end_offset });
        }
        let higher = self.entries.partition_point(|entry| entry.epoch <= requested);
        let end_offset = self.entries.get(higher)?.start_offset;
        let floor = higher.checked_sub(1).and_then(|floor| self.entries.get(floor));
        Some(EpochEnd { epoch: floor.map_or(requested, |entry| entry.epoch), end_offset })
    }

    /// The log now ends at `end_offset` (exclusive): epochs that start there or later go. True if any did.
    pub fn truncate_from_end(&mut self, end_offset: Offset) -> bool {
        let kept = self.entries.partition_point(|entry| entry.start_offset < end_offset);
        let changed = kept < self.entries.len();
        self.entries.truncate(kept);
        changed
    }

    /// The log now starts at `start_offset`: epochs that ended there or earlier go, and the one that holds it
    /// starts there. True if anything changed.
    pub fn truncate_from_start(&mut self, start_offset: Offset) -> bool {
        let at_or_below = self.entries.partition_point(|entry| entry.start_offset <= start_offset);
        let Some(holder) = at_or_below.checked_sub(1) else {
            return false;
        };
        self.entries.drain(..holder);
        let Some(first) = self.entries.first_mut() else {
            return false;
        };
        let changed = holder > 0 || first.start_offset != start_offset;
        first.start_offset = start_offset;
        changed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn epochs(entries: &[(i32, i64)]) -> LeaderEpochs {
        let mut epochs = LeaderEpochs::default();
        for &(epoch, start) in entries {
            assert!(epochs.assign(LeaderEpoch(epoch), Offset(start)));
        }
        epochs
    }

    fn listed(epochs: &LeaderEpochs) -> Vec<(i32, i64)> {
        epochs.entries().iter().map(|entry| (entry.epoch.0, entry.start_offset.0)).collect()
    }

    #[test]
    fn assign_keeps_the_first_start_of_an_epoch() {
        let mut epochs = epochs(&[(2, 10)]);
        assert!(!epochs.assign(LeaderEpoch(2), Offset(10)));
        assert!(!epochs.assign(LeaderEpoch(2), Offset(15)));
        assert_eq!(listed(&epochs), [(2, 10)]);
        assert!(epochs.assign(LeaderEpoch(2), Offset(9)));
        assert_eq!(listed(&epochs), [(2, 9)]);
    }

    #[test]
    fn assign_removes_what_contradicts_the_new_entry() {
        let mut same_start = epochs(&[(1, 0), (2, 10), (3, 10)]);
        assert_eq!(listed(&same_start), [(1, 0), (3, 10)]);
        assert!(same_start.assign(LeaderEpoch(4), Offset(0)));
        assert_eq!(listed(&same_start), [(4, 0)]);
        let mut older = epochs(&[(1, 0), (5, 10)]);
        assert!(older.assign(LeaderEpoch(3), Offset(20)));
        assert_eq!(listed(&older), [(1, 0), (3, 20)]);
    }

    #[test]
    fn end_offset_follows_kip_320() {
        let epochs = epochs(&[(2, 10), (4, 20), (7, 30)]);
        let end = |epoch| {
            epochs.end_offset_for(LeaderEpoch(epoch), Offset(40)).map(|end| (end.epoch.0, end.end_offset.0))
        };
        assert_eq!(end(-1), None);
        assert_eq!(end(0), Some((0, 10)), "below the oldest: the asked epoch with the oldest one's start");
        assert_eq!(end(2), Some((2, 20)));
        assert_eq!(end(3), Some((2, 20)), "between two: the floor");
        assert_eq!(end(4), Some((4, 30)));
        assert_eq!(end(6), Some((4, 30)));
        assert_eq!(end(7), Some((7, 40)), "the newest: the log end");
        assert_eq!(end(8), None, "above the newest: unknown");
        assert_eq!(LeaderEpochs::default().end_offset_for(LeaderEpoch(0), Offset(0)), None);
    }

    #[test]
    fn epoch_of_an_offset_is_that_of_the_entry_below() {
        let epochs = epochs(&[(2, 10), (4, 20)]);
        let epoch = |offset| epochs.epoch_for_offset(Offset(offset)).map(|epoch| epoch.0);
        assert_eq!(
            [epoch(9), epoch(10), epoch(19), epoch(20), epoch(99)],
            [None, Some(2), Some(2), Some(4), Some(4)]
        );
    }

    #[test]
    fn truncation_from_the_end_forgets_epochs_without_records() {
        let mut epochs = epochs(&[(2, 10), (4, 20), (7, 30)]);
        assert!(!epochs.truncate_from_end(Offset(31)));
        assert!(epochs.truncate_from_end(Offset(20)));
        assert_eq!(listed(&epochs), [(2, 10)]);
        assert!(epochs.truncate_from_end(Offset(0)));
        assert_eq!(epochs.latest(), None);
    }

    #[test]
    fn truncation_from_the_start_moves_the_epoch_that_holds_the_start() {
        let mut epochs = epochs(&[(2, 10), (4, 20), (7, 30)]);
        assert!(!epochs.truncate_from_start(Offset(5)));
        assert!(!epochs.truncate_from_start(Offset(10)));
        assert!(epochs.truncate_from_start(Offset(25)));
        assert_eq!(listed(&epochs), [(4, 25), (7, 30)]);
        assert!(epochs.truncate_from_start(Offset(99)));
        assert_eq!(listed(&epochs), [(7, 99)]);
    }

    #[test]
    fn epochs_survive_their_file_and_disorder_is_refused() {
        let epochs = epochs(&[(0, 0), (4, 20)]);
        assert_eq!(epochs.encode(), "0\n2\n0 0\n4 20\n");
        assert_eq!(LeaderEpochs::decode(&epochs.encode()), Ok(epochs));
        let disorder = Err(CheckpointError::Disorder { entry: 2 });
        assert_eq!(LeaderEpochs::decode("0\n2\n4 0\n4 20\n"), disorder);
        assert_eq!(LeaderEpochs::decode("0\n2\n4 20\n5 20\n"), disorder);
    }
}
