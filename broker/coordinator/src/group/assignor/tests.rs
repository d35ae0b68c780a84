//! What assignors promise, on groups made by chance, and their choices where those are written down.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
use storage::ids::{PartitionIndex, TopicId};

use super::uniform::size;
use super::{Assignor, AssignorMember, Members, PartitionSet, assign};
use crate::ids::InstanceId;

/// A member: the topics that it subscribes to, by number, and the instance id that it may have.
type Subscriber = (BTreeSet<u8>, Option<InstanceId>);

fn topic(number: u8) -> TopicId {
    TopicId::from_bytes([number + 1; 16])
}

/// Assigns, where the topic of number n has `counts[n]` partitions.
fn assigned(
    assignor: Assignor,
    subscribers: &[Subscriber],
    before: &[PartitionSet],
    counts: &[i32],
) -> Vec<PartitionSet> {
    let partition_counts: BTreeMap<TopicId, i32> = (0..).map(topic).zip(counts.iter().copied()).collect();
    let topics: Vec<BTreeSet<TopicId>> =
        subscribers.iter().map(|(topics, _)| topics.iter().map(|number| topic(*number)).collect()).collect();
    let members = subscribers
        .iter()
        .zip(&topics)
        .enumerate()
        .map(|(index, ((_, instance_id), topics))| AssignorMember {
            instance_id: instance_id.as_ref(),
            topics,
            assigned: before.get(index),
        })
        .collect();
    assign(assignor, &Members { members, partition_counts: &partition_counts })
}

fn alike(members: usize, topics: u8) -> Vec<Subscriber> {
    vec![((0..topics).collect(), None); members]
}

/// As one would write it down: `0: 0-2 5, 1: 7`.
fn text(assignment: &PartitionSet) -> String {
    let topics = assignment.iter().map(|(topic, partitions)| {
        let partitions: Vec<String> = partitions.iter().map(PartitionIndex::to_string).collect();
        format!("{}: {}", topic.0.as_bytes()[0] - 1, partitions.join(" "))
    });
    topics.collect::<Vec<_>>().join(", ")
}

fn texts(assignments: &[PartitionSet]) -> Vec<String> {
    assignments.iter().map(text).collect()
}

#[test]
fn range_gives_the_odd_partitions_to_the_first_members() {
    let assignments = assigned(Assignor::Range, &alike(3, 2), &[], &[7, 2]);
    assert_eq!(texts(&assignments), ["0: 0 1 2, 1: 0", "0: 3 4, 1: 1", "0: 5 6"]);
}

#[test]
fn range_counts_only_those_who_subscribe_to_the_topic() {
    let subscribers =
        [(BTreeSet::from([0]), None), (BTreeSet::from([0, 1]), None), (BTreeSet::from([1]), None)];
    let assignments = assigned(Assignor::Range, &subscribers, &[], &[4, 3]);
    assert_eq!(texts(&assignments), ["0: 0 1", "0: 2 3, 1: 0 1", "1: 2"]);
}

#[test]
fn range_puts_static_members_first_in_the_order_of_their_instance_ids() {
    let named = |name: &str| (BTreeSet::from([0]), Some(InstanceId::from(name)));
    let subscribers = [(BTreeSet::from([0]), None), named("b"), named("a")];
    let assignments = assigned(Assignor::Range, &subscribers, &[], &[3]);
    assert_eq!(texts(&assignments), ["0: 2", "0: 1", "0: 0"]);
}

#[test]
fn uniform_moves_only_what_a_new_member_is_due() {
    let before = assigned(Assignor::Uniform, &alike(2, 1), &[], &[6]);
    assert_eq!(texts(&before), ["0: 0 1 2", "0: 3 4 5"]);
    let after = assigned(Assignor::Uniform, &alike(3, 1), &before, &[6]);
    assert_eq!(texts(&after), ["0: 0 1", "0: 3 4", "0: 2 5"]);
}

#[test]
fn uniform_lets_whoever_has_the_odd_partition_keep_it() {
    let before = [PartitionSet::new(), PartitionSet::from([(topic(0), [0, 1].map(PartitionIndex).into())])];
    let after = assigned(Assignor::Uniform, &alike(2, 1), &before, &[3]);
    assert_eq!(texts(&after), ["0: 2", "0: 0 1"]);
}

#[test]
fn uniform_gives_a_topic_of_few_subscribers_to_them_and_the_others_the_rest() {
    let subscribers = [(BTreeSet::from([0, 1]), None), (BTreeSet::from([0]), None)];
    let assignments = assigned(Assignor::Uniform, &subscribers, &[], &[4, 2]);
    assert_eq!(texts(&assignments), ["0: 2, 1: 0 1", "0: 0 1 3"]);
}

#[test]
fn a_partition_that_is_no_more_is_not_assigned() {
    let before = [PartitionSet::from([
        (topic(0), [0, 9].map(PartitionIndex).into()),
        (topic(7), [PartitionIndex(0)].into()),
    ])];
    for subscribers in [alike(1, 1), vec![(BTreeSet::from([0]), None), (BTreeSet::new(), None)]] {
        let after = assigned(Assignor::Uniform, &subscribers, &before, &[2]);
        assert_eq!(text(&after[0]), "0: 0 1");
    }
}

