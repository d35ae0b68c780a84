//! What the measurements of one node ask of it, each on a connection that the caller keeps.

use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use bytes::Bytes;
use kafka_protocol::ResponseError;
use kafka_protocol::messages::create_topics_request::{CreatableTopic, CreatableTopicConfig};
use kafka_protocol::messages::fetch_request::{FetchPartition, FetchTopic};
use kafka_protocol::messages::incremental_alter_configs_request::{AlterConfigsResource, AlterableConfig};
use kafka_protocol::messages::list_offsets_request::{ListOffsetsPartition, ListOffsetsTopic};
use kafka_protocol::messages::produce_request::{PartitionProduceData, TopicProduceData};
use kafka_protocol::messages::{
    BrokerId, CreateTopicsRequest, DeleteTopicsRequest, FetchRequest, IncrementalAlterConfigsRequest,
    ListOffsetsRequest, ProduceRequest, TopicName,
};
use kafka_protocol::protocol::StrBytes;

use crate::connection::Connection;

/// How long the broker may take until a topic is there or gone, or a record is on the disk.
const PATIENCE: Duration = Duration::from_secs(60);
const ACKS_ALL: i16 = -1;
/// As ListOffsets names the end of a partition.
const LATEST: i64 = -1;
/// The type of a topic in requests about configuration. Source: ConfigResource.java.
const TOPIC_RESOURCE: i8 = 2;
const SET: i8 = 0;
/// A consumer's, in the place of a replica's number.
const NO_REPLICA: BrokerId = BrokerId(-1);
/// No leader epoch to compare, and no session of fetches.
const NO_EPOCH: i32 = -1;
/// A log's start, which only a follower names.
const NO_OFFSET: i64 = -1;

/// Makes a topic with one replica and settings of its own.
pub(crate) fn create(
    connection: &mut Connection,
    name: &str,
    partitions: i32,
    configs: &[(&str, &str)],
) -> Result<()> {
    let config = |(key, value): &(&str, &str)| {
        CreatableTopicConfig::default().with_name(text(key)).with_value(Some(text(value)))
    };
    let topic = CreatableTopic::default()
        .with_name(topic_name(name))
        .with_num_partitions(partitions)
        .with_replication_factor(1)
        .with_configs(configs.iter().map(config).collect());
    let request =
        CreateTopicsRequest::default().with_topics(vec![topic]).with_timeout_ms(milliseconds(PATIENCE)?);
    let response = connection.call(5, &request)?;
    succeeded(response.topics.first().map(|topic| topic.error_code), "CreateTopics", name)
}

/// Deletes a topic.
pub(crate) fn delete(connection: &mut Connection, name: &str) -> Result<()> {
    let request = DeleteTopicsRequest::default()
        .with_topic_names(vec![topic_name(name)])
        .with_timeout_ms(milliseconds(PATIENCE)?);
    let response = connection.call(5, &request)?;
    succeeded(response.responses.first().map(|topic| topic.error_code), "DeleteTopics", name)
}

/// Sets one of a topic's own settings.
pub(crate) fn set_config(connection: &mut Connection, name: &str, key: &str, value: &str) -> Result<()> {
    let config = AlterableConfig::default()
        .with_name(text(key))
        .with_config_operation(SET)
        .with_value(Some(text(value)));
    let resource = AlterConfigsResource::default()
        .with_resource_type(TOPIC_RESOURCE)
        .with_resource_name(text(name))
        .with_configs(vec![config]);
    let request = IncrementalAlterConfigsRequest::default().with_resources(vec![resource]);
    let response = connection.call(1, &request)?;
    let code = response.responses.first().map(|resource| resource.error_code);
    succeeded(code, "IncrementalAlterConfigs", name)
}

/// Appends `batch` to each of `partitions`, and waits until all are acknowledged.
pub(crate) fn produce(
    connection: &mut Connection,
    name: &str,
    partitions: impl IntoIterator<Item = i32>,
    batch: &Bytes,
) -> Result<()> {
    let data = partitions
        .into_iter()
        .map(|index| PartitionProduceData::default().with_index(index).with_records(Some(batch.clone())))
        .collect();
    let topic = TopicProduceData::default().with_name(topic_name(name)).with_partition_data(data);
    let request = ProduceRequest::default()
        .with_acks(ACKS_ALL)
        .with_timeout_ms(milliseconds(PATIENCE)?)
        .with_topic_data(vec![topic]);
    let response = connection.call(9, &request)?;
    let mut answers = response.responses.iter().flat_map(|topic| &topic.partition_responses);
    match answers.find_map(|answer| ResponseError::try_from_code(answer.error_code)) {
        None => Ok(()),
        Some(error) => bail!("Produce to {name}: {error}"),
    }
}

/// The end of each of the partitions below `partitions`, exclusive.
pub(crate) fn ends(connection: &mut Connection, name: &str, partitions: i32) -> Result<Vec<i64>> {
    let wanted = (0..partitions)
        .map(|index| ListOffsetsPartition::default().with_partition_index(index).with_timestamp(LATEST))
        .collect();
    let topic = ListOffsetsTopic::default().with_name(topic_name(name)).with_partitions(wanted);
    let request = ListOffsetsRequest::default().with_replica_id(NO_REPLICA).with_topics(vec![topic]);
    let response = connection.call(4, &request)?;
    let answers = response.topics.iter().flat_map(|topic| &topic.partitions);
    answers
        .map(|answer| match ResponseError::try_from_code(answer.error_code) {
            None => Ok(answer.offset),
            Some(error) => bail!("ListOffsets of {name}-{}: {error}", answer.partition_index),
        })
        .collect()
}

/// What each of the partitions below `partitions` has from `offset` on, `bytes_max` of it at most.
pub(crate) fn fetch(
    connection: &mut Connection,
    name: &str,
    partitions: i32,
    offset: i64,
    bytes_max: usize,
) -> Result<Vec<Bytes>> {
    let bytes_max = i32::try_from(bytes_max)?;
    let wanted = (0..partitions)
        .map(|index| {
            FetchPartition::default()
                .with_partition(index)
                .with_fetch_offset(offset)
                .with_current_leader_epoch(NO_EPOCH)
                .with_log_start_offset(NO_OFFSET)
                .with_partition_max_bytes(bytes_max)
        })
        .collect();
    let topic = FetchTopic::default().with_topic(topic_name(name)).with_partitions(wanted);
    let request = FetchRequest::default()
        .with_replica_id(NO_REPLICA)
        .with_max_bytes(i32::MAX)
        .with_session_epoch(NO_EPOCH)
        .with_topics(vec![topic]);
    let response = connection.call(12, &request)?;
    let answers = response.responses.into_iter().flat_map(|topic| topic.partitions);
    answers
        .map(|answer| match ResponseError::try_from_code(answer.error_code) {
            None => Ok(answer.records.unwrap_or_default()),
            Some(error) => bail!("Fetch of {name}-{}: {error}", answer.partition_index),
        })
        .collect()
}

fn succeeded(code: Option<i16>, request: &str, name: &str) -> Result<()> {
    match ResponseError::try_from_code(code.with_context(|| format!("{request}: an empty answer"))?) {
        None => Ok(()),
        Some(error) => bail!("{request} of {name}: {error}"),
    }
}

fn milliseconds(duration: Duration) -> Result<i32> {
    Ok(i32::try_from(duration.as_millis())?)
}

fn text(text: &str) -> StrBytes {
    StrBytes::from_string(text.to_owned())
}

fn topic_name(name: &str) -> TopicName {
    TopicName(text(name))
}
