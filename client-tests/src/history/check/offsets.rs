//! Rules on offsets that brokers answer: neither the end of a partition nor what a group has committed goes back.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::history::anomaly::Anomaly;
use crate::history::content::Place;
use crate::history::{Entry, Operation, Tick};

/// The highest value that was known at the end of each operation so far; values and ticks both grow.
#[derive(Debug, Default)]
struct Highest(Vec<(Tick, i64)>);

impl Highest {
    fn add(&mut self, at: Tick, value: i64) {
        if self.0.last().is_none_or(|&(_, highest)| highest < value) {
            self.0.push((at, value));
        }
    }

    /// The highest value that was known when an operation began.
    fn before(&self, began: Tick) -> Option<i64> {
        let later = self.0.partition_point(|&(at, _)| at < began);
        later.checked_sub(1).and_then(|last| self.0.get(last)).map(|&(_, value)| value)
    }
}

/// The end offset of a partition does not go back, as long as leaders answer in the order of their epochs. One that was
/// deposed and does not know it yet may answer what it knows: it promises nothing new by that.
pub(super) fn check_end_offsets(entries: &[Entry], found: &mut Vec<Anomaly>) {
    // By epoch, since a question about an epoch is about that one and all before it.
    let mut highest: BTreeMap<&Place, BTreeMap<i32, Highest>> = BTreeMap::new();
    for entry in entries {
        let Operation::EndOffset { place, leader_epoch, offset } = &entry.operation else { continue };
        let epochs = highest.entry(place).or_default();
        let known = epochs.range(..=leader_epoch).filter_map(|(_, highest)| highest.before(entry.began));
        if let Some(before) = known.max().filter(|before| before > offset) {
            let place = place.clone();
            found.push(Anomaly::HighWatermarkRegression { place, before, after: *offset });
        }
        epochs.entry(*leader_epoch).or_default().add(entry.ended, *offset);
    }
}

/// What a group has committed is at least what was acknowledged to it, or answered, before the question was asked.
pub(super) fn check_committed_offsets(entries: &[Entry], found: &mut Vec<Anomaly>) {
    let mut highest: BTreeMap<(&Arc<str>, &Place), Highest> = BTreeMap::new();
    for entry in entries {
        match &entry.operation {
            Operation::Commit { group, place, offset } => {
                highest.entry((group, place)).or_default().add(entry.ended, *offset);
            }
            Operation::Committed { group, place, offset } => {
                let highest = highest.entry((group, place)).or_default();
                if let Some(before) = highest.before(entry.began).filter(|before| before > offset) {
                    let (group, place) = (Arc::clone(group), place.clone());
                    found.push(Anomaly::CommittedOffsetRegression { group, place, before, after: *offset });
                }
                highest.add(entry.ended, *offset);
            }
            Operation::Attempted { .. }
            | Operation::Send { .. }
            | Operation::Assigned { .. }
            | Operation::Poll { .. }
            | Operation::EndOffset { .. } => {}
        }
    }
}
