use proptest::prelude::*;

use super::*;
use crate::keys::Support;
use crate::value::{Rule, ValueType};

fn overrides(settings: &[(&str, &str)]) -> BTreeMap<String, String> {
    settings.iter().map(|&(name, value)| (name.to_owned(), value.to_owned())).collect()
}

fn resolve(settings: &[(&str, &str)]) -> Result<TopicConfig, Vec<ConfigError>> {
    TopicConfig::resolve(&BrokerConfig::default(), &overrides(settings))
}

fn message(name: &str, value: &str) -> String {
    validate_override(name, value).unwrap_err().to_string()
}

#[test]
fn topic_without_overrides_has_the_brokers_defaults() {
    let mut broker = BrokerConfig::default();
    broker.topic_defaults.retention_ms = 5;
    assert_eq!(TopicConfig::resolve(&broker, &BTreeMap::new()), Ok(broker.topic_defaults));
}

#[test]
fn override_wins_over_the_brokers_default() {
    let config = resolve(&[
        ("retention.ms", " 1000 "),
        ("cleanup.policy", ""),
        ("compression.type", "zstd"),
        ("message.timestamp.type", "LogAppendTime"),
        ("min.cleanable.dirty.ratio", "1e-1"),
        ("segment.bytes", "1048576"),
    ])
    .unwrap();
    assert_eq!(config.retention_ms, 1000);
    assert_eq!(config.cleanup_policy, CleanupPolicy { compact: false, delete: false });
    assert_eq!(config.compression_type, CompressionType::Zstd);
    assert_eq!(config.message_timestamp_type, TimestampType::LogAppendTime);
    assert_eq!(config.min_cleanable_dirty_ratio, 0.1);
    assert_eq!(config.segment_bytes, 1_048_576);
}

/// The sentences are those that LogConfig.validate of Apache Kafka 4.3.1 gives.
#[test]
fn messages_are_kafkas() {
    for (name, value, expected) in [
        ("foo", "a", "Unknown topic config name: foo"),
        (
            "retention.ms",
            "abc",
            "Invalid value abc for configuration retention.ms: Not a number of type LONG",
        ),
        ("retention.ms", "", "Invalid value  for configuration retention.ms: Not a number of type LONG"),
        ("retention.ms", "-2", "Invalid value -2 for configuration retention.ms: Value must be at least -1"),
        (
            "segment.bytes",
            "5",
            "Invalid value 5 for configuration segment.bytes: Value must be at least 1048576",
        ),
        (
            "preallocate",
            "yes",
            "Invalid value yes for configuration preallocate: Expected value to be either true or false",
        ),
        (
            "cleanup.policy",
            "foo",
            "Invalid value foo for configuration cleanup.policy: String must be one of: compact, delete",
        ),
        (
            "compression.type",
            "x",
            "Invalid value x for configuration compression.type: String must be one of: uncompressed, zstd, lz4, \
             snappy, gzip, producer",
        ),
        (
            "compression.gzip.level",
            "0",
            "Invalid value 0 for configuration compression.gzip.level: Value must be between 1 and 9 or equal to -1",
        ),
        (
            "compression.lz4.level",
            "99",
            "Invalid value 99 for configuration compression.lz4.level: Value must be no more than 17",
        ),
        (
            "segment.ms",
            "99999999999999999999",
            "Invalid value 99999999999999999999 for configuration segment.ms: Not a number of type LONG",
        ),
    ] {
        assert_eq!(message(name, value), expected);
    }
}

#[test]
fn numbers_are_accepted_as_java_accepts_them() {
    for (name, value) in [("retention.ms", "+5"), ("retention.bytes", "-7"), ("preallocate", "TRUE")] {
        assert_eq!(validate_override(name, value), Ok(()), "{name}={value}");
    }
}

#[test]
fn settings_that_kafka_4_removed_are_unknown() {
    for name in
        ["message.format.version", "message.downconversion.enable", "message.timestamp.difference.max.ms"]
    {
        assert_eq!(message(name, "1"), format!("Unknown topic config name: {name}"));
    }
}

#[test]
fn policies_are_compact_delete_both_or_neither() {
    for (policy, compact, delete) in [
        ("compact", true, false),
        ("delete", false, true),
        ("compact,delete", true, true),
        ("delete, compact", true, true),
        ("", false, false),
    ] {
        let config = resolve(&[("cleanup.policy", policy)]).unwrap();
        assert_eq!(config.cleanup_policy, CleanupPolicy { compact, delete }, "{policy}");
    }
}

#[test]
fn compaction_lags_must_fit_each_other_and_the_defaults() {
    let expected = "conflict topic config setting min.compaction.lag.ms (10) > max.compaction.lag.ms (5)";
    let errors = resolve(&[("min.compaction.lag.ms", "10"), ("max.compaction.lag.ms", "5")]).unwrap_err();
    assert_eq!(errors.iter().map(ToString::to_string).collect::<Vec<_>>(), [expected]);

    let mut broker = BrokerConfig::default();
    broker.topic_defaults.min_compaction_lag_ms = 10;
    assert!(TopicConfig::resolve(&broker, &overrides(&[("max.compaction.lag.ms", "5")])).is_err());
}

#[test]
fn all_bad_overrides_are_reported() {
    assert_eq!(resolve(&[("a", "1"), ("retention.ms", "x"), ("retention.bytes", "1")]).unwrap_err().len(), 2);
}

/// A valid text of every key that is honoured.
fn any_overrides() -> impl Strategy<Value = BTreeMap<String, String>> {
    let honoured: Vec<_> = keys::of_topic().filter(|key| key.support == Support::Honoured).collect();
    let setting = (prop::sample::select(honoured), any::<i64>(), any::<bool>(), 0.0..1.0f64).prop_filter_map(
        "not valid for the key",
        |(key, number, flag, ratio)| {
            let text = match (key.value_type, key.rule) {
                (ValueType::Boolean, _) => flag.to_string(),
                (ValueType::Double, _) => ratio.to_string(),
                (_, Rule::OneOf(texts)) => {
                    (*texts.get(number.unsigned_abs() as usize % texts.len())?).to_owned()
                }
                (ValueType::Int, _) => ((number >> 33) as i32).to_string(),
                _ => number.to_string(),
            };
            key.read(&text).is_ok().then(|| (key.name.to_owned(), text))
        },
    );
    prop::collection::vec(setting, 0..12).prop_map(|settings| settings.into_iter().collect())
}

proptest! {
    #[test]
    fn printed_settings_resolve_to_the_same(overrides in any_overrides()) {
        let Ok(config) = TopicConfig::resolve(&BrokerConfig::default(), &overrides) else { return Ok(()) };
        let printed = config.values().into_iter().map(|(name, value)| (name.to_owned(), value.to_string())).collect();
        prop_assert_eq!(TopicConfig::resolve(&BrokerConfig::default(), &printed), Ok(config));
    }
}
