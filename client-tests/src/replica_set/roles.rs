//! Who does what in a set, as its nodes say: who leads a partition, controls the cluster, coordinates a group.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::describe_quorum_request::{PartitionData, TopicData};
use kafka_protocol::messages::{
    DescribeClusterRequest, DescribeQuorumRequest, FindCoordinatorRequest, MetadataRequest,
};
use kafka_protocol::protocol::StrBytes;

use super::ReplicaSet;
use crate::history::content::Place;
use crate::wait::wait_until;
use crate::wire::{self, Connection, topic_name};

/// The error code of CreateTopics for a topic that is there.
pub const TOPIC_ALREADY_EXISTS: i16 = 36;
/// The longest that a node which works may take for an answer on a busy machine.
const LIMIT: Duration = Duration::from_secs(5);
/// The longest that an election may take there.
const ELECTION_LIMIT: Duration = Duration::from_secs(60);

/// A partition as Metadata tells of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PartitionView {
    /// Its leader, if there is one.
    pub leader: Option<i32>,
    /// The leader's epoch.
    pub leader_epoch: i32,
    /// Who holds it.
    pub replicas: Vec<i32>,
    /// Who is in sync.
    pub isr: BTreeSet<i32>,
}

/// The cluster as one node sees it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Cluster {
    /// The cluster's id.
    pub id: Option<String>,
    /// The brokers that clients are told of.
    pub brokers: BTreeSet<i32>,
    /// Where they serve clients.
    pub addresses: BTreeMap<i32, String>,
    /// Every partition.
    pub partitions: BTreeMap<Place, PartitionView>,
}

impl Cluster {
    /// The partitions of one topic.
    #[must_use]
    pub fn partitions(&self, topic: &str) -> Vec<(&Place, &PartitionView)> {
        self.partitions.iter().filter(|(place, _)| &*place.topic == topic).collect()
    }

    /// What keeps the cluster from being whole: a partition without leader, or with a replica that is not in sync.
    #[must_use]
    pub fn is_missing(&self) -> Option<String> {
        let incomplete = self.partitions.iter().find(|(_, partition)| {
            partition.leader.is_none() || partition.isr.len() != partition.replicas.len()
        });
        incomplete.map(|(place, partition)| format!("{place} is {partition:?}"))
    }
}

/// What Metadata answers about all topics.
///
/// # Errors
/// When no answer comes.
pub fn cluster(address: &str) -> Result<Cluster> {
    let mut connection = Connection::open_within(address, LIMIT)?;
    view(&mut connection, None)
}

/// The brokers that are in use, as the node at `address` knows of it. Metadata would name that node in any case.
///
/// # Errors
/// When no answer comes.
pub fn brokers_in_use(address: &str) -> Result<BTreeSet<i32>> {
    let mut connection = Connection::open_within(address, LIMIT)?;
    let response = connection.call(0, &DescribeClusterRequest::default())?;
    Ok(response.brokers.iter().map(|broker| broker.broker_id.0).collect())
}

/// What Metadata answers about one topic, or all.
///
/// # Errors
/// When no answer comes.
pub fn view(connection: &mut Connection, topic: Option<&str>) -> Result<Cluster> {
    use kafka_protocol::messages::metadata_request::MetadataRequestTopic;
    let named = topic.map(|topic| vec![MetadataRequestTopic::default().with_name(Some(topic_name(topic)))]);
    let request = MetadataRequest::default().with_topics(named).with_allow_auto_topic_creation(false);
    let response = connection.call(9, &request)?;
    let mut cluster = Cluster { id: response.cluster_id.map(|id| id.to_string()), ..Cluster::default() };
    for broker in response.brokers {
        cluster.brokers.insert(broker.node_id.0);
        cluster.addresses.insert(broker.node_id.0, format!("{}:{}", broker.host, broker.port));
    }
    for topic in response.topics {
        let name: Arc<str> = topic.name.as_ref().map_or_else(|| "".into(), |name| name.to_string().into());
        for partition in topic.partitions {
            let view = PartitionView {
                leader: (partition.leader_id.0 >= 0).then_some(partition.leader_id.0),
                leader_epoch: partition.leader_epoch,
                replicas: partition.replica_nodes.iter().map(|id| id.0).collect(),
                isr: partition.isr_nodes.iter().map(|id| id.0).collect(),
            };
            cluster.partitions.insert(Place::new(&name, partition.partition_index), view);
        }
    }
    Ok(cluster)
}

