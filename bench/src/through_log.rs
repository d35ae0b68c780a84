//! A log directory of the product, as `append` and `flush` load it: no broker, no network, its own flusher.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context as _, Result, anyhow, bail};
use bytes::{Bytes, BytesMut};
use config::topic::TopicConfig;
use parking_lot::{Condvar, Mutex};
use storage::batch::{AppendOrigin, AppendRules, BatchHeader, validate};
use storage::batch_builder::{BatchBuilder, BatchSpec};
use storage::disk::os::OsDisk;
use storage::error::LogDirFailure;
use storage::ids::{LeaderEpoch, Offset, TimestampMs, TopicId, TopicPartition};
use storage::log::Log;
use storage::log_dir::{LogDir, LogDirEvents, LogDirSettings};

use crate::clock::{Stopwatch, now};

const TOPIC: &str = "bench";
const EPOCH: LeaderEpoch = LeaderEpoch(0);
/// The version of Produce by which the batches are taken to have come.
const PRODUCE_VERSION: i16 = 12;
/// Size of a record's value. A batch holds as many such records as fit into it, and one at least.
const VALUE_BYTES: usize = 900;

/// Logs with their flusher.
pub(crate) struct Logs {
    log_dir: LogDir<OsDisk>,
    logs: Vec<Arc<Log<OsDisk>>>,
    flushes: Arc<Flushes>,
    rules: AppendRules,
    now: TimestampMs,
}

/// What the flusher has told.
#[derive(Default)]
struct Flushes {
    told: Mutex<Told>,
    /// By partition.
    wakes: BTreeMap<TopicPartition, Condvar>,
}

#[derive(Default)]
struct Told {
    rounds: u64,
    /// The flushed end of the first log after each round.
    ends: Vec<Offset>,
    failure: Option<String>,
}

impl Logs {
    /// Empty logs of `partitions` partitions below `home`, which must be empty, too.
    pub(crate) fn create(home: &Path, partitions: usize) -> Result<Self> {
        Self::with_configs(home, vec![TopicConfig::default(); partitions])
    }

    /// Empty logs of a partition for each of `configs`.
    pub(crate) fn with_configs(home: &Path, configs: Vec<TopicConfig>) -> Result<Self> {
        let numbers = 0..configs.len();
        let names = numbers.map(|number| Ok(TopicPartition::new(TOPIC, i32::try_from(number)?)));
        let names: Vec<TopicPartition> = names.collect::<Result<_>>()?;
        let wakes = names.iter().map(|name| (name.clone(), Condvar::new())).collect();
        let flushes = Arc::new(Flushes { told: Mutex::default(), wakes });
        let watch = Stopwatch::start();
        let settings = LogDirSettings::new(move || watch.elapsed());
        let events: Arc<dyn LogDirEvents<OsDisk>> = Arc::clone(&flushes) as _;
        let log_dir = LogDir::open(OsDisk, home, settings, events)?;
        let rules = AppendRules::of_topic(&TopicConfig::default(), AppendOrigin::Client, PRODUCE_VERSION);
        let create = |(name, config)| log_dir.create_log(name, TopicId::ZERO, Arc::new(config));
        let logs: Vec<_> = names.into_iter().zip(configs).map(create).collect();
        logs.iter().for_each(|log| log.begin_leader_epoch(EPOCH));
        Ok(Self { log_dir, logs, flushes, rules, now: now() })
    }

    /// Checks and appends `batch` as if it came from a client; answers the end to wait for.
    pub(crate) fn append(&self, partition: usize, batch: &Bytes) -> Result<Offset> {
        let batch = validate(batch.clone(), &self.rules, self.now)?;
        Ok(self.log(partition)?.append_as_leader(batch, EPOCH, self.now)?.end_offset)
    }

    /// Appends `batch` as if it came from a leader, behind what was appended before; answers the end to wait for. `batch`
    /// is the same afterwards but for its place.
    pub(crate) fn follow(&self, partition: usize, batch: &mut BytesMut) -> Result<Offset> {
        let log = self.log(partition)?;
        let place = BatchHeader::parse(batch)?.position_bytes(log.log_end_offset(), EPOCH);
        batch.get_mut(..place.len()).context("a batch has a header")?.copy_from_slice(&place);
        let bytes = std::mem::take(batch).freeze();
        let end = log.append_as_follower(&bytes, self.now)?;
        *batch = bytes.try_into_mut().map_err(|_shared| anyhow!("the log keeps what it has copied"))?;
        Ok(end)
    }

    /// The part of [`Self::append`] before the log is touched.
    pub(crate) fn only_check(&self, batch: &Bytes) -> Result<()> {
        let checked = validate(batch.clone(), &self.rules, self.now)?;
        std::hint::black_box(checked);
        Ok(())
    }

    /// Waits until everything below `end` (exclusive) of a partition is on the disk.
    pub(crate) fn wait_for_flush(&self, partition: usize, end: Offset) -> Result<()> {
        let log = self.log(partition)?;
        let wake = self.flushes.wakes.get(log.topic_partition()).context("every partition has one")?;
        let mut told = self.flushes.told.lock();
        while log.flushed_end_offset() < end {
            if let Some(failure) = &told.failure {
                bail!("{failure}");
            }
            wake.wait(&mut told);
        }
        Ok(())
    }

    /// Rounds of the flusher so far.
    pub(crate) fn rounds(&self) -> u64 {
        self.flushes.told.lock().rounds
    }

    /// The flushed ends (exclusive) of the first partition so far, growing.
    pub(crate) fn flushed_ends(&self) -> Vec<Offset> {
        let mut ends = self.flushes.told.lock().ends.clone();
        ends.dedup();
        ends
    }

    /// Flushes all logs, and moves their recovery points to their ends.
    pub(crate) fn checkpoint(&self) -> Result<()> {
        Ok(self.log_dir.checkpoint()?)
    }

    /// One of the logs.
    pub(crate) fn log(&self, partition: usize) -> Result<&Arc<Log<OsDisk>>> {
        self.logs.get(partition).with_context(|| format!("no partition {partition}"))
    }
}

impl LogDirEvents<OsDisk> for Flushes {
    fn flushed(&self, logs: &[Arc<Log<OsDisk>>]) {
        let mut told = self.told.lock();
        told.rounds += 1;
        for log in logs {
            if log.topic_partition().partition.0 == 0 {
                told.ends.push(log.flushed_end_offset());
            }
            if let Some(wake) = self.wakes.get(log.topic_partition()) {
                wake.notify_all();
            }
        }
    }

    fn failed(&self, failure: &LogDirFailure) {
        self.told.lock().failure = Some(format!("{}: {}", failure.path.display(), failure.error));
        for wake in self.wakes.values() {
            wake.notify_all();
        }
    }
}

/// A batch of at most `bytes` bytes, and the records in it; longer only where not even one record fits.
pub(crate) fn batch_of(bytes: usize) -> Result<(Bytes, i64)> {
    let mut builder = BatchBuilder::new(BatchSpec::default());
    let value: Vec<u8> = (b'A'..=b'Z').cycle().take(VALUE_BYTES).collect();
    let timestamp = now();
    loop {
        let mut longer = builder.clone();
        longer.push(timestamp, None, Some(&value), &[]);
        let built_bytes = storage::batch::HEADER_LEN + longer.records_len();
        if built_bytes > bytes && builder.record_count() > 0 {
            break;
        }
        builder = longer;
    }
    Ok((builder.build()?.into(), i64::from(builder.record_count())))
}
