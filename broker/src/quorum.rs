//! The metadata quorum: what the nodes of a cluster agree on, through openraft.
//!
//! [`Quorum::open`] starts a thread of its own with its own runtime, so that a stalled disk or a busy data path does not
//! hold up votes and heartbeats, and the other way round. Everything else reaches it by messages: [`Quorum::propose`]
//! asks the controller, [`Quorum::image`] and [`Quorum::subscribe`] give what was agreed on.
//!
//! A single node is a quorum of one. On an empty directory it makes its journal and forms the cluster: the cluster id is
//! the first record. At every start it elects itself at once, in a new term, and registers with a new broker epoch.
//! Everything that this writes is on disk before `open` returns. A node of a set does the same through the one that
//! leads: it is let in, registers, tells the controller that it is alive, and is used once it says that it is ready.
//!
//! ```text
//! start ── forming (pure): who forms the cluster, who joins      pulse           this broker is alive, hands over
//!   │                                                            controllership  of the leader: fencing, upkeep
//!   └─ council: who leads, where requests go                       └─ members (pure): who votes
//!        └─ controller_task: decides                             candidate ── election (pure): when to stand
//! openraft ── network ── links ── link  ···  service: answers the other nodes
//!   │           └─ acknowledged (pure): what members said that they have
//!   └─ store ── journal; state_machine ── snapshot
//! ```
//!
//! The directory holds `journal` (log and vote) and `snapshot`; `*.new` are files in the making, of no meaning after a
//! crash.

mod acknowledged;
mod candidate;
mod control;
mod controller_task;
mod controllership;
mod council;
mod election;
mod entry_codec;
mod error;
mod files;
mod forming;
mod identity;
mod journal;
mod link;
mod links;
mod members;
mod membership_keeper;
mod network;
mod outcome;
mod pulse;
mod raft_rpc;
mod reporting;
mod service;
mod snapshot;
mod snapshot_chunks;
mod start;
mod state_machine;
mod status;
mod store;
mod thread;
mod types;
mod upkeep;

pub use error::{EntryError, StoreError};
pub use forming::Refusal;
pub use outcome::{Decided, ProposeError, QuorumError, QuorumFailure};
pub use status::{MemberStatus, QuorumStatus};
pub use types::{QuorumNode, RaftNodeId};

pub(crate) use links::PeerUnreached;
pub(crate) use upkeep::Upkeep;

use crate::peer::{PeerSockets, PeerStream, PeerTls, Purpose};
use crate::quorum::thread::Opened;
use crate::stopping::Stopping;
use config::broker::Endpoint;
use parking_lot::Mutex;
use replication::controller::ControllerRequest;
use replication::controller::brokers::RegisterBroker;
use replication::controller::configs::ConfigRules;
use replication::metadata::image::MetadataImage;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;
use storage::error::OpenError;
use storage::ids::{BrokerEpoch, BrokerId};
use tokio::sync::{mpsc, watch};
use tokio::time::timeout;

/// The most connections of followers that wait to be served. Larger: more of them are kept by a node that is busy with its
/// start. Smaller: they must connect again.
const FETCH_STREAMS_MAX: usize = 64;

/// Says how this run of the node registers, once it knows its cluster and what that knows of it.
pub type Introduce = Box<dyn FnOnce(&MetadataImage) -> Result<RegisterBroker, OpenError> + Send>;

/// How a quorum is started.
pub struct QuorumSettings {
    /// The quorum's own directory; made where it is missing. Nobody else may have it open: the caller holds the lock.
    pub directory: PathBuf,
    /// This node's `node.id`.
    pub broker_id: BrokerId,
    /// Random, made by the process at its start.
    pub incarnation: uuid::Uuid,
    /// The cluster that the rest of the log directory belongs to, where it says so.
    pub known_cluster_id: Option<String>,
    /// How this run of the node introduces itself.
    pub introduce: Introduce,
    /// Random numbers for identities.
    pub random: Box<dyn FnMut() -> u128 + Send>,
    /// The rules of configuration keys.
    pub config_rules: ConfigRules,
    /// For how long clients save up what they may make and delete.
    pub mutation_burst: Duration,
    /// As one of a set, what that takes; `None` for a node that runs alone.
    pub(crate) set: Option<SetSettings>,
    /// Ends a start that waits for other nodes.
    pub stopping: Stopping,
}

