//! The aborted transactions of a log by segment, as its `.txnindex` files have them.

use std::collections::BTreeMap;

use crate::aborted_transactions::{AbortedTransaction, AbortedTransactions};
use crate::ids::Offset;

/// Aborted transactions by the base offset of the segment that holds their marker.
#[derive(Debug, Default)]
pub(crate) struct AbortedBySegment {
    segments: BTreeMap<Offset, AbortedInSegment>,
}

#[derive(Debug, Default)]
struct AbortedInSegment {
    transactions: AbortedTransactions,
    /// The file lacks something, or holds what is no part of the log any more.
    is_unwritten: bool,
}

impl AbortedInSegment {
    /// Lets go of what lies at `offset` or behind it. Where that is something, the file is to be written anew, also without
    /// an entry: nobody looks behind the recovery point for what a file holds too much.
    fn truncate_from(&mut self, offset: Offset) {
        let count = self.transactions.entries().len();
        self.transactions.truncate_from(offset);
        self.is_unwritten |= self.transactions.entries().len() < count;
    }
}

impl AbortedBySegment {
    /// What the file of a segment holds.
    pub(crate) fn insert(&mut self, base_offset: Offset, transactions: AbortedTransactions) {
        if !transactions.entries().is_empty() {
            self.segments.insert(base_offset, AbortedInSegment { transactions, is_unwritten: false });
        }
    }

    /// Adds a transaction whose marker was just appended to the segment.
    pub(crate) fn push(&mut self, base_offset: Offset, aborted: AbortedTransaction) {
        let segment = self.segments.entry(base_offset).or_default();
        segment.transactions.push(aborted);
        segment.is_unwritten = true;
    }

    pub(crate) fn collect(&self, from: Offset, upper_bound: Offset) -> Vec<AbortedTransaction> {
        let mut found = Vec::new();
        // A transaction that began before `from` may have its marker in any later segment, never in an earlier one.
        let first = self.segments.range(..=from).next_back().map_or(from, |(base_offset, _)| *base_offset);
        for segment in self.segments.range(first..).map(|(_, segment)| segment) {
            if segment.transactions.collect(from, upper_bound, &mut found) {
                break;
            }
        }
        found
    }

    /// Forgets what a replay from `offset` on will find again.
    pub(crate) fn truncate_from(&mut self, offset: Offset) {
        self.segments.values_mut().for_each(|segment| segment.truncate_from(offset));
    }

    /// The log now ends at `end_offset` (exclusive), in the segment at `last_base`.
    pub(crate) fn cut(&mut self, last_base: Offset, end_offset: Offset) {
        self.segments.retain(|base_offset, _| *base_offset <= last_base);
        if let Some(last) = self.segments.get_mut(&last_base) {
            last.truncate_from(end_offset);
        }
    }

    /// The files that are not as they should be, by the base offsets of their segments. They count as written from here on.
    pub(crate) fn take_unwritten(&mut self) -> Vec<(Offset, Vec<u8>)> {
        let take = |(base_offset, segment): (&Offset, &mut AbortedInSegment)| {
            let is_unwritten = std::mem::take(&mut segment.is_unwritten);
            is_unwritten.then(|| (*base_offset, segment.transactions.encode()))
        };
        self.segments.iter_mut().filter_map(take).collect()
    }

    /// The file of that segment was not written after all.
    pub(crate) fn put_back(&mut self, base_offset: Offset) {
        if let Some(segment) = self.segments.get_mut(&base_offset) {
            segment.is_unwritten = true;
        }
    }

    /// Whether markers in that segment end aborted transactions.
    pub(crate) fn has_any(&self, base_offset: Offset) -> bool {
        self.segments.contains_key(&base_offset)
    }

    pub(crate) fn remove(&mut self, base_offset: Offset) {
        self.segments.remove(&base_offset);
    }
}
