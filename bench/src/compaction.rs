//! `bench compaction`: what a round of compaction costs, by codec and size of a record, and what appends to another log wait
//! for their flush meanwhile.
//!
//! The first table cleans a log in which each key was written four times. The second writes a log anew again and again in
//! which no key was written twice, so that as much is written as is read, beside a producer with one small batch each
//! 10 ms.

use std::ops::ControlFlow;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use bytes::Bytes;
use config::topic::{CleanupPolicy, TopicConfig};
use storage::batch_builder::{BatchBuilder, BatchSpec};
use storage::compaction::{Cleanable, CleanerSettings, CleaningStats};
use storage::compression::Codec;
use storage::disk::os::OsDisk;
use storage::ids::TimestampMs;
use storage::log::Log;

use crate::clock::{Stopwatch, now, pause};
use crate::machine::Machine;
use crate::table::{Table, cpu_per_gb, milliseconds, quantile, significant, size};
use crate::through_log::{Logs, batch_of};
use crate::workspace;

/// The log that is cleaned, beside the one that is produced to.
const CLEANED: usize = 0;
const PRODUCED: usize = 1;
/// Bytes of records in a batch, before they are compressed: what producers under load send.
const BATCH_BYTES: usize = 64 << 10;
const SEGMENT_BYTES: i32 = 16 << 20;
/// Every so often the producer sends a batch. Shorter than a flush takes, and what is measured is a queue.
const PRODUCE_EVERY: Duration = Duration::from_millis(10);

/// What to measure.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// Records of each log that is cleaned, in units of 10^6 bytes before they are compressed.
    #[arg(long, default_value_t = 400, value_parser = clap::value_parser!(u64).range(100..))]
    megabytes: u64,
    /// Sizes of a record's value, in bytes.
    #[arg(long, value_delimiter = ',', default_values_t = [100, 1000])]
    value_bytes: Vec<usize>,
    /// How long the producer is watched, in each of its lines.
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..))]
    seconds: u64,
    /// What `log.cleaner.io.max.bytes.per.second` is in the last line, in units of 10^6 bytes.
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u64).range(1..))]
    throttled_megabytes: u64,
}

/// Measures, and prints both tables.
pub(crate) fn run(options: &Options, directory: &Path) -> Result<()> {
    println!("{}\n", Machine::of(directory)?);
    let mut table = Table::new([
        "value",
        "codec",
        "log",
        "after",
        "cleaned, MB/s of log",
        "CPU-s/GB of log",
        "records/s",
    ]);
    for &value_bytes in &options.value_bytes {
        for codec in [Codec::None, Codec::Lz4, Codec::Zstd] {
            table.row(throughput(options, directory, value_bytes, codec)?);
        }
    }
    println!("{table}");
    let mut table = Table::new([
        "beside the producer",
        "read and written, MB/s",
        "append to flush p50",
        "p99",
        "longest",
    ]);
    for (name, load) in [
        ("nothing".to_owned(), Load::None),
        ("compaction, as fast as it can".to_owned(), Load::Unlimited),
        (
            format!("compaction, {} MB/s", options.throttled_megabytes),
            Load::BytesPerSecond(options.throttled_megabytes * 1_000_000),
        ),
    ] {
        table.row(effect(options, directory, name, load)?);
    }
    println!("{table}");
    Ok(())
}

/// What runs beside the producer.
#[derive(Clone, Copy, Debug)]
enum Load {
    None,
    Unlimited,
    BytesPerSecond(u64),
}

fn throughput(options: &Options, directory: &Path, value_bytes: usize, codec: Codec) -> Result<[String; 7]> {
    let home = workspace::scratch(directory)?;
    let logs = Logs::with_configs(home.path(), vec![compacted()])?;
    let log = logs.log(CLEANED)?;
    fill(&logs, options.megabytes * 1_000_000, value_bytes, codec, 4)?;
    let bytes = log.size_in_bytes();
    let cleanable = log.cleanable(log.flushed_end_offset(), now())?.context("the log is compacted")?;
    let watch = Stopwatch::start();
    let stats = clean(log, &cleanable, &mut |_| ControlFlow::Continue(()))?;
    let (elapsed, cpu) = (watch.elapsed(), watch.cpu());
    ensure!(stats.records_kept < stats.records_read / 2, "old records were kept: {stats:?}");
    let seconds = elapsed.as_secs_f64();
    Ok([
        size(value_bytes as u64),
        format!("{codec:?}").to_lowercase(),
        format!("{} MB", bytes / 1_000_000),
        format!("{} MB", log.size_in_bytes() / 1_000_000),
        significant(cleanable.dirty_bytes as f64 / seconds / 1e6),
        significant(cpu_per_gb(cpu, cleanable.dirty_bytes)),
        significant(stats.records_read as f64 / seconds),
    ])
}

