//! From settings as text to a [`BrokerConfig`].

mod groups;
mod replication;

use std::path::PathBuf;

use super::listener::{self, Addresses};
use super::{BrokerConfig, BrokerLayers, Durability};
use crate::error::ConfigError;
use crate::keys::{self, Key};
use crate::topic::TopicConfig;
use crate::value::{self, Typed, Value};

/// A configuration, and what a user should know about how it was read.
pub(crate) struct Resolved {
    pub(crate) broker: BrokerConfig,
    pub(crate) warnings: Vec<String>,
}

impl BrokerConfig {
    /// The configuration that these settings make; also after clients changed some of them.
    ///
    /// # Errors
    /// Every value that is not accepted, and values that contradict each other.
    pub fn resolve(layers: &BrokerLayers) -> Result<Self, Vec<ConfigError>> {
        let (resolved, errors) = resolve(layers);
        if errors.is_empty() { Ok(resolved.broker) } else { Err(errors) }
    }
}

/// Resolves as far as possible: a key whose value is not accepted has its default.
pub(crate) fn resolve(layers: &BrokerLayers) -> (Resolved, Vec<ConfigError>) {
    let mut reader = Reader { layers, errors: Vec::new() };
    let mut addresses = reader.addresses();
    let node_id = reader.node_id();
    let replica_set = reader.replica_set(node_id);
    let lonely = reader.peer_keys_without_a_set();
    let narrow = replication::warning(replica_set.as_ref(), &addresses.listeners);
    addresses.warnings.extend([lonely, narrow].into_iter().flatten());
    let replication = reader.replication(replica_set.is_some());
    let broker = BrokerConfig {
        node_id,
        broker_rack: reader.text("broker.rack"),
        listeners: addresses.listeners,
        advertised_listeners: addresses.advertised,
        log_dir: reader.log_dir(),
        num_partitions: reader.typed("num.partitions"),
        default_replication_factor: reader.typed("default.replication.factor"),
        auto_create_topics_enable: reader.typed("auto.create.topics.enable"),
        delete_topic_enable: reader.typed("delete.topic.enable"),
        topic_defaults: reader.topic_defaults(),
        groups: reader.groups(),
        offsets_topic: reader.offsets_topic(),
        fetch_max_bytes: reader.typed("fetch.max.bytes"),
        max_incremental_fetch_session_cache_slots: reader.typed("max.incremental.fetch.session.cache.slots"),
        max_request_partition_size_limit: reader.typed("max.request.partition.size.limit"),
        socket_request_max_bytes: reader.typed("socket.request.max.bytes"),
        socket_receive_buffer_bytes: reader.typed("socket.receive.buffer.bytes"),
        socket_send_buffer_bytes: reader.typed("socket.send.buffer.bytes"),
        socket_listen_backlog_size: reader.typed("socket.listen.backlog.size"),
        connections_max_idle_ms: reader.typed("connections.max.idle.ms"),
        max_connections: reader.typed("max.connections"),
        max_connections_per_ip: reader.typed("max.connections.per.ip"),
        max_connections_per_ip_overrides: reader.typed("max.connections.per.ip.overrides"),
        max_connection_creation_rate: reader.typed("max.connection.creation.rate"),
        quota_window_num: reader.typed("quota.window.num"),
        quota_window_size_seconds: reader.typed("quota.window.size.seconds"),
        controller_quota_window_num: reader.typed("controller.quota.window.num"),
        controller_quota_window_size_seconds: reader.typed("controller.quota.window.size.seconds"),
        producer_id_expiration_ms: reader.typed("producer.id.expiration.ms"),
        producer_id_expiration_check_interval_ms: reader.typed("producer.id.expiration.check.interval.ms"),
        num_recovery_threads_per_data_dir: reader.typed("num.recovery.threads.per.data.dir"),
        log_flush_offset_checkpoint_interval_ms: reader.typed("log.flush.offset.checkpoint.interval.ms"),
        log_retention_check_interval_ms: reader.typed("log.retention.check.interval.ms"),
        log_cleaner_enable: reader.typed("log.cleaner.enable"),
        log_cleaner_threads: reader.typed("log.cleaner.threads"),
        log_cleaner_backoff_ms: reader.typed("log.cleaner.backoff.ms"),
        log_cleaner_dedupe_buffer_size: reader.typed("log.cleaner.dedupe.buffer.size"),
        log_cleaner_io_buffer_load_factor: reader.typed("log.cleaner.io.buffer.load.factor"),
        log_cleaner_io_buffer_size: reader.typed("log.cleaner.io.buffer.size"),
        log_cleaner_io_max_bytes_per_second: reader.typed("log.cleaner.io.max.bytes.per.second"),
        durability: reader.typed("ottla.durability"),
        http_listener: reader.endpoint("ottla.http.listener"),
        replica_set,
        replication,
        flush_window_ms: reader.typed("ottla.flush.window.ms"),
        flush_window_bytes: reader.typed("ottla.flush.window.bytes"),
        free_space_floor_bytes: reader.typed("ottla.free.space.floor.bytes"),
        client_metrics_enable: reader.typed("ottla.client.metrics.enable"),
        telemetry_max_bytes: reader.typed("telemetry.max.bytes"),
        slow_request_ms: reader.typed("ottla.slow.request.ms"),
    };
    reader.check_roles();
    (Resolved { broker, warnings: addresses.warnings }, reader.errors)
}

