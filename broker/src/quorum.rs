//! The metadata quorum: what the nodes of a cluster agree on, through openraft.
//!
//! [`Quorum::open`] starts a thread of its own with its own runtime, so that a stalled disk or a busy data path does not
//! hold up votes and heartbeats, and the other way round. Everything else reaches it by messages: [`Quorum::propose`]
//! asks the controller, [`Quorum::image`] and [`Quorum::subscribe`] give what was agreed on.
//!
//! A single node is a quorum of one. On an empty directory it makes its journal and forms the cluster: the cluster id is
//! the first record. At every start it elects itself at once, in a new term, and registers with a new broker epoch.
//! Everything that this writes is on disk before `open` returns.
//!
//! The directory holds `journal` (log and vote) and `snapshot`; `*.new` are files in the making, of no meaning after a
//! crash.
//!
//! Absent: peers. A quorum of several nodes needs a network in the place of `network::NoPeers`, and the forming of it.

mod controller_task;
mod entry_codec;
mod error;
mod files;
mod journal;
mod network;
mod snapshot;
mod state_machine;
mod store;
mod types;

pub use error::{EntryError, StoreError};
pub use types::{QuorumNode, RaftNodeId};

use crate::quorum::controller_task::{ControllerTask, Proposal};
use crate::quorum::network::NoPeers;
use crate::quorum::snapshot::SnapshotFile;
use crate::quorum::state_machine::StateMachine;
use crate::quorum::store::LogStore;
use crate::quorum::types::Raft;
use openraft::error::{Fatal, InitializeError, RaftError};
use openraft::{Config, ServerState, SnapshotPolicy};
use parking_lot::Mutex;
use replication::controller::brokers::{RegisterBroker, RegisterBrokerError};
use replication::controller::configs::ConfigRules;
use replication::controller::{ControllerReply, ControllerRequest};
use replication::metadata::image::MetadataImage;
use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;
use storage::ids::BrokerEpoch;
use tokio::sync::{mpsc, oneshot, watch};

/// The most requests that wait for the controller. Larger: a burst waits longer before it is refused. Smaller: bursts
/// are refused that the controller could take.
const PROPOSALS_MAX: usize = 4096;

/// How long a quorum of one may take to elect itself. It takes a few flushes; longer means a disk that does not answer.
const ELECTION_DEADLINE: Duration = Duration::from_secs(60);

/// The most entries between two snapshots. Larger: a start applies more. Smaller: snapshots are written more often.
const ENTRIES_PER_SNAPSHOT: u64 = 10_000;

/// How a quorum is started.
pub struct QuorumSettings {
    /// The quorum's own directory; made where it is missing. Nobody else may have it open: the caller holds the lock.
    pub directory: PathBuf,
    /// How this run of the node introduces itself.
    pub registration: RegisterBroker,
    /// Random numbers for identities.
    pub random: Box<dyn FnMut() -> u128 + Send>,
    /// The rules of configuration keys.
    pub config_rules: ConfigRules,
}

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
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
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
    #[error("the metadata quorum did not answer in time; what was asked for may still come to pass")]
    TimedOut,
    /// The quorum has stopped.
    #[error("the metadata quorum has stopped")]
    Stopped,
}

/// Why a running quorum has stopped.
#[derive(Debug, Clone, thiserror::Error)]
pub enum QuorumFailure {
    /// Its files failed.
    #[error(transparent)]
    Store(Arc<StoreError>),
    /// Its thread ended, by [`Quorum::shutdown`] or a panic.
    #[error("the metadata quorum has stopped")]
    Stopped,
}

/// A running quorum. Dropping it stops its thread and waits for that.
pub struct Quorum {
    proposals: Mutex<Option<mpsc::Sender<Proposal>>>,
    images: watch::Receiver<Arc<MetadataImage>>,
    failures: watch::Receiver<Option<Arc<StoreError>>>,
    broker_epoch: BrokerEpoch,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl std::fmt::Debug for Quorum {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Quorum").field("broker_epoch", &self.broker_epoch).finish_non_exhaustive()
    }
}

