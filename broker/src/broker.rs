//! The node: what a request needs to be served, held together.
//!
//! It owns no behaviour beyond short questions about its configuration and state; each part decides in its own
//! module.

use crate::coordinators::Coordinators;
use crate::fetch_sessions::FetchSessions;
use crate::limits::Limits;
use crate::log_budget::LogBudget;
use crate::metrics::Metrics;
use crate::partitions::Partitions;
use crate::producer_ids::ProducerIds;
use crate::quorum::{ProposeError, Quorum};
use crate::seats::Seats;
use crate::settings::{CurrentSettings, Settings};
use crate::topics;
use arc_swap::ArcSwap;
use config::broker::{Durability, Endpoint};
use kafka_protocol::messages::TopicName;
use parking_lot::Mutex;
use replication::controller::{ControllerReply, ControllerRequest};
use replication::metadata::image::MetadataImage;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use storage::disk::os::OsDisk;
use storage::ids::{BrokerId, TopicId};
use storage::log_dir::LogDir;
use tokio::sync::{Semaphore, watch};
use tokio::time::timeout;

/// Requests that read from the disk at the same time. Larger: they push one another's pages out. Smaller: one slow
/// disk read holds up the others.
const COLD_READS_AT_ONCE: usize = 16;

/// One node.
#[derive(Debug)]
pub struct Broker {
    /// The configuration in force.
    pub(crate) settings: Arc<CurrentSettings>,
    node_id: BrokerId,
    /// Where changes of the metadata are proposed.
    pub(crate) quorum: Quorum,
    /// The directory with the partitions' logs.
    pub(crate) log_dir: Arc<LogDir<OsDisk>>,
    /// The partitions that this node serves.
    pub(crate) partitions: Arc<Partitions>,
    /// The groups that this node coordinates.
    pub(crate) coordinators: Coordinators,
    /// The ids that idempotent producers are given.
    pub(crate) producer_ids: ProducerIds,
    /// What consumers asked for before.
    pub(crate) fetch_sessions: Mutex<FetchSessions>,
    /// What is counted.
    pub(crate) metrics: Arc<Metrics>,
    /// What may grow, and how far.
    pub(crate) limits: Limits,
    /// Room for connections.
    pub(crate) seats: Seats,
    /// Lines of the log about connections that were closed for what came over them.
    pub(crate) refusal_lines: Mutex<LogBudget>,
    /// Room for requests that read from the disk.
    pub(crate) cold_reads: Semaphore,
    /// Set once, when the log directory fails.
    pub(crate) failure: Arc<AtomicBool>,
    image: Arc<ArcSwap<MetadataImage>>,
    image_offset: watch::Sender<i64>,
}

/// What a node is made of.
pub(crate) struct Parts {
    pub(crate) settings: Settings,
    pub(crate) quorum: Quorum,
    pub(crate) log_dir: Arc<LogDir<OsDisk>>,
    pub(crate) partitions: Arc<Partitions>,
    pub(crate) failure: Arc<AtomicBool>,
    pub(crate) metrics: Arc<Metrics>,
}

/// A topic that a request named, found.
#[derive(Clone, Copy, Debug)]
pub(crate) struct TopicLookup {
    pub(crate) topic_id: TopicId,
    /// Whether only the broker itself writes to it.
    pub(crate) is_internal: bool,
}

impl Broker {
    /// A node that serves nothing until [`Broker::publish`] gives it an image.
    pub(crate) fn new(parts: Parts) -> Self {
        let Parts { settings, quorum, log_dir, partitions, failure, metrics } = parts;
        let broker = &settings.broker;
        let count = |value: i32| usize::try_from(value).unwrap_or(0);
        let fetch_sessions_max = count(broker.max_incremental_fetch_session_cache_slots);
        let node_id = BrokerId(broker.node_id);
        let image: Arc<ArcSwap<MetadataImage>> = Arc::default();
        let settings = Arc::new(CurrentSettings::new(settings));
        let coordinators =
            Coordinators::new(node_id, Arc::clone(&settings), Arc::clone(&image), Arc::clone(&failure));
        Self {
            fetch_sessions: Mutex::new(FetchSessions::new(fetch_sessions_max)),
            seats: Seats::default(),
            quorum,
            log_dir,
            partitions,
            failure,
            producer_ids: ProducerIds::default(),
            metrics,
            limits: Limits::new(),
            refusal_lines: Mutex::default(),
            cold_reads: Semaphore::new(COLD_READS_AT_ONCE),
            coordinators,
            image,
            image_offset: watch::Sender::new(-1),
            node_id,
            settings,
        }
    }

    /// The metadata as the partitions of this node follow it. A request takes one image.
    pub(crate) fn image(&self) -> Arc<MetadataImage> {
        self.image.load_full()
    }

    /// Makes `image` the one that requests see; the partitions follow it already.
    pub(crate) fn publish(&self, image: Arc<MetadataImage>) {
        self.image.store(image);
    }

    /// Tells who waits for it that the published image is followed by everything, the coordinators of groups too.
    pub(crate) fn announce(&self) {
        self.image_offset.send_replace(self.image.load().offset());
    }

