//! LeaveGroup (key 13, versions 0–5): members of the classic protocol leave.
//!
//! Version notes: below 3 one member leaves and its error is that of the answer; from 3 on several may, also by their
//! instance ids alone (KIP-345); 5 says why. Source: `GroupCoordinatorService.leaveGroup`, `LeaveGroupResponse.java`.

use super::RequestContext;
use super::coordination::{Refusal, ask, mismatch, shared};
use crate::coordinators::CoordinatorError;
use crate::error_code;
use coordinator::error::GroupError;
use coordinator::ids::{GroupId, InstanceId, MemberId};
use coordinator::request::{LeaveGroup, LeavingMember, Reply, Request};
use kafka_protocol::ResponseError;
use kafka_protocol::messages::leave_group_request::MemberIdentity;
use kafka_protocol::messages::leave_group_response::MemberResponse;
use kafka_protocol::messages::{LeaveGroupRequest, LeaveGroupResponse};
use std::future::Future;

/// The first version in which several members may leave.
const MEMBERS_SINCE: i16 = 3;

pub(crate) fn handle(
    context: RequestContext,
    mut request: LeaveGroupRequest,
) -> impl Future<Output = LeaveGroupResponse> + Send + 'static {
    if context.version < MEMBERS_SINCE {
        request.members = vec![MemberIdentity::default().with_member_id(request.member_id.clone())];
    }
    let asked = match request.group_id.is_empty() {
        true => Err(ResponseError::InvalidGroupId),
        false => Ok(ask(&context, &request.group_id, Request::LeaveGroup(leaving(&request)))),
    };
    async move {
        match left(asked).await {
            Ok(results) => answer(request.members, &results, context.version),
            Err(refusal) => LeaveGroupResponse::default().with_error_code(refusal.code()),
        }
    }
}

async fn left(
    asked: Result<impl Future<Output = Result<Reply, CoordinatorError>>, ResponseError>,
) -> Result<Vec<Result<(), GroupError>>, Refusal> {
    match asked?.await? {
        Reply::LeaveGroup(results) => Ok(results.map_err(CoordinatorError::Group)?),
        other => mismatch(&other),
    }
}

fn leaving(request: &LeaveGroupRequest) -> LeaveGroup {
    let member = |member: &MemberIdentity| LeavingMember {
        member_id: Some(&member.member_id).filter(|id| !id.is_empty()).map(|id| MemberId(shared(id))),
        group_instance_id: member.group_instance_id.as_ref().map(|id| InstanceId(shared(id))),
        reason: member.reason.as_ref().map(ToString::to_string),
    };
    LeaveGroup {
        group_id: GroupId(shared(&request.group_id)),
        members: request.members.iter().map(member).collect(),
    }
}

fn answer(
    members: Vec<MemberIdentity>,
    results: &[Result<(), GroupError>],
    version: i16,
) -> LeaveGroupResponse {
    let code = |result: &Result<(), GroupError>| match result {
        Ok(()) => 0,
        Err(error) => error_code::of_group(error).code(),
    };
    if version < MEMBERS_SINCE {
        return LeaveGroupResponse::default().with_error_code(results.first().map_or(0, code));
    }
    let answered = members.into_iter().zip(results).map(|(member, result)| {
        MemberResponse::default()
            .with_member_id(member.member_id)
            .with_group_instance_id(member.group_instance_id)
            .with_error_code(code(result))
    });
    LeaveGroupResponse::default().with_members(answered.collect())
}
