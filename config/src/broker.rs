//! The settings of a broker, typed.
//!
//! A [`BrokerConfig`] holds every key that this broker honours, after the file, the environment, the command line and
//! the settings changed at run time have been merged. Keys that are accepted without effect are not in it.

mod layers;
mod listener;
mod replica_set;
mod replication;
mod resolve;

use std::path::PathBuf;

use crate::address_limits::AddressLimits;
use crate::group::{GroupCoordinatorConfig, OffsetsTopicConfig};
use crate::topic::TopicConfig;
pub use layers::BrokerLayers;
pub use listener::{AddressProblem, Endpoint, Listener};
pub use replica_set::{PeerSecurity, PeerTlsFiles, ReplicaSet, ReplicaSetProblem};
pub use replication::{ReplicaSelector, ReplicationConfig};
pub(crate) use resolve::resolve;

/// Every setting of one broker. A field is named as its key, with `_` for `.` and without the `ottla.` of our own keys;
/// sizes are bytes, times milliseconds.
///
/// [`Default`] is the configuration of a node that was given none.
#[derive(Clone, Debug, PartialEq)]
pub struct BrokerConfig {
    /// This node's number in its cluster, 0 or more.
    pub node_id: i32,
    /// The rack or zone that clients are told; none when unset.
    pub broker_rack: Option<String>,
    /// What the Kafka protocol is served on; at least one.
    pub listeners: Vec<Listener>,
    /// What clients are told, by listener name. A listener that is not here tells each client the local address of its
    /// own connection.
    pub advertised_listeners: Vec<Listener>,
    /// The one directory that holds everything this node stores. The first of `log.dirs`, or `log.dir`.
    pub log_dir: PathBuf,
    /// The partitions of a topic whose creator does not say.
    pub num_partitions: i32,
    /// The replicas of a topic whose creator does not say.
    pub default_replication_factor: i16,
    /// Whether a topic is made when a client first asks for it.
    pub auto_create_topics_enable: bool,
    /// Whether clients may delete topics.
    pub delete_topic_enable: bool,
    /// The settings of a topic that overrides none.
    pub topic_defaults: TopicConfig,
    /// What holds for groups.
    pub groups: GroupCoordinatorConfig,
    /// How the topic that keeps groups is made, written and read.
    pub offsets_topic: OffsetsTopicConfig,
    /// The most that one Fetch answer carries, unless its first batch alone is larger.
    pub fetch_max_bytes: i32,
    /// The most fetch sessions that are kept.
    pub max_incremental_fetch_session_cache_slots: i32,
    /// The most partitions that one DescribeTopicPartitions answer lists.
    pub max_request_partition_size_limit: i32,
    /// The largest request frame that is read.
    pub socket_request_max_bytes: i32,
    /// SO_RCVBUF of a client's connection; -1 leaves it to the operating system.
    pub socket_receive_buffer_bytes: i32,
    /// SO_SNDBUF of a client's connection; -1 leaves it to the operating system.
    pub socket_send_buffer_bytes: i32,
    /// The connections that may wait to be accepted.
    pub socket_listen_backlog_size: i32,
    /// A connection without a request for this long is closed; a negative value keeps it for ever.
    pub connections_max_idle_ms: i64,
    /// The most connections at once.
    pub max_connections: i32,
    /// The most connections at once from one address.
    pub max_connections_per_ip: i32,
    /// The same of addresses that have a limit of their own.
    pub max_connections_per_ip_overrides: AddressLimits,
    /// The most connections that are accepted in a second.
    pub max_connection_creation_rate: i32,
    /// Over how many windows the rates of clients are measured.
    pub quota_window_num: i32,
    /// The length of such a window.
    pub quota_window_size_seconds: i32,
    /// How many windows' worth of `controller_mutation_rate` a client may use up at once.
    pub controller_quota_window_num: i32,
    /// The length of such a window.
    pub controller_quota_window_size_seconds: i32,
    /// How long a partition remembers an idempotent producer that stopped writing to it.
    pub producer_id_expiration_ms: i32,
    /// How often expired producers are looked for.
    pub producer_id_expiration_check_interval_ms: i32,
    /// The threads that open logs at start.
    pub num_recovery_threads_per_data_dir: i32,
    /// How often recovery points are written, which bound what a start after a crash must read.
    pub log_flush_offset_checkpoint_interval_ms: i32,
    /// How often segments are checked against their topic's retention.
    pub log_retention_check_interval_ms: i64,
    /// Whether topics with `cleanup.policy=compact` are compacted on this node.
    pub log_cleaner_enable: bool,
    /// How many partitions are compacted at the same time.
    pub log_cleaner_threads: i32,
    /// How long the cleaner waits before it looks again, where no log was worth cleaning.
    pub log_cleaner_backoff_ms: i64,
    /// The most memory for the keys of the logs that are compacted at the same time.
    pub log_cleaner_dedupe_buffer_size: i64,
    /// The share of that memory that is filled with keys.
    pub log_cleaner_io_buffer_load_factor: f64,
    /// The size of the buffers through which logs are read for compaction.
    pub log_cleaner_io_buffer_size: i32,
    /// The most bytes that compaction reads and writes in a second.
    pub log_cleaner_io_max_bytes_per_second: f64,
    /// When a record counts as stored.
    pub durability: Durability,
    /// Where `/health` and `/metrics` are served; none when off.
    pub http_listener: Option<Endpoint>,
    /// The replica set that this node belongs to; none when it runs alone.
    pub replica_set: Option<ReplicaSet>,
    /// What holds between the nodes of a replica set.
    pub replication: ReplicationConfig,
    /// The shortest time from the start of one round of flushing to the start of the next, while records keep arriving.
    pub flush_window_ms: i64,
    /// So many unflushed bytes start a round of flushing before the window ends.
    pub flush_window_bytes: i64,
    /// With less free space than this, appends are refused until there is more.
    pub free_space_floor_bytes: i64,
    /// Whether clients may push their metrics.
    pub client_metrics_enable: bool,
    /// The most bytes of metrics that a client pushes at once.
    pub telemetry_max_bytes: i32,
    /// A request that takes longer is counted as slow; 0 counts none.
    pub slow_request_ms: i64,
}

