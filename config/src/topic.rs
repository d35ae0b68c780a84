//! The settings of a topic, typed.
//!
//! A [`TopicConfig`] is complete: every key has a value, from the topic itself or from the broker's defaults. It says
//! nothing about where a value came from; `describe` does.

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use crate::broker::BrokerConfig;
use crate::error::ConfigError;
use crate::keys;
use crate::throttled_replicas::ThrottledReplicas;
use crate::value::{Typed, Value};

/// Every setting of one topic. A field is named as its key, with `_` for `.`; sizes are bytes, times milliseconds.
///
/// [`Default`] gives Apache Kafka's defaults. The struct itself enforces no ranges, so that tests may use segments far
/// smaller than a user may ask for. Source: KIP-226, LogConfig.java.
#[derive(Clone, Debug, PartialEq)]
pub struct TopicConfig {
    /// What becomes of old records.
    pub cleanup_policy: CleanupPolicy,
    /// The level for gzip when `compression.type` asks for it: 1 to 9, or -1 for zlib's own default.
    pub compression_gzip_level: i32,
    /// The level for LZ4 when `compression.type` asks for it: 1 to 17.
    pub compression_lz4_level: i32,
    /// How the records are stored.
    pub compression_type: CompressionType,
    /// The level for Zstandard when `compression.type` asks for it: -131072 to 22.
    pub compression_zstd_level: i32,
    /// How long a tombstone of a compacted topic stays visible.
    pub delete_retention_ms: i64,
    /// How long a deleted segment file stays on the disk.
    pub file_delete_delay_ms: i64,
    /// So many records that are not flushed hold up acknowledgements until they are; matters only where the page cache
    /// counts as durable.
    pub flush_messages: i64,
    /// The flush of a record begins at the latest this long after it was appended; matters as `flush_messages` does.
    pub flush_ms: i64,
    /// The replicas that are copied to at no more than the node's rate.
    pub follower_replication_throttled_replicas: ThrottledReplicas,
    /// Bytes of log between two entries of the offset index.
    pub index_interval_bytes: i32,
    /// The replicas that, while they lead, are copied from at no more than the node's rate.
    pub leader_replication_throttled_replicas: ThrottledReplicas,
    /// The longest time a record of a compacted topic stays uncompacted.
    pub max_compaction_lag_ms: i64,
    /// The largest record batch that is accepted, as it arrives.
    pub max_message_bytes: i32,
    /// How far in the future a record's timestamp may be.
    pub message_timestamp_after_max_ms: i64,
    /// How far in the past a record's timestamp may be.
    pub message_timestamp_before_max_ms: i64,
    /// Whose clock the records' timestamps are.
    pub message_timestamp_type: TimestampType,
    /// The share of a compacted log that must be uncompacted before it is compacted, 0 to 1.
    pub min_cleanable_dirty_ratio: f64,
    /// The shortest time a record of a compacted topic stays uncompacted.
    pub min_compaction_lag_ms: i64,
    /// The in-sync replicas that an `acks=all` append needs.
    pub min_insync_replicas: i32,
    /// Whether a segment file gets its full size at creation.
    pub preallocate: bool,
    /// The size of a partition beyond which its oldest segments go; -1 is no limit.
    pub retention_bytes: i64,
    /// The age beyond which records go; -1 is no limit.
    pub retention_ms: i64,
    /// The size at which a new segment begins. A user may ask for 1 MiB or more.
    pub segment_bytes: i32,
    /// The largest size of an offset index.
    pub segment_index_bytes: i32,
    /// The most by which `segment_ms` is shortened at random, so that segments do not all roll at once.
    pub segment_jitter_ms: i64,
    /// The age of a segment's first record at which a new segment begins.
    pub segment_ms: i64,
    /// Whether a replica that is not in sync may become leader.
    pub unclean_leader_election_enable: bool,
}

