//! The command line.

mod asking;
mod client;
pub mod cluster;
pub mod completion;
pub mod config_reference;
pub mod consume;
pub mod doctor;
pub mod groups;
pub mod produce;
mod record_json;
pub mod serve;
pub mod storage;
mod table;
mod target;
mod time;
pub mod topics;

pub use asking::ClusterArguments;

use anyhow::Context;
use clap::{CommandFactory, FromArgMatches, Parser, Subcommand};
use std::io::Write;
use std::path::PathBuf;

/// A Kafka-wire-compatible broker that flushes before it acknowledges.
#[derive(Debug, Parser)]
#[command(name = "ottla", version, max_term_width = 100)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Start a node. It works with no configuration: data in ./ottla-data, Kafka on localhost:9092, health and
    /// metrics on http://127.0.0.1:9080.
    #[command(
        after_help = "Exit codes: 0 stopped as told, 1 it cannot start, or has failed, 2 not understood."
    )]
    Serve(ServeArguments),
    /// Print every configuration key with its type, range, default and meaning.
    #[command(after_help = "Exit codes: 0 done, 1 there is no such key, 2 not understood.")]
    Config(ConfigArguments),
    /// Topics: list, describe, create, alter, delete. Works on any Kafka broker.
    Topics(topics::TopicsArguments),
    /// Write records into a topic: standard input, a record a line. Works on any Kafka broker.
    Produce(produce::ProduceArguments),
    /// Read records of topics to standard output. Works on any Kafka broker.
    Consume(consume::ConsumeArguments),
    /// Consumer groups: list, describe, reset, delete. Works on any Kafka broker.
    Groups(groups::GroupsArguments),
    /// A cluster as a whole: how it stands, evening it out, taking a node out of use; and the certificates of a set.
    Cluster(cluster::ClusterCommandArguments),
    /// Look for what is, or will be, in the way of a node and its clients: addresses, disk, limits, clocks, certificates.
    Doctor(doctor::DoctorArguments),
    /// Look at the files of a node that is stopped. Changes nothing.
    Storage(storage::StorageArguments),
    /// Print what makes a shell complete this command line: `source <(ottla completion bash)`.
    Completion(completion::CompletionArguments),
}

/// Reads the command line of this process, or ends it with what is wrong with it.
#[must_use]
pub fn parse() -> Cli {
    let matches = with_exit_codes(Cli::command()).get_matches();
    Cli::from_arg_matches(&matches).unwrap_or_else(|error| error.exit())
}

/// A command whose subcommands say at the end of their help what it says itself: the exit codes.
fn with_exit_codes(command: clap::Command) -> clap::Command {
    let codes = command.get_after_help().cloned();
    command.mut_subcommands(|subcommand| {
        let missing = codes.clone().filter(|_| subcommand.get_after_help().is_none());
        with_exit_codes(match missing {
            Some(codes) => subcommand.after_help(codes),
            None => subcommand,
        })
    })
}

/// An error with its causes, each of them once: many name theirs within their own sentence.
#[must_use]
pub fn sentence(error: &anyhow::Error) -> String {
    let mut sentence = String::new();
    for cause in error.chain().map(ToString::to_string) {
        if sentence.is_empty() {
            sentence = cause;
        } else if !sentence.contains(&cause) {
            sentence = format!("{sentence}: {cause}");
        }
    }
    sentence
}

/// The command line contradicts itself in a way that only the command sees.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
struct NotUnderstood(String);

/// The exit code for what a command failed with: 1, unless scripts can make something of another.
#[must_use]
pub fn exit_code(error: &anyhow::Error) -> u8 {
    let not_understood = error.is::<NotUnderstood>().then_some(2);
    let of_groups = error.downcast_ref::<groups::GroupRefusal>().map(groups::GroupRefusal::exit_code);
    let of_clusters = error.downcast_ref::<cluster::ClusterTrouble>().map(cluster::ClusterTrouble::exit_code);
    let of_topics = error.downcast_ref::<topics::TopicRefusal>().map(topics::TopicRefusal::exit_code);
    let of_storage = error.downcast_ref::<storage::StorageTrouble>().map(storage::StorageTrouble::exit_code);
    let of_doctor = error.downcast_ref::<doctor::Unwell>().map(doctor::Unwell::exit_code);
    not_understood.or(of_groups).or(of_clusters).or(of_topics).or(of_storage).or(of_doctor).unwrap_or(1)
}

