//! The node: what a request needs to be served, held together.
//!
//! It owns no behaviour beyond short questions about its configuration and state; each part decides in its own
//! module.

use crate::api::{Api, GET_TELEMETRY_SUBSCRIPTIONS_KEY, PUSH_TELEMETRY_KEY};
use crate::busy_partitions::BusyPartitions;
use crate::client_quotas::ClientQuotas;
use crate::clock;
use crate::coordinators::Coordinators;
use crate::fetch_sessions::FetchSessions;
use crate::high_watermarks::HighWatermarks;
use crate::http;
use crate::isr::IsrDuties;
use crate::limits::Limits;
use crate::log_budget::LogBudget;
use crate::metrics::Metrics;
use crate::open_files::OpenFiles;
use crate::pace::Pace;
use crate::partition::{Leadership, Partition};
use crate::partitions::Partitions;
use crate::producer_ids::ProducerIds;
use crate::quorum::{ProposeError, Quorum};
use crate::replica_fetcher::ReplicaFetchers;
use crate::replication_quota::ReplicationQuota;
use crate::seats::Seats;
use crate::server;
use crate::settings::{CurrentSettings, Settings};
use crate::telemetry::Telemetry;
use crate::topics;
use arc_swap::ArcSwap;
use config::broker::{Durability, Endpoint};
use kafka_protocol::messages::TopicName;
use parking_lot::Mutex;
use replication::controller::{ControllerReply, ControllerRequest};
use replication::metadata::image::MetadataImage;
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;
use storage::disk::os::OsDisk;
use storage::ids::{BrokerId, PartitionIndex, TopicId};
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
    /// What copies the partitions that others lead.
    pub(crate) replica_fetchers: ReplicaFetchers,
    /// What this node has sent to throttled replicas that catch up.
    pub(crate) leader_quota: ReplicationQuota,
    /// What throttled replicas on this node have copied to catch up.
    pub(crate) follower_quota: ReplicationQuota,
    /// What the leaders on this node want of the controller.
    pub(crate) isr_duties: Arc<IsrDuties>,
    /// The high watermarks on the disk.
    pub(crate) high_watermarks: HighWatermarks,
    /// The groups that this node coordinates.
    pub(crate) coordinators: Coordinators,
    /// The ids that idempotent producers are given.
    pub(crate) producer_ids: ProducerIds,
    /// What consumers asked for before.
    pub(crate) fetch_sessions: Mutex<FetchSessions>,
    /// What clients may produce, fetch and ask for.
    pub(crate) client_quotas: ClientQuotas,
    /// What clients are asked to measure, and what they have.
    pub(crate) telemetry: Telemetry,
    /// What is counted.
    pub(crate) metrics: Arc<Metrics>,
    /// What may grow, and how far.
    pub(crate) limits: Limits,
    /// Room for connections.
    pub(crate) seats: Seats,
    open_files: OpenFiles,
    /// The partitions that clients write to.
    pub(crate) busy_partitions: BusyPartitions,
    /// Lines of the log about connections that were closed for what came over them.
    pub(crate) refusal_lines: Mutex<LogBudget>,
    /// Lines of the log about requests that took long.
    pub(crate) slow_lines: Mutex<LogBudget>,
    /// How fast connections are accepted.
    pub(crate) pace: Mutex<Pace>,
    /// Room for connections that wait to be turned away.
    pub(crate) held_back: Arc<Semaphore>,
    /// Where this node serves HTTP, once it does.
    pub(crate) http_address: OnceLock<SocketAddr>,
    /// Room for connections of the HTTP listener.
    pub(crate) http_seats: Arc<Semaphore>,
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
    pub(crate) open_files: OpenFiles,
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
        let Parts { settings, quorum, log_dir, open_files, partitions, failure, metrics } = parts;
        let broker = &settings.broker;
        let count = |value: i32| usize::try_from(value).unwrap_or(0);
        let fetch_sessions_max = count(broker.max_incremental_fetch_session_cache_slots);
        let node_id = BrokerId(broker.node_id);
        let window = Duration::from_secs(count(broker.quota_window_size_seconds) as u64);
        let client_quotas = ClientQuotas::new(count(broker.quota_window_num), window);
        let image: Arc<ArcSwap<MetadataImage>> = Arc::default();
        let settings = Arc::new(CurrentSettings::new(settings));
        let coordinators =
            Coordinators::new(node_id, Arc::clone(&settings), Arc::clone(&image), Arc::clone(&failure));
        Self {
            fetch_sessions: Mutex::new(FetchSessions::new(fetch_sessions_max)),
            seats: Seats::default(),
            open_files,
            replica_fetchers: ReplicaFetchers::default(),
            leader_quota: ReplicationQuota::of_leaders(Arc::clone(&settings)),
            follower_quota: ReplicationQuota::of_followers(Arc::clone(&settings)),
            isr_duties: Arc::default(),
            high_watermarks: HighWatermarks::default(),
            quorum,
            log_dir,
            partitions,
            failure,
            producer_ids: ProducerIds::default(),
            client_quotas,
            telemetry: Telemetry::default(),
            busy_partitions: BusyPartitions::default(),
            metrics,
            limits: Limits::new(),
            refusal_lines: Mutex::default(),
            slow_lines: Mutex::default(),
            pace: Mutex::default(),
            held_back: Arc::new(Semaphore::new(server::HELD_BACK_MAX)),
            http_address: OnceLock::new(),
            http_seats: Arc::new(Semaphore::new(http::CONNECTIONS_MAX)),
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

    /// The time in which this node leads `partition`, or `None` where it does not, or where others may lead by now what it
    /// led.
    pub(crate) fn leadership(&self, partition: &Partition) -> Option<Leadership> {
        partition.leadership().filter(|_| !self.quorum.is_isolated())
    }

    /// Whether this node holds `partition` as a follower that consumers may read from.
    pub(crate) fn follows(&self, partition: &Partition) -> bool {
        partition.followed_leader().is_some() && !self.quorum.is_isolated()
    }

    pub(crate) fn node_id(&self) -> BrokerId {
        self.node_id
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

    /// Whether there is such a partition, be it on this node or on others.
    pub(crate) fn has_partition(&self, topic_id: TopicId, index: PartitionIndex) -> bool {
        self.image.load().topic_by_id(topic_id).is_some_and(|topic| topic.partition(index).is_some())
    }

    pub(crate) fn topic_id_of(&self, name: &str) -> Option<TopicId> {
        self.image.load().topic_by_name(name).map(|topic| topic.id)
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

    /// Whether clients are told of `api`.
    pub(crate) fn serves(&self, api: &Api) -> bool {
        let is_telemetry = [GET_TELEMETRY_SUBSCRIPTIONS_KEY, PUSH_TELEMETRY_KEY].contains(&api.key);
        !is_telemetry || self.settings.load().broker.client_metrics_enable
    }

    pub(crate) fn idle_max(&self) -> Duration {
        match u64::try_from(self.settings.load().broker.connections_max_idle_ms) {
            Ok(milliseconds) => Duration::from_millis(milliseconds),
            // Negative: never, which a timer writes as a year.
            Err(_) => Duration::from_secs(365 * 24 * 3600),
        }
    }

    /// How many connections there may be, in total and from this address; never more than the process may open.
    pub(crate) fn connections_max(&self, address: IpAddr) -> (usize, usize) {
        let settings = self.settings.load();
        let count = |value: i32| usize::try_from(value).unwrap_or(0);
        let in_total = count(settings.broker.max_connections).min(self.open_files.of_clients);
        let own = settings.broker.max_connections_per_ip_overrides.of_address(address);
        let per_address = own.map_or(count(settings.broker.max_connections_per_ip), |own| own as usize);
        (in_total, per_address)
    }

    /// How many partitions clients may write to at the same time. In a set each node copies what two others lead as well.
    pub(crate) fn busy_partitions_max(&self) -> usize {
        let settings = self.settings.load();
        let room = self.open_files.of_writers(settings.broker.max_connections);
        if settings.broker.replica_set.is_some() { room / 3 } else { room }
    }

    /// What an operator can do so that clients may write to more partitions at the same time.
    pub(crate) fn busy_partitions_advice(&self) -> &'static str {
        match self.open_files.writers_lack_files(self.settings.load().broker.max_connections) {
            true => "let the node open more (`ulimit -Hn`, systemd: LimitNOFILE), or lower max.connections",
            false => "spread the partitions over more nodes",
        }
    }

    /// How long a connection that comes now has to wait, so that no more come in a second than may.
    pub(crate) fn pace_connection(&self) -> Duration {
        let per_second = self.settings.load().broker.max_connection_creation_rate;
        self.pace.lock().take(clock::monotonic(), u32::try_from(per_second).unwrap_or(u32::MAX))
    }

    /// From when on a request is slow, if any is.
    pub(crate) fn slow_request(&self) -> Option<Duration> {
        let limit = u64::try_from(self.settings.load().broker.slow_request_ms).ok();
        limit.filter(|limit| *limit > 0).map(Duration::from_millis)
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

    fn update_replica_gauges(&self, image: &MetadataImage) {
        let (mut led, mut under_replicated, mut under_min_isr, mut leaderless) = (0, 0, 0, 0);
        for topic in image.topics() {
            for state in &topic.partitions {
                leaderless += u32::from(state.leader.is_none());
                if state.leader == Some(self.node_id) {
                    led += 1;
                    under_replicated += u32::from(state.isr.len() < state.replicas.len());
                    let partition = self.partitions.find(topic.id, state.index);
                    under_min_isr += u32::from(partition.is_some_and(|it| !it.has_enough_replicas()));
                }
            }
        }
        self.metrics.led_partitions.set(f64::from(led));
        self.metrics.under_replicated_partitions.set(f64::from(under_replicated));
        self.metrics.under_min_isr_partitions.set(f64::from(under_min_isr));
        self.metrics.leaderless_partitions.set(f64::from(leaderless));
    }

    /// Brings the gauges up to date, before somebody reads them.
    pub(crate) fn update_gauges(&self) {
        let image = self.image.load();
        self.metrics.topics.set(image.topic_count() as f64);
        self.metrics.partitions.set(image.partition_count() as f64);
        self.update_replica_gauges(&image);
        self.metrics.connections.set(self.seats.taken() as f64);
        self.metrics.quota_rates.set(self.client_quotas.measured() as f64);
        self.metrics.client_metrics_clients.set(self.telemetry.clients() as f64);
        self.metrics.fetch_sessions.set(self.fetch_sessions.lock().len() as f64);
        let http_connections = http::CONNECTIONS_MAX.saturating_sub(self.http_seats.available_permits());
        self.metrics.http_connections.set(http_connections as f64);
        let cold_reads = COLD_READS_AT_ONCE.saturating_sub(self.cold_reads.available_permits());
        self.metrics.cold_reads.set(cold_reads as f64);
        self.metrics.busy_partitions.set(self.busy_partitions.count() as f64);
        let usage = self.limits.usage();
        self.metrics.requests_in_flight.set(usage.requests_in_flight as f64);
        self.metrics.requests_waiting_for_memory.set(usage.requests_waiting_for_memory as f64);
        self.metrics.small_request_memory.set(usage.small_request_bytes as f64);
        self.metrics.request_memory.set(usage.request_bytes as f64);
        self.metrics.parked_requests.set(usage.parked_requests as f64);
        self.metrics.parked_memory.set(usage.parked_bytes as f64);
        self.metrics.awaited_memory.set(usage.awaited_bytes as f64);
        self.metrics.isolated.set(f64::from(u8::from(self.quorum.is_isolated())));
        self.metrics.log_directory_failed.set(f64::from(u8::from(self.has_failed())));
        self.metrics.disk_full.set(f64::from(u8::from(self.log_dir.is_below_free_space_floor())));
    }
}