/// The metadata quorum.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Quorum {
    /// The node that controls the cluster: the quorum's leader.
    pub leader: i32,
    /// Who decides.
    pub voters: BTreeSet<i32>,
}

/// What DescribeQuorum answers.
///
/// # Errors
/// When no answer comes, or there is no leader.
pub fn quorum(address: &str) -> Result<Quorum> {
    let mut connection = Connection::open_within(address, LIMIT)?;
    let partition = PartitionData::default().with_partition_index(0);
    let topic = TopicData::default()
        .with_topic_name(topic_name("__cluster_metadata"))
        .with_partitions(vec![partition]);
    let response = connection.call(1, &DescribeQuorumRequest::default().with_topics(vec![topic]))?;
    ensure!(response.error_code == 0, "DescribeQuorum answered {}", response.error_code);
    let partition = response.topics.first().and_then(|topic| topic.partitions.first());
    let partition = partition.context("the answer names no partition")?;
    let leader = partition.leader_id.0;
    ensure!(leader >= 0, "the quorum has no leader");
    let voters = partition.current_voters.iter().map(|voter| voter.replica_id.0).collect();
    Ok(Quorum { leader, voters })
}

/// The node that coordinates a group.
///
/// # Errors
/// When no answer comes, or there is none.
pub fn coordinator(address: &str, group: &str) -> Result<i32> {
    let mut connection = Connection::open_within(address, LIMIT)?;
    let key = StrBytes::from_string(group.to_owned());
    let request = FindCoordinatorRequest::default().with_key_type(0).with_coordinator_keys(vec![key]);
    let response = connection.call(4, &request)?;
    let found = response.coordinators.first().context("the answer names no coordinator")?;
    let error = ResponseError::try_from_code(found.error_code);
    ensure!(error.is_none(), "FindCoordinator answered {error:?}");
    Ok(found.node_id.0)
}

/// Creates a topic with the default number of replicas and returns the error code.
///
/// # Errors
/// When no answer comes.
pub fn create_topic(address: &str, topic: &str, partitions: i32, settings: &[(&str, &str)]) -> Result<i16> {
    let mut connection = Connection::open_within(address, LIMIT)?;
    wire::create_replicated_topic(&mut connection, topic, (partitions, -1), settings)
}

/// What a fault looks for in its victim.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Role {
    /// It leads this partition.
    Leader(Place),
    /// It controls the cluster.
    Controller,
    /// It coordinates this group.
    Coordinator(String),
    /// It is this one.
    Node(i32),
}

impl ReplicaSet {
    /// The node that has the role, as soon as one has it: on a busy machine there may be an election just now.
    ///
    /// # Errors
    /// When no node answers in time, or none has it.
    pub fn who(&self, role: &Role) -> Result<i32> {
        let mut found = self.has_role(role);
        wait_until(ELECTION_LIMIT, &format!("some node is {role:?}"), || {
            if found.is_err() {
                found = self.has_role(role);
            }
            Ok(found.is_ok())
        })
        .with_context(|| format!("{found:?}"))?;
        found
    }

    fn has_role(&self, role: &Role) -> Result<i32> {
        match role {
            Role::Leader(place) => {
                let cluster = self.cluster()?;
                let partition = cluster.partitions.get(place).context("no such partition")?;
                partition.leader.with_context(|| format!("nobody leads {place}"))
            }
            Role::Controller => Ok(self.ask(quorum)?.leader),
            Role::Coordinator(group) => self.ask(|address| coordinator(address, group)),
            Role::Node(id) => Ok(*id),
        }
    }
}
