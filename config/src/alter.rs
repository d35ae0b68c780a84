//! How a client changes a setting: list operations, and which keys of a broker may change while it runs.
//!
//! Where a change is kept and how it reaches the broker is not known here. Source: KIP-339, KIP-226.

use std::fmt;

use crate::broker::{BrokerConfig, BrokerLayers};
use crate::error::{ConfigError, Threads, ThreadsProblem};
use crate::keys::{self, Key, Scope, Support};
use crate::value::{self, ValueType};

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

/// Whether clients may change that key of the broker while it runs, to an effect.
#[must_use]
pub fn is_dynamic_broker_key(name: &str) -> bool {
    keys::broker_key(name)
        .is_some_and(|key| key.scope == Scope::BrokerDynamic && key.support == Support::Honoured)
}

/// Checks a value that a client wants to give to a key of the broker.
///
/// # Errors
/// When there is no such key, it may not change while the broker runs, or the value is not accepted.
pub fn validate_dynamic(name: &str, value: &str) -> Result<(), ConfigError> {
    let key =
        keys::broker_key(name).ok_or_else(|| ConfigError::UnknownBrokerKey { name: name.to_owned() })?;
    match (key.scope, key.support) {
        // A dynamic key that is refused takes its default, and says of other values why not.
        (Scope::BrokerDynamic, Support::Honoured | Support::Refused { .. }) => key.read(value).map(|_| ()),
        (Scope::BrokerDynamic, Support::Inert { .. })
        | (Scope::BrokerReadOnly | Scope::Topic | Scope::Group | Scope::ClientMetrics, _) => {
            Err(ConfigError::NotDynamic { name: name.to_owned() })
        }
    }
}

/// Checks the settings that a node would have after a change that a client wants, beside those that it has.
///
/// # Errors
/// When a value is not accepted, two contradict each other, or a number of threads changes by more than a factor of two.
/// Source: DynamicThreadPool.java, LogCleaner.validateReconfiguration.
pub fn validate_change(before: &BrokerLayers, after: &BrokerLayers) -> Result<(), ConfigError> {
    let first = |errors: Vec<ConfigError>| errors.into_iter().next();
    let resolved = BrokerConfig::resolve(after).map_err(first);
    let after = match resolved {
        Ok(after) => after,
        Err(error) => return error.map_or(Ok(()), Err),
    };
    let Ok(before) = BrokerConfig::resolve(before) else { return Ok(()) };
    let recovery = (before.num_recovery_threads_per_data_dir, after.num_recovery_threads_per_data_dir);
    let cleaner = (before.log_cleaner_threads, after.log_cleaner_threads);
    check_threads(Threads::Recovery, recovery).and_then(|()| check_threads(Threads::Cleaner, cleaner))
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

    #[test]
    fn only_dynamic_keys_change_at_run_time() {
        assert_eq!(validate_dynamic("log.retention.ms", "5"), Ok(()));
        assert_eq!(
            validate_dynamic("node.id", "5").unwrap_err().to_string(),
            "Cannot update these configs dynamically: [node.id]"
        );
        assert_eq!(
            validate_dynamic("log.retention.ms", "abc").unwrap_err().to_string(),
            "Invalid value abc for configuration log.retention.ms: Not a number of type LONG"
        );
        assert!(validate_dynamic("num.io.threads", "4").is_err() && validate_dynamic("nope", "4").is_err());
    }

    #[test]
    fn replication_is_throttled_at_run_time_and_what_does_not_happen_is_not() {
        for name in ["leader.replication.throttled.rate", "follower.replication.throttled.rate"] {
            assert_eq!(validate_dynamic(name, "1000000"), Ok(()));
            assert!(validate_dynamic(name, "-1").is_err());
        }
        let moves = "replica.alter.log.dirs.io.max.bytes.per.second";
        assert_eq!(
            validate_dynamic(moves, "1000000").unwrap_err().to_string(),
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
        let layers = |recovery: &str, cleaner: &str| BrokerLayers {
            dynamic_broker: [
                ("num.recovery.threads.per.data.dir".to_owned(), recovery.to_owned()),
                ("log.cleaner.threads".to_owned(), cleaner.to_owned()),
            ]
            .into(),
            ..BrokerLayers::default()
        };
        let change = |recovery: &str, cleaner: &str| {
            let told = validate_change(&layers("8", "4"), &layers(recovery, cleaner));
            let told = told.map_or_else(|error| error.to_string(), |()| String::new());
            let begin = "Invalid value org.apache.kafka.common.config.ConfigException: ";
            let rest = told.strip_prefix(begin).unwrap_or(&told);
            rest.strip_suffix(" for configuration Invalid dynamic configuration").unwrap_or(rest).to_owned()
        };
        for (recovery, cleaner) in [("8", "4"), ("4", "8"), ("16", "2")] {
            assert_eq!(change(recovery, cleaner), "");
        }
        let recovery = "Dynamic thread count update validation failed for num.recovery.threads.per.data.dir=";
        assert_eq!(
            change("3", "4"),
            format!("{recovery}3, value should be at least half the current value 8")
        );
        assert_eq!(
            change("17", "4"),
            format!("{recovery}17, value should not be greater than double the current value 8")
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
