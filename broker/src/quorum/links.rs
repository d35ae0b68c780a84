//! The connections to the other members of the quorum, one for each member and lane.

use crate::peer::{DialError, Dialer, PeerStream, Purpose};
use crate::quorum::identity::Identity;
use crate::quorum::link::{Link, Target, Whom};
use crate::quorum::types::{Membership, QuorumNode, RaftNodeId};
use config::broker::Endpoint;
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::sync::Arc;
use storage::ids::BrokerId;
use tokio::runtime::Handle;

/// The most members that links are kept to; as many as a cluster can have brokers, and as many former lives of them.
const LINKS_MAX: usize = 400;

/// What shares a connection to a member: what waits in one lane does not hold up the others.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Lane {
    /// The calls of the quorum.
    Raft,
    /// Requests to the controller, which last as long as a decision does.
    Control,
    /// Heartbeats, which must not wait behind decisions: a node that is not heard is fenced.
    Heartbeats,
}

impl Lane {
    fn purpose(self) -> Purpose {
        match self {
            Self::Raft => Purpose::Raft,
            Self::Control | Self::Heartbeats => Purpose::Control,
        }
    }
}

/// Opens connections, and shares them.
#[derive(Debug)]
pub(super) struct Links {
    runtime: Handle,
    dialer: Dialer,
    identity: Arc<Identity>,
    /// Where the configuration says that nodes are, which counts more than what the membership remembers: all of them may
    /// have moved at once.
    configured: BTreeMap<BrokerId, Endpoint>,
    open: Mutex<BTreeMap<(Lane, RaftNodeId), (Endpoint, Link)>>,
}

impl Links {
    /// No links yet; the runtime that this is called on does the work of all of them.
    pub(super) fn new(
        dialer: Dialer,
        identity: Arc<Identity>,
        configured: BTreeMap<BrokerId, Endpoint>,
    ) -> Self {
        Self { runtime: Handle::current(), dialer, identity, configured, open: Mutex::default() }
    }

    pub(super) fn configured(&self) -> &BTreeMap<BrokerId, Endpoint> {
        &self.configured
    }

    /// Where a node is reached; `None` where nobody knows.
    pub(super) fn address(&self, node: &QuorumNode) -> Option<Endpoint> {
        self.configured.get(&node.broker_id).or(node.address.as_ref()).cloned()
    }

    /// The connection to a member, which is opened when it is first used; `None` where its address is not known.
    pub(super) fn to(&self, lane: Lane, raft_node_id: RaftNodeId, node: &QuorumNode) -> Option<Link> {
        let address = self.address(node)?;
        let mut open = self.open.lock();
        if let Some((known, link)) = open.get(&(lane, raft_node_id))
            && *known == address
        {
            return Some(link.clone());
        }
        if open.len() >= LINKS_MAX {
            open.clear();
        }
        let target = Target {
            whom: Whom::Member(raft_node_id, node.broker_id),
            address: address.clone(),
            purpose: lane.purpose(),
        };
        let link = Link::new(&self.runtime, self.dialer.clone(), Arc::clone(&self.identity), target);
        open.insert((lane, raft_node_id), (address, link.clone()));
        Some(link)
    }

    /// A connection of its own to whoever has this address.
    pub(super) fn to_address(&self, address: Endpoint) -> Link {
        let target = Target { whom: Whom::Anyone, address, purpose: Purpose::Control };
        Link::new(&self.runtime, self.dialer.clone(), Arc::clone(&self.identity), target)
    }

    /// A connection to the node of this `node.id` for any purpose, which the caller's runtime watches.
    pub(super) async fn dial(
        &self,
        broker_id: BrokerId,
        purpose: Purpose,
        membership: &Membership,
    ) -> Result<PeerStream, PeerUnreached> {
        let node = membership.nodes().map(|(_, node)| node).find(|node| node.broker_id == broker_id);
        let address = node.and_then(|node| self.address(node));
        let address = address.ok_or(PeerUnreached::NoAddress { broker_id })?;
        let stream = self.dialer.dial(&address, purpose, &self.identity.hello()).await?;
        match stream.hello.broker_id {
            answered if answered == broker_id => Ok(stream),
            answered => Err(PeerUnreached::AnotherNode { address, broker_id, answered }),
        }
    }

    /// Dials a node only to see whether its process is there.
    pub(super) async fn probe(&self, address: &Endpoint) -> Probe {
        match self.dialer.dial(address, Purpose::Control, &self.identity.hello()).await {
            Ok(stream) => Probe::Answers { incarnation: stream.hello.incarnation },
            Err(DialError::Refused { .. }) => Probe::Gone,
            Err(error) => {
                tracing::debug!("a node was looked for: {error}");
                Probe::Silent
            }
        }
    }
}

/// Why there is no connection to a node.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PeerUnreached {
    /// Nobody knows where it is.
    #[error("node {broker_id} has no address: it is no member of the metadata quorum")]
    NoAddress {
        /// The node.
        broker_id: BrokerId,
    },
    /// It cannot be connected to.
    #[error(transparent)]
    Dial(#[from] DialError),
    /// Another node answers.
    #[error("{address} is answered by node {answered}, not by node {broker_id}")]
    AnotherNode {
        /// The address.
        address: Endpoint,
        /// The node that was meant.
        broker_id: BrokerId,
        /// The node that answered.
        answered: BrokerId,
    },
}

/// What became of a [`Links::probe`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Probe {
    /// A process answers.
    Answers {
        /// Its run.
        incarnation: uuid::Uuid,
    },
    /// The machine answers, and the process is gone.
    Gone,
    /// Nothing can be said.
    Silent,
}
