//! The consumer protocol in transcripts: `who enters group` joins, `pulses` is a heartbeat, `exits` leaves for good,
//! and `pauses` for a while. A member's id is its name.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use config::group::MigrationPolicy;
use storage::ids::{PartitionIndex, TopicId};

use super::print::{name, since_start};
use super::script::{Client, Words, topic_partition};
use crate::description::{ConsumerGroupDescription, ConsumerMemberDescription};
use crate::error::GroupError;
use crate::group::migration::Assignment;
use crate::ids::{GenerationId, MemberEpoch, MemberId};
use crate::record::{
    AssignedPartitions, ConsumerMemberValue, CurrentAssignmentValue, MemberState, Record, TopicPartitions,
};
use crate::request::{ConsumerGroupHeartbeat, ConsumerGroupHeartbeatReply};
use crate::testing::topic_id;

/// The heartbeat that a verb stands for, of a client in this epoch.
pub(super) fn heartbeat(
    verb: &str,
    client: &Client,
    epoch: GenerationId,
    words: &Words<'_>,
) -> Option<ConsumerGroupHeartbeat> {
    let member_epoch = match verb {
        "enters" => MemberEpoch::JOIN,
        "pulses" => MemberEpoch(epoch.0),
        "exits" => MemberEpoch::LEAVE,
        "pauses" => MemberEpoch::LEAVE_STATIC,
        _ => return None,
    };
    let is_joining = verb == "enters";
    let texts = |text: &str| {
        text.split(',').filter(|text| !text.is_empty()).map(Arc::from).collect::<Vec<Arc<str>>>()
    };
    let pattern = words.named.get("pattern").map(|pattern| Arc::from(*pattern));
    let otherwise = (is_joining && pattern.is_none()).then(|| texts("orders"));
    let owned = words.named.get("owns").map(|text| partitions(text));
    Some(ConsumerGroupHeartbeat {
        group_id: client.0.clone(),
        member_id: MemberId::from(*words.named.get("id").unwrap_or(&client.1.as_str())),
        is_named_by_client: true,
        member_epoch,
        instance_id: words.instance(),
        rack_id: None,
        rebalance_timeout_ms: match words.named.get("rebalance") {
            Some(&"none") => -1,
            Some(_) | None => words.milliseconds("rebalance", if is_joining { 60_000 } else { -1 }),
        },
        client_id: client.1.as_str().into(),
        client_host: "/127.0.0.1".into(),
        subscribed_topic_names: words.named.get("topics").map(|text| texts(text)).or(otherwise),
        subscribed_topic_regex: pattern,
        server_assignor: words.named.get("assignor").map(|assignor| Arc::from(*assignor)),
        owned: owned.or_else(|| is_joining.then(Vec::new)),
    })
}

/// `orders-0,orders-1`, or `nothing`.
pub(super) fn partitions(text: &str) -> Vec<TopicPartitions> {
    let mut topics: BTreeMap<TopicId, Vec<PartitionIndex>> = BTreeMap::new();
    for (topic, partition) in text.split(',').filter(|one| *one != "nothing").map(topic_partition) {
        topics.entry(topic_id(&topic)).or_default().push(partition);
    }
    topics.into_iter().map(|(topic_id, partitions)| TopicPartitions { topic_id, partitions }).collect()
}

/// A record of a consumer group.
pub(super) fn record(record: &Record) -> Option<String> {
    Some(match record {
        Record::OffsetCommit { .. } | Record::ClassicGroup { .. } => return None,
        Record::ConsumerGroup { value: Some(value), .. } => format!("is in epoch {}", value.epoch),
        Record::ConsumerGroup { value: None, .. } => "is deleted".to_owned(),
        Record::ConsumerGroupPartitionMetadata { .. } => "keeps nothing of its topics".to_owned(),
        Record::ConsumerMember { member_id, value: Some(value), .. } => {
            format!("{} {}", name(member_id, value.instance_id.as_ref()), said(value))
        }
        Record::ConsumerMember { member_id, value: None, .. } => format!("{} is gone", name(member_id, None)),
        Record::TargetAssignmentMetadata { value: Some(value), .. } => {
            let at = if value.assignment_timestamp.0 == 0 {
                "at no time".to_owned()
            } else {
                format!("at {}", since_start(value.assignment_timestamp))
            };
            format!("is assigned for epoch {} {at}", value.assignment_epoch)
        }
        Record::TargetAssignmentMetadata { value: None, .. } => "is not assigned".to_owned(),
        Record::TargetAssignmentMember { member_id, value: Some(value), .. } => {
            format!("{} is to own {}", name(member_id, None), listed(value))
        }
        Record::TargetAssignmentMember { member_id, value: None, .. } => {
            format!("{} has no target", name(member_id, None))
        }
        Record::CurrentAssignment { member_id, value: Some(value), .. } => {
            format!("{} {}", name(member_id, None), current(value))
        }
        Record::CurrentAssignment { member_id, value: None, .. } => {
            format!("{} owns nothing any more", name(member_id, None))
        }
        Record::RegularExpression { regular_expression, value: Some(value), .. } => {
            let topics: Vec<&str> = value.topics.iter().map(AsRef::as_ref).collect();
            format!("{regular_expression} matches {}", or_nothing(topics.join(" ")))
        }
        Record::RegularExpression { regular_expression, value: None, .. } => {
            format!("{regular_expression} is of no interest")
        }
    })
}

