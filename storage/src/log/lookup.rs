//! Look-ups by timestamp, down to the single record.

use std::sync::Arc;

use crate::batch::BatchHeader;
use crate::batch::DECOMPRESSED_BYTES_MAX;
use crate::disk::Disk;
use crate::error::ReadError;
use crate::ids::{LeaderEpoch, Offset, TimestampMs};
use crate::index::TimeEntry;
use crate::records::outlines_of;
use crate::segment::{FileKind, Segment};

use super::Log;
use super::read::{Walked, corrupt, view, walk};

/// A record's offset with its timestamp.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TimestampedOffset {
    /// Where the record is.
    pub offset: Offset,
    /// Its timestamp.
    pub timestamp: TimestampMs,
    /// The epoch of the leader that appended it.
    pub leader_epoch: LeaderEpoch,
}

impl<D: Disk> Log<D> {
    /// The first record with a timestamp of at least `target` that may be read and lies below `upper_bound` (exclusive).
    /// It reads from the disk, on a thread that may wait. Source: `ListOffsets`, UnifiedLog.fetchOffsetByTimestamp.
    ///
    /// # Errors
    /// [`ReadError`] where a segment is damaged or the disk fails.
    pub fn offset_for_timestamp(
        &self,
        target: TimestampMs,
        upper_bound: Offset,
    ) -> Result<Option<TimestampedOffset>, ReadError> {
        let upper_bound = upper_bound.min(self.log_end_offset());
        self.with_segments(|segments| self.search(segments, target, upper_bound))
    }

    fn search(
        &self,
        segments: &[Arc<Segment<D>>],
        target: TimestampMs,
        upper_bound: Offset,
    ) -> Result<Option<TimestampedOffset>, ReadError> {
        for segment in segments.iter().filter(|segment| segment.base_offset < upper_bound) {
            let may_hold = segment.largest_timestamp().is_none_or(|largest| largest.timestamp >= target);
            if !may_hold || segment.next_offset() <= self.log_start_offset() {
                continue;
            }
            let is_low = |entry: TimeEntry| entry.timestamp < target.0;
            let open_index = || segment.open_file(&self.shared.disk, FileKind::TimeIndex);
            let below = segment.times.last_where(open_index, is_low)?;
            let start_offset = below.map_or(segment.base_offset, |entry| {
                segment.base_offset.plus(i64::from(entry.relative_offset))
            });
            let first = |header: &BatchHeader| header.max_timestamp >= target;
            let found = self.first_record(segment, start_offset, upper_bound, first, target)?;
            if found.is_some() {
                return Ok(found);
            }
        }
        Ok(None)
    }

    /// The first record that has the largest timestamp of all below `upper_bound` (exclusive), or `None` where no record
    /// has a timestamp. It reads from the disk, on a thread that may wait. Source: KIP-734.
    ///
    /// # Errors
    /// [`ReadError`] where a segment is damaged or the disk fails.
    pub fn offset_of_max_timestamp(
        &self,
        upper_bound: Offset,
    ) -> Result<Option<TimestampedOffset>, ReadError> {
        let upper_bound = upper_bound.min(self.log_end_offset());
        self.with_segments(|segments| {
            let mut best = TimestampMs::NONE;
            for segment in segments.iter().filter(|segment| segment.base_offset < upper_bound) {
                let largest = match segment.largest_timestamp() {
                    Some(largest) if segment.next_offset() <= upper_bound => largest.timestamp,
                    Some(_) | None => self.largest_below(segment, upper_bound)?,
                };
                best = best.max(largest);
            }
            if best == TimestampMs::NONE { Ok(None) } else { self.search(segments, best, upper_bound) }
        })
    }

    /// The largest timestamp of a segment's batches below the bound.
    fn largest_below(&self, segment: &Arc<Segment<D>>, bound: Offset) -> Result<TimestampMs, ReadError> {
        let (open, end) = segment.open(&self.shared.disk, &self.shared.open_segments)?;
        let bytes = view(segment, &open, 0, end)?;
        let mut walked = Walked { position: 0 };
        let mut largest = TimestampMs::NONE;
        while let Some((_, header)) = walk(&bytes, 0, &mut walked).map_err(|e| corrupt(segment, e))? {
            if header.next_offset() > bound {
                break;
            }
            // A batch that compaction has emptied holds no record of its time.
            if header.record_count > 0 {
                largest = largest.max(header.max_timestamp);
            }
        }
        Ok(largest)
    }

    /// The first record of a wanted batch from `start_offset` on that has a timestamp of at least `target`.
    fn first_record(
        &self,
        segment: &Arc<Segment<D>>,
        start_offset: Offset,
        upper_bound: Offset,
        wanted: impl Fn(&BatchHeader) -> bool,
        target: TimestampMs,
    ) -> Result<Option<TimestampedOffset>, ReadError> {
        let (open, end) = segment.open(&self.shared.disk, &self.shared.open_segments)?;
        let hint = segment.scan_start(&self.shared.disk, start_offset)?;
        let start = Self::checked_start(segment, &open, hint, end)?;
        let bytes = view(segment, &open, start, end)?;
        let log_start_offset = self.log_start_offset();
        let mut walked = Walked { position: start };
        while let Some((position, header)) =
            walk(&bytes, start, &mut walked).map_err(|e| corrupt(segment, e))?
        {
            if header.base_offset >= upper_bound {
                break;
            }
            if !wanted(&header) || header.next_offset() <= log_start_offset {
                continue;
            }
            let batch = usize::try_from(position - start).ok().and_then(|from| bytes.get(from..));
            let unreadable = || ReadError::UnreadableRecords { path: segment.path(FileKind::Log), position };
            let records =
                outlines_of(batch.unwrap_or(&[]), DECOMPRESSED_BYTES_MAX).map_err(|_| unreadable())?;
            for record in records {
                let record = record.map_err(|_| unreadable())?;
                let offset = Offset(header.base_offset.0.wrapping_add(i64::from(record.offset_delta)));
                let is_readable = offset >= log_start_offset && offset < upper_bound;
                if record.timestamp >= target && is_readable {
                    let timestamp = record.timestamp;
                    let leader_epoch = header.partition_leader_epoch;
                    return Ok(Some(TimestampedOffset { offset, timestamp, leader_epoch }));
                }
            }
        }
        Ok(None)
    }
}
