//! What comes of a start of the quorum, of a request to it, and of its life.

use crate::quorum::error::StoreError;
use crate::quorum::forming::Refusal;
use crate::quorum::types::{QuorumNode, RaftNodeId};
use crate::server::BindError;
use openraft::error::{Fatal, InitializeError};
use replication::controller::ControllerReply;
use replication::controller::brokers::RegisterBrokerError;
use serde::{Deserialize, Serialize};
use std::io;
use std::sync::Arc;
use storage::error::OpenError;
use storage::ids::BrokerId;

/// Why the quorum did not start.
#[derive(Debug, thiserror::Error)]
pub enum QuorumError {
    /// Its files cannot be used.
    #[error(transparent)]
    Store(#[from] Arc<StoreError>),
    /// It has no thread or runtime.
    #[error("cannot start the thread of the metadata quorum: {0}")]
    Thread(io::Error),
    /// openraft stopped.
    #[error("the metadata quorum stopped while it started: {0}")]
    Consensus(Box<Fatal<RaftNodeId>>),
    /// openraft refused to form a cluster here.
    #[error("the metadata quorum cannot be formed: {0}")]
    Forming(Box<InitializeError<RaftNodeId, QuorumNode>>),
    /// This node did not come to lead.
    #[error("the metadata quorum found no leader: {0}")]
    NoLeader(openraft::metrics::WaitError),
    /// The first requests of a start were not carried out.
    #[error("the metadata quorum did not take this node's registration: {0}")]
    Propose(#[from] ProposeError),
    /// The controller refused the registration.
    #[error("the controller refused this node's registration: {0}")]
    Registration(#[from] RegisterBrokerError),
    /// This node must not go on with what the others are or hold.
    #[error(transparent)]
    Refused(Refusal),
    /// Another process runs with this node's id.
    #[error(
        "node {broker_id} (node.id) runs already: end the other process, or give this one an id and log.dirs of its own"
    )]
    Taken {
        /// The id.
        broker_id: BrokerId,
    },
    /// The metadata is that of another node.
    #[error(
        "this node's metadata is that of node {other}: its directory is a copy; give node {own} (node.id) log.dirs of its own, \
         empty ones, and it is given everything"
    )]
    Copied {
        /// This node's id.
        own: BrokerId,
        /// Whose metadata it is.
        other: BrokerId,
    },
    /// The metadata goes back.
    #[error(
        "node {own} (node.id) had entry {last_index} of the metadata log, as node {controller}, the controller, knows, and has \
         it no more: its log.dirs are an older copy; empty them, and it comes back as a new member and is given everything"
    )]
    OlderCopy {
        /// This node's id.
        own: BrokerId,
        /// Who knows it.
        controller: BrokerId,
        /// The last entry that it is known to have held.
        last_index: u64,
    },
    /// The metadata is that of a set, and the configuration names none.
    #[error("this node's metadata belongs to a set with {nodes}: name all of them in ottla.replica.set")]
    SetMissing {
        /// The other nodes, as a sentence names them.
        nodes: String,
    },
    /// The directory cannot be this cluster's.
    #[error(transparent)]
    Directory(#[from] OpenError),
    /// The peer listener cannot be opened.
    #[error(transparent)]
    Bind(#[from] BindError),
    /// The node was told to stop while it started.
    #[error("told to stop while the metadata quorum started")]
    ToldToStop,
    /// The thread ended without a word.
    #[error("the thread of the metadata quorum ended while it started")]
    Ended,
}

impl From<Fatal<RaftNodeId>> for QuorumError {
    fn from(error: Fatal<RaftNodeId>) -> Self {
        Self::Consensus(Box::new(error))
    }
}

/// What the controller decided.
#[derive(Debug, Clone, PartialEq)]
pub struct Decided {
    /// Its answer.
    pub reply: ControllerReply,
    /// Where the metadata log holds the decision: an image at this offset or beyond it holds what was decided.
    pub offset: i64,
}

/// Why the controller did not answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
pub enum ProposeError {
    /// No node is known to lead the quorum. Nothing came of the request, and nothing will.
    #[error("the active controller is not known")]
    NotController,
    /// The controller lost the lead, or the connection to it ended, while it decided. What was asked for may still come
    /// to pass.
    #[error("the active controller changed; what was asked for may still come to pass")]
    LeadLost,
    /// Too many requests wait.
    #[error("the controller has too many requests waiting")]
    Busy,
    /// The quorum did not answer within the time that the caller gave it.
    #[error(
        "the metadata quorum did not answer in time, for which most of its nodes must run (`ottla cluster status`); what was asked \
         for may still come to pass"
    )]
    TimedOut,
    /// The quorum has stopped.
    #[error("the metadata quorum has stopped")]
    Stopped,
}

/// Why a running quorum has stopped.
#[derive(Debug, Clone, thiserror::Error)]
pub enum QuorumFailure {
    /// Its files failed.
    #[error("{0}. Check the disk, then start again")]
    Store(Arc<StoreError>),
    /// Another process with this node's id has registered.
    #[error(
        "another process with node.id {broker_id} has registered; only one may run. Stop one of them, or give it a node.id of its own"
    )]
    Superseded {
        /// The id.
        broker_id: BrokerId,
    },
    /// Its thread ended, by [`crate::quorum::Quorum::shutdown`] or a panic.
    #[error("the metadata quorum has stopped")]
    Stopped,
}
