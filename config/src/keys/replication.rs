//! What holds between the nodes of a replica set: heartbeats, copying, leaders.

use super::Key;
use crate::value::Rule::{AtLeast, OneOf};
use crate::value::ValueType::{Boolean, Int, Long, String};

const NOTICED: &str = "clients are to go on within two seconds of the loss of a node";
const HELD_UP: &str = "acks=all waits that long for a replica that its leader no longer reaches";

pub(super) static KEYS: &[Key] = &[
    // Shorter: work for the controller, and a busy node is given up sooner. Longer: the loss of a node that falls silent
    // is noticed later.
    Key::broker(
        "broker.heartbeat.interval.ms",
        Int,
        Some("300"),
        "How often a node of a replica set tells the controller that it is alive.",
    )
    .rule(AtLeast(1))
    .differs(Some("2000"), NOTICED),
    Key::broker(
        "broker.session.timeout.ms",
        Int,
        Some("1200"),
        "After so long without a heartbeat a node of a replica set leads nothing any more; one whose process is gone is \
         noticed at once.",
    )
    .rule(AtLeast(1))
    .differs(Some("9000"), NOTICED),
    Key::broker(
        "replica.lag.time.max.ms",
        Long,
        Some("2000"),
        "A replica that has not caught up with its leader for this long is no longer in sync.",
    )
    .rule(AtLeast(1))
    .differs(Some("30000"), HELD_UP),
    Key::broker(
        "replica.fetch.max.bytes",
        Int,
        Some("1048576"),
        "The most that a replica copies of one partition at once, unless its next batch alone is larger.",
    )
    .rule(AtLeast(0)),
    Key::broker(
        "replica.fetch.response.max.bytes",
        Int,
        Some("10485760"),
        "The most that a replica copies from one leader at once, unless the first batch alone is larger.",
    )
    .rule(AtLeast(0)),
    Key::broker(
        "replica.fetch.wait.max.ms",
        Int,
        Some("500"),
        "How long a leader that has nothing new lets a replica wait.",
    )
    .rule(AtLeast(0)),
    // Throttles are set while a node runs, by `kafka-reassign-partitions --throttle`, and taken away by its `--verify`.
    Key::dynamic(
        "leader.replication.throttled.rate",
        Long,
        Some("9223372036854775807"),
        "The bytes a second that leaders on this node send to replicas out of sync, of the partitions that topics name in \
         leader.replication.throttled.replicas; what replicas in sync copy does not count.",
    )
    .rule(AtLeast(0)),
    Key::dynamic(
        "follower.replication.throttled.rate",
        Long,
        Some("9223372036854775807"),
        "The bytes a second that replicas on this node copy to catch up, of those that topics name in \
         follower.replication.throttled.replicas.",
    )
    .rule(AtLeast(0)),
    Key::refused(
        "replica.alter.log.dirs.io.max.bytes.per.second",
        Long,
        Some("9223372036854775807"),
        "a node has one data directory, so no replica moves between two",
    )
    .dynamically(),
    Key::broker(
        "replica.selector.class",
        String,
        None,
        "Which replica a consumer reads from: the leader, or with RackAwareReplicaSelector one of the consumer's rack \
         (its client.rack is this node's broker.rack) that has what it asks for.",
    )
    .rule(OneOf(&[LEADER_SELECTOR, RACK_AWARE_SELECTOR])),
    Key::broker(
        "auto.leader.rebalance.enable",
        Boolean,
        Some("true"),
        "Whether leadership goes back to the first replica of each partition once that is in sync again.",
    ),
    Key::broker(
        "leader.imbalance.check.interval.seconds",
        Long,
        Some("300"),
        "How often the controller looks for leadership to give back.",
    )
    .rule(AtLeast(1)),
    Key::broker(
        "controlled.shutdown.enable",
        Boolean,
        Some("true"),
        "Whether a node that is told to stop hands its leadership over first.",
    ),
];

/// Consumers read from the leader. Source: LeaderSelector.java.
const LEADER_SELECTOR: &str = "org.apache.kafka.common.replica.LeaderSelector";

/// Consumers read from a replica of their rack. Source: KIP-392, RackAwareReplicaSelector.java.
pub(crate) const RACK_AWARE_SELECTOR: &str = "org.apache.kafka.common.replica.RackAwareReplicaSelector";
