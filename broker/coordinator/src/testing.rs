//! A shard with a log, followers and a clock, all in memory, for the tests: what a broker does around a shard, in the
//! order that it has to.

pub(crate) mod clients;
pub(crate) mod readers;
pub(crate) mod transcript;

use std::cell::Cell;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use config::group::{GroupConfig, GroupCoordinatorConfig};
use storage::ids::{Offset, TimestampMs, TopicId};

use crate::environment::{Cluster, Environment, TopicDescription};
use crate::ids::GroupId;
use crate::output::{Output, ReplyTo};
use crate::record::Record;
use crate::request::{Reply, Request};
use crate::shard::GroupShard;

/// The wall clock when a test begins: 2023-11-14 22:13:20 UTC.
pub(crate) const START: TimestampMs = TimestampMs(1_700_000_000_000);

/// The topics of a test.
#[derive(Debug, Default)]
pub(crate) struct Topics {
    by_name: BTreeMap<Arc<str>, TopicDescription>,
    version: i64,
}

impl Topics {
    /// Creates a topic, or gives one more partitions; its id is made of its name.
    pub(crate) fn create(&mut self, name: &str, partition_count: i32) {
        self.create_as(topic_id(name), name, partition_count);
    }

    /// Deletes a topic and creates it again, as another one.
    pub(crate) fn recreate(&mut self, name: &str) {
        self.create_as(topic_id(&format!("new {name}")), name, self.partition_count(name));
    }

    fn create_as(&mut self, id: TopicId, name: &str, partition_count: i32) {
        self.by_name.insert(name.into(), TopicDescription { id, name: name.into(), partition_count });
        self.version += 1;
    }

    /// The id of the topic of this name, that of one that would be created where there is none.
    pub(crate) fn id(&self, name: &str) -> TopicId {
        self.by_name.get(name).map_or_else(|| topic_id(name), |topic| topic.id)
    }

    /// How many partitions a topic has.
    pub(crate) fn partition_count(&self, name: &str) -> i32 {
        self.by_name.get(name).map_or(0, |topic| topic.partition_count)
    }

    /// Deletes a topic.
    pub(crate) fn delete(&mut self, name: &str) {
        self.by_name.remove(name);
        self.version += 1;
    }
}

impl Cluster for Topics {
    fn version(&self) -> i64 {
        self.version
    }

    fn topic_by_name(&self, name: &str) -> Option<TopicDescription> {
        self.by_name.get(name).cloned()
    }

    fn topic_by_id(&self, id: TopicId) -> Option<TopicDescription> {
        self.by_name.values().find(|topic| topic.id == id).cloned()
    }

    fn topic_names(&self) -> Vec<Arc<str>> {
        self.by_name.keys().cloned().collect()
    }

    fn group_config(&self, _: &GroupId) -> GroupConfig {
        GroupConfig::default()
    }
}

/// The id of a test's topic of this name.
pub(crate) fn topic_id(name: &str) -> TopicId {
    let mut id = [0; 16];
    id.iter_mut().zip(name.bytes()).for_each(|(to, from)| *to = from);
    TopicId::from_bytes(id)
}

/// What became of a request: its answer, or `None` where the log refused what it led to.
pub(crate) type Answer = (ReplyTo, Option<Reply>);

/// A shard and what a broker has around it.
pub(crate) struct Broker {
    pub(crate) shard: GroupShard,
    /// What was appended, in its order.
    pub(crate) log: Vec<Record>,
    /// How many records every follower has.
    pub(crate) high_watermark: usize,
    /// Whether followers get nothing more.
    pub(crate) is_stalled: bool,
    /// Whether the log takes nothing.
    pub(crate) is_refusing: bool,
    pub(crate) now: Duration,
    pub(crate) settings: GroupCoordinatorConfig,
    pub(crate) topics: Topics,
    random: Cell<u128>,
    next_reply_to: u64,
    /// Answers that wait until so many records are committed.
    held: Vec<(usize, ReplyTo, Reply)>,
    /// Answers that were sent.
    pub(crate) answers: Vec<Answer>,
}

