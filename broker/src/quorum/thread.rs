//! The thread of the quorum: everything of it happens here, on a runtime of its own.

use crate::clock;
use crate::peer::{Dialer, PeerListener, PeerStream};
use crate::quorum::acknowledged::Acknowledged;
use crate::quorum::controller_task::{ControllerTask, Proposal};
use crate::quorum::controllership::Controllership;
use crate::quorum::council::{Council, Desk, random};
use crate::quorum::election::{Election, HEARTBEAT_MS, VOTE_LEASE};
use crate::quorum::identity::Identity;
use crate::quorum::link::milliseconds;
use crate::quorum::links::Links;
use crate::quorum::network::Network;
use crate::quorum::pulse::{self, Pulse};
use crate::quorum::service::{Agreement, Service};
use crate::quorum::snapshot::SnapshotFile;
use crate::quorum::start::{Start, StartInSet};
use crate::quorum::state_machine::{self, StateMachine};
use crate::quorum::store::{self, LogStore};
use crate::quorum::types::{Raft, RaftNodeId};
use crate::quorum::{QuorumError, QuorumSettings, SetSettings, StoreError, candidate, files};
use openraft::{Config, SnapshotPolicy};
use parking_lot::Mutex;
use replication::controller::mutations::MutationAllowances;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use storage::ids::BrokerEpoch;
use tokio::sync::{Notify, mpsc, watch};
use tokio::time::{sleep, timeout};

/// The most requests that wait for the controller. Larger: a burst waits longer before it is refused. Smaller: bursts
/// are refused that the controller could take.
const PROPOSALS_MAX: usize = 4096;

/// The most entries between two snapshots. Larger: a start applies more. Smaller: snapshots are written more often.
const ENTRIES_PER_SNAPSHOT: u64 = 10_000;

/// The bytes of a snapshot that one call carries. Larger: a call holds up others for longer. Smaller: more round trips.
const SNAPSHOT_CHUNK_BYTES: u64 = 1024 * 1024;

/// How long another member may take for one of them; the last one is answered once the snapshot is on its disk.
const SNAPSHOT_CHUNK_DEADLINE: Duration = Duration::from_secs(30);

/// How long requests that were taken may go on when the quorum of a set stops. Longer: a node that is cut off stops late.
/// Shorter: their callers do not learn what came of them.
const DRAIN_DEADLINE: Duration = Duration::from_millis(500);

/// How long openraft may take to stop. Longer: a disk that hangs delays the end. Shorter: an append is cut off.
const STOP_DEADLINE: Duration = Duration::from_secs(10);

/// What the rest of the node has of a running quorum.
pub(super) struct Opened {
    pub(super) broker_epoch: BrokerEpoch,
    pub(super) council: Arc<Council>,
    pub(super) controllership: Arc<Controllership>,
    /// As one of a set.
    pub(super) set: Option<OpenedInSet>,
}

/// What there is more in a set.
pub(super) struct OpenedInSet {
    pub(super) pulse: Arc<Pulse>,
}

/// Where the outcome of the start goes.
pub(super) type Started = std::sync::mpsc::SyncSender<Result<Opened, QuorumError>>;

/// Runs the quorum until it is closed.
pub(super) fn run(
    settings: QuorumSettings,
    failures: &store::FailureReport,
    fetch_streams: mpsc::Sender<PeerStream>,
    started: &Started,
) {
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return tell(started, Err(QuorumError::Thread(error))),
    };
    runtime.block_on(async {
        let failure = failures.subscribe();
        let of_files = |error| failure.borrow().clone().map_or(error, QuorumError::Store);
        match prepare(settings, failures.clone(), fetch_streams).await {
            Ok(prepared) => prepared.run(started, of_files).await,
            Err(error) => tell(started, Err(of_files(error))),
        }
    });
}

fn tell(started: &Started, result: Result<Opened, QuorumError>) {
    // `open` waits for exactly one result, so nobody is missing it.
    drop(started.send(result));
}

