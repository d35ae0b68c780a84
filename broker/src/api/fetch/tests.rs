//! Waiting for records, and what ends the wait. A fetch here may wait for weeks: a wake-up that gets lost hangs it.

use crate::metadata_follower;
use crate::node::testing::{TestNode, batch, topic_name};
use kafka_protocol::messages::fetch_request::{FetchPartition, FetchTopic};
use kafka_protocol::messages::produce_request::{PartitionProduceData, TopicProduceData};
use kafka_protocol::messages::{
    DeleteTopicsRequest, DeleteTopicsResponse, FetchRequest, FetchResponse, ProduceRequest, ProduceResponse,
};
use replication::controller::ControllerRequest;
use replication::controller::topics::{CreateTopics, DeleteTopics, NewTopic, TopicSelector};
use std::sync::Arc;
use storage::ids::PartitionIndex;
use tokio::task::JoinHandle;

fn fetch(topic: &str, offsets: &[(i32, i64)]) -> FetchRequest {
    let partition = |&(index, offset): &(i32, i64)| {
        FetchPartition::default()
            .with_partition(index)
            .with_fetch_offset(offset)
            .with_partition_max_bytes(100_000)
    };
    let topic = FetchTopic::default()
        .with_topic(topic_name(topic))
        .with_partitions(offsets.iter().map(partition).collect());
    FetchRequest::default()
        .with_max_wait_ms(i32::MAX)
        .with_min_bytes(1)
        .with_max_bytes(1_000_000)
        .with_session_epoch(-1)
        .with_topics(vec![topic])
}

async fn produce(node: &TestNode, topic: &str, partition: i32) -> ProduceResponse {
    let data = PartitionProduceData::default().with_index(partition).with_records(Some(batch(&[1, 2])));
    let topic = TopicProduceData::default().with_name(topic_name(topic)).with_partition_data(vec![data]);
    let request =
        ProduceRequest::default().with_acks(-1).with_timeout_ms(30_000).with_topic_data(vec![topic]);
    node.ask(0, 9, &request).await
}

/// Begins a fetch that finds nothing, and returns once it waits.
async fn begin_to_wait(node: &Arc<TestNode>, request: FetchRequest) -> JoinHandle<FetchResponse> {
    let fetching = Arc::clone(node);
    let fetch = tokio::spawn(async move { fetching.ask(1, 12, &request).await });
    let partition = node.broker.partitions.all().pop().expect("one partition at least");
    while partition.waiting() == 0 {
        tokio::task::yield_now().await;
    }
    fetch
}

fn codes(response: &FetchResponse) -> Vec<(i32, i16, usize)> {
    let records = |records: &Option<bytes::Bytes>| records.as_ref().map_or(0, bytes::Bytes::len);
    response
        .responses
        .iter()
        .flat_map(|topic| &topic.partitions)
        .map(|partition| (partition.partition_index, partition.error_code, records(&partition.records)))
        .collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_fetch_waits_until_records_are_durable() {
    let node = Arc::new(TestNode::start(&[]).await);
    node.create_topic("orders", 1).await;
    let waiting = begin_to_wait(&node, fetch("orders", &[(0, 0)])).await;
    produce(&node, "orders", 0).await;
    let response = waiting.await.expect("no panic");
    assert_eq!(codes(&response), [(0, 0, batch(&[1, 2]).len())]);
    assert_eq!(response.responses[0].partitions[0].high_watermark, 2);
    let partition = node.broker.partitions.all().pop().expect("one partition");
    assert_eq!(partition.waiting(), 0, "no waiter is left behind");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_fetch_that_waits_answers_when_its_connection_ends() {
    let node = Arc::new(TestNode::start(&[]).await);
    node.create_topic("orders", 1).await;
    let waiting = begin_to_wait(&node, fetch("orders", &[(0, 0)])).await;
    node.connection_ends.stop();
    assert_eq!(codes(&waiting.await.expect("no panic")), [(0, 0, 0)]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_fetch_that_waits_answers_when_its_topic_is_deleted() {
    let node = Arc::new(TestNode::start(&[]).await);
    node.create_topic("orders", 1).await;
    let waiting = begin_to_wait(&node, fetch("orders", &[(0, 0)])).await;
    let delete =
        DeleteTopicsRequest::default().with_timeout_ms(30_000).with_topic_names(vec![topic_name("orders")]);
    let _deleted: DeleteTopicsResponse = node.ask(20, 5, &delete).await;
    assert_eq!(codes(&waiting.await.expect("no panic")), [(0, 3, 0)]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn more_than_the_answer_may_hold_is_not_waited_for() {
    let node = TestNode::start(&[]).await;
    node.create_topic("orders", 2).await;
    produce(&node, "orders", 1).await;
    let request = fetch("orders", &[(0, 0), (1, 0)]).with_min_bytes(i32::MAX).with_max_bytes(1);
    let response: FetchResponse = node.ask(1, 12, &request).await;
    let size = batch(&[1, 2]).len();
    assert_eq!(codes(&response), [(0, 0, 0), (1, 0, size)], "one batch at least, however large");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_partition_that_is_named_twice_is_read_once_where_it_was_named_last() {
    let node = TestNode::start(&[]).await;
    node.create_topic("orders", 1).await;
    produce(&node, "orders", 0).await;
    let response: FetchResponse = node.ask(1, 12, &fetch("orders", &[(0, 0), (0, 9), (0, 1)])).await;
    assert_eq!(codes(&response), [(0, 0, batch(&[1, 2]).len())], "from within the batch");
}

/// Delete and create are seen as one change where the follower of the metadata is late.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_topic_that_is_made_again_under_its_name_begins_anew() {
    let mut node = TestNode::start(&[]).await;
    node.create_topic("orders", 1).await;
    produce(&node, "orders", 0).await;
    let old = node.broker.topic_id_of("orders").expect("it was created");

    node.stop_following().await;
    let topics = vec![TopicSelector::Name("orders".to_owned())];
    let delete = ControllerRequest::DeleteTopics(DeleteTopics { topics });
    node.broker.quorum.propose(delete).await.expect("the quorum answers");
    let create = ControllerRequest::CreateTopics(CreateTopics {
        topics: vec![NewTopic { name: "orders".to_owned(), ..NewTopic::default() }],
        validate_only: false,
        default_partitions: 1,
        default_replication_factor: 1,
    });
    node.broker.quorum.propose(create).await.expect("the quorum answers");
    metadata_follower::follow(&node.broker, node.broker.quorum.image());

    let new = node.broker.topic_id_of("orders").expect("it was created again");
    assert_ne!(old, new);
    assert!(node.broker.partitions.find(old, PartitionIndex(0)).is_none());
    let produced = produce(&node, "orders", 0).await;
    let answer = &produced.responses[0].partition_responses[0];
    assert_eq!((answer.error_code, answer.base_offset), (0, 0));
}