/// An answer to a heartbeat.
pub(super) fn reply(reply: &Result<ConsumerGroupHeartbeatReply, GroupError>) -> String {
    let reply = match reply {
        Ok(reply) => reply,
        Err(GroupError::InvalidRequest(why)) => return format!("InvalidRequest: {why}"),
        Err(GroupError::InvalidRegularExpression(why)) => return format!("InvalidRegularExpression: {why}"),
        Err(error) => return super::print::error(error),
    };
    match &reply.assignment {
        Some(assignment) => format!("epoch {}, owns {}", reply.member_epoch, listed(assignment)),
        None => format!("epoch {}", reply.member_epoch),
    }
}

/// A consumer group and its members.
pub(super) fn group(group: &ConsumerGroupDescription) -> Vec<String> {
    let by = group.assignor.as_ref().map(|assignor| format!(" by {assignor}")).unwrap_or_default();
    let head = format!(
        "{:?} in epoch {}, assigned for {}{by}",
        group.state, group.group_epoch, group.assignment_epoch
    );
    [head].into_iter().chain(group.members.iter().map(member)).collect()
}

fn member(member: &ConsumerMemberDescription) -> String {
    let classic = if member.is_classic { ", classic" } else { "" };
    let moving = if member.assignment == member.target_assignment {
        String::new()
    } else {
        format!(", is to own {}", listed(&member.target_assignment))
    };
    let who = name(&member.member_id, member.instance_id.as_ref());
    format!("  {who} in epoch {}{classic} owns {}{moving}", member.member_epoch, listed(&member.assignment))
}

fn said(value: &ConsumerMemberValue) -> String {
    let topics: Vec<&str> = value.subscribed_topic_names.iter().map(AsRef::as_ref).collect();
    let pattern = value.subscribed_topic_regex.as_deref().filter(|pattern| !pattern.is_empty());
    let topics = topics.into_iter().chain(pattern).collect::<Vec<_>>().join(" ");
    let assignor = value.server_assignor.as_ref().map(|name| format!(", prefers {name}")).unwrap_or_default();
    let classic = if value.classic.is_some() { " in the classic protocol" } else { "" };
    format!("subscribes to {}{assignor}{classic}", or_nothing(topics))
}

fn current(value: &CurrentAssignmentValue) -> String {
    let state = match value.state {
        MemberState::Stable => "",
        MemberState::UnrevokedPartitions => ", to give up",
        MemberState::UnreleasedPartitions => ", waiting for more",
        MemberState::Unknown => ", unknown",
    };
    let lost = if value.pending_revocation.is_empty() {
        String::new()
    } else {
        format!(" {}", with_epochs(&value.pending_revocation))
    };
    format!("in epoch {} owns {}{state}{lost}", value.member_epoch, with_epochs(&value.assigned))
}

/// `orders-0@2`: since epoch 2.
fn with_epochs(topics: &[AssignedPartitions]) -> String {
    let each = topics.iter().flat_map(|topic| {
        let text = |(partition, epoch): &(PartitionIndex, Option<MemberEpoch>)| {
            let epoch = epoch.map(|epoch| format!("@{epoch}")).unwrap_or_default();
            format!("{}-{partition}{epoch}", topic_name(topic.topic_id))
        };
        topic.partitions.iter().map(text)
    });
    or_nothing(each.collect::<Vec<_>>().join(" "))
}

fn listed(topics: &[TopicPartitions]) -> String {
    let each = topics.iter().flat_map(|topic| {
        topic.partitions.iter().map(|partition| format!("{}-{partition}", topic_name(topic.topic_id)))
    });
    or_nothing(each.collect::<Vec<_>>().join(" "))
}

fn or_nothing(text: String) -> String {
    if text.is_empty() { "nothing".to_owned() } else { text }
}

/// The ids of a test's topics are made of their names.
fn topic_name(id: TopicId) -> String {
    String::from_utf8_lossy(id.0.as_bytes()).trim_end_matches('\0').to_owned()
}

/// What `group.consumer.migration.policy` says.
pub(super) fn policy(text: &str) -> MigrationPolicy {
    match text {
        "bidirectional" => MigrationPolicy::Bidirectional,
        "upgrade" => MigrationPolicy::Upgrade,
        "downgrade" => MigrationPolicy::Downgrade,
        "disabled" => MigrationPolicy::Disabled,
        other => panic!("no such policy: {other}"),
    }
}

/// An assignment as classic members of a consumer group read it.
pub(super) fn read_assignment(bytes: &[u8]) -> Option<String> {
    let assignment = Assignment::read(bytes).ok()?;
    let each = assignment.partitions.iter().flat_map(|(topic, partitions)| {
        partitions.iter().map(move |partition| format!("{topic}-{partition}"))
    });
    Some(or_nothing(each.collect::<Vec<_>>().join(" ")))
}

/// `orders-0+orders-1` as the leader of a classic group of consumers writes it.
pub(super) fn assignment(text: &str) -> Bytes {
    let each = text.split('+').filter(|one| *one != "nothing").map(topic_partition);
    let partitions: Vec<_> = each.map(|(topic, partition)| (topic, vec![partition])).collect();
    Assignment::write(&partitions, &[0, 1]).expect("a version, and few partitions")
}
