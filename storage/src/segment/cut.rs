//! The segment in which a log was cut: the same file, and an earlier end of it.

use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};

use parking_lot::Mutex;

use super::{FileKind, Segment, Stage};
use crate::disk::{Disk, DiskError};
use crate::ids::Offset;
use crate::index::{OffsetEntry, SparseIndex, TimeEntry};
use crate::mapped::Region;

impl<D: Disk> Segment<D> {
    /// A segment over the same files that ends earlier, at `end` bytes and at `next_offset` (both exclusive). Its indexes
    /// are cut in memory only, until the caller writes them; what they do not cover, from [`Self::indexed_end`] on, is for
    /// the caller to note.
    pub(crate) fn ended_at(&self, disk: &D, next_offset: Offset, end: u64) -> Result<Self, DiskError> {
        let (offset_path, time_path) = (self.path(FileKind::OffsetIndex), self.path(FileKind::TimeIndex));
        self.offsets.write(disk, &offset_path)?;
        self.times.write(disk, &time_path)?;
        let is_below = |relative: i32| self.base_offset.plus(i64::from(relative)) < next_offset;
        let (offsets, _) = SparseIndex::open(disk, &offset_path, |entry: OffsetEntry| {
            u64::from(entry.position) < end && is_below(entry.relative_offset)
        })?;
        let (times, _) =
            SparseIndex::open(disk, &time_path, |entry: TimeEntry| is_below(entry.relative_offset))?;
        let directory = Arc::clone(&self.directory);
        let ended = Self::new(directory, self.base_offset, next_offset, end, (offsets, times));
        ended.first_timestamp.store(self.first_timestamp.load(Ordering::Relaxed), Ordering::Relaxed);
        ended.take_largest_timestamp_from_index();
        Ok(Self { regions: Mutex::new(self.regions()), ..ended })
    }

    /// Where the batch of the last entry of the offset index starts, or 0.
    pub(crate) fn indexed_end(&self) -> u64 {
        self.offsets.last().map_or(0, |entry| u64::from(entry.position))
    }

    /// Nobody opens or maps the files through this any more, also where another segment goes on with them.
    pub(crate) fn retire(&self) {
        *self.stage.write() = Stage::Cut;
        self.set_open(None);
    }

    /// Whether the log was cut so that this is no part of it any more.
    pub(crate) fn is_cut(&self) -> bool {
        *self.stage.read() == Stage::Cut
    }

    /// The mappings of the file that live.
    pub(crate) fn regions(&self) -> Vec<Weak<Region>> {
        let regions = self.regions.lock();
        regions.iter().filter(|region| region.strong_count() > 0).cloned().collect()
    }
}
