//! Whole sets of which a node is killed and returns.

use crate::coordinators::OFFSETS_TOPIC;
use crate::node::testing::TestNode;
use crate::node::testing::replica_set::{TOPIC, until};
use crate::node::testing::running_set::RunningSet;
use kafka_protocol::messages::offset_commit_request::{
    OffsetCommitRequestPartition, OffsetCommitRequestTopic,
};
use kafka_protocol::messages::offset_fetch_request::OffsetFetchRequestTopic;
use kafka_protocol::messages::{
    DeleteTopicsRequest, DeleteTopicsResponse, GroupId, OffsetCommitRequest, OffsetCommitResponse,
    OffsetFetchRequest, OffsetFetchResponse, TopicName,
};
use kafka_protocol::protocol::StrBytes;
use storage::ids::Offset;

/// 1. Three nodes; records are acknowledged. 2. The leader is killed: another one leads, and acknowledges more. 3. The
/// killed node returns, catches up and is in sync again. 4. All logs hold the same.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_leader_is_replaced_and_catches_up_when_it_returns() {
    let mut set = RunningSet::start().await;
    set.nodes[&1].create_topic(TOPIC, 1).await;
    for timestamp in 1..=3 {
        set.produce(timestamp).await;
    }
    let first = set.leader(TOPIC).await;
    set.crash(first).await;
    set.produce(4).await;
    assert_ne!(set.leader(TOPIC).await, first);
    set.start_again(first).await;
    set.until_all_in_sync().await;
    set.produce(5).await;
    set.until_all_are_equal().await;
    assert_eq!(set.partition(first).log.log_end_offset(), Offset(5));
    set.stop().await;
}

/// 1. An offset is committed. 2. The node that coordinates the group is killed. 3. Another one answers with that offset.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn committed_offsets_survive_the_loss_of_their_coordinator() {
    let mut set = RunningSet::start().await;
    set.nodes[&1].create_topic(TOPIC, 1).await;
    set.nodes[&1].create_topic(OFFSETS_TOPIC, 1).await;
    // Whoever coordinates just then is asked: on a busy machine a node may be taken for dead, and another one follows.
    let mut coordinator = 0;
    until(async || {
        coordinator = set.leader(OFFSETS_TOPIC).await;
        commit(&set.nodes[&coordinator], 42).await == 0
    })
    .await;
    set.crash(coordinator).await;
    let mut answers = Vec::new();
    until(async || {
        let next = set.leader(OFFSETS_TOPIC).await;
        assert_ne!(next, coordinator);
        answers.extend(fetch(&set.nodes[&next]).await);
        !answers.is_empty()
    })
    .await;
    assert_eq!(answers, [42], "nothing older is answered before");
    set.stop().await;
}

/// 1. The leader cannot write, as with a full disk: another one leads, and the set goes on without it. 2. It can again, and is
/// in sync again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_leader_that_stands_aside_is_replaced_and_comes_back() {
    let set = RunningSet::start().await;
    set.nodes[&1].create_topic(TOPIC, 1).await;
    set.produce(1).await;
    let first = set.leader(TOPIC).await;
    set.nodes[&first].broker.quorum.stand_aside(true);
    until(async || set.leader(TOPIC).await != first).await;
    set.produce(2).await;
    set.nodes[&first].broker.quorum.stand_aside(false);
    set.until_all_in_sync().await;
    set.produce(3).await;
    set.until_all_are_equal().await;
    set.stop().await;
}

/// 1. A node is killed. 2. Its topic is deleted and made again. 3. The node returns with logs of the topic's earlier life:
/// it holds what the new life holds.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_returns_takes_nothing_of_a_topics_earlier_life_for_its_new_one() {
    let mut set = RunningSet::start().await;
    set.nodes[&1].create_topic(TOPIC, 1).await;
    for timestamp in 1..=3 {
        set.produce(timestamp).await;
    }
    set.crash(3).await;
    let deleted = DeleteTopicsRequest::default()
        .with_timeout_ms(30_000)
        .with_topic_names(vec![TopicName(StrBytes::from_static_str(TOPIC))]);
    let answer: DeleteTopicsResponse = set.nodes[&1].ask(20, 5, &deleted).await;
    assert_eq!(answer.responses[0].error_code, 0);
    set.nodes[&1].create_topic(TOPIC, 1).await;
    set.produce(4).await;
    set.start_again(3).await;
    set.until_all_in_sync().await;
    set.produce(5).await;
    set.until_all_are_equal().await;
    assert_eq!(set.partition(3).log.log_end_offset(), Offset(2));
    set.stop().await;
}

fn group() -> GroupId {
    GroupId(StrBytes::from_static_str("readers"))
}

async fn commit(node: &TestNode, offset: i64) -> i16 {
    let partition = OffsetCommitRequestPartition::default().with_committed_offset(offset);
    let topic = OffsetCommitRequestTopic::default()
        .with_name(TopicName(StrBytes::from_static_str(TOPIC)))
        .with_partitions(vec![partition]);
    let request = OffsetCommitRequest::default()
        .with_group_id(group())
        .with_generation_id_or_member_epoch(-1)
        .with_topics(vec![topic]);
    let answer: OffsetCommitResponse = node.ask(8, 8, &request).await;
    answer.topics[0].partitions[0].error_code
}

/// The committed offset, once there is an answer.
async fn fetch(node: &TestNode) -> Option<i64> {
    let topic = OffsetFetchRequestTopic::default()
        .with_name(TopicName(StrBytes::from_static_str(TOPIC)))
        .with_partition_indexes(vec![0]);
    let request = OffsetFetchRequest::default().with_group_id(group()).with_topics(Some(vec![topic]));
    let answer: OffsetFetchResponse = node.ask(9, 7, &request).await;
    let partition = answer.topics.first().and_then(|topic| topic.partitions.first());
    partition
        .filter(|partition| answer.error_code == 0 && partition.error_code == 0)
        .map(|it| it.committed_offset)
}
