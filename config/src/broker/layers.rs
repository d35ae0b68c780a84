//! Where the settings of a broker come from, one above the other.

use std::collections::BTreeMap;

use crate::keys::{self, Key};
use crate::value::{self, Rule, Value};

/// The settings of a broker by origin, as text; a later field wins over an earlier one, and all over the defaults.
///
/// Only keys that were set are in them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BrokerLayers {
    /// From the file, the environment and the command line, merged.
    pub explicit: BTreeMap<String, String>,
    /// What clients set for all brokers.
    pub dynamic_default: BTreeMap<String, String>,
    /// What clients set for this broker.
    pub dynamic_broker: BTreeMap<String, String>,
}

impl BrokerLayers {
    /// The value that holds for a key of the broker; none when it is unset and has no default.
    #[must_use]
    pub fn value(&self, key: &Key) -> Option<&str> {
        self.explicitly(key.name).or_else(|| self.default_of(key))
    }

    /// The value of a key of the broker when nobody sets it; none when it has no default.
    #[must_use]
    pub fn default_of(&self, key: &Key) -> Option<&'static str> {
        key.default_in_set.filter(|_| self.is_in_set()).or(key.default)
    }

    /// Whether the node is in a replica set, which only what it is started with can say.
    fn is_in_set(&self) -> bool {
        self.explicit.get("ottla.replica.set").is_some_and(|nodes| !nodes.trim().is_empty())
    }

    /// The value that someone gave to a key of the broker.
    #[must_use]
    pub fn explicitly(&self, name: &str) -> Option<&str> {
        [&self.dynamic_broker, &self.dynamic_default, &self.explicit]
            .into_iter()
            .find_map(|layer| layer.get(name))
            .map(String::as_str)
    }

    /// The value of a topic's key for topics that do not override it: from the first of the broker's keys for it that
    /// is set or has a default.
    #[must_use]
    pub fn topic_default(&self, topic_key: &Key) -> String {
        topic_key
            .synonyms
            .iter()
            .find_map(|synonym| {
                let key = keys::broker_key(synonym.name)?;
                let text = self.value(key)?;
                match value::read(text, key.value_type, Rule::Any).ok()? {
                    Value::Integer(number) if number < 0 => Some(number.to_string()),
                    Value::Integer(number) => Some(number.saturating_mul(synonym.factor).to_string()),
                    other => Some(other.to_string()),
                }
            })
            .or_else(|| topic_key.default.map(str::to_owned))
            .unwrap_or_default()
    }
}
