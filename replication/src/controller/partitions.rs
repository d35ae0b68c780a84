//! More partitions for topics that there are. Source: `ReplicationControlManager.createPartitions`,
//! `ControllerApis.createPartitions`.
//!
//! A refused topic does not fail the others, except where the request is too large as a whole.

use crate::controller::mutations::{Charge, MutationQuotaExceeded};
use crate::controller::placement::{InvalidAssignment, PlacementError, Placer, check_replicas, first_isr};
use crate::controller::topics::PARTITIONS_MAX;
use crate::controller::{Env, RECORDS_PER_REQUEST_MAX};
use crate::metadata::image::{MetadataImage, TopicImage};
use crate::metadata::record::{MetadataRecord, PartitionRecord};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use storage::ids::{BrokerId, LeaderEpoch, PartitionEpoch, PartitionIndex, TopicId};

/// A request for more partitions.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CreatePartitions {
    /// The topics.
    pub topics: Vec<MorePartitions>,
    /// Whether to check only.
    pub validate_only: bool,
}

/// How many partitions a topic is to have.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MorePartitions {
    /// The topic's name.
    pub name: String,
    /// How many there are then in all.
    pub count: i32,
    /// The replicas of each new partition, where the client chose them.
    pub assignments: Option<Vec<Vec<BrokerId>>>,
}

/// The result for one topic of a [`CreatePartitions`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PartitionsCreation {
    /// The topic's name.
    pub name: String,
    /// What became of it.
    pub result: Result<(), CreatePartitionsError>,
}

/// Why a topic got no more partitions.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
pub enum CreatePartitionsError {
    /// The request names the topic twice.
    #[error("Duplicate topic name.")]
    DuplicateName,
    /// There is no such topic.
    #[error("This server does not host this topic-partition.")]
    UnknownTopic,
    /// It has as many.
    #[error("Topic already has {count} partition(s).")]
    Unchanged {
        /// How many it has.
        count: usize,
    },
    /// It has more.
    #[error("The topic {name} currently has {current} partition(s); {asked} would not be an increase.")]
    NoIncrease {
        /// The topic's name.
        name: String,
        /// How many it has.
        current: usize,
        /// How many were asked for.
        asked: i32,
    },
    /// There are more or fewer choices of replicas than new partitions.
    #[error(
        "Attempted to add {additional} additional partition(s), but only {assignments} assignment(s) were specified."
    )]
    AssignmentCount {
        /// How many partitions are new.
        additional: usize,
        /// For how many replicas were chosen.
        assignments: usize,
    },
    /// The chosen replicas cannot be.
    #[error(transparent)]
    InvalidAssignment(#[from] InvalidAssignment),
    /// There are no brokers for them.
    #[error("Unable to replicate the partition {replication_factor} time(s): {reason}")]
    NotPlaced {
        /// How many replicas each has.
        replication_factor: usize,
        /// Why not.
        reason: PlacementError,
    },
    /// The topics of the request make more than [`RECORDS_PER_REQUEST_MAX`] records, so none was changed.
    #[error("Unable to perform excessively large batch operation.")]
    RequestTooLarge,
    /// The cluster would have more than [`PARTITIONS_MAX`] partitions.
    #[error("The cluster would have more than {PARTITIONS_MAX} partitions, which is the most that it takes.")]
    TooManyPartitions,
    /// The client has to wait.
    #[error(transparent)]
    QuotaExceeded(#[from] MutationQuotaExceeded),
}

/// Creates what can be created.
pub(super) fn create(
    request: &CreatePartitions,
    charge: &mut Charge,
    env: &mut Env<'_>,
    image: &MetadataImage,
) -> (Vec<MetadataRecord>, Vec<PartitionsCreation>) {
    let mut mentions: BTreeMap<&str, usize> = BTreeMap::new();
    for topic in &request.topics {
        *mentions.entry(&topic.name).or_default() += 1;
    }
    let mut records = Vec::new();
    let mut results = Vec::with_capacity(request.topics.len());
    let mut room = Room { wanted: 0, charge };
    for topic in &request.topics {
        let created = match mentions.remove(topic.name.as_str()) {
            None => continue, // answered where it was first named
            Some(1) => create_one(topic, env, image, &mut room),
            Some(_) => Err(CreatePartitionsError::DuplicateName),
        };
        let result = created.map(|created| records.extend(created));
        results.push(PartitionsCreation { name: topic.name.clone(), result });
    }
    if room.wanted > RECORDS_PER_REQUEST_MAX {
        records.clear();
        for result in &mut results {
            result.result = Err(CreatePartitionsError::RequestTooLarge);
        }
    }
    if request.validate_only {
        records.clear();
    }
    (records, results)
}

/// What the earlier topics of a request leave to the later ones.
struct Room<'a> {
    /// The partitions so far; those beyond the limit are not made.
    wanted: usize,
    charge: &'a mut Charge,
}

