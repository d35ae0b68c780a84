//! DeleteGroups (key 42, versions 0–3): groups without members are forgotten, with their offsets.
//!
//! Version notes: 3 explains errors. Source: KIP-229, `GroupCoordinatorService.deleteGroups`.

use super::coordination::{Refusal, ask, each_once, mismatch, shared};
use super::{Outcome, Reply as ApiReply, RequestContext};
use crate::coordinators::CoordinatorError;
use crate::wire::delete_groups::{DeleteGroupsRequest, DeletedGroup, is_flexible, put_response};
use crate::wire::request_header::RequestPrefix;
use crate::wire::response::{EncodeError, FrameBuilder};
use coordinator::ids::GroupId;
use coordinator::request::{Reply, Request};
use futures_util::future::join_all;
use std::future::Future;

/// The response, of which the crate does not have every version.
pub(crate) struct DeleteGroupsReply {
    groups: Vec<DeletedGroup>,
    pub(crate) throttle_time_ms: i32,
}

impl ApiReply for DeleteGroupsReply {
    fn into_outcome(self, prefix: RequestPrefix, schema_version: i16) -> Result<Outcome, EncodeError> {
        let mut frame = FrameBuilder::new(prefix.correlation_id, is_flexible(schema_version));
        put_response(&mut frame, self.groups, self.throttle_time_ms, schema_version)?;
        frame.finish(schema_version).map(Outcome::Send)
    }
}

pub(crate) fn handle(
    context: RequestContext,
    request: DeleteGroupsRequest,
) -> impl Future<Output = DeleteGroupsReply> + Send + 'static {
    let asked: Vec<_> = each_once(request.groups, |name| name)
        .map(|name| {
            let delete = Request::DeleteGroup(GroupId(shared(&name)));
            let asked = ask(&context, &name, delete);
            async move {
                let refusal = deleted(asked.await).err();
                DeletedGroup {
                    group_id: name,
                    error_code: refusal.as_ref().map_or(0, Refusal::code),
                    error_message: refusal.and_then(|refusal| refusal.message),
                }
            }
        })
        .collect();
    async move { DeleteGroupsReply { groups: join_all(asked).await, throttle_time_ms: 0 } }
}

fn deleted(answered: Result<Reply, CoordinatorError>) -> Result<(), Refusal> {
    match answered? {
        Reply::DeleteGroup(deleted) => Ok(deleted.map_err(CoordinatorError::Group)?),
        other => mismatch(&other),
    }
}
