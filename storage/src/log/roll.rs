//! The active segment and the decision to start the next one.

use std::sync::Arc;

use config::topic::TopicConfig;

use crate::batch::BatchHeader;
use crate::disk::{Disk, DiskError, DiskFile};
use crate::ids::{Offset, TimestampMs};
use crate::index::{Entry, OffsetEntry, TimeEntry};
use crate::segment::Segment;

use super::Log;
use super::append::Appender;
use super::writer::ActiveWriter;

/// The file that names the topic's id.
pub(crate) const PARTITION_METADATA: &str = "partition.metadata";

impl<D: Disk> Log<D> {
    /// The writer of the segment that takes this batch, with space for it.
    pub(super) fn writer_for<'a>(
        &self,
        appender: &'a mut Appender<D>,
        header: &BatchHeader,
        now: TimestampMs,
    ) -> Result<&'a mut ActiveWriter<D>, DiskError> {
        let bytes = header.size_in_bytes() as u64;
        let active = self.segments.load().last().cloned();
        let config = self.config.load();
        match active {
            Some(active)
                if !appender.must_roll
                    && !must_roll(&active, &config, header, appender.writer.as_deref())
                    && !is_too_old(&active, self.age_max_ms(&active, &config), header, now) =>
            {
                if appender.writer.is_none() {
                    appender.writer = Some(Box::new(self.reopen(&active, capacity(&config, bytes))?));
                }
            }
            Some(_) | None => {
                // At the end of the log, also where a leader's compaction has left a gap behind it: after a crash only
                // segments that meet are known to lack nothing.
                let base_offset = self.log_end_offset();
                self.start_segment(appender, base_offset, capacity(&config, bytes), bytes)?;
            }
        }
        let writer = appender.writer.as_deref_mut().expect("it was opened above");
        writer.ensure_space(bytes)?;
        Ok(writer)
    }

    /// How old a segment gets: `segment.ms`, or `max.compaction.lag.ms` where the topic is compacted, less a part of
    /// `segment.jitter.ms` that differs from partition to partition and from segment to segment, so that not all end at
    /// once.
    fn age_max_ms(&self, active: &Segment<D>, config: &TopicConfig) -> i64 {
        let age_max_ms = match config.cleanup_policy.compact {
            true => config.segment_ms.min(config.max_compaction_lag_ms),
            false => config.segment_ms,
        };
        let jitter_max_ms = config.segment_jitter_ms.min(config.segment_ms);
        if jitter_max_ms <= 0 {
            return age_max_ms;
        }
        let (high, low) = self.topic_id.0.as_u64_pair();
        let partition = i64::from(self.topic_partition.partition.0);
        let mixed = [low.cast_signed(), partition, active.base_offset.0]
            .into_iter()
            .fold(high.cast_signed(), |mixed, part| {
                (mixed ^ part).wrapping_mul(0x9E37_79B9_7F4A_7C15_u64.cast_signed())
            });
        age_max_ms.saturating_sub((mixed >> 16).rem_euclid(jitter_max_ms))
    }

    fn reopen(&self, active: &Arc<Segment<D>>, capacity: u64) -> Result<ActiveWriter<D>, DiskError> {
        let capacity = capacity.max(active.end());
        let writer = ActiveWriter::reopen(&self.shared.disk, active, capacity, &self.shared.open_segments)?;
        self.flush.lock().add_segment(active, &writer.open, active.end());
        Ok(writer)
    }

    /// Starts the segment at `base_offset`, and seals the one that was active. Where this fails, nothing has changed but
    /// for an empty directory or file.
    pub(super) fn start_segment(
        &self,
        appender: &mut Appender<D>,
        base_offset: Offset,
        capacity: u64,
        first_bytes: u64,
    ) -> Result<(), DiskError> {
        let disk = &self.shared.disk;
        if !appender.is_created {
            self.create_directory()?;
            appender.is_created = true;
        }
        let sealed = self.segments.load().last().cloned();
        if let (Some(sealed), None) = (&sealed, &appender.writer) {
            // So that the next round of the flusher cuts its file.
            appender.writer = Some(Box::new(self.reopen(sealed, 0)?));
        }
        let mut writer = ActiveWriter::create(disk, &self.directory, base_offset, capacity, first_bytes)?;
        writer.attach(&self.shared.open_segments);
        let segment = Arc::clone(&writer.segment);
        self.flush.lock().start_segment(&segment, &writer.open);
        if let Some(sealed) = appender.writer.replace(Box::new(writer)) {
            sealed.detach(&self.shared.open_segments);
        }
        appender.bytes_since_index_entry = 0;
        appender.must_roll = false;
        let mut segments = Vec::clone(&self.segments.load());
        if let Some(sealed) = segments.pop_if(|last| last.base_offset != base_offset) {
            sealed.finish_time_index();
            appender.roll_snapshots.push((base_offset, appender.producers.encode_snapshot()));
            segments.push(sealed);
        } else {
            // An empty segment of the same name, whose file was just created anew.
            segments.pop();
        }
        segments.push(segment);
        self.segments.store(Arc::new(segments));
        Ok(())
    }

    /// Starts a segment at the end of the log without anything to put into it. It is not kept open: all that age at the same
    /// time would be, of very many logs.
    pub(super) fn start_idle_segment(&self, appender: &mut Appender<D>) -> Result<(), DiskError> {
        let capacity = u64::try_from(self.config().segment_bytes).unwrap_or(0);
        self.start_segment(appender, self.log_end_offset(), capacity, 0)?;
        if let Some(writer) = appender.writer.take() {
            let (started, _open) = writer.detach(&self.shared.open_segments);
            self.flush.lock().keep(|segment| !Arc::ptr_eq(segment, &started));
        }
        Ok(())
    }

    /// The partition's directory with the file that names the topic. They are flushed with the first record.
    fn create_directory(&self) -> Result<(), DiskError> {
        let disk = &self.shared.disk;
        disk.create_dir(&self.directory.path())?;
        let file = disk.create(&self.directory.join(PARTITION_METADATA))?;
        file.write_at(0, format!("version: 0\ntopic_id: {}", self.topic_id).as_bytes())?;
        self.flush.lock().add_directory(file);
        Ok(())
    }
}

