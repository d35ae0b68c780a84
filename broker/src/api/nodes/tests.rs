use super::testing::{registration, show};
use crate::node::testing::{TestNode, batch, topic_name};
use kafka_protocol::messages::fetch_request::{FetchPartition, FetchTopic};
use kafka_protocol::messages::list_offsets_request::{ListOffsetsPartition, ListOffsetsTopic};
use kafka_protocol::messages::offset_for_leader_epoch_request::{
    OffsetForLeaderPartition, OffsetForLeaderTopic,
};
use kafka_protocol::messages::produce_request::{PartitionProduceData, TopicProduceData};
use kafka_protocol::messages::{
    FetchRequest, FetchResponse, ListOffsetsRequest, ListOffsetsResponse, OffsetForLeaderEpochRequest,
    OffsetForLeaderEpochResponse, ProduceRequest, ProduceResponse,
};
use replication::metadata::record::{MetadataRecord, PartitionRecord};
use storage::ids::{BrokerId, LeaderEpoch, PartitionEpoch, PartitionIndex, TopicId};
use uuid::Uuid;

const NOT_LEADER: i16 = 6;
const TOPIC: &str = "there";
const TOPIC_ID: Uuid = Uuid::from_u128(77);

/// A node that knows a topic of which node 2 has the only replica, in leader epoch 5.
async fn node() -> TestNode {
    let mut node = TestNode::start(&[]).await;
    let topic = MetadataRecord::Topic {
        name: TOPIC.to_owned(),
        topic_id: TopicId(TOPIC_ID),
        has_default_replication_factor: false,
    };
    let partition = MetadataRecord::Partition(PartitionRecord {
        topic_id: TopicId(TOPIC_ID),
        partition: PartitionIndex(0),
        replicas: vec![BrokerId(2)],
        isr: vec![BrokerId(2)],
        leader: Some(BrokerId(2)),
        leader_epoch: LeaderEpoch(5),
        partition_epoch: PartitionEpoch(5),
        eligible_leader_replicas: Vec::new(),
        last_known_eligible_leader_replicas: Vec::new(),
        adding_replicas: Vec::new(),
        removing_replicas: Vec::new(),
    });
    show(&mut node, &[registration(2, false), topic, partition]).await;
    node
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_producer_that_asks_the_wrong_node_is_told_the_leader() {
    let node = node().await;
    for version in 3..=13 {
        let data = PartitionProduceData::default().with_index(0).with_records(Some(batch(&[1])));
        let topic = TopicProduceData::default().with_partition_data(vec![data]);
        let topic =
            if version >= 13 { topic.with_topic_id(TOPIC_ID) } else { topic.with_name(topic_name(TOPIC)) };
        let request =
            ProduceRequest::default().with_acks(-1).with_timeout_ms(1_000).with_topic_data(vec![topic]);
        let answer: ProduceResponse = node.ask(0, version, &request).await;
        let partition = &answer.responses[0].partition_responses[0];
        assert_eq!(partition.error_code, NOT_LEADER, "version {version}");
        let told = answer.node_endpoints.first().map(|node| (node.node_id.0, &*node.host, node.port));
        if version >= 10 {
            assert_eq!((partition.current_leader.leader_id.0, partition.current_leader.leader_epoch), (2, 5));
            assert_eq!(told, Some((2, "node-2", 9092)), "version {version}");
        } else {
            assert_eq!(told, None, "version {version}");
        }
    }
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_consumer_that_asks_the_wrong_node_is_told_the_leader() {
    let node = node().await;
    for version in 4..=18 {
        let partition = FetchPartition::default().with_partition(0).with_partition_max_bytes(1 << 20);
        let topic = FetchTopic::default().with_partitions(vec![partition]);
        let topic =
            if version >= 13 { topic.with_topic_id(TOPIC_ID) } else { topic.with_topic(topic_name(TOPIC)) };
        let request = FetchRequest::default().with_max_bytes(1 << 20).with_topics(vec![topic]);
        let request = if version < 15 { request.with_replica_id((-1).into()) } else { request };
        let answer: FetchResponse = node.ask(1, version, &request).await;
        let partition = &answer.responses[0].partitions[0];
        assert_eq!(partition.error_code, NOT_LEADER, "version {version}");
        let told = answer.node_endpoints.first().map(|node| (node.node_id.0, &*node.host, node.port));
        if version >= 16 {
            assert_eq!((partition.current_leader.leader_id.0, partition.current_leader.leader_epoch), (2, 5));
            assert_eq!(told, Some((2, "node-2", 9092)), "version {version}");
        } else {
            assert_eq!((told, partition.current_leader.leader_id.0), (None, -1), "version {version}");
        }
    }
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn look_ups_on_the_wrong_node_are_to_be_made_at_the_leader() {
    let node = node().await;
    let partition = ListOffsetsPartition::default().with_timestamp(-1);
    let topic = ListOffsetsTopic::default().with_name(topic_name(TOPIC)).with_partitions(vec![partition]);
    let request = ListOffsetsRequest::default().with_replica_id((-1).into()).with_topics(vec![topic]);
    let answer: ListOffsetsResponse = node.ask(2, 7, &request).await;
    assert_eq!(answer.topics[0].partitions[0].error_code, NOT_LEADER);
    let partition = OffsetForLeaderPartition::default().with_leader_epoch(5);
    let topic =
        OffsetForLeaderTopic::default().with_topic(topic_name(TOPIC)).with_partitions(vec![partition]);
    let request =
        OffsetForLeaderEpochRequest::default().with_replica_id((-1).into()).with_topics(vec![topic]);
    let answer: OffsetForLeaderEpochResponse = node.ask(23, 4, &request).await;
    assert_eq!(answer.topics[0].partitions[0].error_code, NOT_LEADER);
    node.stop().await;
}
