//! What the brokers know of topics.

use kafka_protocol::ResponseError;
use kafka_protocol::messages::metadata_response::{MetadataResponsePartition, MetadataResponseTopic};
use kafka_protocol::messages::{BrokerId, MetadataRequest, TopicName};
use kafka_protocol::protocol::StrBytes;
use serde::Serialize;

use super::{Client, ClientError};

/// A topic as its brokers know it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct TopicState {
    /// Its name.
    pub(crate) topic: String,
    /// Its id; nil where the brokers have none.
    pub(crate) topic_id: uuid::Uuid,
    /// Whether only brokers write to it.
    pub(crate) is_internal: bool,
    /// In the order of their numbers.
    pub(crate) partitions: Vec<PartitionState>,
}

/// A partition of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct PartitionState {
    /// Its number.
    pub(crate) partition: i32,
    /// `None` while nobody leads it.
    pub(crate) leader: Option<i32>,
    /// How often the leader has changed.
    pub(crate) leader_epoch: i32,
    /// The nodes that hold it, the preferred leader first.
    pub(crate) replicas: Vec<i32>,
    /// Those of them that are in sync.
    pub(crate) in_sync: Vec<i32>,
}

impl TopicState {
    /// How many replicas its partitions have; the most, while they are being changed.
    pub(crate) fn replication_factor(&self) -> usize {
        self.partitions.iter().map(|partition| partition.replicas.len()).max().unwrap_or(0)
    }

    /// Whether every partition has a leader.
    pub(crate) fn is_led(&self) -> bool {
        self.partitions.iter().all(|partition| partition.leader.is_some())
    }
}

impl Client {
    /// Every topic of the cluster, by name.
    pub(crate) async fn all_topics(&mut self) -> Result<Vec<TopicState>, ClientError> {
        let address = self.any_address().to_owned();
        let request = MetadataRequest::default().with_topics(None).with_allow_auto_topic_creation(false);
        let told = self.call(&address, &request).await?;
        let topics = told.topics.into_iter().filter_map(|topic| read(topic).ok());
        let mut topics: Vec<TopicState> = topics.collect();
        topics.sort_by(|left, right| left.topic.cmp(&right.topic));
        Ok(topics)
    }

    /// The topic of this name, or why the brokers do not tell of it.
    pub(crate) async fn topic(
        &mut self,
        name: &str,
    ) -> Result<Result<TopicState, ResponseError>, ClientError> {
        self.topic_of(name, false).await
    }

    /// The same; the cluster makes the topic where it is not there, if it makes topics at all.
    pub(crate) async fn topic_or_new(
        &mut self,
        name: &str,
    ) -> Result<Result<TopicState, ResponseError>, ClientError> {
        self.topic_of(name, true).await
    }

    async fn topic_of(
        &mut self,
        name: &str,
        makes_topics: bool,
    ) -> Result<Result<TopicState, ResponseError>, ClientError> {
        let told = self.metadata_of(&[name], makes_topics).await?;
        let topic = told.topics.into_iter().next().map(read);
        Ok(topic.unwrap_or(Err(ResponseError::UnknownTopicOrPartition)))
    }
}

fn read(topic: MetadataResponseTopic) -> Result<TopicState, ResponseError> {
    if let Some(error) = ResponseError::try_from_code(topic.error_code) {
        return Err(error);
    }
    let mut partitions: Vec<PartitionState> = topic.partitions.iter().map(read_partition).collect();
    partitions.sort_by_key(|partition| partition.partition);
    Ok(TopicState {
        topic: topic.name.map(|name| name.to_string()).unwrap_or_default(),
        topic_id: topic.topic_id,
        is_internal: topic.is_internal,
        partitions,
    })
}

fn read_partition(partition: &MetadataResponsePartition) -> PartitionState {
    let ids = |list: &[BrokerId]| list.iter().map(|id| id.0).collect();
    PartitionState {
        partition: partition.partition_index,
        leader: Some(partition.leader_id.0).filter(|id| *id >= 0),
        leader_epoch: partition.leader_epoch,
        replicas: ids(&partition.replica_nodes),
        in_sync: ids(&partition.isr_nodes),
    }
}

/// A topic's name as the messages have it.
pub(crate) fn wire_name(name: &str) -> TopicName {
    TopicName(StrBytes::from_string(name.to_owned()))
}
