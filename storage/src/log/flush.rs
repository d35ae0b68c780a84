//! What of a log is not on the disk yet, and the log's part in a round of the flusher.
//!
//! A round takes the end of the log first and the ranges second, so that the ranges cover at least that end. Only when
//! all of it is synced does the flushed end move there, unless the log was cut meanwhile.

use std::ops::Range;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use crate::disk::{Disk, DiskError, DiskFile};
use crate::ids::Offset;
use crate::segment::{OpenSegment, Segment};

use super::Log;

/// What a round has to write for a log, beside what it holds in memory only.
pub(super) struct FlushState<D: Disk> {
    /// The active segment, and sealed ones that were not flushed since.
    segments: Vec<UnflushedSegment<D>>,
    /// The file that names the topic, where it and the partition's directory are new.
    partition_metadata: Option<Box<D::File>>,
    /// Names in the partition's directory are new.
    is_directory_dirty: bool,
}

struct UnflushedSegment<D: Disk> {
    segment: Arc<Segment<D>>,
    open: Arc<OpenSegment<D>>,
    /// Exclusive.
    flushed_end: u64,
    is_sealed: bool,
}

impl<D: Disk> Default for FlushState<D> {
    fn default() -> Self {
        Self { segments: Vec::new(), partition_metadata: None, is_directory_dirty: false }
    }
}

impl<D: Disk> FlushState<D> {
    /// The partition's directory was made, with the file that names the topic.
    pub(super) fn add_directory(&mut self, partition_metadata: D::File) {
        self.partition_metadata = Some(Box::new(partition_metadata));
        self.is_directory_dirty = true;
    }

    /// Adds a segment whose file was just made, to be the active one. Those before it are sealed: the next round cuts their
    /// files and syncs them.
    pub(super) fn start_segment(&mut self, segment: &Arc<Segment<D>>, open: &Arc<OpenSegment<D>>) {
        self.segments.iter_mut().for_each(|unflushed| unflushed.is_sealed = true);
        self.add_segment(segment, open, 0);
        self.is_directory_dirty = true;
    }

    /// Adds the segment that is active from now on, of which everything below `flushed_end` is on the disk.
    pub(super) fn add_segment(
        &mut self,
        segment: &Arc<Segment<D>>,
        open: &Arc<OpenSegment<D>>,
        flushed_end: u64,
    ) {
        let (segment, open) = (Arc::clone(segment), Arc::clone(open));
        self.segments.push(UnflushedSegment { segment, open, flushed_end, is_sealed: false });
    }

    /// Forgets the segments for which `is_kept` does not hold.
    pub(super) fn keep(&mut self, is_kept: impl Fn(&Arc<Segment<D>>) -> bool) {
        self.segments.retain(|unflushed| is_kept(&unflushed.segment));
    }

    /// Whether nothing of the active segment waits, so that its writer may go.
    pub(super) fn is_clean(&self) -> bool {
        !self.is_directory_dirty
            && self.segments.iter().all(|one| !one.is_sealed && one.flushed_end == one.segment.end())
    }

    /// Forgets the active segment, whose writer is gone.
    pub(super) fn clear(&mut self) {
        self.segments.clear();
    }
}

/// A log's part in one round.
pub(crate) struct FlushWork<D: Disk> {
    /// Exclusive: where the log is flushed once this work is done.
    end_offset: Offset,
    /// How often the log was cut before. Of a log that was cut since, this says nothing.
    cuts: u64,
    pub(crate) segments: Vec<SegmentFlush<D>>,
    /// The file that names the topic, where it is new.
    pub(crate) partition_metadata: Option<Box<D::File>>,
    /// The partition's directory, where names in it are new.
    pub(crate) dirty_directory: Option<PathBuf>,
}

/// One file to sync.
pub(crate) struct SegmentFlush<D: Disk> {
    segment: Arc<Segment<D>>,
    pub(crate) open: Arc<OpenSegment<D>>,
    pub(crate) range: Range<u64>,
    is_sealed: bool,
}

