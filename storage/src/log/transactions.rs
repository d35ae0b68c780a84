//! The aborted transactions of a log by segment, as its `.txnindex` files have them.

use std::collections::{BTreeMap, BTreeSet};

use crate::aborted_transactions::{AbortedTransaction, AbortedTransactions};
use crate::ids::Offset;

/// Aborted transactions by the base offset of the segment that holds their marker.
#[derive(Debug, Default)]
pub(crate) struct AbortedBySegment {
    segments: BTreeMap<Offset, AbortedTransactions>,
    /// The segments of which the file lacks something, or holds what is no part of the log any more.
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
        let all: Vec<Offset> = self.segments.keys().copied().collect();
        all.into_iter().for_each(|base_offset| self.truncate_segment(base_offset, offset));
    }

    /// Lets go of what a segment holds from `offset` on. Where that is something, the file is to be written anew, also
    /// without an entry: nobody looks behind the recovery point for what a file holds too much.
    fn truncate_segment(&mut self, base_offset: Offset, offset: Offset) {
        let Some(aborted) = self.segments.get_mut(&base_offset) else { return };
        let count = aborted.entries().len();
        aborted.truncate_from(offset);
        if aborted.entries().len() < count {
            self.unwritten.insert(base_offset);
        }
    }

    /// The log now ends at `end_offset` (exclusive), in the segment at `last_base`.
    pub(crate) fn cut(&mut self, last_base: Offset, end_offset: Offset) {
        self.segments.retain(|base_offset, _| *base_offset <= last_base);
        self.unwritten.retain(|base_offset| *base_offset <= last_base);
        self.truncate_segment(last_base, end_offset);
    }

    /// The files that are not as they should be, by the base offsets of their segments. They count as written from here on.
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