#[test]
fn nobody_is_given_nothing() {
    assert!(assigned(Assignor::Uniform, &[], &[], &[3]).is_empty());
    assert!(assigned(Assignor::Range, &[], &[], &[3]).is_empty());
}

/// Every partition of a subscribed topic has one owner, who subscribes to it.
fn assert_complete(subscribers: &[Subscriber], counts: &[i32], assignments: &[PartitionSet]) {
    let mut owned = BTreeMap::new();
    for (assignment, (topics, _)) in assignments.iter().zip(subscribers) {
        for (id, partitions) in assignment {
            assert!(topics.iter().any(|number| topic(*number) == *id), "{id} goes to a subscriber");
            assert!(!partitions.is_empty(), "no topic without partitions");
            for partition in partitions {
                assert!(owned.insert((*id, *partition), ()).is_none(), "{id}-{partition} has one owner");
            }
        }
    }
    let subscribed: BTreeSet<u8> =
        subscribers.iter().flat_map(|(topics, _)| topics.iter().copied()).collect();
    let expected: i32 = subscribed.iter().map(|number| counts[usize::from(*number)]).sum();
    assert_eq!(owned.len(), usize::try_from(expected).unwrap());
}

/// How many partitions have another owner than before, or have one for the first time.
fn gained(before: &[PartitionSet], after: &[PartitionSet]) -> usize {
    let pairs = after.iter().enumerate().map(|(index, now)| (before.get(index), now));
    pairs.map(|(then, now)| size(now) - kept(then, now)).sum()
}

fn kept(then: Option<&PartitionSet>, now: &PartitionSet) -> usize {
    let topics = then.into_iter().flatten();
    topics
        .map(|(topic, partitions)| now.get(topic).map_or(0, |now| partitions.intersection(now).count()))
        .sum()
}

const TOPICS: u8 = 4;

fn counts() -> impl Strategy<Value = Vec<i32>> {
    proptest::collection::vec(0..12, usize::from(TOPICS))
}

fn subscribers() -> impl Strategy<Value = Vec<Subscriber>> {
    let instance_id =
        proptest::option::of((0..40_u8).prop_map(|number| InstanceId::from(&*format!("i{number}"))));
    proptest::collection::vec((proptest::collection::btree_set(0..TOPICS, 0..=4), instance_id), 1..9)
}

proptest! {
    #[test]
    fn every_partition_has_one_owner(
        first in subscribers(), second in subscribers(), counts in counts(), more in counts(),
    ) {
        for assignor in [Assignor::Uniform, Assignor::Range] {
            let before = assigned(assignor, &first, &[], &counts);
            assert_complete(&first, &counts, &before);
            let grown: Vec<i32> = counts.iter().zip(&more).map(|(count, more)| count + more).collect();
            let after = assigned(assignor, &second, &before, &grown);
            assert_complete(&second, &grown, &after);
            prop_assert_eq!(&after, &assigned(assignor, &second, &before, &grown));
        }
    }

    #[test]
    fn uniform_stays_as_it_is_while_nothing_changes(members in subscribers(), counts in counts()) {
        let before = assigned(Assignor::Uniform, &members, &[], &counts);
        prop_assert_eq!(&before, &assigned(Assignor::Uniform, &members, &before, &counts));
    }

    #[test]
    fn uniform_is_even_and_moves_no_more_than_it_must(
        members in 1..12_usize, joining in 0..12_usize, leaving in 0..12_usize, counts in counts(),
    ) {
        let before = assigned(Assignor::Uniform, &alike(members, TOPICS), &[], &counts);
        let staying: Vec<PartitionSet> = before.iter().skip(leaving).cloned().collect();
        let count = staying.len() + joining;
        prop_assume!(count > 0);
        let after = assigned(Assignor::Uniform, &alike(count, TOPICS), &staying, &counts);
        let sizes = after.iter().map(size);
        prop_assert!(sizes.clone().max() <= sizes.clone().min().map(|least| least + 1), "even: {:?}", sizes.collect::<Vec<_>>());
        // Each may keep its fair share, and as many as there are odd partitions one more.
        let total: usize = usize::try_from(counts.iter().sum::<i32>()).unwrap();
        let (least, odd) = (total / count, total % count);
        let more_than_least = staying.iter().filter(|assignment| size(assignment) > least).count();
        let keepable: usize = staying.iter().map(|assignment| size(assignment).min(least)).sum();
        prop_assert_eq!(gained(&staying, &after), total - keepable - more_than_least.min(odd));
    }

    #[test]
    fn uniform_leaves_no_subscriber_two_behind_the_owner_of_its_topic(members in subscribers(), counts in counts()) {
        let after = assigned(Assignor::Uniform, &members, &[], &counts);
        for (owner, assignment) in after.iter().enumerate() {
            for (other, (topics, _)) in members.iter().enumerate() {
                let could_take = assignment.keys().any(|id| topics.iter().any(|number| topic(*number) == *id));
                prop_assert!(
                    !could_take || size(assignment) <= size(&after[other]) + 1,
                    "{} of {} could go to {}: {:?}", owner, text(assignment), other, texts(&after)
                );
            }
        }
    }
}
