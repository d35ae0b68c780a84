//! What clients are told by nodes that copy from each other: from which replica to read, and how far.

use crate::node::testing::replica_set::{TOPIC, TestSet, registration};
use crate::node::testing::{TestNode, topic_name};
use kafka_protocol::messages::fetch_request::{FetchPartition, FetchTopic};
use kafka_protocol::messages::list_offsets_request::{ListOffsetsPartition, ListOffsetsTopic};
use kafka_protocol::messages::{FetchRequest, FetchResponse, ListOffsetsRequest, ListOffsetsResponse};
use kafka_protocol::protocol::StrBytes;
use replication::metadata::record::MetadataRecord;

const LEADER_NOT_AVAILABLE: i16 = 5;
const NOT_LEADER: i16 = 6;
const OFFSET_NOT_AVAILABLE: i16 = 78;

/// The node stands in this rack.
fn in_rack(node: &TestNode, rack: &str) -> MetadataRecord {
    match registration(node, false) {
        MetadataRecord::RegisterBroker(mut registration) => {
            registration.rack = Some(rack.to_owned());
            MetadataRecord::RegisterBroker(registration)
        }
        other => other,
    }
}

/// What a consumer in this rack is answered: the error, where to read instead, and how many bytes.
async fn fetch(node: &TestNode, version: i16, rack: &'static str, offset: i64) -> (i16, i32, bool) {
    let partition = FetchPartition::default().with_fetch_offset(offset).with_partition_max_bytes(1 << 20);
    let topic = FetchTopic::default().with_topic(topic_name(TOPIC)).with_partitions(vec![partition]);
    let request =
        FetchRequest::default().with_replica_id((-1).into()).with_max_bytes(1 << 20).with_topics(vec![topic]);
    let request = match version {
        11.. => request.with_rack_id(StrBytes::from_static_str(rack)),
        _ => request,
    };
    let answer: FetchResponse = node.ask(1, version, &request).await;
    let partition = &answer.responses[0].partitions[0];
    let has_records = partition.records.as_ref().is_some_and(|records| !records.is_empty());
    (partition.error_code, partition.preferred_read_replica.0, has_records)
}

/// The error and the offset of a look-up of the latest offset.
async fn latest(node: &TestNode, version: i16) -> (i16, i64) {
    let partition = ListOffsetsPartition::default().with_timestamp(-1);
    let topic = ListOffsetsTopic::default().with_name(topic_name(TOPIC)).with_partitions(vec![partition]);
    let request = ListOffsetsRequest::default().with_replica_id((-1).into()).with_topics(vec![topic]);
    let answer: ListOffsetsResponse = node.ask(2, version, &request).await;
    let found = &answer.topics[0].partitions[0];
    (found.error_code, found.offset)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_consumer_is_sent_to_the_replica_in_its_rack_which_serves_what_is_committed() {
    let selector = "replica.selector.class=org.apache.kafka.common.replica.RackAwareReplicaSelector";
    let mut set = TestSet::start(3, &[selector, "broker.rack=rack-1"]).await;
    let connections = [set.connect(2, 1), set.connect(3, 1)];
    set.decide(&[in_rack(set.node_of(2), "rack-2"), in_rack(set.node_of(3), "rack-3")]);
    assert_eq!(set.produce(1, -1, &[1]).await.expect("no panic"), 0);
    set.until_high_watermark(2, 1).await;
    let (leader, follower) = (set.node_of(1), set.node_of(2));
    assert_eq!(fetch(leader, 12, "rack-2", 0).await, (0, 2, false), "read there");
    assert_eq!(fetch(leader, 12, "rack-1", 0).await, (0, -1, true), "the leader is as close");
    assert_eq!(fetch(leader, 12, "", 0).await, (0, -1, true));
    assert_eq!(fetch(leader, 12, "rack-9", 0).await, (0, -1, true), "nobody is there");
    assert_eq!(fetch(leader, 10, "rack-2", 0).await, (0, -1, true), "the client does not know of this");
    assert_eq!(fetch(follower, 12, "rack-2", 0).await, (0, -1, true));
    assert_eq!(fetch(follower, 10, "", 0).await, (NOT_LEADER, -1, false));
    drop(connections);
    set.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_follower_serves_nothing_that_is_not_committed() {
    let set = TestSet::start_without_flusher(2, &[]).await;
    let connection = set.connect(2, 1);
    let producing = set.produce(1, -1, &[1]);
    set.until_log_end(2, 1).await;
    assert_eq!(fetch(set.node_of(2), 12, "", 0).await, (0, -1, false), "it is on no disk yet");
    set.node_of(1).flush().await;
    set.node_of(2).flush().await;
    assert_eq!(producing.await.expect("no panic"), 0);
    set.until_high_watermark(2, 1).await;
    assert_eq!(fetch(set.node_of(2), 12, "", 0).await, (0, -1, true));
    drop(connection);
    set.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_new_leader_tells_the_latest_offset_once_it_knows_what_is_committed() {
    let mut set = TestSet::start_without_flusher(2, &[]).await;
    let connection = set.connect(2, 1);
    let producing = set.produce(1, -1, &[1]);
    set.until_log_end(2, 1).await;
    connection.cut().await;
    set.elect(Some(2), &[1, 2]);
    assert_eq!(producing.await.expect("no panic"), NOT_LEADER, "the next leader is to say what became of it");
    assert_eq!(latest(set.node_of(1), 7).await, (NOT_LEADER, -1));
    // An earlier leader may have told 1 as the latest offset.
    assert_eq!(latest(set.node_of(2), 7).await, (OFFSET_NOT_AVAILABLE, -1));
    assert_eq!(latest(set.node_of(2), 4).await, (LEADER_NOT_AVAILABLE, -1), "what older clients understand");
    let connection = set.connect(1, 2);
    set.node_of(1).flush().await;
    set.node_of(2).flush().await;
    set.until_high_watermark(2, 1).await;
    assert_eq!(latest(set.node_of(2), 7).await, (0, 1));
    drop(connection);
    set.stop().await;
}
