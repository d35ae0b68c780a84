//! A whole set in one process: real quorums, peers on loopback, fetchers and sessions; nodes that crash and return.

use super::replica_set::{TOPIC, bytes_of, produce_to, until};
use super::{Remains, TestNode};
use crate::partition::Partition;
use crate::peer::testing::free_address;
use bytes::Bytes;
use futures_util::future::join_all;
use replication::metadata::image::PartitionImage;
use std::collections::BTreeMap;
use std::sync::Arc;
use storage::batch_builder::{BatchBuilder, BatchSpec};
use storage::ids::{BrokerId, PartitionIndex, ProducerEpoch, ProducerId, Sequence, TimestampMs};
use tempfile::TempDir;

/// A batch with the record of this number of an idempotent producer.
fn numbered(number: i32) -> Bytes {
    let mut builder = BatchBuilder::new(BatchSpec {
        producer_id: ProducerId(7),
        producer_epoch: ProducerEpoch(0),
        base_sequence: Sequence(number),
        ..BatchSpec::default()
    });
    builder.push(TimestampMs(number.into()), None, Some(b"value"), &[]);
    builder.build().expect("a small batch").into()
}

/// Nodes 1, 2 and 3.
pub(crate) struct RunningSet {
    pub(crate) nodes: BTreeMap<i32, TestNode>,
    down: BTreeMap<i32, Remains>,
}

impl RunningSet {
    /// Three nodes that have found each other.
    pub(crate) async fn start() -> Self {
        let filter = tracing_subscriber::EnvFilter::from_env("OTTLA_LOG");
        // Another test of this process may have set it up already.
        let _is_first =
            tracing_subscriber::fmt().with_env_filter(filter).with_test_writer().try_init().is_ok();
        let named = (1..=3).map(|id| format!("{id}@{}", free_address()));
        let named = format!("ottla.replica.set={}", named.collect::<Vec<_>>().join(","));
        let remains = (1..=3).map(|id| {
            let set = vec![format!("node.id={id}"), named.clone()];
            Remains { set, directory: TempDir::new().expect("a temporary directory") }
        });
        let started = join_all(remains.map(TestNode::start_again)).await;
        let set = Self { nodes: (1..).zip(started).collect(), down: BTreeMap::new() };
        set.until_all_are_used().await;
        set
    }

    async fn until_all_are_used(&self) {
        for node in self.nodes.values() {
            let is_used = || {
                let image = node.broker.image();
                image.brokers().len() == 3 && image.brokers().values().all(|broker| broker.is_active())
            };
            until(async || is_used()).await;
        }
        // Before all three vote, the loss of one of two voters stops the quorum.
        let first = self.nodes.values().next().expect("they run");
        until(async || {
            let status = first.broker.quorum.status().await;
            status.is_some_and(|status| status.voters.len() == 3 && !status.is_changing)
        })
        .await;
    }

    /// Kills a node. The others find out by themselves.
    pub(crate) async fn crash(&mut self, id: i32) {
        let node = self.nodes.remove(&id).expect("it runs");
        self.down.insert(id, node.crash().await);
    }

    /// Starts a node that was killed.
    pub(crate) async fn start_again(&mut self, id: i32) {
        let remains = self.down.remove(&id).expect("it was killed");
        self.nodes.insert(id, TestNode::start_again(remains).await);
    }

    /// The first partition of `topic` as node `id` sees it.
    fn state(&self, id: i32, topic: &str) -> Option<PartitionImage> {
        self.nodes.get(&id)?.broker.image().partition(topic, PartitionIndex(0)).cloned()
    }

    /// Waits until every node that runs says that the same one of them leads the first partition of `topic`.
    pub(crate) async fn leader(&self, topic: &str) -> i32 {
        let mut leader = 0;
        until(async || {
            let seen = self.nodes.keys().map(|id| self.state(*id, topic).and_then(|state| state.leader));
            let seen: Vec<_> = seen.collect();
            leader = seen.first().copied().flatten().map_or(0, |id| id.0);
            self.nodes.contains_key(&leader) && seen.iter().all(|id| *id == Some(BrokerId(leader)))
        })
        .await;
        leader
    }

    /// Waits until all three nodes are in sync.
    pub(crate) async fn until_all_in_sync(&self) {
        let has_all = |id: &i32| self.state(*id, TOPIC).is_some_and(|state| state.isr.len() == 3);
        until(async || self.nodes.keys().all(has_all)).await;
    }

    /// Produces a record, wherever the partition is led, until it is acknowledged. It is the producer's next one, so that it
    /// is there once however often it was sent.
    pub(crate) async fn produce(&self, number: i32) {
        until(async || {
            let leader = self.leader(TOPIC).await;
            let node = self.nodes.get(&leader).expect("it runs");
            produce_to(node, -1, numbered(number), 5_000).await.expect("no panic") == 0
        })
        .await;
    }

    /// The first partition of the topic on node `id`.
    pub(crate) fn partition(&self, id: i32) -> Arc<Partition> {
        let broker = &self.nodes.get(&id).expect("it runs").broker;
        let topic_id = broker.topic_id_of(TOPIC).expect("it is there");
        broker.partitions.find(topic_id, PartitionIndex(0)).expect("each node has a replica")
    }

    /// Waits until all logs hold the same bytes.
    pub(crate) async fn until_all_are_equal(&self) {
        let bytes = |id: &i32| bytes_of(&self.partition(*id).log);
        until(async || {
            let all: Vec<_> = self.nodes.keys().map(bytes).collect();
            all.windows(2).all(|pair| pair[0] == pair[1])
        })
        .await;
    }

    pub(crate) async fn stop(self) {
        join_all(self.nodes.into_values().map(TestNode::stop)).await;
    }
}
