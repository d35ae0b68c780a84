//! The quorum as one of its nodes sees it: who leads, and how what only the leader can do is asked of it from here.
//!
//! A request goes to the controller where it is known, here or on another node. What was refused before anything was
//! written is asked again until the caller's patience ends; what may have been carried out is not.

use crate::quorum::acknowledged::Acknowledged;
use crate::quorum::control::{self, ControlAnswer, ControlRequest};
use crate::quorum::controller_task::Proposal;
use crate::quorum::election::Election;
use crate::quorum::identity::Identity;
use crate::quorum::link::{CallError, Link};
use crate::quorum::links::{Lane, Links};
use crate::quorum::snapshot_chunks::SnapshotChunks;
use crate::quorum::store::LogReader;
use crate::quorum::types::{Membership, QuorumNode, Raft, RaftNodeId};
use crate::quorum::{Decided, ProposeError};
use openraft::ServerState;
use parking_lot::Mutex;
use replication::controller::ControllerRequest;
use replication::metadata::image::MetadataImage;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Notify, mpsc, oneshot, watch};
use tokio::time::timeout;

/// How long a request waits for a change of the leader before it asks again. Larger: requests wait longer after an
/// election. Smaller: they ask in vain more often.
const ASK_AGAIN: Duration = Duration::from_millis(50);

/// What the tasks of a quorum share.
pub(super) struct Council {
    pub(super) raft: Raft,
    pub(super) identity: Arc<Identity>,
    /// The connections to the others; `None` on a node that runs alone.
    pub(super) links: Option<Arc<Links>>,
    pub(super) images: watch::Receiver<Arc<MetadataImage>>,
    pub(super) log: LogReader,
    pub(super) election: Mutex<Election>,
    /// Said when the election changed in a way that its task must hear of at once.
    pub(super) election_changed: Notify,
    pub(super) desk: Desk,
    /// What the members acknowledged to this node, as far as it leads.
    pub(super) acknowledged: Arc<Mutex<Acknowledged>>,
    /// The snapshot that is being received; chunks are passed on one after the other.
    pub(super) snapshot_chunks: tokio::sync::Mutex<SnapshotChunks>,
}

/// Where the controller of this node takes requests, until the quorum stops.
pub(super) struct Desk {
    proposals: Mutex<Option<mpsc::Sender<Proposal>>>,
    is_closed: watch::Sender<bool>,
}

/// Where the controller is.
pub(super) enum Controller {
    /// This node leads the quorum.
    Here,
    /// Another one does.
    There(Link),
    /// Nobody is known to.
    Unknown,
}

impl Council {
    /// Whether this node leads the quorum, as far as it knows.
    pub(super) fn is_leading(&self) -> bool {
        self.raft.metrics().borrow().state == ServerState::Leader
    }

    pub(super) fn term(&self) -> u64 {
        self.raft.metrics().borrow().current_term
    }

    /// The membership in force.
    pub(super) fn membership(&self) -> Membership {
        self.raft.metrics().borrow().membership_config.membership().clone()
    }

    /// Who leads, as far as this node knows.
    pub(super) fn leader(&self) -> Option<(RaftNodeId, QuorumNode)> {
        let metrics = self.raft.metrics();
        let metrics = metrics.borrow();
        let leader = metrics.current_leader?;
        Some((leader, metrics.membership_config.membership().get_node(&leader)?.clone()))
    }

    /// Where the controller is, as far as this node knows, and the link to it in `lane`.
    pub(super) fn controller(&self, lane: Lane) -> Controller {
        if self.is_leading() {
            return Controller::Here;
        }
        let Some((leader, node)) = self.leader() else { return Controller::Unknown };
        if leader == self.identity.raft_node_id {
            return Controller::Unknown;
        }
        let link = self.links.as_ref().and_then(|links| links.to(lane, leader, &node));
        link.map_or(Controller::Unknown, Controller::There)
    }

