//! Serves the connections of the other nodes: the calls of raft, and what they ask of the controller. Connections that
//! fetch are handed on.

use crate::peer::{Hello, PeerListener, PeerStream, Purpose};
use crate::quorum::acknowledged::Returns;
use crate::quorum::candidate;
use crate::quorum::control::{self, Address, ControlAnswer, ControlRequest, Introduction, LastIndex, Wish};
use crate::quorum::controllership::Controllership;
use crate::quorum::council::Council;
use crate::quorum::link::answer_calls;
use crate::quorum::links::Probe;
use crate::quorum::members::{self, Newcomer};
use crate::quorum::membership_keeper::Admitted;
use crate::quorum::raft_rpc::{Answer, Call};
use crate::quorum::reporting;
use crate::quorum::types::{QuorumNode, RaftNodeId};
use bytes::Bytes;
use openraft::error::{InstallSnapshotError, RaftError};
use openraft::raft::AppendEntriesResponse;
use parking_lot::Mutex;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::sync::{OnceCell, mpsc};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

/// The most connections of other nodes at once, those that fetch aside. Larger: more memory for a peer gone mad. Smaller:
/// the largest clusters do not fit, in which every node has a few connections to the controller.
const CONNECTIONS_MAX: usize = 1000;

/// How long after a look at a node that was agreed to the next one comes. Larger: a node that is started again waits longer
/// for its agreement. Smaller: more connections.
const PROBE_PAUSE: Duration = Duration::from_millis(250);

/// How long it may take to find out whether a candidate is who it says. Longer: an election takes longer where packets are
/// lost. Shorter: a process with a copy of a journal is given votes while the network is slow.
const CANDIDATE_DEADLINE: Duration = Duration::from_millis(100);

/// How long the look at a node that wants to be let in may take. Longer: that node, which waits for 1.5 s, is told nothing.
/// Shorter: on a slow network a node whose host has two names is told that it was not found.
const NEWCOMER_DEADLINE: Duration = Duration::from_secs(1);

/// What answers the other nodes.
pub(super) struct Service {
    pub(super) council: Arc<Council>,
    pub(super) controllership: Arc<Controllership>,
    pub(super) agreement: Arc<Agreement>,
    /// Where connections that fetch go.
    pub(super) fetch_streams: mpsc::Sender<PeerStream>,
}

/// The one member that this node agreed to as the one that forms the cluster. It lasts until that one releases it, or its
/// process is gone: a node that formed a cluster and lost its connection is not forgotten.
#[derive(Debug, Default)]
pub(super) struct Agreement(Mutex<Option<Agreed>>);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Agreed {
    to: RaftNodeId,
    /// The connection over which it was asked for last; `None` for the agreement of a node to itself.
    connection: Option<u64>,
}

impl Agreement {
    /// Whether this node agrees to `to`.
    fn to(&self, to: RaftNodeId, connection: Option<u64>) -> bool {
        let mut agreed = self.0.lock();
        let agreed = agreed.get_or_insert(Agreed { to, connection });
        if agreed.to == to {
            agreed.connection = connection;
        }
        agreed.to == to
    }

    /// Whether this node itself may form the cluster, as far as it agreed to nobody else.
    pub(super) fn to_itself(&self, own: RaftNodeId) -> bool {
        self.to(own, None)
    }

    /// Ends the agreement to `to`.
    pub(super) fn release(&self, to: RaftNodeId) {
        self.0.lock().take_if(|agreed| agreed.to == to);
    }

    fn rests_on(&self, connection: u64) -> bool {
        self.0.lock().is_some_and(|agreed| agreed.connection == Some(connection))
    }
}

impl Service {
    /// Accepts and serves connections. Never returns; what it serves ends with it.
    pub(super) async fn run(self: Arc<Self>, mut listener: PeerListener) {
        let mut connections = JoinSet::new();
        let mut number = 0;
        loop {
            let identity = Arc::clone(&self.council.identity);
            tokio::select! {
                stream = listener.accept(move || identity.hello()) => {
                    number += 1;
                    if let Some(links) = &self.council.links {
                        links.is_back(stream.hello.raft_node_id);
                    }
                    match stream.hello.purpose {
                        // A queue that is full belongs to a node that does not serve yet, or not any more.
                        Purpose::Fetch => drop(self.fetch_streams.try_send(stream)),
                        _ if connections.len() >= CONNECTIONS_MAX => {
                            tracing::warn!("a node was refused a connection: there are {CONNECTIONS_MAX} already");
                        }
                        Purpose::Raft => drop(connections.spawn(Arc::clone(&self).serve_raft(stream))),
                        Purpose::Control => {
                            drop(connections.spawn(Arc::clone(&self).serve_control(stream, number)));
                        }
                    }
                }
                Some(_ended) = connections.join_next(), if !connections.is_empty() => {}
            }
        }
    }

