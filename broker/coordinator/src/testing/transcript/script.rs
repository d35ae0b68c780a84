//! What can happen in a transcript: `who does what [key=value …]`.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::{BufMut, Bytes, BytesMut};
use storage::ids::{LeaderEpoch, Offset, PartitionIndex};

use super::{consumer, print};
use crate::description::OffsetFetch;
use crate::error::GroupError;
use crate::ids::{GenerationId, GroupId, InstanceId, MemberId};
use crate::output::ReplyTo;
use crate::request::{
    CommittingOffset, Heartbeat, JoinGroup, LeaveGroup, LeavingMember, OffsetCommit, OffsetDelete, Reply,
    Request, SyncGroup,
};
use crate::shard::GroupShard;
use crate::testing::Broker;

/// A story that is being played.
pub(super) struct Script {
    broker: Broker,
    /// Who waits for which answer.
    callers: BTreeMap<ReplyTo, Client>,
    /// What clients know of themselves. A member of old can be named by its id.
    ids: BTreeMap<Client, MemberId>,
    generations: BTreeMap<Client, GenerationId>,
    /// How many records of the log were told.
    told: usize,
}

/// A client: the group that it speaks to, and its name.
pub(super) type Client = (GroupId, String);

/// The words of a command: those with `=` by name, the others in their order.
pub(super) struct Words<'a> {
    plain: Vec<&'a str>,
    pub(super) named: BTreeMap<&'a str, &'a str>,
}

impl<'a> Words<'a> {
    fn of(command: &'a str) -> Self {
        let (named, plain): (Vec<_>, Vec<_>) =
            command.split_whitespace().partition(|word| word.contains('='));
        Self { plain, named: named.into_iter().filter_map(|word| word.split_once('=')).collect() }
    }

    pub(super) fn milliseconds(&self, name: &str, otherwise: i32) -> i32 {
        self.named
            .get(name)
            .map_or(otherwise, |text| i32::try_from(duration(text).as_millis()).expect("short"))
    }

    pub(super) fn instance(&self) -> Option<InstanceId> {
        self.named.get("instance").map(|name| InstanceId::from(*name))
    }
}

impl Script {
    pub(super) fn new() -> Self {
        let mut broker = Broker::new();
        for name in ["orders", "payments"] {
            broker.topics.create(name, 2);
        }
        let (callers, ids, generations) = (BTreeMap::new(), BTreeMap::new(), BTreeMap::new());
        Self { broker, callers, ids, generations, told: 0 }
    }

    /// Does what the command says, and answers what came of it.
    pub(super) fn run(&mut self, command: &str) -> Vec<String> {
        let words = Words::of(command);
        let broker = &mut self.broker;
        let mut read = Vec::new();
        match words.plain.as_slice() {
            ["wait", text] => broker.wait(duration(text)),
            ["restart"] => broker.restart(),
            ["unload"] => broker.call(|shard, _, output| shard.unload(output)),
            ["log", "refuses"] => broker.is_refusing = true,
            ["log", "works"] => broker.is_refusing = false,
            ["followers", "stall"] => broker.is_stalled = true,
            ["followers", "catch", "up"] => broker.catch_up(),
            ["expire"] => broker.call(GroupShard::expire_offsets),
            ["topic", name, "has", count] => broker.topics.create(name, count.parse().expect("a number")),
            ["topic", name, "is", "made", "anew"] => broker.topics.recreate(name),
            ["topic", name, "is", "deleted"] => {
                broker.topics.delete(name);
                broker.call(|shard, env, output| shard.forget_topics(&[Arc::from(*name)], env, output));
            }
            ["describe", group] => {
                let group_id = GroupId::from(*group);
                read = match broker.shard.describe_consumer(&group_id) {
                    Ok(group) => consumer::group(&group),
                    Err(_) => print::classic_group(&broker.shard.describe_classic(&group_id, broker.now)),
                };
            }
            ["list"] => read = broker.shard.list().iter().map(print::listing).collect(),
            ["offsets", group] => {
                let all = OffsetFetch { group_id: GroupId::from(*group), member: None, partitions: None };
                read = broker.shard.fetch_offsets(&all).iter().flatten().map(print::offset).collect();
            }
            ["set"] => self.set(&words),
            [who, verb, group] => self.ask(who, verb, &GroupId::from(*group), &words),
            other => panic!("no such command: {other:?}"),
        }
        let mut told = self.tell();
        told.extend(read);
        told
    }

