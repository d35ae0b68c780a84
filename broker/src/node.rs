//! The life of a node: how its parts come up, in which order they go down, and what ends it by itself.
//!
//! Up: the ports are bound, the lock on the log directory, the metadata quorum (the other nodes, registered), the
//! partitions' logs (recovered and flushed), the ports serve, the controller hears that the node is ready.
//! Down, each step joined before the next: others lead what they can, no new connections, answers to what was read, the coordinators of groups,
//! housekeeping, the logs (flushed and marked clean), the quorum. A node whose log directory failed does not go down in order: what it has
//! not flushed must not look as if it were.

mod introduction;

use crate::broker::{Broker, Parts};
use crate::cleaner;
use crate::clock;
use crate::housekeeping;
use crate::http;
use crate::isr;
use crate::metadata_follower;
use crate::metrics::{self, Metrics};
use crate::node::introduction::Outside;
use crate::open_files::OpenFiles;
use crate::partition::NodeLog;
use crate::partitions::Partitions;
use crate::peer::PeerTlsError;
use crate::quorum::{Quorum, QuorumError, StoreError};
use crate::replica_server;
use crate::server::{self, BindError, BoundSocket};
use crate::settings::Settings;
use crate::stopping::{StopSwitch, Stopping};
use config::broker::{BrokerConfig, Durability};
use config::parse::Loaded;
use metrics_exporter_prometheus::{BuildError, PrometheusHandle};
use replication::metadata::image::MetadataImage;
use rustix::io::Errno;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use storage::disk::os::OsDisk;
use storage::error::{LogDirFailure, OpenError};
use storage::flusher::FlushWindow;
use storage::log_dir::{LogDir, LogDirEvents, LogDirSettings};
use tokio::net::TcpListener;
use tokio::sync::{Notify, watch};
use tokio::task::JoinHandle;

/// How long a start waits until the controller uses the node. Longer: a person waits for the banner of a node that nobody
/// misses. Shorter: scripts that wait for it go on too soon.
const USED_PATIENCE: Duration = Duration::from_secs(10);

/// How long a stop waits until others lead what this node leads. Longer: a node whose set is gone stops late. Shorter: its
/// leaders change when it is gone, which clients notice.
const HAND_OVER_PATIENCE: Duration = Duration::from_secs(10);

/// How long a stop waits for HTTP requests that are under way. Longer: a client that sends half a request delays the
/// stop. Shorter: a scrape is cut off.
const HTTP_DRAIN_DEADLINE: Duration = Duration::from_secs(1);

/// A node could not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The log directory cannot be used.
    #[error("{}{}", .0, way_out(.0))]
    LogDirectory(#[from] OpenError),
    /// The metadata cannot be used.
    #[error("{}{}", .0, way_out_of_quorum(.0))]
    Quorum(#[from] QuorumError),
    /// A listener cannot be opened.
    #[error(transparent)]
    Bind(#[from] BindError),
    /// The certificate for the other nodes cannot be used.
    #[error(transparent)]
    PeerTls(#[from] PeerTlsError),
    /// The HTTP listener cannot be opened.
    #[error(
        "cannot listen on {address} (ottla.http.listener): {source}; set another address, or an empty one for none"
    )]
    BindHttp {
        /// The address as configured.
        address: String,
        /// What the system said.
        source: io::Error,
    },
    /// Metrics cannot be collected.
    #[error("metrics cannot be collected: {0}")]
    Metrics(#[from] BuildError),
    /// A step of the start was cut off.
    #[error("the start was cut off: {0}")]
    CutOff(#[from] tokio::task::JoinError),
}

/// What to do where no directory is or can be.
const NO_DIRECTORY: &str = "; name a directory, or one that can be made (log.dirs)";

/// What to do about a log directory, where the error does not say.
fn way_out(error: &OpenError) -> &'static str {
    let OpenError::Disk(disk) = error else { return "" };
    match disk.operation {
        "create directory" if disk.source.kind() == io::ErrorKind::NotFound => NO_DIRECTORY,
        _ => way_out_of_disk(disk.source.kind()),
    }
}

/// The same about the files of the metadata, which are in it.
fn way_out_of_quorum(error: &QuorumError) -> &'static str {
    let QuorumError::Store(store) = error else { return "" };
    let StoreError::Io { source, .. } = store.as_ref() else { return "" };
    way_out_of_disk(source.kind())
}

fn way_out_of_disk(kind: io::ErrorKind) -> &'static str {
    use io::ErrorKind::{
        AlreadyExists, NotADirectory, PermissionDenied, QuotaExceeded, ReadOnlyFilesystem, StorageFull,
    };
    match kind {
        PermissionDenied | ReadOnlyFilesystem => {
            "; let the user who runs this process write there, or name another directory (log.dirs)"
        }
        StorageFull | QuotaExceeded => "; make room there, or name another directory (log.dirs)",
        AlreadyExists | NotADirectory => NO_DIRECTORY,
        _ => "",
    }
}

