//! `ottla topics`: topics, over the Kafka protocol.
//!
//! Each command prints either text for people or JSON for scripts. The exit code is 0 where it was done, 1 where it
//! failed, 2 where the command line cannot be understood, 3 where there is no such topic, and 4 where there is one
//! already.

mod alter;
mod create;
mod delete;
mod describe;
mod list;
mod setting;

use super::client::{Client, TopicState};
use super::{ClusterArguments, Form, asking};
use clap::{Args, Subcommand};
use kafka_protocol::ResponseError;

/// List, describe, create, alter and delete topics, on Ottla or on any other Kafka broker.
#[derive(Debug, Args)]
#[command(
    after_help = "Exit codes: 0 done, 1 failed, 2 not understood, 3 there is no such topic, 4 there is one already."
)]
pub struct TopicsArguments {
    /// What to do with them.
    #[command(subcommand)]
    pub command: TopicsCommand,
    /// Which cluster, and how it is shown.
    #[command(flatten)]
    pub cluster: ClusterArguments,
}

/// What to do with topics.
#[derive(Debug, Subcommand)]
pub enum TopicsCommand {
    /// List the topics of the cluster.
    List(list::ListArguments),
    /// Show topics: their settings, and each partition's leader, replicas and offsets.
    Describe(describe::DescribeArguments),
    /// Create topics.
    Create(create::CreateArguments),
    /// Change a topic's settings, or give it more partitions.
    Alter(alter::AlterArguments),
    /// Delete topics with all of their records, for good.
    Delete(delete::DeleteArguments),
}

/// Why a topic cannot be dealt with as asked. Each has an exit code of its own.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TopicRefusal {
    /// There is none of this name.
    #[error("there is no topic {topic}")]
    NoSuchTopic {
        /// The name.
        topic: String,
    },
    /// There is one already.
    #[error("there is a topic {topic} already; --if-not-exists leaves it as it is")]
    Exists {
        /// The name.
        topic: String,
    },
}

impl TopicRefusal {
    /// The process's exit code.
    #[must_use]
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::NoSuchTopic { .. } => 3,
            Self::Exists { .. } => 4,
        }
    }
}

/// Runs one of the commands, and prints what it answers.
///
/// # Errors
/// When no broker can be reached, one refuses, the time is over, or standard output is closed.
pub fn run(arguments: &TopicsArguments) -> anyhow::Result<()> {
    let text = asking::ask(&arguments.cluster, async |client| answer(client, arguments).await)?;
    super::print(&text)
}

async fn answer(client: &mut Client, arguments: &TopicsArguments) -> anyhow::Result<String> {
    let cluster = &arguments.cluster;
    match &arguments.command {
        TopicsCommand::List(list) => list::run(client, list, cluster.output).await,
        TopicsCommand::Describe(describe) => describe::run(client, describe, cluster.output).await,
        TopicsCommand::Create(create) => create::run(client, create, cluster).await,
        TopicsCommand::Alter(alter) => alter::run(client, alter, cluster).await,
        TopicsCommand::Delete(delete) => delete::run(client, delete, cluster).await,
    }
}

/// The topic of this name.
pub(super) async fn existing(client: &mut Client, name: &str) -> anyhow::Result<TopicState> {
    match client.topic(name).await? {
        Ok(topic) => Ok(topic),
        Err(error) => Err(refused(name, error.code(), None)),
    }
}

/// What a broker refused of a topic, which it may give a reason for.
fn refused(topic: &str, code: i16, message: Option<&kafka_protocol::protocol::StrBytes>) -> anyhow::Error {
    let name = || topic.to_owned();
    match ResponseError::try_from_code(code) {
        Some(ResponseError::UnknownTopicOrPartition) => TopicRefusal::NoSuchTopic { topic: name() }.into(),
        Some(ResponseError::TopicAlreadyExists) => TopicRefusal::Exists { topic: name() }.into(),
        _ => asking::refusal(topic, code, message)
            .unwrap_or_else(|| anyhow::anyhow!("{topic}: the broker's answer says nothing of it")),
    }
}

/// Waits until the brokers that clients ask see the change: the topic as it should be, or gone.
async fn settle(client: &mut Client, name: &str, is_there: bool) -> anyhow::Result<()> {
    loop {
        let topic = client.topic(name).await?;
        let is_done = match &topic {
            Ok(topic) => is_there && topic.is_led(),
            Err(error) => !is_there && *error == ResponseError::UnknownTopicOrPartition,
        };
        if is_done {
            return Ok(());
        }
        let trouble = if is_there { "not every partition has a leader yet" } else { "it is still listed" };
        client.pause(format!("{name}: {trouble}")).await;
    }
}
