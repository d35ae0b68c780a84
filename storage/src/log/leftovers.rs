//! What lies on the disk and is no part of the log any more, until it may go.

use crate::disk::Disk;

use super::Log;
use super::retain::RemovedSegment;
use super::truncate::Tail;

/// Boxed in a log, since most have none.
pub(super) struct Leftovers<F> {
    /// Files that end later than their segments.
    pub(super) tails: Vec<Tail<F>>,
    /// Segments of which the files have yet to be removed.
    pub(super) removed: Vec<RemovedSegment>,
}

impl<F> Default for Leftovers<F> {
    fn default() -> Self {
        Self { tails: Vec::new(), removed: Vec::new() }
    }
}

impl<D: Disk> Log<D> {
    pub(super) fn leave_tail(&self, tail: Tail<D::File>) {
        self.leftovers.lock().get_or_insert_default().tails.push(tail);
    }

    pub(super) fn leave_segment(&self, removed: RemovedSegment) {
        self.leftovers.lock().get_or_insert_default().removed.push(removed);
    }
}