fn effect(options: &Options, directory: &Path, name: String, load: Load) -> Result<[String; 5]> {
    let home = workspace::scratch(directory)?;
    let logs = Logs::with_configs(home.path(), vec![compacted(), TopicConfig::default()])?;
    let log = logs.log(CLEANED)?;
    fill(&logs, options.megabytes * 1_000_000, 1000, Codec::None, 1)?;
    let cleanable = log.cleanable(log.flushed_end_offset(), now())?.context("the log is compacted")?;
    let (is_over, moved) = (AtomicBool::new(false), AtomicU64::new(0));
    let watch = Stopwatch::start();
    let limit = Duration::from_secs(options.seconds);
    let mut latencies = std::thread::scope(|scope| -> Result<Vec<Duration>> {
        let cleaner = scope.spawn(|| repeat(log, &cleanable, load, &is_over, &moved));
        let latencies = produce(&logs, &watch, limit);
        is_over.store(true, Ordering::Relaxed);
        cleaner.join().ok().context("the cleaner panicked")??;
        latencies
    })?;
    let seconds = watch.elapsed().as_secs_f64();
    latencies.sort_unstable();
    Ok([
        name,
        significant(moved.load(Ordering::Relaxed) as f64 / seconds / 1e6),
        milliseconds(quantile(&latencies, 0.5)),
        milliseconds(quantile(&latencies, 0.99)),
        milliseconds(quantile(&latencies, 1.0)),
    ])
}

/// Writes the whole log anew until `is_over`.
fn repeat(
    log: &Log<OsDisk>,
    cleanable: &Cleanable,
    load: Load,
    is_over: &AtomicBool,
    moved: &AtomicU64,
) -> Result<()> {
    let watch = Stopwatch::start();
    let mut pace = |bytes: u64| {
        let all = moved.fetch_add(bytes, Ordering::Relaxed) + bytes;
        if let Load::BytesPerSecond(rate) = load {
            let due = Duration::from_secs_f64(all as f64 / rate as f64);
            pause(due.saturating_sub(watch.elapsed()));
        }
        if is_over.load(Ordering::Relaxed) { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    };
    while !is_over.load(Ordering::Relaxed) && !matches!(load, Load::None) {
        match clean(log, cleanable, &mut pace) {
            Ok(_) => log.remove_deleted_segments(now())?,
            Err(error) => ensure!(is_over.load(Ordering::Relaxed), "{error}"),
        }
    }
    Ok(())
}

/// Sends small batches at a fixed rate; the time from when it was due until it was flushed.
fn produce(logs: &Logs, watch: &Stopwatch, limit: Duration) -> Result<Vec<Duration>> {
    let (batch, _) = batch_of(1024)?;
    let mut latencies = Vec::new();
    let mut due = watch.elapsed();
    while due < limit {
        pause(due.saturating_sub(watch.elapsed()));
        logs.wait_for_flush(PRODUCED, logs.append(PRODUCED, &batch)?)?;
        latencies.push(watch.elapsed().saturating_sub(due));
        due += PRODUCE_EVERY;
    }
    Ok(latencies)
}

fn clean(
    log: &Log<OsDisk>,
    cleanable: &Cleanable,
    pace: &mut dyn FnMut(u64) -> ControlFlow<()>,
) -> Result<CleaningStats> {
    // Kafka's defaults, which are the broker's.
    let settings = CleanerSettings { key_bytes_max: 128 << 20, key_load_factor: 0.9, read_bytes: 256 << 10 };
    Ok(log.clean(cleanable, &settings, now(), pace)?)
}

fn compacted() -> TopicConfig {
    TopicConfig {
        cleanup_policy: CleanupPolicy { compact: true, delete: false },
        segment_bytes: SEGMENT_BYTES,
        file_delete_delay_ms: 0,
        ..TopicConfig::default()
    }
}

/// Appends records of at least `bytes` in all, each key `times` times and never soon again, and flushes them.
fn fill(logs: &Logs, bytes: u64, value_bytes: usize, codec: Codec, times: u64) -> Result<()> {
    let key_count = (bytes / (value_bytes as u64 + 20) / times).max(1);
    let mut count = 0;
    let mut sent = 0;
    let mut text = Text(1);
    while sent < bytes {
        let spec = BatchSpec { codec, level: codec.default_level(), ..BatchSpec::default() };
        let mut builder = BatchBuilder::new(spec);
        let timestamp = now();
        while builder.records_len() < BATCH_BYTES {
            let key = format!("key-{:012}", count % key_count);
            builder.push(TimestampMs(timestamp.0), Some(key.as_bytes()), Some(&text.take(value_bytes)), &[]);
            count += 1;
        }
        sent += builder.records_len() as u64;
        let end = logs.append(CLEANED, &Bytes::from(builder.build()?))?;
        if sent % (8 << 20) < BATCH_BYTES as u64 {
            logs.wait_for_flush(CLEANED, end)?;
        }
    }
    logs.checkpoint()
}

/// Text that compresses about as logs do: words from a small dictionary, in an order without a pattern.
struct Text(u64);

impl Text {
    fn take(&mut self, bytes: usize) -> Vec<u8> {
        let mut text = Vec::with_capacity(bytes + 16);
        while text.len() < bytes {
            self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            text.extend_from_slice(format!("{:x} ", (self.0 >> 40) % 5000 * 7919).as_bytes());
        }
        text.truncate(bytes);
        text
    }
}
