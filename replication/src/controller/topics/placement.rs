//! How many partitions and replicas a new topic has, and where a client chose to have them.

use crate::controller::Env;
use crate::controller::placement::{InvalidAssignment, PlacementError, Placer, check_replicas, first_isr};
use crate::controller::topics::{CreateTopicError, CreateTopics, NewTopic};
use crate::metadata::image::MetadataImage;
use storage::ids::BrokerId;

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
            let reason = PlacementError::TooFewBrokers { replication_factor, brokers };
            return Err(CreateTopicError::NotPlaced { replication_factor, reason });
        }
        Ok(Self { partitions, replication_factor })
    }
}

/// The replicas of each partition, the preferred leader first; at least one of them is active.
pub(super) fn assign(
    topic: &NewTopic,
    counts: &Counts,
    env: &mut Env<'_>,
    image: &MetadataImage,
) -> Result<Vec<Vec<BrokerId>>, CreateTopicError> {
    if !topic.assignments.is_empty() {
        return Ok(chosen(topic, image)?);
    }
    let replication_factor = counts.replication_factor;
    let place_all = || -> Result<Vec<Vec<BrokerId>>, PlacementError> {
        let mut placer = Placer::new(env, image)?;
        (0..counts.partitions).map(|_| placer.place(replication_factor, env)).collect()
    };
    let mut place_all = place_all;
    place_all().map_err(|reason| CreateTopicError::NotPlaced { replication_factor, reason })
}

fn chosen(topic: &NewTopic, image: &MetadataImage) -> Result<Vec<Vec<BrokerId>>, InvalidAssignment> {
    let mut expected = None;
    for (at, (partition, replicas)) in topic.assignments.iter().enumerate() {
        if topic.assignments.iter().take(at).any(|(earlier, _)| earlier == partition) {
            return Err(InvalidAssignment::DuplicatePartition { partition: partition.0 });
        }
        check_replicas(replicas, Some(*expected.get_or_insert(replicas.len())), image)?;
        if first_isr(replicas, image).is_empty() {
            return Err(InvalidAssignment::NoneActive { partition: partition.0 });
        }
    }
    let mut assignments = topic.assignments.clone();
    assignments.sort_by_key(|(partition, _)| *partition);
    if assignments.iter().zip(0..).any(|((partition, _), index)| partition.0 != index) {
        return Err(InvalidAssignment::NotConsecutive);
    }
    Ok(assignments.into_iter().map(|(_, replicas)| replicas).collect())
}
