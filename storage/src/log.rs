//! The log of one partition: segments in a row, what is known of them, and the one place where they grow.
//!
//! Invariants:
//! - `log_start_offset <= flushed_end_offset <= log_end_offset`, and the last two move back only where the log is cut;
//! - one lock orders appends; a read never takes it: it sees the segments by an atomic pointer and the ends by atomics;
//! - duplicate check and append are one step under that lock, and an append that fails changes nothing;
//! - a segment is in the list, and known to the flusher, before the end of the log moves past its base offset.
//!
//! Absent: what is replicated (the caller passes its bounds to `read`), waiting, validation of batches.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};

use arc_swap::ArcSwap;
use config::topic::TopicConfig;
use parking_lot::{Mutex, RwLock};

use crate::aborted_transactions::AbortedTransaction;
use crate::disk::{Disk, DiskError};
use crate::ids::{LeaderEpoch, Offset, ProducerId, TimestampMs, TopicId, TopicPartition};
use crate::leader_epochs::{EpochEnd, LeaderEpochs};
use crate::log_dir::Shared;
use crate::producer_state::ProducerState;
use crate::segment::{PartitionDirectory, Segment};

mod append;
mod checkpoint;
mod cleaning;
mod flush;
mod follow;
mod leftovers;
mod lookup;
mod read;
mod replace;
mod retain;
mod roll;
mod transactions;
mod truncate;
mod writer;

pub use append::Appended;
pub use lookup::TimestampedOffset;
pub use read::LogRead;

pub(crate) use append::Appender;
pub(crate) use append::aborted_by;
pub(crate) use checkpoint::{Behind, CheckpointedLog, LEADER_EPOCHS, SNAPSHOT_SUFFIX, WrittenState};
pub(crate) use flush::{FlushWork, SegmentFlush};
pub(crate) use read::{Walked, walk};
pub(crate) use retain::remove_if_there;
pub(crate) use roll::PARTITION_METADATA;
pub(crate) use transactions::AbortedBySegment;

use leftovers::Leftovers;

/// The log of one partition.
pub struct Log<D: Disk> {
    shared: Arc<Shared<D>>,
    topic_partition: TopicPartition,
    topic_id: TopicId,
    directory: Arc<PartitionDirectory>,
    config: ArcSwap<TopicConfig>,
    /// By base offset. Empty before the first record.
    segments: ArcSwap<Vec<Arc<Segment<D>>>>,
    log_start_offset: AtomicI64,
    log_end_offset: AtomicI64,
    flushed_end_offset: AtomicI64,
    /// -1 where there is none.
    first_unstable_offset: AtomicI64,
    epochs: RwLock<LeaderEpochs>,
    aborted: RwLock<AbortedBySegment>,
    append: Mutex<Appender<D>>,
    /// Held by who takes sealed segments out of the list or replaces them. Before all other locks.
    sealed: Mutex<()>,
    /// How often the log was cut. It changes under `sealed` and `flush`.
    cuts: AtomicU64,
    leftovers: Mutex<Option<Box<Leftovers<D::File>>>>,
    flush: Mutex<flush::FlushState<D>>,
    /// Whether the flusher knows that there is something to flush.
    is_queued: AtomicBool,
    /// Bytes of the last flush, from which the size of the blocks that are zeroed ahead follows.
    last_flush_bytes: AtomicU64,
    is_deleted: AtomicBool,
    /// Exclusive: what a crash leaves of the recovery point.
    durable_recovery_point: AtomicI64,
    /// Exclusive: everything below went through compaction. -1 where nothing did.
    cleaned_end_offset: AtomicI64,
    /// One round of compaction at a time.
    cleaning: Mutex<()>,
    /// One checkpoint at a time; what it holds is the end of the log at the last one.
    checkpointed: Mutex<CheckpointedLog>,
}

/// What a log starts from: nothing, or what recovery found.
pub(crate) struct LogState<D: Disk> {
    pub(crate) segments: Vec<Arc<Segment<D>>>,
    pub(crate) log_start_offset: Offset,
    pub(crate) log_end_offset: Offset,
    pub(crate) epochs: LeaderEpochs,
    pub(crate) aborted: AbortedBySegment,
    pub(crate) appender: Appender<D>,
    pub(crate) checkpointed: CheckpointedLog,
}

/// What a log knows of one producer, for `DescribeProducers`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProducerSnapshot {
    /// Who it is.
    pub producer_id: ProducerId,
    /// What is known.
    pub state: ProducerState,
}