/// What becomes of old records: either, both or, as Kafka 4 allows, neither.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CleanupPolicy {
    /// Keep the latest record of every key.
    pub compact: bool,
    /// Delete old segments by age and size.
    pub delete: bool,
}

/// How the records of a topic are stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CompressionType {
    /// As the producer sent them.
    Producer,
    /// Not compressed.
    Uncompressed,
    /// Compressed with gzip.
    Gzip,
    /// Compressed with Snappy.
    Snappy,
    /// Compressed with LZ4.
    Lz4,
    /// Compressed with Zstandard.
    Zstd,
}

/// Whose clock a record's timestamp is. Source: KIP-32.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TimestampType {
    /// The producer's, at the time it made the record.
    CreateTime,
    /// The broker's, at the time it appended the record.
    LogAppendTime,
}

impl Default for TopicConfig {
    fn default() -> Self {
        Self {
            cleanup_policy: CleanupPolicy { compact: false, delete: true },
            compression_gzip_level: -1,
            compression_lz4_level: 9,
            compression_type: CompressionType::Producer,
            compression_zstd_level: 3,
            delete_retention_ms: 86_400_000,
            file_delete_delay_ms: 60_000,
            flush_messages: i64::MAX,
            flush_ms: i64::MAX,
            follower_replication_throttled_replicas: ThrottledReplicas::default(),
            index_interval_bytes: 4096,
            leader_replication_throttled_replicas: ThrottledReplicas::default(),
            max_compaction_lag_ms: i64::MAX,
            max_message_bytes: 1_048_588,
            message_timestamp_after_max_ms: 3_600_000,
            message_timestamp_before_max_ms: i64::MAX,
            message_timestamp_type: TimestampType::CreateTime,
            min_cleanable_dirty_ratio: 0.5,
            min_compaction_lag_ms: 0,
            min_insync_replicas: 1,
            preallocate: false,
            retention_bytes: -1,
            retention_ms: 604_800_000,
            segment_bytes: 1_073_741_824,
            segment_index_bytes: 10_485_760,
            segment_jitter_ms: 0,
            segment_ms: 604_800_000,
            unclean_leader_election_enable: false,
        }
    }
}

/// One line for each field: from it a field is set and read by its key.
macro_rules! fields {
    ($($name:literal => $field:ident,)*) => {
        impl TopicConfig {
            /// Every setting with its key, by name.
            #[must_use]
            pub fn values(&self) -> Vec<(&'static str, Value)> {
                vec![$(($name, self.$field.value())),*]
            }

            /// Sets the field of that key. Keys of what this broker does not do have none; all their values mean the
            /// same.
            pub(crate) fn set(&mut self, name: &str, value: &Value) {
                match name {
                    $($name => self.$field = Typed::of(value),)*
                    _ => {}
                }
            }
        }
    };
}

fields! {
    "cleanup.policy" => cleanup_policy,
    "compression.gzip.level" => compression_gzip_level,
    "compression.lz4.level" => compression_lz4_level,
    "compression.type" => compression_type,
    "compression.zstd.level" => compression_zstd_level,
    "delete.retention.ms" => delete_retention_ms,
    "file.delete.delay.ms" => file_delete_delay_ms,
    "flush.messages" => flush_messages,
    "flush.ms" => flush_ms,
    "follower.replication.throttled.replicas" => follower_replication_throttled_replicas,
    "index.interval.bytes" => index_interval_bytes,
    "leader.replication.throttled.replicas" => leader_replication_throttled_replicas,
    "max.compaction.lag.ms" => max_compaction_lag_ms,
    "max.message.bytes" => max_message_bytes,
    "message.timestamp.after.max.ms" => message_timestamp_after_max_ms,
    "message.timestamp.before.max.ms" => message_timestamp_before_max_ms,
    "message.timestamp.type" => message_timestamp_type,
    "min.cleanable.dirty.ratio" => min_cleanable_dirty_ratio,
    "min.compaction.lag.ms" => min_compaction_lag_ms,
    "min.insync.replicas" => min_insync_replicas,
    "preallocate" => preallocate,
    "retention.bytes" => retention_bytes,
    "retention.ms" => retention_ms,
    "segment.bytes" => segment_bytes,
    "segment.index.bytes" => segment_index_bytes,
    "segment.jitter.ms" => segment_jitter_ms,
    "segment.ms" => segment_ms,
    "unclean.leader.election.enable" => unclean_leader_election_enable,
}