    /// Waits until requests see what stands at `offset` of the metadata log, so that who made a topic finds it.
    async fn wait_for_image(&self, offset: i64) {
        let mut published = self.image_offset.subscribe();
        // The sender lives as long as the node, so this cannot fail.
        let _seen = published.wait_for(|published| *published >= offset).await;
    }

    /// Has the controller decide `request`, and waits until requests see what it decided; for `patience` at most.
    ///
    /// # Errors
    /// When the metadata quorum does not answer; whether the decision was made is unknown then.
    pub(crate) async fn propose(
        &self,
        request: ControllerRequest,
        patience: Duration,
    ) -> Result<ControllerReply, ProposeError> {
        let decided = async {
            let decided = self.quorum.propose(request).await?;
            self.wait_for_image(decided.offset).await;
            Ok(decided.reply)
        };
        timeout(patience, decided).await.unwrap_or(Err(ProposeError::TimedOut))
    }

    pub(crate) fn node_id(&self) -> BrokerId {
        self.node_id
    }

    pub(crate) fn rack(&self) -> Option<String> {
        self.settings.load().broker.broker_rack.clone()
    }

    pub(crate) fn cluster_id(&self) -> String {
        self.image.load().cluster_id().unwrap_or_default().to_owned()
    }

    /// The topic of this id or, where it is nil, of this name.
    pub(crate) fn topic(&self, name: &TopicName, topic_id: uuid::Uuid) -> Option<TopicLookup> {
        let image = self.image.load();
        let topic = match topic_id.is_nil() {
            true => image.topic_by_name(name),
            false => image.topic_by_id(TopicId(topic_id)),
        };
        topic.map(|topic| TopicLookup { topic_id: topic.id, is_internal: topics::is_internal(&topic.name) })
    }

    pub(crate) fn topic_id_of(&self, name: &str) -> Option<TopicId> {
        self.image.load().topic_by_name(name).map(|topic| topic.id)
    }

    /// What a client on a connection to `local_address` is told to connect to: what the configuration advertises,
    /// else the address that it reached us at.
    pub(crate) fn advertised_to(&self, local_address: SocketAddr) -> Endpoint {
        self.advertised().unwrap_or_else(|| Endpoint {
            host: local_address.ip().to_canonical().to_string(),
            port: local_address.port(),
        })
    }

    /// What `advertised.listeners` says, where it is set.
    pub(crate) fn advertised(&self) -> Option<Endpoint> {
        self.settings.load().broker.advertised_listeners.first().map(|listener| listener.endpoint.clone())
    }

    pub(crate) fn creates_topics(&self) -> bool {
        self.settings.load().broker.auto_create_topics_enable
    }

    pub(crate) fn deletes_topics(&self) -> bool {
        self.settings.load().broker.delete_topic_enable
    }

    pub(crate) fn idle_max(&self) -> Duration {
        match u64::try_from(self.settings.load().broker.connections_max_idle_ms) {
            Ok(milliseconds) => Duration::from_millis(milliseconds),
            // Negative: never, which a timer writes as a year.
            Err(_) => Duration::from_secs(365 * 24 * 3600),
        }
    }

    /// How many connections there may be, in total and from one address.
    pub(crate) fn connections_max(&self) -> (usize, usize) {
        let settings = self.settings.load();
        let count = |value: i32| usize::try_from(value).unwrap_or(0);
        (count(settings.broker.max_connections), count(settings.broker.max_connections_per_ip))
    }

    pub(crate) fn listen_backlog(&self) -> i32 {
        self.settings.load().broker.socket_listen_backlog_size
    }

    pub(crate) fn request_bytes_max(&self) -> usize {
        usize::try_from(self.settings.load().broker.socket_request_max_bytes).unwrap_or(0)
    }

    pub(crate) fn fetch_bytes_max(&self) -> usize {
        usize::try_from(self.settings.load().broker.fetch_max_bytes).unwrap_or(0)
    }

    pub(crate) fn partitions_per_page_max(&self) -> usize {
        usize::try_from(self.settings.load().broker.max_request_partition_size_limit).unwrap_or(1).max(1)
    }

    pub(crate) fn durability(&self) -> Durability {
        self.settings.load().broker.durability
    }

    /// Whether the high watermark moves with the flush, not with the append.
    pub(crate) fn waits_for_flush(&self) -> bool {
        self.durability() == Durability::Flushed
    }

    /// Whether the log directory has failed: nothing more is acknowledged.
    pub(crate) fn has_failed(&self) -> bool {
        self.failure.load(Ordering::Acquire)
    }

    /// Brings the gauges up to date, before somebody reads them.
    pub(crate) fn update_gauges(&self) {
        let image = self.image.load();
        self.metrics.topics.set(image.topic_count() as f64);
        self.metrics.partitions.set(image.partition_count() as f64);
        self.metrics.connections.set(self.seats.taken() as f64);
        self.metrics.fetch_sessions.set(self.fetch_sessions.lock().len() as f64);
        self.metrics.log_directory_failed.set(f64::from(u8::from(self.has_failed())));
        self.metrics.disk_full.set(f64::from(u8::from(self.log_dir.is_below_free_space_floor())));
    }
}
