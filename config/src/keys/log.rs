//! Storage: the data directory, its housekeeping, and the broker's defaults for the settings of topics.

use super::Key;
use super::topic::{COMPRESSION_TYPES, POLICIES, TIMESTAMP_TYPES, UNCLEAN};
use crate::value::Rule::{AtLeast, Between, BetweenOr, ListOf, OneOf, Threads};
use crate::value::ValueType::{Boolean, Double, Int, List, Long, String};

const ONE_CHECKPOINT: &str =
    "all checkpoints are written together, each log.flush.offset.checkpoint.interval.ms";

const MAX: Option<&str> = Some("9223372036854775807");

pub(super) static KEYS: &[Key] = &[
    Key::broker(
        "log.dirs",
        List,
        None,
        "The directory that holds everything this node stores; exactly one, for now. Unset is log.dir.",
    ),
    Key::broker("log.dir", List, Some("./ottla-data"), "The directory when log.dirs is unset.").differs(
        Some("/tmp/kafka-logs"),
        "what is stored under /tmp does not outlive a restart of the machine",
    ),
    Key::broker(
        "log.retention.check.interval.ms",
        Long,
        Some("300000"),
        "How often old segments are looked for.",
    )
    .rule(AtLeast(1)),
    Key::broker(
        "log.flush.offset.checkpoint.interval.ms",
        Int,
        Some("5000"),
        "How often recovery points are written where something changed.",
    )
    .rule(AtLeast(0))
    .differs(Some("60000"), "a start after a crash must read what was written since"),
    Key::inert("log.flush.start.offset.checkpoint.interval.ms", Int, Some("60000"), ONE_CHECKPOINT),
    Key::inert("replica.high.watermark.checkpoint.interval.ms", Long, Some("5000"), ONE_CHECKPOINT),
    Key::dynamic(
        "num.recovery.threads.per.data.dir",
        Int,
        Some("2"),
        "The threads that open logs at start.",
    )
    .rule(Threads),
    Key::dynamic(
        "producer.id.expiration.ms",
        Int,
        Some("86400000"),
        "How long a partition remembers an idempotent producer that stopped writing to it.",
    )
    .rule(AtLeast(1)),
    Key::broker(
        "producer.id.expiration.check.interval.ms",
        Int,
        Some("600000"),
        "How often such producers are looked for.",
    )
    .rule(AtLeast(1)),
    Key::broker(
        "log.cleaner.enable",
        Boolean,
        Some("true"),
        "Whether topics with cleanup.policy=compact are compacted on this node.",
    ),
    Key::dynamic(
        "log.cleaner.threads",
        Int,
        Some("1"),
        "How many partitions are compacted at the same time; they share the buffers and the bytes per second.",
    )
    .rule(AtLeast(0)),
    Key::dynamic(
        "log.cleaner.backoff.ms",
        Long,
        Some("15000"),
        "How long the cleaner waits before it looks again, where no log was worth cleaning.",
    )
    .rule(AtLeast(0)),
    Key::dynamic(
        "log.cleaner.dedupe.buffer.size",
        Long,
        Some("134217728"),
        "The most memory for the keys of the logs that are compacted, 24 bytes a key; what does not fit waits for the \
         next round.",
    ),
    Key::dynamic(
        "log.cleaner.io.buffer.load.factor",
        Double,
        Some("0.9"),
        "The share of log.cleaner.dedupe.buffer.size that is filled with keys.",
    ),
    Key::dynamic(
        "log.cleaner.io.buffer.size",
        Int,
        Some("524288"),
        "The size of the buffers through which logs are read for compaction; a larger batch makes one grow.",
    )
    .rule(AtLeast(0)),
    Key::dynamic(
        "log.cleaner.io.max.bytes.per.second",
        Double,
        Some("1.7976931348623157E308"),
        "The most bytes that compaction reads and writes in a second, summed.",
    ),
    // From here on: defaults of topics. Each says whose; the topic's row says what it does.
    Key::dynamic("log.cleanup.policy", List, Some("delete"), "The default of a topic's cleanup.policy.")
        .rule(ListOf(POLICIES)),
    Key::dynamic("log.retention.bytes", Long, Some("-1"), "The default of a topic's retention.bytes."),
    Key::dynamic("log.retention.ms", Long, None, "The default of a topic's retention.ms.").rule(AtLeast(-1)),
    Key::broker("log.retention.minutes", Int, None, "What log.retention.ms is when it is unset, in minutes.")
        .rule(AtLeast(-1)),
    Key::broker(
        "log.retention.hours",
        Int,
        Some("168"),
        "What log.retention.minutes is when it is unset, in hours.",
    )
    .rule(AtLeast(-1)),
    Key::dynamic("log.segment.bytes", Int, Some("1073741824"), "The default of a topic's segment.bytes.")
        .rule(AtLeast(1_048_576)),
    Key::dynamic("log.roll.ms", Long, None, "The default of a topic's segment.ms.").rule(AtLeast(1)),
    Key::broker("log.roll.hours", Int, Some("168"), "What log.roll.ms is when it is unset, in hours.")
        .rule(AtLeast(1)),
    Key::dynamic("log.roll.jitter.ms", Long, None, "The default of a topic's segment.jitter.ms.")
        .rule(AtLeast(0)),
    Key::broker(
        "log.roll.jitter.hours",
        Int,
        Some("0"),
        "What log.roll.jitter.ms is when it is unset, in hours.",
    )
    .rule(AtLeast(0)),
    Key::dynamic(
        "log.index.size.max.bytes",
        Int,
        Some("10485760"),
        "The default of a topic's segment.index.bytes.",
    )
    .rule(AtLeast(4)),
    Key::dynamic(
        "log.index.interval.bytes",
        Int,
        Some("4096"),
        "The default of a topic's index.interval.bytes.",
    )
    .rule(AtLeast(0)),
    Key::dynamic("log.flush.interval.messages", Long, MAX, "The default of a topic's flush.messages.")
        .rule(AtLeast(1)),
    Key::dynamic("log.flush.interval.ms", Long, None, "The default of a topic's flush.ms.").rule(AtLeast(0)),
    Key::broker(
        "log.flush.scheduler.interval.ms",
        Long,
        MAX,
        "What log.flush.interval.ms is when it is unset.",
    )
    .rule(AtLeast(0)),
    Key::dynamic(
        "log.segment.delete.delay.ms",
        Long,
        Some("60000"),
        "The default of a topic's file.delete.delay.ms.",
    )
    .rule(AtLeast(0)),
    Key::dynamic("log.preallocate", Boolean, Some("false"), "The default of a topic's preallocate.")
        .support(super::topic::PREALLOCATE),
    Key::dynamic(
        "log.message.timestamp.type",
        String,
        Some("CreateTime"),
        "The default of a topic's message.timestamp.type.",
    )
    .rule(OneOf(TIMESTAMP_TYPES)),
    Key::dynamic(
        "log.message.timestamp.before.max.ms",
        Long,
        MAX,
        "The default of a topic's message.timestamp.before.max.ms.",
    )
    .rule(AtLeast(0)),
    Key::dynamic(
        "log.message.timestamp.after.max.ms",
        Long,
        Some("3600000"),
        "The default of a topic's message.timestamp.after.max.ms.",
    )
    .rule(AtLeast(0)),
    Key::dynamic("message.max.bytes", Int, Some("1048588"), "The default of a topic's max.message.bytes.")
        .rule(AtLeast(0)),
    Key::dynamic("min.insync.replicas", Int, Some("1"), "The default of a topic's min.insync.replicas.")
        .rule(AtLeast(1))
        .in_set("2"),
    Key::dynamic("compression.type", String, Some("producer"), "The default of a topic's compression.type.")
        .rule(OneOf(COMPRESSION_TYPES)),
    Key::dynamic(
        "compression.gzip.level",
        Int,
        Some("-1"),
        "The default of a topic's compression.gzip.level.",
    )
    .rule(BetweenOr(1, 9, -1)),
    Key::dynamic("compression.lz4.level", Int, Some("9"), "The default of a topic's compression.lz4.level.")
        .rule(Between(1, 17)),
    Key::dynamic(
        "compression.zstd.level",
        Int,
        Some("3"),
        "The default of a topic's compression.zstd.level.",
    )
    .rule(Between(-131_072, 22)),
    Key::dynamic(
        "log.cleaner.delete.retention.ms",
        Long,
        Some("86400000"),
        "The default of a topic's delete.retention.ms.",
    )
    .rule(AtLeast(0)),
    Key::dynamic(
        "log.cleaner.min.compaction.lag.ms",
        Long,
        Some("0"),
        "The default of a topic's min.compaction.lag.ms.",
    )
    .rule(AtLeast(0)),
    Key::dynamic(
        "log.cleaner.max.compaction.lag.ms",
        Long,
        MAX,
        "The default of a topic's max.compaction.lag.ms.",
    )
    .rule(AtLeast(1)),
    Key::dynamic(
        "log.cleaner.min.cleanable.ratio",
        Double,
        Some("0.5"),
        "The default of a topic's min.cleanable.dirty.ratio.",
    )
    .rule(Between(0, 1)),
    Key::dynamic(
        "unclean.leader.election.enable",
        Boolean,
        Some("false"),
        "The default of a topic's unclean.leader.election.enable.",
    )
    .support(UNCLEAN),
];
