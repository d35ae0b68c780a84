//! The connections to the other members of the quorum, one for each member and lane.

use crate::clock;
use crate::peer::{DialError, Dialer, PeerStream, Purpose};
use crate::quorum::identity::Identity;
use crate::quorum::link::{Link, Target, Whom};
use crate::quorum::types::{Membership, QuorumNode, RaftNodeId};
use config::broker::Endpoint;
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use storage::ids::BrokerId;
use tokio::runtime::Handle;
use tokio::time::sleep;

/// The most members that links are kept to; as many as a cluster can have brokers, and as many former lives of them.
/// Larger: more idle connections of members that are gone. Smaller: all links of the largest clusters are made anew again
/// and again.
const LINKS_MAX: usize = 400;

/// How long after a look that was hung up on the next one comes, at first; it doubles each time. Longer: a process that is
/// just ending is known to be gone later. Shorter: more connections to one that takes long.
const LOOK_AGAIN: Duration = Duration::from_millis(5);

/// The most that this pause grows to. Longer: the same, for a process that holds much memory. Shorter: the same.
const LOOK_AGAIN_MAX: Duration = Duration::from_millis(40);

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

    /// A member has connected to this node: it is there, whatever was found before.
    pub(super) fn is_back(&self, raft_node_id: RaftNodeId) {
        for lane in [Lane::Raft, Lane::Control, Lane::Heartbeats] {
            if let Some((_, link)) = self.open.lock().get(&(lane, raft_node_id)) {
                link.is_back();
            }
        }
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
            Ok(stream) => {
                Probe::Answers { broker_id: stream.hello.broker_id, incarnation: stream.hello.incarnation }
            }
            Err(DialError::Refused { .. }) => Probe::Gone,
            Err(error) => {
                tracing::debug!("a node was looked for: {error}");
                if error.is_hung_up() { Probe::HungUp } else { Probe::Silent }
            }
        }
    }

    /// The same for a node whose connection has just ended. A process that ends closes its descriptors one after the other:
    /// its listener may take a connection once more and reset it, so this looks again for as long as `patience`.
    pub(super) async fn look_for(&self, address: &Endpoint, patience: Duration) -> Probe {
        let until = clock::monotonic() + patience;
        let mut pause = LOOK_AGAIN;
        loop {
            let probe = self.probe(address).await;
            if probe != Probe::HungUp || clock::monotonic() + pause > until {
                return probe;
            }
            sleep(pause).await;
            pause = LOOK_AGAIN_MAX.min(2 * pause);
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
        /// Who it says that it is.
        broker_id: BrokerId,
        /// Its run.
        incarnation: uuid::Uuid,
    },
    /// The machine answers, and the process is gone.
    Gone,
    /// The connection was taken and ended at once: the process is ending, or turns connections away.
    HungUp,
    /// Nothing can be said.
    Silent,
}

#[cfg(test)]
mod tests {
    use super::{Links, Probe};
    use crate::peer::testing::free_address;
    use crate::peer::{Dialer, PeerListener, PeerSockets};
    use crate::quorum::identity::Identity;
    use config::broker::Endpoint;
    use socket2::SockRef;
    use std::collections::BTreeMap;
    use std::sync::Arc;
    use std::time::Duration;
    use storage::ids::BrokerId;
    use tokio::io::copy_bidirectional;
    use tokio::net::{TcpListener, TcpStream};
    use tokio::sync::watch;

    /// No look of these tests lasts that long.
    const PATIENCE: Duration = Duration::from_secs(60);

    fn identity(broker_id: i32) -> Arc<Identity> {
        let (_, images) = watch::channel(Arc::default());
        Arc::new(Identity::new(BrokerId(broker_id), 10, uuid::Uuid::new_v4(), None, images))
    }

    fn links() -> Links {
        Links::new(Dialer::new(None), identity(1), BTreeMap::new())
    }

    async fn listener() -> (TcpListener, Endpoint) {
        let address = free_address();
        let listener = TcpListener::bind((address.host.as_str(), address.port)).await;
        (listener.expect("its port is free"), address)
    }

    async fn reset_one(listener: &TcpListener) {
        let (taken, _) = listener.accept().await.expect("somebody looks");
        SockRef::from(&taken).set_linger(Some(Duration::ZERO)).expect("an option of a socket");
    }

    async fn keep_all(listener: &mut PeerListener, node: &Identity) {
        let mut kept = Vec::new();
        loop {
            kept.push(listener.accept(|| node.hello()).await);
        }
    }

    #[tokio::test]
    async fn a_process_that_is_just_ending_is_looked_for_until_it_is_gone() {
        let (listener, address) = listener().await;
        let ending = async move {
            for _ in 0..3 {
                reset_one(&listener).await;
            }
        };
        let links = links();
        let (seen, ()) = tokio::join!(links.look_for(&address, PATIENCE), ending);
        assert_eq!(seen, Probe::Gone);
    }

    #[tokio::test]
    async fn a_process_that_resets_a_connection_and_lives_is_there() {
        let (listener, address) = listener().await;
        let node = identity(2);
        let sockets =
            PeerSockets::bind(&Endpoint { port: 0, ..address.clone() }).await.expect("a port is free");
        let behind = sockets.addresses().next().expect("it is bound");
        let mut served = PeerListener::listen(sockets, None).expect("nobody else listens there");
        let resets_once = async {
            reset_one(&listener).await;
            let (mut taken, _) = listener.accept().await.expect("somebody looks again");
            let mut to_node = TcpStream::connect(behind).await.expect("it listens");
            copy_bidirectional(&mut taken, &mut to_node).await
        };
        let links = links();
        tokio::select! {
            seen = links.look_for(&address, PATIENCE) => {
                assert_eq!(seen, Probe::Answers { broker_id: BrokerId(2), incarnation: node.incarnation });
            }
            ended = resets_once => panic!("the second connection ended: {ended:?}"),
            () = keep_all(&mut served, &node) => {}
        }
    }

    #[tokio::test]
    async fn a_process_that_turns_every_connection_away_is_not_taken_for_gone() {
        let (listener, address) = listener().await;
        let links = links();
        let turns_away = async {
            loop {
                reset_one(&listener).await;
            }
        };
        tokio::select! {
            seen = links.look_for(&address, Duration::from_millis(50)) => assert_eq!(seen, Probe::HungUp),
            () = turns_away => {}
        }
    }
}
