//! `bench deletion`: what a producer notices while retention and DeleteTopics take topics of 100 GiB each away.
//!
//! The old segments are sparse: each is as long as a real one and has as many extents, since those are what a file system
//! frees, but only a block of data in each of them. The load is paced; a batch's latency counts from when it was due.

use std::fs::{self, File, OpenOptions};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use anyhow::{Result, anyhow, bail, ensure};
use bytes::Bytes;

use crate::clock::{Stopwatch, pause};
use crate::connection::Connection;
use crate::machine::Machine;
use crate::ottla::Ready;
use crate::table::{Table, milliseconds, quantile, significant};
use crate::through_log::batch_of;
use crate::{ottla, topics, workspace};

const LIVE: &str = "bench-live";
const AGED: &str = "bench-aged";
const DELETED: &str = "bench-deleted";
/// The smallest that a topic may have (`segment.bytes`): what is really written of each segment.
const SEGMENT_BYTES: u64 = 1 << 20;
const FILL_BATCH_BYTES: usize = 250_000;
/// How long each old segment is made.
const SHAPED_BYTES: u64 = 1 << 30;
/// Ottla extends a segment by as much at a time, so that an extent of a busy disk is no longer.
const EXTENT_BYTES: u64 = 16 << 20;
/// Old files go within seconds, not minutes, so that it happens while the producers are watched.
const SETTINGS: [&str; 1] = ["log.retention.check.interval.ms=1000"];
/// What the old files may take to be gone, once the producers have ended.
const GONE_LIMIT: Duration = Duration::from_secs(60);
const GONE_STEP: Duration = Duration::from_millis(200);

/// What to measure.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// Partitions of each old topic.
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(i32).range(1..))]
    partitions: i32,
    /// Old segments of each partition, of one gibibyte each.
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..))]
    segments: u64,
    /// Producers, each with a partition and a connection of its own.
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(i32).range(1..))]
    producers: i32,
    /// Bytes of what a producer sends at a time.
    #[arg(long, default_value_t = 1200)]
    batch_bytes: usize,
    /// How often, in milliseconds. Shorter than a flush takes, and what is measured is a queue.
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u64).range(1..))]
    interval_ms: u64,
    /// How long the producers are watched: before, while retention works, between, and while the other topic goes.
    #[arg(long, default_value_t = 25, value_parser = clap::value_parser!(u64).range(15..))]
    seconds: u64,
}

/// A batch: when it was due, and how long after that it was acknowledged.
type Sample = (Duration, Duration);

/// Measures, and prints a table.
pub(crate) fn run(options: &Options, directory: &Path) -> Result<()> {
    let binary = workspace::ottla_binary()?;
    println!("{}\n", Machine::of(directory)?);
    let home = workspace::scratch(directory)?;
    let Ready { process, address, .. } = ottla::start(&binary, home.path(), None, &SETTINGS)?;
    let mut connection = Connection::open(address)?;
    for name in [AGED, DELETED] {
        fill(&mut connection, name, options)?;
    }
    process.stop()?;
    let data = home.path().join("data");
    let shaped = [AGED, DELETED].iter().map(|name| shape(&data, name)).sum::<Result<u64>>()?;
    ensure!(
        shaped >= 2 * options.segments * options.partitions.unsigned_abs() as u64,
        "{shaped} old segments"
    );

    let Ready { process, address, .. } = ottla::start(&binary, home.path(), None, &SETTINGS)?;
    let mut connection = Connection::open(address)?;
    topics::create(&mut connection, LIVE, options.producers, &[])?;
    let phase = Duration::from_secs(options.seconds);
    let (batch, _) = batch_of(options.batch_bytes)?;
    let clock = Stopwatch::start();
    let (samples, asked_in) = thread::scope(|scope| {
        let (batch, clock) = (&batch, &clock);
        let until = phase * 4;
        let produce = |partition| {
            let interval = Duration::from_millis(options.interval_ms);
            scope.spawn(move || {
                produce(&mut Connection::open(address)?, partition, batch, (clock, interval, until))
            })
        };
        let producers: Vec<_> = (0..options.producers).map(produce).collect();
        pause(phase);
        topics::set_config(&mut connection, AGED, "retention.bytes", "1")?;
        pause((phase * 3).saturating_sub(clock.elapsed()));
        let asked = clock.elapsed();
        topics::delete(&mut connection, DELETED)?;
        let asked_in = clock.elapsed().saturating_sub(asked);
        let mut samples: Vec<Sample> = Vec::new();
        for producer in producers {
            samples.extend(producer.join().map_err(|_| anyhow!("a producer panicked"))??);
        }
        anyhow::Ok((samples, asked_in))
    })?;
    wait_until_gone(&data, options)?;
    process.stop()?;

    let mut table = Table::new(["while", "batches", "p50", "p99", "p99.9", "max"]);
    let names = [
        "nothing else happens",
        "retention takes 100 GiB",
        "nothing else happens",
        "a topic of 100 GiB goes",
    ];
    for (number, name) in (0_u32..).zip(names) {
        let (from, to) = (phase * number, phase * (number + 1));
        let within = samples.iter().filter(|(due, _)| *due >= from && *due < to);
        let mut latencies: Vec<Duration> = within.map(|(_, latency)| *latency).collect();
        latencies.sort_unstable();
        let cell = |share| milliseconds(quantile(&latencies, share));
        let name =
            name.replace("100", &(options.segments * options.partitions.unsigned_abs() as u64).to_string());
        table.row([name, latencies.len().to_string(), cell(0.5), cell(0.99), cell(0.999), cell(1.0)]);
    }
    println!("{table}\nDeleteTopics was answered in {} ms.", significant(asked_in.as_secs_f64() * 1e3));
    Ok(())
}

