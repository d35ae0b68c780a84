use super::*;
use crate::broker::{BrokerConfig, BrokerLayers};

fn map(set: &[(&str, &str)]) -> BTreeMap<String, String> {
    set.iter().map(|&(name, value)| (name.to_owned(), value.to_owned())).collect()
}

fn sentences(overrides: &[(&str, &str)]) -> Vec<String> {
    let errors = validate_overrides(&GroupCoordinatorConfig::default(), &map(overrides)).err();
    errors.unwrap_or_default().iter().map(ToString::to_string).collect()
}

#[test]
fn group_may_choose_within_the_brokers_ranges() {
    assert_eq!(sentences(&[(SESSION, "60000"), (HEARTBEAT, "15000"), (ASSIGNMENT, "0")]), [""; 0]);
    for (name, value, expected) in [
        (
            SESSION,
            "44999",
            "consumer.session.timeout.ms must be greater than or equal to group.consumer.min.session.timeout.ms",
        ),
        (
            SESSION,
            "60001",
            "consumer.session.timeout.ms must be less than or equal to group.consumer.max.session.timeout.ms",
        ),
        (
            HEARTBEAT,
            "1",
            "consumer.heartbeat.interval.ms must be greater than or equal to group.consumer.min.heartbeat.interval.ms",
        ),
        (
            ASSIGNMENT,
            "15001",
            "consumer.assignment.interval.ms must be less than or equal to group.consumer.max.assignment.interval.ms",
        ),
        (
            SESSION,
            "soon",
            "Invalid value soon for configuration consumer.session.timeout.ms: Not a number of type INT",
        ),
        (
            "share.session.timeout.ms",
            "50000",
            "share.session.timeout.ms=50000 is not supported: share groups are not served yet",
        ),
        ("consumer.colour", "red", "Unknown group config name: consumer.colour"),
    ] {
        assert_eq!(sentences(&[(name, value)]), [expected]);
    }
}

#[test]
fn session_is_longer_than_the_time_between_heartbeats() {
    let broker = GroupCoordinatorConfig {
        group_consumer_session_timeout_ms: Range { min: 1, max: 60_000 },
        ..GroupCoordinatorConfig::default()
    };
    let error = validate_overrides(&broker, &map(&[(SESSION, "5000")])).unwrap_err();
    assert_eq!(
        error[0].to_string(),
        "consumer.session.timeout.ms must be greater than consumer.heartbeat.interval.ms"
    );
}

#[test]
fn setting_of_a_group_is_capped_to_ranges_that_were_narrowed_later() {
    let broker = GroupCoordinatorConfig {
        group_consumer_session_timeout_ms: Range { min: 45_000, max: 50_000 },
        ..GroupCoordinatorConfig::default()
    };
    let config = GroupConfig::of_group(&broker, &map(&[(SESSION, "60000"), ("gone.since", "1")]));
    assert_eq!(config, GroupConfig { consumer_session_timeout_ms: 50_000, ..GroupConfig::default() });
}

#[test]
fn broker_is_refused_whose_own_settings_do_not_fit() {
    for (set, expected) in [
        (
            &[("group.consumer.session.timeout.ms", "30000")][..],
            "group.consumer.session.timeout.ms must be greater than or equal to group.consumer.min.session.timeout.ms",
        ),
        (
            &[("group.consumer.max.session.timeout.ms", "40000")],
            "group.consumer.max.session.timeout.ms must be greater than or equal to \
             group.consumer.min.session.timeout.ms",
        ),
        (
            &[("group.consumer.min.session.timeout.ms", "1"), ("group.consumer.session.timeout.ms", "5000")],
            "group.consumer.heartbeat.interval.ms must be less than group.consumer.session.timeout.ms",
        ),
        (
            &[("group.coordinator.rebalance.protocols", "consumer")],
            "Disabling the 'classic' protocol is not supported.",
        ),
        (
            &[("group.consumer.assignors", "uniform,uniform")],
            "Invalid value uniform,uniform for configuration group.consumer.assignors: List values must not be duplicated.",
        ),
        (
            &[("group.consumer.migration.policy", "sideways")],
            "Invalid value sideways for configuration group.consumer.migration.policy: String must be one of (case \
             insensitive): DISABLED, DOWNGRADE, UPGRADE, BIDIRECTIONAL",
        ),
    ] {
        let layers = BrokerLayers { explicit: map(set), ..BrokerLayers::default() };
        let errors = BrokerConfig::resolve(&layers).unwrap_err();
        assert_eq!(errors.iter().map(ToString::to_string).collect::<Vec<_>>(), [expected]);
    }
}

#[test]
fn broker_takes_what_its_file_says_of_groups() {
    let set = map(&[
        ("group.coordinator.rebalance.protocols", "classic"),
        ("group.consumer.migration.policy", "Upgrade"),
        ("offsets.retention.minutes", "2"),
        ("group.consumer.assignors", "range"),
        ("offsets.topic.num.partitions", "7"),
    ]);
    let broker = BrokerConfig::resolve(&BrokerLayers { explicit: set, ..BrokerLayers::default() }).unwrap();
    assert!(!broker.groups.serves_consumer_protocol());
    assert_eq!(broker.groups.group_consumer_migration_policy, MigrationPolicy::Upgrade);
    assert_eq!(
        (broker.groups.offsets_retention_ms, broker.offsets_topic.offsets_topic_num_partitions),
        (120_000, 7)
    );
    assert_eq!(broker.groups.group_consumer_assignors, ["range"]);
}

#[test]
fn defaults_are_those_of_the_table() {
    let resolved = BrokerConfig::resolve(&BrokerLayers::default()).unwrap();
    assert_eq!(resolved.groups, GroupCoordinatorConfig::default());
    assert_eq!(resolved.offsets_topic, OffsetsTopicConfig::default());
    assert_eq!(GroupConfig::of_group(&resolved.groups, &BTreeMap::new()), GroupConfig::default());
}
