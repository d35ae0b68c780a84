//! Whose time records carry, and how far it may be from the clock.

use crate::clock;
use crate::node::testing::{TestNode, batch, topic_name};
use kafka_protocol::messages::list_offsets_request::{ListOffsetsPartition, ListOffsetsTopic};
use kafka_protocol::messages::produce_request::{PartitionProduceData, TopicProduceData};
use kafka_protocol::messages::{
    BrokerId, ListOffsetsRequest, ListOffsetsResponse, ProduceRequest, ProduceResponse,
};

const INVALID_TIMESTAMP: i16 = 32;

/// The error code and the time of the append, where the broker gave the records theirs.
async fn produce(node: &TestNode, topic: &str, timestamp: i64) -> (i16, i64) {
    let data = PartitionProduceData::default().with_index(0).with_records(Some(batch(&[timestamp])));
    let topic = TopicProduceData::default().with_name(topic_name(topic)).with_partition_data(vec![data]);
    let request =
        ProduceRequest::default().with_acks(-1).with_timeout_ms(30_000).with_topic_data(vec![topic]);
    let answer: ProduceResponse = node.ask(0, 9, &request).await;
    let answer = &answer.responses[0].partition_responses[0];
    (answer.error_code, answer.log_append_time_ms)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn records_carry_the_time_of_their_append_where_the_topic_says_so() {
    let node = TestNode::start(&[]).await;
    node.create_topic_with("appended", &[("message.timestamp.type", "LogAppendTime")]).await;
    node.create_topic_with("created", &[]).await;
    let before = clock::now().0;
    let (error, appended_at) = produce(&node, "appended", 1000).await;
    assert!(error == 0 && appended_at >= before && appended_at <= clock::now().0, "{appended_at}");
    assert_eq!(produce(&node, "created", 1000).await, (0, -1));
    for (topic, timestamp) in [("appended", appended_at), ("created", 1000)] {
        // The record with the largest timestamp.
        let partition = ListOffsetsPartition::default().with_timestamp(-3);
        let asked = ListOffsetsTopic::default().with_name(topic_name(topic)).with_partitions(vec![partition]);
        let request = ListOffsetsRequest::default().with_replica_id(BrokerId(-1)).with_topics(vec![asked]);
        let found: ListOffsetsResponse = node.ask(2, 7, &request).await;
        assert_eq!(found.topics[0].partitions[0].timestamp, timestamp, "{topic}");
    }
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn records_too_far_from_the_clock_are_refused() {
    let node = TestNode::start(&[]).await;
    let bounds = [("message.timestamp.before.max.ms", "60000"), ("message.timestamp.after.max.ms", "60000")];
    node.create_topic_with("bounded", &bounds).await;
    node.create_topic_with("default", &[]).await;
    let now = clock::now().0;
    for (topic, timestamp, expected) in [
        ("bounded", now, 0),
        ("bounded", now - 120_000, INVALID_TIMESTAMP),
        ("bounded", now + 120_000, INVALID_TIMESTAMP),
        ("default", 1000, 0),
        ("default", now + 120_000, 0),
        ("default", now + 7_200_000, INVALID_TIMESTAMP),
    ] {
        assert_eq!(
            produce(&node, topic, timestamp).await,
            (expected, -1),
            "{topic} at {timestamp}, now {now}"
        );
    }
    node.stop().await;
}
