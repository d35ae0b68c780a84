//! One segment: a run of a partition's log in a file of its own, named after its first offset.
//!
//! The last segment of a log is active, the others are sealed; a sealed one never changes again. Both are opened when
//! they are first touched, and closed again when many others were touched since.
//!
//! Invariants: `end` and `next_offset` only grow, and bytes below `end` never change: where a log is cut within a segment,
//! another one takes its place that ends there. `next_offset` is stored before `end`, so who reads `end` first and
//! `next_offset` second knows that all batches below that end have smaller offsets. Every mapping of the file is in
//! `regions` as long as it lives.
//! Absent: locks that a reader would wait for while a writer writes.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Weak};

use arc_swap::ArcSwapOption;
use parking_lot::{Mutex, RwLock};

use crate::batch::BatchHeader;
use crate::disk::{Access, Disk, DiskError, DiskFile};
use crate::ids::{Offset, TimestampMs};
use crate::index::{Entry, OffsetEntry, SparseIndex, TimeEntry};
use crate::mapped::Region;

mod cut;

/// What a file of a segment holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FileKind {
    Log,
    OffsetIndex,
    TimeIndex,
    AbortedTransactions,
}

impl FileKind {
    pub(crate) const ALL: [Self; 4] =
        [Self::Log, Self::OffsetIndex, Self::TimeIndex, Self::AbortedTransactions];

    pub(crate) fn suffix(self) -> &'static str {
        match self {
            Self::Log => ".log",
            Self::OffsetIndex => ".index",
            Self::TimeIndex => ".timeindex",
            Self::AbortedTransactions => ".txnindex",
        }
    }
}

/// The end of the names of files that are being written to replace others; a start removes them. Source: LogFileUtils.java.
pub(crate) const CLEANED_SUFFIX: &str = ".cleaned";
/// The end of the names of files that are whole and about to replace others; a start goes on with that.
pub(crate) const SWAP_SUFFIX: &str = ".swap";
/// The end of the names of files that are about to be removed.
pub(crate) const DELETED_SUFFIX: &str = ".deleted";

/// What a segment is in its life, which the ends of its files' names say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stage {
    /// Being written by compaction.
    Cleaned,
    /// Whole, and about to take the place of others.
    Swap,
    /// Part of the log.
    Placed,
    /// No part of the log any more, but readers that found it before may still read it.
    Deleted,
    /// No part of the log any more since it was cut. Nobody opens it: a segment that takes its name may follow soon.
    Cut,
}

impl Stage {
    fn suffix(self) -> &'static str {
        match self {
            Self::Cleaned => CLEANED_SUFFIX,
            Self::Swap => SWAP_SUFFIX,
            Self::Placed => "",
            Self::Deleted | Self::Cut => DELETED_SUFFIX,
        }
    }
}

/// The name of a file that belongs to an offset: `00000000000000000042.log`. Source: LogFileUtils.java.
pub(crate) fn file_name(offset: Offset, suffix: &str) -> String {
    format!("{:020}{suffix}", offset.0)
}

/// The offset of such a name, where it has this suffix.
pub(crate) fn offset_of_file_name(name: &str, suffix: &str) -> Option<Offset> {
    let digits = name.strip_suffix(suffix)?;
    let is_number = digits.len() == 20 && digits.bytes().all(|digit| digit.is_ascii_digit());
    if is_number { digits.parse().ok().map(Offset) } else { None }
}

/// Where a partition's files are. The directory is renamed when the partition is deleted.
#[derive(Debug)]
pub(crate) struct PartitionDirectory(RwLock<Box<Path>>);

impl PartitionDirectory {
    pub(crate) fn new(path: PathBuf) -> Self {
        Self(RwLock::new(path.into_boxed_path()))
    }

    pub(crate) fn path(&self) -> PathBuf {
        self.0.read().to_path_buf()
    }

    pub(crate) fn join(&self, name: &str) -> PathBuf {
        self.0.read().join(name)
    }

    /// Renames the directory, with no path of it in use meanwhile.
    pub(crate) fn rename<D: Disk>(&self, disk: &D, to: &Path) -> Result<(), DiskError> {
        let mut path = self.0.write();
        disk.rename(&path, to)?;
        *path = to.into();
        Ok(())
    }
}

/// The file of a segment while it is open, and its mapping.
pub(crate) struct OpenSegment<D: Disk> {
    pub(crate) file: D::File,
    pub(crate) region: Arc<Region>,
}

/// The largest timestamp of a segment, and the last offset of the first batch that has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct LargestTimestamp {
    pub(crate) timestamp: TimestampMs,
    pub(crate) offset: Offset,
}

