//! ListPartitionReassignments (key 46, version 0): the partitions that are moving (KIP-455).
//!
//! It answers what this node knows of the metadata, without asking the controller as Kafka's does; what a client changed
//! through another node may be seen a moment later. Partitions and topics that are not there, or do not move, are left
//! out. Source: `ReplicationControlManager.listPartitionReassignments`.

use super::RequestContext;
use kafka_protocol::messages::list_partition_reassignments_request::ListPartitionReassignmentsTopics;
use kafka_protocol::messages::list_partition_reassignments_response::{
    OngoingPartitionReassignment, OngoingTopicReassignment,
};
use kafka_protocol::messages::{
    BrokerId, ListPartitionReassignmentsRequest, ListPartitionReassignmentsResponse, TopicName,
};
use kafka_protocol::protocol::StrBytes;
use replication::metadata::image::{MetadataImage, PartitionImage, TopicImage};
use storage::ids::PartitionIndex;

pub(crate) async fn handle(
    context: RequestContext,
    request: ListPartitionReassignmentsRequest,
) -> ListPartitionReassignmentsResponse {
    let image = context.broker.image();
    let topics = match &request.topics {
        None => image
            .topics()
            .filter_map(|topic| ongoing(topic, topic.partitions.iter().map(AsRef::as_ref)))
            .collect(),
        Some(named) => named.iter().filter_map(|named| ongoing_of(&image, named)).collect(),
    };
    ListPartitionReassignmentsResponse::default().with_error_message(None).with_topics(topics)
}

fn ongoing_of(
    image: &MetadataImage,
    named: &ListPartitionReassignmentsTopics,
) -> Option<OngoingTopicReassignment> {
    let topic = image.topic_by_name(&named.name)?;
    ongoing(topic, named.partition_indexes.iter().filter_map(|index| topic.partition(PartitionIndex(*index))))
}

fn ongoing<'a>(
    topic: &TopicImage,
    partitions: impl Iterator<Item = &'a PartitionImage>,
) -> Option<OngoingTopicReassignment> {
    let moving: Vec<_> = partitions.filter(|partition| partition.is_reassigning()).map(described).collect();
    (!moving.is_empty()).then(|| {
        OngoingTopicReassignment::default()
            .with_name(TopicName(StrBytes::from_string(topic.name.to_string())))
            .with_partitions(moving)
    })
}

fn described(partition: &PartitionImage) -> OngoingPartitionReassignment {
    let ids = |brokers: &[storage::ids::BrokerId]| brokers.iter().map(|broker| BrokerId(broker.0)).collect();
    OngoingPartitionReassignment::default()
        .with_partition_index(partition.index.0)
        .with_replicas(ids(&partition.replicas))
        .with_adding_replicas(ids(&partition.adding_replicas))
        .with_removing_replicas(ids(&partition.removing_replicas))
}
