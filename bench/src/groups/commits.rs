//! Many groups of one member each, that commit one offset a second and send a heartbeat every third second.
//!
//! A connection carries ten groups, one request at a time, each at its own moment of the second whether or not the broker
//! keeps up; a commit's latency counts from that moment. The first quarter is not counted.

use std::net::SocketAddr;
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use bytes::Bytes;
use kafka_protocol::ResponseError;
use kafka_protocol::messages::join_group_request::JoinGroupRequestProtocol;
use kafka_protocol::messages::offset_commit_request::{
    OffsetCommitRequestPartition, OffsetCommitRequestTopic,
};
use kafka_protocol::messages::sync_group_request::SyncGroupRequestAssignment;
use kafka_protocol::messages::{
    ApiVersionsRequest, HeartbeatRequest, JoinGroupRequest, OffsetCommitRequest, SyncGroupRequest, TopicName,
};
use kafka_protocol::protocol::StrBytes;

use super::coordination::{group_id, is_beginning, wait_for_coordinator};
use super::{Setting, milliseconds};
use crate::clock::{Stopwatch, pause};
use crate::compare::mebibytes;
use crate::connection::Connection;
use crate::side_by_side::Figures;
use crate::table::quantile;
use crate::wire::create_topic;

const TOPIC: &str = "bench-commits";
const CONSUMER: StrBytes = StrBytes::from_static_str("consumer");
const PROTOCOL: StrBytes = StrBytes::from_static_str("range");
/// More would make a group wait for the others' answers, as no client's groups do; fewer take a thread of this program each.
const GROUPS_PER_CONNECTION: u32 = 10;
const SECOND: Duration = Duration::from_secs(1);
/// Longer than it takes any broker until all groups are stable: no heartbeat is sent before that.
const SESSION_TIMEOUT_MS: i32 = 600_000;
/// A heartbeat goes before every commit of this number, as with the Java client's 3 s.
const SECONDS_PER_HEARTBEAT: u64 = 3;

pub(super) fn measure(setting: &Setting<'_>, figures: &mut Figures) -> Result<()> {
    let home = setting.contenders.home()?;
    let no_delay = ["group.initial.rebalance.delay.ms=0"];
    let running = setting.contenders.start(setting.contender, home.path(), &no_delay)?;
    create_topic(running.address, TOPIC, 1)?;
    wait_for_coordinator(running.address, "group-0")?;
    let idle = running.process.memory()?;

    let (groups, seconds) = (setting.options.groups, setting.options.seconds);
    let connections = groups.div_ceil(GROUPS_PER_CONNECTION);
    let joining = Stopwatch::start();
    let mut members = Vec::new();
    // One after the other: a broker refuses a crowd that is more than its backlog.
    let open = |_| open_accepted(running.address);
    let opened = (0..connections).map(open).collect::<Result<Vec<_>>>()?;
    thread::scope(|scope| {
        let joins: Vec<_> = (0..connections)
            .zip(opened)
            .map(|(number, connection)| {
                let first = number * GROUPS_PER_CONNECTION;
                let range = first..groups.min(first + GROUPS_PER_CONNECTION);
                scope.spawn(move || join_all(connection, range))
            })
            .collect();
        for join in joins {
            members.push(join.join().map_err(|_| anyhow::anyhow!("a client panicked"))??);
        }
        anyhow::Ok(())
    })?;
    let joined = joining.elapsed();

    let warm_up = seconds / 4;
    let started = Stopwatch::start();
    let (cpu, latencies) = thread::scope(|scope| {
        let started = &started;
        let clients: Vec<_> = members
            .into_iter()
            .map(|connection| scope.spawn(move || commit_all(connection, started, warm_up, seconds)))
            .collect();
        pause(SECOND * u32::try_from(warm_up)?);
        let cpu = running.process.cpu()?;
        let mut latencies = Vec::new();
        for client in clients {
            latencies.extend(client.join().map_err(|_| anyhow::anyhow!("a client panicked"))??);
        }
        anyhow::Ok((running.process.cpu()?.saturating_sub(cpu), latencies))
    })?;
    let counted = started.elapsed().as_secs_f64() - warm_up as f64;
    let mut latencies = latencies;
    latencies.sort_unstable();

    let what = format!("{groups} groups, one commit each a second");
    figures.add(format!("{what}: commits/s"), latencies.len() as f64 / counted);
    figures.add("the same: cores of the broker", cpu.as_secs_f64() / counted);
    figures.add("the same: CPU-µs a commit", cpu.as_secs_f64() * 1e6 / latencies.len().max(1) as f64);
    for (name, share) in [("p50", 0.5), ("p99", 0.99), ("p99.9", 0.999)] {
        figures.add(format!("the same: latency {name}, ms"), milliseconds(quantile(&latencies, share)));
    }
    let memory = running.process.memory()?;
    figures.add("the same: anonymous memory, MiB", mebibytes(memory.anonymous));
    figures.add(
        "the same: anonymous memory a group, KiB",
        memory.anonymous.saturating_sub(idle.anonymous) as f64 / 1024.0 / f64::from(groups),
    );
    figures.add("until all groups were stable: s", joined.as_secs_f64());
    running.process.stop()
}

