//! What compaction needs of a log, and how it is asked for.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use crate::batch::{BatchHeader, HEADER_LEN};
use crate::compaction::{
    Cleanable, CleanedWriter, CleanerSettings, CleaningStats, Ends, LastOfProducer, Pace, SegmentFacts,
    clean, cleanable,
};
use crate::disk::{Disk, DiskError, DiskFile};
use crate::error::CleanError;
use crate::ids::{Offset, ProducerId, TimestampMs};
use crate::segment::{FileKind, Segment};

use super::Log;

impl<D: Disk> Log<D> {
    /// What there is to clean below the last stable offset (exclusive), or `None` where the topic is not compacted. It may
    /// read from the disk.
    ///
    /// # Errors
    /// The disk failed.
    pub fn cleanable(
        &self,
        last_stable_offset: Offset,
        now: TimestampMs,
    ) -> Result<Option<Cleanable>, DiskError> {
        let config = self.config();
        if !config.cleanup_policy.compact {
            return Ok(None);
        }
        // Before everything else that is looked at.
        let cuts = self.cuts();
        let durable = Offset(self.durable_recovery_point.load(Ordering::Acquire));
        let ends = Ends {
            log_start_offset: self.log_start_offset(),
            log_end_offset: self.log_end_offset(),
            cleaned_end_offset: self.cleaned_end_offset(),
            bound: last_stable_offset.min(durable),
            cuts,
        };
        let (has_min_lag, has_max_lag) =
            (config.min_compaction_lag_ms > 0, config.max_compaction_lag_ms < i64::MAX);
        let facts = self.sealed_segments().into_iter().map(|segment| {
            let none = TimestampMs::NONE;
            Ok(SegmentFacts {
                base_offset: segment.base_offset,
                next_offset: segment.next_offset(),
                bytes: segment.end(),
                largest_timestamp: if has_min_lag { self.largest_timestamp(&segment)? } else { none },
                first_timestamp: if has_max_lag { self.first_timestamp(&segment)? } else { none },
            })
        });
        let facts = facts.collect::<Result<Vec<_>, DiskError>>()?;
        Ok(Some(cleanable(&facts, &config, &ends, now)))
    }

    /// Runs a round of compaction over what `cleanable` says.
    ///
    /// # Errors
    /// [`CleanError`]; what was replaced before stays so, and the log is whole.
    pub fn clean(
        &self,
        cleanable: &Cleanable,
        settings: &CleanerSettings,
        now: TimestampMs,
        pace: Pace<'_>,
    ) -> Result<CleaningStats, CleanError> {
        let _one_at_a_time = self.cleaning.lock();
        if self.cuts() != cleanable.cuts {
            return Err(CleanError::Stopped);
        }
        match clean(self, cleanable, settings, now, pace) {
            Err(CleanError::Read(_) | CleanError::Write(_)) if self.is_deleted() => Err(CleanError::Stopped),
            // What was read may be gone.
            Err(CleanError::Read(_) | CleanError::Unreadable { .. }) if self.cuts() != cleanable.cuts => {
                Err(CleanError::Stopped)
            }
            Err(CleanError::Write(error)) => {
                if !error.is_out_of_space() {
                    self.shared.fail(DiskError::new(error.operation, &error.path, error.source.kind()));
                }
                Err(CleanError::Write(error))
            }
            other => other,
        }
    }

    /// Exclusive: everything below went through compaction. `None` where nothing did.
    #[must_use]
    pub fn cleaned_end_offset(&self) -> Option<Offset> {
        Some(Offset(self.cleaned_end_offset.load(Ordering::Acquire))).filter(|offset| offset.0 >= 0)
    }

    /// Everything below `offset` (exclusive) went through compaction, in a round that began when the log had been cut `cuts`
    /// times.
    pub(crate) fn finish_cleaning(&self, offset: Offset, cuts: u64) -> Result<(), CleanError> {
        let _sealed = self.sealed.lock();
        if self.cuts() != cuts {
            return Err(CleanError::Stopped);
        }
        self.set_cleaned_end_offset(offset);
        Ok(())
    }

