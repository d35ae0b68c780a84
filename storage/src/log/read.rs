//! Reading: whole batches as one view of one segment, without the append lock.

use std::sync::Arc;

use bytes::Bytes;

use crate::batch::{BatchError, BatchHeader, HEADER_LEN};
use crate::disk::Disk;
use crate::error::ReadError;
use crate::ids::Offset;
use crate::mapped::Region;
use crate::segment::{FileKind, OpenSegment, Segment};

use super::Log;

/// Batches of a log.
#[derive(Clone)]
pub struct LogRead {
    /// Whole batches of one segment, in the file's own memory. Empty at the end of the log.
    pub records: Bytes,
    /// Whether the bytes may have to come from the disk: call [`Self::populate`] where waiting is allowed.
    pub is_cold: bool,
    source: Option<(Arc<Region>, usize)>,
}

impl LogRead {
    fn empty() -> Self {
        Self { records: Bytes::new(), is_cold: false, source: None }
    }

    /// Brings the bytes into memory, and waits for the disk meanwhile.
    ///
    /// # Errors
    /// What the operating system answers; the bytes are still readable then, page by page.
    pub fn populate(&self) -> std::io::Result<()> {
        match &self.source {
            Some((region, start)) => region.populate(*start, *start + self.records.len()),
            None => Ok(()),
        }
    }
}

impl std::fmt::Debug for LogRead {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut shown = formatter.debug_struct("LogRead");
        shown.field("bytes", &self.records.len()).field("is_cold", &self.is_cold).finish_non_exhaustive()
    }
}

impl<D: Disk> Log<D> {
    /// Reads from the batch that contains `from` on, or from the next one that has records: as many whole batches as fit
    /// `max_bytes` and end at or below `upper_bound` (exclusive), in one view of one segment. With `at_least_one`, the
    /// first batch comes even where it is larger than `max_bytes`. At the end there is nothing to read, which is no error.
    ///
    /// # Errors
    /// [`ReadError::OutOfRange`] where the log does not hold `from` and does not end there; damage; a failing disk.
    pub fn read(
        &self,
        from: Offset,
        upper_bound: Offset,
        max_bytes: usize,
        at_least_one: bool,
    ) -> Result<LogRead, ReadError> {
        // The end is read before the segments: everything below it is in them.
        let log_end_offset = self.log_end_offset();
        let log_start_offset = self.log_start_offset();
        if from < log_start_offset || from > log_end_offset {
            return Err(ReadError::OutOfRange { from, log_start_offset, log_end_offset });
        }
        let upper_bound = upper_bound.min(log_end_offset);
        if from >= upper_bound {
            return Ok(LogRead::empty());
        }
        let limits = Limits { from, upper_bound, max_bytes: max_bytes as u64, at_least_one };
        self.with_segments(|segments| self.read_from(segments, limits))
    }

    fn read_from(&self, segments: &[Arc<Segment<D>>], limits: Limits) -> Result<LogRead, ReadError> {
        let log_start_offset = self.log_start_offset();
        if limits.from < log_start_offset {
            let (from, log_end_offset) = (limits.from, self.log_end_offset());
            return Err(ReadError::OutOfRange { from, log_start_offset, log_end_offset });
        }
        let first = segments.partition_point(|segment| segment.base_offset <= limits.from).saturating_sub(1);
        let end = segments.partition_point(|segment| segment.base_offset < limits.upper_bound);
        let active = segments.last().map(|segment| segment.base_offset);
        let readable = segments.get(first..end).unwrap_or(&[]).iter();
        let readable = readable.map(|segment| (segment, active != Some(segment.base_offset)));
        let is_readable = |header: &BatchHeader| header.next_offset() <= limits.upper_bound;
        let has_records = |header: &BatchHeader| header.record_count > 0 && is_readable(header);
        if let Some(read) = self.first_of(readable.clone(), limits, has_records)? {
            return Ok(read);
        }
        // Only empty batches are left, which compaction keeps. The reader gets behind all of them in one step: librdkafka
        // takes an answer without a record for one that was cut off, asks for twice as much, and after ten of them gives up.
        Ok(self.first_of(readable.rev(), limits, is_readable)?.unwrap_or_else(LogRead::empty))
    }

    /// What there is to read in the first of `segments`, each with whether it is cold, that has a batch that is `wanted`.
    fn first_of<'a>(
        &self,
        segments: impl Iterator<Item = (&'a Arc<Segment<D>>, bool)>,
        limits: Limits,
        wanted: impl Fn(&BatchHeader) -> bool,
    ) -> Result<Option<LogRead>, ReadError>
    where
        D: 'a,
    {
        for (segment, is_cold) in segments {
            let (open, end) = segment.open(&self.shared.disk, &self.shared.open_segments)?;
            if let Some((start, end)) = self.locate(segment, &open, end, limits, &wanted)? {
                let records = view(segment, &open, start, end)?;
                let source = Some((Arc::clone(&open.region), start as usize));
                return Ok(Some(LogRead { records, is_cold, source }));
            }
        }
        Ok(None)
    }

    /// What `look` finds in the segments of the log; once more where a file was gone because retention or compaction has
    /// taken its segment out of the list meanwhile.
    pub(super) fn with_segments<T>(
        &self,
        look: impl Fn(&[Arc<Segment<D>>]) -> Result<T, ReadError>,
    ) -> Result<T, ReadError> {
        loop {
            let segments = self.segments.load();
            match look(&segments) {
                Err(ReadError::Disk(error))
                    if error.is_not_found() && !Arc::ptr_eq(&segments, &self.segments.load()) => {}
                other => return other,
            }
        }
    }

