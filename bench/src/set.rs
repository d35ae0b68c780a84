//! `bench set`: three nodes of Ottla and three of Apache Kafka, one set after the other, in one run.
//!
//! The nodes and their clients share all cores, and each measurement starts with empty nodes. Topics have three replicas,
//! two of which must be in sync, and everything is produced with `acks=all`. Part of the load is Kafka's own
//! `ProducerPerformance`; where moments count, it comes from this program ([`probe`]), whose clients look for the leader
//! every 20 ms once they have lost it, so that the brokers are measured and no client's backoff.

mod catch_up;
mod failover;
mod idle;
mod latency;
mod nodes;
mod probe;
mod product;
mod requests;
mod start;
mod throughput;

use std::path::Path;
use std::time::Duration;

use anyhow::Result;

use crate::side_by_side::{Contender, SideBySide};

/// What to measure.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// Leaves out the other measurements; may be repeated.
    #[arg(long)]
    measure: Vec<Measurement>,
    /// Leaves out the other contenders; may be repeated. Without it, Kafka is measured as it comes only.
    #[arg(long)]
    only: Vec<Contender>,
    /// Bytes of values in each run at full speed, in units of 10^6.
    #[arg(long, default_value_t = 500, value_parser = clap::value_parser!(u64).range(1..))]
    megabytes: u64,
    /// Pace of the measured latency [default: half of what Kafka's set takes at most, which is measured first].
    #[arg(long, value_parser = clap::value_parser!(u64).range(1..))]
    records_per_second: Option<u64>,
    /// How long each run of the paced load lasts.
    #[arg(long, default_value_t = 30, value_parser = clap::value_parser!(u64).range(1..))]
    paced_seconds: u64,
    /// How often a node of each role is killed.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..))]
    rounds: u32,
    /// Bytes of values that a node misses before it returns, in units of 10^6.
    #[arg(long, default_value_t = 1000, value_parser = clap::value_parser!(u64).range(1..))]
    missed_megabytes: u64,
    /// Partitions of the idle set.
    #[arg(long, default_value_t = 1000, value_parser = clap::value_parser!(i32).range(1..))]
    partitions: i32,
    /// How long the idle set is watched.
    #[arg(long, default_value_t = 30, value_parser = clap::value_parser!(u64).range(1..))]
    idle_seconds: u64,
    /// How many sets are started, one after another.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..))]
    starts: u32,
}

/// One of the measurements.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Measurement {
    /// Records a second, CPU time and memory at full speed.
    Throughput,
    /// Latency at half of Kafka's full speed.
    Latency,
    /// From `kill -9` of a node to the next acknowledgement of each partition.
    Failover,
    /// A node that returns, and what the producers notice of it.
    CatchUp,
    /// CPU time and memory of a set with many partitions and nothing to do.
    Idle,
    /// From the start of three empty nodes to the first acknowledgement.
    Start,
}

/// Measures, and prints a table.
pub(crate) fn run(options: &Options, directory: &Path) -> Result<()> {
    let contenders = SideBySide::prepare_sets(&options.only, directory)?;
    let is_wanted = |measurement| options.measure.is_empty() || options.measure.contains(&measurement);
    let pace = match options.records_per_second {
        None if is_wanted(Measurement::Latency) => {
            let kafka = Setting { contenders: &contenders, contender: Contender::Kafka, options };
            let most = throughput::most_of(&kafka)?;
            println!("Kafka's set took {most} records/s at most, without a flush.");
            most / 2
        }
        given => given.unwrap_or_default(),
    };
    contenders.run(|contender, figures| {
        let setting = Setting { contenders: &contenders, contender, options };
        if is_wanted(Measurement::Throughput) {
            throughput::measure(&setting, figures)?;
        }
        if is_wanted(Measurement::Latency) {
            latency::measure(&setting, pace, figures)?;
        }
        if is_wanted(Measurement::Failover) {
            failover::measure(&setting, figures)?;
        }
        if is_wanted(Measurement::CatchUp) {
            catch_up::measure(&setting, figures)?;
        }
        if is_wanted(Measurement::Idle) {
            idle::measure(&setting, figures)?;
        }
        if is_wanted(Measurement::Start) {
            start::measure(&setting, figures)?;
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
fn milliseconds(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e3
}
