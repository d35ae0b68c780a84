//! Shards in a node, through the APIs: what outlives it, what waits for what, and who is told what meanwhile.

use super::append::PART_BYTES;
use super::shard::REQUESTS_WAITING_MAX;
use super::{CoordinatorError, OFFSETS_TOPIC, Shard, Submitted, partition_of};
use crate::api::Outcome;
use crate::node::testing::{TestNode, response, topic_name};
use crate::partition::Partition;
use config::topic::TopicConfig;
use coordinator::request::{CommittingOffset, OffsetCommit, Request};
use coordinator::shard::GroupShard;
use futures_util::FutureExt;
use kafka_protocol::messages::create_topics_request::CreatableTopic;
use kafka_protocol::messages::join_group_request::JoinGroupRequestProtocol;
use kafka_protocol::messages::offset_commit_request::{
    OffsetCommitRequestPartition, OffsetCommitRequestTopic,
};
use kafka_protocol::messages::offset_fetch_request::OffsetFetchRequestTopic;
use kafka_protocol::messages::{
    CreateTopicsRequest, CreateTopicsResponse, DeleteGroupsRequest, DeleteGroupsResponse,
    DeleteTopicsRequest, DeleteTopicsResponse, DescribeGroupsRequest, DescribeGroupsResponse,
    FindCoordinatorRequest, FindCoordinatorResponse, GroupId, HeartbeatRequest, HeartbeatResponse,
    JoinGroupRequest, JoinGroupResponse, ListGroupsRequest, ListGroupsResponse, OffsetCommitRequest,
    OffsetCommitResponse, OffsetFetchRequest, OffsetFetchResponse,
};
use kafka_protocol::protocol::StrBytes;
use std::sync::Arc;
use std::time::Duration;
use storage::batch::{self, AppendOrigin, AppendRules, Attributes, EndTransactionMarker, TransactionResult};
use storage::batch_builder::{BatchBuilder, BatchSpec, end_transaction_batch};
use storage::ids::{LeaderEpoch, Offset, PartitionIndex, ProducerEpoch, ProducerId, Sequence, TimestampMs};
use tokio::time::{sleep, timeout};

/// How long a test waits for what is bound to happen; only a failing test waits so long.
const PATIENCE: Duration = Duration::from_secs(60);

/// What is looked at again and again leaves the machine to those that bring it about.
const LOOK_AGAIN: Duration = Duration::from_millis(1);

async fn node(set: &[&str]) -> TestNode {
    with_coordinators(TestNode::start(set).await).await
}

async fn with_coordinators(node: TestNode) -> TestNode {
    node.create_topic("t", 4).await;
    let request = FindCoordinatorRequest::default().with_key(text("g"));
    let found: FindCoordinatorResponse = node.ask(10, 3, &request).await;
    assert_eq!(found.error_code, 0);
    node
}

fn text(text: &str) -> StrBytes {
    StrBytes::from_string(text.to_owned())
}

fn group(name: &str) -> GroupId {
    GroupId(text(name))
}

fn committing(name: &str, topic: &str, offset: i64) -> OffsetCommitRequest {
    let partition = OffsetCommitRequestPartition::default()
        .with_partition_index(0)
        .with_committed_offset(offset)
        .with_committed_metadata(Some(text("")));
    let topic =
        OffsetCommitRequestTopic::default().with_name(topic_name(topic)).with_partitions(vec![partition]);
    OffsetCommitRequest::default()
        .with_group_id(group(name))
        .with_generation_id_or_member_epoch(-1)
        .with_topics(vec![topic])
}

fn code_of_commit(outcome: Outcome) -> i16 {
    let answer: OffsetCommitResponse = response(outcome, 9);
    answer.topics[0].partitions[0].error_code
}

async fn commit(node: &TestNode, name: &str, offset: i64) -> i16 {
    code_of_commit(node.outcome(8, 9, &committing(name, "t", offset)).await)
}