pub(crate) struct Segment<D: Disk> {
    pub(crate) base_offset: Offset,
    directory: Arc<PartitionDirectory>,
    /// Locked while a file is opened, so that nobody opens the file of another segment under a name that changes hands.
    stage: RwLock<Stage>,
    /// Exclusive end of the batches, in bytes.
    end: AtomicU64,
    /// Exclusive.
    next_offset: AtomicI64,
    largest_timestamp: Mutex<Option<LargestTimestamp>>,
    /// The maximum timestamp of the first batch, [`TimestampMs::NONE`] where unknown. Rolling by time starts from it.
    first_timestamp: AtomicI64,
    pub(crate) offsets: SparseIndex<OffsetEntry>,
    pub(crate) times: SparseIndex<TimeEntry>,
    open: ArcSwapOption<OpenSegment<D>>,
    /// The mappings of the file, of which some are gone by now.
    regions: Mutex<Vec<Weak<Region>>>,
    /// When it was last opened or read, in ticks of [`OpenSegments`].
    last_used: AtomicU64,
    /// A writer has it open, so it must not be closed.
    pub(crate) is_written: AtomicBool,
}

impl<D: Disk> Segment<D> {
    /// A segment of `end` bytes that holds the offsets from `base_offset` to `next_offset` (exclusive).
    pub(crate) fn new(
        directory: Arc<PartitionDirectory>,
        base_offset: Offset,
        next_offset: Offset,
        end: u64,
        indexes: (SparseIndex<OffsetEntry>, SparseIndex<TimeEntry>),
    ) -> Self {
        Self {
            base_offset,
            directory,
            stage: RwLock::new(Stage::Placed),
            end: AtomicU64::new(end),
            next_offset: AtomicI64::new(next_offset.0),
            largest_timestamp: Mutex::new(None),
            first_timestamp: AtomicI64::new(TimestampMs::NONE.0),
            offsets: indexes.0,
            times: indexes.1,
            open: ArcSwapOption::empty(),
            regions: Mutex::default(),
            last_used: AtomicU64::new(0),
            is_written: AtomicBool::new(false),
        }
    }

    /// A segment without a record.
    pub(crate) fn empty(directory: Arc<PartitionDirectory>, base_offset: Offset) -> Self {
        Self::new(directory, base_offset, base_offset, 0, Default::default())
    }

    /// A segment that is about to be written, to replace others.
    pub(crate) fn cleaned(directory: Arc<PartitionDirectory>, base_offset: Offset) -> Self {
        Self { stage: RwLock::new(Stage::Cleaned), ..Self::empty(directory, base_offset) }
    }

    /// Where a file of the segment is now. Who opens it uses [`Self::open_file`] instead, unless no other thread can
    /// rename it.
    pub(crate) fn path(&self, kind: FileKind) -> PathBuf {
        self.path_at(*self.stage.read(), kind)
    }

    fn path_at(&self, stage: Stage, kind: FileKind) -> PathBuf {
        self.directory.join(&file_name(self.base_offset, &format!("{}{}", kind.suffix(), stage.suffix())))
    }

    /// Opens a file of the segment for reading, wherever it is. Those of one that was cut off count as not there.
    pub(crate) fn open_file(&self, disk: &D, kind: FileKind) -> Result<D::File, DiskError> {
        self.open_file_at(*self.stage.read(), disk, kind)
    }

    fn open_file_at(&self, stage: Stage, disk: &D, kind: FileKind) -> Result<D::File, DiskError> {
        let path = self.path_at(stage, kind);
        if stage == Stage::Cut {
            return Err(DiskError::new("open", &path, std::io::ErrorKind::NotFound));
        }
        disk.open(&path, Access::Read)
    }

    /// Renames the files that there are, and answers their new names. The record file is first among those that go and
    /// last among those that come: who finds it may count on the others.
    pub(crate) fn rename_files(&self, disk: &D, stage: Stage) -> Result<Vec<PathBuf>, DiskError> {
        let mut current = self.stage.write();
        let mut kinds = FileKind::ALL;
        match stage {
            Stage::Deleted | Stage::Cut => {}
            Stage::Cleaned | Stage::Swap | Stage::Placed => kinds.reverse(),
        }
        let mut renamed = Vec::with_capacity(kinds.len());
        for kind in kinds {
            let to = self.path_at(stage, kind);
            match disk.rename(&self.path_at(*current, kind), &to) {
                Ok(()) => renamed.push(to),
                Err(error) if error.is_not_found() && kind != FileKind::Log => {}
                Err(error) => return Err(error),
            }
        }
        *current = stage;
        Ok(renamed)
    }

    /// Exclusive end of the batches, in bytes.
    pub(crate) fn end(&self) -> u64 {
        self.end.load(Ordering::Acquire)
    }

    /// Exclusive end of the offsets.
    pub(crate) fn next_offset(&self) -> Offset {
        Offset(self.next_offset.load(Ordering::Acquire))
    }

