//! What the broker's configuration says of groups and of the topic that keeps them. Source: GroupCoordinatorConfig.java.

use super::Key;
use crate::value::Rule::{AtLeast, Between, OneOfAnyCase, SomeOf};
use crate::value::ValueType::{Int, List, Long, Short, String};

const ONE_TASK: &str =
    "each partition of __consumer_offsets has one task, and all share the threads of the node";
const BATCHES: &str =
    "what one request makes is written at once; requests that come meanwhile do not wait for it";

/// The assignors of consumer groups that the broker has.
const ASSIGNORS: &[&str] = &["uniform", "range"];
const PROTOCOLS: &[&str] = &["consumer", "classic", "share", "streams"];
const POLICIES: &[&str] = &["DISABLED", "DOWNGRADE", "UPGRADE", "BIDIRECTIONAL"];

pub(super) static KEYS: &[Key] = &[
    Key::broker(
        "group.coordinator.rebalance.protocols",
        List,
        Some("classic,consumer,streams"),
        "The protocols by which groups may be joined. classic is always among them; without consumer, members of the \
         new consumer protocol (KIP-848) are refused. share and streams are not served yet.",
    )
    .rule(SomeOf(PROTOCOLS)),
    Key::broker(
        "group.min.session.timeout.ms",
        Int,
        Some("6000"),
        "The shortest session.timeout.ms that a member of the classic protocol may ask for.",
    ),
    Key::broker(
        "group.max.session.timeout.ms",
        Int,
        Some("1800000"),
        "The longest session.timeout.ms that a member of the classic protocol may ask for.",
    ),
    Key::broker(
        "group.initial.rebalance.delay.ms",
        Int,
        Some("3000"),
        "How long the first member of an empty classic group waits for others before partitions are assigned.",
    ),
    Key::broker("group.max.size", Int, Some("2147483647"), "The most members of a classic group.")
        .rule(AtLeast(1)),
    Key::broker("group.consumer.max.size", Int, Some("2147483647"), "The most members of a consumer group.")
        .rule(AtLeast(1)),
    Key::broker(
        "group.consumer.assignors",
        List,
        Some("uniform,range"),
        "The assignors that consumer groups may ask for; the first is the default.",
    )
    .rule(SomeOf(ASSIGNORS)),
    Key::broker(
        "group.consumer.migration.policy",
        String,
        Some("bidirectional"),
        "Which groups may change their protocol while they have members: upgrade from classic to consumer, downgrade \
         the other way round, bidirectional or disabled.",
    )
    .rule(OneOfAnyCase(POLICIES)),
    Key::broker(
        "group.consumer.session.timeout.ms",
        Int,
        Some("45000"),
        "A member of a consumer group that sends no heartbeat for this long is taken out of it.",
    )
    .rule(AtLeast(1)),
    Key::broker(
        "group.consumer.min.session.timeout.ms",
        Int,
        Some("45000"),
        "The shortest consumer.session.timeout.ms of a group.",
    )
    .rule(AtLeast(1)),
    Key::broker(
        "group.consumer.max.session.timeout.ms",
        Int,
        Some("60000"),
        "The longest consumer.session.timeout.ms of a group.",
    )
    .rule(AtLeast(1)),
    Key::broker(
        "group.consumer.heartbeat.interval.ms",
        Int,
        Some("5000"),
        "How often a member of a consumer group is to send a heartbeat; the members are told.",
    )
    .rule(AtLeast(1)),
    Key::broker(
        "group.consumer.min.heartbeat.interval.ms",
        Int,
        Some("5000"),
        "The shortest consumer.heartbeat.interval.ms of a group.",
    )
    .rule(AtLeast(1)),
    Key::broker(
        "group.consumer.max.heartbeat.interval.ms",
        Int,
        Some("15000"),
        "The longest consumer.heartbeat.interval.ms of a group.",
    )
    .rule(AtLeast(1)),
    Key::dynamic(
        "group.consumer.assignment.interval.ms",
        Int,
        Some("1000"),
        "The shortest time between two computations of a consumer group's assignment.",
    )
    .rule(AtLeast(0)),
    Key::broker(
        "group.consumer.min.assignment.interval.ms",
        Int,
        Some("0"),
        "The shortest consumer.assignment.interval.ms of a group.",
    )
    .rule(AtLeast(0)),
    Key::broker(
        "group.consumer.max.assignment.interval.ms",
        Int,
        Some("15000"),
        "The longest consumer.assignment.interval.ms of a group.",
    )
    .rule(AtLeast(0)),
    Key::broker(
        "group.consumer.regex.refresh.interval.ms",
        Int,
        Some("600000"),
        "How often the topics that a consumer group's pattern matches are looked up anew, also where none came or went.",
    )
    .rule(AtLeast(10_000)),
    Key::broker(
        "offset.metadata.max.bytes",
        Int,
        Some("4096"),
        "The longest text that a client may keep beside a committed offset.",
    ),
    Key::broker(
        "offsets.commit.timeout.ms",
        Int,
        Some("5000"),
        "How long what a group writes may wait for the replicas before its request fails.",
    )
    .rule(AtLeast(1)),
    Key::broker(
        "offsets.load.buffer.size",
        Int,
        Some("5242880"),
        "How much of a partition of __consumer_offsets is read at once while its groups are loaded.",
    )
    .rule(AtLeast(1)),
    Key::broker(
        "offsets.retention.minutes",
        Int,
        Some("10080"),
        "How long the offsets of a group are kept after its last member left, or after the commit where it never had \
         one.",
    )
    .rule(AtLeast(1)),
    Key::broker(
        "offsets.retention.check.interval.ms",
        Long,
        Some("600000"),
        "How often offsets are looked for that have grown too old.",
    )
    .rule(AtLeast(1)),
    Key::broker(
        "offsets.topic.compression.codec",
        Int,
        Some("0"),
        "How what is written to __consumer_offsets is compressed: 0 not at all, 1 gzip, 2 snappy, 3 lz4, 4 zstd.",
    )
    .rule(Between(0, 4)),
    Key::broker(
        "offsets.topic.num.partitions",
        Int,
        Some("50"),
        "The partitions of __consumer_offsets when it is made; a group belongs to one of them.",
    )
    .rule(AtLeast(1)),
    Key::broker(
        "offsets.topic.replication.factor",
        Short,
        Some("3"),
        "The replicas of __consumer_offsets when it is made; no more than there are nodes.",
    )
    .rule(AtLeast(1)),
    Key::broker(
        "offsets.topic.segment.bytes",
        Int,
        Some("104857600"),
        "The segment.bytes of __consumer_offsets when it is made.",
    )
    .rule(AtLeast(1)),
    Key::inert("group.coordinator.append.linger.ms", Int, Some("-1"), BATCHES),
    Key::inert("group.coordinator.cached.buffer.max.bytes", Int, Some("1048588"), BATCHES).rule(AtLeast(524_288)).dynamically(),
    Key::inert("group.coordinator.background.threads", Int, Some("2"), ONE_TASK),
    Key::inert("group.coordinator.threads", Int, Some("4"), ONE_TASK),
];
