//! The way of openraft to the other members of the quorum: calls over one connection to each.
//!
//! Invariants: a call reaches the member that it is meant for or none, since the link checks the raft node id; what is
//! answered is what a member can answer (`acknowledged`).
//!
//! A node that runs alone has no links: every call answers that the member is unreachable.

use crate::quorum::acknowledged::{Acknowledged, Sent, Unfit};
use crate::quorum::link::{CallError, Link};
use crate::quorum::links::{Lane, Links};
use crate::quorum::raft_rpc::{Answer, Call};
use crate::quorum::types::{QuorumNode, RaftNodeId, TypeConfig};
use openraft::SnapshotSegmentId;
use openraft::error::{
    InstallSnapshotError, NetworkError, PayloadTooLarge, RPCError, RaftError, RemoteError, SnapshotMismatch,
    Unreachable,
};
use openraft::network::{Backoff, RPCOption, RaftNetwork, RaftNetworkFactory};
use openraft::raft::{
    AppendEntriesRequest, AppendEntriesResponse, InstallSnapshotRequest, InstallSnapshotResponse,
    VoteRequest, VoteResponse,
};
use parking_lot::Mutex;
use std::sync::Arc;
use std::time::Duration;
use storage::ids::BrokerId;

/// Entries that are longer together are sent one half after the other. Larger: one call takes longer than a heartbeat
/// may. Smaller: a member that is far behind takes more round trips.
const APPEND_BYTES: usize = 4 * 1024 * 1024;

/// How long openraft leaves an unreachable member alone. Larger: one that returns waits longer. Smaller: more work for one
/// that is gone.
const BACKOFF: Duration = Duration::from_millis(100);

type CallFailed<E> = RPCError<RaftNodeId, QuorumNode, E>;

/// Makes a [`Member`] for each member that openraft talks to.
pub(super) struct Network {
    links: Option<Arc<Links>>,
    acknowledged: Arc<Mutex<Acknowledged>>,
}

/// One other member.
pub(super) struct Member {
    raft_node_id: RaftNodeId,
    broker_id: BrokerId,
    link: Option<Link>,
    acknowledged: Arc<Mutex<Acknowledged>>,
}

