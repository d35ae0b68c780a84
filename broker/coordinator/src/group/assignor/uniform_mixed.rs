//! The uniform assignor where members subscribe to different topics: each partition stays where it is while that is
//! fair, free ones go to whoever has least among the subscribers, and then partitions move from those who have much to
//! those who have little, topic by topic.
//!
//! A perfect balance is not always found (that is a flow problem); the rounds end when nothing moves, or after
//! [`ROUNDS_MAX`]. Source: UniformHeterogeneousAssignmentBuilder.java.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap};

use storage::ids::{PartitionIndex, TopicId};

use super::{Members, PartitionSet};

/// How often all topics are looked at. Fewer leave members with more than others, more cost time that hardly any
/// group needs: each round only moves what an earlier one made movable.
const ROUNDS_MAX: usize = 16;

pub(super) fn assign(group: &Members<'_>) -> Vec<PartitionSet> {
    let mut spread = Spread::of_what_is_still_valid(group);
    let topics = spread.topics_hardest_first();
    for topic in &topics {
        spread.hand_out_free(*topic);
    }
    for _ in 0..ROUNDS_MAX {
        let moved: usize = topics.iter().map(|topic| spread.balance(*topic)).sum();
        if moved == 0 {
            break;
        }
    }
    spread.into_assignments(group.members.len())
}

/// A topic: who may own its partitions, and who does. Members are named by their place in the group.
struct Topic {
    subscribers: Vec<usize>,
    owners: Vec<Option<usize>>,
}

struct Spread {
    topics: BTreeMap<TopicId, Topic>,
    /// How many partitions each member owns.
    loads: Vec<usize>,
}

impl Spread {
    fn of_what_is_still_valid(group: &Members<'_>) -> Self {
        let mut topics: BTreeMap<TopicId, Topic> = BTreeMap::new();
        for (index, member) in group.members.iter().enumerate() {
            for topic in member.topics {
                let entry = topics.entry(*topic).or_insert_with(|| Topic {
                    subscribers: Vec::new(),
                    owners: group.partitions_of(*topic).map(|_| None).collect(),
                });
                entry.subscribers.push(index);
            }
        }
        let mut spread = Self { topics, loads: vec![0; group.members.len()] };
        for (index, member) in group.members.iter().enumerate() {
            for (topic, partitions) in member.assigned.into_iter().flatten() {
                if member.topics.contains(topic) {
                    spread.keep(index, *topic, partitions);
                }
            }
        }
        spread
    }

    fn keep(&mut self, member: usize, topic: TopicId, partitions: &BTreeSet<PartitionIndex>) {
        let Some(topic) = self.topics.get_mut(&topic) else { return };
        for partition in partitions {
            let slot = usize::try_from(partition.0).ok().and_then(|index| topic.owners.get_mut(index));
            if let Some(owner @ None) = slot {
                *owner = Some(member);
                self.loads[member] += 1;
            }
        }
    }

    /// Topics with many partitions for few subscribers come first: they leave the least choice.
    fn topics_hardest_first(&self) -> Vec<TopicId> {
        let mut order: Vec<(TopicId, usize, usize)> = self
            .topics
            .iter()
            .map(|(topic, members)| (*topic, members.owners.len(), members.subscribers.len()))
            .collect();
        order.sort_by(|(one, partitions, subscribers), (other, other_partitions, other_subscribers)| {
            (other_partitions * subscribers)
                .cmp(&(partitions * other_subscribers))
                .then(subscribers.cmp(other_subscribers))
                .then(one.cmp(other))
        });
        order.into_iter().map(|(topic, _, _)| topic).collect()
    }

    fn hand_out_free(&mut self, topic: TopicId) {
        let Some(topic) = self.topics.get_mut(&topic) else { return };
        if topic.owners.iter().all(Option::is_some) {
            return;
        }
        let mut least_first: BinaryHeap<Reverse<(usize, usize)>> =
            topic.subscribers.iter().map(|member| Reverse((self.loads[*member], *member))).collect();
        for owner in topic.owners.iter_mut().filter(|owner| owner.is_none()) {
            let Some(Reverse((load, member))) = least_first.pop() else { return };
            *owner = Some(member);
            self.loads[member] = load + 1;
            least_first.push(Reverse((load + 1, member)));
        }
    }

    /// Moves partitions of this topic until no owner has two more than a subscriber. Answers how many moved.
    fn balance(&mut self, topic: TopicId) -> usize {
        let Some(topic) = self.topics.get_mut(&topic) else { return 0 };
        let loads = || topic.subscribers.iter().map(|member| self.loads[*member]);
        if loads().max().unwrap_or(0) - loads().min().unwrap_or(0) <= 1 {
            return 0;
        }
        let mut owned: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
        for (partition, owner) in topic.owners.iter().enumerate() {
            if let Some(owner) = owner {
                owned.entry(*owner).or_default().push(partition);
            }
        }
        let mut takers: BTreeSet<(usize, usize)> =
            topic.subscribers.iter().map(|member| (self.loads[*member], *member)).collect();
        let mut givers: BTreeSet<(usize, usize)> =
            owned.keys().map(|member| (self.loads[*member], *member)).collect();
        let mut moved = 0;
        while let (Some(giver), Some(taker)) = (givers.last().copied(), takers.first().copied()) {
            if giver.0 <= taker.0 + 1 {
                break;
            }
            givers.remove(&giver);
            takers.remove(&giver);
            takers.remove(&taker);
            givers.remove(&taker);
            let from = owned.entry(giver.1).or_default();
            let partition = from.pop().expect("a giver owns a partition of the topic");
            if !from.is_empty() {
                givers.insert((giver.0 - 1, giver.1));
            }
            takers.insert((giver.0 - 1, giver.1));
            owned.entry(taker.1).or_default().push(partition);
            takers.insert((taker.0 + 1, taker.1));
            givers.insert((taker.0 + 1, taker.1));
            topic.owners[partition] = Some(taker.1);
            self.loads[giver.1] -= 1;
            self.loads[taker.1] += 1;
            moved += 1;
        }
        moved
    }

    fn into_assignments(self, member_count: usize) -> Vec<PartitionSet> {
        let mut assignments = vec![PartitionSet::new(); member_count];
        for (topic, members) in self.topics {
            for (owner, partition) in members.owners.into_iter().zip(0..) {
                if let Some(owner) = owner {
                    assignments[owner].entry(topic).or_default().insert(PartitionIndex(partition));
                }
            }
        }
        assignments
    }
}
