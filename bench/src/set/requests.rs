//! The requests that this measurement sends, and what their answers say.

use std::fmt;
use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use bytes::Bytes;
use kafka_protocol::ResponseError;
use kafka_protocol::messages::create_topics_request::CreatableTopic;
use kafka_protocol::messages::describe_quorum_request::{PartitionData, TopicData};
use kafka_protocol::messages::metadata_request::MetadataRequestTopic;
use kafka_protocol::messages::produce_request::{PartitionProduceData, TopicProduceData};
use kafka_protocol::messages::{
    CreateTopicsRequest, DescribeQuorumRequest, ElectLeadersRequest, FindCoordinatorRequest, MetadataRequest,
    ProduceRequest, TopicName,
};
use kafka_protocol::protocol::StrBytes;

use super::product::NODES;
use crate::connection::Connection;

/// How long a node may take for an answer: what clients allow by default (`request.timeout.ms`).
pub(super) const ANSWER_LIMIT: Duration = Duration::from_secs(30);
const ACKS_ALL: i16 = -1;
const GROUP: StrBytes = StrBytes::from_static_str("bench");

/// The cluster as one node sees it.
#[derive(Debug)]
pub(super) struct View {
    /// How many nodes clients are told of.
    pub(super) brokers: usize,
    pub(super) partitions: Vec<PartitionView>,
}

/// A partition as Metadata tells of it.
#[derive(Debug)]
pub(super) struct PartitionView {
    pub(super) topic: String,
    pub(super) number: i32,
    pub(super) leader: Option<u8>,
    /// The first is the preferred leader.
    pub(super) replicas: Vec<u8>,
    pub(super) in_sync: usize,
}

impl View {
    /// What the node says of one topic, or of all.
    pub(super) fn of(connection: &mut Connection, topic: Option<&str>) -> Result<Self> {
        let named =
            topic.map(|topic| vec![MetadataRequestTopic::default().with_name(Some(topic_name(topic)))]);
        let request = MetadataRequest::default().with_topics(named).with_allow_auto_topic_creation(false);
        let response = connection.call(9, &request)?;
        let mut partitions = Vec::new();
        for topic in &response.topics {
            let name = topic.name.as_ref().map(|name| name.0.to_string()).unwrap_or_default();
            for partition in &topic.partitions {
                let replicas = &partition.replica_nodes;
                partitions.push(PartitionView {
                    topic: name.clone(),
                    number: partition.partition_index,
                    leader: node(partition.leader_id.0),
                    replicas: replicas.iter().filter_map(|id| node(id.0)).collect(),
                    in_sync: partition.isr_nodes.len(),
                });
            }
        }
        Ok(Self { brokers: response.brokers.len(), partitions })
    }

    /// The partition that keeps the set from being whole: it has no leader, or a replica that is not in sync.
    pub(super) fn incomplete(&self) -> Option<&PartitionView> {
        self.partitions
            .iter()
            .find(|partition| partition.leader.is_none() || partition.in_sync != partition.replicas.len())
    }
}

/// One of our nodes, where the id names one.
fn node(id: i32) -> Option<u8> {
    NODES.into_iter().find(|known| i32::from(*known) == id)
}

fn topic_name(name: &str) -> TopicName {
    TopicName(StrBytes::from_string(name.to_owned()))
}

/// Makes a topic with a replica on each node. `false`: not now; the set is not ready.
pub(super) fn create_topic(connection: &mut Connection, name: &str, partitions: i32) -> Result<bool> {
    let topic = CreatableTopic::default()
        .with_name(topic_name(name))
        .with_num_partitions(partitions)
        .with_replication_factor(i16::try_from(NODES.len())?);
    let request = CreateTopicsRequest::default()
        .with_topics(vec![topic])
        .with_timeout_ms(i32::try_from(ANSWER_LIMIT.as_millis())?);
    let response = connection.call(5, &request)?;
    let outcome = response.topics.first().context("the answer names no topic")?;
    match ResponseError::try_from_code(outcome.error_code) {
        None | Some(ResponseError::TopicAlreadyExists) => Ok(true),
        // Fewer nodes than replicas have come so far.
        Some(ResponseError::InvalidReplicationFactor) => Ok(false),
        Some(error) if error.is_retriable() => Ok(false),
        Some(error) => bail!("CreateTopics of {name}: {error}"),
    }
}