/// Commits as a client does that names topics by their ids.
fn begin_commit_by_id(node: &TestNode, name: &str, topic: &str, offset: i64) -> Submitted {
    let committing = CommittingOffset {
        topic: topic.into(),
        topic_id: node.broker.topic_id_of(topic).expect("the topic is there"),
        partition: PartitionIndex(0),
        offset: Offset(offset),
        leader_epoch: LeaderEpoch::NONE,
        metadata: "".into(),
    };
    let request = OffsetCommit {
        group_id: name.into(),
        member_id: "".into(),
        generation_id_or_member_epoch: -1,
        group_instance_id: None,
        retention: None,
        supports_consumer_protocol: true,
        names_topics_by_id: true,
        offsets: vec![committing],
    };
    let shard = node.broker.coordinators.shard_of(name).expect("the node leads every shard");
    shard.submit(Request::OffsetCommit(request)).expect("there is a place")
}

/// The offsets of a group, by topic.
async fn fetch(node: &TestNode, name: &str) -> Result<Vec<i64>, i16> {
    let request = OffsetFetchRequest::default().with_group_id(group(name)).with_topics(None);
    let answer: OffsetFetchResponse = node.ask(9, 7, &request).await;
    let offsets = answer.topics.iter().flat_map(|topic| &topic.partitions);
    match answer.error_code {
        0 => Ok(offsets.map(|partition| partition.committed_offset).collect()),
        code => Err(code),
    }
}

async fn delete_topic(node: &TestNode, name: &str) {
    let request =
        DeleteTopicsRequest::default().with_timeout_ms(30_000).with_topic_names(vec![topic_name(name)]);
    let deleted: DeleteTopicsResponse = node.ask(20, 5, &request).await;
    assert_eq!(deleted.responses[0].error_code, 0);
}

async fn heartbeat(node: &TestNode, name: &str) -> i16 {
    let request = HeartbeatRequest::default().with_group_id(group(name)).with_generation_id(1);
    let answer: HeartbeatResponse = node.ask(12, 4, &request).await;
    answer.error_code
}

fn partition_with(node: &TestNode, name: &str) -> Arc<Partition> {
    let topic_id = node.broker.topic_id_of(OFFSETS_TOPIC).expect("the topic is there");
    let partition = node.broker.partitions.find(topic_id, partition_of(name, 50));
    partition.expect("the node leads every partition")
}

/// Waits until `holds`; what makes it hold runs on other tasks.
async fn until(mut holds: impl AsyncFnMut() -> bool) {
    let holding = async {
        while !holds().await {
            sleep(LOOK_AGAIN).await;
        }
    };
    timeout(PATIENCE, holding).await.expect("what was waited for has come to pass");
}

