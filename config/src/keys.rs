//! The table of keys, the one place that says what a key is.
//!
//! A row is a [`Key`]. The rows are split by subject into the files below this one; [`all`] joins them. A name appears
//! once in each of the four namespaces: the keys of a broker, a topic, a group and a subscription to clients' metrics
//! (`compression.type` is a broker's and a topic's). Names, types, ranges and defaults are those of Apache Kafka 4.3 and 4.4; where a default differs, the row
//! says why.
//!
//! To add a key: a row here, a field in the typed struct, and a line where the struct is filled. Tests compare the three.

mod client_metrics;
mod coordinators;
mod families;
mod group;
mod groups;
mod log;
mod node;
mod ottla;
mod quorum;
mod remote;
mod replication;
mod security;
mod threads;
mod topic;

#[cfg(test)]
mod tests;

pub use families::{FAMILIES, Family};
pub(crate) use replication::RACK_AWARE_SELECTOR;

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::LazyLock;

use crate::error::ConfigError;
use crate::value::{self, Rule, Value, ValueType};

/// One key.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Key {
    /// Kafka's name, or one of our own that begins with `ottla.`.
    pub name: &'static str,
    /// What its values are.
    pub value_type: ValueType,
    /// Which of those are valid.
    pub rule: Rule,
    /// The value when nobody sets one; none is "unset".
    pub default: Option<&'static str>,
    /// The value when nobody sets one and the node is in a replica set, where that is another.
    pub default_in_set: Option<&'static str>,
    /// Kafka's default.
    pub kafka_default: KafkaDefault,
    /// Who sets it, and when.
    pub scope: Scope,
    /// The broker's keys that give a topic's or a group's key its default, the first that is set wins; empty for other keys.
    pub synonyms: &'static [Synonym],
    /// Whether this broker does what the key says.
    pub support: Support,
    /// What it does, in one sentence.
    pub doc: &'static str,
}

/// Kafka's default beside ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KafkaDefault {
    /// The same.
    Same,
    /// Another.
    Differs {
        /// Kafka's; none is "unset".
        value: Option<&'static str>,
        /// Why ours is another.
        why: &'static str,
    },
    /// Kafka has no such key.
    NoSuchKey,
}

/// Who sets a key, and when.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// The broker's configuration, at start.
    BrokerReadOnly,
    /// The same, where clients of Apache Kafka may change it while the broker runs.
    BrokerAtStart,
    /// The broker's configuration at start, and clients while it runs, for one broker or for all.
    BrokerDynamic,
    /// Clients, for a topic.
    Topic,
    /// Clients, for a group.
    Group,
    /// Clients, for a subscription to clients' metrics.
    ClientMetrics,
}

/// A key of the broker that stands for a topic's or a group's key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Synonym {
    /// The broker's key.
    pub name: &'static str,
    /// What its value is multiplied by to give the topic's, where both are numbers: 3,600,000 for hours to milliseconds.
    pub factor: i64,
}

/// Whether this broker does what a key says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Support {
    /// It does.
    Honoured,
    /// The key is accepted and changes nothing; a broker names it in one warning at start.
    Inert {
        /// Why that is no loss, or not yet done.
        why: &'static str,
    },
    /// Only the default is accepted.
    Refused {
        /// Why, and what to do instead.
        why: &'static str,
    },
}

/// All rows, by subject.
static TABLES: &[&[Key]] = &[
    ottla::KEYS,
    node::KEYS,
    log::KEYS,
    topic::KEYS,
    group::KEYS,
    client_metrics::KEYS,
    groups::KEYS,
    coordinators::KEYS,
    replication::KEYS,
    quorum::KEYS,
    remote::KEYS,
    security::KEYS,
    threads::KEYS,
];

/// Every key, by subject.
pub fn all() -> impl Iterator<Item = &'static Key> {
    TABLES.iter().flat_map(|table| table.iter())
}

