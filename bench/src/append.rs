//! `bench append`: what an append costs through the product's log, as a leader and as a follower, and what bare loops
//! that write the same bytes and flush at the same places pay, by how the page that they store into came to be.
//!
//! The log is measured first, and where its flusher flushed is written down; the bare loops repeat that. So all have
//! the same bytes, the same flushes and the same steps of allocation; only the log checks what it appends, indexes it
//! and hands the flush to another thread.

mod bare;

use std::path::Path;
use std::time::Duration;

use anyhow::Result;
use bytes::{Bytes, BytesMut};
use storage::disk::Disk as _;
use storage::disk::os::OsDisk;
use storage::ids::Offset;

use crate::clock::{Stopwatch, middle};
use crate::machine::{Machine, Mount};
use crate::table::{NOT_MEASURED, Table, cpu_per_gb, ratio, significant, size};
use crate::through_log::{Logs, batch_of};
use crate::workspace;

use bare::{BareFile, Way};

/// What to measure.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// Bytes of batches in each run, in units of 10^6; below one segment (1 GiB).
    #[arg(long, default_value_t = 400, value_parser = clap::value_parser!(u64).range(1..=1000))]
    megabytes: u64,
    /// Runs of each way, of which the one with the median CPU time counts.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..))]
    runs: u32,
    /// Sizes of a batch, in bytes.
    #[arg(long, value_delimiter = ',', default_values_t = [1 << 10, 16 << 10, 64 << 10, 1 << 20])]
    batch_bytes: Vec<usize>,
    /// Bytes that are appended before the writer waits until they are flushed.
    #[arg(long, value_delimiter = ',', default_values_t = [64 << 10, 1 << 20])]
    window_bytes: Vec<u64>,
}

/// What one run cost.
#[derive(Clone, Copy, Debug)]
struct Cost {
    cpu: Duration,
    bytes: u64,
    /// Bytes that the device wrote, everybody's included, or `None` where it cannot be told.
    device_bytes: Option<u64>,
}

impl Cost {
    fn cpu_per_gb(&self) -> f64 {
        cpu_per_gb(self.cpu, self.bytes)
    }

    fn device_ratio(&self) -> String {
        ratio(self.device_bytes.map(|bytes| bytes as f64), Some(self.bytes as f64))
    }
}

/// The same batch again and again.
struct Load {
    batch: Bytes,
    records: i64,
    count: u64,
    window_bytes: u64,
}

/// Measures, and prints two tables.
pub(crate) fn run(options: &Options, directory: &Path) -> Result<()> {
    println!(
        "{}; {} MB in each run, median of {}\n",
        Machine::of(directory)?,
        options.megabytes,
        options.runs
    );
    let mut costs = Table::new([
        "batch",
        "bytes per flush",
        "log: CPU-s/GB",
        "of which checking the batch",
        "the same as a follower",
        "bare, zeroed ahead",
        "bare, populated ahead",
        "bare, `pwrite`",
        "log : bare, zeroed ahead",
        "the same without checking",
    ]);
    let mut written = Table::new([
        "batch",
        "bytes per flush",
        "log: bytes written to the disk per byte",
        "bare, zeroed ahead",
        "bare, populated ahead",
        "bare, `pwrite`",
    ]);
    for &window_bytes in &options.window_bytes {
        for &batch_bytes in &options.batch_bytes {
            let (batch, records) = batch_of(batch_bytes)?;
            let count = (options.megabytes * 1_000_000 / batch.len() as u64).max(1);
            let load = Load { batch, records, count, window_bytes };
            let runs: Vec<_> = (0..options.runs).map(|_| one_run(&load, directory)).collect::<Result<_>>()?;
            let median = |way: fn(&Costs) -> Cost| middle(runs.iter().map(way).collect(), |cost| cost.cpu);
            let log = median(|costs| costs.log)?;
            let checking = median(|costs| costs.checking)?;
            let follower = median(|costs| costs.follower)?;
            let [zeroed, populated, pwrite] = [
                median(|costs| costs.zeroed)?,
                median(|costs| costs.populated)?,
                median(|costs| costs.pwrite)?,
            ];
            let flushes = runs.iter().map(|costs| costs.flushes).sum::<u64>() / u64::from(options.runs);
            let name = size(batch_bytes as u64);
            let per_flush = format!("{} KiB", significant(log.bytes as f64 / 1024.0 / flushes.max(1) as f64));
            let cells = [log, checking, follower, zeroed, populated, pwrite]
                .map(|cost| significant(cost.cpu_per_gb()));
            let without_checking = log.cpu_per_gb() - checking.cpu_per_gb();
            let ratios =
                [log.cpu_per_gb(), without_checking].map(|of| ratio(Some(of), Some(zeroed.cpu_per_gb())));
            costs.row([name.clone(), per_flush.clone()].into_iter().chain(cells).chain(ratios));
            let ratios = [log, zeroed, populated, pwrite].map(|cost| cost.device_ratio());
            written.row([name, per_flush].into_iter().chain(ratios));
        }
    }
    println!("{costs}\n{written}");
    if Mount::of(directory)?.device_totals().is_none() {
        println!("{NOT_MEASURED}: this file system has no block device whose writes could be counted");
    }
    Ok(())
}