fn create_one(
    request: &MorePartitions,
    env: &mut Env<'_>,
    image: &MetadataImage,
    room: &mut Room<'_>,
) -> Result<Vec<MetadataRecord>, CreatePartitionsError> {
    let topic = image.topic_by_name(&request.name).ok_or(CreatePartitionsError::UnknownTopic)?;
    let current = topic.partitions.len();
    let asked = usize::try_from(request.count).unwrap_or(0);
    let additional = match asked.checked_sub(current) {
        None => {
            let (name, asked) = (request.name.clone(), request.count);
            return Err(CreatePartitionsError::NoIncrease { name, current, asked });
        }
        Some(0) => return Err(CreatePartitionsError::Unchanged { count: current }),
        Some(additional) => additional,
    };
    if let Some(assignments) = request.assignments.as_ref().map(Vec::len)
        && assignments != additional
    {
        return Err(CreatePartitionsError::AssignmentCount { additional, assignments });
    }
    room.wanted = room.wanted.saturating_add(additional);
    if room.wanted > RECORDS_PER_REQUEST_MAX {
        return Err(CreatePartitionsError::RequestTooLarge);
    }
    if image.partition_count() + room.wanted > PARTITIONS_MAX {
        return Err(CreatePartitionsError::TooManyPartitions);
    }
    let replicas = replicas(request, topic, additional, env, image)?;
    room.charge.take(additional)?;
    let indexes = (request.count - i32::try_from(additional).unwrap_or(i32::MAX))..;
    Ok(indexes
        .zip(replicas)
        .map(|(index, replicas)| new_partition(topic.id, index, replicas, image))
        .collect())
}

fn replicas(
    request: &MorePartitions,
    topic: &TopicImage,
    additional: usize,
    env: &mut Env<'_>,
    image: &MetadataImage,
) -> Result<Vec<Vec<BrokerId>>, CreatePartitionsError> {
    let replication_factor = topic.replication_factor();
    if let Some(assignments) = &request.assignments {
        for (partition, replicas) in (topic.partitions.len()..).zip(assignments) {
            check_replicas(replicas, Some(replication_factor), image)?;
            if first_isr(replicas, image).is_empty() {
                let partition = i32::try_from(partition).unwrap_or(i32::MAX);
                return Err(InvalidAssignment::NoneActive { partition }.into());
            }
        }
        return Ok(assignments.clone());
    }
    let not_placed = |reason| CreatePartitionsError::NotPlaced { replication_factor, reason };
    let mut placer = Placer::new(env, image).map_err(not_placed)?;
    (0..additional).map(|_| placer.place(replication_factor, env).map_err(not_placed)).collect()
}

/// A partition that begins with the active ones of its replicas in-sync; there is one at least.
pub(super) fn new_partition(
    topic_id: TopicId,
    index: i32,
    replicas: Vec<BrokerId>,
    image: &MetadataImage,
) -> MetadataRecord {
    let isr = first_isr(&replicas, image);
    MetadataRecord::Partition(PartitionRecord {
        topic_id,
        partition: PartitionIndex(index),
        leader: isr.first().copied(),
        isr,
        replicas,
        leader_epoch: LeaderEpoch(0),
        partition_epoch: PartitionEpoch(0),
        eligible_leader_replicas: Vec::new(),
        last_known_eligible_leader_replicas: Vec::new(),
        adding_replicas: Vec::new(),
        removing_replicas: Vec::new(),
    })
}