/// Makes a topic, and writes as many small segments into each of its partitions as there are to be old ones.
fn fill(connection: &mut Connection, name: &str, options: &Options) -> Result<()> {
    let segment_bytes = SEGMENT_BYTES.to_string();
    let configs = [("segment.bytes", segment_bytes.as_str()), ("file.delete.delay.ms", "0")];
    topics::create(connection, name, options.partitions, &configs)?;
    let (batch, _) = batch_of(FILL_BATCH_BYTES)?;
    let per_segment = SEGMENT_BYTES / batch.len() as u64;
    for _ in 0..=options.segments * per_segment {
        topics::produce(connection, name, 0..options.partitions, &batch)?;
    }
    Ok(())
}

/// Makes each segment of a topic but the last of a partition as long as a real one; answers how many.
fn shape(data: &Path, topic: &str) -> Result<u64> {
    let mut shaped = 0;
    for directory in partitions_of(data, topic)? {
        let mut logs: Vec<PathBuf> =
            fs::read_dir(&directory)?.map(|entry| Ok(entry?.path())).collect::<Result<_>>()?;
        logs.retain(|path| path.extension().is_some_and(|extension| extension == "log"));
        logs.sort_unstable();
        logs.pop();
        for path in &logs {
            let file: File = OpenOptions::new().write(true).open(path)?;
            file.set_len(SHAPED_BYTES)?;
            for extent in 1..SHAPED_BYTES / EXTENT_BYTES {
                file.write_all_at(&[1], extent * EXTENT_BYTES)?;
            }
            shaped += 1;
        }
    }
    Ok(shaped)
}

/// The directories of a topic's partitions, also of those that are about to be removed.
fn partitions_of(data: &Path, topic: &str) -> Result<Vec<PathBuf>> {
    let prefix = format!("{topic}-");
    let mut found = Vec::new();
    for entry in fs::read_dir(data)? {
        let entry = entry?;
        if entry.file_name().to_string_lossy().starts_with(&prefix) {
            found.push(entry.path());
        }
    }
    Ok(found)
}

/// Sends a batch whenever one is due.
fn produce(
    connection: &mut Connection,
    partition: i32,
    batch: &Bytes,
    (clock, interval, until): (&Stopwatch, Duration, Duration),
) -> Result<Vec<Sample>> {
    let mut samples = Vec::new();
    let mut due = clock.elapsed();
    while due < until {
        pause(due.saturating_sub(clock.elapsed()));
        topics::produce(connection, LIVE, [partition], batch)?;
        samples.push((due, clock.elapsed().saturating_sub(due)));
        due += interval;
    }
    Ok(samples)
}

/// Waits until no old segment is left: otherwise the figures would be of nothing.
fn wait_until_gone(data: &Path, options: &Options) -> Result<()> {
    let waiting = Stopwatch::start();
    loop {
        let mut left = partitions_of(data, DELETED)?.len();
        for directory in partitions_of(data, AGED)? {
            let files = fs::read_dir(directory)?.filter_map(Result::ok);
            let is_old = |file: &fs::DirEntry| file.metadata().is_ok_and(|it| it.len() >= SHAPED_BYTES);
            left += files.filter(is_old).count();
        }
        if left == 0 {
            return Ok(());
        }
        if waiting.elapsed() > GONE_LIMIT {
            bail!("{left} of the old files of {} partitions are still there", options.partitions);
        }
        pause(GONE_STEP);
    }
}