/// How a node is configured: the file first, then the environment (OTTLA_NUM_PARTITIONS=3), then --set.
#[derive(Debug, clap::Args)]
pub struct ServeArguments {
    /// A configuration file: TOML with Kafka's keys, or a Kafka server.properties as it is.
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Set one key, over the file and the environment. May be given many times.
    #[arg(long = "set", value_name = "KEY=VALUE")]
    pub set: Vec<String>,
}

/// The form of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Form {
    /// For people.
    Text,
    /// For scripts.
    Json,
}

/// How the reference is printed.
#[derive(Debug, clap::Args)]
pub struct ConfigArguments {
    /// Print this key alone.
    pub key: Option<String>,
    /// The form of the output.
    #[arg(long, value_enum, default_value_t = OutputForm::Text)]
    pub output: OutputForm,
}

/// The form of a command's output.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum OutputForm {
    /// For people.
    Text,
    /// For scripts.
    Json,
    /// For documents.
    Markdown,
}

/// Writes `text` to standard output at once. A reader that has read enough and gone away (`| head`) is no error.
fn print(text: &str) -> anyhow::Result<()> {
    let mut output = std::io::stdout().lock();
    unless_reader_left(output.write_all(text.as_bytes()).and_then(|()| output.flush()).map_err(Into::into))
}

/// What became of writing to standard output: that its reader has gone away is a clean end, another failure says of what it
/// is one. What says that already is about something else.
fn unless_reader_left(done: anyhow::Result<()>) -> anyhow::Result<()> {
    let bare = done.as_ref().err().filter(|error| error.chain().len() == 1);
    match bare.and_then(|error| error.downcast_ref::<std::io::Error>()) {
        Some(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(()),
        Some(_) => done.context("standard output cannot be written"),
        None => done,
    }
}

#[cfg(test)]
mod tests {
    use super::{Cli, sentence, unless_reader_left, with_exit_codes};
    use anyhow::{Context, anyhow};
    use clap::CommandFactory;
    use std::io;

    /// The commands that have no subcommands, by their names.
    fn leaves(command: &clap::Command) -> Vec<(String, Option<String>)> {
        let inner: Vec<_> = command.get_subcommands().flat_map(leaves).collect();
        match inner.is_empty() {
            true => vec![(command.get_name().to_owned(), command.get_after_help().map(ToString::to_string))],
            false => inner,
        }
    }

    #[test]
    fn the_help_of_every_command_has_its_exit_codes() {
        let leaves = leaves(&with_exit_codes(Cli::command()));
        assert!(leaves.len() > 15, "{leaves:?}");
        for (name, said) in leaves.into_iter().filter(|(name, _)| name != "completion") {
            assert!(said.is_some_and(|said| said.contains("Exit codes: 0 ")), "{name}");
        }
    }

    #[test]
    fn a_failure_of_something_else_is_not_one_of_standard_output() {
        let said = |kind: io::ErrorKind, of: Option<&'static str>| {
            let failed = Err::<(), _>(io::Error::from(kind));
            let failed = match of {
                Some(of) => failed.context(of),
                None => failed.map_err(Into::into),
            };
            unless_reader_left(failed).map_err(|error| sentence(&error))
        };
        assert_eq!(said(io::ErrorKind::BrokenPipe, None), Ok(()));
        let full = said(io::ErrorKind::StorageFull, None).expect_err("nobody has read it");
        assert!(full.starts_with("standard output cannot be written: "), "{full}");
        let other = said(io::ErrorKind::NotFound, Some("data cannot be read")).expect_err("it is not there");
        assert!(other.starts_with("data cannot be read: "), "{other}");
    }

    #[test]
    fn cause_that_the_error_names_is_not_said_again() {
        let named = anyhow!("port taken").context("cannot listen: port taken; is another broker running?");
        assert_eq!(sentence(&named), "cannot listen: port taken; is another broker running?");
        let unnamed = anyhow!("no such file").context("the file cannot be read");
        assert_eq!(sentence(&unnamed), "the file cannot be read: no such file");
    }
}
