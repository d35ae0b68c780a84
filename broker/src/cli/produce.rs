//! `ottla produce`: records from standard input into a topic.
//!
//! What is there is sent at once, so that a person who types sees each line arrive; what comes faster goes in larger
//! batches. With acks=all (the default) batches are numbered, so that what is sent again after a failure is not there twice.
//!
//! Absent: acks=0, transactions.

mod input;
mod partitioner;
mod producer;

use super::asking;
use super::client::Client;
use super::topics::TopicRefusal;
use super::{ClusterArguments, Form};
use anyhow::{Context, bail};
use clap::Args;
use clap::builder::NonEmptyStringValueParser;
use input::Input;
use producer::{Produced, Producer, Ready};
use storage::compression::Codec;

/// What is produced, and how.
#[derive(Debug, Args)]
#[command(after_help = "Exit codes: 0 done, 1 failed, 2 not understood, 3 there is no such topic.")]
pub struct ProduceArguments {
    /// The topic. It is made by the first record where the cluster makes topics by itself.
    #[arg(value_name = "TOPIC", value_parser = NonEmptyStringValueParser::new())]
    topic: String,
    /// The form of standard input.
    #[arg(long, value_enum, default_value_t = InputForm::Lines)]
    input: InputForm,
    /// What separates the key of a line from its value; a line without it has no key.
    #[arg(long, short = 'K', value_name = "TEXT", conflicts_with = "key")]
    key_delimiter: Option<String>,
    /// The key of every record that has none of its own.
    #[arg(long, short, value_name = "TEXT")]
    key: Option<String>,
    /// A header of every record. May be given many times.
    #[arg(long = "header", short = 'H', value_name = "NAME=VALUE", value_parser = header)]
    headers: Vec<(String, String)>,
    /// The partition of every record that names none. Without this the key decides, as in Kafka's own clients.
    #[arg(long, short, value_name = "NUMBER", allow_negative_numbers = true, value_parser = clap::value_parser!(i32).range(0..))]
    partition: Option<i32>,
    /// An empty value is none: a tombstone, where the topic is compacted.
    #[arg(long, short = 'Z')]
    empty_is_null: bool,
    /// How the batches are compressed.
    #[arg(long, short = 'z', value_enum, default_value_t = Compression::None)]
    compression: Compression,
    /// When a record counts as written: on all in-sync replicas, or on the leader alone.
    #[arg(long, value_enum, default_value_t = Acks::All)]
    acks: Acks,
    /// Which cluster, and how the answer is shown.
    #[command(flatten)]
    cluster: ClusterArguments,
}

/// The form of what is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum InputForm {
    /// Each line is a value.
    Lines,
    /// Each line is a record, as `ottla consume --output json` writes it.
    Json,
}

/// How batches are compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
#[expect(missing_docs, reason = "the names of the codecs")]
pub enum Compression {
    None,
    Gzip,
    Snappy,
    Lz4,
    Zstd,
}

impl From<Compression> for Codec {
    fn from(compression: Compression) -> Self {
        match compression {
            Compression::None => Self::None,
            Compression::Gzip => Self::Gzip,
            Compression::Snappy => Self::Snappy,
            Compression::Lz4 => Self::Lz4,
            Compression::Zstd => Self::Zstd,
        }
    }
}

/// Who must have a record before it is acknowledged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Acks {
    /// Every in-sync replica.
    All,
    /// The leader.
    #[value(name = "1")]
    Leader,
}

fn header(text: &str) -> Result<(String, String), String> {
    let parts = text.split_once('=').filter(|(name, _)| !name.is_empty());
    let (name, value) = parts.ok_or_else(|| format!("{text} is not NAME=VALUE"))?;
    Ok((name.to_owned(), value.to_owned()))
}

/// Reads standard input to its end, and prints what was written.
///
/// # Errors
/// When a line is no record, no broker takes one in time, or standard output is closed. What was acknowledged before
/// is said.
pub fn run(arguments: &ProduceArguments) -> anyhow::Result<()> {
    let mut produced = Produced::default();
    let done = asking::runtime()?.block_on(produce(arguments, &mut produced));
    if let Err(error) = done {
        let is_missing = matches!(error.downcast_ref(), Some(TopicRefusal::NoSuchTopic { .. }));
        if is_missing || produced.records() == 0 {
            return Err(error);
        }
        let written = super::table::count(produced.records(), "record");
        bail!("{} ({written} written before)", super::sentence(&error));
    }
    super::print(&match arguments.cluster.output {
        Form::Json => asking::json(&produced.of_topic(&arguments.topic))?,
        Form::Text => format!(
            "Produced {} to {}.\n",
            super::table::count(produced.records(), "record"),
            arguments.topic
        ),
    })
}

async fn produce(arguments: &ProduceArguments, produced: &mut Produced) -> anyhow::Result<()> {
    let cluster = &arguments.cluster;
    let mut client = cluster.connect().await?;
    let mut producer =
        cluster.within_limit(&mut client, async |client| Producer::open(client, arguments).await).await?;
    let mut input = Input::of_standard_input(arguments)?;
    while let Some(records) = input.next().await? {
        for record in records {
            if let Some(full) = producer.add(&record)? {
                send(cluster, &mut client, &mut producer, full, produced).await?;
            }
        }
        let rest = producer.take();
        send(cluster, &mut client, &mut producer, rest, produced).await?;
    }
    Ok(())
}

/// Sends what is ready; where that fails, the error says so where some of it may be written all the same.
async fn send(
    cluster: &ClusterArguments,
    client: &mut Client,
    producer: &mut Producer,
    ready: Ready,
    produced: &mut Produced,
) -> anyhow::Result<()> {
    let sending = async |client: &mut Client| producer.send(client, ready, produced).await;
    let sent = cluster.within_limit(client, sending).await;
    match producer.is_in_doubt() {
        true => sent.context("whether the last records were written is not known"),
        false => sent,
    }
}