    async fn serve_raft(self: Arc<Self>, stream: PeerStream) {
        let raft_node_id = stream.hello.raft_node_id;
        let asking = Asking::of(&stream, 0);
        // Two processes with copies of one journal would vote twice.
        let is_elsewhere = OnceCell::new();
        answer_calls(stream, |body| {
            let (this, is_elsewhere) = (Arc::clone(&self), &is_elsewhere);
            async move {
                let call = Call::decode(&body).ok()?;
                let is_of_candidate = matches!(call, Call::Vote(_) | Call::Canvass { .. });
                if is_of_candidate && is_elsewhere.get_or_init(|| this.is_elsewhere(asking)).await == &true {
                    return None;
                }
                Some(answer_member(&this.council, call).await.encode())
            }
        })
        .await;
        candidate::leader_hung_up(&self.council, raft_node_id).await;
    }

    async fn serve_control(self: Arc<Self>, stream: PeerStream, number: u64) {
        let asking = Asking::of(&stream, number);
        let Asking { broker_id, incarnation, .. } = asking;
        // A connection that only looked whether this node is there tells nothing about the other one.
        let is_of_broker = AtomicBool::new(false);
        answer_calls(stream, |body: Bytes| {
            let (this, is_of_broker) = (Arc::clone(&self), &is_of_broker);
            async move {
                let request = control::decode(&body)?;
                if matches!(request, ControlRequest::Heartbeat(_) | ControlRequest::Join { .. }) {
                    is_of_broker.store(true, Ordering::Relaxed);
                }
                Some(control::encode(&this.answer(asking, request).await))
            }
        })
        .await;
        if is_of_broker.load(Ordering::Relaxed) {
            self.controllership.hung_up(&self.council, broker_id, incarnation);
        }
        self.look_after_agreement(asking).await;
    }

    /// Ends an agreement whose connection ended, once the node that it was given to is gone.
    async fn look_after_agreement(&self, given_to: Asking) {
        while self.agreement.rests_on(given_to.connection) && !self.council.identity.is_initialised() {
            if self.find_member(given_to).await.is_elsewhere() {
                return self.agreement.release(given_to.raft_node_id);
            }
            sleep(PROBE_PAUSE).await;
        }
    }

    /// Whether another run than the one that asks answers under its `node.id`, or none does. What cannot be said soon is not
    /// waited for: an election goes before.
    async fn is_elsewhere(&self, asking: Asking) -> bool {
        let found = timeout(CANDIDATE_DEADLINE, self.find_member(asking)).await;
        found.is_ok_and(Found::is_elsewhere)
    }

    /// Whom this node finds where it reaches the node that asks.
    async fn find_member(&self, asking: Asking) -> Found {
        let membership = self.council.membership();
        let known = membership.get_node(&asking.raft_node_id).cloned();
        let node = known.unwrap_or(QuorumNode { broker_id: asking.broker_id, address: None });
        self.look_at(&node, asking).await
    }

    /// Whom this node finds where it reaches `node`, which is to be the one that asks.
    async fn look_at(&self, node: &QuorumNode, asking: Asking) -> Found {
        let identity = &self.council.identity;
        if node.broker_id == identity.broker_id {
            return if asking.incarnation == identity.incarnation {
                Found::WhoAsks
            } else {
                Found::AnotherRun
            };
        }
        let links = self.council.links.as_ref();
        let Some((links, address)) = links.and_then(|links| Some((links, links.address(node)?))) else {
            return Found::Nobody;
        };
        match links.probe(&address).await {
            Probe::Answers { incarnation, .. } if incarnation == asking.incarnation => Found::WhoAsks,
            Probe::Answers { broker_id, .. } if broker_id == asking.broker_id => Found::AnotherRun,
            Probe::Answers { .. } | Probe::Gone => Found::Nobody,
            Probe::HungUp | Probe::Silent => Found::Unclear,
        }
    }

