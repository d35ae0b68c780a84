//! `bench spread`: what a record costs the broker as the same load goes to more partitions.
//!
//! The load is that of a user: Kafka's own `ProducerPerformance`, which fills a batch for one partition, then for another,
//! and puts many into a request. The partitions are written to once before, so that no file is made meanwhile.

use std::path::Path;
use std::time::Duration;

use anyhow::{Result, ensure};

use crate::clock::{Stopwatch, middle, pause};
use crate::compare::clients::{Clients, Pace, Production};
use crate::connection::Connection;
use crate::kafka::Kafka;
use crate::machine::Machine;
use crate::ottla::Ready;
use crate::table::{Table, cpu_per_gb, ratio, significant, size};
use crate::through_log::batch_of;
use crate::{ottla, topics, workspace};

const TOPIC: &str = "bench-spread";
const FIRST_BATCH_BYTES: usize = 1200;
/// Partitions in one request while they are written to for the first time.
const FIRST_TOUCH: i32 = 100;
/// A checkpoint, and what the first records cost, are over by then.
const SETTLE: Duration = Duration::from_secs(8);

/// What to measure.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// Bytes of values in each line, in units of 10^6.
    #[arg(long, default_value_t = 500, value_parser = clap::value_parser!(u64).range(1..))]
    megabytes: u64,
    /// Size of a record's value.
    #[arg(long, default_value_t = 1000, value_parser = clap::value_parser!(u64).range(1..))]
    record_bytes: u64,
    /// The client's `batch.size`.
    #[arg(long, value_delimiter = ',', default_values_t = [16 << 10, 64 << 10])]
    batch_bytes: Vec<u32>,
    /// How many partitions share the load. The first is what the others are compared with.
    #[arg(long, value_delimiter = ',', default_values_t = [1, 10, 100, 1000])]
    partitions: Vec<i32>,
    /// Runs of each line, in turn with those of the others, of which the one with the median CPU time counts.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..))]
    runs: u32,
}

/// What one line shows.
#[derive(Clone, Copy)]
struct Outcome {
    cpu: Duration,
    elapsed: Duration,
    records: u64,
}

/// Measures, and prints a table.
pub(crate) fn run(options: &Options, directory: &Path) -> Result<()> {
    let binary = workspace::ottla_binary()?;
    let kafka = Kafka::install()?;
    println!("{}\n", Machine::of(directory)?);
    let mut table = Table::new(["batch", "partitions", "CPU-µs a record", "ratio", "CPU-s/GB", "records/s"]);
    for &batch_bytes in &options.batch_bytes {
        let mut outcomes = vec![Vec::new(); options.partitions.len()];
        for _ in 0..options.runs {
            for (outcomes, &partitions) in outcomes.iter_mut().zip(&options.partitions) {
                let home = workspace::scratch(directory)?;
                let load = (batch_bytes, partitions);
                outcomes.push(measure(options, load, (&binary, home.path()), &kafka)?);
            }
        }
        let mut first = None;
        for (outcomes, partitions) in outcomes.into_iter().zip(&options.partitions) {
            let Outcome { cpu, elapsed, records } = middle(outcomes, |outcome| outcome.cpu)?;
            let each = cpu.as_secs_f64() * 1e6 / records as f64;
            table.row([
                size(u64::from(batch_bytes)),
                partitions.to_string(),
                significant(each),
                ratio(Some(each), Some(*first.get_or_insert(each))),
                significant(cpu_per_gb(cpu, records * options.record_bytes)),
                significant(records as f64 / elapsed.as_secs_f64()),
            ]);
        }
    }
    println!("{table}");
    Ok(())
}

fn measure(
    options: &Options,
    (batch_bytes, partitions): (u32, i32),
    (binary, home): (&Path, &Path),
    kafka: &Kafka,
) -> Result<Outcome> {
    let Ready { process, address, .. } = ottla::start(binary, home, None, &[])?;
    let mut connection = Connection::open(address)?;
    topics::create(&mut connection, TOPIC, partitions, &[])?;
    let (batch, first_records) = batch_of(FIRST_BATCH_BYTES)?;
    for first in (0..partitions).step_by(usize::try_from(FIRST_TOUCH)?) {
        let touched = first..partitions.min(first + FIRST_TOUCH);
        topics::produce(&mut connection, TOPIC, touched, &batch)?;
    }
    pause(SETTLE);

    let clients = Clients { kafka, bootstrap: address.to_string() };
    let records = options.megabytes * 1_000_000 / options.record_bytes;
    let record_bytes = options.record_bytes;
    let before = process.cpu()?;
    let watch = Stopwatch::start();
    clients.produce(&Production { topic: TOPIC, records, record_bytes, batch_bytes, pace: Pace::Full })?;
    let (cpu, elapsed) = (process.cpu()?.saturating_sub(before), watch.elapsed());
    let written: i64 = topics::ends(&mut connection, TOPIC, partitions)?.iter().sum();
    let expected = i64::try_from(records)? + first_records * i64::from(partitions);
    ensure!(written == expected, "{written} records in the logs, {expected} were acknowledged");
    process.stop()?;
    Ok(Outcome { cpu, elapsed, records })
}
