//! Records, answers and descriptions as transcripts tell them.

use bytes::Bytes;
use storage::ids::{TimestampMs, TopicId};

use super::consumer;
use crate::description::{ClassicGroupDescription, FetchedOffset, GroupListing};
use crate::error::GroupError;
use crate::ids::{InstanceId, MemberId};
use crate::record::{ClassicGroupValue, ClassicMemberValue, OffsetCommitValue, Record};
use crate::request::{JoinedGroup, Reply};
use crate::testing::START;

/// A record of the log.
pub(super) fn record(record: &Record) -> String {
    match record {
        Record::OffsetCommit { group_id, topic, partition, value } => {
            let value = value.as_ref().map_or_else(|| "is forgotten".to_owned(), committed);
            format!("log: {group_id} {topic}-{partition} {value}")
        }
        Record::ClassicGroup { group_id, value } => {
            let value = value.as_ref().map_or_else(|| "is deleted".to_owned(), classic_value);
            format!("log: {group_id} {value}")
        }
        other => {
            let text = consumer::record(other).unwrap_or_default();
            format!("log: {} {text}", other.group_id())
        }
    }
}

/// An answer.
pub(super) fn reply(reply: &Reply) -> String {
    match reply {
        Reply::JoinGroup(result) => result.as_ref().map_or_else(error, joined),
        Reply::SyncGroup(result) => {
            result.as_ref().map_or_else(error, |synced| format!("owns {}", assigned(&synced.assignment)))
        }
        Reply::Heartbeat(result) => result.as_ref().map_or_else(error, |()| "alive".to_owned()),
        Reply::LeaveGroup(result) => each(result, "left"),
        Reply::OffsetCommit(result) => each(result, "committed"),
        Reply::OffsetDelete(result) => each(result, "forgotten"),
        Reply::DeleteGroup(result) => result.as_ref().map_or_else(error, |()| "deleted".to_owned()),
        Reply::ConsumerGroupHeartbeat(result) => consumer::reply(result),
    }
}

/// A group in a list.
pub(super) fn listing(listing: &GroupListing) -> String {
    let GroupListing { group_id, protocol_type, state, kind, member_count: _ } = listing;
    format!("{group_id}: {kind:?}, {state:?}, of type {protocol_type:?}")
}

/// A classic group and its members.
pub(super) fn classic_group(described: &Result<ClassicGroupDescription, GroupError>) -> Vec<String> {
    let described = match described {
        Ok(described) => described,
        Err(refused) => return vec![error(refused)],
    };
    let by = if described.protocol.is_empty() { "" } else { " by " };
    let mut lines = vec![format!("{:?}{by}{}", described.state, described.protocol)];
    for member in &described.members {
        let awaited =
            member.awaited_for.map(|waited| format!(", awaited for {waited:?}")).unwrap_or_default();
        let who = name(&member.member_id, member.group_instance_id.as_ref());
        lines.push(format!("  {who} owns {}{awaited}", assigned(&member.assignment)));
    }
    lines
}

/// A committed offset.
pub(super) fn offset(offset: &FetchedOffset) -> String {
    let value =
        offset.committed.as_ref().map_or_else(|| "none".to_owned(), |(offset, ..)| offset.to_string());
    format!("{}-{} at {value}", offset.topic, offset.partition)
}

fn joined(joined: &JoinedGroup) -> String {
    let generation = format!("generation {} by {}", joined.generation_id, joined.protocol_name);
    let member_id = name(&joined.member_id, None);
    if joined.leader != joined.member_id {
        let leader = if joined.leader.as_str().is_empty() {
            "the broker".to_owned()
        } else {
            name(&joined.leader, None)
        };
        return format!("{generation}, as {member_id}, led by {leader}");
    }
    let skips = if joined.skip_assignment { ", which need not be assigned anew" } else { "" };
    let members: Vec<String> = joined
        .members
        .iter()
        .map(|member| name(&member.member_id, member.group_instance_id.as_ref()))
        .collect();
    format!("{generation}, as {member_id}, leading {}{skips}", members.join(", "))
}

pub(super) fn error(error: &GroupError) -> String {
    match error {
        GroupError::MemberIdRequired(member_id) => format!("MemberIdRequired, {}", name(member_id, None)),
        other => format!("{other:?}").split('(').next().unwrap_or_default().to_owned(),
    }
}

fn each(result: &Result<Vec<Result<(), GroupError>>, GroupError>, good: &str) -> String {
    match result {
        Ok(results) => {
            let words = results.iter().map(|one| one.as_ref().map_or_else(error, |()| good.to_owned()));
            words.collect::<Vec<_>>().join(", ")
        }
        Err(refused) => error(refused),
    }
}

/// A member id without the chance in it: `name#n` for the n-th id that was made, with the instance id behind.
pub(super) fn name(member_id: &MemberId, instance_id: Option<&InstanceId>) -> String {
    let text = member_id.as_str();
    let instance = instance_id.map(|instance_id| format!(" ({instance_id})")).unwrap_or_default();
    if let Some(random) = TopicId::parse(text).filter(|_| text.len() == 22) {
        return format!("#{}{instance}", random.0.as_u128() & 0xffff);
    }
    let Some((name, random)) = text.len().checked_sub(37).and_then(|end| text.split_at_checked(end)) else {
        return format!("{text}{instance}");
    };
    let digits = random.rsplit('-').next().unwrap_or_default();
    format!("{name}#{}{instance}", u64::from_str_radix(digits, 16).unwrap_or_default())
}

/// What a leader of a test assigned, or a consumer group.
fn assigned(assignment: &Bytes) -> String {
    match std::str::from_utf8(assignment) {
        Ok("") => "nothing".to_owned(),
        Ok(text) => text.to_owned(),
        Err(_) => consumer::read_assignment(assignment).unwrap_or_else(|| "what no test assigns".to_owned()),
    }
}

fn committed(value: &OffsetCommitValue) -> String {
    let expires = value.expire_timestamp.map(|at| format!(" until {}", since_start(at))).unwrap_or_default();
    format!("at {}{expires}", value.offset)
}

fn classic_value(value: &ClassicGroupValue) -> String {
    let generation =
        format!("generation {} since {}", value.generation_id, since_start(value.current_state_timestamp));
    let leader =
        value.leader.as_ref().map(|leader| format!(", led by {}", name(leader, None))).unwrap_or_default();
    let members: Vec<String> = value.members.iter().map(classic_member).collect();
    if members.is_empty() {
        return format!("{generation}, without members");
    }
    format!("{generation}{leader}: {}", members.join(", "))
}

fn classic_member(member: &ClassicMemberValue) -> String {
    format!("{} {}", name(&member.member_id, member.group_instance_id.as_ref()), assigned(&member.assignment))
}

pub(super) fn since_start(timestamp: TimestampMs) -> String {
    format!("{}s", (timestamp.0 - START.0) / 1000)
}
