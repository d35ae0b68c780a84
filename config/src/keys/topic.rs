//! The settings of topics.
//!
//! [`of_topic`](super::of_topic) is also what DescribeConfigs answers for a topic, so every key of Kafka's is here,
//! those of features that this broker does not have among them. Source: LogConfig.java, TopicConfig.java.

use super::{Key, Support, Synonym};
use crate::value::Rule::{AtLeast, Between, BetweenOr, ListOf, OneOf, Replicas};
use crate::value::ValueType::{Boolean, Double, Int, List, Long, String};

pub(super) const COMPRESSION_TYPES: &[&str] = &["uncompressed", "zstd", "lz4", "snappy", "gzip", "producer"];
pub(super) const POLICIES: &[&str] = &["compact", "delete"];
pub(super) const TIMESTAMP_TYPES: &[&str] = &["CreateTime", "LogAppendTime"];
pub(super) const PREALLOCATE: Support =
    Support::Inert { why: "segment files always grow ahead of the writer, in steps of up to 16 MiB" };
pub(super) const UNCLEAN: Support =
    Support::Refused { why: "a replica that misses acknowledged records never becomes leader" };
const REMOTE: Support =
    Support::Refused { why: "there is no tiered storage; records stay in the data directory" };
const DEAD_LETTERS: Support = Support::Refused { why: "share groups are not served yet" };

const MAX: &str = "9223372036854775807";
const MINUTES: i64 = 60_000;
const HOURS: i64 = 3_600_000;

const fn of(name: &'static str) -> Synonym {
    Synonym { name, factor: 1 }
}

const fn times(name: &'static str, factor: i64) -> Synonym {
    Synonym { name, factor }
}

