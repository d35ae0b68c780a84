//! The range assignor: the members in order take consecutive partitions of each topic that they subscribe to, so that
//! topics with equally many partitions are split at the same places and can be joined.
//!
//! Static members come first, in the order of their instance ids, so that a member that comes back under a new id
//! finds the partitions that it left. Source: RangeAssignor.java.

use std::collections::BTreeMap;

use storage::ids::{PartitionIndex, TopicId};

use super::{Members, PartitionSet};

/// What is left of a topic while members take their ranges.
struct Remaining {
    /// How many members have yet to take theirs.
    members: i32,
    /// The first partition that nobody has taken.
    next: i32,
    /// The end, exclusive.
    end: i32,
}

impl Remaining {
    /// The next range: the first members take one partition more where the count does not divide.
    fn take(&mut self) -> std::ops::Range<i32> {
        let start = self.next;
        let length = self.end - start;
        self.next += length / self.members + i32::from(length % self.members > 0);
        self.members -= 1;
        start..self.next
    }
}

pub(super) fn assign(group: &Members<'_>) -> Vec<PartitionSet> {
    let mut topics: BTreeMap<TopicId, Remaining> = BTreeMap::new();
    for topic in group.members.iter().flat_map(|member| member.topics) {
        let end = group.partition_counts.get(topic).copied().unwrap_or(0);
        topics.entry(*topic).or_insert(Remaining { members: 0, next: 0, end }).members += 1;
    }
    let mut assignments = vec![PartitionSet::new(); group.members.len()];
    for index in static_members_first(group) {
        for topic in group.members[index].topics {
            let range = topics.get_mut(topic).expect("every topic was counted above").take();
            if !range.is_empty() {
                assignments[index].insert(*topic, range.map(PartitionIndex).collect());
            }
        }
    }
    assignments
}

fn static_members_first(group: &Members<'_>) -> Vec<usize> {
    let mut order: Vec<usize> = (0..group.members.len()).collect();
    order.sort_by_key(|index| {
        let instance_id = group.members[*index].instance_id;
        (instance_id.is_none(), instance_id, *index)
    });
    order
}
