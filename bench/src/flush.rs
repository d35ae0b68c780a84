//! `bench flush`: how many appends a second are flushed, by how many producers wait at a time and how many partitions
//! they write to. Group commit makes the figure grow with the producers; a mount of its own lets a round be one
//! `syncfs` in place of one `msync` for each file.

use std::fs;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result};
use bytes::Bytes;

use crate::clock::Stopwatch;
use crate::loop_mount::LoopMount;
use crate::machine::{Machine, Mount};
use crate::table::{NOT_MEASURED, Table, milliseconds, quantile, significant};
use crate::through_log::{Logs, batch_of};
use crate::workspace;

/// What to measure.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// How long each line is measured.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u64).range(1..))]
    seconds: u64,
    /// Size of a batch; one append is one batch.
    #[arg(long, default_value_t = 1024)]
    batch_bytes: usize,
    /// Producers, each with one append in flight.
    #[arg(long, value_delimiter = ',', default_values_t = [1, 4, 16, 64])]
    producers: Vec<usize>,
    /// Partitions that the producers share.
    #[arg(long, value_delimiter = ',', default_values_t = [1, 8, 64])]
    partitions: Vec<usize>,
}

/// What one line of the table shows.
struct Outcome {
    /// Sorted.
    latencies: Vec<Duration>,
    elapsed: Duration,
    cpu: Duration,
    rounds: u64,
    device_flushes: Option<u64>,
}

/// Measures, and prints a table for each place that the logs can be in.
pub(crate) fn run(options: &Options, directory: &Path) -> Result<()> {
    let home = workspace::scratch(directory)?;
    place(options, home.path(), "the given directory")?;
    drop(home);
    match LoopMount::create(directory)? {
        Some(mount) => {
            place(
                options,
                mount.point(),
                "ext4 on a loop device, the log directory its mount: one `syncfs` a round",
            )?;
            let folder = mount.point().join("folder");
            fs::create_dir(&folder)?;
            place(
                options,
                &folder,
                "the same file system, the log directory a folder in it: one `msync` a file",
            )?;
        }
        None => println!("A mount of its own was left out: that needs root."),
    }
    Ok(())
}

fn place(options: &Options, directory: &Path, description: &str) -> Result<()> {
    println!("{description}\n\n{}\n", Machine::of(directory)?);
    let mut table = Table::new([
        "partitions",
        "producers",
        "flushed appends/s",
        "p50",
        "p99",
        "appends per round",
        "device flushes per round",
        "CPU µs per append",
    ]);
    let (batch, _) = batch_of(options.batch_bytes)?;
    for &partitions in &options.partitions {
        for &producers in options.producers.iter().filter(|&&producers| producers >= partitions.min(2)) {
            let outcome = one_line(options, directory, &batch, (partitions, producers))?;
            let appends = outcome.latencies.len() as f64;
            let rounds = outcome.rounds.max(1) as f64;
            table.row([
                partitions.to_string(),
                producers.to_string(),
                significant(appends / outcome.elapsed.as_secs_f64()),
                milliseconds(quantile(&outcome.latencies, 0.5)),
                milliseconds(quantile(&outcome.latencies, 0.99)),
                significant(appends / rounds),
                outcome
                    .device_flushes
                    .map_or(NOT_MEASURED.to_owned(), |flushes| significant(flushes as f64 / rounds)),
                significant(outcome.cpu.as_secs_f64() * 1e6 / appends.max(1.0)),
            ]);
        }
    }
    println!("{table}");
    Ok(())
}

fn one_line(
    options: &Options,
    directory: &Path,
    batch: &Bytes,
    (partitions, producers): (usize, usize),
) -> Result<Outcome> {
    let mount = Mount::of(directory)?;
    let logs = Logs::create(directory, partitions)?;
    // The first appends create files; they are not what this measures.
    for partition in 0..partitions {
        logs.wait_for_flush(partition, logs.append(partition, batch)?)?;
    }
    let rounds_before = logs.rounds();
    let device_before = mount.device_totals();
    let watch = Stopwatch::start();
    let limit = Duration::from_secs(options.seconds);
    let produce = |partition: usize| -> Result<Vec<Duration>> {
        let mut latencies = Vec::new();
        while watch.elapsed() < limit {
            let began = watch.elapsed();
            logs.wait_for_flush(partition, logs.append(partition, batch)?)?;
            latencies.push(watch.elapsed().saturating_sub(began));
        }
        Ok(latencies)
    };
    let produce = &produce;
    let mut latencies = std::thread::scope(|scope| -> Result<Vec<Duration>> {
        let start = |number: usize| scope.spawn(move || produce(number % partitions));
        let threads: Vec<_> = (0..producers).map(start).collect();
        let mut all = Vec::new();
        for thread in threads {
            let latencies = thread.join().ok().context("a producer panicked")?;
            all.extend(latencies?);
        }
        Ok(all)
    })?;
    let (elapsed, cpu) = (watch.elapsed(), watch.cpu());
    latencies.sort_unstable();
    let device = mount.device_totals().zip(device_before).map(|(now, before)| now.since(before));
    let rounds = logs.rounds() - rounds_before;
    drop(logs);
    remove_content(directory)?;
    Ok(Outcome { latencies, elapsed, cpu, rounds, device_flushes: device.and_then(|totals| totals.flushes) })
}

/// Empties a directory that stays, since it may be a mount.
fn remove_content(directory: &Path) -> Result<()> {
    for entry in fs::read_dir(directory)? {
        let path = entry?.path();
        if path.is_dir() { fs::remove_dir_all(&path)? } else { fs::remove_file(&path)? }
    }
    Ok(())
}
