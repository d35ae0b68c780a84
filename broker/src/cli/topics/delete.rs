//! `ottla topics delete`.

use super::{TopicRefusal, refused, settle};
use crate::cli::asking;
use crate::cli::client::{Client, wire_name};
use crate::cli::{ClusterArguments, Form};
use anyhow::Context;
use clap::Args;
use clap::builder::NonEmptyStringValueParser;
use kafka_protocol::messages::DeleteTopicsRequest;
use kafka_protocol::messages::delete_topics_request::DeleteTopicState;
use serde::Serialize;

/// What is deleted.
#[derive(Debug, Args)]
pub struct DeleteArguments {
    /// The topics.
    #[arg(required = true, value_name = "TOPIC", value_parser = NonEmptyStringValueParser::new())]
    topics: Vec<String>,
    /// It is no error where there is no such topic.
    #[arg(long)]
    if_exists: bool,
}

/// What became of one topic.
#[derive(Debug, Serialize)]
struct Deleted {
    topic: String,
    /// False where there was none.
    deleted: bool,
}

pub(super) async fn run(
    client: &mut Client,
    arguments: &DeleteArguments,
    cluster: &ClusterArguments,
) -> anyhow::Result<String> {
    let mut done = Vec::new();
    for name in &arguments.topics {
        let deleted = match delete(client, name, cluster).await {
            Ok(()) => true,
            Err(error) if arguments.if_exists && is_missing(&error) => false,
            Err(error) => {
                let gone = done.iter().filter(|it: &&Deleted| it.deleted).map(|it| it.topic.as_str());
                return Err(asking::after(error, "deleted", &gone.collect::<Vec<_>>()));
            }
        };
        done.push(Deleted { topic: name.clone(), deleted });
    }
    match cluster.output {
        Form::Json => asking::json(&done),
        Form::Text => Ok(done.iter().map(text).collect()),
    }
}

async fn delete(client: &mut Client, name: &str, cluster: &ClusterArguments) -> anyhow::Result<()> {
    let address = client.any_address().to_owned();
    let request = DeleteTopicsRequest::default()
        .with_topics(vec![DeleteTopicState::default().with_name(Some(wire_name(name)))])
        .with_timeout_ms(cluster.limit_ms());
    let told = client.call(&address, &request).await?;
    let result = told.responses.into_iter().next().context("the broker's answer names no topic")?;
    if result.error_code != 0 {
        return Err(refused(name, result.error_code, result.error_message.as_ref()));
    }
    settle(client, name, false).await
}

fn is_missing(error: &anyhow::Error) -> bool {
    matches!(error.downcast_ref(), Some(TopicRefusal::NoSuchTopic { .. }))
}

fn text(deleted: &Deleted) -> String {
    match deleted.deleted {
        true => format!("Deleted {}.\n", deleted.topic),
        false => format!("There is no topic {}.\n", deleted.topic),
    }
}
