//! `ottla topics alter`: settings, and the number of partitions.
//!
//! What is asked for is checked as a whole before anything is changed.

use super::describe::{self, TOPIC};
use super::setting::{Setting, with_suggestion};
use super::{existing, refused};
use crate::cli::asking;
use crate::cli::client::{Client, wire_name};
use crate::cli::{ClusterArguments, Form};
use anyhow::bail;
use clap::Args;
use clap::builder::NonEmptyStringValueParser;
use config::parse::nearest::nearest;
use kafka_protocol::messages::create_partitions_request::CreatePartitionsTopic;
use kafka_protocol::messages::incremental_alter_configs_request::{AlterConfigsResource, AlterableConfig};
use kafka_protocol::messages::{CreatePartitionsRequest, IncrementalAlterConfigsRequest};
use kafka_protocol::protocol::StrBytes;
use serde::Serialize;
use std::collections::BTreeMap;

/// The numbers of what is done to a setting. Source: `AlterConfigOp.java`.
const SET: i8 = 0;
const UNSET: i8 = 1;

/// What is changed.
#[derive(Debug, Args)]
#[command(group = clap::ArgGroup::new("change").required(true).multiple(true).args(["partitions", "settings", "unset"]))]
pub struct AlterArguments {
    /// The topic.
    #[arg(value_name = "TOPIC", value_parser = NonEmptyStringValueParser::new())]
    topic: String,
    /// How many partitions it has from now on: more than before. Keys then go to other partitions than before.
    #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(i32).range(1..))]
    partitions: Option<i32>,
    /// A setting, such as retention.ms=86400000. May be given many times.
    #[arg(long = "set", alias = "config", value_name = "KEY=VALUE")]
    settings: Vec<Setting>,
    /// A setting that goes back to the cluster's default. May be given many times.
    #[arg(long, value_name = "KEY")]
    unset: Vec<String>,
    /// Ask whether it would be done, and do nothing.
    #[arg(long)]
    dry_run: bool,
}

/// What was done, or would be.
#[derive(Debug, Serialize)]
struct Altered<'a> {
    topic: &'a str,
    executed: bool,
    partitions: Option<i32>,
    set: BTreeMap<&'a str, &'a str>,
    unset: &'a [String],
}

pub(super) async fn run(
    client: &mut Client,
    arguments: &AlterArguments,
    cluster: &ClusterArguments,
) -> anyhow::Result<String> {
    existing(client, &arguments.topic).await?;
    check_unset(client, arguments).await?;
    let rehearsed_and_done = if arguments.dry_run { &[true][..] } else { &[true, false] };
    for validate_only in rehearsed_and_done {
        alter_settings(client, arguments, *validate_only).await?;
        add_partitions(client, arguments, cluster, *validate_only).await?;
    }
    let altered = Altered {
        topic: &arguments.topic,
        executed: !arguments.dry_run,
        partitions: arguments.partitions,
        set: arguments.settings.iter().map(|it| (it.name.as_str(), it.value.as_str())).collect(),
        unset: &arguments.unset,
    };
    match cluster.output {
        Form::Json => asking::json(&altered),
        Form::Text if arguments.dry_run => Ok(format!("{} can be altered so.\n", altered.topic)),
        Form::Text => Ok(format!("Altered {}.\n", altered.topic)),
    }
}

/// Brokers take back a setting that there is none of as well, which a slip of the hand would go by unseen.
async fn check_unset(client: &mut Client, arguments: &AlterArguments) -> anyhow::Result<()> {
    if arguments.unset.is_empty() {
        return Ok(());
    }
    let settings = describe::settings(client, &arguments.topic, true).await?;
    match arguments.unset.iter().find(|name| !settings.contains_key(*name)) {
        Some(name) => bail!("{}: {}", arguments.topic, unknown(name, settings.keys().map(String::as_str))),
        None => Ok(()),
    }
}

/// What is said of a setting that no topic has.
fn unknown<'a>(name: &str, known: impl Iterator<Item = &'a str>) -> String {
    match nearest(name, known) {
        Some(nearest) => format!("there is no setting {name}; did you mean {nearest}?"),
        None => format!(
            "there is no setting {name}; `ottla topics describe --all-settings` lists those of a topic"
        ),
    }
}

async fn alter_settings(
    client: &mut Client,
    arguments: &AlterArguments,
    validate_only: bool,
) -> anyhow::Result<()> {
    if arguments.settings.is_empty() && arguments.unset.is_empty() {
        return Ok(());
    }
    let change = |name: &str, operation, value: Option<&str>| {
        AlterableConfig::default()
            .with_name(StrBytes::from_string(name.to_owned()))
            .with_config_operation(operation)
            .with_value(value.map(|value| StrBytes::from_string(value.to_owned())))
    };
    let set = arguments.settings.iter().map(|it| change(&it.name, SET, Some(&it.value)));
    let changes = set.chain(arguments.unset.iter().map(|name| change(name, UNSET, None)));
    let resource = AlterConfigsResource::default()
        .with_resource_type(TOPIC)
        .with_resource_name(StrBytes::from_string(arguments.topic.clone()))
        .with_configs(changes.collect());
    let request = IncrementalAlterConfigsRequest::default()
        .with_resources(vec![resource])
        .with_validate_only(validate_only);
    let address = client.any_address().to_owned();
    for result in client.call(&address, &request).await?.responses {
        if result.error_code != 0 {
            let error = refused(&arguments.topic, result.error_code, result.error_message.as_ref());
            return Err(with_suggestion(error, result.error_code, &arguments.settings));
        }
    }
    Ok(())
}

async fn add_partitions(
    client: &mut Client,
    arguments: &AlterArguments,
    cluster: &ClusterArguments,
    validate_only: bool,
) -> anyhow::Result<()> {
    let Some(count) = arguments.partitions else { return Ok(()) };
    let topic = CreatePartitionsTopic::default()
        .with_name(wire_name(&arguments.topic))
        .with_count(count)
        .with_assignments(None);
    let request = CreatePartitionsRequest::default()
        .with_topics(vec![topic])
        .with_timeout_ms(cluster.limit_ms())
        .with_validate_only(validate_only);
    let address = client.any_address().to_owned();
    for result in client.call(&address, &request).await?.results {
        if result.error_code != 0 {
            return Err(refused(&arguments.topic, result.error_code, result.error_message.as_ref()));
        }
    }
    if validate_only {
        return Ok(());
    }
    loop {
        let topic = existing(client, &arguments.topic).await?;
        if topic.partitions.len() >= usize::try_from(count)? && topic.is_led() {
            return Ok(());
        }
        client.pause(format!("{}: not every new partition has a leader yet", arguments.topic)).await;
    }
}
