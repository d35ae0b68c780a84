//! Figures: how fast, how cheap, beside what. Prints Markdown tables with the class of the machine.
//!
//! Owns: the measurements that the README quotes, each a command. Invariants: what was produced is counted again when
//! it is consumed, so a broken run gives an error and no figure; every process and mount ends with the command.
//! Deliberately absent: assertions about time. A figure is for a person to judge, on a machine that does nothing else.

mod active;
mod append;
mod clock;
mod compaction;
mod compare;
mod connection;
mod connections;
mod deletion;
mod flush;
mod groups;
mod kafka;
mod loop_mount;
mod machine;
mod ottla;
mod partitions;
mod process;
mod segments;
mod set;
mod side_by_side;
mod spread;
mod start;
mod table;
mod through_log;
mod topics;
mod wire;
mod workspace;

use std::path::PathBuf;

use clap::Parser;

/// Measures Ottla and prints Markdown tables. Let the machine do nothing else meanwhile.
#[derive(Debug, Parser)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
    /// Where the data is written, in a directory that is removed afterwards [default: target/bench/data].
    #[arg(long, global = true)]
    directory: Option<PathBuf>,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Start of an empty node to its first answer, and its memory when idle.
    Start(start::Options),
    /// CPU time and disk writes of an append, by batch size, beside bare loops.
    Append(append::Options),
    /// Flushed appends a second, by producers and partitions.
    Flush(flush::Options),
    /// Rounds of compaction, and what appends beside them wait.
    Compaction(compaction::Options),
    /// Many partitions: until they are made, a start with them after `kill -9`, their memory.
    Partitions(partitions::Options),
    /// Many partitions of many segments: files and mappings that are open, memory.
    Segments(segments::Options),
    /// A start after `kill -9` with much in the active segments.
    Active(active::Options),
    /// Memory of connections that do nothing.
    Connections(connections::Options),
    /// CPU time of a record as the load goes to more partitions.
    Spread(spread::Options),
    /// What a producer notices while retention and DeleteTopics take large topics away.
    Deletion(deletion::Options),
    /// The same load on Ottla and on Apache Kafka.
    Compare(compare::Options),
    /// Consumer groups on Ottla and on Apache Kafka: rebalances, commits, loading, and Kafka's own programs.
    Groups(groups::Options),
    /// Three nodes of Ottla and three of Apache Kafka: load, the loss of a node and its return, idleness, the start.
    Set(set::Options),
}

fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    let directory = arguments.directory.unwrap_or_else(|| workspace::target_dir().join("data"));
    std::fs::create_dir_all(&directory)?;
    match arguments.command {
        Command::Start(options) => start::run(&options, &directory),
        Command::Append(options) => append::run(&options, &directory),
        Command::Flush(options) => flush::run(&options, &directory),
        Command::Compaction(options) => compaction::run(&options, &directory),
        Command::Partitions(options) => partitions::run(&options, &directory),
        Command::Segments(options) => segments::run(&options, &directory),
        Command::Active(options) => active::run(&options, &directory),
        Command::Connections(options) => connections::run(&options, &directory),
        Command::Spread(options) => spread::run(&options, &directory),
        Command::Deletion(options) => deletion::run(&options, &directory),
        Command::Compare(options) => compare::run(&options, &directory),
        Command::Groups(options) => groups::run(&options, &directory),
        Command::Set(options) => set::run(&options, &directory),
    }
}
