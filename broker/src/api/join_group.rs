//! JoinGroup (key 11, versions 0–9): a member of the classic protocol joins, or joins again.
//!
//! The answer comes once everybody is there, or their time is over; until then the request is parked in its group.
//! Version notes: 1 brings the rebalance timeout (the session's before), 4 the two steps of a new member (KIP-394),
//! 5 static members (KIP-345), 7 a nullable protocol, 9 a leader that does not assign (KIP-814).
//! Source: `GroupCoordinatorService.joinGroup`.

use super::RequestContext;
use super::coordination::{Refusal, ask_parked, client_host, mismatch, shared, text};
use crate::coordinators::CoordinatorError;
use bytes::Bytes;
use coordinator::error::GroupError;
use coordinator::ids::{GroupId, InstanceId, MemberId};
use coordinator::request::{JoinGroup, JoinedGroup, JoinedMember, Reply, Request};
use kafka_protocol::ResponseError;
use kafka_protocol::messages::join_group_response::JoinGroupResponseMember;
use kafka_protocol::messages::{JoinGroupRequest, JoinGroupResponse};
use kafka_protocol::protocol::StrBytes;
use std::future::Future;

/// The first version that names a rebalance timeout.
const REBALANCE_TIMEOUT_SINCE: i16 = 1;
/// The first version whose clients come back with the id that they are given.
const KNOWN_MEMBER_ID_SINCE: i16 = 4;
/// The first version with static members.
const STATIC_SINCE: i16 = 5;
/// The first version that names the kind of group.
const PROTOCOL_TYPE_SINCE: i16 = 7;
/// The first version that can tell a leader not to assign.
const SKIP_ASSIGNMENT_SINCE: i16 = 9;

pub(crate) fn handle(
    context: RequestContext,
    request: JoinGroupRequest,
) -> impl Future<Output = JoinGroupResponse> + Send + 'static {
    let asked = match request.group_id.is_empty() {
        true => Err(ResponseError::InvalidGroupId),
        false => Ok(ask_parked(&context, &request.group_id, Request::JoinGroup(joining(&context, &request)))),
    };
    // A copy: a slice would keep the request's whole frame for as long as it is parked.
    let member_id = text(&request.member_id);
    async move {
        match joined(asked).await {
            Ok(joined) => answer(joined, context.version),
            Err(JoinRefusal::Required(member_id)) => {
                refuse(ResponseError::MemberIdRequired.code(), text(member_id.as_str()))
            }
            Err(JoinRefusal::Refused(refusal)) => refuse(refusal.code(), member_id),
        }
    }
}

enum JoinRefusal {
    /// The member is to come back with this id.
    Required(MemberId),
    Refused(Refusal),
}

async fn joined(
    asked: Result<impl Future<Output = Result<Reply, CoordinatorError>>, ResponseError>,
) -> Result<JoinedGroup, JoinRefusal> {
    let asked = asked.map_err(|error| JoinRefusal::Refused(error.into()))?;
    match asked.await {
        Ok(Reply::JoinGroup(Ok(joined))) => Ok(joined),
        Ok(Reply::JoinGroup(Err(GroupError::MemberIdRequired(member_id)))) => {
            Err(JoinRefusal::Required(member_id))
        }
        Ok(Reply::JoinGroup(Err(error))) => Err(JoinRefusal::Refused(CoordinatorError::Group(error).into())),
        Ok(other) => mismatch(&other),
        Err(error) => Err(JoinRefusal::Refused(error.into())),
    }
}

fn joining(context: &RequestContext, request: &JoinGroupRequest) -> JoinGroup {
    let version = context.version;
    JoinGroup {
        group_id: GroupId(shared(&request.group_id)),
        member_id: Some(&request.member_id).filter(|id| !id.is_empty()).map(|id| MemberId(shared(id))),
        group_instance_id: request.group_instance_id.as_ref().map(|id| InstanceId(shared(id))),
        client_id: context.client_id.as_str().into(),
        client_host: client_host(context),
        session_timeout_ms: request.session_timeout_ms,
        rebalance_timeout_ms: match version >= REBALANCE_TIMEOUT_SINCE {
            true => request.rebalance_timeout_ms,
            false => request.session_timeout_ms,
        },
        protocol_type: shared(&request.protocol_type),
        protocols: request
            .protocols
            .iter()
            // A copy: a slice would keep the connection's whole read buffer for as long as the member stays.
            .map(|protocol| (shared(&protocol.name), Bytes::copy_from_slice(&protocol.metadata)))
            .collect(),
        requires_known_member_id: version >= KNOWN_MEMBER_ID_SINCE,
        supports_skipping_assignment: version >= SKIP_ASSIGNMENT_SINCE,
    }
}

fn answer(joined: JoinedGroup, version: i16) -> JoinGroupResponse {
    let mut response = JoinGroupResponse::default()
        .with_generation_id(joined.generation_id.0)
        .with_protocol_name(Some(text(&joined.protocol_name)))
        .with_leader(text(joined.leader.as_str()))
        .with_member_id(text(joined.member_id.as_str()))
        .with_members(joined.members.into_iter().map(|joined| member(joined, version)).collect());
    if version >= PROTOCOL_TYPE_SINCE {
        response.protocol_type = Some(text(&joined.protocol_type));
    }
    if version >= SKIP_ASSIGNMENT_SINCE {
        response.skip_assignment = joined.skip_assignment;
    }
    response
}

fn member(joined: JoinedMember, version: i16) -> JoinGroupResponseMember {
    let member = JoinGroupResponseMember::default()
        .with_member_id(text(joined.member_id.as_str()))
        .with_metadata(joined.metadata);
    match (version >= STATIC_SINCE, joined.group_instance_id) {
        (true, Some(instance_id)) => member.with_group_instance_id(Some(text(instance_id.as_str()))),
        (true, None) | (false, _) => member.with_group_instance_id(None),
    }
}

fn refuse(code: i16, member_id: StrBytes) -> JoinGroupResponse {
    JoinGroupResponse::default()
        .with_error_code(code)
        .with_generation_id(-1)
        .with_protocol_name(Some(StrBytes::default()))
        .with_member_id(member_id)
}