    /// Whether a read at `from` touches only the active segment, whose bytes are most likely in memory. Where it does
    /// not, the whole read belongs on a thread that may wait for the disk.
    #[must_use]
    pub fn is_hot(&self, from: Offset) -> bool {
        self.segments.load().last().is_none_or(|active| active.base_offset <= from)
    }

    /// Where in the segment, up to `end`, the batches are from the first `wanted` one on, or `None` where it has none from
    /// `from` on.
    fn locate(
        &self,
        segment: &Segment<D>,
        open: &OpenSegment<D>,
        end: u64,
        limits: Limits,
        wanted: impl Fn(&BatchHeader) -> bool,
    ) -> Result<Option<(u64, u64)>, ReadError> {
        // Read after `end`: all batches below that have offsets below this.
        let next_offset = segment.next_offset();
        let disk = &self.shared.disk;
        let scan = Self::checked_start(segment, open, segment.scan_start(disk, limits.from)?, end)?;
        let is_first = |header: &BatchHeader| header.next_offset() > limits.from && wanted(header);
        let Some(start) = find(segment, open, scan..end, is_first)? else { return Ok(None) };
        if next_offset <= limits.upper_bound && end - start <= limits.max_bytes {
            return Ok(Some((start, end)));
        }
        let limit = start.saturating_add(limits.max_bytes);
        let indexed = segment.indexed_position(disk, limit, limits.upper_bound)?.unwrap_or(start);
        let walk_from =
            if indexed > start { Self::checked_start(segment, open, indexed, end)? } else { start };
        let walk_from = walk_from.max(start);
        let is_beyond = |position: u64, header: &BatchHeader| {
            let fits = position + header.size_in_bytes() as u64 <= limit
                || (limits.at_least_one && position == start);
            header.next_offset() > limits.upper_bound || !fits
        };
        let mut walked = Walked { position: walk_from };
        let bytes = view(segment, open, walk_from, end)?;
        while let Some((position, header)) =
            walk(&bytes, walk_from, &mut walked).map_err(|e| corrupt(segment, e))?
        {
            if is_beyond(position, &header) {
                return Ok(Some((start, position)));
            }
        }
        Ok(Some((start, walked.position)))
    }

    /// `position` where a batch starts there, and otherwise 0: an index is only a hint.
    pub(super) fn checked_start(
        segment: &Segment<D>,
        open: &OpenSegment<D>,
        position: u64,
        end: u64,
    ) -> Result<u64, ReadError> {
        if position == 0 {
            return Ok(0);
        }
        let header = view(segment, open, position.min(end), end.min(position + HEADER_LEN as u64))?;
        if BatchHeader::parse(&header).is_ok_and(|header| header.base_offset >= segment.base_offset) {
            return Ok(position);
        }
        tracing::warn!(
            path = %segment.path(FileKind::OffsetIndex).display(),
            "an entry of the index points to no batch: reading the segment from its start"
        );
        Ok(0)
    }
}

#[derive(Clone, Copy)]
struct Limits {
    from: Offset,
    upper_bound: Offset,
    max_bytes: u64,
    at_least_one: bool,
}

/// How far a walk over batches has come.
pub(crate) struct Walked {
    /// Where the next batch starts.
    pub(crate) position: u64,
}

/// The next batch of `bytes`, which start at `origin` in the segment, with its position. `None` at their end, and where
/// zeros begin: the rest of a preallocated file.
pub(crate) fn walk(
    bytes: &[u8],
    origin: u64,
    walked: &mut Walked,
) -> Result<Option<(u64, BatchHeader)>, (u64, BatchError)> {
    let position = walked.position;
    let rest = usize::try_from(position - origin).ok().and_then(|start| bytes.get(start..)).unwrap_or(&[]);
    if rest.is_empty() || rest.iter().take(HEADER_LEN).all(|byte| *byte == 0) {
        return Ok(None);
    }
    let header = BatchHeader::parse(rest).map_err(|error| (position, error))?;
    let needed = header.size_in_bytes();
    if needed > rest.len() {
        return Err((position, BatchError::Incomplete { needed, available: rest.len() }));
    }
    walked.position += needed as u64;
    Ok(Some((position, header)))
}

/// The position of the first batch in the range for which `wanted` holds.
pub(super) fn find<D: Disk>(
    segment: &Segment<D>,
    open: &OpenSegment<D>,
    range: std::ops::Range<u64>,
    wanted: impl Fn(&BatchHeader) -> bool,
) -> Result<Option<u64>, ReadError> {
    let bytes = view(segment, open, range.start, range.end)?;
    let mut walked = Walked { position: range.start };
    while let Some((position, header)) =
        walk(&bytes, range.start, &mut walked).map_err(|e| corrupt(segment, e))?
    {
        if wanted(&header) {
            return Ok(Some(position));
        }
    }
    Ok(None)
}

/// The bytes from `start` to `end`, which the segment has published.
pub(super) fn view<D: Disk>(
    segment: &Segment<D>,
    open: &OpenSegment<D>,
    start: u64,
    end: u64,
) -> Result<Bytes, ReadError> {
    let range = usize::try_from(start).ok().zip(usize::try_from(end).ok());
    range.and_then(|(start, end)| open.region.view(start, end)).ok_or_else(|| {
        let needed = usize::try_from(end).unwrap_or(usize::MAX);
        corrupt(segment, (start, BatchError::Incomplete { needed, available: open.region.published_end() }))
    })
}

pub(super) fn corrupt<D: Disk>(segment: &Segment<D>, (position, source): (u64, BatchError)) -> ReadError {
    ReadError::Corrupt { path: segment.path(FileKind::Log), position, source }
}
