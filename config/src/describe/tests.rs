use super::*;

/// The settings of the file and of clients for which the golden lines below were taken from Apache Kafka 4.3.1.
fn layers() -> BrokerLayers {
    BrokerLayers {
        explicit: map(&[
            ("log.retention.hours", "100"),
            ("log.flush.interval.ms", "5000"),
            ("log.segment.bytes", "2000000"),
        ]),
        dynamic_default: map(&[("log.retention.bytes", "777"), ("min.insync.replicas", "1")]),
        dynamic_broker: map(&[("log.retention.bytes", "888"), ("message.max.bytes", "999999")]),
    }
}

fn map(settings: &[(&str, &str)]) -> BTreeMap<String, String> {
    settings.iter().map(|&(name, value)| (name.to_owned(), value.to_owned())).collect()
}

/// `value | type | synonyms`, the source being that of the first synonym.
fn line(configs: &[DescribedConfig], name: &str) -> String {
    let config = configs.iter().find(|config| config.name == name).unwrap();
    let synonyms: Vec<String> = config
        .synonyms
        .iter()
        .map(|synonym| {
            let value = synonym.value.as_deref().unwrap_or("null");
            format!("{}:{}={value}", synonym.source.wire_number(), synonym.name)
        })
        .collect();
    let value = config.value.as_deref().unwrap_or("null");
    let config_type = config.config_type.map_or("no type".to_owned(), |config_type| config_type.to_string());
    format!("{value} | {config_type} from {} | {}", config.source.wire_number(), synonyms.join(", "))
}

#[test]
fn topic_is_described_as_kafka_describes_it() {
    let configs = topic(&layers(), &map(&[("retention.ms", "5"), ("cleanup.policy", "delete")]));
    for (name, expected) in [
        ("cleanup.policy", "delete | LIST from 1 | 1:cleanup.policy=delete, 5:log.cleanup.policy=delete"),
        ("compression.type", "producer | STRING from 5 | 5:compression.type=producer"),
        (
            "flush.ms",
            "5000 | LONG from 4 | 4:log.flush.interval.ms=5000, \
             5:log.flush.scheduler.interval.ms=9223372036854775807",
        ),
        ("follower.replication.throttled.replicas", " | LIST from 5 | "),
        ("local.retention.ms", "-2 | LONG from 5 | 5:log.local.retention.ms=-2"),
        (
            "max.message.bytes",
            "999999 | INT from 2 | 2:message.max.bytes=999999, 5:message.max.bytes=1048588",
        ),
        ("min.cleanable.dirty.ratio", "0.5 | DOUBLE from 5 | 5:log.cleaner.min.cleanable.ratio=0.5"),
        ("min.insync.replicas", "1 | INT from 3 | 3:min.insync.replicas=1, 5:min.insync.replicas=1"),
        ("remote.storage.enable", "false | BOOLEAN from 5 | "),
        (
            "retention.bytes",
            "888 | LONG from 2 | 2:log.retention.bytes=888, 3:log.retention.bytes=777, 5:log.retention.bytes=-1",
        ),
        ("retention.ms", "5 | LONG from 1 | 1:retention.ms=5"),
        (
            "segment.bytes",
            "2000000 | INT from 4 | 4:log.segment.bytes=2000000, 5:log.segment.bytes=1073741824",
        ),
        ("segment.jitter.ms", "0 | LONG from 5 | "),
        ("segment.ms", "604800000 | LONG from 5 | "),
    ] {
        assert_eq!(line(&configs, name), expected, "{name}");
    }
    assert!(configs.iter().all(|config| !config.read_only && !config.is_sensitive));
}

#[test]
fn retention_from_hours_counts_but_shows_as_a_default() {
    let configs = topic(&layers(), &BTreeMap::new());
    assert_eq!(line(&configs, "retention.ms"), "360000000 | LONG from 5 | ");
}

#[test]
fn broker_is_described_as_kafka_describes_it() {
    let configs = broker(&layers());
    for (name, expected) in [
        (
            "log.flush.interval.ms",
            "5000 | LONG from 4 | 4:log.flush.interval.ms=5000, \
             5:log.flush.scheduler.interval.ms=9223372036854775807",
        ),
        ("log.retention.hours", "100 | INT from 4 | 4:log.retention.hours=100, 5:log.retention.hours=168"),
        ("log.retention.minutes", "null | INT from 5 | "),
        ("log.retention.ms", "null | LONG from 5 | "),
        (
            "log.retention.bytes",
            "888 | LONG from 2 | 2:log.retention.bytes=888, 3:log.retention.bytes=777, 5:log.retention.bytes=-1",
        ),
        ("num.partitions", "1 | INT from 5 | 5:num.partitions=1"),
        ("broker.rack", "null | STRING from 5 | "),
    ] {
        assert_eq!(line(&configs, name), expected, "{name}");
    }
}