impl<D: Disk> SegmentFlush<D> {
    /// Writes the range to the disk and waits. A sealed segment's file is cut to its end.
    pub(crate) fn sync(&self) -> Result<(), DiskError> {
        if self.is_sealed {
            self.open.file.set_len(self.range.end)?;
            return self.open.file.sync_data();
        }
        self.open.file.sync_mapped(&self.open.region, self.range.clone())
    }

    /// Cuts the file of a sealed segment; the sync of a whole file system follows.
    pub(crate) fn prepare_file_system_sync(&self) -> Result<(), DiskError> {
        if self.is_sealed { self.open.file.set_len(self.range.end) } else { Ok(()) }
    }

    /// Starts writing without waiting.
    pub(crate) fn start_writeback(&self) -> Result<(), DiskError> {
        self.open.file.start_writeback(self.range.clone())
    }
}

impl<D: Disk> FlushWork<D> {
    /// Bytes of records in this work.
    pub(crate) fn bytes(&self) -> u64 {
        self.segments.iter().map(|one| one.range.end - one.range.start).sum()
    }

    /// Whether the partition's directory itself is new.
    pub(crate) fn is_parent_dirty(&self) -> bool {
        self.partition_metadata.is_some()
    }
}

impl<D: Disk> Log<D> {
    /// Whether the log is marked as waiting. It writes what it read, so that the round that takes the mark away sees what
    /// the caller appended before.
    pub(crate) fn is_in_flush_queue(&self) -> bool {
        self.is_queued.compare_exchange(true, true, Ordering::AcqRel, Ordering::Relaxed).is_ok()
    }

    /// Whether this call marks the log as waiting: it was not. The caller holds the flusher's queue and puts it there.
    pub(crate) fn enter_flush_queue(&self) -> bool {
        !self.is_queued.swap(true, Ordering::AcqRel)
    }

    /// The topic's `flush.ms`, where it counts: the longest that a record waits for a round to begin.
    pub(crate) fn flush_interval(&self) -> Option<Duration> {
        let flush_ms = self.shared.settings.honours_flush_ms.then(|| self.config().flush_ms)?;
        u64::try_from(flush_ms).ok().map(Duration::from_millis)
    }

    /// Takes what is to be flushed now. What is appended from here on belongs to the next round.
    pub(crate) fn begin_flush(&self) -> FlushWork<D> {
        // A swap, so that the end of every append that found the log in the queue is seen below.
        self.is_queued.swap(false, Ordering::AcqRel);
        let mut state = self.flush.lock();
        let end_offset = self.log_end_offset();
        let mut segments = Vec::new();
        for one in &state.segments {
            let range = one.flushed_end..one.segment.end();
            if one.is_sealed || !range.is_empty() {
                let (segment, open) = (Arc::clone(&one.segment), Arc::clone(&one.open));
                segments.push(SegmentFlush { segment, open, range, is_sealed: one.is_sealed });
            }
        }
        let is_directory_dirty = std::mem::take(&mut state.is_directory_dirty);
        FlushWork {
            end_offset,
            cuts: self.cuts(),
            segments,
            partition_metadata: state.partition_metadata.take(),
            dirty_directory: is_directory_dirty.then(|| self.directory.path()),
        }
    }

    /// All of the work is on the disk. Where the log was cut meanwhile, the next round finds what that left.
    pub(crate) fn finish_flush(&self, work: &FlushWork<D>) {
        let mut state = self.flush.lock();
        if self.cuts() != work.cuts {
            return;
        }
        for done in &work.segments {
            let is_same = |one: &UnflushedSegment<D>| Arc::ptr_eq(&one.segment, &done.segment);
            if done.is_sealed {
                state.segments.retain(|one| !is_same(one));
            } else if let Some(one) = state.segments.iter_mut().find(|one| is_same(one)) {
                one.flushed_end = done.range.end;
            }
        }
        let flushed_before = self.flushed_end_offset();
        assert!(flushed_before <= work.end_offset, "the flushed end moves back");
        self.last_flush_bytes.store(work.bytes(), Ordering::Relaxed);
        self.flushed_end_offset.store(work.end_offset.0, Ordering::Release);
    }
}
