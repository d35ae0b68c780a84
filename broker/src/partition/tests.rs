//! Who is woken, and when.

use super::{Milestone, Partition};
use crate::node::testing::{self, TestNode};
use futures_util::FutureExt;
use std::collections::BTreeSet;
use std::sync::Arc;
use storage::ids::{Offset, PartitionIndex};
use tokio::sync::Notify;

async fn node_with_partition() -> (TestNode, Arc<Partition>) {
    let node = TestNode::start(&["ottla.durability=replicated"]).await;
    node.create_topic("orders", 1).await;
    let partition = node.broker.partitions.all().pop().expect("one partition");
    (node, partition)
}

/// Appends two records.
fn append(partition: &Partition) {
    testing::append(partition, &[1, 1]);
}

fn is_woken(wake: &Notify) -> bool {
    wake.notified().now_or_never().is_some()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_waiter_is_woken_once_its_offset_is_reached_and_no_earlier() {
    let (_node, partition) = node_with_partition().await;
    let [near, far] = [2, 3].map(|until| (Offset(until), Arc::new(Notify::new())));
    let _registrations =
        [&near, &far].map(|(until, wake)| partition.register(Milestone::HighWatermark, *until, wake));
    assert!(!is_woken(&near.1));
    append(&partition);
    assert!(is_woken(&near.1));
    assert!(!is_woken(&far.1));
    append(&partition);
    assert!(!is_woken(&near.1), "once");
    assert!(is_woken(&far.1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wake_up_before_the_wait_is_kept() {
    let (_node, partition) = node_with_partition().await;
    let wake = Arc::new(Notify::new());
    let _registration = partition.register(Milestone::HighWatermark, Offset(1), &wake);
    append(&partition);
    wake.notified().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_registration_that_is_dropped_leaves_nothing_behind() {
    let (_node, partition) = node_with_partition().await;
    let wake = Arc::new(Notify::new());
    let registrations: Vec<_> =
        (0..3).map(|_| partition.register(Milestone::HighWatermark, Offset(9), &wake)).collect();
    assert_eq!(partition.waiting(), 3);
    drop(registrations);
    assert_eq!(partition.waiting(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_waits_for_a_removed_partition_is_woken_and_finds_it_gone() {
    let (node, partition) = node_with_partition().await;
    let topic_id = partition.log.topic_id();
    let wake = Arc::new(Notify::new());
    let _registration = partition.register(Milestone::HighWatermark, Offset(9), &wake);
    let gone = node.broker.partitions.remove(&BTreeSet::from([(topic_id, PartitionIndex(0))]));
    assert!(!is_woken(&wake), "it would not learn yet why");
    gone.iter().for_each(|partition| partition.close());
    assert!(is_woken(&wake));
    assert!(partition.is_closed());
    assert!(node.broker.partitions.find(topic_id, PartitionIndex(0)).is_none());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_earlier_leader_epoch_changes_nothing() {
    let (node, partition) = node_with_partition().await;
    let epoch = partition.leader_epoch();
    node.lead(&partition, epoch.0 - 1);
    assert_eq!(partition.leader_epoch(), epoch);
    node.lead(&partition, epoch.0 + 1);
    assert_eq!(partition.leader_epoch().0, epoch.0 + 1);
    assert_eq!(partition.log.latest_epoch(), Some(partition.leader_epoch()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_appended_waits_for_the_flush_whatever_it_waits_for() {
    let node = TestNode::start_without_flusher(&[]).await;
    node.create_topic("orders", 1).await;
    let partition = node.broker.partitions.all().pop().expect("one partition");
    let milestones = [Milestone::HighWatermark, Milestone::DurableEnd];
    let wakes = milestones.map(|_| Arc::new(Notify::new()));
    let _registrations: Vec<_> = std::iter::zip(milestones, &wakes)
        .map(|(milestone, wake)| partition.register(milestone, Offset(2), wake))
        .collect();
    append(&partition);
    assert!(!wakes.iter().any(|wake| is_woken(wake)));
    node.flush().await;
    assert!(wakes.iter().all(|wake| is_woken(wake)));
    assert_eq!((partition.high_watermark(), partition.durable_end_offset()), (Offset(2), Offset(2)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_later_epoch_of_the_same_leader_interrupts_nothing() {
    let (node, partition) = node_with_partition().await;
    let leadership = partition.leadership().expect("it leads");
    node.lead(&partition, leadership.epoch.0 + 1);
    assert!(partition.still_leads(&leadership));
    assert_eq!(partition.leadership().map(|now| now.epoch.0), Some(leadership.epoch.0 + 1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_page_cache_counts_until_the_unflushed_records_are_as_many_as_flush_messages() {
    let settings = ["ottla.durability=replicated", "log.flush.interval.messages=3"];
    let node = TestNode::start_without_flusher(&settings).await;
    node.create_topic("orders", 1).await;
    let partition = node.broker.partitions.all().pop().expect("one partition");
    let ends = || (partition.high_watermark(), partition.durable_end_offset());
    append(&partition);
    assert_eq!(ends(), (Offset(2), Offset(2)), "two of three");
    let wake = Arc::new(Notify::new());
    let _registration = partition.register(Milestone::HighWatermark, Offset(4), &wake);
    append(&partition);
    assert_eq!(ends(), (Offset(2), Offset(2)), "what counted goes on counting, and four wait for the disk");
    assert!(!is_woken(&wake));
    node.flush().await;
    assert!(is_woken(&wake));
    assert_eq!(ends(), (Offset(4), Offset(4)));
    append(&partition);
    assert_eq!(ends(), (Offset(6), Offset(6)));
}
