//! Where a log is cut: behind the last batch that lies wholly below an offset.

use std::sync::Arc;

use crate::batch::BatchHeader;
use crate::disk::{Disk, DiskError};
use crate::error::ReadError;
use crate::ids::Offset;
use crate::segment::{OpenSegment, Segment};

use super::super::Log;
use super::super::read::{Walked, corrupt, view, walk};

/// What stays of a log.
pub(super) enum Place<D: Disk> {
    Within(Cut<D>),
    /// Nothing: the log is empty at this offset.
    Everything(Offset),
}

/// The end of what stays.
pub(super) struct Cut<D: Disk> {
    /// The segments of which something stays, oldest first.
    pub(super) kept: Vec<Arc<Segment<D>>>,
    /// The last of them.
    pub(super) segment: Arc<Segment<D>>,
    pub(super) open: Arc<OpenSegment<D>>,
    /// Exclusive: bytes of the last segment that stay; not 0.
    pub(super) position: u64,
    /// Exclusive.
    pub(super) end_offset: Offset,
}

impl<D: Disk> Cut<D> {
    /// The segment that takes the place of the last one, or `None` where that ends here anyway.
    pub(super) fn ended_segment(&self, log: &Log<D>) -> Result<Option<Arc<Segment<D>>>, DiskError> {
        let Self { segment, open, position, end_offset, .. } = self;
        if segment.end() == *position && segment.next_offset() == *end_offset {
            return Ok(None);
        }
        let ended = segment.ended_at(log.disk(), *end_offset, *position)?;
        let start = ended.indexed_end();
        // What cannot be read here was read when the place was found.
        let bytes = view(segment, open, start, *position).unwrap_or_default();
        let mut walked = Walked { position: start };
        while let Ok(Some((position, header))) = walk(&bytes, start, &mut walked) {
            ended.note_batch(&header, position, 0, u64::MAX);
        }
        ended.finish_time_index();
        Ok(Some(Arc::new(ended)))
    }
}

impl<D: Disk> Log<D> {
    /// Where to cut so that nothing from `offset` on stays, and everything else that can.
    pub(super) fn place_of_cut(&self, offset: Offset) -> Result<Place<D>, ReadError> {
        let segments = self.segments.load();
        let mut bound = offset;
        loop {
            let count = segments.partition_point(|segment| segment.base_offset < bound);
            let kept = segments.get(..count).unwrap_or(&[]);
            let Some(segment) = kept.last() else { return Ok(Place::Everything(bound)) };
            let (open, end) = segment.open(&self.shared.disk, &self.shared.open_segments)?;
            if let Some((position, end_offset)) = self.end_below(segment, &open, end, bound)? {
                let (kept, segment) = (kept.to_vec(), Arc::clone(segment));
                return Ok(Place::Within(Cut { kept, segment, open, position, end_offset }));
            }
            // Nothing of this segment stays.
            bound = segment.base_offset;
        }
    }

    /// Where the last batch of a segment ends that ends at or below `bound`, in bytes and offsets (both exclusive).
    fn end_below(
        &self,
        segment: &Segment<D>,
        open: &OpenSegment<D>,
        end: u64,
        bound: Offset,
    ) -> Result<Option<(u64, Offset)>, ReadError> {
        let hint = segment.scan_start(&self.shared.disk, bound.plus(-1))?;
        let start = Self::checked_start(segment, open, hint, end)?;
        let found = last_end(segment, open, start..end, |header| header.next_offset() <= bound)?;
        if found.is_some() || start == 0 {
            return Ok(found);
        }
        last_end(segment, open, 0..end, |header| header.next_offset() <= bound)
    }
}

/// Where the last batch of a run at the start of the range ends for which `is_below` holds.
fn last_end<D: Disk>(
    segment: &Segment<D>,
    open: &OpenSegment<D>,
    range: std::ops::Range<u64>,
    is_below: impl Fn(&BatchHeader) -> bool,
) -> Result<Option<(u64, Offset)>, ReadError> {
    let bytes = view(segment, open, range.start, range.end)?;
    let mut walked = Walked { position: range.start };
    let mut found = None;
    while let Some((_, header)) = walk(&bytes, range.start, &mut walked).map_err(|e| corrupt(segment, e))? {
        if !is_below(&header) {
            break;
        }
        found = Some((walked.position, header.next_offset()));
    }
    Ok(found)
}
