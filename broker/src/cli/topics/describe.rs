//! `ottla topics describe`.

use super::{Form, existing, refused};
use crate::cli::asking;
use crate::cli::client::{Client, OffsetAt, PartitionId, PartitionState, TopicState};
use crate::cli::table::{Table, count, or_dash};
use clap::Args;
use clap::builder::NonEmptyStringValueParser;
use kafka_protocol::messages::DescribeConfigsRequest;
use kafka_protocol::messages::describe_configs_request::DescribeConfigsResource;
use kafka_protocol::protocol::StrBytes;
use serde::Serialize;
use std::collections::BTreeMap;

/// The number of topics among the kinds of configured things. Source: `ConfigResource.java`.
pub(super) const TOPIC: i8 = 2;

/// The number of the source that says "set on the topic itself". Source: `DescribeConfigsResponse.java`.
const SET_ON_TOPIC: i8 = 1;

/// Which topics are shown.
#[derive(Debug, Args)]
pub struct DescribeArguments {
    /// The topics.
    #[arg(required = true, value_name = "TOPIC", value_parser = NonEmptyStringValueParser::new())]
    topics: Vec<String>,
    /// Show every setting, those that nobody has set for the topic as well.
    #[arg(long)]
    all_settings: bool,
}

/// A topic as it is shown.
#[derive(Debug, Serialize)]
struct Described {
    topic: String,
    topic_id: uuid::Uuid,
    is_internal: bool,
    replication_factor: usize,
    settings: BTreeMap<String, Option<String>>,
    partitions: Vec<DescribedPartition>,
}

/// A partition of it. Offsets are missing where nobody leads it.
#[derive(Debug, Serialize)]
struct DescribedPartition {
    #[serde(flatten)]
    state: PartitionState,
    first_offset: Option<i64>,
    end_offset: Option<i64>,
}

pub(super) async fn run(
    client: &mut Client,
    arguments: &DescribeArguments,
    form: Form,
) -> anyhow::Result<String> {
    let mut described = Vec::new();
    for name in &arguments.topics {
        let topic = existing(client, name).await?;
        let settings = settings(client, name, arguments.all_settings).await?;
        described.push(describe(client, topic, settings).await?);
    }
    match form {
        Form::Json => asking::json(&described),
        Form::Text => Ok(described.iter().map(text).collect::<Vec<_>>().join("\n")),
    }
}

async fn describe(
    client: &mut Client,
    topic: TopicState,
    settings: BTreeMap<String, Option<String>>,
) -> anyhow::Result<Described> {
    let id = |partition| PartitionId { topic: topic.topic.clone(), partition };
    let led = topic.partitions.iter().filter(|it| it.leader.is_some());
    let ids: Vec<PartitionId> = led.map(|it| id(it.partition)).collect();
    let first = client.offsets(&ids, OffsetAt::Earliest).await?;
    let end = client.offsets(&ids, OffsetAt::Latest).await?;
    let partitions = topic.partitions.iter().map(|state| {
        let of = |offsets: &crate::cli::client::Offsets| {
            offsets.get(&id(state.partition)).and_then(|found| found.as_ref().ok().copied().flatten())
        };
        DescribedPartition { state: state.clone(), first_offset: of(&first), end_offset: of(&end) }
    });
    Ok(Described {
        partitions: partitions.collect(),
        replication_factor: topic.replication_factor(),
        topic: topic.topic,
        topic_id: topic.topic_id,
        is_internal: topic.is_internal,
        settings,
    })
}

/// The settings of a topic: those that were made for it, or all.
pub(super) async fn settings(
    client: &mut Client,
    name: &str,
    with_all: bool,
) -> anyhow::Result<BTreeMap<String, Option<String>>> {
    let resource = DescribeConfigsResource::default()
        .with_resource_type(TOPIC)
        .with_resource_name(StrBytes::from_string(name.to_owned()))
        .with_configuration_keys(None);
    let address = client.any_address().to_owned();
    let told =
        client.call(&address, &DescribeConfigsRequest::default().with_resources(vec![resource])).await?;
    let mut settings = BTreeMap::new();
    for result in told.results {
        if result.error_code != 0 {
            return Err(refused(name, result.error_code, result.error_message.as_ref()));
        }
        let shown = result.configs.into_iter().filter(|it| with_all || it.config_source == SET_ON_TOPIC);
        settings.extend(shown.map(|it| (it.name.to_string(), it.value.map(|value| value.to_string()))));
    }
    Ok(settings)
}

fn text(described: &Described) -> String {
    let mut text = format!(
        "{}: {}, {}, id {}\n",
        described.topic,
        count(described.partitions.len(), "partition"),
        count(described.replication_factor, "replica"),
        described.topic_id
    );
    for (name, value) in &described.settings {
        text.push_str(&format!("  {name}={}\n", value.as_deref().unwrap_or_default()));
    }
    let mut table = Table::new(["PARTITION", "LEADER", "REPLICAS", "IN SYNC", "FIRST OFFSET", "END OFFSET"]);
    let list = |nodes: &[i32]| nodes.iter().map(ToString::to_string).collect::<Vec<_>>().join(",");
    for DescribedPartition { state, first_offset, end_offset } in &described.partitions {
        table.row([
            state.partition.to_string(),
            or_dash(state.leader),
            list(&state.replicas),
            list(&state.in_sync),
            or_dash(*first_offset),
            or_dash(*end_offset),
        ]);
    }
    text + &table.lines()
}

#[cfg(test)]
mod tests {
    use super::{Described, DescribedPartition, text};
    use crate::cli::client::PartitionState;
    use std::collections::BTreeMap;

    #[test]
    fn a_topic_is_shown_with_its_settings_and_partitions() {
        let partition = |partition, leader, first_offset, end_offset| DescribedPartition {
            state: PartitionState {
                partition,
                leader,
                leader_epoch: 4,
                replicas: vec![1, 2],
                in_sync: vec![2],
            },
            first_offset,
            end_offset,
        };
        let described = Described {
            topic: "orders".to_owned(),
            topic_id: uuid::Uuid::nil(),
            is_internal: false,
            replication_factor: 2,
            settings: BTreeMap::from([("retention.ms".to_owned(), Some("1000".to_owned()))]),
            partitions: vec![partition(0, Some(2), Some(3), Some(17)), partition(1, None, None, None)],
        };
        let expected = "\
orders: 2 partitions, 2 replicas, id 00000000-0000-0000-0000-000000000000
  retention.ms=1000
PARTITION  LEADER  REPLICAS  IN SYNC  FIRST OFFSET  END OFFSET
0          2       1,2       2        3             17
1          -       1,2       2        -             -
";
        assert_eq!(text(&described), expected);
    }
}
