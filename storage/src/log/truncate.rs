//! Cutting a log: its end, where it parts from its leader's, or all of it.
//!
//! The steps, each of which a crash may follow:
//!
//! 1. checkpoints that say more of the log than stays are lowered, so that a start reads what stays and takes nothing that
//!    went for lost;
//! 2. readers and appends find the log cut;
//! 3. an empty segment is put at the new end: from here on a start ends the log there, since a segment ends where the next
//!    one begins;
//! 4. the segments that go are named `.deleted`, snapshots of the producers past the new end are removed, the indexes of the
//!    segment that stays last are cut, and all of it is synced;
//! 5. the file of that segment is cut once nobody maps what went ([`Tail`]); until then the recovery point stays.
//!
//! A log that starts over has its empty segment last, behind those that go, and the oldest of them go first.
//!
//! Invariants: what went cannot be read by who comes later, and never comes back; views of it stay as they are; a round of
//! the flusher, of compaction or of retention that began before says nothing of the log after it. Before step 2 an error
//! leaves the log as it was, afterwards it takes the log directory offline. Absent: where to cut.
//! Source: KIP-101, LocalLog.truncateTo, UnifiedLog.truncateFullyAndStartAt.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use parking_lot::MutexGuard;

use crate::disk::{Disk, DiskError};
use crate::error::TruncateError;
use crate::ids::{Offset, TimestampMs};
use crate::log_dir::{CheckpointBounds, Written};
use crate::producer_state::ProducerStates;
use crate::segment::{Segment, Stage, file_name};

use super::checkpoint::{CheckpointedLog, SNAPSHOT_SUFFIX};
use super::retain::{RemovedSegment, remove_if_there};
use super::{Appender, Log};

mod end;
mod place;
mod producers;
mod start_over;
mod tail;

use place::Place;

pub(super) use tail::Tail;

/// A log with everything locked that a cut changes or must not meet.
struct Cutting<'a, D: Disk> {
    log: &'a Arc<Log<D>>,
    written: MutexGuard<'a, Written>,
    _sealed: MutexGuard<'a, ()>,
    checkpointed: MutexGuard<'a, CheckpointedLog>,
    appender: MutexGuard<'a, Appender<D>>,
}

/// A log as it is after a cut. Its start and its flushed end are not later than before.
struct AfterCut<D: Disk> {
    segments: Vec<Arc<Segment<D>>>,
    start_offset: Offset,
    end_offset: Offset,
    flushed_end_offset: Offset,
    producers: ProducerStates,
}

impl<D: Disk> Log<D> {
    /// Takes everything from `offset` on out of the log, for good once this returns. A batch that `offset` lies within goes
    /// as a whole, so that the log may end before. What is below and was not flushed is flushed with the next round. Where
    /// the log ends at `offset` or before, only epochs that began at its end and have no record go.
    ///
    /// # Errors
    /// [`TruncateError`].
    pub fn truncate_to(self: &Arc<Self>, offset: Offset) -> Result<(), TruncateError> {
        let offset = offset.max(Offset(0));
        if self.forget_epochs_at_end(offset) {
            return Ok(());
        }
        let cutting = Cutting::begin(self)?;
        if offset >= self.log_end_offset() {
            // Another cut came first.
            self.epochs.write().truncate_from_end(self.log_end_offset());
            return Ok(());
        }
        match self.place_of_cut(offset).map_err(TruncateError::Read)? {
            Place::Within(cut) => cutting.cut_end(cut),
            Place::Everything(start) => cutting.start_over(start),
        }
    }

    /// Takes everything out of the log, which starts and ends at `offset` then: the leader has nothing before it. A log
    /// without files gets none, and starts at 0 again after a restart.
    ///
    /// # Errors
    /// [`TruncateError`].
    pub fn start_over_at(self: &Arc<Self>, offset: Offset) -> Result<(), TruncateError> {
        Cutting::begin(self)?.start_over(offset.max(Offset(0)))
    }

    /// Whether the log ends at `offset` or before. A leader notes its epoch before its first record; where it never wrote
    /// one, another leader's epoch may begin there.
    fn forget_epochs_at_end(&self, offset: Offset) -> bool {
        let _appender = self.append.lock();
        let end_offset = self.log_end_offset();
        if offset < end_offset {
            return false;
        }
        self.epochs.write().truncate_from_end(end_offset);
        true
    }