    async fn answer(&self, asking: Asking, request: ControlRequest) -> ControlAnswer {
        match request {
            ControlRequest::Introduce { wish } => {
                ControlAnswer::Introduction(self.introduce(asking, wish).await)
            }
            ControlRequest::Join { address, last } => self.join(asking, address, last).await,
            ControlRequest::Propose(_) | ControlRequest::Heartbeat(_) | ControlRequest::Status
                if !self.council.is_leading() =>
            {
                self.not_controller()
            }
            ControlRequest::Propose(request) => match self.council.decide_here(request).await {
                Ok(decided) => ControlAnswer::Decided(decided.reply, decided.offset),
                Err(error) => ControlAnswer::Failed(error),
            },
            ControlRequest::Heartbeat(beat) => {
                let answer = self.controllership.heartbeat(&self.council, &beat);
                answer.unwrap_or_else(|| self.not_controller())
            }
            ControlRequest::Status => {
                let status = reporting::status_here(&self.council, &self.controllership);
                status.map_or_else(|| self.not_controller(), ControlAnswer::Status)
            }
        }
    }

    async fn introduce(&self, asking: Asking, wish: Wish) -> Introduction {
        let identity = &self.council.identity;
        let is_initialised = identity.is_initialised();
        let agrees = match wish {
            Wish::Nothing => false,
            Wish::Agreement if is_initialised => false,
            // A second process with this node.id forms no cluster that this node would never find.
            Wish::Agreement => {
                self.find_member(asking).await == Found::WhoAsks
                    && self.agreement.to(asking.raft_node_id, Some(asking.connection))
            }
            Wish::Release => {
                self.agreement.release(asking.raft_node_id);
                false
            }
        };
        Introduction {
            broker_id: identity.broker_id,
            cluster_id: identity.cluster_id(),
            is_initialised,
            agrees,
            leader: self.council.leader().map(|(_, node)| node.broker_id),
        }
    }

    async fn join(&self, asking: Asking, address: Address, last: LastIndex) -> ControlAnswer {
        if !self.controllership.is_established(&self.council) {
            return self.not_controller();
        }
        let Asking { broker_id, raft_node_id, incarnation, .. } = asking;
        let node = QuorumNode { broker_id, address: Some(address.into()) };
        if let Err(refusal) = self.find_newcomer(&node, asking).await {
            return refusal;
        }
        if !self.controllership.is_established(&self.council) {
            return self.not_controller();
        }
        if !self.controllership.take_id(&self.council, broker_id, incarnation) {
            // The run that has it may be gone, without anybody having noticed.
            self.controllership.look_for_registered(&self.council, broker_id);
            return ControlAnswer::Taken { broker_id };
        }
        match self.returns(asking, last) {
            Returns::Whole => {}
            // It asks again.
            Returns::Unclear => return self.not_controller(),
            Returns::Lost { last_index } => {
                let controller = self.council.identity.broker_id;
                tracing::error!(
                    "node {broker_id} was not let in: it lacks entry {last_index} of the metadata log, which it once had: its \
                     log.dirs are an older copy; empty them, and it comes back as a new member"
                );
                return ControlAnswer::OlderCopy { controller, last_index };
            }
        }
        match self.controllership.membership.admit(&self.council, &Newcomer { raft_node_id, node }).await {
            Admitted::Member => ControlAnswer::Joined,
            Admitted::Copied(broker_id) => ControlAnswer::Copied { broker_id },
            Admitted::Unknown => self.not_controller(),
        }
    }

    /// Makes sure that a node that wants to be let in is the one that this node would send everything to: a member that
    /// is never reached waits for ever, and keeps its `node.id` from the one that is. One that says that it is where this
    /// node looks is believed where nothing speaks against it: its host may have an address that swallows packets.
    async fn find_newcomer(&self, node: &QuorumNode, asking: Asking) -> Result<(), ControlAnswer> {
        let Some(address) = self.council.links.as_ref().and_then(|links| links.address(node)) else {
            return Err(self.not_controller());
        };
        let found = timeout(NEWCOMER_DEADLINE, self.look_at(node, asking)).await;
        match found.unwrap_or(Found::Unclear) {
            Found::WhoAsks => Ok(()),
            Found::Unclear if node.address.as_ref() == Some(&address) => Ok(()),
            Found::AnotherRun => Err(ControlAnswer::Taken { broker_id: node.broker_id }),
            Found::Nobody | Found::Unclear => Err(ControlAnswer::Unreached {
                controller: self.council.identity.broker_id,
                address: address.into(),
            }),
        }
    }

