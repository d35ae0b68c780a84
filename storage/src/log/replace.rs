//! Putting a segment that compaction wrote in the place of those that it was made of.
//!
//! The steps, each of which a crash may follow: the new files are whole and synced under `.cleaned` (a start removes them);
//! they are named `.swap` and the directory is synced: from here on a start goes on with the next steps; readers find the
//! new segment; the old files are named `.deleted`; the new ones get their place. Readers that found the old segments read
//! on in them: their files are only renamed, and removed after `file.delete.delay.ms`.
//!
//! The sync between the names `.swap` and the rest is for file systems that do not keep renames in their order; where they do,
//! as journals have it, every step that a crash leaves follows from those before it.
//!
//! Source: LocalLog.replaceSegments.

use std::sync::Arc;

use crate::aborted_transactions::AbortedTransactions;
use crate::disk::Disk;
use crate::error::CleanError;
use crate::ids::TimestampMs;
use crate::segment::{Segment, Stage};

use super::Log;
use super::retain::RemovedSegment;

impl<D: Disk> Log<D> {
    /// Replaces `old`, neighbours in the log, by `cleaned`, with the entries of `.txnindex` that it needs. `cuts` says how
    /// often the log was cut before the round began: a record whose successor was cut off since is the newest of its key.
    ///
    /// # Errors
    /// [`CleanError::Stopped`] where the segments are no part of the log any more, or the log was cut; a failing disk.
    pub(crate) fn replace_segments(
        &self,
        old: &[Arc<Segment<D>>],
        cleaned: &Arc<Segment<D>>,
        aborted: AbortedTransactions,
        now: TimestampMs,
        cuts: u64,
    ) -> Result<(), CleanError> {
        let _sealed = self.sealed.lock();
        // No checkpoint writes indexes under the names that change hands.
        let _checkpointed = self.checkpointed.lock();
        let disk = &self.shared.disk;
        let delay_ms = self.config().file_delete_delay_ms;
        let is_there = |segment: &Arc<Segment<D>>| {
            let segments = self.segments.load();
            let index = segments.partition_point(|one| one.base_offset < segment.base_offset);
            segments.get(index).is_some_and(|found| Arc::ptr_eq(found, segment))
        };
        if self.is_deleted() || self.cuts() != cuts || !old.iter().all(is_there) {
            return Err(CleanError::Stopped);
        }
        cleaned.rename_files(disk, Stage::Swap).map_err(CleanError::Write)?;
        disk.sync_dir(&self.directory.path()).map_err(CleanError::Write)?;
        self.put_in_list(old, cleaned, aborted);
        let mut files = Vec::new();
        for segment in old {
            files.extend(segment.rename_files(disk, Stage::Deleted).map_err(CleanError::Write)?);
        }
        cleaned.rename_files(disk, Stage::Placed).map_err(CleanError::Write)?;
        self.leave_segment(RemovedSegment { files, due: TimestampMs(now.0.saturating_add(delay_ms)) });
        disk.sync_dir(&self.directory.path()).map_err(CleanError::Write)
    }

    /// From here on readers find the new segment.
    fn put_in_list(&self, old: &[Arc<Segment<D>>], cleaned: &Arc<Segment<D>>, aborted: AbortedTransactions) {
        let is_old = |segment: &Arc<Segment<D>>| old.iter().any(|one| Arc::ptr_eq(one, segment));
        let appender = self.append.lock();
        let mut segments = Vec::clone(&self.segments.load());
        segments.retain(|segment| !is_old(segment));
        let place = segments.partition_point(|segment| segment.base_offset < cleaned.base_offset);
        segments.insert(place, Arc::clone(cleaned));
        let mut aborted_by_segment = self.aborted.write();
        old.iter().for_each(|segment| aborted_by_segment.remove(segment.base_offset));
        aborted_by_segment.insert(cleaned.base_offset, aborted);
        self.segments.store(Arc::new(segments));
        drop(appender);
        self.shared.open_segments.forget(is_old);
        old.iter().for_each(|segment| segment.set_open(None));
    }
}