struct Reader<'a> {
    layers: &'a BrokerLayers,
    errors: Vec<ConfigError>,
}

impl Reader<'_> {
    /// The value of a key that has a default.
    fn typed<T: Typed>(&mut self, name: &'static str) -> T {
        let value = self.value(key(name)).expect("a key that is read with a type has a default");
        T::of(&value)
    }

    fn text(&mut self, name: &'static str) -> Option<String> {
        self.value(key(name)).map(|value| value.to_string()).filter(|text| !text.is_empty())
    }

    /// The value of a key; its default when the one given is not accepted.
    fn value(&mut self, key: &Key) -> Option<Value> {
        let given = self.layers.value(key)?;
        key.read(given).map_err(|error| self.errors.push(error)).ok().or_else(|| key.read(key.default?).ok())
    }

    fn node_id(&mut self) -> i32 {
        let node_id: i32 = self.typed("node.id");
        let broker_id: i32 = self.typed("broker.id");
        match (broker_id, self.layers.explicitly("node.id")) {
            (-1, _) => node_id,
            (_, None) => broker_id,
            (_, Some(_)) => {
                if broker_id != node_id {
                    self.errors.push(ConfigError::TwoNodeIds);
                }
                node_id
            }
        }
    }

    fn log_dir(&mut self) -> PathBuf {
        let name = if self.layers.explicitly("log.dirs").is_some() { "log.dirs" } else { "log.dir" };
        let value = self.text(name).unwrap_or_default();
        let directories = value::split_list(&value);
        match directories.as_slice() {
            [directory] if !directory.is_empty() => PathBuf::from(directory),
            directories => {
                let count = directories.iter().filter(|directory| !directory.is_empty()).count();
                self.errors.push(match count {
                    0 => ConfigError::NoDirectory { name },
                    count => ConfigError::NotOneDirectory { value: value.clone(), count },
                });
                PathBuf::new()
            }
        }
    }

    fn addresses(&mut self) -> Addresses {
        let texts = listener::Texts {
            listeners: self.text("listeners"),
            advertised: self.text("advertised.listeners"),
            protocols: self.text("listener.security.protocol.map"),
            controllers: self.text("controller.listener.names"),
        };
        listener::read(&texts, &mut self.errors)
    }

    fn endpoint(&mut self, name: &'static str) -> Option<super::Endpoint> {
        let text = self.text(name)?;
        match listener::endpoint(&text) {
            Ok(endpoint) => Some(endpoint),
            Err(problem) => {
                self.errors.push(ConfigError::InvalidAddress { name, value: text, problem });
                None
            }
        }
    }

    fn topic_defaults(&mut self) -> TopicConfig {
        // The broker's keys are read for their errors; then each topic key takes the one that counts.
        for name in keys::of_topic().flat_map(|key| key.synonyms).map(|synonym| synonym.name) {
            self.value(key(name));
        }
        let mut config = TopicConfig::default();
        for topic_key in keys::of_topic() {
            if let Ok(value) = topic_key.read(&self.layers.topic_default(topic_key)) {
                config.set(topic_key.name, &value);
            }
        }
        if config.retention_ms == 0 {
            self.errors.push(ConfigError::RetentionOfNothing);
        }
        self.errors.extend(config.check().err());
        config
    }

    /// Refuses the file of a node that is no broker, and that of one node among several: it would come up alone, as a
    /// cluster of its own, beside the others.
    fn check_roles(&mut self) {
        if let Some(roles) = self.text("process.roles")
            && !value::split_list(&roles).contains(&"broker")
        {
            self.errors.push(ConfigError::NoBrokerRole { value: roles });
        }
        for name in ["controller.quorum.voters", "controller.quorum.bootstrap.servers"] {
            let count = self.text(name).map_or(0, |nodes| value::split_list(&nodes).len());
            if count > 1 && self.text("ottla.replica.set").is_none() {
                self.errors.push(ConfigError::SeveralNodes { name, count });
            }
        }
    }
}

fn key(name: &'static str) -> &'static Key {
    keys::broker_key(name).expect("the table has every key that the struct is filled from")
}

impl Typed for Durability {
    fn of(value: &Value) -> Self {
        match value.to_string().as_str() {
            "flushed" => Self::Flushed,
            "replicated" => Self::Replicated,
            other => unreachable!("the key's rule does not let {other} through"),
        }
    }

    fn value(&self) -> Value {
        let text = match self {
            Self::Flushed => "flushed",
            Self::Replicated => "replicated",
        };
        Value::Text(text.to_owned())
    }
}