/// A quorum whose tasks run, and whose node has not registered yet.
struct Prepared {
    raft: Raft,
    council: Arc<Council>,
    controllership: Arc<Controllership>,
    task: ControllerTask,
    proposals: mpsc::Receiver<Proposal>,
    start: Start,
    heartbeat: Option<Heartbeat>,
    stopping: crate::stopping::Stopping,
}

/// What the heartbeats of this broker go by.
struct Heartbeat {
    interval: Duration,
    session_timeout: Duration,
}

async fn prepare(
    mut settings: QuorumSettings,
    failures: store::FailureReport,
    fetch_streams: mpsc::Sender<PeerStream>,
) -> Result<Prepared, QuorumError> {
    let (image_sender, images) = watch::channel(Arc::default());
    let new_node_id = u64::try_from((settings.random)() >> 64).unwrap_or(u64::MAX);
    let (store, state_machine) =
        open_files(&settings.directory, new_node_id, &image_sender, &failures).map_err(Arc::new)?;
    let (node_id, log, journal_bytes) = (store.node_id(), store.reader(), store.journal_bytes());
    let identity = Arc::new(Identity::new(
        settings.broker_id,
        node_id,
        settings.incarnation,
        settings.known_cluster_id,
        images.clone(),
    ));
    let links = settings.set.as_ref().map(|set| {
        Arc::new(Links::new(Dialer::new(set.tls.clone()), Arc::clone(&identity), set.nodes.clone()))
    });
    let acknowledged = Arc::<Mutex<Acknowledged>>::default();
    let network = Network::new(links.clone(), Arc::clone(&acknowledged));
    let config = consensus_config(settings.set.is_some());
    let raft = Raft::new(node_id, Arc::new(config), network, store, state_machine).await?;
    identity.set_initialised(raft.is_initialized().await?);
    let (proposal_sender, proposals) = mpsc::channel(PROPOSALS_MAX);
    let council = Arc::new(Council {
        raft: raft.clone(),
        identity: Arc::clone(&identity),
        links: links.clone(),
        images: images.clone(),
        log,
        election: Mutex::new(Election::new(clock::monotonic(), random())),
        election_changed: Notify::new(),
        desk: Desk::new(proposal_sender),
        acknowledged,
        snapshot_chunks: tokio::sync::Mutex::default(),
    });
    let session_timeout = settings.set.as_ref().map_or(Duration::MAX, |set| set.session_timeout);
    let controllership = Arc::new(Controllership::new(session_timeout));
    let heartbeat = settings
        .set
        .as_ref()
        .map(|set| Heartbeat { interval: set.heartbeat_interval, session_timeout: set.session_timeout });
    let set = match settings.set.zip(links) {
        Some((set, links)) => {
            Some(serve(set, links, &council, &controllership, fetch_streams, &journal_bytes)?)
        }
        None => None,
    };
    let task = ControllerTask {
        broker_id: identity.broker_id,
        raft: raft.clone(),
        images,
        random: settings.random,
        config_rules: settings.config_rules,
        allowances: MutationAllowances::new(settings.mutation_burst),
        journal_bytes,
        led_term: None,
        has_stopped: false,
    };
    let start = Start { council: Arc::clone(&council), introduce: settings.introduce, set };
    let stopping = settings.stopping;
    Ok(Prepared { raft, council, controllership, task, proposals, start, heartbeat, stopping })
}

