//! What holds of a shard whatever happens: clients that come, go, restart and vanish, a log that refuses, followers that
//! fall behind, a coordinator that is lost.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use proptest::prelude::*;
use storage::ids::{LeaderEpoch, Offset, PartitionIndex};

use crate::description::{GroupState, OffsetFetch};
use crate::ids::{GenerationId, GroupId};
use crate::output::ReplyTo;
use crate::record::{ClassicGroupValue, Record};
use crate::request::{CommittingOffset, OffsetCommit, Reply, Request};
use crate::shard::GroupShard;
use crate::testing::clients::{Client, Phase};
use crate::testing::{Broker, loaded_from, topic_id};

/// What can happen.
#[derive(Clone, Debug)]
enum Event {
    /// A client does the next thing that it would do.
    Step(usize),
    /// A client's process starts anew.
    Restart(usize),
    /// A client leaves.
    Leave(usize),
    /// A client commits an offset.
    Commit(usize, i64),
    /// Somebody who is no member does.
    CommitAsNobody(i64),
    Wait(u64),
    LogRefuses(bool),
    FollowersStall(bool),
    /// The coordinator is lost, and another loads the shard.
    Failover,
    Expire,
    Delete,
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        16 => (0..CLIENTS).prop_map(Event::Step),
        2 => (0..CLIENTS).prop_map(Event::Restart),
        1 => (0..CLIENTS).prop_map(Event::Leave),
        4 => (0..CLIENTS, 0..100_i64).prop_map(|(client, offset)| Event::Commit(client, offset)),
        1 => (0..100_i64).prop_map(Event::CommitAsNobody),
        6 => (0..15_000_u64).prop_map(Event::Wait),
        1 => any::<bool>().prop_map(Event::LogRefuses),
        1 => any::<bool>().prop_map(Event::FollowersStall),
        1 => Just(Event::Failover),
        1 => Just(Event::Expire),
        1 => Just(Event::Delete),
    ]
}

const CLIENTS: usize = 4;
const GROUP: &str = "g";

/// How long everybody may take to be in a stable group: a few of their sessions of 10 s and rebalances of 20 s.
const SETTLING_SECONDS: usize = 120;

/// What is known of the world, to check what is told of it.
struct World {
    broker: Broker,
    clients: Vec<Client>,
    /// Requests that wait for an answer.
    open: BTreeSet<ReplyTo>,
    asked: u64,
}

impl World {
    fn new() -> Self {
        let clients =
            (0..CLIENTS).map(|index| Client::new(&format!("c{index}"), GROUP, index == 0)).collect();
        let mut broker = Broker::new();
        broker.topics.create("orders", 3);
        Self { broker, clients, open: BTreeSet::new(), asked: 0 }
    }

    fn play(&mut self, event: &Event) {
        self.happen(event);
        self.check();
    }

    fn happen(&mut self, event: &Event) {
        let Self { broker, clients, .. } = self;
        match event {
            Event::Step(client) => clients[*client].step(broker),
            Event::Restart(client) => clients[*client].restart(),
            Event::Leave(client) => clients[*client].leave(broker),
            Event::Commit(client, offset) => {
                let client = &clients[*client];
                broker.ask(commit(
                    client.member().as_str(),
                    client.generation_id.0,
                    client.instance_id.clone(),
                    *offset,
                ));
            }
            Event::CommitAsNobody(offset) => {
                broker.ask(commit("", -1, None, *offset));
            }
            Event::Wait(milliseconds) => broker.wait(Duration::from_millis(*milliseconds)),
            Event::LogRefuses(refuses) => broker.is_refusing = *refuses,
            Event::FollowersStall(true) => broker.is_stalled = true,
            Event::FollowersStall(false) => broker.catch_up(),
            Event::Failover => self.fail_over(),
            Event::Expire => broker.call(GroupShard::expire_offsets),
            Event::Delete => {
                broker.ask(Request::DeleteGroup(GroupId::from(GROUP)));
            }
        }
        self.hear();
    }

