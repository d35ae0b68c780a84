//! What holds whatever happens to a group: readers of either protocol come, go, vanish and restart with the other
//! protocol, answers are lost, topics grow and go, the log refuses, followers stall, the broker restarts.
//!
//! - No partition is read by two members, and none has two owners.
//! - Once nothing happens any more, everybody is a member, every partition has one owner, and nothing is written.
//! - A shard that is loaded from the log is what it was.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use proptest::prelude::*;
use storage::ids::{PartitionIndex, TopicId};

use crate::description::{ConsumerGroupDescription, GroupState};
use crate::ids::{GroupId, MemberId};
use crate::record::Record;
use crate::testing::readers::{GROUP, Protocol, Reader};
use crate::testing::{Broker, loaded_from, topic_id};

const TOPICS: [&str; 3] = ["orders", "orders-eu", "payments"];

/// What happens.
#[derive(Clone, Debug)]
enum Event {
    Step(usize),
    StepAndLoseAnswer(usize),
    Leave(usize),
    LeaveForAWhile(usize),
    /// The reader vanishes and starts anew.
    Restart(usize, Protocol, Vec<&'static str>, Option<&'static str>),
    Topic(&'static str, i32),
    Wait(u64),
    Refuse,
    Stall,
    CatchUp,
    BrokerRestarts,
}

fn event(readers: usize) -> impl Strategy<Value = Event> {
    let protocol = prop_oneof![Just(Protocol::Consumer), Just(Protocol::Classic)];
    let topics = proptest::sample::subsequence(TOPICS.to_vec(), 0..=3);
    let pattern = prop_oneof![3 => Just(None), 1 => Just(Some("orders.*"))];
    prop_oneof![
        40 => (0..readers).prop_map(Event::Step),
        4 => (0..readers).prop_map(Event::StepAndLoseAnswer),
        3 => (0..readers).prop_map(Event::Leave),
        2 => (0..readers).prop_map(Event::LeaveForAWhile),
        3 => (0..readers, protocol, topics, pattern).prop_map(|(reader, protocol, topics, pattern)| {
            Event::Restart(reader, protocol, topics, pattern)
        }),
        3 => (proptest::sample::select(TOPICS.to_vec()), 0..6).prop_map(|(topic, count)| Event::Topic(topic, count)),
        10 => (1..12_000_u64).prop_map(Event::Wait),
        1 => Just(Event::Refuse),
        1 => Just(Event::Stall),
        2 => Just(Event::CatchUp),
        1 => Just(Event::BrokerRestarts),
    ]
}

struct World {
    broker: Broker,
    readers: Vec<Reader>,
    /// Topics that were deleted. They do not come back, since a test's topic would have the same id again.
    deleted: BTreeSet<&'static str>,
}

impl World {
    fn new(readers: Vec<Reader>) -> Self {
        let mut broker = Broker::new();
        broker.topics.create("orders", 3);
        broker.topics.create("payments", 2);
        Self { broker, readers, deleted: BTreeSet::new() }
    }

    fn happen(&mut self, event: &Event) {
        let Self { broker, readers, deleted } = self;
        match event {
            Event::Step(reader) => readers[*reader].step(broker),
            Event::StepAndLoseAnswer(reader) => {
                readers[*reader].step(broker);
                readers[*reader].lose_answer();
            }
            Event::Leave(reader) => readers[*reader].leave(broker, true),
            Event::LeaveForAWhile(reader) => readers[*reader].leave(broker, false),
            Event::Restart(reader, protocol, topics, pattern) => {
                readers[*reader].restart(*protocol, topics, *pattern);
            }
            Event::Topic(name, 0) => {
                broker.topics.delete(name);
                deleted.insert(name);
            }
            Event::Topic(name, _) if deleted.contains(name) => {}
            Event::Topic(name, more) => {
                let count = broker.topics.partition_count(name);
                broker.topics.create(name, count + more);
            }
            Event::Wait(milliseconds) => broker.wait(Duration::from_millis(*milliseconds)),
            Event::Refuse => broker.is_refusing = true,
            Event::Stall => broker.is_stalled = true,
            Event::CatchUp => {
                broker.is_refusing = false;
                broker.catch_up();
            }
            Event::BrokerRestarts => {
                broker.restart();
                readers.iter_mut().for_each(Reader::lose_answer);
            }
        }
        for (reply_to, reply) in std::mem::take(&mut self.broker.answers) {
            for reader in &mut self.readers {
                reader.hear(reply_to, reply.as_ref(), &self.broker);
            }
        }
    }

    fn described(&self) -> Option<ConsumerGroupDescription> {
        self.broker.shard.describe_consumer(&GroupId::from(GROUP)).ok()
    }

