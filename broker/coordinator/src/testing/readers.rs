//! Clients of both protocols that share a group, for the properties: they join, say what they own, give up what they
//! are told to, and start anew when they are refused. Those of the classic protocol assign as their leader.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use bytes::Bytes;
use storage::ids::{PartitionIndex, TopicId};

use super::{Broker, topic_id};
use crate::error::GroupError;
use crate::group::migration::{Assignment, NamedPartitions, Subscription, subscription_bytes};
use crate::ids::{GenerationId, GroupId, InstanceId, MemberEpoch, MemberId};
use crate::output::ReplyTo;
use crate::record::TopicPartitions;
use crate::request::{
    ConsumerGroupHeartbeat, ConsumerGroupHeartbeatReply, Heartbeat, JoinGroup, JoinedGroup, LeaveGroup,
    LeavingMember, Reply, Request, SyncGroup,
};

/// The group that readers share.
pub(crate) const GROUP: &str = "g";

/// Which protocol a reader speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Protocol {
    Consumer,
    Classic,
}

/// How far a reader has come.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Phase {
    /// It is to join.
    Out,
    /// It has joined, and is to ask for its assignment; a leader brings everybody's.
    Joined(Vec<(MemberId, Bytes)>),
    /// It reads.
    In,
}

/// A reader.
#[derive(Debug)]
pub(crate) struct Reader {
    name: String,
    lives: u32,
    instance_id: Option<InstanceId>,
    protocol: Protocol,
    topics: Vec<Arc<str>>,
    pattern: Option<Arc<str>>,
    pub(crate) member_id: Option<MemberId>,
    epoch: i32,
    /// What it reads.
    pub(crate) owned: BTreeSet<(TopicId, PartitionIndex)>,
    phase: Phase,
    /// Whether it is to say what it owns.
    says_owned: bool,
    waiting: Option<ReplyTo>,
}

impl Reader {
    /// A reader that has not joined.
    pub(crate) fn new(name: &str, is_static: bool, protocol: Protocol) -> Self {
        Self {
            name: name.to_owned(),
            lives: 0,
            instance_id: is_static.then(|| name.into()),
            protocol,
            topics: vec!["orders".into()],
            pattern: None,
            member_id: None,
            epoch: 0,
            owned: BTreeSet::new(),
            phase: Phase::Out,
            says_owned: false,
            waiting: None,
        }
    }

    /// Starts as another process, perhaps with another protocol and other topics.
    pub(crate) fn restart(&mut self, protocol: Protocol, topics: &[&str], pattern: Option<&str>) {
        self.lives += 1;
        self.protocol = protocol;
        self.topics = topics.iter().map(|topic| Arc::from(*topic)).collect();
        self.pattern = pattern.filter(|_| protocol == Protocol::Consumer).map(Arc::from);
        self.member_id = None;
        self.waiting = None;
        self.start_over();
    }

    /// Whether it is a member that reads, as far as it knows.
    pub(crate) fn is_in(&self) -> bool {
        self.phase == Phase::In
    }

    /// Says that it goes, for good or for a while, and starts over.
    pub(crate) fn leave(&mut self, broker: &mut Broker, is_for_good: bool) {
        if let Some(member_id) = self.member_id.clone().filter(|_| self.phase == Phase::In) {
            let request = match self.protocol {
                Protocol::Consumer => {
                    let is_for_good = is_for_good || self.instance_id.is_none();
                    let epoch = if is_for_good { MemberEpoch::LEAVE } else { MemberEpoch::LEAVE_STATIC };
                    Request::ConsumerGroupHeartbeat(self.heartbeat(epoch))
                }
                Protocol::Classic => Request::LeaveGroup(LeaveGroup {
                    group_id: GROUP.into(),
                    members: vec![LeavingMember {
                        member_id: Some(member_id),
                        group_instance_id: self.instance_id.clone(),
                        reason: None,
                    }],
                }),
            };
            broker.ask(request);
        }
        let (protocol, pattern) = (self.protocol, self.pattern.clone());
        let topics: Vec<Arc<str>> = self.topics.clone();
        let topics: Vec<&str> = topics.iter().map(AsRef::as_ref).collect();
        self.restart(protocol, &topics, pattern.as_deref());
    }

