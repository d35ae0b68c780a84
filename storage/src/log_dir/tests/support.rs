//! Batches and log directories for tests.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use config::topic::TopicConfig;
use parking_lot::Mutex;

use crate::batch::{AppendOrigin, AppendRules, BatchHeader, ValidatedBatch, check, validate};
use crate::batch_builder::{BatchBuilder, BatchSpec};
use crate::disk::Disk;
use crate::error::{LogDirFailure, OpenError};
use crate::ids::{
    LeaderEpoch, Offset, ProducerEpoch, ProducerId, Sequence, TimestampMs, TopicId, TopicPartition,
};
use crate::log::Log;
use crate::log_dir::{FlushDriver, Loaded, LogDir, LogDirEvents, LogDirSettings};

pub(super) const EPOCH: LeaderEpoch = LeaderEpoch(3);
pub(super) const NOW: TimestampMs = TimestampMs(1_700_000_000_000);

/// Notes what the flusher reports.
#[derive(Default)]
pub(super) struct Events {
    pub(super) flushed: Mutex<u64>,
    pub(super) checkpoints_due: Mutex<u64>,
    pub(super) failures: Mutex<Vec<String>>,
    pub(super) wake: parking_lot::Condvar,
}

impl<D: Disk> LogDirEvents<D> for Events {
    fn flushed(&self, _logs: &[Arc<Log<D>>]) {
        *self.flushed.lock() += 1;
        self.wake.notify_all();
    }

    fn checkpoint_due(&self) {
        *self.checkpoints_due.lock() += 1;
    }

    fn failed(&self, failure: &LogDirFailure) {
        self.failures.lock().push(failure.error.to_string());
        self.wake.notify_all();
    }
}

pub(super) fn settings() -> LogDirSettings {
    LogDirSettings {
        flush_driver: FlushDriver::Manual,
        free_space_floor_bytes: 0,
        recovery_threads: 1,
        unwritten_bytes_max: 0,
        ..LogDirSettings::new(|| Duration::ZERO)
    }
}

pub(super) fn config(segment_bytes: i32) -> Arc<TopicConfig> {
    Arc::new(TopicConfig { segment_bytes, index_interval_bytes: 512, ..TopicConfig::default() })
}

pub(super) fn partition(index: i32) -> TopicPartition {
    TopicPartition::new("events", index)
}

pub(super) fn topic_id() -> TopicId {
    TopicId::from_bytes([7; 16])
}

pub(super) fn root() -> PathBuf {
    PathBuf::from("/data")
}

pub(super) fn open<D: Disk>(disk: &D, path: &Path) -> (LogDir<D>, Arc<Events>) {
    try_open(disk, path).unwrap()
}

pub(super) fn try_open<D: Disk>(disk: &D, path: &Path) -> Result<(LogDir<D>, Arc<Events>), OpenError> {
    let events = Arc::new(Events::default());
    let shown: Arc<dyn LogDirEvents<D>> = Arc::clone(&events) as _;
    Ok((LogDir::open(disk.clone(), path, settings(), shown)?, events))
}

/// Settings with which a checkpoint leaves small states unwritten.
pub(super) fn lazy_settings() -> LogDirSettings {
    LogDirSettings { unwritten_bytes_max: 3000, ..settings() }
}

/// Opens the directory with its partitions 0 to `count` (exclusive).
pub(super) fn load<D: Disk>(
    disk: &D,
    path: &Path,
    count: i32,
    config: &Arc<TopicConfig>,
) -> Result<(LogDir<D>, Loaded<D>), OpenError> {
    load_with(settings(), disk, path, count, config)
}

pub(super) fn load_with<D: Disk>(
    settings: LogDirSettings,
    disk: &D,
    path: &Path,
    count: i32,
    config: &Arc<TopicConfig>,
) -> Result<(LogDir<D>, Loaded<D>), OpenError> {
    let dir = LogDir::open(disk.clone(), path, settings, Arc::new(Events::default()))?;
    let wanted = (0..count).map(|index| (partition(index), topic_id(), Arc::clone(config))).collect();
    let loaded = dir.load(wanted, NOW)?;
    Ok((dir, loaded))
}

/// A batch of `count` records of `value_bytes` each, as it comes from a producer without idempotence.
pub(super) fn batch(count: i32, value_bytes: usize, timestamp: i64) -> ValidatedBatch {
    batch_of(BatchSpec::default(), count, &vec![b'v'; value_bytes], timestamp)
}

/// The batch of an idempotent producer that starts at `sequence`.
pub(super) fn idempotent(producer: i64, sequence: i32, count: i32, value: &[u8]) -> ValidatedBatch {
    let spec = BatchSpec {
        producer_id: ProducerId(producer),
        producer_epoch: ProducerEpoch(0),
        base_sequence: Sequence(sequence),
        ..BatchSpec::default()
    };
    batch_of(spec, count, value, NOW.0)
}

pub(super) fn batch_of(spec: BatchSpec, count: i32, value: &[u8], timestamp: i64) -> ValidatedBatch {
    let mut builder = BatchBuilder::new(spec);
    for index in 0..count {
        builder.push(TimestampMs(timestamp + i64::from(index)), None, Some(value), &[]);
    }
    let bytes = Bytes::from(builder.build().unwrap());
    let rules = AppendRules::of_topic(&TopicConfig::default(), AppendOrigin::Client, 9);
    validate(bytes, &rules, TimestampMs(timestamp)).unwrap()
}

/// The headers of all batches from `from` to the end, each checked.
pub(super) fn read_all<D: Disk>(log: &Log<D>, from: Offset) -> Vec<BatchHeader> {
    let mut headers = Vec::new();
    let mut next = from;
    loop {
        let read = log.read(next, log.log_end_offset(), 1000, true).unwrap();
        let mut rest = read.records.as_ref();
        if rest.is_empty() {
            return headers;
        }
        while !rest.is_empty() {
            let header = check(rest).unwrap();
            rest = &rest[header.size_in_bytes()..];
            next = header.next_offset();
            headers.push(header);
        }
    }
}