pub(super) static KEYS: &[Key] = &[
    Key::topic(
        "cleanup.policy",
        List,
        "delete",
        "What becomes of old records: delete them by age and size, compact them to the latest of every key, both or \
         neither.",
    )
    .rule(ListOf(POLICIES))
    .synonyms(&[of("log.cleanup.policy")]),
    Key::topic(
        "retention.ms",
        Long,
        "604800000",
        "The age beyond which segments are deleted; -1 keeps them for ever.",
    )
    .rule(AtLeast(-1))
    .synonyms(&[
        of("log.retention.ms"),
        times("log.retention.minutes", MINUTES),
        times("log.retention.hours", HOURS),
    ]),
    Key::topic(
        "retention.bytes",
        Long,
        "-1",
        "The size of a partition beyond which its oldest segments are deleted; -1 is no limit.",
    )
    .synonyms(&[of("log.retention.bytes")]),
    Key::topic("segment.bytes", Int, "1073741824", "The size of a segment at which the next begins.")
        .rule(AtLeast(1_048_576))
        .synonyms(&[of("log.segment.bytes")]),
    Key::topic("segment.ms", Long, "604800000", "The age of a segment at which the next begins.")
        .rule(AtLeast(1))
        .synonyms(&[of("log.roll.ms"), times("log.roll.hours", HOURS)]),
    Key::topic(
        "segment.jitter.ms",
        Long,
        "0",
        "The most by which segment.ms is shortened at random, so that not all segments end at once.",
    )
    .rule(AtLeast(0))
    .synonyms(&[of("log.roll.jitter.ms"), times("log.roll.jitter.hours", HOURS)]),
    Key::topic("segment.index.bytes", Int, "10485760", "The largest size of a segment's offset index.")
        .rule(AtLeast(4))
        .synonyms(&[of("log.index.size.max.bytes")]),
    Key::topic("index.interval.bytes", Int, "4096", "The bytes of log between two entries of the offset index.")
        .rule(AtLeast(0))
        .synonyms(&[of("log.index.interval.bytes")]),
    Key::topic(
        "flush.messages",
        Long,
        MAX,
        "With ottla.durability=replicated, so many records that are not on the disk hold up acknowledgements until they \
         are: 1 flushes before each. With flushed, every record is on the disk before it is acknowledged anyway.",
    )
    .rule(AtLeast(1))
    .synonyms(&[of("log.flush.interval.messages")]),
    Key::topic(
        "flush.ms",
        Long,
        MAX,
        "With ottla.durability=replicated, the flush of a record begins at the latest this long after it was appended, \
         where that is sooner than ottla.flush.window.ms.",
    )
    .rule(AtLeast(0))
    .synonyms(&[of("log.flush.interval.ms"), of("log.flush.scheduler.interval.ms")]),
    Key::topic("file.delete.delay.ms", Long, "60000", "How long the files of a deleted segment stay on the disk.")
        .rule(AtLeast(0))
        .synonyms(&[of("log.segment.delete.delay.ms")]),
    Key::topic("preallocate", Boolean, "false", "Whether a segment's file gets its full size when it begins.")
        .support(PREALLOCATE)
        .synonyms(&[of("log.preallocate")]),
    Key::topic("max.message.bytes", Int, "1048588", "The largest record batch that is accepted, as it arrives.")
        .rule(AtLeast(0))
        .synonyms(&[of("message.max.bytes")]),
    Key::topic(
        "message.timestamp.type",
        String,
        "CreateTime",
        "Whether a record's time is when its producer made it or when the broker appended it.",
    )
    .rule(OneOf(TIMESTAMP_TYPES))
    .synonyms(&[of("log.message.timestamp.type")]),
    Key::topic(
        "message.timestamp.before.max.ms",
        Long,
        MAX,
        "How far in the past a record's own time may be.",
    )
    .rule(AtLeast(0))
    .synonyms(&[of("log.message.timestamp.before.max.ms")]),
    Key::topic(
        "message.timestamp.after.max.ms",
        Long,
        "3600000",
        "How far in the future a record's own time may be.",
    )
    .rule(AtLeast(0))
    .synonyms(&[of("log.message.timestamp.after.max.ms")]),
    Key::topic(
        "min.insync.replicas",
        Int,
        "1",
        "The in-sync replicas without which records of producers with acks=all are refused.",
    )
    .rule(AtLeast(1))
    .synonyms(&[of("min.insync.replicas")]),
    Key::topic(
        "compression.type",
        String,
        "producer",
        "How records are stored: as their producer sent them, or compressed by the broker.",
    )
    .rule(OneOf(COMPRESSION_TYPES))
    .synonyms(&[of("compression.type")]),
    Key::topic("compression.gzip.level", Int, "-1", "The level when compression.type is gzip.")
        .rule(BetweenOr(1, 9, -1))
        .synonyms(&[of("compression.gzip.level")]),
    Key::topic(
        "compression.lz4.level",
        Int,
        "9",
        "The level when compression.type is lz4; 9 is the quick one, as with Apache Kafka, and so are those below 3.",
    )
        .rule(Between(1, 17))
        .synonyms(&[of("compression.lz4.level")]),
    Key::topic("compression.zstd.level", Int, "3", "The level when compression.type is zstd.")
        .rule(Between(-131_072, 22))
        .synonyms(&[of("compression.zstd.level")]),
    Key::topic(
        "delete.retention.ms",
        Long,
        "86400000",
        "How long a compacted topic shows that a key was deleted, from the compaction that first met it on.",
    )
    .rule(AtLeast(0))
    .synonyms(&[of("log.cleaner.delete.retention.ms")]),
    Key::topic(
        "min.compaction.lag.ms",
        Long,
        "0",
        "The shortest time that a compacted topic keeps every record.",
    )
    .rule(AtLeast(0))
    .synonyms(&[of("log.cleaner.min.compaction.lag.ms")]),
    Key::topic(
        "max.compaction.lag.ms",
        Long,
        MAX,
        "The longest time that a record of a compacted topic waits for compaction. It also ends a segment, as segment.ms \
         does.",
    )
    .rule(AtLeast(1))
    .synonyms(&[of("log.cleaner.max.compaction.lag.ms")]),
    Key::topic(
        "min.cleanable.dirty.ratio",
        Double,
        "0.5",
        "The share of a compacted topic's log that must be uncompacted before compaction begins.",
    )
    .rule(Between(0, 1))
    .synonyms(&[of("log.cleaner.min.cleanable.ratio")]),
    Key::topic(
        "unclean.leader.election.enable",
        Boolean,
        "false",
        "Whether a replica that is not in sync may become leader, which loses records.",
    )
    .support(UNCLEAN)
    .synonyms(&[of("unclean.leader.election.enable")]),
    Key::topic(
        "leader.replication.throttled.replicas",
        List,
        "",
        "The replicas that, while they lead, send to replicas out of sync no faster than leader.replication.throttled.rate.",
    )
    .rule(Replicas),
    Key::topic(
        "follower.replication.throttled.replicas",
        List,
        "",
        "The replicas that catch up no faster than follower.replication.throttled.rate.",
    )
    .rule(Replicas),
    Key::topic("remote.storage.enable", Boolean, "false", "Whether segments move to remote storage.").support(REMOTE),
    Key::topic("local.retention.ms", Long, "-2", "retention.ms of the local copy under tiered storage.")
        .rule(AtLeast(-2))
        .support(REMOTE)
        .synonyms(&[of("log.local.retention.ms")]),
    Key::topic("local.retention.bytes", Long, "-2", "retention.bytes of the local copy under tiered storage.")
        .rule(AtLeast(-2))
        .support(REMOTE)
        .synonyms(&[of("log.local.retention.bytes")]),
    Key::topic("remote.log.copy.disable", Boolean, "false", "Whether copying to remote storage is paused.")
        .support(REMOTE),
    Key::topic(
        "remote.log.delete.on.disable",
        Boolean,
        "false",
        "Whether remote segments are deleted when remote storage is switched off.",
    )
    .support(REMOTE),
    Key::topic("remote.copy.lag.ms", Long, "0", "The age at which a segment moves to remote storage.").support(REMOTE),
    Key::topic("remote.copy.lag.bytes", Long, "-1", "The size at which a segment moves to remote storage.")
        .support(REMOTE),
    Key::topic(
        "errors.deadletterqueue.group.enable",
        Boolean,
        "false",
        "Whether share groups may use the topic for records they give up on.",
    )
    .support(DEAD_LETTERS),
];