/// How a node is one of a set.
#[derive(Debug)]
pub(crate) struct SetSettings {
    /// Where each node is reached, this one among them.
    pub(crate) nodes: BTreeMap<BrokerId, Endpoint>,
    /// Where this node listens for the others.
    pub(crate) sockets: PeerSockets,
    /// How they talk; `None` for plain text.
    pub(crate) tls: Option<PeerTls>,
    /// How often it tells the controller that it is alive.
    pub(crate) heartbeat_interval: Duration,
    /// After which silence a node is fenced, or takes itself for isolated.
    pub(crate) session_timeout: Duration,
    /// What the controller does from time to time.
    pub(crate) upkeep: Upkeep,
}

/// A running quorum. Dropping it stops its thread and waits for that.
pub struct Quorum {
    opened: Opened,
    failures: watch::Receiver<Option<Arc<StoreError>>>,
    fetch_streams: Mutex<Option<mpsc::Receiver<PeerStream>>>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl std::fmt::Debug for Quorum {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let broker_epoch = &self.opened.broker_epoch;
        formatter.debug_struct("Quorum").field("broker_epoch", broker_epoch).finish_non_exhaustive()
    }
}

impl Quorum {
    /// Starts the quorum and waits until this node is registered. Alone, it blocks for a few flushes of the disk; as one of
    /// a set, until enough others run, or the node is told to stop.
    ///
    /// # Errors
    ///
    /// [`QuorumError`] where the files cannot be used, are damaged or are of a newer version, or where this node does not
    /// belong to the others, each in one sentence.
    pub fn open(settings: QuorumSettings) -> Result<Self, QuorumError> {
        let (failures, failure_receiver) = watch::channel(None);
        let (fetch_sender, fetch_streams) = mpsc::channel(FETCH_STREAMS_MAX);
        let (started, when_started) = std::sync::mpsc::sync_channel(1);
        let thread = std::thread::Builder::new()
            .name("quorum".to_owned())
            .spawn(move || thread::run(settings, &failures, fetch_sender, &started))
            .map_err(QuorumError::Thread)?;
        let opened = when_started.recv().unwrap_or(Err(QuorumError::Ended))?;
        Ok(Self {
            opened,
            failures: failure_receiver,
            fetch_streams: Mutex::new(Some(fetch_streams)),
            thread: Mutex::new(Some(thread)),
        })
    }

    /// The epoch of this run of the node.
    #[must_use]
    pub fn broker_epoch(&self) -> BrokerEpoch {
        self.opened.broker_epoch
    }

    /// The newest metadata.
    #[must_use]
    pub fn image(&self) -> Arc<MetadataImage> {
        Arc::clone(&self.opened.council.images.borrow())
    }

    /// The metadata now and after each change; changes may be seen as one.
    #[must_use]
    pub fn subscribe(&self) -> watch::Receiver<Arc<MetadataImage>> {
        self.opened.council.images.clone()
    }

    /// Asks the controller, here or on another node. When this returns, what it decided is committed; [`Self::image`]
    /// holds it once it has reached [`Decided::offset`].
    ///
    /// A caller may stop waiting at any time; the request is then carried out or not. Waiting has no deadline of its
    /// own: the caller has one.
    ///
    /// # Errors
    ///
    /// [`ProposeError`]; what the controller refused is within the reply.
    pub async fn propose(&self, request: ControllerRequest) -> Result<Decided, ProposeError> {
        self.opened.council.propose(request).await
    }

    /// Whether this node, as one of a set, has had no answer from the controller for a whole session: others may lead by
    /// now what it led.
    #[must_use]
    pub fn is_isolated(&self) -> bool {
        self.opened.set.as_ref().is_some_and(|set| set.pulse.is_isolated())
    }

    /// Returns once [`Self::is_isolated`] is as wanted; at once on a node that runs alone.
    pub async fn isolated(&self, wanted: bool) {
        if let Some(set) = &self.opened.set {
            set.pulse.isolated(wanted).await;
        }
    }

    /// The connections of followers, to be served elsewhere; `None` where they were taken before.
    pub(crate) fn fetch_streams(&self) -> Option<mpsc::Receiver<PeerStream>> {
        self.fetch_streams.lock().take()
    }

