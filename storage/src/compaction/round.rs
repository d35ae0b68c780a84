//! One round: the keys, then each group of segments written anew and put in its place.

use std::borrow::Cow;
use std::sync::Arc;

use config::topic::TopicConfig;

use super::group::{Size, groups};
use super::retain::{Fate, Round, Standing};
use super::rewrite::{RewriteError, emptied, filter, with_horizon};
use super::transactions::{MarkerStanding, PassingTransactions};
use super::writer::CleanedWriter;
use super::{Cleanable, CleanerSettings, CleaningStats, Pace, keys};
use crate::batch::{BatchHeader, DECOMPRESSED_BYTES_MAX, EndTransactionMarker};
use crate::batch_reader::{BatchReader, Next};
use crate::disk::{Disk, DiskError};
use crate::error::CleanError;
use crate::ids::TimestampMs;
use crate::log::Log;
use crate::segment::{FileKind, Segment};

/// The pace is asked after so many bytes. Larger makes a stop and a bound on the bytes per second late, smaller costs time.
const PACE_BYTES: u64 = 64 * 1024;

/// What both passes of a round share.
pub(super) struct Pass<'a, D: Disk> {
    pub(super) log: &'a Log<D>,
    pub(super) settings: &'a CleanerSettings,
    pub(super) stats: CleaningStats,
    /// How often the log was cut when the round was planned.
    cuts: u64,
    pace: Pace<'a>,
    unpaced_bytes: u64,
}

/// Cleans what `cleanable` says of a log.
pub(crate) fn clean<D: Disk>(
    log: &Log<D>,
    cleanable: &Cleanable,
    settings: &CleanerSettings,
    now: TimestampMs,
    pace: Pace<'_>,
) -> Result<CleaningStats, CleanError> {
    let mut segments = log.sealed_segments();
    segments.retain(|segment| segment.next_offset() <= cleanable.first_uncleanable_offset);
    let (stats, cuts) = (CleaningStats::default(), cleanable.cuts);
    let mut pass = Pass { log, settings, stats, cuts, pace, unpaced_bytes: 0 };
    let (keys, keys_end) = keys::collect(&mut pass, &segments, cleanable.first_dirty_offset)?;
    pass.stats.keys = keys.len() as u64;
    segments.retain(|segment| segment.base_offset < keys_end);
    let (Some(first), Some(last)) = (segments.first(), segments.last()) else { return Ok(pass.stats) };
    let config = log.config();
    let aborted = log.aborted_transactions(first.base_offset, last.next_offset());
    let mut passing = PassingTransactions::new(aborted);
    let size = |value: i32| u64::try_from(value).unwrap_or(0);
    let sizes: Vec<Size> = segments.iter().map(|segment| segment_size(segment)).collect();
    for range in groups(&sizes, size(config.segment_bytes), size(config.segment_index_bytes)) {
        let group = segments.get(range).unwrap_or(&[]);
        let producers = log.last_of_producers();
        let round = Round {
            keys: &keys,
            keys_end,
            now,
            delete_horizon: TimestampMs(now.0.saturating_add(config.delete_retention_ms)),
            producers: &producers,
        };
        pass.clean_group(group, &round, &config, &mut passing)?;
    }
    log.finish_cleaning(keys_end, cleanable.cuts)?;
    pass.stats.cleaned_end_offset = Some(keys_end);
    Ok(pass.stats)
}

/// The most that the records of a batch may take when they are opened: what an append allows, and so what is there.
pub(super) fn decompressed_bytes_max(config: &TopicConfig) -> usize {
    DECOMPRESSED_BYTES_MAX.max(usize::try_from(config.max_message_bytes).unwrap_or(0))
}

fn segment_size<D: Disk>(segment: &Segment<D>) -> Size {
    let index_bytes = segment.index_bytes();
    let (base_offset, next_offset, bytes) = (segment.base_offset, segment.next_offset(), segment.end());
    Size { base_offset, next_offset, bytes, index_bytes }
}

