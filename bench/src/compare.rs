//! `bench compare`: the same load on Ottla and on Apache Kafka, one after the other, in one run.
//!
//! Each broker has one core and its clients another, each starts empty, and of each load the second run counts, when
//! the JVM is warm. What a broker costs is the CPU time of its process. 1 GB is 10^9 bytes of record values.

pub(crate) mod clients;

use std::path::Path;
use std::time::Duration;

use anyhow::Result;

use crate::process::Background;
use crate::side_by_side::{Contender, Figures, SideBySide};
use crate::table::cpu_per_gb;
use crate::wire::create_topic;

use clients::{Clients, Pace, Production};

const PARTITIONS: i32 = 6;
/// The sizes of a record's value, in bytes.
const RECORD_SIZES: [u64; 2] = [100, 1024];
/// Of the paced load: the value's size in bytes, the records each second, and the client's `batch.size`.
const PACED: (u64, u64, u32) = (1024, 20_000, 16 * 1024);
/// The client's `batch.size` under full load.
const BATCH_BYTES: u32 = 64 * 1024;

/// What to measure.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// Bytes of values in each run of a load, in units of 10^6.
    #[arg(long, default_value_t = 500, value_parser = clap::value_parser!(u64).range(1..))]
    megabytes: u64,
    /// How long each run of the paced load lasts.
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u64).range(1..))]
    paced_seconds: u64,
    /// Leaves out the others; may be repeated.
    #[arg(long)]
    only: Vec<Contender>,
}

/// Measures, and prints a table.
pub(crate) fn run(options: &Options, directory: &Path) -> Result<()> {
    let contenders = SideBySide::prepare(&options.only, directory)?;
    println!("Of each load the second run.");
    contenders.run(|contender, figures| measure(contender, &contenders, options, figures))
}

fn measure(
    contender: Contender,
    contenders: &SideBySide<'_>,
    options: &Options,
    figures: &mut Figures,
) -> Result<()> {
    let home = contenders.home()?;
    let running = contenders.start(contender, home.path(), &[])?;
    let mut add = |what: String, value: f64| figures.add(what, value);
    let whole_start = running.format_time + running.start_time;
    add(
        "start of an empty node to the first Metadata, format included: ms".to_owned(),
        milliseconds(whole_start),
    );
    add("the same without the format: ms".to_owned(), milliseconds(running.start_time));
    let idle = running.process.memory()?;
    add("anonymous memory after the start: MiB".to_owned(), mebibytes(idle.anonymous));

    let clients = Clients { kafka: &contenders.kafka, bootstrap: running.address.to_string() };
    for record_bytes in RECORD_SIZES {
        let topic = format!("bench-{record_bytes}");
        create_topic(running.address, &topic, PARTITIONS)?;
        let records = options.megabytes * 1_000_000 / record_bytes;
        let production =
            Production { topic: &topic, records, record_bytes, batch_bytes: BATCH_BYTES, pace: Pace::Full };
        let produced_bytes = records * record_bytes;
        let (produced, cpu) = second_of_two(&running.process, || clients.produce(&production))?;
        add(format!("produce {record_bytes} B: CPU-s/GB"), cpu_per_gb(cpu, produced_bytes));
        add(format!("produce {record_bytes} B: records/s"), produced.records_per_second);
        let stored_bytes = 2 * produced_bytes;
        let ((), cpu) = second_of_two(&running.process, || clients.consume_by_kcat(&topic, stored_bytes))?;
        add(format!("fetch {record_bytes} B by kcat: CPU-s/GB"), cpu_per_gb(cpu, stored_bytes));
        let ((), cpu) = second_of_two(&running.process, || clients.consume_by_java(&topic, stored_bytes))?;
        add(format!("fetch {record_bytes} B by the Java client: CPU-s/GB"), cpu_per_gb(cpu, stored_bytes));
    }

    let (record_bytes, records_per_second, batch_bytes) = PACED;
    create_topic(running.address, "bench-paced", PARTITIONS)?;
    let production = Production {
        topic: "bench-paced",
        records: records_per_second * options.paced_seconds,
        record_bytes,
        batch_bytes,
        pace: Pace::RecordsPerSecond(records_per_second),
    };
    let (produced, cpu) = second_of_two(&running.process, || clients.produce(&production))?;
    for (name, latency_ms) in
        [("p50", produced.p50_ms), ("p99", produced.p99_ms), ("p99.9", produced.p999_ms)]
    {
        add(format!("produce {record_bytes} B at {records_per_second}/s: latency {name}, ms"), latency_ms);
    }
    let bytes = production.records * record_bytes;
    add(format!("produce {record_bytes} B at {records_per_second}/s: CPU-s/GB"), cpu_per_gb(cpu, bytes));

    let loaded = running.process.memory()?;
    add("anonymous memory after this load: MiB".to_owned(), mebibytes(loaded.anonymous));
    add(
        "resident memory after this load, mapped log pages included: MiB".to_owned(),
        mebibytes(loaded.resident),
    );
    running.process.stop()
}

/// Does `work` twice; answers what the second time gave, and the CPU time that it took `broker`.
pub(crate) fn second_of_two<T>(
    broker: &Background,
    mut work: impl FnMut() -> Result<T>,
) -> Result<(T, Duration)> {
    work()?;
    let before = broker.cpu()?;
    let outcome = work()?;
    Ok((outcome, broker.cpu()?.saturating_sub(before)))
}

fn milliseconds(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e3
}

pub(crate) fn mebibytes(bytes: u64) -> f64 {
    bytes as f64 / f64::from(1 << 20)
}