impl TopicConfig {
    /// The settings of a topic that overrides some of the broker's defaults.
    ///
    /// # Errors
    /// Every override that names no key or is not accepted, and overrides that contradict each other or the defaults.
    pub fn resolve(
        broker: &BrokerConfig,
        overrides: &BTreeMap<String, String>,
    ) -> Result<Self, Vec<ConfigError>> {
        let mut config = broker.topic_defaults.clone();
        let mut errors = Vec::new();
        for (name, text) in overrides {
            match read_override(name, text) {
                Ok(value) => config.set(name, &value),
                Err(error) => errors.push(error),
            }
        }
        errors.extend(config.check().err());
        if errors.is_empty() { Ok(config) } else { Err(errors) }
    }

    /// Checks what no single key can: that the settings fit each other. Source: LogConfig.validateValues.
    pub(crate) fn check(&self) -> Result<(), ConfigError> {
        if self.min_compaction_lag_ms > self.max_compaction_lag_ms {
            return Err(ConfigError::CompactionLags {
                min_ms: self.min_compaction_lag_ms,
                max_ms: self.max_compaction_lag_ms,
            });
        }
        Ok(())
    }
}

/// Checks one override by itself.
///
/// # Errors
/// When there is no such key, or the value is not accepted.
pub fn validate_override(name: &str, value: &str) -> Result<(), ConfigError> {
    read_override(name, value).map(|_| ())
}

fn read_override(name: &str, text: &str) -> Result<Value, ConfigError> {
    keys::topic_key(name).ok_or_else(|| ConfigError::UnknownTopicKey { name: name.to_owned() })?.read(text)
}

impl Typed for CleanupPolicy {
    fn of(value: &Value) -> Self {
        let text = value.to_string();
        let has = |policy| text.split(',').any(|entry| entry == policy);
        Self { compact: has("compact"), delete: has("delete") }
    }

    fn value(&self) -> Value {
        let policies = [("compact", self.compact), ("delete", self.delete)];
        Value::List(policies.iter().filter(|(_, on)| *on).map(|(name, _)| (*name).to_owned()).collect())
    }
}

impl Typed for CompressionType {
    fn of(value: &Value) -> Self {
        match value.to_string().as_str() {
            "producer" => Self::Producer,
            "uncompressed" => Self::Uncompressed,
            "gzip" => Self::Gzip,
            "snappy" => Self::Snappy,
            "lz4" => Self::Lz4,
            "zstd" => Self::Zstd,
            other => unreachable!("the key's rule does not let {other} through"),
        }
    }

    fn value(&self) -> Value {
        let text = match self {
            Self::Producer => "producer",
            Self::Uncompressed => "uncompressed",
            Self::Gzip => "gzip",
            Self::Snappy => "snappy",
            Self::Lz4 => "lz4",
            Self::Zstd => "zstd",
        };
        Value::Text(text.to_owned())
    }
}

impl Typed for TimestampType {
    fn of(value: &Value) -> Self {
        match value.to_string().as_str() {
            "CreateTime" => Self::CreateTime,
            "LogAppendTime" => Self::LogAppendTime,
            other => unreachable!("the key's rule does not let {other} through"),
        }
    }

    fn value(&self) -> Value {
        let text = match self {
            Self::CreateTime => "CreateTime",
            Self::LogAppendTime => "LogAppendTime",
        };
        Value::Text(text.to_owned())
    }
}
