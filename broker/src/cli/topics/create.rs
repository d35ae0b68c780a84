//! `ottla topics create`.

use super::setting::{Setting, with_suggestion};
use super::{TopicRefusal, refused, settle};
use crate::cli::asking;
use crate::cli::client::{Client, wire_name};
use crate::cli::table::count;
use crate::cli::{ClusterArguments, Form};
use anyhow::Context;
use clap::Args;
use clap::builder::NonEmptyStringValueParser;
use kafka_protocol::messages::CreateTopicsRequest;
use kafka_protocol::messages::create_topics_request::{CreatableTopic, CreatableTopicConfig};
use kafka_protocol::messages::create_topics_response::CreatableTopicResult;
use kafka_protocol::protocol::StrBytes;
use serde::Serialize;

/// What a request writes for "the default".
const DEFAULT: i32 = -1;

/// Which topics are made, and how.
#[derive(Debug, Args)]
pub struct CreateArguments {
    /// Their names.
    #[arg(required = true, value_name = "TOPIC", value_parser = NonEmptyStringValueParser::new())]
    topics: Vec<String>,
    /// How many partitions each has; without this, num.partitions of the cluster.
    #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(i32).range(1..))]
    partitions: Option<i32>,
    /// On how many nodes each record is; without this, default.replication.factor of the cluster.
    #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(i16).range(1..))]
    replication_factor: Option<i16>,
    /// A setting, such as retention.ms=86400000. May be given many times.
    #[arg(long = "set", alias = "config", value_name = "KEY=VALUE")]
    settings: Vec<Setting>,
    /// Leave topics that are there already as they are.
    #[arg(long)]
    if_not_exists: bool,
    /// Ask whether it would be done, and do nothing.
    #[arg(long)]
    dry_run: bool,
}

/// What became of one topic.
#[derive(Debug, Serialize)]
struct Created {
    topic: String,
    /// False where it was there already, or where nothing was to be done.
    created: bool,
    /// None where it was not made and is not there.
    topic_id: Option<uuid::Uuid>,
    partitions: i32,
    replication_factor: i16,
}

pub(super) async fn run(
    client: &mut Client,
    arguments: &CreateArguments,
    cluster: &ClusterArguments,
) -> anyhow::Result<String> {
    let mut done = Vec::new();
    // One by one: where a topic is refused, those before it are there, and the sentence names the one that is not.
    for name in &arguments.topics {
        let created = create(client, name, arguments, cluster).await;
        done.push(created.map_err(|error| asking::after(error, "created", &made(&done)))?);
    }
    match cluster.output {
        Form::Json => asking::json(&done),
        Form::Text => Ok(done.iter().map(|created| text(created, arguments.dry_run)).collect()),
    }
}

/// The topics of `done` that were not there before.
fn made(done: &[Created]) -> Vec<&str> {
    done.iter().filter(|it| it.created).map(|it| it.topic.as_str()).collect()
}

async fn create(
    client: &mut Client,
    name: &str,
    arguments: &CreateArguments,
    cluster: &ClusterArguments,
) -> anyhow::Result<Created> {
    let address = client.any_address().to_owned();
    let request = CreateTopicsRequest::default()
        .with_topics(vec![wanted(name, arguments)])
        .with_timeout_ms(cluster.limit_ms())
        .with_validate_only(arguments.dry_run);
    let told = client.call(&address, &request).await?;
    let result = told.topics.into_iter().next().context("the broker's answer names no topic")?;
    if let Some(error) = trouble(name, &result) {
        let is_there = matches!(error.downcast_ref(), Some(TopicRefusal::Exists { .. }));
        if !(is_there && arguments.if_not_exists) {
            return Err(with_suggestion(error, result.error_code, &arguments.settings));
        }
        let topic = super::existing(client, name).await?;
        return Ok(Created {
            created: false,
            partitions: i32::try_from(topic.partitions.len())?,
            replication_factor: i16::try_from(topic.replication_factor())?,
            topic_id: Some(topic.topic_id),
            topic: topic.topic,
        });
    }
    if !arguments.dry_run {
        settle(client, name, true).await?;
    }
    Ok(Created {
        topic: name.to_owned(),
        created: !arguments.dry_run,
        topic_id: (!arguments.dry_run).then_some(result.topic_id),
        partitions: result.num_partitions,
        replication_factor: result.replication_factor,
    })
}

fn wanted(name: &str, arguments: &CreateArguments) -> CreatableTopic {
    let settings = arguments.settings.iter().map(|setting| {
        CreatableTopicConfig::default()
            .with_name(StrBytes::from_string(setting.name.clone()))
            .with_value(Some(StrBytes::from_string(setting.value.clone())))
    });
    CreatableTopic::default()
        .with_name(wire_name(name))
        .with_num_partitions(arguments.partitions.unwrap_or(DEFAULT))
        .with_replication_factor(arguments.replication_factor.unwrap_or(-1))
        .with_configs(settings.collect())
}

fn trouble(name: &str, result: &CreatableTopicResult) -> Option<anyhow::Error> {
    (result.error_code != 0).then(|| refused(name, result.error_code, result.error_message.as_ref()))
}

fn text(created: &Created, is_dry_run: bool) -> String {
    let verb = match (created.created, is_dry_run) {
        (true, _) => "Created",
        (false, true) => "Would create",
        (false, false) => "There is already",
    };
    let partitions = count(usize::try_from(created.partitions).unwrap_or(0), "partition");
    let replicas = count(usize::try_from(created.replication_factor).unwrap_or(0), "replica");
    format!("{verb} {} ({partitions}, {replicas}).\n", created.topic)
}
