//! The way to the other members of the quorum, of which a single node has none: every call answers that the peer is
//! unreachable. openraft wants the type even so.

use crate::quorum::types::{QuorumNode, RaftNodeId, TypeConfig};
use openraft::error::{InstallSnapshotError, RPCError, RaftError, Unreachable};
use openraft::network::{RPCOption, RaftNetwork, RaftNetworkFactory};
use openraft::raft::{
    AppendEntriesRequest, AppendEntriesResponse, InstallSnapshotRequest, InstallSnapshotResponse,
    VoteRequest, VoteResponse,
};

type CallError<E> = RPCError<RaftNodeId, QuorumNode, E>;

/// A network without peers.
pub(super) struct NoPeers;

/// What every call to a peer answers.
#[derive(Debug, thiserror::Error)]
#[error("a single node has no peers")]
struct NoSuchPeer;

fn unreachable<E: std::error::Error>() -> CallError<E> {
    RPCError::Unreachable(Unreachable::new(&NoSuchPeer))
}

impl RaftNetworkFactory<TypeConfig> for NoPeers {
    type Network = Self;

    async fn new_client(&mut self, _target: RaftNodeId, _node: &QuorumNode) -> Self {
        Self
    }
}

impl RaftNetwork<TypeConfig> for NoPeers {
    async fn append_entries(
        &mut self,
        _request: AppendEntriesRequest<TypeConfig>,
        _option: RPCOption,
    ) -> Result<AppendEntriesResponse<RaftNodeId>, CallError<RaftError<RaftNodeId>>> {
        Err(unreachable())
    }

    async fn install_snapshot(
        &mut self,
        _request: InstallSnapshotRequest<TypeConfig>,
        _option: RPCOption,
    ) -> Result<InstallSnapshotResponse<RaftNodeId>, CallError<RaftError<RaftNodeId, InstallSnapshotError>>>
    {
        Err(unreachable())
    }

    async fn vote(
        &mut self,
        _request: VoteRequest<RaftNodeId>,
        _option: RPCOption,
    ) -> Result<VoteResponse<RaftNodeId>, CallError<RaftError<RaftNodeId>>> {
        Err(unreachable())
    }
}