impl Quorum {
    /// Starts the quorum and waits until this node is registered. Blocks for a few flushes of the disk.
    ///
    /// # Errors
    ///
    /// [`QuorumError`] where the files cannot be used, are damaged or are of a newer version, each in one sentence.
    pub fn open(settings: QuorumSettings) -> Result<Self, QuorumError> {
        let (images, image_receiver) = watch::channel(Arc::default());
        let (failures, failure_receiver) = watch::channel(None);
        let (proposals, proposal_receiver) = mpsc::channel(PROPOSALS_MAX);
        let (started, when_started) = std::sync::mpsc::sync_channel(1);
        let thread = std::thread::Builder::new()
            .name("quorum".to_owned())
            .spawn(move || run(settings, images, failures, proposal_receiver, &started))
            .map_err(QuorumError::Thread)?;
        let broker_epoch = match when_started.recv() {
            Ok(Ok(broker_epoch)) => broker_epoch,
            Ok(Err(error)) => return Err(error),
            Err(_) => return Err(QuorumError::Ended),
        };
        Ok(Self {
            proposals: Mutex::new(Some(proposals)),
            images: image_receiver,
            failures: failure_receiver,
            broker_epoch,
            thread: Mutex::new(Some(thread)),
        })
    }

    /// The epoch of this run of the node.
    #[must_use]
    pub fn broker_epoch(&self) -> BrokerEpoch {
        self.broker_epoch
    }

    /// The newest metadata.
    #[must_use]
    pub fn image(&self) -> Arc<MetadataImage> {
        Arc::clone(&self.images.borrow())
    }

    /// The metadata now and after each change; changes may be seen as one.
    #[must_use]
    pub fn subscribe(&self) -> watch::Receiver<Arc<MetadataImage>> {
        self.images.clone()
    }

