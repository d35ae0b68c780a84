//! What waits for the disk holds up nobody else.

use crate::clock;
use crate::node::testing::TestNode;
use crate::node::testing::replica_set::{TOPIC, TestSet};
use kafka_protocol::messages::IncrementalAlterConfigsRequest;
use kafka_protocol::messages::incremental_alter_configs_request::{AlterConfigsResource, AlterableConfig};
use kafka_protocol::protocol::StrBytes;
use std::sync::mpsc;
use std::time::Duration;
use uuid::Uuid;

const PATIENCE: Duration = Duration::from_secs(60);

/// Waits on a thread of the test's own: the runtime may be what does not move.
fn wait_until(is_so: impl Fn() -> bool) {
    let begun = clock::monotonic();
    while !is_so() {
        assert!(clock::monotonic() < begun + PATIENCE, "it does not come to pass");
        std::thread::yield_now();
    }
}

/// Node 2 cuts the log of one topic and waits for the disk. It is elected for this one and for another one: it leads the
/// other one at once.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_election_does_not_wait_for_the_cut_of_another_log() {
    let mut set = TestSet::start(2, &[]).await;
    let mut records = vec![set.election(Some(2), &[1, 2])];
    let other = set.topic("payments", Uuid::from_u128(2));
    set.decide(&other);
    records.push(set.election_of("payments", Some(2), &[1, 2]));
    set.decide_unseen(&records);
    let (cut, elected) = (set.partition_of(2, TOPIC), set.partition_of(2, "payments"));
    std::thread::scope(|scope| {
        let held = cut.hold_changes();
        scope.spawn(|| set.show(2));
        wait_until(|| elected.leadership().is_some());
        assert!(cut.leadership().is_none());
        drop(held);
    });
    assert!(cut.leadership().is_some());
    set.stop().await;
}

/// The log of a partition is being cut and waits for the disk. A change of its topic waits with it, and nothing else that
/// runs on the one thread of the runtime.
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn the_runtime_goes_on_while_the_metadata_waits_for_a_disk() {
    let node = TestNode::start(&[]).await;
    node.create_topic(TOPIC, 1).await;
    let partition = node.broker.partitions.all().pop().expect("one partition");
    let config = AlterableConfig::default()
        .with_name(StrBytes::from_static_str("min.insync.replicas"))
        .with_value(Some(StrBytes::from_static_str("2")));
    let topic = AlterConfigsResource::default()
        .with_resource_type(2)
        .with_resource_name(StrBytes::from_static_str(TOPIC))
        .with_configs(vec![config]);
    let request = IncrementalAlterConfigsRequest::default().with_resources(vec![topic]);
    let altered = node.begin(44, 1, &request);
    let (sender, receiver) = mpsc::channel();
    let altered = {
        let _held = partition.hold_changes();
        let altered = tokio::spawn(altered);
        // Once the log has it, the leader is told, which waits.
        wait_until(|| partition.log.config().min_insync_replicas == 2);
        tokio::spawn(async move { sender.send(()) });
        receiver.recv_timeout(PATIENCE).expect("another task runs");
        altered
    };
    altered.await.expect("no panic").expect("it can be answered");
    node.stop().await;
}