impl Broker {
    /// A broker without groups.
    pub(crate) fn new() -> Self {
        Self {
            shard: GroupShard::new(),
            log: Vec::new(),
            high_watermark: 0,
            is_stalled: false,
            is_refusing: false,
            now: Duration::ZERO,
            settings: GroupCoordinatorConfig::default(),
            topics: Topics::default(),
            random: Cell::new(0),
            next_reply_to: 0,
            held: Vec::new(),
            answers: Vec::new(),
        }
    }

    /// Asks the shard; the answer is found in `answers`, now or later.
    pub(crate) fn ask(&mut self, request: Request) -> ReplyTo {
        let reply_to = ReplyTo(self.next_reply_to);
        self.next_reply_to += 1;
        self.call(|shard, env, output| shard.handle(request, reply_to, env, output));
        reply_to
    }

    /// Lets time pass, and does what becomes due on the way.
    pub(crate) fn wait(&mut self, duration: Duration) {
        let end = self.now + duration;
        let mut calls = 0;
        while let Some(deadline) = self.shard.next_deadline().filter(|deadline| *deadline <= end) {
            calls += 1;
            assert!(calls < 10_000, "the shard is always due");
            self.now = self.now.max(deadline);
            self.call(GroupShard::on_deadline);
        }
        self.now = end;
    }

    /// Loses what was in memory, and loads the shard from its log.
    pub(crate) fn restart(&mut self) {
        self.shard = loaded_from(&self.log, self.high_watermark);
        self.call(GroupShard::loaded);
        self.call(GroupShard::forget_topics_that_are_gone);
    }

    /// How many requests were asked; they are numbered from 0.
    pub(crate) fn asked(&self) -> u64 {
        self.next_reply_to
    }

    /// What followers do not have is lost, and whoever waits for it hears no more than that.
    pub(crate) fn lose_uncommitted(&mut self) {
        self.log.truncate(self.high_watermark);
        self.answers
            .extend(std::mem::take(&mut self.held).into_iter().map(|(_, reply_to, _)| (reply_to, None)));
    }

    /// The followers get everything.
    pub(crate) fn catch_up(&mut self) {
        self.is_stalled = false;
        self.high_watermark = self.log.len();
        self.shard.committed(offset(self.high_watermark));
        let (sent, held) =
            std::mem::take(&mut self.held).into_iter().partition(|(end, ..)| *end <= self.log.len());
        self.held = held;
        self.answers.extend(Vec::into_iter(sent).map(|(_, reply_to, reply)| (reply_to, Some(reply))));
    }

    /// Calls the shard and does its duties: append, apply, and answer once it is committed.
    pub(crate) fn call(&mut self, call: impl FnOnce(&mut GroupShard, &Environment<'_>, &mut Output)) {
        let random = || {
            self.random.set(self.random.get() + 1);
            self.random.get()
        };
        let env = Environment {
            now: TimestampMs(START.0 + i64::try_from(self.now.as_millis()).unwrap_or(i64::MAX)),
            monotonic: self.now,
            random: &random,
            cluster: &self.topics,
            settings: &self.settings,
        };
        let mut output = Output::default();
        call(&mut self.shard, &env, &mut output);
        if self.is_refusing && !output.records.is_empty() {
            self.answers.extend(output.replies.into_iter().map(|(reply_to, _)| (reply_to, None)));
            return;
        }
        for record in output.records {
            self.shard.apply(&record, offset(self.log.len()));
            self.log.push(record);
        }
        let end = self.log.len();
        self.held.extend(output.replies.into_iter().map(|(reply_to, reply)| (end, reply_to, reply)));
        if !self.is_stalled {
            self.catch_up();
        }
    }
}

/// A shard that has applied these records, of which the first `high_watermark` are committed.
pub(crate) fn loaded_from(log: &[Record], high_watermark: usize) -> GroupShard {
    let mut shard = GroupShard::new();
    shard.committed(offset(high_watermark));
    for (index, record) in log.iter().enumerate() {
        shard.apply(record, offset(index));
    }
    shard
}

fn offset(index: usize) -> Offset {
    Offset(i64::try_from(index).unwrap_or(i64::MAX))
}