    /// The coordinator is lost with what followers do not have; whoever waits is answered by the one that is no more.
    fn fail_over(&mut self) {
        let broker = &mut self.broker;
        let is_refusing = std::mem::replace(&mut broker.is_refusing, false);
        broker.call(|shard, _, output| shard.unload(output));
        broker.lose_uncommitted();
        broker.is_stalled = false;
        broker.restart();
        broker.is_refusing = is_refusing;
    }

    /// Every answer is one to somebody who waits for it, and tells what was written.
    fn hear(&mut self) {
        for asked in self.asked..self.broker.asked() {
            self.open.insert(ReplyTo(asked));
        }
        self.asked = self.broker.asked();
        for (reply_to, reply) in std::mem::take(&mut self.broker.answers) {
            assert!(self.open.remove(&reply_to), "{reply_to:?} was answered twice");
            let syncing = self.clients.iter().find(|client| client.phase == Phase::Syncing(reply_to));
            if let (Some(client), Some(Reply::SyncGroup(Ok(synced)))) = (syncing, &reply) {
                let written = self.last_value_of(client.generation_id);
                let written = written.expect("an assignment is written before it is told");
                let theirs = written.members.iter().find(|member| member.member_id == client.member());
                assert_eq!(theirs.map(|member| &member.assignment), Some(&synced.assignment));
            }
            self.clients.iter_mut().for_each(|client| client.hear(reply_to, reply.as_ref()));
        }
    }

    fn check(&self) {
        self.check_generations();
        self.check_owners();
        self.check_offsets();
        self.check_replay();
    }

    /// A group's generation never goes back in the log, unless the group was deleted in between.
    fn check_generations(&self) {
        let mut last = None;
        for record in &self.broker.log {
            let Record::ClassicGroup { value, .. } = record else { continue };
            let generation = value.as_ref().map(|value| value.generation_id);
            assert!(generation.is_none() || last <= generation, "{last:?} before {generation:?}");
            last = generation;
        }
    }

    /// Nobody is assigned what another is in the same generation.
    fn check_owners(&self) {
        for record in &self.broker.log {
            let Record::ClassicGroup { value: Some(value), .. } = record else { continue };
            let assignments =
                value.members.iter().map(|member| &member.assignment).filter(|owned| !owned.is_empty());
            let distinct: BTreeSet<_> = assignments.clone().collect();
            assert_eq!(distinct.len(), assignments.count());
        }
    }

    /// What is read is exactly what the committed part of the log says, so nothing goes back by itself.
    fn check_offsets(&self) {
        let mut expected: BTreeMap<(Arc<str>, PartitionIndex), Offset> = BTreeMap::new();
        for record in &self.broker.log[..self.broker.high_watermark] {
            let Record::OffsetCommit { topic, partition, value, .. } = record else { continue };
            match value {
                Some(value) => expected.insert((topic.clone(), *partition), value.offset),
                None => expected.remove(&(topic.clone(), *partition)),
            };
        }
        let all = OffsetFetch { group_id: GroupId::from(GROUP), member: None, partitions: None };
        let fetched = self.broker.shard.fetch_offsets(&all).expect("everybody may read");
        let told: BTreeMap<_, _> = fetched
            .into_iter()
            .filter_map(|offset| Some(((offset.topic, offset.partition), offset.committed?.0)))
            .collect();
        assert_eq!(told, expected);
    }

    /// Whoever loads the log knows what is told here, but for who is joining.
    fn check_replay(&self) {
        let broker = &self.broker;
        let mut replica = Broker::new();
        replica.log = broker.log[..broker.high_watermark].to_vec();
        replica.high_watermark = broker.high_watermark;
        replica.now = broker.now;
        replica.is_refusing = true;
        replica.restart();
        let group_id = GroupId::from(GROUP);
        let here = broker.shard.describe_classic(&group_id, broker.now);
        let there = replica.shard.describe_classic(&group_id, broker.now);
        match &here {
            Ok(described) if matches!(described.state, GroupState::Stable | GroupState::Empty) => {
                assert_eq!(there.as_ref(), Ok(described));
            }
            Ok(_) => assert!(there.is_ok()),
            Err(error) => assert_eq!(there.as_ref(), Err(error)),
        }
    }

