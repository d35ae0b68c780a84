//! Nodes that copy from each other in one process: real logs, fetchers and sessions, connected by pipes, with metadata that
//! a test writes itself.

use super::{TestNode, batch, topic_name};
use crate::metadata_follower;
use crate::partition::{NodeLog, Partition};
use crate::{replica_fetcher, replica_server};
use bytes::Bytes;
use kafka_protocol::messages::produce_request::{PartitionProduceData, TopicProduceData};
use kafka_protocol::messages::{ProduceRequest, ProduceResponse};
use replication::metadata::image::MetadataImage;
use replication::metadata::record::{
    BrokerRegistration, ConfigResource, LeaderChange, MetadataRecord, PartitionChange, PartitionRecord,
};
use std::sync::Arc;
use std::time::Duration;
use storage::ids::{BrokerId, LeaderEpoch, Offset, PartitionEpoch, PartitionIndex, TopicId};
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};
use uuid::Uuid;

/// How long something may take that has to come to pass.
const PATIENCE: Duration = Duration::from_secs(60);

/// What is looked at again and again leaves the machine to those that bring it about.
const LOOK_AGAIN: Duration = Duration::from_millis(1);

/// The topic that each set begins with: one partition, on all nodes, led by node 1, with `min.insync.replicas=2`.
pub(crate) const TOPIC: &str = "orders";

/// Nodes 1, 2, … of one set.
pub(crate) struct TestSet {
    pub(crate) nodes: Vec<TestNode>,
    image: Arc<MetadataImage>,
}

/// The two ends of a connection from a follower to its leader. Dropping it cuts it some time soon.
pub(crate) struct Connection(JoinHandle<()>);