/// What ended a node by itself.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Failure(pub String);

/// A node that serves.
#[derive(Debug)]
pub struct Node {
    /// What serves requests.
    pub broker: Arc<Broker>,
    /// The addresses that clients can connect to.
    pub kafka_addresses: Vec<SocketAddr>,
    /// The address of health and metrics, where there is one.
    pub http_address: Option<SocketAddr>,
    /// How long the start took.
    pub start_duration: Duration,
    serving_switch: StopSwitch,
    /// Said later than the other: a request that is under way may wait for what the background does.
    background_switch: StopSwitch,
    failed: watch::Receiver<Option<Failure>>,
    serving: Vec<JoinHandle<()>>,
    background: Vec<JoinHandle<()>>,
}

/// What the log directory tells the node.
struct Events {
    partitions: Arc<Partitions>,
    has_failed: Arc<AtomicBool>,
    failed: watch::Sender<Option<Failure>>,
    metrics: Arc<Metrics>,
    checkpoint_due: Arc<Notify>,
}

impl LogDirEvents<OsDisk> for Events {
    fn flushed(&self, logs: &[Arc<NodeLog>]) {
        self.metrics.flush_rounds.increment(1);
        self.metrics.flushed_partitions.increment(logs.len() as u64);
        for log in logs {
            if let Some(partition) = self.partitions.find(log.topic_id(), log.topic_partition().partition) {
                partition.durable_end_moved();
            }
        }
    }

    fn checkpoint_due(&self) {
        self.checkpoint_due.notify_one();
    }

    fn failed(&self, failure: &LogDirFailure) {
        self.has_failed.store(true, Ordering::Release);
        for partition in self.partitions.all() {
            partition.wake_all();
        }
        let ran_out = [Errno::MFILE, Errno::NFILE].map(Errno::raw_os_error);
        let fix = match failure.error.source.raw_os_error() {
            Some(error) if ran_out.contains(&error) => {
                "Let more files be open (`ulimit -n`, systemd: LimitNOFILE)"
            }
            _ if failure.error.is_not_found() => "Look who removed, moved or unmounted it",
            _ => "Check the disk",
        };
        let sentence = format!(
            "the log directory {} failed: {}; nothing was acknowledged after that. {fix}, then start again",
            failure.path.display(),
            failure.error
        );
        self.failed.send_replace(Some(Failure(sentence)));
    }
}

impl Node {
    /// Starts a node: recovers its data, then opens its ports.
    ///
    /// As one of a set it waits for others, unless `stopping` says not to.
    ///
    /// # Errors
    /// When the data cannot be used or a port cannot be opened; each in one sentence.
    pub async fn start(
        loaded: Loaded,
        open_files: OpenFiles,
        stopping: Stopping,
    ) -> Result<Self, StartError> {
        let began = clock::monotonic();
        let prometheus = metrics::install()?;
        let settings = Settings { layers: loaded.layers(), broker: loaded.broker };
        let sockets = bind_all(&settings.broker).await?;
        let http = bind_http(&settings.broker).await?;
        let kafka_port = sockets.first().map_or(0, |socket| socket.address.port());
        let outside = Outside { peers: introduction::bind(&settings.broker).await?, kafka_port, stopping };

        let partitions = Arc::new(Partitions::default());
        let has_failed = Arc::new(AtomicBool::new(false));
        let (failed_sender, failed) = watch::channel(None);
        let checkpoint_due = Arc::new(Notify::new());
        let events = Events {
            partitions: Arc::clone(&partitions),
            has_failed: Arc::clone(&has_failed),
            failed: failed_sender,
            metrics: Arc::new(Metrics::register()),
            checkpoint_due: Arc::clone(&checkpoint_due),
        };
        let broker = tokio::task::spawn_blocking(move || {
            let log_dir = log_dir_settings(&settings.broker, open_files);
            open(settings, log_dir, open_files, partitions, has_failed, events, outside)
        })
        .await??;
        let (serving_switch, stopped) = StopSwitch::new();
        let (background_switch, background_stopped) = StopSwitch::new();
        let background = vec![
            tokio::spawn(replica_server::run(Arc::clone(&broker), background_stopped.clone())),
            tokio::spawn(metadata_follower::run(
                Arc::clone(&broker),
                broker.quorum.subscribe(),
                background_stopped.clone(),
            )),
            tokio::spawn(cleaner::run(Arc::clone(&broker), background_stopped.clone())),
            tokio::spawn(isr::run(Arc::clone(&broker), background_stopped.clone())),
            tokio::spawn(housekeeping::run(Arc::clone(&broker), checkpoint_due, background_stopped)),
        ];
        let kafka_addresses = sockets.iter().map(|socket| socket.address).collect();
        let http_address = http.as_ref().and_then(|socket| socket.local_addr().ok());
        if let Some(address) = http_address {
            broker.http_address.get_or_init(|| address);
        }
        let mut serving = Vec::new();
        for socket in sockets {
            let socket = socket.listen(broker.listen_backlog())?;
            serving.push(tokio::spawn(server::accept(Arc::clone(&broker), socket, stopped.clone())));
        }
        serving.extend(
            http.map(|socket| tokio::spawn(serve_http(socket, Arc::clone(&broker), prometheus, stopped))),
        );
        broker.quorum.say_ready();
        if !broker.quorum.wait_until_used(USED_PATIENCE).await {
            tracing::warn!(
                "the controller does not use this node yet; it will once it hears that this node is ready"
            );
        }
        let start_duration = clock::monotonic().saturating_sub(began);
        Ok(Self {
            broker,
            kafka_addresses,
            http_address,
            start_duration,
            serving_switch,
            background_switch,
            failed,
            serving,
            background,
        })
    }