/// Has the preferred replica of every partition lead it.
pub(super) fn elect_preferred_leaders(connection: &mut Connection) -> Result<()> {
    let request = ElectLeadersRequest::default()
        .with_election_type(0)
        .with_topic_partitions(None)
        .with_timeout_ms(i32::try_from(ANSWER_LIMIT.as_millis())?);
    let response = connection.call(2, &request)?;
    match ResponseError::try_from_code(response.error_code) {
        None => Ok(()),
        Some(error) => bail!("ElectLeaders: {error}"),
    }
}

/// The node that leads the metadata quorum.
pub(super) fn controller(connection: &mut Connection) -> Result<u8> {
    let partition = PartitionData::default().with_partition_index(0);
    let topic = TopicData::default()
        .with_topic_name(topic_name("__cluster_metadata"))
        .with_partitions(vec![partition]);
    let response = connection.call(1, &DescribeQuorumRequest::default().with_topics(vec![topic]))?;
    let partition = response.topics.first().and_then(|topic| topic.partitions.first());
    let leader = partition.with_context(|| format!("DescribeQuorum answered {}", response.error_code))?;
    node(leader.leader_id.0).context("the quorum has no leader")
}

/// The node that coordinates a group.
pub(super) fn coordinator(connection: &mut Connection) -> Result<u8> {
    let request = FindCoordinatorRequest::default().with_coordinator_keys(vec![GROUP]);
    let response = connection.call(4, &request)?;
    let found = response.coordinators.first().context("the answer names no coordinator")?;
    match ResponseError::try_from_code(found.error_code) {
        None => node(found.node_id.0).context("the coordinator is no node of the set"),
        Some(error) => bail!("FindCoordinator: {error}"),
    }
}

impl fmt::Display for PartitionView {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { topic, number, leader, replicas, in_sync } = self;
        write!(
            formatter,
            "{topic}-{number}: leader {leader:?}, replicas {replicas:?}, {in_sync} of them in sync"
        )
    }
}

/// Why a node did not acknowledge.
pub(super) enum Refusal {
    /// Another node may, or this one later.
    NotNow,
    /// Nobody ever will.
    Never(anyhow::Error),
}

/// Has the leader of `partitions` append `batch` to each, and waits until each is acknowledged.
pub(super) fn produce(
    connection: &mut Connection,
    topic: &str,
    partitions: &[i32],
    batch: &Bytes,
) -> Result<(), Refusal> {
    let data = partitions
        .iter()
        .map(|&number| PartitionProduceData::default().with_index(number).with_records(Some(batch.clone())))
        .collect();
    let topic = TopicProduceData::default().with_name(topic_name(topic)).with_partition_data(data);
    let request = ProduceRequest::default()
        .with_acks(ACKS_ALL)
        .with_timeout_ms(i32::try_from(ANSWER_LIMIT.as_millis()).unwrap_or(i32::MAX))
        .with_topic_data(vec![topic]);
    // A connection that breaks, or on which no answer comes, is how a node that was killed looks.
    let response = connection.call(9, &request).map_err(|_| Refusal::NotNow)?;
    let mut answers = response.responses.iter().flat_map(|topic| &topic.partition_responses);
    match answers.find_map(|answer| ResponseError::try_from_code(answer.error_code)) {
        None => Ok(()),
        Some(error) if error.is_retriable() => Err(Refusal::NotNow),
        Some(error) => Err(Refusal::Never(anyhow::anyhow!("Produce: {error}"))),
    }
}

/// A connection to a node that may be cut off.
pub(super) fn connect(address: SocketAddr) -> Result<Connection> {
    Connection::open_within(address, ANSWER_LIMIT)
}
