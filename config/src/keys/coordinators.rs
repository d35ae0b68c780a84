//! Transactions, share groups and streams groups: keys that files for Apache Kafka carry, for features that are not there
//! yet.

use super::Key;
use crate::value::Rule::AtLeast;
use crate::value::ValueType::{Boolean, Int, List, Short, String};

const TRANSACTIONS: &str = "transactions are not served yet";
const SHARE: &str = "share groups are not served yet";
const STREAMS: &str = "streams groups are not served yet";

pub(super) static KEYS: &[Key] = &[
    Key::inert("add.partitions.to.txn.retry.backoff.max.ms", Int, Some("100"), TRANSACTIONS),
    Key::inert("add.partitions.to.txn.retry.backoff.ms", Int, Some("20"), TRANSACTIONS),
    Key::inert(
        "transaction.abort.timed.out.transaction.cleanup.interval.ms",
        Int,
        Some("10000"),
        TRANSACTIONS,
    ),
    Key::inert("transaction.max.timeout.ms", Int, Some("900000"), TRANSACTIONS),
    Key::inert("transaction.partition.verification.enable", Boolean, Some("true"), TRANSACTIONS)
        .dynamically(),
    Key::inert(
        "transaction.remove.expired.transaction.cleanup.interval.ms",
        Int,
        Some("3600000"),
        TRANSACTIONS,
    ),
    Key::inert("transaction.state.log.load.buffer.size", Int, Some("5242880"), TRANSACTIONS),
    Key::inert("transaction.state.log.min.isr", Int, Some("2"), TRANSACTIONS),
    Key::inert("transaction.state.log.num.partitions", Int, Some("50"), TRANSACTIONS),
    Key::inert("transaction.state.log.replication.factor", Short, Some("3"), TRANSACTIONS),
    Key::inert("transaction.state.log.segment.bytes", Int, Some("104857600"), TRANSACTIONS),
    Key::inert("transaction.two.phase.commit.enable", Boolean, Some("false"), TRANSACTIONS),
    Key::inert("transactional.id.expiration.ms", Int, Some("604800000"), TRANSACTIONS),
    Key::inert("group.share.assignment.interval.ms", Int, Some("1000"), SHARE).rule(AtLeast(0)).dynamically(),
    Key::inert("group.share.assignors", List, Some("simple"), SHARE),
    Key::inert("group.share.delivery.count.limit", Int, Some("5"), SHARE),
    Key::inert("group.share.heartbeat.interval.ms", Int, Some("5000"), SHARE),
    Key::inert("group.share.initialize.retry.interval.ms", Int, Some("30000"), SHARE),
    Key::inert("group.share.max.assignment.interval.ms", Int, Some("15000"), SHARE),
    Key::inert("group.share.max.delivery.count.limit", Int, Some("10"), SHARE),
    Key::inert("group.share.max.heartbeat.interval.ms", Int, Some("15000"), SHARE),
    Key::inert("group.share.max.partition.max.record.locks", Int, Some("4000"), SHARE),
    Key::inert("group.share.max.record.lock.duration.ms", Int, Some("60000"), SHARE),
    Key::inert("group.share.max.session.timeout.ms", Int, Some("60000"), SHARE),
    Key::inert("group.share.max.share.sessions", Int, Some("2000"), SHARE),
    Key::inert("group.share.max.size", Int, Some("200"), SHARE),
    Key::inert("group.share.min.assignment.interval.ms", Int, Some("0"), SHARE),
    Key::inert("group.share.min.delivery.count.limit", Int, Some("2"), SHARE),
    Key::inert("group.share.min.heartbeat.interval.ms", Int, Some("5000"), SHARE),
    Key::inert("group.share.min.partition.max.record.locks", Int, Some("100"), SHARE),
    Key::inert("group.share.min.record.lock.duration.ms", Int, Some("15000"), SHARE),
    Key::inert("group.share.min.session.timeout.ms", Int, Some("45000"), SHARE),
    Key::inert("group.share.partition.max.record.locks", Int, Some("2000"), SHARE),
    Key::inert(
        "group.share.persister.class.name",
        String,
        Some("org.apache.kafka.server.share.persister.DefaultStatePersister"),
        SHARE,
    ),
    Key::inert("group.share.record.lock.duration.ms", Int, Some("30000"), SHARE),
    Key::inert("group.share.session.timeout.ms", Int, Some("45000"), SHARE),
    Key::inert("share.coordinator.append.linger.ms", Int, Some("-1"), SHARE),
    Key::inert("share.coordinator.cached.buffer.max.bytes", Int, Some("1048588"), SHARE)
        .rule(AtLeast(524_288))
        .dynamically(),
    Key::inert("share.coordinator.cold.partition.snapshot.interval.ms", Int, Some("300000"), SHARE),
    Key::inert("share.coordinator.load.buffer.size", Int, Some("5242880"), SHARE),
    Key::inert("share.coordinator.snapshot.update.records.per.snapshot", Int, Some("500"), SHARE),
    Key::inert("share.coordinator.state.topic.compression.codec", Int, Some("0"), SHARE),
    Key::inert("share.coordinator.state.topic.min.isr", Short, Some("2"), SHARE),
    Key::inert("share.coordinator.state.topic.num.partitions", Int, Some("50"), SHARE),
    Key::inert("share.coordinator.state.topic.prune.interval.ms", Int, Some("300000"), SHARE),
    Key::inert("share.coordinator.state.topic.replication.factor", Short, Some("3"), SHARE),
    Key::inert("share.coordinator.state.topic.segment.bytes", Int, Some("104857600"), SHARE),
    Key::inert("share.coordinator.threads", Int, Some("1"), SHARE),
    Key::inert("share.coordinator.write.timeout.ms", Int, Some("5000"), SHARE),
    Key::inert("share.fetch.purgatory.purge.interval.requests", Int, Some("1000"), SHARE),
    Key::inert("group.streams.assignment.interval.ms", Int, Some("1000"), STREAMS)
        .rule(AtLeast(0))
        .dynamically(),
    Key::inert("group.streams.heartbeat.interval.ms", Int, Some("5000"), STREAMS),
    Key::inert("group.streams.initial.rebalance.delay.ms", Int, Some("3000"), STREAMS),
    Key::inert("group.streams.max.assignment.interval.ms", Int, Some("15000"), STREAMS),
    Key::inert("group.streams.max.heartbeat.interval.ms", Int, Some("15000"), STREAMS),
    Key::inert("group.streams.max.session.timeout.ms", Int, Some("60000"), STREAMS),
    Key::inert("group.streams.max.size", Int, Some("2147483647"), STREAMS),
    Key::inert("group.streams.max.standby.replicas", Int, Some("2"), STREAMS),
    Key::inert("group.streams.min.assignment.interval.ms", Int, Some("0"), STREAMS),
    Key::inert("group.streams.min.heartbeat.interval.ms", Int, Some("5000"), STREAMS),
    Key::inert("group.streams.min.session.timeout.ms", Int, Some("45000"), STREAMS),
    Key::inert("group.streams.num.standby.replicas", Int, Some("0"), STREAMS),
    Key::inert("group.streams.session.timeout.ms", Int, Some("45000"), STREAMS),
];
