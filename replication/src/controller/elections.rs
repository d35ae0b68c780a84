//! Elections that a person asks for. Source: KIP-183, KIP-460, `ReplicationControlManager.electLeaders`.
//!
//! This is the only way to a leader that may lack records: the election type unclean, for a partition that has no leader.
//! Unlike Kafka there is no topic setting that has it happen by itself.

use crate::controller::partition_change::{Election, Rules, Target};
use crate::controller::{Env, RECORDS_PER_REQUEST_MAX};
use crate::metadata::image::{MetadataImage, PartitionImage, TopicImage};
use crate::metadata::record::{MetadataRecord, PartitionChange};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use storage::ids::{PartitionIndex, TopicPartition};

/// A request to elect leaders.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ElectLeaders {
    /// Which leaders.
    pub election_type: ElectionType,
    /// Of which partitions; `None`: of all that need it.
    pub partitions: Option<Vec<TopicPartition>>,
}

/// Who is to lead. Source: `ElectionType.java`, 0 and 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum ElectionType {
    /// The first of the replicas.
    Preferred,
    /// Any active replica, where nobody leads: what only others held is lost.
    Unclean,
}

/// What became of the election of one partition.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeaderElection {
    /// The partition.
    pub partition: TopicPartition,
    /// Whether it has a new leader.
    pub result: Result<(), ElectLeaderError>,
}

/// Why no leader was elected.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
pub enum ElectLeaderError {
    /// There is no such topic.
    #[error("No such topic.")]
    UnknownTopic,
    /// The topic has no such partition.
    #[error("No such partition.")]
    UnknownPartition,
    /// The wanted leader leads, or the partition has a leader.
    #[error("Leader election not needed for topic partition.")]
    NotNeeded,
    /// The first replica is fenced, stopping or not in-sync.
    #[error("The preferred leader was not available.")]
    PreferredLeaderNotAvailable,
    /// No replica is active.
    #[error("Eligible topic partition leaders are not available.")]
    EligibleLeadersNotAvailable,
    /// One decision has room for no more elections.
    #[error("More than {RECORDS_PER_REQUEST_MAX} elections at once. Ask again.")]
    TooMany,
}

/// Elects what can be elected.
pub(super) fn elect(
    request: &ElectLeaders,
    env: &Env<'_>,
    image: &MetadataImage,
) -> (Vec<MetadataRecord>, Vec<LeaderElection>) {
    let rules = Rules::new(env, image);
    let mut elections = Elections { records: Vec::new(), results: Vec::new() };
    match &request.partitions {
        Some(named) => {
            // A partition that is named twice is answered once.
            for name in named.iter().collect::<BTreeSet<_>>() {
                let topic = image.topic_by_name(&name.topic);
                let found = topic.map(|topic| (topic.as_ref(), topic.partition(name.partition)));
                elections.take(name.clone(), |is_full| match found {
                    _ if is_full => Err(ElectLeaderError::TooMany),
                    Some((topic, Some(partition))) => {
                        elect_one(topic, partition, request.election_type, &rules)
                    }
                    Some((_, None)) => Err(ElectLeaderError::UnknownPartition),
                    None => Err(ElectLeaderError::UnknownTopic),
                });
            }
        }
        None => {
            for topic in image.topics() {
                for partition in topic.partitions.iter().filter(|p| needs_election(p, request.election_type))
                {
                    let PartitionIndex(index) = partition.index;
                    elections.take(
                        TopicPartition::new(topic.name.as_ref(), index),
                        |is_full| match is_full {
                            true => Err(ElectLeaderError::TooMany),
                            false => elect_one(topic, partition, request.election_type, &rules),
                        },
                    );
                }
            }
        }
    }
    (elections.records, elections.results)
}

struct Elections {
    records: Vec<MetadataRecord>,
    results: Vec<LeaderElection>,
}

impl Elections {
    fn take(
        &mut self,
        partition: TopicPartition,
        elect: impl FnOnce(bool) -> Result<PartitionChange, ElectLeaderError>,
    ) {
        let elected = elect(self.records.len() >= RECORDS_PER_REQUEST_MAX);
        let result = elected.map(|change| self.records.push(MetadataRecord::PartitionChange(change)));
        self.results.push(LeaderElection { partition, result });
    }
}

fn needs_election(partition: &PartitionImage, election_type: ElectionType) -> bool {
    match election_type {
        ElectionType::Preferred => partition.leader != partition.replicas.first().copied(),
        ElectionType::Unclean => partition.leader.is_none(),
    }
}

fn elect_one(
    topic: &TopicImage,
    partition: &PartitionImage,
    election_type: ElectionType,
    rules: &Rules<'_>,
) -> Result<PartitionChange, ElectLeaderError> {
    if !needs_election(partition, election_type) {
        return Err(ElectLeaderError::NotNeeded);
    }
    let (election, error) = match election_type {
        ElectionType::Preferred => (Election::Preferred, ElectLeaderError::PreferredLeaderNotAvailable),
        ElectionType::Unclean => (Election::Unclean, ElectLeaderError::EligibleLeadersNotAvailable),
    };
    let target = Target::new(topic, partition, rules.min_insync_replicas(&topic.name)).elect(election);
    target.decide(rules).ok_or(error)
}
