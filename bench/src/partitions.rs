//! `bench partitions`: many partitions on one node, some of them with data: how long it takes to make them, to start
//! with them after `kill -9`, and what they hold in memory.
//!
//! A node is killed right after the last acknowledgement, so that a start has the work of a crash; every end is asked for
//! after it, so that a start that forgot something gives no figure.

use std::path::Path;
use std::time::Duration;

use anyhow::{Result, ensure};

use crate::clock::{Stopwatch, pause};
use crate::connection::Connection;
use crate::machine::Machine;
use crate::ottla::Ready;
use crate::table::{Table, mebibytes, milliseconds, significant};
use crate::through_log::batch_of;
use crate::{ottla, topics, workspace};

const BATCH_BYTES: usize = 1200;
/// How long a node that has started has for its own affairs before its memory is read.
pub(crate) const SETTLE: Duration = Duration::from_secs(3);

/// What to measure.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// Partitions of the node; each number is a node of its own.
    #[arg(long, value_delimiter = ',', default_values_t = [1000, 100_000])]
    partitions: Vec<i32>,
    /// How many of them have a record.
    #[arg(long, default_value_t = 1000)]
    with_data: i32,
    /// Partitions of each topic; a request makes one topic.
    #[arg(long, default_value_t = 1000, value_parser = clap::value_parser!(i32).range(1..10_000))]
    topic_partitions: i32,
}

/// Measures, and prints a table.
pub(crate) fn run(options: &Options, directory: &Path) -> Result<()> {
    let binary = workspace::ottla_binary()?;
    println!("{}\n", Machine::of(directory)?);
    let mut table = Table::new([
        "partitions",
        "with data",
        "made in",
        "CPU-s",
        "anonymous memory then",
        "started after kill -9 in",
        "CPU-s",
        "anonymous memory then",
    ]);
    for &partitions in &options.partitions {
        let shape = Shape {
            topics: partitions.div_euclid(options.topic_partitions).max(1),
            topic_partitions: options.topic_partitions.min(partitions),
            with_data: options.with_data.min(partitions),
        };
        table.row(measure(&shape, &binary, directory)?);
    }
    println!("{table}");
    Ok(())
}

/// How the partitions of a node lie.
struct Shape {
    topics: i32,
    topic_partitions: i32,
    with_data: i32,
}

impl Shape {
    /// How many of a topic's partitions have a record: the first ones of the first topics.
    fn with_data_in(&self, topic: i32) -> i32 {
        (self.with_data - topic * self.topic_partitions).clamp(0, self.topic_partitions)
    }
}

fn topic_name(number: i32) -> String {
    format!("bench-{number}")
}

fn measure(shape: &Shape, binary: &Path, directory: &Path) -> Result<[String; 8]> {
    let home = workspace::scratch(directory)?;
    let Ready { process, address, .. } = ottla::start(binary, home.path(), None, &[])?;
    let mut connection = Connection::open(address)?;
    let cpu_before = process.cpu()?;
    let making = Stopwatch::start();
    for number in 0..shape.topics {
        topics::create(&mut connection, &topic_name(number), shape.topic_partitions, &[])?;
    }
    let made_in = making.elapsed();
    let made_by = process.cpu()?.saturating_sub(cpu_before);

    let (batch, records) = batch_of(BATCH_BYTES)?;
    for number in 0..shape.topics {
        let with_data = shape.with_data_in(number);
        if with_data > 0 {
            topics::produce(&mut connection, &topic_name(number), 0..with_data, &batch)?;
        }
    }
    let memory_before = process.memory()?.anonymous;
    process.kill()?;

    let Ready { process, address, start_time } = ottla::start(binary, home.path(), None, &[])?;
    let started_by = process.cpu()?;
    let mut connection = Connection::open(address)?;
    for number in 0..shape.topics {
        let with_data = usize::try_from(shape.with_data_in(number))?;
        let ends = topics::ends(&mut connection, &topic_name(number), shape.topic_partitions)?;
        let is_whole =
            ends.iter().enumerate().all(|(index, &end)| end == if index < with_data { records } else { 0 });
        ensure!(
            is_whole && ends.len() == usize::try_from(shape.topic_partitions)?,
            "not all is there: {ends:?}"
        );
    }
    pause(SETTLE);
    let memory_after = process.memory()?.anonymous;
    process.stop()?;
    Ok([
        (shape.topics * shape.topic_partitions).to_string(),
        shape.with_data.to_string(),
        milliseconds(made_in),
        significant(made_by.as_secs_f64()),
        mebibytes(memory_before),
        milliseconds(start_time),
        significant(started_by.as_secs_f64()),
        mebibytes(memory_after),
    ])
}