/// Begins to answer the other nodes, to look after the leader, and to lead where this node is elected.
fn serve(
    set: SetSettings,
    links: Arc<Links>,
    council: &Arc<Council>,
    controllership: &Arc<Controllership>,
    fetch_streams: mpsc::Sender<PeerStream>,
    journal_bytes: &Arc<std::sync::atomic::AtomicU64>,
) -> Result<StartInSet, QuorumError> {
    // Nobody has told this run anything yet.
    let last_index = council.log.last().map(|last| last.index);
    let listener = PeerListener::listen(set.sockets, set.tls)?;
    let agreement = Arc::<Agreement>::default();
    let service = Arc::new(Service {
        council: Arc::clone(council),
        controllership: Arc::clone(controllership),
        agreement: Arc::clone(&agreement),
        fetch_streams,
    });
    let own_address = set.nodes.get(&council.identity.broker_id).cloned();
    let own_address = own_address.expect("the configuration checked that this node is one of the set");
    // These end with the runtime, which ends once the node that waits for them has stopped asking.
    drop(tokio::spawn(service.run(listener)));
    drop(tokio::spawn(candidate::run(Arc::clone(council))));
    drop(tokio::spawn(Arc::clone(controllership).run(
        Arc::clone(council),
        set.upkeep,
        Arc::clone(journal_bytes),
    )));
    Ok(StartInSet { controllership: Arc::clone(controllership), agreement, links, own_address, last_index })
}

impl Prepared {
    /// Registers, tells the outcome, and decides until the quorum is closed.
    async fn run(self, started: &Started, of_files: impl Fn(QuorumError) -> QuorumError) {
        let Self { raft, council, controllership, mut task, proposals, start, heartbeat, mut stopping } =
            self;
        let deciding = task.run(proposals);
        tokio::pin!(deciding);
        let outcome = tokio::select! {
            outcome = start.run() => outcome,
            () = stopping.requested() => Err(QuorumError::ToldToStop),
            () = &mut deciding => Err(QuorumError::Ended),
        };
        match outcome {
            Ok(broker_epoch) => {
                let is_of_set = heartbeat.is_some();
                let set = heartbeat.map(|heartbeat| {
                    let broker_id = council.identity.broker_id;
                    let pulse = Arc::new(Pulse::new(broker_id, broker_epoch, heartbeat.session_timeout));
                    let beating = pulse::run(
                        Arc::clone(&pulse),
                        Arc::clone(&council),
                        Arc::clone(&controllership),
                        heartbeat.interval,
                    );
                    drop(tokio::spawn(beating));
                    OpenedInSet { pulse }
                });
                let closed = council.desk.closed();
                tell(started, Ok(Opened { broker_epoch, council, controllership, set }));
                tokio::select! {
                    () = &mut deciding => {}
                    // A leader that is cut off writes for ever; nobody waits for it any more.
                    () = async { closed.await; sleep(DRAIN_DEADLINE).await }, if is_of_set => {}
                }
            }
            Err(error) => tell(started, Err(of_files(error))),
        }
        match timeout(STOP_DEADLINE, raft.shutdown()).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::error!("the metadata quorum did not stop cleanly: {error}"),
            Err(_elapsed) => tracing::error!("the metadata quorum did not stop in time"),
        }
    }
}

/// Opens or makes the files of the quorum. Everything made is on disk when this returns.
pub(super) fn open_files(
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

fn consensus_config(is_of_set: bool) -> Config {
    Config {
        cluster_name: "ottla".to_owned(),
        heartbeat_interval: HEARTBEAT_MS,
        // A node alone has nothing to do at regular times.
        enable_tick: is_of_set,
        // `election` decides when to stand. Of these openraft takes how long a vote may take, and the lease of a leader.
        enable_elect: false,
        election_timeout_min: milliseconds(VOTE_LEASE) - 1,
        election_timeout_max: milliseconds(VOTE_LEASE),
        install_snapshot_timeout: milliseconds(SNAPSHOT_CHUNK_DEADLINE),
        snapshot_max_chunk_size: SNAPSHOT_CHUNK_BYTES,
        snapshot_policy: SnapshotPolicy::LogsSinceLast(ENTRIES_PER_SNAPSHOT),
        max_in_snapshot_log_to_keep: 0,
        ..Config::default()
    }
}
