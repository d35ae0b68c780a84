//! How much a follower is sent at once.

use crate::node::testing::append;
use crate::node::testing::replica_set::{TOPIC, TestSet, until};
use storage::ids::Offset;
use uuid::Uuid;

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
