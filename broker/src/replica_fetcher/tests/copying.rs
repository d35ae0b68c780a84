//! Connections, followers and leaders, with metadata that each test writes itself.

use crate::node::testing::batch;
use crate::node::testing::replica_set::{TestSet, registration, until};
use kafka_protocol::ResponseError;
use replication::metadata::record::MetadataRecord;
use storage::ids::Offset;

const NOT_LEADER: i16 = ResponseError::NotLeaderOrFollower.code();

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn followers_hold_the_same_bytes_and_what_is_acknowledged_is_on_all_of_them() {
    let set = TestSet::start(3, &[]).await;
    let _connections = [set.connect(2, 1), set.connect(3, 1)];
    for timestamps in [&[1, 2, 3][..], &[4], &[5, 6]] {
        assert_eq!(set.produce(1, -1, timestamps).await.expect("no panic"), 0);
    }
    for id in 1..=3 {
        assert_eq!(set.partition(id).durable_end_offset(), Offset(6), "on node {id}");
        assert_eq!(set.bytes(id), set.bytes(1), "on node {id}");
    }
    set.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_record_counts_once_every_in_sync_replica_has_flushed_it() {
    let set = TestSet::start_without_flusher(3, &[]).await;
    let _connections = [set.connect(2, 1), set.connect(3, 1)];
    let acknowledged = set.produce(1, -1, &[1, 2]);
    set.until_log_end(2, 2).await;
    set.until_log_end(3, 2).await;
    set.node_of(1).flush().await;
    set.node_of(2).flush().await;
    // Node 3 has the records, and is asked for more; it has flushed nothing.
    let followers = || set.partition(1).followers();
    until(async || followers().iter().all(|follower| follower.log_end_offset == Some(Offset(2)))).await;
    assert_eq!(set.partition(1).high_watermark(), Offset(0));
    assert!(!acknowledged.is_finished());
    set.node_of(3).flush().await;
    assert_eq!(acknowledged.await.expect("no panic"), 0);
    assert_eq!(set.partition(1).high_watermark(), Offset(2));
    set.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn flush_messages_1_waits_for_the_flush_of_every_in_sync_replica() {
    let settings = ["ottla.durability=replicated", "log.flush.interval.messages=1"];
    let set = TestSet::start_without_flusher(2, &settings).await;
    let _connection = set.connect(2, 1);
    let acknowledged = set.produce(1, -1, &[1, 2]);
    set.until_log_end(2, 2).await;
    set.node_of(1).flush().await;
    let followers = || set.partition(1).followers();
    until(async || followers().iter().all(|follower| follower.log_end_offset == Some(Offset(2)))).await;
    assert_eq!(set.partition(1).high_watermark(), Offset(0), "node 2 has flushed nothing");
    assert!(!acknowledged.is_finished());
    set.node_of(2).flush().await;
    assert_eq!(acknowledged.await.expect("no panic"), 0);
    set.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_flush_messages_admitted_and_was_cut_off_admits_nothing_that_takes_its_place() {
    let settings = ["ottla.durability=replicated", "log.flush.interval.messages=3"];
    let mut set = TestSet::start_without_flusher(2, &settings).await;
    assert_eq!(set.produce(1, 1, &[1, 2]).await.expect("no panic"), 0, "two need no flush");
    set.elect(Some(2), &[1, 2]);
    let _connection = set.connect(1, 2);
    let acknowledged = set.produce(2, 1, &[3, 4, 5]);
    set.until_log_end(1, 3).await;
    assert_eq!(set.bytes(1), set.bytes(2), "node 1 has cut its own two records off");
    assert_eq!(set.partition(1).durable_end_offset(), Offset(0));
    assert!(!acknowledged.is_finished());
    set.node_of(2).flush().await;
    assert_eq!(acknowledged.await.expect("no panic"), 0);
    set.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn acks_1_waits_for_no_follower() {
    let set = TestSet::start(3, &[]).await;
    assert_eq!(set.produce(1, 1, &[1]).await.expect("no panic"), 0);
    assert_eq!(set.partition(1).high_watermark(), Offset(0));
    set.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn followers_learn_of_the_high_watermark_without_another_record() {
    let set = TestSet::start(3, &["replica.fetch.wait.max.ms=20"]).await;
    let _connections = [set.connect(2, 1), set.connect(3, 1)];
    assert_eq!(set.produce(1, -1, &[1, 2]).await.expect("no panic"), 0);
    set.until_high_watermark(2, 2).await;
    set.until_high_watermark(3, 2).await;
    set.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cut_connection_is_taken_up_where_the_log_ends() {
    let set = TestSet::start(2, &[]).await;
    let connection = set.connect(2, 1);
    assert_eq!(set.produce(1, -1, &[1, 2]).await.expect("no panic"), 0);
    connection.cut().await;
    let acknowledged = set.produce(1, -1, &[3]);
    let _connection = set.connect(2, 1);
    assert_eq!(acknowledged.await.expect("no panic"), 0);
    assert_eq!(set.bytes(2), set.bytes(1));
    set.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_follower_that_hears_of_a_topic_before_its_leader_asks_again() {
    let mut set = TestSet::start(2, &[]).await;
    let _connection = set.connect(2, 1);
    let election = set.election(Some(1), &[1, 2]);
    set.decide_unseen(&[election]);
    set.show(2);
    set.show(1);
    assert_eq!(set.produce(1, -1, &[1]).await.expect("no panic"), 0);
    set.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_waits_for_replicas_is_told_at_once_that_another_node_leads() {
    let mut set = TestSet::start(3, &[]).await;
    let waiting = set.produce(1, -1, &[1, 2]);
    assert!(!waiting.is_finished());
    set.elect(Some(2), &[2, 3]);
    assert_eq!(waiting.await.expect("no panic"), NOT_LEADER);
    for acks in [-1, 1] {
        assert_eq!(set.produce(1, acks, &[3]).await.expect("no panic"), NOT_LEADER);
    }
    assert_eq!(set.partition(1).log.log_end_offset(), Offset(2), "nothing was appended since");
    set.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn too_few_in_sync_replicas_refuse_acks_all_before_and_after_the_append() {
    let mut set = TestSet::start(3, &[]).await;
    // Long enough that the change comes first, also on a machine that does other things.
    let waiting = set.produce_batch(1, -1, batch(&[1]), 3_000);
    set.set_isr(&[1]);
    let after = ResponseError::NotEnoughReplicasAfterAppend.code();
    assert_eq!(waiting.await.expect("no panic"), after);
    assert_eq!(set.partition(1).high_watermark(), Offset(0), "the promise is not made smaller");
    let before = ResponseError::NotEnoughReplicas.code();
    assert_eq!(set.produce(1, -1, &[2]).await.expect("no panic"), before);
    assert_eq!(set.partition(1).log.log_end_offset(), Offset(1));
    assert_eq!(set.produce(1, 1, &[2]).await.expect("no panic"), 0);
    set.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_follower_out_of_sync_that_has_caught_up_is_proposed_once_it_may_join() {
    let mut set = TestSet::start(3, &[]).await;
    let fenced = registration(set.node_of(3), true);
    set.decide(&[fenced]);
    set.set_isr(&[1, 2]);
    let _connections = [set.connect(2, 1), set.connect(3, 1)];
    assert_eq!(set.produce(1, -1, &[1, 2]).await.expect("no panic"), 0);
    set.until_log_end(3, 2).await;
    let duties = &set.node_of(1).broker.isr_duties;
    assert!(duties.take_proposals(9).is_empty(), "a fenced broker may not join");
    let active = registration(set.node_of(3), false);
    set.decide(&[active]);
    let mut proposed = Vec::new();
    let duties = &set.node_of(1).broker.isr_duties;
    until(async || {
        proposed.extend(duties.take_proposals(9));
        !proposed.is_empty()
    })
    .await;
    let isr: Vec<_> = proposed[0].1.isr.iter().map(|(member, _)| member.0).collect();
    assert_eq!(isr, [1, 2, 3]);
    set.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_topic_that_was_made_again_takes_nothing_from_its_earlier_life() {
    let mut set = TestSet::start(2, &[]).await;
    let connection = set.connect(2, 1);
    assert_eq!(set.produce(1, -1, &[1, 2, 3]).await.expect("no panic"), 0);
    let earlier = set.partition(2);
    let mut records = vec![MetadataRecord::RemoveTopic { topic_id: earlier.log.topic_id() }];
    records.extend(set.topic("orders", uuid::Uuid::from_u128(2)));
    set.decide(&records);
    assert_eq!(set.partition(2).high_watermark(), Offset(0));
    assert_eq!(set.produce(1, -1, &[7]).await.expect("no panic"), 0);
    assert_eq!(set.bytes(2), set.bytes(1));
    assert_eq!(set.partition(2).log.log_end_offset(), Offset(1));
    assert!(earlier.is_closed());
    drop(connection);
    set.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_log_that_went_another_way_is_cut_where_it_left_its_new_leaders() {
    let mut set = TestSet::start(3, &[]).await;
    let connections = [set.connect(2, 1), set.connect(3, 1)];
    assert_eq!(set.produce(1, -1, &[1, 2]).await.expect("no panic"), 0);
    for connection in connections {
        connection.cut().await;
    }
    // Only on node 1, which is not in sync when the next leader is elected.
    let lost = set.produce(1, -1, &[3, 4, 5]);
    set.elect(Some(2), &[2, 3]);
    assert_eq!(lost.await.expect("no panic"), NOT_LEADER);
    let _connections = [set.connect(3, 2), set.connect(1, 2)];
    assert_eq!(set.produce(2, -1, &[6]).await.expect("no panic"), 0);
    set.until_log_end(1, 3).await;
    until(async || set.bytes(1) == set.bytes(2)).await;
    assert_eq!(set.bytes(3), set.bytes(2));
    set.stop().await;
}
