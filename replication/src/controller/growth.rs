//! Topics whose number of replicas nobody chose grow when the set does.
//!
//! They get `default.replication.factor` replicas, or the number that belongs to an internal topic, as far as there are
//! active brokers for them. A partition that grows is reassigned with nothing to remove: what it held stays where it is, and it
//! takes records all the while. It never shrinks by itself. Each partition's replicas come in another order, so that a
//! single node's leaders spread over the set once leaders are balanced.

use crate::controller::partition_change::{Rules, Target};
use crate::controller::reassignments::{after, move_to};
use crate::controller::{Env, RECORDS_PER_REQUEST_MAX};
use crate::metadata::image::{MetadataImage, PartitionImage, TopicImage};
use crate::metadata::record::MetadataRecord;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use storage::ids::BrokerId;

/// Asks for more replicas where there are more brokers: after one was registered and is not fenced any more.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GrowReplicas {
    /// `default.replication.factor`.
    pub default_replication_factor: i16,
    /// The topics that have a default of their own (`offsets.topic.replication.factor`).
    pub replication_factors: BTreeMap<String, i16>,
}

/// How much has grown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct GrownReplicas {
    /// How many partitions get more replicas.
    pub grown: usize,
    /// Whether there are no more; where not, the same request is to be made again.
    pub is_complete: bool,
}

/// Adds replicas.
pub(super) fn grow(
    request: &GrowReplicas,
    env: &Env<'_>,
    image: &MetadataImage,
) -> (Vec<MetadataRecord>, GrownReplicas) {
    let rules = Rules::new(env, image);
    let mut load = Load::of(image);
    let mut records = Vec::new();
    for topic in image.topics().filter(|topic| topic.has_default_replication_factor) {
        let factor = request.replication_factors.get(topic.name.as_ref());
        let factor = *factor.unwrap_or(&request.default_replication_factor);
        let factor = usize::try_from(factor).unwrap_or(0).min(load.replicas.len());
        let min_insync_replicas = rules.min_insync_replicas(&topic.name);
        for partition in topic.partitions.iter().filter(|partition| after(partition).count() < factor) {
            if records.len() >= RECORDS_PER_REQUEST_MAX {
                return (records, GrownReplicas { grown: RECORDS_PER_REQUEST_MAX, is_complete: false });
            }
            let replicas = more_replicas(topic, partition, factor, &mut load);
            let target = Target::new(topic, partition, min_insync_replicas);
            let change = move_to(target, partition, replicas).and_then(|target| target.decide(&rules));
            records.extend(change.map(MetadataRecord::PartitionChange));
        }
    }
    let grown = records.len();
    (records, GrownReplicas { grown, is_complete: true })
}

/// What the partition has and, up to `factor`, brokers on other racks first, then with fewer replicas.
fn more_replicas(
    topic: &TopicImage,
    partition: &PartitionImage,
    factor: usize,
    load: &mut Load<'_>,
) -> Vec<BrokerId> {
    let mut replicas: Vec<BrokerId> = after(partition).collect();
    while replicas.len() < factor {
        let Some(next) = load.next_beside(&replicas) else { break };
        replicas.push(next);
    }
    replicas.sort_unstable();
    // A topic of one partition has its leader somewhere else than the next such topic.
    let [.., low] = *topic.id.0.as_bytes();
    let turn = usize::from(low).wrapping_add(usize::try_from(partition.index.0).unwrap_or(0));
    let count = replicas.len().max(1);
    replicas.rotate_left(turn % count);
    replicas
}

/// How many replicas each active broker holds.
struct Load<'a> {
    image: &'a MetadataImage,
    replicas: BTreeMap<BrokerId, usize>,
}

impl<'a> Load<'a> {
    fn of(image: &'a MetadataImage) -> Self {
        let active = image.brokers().keys().filter(|broker| image.is_active(**broker));
        let mut replicas: BTreeMap<BrokerId, usize> = active.map(|broker| (*broker, 0)).collect();
        for partition in image.topics().flat_map(|topic| &topic.partitions) {
            for broker in after(partition) {
                if let Some(count) = replicas.get_mut(&broker) {
                    *count += 1;
                }
            }
        }
        Self { image, replicas }
    }

    /// The best broker for one more replica, counted as taken.
    fn next_beside(&mut self, taken: &[BrokerId]) -> Option<BrokerId> {
        let rack = |broker: &BrokerId| self.image.broker(*broker).and_then(|known| known.rack.as_deref());
        let on_rack = |broker: &BrokerId| taken.iter().filter(|other| rack(other) == rack(broker)).count();
        let free = self.replicas.iter().filter(|(broker, _)| !taken.contains(broker));
        let best = free.min_by_key(|(broker, count)| (on_rack(broker), **count, **broker));
        let best = best.map(|(broker, _)| *broker)?;
        self.replicas.entry(best).and_modify(|count| *count += 1);
        Some(best)
    }
}
