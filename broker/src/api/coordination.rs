//! What the APIs of groups have in common: the way to a group's shard and back, and how texts and states are written.

use super::RequestContext;
use crate::coordinators::{CoordinatorError, Shard, Submitted};
use crate::error_code;
use bytes::Bytes;
use coordinator::description::GroupState;
use coordinator::error::GroupError;
use coordinator::request::{Reply, Request};
use coordinator::shard::GroupShard;
use kafka_protocol::ResponseError;
use kafka_protocol::protocol::StrBytes;
use std::collections::HashSet;
use std::future::Future;
use std::sync::Arc;

/// Groups that one request may name. Larger: one request is answered with very much at once. Smaller: tools that look at
/// every group of a large cluster at once are refused.
pub(super) const GROUPS_PER_REQUEST_MAX: usize = 10_000;

/// The operations on a group that nobody restricts, as bits: READ, DELETE, DESCRIBE, DESCRIBE_CONFIGS, ALTER_CONFIGS.
/// Source: `AclEntry.supportedOperations`.
pub(super) const GROUP_OPERATIONS: i32 = (1 << 3) | (1 << 6) | (1 << 8) | (1 << 10) | (1 << 11);

/// Why a coordinator did not do what it was asked, as it goes to the client.
pub(super) struct Refusal {
    pub(super) error: ResponseError,
    /// None where the sentence that clients have for the error says all.
    pub(super) message: Option<String>,
}

impl From<CoordinatorError> for Refusal {
    fn from(error: CoordinatorError) -> Self {
        Self { error: error_code::of_coordinator(&error), message: Some(error.to_string()) }
    }
}

impl From<ResponseError> for Refusal {
    fn from(error: ResponseError) -> Self {
        Self { error, message: None }
    }
}

impl Refusal {
    pub(super) fn code(&self) -> i16 {
        self.error.code()
    }

    pub(super) fn message(self) -> Option<StrBytes> {
        self.message.map(StrBytes::from_string)
    }
}

/// Hands `request` to the shard of `group_id`, behind what this connection asked before. The future waits for what the
/// shard answers once that is committed.
pub(super) fn ask(
    context: &RequestContext,
    group_id: &str,
    request: Request,
) -> impl Future<Output = Result<Reply, CoordinatorError>> + Send + use<> {
    let submitted = submit(context, group_id, request);
    async move { submitted?.answer().await }
}

/// The same for requests that may be parked until other members come: they take no room of the requests that wait, and
/// end with their connection.
pub(super) fn ask_parked(
    context: &RequestContext,
    group_id: &str,
    request: Request,
) -> impl Future<Output = Result<Reply, CoordinatorError>> + Send + use<> {
    let parked = context.broker.limits.park(&context.memory, parked_bytes(&request));
    let submitted = parked.ok_or(CoordinatorError::Busy).and_then(|parked| {
        let submitted = submit(context, group_id, request)?;
        Ok((submitted, parked))
    });
    let mut ending = context.ending.clone();
    async move {
        let (submitted, _parked) = submitted?;
        tokio::select! {
            biased;
            answer = submitted.answer() => answer,
            () = ending.requested() => Err(CoordinatorError::NotCoordinator),
        }
    }
}

/// How much of a client's a request takes along into its group.
fn parked_bytes(request: &Request) -> usize {
    let per_element = |name: &str, bytes: &[u8]| size_of::<(Arc<str>, Bytes)>() + name.len() + bytes.len();
    match request {
        Request::JoinGroup(join) => join.protocols.iter().map(|(name, bytes)| per_element(name, bytes)).sum(),
        Request::SyncGroup(sync) => {
            sync.assignments.iter().map(|(member_id, bytes)| per_element(member_id.as_str(), bytes)).sum()
        }
        Request::Heartbeat(_)
        | Request::LeaveGroup(_)
        | Request::ConsumerGroupHeartbeat(_)
        | Request::OffsetCommit(_)
        | Request::OffsetDelete(_)
        | Request::DeleteGroup(_) => 0,
    }
}

fn submit(context: &RequestContext, group_id: &str, request: Request) -> Result<Submitted, CoordinatorError> {
    shard_of(context, group_id)?.submit(request)
}

/// Looks at the shard of `group_id`, at once.
pub(super) fn look<T>(
    context: &RequestContext,
    group_id: &str,
    look: impl FnOnce(&GroupShard) -> Result<T, GroupError>,
) -> Result<T, CoordinatorError> {
    shard_of(context, group_id)?.read(look)
}

/// The shard of `group_id`, unless another node may coordinate it by now.
fn shard_of(context: &RequestContext, group_id: &str) -> Result<Arc<Shard>, CoordinatorError> {
    if context.broker.quorum.is_isolated() {
        return Err(CoordinatorError::NotCoordinator);
    }
    context.broker.coordinators.shard_of(group_id)
}

/// A reply of another kind than the request is our own mistake.
pub(super) fn mismatch<T>(reply: &Reply) -> T {
    unreachable!("a shard answered another request than it was asked: {reply:?}")
}

/// Each group once, up to [`GROUPS_PER_REQUEST_MAX`] of them: a short request that repeats one would else have an answer
/// without bound.
pub(super) fn each_once<T>(groups: Vec<T>, id_of: impl Fn(&T) -> &StrBytes) -> impl Iterator<Item = T> {
    let mut seen = HashSet::with_capacity(groups.len());
    groups.into_iter().filter(move |group| seen.insert(id_of(group).clone())).take(GROUPS_PER_REQUEST_MAX)
}

/// The texts of requests, as the core keeps them.
pub(super) fn shared(text: &StrBytes) -> Arc<str> {
    text.as_str().into()
}

/// The texts of the core, as responses carry them.
pub(super) fn text(text: &str) -> StrBytes {
    StrBytes::from_string(text.to_owned())
}

/// The address of who asks, in Java's form.
pub(super) fn client_host(context: &RequestContext) -> Arc<str> {
    format!("/{}", context.peer_address.ip().to_canonical()).into()
}

/// How a group stands, in Kafka's word. Source: `GroupState.java`.
pub(super) fn state_name(state: GroupState) -> &'static str {
    match state {
        GroupState::Empty => "Empty",
        GroupState::PreparingRebalance => "PreparingRebalance",
        GroupState::CompletingRebalance => "CompletingRebalance",
        GroupState::Assigning => "Assigning",
        GroupState::Reconciling => "Reconciling",
        GroupState::Stable => "Stable",
        GroupState::Dead => "Dead",
    }
}
