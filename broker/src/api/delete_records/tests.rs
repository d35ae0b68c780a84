use crate::node::testing::replica_set::{TOPIC, TestSet, registration};
use crate::node::testing::{TestNode, batch, topic_name};
use kafka_protocol::messages::delete_records_request::{DeleteRecordsPartition, DeleteRecordsTopic};
use kafka_protocol::messages::produce_request::{PartitionProduceData, TopicProduceData};
use kafka_protocol::messages::{
    DeleteRecordsRequest, DeleteRecordsResponse, ProduceRequest, ProduceResponse,
};
use storage::ids::Offset;

const NOT_LEADER: i16 = 6;
const TIMED_OUT: i16 = 7;

fn deletion(topic: &str, wanted: &[(i32, i64)], timeout_ms: i32) -> DeleteRecordsRequest {
    let partitions = wanted.iter().map(|&(index, offset)| {
        DeleteRecordsPartition::default().with_partition_index(index).with_offset(offset)
    });
    let topic =
        DeleteRecordsTopic::default().with_name(topic_name(topic)).with_partitions(partitions.collect());
    DeleteRecordsRequest::default().with_timeout_ms(timeout_ms).with_topics(vec![topic])
}

/// The error codes and low watermarks.
async fn delete(node: &TestNode, version: i16, request: &DeleteRecordsRequest) -> Vec<(i16, i64)> {
    let answer: DeleteRecordsResponse = node.ask(21, version, request).await;
    let partitions = answer.topics.iter().flat_map(|topic| &topic.partitions);
    partitions.map(|partition| (partition.error_code, partition.low_watermark)).collect()
}

async fn produce(node: &TestNode, topic: &str, timestamps: &[i64]) {
    let data = PartitionProduceData::default().with_index(0).with_records(Some(batch(timestamps)));
    let topic = TopicProduceData::default().with_name(topic_name(topic)).with_partition_data(vec![data]);
    let request =
        ProduceRequest::default().with_acks(-1).with_timeout_ms(30_000).with_topic_data(vec![topic]);
    let written: ProduceResponse = node.ask(0, 9, &request).await;
    assert_eq!(written.responses[0].partition_responses[0].error_code, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn deletion_is_answered_in_every_version_and_outlives_a_crash() {
    let node = TestNode::start(&[]).await;
    node.create_topic("orders", 1).await;
    produce(&node, "orders", &[1, 2, 3, 4, 5]).await;
    for (version, offset) in [(0, 1), (1, 2), (2, 3)] {
        let wanted = [(0, offset), (0, 6), (0, -2), (7, 0)];
        let answer = delete(&node, version, &deletion("orders", &wanted, 30_000)).await;
        assert_eq!(answer, [(0, offset), (1, -1), (1, -1), (3, -1)], "version {version}");
    }
    assert_eq!(
        delete(&node, 2, &deletion("orders", &[(0, 1)], 0)).await,
        [(0, 3)],
        "it starts there at least"
    );
    assert_eq!(delete(&node, 2, &deletion("missing", &[(0, 1)], 0)).await, [(3, -1)]);
    let node = TestNode::start_again(node.crash().await).await;
    let log = &node.broker.partitions.all()[0].log;
    assert_eq!((log.log_start_offset(), log.log_end_offset()), (Offset(3), Offset(5)));
    assert_eq!(delete(&node, 2, &deletion("orders", &[(0, -1)], 0)).await, [(0, 5)], "the high watermark");
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_compacted_or_internal_is_not_deleted() {
    let node = TestNode::start(&[]).await;
    for (name, policy, expected) in
        [("kept", "compact", (44, -1)), ("both", "compact,delete", (0, 0)), ("none", "", (0, 1))]
    {
        node.create_topic_with(name, &[("cleanup.policy", policy)]).await;
        if policy.is_empty() {
            produce(&node, name, &[1]).await;
        }
        assert_eq!(delete(&node, 2, &deletion(name, &[(0, -1)], 0)).await, [expected], "{policy:?}");
    }
    node.create_topic("__consumer_offsets", 1).await;
    assert_eq!(delete(&node, 2, &deletion("__consumer_offsets", &[(0, -1)], 0)).await, [(17, -1)]);
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn deletion_waits_for_the_followers_that_run() {
    let mut set = TestSet::start(3, &[]).await;
    let second = set.connect(2, 1);
    let third = set.connect(3, 1);
    assert_eq!(set.produce(1, -1, &[1, 2, 3, 4]).await.expect("no panic"), 0);
    let request = |offset: i64, timeout_ms: i32| deletion(TOPIC, &[(0, offset)], timeout_ms);
    assert_eq!(delete(set.node_of(1), 2, &request(2, 30_000)).await, [(0, 2)]);
    for id in 1..=3 {
        assert_eq!(set.partition(id).log.log_start_offset(), Offset(2), "on node {id}");
    }
    assert_eq!(delete(set.node_of(2), 2, &request(2, 0)).await, [(NOT_LEADER, -1)]);
    // The third has stopped, and nobody knows.
    third.cut().await;
    assert_eq!(delete(set.node_of(1), 2, &request(3, 1000)).await, [(TIMED_OUT, 2)]);
    // It does not count once it is fenced.
    let fenced = registration(set.node_of(3), true);
    set.decide(&[fenced]);
    assert_eq!(delete(set.node_of(1), 2, &request(4, 30_000)).await, [(0, 4)]);
    drop(second);
    set.stop().await;
}
