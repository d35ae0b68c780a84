//! DescribeTopicPartitions (key 75, version 0): topics and their partitions, a page at a time. Source: KIP-966.
//!
//! Topics come in the order of their names. A page ends after `response_partition_limit` partitions (at most
//! `max.request.partition.size.limit`) and then names where the next one begins.
//! Source: `DescribeTopicPartitionsRequestHandler.java`, `KRaftMetadataCache.describeTopicResponse`.

use super::RequestContext;
use super::metadata::TOPIC_OPERATIONS;
use crate::topics;
use kafka_protocol::ResponseError;
use kafka_protocol::messages::describe_topic_partitions_response::{
    Cursor, DescribeTopicPartitionsResponsePartition, DescribeTopicPartitionsResponseTopic,
};
use kafka_protocol::messages::{
    BrokerId, DescribeTopicPartitionsRequest, DescribeTopicPartitionsResponse, TopicName,
};
use kafka_protocol::protocol::StrBytes;
use replication::metadata::image::{MetadataImage, PartitionImage, TopicImage};
use std::collections::BTreeSet;

pub(crate) async fn handle(
    context: RequestContext,
    request: DescribeTopicPartitionsRequest,
) -> DescribeTopicPartitionsResponse {
    let image = context.broker.image();
    let (first_topic, first_partition) = match &request.cursor {
        Some(cursor) if cursor.partition_index < 0 => {
            return refuse(&request, ResponseError::InvalidRequest);
        }
        Some(cursor) => (cursor.topic_name.to_string(), usize::try_from(cursor.partition_index).unwrap_or(0)),
        None => (String::new(), 0),
    };
    let names: BTreeSet<String> = match request.topics.is_empty() {
        true => image.topics_from(&first_topic).map(|topic| topic.name.to_string()).collect(),
        false => request
            .topics
            .iter()
            .map(|topic| topic.name.to_string())
            .filter(|name| *name >= first_topic)
            .collect(),
    };
    let limit = usize::try_from(request.response_partition_limit).unwrap_or(0);
    let mut page = Page {
        partitions_left: limit.clamp(1, context.broker.partitions_per_page_max()),
        response: DescribeTopicPartitionsResponse::default(),
    };
    for name in names {
        let skipped = if name == first_topic { first_partition } else { 0 };
        if !page.add(&image, &name, skipped) {
            break;
        }
    }
    page.response
}

fn refuse(request: &DescribeTopicPartitionsRequest, error: ResponseError) -> DescribeTopicPartitionsResponse {
    let topics = request.topics.iter().map(|topic| unknown(&topic.name, error)).collect();
    DescribeTopicPartitionsResponse::default().with_topics(topics)
}

struct Page {
    partitions_left: usize,
    response: DescribeTopicPartitionsResponse,
}

impl Page {
    /// Adds a topic from its partition `skipped` on. Returns whether there is room for more.
    fn add(&mut self, image: &MetadataImage, name: &str, skipped: usize) -> bool {
        if self.partitions_left == 0 {
            self.next_page_begins_at(name, skipped);
            return false;
        }
        let Some(topic) = image.topic_by_name(name) else {
            let error = match topics::is_valid_name(name) {
                true => ResponseError::UnknownTopicOrPartition,
                false => ResponseError::InvalidTopicException,
            };
            self.response.topics.push(unknown(name, error));
            return true;
        };
        let taken = topic.partitions.len().saturating_sub(skipped).min(self.partitions_left);
        self.partitions_left -= taken;
        let partitions = topic.partitions.iter().skip(skipped).take(taken).map(|partition| describe(partition)).collect();
        self.response.topics.push(response_topic(topic, partitions));
        let next = skipped + taken;
        if next < topic.partitions.len() {
            self.next_page_begins_at(name, next);
            return false;
        }
        true
    }

    fn next_page_begins_at(&mut self, topic: &str, partition: usize) {
        let cursor = Cursor::default()
            .with_topic_name(TopicName(StrBytes::from_string(topic.to_owned())))
            .with_partition_index(i32::try_from(partition).unwrap_or(i32::MAX));
        self.response.next_cursor = Some(cursor);
    }
}

fn response_topic(
    topic: &TopicImage,
    partitions: Vec<DescribeTopicPartitionsResponsePartition>,
) -> DescribeTopicPartitionsResponseTopic {
    DescribeTopicPartitionsResponseTopic::default()
        .with_name(Some(TopicName(StrBytes::from_string(topic.name.to_string()))))
        .with_topic_id(topic.id.0)
        .with_is_internal(topics::is_internal(&topic.name))
        .with_partitions(partitions)
        .with_topic_authorized_operations(TOPIC_OPERATIONS)
}

fn unknown(name: &str, error: ResponseError) -> DescribeTopicPartitionsResponseTopic {
    DescribeTopicPartitionsResponseTopic::default()
        .with_name(Some(TopicName(StrBytes::from_string(name.to_owned()))))
        .with_error_code(error.code())
}

fn describe(partition: &PartitionImage) -> DescribeTopicPartitionsResponsePartition {
    let ids = |brokers: &[storage::ids::BrokerId]| brokers.iter().map(|broker| BrokerId(broker.0)).collect();
    DescribeTopicPartitionsResponsePartition::default()
        .with_partition_index(partition.index.0)
        .with_leader_id(BrokerId(partition.leader.map_or(-1, |leader| leader.0)))
        .with_leader_epoch(partition.leader_epoch.0)
        .with_replica_nodes(ids(&partition.replicas))
        .with_isr_nodes(ids(&partition.isr))
        .with_eligible_leader_replicas(Some(ids(&partition.eligible_leader_replicas)))
        .with_last_known_elr(Some(ids(&partition.last_known_eligible_leader_replicas)))
        .with_error_code(partition.leader.map_or(ResponseError::LeaderNotAvailable.code(), |_| 0))
}
