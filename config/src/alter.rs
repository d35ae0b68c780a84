//! How a client changes a setting: list operations, and which keys of a broker may change while it runs.
//!
//! Those that Apache Kafka changes while it runs are taken, also where they change nothing here, and so are names that are
//! no keys at all (Kafka's plug-ins are told of those): [`crate::without_effect`] is what the log says of them. Keys of
//! encryption and authentication are refused, since whoever sets one relies on it, and so is what the node is only told at its
//! start. Where a change is kept and how it reaches the broker is not known here.
//! Source: KIP-339, KIP-226, DynamicBrokerConfig.java.

use std::collections::BTreeMap;
use std::fmt;

use crate::broker::{BrokerConfig, BrokerLayers};
use crate::error::{ConfigError, Threads, ThreadsProblem};
use crate::keys::{self, Key, Scope, Support};
use crate::value::{self, Rule, ValueType};

/// The most bytes that the settings of one broker take which are none of its keys, names and values together. Larger: a
/// client that makes names up grows images and snapshots. Smaller: not all settings of a plug-in are kept.
pub const CUSTOM_BYTES_MAX: usize = 65_536;

/// How our own keys begin: a name that does and is none of them is a mistake, and no setting of a plug-in.
const OURS: &str = "ottla.";

/// What IncrementalAlterConfigs can do to a list beside setting it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ListOperation {
    /// Add the entries that are not there.
    Append,
    /// Take the entries away that are there.
    Subtract,
}

impl fmt::Display for ListOperation {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Append => "APPEND",
            Self::Subtract => "SUBTRACT",
        })
    }
}

/// The new value of a list after `operation` with the entries of `operand`.
///
/// `current` is the value that is set; where none is, the operation starts from the key's default. The result is not
/// validated: [`Key::read`] does that.
///
/// # Errors
/// When the key is no list.
pub fn list(
    key: &Key,
    operation: ListOperation,
    current: Option<&str>,
    operand: &str,
) -> Result<String, ConfigError> {
    if key.value_type != ValueType::List {
        return Err(ConfigError::NotAList { name: key.name.to_owned(), operation });
    }
    let mut entries = value::split_list(current.or(key.default).unwrap_or(""));
    let operand = value::split_list(operand);
    match operation {
        ListOperation::Append => {
            for entry in operand {
                if !entries.contains(&entry) {
                    entries.push(entry);
                }
            }
        }
        ListOperation::Subtract => entries.retain(|entry| !operand.contains(entry)),
    }
    Ok(entries.join(","))
}

/// Checks all values that a client wants the keys of a broker to have, each by itself.
///
/// # Errors
/// When a key may not change while the broker runs, or a value is not accepted.
pub fn validate_dynamic(settings: &BTreeMap<String, String>) -> Result<(), ConfigError> {
    let keys = settings.keys().filter_map(|name| keys::broker_key(name));
    let fixed: Vec<&str> =
        keys.filter(|key| key.scope == Scope::BrokerReadOnly).map(|key| key.name).collect();
    if !fixed.is_empty() {
        return Err(ConfigError::NotDynamic { names: fixed.join(", ") });
    }
    let mut custom_bytes = 0;
    for (name, value) in settings {
        match keys::broker_key(name) {
            Some(key) => validate_key(key, value)?,
            None => {
                validate_custom(name)?;
                custom_bytes += name.len() + value.len();
            }
        }
    }
    if custom_bytes > CUSTOM_BYTES_MAX { Err(ConfigError::TooManyCustomKeys) } else { Ok(()) }
}

fn validate_key(key: &Key, value: &str) -> Result<(), ConfigError> {
    let name = key.name.to_owned();
    match key.scope {
        // A key that is refused takes its default, and says of other values why not.
        Scope::BrokerDynamic => key.read(value).map(|_| ()),
        Scope::BrokerAtStart => Err(ConfigError::AtStart { name }),
        Scope::BrokerReadOnly | Scope::Topic | Scope::Group | Scope::ClientMetrics => {
            Err(ConfigError::NotDynamic { names: name })
        }
    }
}

fn validate_custom(name: &str) -> Result<(), ConfigError> {
    match keys::family(name).map(|family| family.support) {
        // The value may be a secret: what such a key holds is not known here.
        Some(Support::Refused { why }) => {
            Err(ConfigError::NotSupported { name: name.to_owned(), value: "****".to_owned(), why })
        }
        Some(Support::Honoured | Support::Inert { .. }) => Ok(()),
        None if name.starts_with(OURS) => Err(ConfigError::UnknownBrokerKey { name: name.to_owned() }),
        None => Ok(()),
    }
}

