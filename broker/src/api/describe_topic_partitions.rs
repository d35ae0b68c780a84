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
        let partitions = topic
            .partitions
            .iter()
            .skip(skipped)
            .take(taken)
            .map(|partition| describe(image, partition))
            .collect();
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

/// Source: `KRaftMetadataCache.partitionMetadataForDescribeTopicResponse`.
fn describe(image: &MetadataImage, partition: &PartitionImage) -> DescribeTopicPartitionsResponsePartition {
    let ids = |brokers: &[storage::ids::BrokerId]| brokers.iter().map(|broker| BrokerId(broker.0)).collect();
    let is_offline = |id: &storage::ids::BrokerId| image.broker(*id).is_none_or(|known| known.is_fenced);
    let offline = partition.replicas.iter().copied().filter(is_offline).collect::<Vec<_>>();
    let leader = partition.leader.filter(|id| image.broker(*id).is_some());
    DescribeTopicPartitionsResponsePartition::default()
        .with_partition_index(partition.index.0)
        .with_leader_id(BrokerId(leader.map_or(-1, |leader| leader.0)))
        .with_leader_epoch(partition.leader_epoch.0)
        .with_replica_nodes(ids(&partition.replicas))
        .with_isr_nodes(ids(&partition.isr))
        .with_eligible_leader_replicas(Some(ids(&partition.eligible_leader_replicas)))
        .with_last_known_elr(Some(ids(&partition.last_known_eligible_leader_replicas)))
        .with_offline_replicas(ids(&offline))
}

#[cfg(test)]
mod tests {
    use crate::api::nodes::testing::{registration, show};
    use crate::node::testing::{TestNode, topic_name};
    use kafka_protocol::messages::describe_topic_partitions_request::{Cursor, TopicRequest};
    use kafka_protocol::messages::{DescribeTopicPartitionsRequest, DescribeTopicPartitionsResponse};
    use replication::metadata::record::{LeaderChange, MetadataRecord, PartitionChange};
    use storage::ids::{BrokerId, PartitionIndex};

    const KEY: i16 = 75;

    fn named(names: &[&str], limit: i32) -> DescribeTopicPartitionsRequest {
        let topic = |name: &&str| TopicRequest::default().with_name(topic_name(name));
        DescribeTopicPartitionsRequest::default()
            .with_topics(names.iter().map(topic).collect())
            .with_response_partition_limit(limit)
            .with_cursor(None)
    }

    fn shown(response: &DescribeTopicPartitionsResponse) -> Vec<(String, i16, Vec<i32>)> {
        response
            .topics
            .iter()
            .map(|topic| {
                let name = topic.name.as_ref().map(|name| name.to_string()).unwrap_or_default();
                let partitions = topic.partitions.iter().map(|partition| partition.partition_index).collect();
                (name, topic.error_code, partitions)
            })
            .collect()
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn pages_follow_one_another_through_all_topics_without_a_gap() {
        let node = TestNode::start(&[]).await;
        for (name, partitions) in [("b", 3), ("a", 2), ("c", 1)] {
            node.create_topic(name, partitions).await;
        }
        let mut cursor = None;
        let mut seen = Vec::new();
        for _page in 0..3 {
            let mut request = named(&[], 2);
            request.cursor = cursor.take();
            let response: DescribeTopicPartitionsResponse = node.ask(KEY, 0, &request).await;
            seen.extend(shown(&response).into_iter().flat_map(|(name, _, partitions)| {
                partitions.into_iter().map(move |partition| format!("{name}-{partition}"))
            }));
            cursor = response.next_cursor.map(|next| {
                Cursor::default().with_topic_name(next.topic_name).with_partition_index(next.partition_index)
            });
        }
        assert_eq!(seen, ["a-0", "a-1", "b-0", "b-1", "b-2", "c-0"]);
        assert_eq!(cursor, None, "the last page names no other");
        node.stop().await;
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn names_come_once_in_their_order_and_unknown_ones_with_an_error() {
        let node = TestNode::start(&[]).await;
        node.create_topic("a", 1).await;
        let request = named(&["missing", "a", "a", "bad/name"], 2000);
        let response: DescribeTopicPartitionsResponse = node.ask(KEY, 0, &request).await;
        let expected = [("a", 0, vec![0]), ("bad/name", 17, Vec::new()), ("missing", 3, Vec::new())];
        assert_eq!(shown(&response), expected.map(|(name, code, ids)| (name.to_owned(), code, ids)));
        assert_eq!(response.next_cursor, None);
        node.stop().await;
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn eligible_and_offline_replicas_are_told_and_a_missing_leader_is_no_error() {
        let mut node = TestNode::start(&[]).await;
        node.create_topic("a", 1).await;
        let topic_id = node.broker.topic_id_of("a").expect("the topic is there");
        let change = MetadataRecord::PartitionChange(PartitionChange {
            replicas: Some([1, 2, 3].map(BrokerId).to_vec()),
            isr: Some(vec![BrokerId(2)]),
            leader: LeaderChange::NoLeader,
            eligible_leader_replicas: Some(vec![BrokerId(3)]),
            ..PartitionChange::of(topic_id, PartitionIndex(0))
        });
        show(&mut node, &[registration(2, true), registration(3, true), change]).await;
        let response: DescribeTopicPartitionsResponse = node.ask(KEY, 0, &named(&["a"], 10)).await;
        let partition = &response.topics[0].partitions[0];
        let ids =
            |list: &[kafka_protocol::messages::BrokerId]| list.iter().map(|id| id.0).collect::<Vec<_>>();
        assert_eq!((partition.error_code, partition.leader_id.0, partition.leader_epoch), (0, -1, 1));
        assert_eq!(ids(&partition.offline_replicas), [2, 3]);
        assert_eq!(partition.eligible_leader_replicas.as_deref().map(ids), Some(vec![3]));
        assert_eq!(partition.last_known_elr.as_deref().map(ids), Some(vec![]));
        node.stop().await;
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn a_cursor_at_a_negative_partition_is_refused() {
        let node = TestNode::start(&[]).await;
        let mut request = named(&["a"], 2000);
        request.cursor = Some(Cursor::default().with_topic_name(topic_name("a")).with_partition_index(-1));
        let response: DescribeTopicPartitionsResponse = node.ask(KEY, 0, &request).await;
        assert_eq!(shown(&response), [("a".to_owned(), 42, Vec::new())]);
        node.stop().await;
    }
}