#[test]
fn key_that_clients_may_change_is_not_read_only() {
    let configs = broker(&BrokerLayers::default());
    let is_read_only = |name| configs.iter().find(|config| config.name == name).unwrap().read_only;
    assert!(
        is_read_only("log.retention.hours") && is_read_only("node.id") && is_read_only("ottla.durability")
    );
    assert!(!is_read_only("log.retention.ms") && !is_read_only("max.connections"));
}

#[test]
fn key_that_changes_nothing_is_described_only_when_set() {
    let documentation = |layers: &BrokerLayers| {
        let found = broker(layers).into_iter().find(|config| config.name == "num.io.threads");
        found.map(|config| config.documentation)
    };
    let set = BrokerLayers { explicit: map(&[("num.io.threads", "4")]), ..BrokerLayers::default() };
    assert_eq!(documentation(&BrokerLayers::default()), None);
    assert_eq!(
        documentation(&set).as_deref(),
        Some("Accepted, and changes nothing: the broker has no such pool of threads to size.")
    );
}

/// Taken from Apache Kafka 4.3.1, but for the documentation, which it has not.
#[test]
fn what_is_no_key_is_described_without_its_value() {
    let set = BrokerLayers {
        dynamic_default: map(&[("all.of.them", "1"), ("no.such.key", "2")]),
        dynamic_broker: map(&[("no.such.key", "3")]),
        ..BrokerLayers::default()
    };
    let (one, all) = (broker(&set), cluster_default(&set));
    assert_eq!(line(&one, "no.such.key"), "null | no type from 2 | 2:no.such.key=null, 3:no.such.key=null");
    assert_eq!(line(&one, "all.of.them"), "null | no type from 3 | 3:all.of.them=null");
    assert_eq!(line(&all, "no.such.key"), "null | no type from 3 | 3:no.such.key=null");
    assert!(all.iter().all(|config| config.is_sensitive && config.read_only));
    assert_eq!(all[0].documentation, "Accepted, and changes nothing: no key of this broker.");
}

#[test]
fn password_is_described_without_its_value() {
    let set = BrokerLayers { explicit: map(&[("ssl.key.password", "hunter2")]), ..BrokerLayers::default() };
    let configs = broker(&set);
    assert_eq!(line(&configs, "ssl.key.password"), "null | PASSWORD from 4 | 4:ssl.key.password=null");
    assert!(configs.iter().any(|config| config.is_sensitive));
}

#[test]
fn cluster_is_described_by_what_clients_set_for_it() {
    let configs = cluster_default(&layers());
    assert_eq!(configs.len(), 2);
    assert_eq!(line(&configs, "log.retention.bytes"), "777 | LONG from 3 | 3:log.retention.bytes=777");
}

#[test]
fn group_is_described_by_what_it_sets_and_by_what_the_broker_sets_for_all() {
    let layers = BrokerLayers {
        explicit: map(&[("group.consumer.heartbeat.interval.ms", "6000")]),
        dynamic_default: map(&[("group.consumer.assignment.interval.ms", "7")]),
        ..BrokerLayers::default()
    };
    let configs = group(&layers, &map(&[("consumer.session.timeout.ms", "50000")]));
    for (name, expected) in [
        (
            "consumer.session.timeout.ms",
            "50000 | INT from 8 | 8:consumer.session.timeout.ms=50000, 5:group.consumer.session.timeout.ms=45000",
        ),
        (
            "consumer.heartbeat.interval.ms",
            "6000 | INT from 4 | 4:group.consumer.heartbeat.interval.ms=6000, \
             5:group.consumer.heartbeat.interval.ms=5000",
        ),
        (
            "consumer.assignment.interval.ms",
            "7 | INT from 3 | 3:group.consumer.assignment.interval.ms=7, \
             5:group.consumer.assignment.interval.ms=1000",
        ),
        ("share.auto.offset.reset", "latest | STRING from 5 | 5:share.auto.offset.reset=latest"),
    ] {
        assert_eq!(line(&configs, name), expected, "{name}");
    }
}

#[test]
fn subscription_is_described_by_what_it_sets_and_by_defaults() {
    let configs = client_metrics(&map(&[("interval.ms", "1000")]));
    assert_eq!(line(&configs, "interval.ms"), "1000 | INT from 7 | 7:interval.ms=1000");
    assert_eq!(line(&configs, "metrics"), " | LIST from 5 | ");
    assert_eq!(configs.len(), 3);
}

#[test]
fn every_setting_has_its_documentation() {
    let configs =
        [topic(&layers(), &BTreeMap::new()), broker(&layers()), group(&layers(), &BTreeMap::new())].concat();
    assert!(configs.iter().all(|config| !config.documentation.is_empty()));
}
