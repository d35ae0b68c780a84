//! A start with one shard full of offsets: how long until the first of them can be fetched.
//!
//! All groups are in the only partition of `__consumer_offsets`; each has committed an offset of each of 1,000 partitions.
//! The broker stops in order, and starts on the same data.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Result, bail};
use kafka_protocol::ResponseError;
use kafka_protocol::messages::offset_commit_request::{
    OffsetCommitRequestPartition, OffsetCommitRequestTopic,
};
use kafka_protocol::messages::offset_fetch_request::{OffsetFetchRequestGroup, OffsetFetchRequestTopics};
use kafka_protocol::messages::{OffsetCommitRequest, OffsetFetchRequest, TopicName};
use kafka_protocol::protocol::StrBytes;

use super::coordination::{group_id, is_beginning, wait_for_coordinator};
use super::{Setting, milliseconds};
use crate::clock::{Stopwatch, pause};
use crate::compare::mebibytes;
use crate::connection::Connection;
use crate::side_by_side::Figures;
use crate::wire::create_topic;

const TOPIC: &str = "bench-loading";
const PARTITIONS: i32 = 1000;
/// How often the offset is asked for. Larger rounds the figure, smaller takes CPU from what is measured.
const STEP: Duration = Duration::from_millis(2);
const LIMIT: Duration = Duration::from_secs(120);

pub(super) fn measure(setting: &Setting<'_>, figures: &mut Figures) -> Result<()> {
    let home = setting.contenders.home()?;
    let one_shard = ["offsets.topic.num.partitions=1"];
    let start = || setting.contenders.start(setting.contender, home.path(), &one_shard);
    let running = start()?;
    create_topic(running.address, TOPIC, PARTITIONS)?;
    wait_for_coordinator(running.address, "group-0")?;
    let groups = setting.options.thousand_offsets;
    let committing = Stopwatch::start();
    let cpu = running.process.cpu()?;
    let mut connection = Connection::open(running.address)?;
    for number in 0..groups {
        commit(&mut connection, number)?;
    }
    let cpu = running.process.cpu()?.saturating_sub(cpu);
    let offsets = f64::from(groups) * f64::from(PARTITIONS);
    figures.add("commits of 1000 offsets each: offsets/s", offsets / committing.elapsed().as_secs_f64());
    figures.add("the same: CPU-µs an offset", cpu.as_secs_f64() * 1e6 / offsets);
    running.process.stop()?;

    let starting = Stopwatch::start();
    let running = start()?;
    let until_first_answer = starting.elapsed();
    wait_for_offset(running.address, groups - 1)?;
    let loaded = starting.elapsed();
    let cpu = running.process.cpu()?;
    let memory = running.process.memory()?;
    figures.add(
        format!("start with {offsets} offsets in one shard, to the first OffsetFetch: ms"),
        milliseconds(loaded),
    );
    figures.add("the same, after the first Metadata: ms", milliseconds(loaded - until_first_answer));
    figures.add("the same: CPU-s", cpu.as_secs_f64());
    figures.add("the same: anonymous memory, MiB", mebibytes(memory.anonymous));
    running.process.stop()
}

fn name(number: u32) -> String {
    format!("group-{number}")
}

fn topic_name() -> TopicName {
    TopicName(StrBytes::from_static_str(TOPIC))
}

/// An offset of each partition, of a group that has no members.
fn commit(connection: &mut Connection, number: u32) -> Result<()> {
    let partition = |index: i32| {
        OffsetCommitRequestPartition::default()
            .with_partition_index(index)
            .with_committed_offset(i64::from(number))
            .with_committed_metadata(Some(StrBytes::new()))
    };
    let topic = OffsetCommitRequestTopic::default()
        .with_name(topic_name())
        .with_partitions((0..PARTITIONS).map(partition).collect());
    let request = OffsetCommitRequest::default()
        .with_group_id(group_id(&name(number)))
        .with_generation_id_or_member_epoch(-1)
        .with_topics(vec![topic]);
    let started = Stopwatch::start();
    loop {
        let response = connection.call(8, &request)?;
        let mut codes = response.topics.iter().flat_map(|topic| &topic.partitions).map(|it| it.error_code);
        match codes.find_map(ResponseError::try_from_code) {
            None => return Ok(()),
            Some(error) if is_beginning(error) && started.elapsed() < LIMIT => {}
            Some(ResponseError::UnknownTopicOrPartition) if started.elapsed() < LIMIT => pause(STEP),
            Some(error) => bail!("OffsetCommit of {}: {error}", name(number)),
        }
    }
}

/// Asks until the offset that the group committed is answered.
fn wait_for_offset(address: SocketAddr, number: u32) -> Result<()> {
    let topic = OffsetFetchRequestTopics::default()
        .with_name(topic_name())
        .with_partition_indexes(vec![PARTITIONS - 1]);
    let group = OffsetFetchRequestGroup::default()
        .with_group_id(group_id(&name(number)))
        .with_member_epoch(-1)
        .with_topics(Some(vec![topic]));
    let request = OffsetFetchRequest::default().with_groups(vec![group]);
    let mut connection = Connection::open(address)?;
    let started = Stopwatch::start();
    loop {
        let response = connection.call(8, &request)?;
        let group = response.groups.first();
        let is_loaded = group.is_some_and(|group| group.error_code == 0);
        let partition =
            group.and_then(|group| group.topics.first()).and_then(|topic| topic.partitions.first());
        match partition.map(|partition| partition.committed_offset) {
            Some(offset) if is_loaded && offset == i64::from(number) => return Ok(()),
            Some(offset) if is_loaded => bail!("{} has the offset {offset} after the start", name(number)),
            _ => {}
        }
        if started.elapsed() > LIMIT {
            bail!("no offset within {LIMIT:?}: {response:?}");
        }
        pause(STEP);
    }
}
