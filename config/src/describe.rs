//! What DescribeConfigs answers: every setting with its value, and where that came from.
//!
//! A setting's source is that of the first of its synonyms, as in Apache Kafka. Declarative tools compare sources to
//! tell what was set from what is a default, so a wrong one shows up there as a change that never ends. Source: KIP-226,
//! ConfigHelper.scala.

#[cfg(test)]
mod tests;

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

use crate::broker::BrokerLayers;
use crate::keys::{self, Key, Support};
use crate::value::ValueType;
use crate::without_effect;

/// One setting, as it is.
#[derive(Clone, Debug, PartialEq)]
pub struct DescribedConfig {
    /// The key.
    pub name: Cow<'static, str>,
    /// The value that holds; none when it is unset or never shown.
    pub value: Option<String>,
    /// Whether clients cannot change it.
    pub read_only: bool,
    /// Where the value came from.
    pub source: ConfigSource,
    /// Whether the value is never shown.
    pub is_sensitive: bool,
    /// What its values are; none of what is no key.
    pub config_type: Option<ValueType>,
    /// Every setting that gives this one a value, the one that holds first.
    pub synonyms: Vec<ConfigSynonym>,
    /// What the key does.
    pub documentation: Cow<'static, str>,
}

/// A setting that gives another one its value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigSynonym {
    /// Its key.
    pub name: Cow<'static, str>,
    /// Its value; none when it is never shown.
    pub value: Option<String>,
    /// Where it is set.
    pub source: ConfigSource,
}

/// Where a value came from, with Kafka's numbers. Source: DescribeConfigsResponse.ConfigSource.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(i8)]
pub enum ConfigSource {
    /// A client set it for the topic.
    DynamicTopic = 1,
    /// A client set it for this broker.
    DynamicBroker = 2,
    /// A client set it for all brokers.
    DynamicDefaultBroker = 3,
    /// The file, the environment or the command line.
    StaticBroker = 4,
    /// Nobody set it.
    Default = 5,
    /// A client set it for one of the broker's loggers.
    DynamicBrokerLogger = 6,
    /// A client set it for a subscription to client metrics.
    ClientMetrics = 7,
    /// A client set it for the group.
    Group = 8,
}

impl ConfigSource {
    /// The number on the wire.
    #[must_use]
    pub fn wire_number(self) -> i8 {
        self as i8
    }
}

/// The settings of a topic: every key, by subject.
#[must_use]
pub fn topic(layers: &BrokerLayers, overrides: &BTreeMap<String, String>) -> Vec<DescribedConfig> {
    keys::of_topic()
        .map(|key| {
            let text = overrides.get(key.name).cloned().unwrap_or_else(|| layers.topic_default(key));
            let value = printed(key, &text);
            let names: Vec<&'static str> = key.synonyms.iter().map(|synonym| synonym.name).collect();
            let mut synonyms = broker_synonyms(layers, &names, names.first().copied());
            if overrides.contains_key(key.name) {
                let own = ConfigSynonym {
                    name: key.name.into(),
                    value: Some(value.clone()),
                    source: ConfigSource::DynamicTopic,
                };
                synonyms.insert(0, own);
            }
            described(key, Some(value), false, synonyms)
        })
        .collect()
}

/// The settings of this broker: the keys that mean something here, and the others that somebody set.
///
/// What clients set that is no key at all is never shown, as in Kafka: it may be a plug-in's secret.
#[must_use]
pub fn broker(layers: &BrokerLayers) -> Vec<DescribedConfig> {
    keys::of_broker()
        .filter(|key| is_meant(key) || layers.explicitly(key.name).is_some())
        .map(|key| {
            let value = layers.value(key).map(|text| printed(key, text));
            let synonyms = broker_synonyms(layers, &keys::broker_synonyms(key.name), Some(key.name));
            described(key, value, !key.is_dynamic(), synonyms)
        })
        .chain(custom(&[
            (&layers.dynamic_broker, ConfigSource::DynamicBroker),
            (&layers.dynamic_default, ConfigSource::DynamicDefaultBroker),
        ]))
        .collect()
}

/// What clients set for all brokers: nothing but that.
#[must_use]
pub fn cluster_default(layers: &BrokerLayers) -> Vec<DescribedConfig> {
    keys::of_broker()
        .filter_map(|key| {
            let value = layers.dynamic_default.get(key.name)?;
            let synonyms = broker_synonyms(layers, &keys::broker_synonyms(key.name), Some(key.name))
                .into_iter()
                .filter(|synonym| synonym.source == ConfigSource::DynamicDefaultBroker)
                .collect();
            Some(described(key, Some(printed(key, value)), !key.is_dynamic(), synonyms))
        })
        .chain(custom(&[(&layers.dynamic_default, ConfigSource::DynamicDefaultBroker)]))
        .collect()
}

