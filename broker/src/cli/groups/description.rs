//! How a group stands, gathered from its coordinator: of either protocol, in one form.

use std::time::Duration;

use anyhow::bail;
use kafka_protocol::ResponseError;
use kafka_protocol::messages::consumer_group_describe_response as consumer;
use kafka_protocol::messages::describe_groups_response as classic;
use kafka_protocol::messages::{ConsumerGroupDescribeRequest, DescribeGroupsRequest};
use serde::Serialize;

use super::assignment::{self, Assignment};
use super::{GroupRefusal, wire_id};
use crate::cli::client::{Client, ClientError};
use crate::wire::awaited::{self, Attendance};

/// The protocol type of groups whose assignments name topics and partitions.
const CONSUMER_PROTOCOL_TYPE: &str = "consumer";

/// A group without its offsets.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub(super) struct Group {
    pub(super) group_id: String,
    /// `classic` or `consumer`.
    pub(super) kind: String,
    pub(super) state: String,
    /// What kind of members a classic group has; empty where it has had none.
    pub(super) protocol_type: String,
    /// The protocol that a classic group chose, or the assignor of a consumer group.
    pub(super) assignor: String,
    /// Of consumer groups.
    pub(super) group_epoch: Option<i32>,
    /// The group epoch of the target assignment, of consumer groups.
    pub(super) assignment_epoch: Option<i32>,
    pub(super) members: Vec<Member>,
    /// Whether the broker says for whom a classic group waits.
    #[serde(skip)]
    pub(super) tells_awaited: bool,
}

/// A member of a group.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub(super) struct Member {
    pub(super) member_id: String,
    pub(super) instance_id: Option<String>,
    pub(super) client_id: String,
    pub(super) client_host: String,
    /// Of consumer groups.
    pub(super) member_epoch: Option<i32>,
    /// What it owns.
    pub(super) assignment: Assignment,
    /// What it is to own, of consumer groups.
    pub(super) target_assignment: Option<Assignment>,
    /// For how long a classic group has waited for it, where the broker says so.
    #[serde(rename = "awaited_for_ms", serialize_with = "milliseconds")]
    pub(super) awaited_for: Option<Duration>,
}

fn milliseconds<S: serde::Serializer>(duration: &Option<Duration>, serializer: S) -> Result<S::Ok, S::Error> {
    duration.map(|duration| duration.as_millis() as u64).serialize(serializer)
}

/// Asks the coordinator of `group_id` what it knows.
///
/// # Errors
/// [`GroupRefusal::NoSuchGroup`], and whatever keeps the coordinator from answering.
pub(super) async fn describe(client: &mut Client, group_id: &str) -> anyhow::Result<Group> {
    let coordinator = client.coordinator(group_id).await?;
    if client.serves::<ConsumerGroupDescribeRequest>(&coordinator.address).await?
        && let Some(group) = describe_consumer(client, group_id).await?
    {
        return Ok(group);
    }
    describe_classic(client, group_id).await
}

/// `None` where it is no consumer group, or the broker has none.
async fn describe_consumer(client: &mut Client, group_id: &str) -> anyhow::Result<Option<Group>> {
    let request = ConsumerGroupDescribeRequest::default().with_group_ids(vec![wire_id(group_id)]);
    let response = client
        .ask_coordinator(group_id, &request, |response| {
            response.groups.first().map_or(0, |group| group.error_code)
        })
        .await?;
    let Some(group) = response.groups.into_iter().next() else {
        bail!("the coordinator says nothing of {group_id}")
    };
    match ResponseError::try_from_code(group.error_code) {
        None => Ok(Some(from_consumer(group))),
        Some(ResponseError::GroupIdNotFound | ResponseError::UnsupportedVersion) => Ok(None),
        Some(error) => {
            Err(ClientError::Refused { what: format!("the description of {group_id}"), error }.into())
        }
    }
}

fn from_consumer(group: consumer::DescribedGroup) -> Group {
    Group {
        group_id: group.group_id.to_string(),
        kind: "consumer".to_owned(),
        state: group.group_state.to_string(),
        protocol_type: CONSUMER_PROTOCOL_TYPE.to_owned(),
        assignor: group.assignor_name.to_string(),
        group_epoch: Some(group.group_epoch),
        assignment_epoch: Some(group.assignment_epoch),
        members: group.members.into_iter().map(from_consumer_member).collect(),
        tells_awaited: false,
    }
}

fn from_consumer_member(member: consumer::Member) -> Member {
    let assignment = |assignment: consumer::Assignment| -> Assignment {
        let topics = assignment.topic_partitions.into_iter();
        topics.map(|topic| (topic.topic_name.to_string(), topic.partitions)).collect()
    };
    Member {
        member_id: member.member_id.to_string(),
        instance_id: member.instance_id.map(|id| id.to_string()),
        client_id: member.client_id.to_string(),
        client_host: host(member.client_host.as_str()),
        member_epoch: Some(member.member_epoch),
        assignment: assignment(member.assignment),
        target_assignment: Some(assignment(member.target_assignment)),
        awaited_for: None,
    }
}

async fn describe_classic(client: &mut Client, group_id: &str) -> anyhow::Result<Group> {
    let mut request = DescribeGroupsRequest::default().with_groups(vec![wire_id(group_id)]);
    awaited::ask(&mut request);
    let response = client
        .ask_coordinator(group_id, &request, |response| {
            response.groups.first().map_or(0, |group| group.error_code)
        })
        .await?;
    let Some(group) = response.groups.into_iter().next() else {
        bail!("the coordinator says nothing of {group_id}")
    };
    match ResponseError::try_from_code(group.error_code) {
        // Before version 6, a group that is not there is one that is dead.
        None if group.group_state.as_str() == "Dead" => {
            Err(GroupRefusal::NoSuchGroup { group_id: group_id.to_owned() }.into())
        }
        None => Ok(from_classic(group)),
        Some(ResponseError::GroupIdNotFound) => {
            Err(GroupRefusal::NoSuchGroup { group_id: group_id.to_owned() }.into())
        }
        Some(error) => {
            Err(ClientError::Refused { what: format!("the description of {group_id}"), error }.into())
        }
    }
}

fn from_classic(group: classic::DescribedGroup) -> Group {
    let tells_awaited = group.members.iter().any(|member| awaited::told(member) != Attendance::Unknown);
    let has_partitions = group.protocol_type.as_str() == CONSUMER_PROTOCOL_TYPE;
    let member = |member: classic::DescribedGroupMember| Member {
        awaited_for: match awaited::told(&member) {
            Attendance::AwaitedFor(awaited_for) => Some(awaited_for),
            Attendance::Unknown | Attendance::NotAwaited => None,
        },
        member_id: member.member_id.to_string(),
        instance_id: member.group_instance_id.map(|id| id.to_string()),
        client_id: member.client_id.to_string(),
        client_host: host(member.client_host.as_str()),
        member_epoch: None,
        assignment: if has_partitions {
            assignment::parse(&member.member_assignment)
        } else {
            Assignment::new()
        },
        target_assignment: None,
    };
    Group {
        group_id: group.group_id.to_string(),
        kind: "classic".to_owned(),
        state: group.group_state.to_string(),
        protocol_type: group.protocol_type.to_string(),
        assignor: group.protocol_data.to_string(),
        group_epoch: None,
        assignment_epoch: None,
        members: group.members.into_iter().map(member).collect(),
        tells_awaited,
    }
}

/// Kafka writes a slash before the address.
fn host(client_host: &str) -> String {
    client_host.trim_start_matches('/').to_owned()
}