/// Ends the shard of a group and begins it again, which loads it from its log.
fn reload(node: &TestNode, name: &str) {
    let index = partition_of(name, 50);
    node.broker.coordinators.resign(index);
    node.broker.coordinators.lead(index, &partition_with(node, name));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn commit_is_answered_once_it_is_on_the_disk_and_reads_wait_for_nothing() {
    let node = with_coordinators(TestNode::start_without_flusher(&[]).await).await;
    let mut first = node.begin(8, 9, &committing("g", "t", 1));
    let mut second = node.begin(8, 9, &committing("g", "t", 2));
    let partition = partition_with(&node, "g");
    until(async || partition.log.log_end_offset().0 == 2).await;
    assert!((&mut first).now_or_never().is_none(), "it is in the log, and not on the disk");
    assert!((&mut second).now_or_never().is_none(), "the one behind it was decided all the same");
    assert_eq!(fetch(&node, "g").await, Ok(vec![]), "what may yet vanish is not shown");
    node.flush().await;
    for answer in [first, second] {
        let answered = timeout(PATIENCE, answer).await.expect("the flush wakes it").expect("a response");
        assert_eq!(code_of_commit(answered), 0);
    }
    assert_eq!(fetch(&node, "g").await, Ok(vec![2]));
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn commit_that_no_disk_confirms_in_time_is_not_acknowledged() {
    let set = ["offsets.commit.timeout.ms=1"];
    let node = with_coordinators(TestNode::start_without_flusher(&set).await).await;
    let late = timeout(PATIENCE, node.begin(8, 9, &committing("g", "t", 1))).await;
    assert_eq!(code_of_commit(late.expect("its time is over").expect("a response")), 15);
    assert_eq!(fetch(&node, "g").await, Ok(vec![]));
    // It may still come to pass, which the client has to reckon with.
    node.flush().await;
    until(async || fetch(&node, "g").await == Ok(vec![1])).await;
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_too_large_for_a_batch_is_refused_and_leaves_the_group_as_it_was() {
    let node = node(&[]).await;
    assert_eq!(commit(&node, "g", 1).await, 0);
    let partition = partition_with(&node, "g");
    let usual = partition.log.config();
    partition.log.set_config(Arc::new(TopicConfig { max_message_bytes: 100, ..TopicConfig::clone(&usual) }));
    assert_eq!(commit(&node, "g", 2).await, -1);
    assert_eq!(fetch(&node, "g").await, Ok(vec![1]));
    partition.log.set_config(usual);
    assert_eq!(commit(&node, "g", 3).await, 0);
    assert_eq!(fetch(&node, "g").await, Ok(vec![3]));
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn group_with_more_offsets_than_a_batch_holds_can_be_deleted() {
    const PARTITIONS: i32 = 9000;
    let node = node(&[]).await;
    let request = CreateTopicsRequest::default().with_timeout_ms(30_000).with_topics(vec![
        CreatableTopic::default()
            .with_name(topic_name("wide"))
            .with_num_partitions(PARTITIONS)
            .with_replication_factor(-1),
    ]);
    let _: CreateTopicsResponse = node.ask(19, 7, &request).await;
    let mut commit = committing("g", "wide", 1);
    let partition = commit.topics[0].partitions[0].clone();
    commit.topics[0].partitions =
        (0..PARTITIONS).map(|index| partition.clone().with_partition_index(index)).collect();
    assert_eq!(code_of_commit(node.outcome(8, 9, &commit).await), 0);
    let partition = partition_with(&node, "g");
    let usual = partition.log.config();
    // A part, and little more; all tombstones together are longer.
    let max_message_bytes = i32::try_from(PART_BYTES).expect("fits") + 1000;
    partition.log.set_config(Arc::new(TopicConfig { max_message_bytes, ..TopicConfig::clone(&usual) }));
    let end_before = partition.log.log_end_offset();
    let delete = DeleteGroupsRequest::default().with_groups_names(vec![group("g")]);
    let deleted: DeleteGroupsResponse = node.ask(42, 2, &delete).await;
    assert_eq!(deleted.results[0].error_code, 0);
    // Every offset's tombstone, and the group's.
    assert_eq!(partition.log.log_end_offset(), end_before.plus(i64::from(PARTITIONS) + 1));
    assert!(PARTITIONS * 40 > max_message_bytes, "one batch could not hold the tombstones");
    assert_eq!(fetch(&node, "g").await, Ok(vec![]));
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn groups_and_offsets_outlive_the_node_with_every_codec() {
    for codec in 0..=4 {
        let codec = format!("offsets.topic.compression.codec={codec}");
        let node = node(&[&codec, "group.initial.rebalance.delay.ms=0"]).await;
        for round in 0..20 {
            assert_eq!(commit(&node, "g", round).await, 0);
            assert_eq!(commit(&node, &format!("group-{round}"), round).await, 0);
        }
        let joined: JoinGroupResponse = node.ask(11, 3, &joining("members", "")).await;
        assert_eq!(joined.error_code, 0);
        let node = node.restart().await;
        until(async || fetch(&node, "g").await == Ok(vec![19])).await;
        until(async || fetch(&node, "group-7").await == Ok(vec![7])).await;
        let listed = async || {
            let listed: ListGroupsResponse = node.ask(16, 5, &ListGroupsRequest::default()).await;
            (listed.error_code, listed.groups.len())
        };
        // 20, the one of all rounds, and the one whose member has joined.
        until(async || listed().await == (0, 22)).await;
        node.stop().await;
    }
}

fn joining(name: &str, member_id: &str) -> JoinGroupRequest {
    let protocol = JoinGroupRequestProtocol::default().with_name(text("range"));
    JoinGroupRequest::default()
        .with_group_id(group(name))
        .with_session_timeout_ms(10_000)
        .with_rebalance_timeout_ms(60_000)
        .with_member_id(text(member_id))
        .with_protocol_type(text("consumer"))
        .with_protocols(vec![protocol])
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_a_shard_is_loaded_clients_are_told_to_wait() {
    let node = node(&[]).await;
    assert_eq!(commit(&node, "g", 5).await, 0);
    let held = node.broker.coordinators.surroundings.loads.acquire_many(4).await.expect("never closed");
    reload(&node, "g");
    assert_eq!(fetch(&node, "g").await, Err(14));
    assert_eq!(commit(&node, "g", 6).await, 14);
    assert_eq!(heartbeat(&node, "g").await, 0, "the member keeps its place");
    let listed: ListGroupsResponse = node.ask(16, 4, &ListGroupsRequest::default()).await;
    assert_eq!((listed.error_code, listed.groups.len()), (14, 0), "a part is not taken for all");
    drop(held);
    until(async || fetch(&node, "g").await == Ok(vec![5])).await;
    assert_eq!(heartbeat(&node, "g").await, 25);
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn shard_that_holds_what_nobody_can_read_is_served_by_nobody_and_the_others_are() {
    let node = node(&[]).await;
    assert_eq!(commit(&node, "g", 5).await, 0);
    assert_eq!(commit(&node, "other", 7).await, 0);
    assert_ne!(partition_of("g", 50), partition_of("other", 50));
    let partition = partition_with(&node, "g");
    let mut builder = BatchBuilder::new(BatchSpec::default());
    // An offset commit whose key ends too early.
    builder.push(TimestampMs(0), Some(&[0, 1, 0]), Some(b"?"), &[]);
    append(&partition, builder.build().expect("a small batch"));
    reload(&node, "g");
    until(async || fetch(&node, "g").await == Err(16)).await;
    assert_eq!(commit(&node, "g", 6).await, 16);
    assert_eq!(fetch(&node, "other").await, Ok(vec![7]));
    node.stop().await;
}

fn append(partition: &Partition, batch: Vec<u8>) {
    let rules = AppendRules::of_topic(&partition.log.config(), AppendOrigin::Coordinator, 0);
    let validated = batch::validate(batch.into(), &rules, TimestampMs(0)).expect("a valid batch");
    partition
        .log
        .append_as_leader(validated, partition.leader_epoch(), TimestampMs(0))
        .expect("the disk works");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_transaction_of_kafkas_committed_counts_and_what_it_aborted_does_not() {
    use coordinator::record::codec::encode;
    use coordinator::record::{OffsetCommitValue, Record};
    let node = node(&[]).await;
    assert_eq!(commit(&node, "g", 5).await, 0);
    let partition = partition_with(&node, "g");
    for (producer, offset, result) in
        [(1, 6, Some(TransactionResult::Commit)), (2, 7, Some(TransactionResult::Abort)), (3, 8, None)]
    {
        let record = Record::OffsetCommit {
            group_id: "g".into(),
            topic: "t".into(),
            partition: storage::ids::PartitionIndex(0),
            value: Some(OffsetCommitValue {
                offset: storage::ids::Offset(offset),
                leader_epoch: storage::ids::LeaderEpoch::NONE,
                metadata: "".into(),
                commit_timestamp: TimestampMs(1),
                expire_timestamp: None,
                topic_id: storage::ids::TopicId::ZERO,
            }),
        };
        let encoded = encode(&record).expect("short texts");
        let (producer_id, producer_epoch) = (ProducerId(producer), ProducerEpoch(0));
        let flags = Attributes::TRANSACTIONAL;
        let base_sequence = Sequence(0);
        let spec = BatchSpec { flags, producer_id, producer_epoch, base_sequence, ..BatchSpec::default() };
        let mut builder = BatchBuilder::new(spec);
        builder.push(TimestampMs(0), Some(&encoded.key), encoded.value.as_deref(), &[]);
        append(&partition, builder.build().expect("a small batch"));
        if let Some(result) = result {
            let marker = EndTransactionMarker { result, coordinator_epoch: 0 };
            let batch = end_transaction_batch(producer_id, producer_epoch, marker, TimestampMs(0));
            append(&partition, batch.expect("a small batch"));
        }
    }
    reload(&node, "g");
    until(async || fetch(&node, "g").await == Ok(vec![6])).await;
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn offsets_of_a_deleted_topic_are_forgotten_also_by_a_shard_that_was_not_there() {
    let node = node(&[]).await;
    for is_led in [true, false] {
        node.create_topic("goes", 1).await;
        // Without its id an offset could be of the one or of the other.
        begin_commit_by_id(&node, "g", "goes", 3).answer().await.expect("committed");
        assert_eq!(commit(&node, "g", 1).await, 0);
        assert_eq!(fetch(&node, "g").await, Ok(vec![3, 1]));
        let index = partition_of("g", 50);
        if !is_led {
            node.broker.coordinators.resign(index);
        }
        delete_topic(&node, "goes").await;
        if !is_led {
            // It is there again under its name, and is another one.
            node.create_topic("goes", 1).await;
            node.broker.coordinators.lead(index, &partition_with(&node, "g"));
        }
        until(async || fetch(&node, "g").await == Ok(vec![1])).await;
    }
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn offsets_of_a_deleted_topic_are_forgotten_later_where_the_log_refuses() {
    let node = node(&["offsets.retention.check.interval.ms=10"]).await;
    begin_commit_by_id(&node, "g", "t", 3).answer().await.expect("committed");
    let partition = partition_with(&node, "g");
    let usual = partition.log.config();
    partition.log.set_config(Arc::new(TopicConfig { max_message_bytes: 10, ..TopicConfig::clone(&usual) }));
    delete_topic(&node, "t").await;
    node.broker.coordinators.topics_deleted(&["t".into()]);
    // Asked after the shard was told, and answered after it has tried.
    let delete = DeleteGroupsRequest::default().with_groups_names(vec![group("g")]);
    let deleted: DeleteGroupsResponse = node.ask(42, 2, &delete).await;
    assert_eq!(deleted.results[0].error_code, -1);
    assert_eq!(fetch(&node, "g").await, Ok(vec![3]));
    partition.log.set_config(usual);
    until(async || fetch(&node, "g").await == Ok(vec![])).await;
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn shard_writes_in_no_later_epoch_than_it_was_loaded_in() {
    let node = node(&[]).await;
    assert_eq!(commit(&node, "g", 1).await, 0);
    let partition = partition_with(&node, "g");
    node.lead(&partition, partition.leader_epoch().0 + 1);
    assert_eq!(commit(&node, "g", 2).await, 16);
    node.broker.coordinators.lead(partition_of("g", 50), &partition);
    until(async || fetch(&node, "g").await == Ok(vec![1])).await;
    assert_eq!(commit(&node, "g", 3).await, 0);
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn offset_of_another_life_of_a_topic_is_not_answered_by_name() {
    let node = with_coordinators(TestNode::start_without_flusher(&[]).await).await;
    node.create_topic("again", 1).await;
    let committed = begin_commit_by_id(&node, "g", "again", 3);
    until(async || partition_with(&node, "g").log.log_end_offset().0 == 1).await;
    node.flush().await;
    committed.answer().await.expect("committed");
    let named = async || {
        let topic =
            OffsetFetchRequestTopic::default().with_name(topic_name("again")).with_partition_indexes(vec![0]);
        let request = OffsetFetchRequest::default().with_group_id(group("g")).with_topics(Some(vec![topic]));
        let answer: OffsetFetchResponse = node.ask(9, 7, &request).await;
        (answer.error_code, answer.topics.first().map(|topic| topic.partitions[0].committed_offset))
    };
    assert_eq!(named().await, (0, Some(3)));
    // Nobody looks after the shard while the topic is made again, and that the offset is to go is on no disk yet.
    let index = partition_of("g", 50);
    node.broker.coordinators.resign(index);
    delete_topic(&node, "again").await;
    node.create_topic("again", 1).await;
    node.broker.coordinators.lead(index, &partition_with(&node, "g"));
    until(async || named().await.0 == 0).await;
    assert_eq!(named().await, (0, Some(-1)));
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_waits_in_a_group_is_answered_when_the_node_or_the_shard_ends() {
    let node = node(&["group.initial.rebalance.delay.ms=600000"]).await;
    let code = |outcome: Outcome| {
        let answer: JoinGroupResponse = response(outcome, 3);
        answer.error_code
    };
    let mut parked = node.begin(11, 3, &joining("g", ""));
    assert!((&mut parked).now_or_never().is_none());
    let described = async || {
        let request = DescribeGroupsRequest::default().with_groups(vec![group("g")]);
        let answer: DescribeGroupsResponse = node.ask(15, 5, &request).await;
        answer.groups[0].group_state.to_string()
    };
    until(async || described().await != "Dead").await;
    node.broker.coordinators.resign(partition_of("g", 50));
    assert_eq!(code(timeout(PATIENCE, parked).await.expect("answered").expect("a response")), 16);
    assert_eq!(commit(&node, "g", 1).await, 14, "this node is to lead it, and does not yet");

    let mut parked = node.begin(11, 3, &joining("h", ""));
    assert!((&mut parked).now_or_never().is_none());
    node.connection_ends.stop();
    assert_eq!(code(timeout(PATIENCE, parked).await.expect("answered").expect("a response")), 16);
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn partition_without_groups_costs_no_file() {
    let node = node(&[]).await;
    assert_eq!(commit(&node, "g", 1).await, 0);
    let entries = std::fs::read_dir(node.directory()).expect("the node's directory");
    let names = entries.map(|entry| entry.expect("an entry").file_name().into_string().expect("text"));
    let of_groups: Vec<_> = names.filter(|name| name.starts_with(OFFSETS_TOPIC)).collect();
    assert_eq!(of_groups, [format!("{OFFSETS_TOPIC}-{}", partition_of("g", 50))]);
    assert_eq!(node.broker.coordinators.shards().len(), 50);
    node.stop().await;
}

#[test]
fn shard_takes_as_many_requests_as_it_has_places_for() {
    let (shard, queue) = Shard::new();
    let alive = || Request::DeleteGroup("g".into());
    assert_eq!(shard.submit(alive()).err(), Some(CoordinatorError::Loading));
    shard.set_loaded(Some(GroupShard::new()));
    let waiting: Vec<_> = (0..REQUESTS_WAITING_MAX).map(|_| shard.submit(alive())).collect();
    assert!(waiting.iter().all(Result::is_ok));
    assert_eq!(shard.submit(alive()).err(), Some(CoordinatorError::Busy));
    drop(queue);
    assert_eq!(shard.submit(alive()).err(), Some(CoordinatorError::NotCoordinator));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn group_without_a_shard_is_of_nobody() {
    let node = TestNode::start(&[]).await;
    let found = node.broker.coordinators.shard_of("g");
    assert_eq!(found.err(), Some(CoordinatorError::NotCoordinator));
    node.stop().await;
}
