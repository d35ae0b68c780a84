//! How a cluster stands, as its brokers tell it.

use crate::cli::client::{Client, ClientError, address};
use kafka_protocol::messages::describe_topic_partitions_request::{Cursor, TopicRequest};
use kafka_protocol::messages::{
    BrokerId, DescribeClusterRequest, DescribeTopicPartitionsRequest, ListPartitionReassignmentsRequest,
    MetadataRequest, TopicName,
};
use kafka_protocol::protocol::StrBytes;
use kafka_protocol::{ResponseError, messages::DescribeTopicPartitionsResponse};
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// How long the controller may take to answer.
pub(super) const PATIENCE_MS: i32 = 30_000;

/// How long a node may take to answer at all. Larger: a command takes longer when several are gone. Smaller: a node that is
/// busy counts as gone.
const ANSWER_LIMIT: Duration = Duration::from_secs(2);

/// How many partitions a page of DescribeTopicPartitions has.
const PARTITIONS_PER_PAGE: i32 = 2_000;

/// A cluster.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub(super) struct Picture {
    pub(super) cluster_id: String,
    pub(super) controller: Option<i32>,
    pub(super) nodes: Vec<NodePicture>,
    pub(super) partitions: Vec<PartitionPicture>,
}

/// A node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct NodePicture {
    pub(super) node_id: i32,
    /// `None` where clients do not reach it.
    pub(super) address: Option<String>,
    pub(super) rack: Option<String>,
    pub(super) state: NodeState,
}

/// Whether a node may be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum NodeState {
    /// It is.
    Active,
    /// The cluster does not use it: it has not started up, or is not heard of.
    Fenced,
    /// The cluster would use it, and it does not answer: it died just now, or nobody is left to notice.
    Silent,
}

impl NodeState {
    /// The state as a word.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Fenced => "fenced",
            Self::Silent => "silent",
        }
    }
}

/// A partition.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub(super) struct PartitionPicture {
    pub(super) topic: String,
    pub(super) partition: i32,
    pub(super) leader: Option<i32>,
    pub(super) replicas: Vec<i32>,
    pub(super) in_sync: Vec<i32>,
    /// Who may be elected beside the in-sync replicas.
    pub(super) eligible: Vec<i32>,
    /// Whether it is being moved.
    pub(super) is_moving: bool,
}

impl PartitionPicture {
    /// `topic-partition`.
    pub(super) fn name(&self) -> String {
        format!("{}-{}", self.topic, self.partition)
    }

    /// Whether its first replica could lead and does not.
    pub(super) fn is_led_by_another(&self) -> bool {
        let preferred = self.replicas.first().copied();
        self.leader != preferred && preferred.is_some_and(|id| self.in_sync.contains(&id))
    }
}

impl Picture {
    /// Whether a node is there and may be used.
    pub(super) fn is_active(&self, id: i32) -> bool {
        self.has_state(id, NodeState::Active)
    }

    /// Whether the node that leads a partition does not answer, so that nobody reads or writes it.
    pub(super) fn is_led_by_nobody_there(&self, partition: &PartitionPicture) -> bool {
        partition.leader.is_some_and(|leader| self.has_state(leader, NodeState::Silent))
    }

    fn has_state(&self, id: i32, state: NodeState) -> bool {
        self.nodes.iter().any(|node| node.node_id == id && node.state == state)
    }
}

/// Asks the brokers.
pub(super) async fn take(client: &mut Client) -> Result<Picture, ClientError> {
    let address = client.any_address().to_owned();
    let mut picture = nodes(client, &address).await?;
    picture.partitions = partitions(client, &address).await?;
    mark_moving(client, &address, &mut picture.partitions).await?;
    add_eligible(client, &address, &mut picture.partitions).await?;
    Ok(picture)
}

async fn nodes(client: &mut Client, ask: &str) -> Result<Picture, ClientError> {
    let request = DescribeClusterRequest::default();
    let told = match client.serves_from::<DescribeClusterRequest>(ask, 2).await? {
        true => client.call(ask, &request.with_include_fenced_brokers(true)).await?,
        false => client.call(ask, &request).await?,
    };
    refused("the cluster is not described", told.error_code)?;
    let nodes = told.brokers.iter().map(|node| NodePicture {
        node_id: node.broker_id.0,
        address: Some(address(node.host.as_str(), node.port)),
        rack: node.rack.as_ref().map(StrBytes::to_string),
        state: if node.is_fenced { NodeState::Fenced } else { NodeState::Active },
    });
    let mut nodes: Vec<_> = nodes.collect();
    nodes.sort_by_key(|node| node.node_id);
    for node in nodes.iter_mut().filter(|node| node.state == NodeState::Active) {
        let address = node.address.as_deref().unwrap_or_default();
        if !client.is_answered_by(address, ANSWER_LIMIT).await {
            node.state = NodeState::Silent;
        }
    }
    Ok(Picture {
        cluster_id: told.cluster_id.to_string(),
        controller: Some(told.controller_id.0).filter(|id| *id >= 0),
        nodes,
        partitions: Vec::new(),
    })
}

