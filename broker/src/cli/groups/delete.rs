//! `ottla groups delete`: groups as a whole, or what one has committed of some topics.

use std::collections::BTreeMap;

use anyhow::bail;
use clap::Args;
use clap::builder::NonEmptyStringValueParser;
use kafka_protocol::ResponseError;
use kafka_protocol::messages::offset_delete_request::{
    OffsetDeleteRequestPartition, OffsetDeleteRequestTopic,
};
use kafka_protocol::messages::{DeleteGroupsRequest, OffsetDeleteRequest, TopicName};
use kafka_protocol::protocol::StrBytes;
use serde_json::{Value, json};

use super::{Form, GroupRefusal, offsets, wire_id};
use crate::cli::asking;
use crate::cli::client::{Client, ClientError, PartitionId};
use crate::cli::target::{TopicChoice, is_meant};

/// What is deleted.
#[derive(Debug, Args)]
pub struct DeleteArguments {
    /// The groups.
    #[arg(required = true, value_name = "GROUP", value_parser = NonEmptyStringValueParser::new())]
    groups: Vec<String>,
    /// Delete only what the group has committed of this topic, or of some of its partitions. May be given many times.
    #[arg(long, value_name = "TOPIC[:PARTITION,...]")]
    topic: Vec<TopicChoice>,
}

pub(super) async fn run(
    client: &mut Client,
    arguments: &DeleteArguments,
    form: Form,
) -> anyhow::Result<String> {
    let mut said = Vec::new();
    for (place, group_id) in arguments.groups.iter().enumerate() {
        let deleted = delete(client, group_id, &arguments.topic).await;
        let before = || arguments.groups.iter().take(place).map(String::as_str).collect::<Vec<_>>();
        said.push(deleted.map_err(|error| asking::after(error, "deleted", &before()))?);
    }
    Ok(match form {
        Form::Json => {
            format!("{:#}\n", said.into_iter().map(|(json, _)| json).collect::<Value>())
        }
        Form::Text => said.into_iter().map(|(_, text)| text).collect(),
    })
}

/// Deletes what is meant of one group; what is said of it, in either form.
async fn delete(
    client: &mut Client,
    group_id: &str,
    choices: &[TopicChoice],
) -> anyhow::Result<(Value, String)> {
    if choices.is_empty() {
        delete_group(client, group_id).await?;
        return Ok((json!({ "group_id": group_id }), format!("Deleted {group_id}.\n")));
    }
    let deleted = delete_offsets(client, group_id, choices).await?;
    let names: Vec<String> = deleted.iter().map(|id| format!("{}-{}", id.topic, id.partition)).collect();
    let text = format!("Deleted the offsets of {group_id} for {}.\n", names.join(", "));
    Ok((json!({ "group_id": group_id, "partitions": names }), text))
}

async fn delete_group(client: &mut Client, group_id: &str) -> anyhow::Result<()> {
    let request = DeleteGroupsRequest::default().with_groups_names(vec![wire_id(group_id)]);
    let error_of = |response: &kafka_protocol::messages::DeleteGroupsResponse| {
        response.results.first().map_or(0, |result| result.error_code)
    };
    let response = client.ask_coordinator(group_id, &request, error_of).await?;
    judge(group_id, error_of(&response))
}

/// Deletes the committed offsets that are meant, and says which.
async fn delete_offsets(
    client: &mut Client,
    group_id: &str,
    choices: &[TopicChoice],
) -> anyhow::Result<Vec<PartitionId>> {
    let committed = offsets::committed(client, group_id).await?;
    let meant: Vec<PartitionId> =
        committed.into_keys().filter(|partition| is_meant(choices, partition)).collect();
    if meant.is_empty() {
        bail!("{group_id} has no committed offsets of these topics");
    }
    let response = client
        .ask_coordinator(group_id, &offset_delete(group_id, &meant), |response| response.error_code)
        .await?;
    judge(group_id, response.error_code)?;
    for topic in response.topics {
        for partition in topic.partitions {
            match ResponseError::try_from_code(partition.error_code) {
                None => {}
                Some(ResponseError::GroupSubscribedToTopic) => {
                    let detail = format!("subscribed to {}", *topic.name);
                    return Err(GroupRefusal::HasMembers { group_id: group_id.to_owned(), detail }.into());
                }
                Some(error) => {
                    let what = format!("{} of {group_id}", *topic.name);
                    return Err(ClientError::Refused { what, error }.into());
                }
            }
        }
    }
    Ok(meant)
}

fn offset_delete(group_id: &str, partitions: &[PartitionId]) -> OffsetDeleteRequest {
    let mut topics: BTreeMap<&str, Vec<OffsetDeleteRequestPartition>> = BTreeMap::new();
    for id in partitions {
        let partition = OffsetDeleteRequestPartition::default().with_partition_index(id.partition);
        topics.entry(&id.topic).or_default().push(partition);
    }
    let topics = topics.into_iter().map(|(name, partitions)| {
        OffsetDeleteRequestTopic::default()
            .with_name(TopicName(StrBytes::from_string(name.to_owned())))
            .with_partitions(partitions)
    });
    OffsetDeleteRequest::default().with_group_id(wire_id(group_id)).with_topics(topics.collect())
}

fn judge(group_id: &str, error_code: i16) -> anyhow::Result<()> {
    let group_id = group_id.to_owned();
    match ResponseError::try_from_code(error_code) {
        None => Ok(()),
        Some(ResponseError::GroupIdNotFound) => Err(GroupRefusal::NoSuchGroup { group_id }.into()),
        Some(ResponseError::NonEmptyGroup) => {
            let detail = "only a group without members is deleted".to_owned();
            Err(GroupRefusal::HasMembers { group_id, detail }.into())
        }
        Some(error) => Err(ClientError::Refused { what: group_id, error }.into()),
    }
}