    /// Whether a node that wants to be let in has what it once had.
    fn returns(&self, asking: Asking, last: LastIndex) -> Returns {
        let council = &self.council;
        let registered_at = council.images.borrow().broker(asking.broker_id).map(|known| known.broker_epoch);
        let registered_at = registered_at.and_then(|epoch| u64::try_from(epoch.0).ok());
        let membership = council.membership();
        match members::lost_registration(&membership, asking.raft_node_id, registered_at, last.begun_with) {
            Some(last_index) => Returns::Lost { last_index },
            None => council.acknowledged.lock().returns(asking.raft_node_id, last.now),
        }
    }

    fn not_controller(&self) -> ControlAnswer {
        let council = &self.council;
        let leader = council.leader().filter(|(id, _)| *id != council.identity.raft_node_id);
        let address = leader.and_then(|(_, node)| council.links.as_ref()?.address(&node));
        ControlAnswer::NotController { controller: address.map(Address::from) }
    }
}

/// Whom a node finds where it looks for the one that asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Found {
    /// The run that asks.
    WhoAsks,
    /// Another process of the same `node.id`.
    AnotherRun,
    /// No process of that id: the machine answers, and nothing or another node is there, or no address is known.
    Nobody,
    /// Nothing can be said.
    Unclear,
}

impl Found {
    /// Whether the run that asks is surely not where it was looked for.
    fn is_elsewhere(self) -> bool {
        matches!(self, Self::AnotherRun | Self::Nobody)
    }
}

/// Who asks.
#[derive(Debug, Clone, Copy)]
struct Asking {
    broker_id: storage::ids::BrokerId,
    raft_node_id: RaftNodeId,
    incarnation: uuid::Uuid,
    connection: u64,
}

impl Asking {
    fn of(stream: &PeerStream, connection: u64) -> Self {
        let Hello { broker_id, raft_node_id, incarnation, .. } = stream.hello;
        Self { broker_id, raft_node_id, incarnation, connection }
    }
}

async fn answer_member(council: &Council, call: Call) -> Answer {
    match call {
        Call::Append(request) => {
            let vote = request.vote;
            match council.raft.append_entries(request).await {
                Ok(answer) => {
                    if !matches!(answer, AppendEntriesResponse::HigherVote(_)) {
                        council.identity.set_initialised(true);
                        candidate::heard_leader(council, &vote);
                    }
                    Answer::Append(answer)
                }
                Err(error) => stopped(&error),
            }
        }
        Call::Vote(request) => match council.raft.vote(request).await {
            Ok(answer) => {
                if answer.vote_granted {
                    candidate::voted(council);
                }
                Answer::Vote(answer)
            }
            Err(error) => stopped(&error),
        },
        Call::Snapshot(request) => {
            let vote = request.vote;
            let mut chunks = council.snapshot_chunks.lock().await;
            if !chunks.take(&request.meta.snapshot_id, request.offset, request.data.len()) {
                return Answer::SnapshotMismatch;
            }
            match council.raft.install_snapshot(request).await {
                Ok(answer) => {
                    if answer.vote <= vote {
                        council.identity.set_initialised(true);
                        candidate::heard_leader(council, &vote);
                    }
                    Answer::Snapshot(answer.vote)
                }
                Err(RaftError::APIError(InstallSnapshotError::SnapshotMismatch(_))) => {
                    Answer::SnapshotMismatch
                }
                Err(error @ RaftError::Fatal(_)) => stopped(&error),
            }
        }
        Call::Canvass { last_log_id } => {
            Answer::Canvass { would_vote: candidate::would_vote(council, last_log_id) }
        }
        Call::Stand => {
            candidate::elect(council).await;
            Answer::Stand
        }
    }
}

fn stopped(error: &impl std::fmt::Display) -> Answer {
    tracing::debug!("a call of another member was not answered: {error}");
    Answer::Stopped
}