impl<D: Disk> Log<D> {
    pub(crate) fn new(
        shared: Arc<Shared<D>>,
        topic_partition: TopicPartition,
        topic_id: TopicId,
        config: Arc<TopicConfig>,
        state: LogState<D>,
    ) -> Self {
        let directory = Arc::clone(&state.appender.directory);
        let first_unstable = state.appender.producers.first_undecided_offset();
        assert!(state.log_start_offset <= state.log_end_offset, "a log starts at or before its end");
        let segments = match state.segments.is_empty() {
            true => Arc::clone(&shared.no_segments),
            false => Arc::new(state.segments),
        };
        Self {
            shared,
            topic_partition,
            topic_id,
            directory,
            config: ArcSwap::new(config),
            segments: ArcSwap::new(segments),
            log_start_offset: AtomicI64::new(state.log_start_offset.0),
            log_end_offset: AtomicI64::new(state.log_end_offset.0),
            flushed_end_offset: AtomicI64::new(state.log_end_offset.0),
            first_unstable_offset: AtomicI64::new(first_unstable.map_or(-1, |offset| offset.0)),
            epochs: RwLock::new(state.epochs),
            aborted: RwLock::new(state.aborted),
            append: Mutex::new(state.appender),
            sealed: Mutex::default(),
            cuts: AtomicU64::new(0),
            leftovers: Mutex::default(),
            flush: Mutex::default(),
            is_queued: AtomicBool::new(false),
            last_flush_bytes: AtomicU64::new(0),
            is_deleted: AtomicBool::new(false),
            durable_recovery_point: AtomicI64::new(state.checkpointed.recovery_point.0),
            cleaned_end_offset: AtomicI64::new(-1),
            cleaning: Mutex::default(),
            checkpointed: Mutex::new(state.checkpointed),
        }
    }

    /// Which partition this is.
    #[must_use]
    pub fn topic_partition(&self) -> &TopicPartition {
        &self.topic_partition
    }

    /// Which life of the topic this belongs to.
    #[must_use]
    pub fn topic_id(&self) -> TopicId {
        self.topic_id
    }

    /// The first offset that may be read.
    #[must_use]
    pub fn log_start_offset(&self) -> Offset {
        Offset(self.log_start_offset.load(Ordering::Acquire))
    }

    /// The offset of the next record (exclusive end).
    #[must_use]
    pub fn log_end_offset(&self) -> Offset {
        Offset(self.log_end_offset.load(Ordering::Acquire))
    }

    /// Everything below (exclusive) is on the disk.
    #[must_use]
    pub fn flushed_end_offset(&self) -> Offset {
        Offset(self.flushed_end_offset.load(Ordering::Acquire))
    }

    /// The settings of the topic.
    #[must_use]
    pub fn config(&self) -> Arc<TopicConfig> {
        self.config.load_full()
    }

    /// Follows a change of the topic's settings, from the next append on.
    pub fn set_config(&self, config: Arc<TopicConfig>) {
        self.config.store(config);
    }

    /// Notes that a leader of `epoch` is about to append, which must be said before its first record. Source: KIP-101.
    pub fn begin_leader_epoch(&self, epoch: LeaderEpoch) {
        let _appender = self.append.lock();
        let mut epochs = self.epochs.write();
        if epochs.latest().is_none_or(|latest| latest < epoch) {
            epochs.assign(epoch, self.log_end_offset());
        }
    }

    /// The newest leader epoch, if there was one.
    #[must_use]
    pub fn latest_epoch(&self) -> Option<LeaderEpoch> {
        self.epochs.read().latest()
    }

    /// The leader epoch in which the record at `offset` was appended.
    #[must_use]
    pub fn epoch_of_offset(&self, offset: Offset) -> Option<LeaderEpoch> {
        self.epochs.read().epoch_for_offset(offset)
    }

    /// Where an epoch ended, as `OffsetForLeaderEpoch` answers it; `None` where this log cannot tell. Source: KIP-320.
    #[must_use]
    pub fn end_offset_for_epoch(&self, epoch: LeaderEpoch) -> Option<EpochEnd> {
        let epochs = self.epochs.read();
        epochs.end_offset_for(epoch, self.log_end_offset())
    }

    /// The first offset of the oldest transaction that is open or not yet replicated, or `None`.
    #[must_use]
    pub fn first_unstable_offset(&self) -> Option<Offset> {
        Some(Offset(self.first_unstable_offset.load(Ordering::Acquire))).filter(|offset| offset.0 >= 0)
    }

