//! The settings of a topic, typed.
//!
//! A [`TopicConfig`] is complete: every key has a value, from the topic itself or from the broker's defaults. It says
//! nothing about where a value came from; `describe` does.

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
    /// Flush once this many records wait; matters only when records are acknowledged before they are flushed.
    pub flush_messages: i64,
    /// Flush a record at the latest this long after it was appended; matters as `flush_messages` does.
    pub flush_ms: i64,
    /// Bytes of log between two entries of the offset index.
    pub index_interval_bytes: i32,
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
            index_interval_bytes: 4096,
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