/// When a record counts as stored at a replica.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Durability {
    /// Once it is flushed to the disk. A power cut loses nothing that was acknowledged.
    Flushed,
    /// Once it is in the replica's page cache, as Apache Kafka does. A power cut of all replicas loses what they had not
    /// flushed.
    Replicated,
}

impl Default for BrokerConfig {
    fn default() -> Self {
        Self {
            node_id: 1,
            broker_rack: None,
            listeners: vec![Listener::new("PLAINTEXT", "localhost", 9092)],
            advertised_listeners: Vec::new(),
            log_dir: PathBuf::from("./ottla-data"),
            num_partitions: 1,
            default_replication_factor: 1,
            auto_create_topics_enable: true,
            delete_topic_enable: true,
            topic_defaults: TopicConfig::default(),
            groups: GroupCoordinatorConfig::default(),
            offsets_topic: OffsetsTopicConfig::default(),
            fetch_max_bytes: 57_671_680,
            max_incremental_fetch_session_cache_slots: 1000,
            max_request_partition_size_limit: 2000,
            socket_request_max_bytes: 104_857_600,
            socket_receive_buffer_bytes: -1,
            socket_send_buffer_bytes: -1,
            socket_listen_backlog_size: 50,
            connections_max_idle_ms: 600_000,
            max_connections: 10_000,
            max_connections_per_ip: i32::MAX,
            max_connections_per_ip_overrides: AddressLimits::default(),
            max_connection_creation_rate: i32::MAX,
            quota_window_num: 11,
            quota_window_size_seconds: 1,
            controller_quota_window_num: 11,
            controller_quota_window_size_seconds: 1,
            producer_id_expiration_ms: 86_400_000,
            producer_id_expiration_check_interval_ms: 600_000,
            num_recovery_threads_per_data_dir: 2,
            log_flush_offset_checkpoint_interval_ms: 5000,
            log_retention_check_interval_ms: 300_000,
            log_cleaner_enable: true,
            log_cleaner_threads: 1,
            log_cleaner_backoff_ms: 15_000,
            log_cleaner_dedupe_buffer_size: 134_217_728,
            log_cleaner_io_buffer_load_factor: 0.9,
            log_cleaner_io_buffer_size: 524_288,
            log_cleaner_io_max_bytes_per_second: f64::MAX,
            durability: Durability::Flushed,
            http_listener: Some(Endpoint { host: "127.0.0.1".to_owned(), port: 9080 }),
            replica_set: None,
            replication: ReplicationConfig::default(),
            flush_window_ms: 2,
            flush_window_bytes: 262_144,
            free_space_floor_bytes: 268_435_456,
            client_metrics_enable: false,
            telemetry_max_bytes: 1_048_576,
            slow_request_ms: 1000,
        }
    }
}
