//! Partitions move to other brokers. Source: KIP-455, KIP-860, `ReplicationControlManager.alterPartitionReassignments`.
//!
//! While a partition moves, its replicas are those that it will have, in their order, and behind them those that it had
//! and loses; once all new ones are in-sync (see `partition_change`), the old ones go. A new target replaces the one
//! before: replicas that only that one had named go at once.
//!
//! Unlike Kafka, a target that is given while another is on its way is compared with what the partition had before both.

use crate::controller::partition_change::{Rules, Target};
use crate::controller::placement::{InvalidAssignment, check_replicas};
use crate::controller::{Env, RECORDS_PER_REQUEST_MAX};
use crate::metadata::image::{MetadataImage, PartitionImage};
use crate::metadata::record::{MetadataRecord, PartitionChange};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use storage::ids::{BrokerId, TopicPartition};

/// A request to move partitions, or to stop moving them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AlterPartitionReassignments {
    /// The partitions, each once.
    pub partitions: Vec<Reassignment>,
    /// Whether a partition may have more or fewer replicas afterwards.
    pub allows_replication_factor_change: bool,
}

/// Where one partition is to be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reassignment {
    /// The partition.
    pub partition: TopicPartition,
    /// Its replicas, the preferred leader first; `None`: those that it had before.
    pub replicas: Option<Vec<BrokerId>>,
}

/// What became of a [`Reassignment`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReassignmentChange {
    /// The partition.
    pub partition: TopicPartition,
    /// Whether it was taken.
    pub result: Result<(), ReassignError>,
}

/// Why a partition does not move.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
pub enum ReassignError {
    /// There is no such partition.
    #[error("Unable to find partition {}:{}.", partition.topic, partition.partition)]
    UnknownPartition {
        /// The partition.
        partition: TopicPartition,
    },
    /// The request names it twice.
    #[error("Partition {partition} is named twice.")]
    DuplicatePartition {
        /// The partition.
        partition: TopicPartition,
    },
    /// There is nothing to stop.
    #[error("No partition reassignment is in progress.")]
    NoReassignmentInProgress,
    /// The replicas cannot be.
    #[error(transparent)]
    InvalidAssignment(#[from] InvalidAssignment),
    /// The number of replicas would change, which the request forbids.
    #[error("The replication factor is changed from {current} to {asked}")]
    ReplicationFactorChanged {
        /// How many it has.
        current: usize,
        /// How many were asked for.
        asked: usize,
    },
    /// No replica that would stay is in-sync.
    #[error(
        "Unable to change the replicas of {partition} because it would require an unclean leader election: no replica \
         that stays is in-sync."
    )]
    Unclean {
        /// The partition.
        partition: TopicPartition,
    },
    /// The request makes more than [`RECORDS_PER_REQUEST_MAX`] records, so nothing was changed.
    #[error("Unable to perform excessively large batch operation.")]
    RequestTooLarge,
    /// There is no such topic.
    #[error("Unable to find a topic named {topic}.")]
    UnknownTopic {
        /// The topic's name.
        topic: String,
    },
}

/// Begins and stops what can be.
pub(super) fn alter(
    request: &AlterPartitionReassignments,
    env: &Env<'_>,
    image: &MetadataImage,
) -> (Vec<MetadataRecord>, Vec<ReassignmentChange>) {
    let rules = Rules::new(env, image);
    let mut named = BTreeSet::new();
    let mut fixed = BTreeSet::new();
    let mut records = Vec::new();
    let mut results = Vec::with_capacity(request.partitions.len());
    for reassignment in &request.partitions {
        let partition = reassignment.partition.clone();
        let changed = match named.insert(&reassignment.partition) {
            true => alter_one(reassignment, request.allows_replication_factor_change, &rules),
            false => Err(ReassignError::DuplicatePartition { partition: partition.clone() }),
        };
        let result = changed.map(|(change, chooses_count)| {
            records.extend(change.map(MetadataRecord::PartitionChange));
            if chooses_count {
                fixed.insert(partition.topic.clone());
            }
        });
        results.push(ReassignmentChange { partition, result });
    }
    // Where their number was chosen, it is no more the size of the set that says it.
    let chosen = fixed.iter().filter_map(|name| image.topic_by_name(name));
    let chosen = chosen.filter(|topic| topic.has_default_replication_factor);
    records.extend(chosen.map(|topic| MetadataRecord::FixReplicas { topic_id: topic.id }));
    if records.len() > RECORDS_PER_REQUEST_MAX {
        records.clear();
        for result in &mut results {
            result.result = Err(ReassignError::RequestTooLarge);
        }
    }
    (records, results)
}

/// The change, if there is one, and whether it chooses the number of replicas.
fn alter_one(
    reassignment: &Reassignment,
    allows_replication_factor_change: bool,
    rules: &Rules<'_>,
) -> Result<(Option<PartitionChange>, bool), ReassignError> {
    let name = &reassignment.partition;
    let Some(topic) = rules.image.topic_by_name(&name.topic) else {
        return Err(ReassignError::UnknownTopic { topic: name.topic.clone() });
    };
    let Some(partition) = topic.partition(name.partition) else {
        return Err(ReassignError::UnknownPartition { partition: name.clone() });
    };
    let replicas = match &reassignment.replicas {
        None if !partition.is_reassigning() => return Err(ReassignError::NoReassignmentInProgress),
        None => before(partition),
        Some(replicas) => {
            check_replicas(replicas, None, rules.image)?;
            let (current, asked) = (after(partition).count(), replicas.len());
            if !allows_replication_factor_change && current != asked {
                return Err(ReassignError::ReplicationFactorChanged { current, asked });
            }
            replicas.clone()
        }
    };
    // Who stops a topic from growing does not want it to begin again.
    let chooses_count = reassignment.replicas.is_none() || replicas.len() != after(partition).count();
    let target = Target::new(topic, partition, rules.min_insync_replicas(&topic.name));
    let target = move_to(target, partition, replicas)
        .ok_or_else(|| ReassignError::Unclean { partition: name.clone() })?;
    Ok((target.decide(rules), chooses_count))
}

/// The replicas before anything moved.
fn before(partition: &PartitionImage) -> Vec<BrokerId> {
    let is_new = |broker: &BrokerId| partition.adding_replicas.contains(broker);
    partition.replicas.iter().copied().filter(|broker| !is_new(broker)).collect()
}

/// The replicas once everything has moved.
pub(super) fn after(partition: &PartitionImage) -> impl Iterator<Item = BrokerId> + '_ {
    partition.replicas.iter().copied().filter(|broker| !partition.removing_replicas.contains(broker))
}

/// Has a partition move to `replicas`; `None` where no member of its ISR would stay meanwhile.
pub(super) fn move_to<'a>(
    target: Target<'a>,
    partition: &PartitionImage,
    replicas: Vec<BrokerId>,
) -> Option<Target<'a>> {
    let before = before(partition);
    let adding = replicas.iter().copied().filter(|broker| !before.contains(broker)).collect();
    let removing: Vec<BrokerId> = before.into_iter().filter(|broker| !replicas.contains(broker)).collect();
    let meanwhile = [replicas, removing.clone()].concat();
    let isr: Vec<BrokerId> =
        partition.isr.iter().copied().filter(|broker| meanwhile.contains(broker)).collect();
    let target = target.with_replicas(meanwhile, adding, removing);
    match (isr.is_empty(), partition.isr.is_empty()) {
        (false, _) => Some(target.with_isr(isr)),
        (true, true) => Some(target),
        (true, false) => None,
    }
}