/// The bytes to reserve for a segment whose first batch has `batch_bytes`.
fn capacity(config: &TopicConfig, batch_bytes: u64) -> u64 {
    u64::try_from(config.segment_bytes).unwrap_or(0).max(batch_bytes)
}

/// Whether a batch must go into a new segment. Source: `LogSegment.shouldRoll`.
fn must_roll<D: Disk>(
    active: &Segment<D>,
    config: &TopicConfig,
    header: &BatchHeader,
    writer: Option<&ActiveWriter<D>>,
) -> bool {
    let end = active.end();
    if end == 0 {
        // An empty segment takes its first batch, unless that batch is larger than what was reserved.
        return writer.is_some_and(|writer| header.size_in_bytes() as u64 > writer.capacity());
    }
    let new_end = end + header.size_in_bytes() as u64;
    let index_bytes = u64::try_from(config.segment_index_bytes).unwrap_or(0);
    new_end > u64::try_from(config.segment_bytes).unwrap_or(0)
        || writer.is_some_and(|writer| new_end > writer.capacity())
        || active.relative(header.last_offset()).is_none()
        || active.offsets.len() >= index_bytes / OffsetEntry::SIZE as u64
        || active.times.len() >= (index_bytes / TimeEntry::SIZE as u64).saturating_sub(1).max(1)
}

/// Whether the batch is so much newer than the segment's first one that it calls for a new segment. Batches without
/// timestamps are held against the clock.
fn is_too_old<D: Disk>(active: &Segment<D>, age_max_ms: i64, header: &BatchHeader, now: TimestampMs) -> bool {
    let first = active.first_timestamp();
    let newest = if header.max_timestamp.0 >= 0 { header.max_timestamp } else { now };
    active.end() > 0 && first.0 >= 0 && newest.0.saturating_sub(first.0) > age_max_ms
}
