//! Taking away the end of a log.

use std::path::PathBuf;
use std::sync::Arc;

use crate::disk::{Access, Disk, DiskError, DiskFile};
use crate::error::TruncateError;
use crate::ids::Offset;
use crate::log_dir::CheckpointBounds;
use crate::log_dir::files::{TEMPORARY_SUFFIX, Unsynced, with_suffix};
use crate::segment::{FileKind, Segment, file_name};

use super::super::checkpoint::SNAPSHOT_SUFFIX;
use super::super::retain::remove_if_there;
use super::place::Cut;
use super::{AfterCut, Cutting, Tail};

/// The empty segment at the new end, and its file under the name that it is created with.
struct Next<D: Disk> {
    segment: Arc<Segment<D>>,
    file: PathBuf,
}

/// The segment in which the log was cut: as it was, and as it is.
struct CutSegment<D: Disk> {
    before: Arc<Segment<D>>,
    ended: Arc<Segment<D>>,
}

impl<D: Disk> Cutting<'_, D> {
    /// Ends the log where `cut` says.
    pub(super) fn cut_end(mut self, cut: Cut<D>) -> Result<(), TruncateError> {
        let log = self.log;
        let producers = self.producers_at(&cut).map_err(TruncateError::Read)?;
        let ended = cut.ended_segment(log).map_err(|error| log.cut_not_begun(error))?;
        let Cut { kept: mut segments, segment: before, open, end_offset, .. } = cut;
        // Nobody may map what goes when its file is cut.
        drop(open);
        let bounds = CheckpointBounds { ends: end_offset, start: end_offset };
        self.lower_checkpoints(bounds).map_err(|error| log.cut_not_begun(error))?;
        let next = self.create_next(end_offset).map_err(|error| log.cut_not_begun(error))?;
        // A start finds what is known of producers at its recovery point, however long that stays there.
        let mut unsynced = Unsynced::default();
        let snapshot = log.directory.join(&file_name(end_offset, SNAPSHOT_SUFFIX));
        unsynced
            .replace_file(log.disk(), snapshot, &producers.encode_snapshot())
            .map_err(|error| log.cut_not_begun(error))?;
        if let Some(ended) = &ended {
            segments.pop();
            segments.push(Arc::clone(ended));
        }
        segments.push(Arc::clone(&next.segment));
        let (last_base, flushed_end_offset) = (before.base_offset, log.flushed_end_offset().min(end_offset));
        let start_offset = log.log_start_offset().min(end_offset);
        let mut gone =
            self.show(AfterCut { segments, start_offset, end_offset, flushed_end_offset, producers });
        gone.retain(|segment| !Arc::ptr_eq(segment, &before));
        log.epochs.write().truncate_from_end(end_offset);
        log.aborted.write().cut(last_base, end_offset);
        self.appender.roll_snapshots.retain(|(offset, _)| *offset < end_offset);
        let ended = ended.map(|ended| CutSegment { before, ended });
        let is_flushed = flushed_end_offset == end_offset;
        self.take_away(&gone, &next, ended, is_flushed, unsynced).map_err(|error| log.cut_failed(error))?;
        drop(self);
        // The next round says how far the log is on the disk.
        log.shared.flusher.mark_dirty(log, 0);
        Ok(())
    }

    fn create_next(&self, base_offset: Offset) -> Result<Next<D>, DiskError> {
        let segment = Arc::new(Segment::empty(Arc::clone(&self.log.directory), base_offset));
        let file = with_suffix(&segment.path(FileKind::Log), TEMPORARY_SUFFIX);
        self.log.disk().create(&file)?;
        Ok(Next { segment, file })
    }

    /// Makes the files what the log is already. The cut is on the disk when this returns.
    fn take_away(
        &mut self,
        gone: &[Arc<Segment<D>>],
        next: &Next<D>,
        ended: Option<CutSegment<D>>,
        is_flushed: bool,
        mut unsynced: Unsynced,
    ) -> Result<(), DiskError> {
        let log = self.log;
        self.place_next(gone, next)?;
        let others = gone.iter().filter(|segment| segment.base_offset != next.segment.base_offset);
        others.into_iter().try_for_each(|segment| self.remove_segment(segment))?;
        self.remove_snapshots(|offset| offset > next.segment.base_offset)?;
        if let Some(ended) = ended {
            self.end_files(ended, is_flushed, &mut unsynced)?;
        }
        unsynced.add_directory(log.directory.path());
        unsynced.sync(log.disk(), &log.shared.path)?;
        log.shared.lock_file.confirm_syncs()?;
        self.checkpointed.snapshots.insert(next.segment.base_offset);
        log.cut_tails()
    }

    /// Gives the empty segment its name, in one step also where a segment goes that has the same: there is no moment
    /// without one that ends the segment before it.
    fn place_next(&self, gone: &[Arc<Segment<D>>], next: &Next<D>) -> Result<(), DiskError> {
        let disk = self.log.disk();
        let replaced = gone.iter().find(|segment| segment.base_offset == next.segment.base_offset);
        if let Some(replaced) = replaced {
            replaced.retire();
        }
        disk.rename(&next.file, &next.segment.path(FileKind::Log))?;
        if replaced.is_some() {
            for kind in [FileKind::OffsetIndex, FileKind::TimeIndex, FileKind::AbortedTransactions] {
                remove_if_there(disk, &next.segment.path(kind))?;
            }
        }
        Ok(())
    }

    /// Ends the files of the segment that stays last: its indexes at once, its records when nobody maps what went.
    fn end_files(
        &self,
        CutSegment { before, ended }: CutSegment<D>,
        is_flushed: bool,
        unsynced: &mut Unsynced,
    ) -> Result<(), DiskError> {
        let disk = self.log.disk();
        let file = disk.open(&ended.path(FileKind::Log), Access::ReadWrite)?;
        if !is_flushed {
            // The flusher has forgotten the segment that this one replaces.
            file.sync_data()?;
        }
        let (offsets, times) = (ended.path(FileKind::OffsetIndex), ended.path(FileKind::TimeIndex));
        ended.offsets.write(disk, &offsets)?;
        ended.times.write(disk, &times)?;
        unsynced.add_file(offsets);
        unsynced.add_file(times);
        before.retire();
        self.log.leave_tail(Tail::new(&before, file, ended.end()));
        Ok(())
    }
}