    /// The directory that holds the node's data.
    #[must_use]
    pub fn data_directory(&self) -> PathBuf {
        self.broker.settings.load().broker.log_dir.clone()
    }

    /// Returns once the log directory or the metadata quorum has failed; the process must end then, without a clean
    /// stop.
    pub async fn failed(&self) -> Failure {
        tokio::select! {
            failure = self.log_directory_failed() => failure,
            failure = self.broker.quorum.failed() => {
                Failure(format!("the metadata quorum failed: {failure}"))
            }
        }
    }

    async fn log_directory_failed(&self) -> Failure {
        let mut failed = self.failed.clone();
        match failed.wait_for(Option::is_some).await {
            Ok(failure) => failure.clone().unwrap_or_else(|| Failure("the log directory failed".to_owned())),
            // The sender lives as long as the log directory.
            Err(_closed) => Failure("the log directory was closed".to_owned()),
        }
    }

    /// Stops in order: answers what was read, flushes, and marks the directory clean.
    ///
    /// # Errors
    /// When the logs cannot be flushed or the marker cannot be written; the next start then recovers.
    pub async fn stop(self) -> anyhow::Result<()> {
        if self.broker.settings.load().broker.replication.controlled_shutdown_enable {
            self.broker.quorum.hand_over(HAND_OVER_PATIENCE).await;
        }
        self.serving_switch.stop();
        for task in self.serving {
            task.await?;
        }
        self.broker.coordinators.stop().await;
        self.background_switch.stop();
        for task in self.background {
            task.await?;
        }
        self.broker.replica_fetchers.stop().await;
        let broker = Arc::clone(&self.broker);
        let stop = move || {
            housekeeping::write_high_watermarks(&broker);
            broker.log_dir.clean_stop(broker.quorum.broker_epoch())
        };
        tokio::task::spawn_blocking(stop).await??;
        let broker = Arc::clone(&self.broker);
        tokio::task::spawn_blocking(move || broker.quorum.shutdown()).await?;
        Ok(())
    }
}

/// Opens what is on the disk: everything that the start writes is flushed when this returns.
fn open(
    settings: Settings,
    log_dir: LogDirSettings,
    open_files: OpenFiles,
    partitions: Arc<Partitions>,
    failure: Arc<AtomicBool>,
    events: Events,
    outside: Outside,
) -> Result<Arc<Broker>, StartError> {
    let metrics = Arc::clone(&events.metrics);
    let config = &settings.broker;
    let log_dir = Arc::new(LogDir::open(OsDisk, &config.log_dir, log_dir, Arc::new(events))?);
    // First: the quorum would answer the others in the name of the node that this directory was copied from.
    log_dir.check_node_id(storage::ids::BrokerId(config.node_id))?;
    log_dir.check_unclaimed_is_empty()?;
    let quorum = Quorum::open(introduction::quorum_settings(&settings, &log_dir, outside))?;
    let image = quorum.image();
    let broker = Broker::new(Parts { settings, quorum, log_dir, open_files, partitions, failure, metrics });
    load_logs(&broker, &image)?;
    broker.high_watermarks.read(&broker.log_dir).map_err(OpenError::from)?;
    let broker = Arc::new(broker);
    metadata_follower::follow(&broker, image);
    broker.high_watermarks.end_start(&broker).map_err(OpenError::from)?;
    Ok(broker)
}

