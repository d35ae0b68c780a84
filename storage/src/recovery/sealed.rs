//! What lies below the recovery point: taken as it is, with its indexes where they are sound.

use std::sync::Arc;

use crate::batch::{BatchHeader, HEADER_LEN};
use crate::disk::{Access, Disk, DiskError, DiskFile};
use crate::ids::Offset;
use crate::index::{OffsetEntry, SparseIndex, TimeEntry};
use crate::log::{Walked, walk};
use crate::segment::{FileKind, Segment, file_name};

use super::{Progress, Recovery};

impl<D: Disk> Recovery<D> {
    /// A segment that is followed by another one, wholly below the recovery point.
    pub(super) fn open_sealed(
        &self,
        base_offset: Offset,
        next_base: Offset,
        progress: &mut Progress,
    ) -> Result<Arc<Segment<D>>, DiskError> {
        let path = self.path(base_offset, FileKind::Log);
        let len = self.disk.open(&path, Access::Read)?.len()?;
        let ((offsets, offsets_are_sound), (times, times_are_sound)) =
            self.read_indexes(base_offset, |_| true)?;
        let is_within = offsets.last().is_none_or(|last| u64::from(last.position) + HEADER_LEN as u64 <= len);
        if !is_within || !offsets_are_sound || !times_are_sound {
            let indexes = <(SparseIndex<OffsetEntry>, SparseIndex<TimeEntry>)>::default();
            let segment = Segment::new(Arc::clone(&self.directory), base_offset, next_base, len, indexes);
            return self.rebuild_indexes(Arc::new(segment), progress);
        }
        let indexes = (offsets, times);
        Ok(Arc::new(Segment::new(Arc::clone(&self.directory), base_offset, next_base, len, indexes)))
    }

    /// The indexes of a segment as far as they lie below `known_end` (exclusive), and the position of the batch of the last
    /// entry, from which the segment is scanned.
    pub(super) fn open_indexes(
        &self,
        file: &D::File,
        base_offset: Offset,
        known_end: Offset,
        len: u64,
    ) -> Result<(Segment<D>, u64), DiskError> {
        let is_below = |relative: i32| base_offset.plus(i64::from(relative)) < known_end;
        let ((offsets, _), (times, _)) = self.read_indexes(base_offset, is_below)?;
        let segment =
            |indexes| Segment::new(Arc::clone(&self.directory), base_offset, base_offset, len, indexes);
        let Some(last) = offsets.last() else {
            // Without offset entries the whole segment is scanned, and both indexes come out of that.
            return Ok((segment(Default::default()), 0));
        };
        let start = u64::from(last.position);
        let mut bytes = [0; HEADER_LEN];
        let filled = file.read_at(start, &mut bytes)?;
        let header = bytes.get(..filled).and_then(|bytes| BatchHeader::parse(bytes).ok());
        let last_offset = base_offset.plus(i64::from(last.relative_offset));
        if header.is_some_and(|header| header.last_offset() == last_offset) {
            let segment = segment((offsets, times));
            segment.take_largest_timestamp_from_index();
            let filled = file.read_at(0, &mut bytes)?;
            if let Some(Ok(first)) = bytes.get(..filled).map(BatchHeader::parse) {
                segment.note_first_timestamp(first.max_timestamp);
            }
            return Ok((segment, start));
        }
        let path = self.path(base_offset, FileKind::OffsetIndex);
        tracing::warn!(path = %path.display(), "an index is damaged: it is rebuilt from its segment");
        Ok((segment(Default::default()), 0))
    }

    /// Takes from the batches up to `end` what they say of producers and epochs. Damage ends it: who reads the segment
    /// finds it.
    pub(super) fn replay(
        &self,
        segment: &Arc<Segment<D>>,
        end: u64,
        progress: &mut Progress,
    ) -> Result<(), DiskError> {
        self.for_each_batch(segment, end, |_, header, batch| {
            progress.apply(segment.base_offset, header, batch);
        })
        .map(drop)
    }

    /// Reads a whole segment for the sake of its indexes, and reports what else that finds.
    fn rebuild_indexes(
        &self,
        segment: Arc<Segment<D>>,
        progress: &mut Progress,
    ) -> Result<Arc<Segment<D>>, DiskError> {
        let offsets = segment.path(FileKind::OffsetIndex);
        let times = segment.path(FileKind::TimeIndex);
        tracing::warn!(path = %offsets.display(), "an index is missing or damaged: it is rebuilt from its segment");
        let interval = u64::try_from(self.config.index_interval_bytes).unwrap_or(0);
        let mut since = 0;
        let mut found_end = segment.base_offset;
        let problem = self.for_each_batch(&segment, segment.end(), |position, header, _| {
            since = segment.note_batch(header, position, since, interval);
            found_end = header.next_offset();
        })?;
        let gap = (found_end < segment.next_offset() && !self.config.cleanup_policy.compact).then(|| {
            format!("ends at offset {found_end}, and the next segment starts at {}", segment.next_offset())
        });
        if let Some(problem) = problem.or(gap) {
            progress.damage.push((segment.path(FileKind::Log), problem));
        }
        segment.finish_time_index();
        segment.offsets.write(&self.disk, &offsets)?;
        segment.times.write(&self.disk, &times)?;
        progress.written.extend([offsets, times]);
        Ok(segment)
    }

    /// Calls `action` with each batch and its position, up to `end` or the first damage, which it answers in words.
    fn for_each_batch(
        &self,
        segment: &Segment<D>,
        end: u64,
        mut action: impl FnMut(u64, &BatchHeader, &[u8]),
    ) -> Result<Option<String>, DiskError> {
        let file = self.disk.open(&segment.path(FileKind::Log), Access::Read)?;
        let region = file.map_sealed(end)?;
        let len = usize::try_from(end).unwrap_or(usize::MAX);
        let bytes = region.view(0, len).unwrap_or_default();
        let mut walked = Walked { position: 0 };
        loop {
            let (position, header) = match walk(&bytes, 0, &mut walked) {
                Ok(Some(found)) => found,
                Ok(None) => return Ok(None),
                Err((position, error)) => return Ok(Some(format!("is damaged at byte {position}: {error}"))),
            };
            let start = usize::try_from(position).unwrap_or(usize::MAX);
            let batch = bytes.get(start..start.saturating_add(header.size_in_bytes())).unwrap_or(&[]);
            action(position, &header, batch);
        }
    }

    #[expect(clippy::type_complexity, reason = "two indexes, each with whether it is sound")]
    fn read_indexes(
        &self,
        base_offset: Offset,
        is_kept: impl Fn(i32) -> bool,
    ) -> Result<((SparseIndex<OffsetEntry>, bool), (SparseIndex<TimeEntry>, bool)), DiskError> {
        let offsets = self.path(base_offset, FileKind::OffsetIndex);
        let times = self.path(base_offset, FileKind::TimeIndex);
        let offsets =
            SparseIndex::open(&self.disk, &offsets, |entry: OffsetEntry| is_kept(entry.relative_offset))?;
        let times = SparseIndex::open(&self.disk, &times, |entry: TimeEntry| is_kept(entry.relative_offset))?;
        Ok((offsets, times))
    }

    fn path(&self, base_offset: Offset, kind: FileKind) -> std::path::PathBuf {
        self.directory.join(&file_name(base_offset, kind.suffix()))
    }
}