    /// Says what was known to be replicated (exclusive) when the log was opened. Until then all that was found counts as
    /// replicated, which it is on a single node: of a set, the outcome of transactions past the high watermark is not stable.
    pub fn resume_high_watermark(&self, high_watermark: Offset) {
        let mut appender = self.append.lock();
        appender.high_watermark = high_watermark.min(self.log_end_offset());
        self.publish_first_unstable_offset(&appender);
    }

    /// Says what is replicated (exclusive), on which the first unstable offset depends.
    pub fn advance_high_watermark(&self, high_watermark: Offset) {
        if self.first_unstable_offset().is_none() {
            return;
        }
        let mut appender = self.append.lock();
        appender.producers.advance_high_watermark(high_watermark);
        appender.high_watermark = appender.high_watermark.max(high_watermark);
        self.publish_first_unstable_offset(&appender);
    }

    /// The aborted transactions that overlap `from` (inclusive) to `upper_bound` (exclusive), by their markers.
    #[must_use]
    pub fn aborted_transactions(&self, from: Offset, upper_bound: Offset) -> Vec<AbortedTransaction> {
        self.aborted.read().collect(from, upper_bound)
    }

    /// Bytes of all segments.
    #[must_use]
    pub fn size_in_bytes(&self) -> u64 {
        self.segments.load().iter().map(|segment| segment.end()).sum()
    }

    /// How many segments there are.
    #[must_use]
    pub fn segment_count(&self) -> usize {
        self.segments.load().len()
    }

    /// What is known of the producers that wrote to this log, by their ids.
    #[must_use]
    pub fn producers(&self) -> Vec<ProducerSnapshot> {
        let appender = self.append.lock();
        let producers = appender.producers.producers();
        producers.map(|(producer_id, state)| ProducerSnapshot { producer_id, state: state.clone() }).collect()
    }

    /// Whether anything is known of that producer.
    #[must_use]
    pub fn knows_producer(&self, producer_id: ProducerId) -> bool {
        self.append.lock().producers.producer(producer_id).is_some()
    }

    /// How often the log was cut.
    pub(crate) fn cuts(&self) -> u64 {
        self.cuts.load(Ordering::Acquire)
    }

    /// Returns when no append runs that began before the call.
    pub(crate) fn wait_for_append(&self) {
        drop(self.append.lock());
    }

    /// The start of the log where it is not simply the first segment's base offset.
    pub(crate) fn start_to_write(&self) -> Option<(TopicPartition, Offset)> {
        let start = self.log_start_offset();
        let segments = self.segments.load();
        let first = segments.first()?;
        (start > first.base_offset).then(|| (self.topic_partition.clone(), start))
    }

    /// Ends the log: appends fail, and the directory gets the name `target`, which the caller syncs. No round of the flusher
    /// runs meanwhile.
    pub(crate) fn delete(&self, target: &Path) -> Result<(), DiskError> {
        self.is_deleted.store(true, Ordering::Release);
        let mut appender = self.append.lock();
        appender.writer = None;
        let segments = self.segments.load_full();
        self.shared.open_segments.forget(|open| segments.iter().any(|segment| Arc::ptr_eq(open, segment)));
        *self.flush.lock() = flush::FlushState::default();
        if appender.is_created {
            self.directory.rename(&self.shared.disk, target)?;
        }
        Ok(())
    }

    /// Forgets producers that wrote nothing for `expiration_ms` (`producer.id.expiration.ms`, which may change while
    /// the node runs) and have no open transaction.
    pub fn expire_producers(&self, now: TimestampMs, expiration_ms: i64) {
        self.append.lock().producers.remove_expired(now, expiration_ms);
    }

    fn publish_first_unstable_offset(&self, appender: &Appender<D>) {
        let first = appender.producers.first_unstable_offset(appender.high_watermark);
        self.first_unstable_offset.store(first.map_or(-1, |offset| offset.0), Ordering::Release);
    }
}

impl<D: Disk> std::fmt::Debug for Log<D> {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("Log")
            .field("topic_partition", &self.topic_partition)
            .field("log_start_offset", &self.log_start_offset())
            .field("log_end_offset", &self.log_end_offset())
            .field("flushed_end_offset", &self.flushed_end_offset())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::Log;
    use crate::disk::os::OsDisk;

    /// A node has one for each of its partitions, also where nobody writes to them, and with its counts it takes the next class
    /// of the allocator's that it fits into: 512 bytes, or 640. What most logs do not have is boxed.
    #[test]
    fn log_fits_a_class_of_the_allocator() {
        assert!(size_of::<Log<OsDisk>>() <= 496, "{} bytes", size_of::<Log<OsDisk>>());
    }
}