    /// Moves the ends, in the order that readers rely on.
    pub(crate) fn set_ends(&self, next_offset: Offset, end: u64) {
        self.next_offset.store(next_offset.0, Ordering::Release);
        self.end.store(end, Ordering::Release);
    }

    pub(crate) fn first_timestamp(&self) -> TimestampMs {
        TimestampMs(self.first_timestamp.load(Ordering::Relaxed))
    }

    pub(crate) fn note_first_timestamp(&self, timestamp: TimestampMs) {
        self.first_timestamp.store(timestamp.0, Ordering::Relaxed);
    }

    /// Notes in memory a batch that stands, or is about to stand, at `position`, and adds index entries when
    /// `bytes_since_entry` exceeds the interval. Answers the new value of that count.
    pub(crate) fn note_batch(
        &self,
        header: &BatchHeader,
        position: u64,
        bytes_since_entry: u64,
        index_interval_bytes: u64,
    ) -> u64 {
        if position == 0 {
            self.first_timestamp.store(header.max_timestamp.0, Ordering::Relaxed);
        }
        let mut largest = self.largest_timestamp.lock();
        let candidate = LargestTimestamp { timestamp: header.max_timestamp, offset: header.last_offset() };
        // A batch that compaction has emptied holds no record of that time.
        if header.record_count > 0 && largest.is_none_or(|largest| largest.timestamp < candidate.timestamp) {
            *largest = Some(candidate);
        }
        let largest = *largest;
        let batch_bytes = header.size_in_bytes() as u64;
        if bytes_since_entry <= index_interval_bytes {
            return bytes_since_entry + batch_bytes;
        }
        if let (Some(relative_offset), Ok(position)) =
            (self.relative(header.last_offset()), u32::try_from(position))
        {
            self.offsets.push_if_larger(OffsetEntry { relative_offset, position });
        }
        if let Some(largest) = largest {
            self.note_largest_timestamp(largest);
        }
        batch_bytes
    }

    fn note_largest_timestamp(&self, largest: LargestTimestamp) {
        if let Some(relative_offset) = self.relative(largest.offset).filter(|_| largest.timestamp.0 >= 0) {
            self.times.push_if_larger(TimeEntry { timestamp: largest.timestamp.0, relative_offset });
        }
    }

    /// Adds the final entry of the time index, as a roll and a clean stop do.
    pub(crate) fn finish_time_index(&self) {
        if let Some(largest) = *self.largest_timestamp.lock() {
            self.note_largest_timestamp(largest);
        }
    }

    /// `offset` minus the base offset, where the index can hold it.
    pub(crate) fn relative(&self, offset: Offset) -> Option<i32> {
        i32::try_from(offset.0.checked_sub(self.base_offset.0)?).ok().filter(|relative| *relative >= 0)
    }

    /// Where to start a scan for the batch that holds `target`: the start of a batch that does not lie behind it.
    pub(crate) fn scan_start(&self, disk: &D, target: Offset) -> Result<u64, DiskError> {
        let is_low = |entry: OffsetEntry| self.base_offset.plus(i64::from(entry.relative_offset)) <= target;
        let entry = self.offsets.last_where(|| self.open_file(disk, FileKind::OffsetIndex), is_low)?;
        Ok(entry.map_or(0, |entry| u64::from(entry.position)))
    }

    /// The start of the last indexed batch that starts at or below `position` and ends below `upper_bound`.
    pub(crate) fn indexed_position(
        &self,
        disk: &D,
        position: u64,
        upper_bound: Offset,
    ) -> Result<Option<u64>, DiskError> {
        let is_low = |entry: OffsetEntry| {
            u64::from(entry.position) <= position
                && self.base_offset.plus(i64::from(entry.relative_offset)) < upper_bound
        };
        let entry = self.offsets.last_where(|| self.open_file(disk, FileKind::OffsetIndex), is_low)?;
        Ok(entry.map(|entry| u64::from(entry.position)))
    }

    /// The largest timestamp, from memory or from the last entry of the time index, or `None` where no batch has one.
    pub(crate) fn largest_timestamp(&self) -> Option<LargestTimestamp> {
        let in_memory = *self.largest_timestamp.lock();
        in_memory.or_else(|| {
            self.times.last().map(|entry| LargestTimestamp {
                timestamp: TimestampMs(entry.timestamp),
                offset: self.base_offset.plus(i64::from(entry.relative_offset)),
            })
        })
    }

    /// Starts from the last entry of the time index when batches are added to a segment that was opened.
    pub(crate) fn take_largest_timestamp_from_index(&self) {
        let largest = self.largest_timestamp();
        *self.largest_timestamp.lock() = largest;
    }

