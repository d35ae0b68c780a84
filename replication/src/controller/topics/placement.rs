//! Which brokers hold the partitions of a new topic.
//!
//! Without a choice of the client, partitions go around the brokers from a random one on, so that leaders and replicas
//! spread evenly. Racks are not looked at yet. Source: `StripedReplicaPlacer.java`.

use crate::controller::Env;
use crate::controller::topics::{CreateTopicError, CreateTopics, NewTopic};
use crate::metadata::image::MetadataImage;
use serde::{Deserialize, Serialize};
use storage::ids::BrokerId;

/// Why a client's choice of replicas cannot be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
pub enum InvalidAssignment {
    /// A partition is named twice.
    #[error("Found multiple manual partition assignments for partition {partition}")]
    DuplicatePartition {
        /// The partition.
        partition: i32,
    },
    /// Partitions are not numbered from 0 without a gap.
    #[error("partitions should be a consecutive 0-based integer sequence")]
    NotConsecutive,
    /// A partition has no replica.
    #[error("The manual partition assignment includes an empty replica list.")]
    Empty,
    /// A replica is on no broker of this cluster.
    #[error("The manual partition assignment includes broker {broker}, but no such broker is registered.")]
    UnknownBroker {
        /// The broker.
        broker: BrokerId,
    },
    /// A partition has two replicas on one broker.
    #[error("The manual partition assignment includes the broker {broker} more than once.")]
    DuplicateBroker {
        /// The broker.
        broker: BrokerId,
    },
    /// Partitions have different numbers of replicas.
    #[error(
        "The manual partition assignment includes a partition with {found} replica(s), but this is not consistent \
         with previous partitions, which have {expected} replica(s)."
    )]
    Uneven {
        /// The number of replicas of this partition.
        found: usize,
        /// The number of replicas of the ones before.
        expected: usize,
    },
}

/// How many partitions a new topic gets, and how many replicas each.
pub(super) struct Counts {
    pub(super) partitions: usize,
    pub(super) replication_factor: usize,
}

impl Counts {
    pub(super) fn of(
        topic: &NewTopic,
        request: &CreateTopics,
        image: &MetadataImage,
    ) -> Result<Self, CreateTopicError> {
        if let Some((_, first)) = topic.assignments.first() {
            if topic.replication_factor.is_some() {
                return Err(CreateTopicError::ReplicationFactorBesideAssignment);
            }
            if topic.partitions.is_some() {
                return Err(CreateTopicError::PartitionsBesideAssignment);
            }
            return Ok(Self { partitions: topic.assignments.len(), replication_factor: first.len() });
        }
        let brokers = image.brokers().len();
        let positive = |factor: i16| usize::try_from(factor).ok().filter(|factor| *factor > 0);
        let replication_factor = match topic.replication_factor {
            // The default is a wish: a single node must not refuse what a replica set's configuration asks for.
            None => positive(request.default_replication_factor).map(|factor| factor.min(brokers.max(1))),
            Some(factor) => positive(factor),
        }
        .ok_or(CreateTopicError::InvalidReplicationFactor)?;
        let partitions = usize::try_from(topic.partitions.unwrap_or(request.default_partitions))
            .ok()
            .filter(|partitions| *partitions > 0)
            .ok_or(CreateTopicError::InvalidPartitions)?;
        if replication_factor > brokers {
            let replication_factor = i16::try_from(replication_factor).unwrap_or(i16::MAX);
            return Err(CreateTopicError::TooFewBrokers { replication_factor, brokers });
        }
        Ok(Self { partitions, replication_factor })
    }
}

/// The replicas of each partition, the preferred leader first.
pub(super) fn assign(
    topic: &NewTopic,
    counts: &Counts,
    env: &mut Env<'_>,
    image: &MetadataImage,
) -> Result<Vec<Vec<BrokerId>>, CreateTopicError> {
    if !topic.assignments.is_empty() {
        return Ok(chosen(topic, image)?);
    }
    let brokers: Vec<BrokerId> = image.brokers().keys().copied().collect();
    let start = usize::try_from((env.random)() % u128::from(u16::MAX)).unwrap_or(0) % brokers.len().max(1);
    let around =
        |first: usize| brokers.iter().copied().cycle().skip(first).take(counts.replication_factor).collect();
    Ok((0..counts.partitions).map(|partition| around((start + partition) % brokers.len().max(1))).collect())
}

fn chosen(topic: &NewTopic, image: &MetadataImage) -> Result<Vec<Vec<BrokerId>>, InvalidAssignment> {
    let mut expected = None;
    for (at, (partition, replicas)) in topic.assignments.iter().enumerate() {
        if topic.assignments.iter().take(at).any(|(earlier, _)| earlier == partition) {
            return Err(InvalidAssignment::DuplicatePartition { partition: partition.0 });
        }
        check_replicas(replicas, *expected.get_or_insert(replicas.len()), image)?;
    }
    let mut assignments = topic.assignments.clone();
    assignments.sort_by_key(|(partition, _)| *partition);
    if assignments.iter().zip(0..).any(|((partition, _), index)| partition.0 != index) {
        return Err(InvalidAssignment::NotConsecutive);
    }
    Ok(assignments.into_iter().map(|(_, replicas)| replicas).collect())
}

fn check_replicas(
    replicas: &[BrokerId],
    expected: usize,
    image: &MetadataImage,
) -> Result<(), InvalidAssignment> {
    if replicas.is_empty() {
        return Err(InvalidAssignment::Empty);
    }
    let mut sorted = replicas.to_vec();
    sorted.sort_unstable();
    let mut previous = None;
    for broker in sorted {
        if image.broker(broker).is_none() {
            return Err(InvalidAssignment::UnknownBroker { broker });
        }
        if previous.replace(broker) == Some(broker) {
            return Err(InvalidAssignment::DuplicateBroker { broker });
        }
    }
    if replicas.len() == expected {
        Ok(())
    } else {
        Err(InvalidAssignment::Uneven { found: replicas.len(), expected })
    }
}
