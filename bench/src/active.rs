//! `bench active`: a start after `kill -9` of a node with much in the active segments, which no roll has sealed.
//!
//! Two moments: right behind the last acknowledgement, when a start must read and write once more what came since the last
//! checkpoint; and once a checkpoint has passed. Everything is really written, and every end is asked for afterwards.

use std::path::Path;
use std::thread;
use std::time::Duration;

use anyhow::{Result, anyhow, ensure};
use bytes::Bytes;

use crate::clock::{Stopwatch, pause};
use crate::connection::Connection;
use crate::machine::Machine;
use crate::ottla::Ready;
use crate::process::Background;
use crate::table::{Table, mebibytes, milliseconds, significant};
use crate::through_log::batch_of;
use crate::{ottla, topics, workspace};

const TOPIC: &str = "bench-active";
/// As large as a batch may be by default (`message.max.bytes`), less what its head takes.
const BATCH_BYTES: usize = 1_000_000;
/// Producers, each with partitions of its own and one batch in flight.
const PRODUCERS: i32 = 2;
/// A checkpoint comes each 5 s (`log.flush.offset.checkpoint.interval.ms`).
const CHECKPOINTED: Duration = Duration::from_secs(12);

/// What to measure.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// Bytes in the active segments, in units of 2^30.
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..))]
    gibibytes: u64,
    /// Partitions that share them; a segment holds at most one gibibyte.
    #[arg(long, default_value_t = 16, value_parser = clap::value_parser!(i32).range(1..))]
    partitions: i32,
}

/// Measures, and prints a table.
pub(crate) fn run(options: &Options, directory: &Path) -> Result<()> {
    let binary = workspace::ottla_binary()?;
    println!("{}\n", Machine::of(directory)?);
    let (batch, records) = batch_of(BATCH_BYTES)?;
    let each = (options.gibibytes << 30) / u64::try_from(options.partitions)?;
    ensure!(each < 1 << 30, "more partitions are needed: a segment ends at one gibibyte");
    let batches = each / batch.len() as u64;
    let end = i64::try_from(batches)? * records;
    let home = workspace::scratch(directory)?;
    let Ready { process, address, .. } = ottla::start(&binary, home.path(), None, &[])?;
    topics::create(&mut Connection::open(address)?, TOPIC, options.partitions, &[])?;
    let writing = Stopwatch::start();
    thread::scope(|scope| {
        let write = |producer| {
            let batch = &batch;
            scope.spawn(move || {
                let mut connection = Connection::open(address)?;
                (0..batches)
                    .try_for_each(|_| write_each(&mut connection, producer, options.partitions, batch))
            })
        };
        let producers: Vec<_> = (0..PRODUCERS).map(write).collect();
        producers.into_iter().try_for_each(|it| it.join().map_err(|_| anyhow!("a producer panicked"))?)
    })?;
    eprintln!("written in {:?}", writing.elapsed());
    let mut table = Table::new(["killed", "started in", "CPU-s", "anonymous memory"]);
    let process = restart(
        process,
        &binary,
        home.path(),
        (options.partitions, end),
        "right after the load",
        &mut table,
    )?;
    pause(CHECKPOINTED);
    let process =
        restart(process, &binary, home.path(), (options.partitions, end), "after a checkpoint", &mut table)?;
    process.stop()?;
    println!(
        "{} GiB in the active segments of {} partitions\n\n{table}",
        options.gibibytes, options.partitions
    );
    Ok(())
}

/// One batch to each partition of a producer.
fn write_each(connection: &mut Connection, producer: i32, partitions: i32, batch: &Bytes) -> Result<()> {
    let own = (producer..partitions).step_by(usize::try_from(PRODUCERS)?);
    own.into_iter().try_for_each(|partition| topics::produce(connection, TOPIC, [partition], batch))
}

fn restart(
    process: Background,
    binary: &Path,
    home: &Path,
    (partitions, end): (i32, i64),
    when: &str,
    table: &mut Table,
) -> Result<Background> {
    process.kill()?;
    let Ready { process, address, start_time } = ottla::start(binary, home, None, &[])?;
    let cpu = process.cpu()?;
    let ends = topics::ends(&mut Connection::open(address)?, TOPIC, partitions)?;
    ensure!(ends.iter().all(|&found| found == end), "{ends:?} in the place of {end}");
    table.row([
        when.to_owned(),
        milliseconds(start_time),
        significant(cpu.as_secs_f64()),
        mebibytes(process.memory()?.anonymous),
    ]);
    Ok(process)
}