impl<D: Disk> Pass<'_, D> {
    /// Calls `action` with each batch of a segment, until it answers that it needs no more. An error of its is one of the
    /// batch.
    pub(super) fn for_each_batch(
        &mut self,
        segment: &Segment<D>,
        mut action: impl FnMut(&mut Self, &BatchHeader, &[u8]) -> Result<bool, String>,
    ) -> Result<(), CleanError> {
        let file = segment.open_file(self.log.disk(), FileKind::Log).map_err(CleanError::Read)?;
        let len = segment.end();
        let mut reader = BatchReader::new(&file, 0, len, self.settings.read_bytes);
        let mut expected = segment.base_offset;
        while reader.position() < len {
            let position = reader.position();
            let unreadable = |problem: String| {
                let path = segment.path(FileKind::Log);
                CleanError::Unreadable { path, position, problem }
            };
            let next = reader.next(|header| header.base_offset >= expected).map_err(CleanError::Read)?;
            let (header, batch) = match next {
                Next::Batch(header, batch) => (header, batch),
                Next::End => return Err(unreadable("no batch follows".to_owned())),
                Next::Bad(problem) => return Err(unreadable(problem)),
            };
            expected = header.next_offset();
            self.moved(batch.len() as u64)?;
            if !action(self, &header, batch).map_err(unreadable)? {
                return Ok(());
            }
        }
        Ok(())
    }

    /// Notes bytes that were read or written, and goes no faster than the pace allows.
    fn moved(&mut self, bytes: u64) -> Result<(), CleanError> {
        self.unpaced_bytes += bytes;
        if self.unpaced_bytes < PACE_BYTES {
            return Ok(());
        }
        let unpaced_bytes = std::mem::take(&mut self.unpaced_bytes);
        let is_cut = self.log.cuts() != self.cuts;
        if is_cut || self.log.is_deleted() || (self.pace)(unpaced_bytes).is_break() {
            return Err(CleanError::Stopped);
        }
        Ok(())
    }

    /// Writes a group anew and puts it in its place.
    fn clean_group(
        &mut self,
        group: &[Arc<Segment<D>>],
        round: &Round<'_>,
        config: &TopicConfig,
        passing: &mut PassingTransactions,
    ) -> Result<(), CleanError> {
        let (Some(first), Some(last)) = (group.first(), group.last()) else { return Ok(()) };
        let interval = u64::try_from(config.index_interval_bytes).unwrap_or(0);
        let mut writer = self.log.cleaned_writer(first.base_offset, interval).map_err(CleanError::Write)?;
        let bytes_max = decompressed_bytes_max(config);
        let written = self.write_group(group, round, bytes_max, passing, &mut writer).and_then(|()| {
            let has_aborted_index = group.iter().any(|segment| self.log.has_aborted(segment.base_offset));
            writer.finish(last.next_offset(), has_aborted_index).map_err(CleanError::Write)
        });
        match written {
            Ok((cleaned, aborted)) => {
                self.stats.bytes_written += cleaned.end();
                self.stats.segments_before += group.len() as u64;
                self.stats.segments_after += 1;
                let replaced = self.log.replace_segments(group, &cleaned, aborted, round.now, self.cuts);
                if let Err(CleanError::Stopped) = replaced {
                    writer.abandon();
                }
                replaced
            }
            Err(error) => {
                writer.abandon();
                Err(error)
            }
        }
    }

    fn write_group(
        &mut self,
        group: &[Arc<Segment<D>>],
        round: &Round<'_>,
        bytes_max: usize,
        passing: &mut PassingTransactions,
        writer: &mut CleanedWriter<D>,
    ) -> Result<(), CleanError> {
        let last_with_batches = group.iter().rposition(|segment| segment.end() > 0);
        let mut failed: Option<DiskError> = None;
        for (index, segment) in group.iter().enumerate() {
            let mut position = 0;
            self.for_each_batch(segment, |pass, header, batch| {
                position += batch.len() as u64;
                let is_last = Some(index) == last_with_batches && position == segment.end();
                let (standing, marker) = standing(header, batch, passing)?;
                let fate = round.fate(header, standing, is_last);
                let written = pass.write_batch(header, batch, fate, round, bytes_max, writer)?;
                if let (Some(hides), Ok(true)) = (marker.and_then(|marker| marker.hides), &written) {
                    writer.hide(hides);
                }
                failed = written.err();
                Ok(failed.is_none())
            })?;
            if let Some(error) = failed {
                return Err(CleanError::Write(error));
            }
        }
        Ok(())
    }

    /// Writes what stays of a batch. Answers whether anything did; the outer error is one of the batch.
    fn write_batch(
        &mut self,
        header: &BatchHeader,
        batch: &[u8],
        fate: Fate,
        round: &Round<'_>,
        bytes_max: usize,
        writer: &mut CleanedWriter<D>,
    ) -> Result<Result<bool, DiskError>, String> {
        let count = |records: i32| u64::try_from(records).unwrap_or(0);
        let in_words = |error: RewriteError| error.to_string();
        self.stats.bytes_read += batch.len() as u64;
        self.stats.records_read += count(header.record_count);
        let written = match fate {
            Fate::Gone => None,
            Fate::Emptied => Some(emptied(header).map_err(in_words)?.into()),
            Fate::Whole => {
                self.stats.records_kept += count(header.record_count);
                Some(batch.into())
            }
            Fate::HorizonStarts => {
                self.stats.records_kept += count(header.record_count);
                Some(with_horizon(batch, bytes_max, round.delete_horizon).map_err(in_words)?.into())
            }
            Fate::Filtered { keeps_empty, starts_horizon } => {
                let horizon = starts_horizon.then_some(round.delete_horizon);
                let filtered = filter(batch, bytes_max, horizon, |record| round.keeps(header, record));
                let filtered = filtered.map_err(in_words)?;
                self.stats.records_kept += count(filtered.kept);
                match filtered.batch {
                    None if keeps_empty => Some(emptied(header).map_err(in_words)?.into()),
                    other => other,
                }
            }
        };
        let Some(written): Option<Cow<'_, [u8]>> = written else { return Ok(Ok(false)) };
        self.unpaced_bytes += written.len() as u64;
        Ok(writer.push(&written).map(|()| true))
    }
}

/// What a batch is, and what its marker says.
fn standing(
    header: &BatchHeader,
    batch: &[u8],
    passing: &mut PassingTransactions,
) -> Result<(Standing, Option<MarkerStanding>), String> {
    if !header.attributes.is_control() {
        let is_aborted = passing.data(header);
        return Ok((if is_aborted { Standing::Aborted } else { Standing::Data }, None));
    }
    let marker = EndTransactionMarker::read(batch).map_err(|error| error.to_string())?;
    let found = passing.marker(header, marker.as_ref()).map_err(|error| error.to_string())?;
    Ok((Standing::Marker { is_unused: found.is_unused }, Some(found)))
}
