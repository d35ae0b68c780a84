//! Reading and checking the segments that may hold something past the recovery point.

use std::path::PathBuf;
use std::sync::Arc;

use crate::batch::BatchHeader;
use crate::batch_reader::{BatchReader, Next, READ_BYTES, next_whole};
use crate::disk::{Access, Disk, DiskError, DiskFile};
use crate::ids::Offset;
use crate::segment::{FileKind, Segment, file_name};

use super::{Progress, Recovery};

/// Where a segment lies.
#[derive(Clone, Copy)]
pub(super) struct Bounds {
    pub(super) base_offset: Offset,
    /// Of the segment behind it.
    pub(super) next_base: Option<Offset>,
    pub(super) recovery_point: Offset,
    /// Where the replay of producers and epochs begins.
    pub(super) replay_from: Offset,
}

impl Bounds {
    /// Whether a batch may come next. Compaction leaves gaps in a segment, here or at the leader whose batches these are. A
    /// batch that a crash took away ends the scan all the same: what follows it stands where it was.
    fn is_plausible(&self, header: &BatchHeader, progress: &Progress) -> bool {
        header.base_offset >= progress.expected
            && header.partition_leader_epoch >= progress.epoch
            && self.next_base.is_none_or(|next_base| header.next_offset() <= next_base)
    }
}

/// Why a run of good batches ended.
struct Stop {
    /// It is not simply the end of the file, or zeros.
    is_bad: bool,
    problem: String,
}

impl<D: Disk> Recovery<D> {
    /// Takes the batches of a segment up to the first one that does not belong to the log, and cuts the file there.
    /// `progress.expected` is then the end of the log so far.
    pub(super) fn scan_segment(
        &self,
        bounds: Bounds,
        progress: &mut Progress,
    ) -> Result<Arc<Segment<D>>, DiskError> {
        let path = self.directory.join(&file_name(bounds.base_offset, FileKind::Log.suffix()));
        let file = self.disk.open(&path, Access::ReadWrite)?;
        let len = file.len()?;
        // The indexes are as old as the producers.
        let known_end = bounds.recovery_point.min(bounds.replay_from);
        let (segment, start) = self.open_indexes(&file, bounds.base_offset, known_end, len)?;
        let segment = Arc::new(segment);
        progress.expected = progress.expected.max(bounds.base_offset);
        progress.bytes_since_index_entry = 0;
        let mut reader = BatchReader::new(&file, start, len, READ_BYTES);
        let is_bad = loop {
            let stop = self.scan_batches(&file, &path, &mut reader, &segment, bounds, progress)?;
            let is_compacted = self.config.cleanup_policy.compact && !stop.is_bad;
            if let Some(next_base) = bounds.next_base.filter(|_| is_compacted) {
                // Kafka's compaction leaves gaps between segments too.
                if progress.expected < bounds.recovery_point.min(next_base) || self.is_clean {
                    progress.expected = next_base;
                }
            }
            if progress.expected >= bounds.recovery_point {
                break stop.is_bad;
            }
            // Below the recovery point nothing is cut; the scan goes on at the next batch that is whole.
            let position = reader.position();
            let problem = stop.problem;
            let text = format!("is damaged at byte {position}, below what was flushed: {problem}");
            progress.damage.push((path.clone(), text));
            let is_plausible = |header: &BatchHeader| bounds.is_plausible(header, progress);
            let Some(resumed) = next_whole(&file, position, len, is_plausible)? else {
                progress.expected = bounds.next_base.unwrap_or(bounds.recovery_point);
                progress.must_roll = bounds.next_base.is_none();
                segment.set_ends(progress.expected, len);
                return Ok(segment);
            };
            reader.seek(resumed);
        };
        let end = reader.position();
        segment.set_ends(progress.expected, end);
        let is_sealed = bounds.next_base == Some(progress.expected);
        if end < len {
            file.set_len(end)?;
            if is_bad {
                tracing::warn!(path = %path.display(), cut_at = end, "the log was cut behind its last whole batch");
            }
            if is_bad || is_sealed {
                // Zeros behind the active segment may come back: nothing but appends ever looks there.
                note_written(progress, &path);
            }
        }
        if is_sealed {
            segment.finish_time_index();
        }
        Ok(segment)
    }

    /// Takes batches until one does not belong to the log.
    fn scan_batches(
        &self,
        file: &D::File,
        path: &PathBuf,
        reader: &mut BatchReader<'_, D::File>,
        segment: &Segment<D>,
        bounds: Bounds,
        progress: &mut Progress,
    ) -> Result<Stop, DiskError> {
        let interval = u64::try_from(self.config.index_interval_bytes).unwrap_or(0);
        loop {
            let position = reader.position();
            match reader.next(|header| bounds.is_plausible(header, progress))? {
                Next::Batch(header, batch) => {
                    if !self.is_clean && header.base_offset >= bounds.recovery_point {
                        file.write_at(position, batch)?;
                        note_written(progress, path);
                    }
                    progress.expected = header.next_offset();
                    let since = progress.bytes_since_index_entry;
                    progress.bytes_since_index_entry = segment.note_batch(&header, position, since, interval);
                    progress.apply(segment.base_offset, &header, batch);
                }
                Next::End => return Ok(Stop { is_bad: false, problem: "nothing follows".to_owned() }),
                Next::Bad(problem) => return Ok(Stop { is_bad: true, problem }),
            }
        }
    }
}

fn note_written(progress: &mut Progress, path: &PathBuf) {
    if progress.written.last() != Some(path) {
        progress.written.push(path.clone());
    }
}
