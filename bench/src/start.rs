//! `bench start`: from the start of an empty node to its first answer, and what it holds in memory when idle.

use std::path::Path;
use std::time::Duration;

use anyhow::Result;

use crate::clock::pause;
use crate::machine::Machine;
use crate::table::{NOT_MEASURED, Table, mebibytes, milliseconds, quantile};
use crate::{ottla, workspace};

/// What to measure.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// How many nodes to start, one after another.
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..))]
    runs: u32,
    /// How long the last node stays idle before its memory is read again.
    #[arg(long, default_value_t = 10)]
    idle_seconds: u64,
}

/// Measures, and prints a table.
pub(crate) fn run(options: &Options, directory: &Path) -> Result<()> {
    let binary = workspace::ottla_binary()?;
    println!("{}\n", Machine::of(directory)?);
    let mut start_times = Vec::new();
    let mut memory_at_start = Vec::new();
    let mut memory_when_idle = None;
    for number in 1..=options.runs {
        let home = workspace::scratch(directory)?;
        let ready = ottla::start(&binary, home.path(), None, &[])?;
        start_times.push(ready.start_time);
        memory_at_start.push(ready.process.memory()?.anonymous);
        if number == options.runs {
            pause(Duration::from_secs(options.idle_seconds));
            memory_when_idle = Some(ready.process.memory()?.anonymous);
        }
        ready.process.stop()?;
    }
    start_times.sort_unstable();
    memory_at_start.sort_unstable();
    let middle = memory_at_start.get(memory_at_start.len() / 2).copied();
    let mut table = Table::new(["figure", "min", "median", "max"]);
    table.row([
        format!("start of an empty node to the first answered Metadata ({} runs)", options.runs),
        milliseconds(quantile(&start_times, 0.0)),
        milliseconds(quantile(&start_times, 0.5)),
        milliseconds(quantile(&start_times, 1.0)),
    ]);
    let cell = |bytes: Option<u64>| bytes.map_or(NOT_MEASURED.to_owned(), mebibytes);
    table.row([
        "anonymous memory (RssAnon) after that".to_owned(),
        cell(memory_at_start.first().copied()),
        cell(middle),
        cell(memory_at_start.last().copied()),
    ]);
    table.row([
        format!("anonymous memory after {} s idle (one run)", options.idle_seconds),
        NOT_MEASURED.to_owned(),
        cell(memory_when_idle),
        NOT_MEASURED.to_owned(),
    ]);
    println!("{table}");
    Ok(())
}
