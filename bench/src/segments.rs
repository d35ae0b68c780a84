//! `bench segments`: many partitions of many segments each on one node: the files and mappings that it keeps open for them,
//! and its memory, after they were written, read from end to end, and started with after `kill -9`.
//!
//! Each round of records ends the segment of the one before. What a round wrote is read again before there is a figure.

use std::path::Path;
use std::time::Duration;

use anyhow::{Result, ensure};

use crate::clock::{Stopwatch, pause};
use crate::connection::Connection;
use crate::machine::Machine;
use crate::ottla::Ready;
use crate::partitions::SETTLE;
use crate::process::Background;
use crate::table::{Table, mebibytes, milliseconds};
use crate::through_log::batch_of;
use crate::{ottla, topics, workspace};

const BATCH_BYTES: usize = 1200;
/// A segment ends before a record that is more than a millisecond later than its first one; and nothing ages out.
const CONFIGS: [(&str, &str); 2] = [("segment.ms", "1"), ("retention.ms", "-1")];
/// So few clients leave files for 10,000 partitions that are written to at once where a process may open 20,000.
const SETTINGS: [&str; 1] = ["max.connections=1000"];

/// What to measure.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// Topics.
    #[arg(long, default_value_t = 20)]
    topics: i32,
    /// Partitions of each topic; a request goes to one topic.
    #[arg(long, default_value_t = 500)]
    topic_partitions: i32,
    /// Segments of each partition.
    #[arg(long, default_value_t = 10)]
    segments: i64,
}

/// Measures, and prints a table.
pub(crate) fn run(options: &Options, directory: &Path) -> Result<()> {
    let binary = workspace::ottla_binary()?;
    println!("{}\n", Machine::of(directory)?);
    let partitions = options.topics * options.topic_partitions;
    println!("{partitions} partitions, {} segments\n", i64::from(partitions) * options.segments);
    let mut table = Table::new(["after", "took", "open files", "mappings", "anonymous memory"]);

    let home = workspace::scratch(directory)?;
    let Ready { process, address, start_time } = ottla::start(&binary, home.path(), None, &SETTINGS)?;
    table.row(row("an empty start", start_time, &process)?);
    let mut connection = Connection::open(address)?;
    let watch = Stopwatch::start();
    let records = write(options, &mut connection)?;
    table.row(row("they were written", watch.elapsed(), &process)?);
    let watch = Stopwatch::start();
    read(options, &mut connection, records)?;
    table.row(row("each was read", watch.elapsed(), &process)?);
    process.kill()?;

    let Ready { process, address, start_time } = ottla::start(&binary, home.path(), None, &SETTINGS)?;
    pause(SETTLE);
    table.row(row("a start after kill -9", start_time, &process)?);
    let watch = Stopwatch::start();
    read(options, &mut Connection::open(address)?, records)?;
    table.row(row("each was read again", watch.elapsed(), &process)?);
    process.stop()?;
    println!("{table}");
    Ok(())
}

fn row(after: &str, took: Duration, process: &Background) -> Result<[String; 5]> {
    Ok([
        after.to_owned(),
        milliseconds(took),
        process.open_files()?.to_string(),
        process.mappings()?.to_string(),
        mebibytes(process.memory()?.anonymous),
    ])
}

fn topic_name(number: i32) -> String {
    format!("bench-{number}")
}

/// Makes the topics and writes a batch for each segment; answers the records of a batch.
fn write(options: &Options, connection: &mut Connection) -> Result<i64> {
    for number in 0..options.topics {
        topics::create(connection, &topic_name(number), options.topic_partitions, &CONFIGS)?;
    }
    let mut records = 0;
    for _ in 0..options.segments {
        let batch;
        (batch, records) = batch_of(BATCH_BYTES)?;
        for number in 0..options.topics {
            topics::produce(connection, &topic_name(number), 0..options.topic_partitions, &batch)?;
        }
    }
    Ok(records)
}

/// Reads every segment of every partition.
fn read(options: &Options, connection: &mut Connection, records: i64) -> Result<()> {
    for number in 0..options.topics {
        let name = topic_name(number);
        for segment in 0..options.segments {
            let offset = segment * records;
            let read = topics::fetch(connection, &name, options.topic_partitions, offset, BATCH_BYTES)?;
            let is_whole = read.iter().all(|bytes| bytes.len() >= BATCH_BYTES / 2);
            ensure!(
                is_whole && read.len() == usize::try_from(options.topic_partitions)?,
                "not all of segment {segment} of {name} is there"
            );
        }
    }
    Ok(())
}
