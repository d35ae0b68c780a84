//! Taking old segments out of a log. Readers that hold views of them keep those; the files go later.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use crate::disk::{Disk, DiskError};
use crate::ids::{Offset, TimestampMs};
use crate::log_dir::files::with_suffix;
use crate::retention::{SegmentFacts, segments_to_delete};
use crate::segment::{DELETED_SUFFIX, FileKind, Segment, Stage, file_name};

use super::Log;
use super::checkpoint::SNAPSHOT_SUFFIX;

/// Files of a segment that is no longer part of the log.
pub(super) struct RemovedSegment {
    pub(super) files: Vec<PathBuf>,
    pub(super) due: TimestampMs,
}

impl<D: Disk> Log<D> {
    /// Takes the segments that retention lets go out of the log, and renames their files. Answers how many.
    ///
    /// # Errors
    /// The disk failed.
    pub fn delete_old_segments(
        self: &Arc<Self>,
        now: TimestampMs,
        high_watermark: Offset,
    ) -> Result<usize, DiskError> {
        let config = self.config();
        let _sealed = self.sealed.lock();
        let segments = self.segments.load_full();
        let facts = segments.iter().map(|segment| self.facts(segment)).collect::<Result<Vec<_>, _>>()?;
        let count = segments_to_delete(&facts, &config, now, high_watermark, self.log_start_offset());
        if count == 0 {
            return Ok(0);
        }
        if count == segments.len() {
            let mut appender = self.append.lock();
            let is_unchanged = self.segments.load().len() == count
                && facts.last().is_some_and(|facts| facts.next_offset == self.log_end_offset());
            if !is_unchanged {
                return Ok(0);
            }
            let started = self.start_idle_segment(&mut appender);
            drop(appender);
            started?;
            self.shared.flusher.mark_dirty(self, 0);
        }
        self.remove_oldest(&segments, count, now)?;
        Ok(count)
    }

    /// Follows the start of the leader's log, where that is later: nothing below can be read any more, and segments that lie
    /// wholly below go. It is kept across a restart as [`Self::advance_log_start_offset`] is.
    ///
    /// # Errors
    /// The disk failed.
    pub fn follow_log_start(&self, offset: Offset, now: TimestampMs) -> Result<(), DiskError> {
        if offset <= self.log_start_offset() {
            return Ok(());
        }
        self.advance_log_start_offset(offset);
        let _sealed = self.sealed.lock();
        let segments = self.segments.load_full();
        let start = self.log_start_offset();
        let sealed = segments.split_last().map_or(&[][..], |(_, sealed)| sealed);
        let count = sealed.iter().take_while(|segment| segment.next_offset() <= start).count();
        self.remove_oldest(&segments, count, now)
    }

    /// Takes the first `count` of the segments out of the log, and renames their files.
    fn remove_oldest(
        &self,
        segments: &[Arc<Segment<D>>],
        count: usize,
        now: TimestampMs,
    ) -> Result<(), DiskError> {
        if count == 0 {
            return Ok(());
        }
        self.take_out(count);
        let due = TimestampMs(now.0.saturating_add(self.config().file_delete_delay_ms));
        segments.iter().take(count).try_for_each(|segment| self.rename_deleted(segment, due))
    }

    /// Moves the start of the log up to `offset`: nothing below can be read any more. It is kept across a restart once
    /// the next checkpoint was written, or `LogDir::write_log_starts` returned. Source: KIP-107.
    pub fn advance_log_start_offset(&self, offset: Offset) {
        // The end of the log does not move back meanwhile.
        let _appender = self.append.lock();
        let offset = offset.min(self.log_end_offset());
        self.log_start_offset.fetch_max(offset.0, Ordering::AcqRel);
        self.epochs.write().truncate_from_start(offset);
    }

    /// Removes the files of segments that went long enough ago.
    ///
    /// # Errors
    /// The disk failed.
    pub fn remove_deleted_segments(&self, now: TimestampMs) -> Result<(), DiskError> {
        let mut leftovers = self.leftovers.lock();
        let Some(removed) = leftovers.as_mut().map(|leftovers| &mut leftovers.removed) else {
            return Ok(());
        };
        let due: Vec<RemovedSegment> = removed.extract_if(.., |removed| removed.due <= now).collect();
        drop(leftovers);
        for path in due.iter().flat_map(|removed| &removed.files) {
            remove_if_there(&self.shared.disk, path)?;
        }
        Ok(())
    }

    fn facts(&self, segment: &Arc<Segment<D>>) -> Result<SegmentFacts, DiskError> {
        let largest_timestamp = self.largest_timestamp(segment)?;
        let (size_in_bytes, next_offset) = (segment.end(), segment.next_offset());
        Ok(SegmentFacts { next_offset, size_in_bytes, largest_timestamp })
    }

    /// When the newest record of a segment was made, or the file was last written where no record says.
    pub(super) fn largest_timestamp(&self, segment: &Segment<D>) -> Result<TimestampMs, DiskError> {
        match segment.largest_timestamp().filter(|largest| largest.timestamp.0 >= 0) {
            Some(largest) => Ok(largest.timestamp),
            None => self.shared.disk.modified(&segment.path(FileKind::Log)),
        }
    }

    /// The first `count` segments are no longer part of the log.
    fn take_out(&self, count: usize) {
        let appender = self.append.lock();
        let segments = self.segments.load_full();
        let (gone, kept) = segments.split_at(count.min(segments.len()));
        let start = kept.first().map_or(self.log_end_offset(), |first| first.base_offset);
        self.log_start_offset.fetch_max(start.0, Ordering::AcqRel);
        self.segments.store(Arc::new(kept.to_vec()));
        self.epochs.write().truncate_from_start(self.log_start_offset());
        let mut aborted = self.aborted.write();
        gone.iter().for_each(|segment| aborted.remove(segment.base_offset));
        drop(appender);
        self.shared.open_segments.forget(|open| gone.iter().any(|segment| Arc::ptr_eq(open, segment)));
        gone.iter().for_each(|segment| segment.set_open(None));
    }

    fn rename_deleted(&self, segment: &Segment<D>, due: TimestampMs) -> Result<(), DiskError> {
        let disk = &self.shared.disk;
        let mut files = segment.rename_files(disk, Stage::Deleted)?;
        let snapshot = self.directory.join(&file_name(segment.base_offset, SNAPSHOT_SUFFIX));
        let renamed = with_suffix(&snapshot, DELETED_SUFFIX);
        match disk.rename(&snapshot, &renamed) {
            Ok(()) => files.push(renamed),
            Err(error) if error.is_not_found() => {}
            Err(error) => return Err(error),
        }
        self.checkpointed.lock().snapshots.remove(&segment.base_offset);
        self.leave_segment(RemovedSegment { files, due });
        Ok(())
    }
}

/// Removes a file, which may be gone already.
pub(crate) fn remove_if_there<D: Disk>(disk: &D, path: &std::path::Path) -> Result<(), DiskError> {
    match disk.remove_file(path) {
        Err(error) if error.is_not_found() => Ok(()),
        other => other,
    }
}