/// Every key that a broker's configuration may hold.
pub fn of_broker() -> impl Iterator<Item = &'static Key> {
    all().filter(|key| key.is_of_broker())
}

/// Every key that a topic may override.
pub fn of_topic() -> impl Iterator<Item = &'static Key> {
    topic::KEYS.iter()
}

/// Every key that a group may override.
pub fn of_group() -> impl Iterator<Item = &'static Key> {
    group::KEYS.iter()
}

/// Every key that a subscription to clients' metrics may have.
pub fn of_client_metrics() -> impl Iterator<Item = &'static Key> {
    client_metrics::KEYS.iter()
}

/// The broker's key of that name.
#[must_use]
pub fn broker_key(name: &str) -> Option<&'static Key> {
    static BY_NAME: LazyLock<BTreeMap<&str, &Key>> =
        LazyLock::new(|| of_broker().map(|key| (key.name, key)).collect());
    BY_NAME.get(name).copied()
}

/// The family that a name belongs to which is no key of the table.
#[must_use]
pub fn family(name: &str) -> Option<&'static Family> {
    FAMILIES.iter().find(|family| name.starts_with(family.prefix))
}

/// The topic's key of that name.
#[must_use]
pub fn topic_key(name: &str) -> Option<&'static Key> {
    of_topic().find(|key| key.name == name)
}

/// The group's key of that name.
#[must_use]
pub fn group_key(name: &str) -> Option<&'static Key> {
    of_group().find(|key| key.name == name)
}

/// The key of that name of a subscription to clients' metrics.
#[must_use]
pub fn client_metrics_key(name: &str) -> Option<&'static Key> {
    of_client_metrics().find(|key| key.name == name)
}