/// Why openraft gets no answer.
#[derive(Debug, thiserror::Error)]
enum NoAnswer {
    #[error("a node that runs alone has no peers")]
    Alone,
    #[error(transparent)]
    Call(#[from] CallError),
    #[error("the answer cannot be read: {0}")]
    Unreadable(#[from] crate::quorum::EntryError),
    #[error("its quorum has stopped")]
    Stopped,
    #[error("the answer is one to another call")]
    Unexpected,
    #[error(transparent)]
    Unfit(#[from] Unfit),
}

impl Network {
    /// The network of a node of a set, or that of a node alone.
    pub(super) fn new(links: Option<Arc<Links>>, acknowledged: Arc<Mutex<Acknowledged>>) -> Self {
        Self { links, acknowledged }
    }
}

impl RaftNetworkFactory<TypeConfig> for Network {
    type Network = Member;

    async fn new_client(&mut self, target: RaftNodeId, node: &QuorumNode) -> Member {
        let link = self.links.as_ref().and_then(|links| links.to(Lane::Raft, target, node));
        let acknowledged = Arc::clone(&self.acknowledged);
        Member { raft_node_id: target, broker_id: node.broker_id, link, acknowledged }
    }
}

impl Member {
    async fn call(&self, body: Vec<u8>) -> Result<Answer, NoAnswer> {
        let link = self.link.as_ref().ok_or(NoAnswer::Alone)?;
        let answer = link.call(body).await?;
        Ok(Answer::decode(&answer)?)
    }

    /// Sends entries to a member that is still counted on, and takes note of its answer.
    async fn append(
        &self,
        sent: &Sent,
        body: Vec<u8>,
    ) -> Result<AppendEntriesResponse<RaftNodeId>, NoAnswer> {
        self.acknowledged.lock().check(self.raft_node_id)?;
        match self.call(body).await? {
            Answer::Append(answer) => {
                let noted = self.acknowledged.lock().answered(self.raft_node_id, sent, &answer);
                if let Err(lost @ Unfit::LostNow { .. }) = noted {
                    tracing::error!(
                        "node {} is not counted on any more: {lost}; its log.dirs is an older copy: empty it, and the node \
                         comes back as a new member",
                        self.broker_id
                    );
                }
                noted?;
                Ok(answer)
            }
            other => Err(unexpected(&other)),
        }
    }
}

impl NoAnswer {
    fn failed<E: std::error::Error>(&self) -> CallFailed<E> {
        let error = self;
        match error {
            // The connection is made anew with the next call, which need not wait for long.
            NoAnswer::Call(CallError::Ended | CallError::Busy) => RPCError::Network(NetworkError::new(error)),
            NoAnswer::Alone
            | NoAnswer::Call(_)
            | NoAnswer::Unreadable(_)
            | NoAnswer::Stopped
            | NoAnswer::Unfit(_)
            | NoAnswer::Unexpected => RPCError::Unreachable(Unreachable::new(error)),
        }
    }
}

fn unexpected(answer: &Answer) -> NoAnswer {
    if *answer == Answer::Stopped { NoAnswer::Stopped } else { NoAnswer::Unexpected }
}

impl RaftNetwork<TypeConfig> for Member {
    async fn append_entries(
        &mut self,
        request: AppendEntriesRequest<TypeConfig>,
        _option: RPCOption,
    ) -> Result<AppendEntriesResponse<RaftNodeId>, CallFailed<RaftError<RaftNodeId>>> {
        let entries = request.entries.len() as u64;
        let before = request.prev_log_id;
        let sent = Sent {
            vote: request.vote,
            before,
            last: request.entries.last().map(|entry| entry.log_id).or(before),
        };
        let body = Call::Append(request).encode();
        if body.len() > APPEND_BYTES && entries > 1 {
            return Err(RPCError::PayloadTooLarge(PayloadTooLarge::new_entries_hint(entries / 2)));
        }
        self.append(&sent, body).await.map_err(|error| error.failed())
    }

    async fn install_snapshot(
        &mut self,
        request: InstallSnapshotRequest<TypeConfig>,
        _option: RPCOption,
    ) -> Result<InstallSnapshotResponse<RaftNodeId>, CallFailed<RaftError<RaftNodeId, InstallSnapshotError>>>
    {
        let segment = |offset| SnapshotSegmentId { id: request.meta.snapshot_id.clone(), offset };
        let (sent_vote, last) = (request.vote, request.meta.last_log_id.filter(|_| request.done));
        let mismatch = SnapshotMismatch { expect: segment(0), got: segment(request.offset) };
        match self.call(Call::Snapshot(request).encode()).await.map_err(|error| error.failed())? {
            Answer::Snapshot(vote) => {
                if vote <= sent_vote {
                    let noted = self.acknowledged.lock().has(self.raft_node_id, sent_vote, last);
                    noted.map_err(|unfit| NoAnswer::Unfit(unfit).failed())?;
                }
                Ok(InstallSnapshotResponse { vote })
            }
            Answer::SnapshotMismatch => {
                let error = RaftError::APIError(InstallSnapshotError::SnapshotMismatch(mismatch));
                Err(RPCError::RemoteError(RemoteError::new(self.raft_node_id, error)))
            }
            other => Err(unexpected(&other).failed()),
        }
    }

    async fn vote(
        &mut self,
        request: VoteRequest<RaftNodeId>,
        _option: RPCOption,
    ) -> Result<VoteResponse<RaftNodeId>, CallFailed<RaftError<RaftNodeId>>> {
        match self.call(Call::Vote(request).encode()).await.map_err(|error| error.failed())? {
            Answer::Vote(answer) => Ok(answer),
            other => Err(unexpected(&other).failed()),
        }
    }

    fn backoff(&self) -> Backoff {
        Backoff::new(std::iter::repeat(BACKOFF))
    }
}