/// The only member of a group.
struct Member {
    group: String,
    id: StrBytes,
    generation_id: i32,
}

/// A connection on which the broker has answered.
fn open_accepted(address: SocketAddr) -> Result<Connection> {
    let mut connection = Connection::open(address)?;
    connection.call(0, &ApiVersionsRequest::default())?;
    Ok(connection)
}

fn join_all(mut connection: Connection, groups: std::ops::Range<u32>) -> Result<(Connection, Vec<Member>)> {
    let mut members = Vec::with_capacity(groups.len());
    for number in groups {
        members.push(join(&mut connection, format!("group-{number}"))?);
    }
    Ok((connection, members))
}

fn join(connection: &mut Connection, group: String) -> Result<Member> {
    let mut id = StrBytes::new();
    loop {
        let protocol = JoinGroupRequestProtocol::default().with_name(PROTOCOL);
        let request = JoinGroupRequest::default()
            .with_group_id(group_id(&group))
            .with_session_timeout_ms(SESSION_TIMEOUT_MS)
            .with_rebalance_timeout_ms(60_000)
            .with_member_id(id)
            .with_protocol_type(CONSUMER)
            .with_protocols(vec![protocol]);
        let joined = connection.call(9, &request)?;
        id = joined.member_id;
        match ResponseError::try_from_code(joined.error_code) {
            None => {
                sync(connection, &group, &id, joined.generation_id)?;
                return Ok(Member { group, id, generation_id: joined.generation_id });
            }
            Some(ResponseError::MemberIdRequired) => {}
            Some(error) if is_beginning(error) => {}
            Some(error) => bail!("JoinGroup of {group}: {error}"),
        }
    }
}

fn sync(connection: &mut Connection, group: &str, id: &StrBytes, generation_id: i32) -> Result<()> {
    let own = SyncGroupRequestAssignment::default()
        .with_member_id(id.clone())
        .with_assignment(Bytes::from_static(b"\0\0\0\0\0\0\xff\xff\xff\xff"));
    let request = SyncGroupRequest::default()
        .with_group_id(group_id(group))
        .with_generation_id(generation_id)
        .with_member_id(id.clone())
        .with_protocol_type(Some(CONSUMER))
        .with_protocol_name(Some(PROTOCOL))
        .with_assignments(vec![own]);
    match ResponseError::try_from_code(connection.call(5, &request)?.error_code) {
        None => Ok(()),
        Some(error) => bail!("SyncGroup of {group}: {error}"),
    }
}

/// Commits for every member once a second; answers the latencies after the warm-up.
fn commit_all(
    (mut connection, members): (Connection, Vec<Member>),
    started: &Stopwatch,
    warm_up: u64,
    seconds: u64,
) -> Result<Vec<Duration>> {
    let mut latencies = Vec::new();
    let step = SECOND / u32::try_from(members.len())?;
    for second in 0..seconds {
        for (place, member) in members.iter().enumerate() {
            let due = Duration::from_secs(second) + step * u32::try_from(place)?;
            pause(due.saturating_sub(started.elapsed()));
            // What a broker that does not keep up has not done by the end is not waited for.
            if started.elapsed() > Duration::from_secs(seconds) {
                return Ok(latencies);
            }
            if (second + place as u64).is_multiple_of(SECONDS_PER_HEARTBEAT) {
                heartbeat(&mut connection, member)?;
            }
            commit(&mut connection, member, i64::try_from(second)?)?;
            if second >= warm_up {
                latencies.push(started.elapsed().saturating_sub(due));
            }
        }
    }
    Ok(latencies)
}

fn heartbeat(connection: &mut Connection, member: &Member) -> Result<()> {
    let request = HeartbeatRequest::default()
        .with_group_id(group_id(&member.group))
        .with_generation_id(member.generation_id)
        .with_member_id(member.id.clone());
    match ResponseError::try_from_code(connection.call(4, &request)?.error_code) {
        None => Ok(()),
        Some(error) => bail!("Heartbeat of {}: {error}", member.group),
    }
}

fn commit(connection: &mut Connection, member: &Member, offset: i64) -> Result<()> {
    let partition = OffsetCommitRequestPartition::default()
        .with_committed_offset(offset)
        .with_committed_metadata(Some(StrBytes::new()));
    let topic = OffsetCommitRequestTopic::default()
        .with_name(TopicName(StrBytes::from_static_str(TOPIC)))
        .with_partitions(vec![partition]);
    let request = OffsetCommitRequest::default()
        .with_group_id(group_id(&member.group))
        .with_generation_id_or_member_epoch(member.generation_id)
        .with_member_id(member.id.clone())
        .with_topics(vec![topic]);
    let response = connection.call(8, &request)?;
    let partition = response.topics.first().and_then(|topic| topic.partitions.first());
    match ResponseError::try_from_code(partition.context("an answer without partitions")?.error_code) {
        None => Ok(()),
        Some(error) => bail!("OffsetCommit of {}: {error}", member.group),
    }
}
