//! `bench groups`: what consumer groups cost, on Ottla and on Apache Kafka in one run.
//!
//! The members are raw-protocol clients within this process, so that no client library's pace is measured; the last part
//! runs Kafka's own programs, which subscribe.

mod board;
mod classic_member;
mod commits;
mod consumer_member;
mod coordination;
mod loading;
mod programs;
mod rebalance;

use std::path::Path;

use anyhow::Result;

use crate::side_by_side::{Contender, SideBySide};

/// What to measure.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// Leaves out the other measurements; may be repeated.
    #[arg(long)]
    measure: Vec<Measurement>,
    /// Leaves out the other brokers; may be repeated.
    #[arg(long)]
    only: Vec<Contender>,
    /// Members of the group that rebalances.
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u16).range(2..))]
    members: u16,
    /// Partitions that they share.
    #[arg(long, default_value_t = 1000, value_parser = clap::value_parser!(u16).range(1..))]
    partitions: u16,
    /// How often a member leaves and comes back.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u16).range(1..))]
    rounds: u16,
    /// Groups of one member each that commit once a second.
    #[arg(long, default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(1..))]
    groups: u32,
    /// How long they do so.
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u64).range(1..))]
    seconds: u64,
    /// Offsets of the shard that is loaded, in thousands.
    #[arg(long, default_value_t = 1000, value_parser = clap::value_parser!(u32).range(1..))]
    thousand_offsets: u32,
    /// Bytes of values that Kafka's ConsumerPerformance reads, in units of 10^6.
    #[arg(long, default_value_t = 300, value_parser = clap::value_parser!(u64).range(1..))]
    megabytes: u64,
}

/// One of the measurements.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Measurement {
    /// Until every member has its partitions, in both protocols.
    Rebalance,
    /// Many groups that commit.
    Commits,
    /// A start with many offsets.
    Loading,
    /// Kafka's ConsumerPerformance and EndToEndLatency.
    Programs,
}

/// Measures, and prints a table.
pub(crate) fn run(options: &Options, directory: &Path) -> Result<()> {
    let contenders = SideBySide::prepare(&options.only, directory)?;
    let is_wanted = |measurement| options.measure.is_empty() || options.measure.contains(&measurement);
    contenders.run(|contender, figures| {
        let setting = Setting { contenders: &contenders, contender, options };
        if is_wanted(Measurement::Rebalance) {
            rebalance::measure(&setting, figures)?;
        }
        if is_wanted(Measurement::Commits) {
            commits::measure(&setting, figures)?;
        }
        if is_wanted(Measurement::Loading) {
            loading::measure(&setting, figures)?;
        }
        if is_wanted(Measurement::Programs) {
            programs::measure(&setting, figures)?;
        }
        Ok(())
    })
}

/// What every measurement is given.
struct Setting<'a> {
    contenders: &'a SideBySide<'a>,
    contender: Contender,
    options: &'a Options,
}

/// As milliseconds.
fn milliseconds(duration: std::time::Duration) -> f64 {
    duration.as_secs_f64() * 1e3
}