    /// Asks the controller. When this returns, what it decided is committed; [`Self::image`] holds it once it has
    /// reached [`Decided::offset`].
    ///
    /// A caller may stop waiting at any time; the request is then carried out or not. Waiting has no deadline of its
    /// own: the caller has one.
    ///
    /// # Errors
    ///
    /// [`ProposeError`]; what the controller refused is within the reply.
    pub async fn propose(&self, request: ControllerRequest) -> Result<Decided, ProposeError> {
        let proposals = self.proposals.lock().clone().ok_or(ProposeError::Stopped)?;
        let (answer, answered) = oneshot::channel();
        proposals.try_send(Proposal { request, answer }).map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => ProposeError::Busy,
            mpsc::error::TrySendError::Closed(_) => ProposeError::Stopped,
        })?;
        drop(proposals);
        answered.await.unwrap_or(Err(ProposeError::Stopped))
    }

    /// Whether this node, as one of a set, has had no answer from the controller for a whole session: others may lead by
    /// now what it led.
    #[must_use]
    pub fn is_isolated(&self) -> bool {
        false
    }

    /// Returns when the quorum has stopped for good, with the reason. The node must not go on without it.
    pub async fn failed(&self) -> QuorumFailure {
        let mut failures = self.failures.clone();
        match failures.wait_for(Option::is_some).await.map(|failure| failure.clone()) {
            Ok(Some(error)) => QuorumFailure::Store(error),
            Ok(None) | Err(_) => QuorumFailure::Stopped,
        }
    }

    /// Answers what was asked so far, stops the thread and waits for its end. Later requests are refused.
    pub fn shutdown(&self) {
        drop(self.proposals.lock().take());
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

type Started = std::sync::mpsc::SyncSender<Result<BrokerEpoch, QuorumError>>;

/// The thread: everything of the quorum happens here.
fn run(
    settings: QuorumSettings,
    images: state_machine::ImageSender,
    failures: store::FailureReport,
    proposals: mpsc::Receiver<Proposal>,
    started: &Started,
) {
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_time().build() {
        Ok(runtime) => runtime,
        Err(error) => return tell(started, Err(QuorumError::Thread(error))),
    };
    runtime.block_on(async {
        let failure = failures.subscribe();
        match start(settings, images, failures).await {
            Ok((mut task, broker_epoch)) => {
                tell(started, Ok(broker_epoch));
                task.run(proposals).await;
                if let Err(error) = task.raft.shutdown().await {
                    tracing::error!("the metadata quorum did not stop cleanly: {error}");
                }
            }
            Err(error) => {
                let cause = failure.borrow().clone();
                tell(started, Err(cause.map_or(error, QuorumError::Store)));
            }
        }
    });
}

fn tell(started: &Started, result: Result<BrokerEpoch, QuorumError>) {
    // `open` waits for exactly one result, so nobody is missing it.
    drop(started.send(result));
}

async fn start(
    mut settings: QuorumSettings,
    images: state_machine::ImageSender,
    failures: store::FailureReport,
) -> Result<(ControllerTask, BrokerEpoch), QuorumError> {
    let new_node_id = u64::try_from((settings.random)() >> 64).unwrap_or(u64::MAX);
    let (store, state_machine) =
        open_files(&settings.directory, new_node_id, &images, &failures).map_err(Arc::new)?;
    let journal_bytes = store.journal_bytes();
    let node_id = store.node_id();
    let raft = Raft::new(node_id, Arc::new(consensus_config()), NoPeers, store, state_machine).await?;
    let node = QuorumNode { broker_id: settings.registration.broker_id, address: None };
    take_the_lead(&raft, node_id, node).await?;
    let mut task = ControllerTask {
        raft,
        images: images.subscribe(),
        random: settings.random,
        config_rules: settings.config_rules,
        journal_bytes,
        led_term: None,
        has_stopped: false,
    };
    task.propose(ControllerRequest::FormCluster).await?;
    match task.propose(ControllerRequest::RegisterBroker(settings.registration)).await?.reply {
        ControllerReply::RegisterBroker(result) => Ok((task, result?)),
        reply => unreachable!("a registration is answered by {reply:?}"),
    }
}

/// Opens or makes the files of the quorum. Everything made is on disk when this returns.
fn open_files(
    directory: &Path,
    new_node_id: RaftNodeId,
    images: &state_machine::ImageSender,
    failures: &store::FailureReport,
) -> Result<(LogStore, StateMachine), StoreError> {
    files::create_directory(directory)?;
    let snapshot = SnapshotFile::open(&directory.join("snapshot"))?;
    let store = LogStore::open(&directory.join("journal"), new_node_id, &snapshot, failures.clone())?;
    Ok((store, StateMachine::new(snapshot, images.clone(), failures.clone())))
}

fn consensus_config() -> Config {
    Config {
        cluster_name: "ottla".to_owned(),
        heartbeat_interval: 250,
        election_timeout_min: 1000,
        election_timeout_max: 2000,
        snapshot_policy: SnapshotPolicy::LogsSinceLast(ENTRIES_PER_SNAPSHOT),
        max_in_snapshot_log_to_keep: 0,
        ..Config::default()
    }
}

/// Makes a quorum of one where there is none, and leads it without waiting for an election to time out.
async fn take_the_lead(raft: &Raft, node_id: RaftNodeId, node: QuorumNode) -> Result<(), QuorumError> {
    if raft.is_initialized().await? {
        raft.trigger().elect().await?;
    } else {
        let formed = raft.initialize(BTreeMap::from([(node_id, node)])).await;
        formed.map_err(|error| match error {
            RaftError::Fatal(error) => error.into(),
            RaftError::APIError(error) => QuorumError::Forming(Box::new(error)),
        })?;
    }
    let leading =
        raft.wait(Some(ELECTION_DEADLINE)).state(ServerState::Leader, "a quorum of one leads itself").await;
    leading.map(drop).map_err(QuorumError::NoLeader)
}

#[cfg(test)]
mod tests;
