//! Creation and deletion of topics. Source: `ReplicationControlManager.java`, `ControllerApis.scala`.
//!
//! A refused topic does not fail the others of its request; only a request that would make more records than one
//! decision may have is refused whole.

mod name;
mod placement;

pub use name::{InvalidTopicName, validate_name};

use crate::controller::configs::AlterConfigError;
use crate::controller::mutations::{Charge, MutationQuotaExceeded};
use crate::controller::partitions::new_partition;
use crate::controller::placement::{InvalidAssignment, PlacementError};
use crate::controller::{Env, RECORDS_PER_REQUEST_MAX, configs, features};
use crate::metadata::image::MetadataImage;
use crate::metadata::record::{ConfigResource, MetadataRecord};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use storage::ids::{BrokerId, PartitionIndex, TopicId};

/// The most topics of a cluster. Larger: images, snapshots and full Metadata answers grow past what is measured.
/// Smaller: a topic for each device stops being possible.
pub const TOPICS_MAX: usize = 100_000;

/// The most partitions of a cluster. Larger: recovery, checkpoints and the image grow past what is measured.
/// Smaller: topics are refused that a node could serve.
pub const PARTITIONS_MAX: usize = 200_000;

/// A request to create topics.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CreateTopics {
    /// The topics.
    pub topics: Vec<NewTopic>,
    /// Whether to check only.
    pub validate_only: bool,
    /// `num.partitions`, for topics that name no number.
    pub default_partitions: i32,
    /// `default.replication.factor`, for topics that name none; no more than there are brokers are taken.
    pub default_replication_factor: i16,
}

/// A topic to create.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct NewTopic {
    /// Its name.
    pub name: String,
    /// How many partitions; `None` (-1 on the wire) takes the default.
    pub partitions: Option<i32>,
    /// How many replicas each has; `None` (-1 on the wire) takes the default.
    pub replication_factor: Option<i16>,
    /// The replicas of each partition, where the client chose them; then both numbers must be `None`.
    pub assignments: Vec<(PartitionIndex, Vec<BrokerId>)>,
    /// The topic's own settings.
    pub configs: BTreeMap<String, Option<String>>,
}

/// The result for one topic of a [`CreateTopics`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TopicCreation {
    /// The topic's name.
    pub name: String,
    /// What became of it.
    pub result: Result<CreatedTopic, CreateTopicError>,
}

/// A topic that was created, or would be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct CreatedTopic {
    /// Its identity; another one where the request was for validation only.
    pub topic_id: TopicId,
    /// How many partitions it has.
    pub partitions: i32,
    /// How many replicas a partition has.
    pub replication_factor: i16,
}

