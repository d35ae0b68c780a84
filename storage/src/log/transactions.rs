//! The aborted transactions of a log by segment, as its `.txnindex` files have them.

use std::collections::{BTreeMap, BTreeSet};

use crate::aborted_transactions::{AbortedTransaction, AbortedTransactions};
use crate::ids::Offset;

/// Aborted transactions by the base offset of the segment that holds their marker.
#[derive(Debug, Default)]
pub(crate) struct AbortedBySegment {
    segments: BTreeMap<Offset, AbortedTransactions>,
    /// The segments of which the file lacks something.
    unwritten: BTreeSet<Offset>,
}

impl AbortedBySegment {
    pub(crate) fn insert(&mut self, base_offset: Offset, aborted: AbortedTransactions) {
        if !aborted.entries().is_empty() {
            self.segments.insert(base_offset, aborted);
        }
    }

    /// Adds a transaction whose marker was just appended to the segment.
    pub(crate) fn push(&mut self, base_offset: Offset, aborted: AbortedTransaction) {
        self.segments.entry(base_offset).or_default().push(aborted);
        self.unwritten.insert(base_offset);
    }

    pub(crate) fn collect(&self, from: Offset, upper_bound: Offset) -> Vec<AbortedTransaction> {
        let mut found = Vec::new();
        // A transaction that began before `from` may have its marker in any later segment, never in an earlier one.
        let first = self.segments.range(..=from).next_back().map_or(from, |(base_offset, _)| *base_offset);
        for aborted in self.segments.range(first..).map(|(_, aborted)| aborted) {
            if aborted.collect(from, upper_bound, &mut found) {
                break;
            }
        }
        found
    }

    /// Forgets what a replay from `offset` on will find again.
    pub(crate) fn truncate_from(&mut self, offset: Offset) {
        self.segments.values_mut().for_each(|aborted| aborted.truncate_from(offset));
    }

    /// The files that lack something, by the base offsets of their segments. They count as written from here on.
    pub(crate) fn take_unwritten(&mut self) -> Vec<(Offset, Vec<u8>)> {
        let unwritten = std::mem::take(&mut self.unwritten).into_iter();
        unwritten.filter_map(|base| Some((base, self.segments.get(&base)?.encode()))).collect()
    }

    /// The file of that segment was not written after all.
    pub(crate) fn put_back(&mut self, base_offset: Offset) {
        self.unwritten.insert(base_offset);
    }

    /// Whether markers in that segment end aborted transactions.
    pub(crate) fn has_any(&self, base_offset: Offset) -> bool {
        self.segments.contains_key(&base_offset)
    }

    pub(crate) fn remove(&mut self, base_offset: Offset) {
        self.segments.remove(&base_offset);
        self.unwritten.remove(&base_offset);
    }
}
