//! How much a follower is sent at once, and how fast: what does not fit an answer, and what is throttled.

use crate::node::testing::append;
use crate::node::testing::replica_set::{TOPIC, TestSet, until};
use replication::metadata::record::{ConfigResource, MetadataRecord};
use storage::ids::{BrokerId, Offset};
use uuid::Uuid;

fn set_config(resource: ConfigResource, key: &str, value: Option<&str>) -> MetadataRecord {
    MetadataRecord::Config { resource, key: key.to_owned(), value: value.map(str::to_owned) }
}

/// Has all replicas of the topic throttled on `side`, to `rate` bytes a second on node `id`.
fn throttle(side: &str, id: i32, rate: Option<&str>) -> [MetadataRecord; 2] {
    let topic = ConfigResource::Topic(TOPIC.to_owned());
    let replicas = rate.map(|_| "*");
    [
        set_config(topic, &format!("{side}.replication.throttled.replicas"), replicas),
        set_config(ConfigResource::Broker(BrokerId(id)), &format!("{side}.replication.throttled.rate"), rate),
    ]
}

/// Appends `count` batches, each of some eighty bytes.
fn append_batches(set: &TestSet, topic: &str, count: usize) {
    let leader = set.partition_of(1, topic);
    (0..count).for_each(|_| append(&leader, &[1]));
}

/// 1. One topic has several batches, another one has one; an answer has room for one batch and a bit. 2. The follower gets
/// all of both although nothing is appended any more.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_batch_that_does_not_fit_an_answer_comes_with_the_next() {
    let mut set = TestSet::start(2, &["replica.fetch.response.max.bytes=100"]).await;
    let other = set.topic("payments", Uuid::from_u128(2));
    set.decide(&other);
    append_batches(&set, TOPIC, 5);
    append_batches(&set, "payments", 5);
    let _connection = set.connect(2, 1);
    for topic in [TOPIC, "payments"] {
        let partition = set.partition_of(2, topic);
        until(async || partition.log.log_end_offset() == Offset(5)).await;
    }
    set.stop().await;
}

/// The follower out of sync may copy a byte a second: it gets its first batch, and then nothing for long, while another
/// topic's records go on over the same connection. Without the throttle it gets the rest.
async fn a_throttle_holds_back_until_it_is_gone(side: &str, throttled_node: i32) {
    // Each batch in an answer of its own.
    let mut set = TestSet::start(2, &["replica.fetch.max.bytes=1"]).await;
    let other = set.topic("payments", Uuid::from_u128(2));
    set.decide(&other);
    let alone = set_config(ConfigResource::Topic(TOPIC.to_owned()), "min.insync.replicas", Some("1"));
    set.decide(&[alone]);
    set.elect(Some(1), &[1]);
    append_batches(&set, TOPIC, 3);
    set.until_high_watermark(1, 3).await;
    set.decide(&throttle(side, throttled_node, Some("1")));
    let _connection = set.connect(2, 1);
    set.until_log_end(2, 1).await;
    let other = set.partition_of(2, "payments");
    for count in 1..=20 {
        append_batches(&set, "payments", 1);
        append_batches(&set, TOPIC, 1);
        until(async || other.log.log_end_offset() == Offset(count)).await;
    }
    assert_eq!(set.partition(2).log.log_end_offset(), Offset(1), "held back");
    set.decide(&throttle(side, throttled_node, None));
    set.until_log_end(2, 23).await;
    set.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_throttled_leader_holds_back_who_has_to_catch_up() {
    a_throttle_holds_back_until_it_is_gone("leader", 1).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_throttled_follower_that_has_to_catch_up_holds_itself_back() {
    a_throttle_holds_back_until_it_is_gone("follower", 2).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_in_sync_is_throttled_on_neither_side() {
    let mut set = TestSet::start(2, &[]).await;
    set.decide(&throttle("leader", 1, Some("1")));
    set.decide(&throttle("follower", 2, Some("1")));
    let _connection = set.connect(2, 1);
    for timestamp in 1..=20 {
        assert_eq!(set.produce(1, -1, &[timestamp]).await.expect("no panic"), 0);
    }
    set.stop().await;
}