/// Checks the settings that a node would have after a change that a client wants, beside those that it has.
///
/// # Errors
/// When a value is not accepted, two contradict each other, or a number of threads changes by more than a factor of two.
/// Source: DynamicThreadPool.java, LogCleaner.validateReconfiguration.
pub fn validate_change(before: &BrokerLayers, after: &BrokerLayers) -> Result<(), ConfigError> {
    if let Err(errors) = BrokerConfig::resolve(after)
        && let Some(first) = errors.into_iter().next()
    {
        return Err(first);
    }
    let cleaner = keys::broker_key("log.cleaner.threads").map(|key| (Threads::Cleaner, key));
    let pools = keys::of_broker().filter(|key| key.rule == Rule::Threads);
    pools.map(|key| (Threads::Pool(key.name), key)).chain(cleaner).try_for_each(|(threads, key)| {
        let count = |layers: &BrokerLayers| layers.value(key).and_then(|text| text.trim().parse().ok());
        count(before).zip(count(after)).map_or(Ok(()), |counts| check_threads(threads, counts))
    })
}

fn check_threads(threads: Threads, (current, wanted): (i32, i32)) -> Result<(), ConfigError> {
    let problem = if wanted == current {
        return Ok(());
    } else if wanted < 1 {
        ThreadsProblem::None
    } else if wanted < current / 2 {
        ThreadsProblem::TooFew
    } else if i64::from(wanted) > 2 * i64::from(current) {
        ThreadsProblem::TooMany
    } else {
        return Ok(());
    };
    Err(ConfigError::Threads { threads, problem, current, wanted })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn policy(operation: ListOperation, current: Option<&str>, operand: &str) -> String {
        list(keys::topic_key("cleanup.policy").unwrap(), operation, current, operand).unwrap()
    }

    #[test]
    fn append_adds_what_is_not_there() {
        assert_eq!(policy(ListOperation::Append, Some("delete"), "compact, delete"), "delete,compact");
        assert_eq!(policy(ListOperation::Append, Some(""), "compact"), "compact");
    }

    #[test]
    fn append_to_an_unset_key_starts_from_its_default() {
        assert_eq!(policy(ListOperation::Append, None, "compact"), "delete,compact");
    }

    #[test]
    fn subtract_takes_away_what_is_there() {
        assert_eq!(policy(ListOperation::Subtract, Some("compact,delete"), "compact,other"), "delete");
        assert_eq!(policy(ListOperation::Subtract, None, "delete"), "");
    }

    #[test]
    fn list_operation_on_a_number_is_refused_as_kafka_does() {
        let error =
            list(keys::topic_key("segment.bytes").unwrap(), ListOperation::Append, None, "1").unwrap_err();
        assert_eq!(error.to_string(), "Can't APPEND to key segment.bytes because its type is not LIST.");
    }

    /// What a client is told that gives the key this value; empty where it is taken.
    fn told(name: &str, value: &str) -> String {
        let answer = validate_dynamic(&[(name.to_owned(), value.to_owned())].into());
        answer.map_or_else(|error| error.to_string(), |()| String::new())
    }

    #[test]
    fn only_dynamic_keys_change_at_run_time() {
        assert_eq!(told("log.retention.ms", "5"), "");
        assert_eq!(told("node.id", "5"), "Cannot update these configs dynamically: [node.id]");
        assert_eq!(
            told("log.retention.ms", "abc"),
            "Invalid value abc for configuration log.retention.ms: Not a number of type LONG"
        );
        let both = ["node.id", "log.dirs", "log.retention.ms"].map(|name| (name.to_owned(), "5".to_owned()));
        assert_eq!(
            validate_dynamic(&both.into()).unwrap_err().to_string(),
            "Cannot update these configs dynamically: [log.dirs, node.id]"
        );
        assert_eq!(
            told("listeners", "PLAINTEXT://:9093"),
            "listeners cannot change while a node runs: give it to the node at its start"
        );
        assert_eq!(
            told("ssl.keystore.location", "/x"),
            "Cannot update these configs dynamically: [ssl.keystore.location]"
        );
    }

    #[test]
    fn one_wrong_entry_of_a_list_is_named_alone() {
        assert_eq!(
            told("log.cleanup.policy", "delete, shred"),
            "Invalid value shred for configuration log.cleanup.policy: String must be one of: compact, delete"
        );
    }

    #[test]
    fn what_changes_nothing_is_taken_as_kafka_takes_it() {
        for (name, value) in
            [("num.io.threads", "4"), ("no.such.key", ""), ("zookeeper.connect", "here:2181")]
        {
            assert_eq!(told(name, value), "", "{name}");
        }
        assert_eq!(
            told("num.io.threads", "0"),
            "Invalid value 0 for configuration num.io.threads: Value must be at least 1"
        );
        assert_eq!(told("ottla.durabilty", "flushed"), "Unknown broker config name: ottla.durabilty");
        let keystore = "listener.name.plaintext.ssl.keystore.location";
        assert_eq!(
            told(keystore, "/x"),
            format!("{keystore}=**** is not supported: settings for one listener alone are not there yet")
        );
    }

    #[test]
    fn custom_settings_are_bounded_in_all() {
        let half = "x".repeat(CUSTOM_BYTES_MAX / 2 - 1);
        let mut settings = BTreeMap::from([("a".to_owned(), half.clone()), ("b".to_owned(), half)]);
        assert_eq!(validate_dynamic(&settings), Ok(()));
        settings.insert("c".to_owned(), String::new());
        assert_eq!(validate_dynamic(&settings), Err(ConfigError::TooManyCustomKeys));
    }

    #[test]
    fn replication_is_throttled_at_run_time_and_what_does_not_happen_is_not() {
        for name in ["leader.replication.throttled.rate", "follower.replication.throttled.rate"] {
            assert_eq!(told(name, "1000000"), "");
            assert_ne!(told(name, "-1"), "");
        }
        let moves = "replica.alter.log.dirs.io.max.bytes.per.second";
        assert_eq!(
            told(moves, "1000000"),
            format!(
                "{moves}=1000000 is not supported: a node has one data directory, so no replica moves between two"
            )
        );
    }

    #[test]
    fn setting_of_one_broker_wins_over_that_of_all_and_over_the_file() {
        let set = |value: &str| [("log.retention.ms".to_owned(), value.to_owned())].into();
        let mut layers =
            BrokerLayers { explicit: set("1"), dynamic_default: set("2"), dynamic_broker: set("3") };
        let retention_ms =
            |layers: &BrokerLayers| BrokerConfig::resolve(layers).unwrap().topic_defaults.retention_ms;
        assert_eq!(retention_ms(&layers), 3);
        layers.dynamic_broker.clear();
        assert_eq!(retention_ms(&layers), 2);
        layers.dynamic_default.clear();
        assert_eq!(retention_ms(&layers), 1);
        layers.explicit.clear();
        assert_eq!(retention_ms(&layers), 604_800_000);
    }

    #[test]
    fn settings_that_contradict_each_other_do_not_resolve() {
        let mut layers = BrokerLayers::default();
        layers.dynamic_broker.insert("log.cleaner.min.compaction.lag.ms".to_owned(), "10".to_owned());
        layers.explicit.insert("log.cleaner.max.compaction.lag.ms".to_owned(), "5".to_owned());
        assert_eq!(
            BrokerConfig::resolve(&layers),
            Err(vec![ConfigError::CompactionLags { min_ms: 10, max_ms: 5 }])
        );
    }

    #[test]
    fn threads_change_by_a_factor_of_two_at_most_in_kafkas_words() {
        let layers = |pool: &str, cleaner: &str| BrokerLayers {
            dynamic_broker: [
                ("num.io.threads".to_owned(), pool.to_owned()),
                ("log.cleaner.threads".to_owned(), cleaner.to_owned()),
            ]
            .into(),
            ..BrokerLayers::default()
        };
        let change = |pool: &str, cleaner: &str| {
            let told = validate_change(&layers("8", "4"), &layers(pool, cleaner));
            let told = told.map_or_else(|error| error.to_string(), |()| String::new());
            let begin = "Invalid value org.apache.kafka.common.config.ConfigException: ";
            let rest = told.strip_prefix(begin).unwrap_or(&told);
            rest.strip_suffix(" for configuration Invalid dynamic configuration").unwrap_or(rest).to_owned()
        };
        for (pool, cleaner) in [("8", "4"), ("4", "8"), ("16", "2")] {
            assert_eq!(change(pool, cleaner), "");
        }
        let pool = "Dynamic thread count update validation failed for num.io.threads=";
        assert_eq!(change("3", "4"), format!("{pool}3, value should be at least half the current value 8"));
        assert_eq!(
            change("17", "4"),
            format!("{pool}17, value should not be greater than double the current value 8")
        );
        assert_eq!(change("8", "0"), "Log cleaner threads should be at least 1");
        assert_eq!(
            change("8", "1"),
            "Log cleaner threads cannot be reduced to less than half the current value 4"
        );
        assert_eq!(
            change("8", "9"),
            "Log cleaner threads cannot be increased to more than double the current value 4"
        );
        let mut contradicting = layers("8", "4");
        contradicting.dynamic_default = [
            ("log.cleaner.min.compaction.lag.ms".to_owned(), "10".to_owned()),
            ("log.cleaner.max.compaction.lag.ms".to_owned(), "5".to_owned()),
        ]
        .into();
        assert!(matches!(
            validate_change(&layers("8", "4"), &contradicting),
            Err(ConfigError::CompactionLags { min_ms: 10, max_ms: 5 })
        ));
    }
}
