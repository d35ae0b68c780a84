//! The uniform assignor where all members subscribe to the same topics: nobody owns two partitions more than another,
//! and no partition changes hands that need not.
//!
//! Source: UniformHomogeneousAssignmentBuilder.java. Which member gets the odd partition, and in which order free ones
//! are handed out, follows the order of the ids here (in Kafka that of a hash table).

use std::collections::BTreeSet;

use storage::ids::{PartitionIndex, TopicId};

use super::{Members, PartitionSet};

pub(super) fn assign(group: &Members<'_>) -> Vec<PartitionSet> {
    let Some(first) = group.members.first() else { return Vec::new() };
    let mut free: BTreeSet<(TopicId, PartitionIndex)> = first
        .topics
        .iter()
        .flat_map(|topic| group.partitions_of(*topic).map(|partition| (*topic, partition)))
        .collect();
    let partition_count = free.len();
    let mut assignments: Vec<PartitionSet> =
        group.members.iter().map(|member| still_valid(member.assigned, &mut free)).collect();
    let quotas = quotas(&assignments, partition_count);
    for (assignment, quota) in assignments.iter_mut().zip(&quotas) {
        give_up_beyond(assignment, *quota, &mut free);
    }
    for (assignment, quota) in assignments.iter_mut().zip(&quotas) {
        for _ in size(assignment)..*quota {
            let Some((topic, partition)) = free.pop_first() else { break };
            assignment.entry(topic).or_default().insert(partition);
        }
    }
    assert!(free.is_empty(), "the quotas add up to the number of partitions");
    assignments
}

/// How many partitions an assignment holds.
pub(super) fn size(assignment: &PartitionSet) -> usize {
    assignment.values().map(BTreeSet::len).sum()
}

/// What a member had that is there to be had: moved out of `free`.
fn still_valid(
    assigned: Option<&PartitionSet>,
    free: &mut BTreeSet<(TopicId, PartitionIndex)>,
) -> PartitionSet {
    let mut kept = PartitionSet::new();
    for (topic, partitions) in assigned.into_iter().flatten() {
        for partition in partitions {
            if free.remove(&(*topic, *partition)) {
                kept.entry(*topic).or_default().insert(*partition);
            }
        }
    }
    kept
}

/// How many each may own. Where the count does not divide, those who have more than the others already keep it.
fn quotas(assignments: &[PartitionSet], partition_count: usize) -> Vec<usize> {
    let least = partition_count / assignments.len();
    let mut odd = partition_count % assignments.len();
    let mut quotas = vec![least; assignments.len()];
    for already_more in [true, false] {
        for (quota, assignment) in quotas.iter_mut().zip(assignments) {
            if odd > 0 && (size(assignment) > least) == already_more {
                *quota += 1;
                odd -= 1;
            }
        }
    }
    quotas
}

fn give_up_beyond(
    assignment: &mut PartitionSet,
    quota: usize,
    free: &mut BTreeSet<(TopicId, PartitionIndex)>,
) {
    for _ in quota..size(assignment) {
        let Some(mut last) = assignment.last_entry() else { return };
        if let Some(partition) = last.get_mut().pop_last() {
            free.insert((*last.key(), partition));
        }
        if last.get().is_empty() {
            last.remove();
        }
    }
}
