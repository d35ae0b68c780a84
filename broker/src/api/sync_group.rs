//! SyncGroup (key 14, versions 0–5): a member of the classic protocol asks for its assignment; the leader brings
//! everybody's.
//!
//! Version notes: 3 brings static members (KIP-345), 5 names the protocol that the member believes to be chosen, and must.
//! Source: `KafkaApis.handleSyncGroupRequest`, `GroupCoordinatorService.syncGroup`.

use super::RequestContext;
use super::coordination::{Refusal, ask_parked, mismatch, shared, text};
use crate::coordinators::CoordinatorError;
use bytes::Bytes;
use coordinator::ids::{GenerationId, GroupId, InstanceId, MemberId};
use coordinator::request::{Reply, Request, SyncGroup, SyncedGroup};
use kafka_protocol::ResponseError;
use kafka_protocol::messages::{SyncGroupRequest, SyncGroupResponse};
use std::future::Future;

/// The first version that names the protocol, in the request and in the answer.
const PROTOCOL_SINCE: i16 = 5;

pub(crate) fn handle(
    context: RequestContext,
    request: SyncGroupRequest,
) -> impl Future<Output = SyncGroupResponse> + Send + 'static {
    let is_unnamed = request.protocol_type.is_none() || request.protocol_name.is_none();
    let asked = if context.version >= PROTOCOL_SINCE && is_unnamed {
        Err(ResponseError::InconsistentGroupProtocol)
    } else if request.group_id.is_empty() {
        Err(ResponseError::InvalidGroupId)
    } else {
        Ok(ask_parked(&context, &request.group_id, Request::SyncGroup(syncing(&request))))
    };
    async move {
        match synced(asked).await {
            Ok(synced) => answer(synced, context.version),
            Err(refusal) => SyncGroupResponse::default().with_error_code(refusal.code()),
        }
    }
}

async fn synced(
    asked: Result<impl Future<Output = Result<Reply, CoordinatorError>>, ResponseError>,
) -> Result<SyncedGroup, Refusal> {
    match asked?.await? {
        Reply::SyncGroup(synced) => Ok(synced.map_err(CoordinatorError::Group)?),
        other => mismatch(&other),
    }
}

fn syncing(request: &SyncGroupRequest) -> SyncGroup {
    SyncGroup {
        group_id: GroupId(shared(&request.group_id)),
        generation_id: GenerationId(request.generation_id),
        member_id: MemberId(shared(&request.member_id)),
        group_instance_id: request.group_instance_id.as_ref().map(|id| InstanceId(shared(id))),
        protocol_type: request.protocol_type.as_ref().map(shared),
        protocol_name: request.protocol_name.as_ref().map(shared),
        assignments: request
            .assignments
            .iter()
            // A copy: a slice would keep the connection's whole read buffer for as long as the group stays.
            .map(|given| (MemberId(shared(&given.member_id)), Bytes::copy_from_slice(&given.assignment)))
            .collect(),
    }
}

fn answer(synced: SyncedGroup, version: i16) -> SyncGroupResponse {
    let response = SyncGroupResponse::default().with_assignment(synced.assignment);
    match version {
        PROTOCOL_SINCE.. => response
            .with_protocol_type(synced.protocol_type.as_deref().map(text))
            .with_protocol_name(synced.protocol_name.as_deref().map(text)),
        _ => response,
    }
}