    /// The open file, opened for reading where it is closed, and how far (exclusive, in bytes) it can be read at least: up
    /// to where the segment ended at the call. A writer may go on in another mapping, which this one never shows.
    pub(crate) fn open(
        self: &Arc<Self>,
        disk: &D,
        others: &OpenSegments<D>,
    ) -> Result<(Arc<OpenSegment<D>>, u64), DiskError> {
        others.touch(self);
        let end = self.end();
        let shows_all = |open: &Arc<OpenSegment<D>>| open.region.published_end() as u64 >= end;
        let current = self.open.load_full();
        if let Some(open) = current.as_ref().filter(|open| shows_all(open)) {
            return Ok((Arc::clone(open), end));
        }
        let opened = self.map(disk, end)?;
        let previous = self.open.compare_and_swap(&current, Some(Arc::clone(&opened)));
        if previous.as_ref().map(Arc::as_ptr) == current.as_ref().map(Arc::as_ptr) {
            if self.is_cut() {
                // Nobody else would close it.
                self.set_open(None);
            } else {
                others.opened(self);
            }
        } else if let Some(other) = previous.as_ref().filter(|other| shows_all(other)) {
            return Ok((Arc::clone(other), end));
        }
        Ok((opened, end))
    }

    /// Maps the file for reading. It keeps its name, and the segment its place, until the mapping is known.
    fn map(&self, disk: &D, end: u64) -> Result<Arc<OpenSegment<D>>, DiskError> {
        let stage = self.stage.read();
        let file = self.open_file_at(*stage, disk, FileKind::Log)?;
        if file.len()? < end {
            // The name of a segment that is gone has passed on to the next one that went.
            let path = self.path_at(*stage, FileKind::Log);
            return Err(DiskError::new("map", &path, std::io::ErrorKind::NotFound));
        }
        let region = file.map_sealed(end)?;
        self.note_region(&region);
        Ok(Arc::new(OpenSegment { file, region }))
    }

    fn note_region(&self, region: &Arc<Region>) {
        let mut regions = self.regions.lock();
        regions.retain(|region| region.strong_count() > 0);
        regions.push(Arc::downgrade(region));
    }

    /// Bytes of the larger of the two indexes.
    pub(crate) fn index_bytes(&self) -> u64 {
        let (offsets, times) = (self.offsets.len(), self.times.len());
        (offsets * OffsetEntry::SIZE as u64).max(times * TimeEntry::SIZE as u64)
    }

    /// Replaces the open file, for the writer of the active segment.
    pub(crate) fn set_open(&self, open: Option<Arc<OpenSegment<D>>>) {
        self.open.store(open);
    }

    /// Whether reading needs no open, so that the pages are most likely in memory.
    pub(crate) fn is_open(&self) -> bool {
        self.open.load().is_some()
    }
}

/// The segments of a log directory that are open for reading, of which those used longest ago are closed.
pub(crate) struct OpenSegments<D: Disk> {
    /// How many may be open. Each takes a descriptor and a mapping: `vm.max_map_count` is 65,530 for the whole process.
    max: usize,
    clock: AtomicU64,
    open: Mutex<Vec<Arc<Segment<D>>>>,
}

impl<D: Disk> OpenSegments<D> {
    pub(crate) fn new(max: usize) -> Self {
        Self { max: max.max(1), clock: AtomicU64::new(0), open: Mutex::new(Vec::new()) }
    }

    fn touch(&self, segment: &Segment<D>) {
        segment.last_used.store(self.clock.load(Ordering::Relaxed), Ordering::Relaxed);
    }

    /// Notes that `segment` is open, and closes others where there are too many.
    pub(crate) fn opened(&self, segment: &Arc<Segment<D>>) {
        let tick = self.clock.fetch_add(1, Ordering::Relaxed) + 1;
        segment.last_used.store(tick, Ordering::Relaxed);
        let mut open = self.open.lock();
        open.push(Arc::clone(segment));
        if open.len() <= self.max {
            return;
        }
        open.retain(|segment| segment.is_open() && !segment.is_written.load(Ordering::Acquire));
        open.sort_unstable_by_key(|segment| segment.last_used.load(Ordering::Relaxed));
        let surplus = (open.len() + self.max / 8).saturating_sub(self.max).min(open.len());
        for closed in open.drain(..surplus) {
            closed.set_open(None);
        }
    }

    /// Gives a segment the mapping of its writer, which is not counted and not closed until the writer lets go of it.
    pub(crate) fn attach(&self, segment: &Segment<D>, written: &Arc<OpenSegment<D>>) {
        // Under the lock, so that a closing that has already chosen this segment does not close the new mapping.
        let _open = self.open.lock();
        segment.note_region(&written.region);
        segment.is_written.store(true, Ordering::Release);
        segment.set_open(Some(Arc::clone(written)));
    }

    /// Lets go of segments that are gone.
    pub(crate) fn forget(&self, gone: impl Fn(&Arc<Segment<D>>) -> bool) {
        self.open.lock().retain(|segment| !gone(segment));
    }
}