/// What clients set that is no key of the broker.
fn custom(set: &[(&BTreeMap<String, String>, ConfigSource)]) -> Vec<DescribedConfig> {
    let names: BTreeSet<&String> = set
        .iter()
        .flat_map(|(layer, _)| layer.keys())
        .filter(|name| keys::broker_key(name).is_none())
        .collect();
    let described = |name: &String| {
        let synonyms: Vec<_> = set
            .iter()
            .filter(|(layer, _)| layer.contains_key(name))
            .map(|&(_, source)| ConfigSynonym { name: name.clone().into(), value: None, source })
            .collect();
        DescribedConfig {
            name: name.clone().into(),
            value: None,
            read_only: true,
            source: synonyms.first().map_or(ConfigSource::Default, |synonym| synonym.source),
            is_sensitive: true,
            config_type: None,
            synonyms,
            documentation: without_effect::reason(name)
                .map(|why| format!("Accepted, and changes nothing: {why}."))
                .unwrap_or_default()
                .into(),
        }
    };
    names.into_iter().map(described).collect()
}

/// The settings of a group: every key.
#[must_use]
pub fn group(layers: &BrokerLayers, overrides: &BTreeMap<String, String>) -> Vec<DescribedConfig> {
    keys::of_group()
        .map(|key| {
            let text = overrides.get(key.name).cloned().unwrap_or_else(|| layers.topic_default(key));
            let value = printed(key, &text);
            let names: Vec<&'static str> = key.synonyms.iter().map(|synonym| synonym.name).collect();
            let mut synonyms = broker_synonyms(layers, &names, names.first().copied());
            let own = |source| ConfigSynonym { name: key.name.into(), value: Some(value.clone()), source };
            if names.is_empty() {
                synonyms.push(own(ConfigSource::Default));
            }
            if overrides.contains_key(key.name) {
                synonyms.insert(0, own(ConfigSource::Group));
            }
            described(key, Some(value), false, synonyms)
        })
        .collect()
}

/// The loggers of a broker, with their levels. Source: KIP-412.
#[must_use]
pub fn loggers(levels: Vec<(&'static str, &'static str)>) -> Vec<DescribedConfig> {
    let described = |(name, level): (&'static str, &'static str)| DescribedConfig {
        name: name.into(),
        value: Some(level.to_owned()),
        read_only: false,
        source: ConfigSource::DynamicBrokerLogger,
        is_sensitive: false,
        config_type: None,
        synonyms: Vec::new(),
        documentation: "The least severe lines that the module logs; FATAL is none.".into(),
    };
    levels.into_iter().map(described).collect()
}

/// The settings of a subscription to clients' metrics: every key.
#[must_use]
pub fn client_metrics(overrides: &BTreeMap<String, String>) -> Vec<DescribedConfig> {
    keys::of_client_metrics()
        .map(|key| {
            let set = overrides.get(key.name).map(|text| printed(key, text));
            let own = |value: &String| ConfigSynonym {
                name: key.name.into(),
                value: Some(value.clone()),
                source: ConfigSource::ClientMetrics,
            };
            let synonyms = set.iter().map(own).collect();
            described(key, set.or_else(|| key.default.map(str::to_owned)), false, synonyms)
        })
        .collect()
}

fn described(
    key: &Key,
    value: Option<String>,
    read_only: bool,
    synonyms: Vec<ConfigSynonym>,
) -> DescribedConfig {
    let is_sensitive = key.value_type.is_sensitive();
    DescribedConfig {
        name: key.name.into(),
        value: value.filter(|_| !is_sensitive),
        read_only,
        source: synonyms.first().map_or(ConfigSource::Default, |synonym| synonym.source),
        is_sensitive,
        config_type: Some(key.value_type),
        synonyms,
        documentation: key.documentation(),
    }
}

/// What gives a key of the broker its value, the one that counts first.
///
/// `names` mean the same; what comes before `primary` is left out, as Kafka does: a file that sets
/// `log.retention.hours` leaves the source of `retention.ms` a default.
fn broker_synonyms(
    layers: &BrokerLayers,
    names: &[&'static str],
    primary: Option<&'static str>,
) -> Vec<ConfigSynonym> {
    let set = [
        (&layers.dynamic_broker, ConfigSource::DynamicBroker),
        (&layers.dynamic_default, ConfigSource::DynamicDefaultBroker),
        (&layers.explicit, ConfigSource::StaticBroker),
    ];
    let is_sensitive = |name: &str| keys::broker_key(name).is_some_and(|key| key.value_type.is_sensitive());
    let mut synonyms = Vec::new();
    for (layer, source) in set {
        for name in names {
            if let Some(value) = layer.get(*name) {
                synonyms.push(ConfigSynonym {
                    name: (*name).into(),
                    value: Some(value.clone()).filter(|_| !is_sensitive(name)),
                    source,
                });
            }
        }
    }
    for name in names {
        if let Some(default) = keys::broker_key(name).and_then(|key| layers.default_of(key)) {
            synonyms.push(ConfigSynonym {
                name: (*name).into(),
                value: Some(default.to_owned()),
                source: ConfigSource::Default,
            });
        }
    }
    synonyms.into_iter().skip_while(|synonym| Some(&*synonym.name) != primary).collect()
}

/// The value as Kafka prints it; a text that the key does not accept, as it is.
fn printed(key: &Key, text: &str) -> String {
    key.read(text).map_or_else(|_| text.to_owned(), |value| value.to_string())
}

/// Whether the value of a key of the broker has an effect, on the broker or as a default of topics.
fn is_meant(key: &Key) -> bool {
    key.support == Support::Honoured
        || keys::of_topic().any(|topic| topic.synonyms.iter().any(|synonym| synonym.name == key.name))
}