async fn partitions(client: &mut Client, ask: &str) -> Result<Vec<PartitionPicture>, ClientError> {
    let request = MetadataRequest::default().with_topics(None).with_allow_auto_topic_creation(false);
    let told = client.call(ask, &request).await?;
    let mut partitions = Vec::new();
    for topic in &told.topics {
        let name = topic.name.as_ref().map(|name| name.to_string()).unwrap_or_default();
        refused(&format!("topic {name} is not described"), topic.error_code)?;
        partitions.extend(topic.partitions.iter().map(|partition| PartitionPicture {
            topic: name.clone(),
            partition: partition.partition_index,
            leader: Some(partition.leader_id.0).filter(|id| *id >= 0),
            replicas: ids(&partition.replica_nodes),
            in_sync: ids(&partition.isr_nodes),
            eligible: Vec::new(),
            is_moving: false,
        }));
    }
    partitions.sort_by(|left, right| (&left.topic, left.partition).cmp(&(&right.topic, right.partition)));
    Ok(partitions)
}

async fn mark_moving(
    client: &mut Client,
    ask: &str,
    partitions: &mut [PartitionPicture],
) -> Result<(), ClientError> {
    let request = ListPartitionReassignmentsRequest::default().with_timeout_ms(PATIENCE_MS).with_topics(None);
    let told = client.call(ask, &request).await?;
    refused("the moves that go on are not told", told.error_code)?;
    let moving: BTreeSet<(String, i32)> = told
        .topics
        .iter()
        .flat_map(|topic| topic.partitions.iter().map(|it| (topic.name.to_string(), it.partition_index)))
        .collect();
    for partition in partitions {
        partition.is_moving = moving.contains(&(partition.topic.clone(), partition.partition));
    }
    Ok(())
}

/// Who may lead beside the in-sync replicas, of those partitions that lack some. Brokers before Kafka 3.9 do not tell.
async fn add_eligible(
    client: &mut Client,
    ask: &str,
    partitions: &mut [PartitionPicture],
) -> Result<(), ClientError> {
    let mut topics: Vec<String> = partitions
        .iter()
        .filter(|it| it.in_sync.len() < it.replicas.len())
        .map(|it| it.topic.clone())
        .collect();
    topics.dedup();
    if topics.is_empty() || !client.serves::<DescribeTopicPartitionsRequest>(ask).await? {
        return Ok(());
    }
    let mut places: BTreeMap<(String, i32), &mut PartitionPicture> =
        partitions.iter_mut().map(|it| ((it.topic.clone(), it.partition), it)).collect();
    let named = |name: &String| TopicName(StrBytes::from_string(name.clone()));
    let mut request = DescribeTopicPartitionsRequest::default()
        .with_response_partition_limit(PARTITIONS_PER_PAGE)
        .with_topics(topics.iter().map(|name| TopicRequest::default().with_name(named(name))).collect());
    loop {
        let page: DescribeTopicPartitionsResponse = client.call(ask, &request).await?;
        for topic in &page.topics {
            let name = topic.name.as_ref().map(|name| name.to_string()).unwrap_or_default();
            for told in &topic.partitions {
                if let Some(place) = places.get_mut(&(name.clone(), told.partition_index)) {
                    place.eligible = ids(told.eligible_leader_replicas.as_deref().unwrap_or_default());
                }
            }
        }
        let Some(next) = page.next_cursor else { return Ok(()) };
        let cursor = Cursor::default().with_topic_name(next.topic_name);
        request.cursor = Some(cursor.with_partition_index(next.partition_index));
    }
}

fn ids(list: &[BrokerId]) -> Vec<i32> {
    list.iter().map(|id| id.0).collect()
}

/// An error code as an error, if it is one.
pub(super) fn refused(what: &str, code: i16) -> Result<(), ClientError> {
    match ResponseError::try_from_code(code) {
        None => Ok(()),
        Some(error) => Err(ClientError::Refused { what: what.to_owned(), error }),
    }
}