    fn last_value_of(&self, generation_id: GenerationId) -> Option<&ClassicGroupValue> {
        self.broker.log.iter().rev().find_map(|record| match record {
            Record::ClassicGroup { value, .. } => {
                value.as_ref().filter(|value| value.generation_id == generation_id)
            }
            _ => None,
        })
    }

    /// Once the world is as it should be, everybody who keeps trying is in a stable group, of one generation, before
    /// long.
    fn settle(&mut self) {
        self.play(&Event::LogRefuses(false));
        self.play(&Event::FollowersStall(false));
        for _ in 0..SETTLING_SECONDS {
            for client in 0..CLIENTS {
                self.happen(&Event::Step(client));
            }
            self.happen(&Event::Wait(1_000));
        }
        self.check();
        let described = self.broker.shard.describe_classic(&GroupId::from(GROUP), self.broker.now);
        let described = described.expect("the group is there");
        assert_eq!((described.state, described.members.len()), (GroupState::Stable, CLIENTS));
        let generations: BTreeSet<_> = self.clients.iter().map(|client| client.generation_id).collect();
        assert_eq!(generations.len(), 1);
        let owned: BTreeSet<_> = described.members.iter().map(|member| &member.assignment).collect();
        assert_eq!(owned.len(), CLIENTS, "everybody owns something that nobody else does");
    }
}

fn commit(
    member_id: &str,
    generation_id_or_member_epoch: i32,
    group_instance_id: Option<crate::ids::InstanceId>,
    offset: i64,
) -> Request {
    let partition = PartitionIndex(i32::try_from(offset % 3).expect("small"));
    Request::OffsetCommit(OffsetCommit {
        group_id: GroupId::from(GROUP),
        member_id: member_id.into(),
        generation_id_or_member_epoch,
        group_instance_id,
        retention: None,
        supports_consumer_protocol: true,
        names_topics_by_id: false,
        offsets: vec![CommittingOffset {
            topic: "orders".into(),
            topic_id: topic_id("orders"),
            partition,
            offset: Offset(offset),
            leader_epoch: LeaderEpoch::NONE,
            metadata: "".into(),
        }],
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 100, ..ProptestConfig::default() })]

    #[test]
    fn whatever_happens_nothing_is_told_that_is_not_so(events in prop::collection::vec(event(), 1..120)) {
        let mut world = World::new();
        events.iter().for_each(|event| world.play(event));
        world.settle();
    }

    #[test]
    fn everybody_who_asks_is_answered_once(events in prop::collection::vec(event(), 1..120)) {
        let mut world = World::new();
        events.iter().for_each(|event| world.play(event));
        world.play(&Event::LogRefuses(false));
        world.play(&Event::FollowersStall(false));
        world.broker.call(|shard, _, output| shard.unload(output));
        world.hear();
        prop_assert!(world.open.is_empty(), "{:?} were never answered", world.open);
    }

    #[test]
    fn loading_in_one_go_or_record_by_record_is_the_same(events in prop::collection::vec(event(), 1..80)) {
        let mut world = World::new();
        events.iter().for_each(|event| world.play(event));
        let log = &world.broker.log;
        let known = loaded_from(log, log.len());
        let mut learned = loaded_from(log, 0);
        for high_watermark in 0..=log.len() {
            learned.committed(Offset(i64::try_from(high_watermark).expect("small")));
        }
        prop_assert_eq!(format!("{:?}", known.list()), format!("{:?}", learned.list()));
        let told = |shard: &GroupShard| {
            shard.committed_offsets().map(|(_, _, index, value)| (index, value.offset)).collect::<Vec<_>>()
        };
        prop_assert_eq!(told(&known), told(&learned));
    }
}
