//! The offsets of partitions, asked of their leaders.

use std::collections::BTreeMap;

use kafka_protocol::ResponseError;
use kafka_protocol::messages::list_offsets_request::{ListOffsetsPartition, ListOffsetsTopic};
use kafka_protocol::messages::{BrokerId, ListOffsetsRequest, TopicName};
use kafka_protocol::protocol::StrBytes;

use super::{Client, ClientError};

/// How often leaders are looked for. More: a partition without a leader holds a command up for longer, 100 ms each time.
/// Fewer: an election in the middle of a command makes a gap in its answer.
const ROUNDS_MAX: usize = 20;

/// A partition by name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct PartitionId {
    /// The topic's name.
    pub(crate) topic: String,
    /// The partition's number.
    pub(crate) partition: i32,
}

/// Which offset of a partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum OffsetAt {
    /// The first that is there.
    Earliest,
    /// The one that the next record gets.
    Latest,
    /// That of the first record from this time on, in milliseconds since 1970.
    Timestamp(i64),
}

impl OffsetAt {
    fn timestamp(self) -> i64 {
        match self {
            Self::Earliest => -2,
            Self::Latest => -1,
            Self::Timestamp(timestamp) => timestamp,
        }
    }
}

/// The offsets that were found: `None` where no record is that late; an error where the partition could not be asked.
pub(crate) type Offsets = BTreeMap<PartitionId, Result<Option<i64>, ResponseError>>;

impl Client {
    /// The partitions of `topics`; `None` for a topic that is not there.
    pub(crate) async fn partitions_of(
        &mut self,
        topics: &[&str],
    ) -> Result<BTreeMap<String, Option<Vec<i32>>>, ClientError> {
        let metadata = self.metadata(topics).await?;
        let mut found: BTreeMap<String, Option<Vec<i32>>> =
            topics.iter().map(|topic| ((*topic).to_owned(), None)).collect();
        for topic in metadata.topics {
            let mut partitions: Vec<i32> =
                topic.partitions.iter().map(|partition| partition.partition_index).collect();
            partitions.sort_unstable();
            if let (0, Some(name)) = (topic.error_code, topic.name) {
                found.insert(name.to_string(), Some(partitions));
            }
        }
        Ok(found)
    }

    /// One offset of each of `partitions`, from their leaders. Leaders that move are followed for a while.
    pub(crate) async fn offsets(
        &mut self,
        partitions: &[PartitionId],
        at: OffsetAt,
    ) -> Result<Offsets, ClientError> {
        let mut offsets = Offsets::new();
        for round in 0..ROUNDS_MAX {
            let missing: Vec<&PartitionId> = partitions
                .iter()
                .filter(|partition| offsets.get(*partition).is_none_or(is_passing))
                .collect();
            if missing.is_empty() {
                break;
            }
            if round > 0 {
                self.pause("partitions without a leader".to_owned()).await;
            }
            self.ask_leaders(&missing, at, &mut offsets).await?;
        }
        Ok(offsets)
    }

    async fn ask_leaders(
        &mut self,
        partitions: &[&PartitionId],
        at: OffsetAt,
        offsets: &mut Offsets,
    ) -> Result<(), ClientError> {
        let mut topics: Vec<&str> = partitions.iter().map(|partition| partition.topic.as_str()).collect();
        topics.sort_unstable();
        topics.dedup();
        let leaders = self.leaders(&topics).await?;
        let mut by_leader: BTreeMap<BrokerId, Vec<&PartitionId>> = BTreeMap::new();
        for partition in partitions {
            match leaders.get(*partition) {
                Some(leader) if self.node(*leader).is_some() => {
                    by_leader.entry(*leader).or_default().push(partition);
                }
                Some(_) => {
                    offsets.insert((*partition).clone(), Err(ResponseError::LeaderNotAvailable));
                }
                None => {
                    offsets.insert((*partition).clone(), Err(ResponseError::UnknownTopicOrPartition));
                }
            }
        }
        for (leader, partitions) in by_leader {
            let Some(address) = self.node(leader).map(|node| node.address.clone()) else { continue };
            let response = match self.call(&address, &request(&partitions, at)).await {
                Ok(response) => response,
                // It is gone, and another may lead soon.
                Err(ClientError::Io { .. }) => {
                    let unanswered = partitions.into_iter().cloned();
                    offsets.extend(unanswered.map(|id| (id, Err(ResponseError::LeaderNotAvailable))));
                    continue;
                }
                Err(error) => return Err(error),
            };
            for topic in response.topics {
                for partition in topic.partitions {
                    let id =
                        PartitionId { topic: topic.name.to_string(), partition: partition.partition_index };
                    let found = ResponseError::try_from_code(partition.error_code)
                        .map_or(Ok((partition.offset >= 0).then_some(partition.offset)), Err);
                    offsets.insert(id, found);
                }
            }
        }
        Ok(())
    }

    async fn leaders(&mut self, topics: &[&str]) -> Result<BTreeMap<PartitionId, BrokerId>, ClientError> {
        let metadata = self.metadata(topics).await?;
        let mut leaders = BTreeMap::new();
        for topic in metadata.topics {
            let Some(name) = topic.name else { continue };
            for partition in topic.partitions {
                let id = PartitionId { topic: name.to_string(), partition: partition.partition_index };
                leaders.insert(id, partition.leader_id);
            }
        }
        Ok(leaders)
    }
}

fn request(partitions: &[&PartitionId], at: OffsetAt) -> ListOffsetsRequest {
    let mut topics: BTreeMap<&str, Vec<ListOffsetsPartition>> = BTreeMap::new();
    for partition in partitions {
        topics.entry(&partition.topic).or_default().push(
            ListOffsetsPartition::default()
                .with_partition_index(partition.partition)
                .with_timestamp(at.timestamp()),
        );
    }
    let topics = topics.into_iter().map(|(name, partitions)| {
        ListOffsetsTopic::default()
            .with_name(TopicName(StrBytes::from_string(name.to_owned())))
            .with_partitions(partitions)
    });
    let no_replica = BrokerId(-1);
    ListOffsetsRequest::default().with_replica_id(no_replica).with_topics(topics.collect())
}

/// Whether it goes away by asking again.
fn is_passing(found: &Result<Option<i64>, ResponseError>) -> bool {
    matches!(
        found,
        Err(ResponseError::NotLeaderOrFollower
            | ResponseError::LeaderNotAvailable
            | ResponseError::ReplicaNotAvailable
            | ResponseError::FencedLeaderEpoch
            | ResponseError::UnknownLeaderEpoch
            | ResponseError::OffsetNotAvailable)
    )
}