    fn set(&mut self, words: &Words<'_>) {
        let settings = &mut self.broker.settings;
        for (name, value) in &words.named {
            match *name {
                "group.max.size" => settings.group_max_size = value.parse().expect("a number"),
                "group.consumer.max.size" => {
                    settings.group_consumer_max_size = value.parse().expect("a number");
                }
                "group.consumer.migration.policy" => {
                    settings.group_consumer_migration_policy = consumer::policy(value);
                }
                "group.initial.rebalance.delay" => {
                    settings.group_initial_rebalance_delay_ms = words.milliseconds(name, 0);
                }
                other => panic!("no such setting: {other}"),
            }
        }
    }

    fn ask(&mut self, who: &str, verb: &str, group_id: &GroupId, words: &Words<'_>) {
        let client = (group_id.clone(), who.to_owned());
        let request = match verb {
            "joins" => Request::JoinGroup(self.join(&client, words)),
            "syncs" => Request::SyncGroup(self.sync(&client, words)),
            "beats" => Request::Heartbeat(Heartbeat {
                group_id: group_id.clone(),
                generation_id: self.generation(&client, words),
                member_id: self.id(group_id, who),
                group_instance_id: words.instance(),
            }),
            "leaves" => Request::LeaveGroup(self.leave(&client, words)),
            "commits" => Request::OffsetCommit(self.commit(&client, words)),
            "forgets" => Request::OffsetDelete(OffsetDelete {
                group_id: group_id.clone(),
                partitions: words.named.keys().map(|name| topic_partition(name)).collect(),
            }),
            "deletes" => Request::DeleteGroup(group_id.clone()),
            verb => {
                let epoch = self.generation(&client, words);
                let heartbeat = consumer::heartbeat(verb, &client, epoch, words);
                Request::ConsumerGroupHeartbeat(heartbeat.expect("a verb that there is"))
            }
        };
        let reply_to = self.broker.ask(request);
        self.callers.insert(reply_to, client);
    }

    fn join(&mut self, client: &Client, words: &Words<'_>) -> JoinGroup {
        if words.named.get("id") == Some(&"none") {
            self.ids.remove(client);
        }
        let topics = words.named.get("topics").copied().unwrap_or("orders");
        let protocols = words.named.get("protocols").copied().unwrap_or("range");
        let owned = words.named.get("owns").copied().unwrap_or("nothing");
        let version = words.named.get("version").map_or(9, |text| text.parse().expect("a version"));
        JoinGroup {
            group_id: client.0.clone(),
            member_id: self.ids.get(client).cloned(),
            group_instance_id: words.instance(),
            client_id: client.1.as_str().into(),
            client_host: "/127.0.0.1".into(),
            session_timeout_ms: words.milliseconds("session", 10_000),
            rebalance_timeout_ms: words.milliseconds("rebalance", 60_000),
            protocol_type: words.named.get("type").copied().unwrap_or("consumer").into(),
            protocols: protocols.split(',').map(|name| (name.into(), subscription(topics, owned))).collect(),
            requires_known_member_id: version >= 4,
            supports_skipping_assignment: version >= 9,
        }
    }

    fn sync(&self, client: &Client, words: &Words<'_>) -> SyncGroup {
        let assigned = words.named.get("assigns").copied().unwrap_or_default();
        let assignments = assigned.split(',').filter_map(|one| one.split_once(':'));
        SyncGroup {
            group_id: client.0.clone(),
            generation_id: self.generation(client, words),
            member_id: self.id(&client.0, &client.1),
            group_instance_id: words.instance(),
            protocol_type: None,
            protocol_name: words.named.get("protocol").map(|name| Arc::from(*name)),
            assignments: assignments
                .map(|(who, assignment)| {
                    let bytes = if words.named.contains_key("as") {
                        consumer::assignment(assignment)
                    } else {
                        Bytes::copy_from_slice(assignment.as_bytes())
                    };
                    (self.id(&client.0, who), bytes)
                })
                .collect(),
        }
    }

    fn leave(&self, client: &Client, words: &Words<'_>) -> LeaveGroup {
        let member = |member_id: Option<MemberId>, instance: Option<&str>| LeavingMember {
            member_id,
            group_instance_id: instance.map(InstanceId::from),
            reason: None,
        };
        let members = match (words.named.get("members"), words.named.get("instances")) {
            (Some(names), _) => {
                names.split(',').map(|name| member(Some(self.id(&client.0, name)), None)).collect()
            }
            (None, Some(names)) => names.split(',').map(|name| member(None, Some(name))).collect(),
            (None, None) => {
                vec![member(Some(self.id(&client.0, &client.1)), words.named.get("instance").copied())]
            }
        };
        LeaveGroup { group_id: client.0.clone(), members }
    }