/// What each way cost in one run.
#[derive(Clone, Copy, Debug)]
struct Costs {
    log: Cost,
    checking: Cost,
    follower: Cost,
    zeroed: Cost,
    populated: Cost,
    pwrite: Cost,
    flushes: u64,
}

fn one_run(load: &Load, directory: &Path) -> Result<Costs> {
    let home = workspace::scratch(directory)?;
    let logs = Logs::create(home.path(), 1)?;
    let log = measure(load, directory, || append_all(load, &logs, || logs.append(0, &load.batch)))?;
    let checking =
        measure(load, directory, || (0..load.count).try_for_each(|_| logs.only_check(&load.batch)))?;
    let batch_bytes = load.batch.len() as u64;
    let to_bytes = |offset: i64| -> Result<u64> { Ok(u64::try_from(offset / load.records)? * batch_bytes) };
    let flush_ends: Vec<u64> =
        logs.flushed_ends().into_iter().map(|end| to_bytes(end.0)).collect::<Result<_>>()?;
    drop((logs, home));
    let home = workspace::scratch(directory)?;
    let logs = Logs::create(home.path(), 1)?;
    let mut batch = BytesMut::from(load.batch.as_ref());
    let follower = measure(load, directory, || append_all(load, &logs, || logs.follow(0, &mut batch)))?;
    drop((logs, home));
    let bare = |way| -> Result<Cost> {
        let home = workspace::scratch(directory)?;
        let mut file = BareFile::create(&home.path().join("segment"), way)?;
        measure(load, directory, || repeat(load, &flush_ends, &mut file))
    };
    Ok(Costs {
        log,
        checking,
        follower,
        zeroed: bare(Way::ZeroedAhead)?,
        populated: bare(Way::PopulatedAhead)?,
        pwrite: bare(Way::Pwrite)?,
        flushes: flush_ends.len() as u64,
    })
}

/// The CPU time of `work`, and what the disk wrote until everything of it was there.
fn measure(load: &Load, directory: &Path, work: impl FnOnce() -> Result<()>) -> Result<Cost> {
    let mount = Mount::of(directory)?;
    OsDisk.sync_file_system(directory)?;
    let device_before = mount.device_totals();
    let watch = Stopwatch::start();
    work()?;
    let cpu = watch.cpu();
    OsDisk.sync_file_system(directory)?;
    let device = mount.device_totals().zip(device_before).map(|(now, before)| now.since(before));
    let bytes = load.count * load.batch.len() as u64;
    Ok(Cost { cpu, bytes, device_bytes: device.map(|totals| totals.written_bytes) })
}

fn append_all(load: &Load, logs: &Logs, mut append: impl FnMut() -> Result<Offset>) -> Result<()> {
    let mut waiting_bytes = 0;
    let mut end = None;
    for _ in 0..load.count {
        let appended = append()?;
        waiting_bytes += load.batch.len() as u64;
        end = Some(appended);
        if waiting_bytes >= load.window_bytes {
            logs.wait_for_flush(0, appended)?;
            waiting_bytes = 0;
        }
    }
    end.map_or(Ok(()), |end| logs.wait_for_flush(0, end))
}

fn repeat(load: &Load, flush_ends: &[u64], file: &mut BareFile) -> Result<()> {
    for &end in flush_ends {
        while file.end() < end {
            file.append(&load.batch)?;
        }
        file.flush()?;
    }
    Ok(())
}