    /// Does the next thing that a client would do, unless it waits for an answer.
    pub(crate) fn step(&mut self, broker: &mut Broker) {
        if self.waiting.is_some() {
            return;
        }
        let request = match (self.protocol, self.phase.clone()) {
            (Protocol::Consumer, Phase::Out) => {
                let id = format!("{}-{}", self.name, self.lives);
                self.member_id.get_or_insert_with(|| MemberId::from(&*id));
                Request::ConsumerGroupHeartbeat(self.heartbeat(MemberEpoch::JOIN))
            }
            (Protocol::Consumer, Phase::Joined(_) | Phase::In) => {
                Request::ConsumerGroupHeartbeat(self.heartbeat(MemberEpoch(self.epoch)))
            }
            (Protocol::Classic, Phase::Out) => Request::JoinGroup(self.join()),
            (Protocol::Classic, Phase::Joined(assignments)) => Request::SyncGroup(SyncGroup {
                group_id: GROUP.into(),
                generation_id: GenerationId(self.epoch),
                member_id: self.member(),
                group_instance_id: self.instance_id.clone(),
                protocol_type: None,
                protocol_name: None,
                assignments,
            }),
            (Protocol::Classic, Phase::In) => Request::Heartbeat(Heartbeat {
                group_id: GROUP.into(),
                generation_id: GenerationId(self.epoch),
                member_id: self.member(),
                group_instance_id: self.instance_id.clone(),
            }),
        };
        self.waiting = Some(broker.ask(request));
    }

    /// The answer that it waits for is lost. It says everything the next time.
    pub(crate) fn lose_answer(&mut self) {
        if self.waiting.take().is_some() {
            self.says_owned = true;
            if matches!(self.phase, Phase::Joined(_)) {
                self.start_over();
            }
        }
    }

    /// Topics may have changed: a classic consumer joins again.
    pub(crate) fn see_topics(&mut self) {
        if self.protocol == Protocol::Classic && self.phase == Phase::In {
            self.start_over();
        }
    }