/// Why a topic was not created.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
pub enum CreateTopicError {
    /// The name is not one that a topic may have.
    #[error(transparent)]
    InvalidName(#[from] InvalidTopicName),
    /// Only a dot for an underscore tells the name from an existing one, which metric names do not show.
    #[error("Topic '{name}' collides with existing topic: {existing}")]
    Collides {
        /// The topic's name.
        name: String,
        /// The name that is taken.
        existing: String,
    },
    /// The name is taken.
    #[error("Topic '{name}' already exists.")]
    AlreadyExists {
        /// The topic's name.
        name: String,
    },
    /// The request names the topic twice.
    #[error("Duplicate topic name.")]
    DuplicateName,
    /// The topic is the metadata log's own.
    #[error("Creation of internal topic {} is prohibited.", name::CLUSTER_METADATA)]
    MetadataTopic,
    /// Replicas were chosen, and a replication factor too.
    #[error("A manual partition assignment was specified, but replication factor was not set to -1.")]
    ReplicationFactorBesideAssignment,
    /// Replicas were chosen, and a number of partitions too.
    #[error("A manual partition assignment was specified, but numPartitions was not set to -1.")]
    PartitionsBesideAssignment,
    /// A number of partitions below 1.
    #[error("Number of partitions was set to an invalid non-positive value.")]
    InvalidPartitions,
    /// A replication factor below 1.
    #[error("Replication factor must be larger than 0, or -1 to use the default value.")]
    InvalidReplicationFactor,
    /// There are no brokers for them.
    #[error("Unable to replicate the partition {replication_factor} time(s): {reason}")]
    NotPlaced {
        /// How many replicas each has.
        replication_factor: usize,
        /// Why not.
        reason: PlacementError,
    },
    /// The chosen replicas cannot be.
    #[error(transparent)]
    InvalidAssignment(#[from] InvalidAssignment),
    /// Settings without a value.
    #[error("Null value not supported for topic configs: {}", keys.join(","))]
    NullConfigs {
        /// Their keys.
        keys: Vec<String>,
    },
    /// A setting is not accepted.
    #[error(transparent)]
    InvalidConfig(AlterConfigError),
    /// The topics of the request make more than [`RECORDS_PER_REQUEST_MAX`] records, so none was created.
    #[error("Unable to perform excessively large batch operation.")]
    RequestTooLarge,
    /// The cluster has [`TOPICS_MAX`] topics.
    #[error("The cluster has {TOPICS_MAX} topics, which is the most that it takes.")]
    TooManyTopics,
    /// The cluster would have more than [`PARTITIONS_MAX`] partitions.
    #[error("The cluster would have more than {PARTITIONS_MAX} partitions, which is the most that it takes.")]
    TooManyPartitions,
    /// The client has to wait.
    #[error(transparent)]
    QuotaExceeded(#[from] MutationQuotaExceeded),
}

/// Creates what can be created.
pub(super) fn create(
    request: &CreateTopics,
    charge: &mut Charge,
    env: &mut Env<'_>,
    image: &MetadataImage,
) -> (Vec<MetadataRecord>, Vec<TopicCreation>) {
    let mut mentions: BTreeMap<&str, usize> = BTreeMap::new();
    for topic in &request.topics {
        *mentions.entry(&topic.name).or_default() += 1;
    }
    let mut room = Room::of(image, charge);
    let mut records = Vec::new();
    let mut results = Vec::with_capacity(request.topics.len());
    for topic in &request.topics {
        let created = match mentions.remove(topic.name.as_str()) {
            None => continue, // answered where it was first named
            Some(1) => create_one(topic, request, env, image, &mut room),
            Some(_) => Err(CreateTopicError::DuplicateName),
        };
        let result = created.map(|(created, topic_records)| {
            records.extend(topic_records);
            created
        });
        results.push(TopicCreation { name: topic.name.clone(), result });
    }
    if room.records > RECORDS_PER_REQUEST_MAX {
        records.clear();
        for result in &mut results {
            result.result = Err(CreateTopicError::RequestTooLarge);
        }
    }
    if request.validate_only {
        records.clear();
    }
    (records, results)
}

/// What the earlier topics of a request leave to the later ones.
struct Room<'a> {
    topics: usize,
    partitions: usize,
    /// Records made so far; those beyond the limit are counted, not made.
    records: usize,
    charge: &'a mut Charge,
}

impl<'a> Room<'a> {
    fn of(image: &MetadataImage, charge: &'a mut Charge) -> Self {
        Self {
            topics: TOPICS_MAX.saturating_sub(image.topic_count()),
            partitions: PARTITIONS_MAX.saturating_sub(image.partition_count()),
            records: 0,
            charge,
        }
    }

    fn take(&mut self, partitions: usize, configs: usize) -> Result<(), CreateTopicError> {
        self.records += 1 + partitions + configs;
        if self.records > RECORDS_PER_REQUEST_MAX {
            return Err(CreateTopicError::RequestTooLarge);
        }
        self.topics = self.topics.checked_sub(1).ok_or(CreateTopicError::TooManyTopics)?;
        self.partitions =
            self.partitions.checked_sub(partitions).ok_or(CreateTopicError::TooManyPartitions)?;
        Ok(())
    }
}

fn create_one(
    topic: &NewTopic,
    request: &CreateTopics,
    env: &mut Env<'_>,
    image: &MetadataImage,
    room: &mut Room<'_>,
) -> Result<(CreatedTopic, Vec<MetadataRecord>), CreateTopicError> {
    name::check_new(&topic.name, image)?;
    let configs = checked_configs(topic, env, image)?;
    let counts = placement::Counts::of(topic, request, image)?;
    room.take(counts.partitions, configs.len())?;
    let assignments = placement::assign(topic, &counts, env, image)?;
    room.charge.take(counts.partitions)?;

    let topic_id = features::random_id(env);
    let mut records = Vec::with_capacity(1 + configs.len() + assignments.len());
    records.push(MetadataRecord::Topic {
        name: topic.name.clone(),
        topic_id,
        has_default_replication_factor: topic.replication_factor.is_none() && topic.assignments.is_empty(),
    });
    records.extend(configs.into_iter().map(|(key, value)| MetadataRecord::Config {
        resource: ConfigResource::Topic(topic.name.clone()),
        key,
        value: Some(value),
    }));
    let partition = |(index, replicas)| new_partition(topic_id, index, replicas, image);
    records.extend((0..).zip(assignments).map(partition));
    let created = CreatedTopic {
        topic_id,
        partitions: i32::try_from(counts.partitions).unwrap_or(i32::MAX),
        replication_factor: i16::try_from(counts.replication_factor).unwrap_or(i16::MAX),
    };
    Ok((created, records))
}

fn checked_configs(
    topic: &NewTopic,
    env: &Env<'_>,
    image: &MetadataImage,
) -> Result<BTreeMap<String, String>, CreateTopicError> {
    let nulls = topic.configs.iter().filter(|(_, value)| value.is_none()).map(|(key, _)| key.clone());
    let keys: Vec<String> = nulls.collect();
    if !keys.is_empty() {
        return Err(CreateTopicError::NullConfigs { keys });
    }
    let configs: BTreeMap<String, String> =
        topic.configs.iter().filter_map(|(key, value)| Some((key.clone(), value.clone()?))).collect();
    configs::check(&ConfigResource::Topic(topic.name.clone()), &configs, env, image)
        .map_err(CreateTopicError::InvalidConfig)?;
    Ok(configs)
}

/// A request to delete topics.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeleteTopics {
    /// The topics.
    pub topics: Vec<TopicSelector>,
}

/// How a request names a topic.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum TopicSelector {
    /// By its name.
    Name(String),
    /// By its id.
    Id(TopicId),
}