    /// Nobody reads what another member reads, and no partition has two owners.
    fn check(&self) {
        let mut held = BTreeSet::new();
        let mut members: BTreeSet<MemberId> = BTreeSet::new();
        if let Some(group) = self.described() {
            for member in &group.members {
                members.insert(member.member_id.clone());
                for partition in partitions(&member.assignment) {
                    assert!(held.insert(partition), "{partition:?} has two owners: {group:?}");
                }
            }
        } else if let Ok(group) = self.broker.shard.describe_classic(&GroupId::from(GROUP), self.broker.now) {
            members.extend(group.members.iter().map(|member| member.member_id.clone()));
        }
        let mut read = BTreeMap::new();
        for reader in self.readers.iter().filter(|reader| reader.is_in()) {
            if !reader.member_id.as_ref().is_some_and(|member_id| members.contains(member_id)) {
                continue;
            }
            for partition in &reader.owned {
                let other = read.insert(*partition, &reader.member_id);
                assert_eq!(other, None, "{partition:?} is read by {:?} too", reader.member_id);
            }
        }
    }

    /// Nothing happens any more but that readers do what they do.
    fn settle(&mut self) {
        self.happen(&Event::CatchUp);
        if self.described().is_none() {
            // In a classic group the broker does not tell members of topics; they see for themselves.
            self.readers.iter_mut().for_each(Reader::see_topics);
        }
        for _ in 0..40 {
            for reader in 0..self.readers.len() {
                self.happen(&Event::Step(reader));
                self.happen(&Event::Step(reader));
            }
            self.happen(&Event::Wait(3_000));
            self.check();
        }
    }

    fn check_settled(&self) {
        for reader in &self.readers {
            assert!(reader.is_in(), "{reader:?} is a member");
        }
        let subscribed: BTreeSet<&str> =
            self.readers.iter().flat_map(|reader| reader.subscribed(&TOPICS)).collect();
        let expected: BTreeSet<(TopicId, PartitionIndex)> = subscribed
            .iter()
            .flat_map(|topic| {
                let count = self.broker.topics.partition_count(topic);
                (0..count).map(|partition| (topic_id(topic), PartitionIndex(partition)))
            })
            .collect();
        let read: Vec<_> = self.readers.iter().flat_map(|reader| reader.owned.iter().copied()).collect();
        assert_eq!(read.len(), expected.len(), "each partition has one reader: {:?}", self.readers);
        assert_eq!(BTreeSet::from_iter(read), expected);
        if let Some(group) = self.described() {
            assert_eq!(group.state, GroupState::Stable, "{group:?}");
            assert_eq!(group.members.len(), self.readers.len(), "{group:?}");
        }
    }
}

fn partitions(topics: &[crate::record::TopicPartitions]) -> impl Iterator<Item = (TopicId, PartitionIndex)> {
    topics.iter().flat_map(|topic| topic.partitions.iter().map(|partition| (topic.topic_id, *partition)))
}

fn play(mut world: World, events: &[Event]) {
    for event in events {
        world.happen(event);
        if !world.broker.is_stalled {
            world.check();
        }
    }
    world.settle();
    world.check_settled();
    check_quiet(&mut world);
    check_loaded(&world.broker);
}

/// A group that rests writes nothing, for as long as nothing changes.
fn check_quiet(world: &mut World) {
    let written = world.broker.log.len();
    for _ in 0..4 {
        (0..world.readers.len()).for_each(|reader| world.happen(&Event::Step(reader)));
        world.happen(&Event::Wait(3_000));
    }
    let more: Vec<&Record> = world.broker.log.iter().skip(written).collect();
    assert!(more.is_empty(), "{more:?}");
}

fn check_loaded(broker: &Broker) {
    let group_id = GroupId::from(GROUP);
    // A classic group is what it was only once its sessions have begun; it has properties of its own.
    if let Ok(group) = broker.shard.describe_consumer(&group_id) {
        let loaded = loaded_from(&broker.log, broker.log.len());
        assert_eq!(loaded.list(), broker.shard.list());
        assert_eq!(loaded.describe_consumer(&group_id), Ok(group));
    }
}

/// How many histories each run plays, unless `PROPTEST_CASES` says otherwise. What they found took some thousand; these
/// few keep a run short.
const HISTORIES: u32 = 64;

proptest! {
    #![proptest_config(histories())]

    #[test]
    fn consumers_share_whatever_happens(events in proptest::collection::vec(event(4), 0..150)) {
        let consumer = |name, is_static| Reader::new(name, is_static, Protocol::Consumer);
        let readers = vec![consumer("a", false), consumer("b", true), consumer("c", true), consumer("d", false)];
        let events: Vec<Event> = events.into_iter().map(without_classic).collect();
        play(World::new(readers), &events);
    }

    #[test]
    fn members_of_both_protocols_share_whatever_happens(events in proptest::collection::vec(event(4), 0..150)) {
        let readers = vec![
            Reader::new("a", false, Protocol::Consumer),
            Reader::new("b", true, Protocol::Classic),
            Reader::new("c", true, Protocol::Consumer),
            Reader::new("d", false, Protocol::Classic),
        ];
        play(World::new(readers), &events);
    }
}

fn histories() -> ProptestConfig {
    match std::env::var_os("PROPTEST_CASES") {
        Some(_) => ProptestConfig::default(),
        None => ProptestConfig::with_cases(HISTORIES),
    }
}

fn without_classic(event: Event) -> Event {
    match event {
        Event::Restart(reader, _, topics, pattern) => {
            Event::Restart(reader, Protocol::Consumer, topics, pattern)
        }
        event => event,
    }
}
