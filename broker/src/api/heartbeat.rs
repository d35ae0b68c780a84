//! Heartbeat (key 12, versions 0–4): a member of the classic protocol is alive.
//!
//! While the groups are loaded the answer is "all is well": the member keeps its place and asks again.
//! Version notes: 3 brings static members (KIP-345). Source: `GroupCoordinatorService.heartbeat`.

use super::RequestContext;
use super::coordination::{Refusal, ask, mismatch, shared};
use crate::coordinators::CoordinatorError;
use coordinator::ids::{GenerationId, GroupId, InstanceId, MemberId};
use coordinator::request::{Heartbeat, Reply, Request};
use kafka_protocol::ResponseError;
use kafka_protocol::messages::{HeartbeatRequest, HeartbeatResponse};
use std::future::Future;

pub(crate) fn handle(
    context: RequestContext,
    request: HeartbeatRequest,
) -> impl Future<Output = HeartbeatResponse> + Send + 'static {
    let asked = match request.group_id.is_empty() {
        true => Err(ResponseError::InvalidGroupId),
        false => Ok(ask(&context, &request.group_id, Request::Heartbeat(alive(&request)))),
    };
    async move {
        let code = match answered(asked).await {
            Ok(()) => 0,
            Err(refusal) => refusal.code(),
        };
        HeartbeatResponse::default().with_error_code(code)
    }
}

async fn answered(
    asked: Result<impl Future<Output = Result<Reply, CoordinatorError>>, ResponseError>,
) -> Result<(), Refusal> {
    match asked?.await {
        Ok(Reply::Heartbeat(alive)) => Ok(alive.map_err(CoordinatorError::Group)?),
        Ok(other) => mismatch(&other),
        Err(CoordinatorError::Loading) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

fn alive(request: &HeartbeatRequest) -> Heartbeat {
    Heartbeat {
        group_id: GroupId(shared(&request.group_id)),
        generation_id: GenerationId(request.generation_id),
        member_id: MemberId(shared(&request.member_id)),
        group_instance_id: request.group_instance_id.as_ref().map(|id| InstanceId(shared(id))),
    }
}