/// The result for one topic of a [`DeleteTopics`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TopicDeletion {
    /// How the request named it.
    pub selector: TopicSelector,
    /// The topic's name and id, or why it was not deleted.
    pub result: Result<(String, TopicId), DeleteTopicError>,
}

/// Why a topic was not deleted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
pub enum DeleteTopicError {
    /// No topic has this name.
    #[error("This server does not host this topic-partition.")]
    UnknownTopic,
    /// No topic has this id.
    #[error("This server does not host this topic ID.")]
    UnknownTopicId,
    /// The request names the topic twice.
    #[error("Duplicate topic name.")]
    DuplicateName,
    /// The request names the id twice.
    #[error("Duplicate topic id.")]
    DuplicateId,
    /// The request names the same topic by its name and by its id.
    #[error("The provided topic name maps to an ID that was already supplied.")]
    NameOfGivenId,
    /// The client has to wait.
    #[error(transparent)]
    QuotaExceeded(#[from] MutationQuotaExceeded),
}

/// Deletes what can be deleted.
pub(super) fn delete(
    request: &DeleteTopics,
    charge: &mut Charge,
    image: &MetadataImage,
) -> (Vec<MetadataRecord>, Vec<TopicDeletion>) {
    let mut mentions: BTreeMap<&TopicSelector, usize> = BTreeMap::new();
    for selector in &request.topics {
        *mentions.entry(selector).or_default() += 1;
    }
    let given_ids: BTreeSet<TopicId> = request.topics.iter().filter_map(TopicSelector::id).collect();
    let given_names: BTreeSet<&str> = request.topics.iter().filter_map(TopicSelector::name).collect();
    let mut records = Vec::new();
    let mut results = Vec::with_capacity(request.topics.len());
    for selector in &request.topics {
        let result = match (mentions.remove(selector), selector) {
            (None, _) => continue, // answered where it was first named
            (Some(1), TopicSelector::Name(name)) => match image.topic_by_name(name) {
                None => Err(DeleteTopicError::UnknownTopic),
                Some(topic) if given_ids.contains(&topic.id) => Err(DeleteTopicError::NameOfGivenId),
                Some(topic) => Ok(topic),
            },
            (Some(1), TopicSelector::Id(id)) => match image.topic_by_id(*id) {
                None => Err(DeleteTopicError::UnknownTopicId),
                Some(topic) if given_names.contains(topic.name.as_ref()) => {
                    Err(DeleteTopicError::NameOfGivenId)
                }
                Some(topic) => Ok(topic),
            },
            (Some(_), TopicSelector::Name(_)) => Err(DeleteTopicError::DuplicateName),
            (Some(_), TopicSelector::Id(_)) => Err(DeleteTopicError::DuplicateId),
        };
        let result = result.and_then(|topic| {
            charge.take(topic.partitions.len())?;
            records.push(MetadataRecord::RemoveTopic { topic_id: topic.id });
            Ok((topic.name.to_string(), topic.id))
        });
        results.push(TopicDeletion { selector: selector.clone(), result });
    }
    (records, results)
}

impl TopicSelector {
    fn id(&self) -> Option<TopicId> {
        match self {
            Self::Id(id) => Some(*id),
            Self::Name(_) => None,
        }
    }

    fn name(&self) -> Option<&str> {
        match self {
            Self::Id(_) => None,
            Self::Name(name) => Some(name),
        }
    }
}
