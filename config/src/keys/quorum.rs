//! What this broker arranges by itself about the metadata quorum and the replication between brokers.

use super::Key;
use crate::value::Rule::Threads;
use crate::value::ValueType::{Boolean, Int, List, Long, String};

const QUORUM: &str =
    "the node keeps its metadata by itself, in the data directory, without a controller to configure";
const REPLICATION: &str =
    "the nodes of ottla.replica.set copy from each other without tuning, over ottla.peer.listener";
const MOVES: &str = "a node has one data directory, so no replica moves between two";
const WINDOWS: &str = "a throttle of replication holds at every moment, not on average over windows";
const NODE_ENDS: &str = "a node whose data directory fails ends at once";
const NEVER_UNCLEAN: &str = "no replica leads that may lack acknowledged records";
const LEGACY: &str = "Apache Kafka 4 has no such key either";

pub(super) static KEYS: &[Key] = &[
    Key::inert("alter.log.dirs.replication.quota.window.num", Int, Some("11"), MOVES),
    Key::inert("alter.log.dirs.replication.quota.window.size.seconds", Int, Some("1"), MOVES),
    Key::inert("inter.broker.listener.name", String, None, REPLICATION),
    Key::inert("log.dir.failure.timeout.ms", Long, Some("30000"), NODE_ENDS),
    Key::inert("num.replica.alter.log.dirs.threads", Int, None, REPLICATION),
    Key::inert("num.replica.fetchers", Int, Some("1"), REPLICATION).rule(Threads).dynamically(),
    Key::inert("replica.fetch.backoff.ms", Int, Some("1000"), REPLICATION),
    Key::inert("replica.fetch.min.bytes", Int, Some("1"), REPLICATION),
    Key::inert("replica.socket.receive.buffer.bytes", Int, Some("65536"), REPLICATION),
    Key::inert("replica.socket.timeout.ms", Int, Some("30000"), REPLICATION),
    Key::inert("replication.quota.window.num", Int, Some("11"), WINDOWS),
    Key::inert("replication.quota.window.size.seconds", Int, Some("1"), WINDOWS),
    Key::inert("unclean.leader.election.interval.ms", Long, Some("300000"), NEVER_UNCLEAN),
    Key::inert("controller.listener.names", List, None, QUORUM),
    Key::inert("controller.performance.always.log.threshold.ms", Long, Some("2000"), QUORUM),
    Key::inert("controller.performance.sample.period.ms", Long, Some("60000"), QUORUM),
    Key::inert("controller.quorum.append.linger.ms", Int, Some("25"), QUORUM),
    Key::inert("controller.quorum.auto.join.enable", Boolean, Some("false"), QUORUM),
    Key::inert("controller.quorum.bootstrap.servers", List, Some(""), QUORUM),
    Key::inert("controller.quorum.election.backoff.max.ms", Int, Some("1000"), QUORUM),
    Key::inert("controller.quorum.election.timeout.ms", Int, Some("1000"), QUORUM),
    Key::inert("controller.quorum.fetch.max.bytes", Int, Some("1048576"), QUORUM),
    Key::inert("controller.quorum.fetch.snapshot.max.bytes", Int, Some("1048576"), QUORUM),
    Key::inert("controller.quorum.fetch.timeout.ms", Int, Some("2000"), QUORUM),
    Key::inert("controller.quorum.request.timeout.ms", Int, Some("2000"), QUORUM),
    Key::inert("controller.quorum.retry.backoff.ms", Int, Some("20"), QUORUM),
    Key::inert("controller.quorum.voters", List, Some(""), QUORUM),
    Key::inert("controller.socket.timeout.ms", Int, Some("30000"), QUORUM),
    Key::inert("early.start.listeners", List, None, QUORUM),
    Key::inert("initial.broker.registration.timeout.ms", Int, Some("60000"), QUORUM),
    Key::inert("internal.metadata.delete.delay.millis", Long, Some("60000"), QUORUM),
    Key::inert("internal.metadata.log.segment.bytes", Int, None, QUORUM),
    Key::inert("internal.metadata.max.batch.size.in.bytes", Int, Some("8388608"), QUORUM),
    Key::inert("metadata.log.dir", String, None, QUORUM),
    Key::inert("metadata.log.max.record.bytes.between.snapshots", Long, Some("20971520"), QUORUM),
    Key::inert("metadata.log.max.snapshot.interval.ms", Long, Some("3600000"), QUORUM),
    Key::inert("metadata.log.segment.bytes", Int, Some("1073741824"), QUORUM),
    Key::inert("metadata.log.segment.ms", Long, Some("604800000"), QUORUM),
    Key::inert("metadata.max.idle.interval.ms", Int, Some("500"), QUORUM),
    Key::inert("metadata.max.retention.bytes", Long, Some("104857600"), QUORUM),
    Key::inert("metadata.max.retention.ms", Long, Some("604800000"), QUORUM),
    Key::inert("process.roles", List, None, QUORUM),
    Key::inert("server.max.startup.time.ms", Long, Some("9223372036854775807"), QUORUM),
    Key::inert("unstable.api.versions.enable", Boolean, Some("false"), QUORUM),
    Key::inert("unstable.feature.versions.enable", Boolean, Some("false"), QUORUM),
    Key::inert("broker.id.generation.enable", Boolean, None, LEGACY),
    Key::inert("control.plane.listener.name", String, None, LEGACY),
    Key::inert("inter.broker.protocol.version", String, None, LEGACY),
    Key::inert("reserved.broker.max.id", Int, None, LEGACY),
];