    fn check_may_be_cut(&self) -> Result<(), TruncateError> {
        if self.is_deleted() {
            return Err(TruncateError::Deleted(self.topic_partition.clone()));
        }
        if self.shared.is_offline() {
            return Err(TruncateError::Offline(self.topic_partition.clone()));
        }
        Ok(())
    }

    fn cut_failed(&self, error: DiskError) -> TruncateError {
        self.shared.fail(error.copy());
        TruncateError::Disk(error)
    }

    /// An error before the log has changed.
    fn cut_not_begun(&self, error: DiskError) -> TruncateError {
        if error.is_out_of_space() {
            return TruncateError::DiskFull(self.topic_partition.clone());
        }
        self.cut_failed(error)
    }
}

impl<'a, D: Disk> Cutting<'a, D> {
    fn begin(log: &'a Arc<Log<D>>) -> Result<Self, TruncateError> {
        let written = log.shared.checkpointing.lock();
        let sealed = log.sealed.lock();
        let checkpointed = log.checkpointed.lock();
        let appender = log.append.lock();
        log.check_may_be_cut()?;
        Ok(Self { log, written, _sealed: sealed, checkpointed, appender })
    }

    /// Lowers what the next start is told, and what was made of it.
    fn lower_checkpoints(&mut self, bounds: CheckpointBounds) -> Result<(), DiskError> {
        let log = self.log;
        self.written.lower(log.disk(), &log.shared.path, &log.topic_partition, bounds)?;
        log.durable_recovery_point.fetch_min(bounds.ends.0, Ordering::AcqRel);
        log.cleaned_end_offset.fetch_min(bounds.ends.0, Ordering::AcqRel);
        self.checkpointed.recovery_point = self.checkpointed.recovery_point.min(bounds.ends);
        self.checkpointed.state = None;
        Ok(())
    }

    /// Lets readers and appends find the log cut, and answers the segments that are no part of it any more.
    fn show(&mut self, after: AfterCut<D>) -> Vec<Arc<Segment<D>>> {
        let log = self.log;
        let AfterCut { segments, start_offset, end_offset, flushed_end_offset, producers } = after;
        let appender = &mut *self.appender;
        appender.writer = None;
        appender.bytes_since_index_entry = 0;
        appender.must_roll = false;
        appender.producers = producers;
        appender.high_watermark = appender.high_watermark.min(end_offset);
        let before = log.segments.load_full();
        let is_in = |all: &[Arc<Segment<D>>], segment: &Arc<Segment<D>>| {
            all.iter().any(|one| Arc::ptr_eq(one, segment))
        };
        {
            let mut flush = log.flush.lock();
            flush.keep(|segment| is_in(&segments, segment));
            log.cuts.fetch_add(1, Ordering::AcqRel);
            log.log_start_offset.store(start_offset.0, Ordering::Release);
            log.flushed_end_offset.store(flushed_end_offset.0, Ordering::Release);
            log.log_end_offset.store(end_offset.0, Ordering::Release);
        }
        let gone: Vec<_> = before.iter().filter(|segment| !is_in(&segments, segment)).cloned().collect();
        log.segments.store(Arc::new(segments));
        log.shared.open_segments.forget(|open| is_in(&gone, open));
        log.publish_first_unstable_offset(appender);
        gone
    }

    /// Names the files of a segment `.deleted`. They go with the next call of `remove_deleted_segments`.
    fn remove_segment(&self, segment: &Segment<D>) -> Result<(), DiskError> {
        let files = segment.rename_files(self.log.disk(), Stage::Cut)?;
        segment.retire();
        self.log.leave_segment(RemovedSegment { files, due: TimestampMs::NONE });
        Ok(())
    }

    fn remove_snapshots(&mut self, is_gone: impl Fn(Offset) -> bool) -> Result<(), DiskError> {
        let (disk, directory) = (self.log.disk(), &self.log.directory);
        for offset in self.checkpointed.snapshots.extract_if(.., |offset| is_gone(*offset)) {
            remove_if_there(disk, &directory.join(&file_name(offset, SNAPSHOT_SUFFIX)))?;
        }
        Ok(())
    }
}
