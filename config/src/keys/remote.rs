//! Tiered storage, which this broker does not have.

use super::Key;
use crate::value::Rule::{AtLeast, Threads};
use crate::value::ValueType::{Boolean, Double, Int, Long, String};

const REMOTE: &str = "there is no tiered storage";
const TIERED: &str = "there is no tiered storage; records stay in the data directory";

pub(super) static KEYS: &[Key] = &[
    Key::inert("follower.fetch.last.tiered.offset.enable", Boolean, Some("false"), REMOTE).dynamically(),
    Key::refused("log.local.retention.bytes", Long, Some("-2"), TIERED).dynamically(),
    Key::refused("log.local.retention.ms", Long, Some("-2"), TIERED).dynamically(),
    Key::inert("remote.fetch.max.wait.ms", Int, Some("500"), REMOTE).rule(AtLeast(1)).dynamically(),
    Key::inert("remote.list.offsets.request.timeout.ms", Long, Some("30000"), REMOTE)
        .rule(AtLeast(1))
        .dynamically(),
    Key::inert("remote.log.index.file.cache.total.size.bytes", Long, Some("1073741824"), REMOTE)
        .rule(AtLeast(1))
        .dynamically(),
    Key::inert("remote.log.index.file.cache.ttl.ms", Long, Some("900000"), REMOTE),
    Key::inert("remote.log.manager.copier.thread.pool.size", Int, Some("10"), REMOTE)
        .rule(Threads)
        .dynamically(),
    Key::inert("remote.log.manager.copy.max.bytes.per.second", Long, Some("9223372036854775807"), REMOTE)
        .rule(AtLeast(1))
        .dynamically(),
    Key::inert("remote.log.manager.copy.quota.window.num", Int, Some("11"), REMOTE),
    Key::inert("remote.log.manager.copy.quota.window.size.seconds", Int, Some("1"), REMOTE),
    Key::inert("remote.log.manager.expiration.thread.pool.size", Int, Some("10"), REMOTE)
        .rule(Threads)
        .dynamically(),
    Key::inert("remote.log.manager.fetch.max.bytes.per.second", Long, Some("9223372036854775807"), REMOTE)
        .rule(AtLeast(1))
        .dynamically(),
    Key::inert("remote.log.manager.fetch.quota.window.num", Int, Some("11"), REMOTE),
    Key::inert("remote.log.manager.fetch.quota.window.size.seconds", Int, Some("1"), REMOTE),
    Key::inert("remote.log.manager.follower.thread.pool.size", Int, Some("2"), REMOTE)
        .rule(Threads)
        .dynamically(),
    Key::inert("remote.log.manager.task.interval.ms", Long, Some("30000"), REMOTE),
    Key::inert("remote.log.manager.task.retry.backoff.max.ms", Long, Some("30000"), REMOTE),
    Key::inert("remote.log.manager.task.retry.backoff.ms", Long, Some("500"), REMOTE),
    Key::inert("remote.log.manager.task.retry.jitter", Double, Some("0.2"), REMOTE),
    Key::inert("remote.log.manager.thread.pool.size", Int, Some("2"), REMOTE),
    Key::inert("remote.log.metadata.custom.metadata.max.bytes", Int, Some("128"), REMOTE),
    Key::inert(
        "remote.log.metadata.manager.class.name",
        String,
        Some("org.apache.kafka.server.log.remote.metadata.storage.TopicBasedRemoteLogMetadataManager"),
        REMOTE,
    ),
    Key::inert("remote.log.metadata.manager.class.path", String, None, REMOTE),
    Key::inert("remote.log.metadata.manager.impl.prefix", String, Some("rlmm.config."), REMOTE),
    Key::inert("remote.log.metadata.manager.listener.name", String, None, REMOTE),
    Key::inert("remote.log.reader.max.pending.tasks", Int, Some("100"), REMOTE),
    Key::inert("remote.log.reader.threads", Int, Some("10"), REMOTE).rule(Threads).dynamically(),
    Key::inert("remote.log.storage.manager.class.name", String, None, REMOTE),
    Key::inert("remote.log.storage.manager.class.path", String, None, REMOTE),
    Key::inert("remote.log.storage.manager.impl.prefix", String, Some("rsm.config."), REMOTE),
    Key::refused("remote.log.storage.system.enable", Boolean, Some("false"), TIERED),
];