    /// Has the controller decide, wherever it is. Has no deadline: the caller has one.
    pub(super) async fn propose(&self, request: ControllerRequest) -> Result<Decided, ProposeError> {
        if self.links.is_none() {
            return self.decide_here(request).await;
        }
        let mut metrics = self.raft.metrics();
        let mut encoded = None;
        loop {
            metrics.mark_unchanged();
            let outcome = match self.controller(Lane::Control) {
                Controller::Here => self.decide_here(request.clone()).await,
                Controller::There(link) => {
                    let encode = || control::encode(&ControlRequest::Propose(request.clone()));
                    decide_there(&link, encoded.get_or_insert_with(encode).clone()).await
                }
                Controller::Unknown => Err(ProposeError::NotController),
            };
            if outcome != Err(ProposeError::NotController) {
                return outcome;
            }
            if timeout(ASK_AGAIN, metrics.changed()).await.is_ok_and(|changed| changed.is_err()) {
                return Err(ProposeError::Stopped);
            }
        }
    }

    /// Has this node decide, if it leads.
    pub(super) async fn decide_here(&self, request: ControllerRequest) -> Result<Decided, ProposeError> {
        self.desk.decide(request).await
    }
}

impl Desk {
    /// The desk whose requests `proposals` hands on.
    pub(super) fn new(proposals: mpsc::Sender<Proposal>) -> Self {
        Self { proposals: Mutex::new(Some(proposals)), is_closed: watch::Sender::new(false) }
    }

    async fn decide(&self, request: ControllerRequest) -> Result<Decided, ProposeError> {
        let proposals = self.proposals.lock().clone().ok_or(ProposeError::Stopped)?;
        let (answer, answered) = oneshot::channel();
        proposals.try_send(Proposal { request, answer }).map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => ProposeError::Busy,
            mpsc::error::TrySendError::Closed(_) => ProposeError::Stopped,
        })?;
        drop(proposals);
        // Whoever took the request may have written it before it ended.
        answered.await.unwrap_or(Err(ProposeError::LeadLost))
    }

    /// Takes no more requests, so that the controller of this node ends once it has answered those that it has.
    pub(super) fn close(&self) {
        drop(self.proposals.lock().take());
        self.is_closed.send_replace(true);
    }

    /// Returns once it was closed.
    pub(super) fn closed(&self) -> impl Future<Output = ()> + use<> {
        let mut is_closed = self.is_closed.subscribe();
        // A desk that is gone is as good as closed.
        async move {
            let _closed = is_closed.wait_for(|closed| *closed).await.is_ok();
        }
    }
}

async fn decide_there(link: &Link, request: Vec<u8>) -> Result<Decided, ProposeError> {
    match link.call(request).await {
        Ok(answer) => match control::decode(&answer) {
            Some(ControlAnswer::Decided(reply, offset)) => Ok(Decided { reply, offset }),
            Some(ControlAnswer::Failed(ProposeError::Stopped)) => Err(ProposeError::NotController),
            Some(ControlAnswer::Failed(error)) => Err(error),
            Some(ControlAnswer::NotController { .. }) => Err(ProposeError::NotController),
            // What became of the request is not known.
            None
            | Some(
                ControlAnswer::Introduction(_)
                | ControlAnswer::Joined
                | ControlAnswer::Taken { .. }
                | ControlAnswer::Copied { .. }
                | ControlAnswer::OlderCopy { .. }
                | ControlAnswer::Unreached { .. }
                | ControlAnswer::Alive { .. }
                | ControlAnswer::Superseded
                | ControlAnswer::Status(_),
            ) => Err(ProposeError::LeadLost),
        },
        Err(CallError::Ended) => Err(ProposeError::LeadLost),
        Err(CallError::Busy) => Err(ProposeError::Busy),
        Err(error) => {
            tracing::debug!("the controller was not reached: {error}");
            Err(ProposeError::NotController)
        }
    }
}

/// A random number for who needs no secret.
pub(super) fn random() -> u64 {
    let (number, _) = uuid::Uuid::new_v4().as_u64_pair();
    number
}