/// Recovers the logs of every partition that the metadata gives to this node.
fn load_logs(broker: &Broker, image: &MetadataImage) -> Result<(), StartError> {
    if let Err(errors) = broker.settings.follow(image, broker.node_id()) {
        for error in errors {
            tracing::error!("a setting that clients made is not in force: {error}");
        }
    }
    broker.log_dir.set_recovery_threads(recovery_threads(&broker.settings.load().broker));
    let mut wanted = Vec::with_capacity(image.partition_count());
    for topic in image.topics() {
        let config = metadata_follower::topic_config(broker, image, &topic.name);
        for partition in
            topic.partitions.iter().filter(|partition| partition.replicas.contains(&broker.node_id()))
        {
            let name =
                storage::ids::TopicPartition { topic: topic.name.to_string(), partition: partition.index };
            wanted.push((name, topic.id, Arc::clone(&config)));
        }
    }
    let loaded = broker.log_dir.load(wanted, clock::now())?;
    for damage in &loaded.damage {
        tracing::error!(
            "{} {}; it is kept as it is, restore it from a copy",
            damage.path.display(),
            damage.description
        );
    }
    Ok(())
}

fn recovery_threads(config: &BrokerConfig) -> usize {
    usize::try_from(config.num_recovery_threads_per_data_dir).unwrap_or(1).max(1)
}

fn log_dir_settings(config: &BrokerConfig, open_files: OpenFiles) -> LogDirSettings {
    let count = |value: i64| u64::try_from(value).unwrap_or(0);
    let mut settings = LogDirSettings::new(clock::monotonic);
    settings.open_segments_max = open_files.of_logs;
    settings.free_space_floor_bytes = count(config.free_space_floor_bytes);
    settings.recovery_threads = recovery_threads(config);
    settings.flush_window = FlushWindow {
        interval: Duration::from_millis(count(config.flush_window_ms)),
        bytes: count(config.flush_window_bytes),
    };
    settings.honours_flush_ms = config.durability == Durability::Replicated;
    settings
}

async fn bind_all(config: &BrokerConfig) -> Result<Vec<BoundSocket>, BindError> {
    let mut bound = Vec::new();
    for listener in &config.listeners {
        bound.extend(server::bind(&listener.endpoint, "listeners").await?);
    }
    Ok(bound)
}

async fn bind_http(config: &BrokerConfig) -> Result<Option<TcpListener>, StartError> {
    let Some(endpoint) = &config.http_listener else { return Ok(None) };
    let bound = TcpListener::bind((endpoint.host.as_str(), endpoint.port)).await;
    let address = || format!("{}:{}", endpoint.host, endpoint.port);
    bound.map(Some).map_err(|source| StartError::BindHttp { address: address(), source })
}

async fn serve_http(
    socket: TcpListener,
    broker: Arc<Broker>,
    prometheus: PrometheusHandle,
    mut stopping: Stopping,
) {
    let mut stopped = stopping.clone();
    let stop = async move { stopping.requested().await };
    let socket = http::LimitedListener::new(socket, Arc::clone(&broker.http_seats));
    let serve = axum::serve(socket, http::routes(broker, prometheus)).with_graceful_shutdown(stop);
    let deadline = async move {
        stopped.requested().await;
        tokio::time::sleep(HTTP_DRAIN_DEADLINE).await;
    };
    tokio::select! {
        served = serve.into_future() => if let Err(error) = served {
            tracing::error!("the HTTP listener ended: {error}");
        },
        () = deadline => tracing::debug!("an HTTP client did not finish its request in time"),
    }
}

#[cfg(test)]
pub(crate) mod testing;

#[cfg(test)]
mod tests {
    use super::StartError;
    use std::io::ErrorKind;
    use std::path::Path;
    use storage::disk::DiskError;
    use storage::error::OpenError;

    #[test]
    fn a_directory_that_cannot_be_written_is_told_with_the_key() {
        let said = |kind: ErrorKind| {
            let error = DiskError::new("lock", Path::new("/data/.lock"), kind);
            StartError::from(OpenError::from(error)).to_string()
        };
        assert_eq!(
            said(ErrorKind::PermissionDenied),
            "cannot lock /data/.lock: permission denied; let the user who runs this process write there, or name another \
             directory (log.dirs)"
        );
        assert!(
            said(ErrorKind::StorageFull).ends_with("; make room there, or name another directory (log.dirs)")
        );
        assert_eq!(said(ErrorKind::TimedOut), "cannot lock /data/.lock: timed out");
        let missing = DiskError::new("create directory", Path::new("/proc/data"), ErrorKind::NotFound);
        let said = StartError::from(OpenError::from(missing)).to_string();
        assert!(said.ends_with("; name a directory, or one that can be made (log.dirs)"), "{said}");
    }
}