    /// Which of these topics it reads.
    pub(crate) fn subscribed<'a>(&self, topics: &[&'a str]) -> Vec<&'a str> {
        let is_match = |topic: &str| self.pattern.is_some() && topic.starts_with("orders");
        let is_named = |topic: &str| self.topics.iter().any(|name| **name == *topic);
        topics.iter().copied().filter(|topic| is_match(topic) || is_named(topic)).collect()
    }

    /// Takes an answer, if it waits for it.
    pub(crate) fn hear(&mut self, reply_to: ReplyTo, reply: Option<&Reply>, broker: &Broker) {
        if self.waiting != Some(reply_to) {
            return;
        }
        self.waiting = None;
        match reply {
            None => self.says_owned = true,
            Some(Reply::ConsumerGroupHeartbeat(Ok(reply))) => self.alive(reply),
            Some(Reply::JoinGroup(Ok(joined))) => self.joined(joined, broker),
            Some(Reply::SyncGroup(Ok(synced))) => {
                let assignment = Assignment::read(&synced.assignment).expect("an assignment");
                let each = assignment.partitions.iter().flat_map(|(topic, partitions)| {
                    partitions.iter().map(move |partition| (topic_id(topic), *partition))
                });
                self.owned = each.collect();
                self.phase = Phase::In;
            }
            Some(Reply::Heartbeat(Ok(()))) => {}
            Some(
                Reply::ConsumerGroupHeartbeat(Err(error))
                | Reply::JoinGroup(Err(error))
                | Reply::SyncGroup(Err(error))
                | Reply::Heartbeat(Err(error)),
            ) => self.refused(error),
            Some(other) => panic!("nobody asked for {other:?}"),
        }
    }

    fn alive(&mut self, reply: &ConsumerGroupHeartbeatReply) {
        self.epoch = reply.member_epoch.0;
        self.phase = Phase::In;
        self.says_owned = false;
        if let Some(assignment) = &reply.assignment {
            let each = assignment
                .iter()
                .flat_map(|topic| topic.partitions.iter().map(|partition| (topic.topic_id, *partition)));
            let assigned: BTreeSet<_> = each.collect();
            self.says_owned = assigned != self.owned;
            self.owned = assigned;
        }
    }

    fn joined(&mut self, joined: &JoinedGroup, broker: &Broker) {
        self.member_id = Some(joined.member_id.clone());
        self.epoch = joined.generation_id.0;
        let is_leader = joined.leader == joined.member_id && !joined.skip_assignment;
        let assignments = if is_leader { assign(joined, broker) } else { Vec::new() };
        self.phase = Phase::Joined(assignments);
    }

    fn refused(&mut self, error: &GroupError) {
        match error {
            GroupError::MemberIdRequired(member_id) => {
                self.member_id = Some(member_id.clone());
                self.phase = Phase::Out;
            }
            // An eager consumer gives up everything before it joins again.
            GroupError::RebalanceInProgress | GroupError::IllegalGeneration => self.start_over(),
            GroupError::FencedInstanceId | GroupError::UnknownMemberId(_) => {
                self.member_id = None;
                self.lives += 1;
                self.start_over();
            }
            _ => self.start_over(),
        }
    }

    fn start_over(&mut self) {
        self.owned.clear();
        self.epoch = 0;
        self.phase = Phase::Out;
        self.says_owned = false;
    }

    fn member(&self) -> MemberId {
        self.member_id.clone().unwrap_or_else(|| MemberId::from(""))
    }

    fn heartbeat(&self, epoch: MemberEpoch) -> ConsumerGroupHeartbeat {
        let is_joining = epoch == MemberEpoch::JOIN;
        let says_all = is_joining || self.says_owned;
        let mut owned: BTreeMap<TopicId, Vec<PartitionIndex>> = BTreeMap::new();
        for (topic, partition) in self.owned.iter().filter(|_| !is_joining) {
            owned.entry(*topic).or_default().push(*partition);
        }
        let owned = owned.into_iter().map(|(topic_id, partitions)| TopicPartitions { topic_id, partitions });
        ConsumerGroupHeartbeat {
            group_id: GroupId::from(GROUP),
            member_id: self.member(),
            is_named_by_client: true,
            member_epoch: epoch,
            instance_id: self.instance_id.clone(),
            rack_id: None,
            rebalance_timeout_ms: if says_all { 60_000 } else { -1 },
            client_id: self.name.as_str().into(),
            client_host: "/127.0.0.1".into(),
            subscribed_topic_names: says_all.then(|| self.topics.clone()),
            subscribed_topic_regex: self.pattern.clone().filter(|_| says_all),
            server_assignor: None,
            owned: says_all.then(|| owned.collect()),
        }
    }

    fn join(&self) -> JoinGroup {
        JoinGroup {
            group_id: GROUP.into(),
            member_id: self.member_id.clone(),
            group_instance_id: self.instance_id.clone(),
            client_id: self.name.as_str().into(),
            client_host: "/127.0.0.1".into(),
            session_timeout_ms: 10_000,
            rebalance_timeout_ms: 30_000,
            protocol_type: "consumer".into(),
            protocols: vec![("range".into(), subscription_bytes(&self.topics))],
            requires_known_member_id: true,
            supports_skipping_assignment: true,
        }
    }
}

/// Deals the partitions of each topic to those who read it.
fn assign(joined: &JoinedGroup, broker: &Broker) -> Vec<(MemberId, Bytes)> {
    let mut hands: BTreeMap<MemberId, Vec<NamedPartitions>> = BTreeMap::new();
    let mut readers: BTreeMap<Arc<str>, Vec<&MemberId>> = BTreeMap::new();
    for member in &joined.members {
        hands.insert(member.member_id.clone(), Vec::new());
        for topic in Subscription::read(&member.metadata).expect("a subscription").topics {
            readers.entry(topic).or_default().push(&member.member_id);
        }
    }
    for (topic, readers) in readers {
        let count = broker.topics.partition_count(&topic);
        for (partition, reader) in (0..count).zip(readers.iter().cycle()) {
            let hand = hands.get_mut(*reader).expect("every member has one");
            hand.push((topic.clone(), vec![PartitionIndex(partition)]));
        }
    }
    let version = [0, 1];
    hands
        .into_iter()
        .map(|(member_id, hand)| (member_id, Assignment::write(&hand, &version).expect("few partitions")))
        .collect()
}