    fn commit(&self, client: &Client, words: &Words<'_>) -> OffsetCommit {
        let committing = |(name, offset): (&&str, &&str)| {
            let (topic, partition) = topic_partition(name);
            CommittingOffset {
                topic_id: self.broker.topics.id(&topic),
                topic,
                partition,
                offset: Offset(offset.parse().expect("an offset")),
                leader_epoch: LeaderEpoch::NONE,
                metadata: words.named.get("metadata").copied().unwrap_or_default().into(),
            }
        };
        let partitions = words.named.iter().filter(|(name, _)| name.contains('-'));
        OffsetCommit {
            group_id: client.0.clone(),
            member_id: self.ids.get(client).cloned().unwrap_or_else(|| MemberId::from("")),
            generation_id_or_member_epoch: self.generation(client, words).0,
            group_instance_id: words.instance(),
            retention: words.named.get("retention").map(|text| duration(text)),
            supports_consumer_protocol: true,
            names_topics_by_id: words.named.get("topics") == Some(&"by-id"),
            offsets: partitions.map(committing).collect(),
        }
    }

    fn id(&self, group_id: &GroupId, who: &str) -> MemberId {
        let known = self.ids.get(&(group_id.clone(), who.to_owned()));
        known.cloned().unwrap_or_else(|| MemberId::from(who))
    }

    fn generation(&self, client: &Client, words: &Words<'_>) -> GenerationId {
        match words.named.get("generation") {
            Some(text) => GenerationId(text.parse().expect("a generation")),
            None => self.generations.get(client).copied().unwrap_or(GenerationId::NONE),
        }
    }

    /// A client was told its id.
    fn learn(&mut self, client: &Client, member_id: &MemberId) {
        let by_id = (client.0.clone(), print::name(member_id, None));
        self.ids.insert(by_id, member_id.clone());
        self.ids.insert(client.clone(), member_id.clone());
    }

    /// What was written and answered since this was last asked.
    fn tell(&mut self) -> Vec<String> {
        let mut told: Vec<String> = self.broker.log.iter().skip(self.told).map(print::record).collect();
        self.told = self.broker.log.len();
        for (reply_to, reply) in std::mem::take(&mut self.broker.answers) {
            let client = self.callers.remove(&reply_to).expect("somebody asked, and was not answered before");
            match &reply {
                Some(Reply::JoinGroup(Ok(joined))) => {
                    self.learn(&client, &joined.member_id);
                    self.generations.insert(client.clone(), joined.generation_id);
                }
                Some(Reply::ConsumerGroupHeartbeat(Ok(alive))) => {
                    self.learn(&client, &alive.member_id);
                    self.generations.insert(client.clone(), GenerationId(alive.member_epoch.0));
                }
                Some(Reply::JoinGroup(Err(GroupError::MemberIdRequired(member_id)))) => {
                    self.learn(&client, member_id);
                }
                Some(_) | None => {}
            }
            let reply = reply.as_ref().map_or_else(|| "the log refused it".to_owned(), print::reply);
            told.push(format!("{}: {reply}", client.1));
        }
        told
    }
}

pub(super) fn topic_partition(text: &str) -> (Arc<str>, PartitionIndex) {
    let (topic, index) = text.rsplit_once('-').expect("a topic and a partition");
    (topic.into(), PartitionIndex(index.parse().expect("the number of a partition")))
}

fn duration(text: &str) -> Duration {
    let digits = text.trim_end_matches(char::is_alphabetic);
    let count: u64 = digits.parse().expect("a number and a unit");
    match text.strip_prefix(digits) {
        Some("ms") => Duration::from_millis(count),
        Some("s") => Duration::from_secs(count),
        Some("m") => Duration::from_secs(60 * count),
        Some("d") => Duration::from_secs(86_400 * count),
        other => panic!("no such unit: {other:?}"),
    }
}

/// The subscription of a consumer to these topics, which owns these partitions, as clients write it.
fn subscription(topics: &str, owned: &str) -> Bytes {
    let put_text = |bytes: &mut BytesMut, text: &str| {
        bytes.put_i16(i16::try_from(text.len()).expect("short"));
        bytes.put_slice(text.as_bytes());
    };
    let names: Vec<&str> = topics.split(',').collect();
    let mut bytes = BytesMut::new();
    bytes.put_i16(1);
    bytes.put_i32(i32::try_from(names.len()).expect("few"));
    names.iter().for_each(|name| put_text(&mut bytes, name));
    bytes.put_i32(-1);
    let owned: Vec<_> = owned.split(',').filter(|one| *one != "nothing").map(topic_partition).collect();
    bytes.put_i32(i32::try_from(owned.len()).expect("few"));
    for (topic, partition) in owned {
        put_text(&mut bytes, &topic);
        bytes.put_i32(1);
        bytes.put_i32(partition.0);
    }
    bytes.freeze()
}