/// The broker's keys that mean the same as `name`, in the order in which they count, `name` among them.
///
/// Source: DynamicBrokerConfig.brokerConfigSynonyms.
#[must_use]
pub fn broker_synonyms(name: &'static str) -> Vec<&'static str> {
    // The scheduler's interval stands in for log.flush.interval.ms, and not the other way round.
    if name == "log.flush.scheduler.interval.ms" {
        return vec![name];
    }
    of_topic()
        .find(|key| key.synonyms.iter().any(|synonym| synonym.name == name))
        .map_or_else(|| vec![name], |key| key.synonyms.iter().map(|synonym| synonym.name).collect())
}

impl Key {
    /// Reads a value of this key, and says whether this broker accepts it.
    ///
    /// # Errors
    /// When the value is not of the key's type, breaks its rule, or asks for what this broker does not do.
    pub fn read(&self, text: &str) -> Result<Value, ConfigError> {
        let value =
            value::read(text, self.value_type, self.rule).map_err(|reason| ConfigError::InvalidValue {
                name: self.name.to_owned(),
                value: self.shown(value::culprit(text, self.value_type, &reason)).to_owned(),
                reason,
            })?;
        match self.refusal(&value) {
            None => Ok(value),
            Some(why) => Err(ConfigError::NotSupported {
                name: self.name.to_owned(),
                value: self.shown(text).to_owned(),
                why,
            }),
        }
    }

    /// Whether a broker's configuration may hold the key.
    #[must_use]
    pub fn is_of_broker(&self) -> bool {
        matches!(self.scope, Scope::BrokerReadOnly | Scope::BrokerAtStart | Scope::BrokerDynamic)
    }

    /// Whether clients may change the key while the broker runs.
    #[must_use]
    pub fn is_dynamic(&self) -> bool {
        self.scope == Scope::BrokerDynamic
    }

    /// What an operator is told of the key: what it does, or that it does nothing and why.
    #[must_use]
    pub fn documentation(&self) -> Cow<'static, str> {
        match self.support {
            Support::Honoured => Cow::Borrowed(self.doc),
            Support::Inert { why } => Cow::Owned(format!("Accepted, and changes nothing: {why}.")),
            Support::Refused { why } => Cow::Owned(format!("Only the default is accepted: {why}.")),
        }
    }

    /// Why this broker does not take a valid value.
    fn refusal(&self, value: &Value) -> Option<&'static str> {
        match self.support {
            Support::Refused { why } if !self.is_default(value) => Some(why),
            Support::Honoured | Support::Inert { .. } | Support::Refused { .. } => None,
        }
    }

    /// The value, or stars for what is never shown.
    fn shown<'a>(&self, text: &'a str) -> &'a str {
        if self.value_type.is_sensitive() { "****" } else { text }
    }

    fn is_default(&self, value: &Value) -> bool {
        self.default.and_then(|text| value::read(text, self.value_type, Rule::Any).ok()).as_ref()
            == Some(value)
            || self.default.is_none() && value.to_string().is_empty()
    }

    /// A row for a key of the broker that is read at start.
    const fn broker(
        name: &'static str,
        value_type: ValueType,
        default: Option<&'static str>,
        doc: &'static str,
    ) -> Self {
        Self {
            name,
            value_type,
            rule: Rule::Any,
            default,
            default_in_set: None,
            kafka_default: KafkaDefault::Same,
            scope: Scope::BrokerReadOnly,
            synonyms: &[],
            support: Support::Honoured,
            doc,
        }
    }

    /// A row for a key of the broker that clients may change while it runs.
    const fn dynamic(
        name: &'static str,
        value_type: ValueType,
        default: Option<&'static str>,
        doc: &'static str,
    ) -> Self {
        Self::broker(name, value_type, default, doc).dynamically()
    }

    /// A row for a key of our own.
    const fn ours(
        name: &'static str,
        value_type: ValueType,
        default: Option<&'static str>,
        doc: &'static str,
    ) -> Self {
        let mut key = Self::broker(name, value_type, default, doc);
        key.kafka_default = KafkaDefault::NoSuchKey;
        key
    }

    /// A row for a key of a topic.
    const fn topic(
        name: &'static str,
        value_type: ValueType,
        default: &'static str,
        doc: &'static str,
    ) -> Self {
        let mut key = Self::broker(name, value_type, Some(default), doc);
        key.scope = Scope::Topic;
        key
    }

    /// A row for a key of the broker that changes nothing, and why.
    const fn inert(
        name: &'static str,
        value_type: ValueType,
        default: Option<&'static str>,
        why: &'static str,
    ) -> Self {
        let mut key = Self::broker(name, value_type, default, why);
        key.support = Support::Inert { why };
        key
    }

    /// A row for a key of the broker of which only the default is accepted, and why.
    const fn refused(
        name: &'static str,
        value_type: ValueType,
        default: Option<&'static str>,
        why: &'static str,
    ) -> Self {
        let mut key = Self::broker(name, value_type, default, why);
        key.support = Support::Refused { why };
        key
    }

    /// Clients may change the key while the broker runs.
    const fn dynamically(mut self) -> Self {
        self.scope = Scope::BrokerDynamic;
        self
    }

    /// Clients may not change the key while the broker runs, though they may that of Apache Kafka.
    const fn at_start(mut self) -> Self {
        self.scope = Scope::BrokerAtStart;
        self
    }

    const fn rule(mut self, rule: Rule) -> Self {
        self.rule = rule;
        self
    }

    const fn in_set(mut self, default: &'static str) -> Self {
        self.default_in_set = Some(default);
        self
    }

    const fn synonyms(mut self, synonyms: &'static [Synonym]) -> Self {
        self.synonyms = synonyms;
        self
    }

    const fn support(mut self, support: Support) -> Self {
        self.support = support;
        self
    }

    const fn differs(mut self, kafka: Option<&'static str>, why: &'static str) -> Self {
        self.kafka_default = KafkaDefault::Differs { value: kafka, why };
        self
    }
}
