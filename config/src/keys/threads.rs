//! Everything else that files for Apache Kafka carry: its threads, metrics, quotas and plug-ins.

use super::Key;
use crate::value::Rule::{AtLeast, Threads};
use crate::value::ValueType::{Boolean, Class, Int, List, Long, String};

const THREADS: &str = "the broker has no such pool of threads to size";
const IN_FLIGHT: &str = "requests that wait are bounded for each connection, not in one queue";
const REPLICATION: &str = "what the nodes of a set say to each other has deadlines of its own";
const HOUSEKEEPING: &str = "housekeeping begins with the broker";
const PURGATORY: &str = "requests that wait have a deadline each, and no purgatory to clear";
const METRICS: &str = "metrics are served over HTTP, at ottla.http.listener";
const LEGACY: &str = "Apache Kafka 4 has no such key either";
const JAVA: &str = "this broker cannot load Java classes, and would not enforce what this one does";
const PROVIDERS: &str = "values are taken as they stand; write them out, or give them by environment";
const ONE_DIRECTORY: &str = "there is one data directory, and nowhere else to put new partitions";
const TIMESTAMPS: &str = "use log.message.timestamp.before.max.ms and log.message.timestamp.after.max.ms";
const LISTENERS: &str = "use listeners and advertised.listeners";

pub(super) static KEYS: &[Key] = &[
    Key::refused("alter.config.policy.class.name", Class, None, JAVA),
    Key::inert("background.threads", Int, Some("10"), THREADS).rule(Threads).dynamically(),
    Key::refused("config.providers", List, Some(""), PROVIDERS).dynamically(),
    Key::refused("cordoned.log.dirs", List, Some(""), ONE_DIRECTORY).dynamically(),
    Key::refused("create.topic.policy.class.name", Class, None, JAVA),
    Key::inert("log.initial.task.delay.ms", Long, Some("30000"), HOUSEKEEPING),
    Key::inert("num.io.threads", Int, Some("8"), THREADS).rule(Threads).dynamically(),
    Key::inert("num.network.threads", Int, Some("3"), THREADS).rule(Threads).dynamically(),
    Key::inert("queued.max.request.bytes", Long, Some("-1"), IN_FLIGHT),
    Key::inert("queued.max.requests", Int, Some("500"), IN_FLIGHT),
    Key::inert("request.timeout.ms", Int, Some("30000"), REPLICATION),
    Key::inert("socket.connection.setup.timeout.max.ms", Long, Some("30000"), REPLICATION),
    Key::inert("socket.connection.setup.timeout.ms", Long, Some("10000"), REPLICATION),
    Key::refused("client.quota.callback.class", Class, None, JAVA),
    Key::broker(
        "quota.window.num",
        Int,
        Some("11"),
        "Over how many windows, the running one among them, the rates of clients that have quotas are measured.",
    )
    .rule(AtLeast(1)),
    Key::broker("quota.window.size.seconds", Int, Some("1"), "The length of such a window.").rule(AtLeast(1)),
    Key::broker(
        "controller.quota.window.num",
        Int,
        Some("11"),
        "How many windows' worth of `controller_mutation_rate` a client may use up at once.",
    )
    .rule(AtLeast(1)),
    Key::broker("controller.quota.window.size.seconds", Int, Some("1"), "The length of such a window.")
        .rule(AtLeast(1)),
    Key::inert("delete.records.purgatory.purge.interval.requests", Int, Some("1"), PURGATORY),
    Key::inert("fetch.purgatory.purge.interval.requests", Int, Some("1000"), PURGATORY),
    Key::inert("producer.purgatory.purge.interval.requests", Int, Some("1000"), PURGATORY),
    Key::inert("kafka.metrics.polling.interval.secs", Int, Some("10"), METRICS),
    Key::inert("kafka.metrics.reporters", List, Some(""), METRICS),
    Key::inert("metric.reporters", List, Some("org.apache.kafka.common.metrics.JmxReporter"), METRICS),
    Key::inert("metrics.num.samples", Int, Some("2"), METRICS),
    Key::inert("metrics.recording.level", String, Some("INFO"), METRICS),
    Key::inert("metrics.sample.window.ms", Long, Some("30000"), METRICS),
    Key::broker(
        "telemetry.max.bytes",
        Int,
        Some("1048576"),
        "The most bytes of metrics that a client pushes at once, as they come.",
    )
    .rule(AtLeast(1)),
    Key::inert("log.message.downconversion.enable", Boolean, None, LEGACY),
    Key::inert("log.message.format.version", String, None, LEGACY),
    Key::refused("log.message.timestamp.difference.max.ms", Long, None, TIMESTAMPS),
    Key::refused("advertised.host.name", String, None, LISTENERS),
    Key::refused("advertised.port", Int, None, LISTENERS),
    Key::refused("host.name", String, None, LISTENERS),
    Key::refused("port", Int, None, LISTENERS),
];