impl Connection {
    /// Cuts it, and returns once nothing moves over it any more: its ends may be at work on another thread just now.
    pub(crate) async fn cut(mut self) {
        self.0.abort();
        if let Err(ended) = (&mut self.0).await {
            assert!(ended.is_cancelled(), "{ended}");
        }
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl TestSet {
    /// A set of `count` nodes that all follow the metadata, and are not connected.
    pub(crate) async fn start(count: i32, set: &[&str]) -> Self {
        let mut nodes = Vec::new();
        for id in 1..=count {
            nodes.push(Self::node(id, set, TestNode::start).await);
        }
        Self::of(nodes)
    }

    /// The same, and nothing is flushed but by [`TestNode::flush`].
    pub(crate) async fn start_without_flusher(count: i32, set: &[&str]) -> Self {
        let mut nodes = Vec::new();
        for id in 1..=count {
            nodes.push(Self::node(id, set, TestNode::start_without_flusher).await);
        }
        Self::of(nodes)
    }

    async fn node(id: i32, set: &[&str], start: impl AsyncFn(&[&str]) -> TestNode) -> TestNode {
        let id = format!("node.id={id}");
        let set: Vec<&str> = set.iter().copied().chain([id.as_str()]).collect();
        let mut node = start(&set).await;
        node.stop_following().await;
        node
    }

    fn of(nodes: Vec<TestNode>) -> Self {
        let mut set = Self { nodes, image: Arc::default() };
        let mut records: Vec<_> = set.nodes.iter().map(|node| registration(node, false)).collect();
        records.push(MetadataRecord::Config {
            resource: ConfigResource::Topic(TOPIC.to_owned()),
            key: "min.insync.replicas".to_owned(),
            value: Some("2".to_owned()),
        });
        records.extend(set.topic(TOPIC, Uuid::from_u128(1)));
        set.decide(&records);
        set
    }

    /// The records that make a topic of one partition on all nodes, led by node 1.
    pub(crate) fn topic(&self, name: &str, id: Uuid) -> [MetadataRecord; 2] {
        let replicas: Vec<_> = self.nodes.iter().map(|node| node.broker.node_id()).collect();
        let partition = PartitionRecord {
            topic_id: TopicId(id),
            partition: PartitionIndex(0),
            isr: replicas.clone(),
            leader: replicas.first().copied(),
            replicas,
            leader_epoch: LeaderEpoch(0),
            partition_epoch: PartitionEpoch(0),
            eligible_leader_replicas: Vec::new(),
            last_known_eligible_leader_replicas: Vec::new(),
            adding_replicas: Vec::new(),
            removing_replicas: Vec::new(),
        };
        let topic = MetadataRecord::Topic {
            name: name.to_owned(),
            topic_id: TopicId(id),
            has_default_replication_factor: false,
        };
        [topic, MetadataRecord::Partition(partition)]
    }

    /// Agrees on `records`, and lets all nodes follow.
    pub(crate) fn decide(&mut self, records: &[MetadataRecord]) {
        self.decide_unseen(records);
        for id in 1..=self.nodes.len() {
            self.show(id);
        }
    }

    /// Agrees on `records`, of which no node hears yet.
    pub(crate) fn decide_unseen(&mut self, records: &[MetadataRecord]) {
        self.image = Arc::new(self.image.apply(self.image.offset() + 1, records));
    }

    /// Lets node `id` follow what was agreed on.
    pub(crate) fn show(&self, id: usize) {
        metadata_follower::follow(&self.node_of(id).broker, Arc::clone(&self.image));
    }

    /// Has another node lead the partition, with these in sync.
    pub(crate) fn elect(&mut self, leader: Option<i32>, isr: &[i32]) {
        let change = self.election(leader, isr);
        self.decide(&[change]);
    }

    pub(crate) fn election(&self, leader: Option<i32>, isr: &[i32]) -> MetadataRecord {
        self.election_of(TOPIC, leader, isr)
    }

    pub(crate) fn election_of(&self, topic: &str, leader: Option<i32>, isr: &[i32]) -> MetadataRecord {
        let leader = leader.map_or(LeaderChange::NoLeader, |leader| LeaderChange::Elected(BrokerId(leader)));
        let isr = Some(brokers(isr));
        MetadataRecord::PartitionChange(PartitionChange { leader, isr, ..self.change_of(topic) })
    }

    /// Changes who is in sync.
    pub(crate) fn set_isr(&mut self, isr: &[i32]) {
        let change = PartitionChange { isr: Some(brokers(isr)), ..self.change_of(TOPIC) };
        self.decide(&[MetadataRecord::PartitionChange(change)]);
    }

    fn change_of(&self, topic: &str) -> PartitionChange {
        let topic = self.image.topic_by_name(topic).expect("the topic is there");
        PartitionChange::of(topic.id, PartitionIndex(0))
    }

    pub(crate) fn node_of(&self, id: usize) -> &TestNode {
        self.nodes.get(id - 1).expect("there is such a node")
    }

    /// The partition on node `id`.
    pub(crate) fn partition(&self, id: usize) -> Arc<Partition> {
        self.partition_of(id, TOPIC)
    }

    /// The partition of `topic` on node `id`.
    pub(crate) fn partition_of(&self, id: usize, topic: &str) -> Arc<Partition> {
        let topic = self.image.topic_by_name(topic).expect("the topic is there");
        let found = self.node_of(id).broker.partitions.find(topic.id, PartitionIndex(0));
        found.expect("every node holds it")
    }

    /// Connects a follower to its leader, again and again until that is cut: nodes give up a connection that is silent for
    /// long, as it may be on a busy machine, and make another one.
    pub(crate) fn connect(&self, follower: usize, leader: usize) -> Connection {
        let [follower, leader] = [follower, leader].map(|id| Arc::clone(&self.node_of(id).broker));
        Connection(tokio::spawn(async move {
            loop {
                let (near, far) = tokio::io::duplex(64 * 1024);
                tokio::select! {
                    () = replica_server::serve_over(Arc::clone(&leader), follower.node_id(), far) => {}
                    () = replica_fetcher::follow_over(Arc::clone(&follower), leader.node_id(), near) => {}
                }
                eprintln!("the connection of node {} to node {} ended", follower.node_id(), leader.node_id());
                sleep(LOOK_AGAIN).await;
            }
        }))
    }

    /// Begins to produce `timestamps.len()` records at node `id`.
    pub(crate) fn produce(&self, id: usize, acks: i16, timestamps: &[i64]) -> JoinHandle<i16> {
        self.produce_batch(id, acks, batch(timestamps), 30_000)
    }

    /// The same with a batch and a timeout.
    pub(crate) fn produce_batch(
        &self,
        id: usize,
        acks: i16,
        records: Bytes,
        timeout_ms: i32,
    ) -> JoinHandle<i16> {
        produce_to(self.node_of(id), acks, records, timeout_ms)
    }

    /// Waits until the log of node `id` ends at `end`.
    pub(crate) async fn until_log_end(&self, id: usize, end: i64) {
        let partition = self.partition(id);
        until(async || partition.log.log_end_offset() == Offset(end)).await;
    }

    /// Waits until the high watermark of node `id` is `end`.
    pub(crate) async fn until_high_watermark(&self, id: usize, end: i64) {
        let partition = self.partition(id);
        until(async || partition.high_watermark() == Offset(end)).await;
    }

    /// Every byte of the log of node `id`.
    pub(crate) fn bytes(&self, id: usize) -> Vec<u8> {
        bytes_of(&self.partition(id).log)
    }

    pub(crate) async fn stop(self) {
        for node in self.nodes {
            node.stop().await;
        }
    }
}

/// Begins to produce to the first partition of the topic. Gives the error code of the answer.
pub(crate) fn produce_to(node: &TestNode, acks: i16, records: Bytes, timeout_ms: i32) -> JoinHandle<i16> {
    let data = PartitionProduceData::default().with_index(0).with_records(Some(records));
    let topic = TopicProduceData::default().with_name(topic_name(TOPIC)).with_partition_data(vec![data]);
    let request =
        ProduceRequest::default().with_acks(acks).with_timeout_ms(timeout_ms).with_topic_data(vec![topic]);
    let pending = node.begin(0, 9, &request);
    tokio::spawn(async move {
        let outcome = pending.await.expect("it can be answered");
        let answer: ProduceResponse = super::response(outcome, 9);
        answer.responses[0].partition_responses[0].error_code
    })
}

/// Every byte of a log.
pub(crate) fn bytes_of(log: &NodeLog) -> Vec<u8> {
    let (mut from, mut bytes) = (log.log_start_offset(), Vec::new());
    while from < log.log_end_offset() {
        let read = log.read(from, log.log_end_offset(), usize::MAX, true).expect("it can be read");
        let mut rest = read.records;
        while !rest.is_empty() {
            let header = storage::batch::check(&rest).expect("a valid batch");
            bytes.extend_from_slice(&rest.split_to(header.size_in_bytes()));
            from = header.next_offset();
        }
    }
    bytes
}

/// How a node is registered.
pub(crate) fn registration(node: &TestNode, is_fenced: bool) -> MetadataRecord {
    MetadataRecord::RegisterBroker(BrokerRegistration {
        broker_id: node.broker.node_id(),
        broker_epoch: node.broker.quorum.broker_epoch(),
        incarnation: Uuid::nil(),
        endpoints: Vec::new(),
        rack: None,
        directory_id: Uuid::nil(),
        is_fenced,
        is_shutting_down: false,
    })
}

fn brokers(ids: &[i32]) -> Vec<BrokerId> {
    ids.iter().copied().map(BrokerId).collect()
}

/// Waits until `is_so`, which has to come to pass.
pub(crate) async fn until(mut is_so: impl AsyncFnMut() -> bool) {
    let wait = async {
        while !is_so().await {
            sleep(LOOK_AGAIN).await;
        }
    };
    timeout(PATIENCE, wait).await.expect("it comes to pass");
}