    pub(crate) fn set_cleaned_end_offset(&self, offset: Offset) {
        self.cleaned_end_offset.store(offset.0, Ordering::Release);
    }

    /// What a crash leaves of the recovery point is now `offset`.
    pub(crate) fn set_durable_recovery_point(&self, offset: Offset) {
        self.durable_recovery_point.store(offset.0, Ordering::Release);
    }

    /// Starts another segment where the active one holds a record that waits for compaction for longer than
    /// `max.compaction.lag.ms` and everything in it is replicated: a topic that nobody writes to is compacted too. Kafka
    /// waits for the next append. Source: KIP-354.
    ///
    /// # Errors
    /// The disk failed or is full.
    pub fn roll_overdue(
        self: &Arc<Self>,
        now: TimestampMs,
        high_watermark: Offset,
    ) -> Result<bool, DiskError> {
        let config = self.config();
        let is_compacted = config.cleanup_policy.compact && config.max_compaction_lag_ms < i64::MAX;
        let Some(active) = self.segments.load().last().cloned().filter(|_| is_compacted) else {
            return Ok(false);
        };
        let first = self.first_timestamp(&active)?;
        let is_overdue = first.0 > 0 && first.0 < now.0.saturating_sub(config.max_compaction_lag_ms);
        if !is_overdue || active.end() == 0 || self.log_end_offset() > high_watermark {
            return Ok(false);
        }
        let mut appender = self.append.lock();
        let is_unchanged = self.segments.load().last().is_some_and(|last| Arc::ptr_eq(last, &active))
            && self.log_end_offset() <= high_watermark
            && !self.is_deleted();
        if !is_unchanged {
            return Ok(false);
        }
        let started = self.start_idle_segment(&mut appender);
        drop(appender);
        started?;
        self.shared.flusher.mark_dirty(self, 0);
        Ok(true)
    }

    /// The segments that no append will touch again, oldest first.
    pub(crate) fn sealed_segments(&self) -> Vec<Arc<Segment<D>>> {
        let segments = self.segments.load();
        segments.split_last().map(|(_, sealed)| sealed.to_vec()).unwrap_or_default()
    }

    /// The newest batch of each producer that is known.
    pub(crate) fn last_of_producers(&self) -> BTreeMap<ProducerId, LastOfProducer> {
        let appender = self.append.lock();
        let last = appender.producers.producers().map(|(producer_id, state)| {
            let last = state.last_batch().map_or(LastOfProducer::Marker(state.producer_epoch), |batch| {
                LastOfProducer::Data(batch.last_offset)
            });
            (producer_id, last)
        });
        last.collect()
    }

    /// Whether the index of aborted transactions of a segment holds anything.
    pub(crate) fn has_aborted(&self, base_offset: Offset) -> bool {
        self.aborted.read().has_any(base_offset)
    }

    pub(crate) fn cleaned_writer(
        &self,
        base_offset: Offset,
        index_interval_bytes: u64,
    ) -> Result<CleanedWriter<D>, DiskError> {
        CleanedWriter::create(&self.shared.disk, &self.directory, base_offset, index_interval_bytes)
    }

    pub(crate) fn disk(&self) -> &D {
        &self.shared.disk
    }

    pub(crate) fn is_deleted(&self) -> bool {
        self.is_deleted.load(Ordering::Acquire)
    }

    /// When the first batch of a segment was made, from memory or from the file; none where it does not say.
    fn first_timestamp(&self, segment: &Segment<D>) -> Result<TimestampMs, DiskError> {
        let known = segment.first_timestamp();
        if known != TimestampMs::NONE || segment.end() == 0 {
            return Ok(known);
        }
        let mut bytes = [0; HEADER_LEN];
        let filled = segment.open_file(&self.shared.disk, FileKind::Log)?.read_at(0, &mut bytes)?;
        let header = bytes.get(..filled).map(BatchHeader::parse);
        if let Some(Ok(header)) = header {
            segment.note_first_timestamp(header.max_timestamp);
        }
        Ok(segment.first_timestamp())
    }
}
