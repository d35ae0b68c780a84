//! What is known of producers at an earlier end of a log: from the nearest snapshot below it, and the batches behind that.

use std::sync::Arc;

use crate::batch::{BatchHeader, EndTransactionMarker};
use crate::disk::{Disk, DiskError};
use crate::error::ReadError;
use crate::ids::{Offset, TimestampMs};
use crate::log_dir::files::read_file;
use crate::producer_state::ProducerStates;
use crate::recovery::SMALL_FILE_BYTES_MAX;
use crate::segment::{Segment, file_name};

use super::super::Log;
use super::super::checkpoint::SNAPSHOT_SUFFIX;
use super::super::read::{Walked, corrupt, view, walk};
use super::Cutting;
use super::place::Cut;

impl<D: Disk> Cutting<'_, D> {
    /// The producers at the end that a cut leaves.
    pub(super) fn producers_at(&self, cut: &Cut<D>) -> Result<ProducerStates, ReadError> {
        let before = &self.appender.producers;
        if before.is_empty() {
            return Ok(ProducerStates::new(cut.end_offset));
        }
        let first_base = cut.kept.first().map_or(Offset(0), |first| first.base_offset);
        let snapshot = self.snapshot_at_or_below(cut.end_offset)?;
        let mut producers = snapshot.unwrap_or_else(|| ProducerStates::new(first_base));
        let from = producers.end_offset();
        let is_last = |segment: &Arc<Segment<D>>| Arc::ptr_eq(segment, &cut.segment);
        for segment in cut.kept.iter().filter(|segment| segment.next_offset() > from) {
            let end = is_last(segment).then_some(cut.position);
            self.log.replay(segment, end, from, |header, marker| {
                producers.apply(header, marker, TimestampMs::NONE);
            })?;
        }
        producers.advance_end_offset(cut.end_offset);
        producers.inherit(before);
        Ok(producers)
    }

    /// The newest snapshot that can be read and lies at or below `end_offset`, of those in memory and in files.
    fn snapshot_at_or_below(&self, end_offset: Offset) -> Result<Option<ProducerStates>, DiskError> {
        let in_memory = &self.appender.roll_snapshots;
        let mut offsets: Vec<Offset> = in_memory.iter().map(|(offset, _)| *offset).collect();
        offsets.extend(&self.checkpointed.snapshots);
        offsets.retain(|offset| *offset <= end_offset);
        offsets.sort_unstable();
        for offset in offsets.into_iter().rev() {
            let path = self.log.directory.join(&file_name(offset, SNAPSHOT_SUFFIX));
            let content = match in_memory.iter().find(|(at, _)| *at == offset) {
                Some((_, content)) => content.clone(),
                None => read_file(self.log.disk(), &path, SMALL_FILE_BYTES_MAX)?.unwrap_or_default(),
            };
            match ProducerStates::decode_snapshot(&content, offset, TimestampMs::NONE) {
                Ok(producers) => return Ok(Some(producers)),
                Err(error) => {
                    tracing::warn!(path = %path.display(), %error, "a snapshot of the producers is damaged");
                }
            }
        }
        Ok(None)
    }
}

impl<D: Disk> Log<D> {
    /// Calls `action` with the batches of a segment from offset `from` on, up to byte `end` (exclusive) or all.
    fn replay(
        &self,
        segment: &Arc<Segment<D>>,
        end: Option<u64>,
        from: Offset,
        mut action: impl FnMut(&BatchHeader, Option<&EndTransactionMarker>),
    ) -> Result<(), ReadError> {
        let (open, segment_end) = segment.open(&self.shared.disk, &self.shared.open_segments)?;
        let end = end.unwrap_or(segment_end);
        let hint = segment.scan_start(&self.shared.disk, from.plus(-1))?;
        let start = Self::checked_start(segment, &open, hint, end)?;
        let bytes = view(segment, &open, start, end)?;
        let mut walked = Walked { position: start };
        while let Some((position, header)) =
            walk(&bytes, start, &mut walked).map_err(|e| corrupt(segment, e))?
        {
            if header.base_offset < from {
                continue;
            }
            let batch = usize::try_from(position - start).ok().and_then(|at| bytes.get(at..)).unwrap_or(&[]);
            let is_control = header.attributes.is_control();
            let marker = if is_control { EndTransactionMarker::read(batch).ok().flatten() } else { None };
            action(&header, marker.as_ref());
        }
        Ok(())
    }
}