    /// Connects to the node of this id, to fetch from it. The runtime that this is called on watches the connection.
    ///
    /// # Errors
    /// [`PeerUnreached`]
    pub(crate) async fn connect_to_fetch(&self, broker_id: BrokerId) -> Result<PeerStream, PeerUnreached> {
        let links = self.opened.council.links.as_ref();
        let links = links.ok_or(PeerUnreached::NoAddress { broker_id })?;
        links.dial(broker_id, Purpose::Fetch, &self.opened.council.membership()).await
    }

    /// Tells the controller that this node can be used: its data is recovered and its ports are open.
    pub fn say_ready(&self) {
        if let Some(set) = &self.opened.set {
            set.pulse.say_ready();
        }
    }

    /// Has others lead what they can, since this node cannot write; or takes part again. What nobody else can lead stays
    /// here, to be read.
    pub fn stand_aside(&self, stands_aside: bool) {
        if let Some(set) = &self.opened.set {
            set.pulse.stand_aside(stands_aside);
        }
    }

    /// Returns once the image says that this node is used, or after `patience`.
    pub async fn wait_until_used(&self, patience: Duration) -> bool {
        let Some(broker_id) = self.opened.set.as_ref().map(|_| self.opened.council.identity.broker_id) else {
            return true;
        };
        let mut images = self.subscribe();
        let is_used =
            |image: &Arc<MetadataImage>| image.broker(broker_id).is_some_and(|known| !known.is_fenced);
        timeout(patience, images.wait_for(is_used)).await.is_ok_and(|seen| seen.is_ok())
    }

    /// Has others lead what this node leads, the quorum too, as far as they can; for `patience` at most.
    pub async fn hand_over(&self, patience: Duration) {
        let Some(set) = &self.opened.set else { return };
        let handed_over = async {
            set.pulse.say_stopping().await;
            candidate::step_down(&self.opened.council).await;
        };
        tokio::select! {
            outcome = timeout(patience, handed_over) => if outcome.is_err() {
                tracing::warn!(
                    "not everything that this node leads was handed over in time; others take it once it is gone"
                );
            },
            // As the last one of a set that is stopped: nobody is left who could take anything.
            () = candidate::left_alone(&self.opened.council) => {
                tracing::info!("no other node takes over from this one: none of them runs");
            }
            () = set.pulse.isolated(true) => {
                tracing::info!("no other node takes over from this one: too few of them run");
            }
        }
    }

    /// How the quorum stands, as its leader sees it; `None` where nobody is known to lead.
    pub async fn status(&self) -> Option<QuorumStatus> {
        reporting::status(&self.opened.council, &self.opened.controllership).await
    }

    /// The same, once somebody leads it; for `patience` at most.
    pub async fn wait_for_status(&self, patience: Duration) -> Option<QuorumStatus> {
        let mut metrics = self.opened.council.raft.metrics();
        let known = async {
            loop {
                metrics.mark_unchanged();
                if let Some(status) = self.status().await {
                    return Some(status);
                }
                metrics.changed().await.ok()?;
            }
        };
        timeout(patience, known).await.ok().flatten()
    }

    /// Returns when the quorum has stopped for good, with the reason. The node must not go on without it.
    pub async fn failed(&self) -> QuorumFailure {
        let mut failures = self.failures.clone();
        let superseded = async {
            match &self.opened.set {
                Some(set) => set.pulse.superseded().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            failure = failures.wait_for(Option::is_some) => {
                match failure.map(|failure| failure.clone()) {
                    Ok(Some(error)) => QuorumFailure::Store(error),
                    Ok(None) | Err(_) => QuorumFailure::Stopped,
                }
            }
            () = superseded => {
                QuorumFailure::Superseded { broker_id: self.opened.council.identity.broker_id }
            }
        }
    }

    /// Answers what was asked so far, stops the thread and waits for its end. Later requests are refused.
    pub fn shutdown(&self) {
        self.opened.council.desk.close();
        if let Some(thread) = self.thread.lock().take()
            && thread.join().is_err()
        {
            tracing::error!("the thread of the metadata quorum ended with a panic");
        }
    }
}

impl Drop for Quorum {
    fn drop(&mut self) {
        self.shutdown();
    }
}

#[cfg(test)]
mod tests;
