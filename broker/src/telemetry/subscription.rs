//! A subscription to clients' metrics: which clients push which metrics, how often.
//!
//! Patterns are of this program's regular expressions, which lack Java's look-around and back references; they take time that
//! is linear in what they are matched against. Source: KIP-714, ClientMetricsConfigs.java.

use config::error::ConfigError;
use config::keys;
use config::value::Value;
use regex::{Regex, RegexBuilder};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// What stands for every metric.
pub(super) const EVERY_METRIC: &str = "*";

/// The interval of clients that no subscription is for: how often they ask again.
pub(super) const DEFAULT_INTERVAL: Duration = Duration::from_secs(300);

/// The intervals that there are, in milliseconds. Shorter: clients do little else than to push. Longer: what is shown is old.
const INTERVAL_MS: std::ops::RangeInclusive<i64> = 100..=3_600_000;

/// The memory that one compiled pattern may take. Larger: a few patterns hold much memory. Smaller: long alternatives of names
/// are refused.
const PATTERN_BYTES_MAX: usize = 256 * 1024;

/// The most patterns of a subscription; there are six properties. Larger: they take more memory and time on every node. Smaller:
/// fewer conditions.
const PATTERNS_MAX: usize = 8;

/// The longest pattern, in bytes. Larger: it takes longer to compile. Smaller: fewer names in an alternative.
const PATTERN_TEXT_MAX: usize = 1024;

/// Why the settings of a subscription are not accepted. The sentences are Kafka's.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SubscriptionError {
    #[error("Unknown client metrics configuration: {name}")]
    UnknownKey { name: String },
    #[error("Invalid value {value} for interval.ms, interval must be between 100 and 3600000 (1 hour)")]
    Interval { value: i64 },
    #[error(transparent)]
    Value(#[from] ConfigError),
    #[error("Illegal client matching pattern: {pattern}")]
    Pattern { pattern: String },
    #[error("match has {count} patterns, and at most 8 are compared: join those of one property with |")]
    TooManyPatterns { count: usize },
}

/// A client that runs, as subscriptions see it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Client {
    /// The name that it gave itself.
    pub(crate) client_id: String,
    /// What it runs on.
    pub(crate) software_name: String,
    /// Which version of that.
    pub(crate) software_version: String,
    /// The other end of its connection.
    pub(crate) source_address: String,
    /// Its port there.
    pub(crate) source_port: u16,
}

/// One subscription.
#[derive(Clone, Debug)]
pub(crate) struct Subscription {
    pub(super) metrics: BTreeSet<String>,
    pub(super) interval: Duration,
    patterns: Vec<(Property, Regex)>,
}

/// What a pattern is matched against.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Property {
    InstanceId,
    ClientId,
    SoftwareName,
    SoftwareVersion,
    SourceAddress,
    SourcePort,
}

impl Property {
    fn of_name(name: &str) -> Option<Self> {
        match name {
            "client_instance_id" => Some(Self::InstanceId),
            "client_id" => Some(Self::ClientId),
            "client_software_name" => Some(Self::SoftwareName),
            "client_software_version" => Some(Self::SoftwareVersion),
            "client_source_address" => Some(Self::SourceAddress),
            "client_source_port" => Some(Self::SourcePort),
            _ => None,
        }
    }
}

impl Subscription {
    /// The subscription that these settings make.
    ///
    /// # Errors
    /// [`SubscriptionError`], for the first that is wrong.
    pub(crate) fn read(configs: &BTreeMap<String, String>) -> Result<Self, SubscriptionError> {
        let mut subscription =
            Self { metrics: BTreeSet::new(), interval: DEFAULT_INTERVAL, patterns: Vec::new() };
        if let Some(name) = configs.keys().find(|name| keys::client_metrics_key(name).is_none()) {
            return Err(SubscriptionError::UnknownKey { name: name.clone() });
        }
        for key in keys::of_client_metrics() {
            let Some(text) = configs.get(key.name) else { continue };
            match (key.name, key.read(text)?) {
                ("interval.ms", Value::Integer(value)) => subscription.interval = interval(value)?,
                ("metrics", Value::List(metrics)) => subscription.metrics = metrics.into_iter().collect(),
                ("match", Value::List(patterns)) if patterns.len() > PATTERNS_MAX => {
                    return Err(SubscriptionError::TooManyPatterns { count: patterns.len() });
                }
                ("match", Value::List(patterns)) => {
                    subscription.patterns =
                        patterns.iter().map(|text| pattern(text)).collect::<Result<_, _>>()?;
                }
                (name, value) => unreachable!("the table has no {name} of {value:?}"),
            }
        }
        Ok(subscription)
    }

    /// Whether it is for `client`, whose instance has this id.
    pub(super) fn is_for(&self, instance_id: &str, client: &Client) -> bool {
        self.patterns.iter().all(|(property, pattern)| {
            let port;
            pattern.is_match(match property {
                Property::InstanceId => instance_id,
                Property::ClientId => &client.client_id,
                Property::SoftwareName => &client.software_name,
                Property::SoftwareVersion => &client.software_version,
                Property::SourceAddress => &client.source_address,
                Property::SourcePort => {
                    port = client.source_port.to_string();
                    &port
                }
            })
        })
    }
}

fn interval(value: i64) -> Result<Duration, SubscriptionError> {
    match u64::try_from(value) {
        Ok(milliseconds) if INTERVAL_MS.contains(&value) => Ok(Duration::from_millis(milliseconds)),
        Ok(_) | Err(_) => Err(SubscriptionError::Interval { value }),
    }
}

fn pattern(text: &str) -> Result<(Property, Regex), SubscriptionError> {
    let illegal = || SubscriptionError::Pattern { pattern: text.to_owned() };
    let (name, pattern) = text.split_once('=').ok_or_else(illegal)?;
    let property = Property::of_name(name.trim()).ok_or_else(illegal)?;
    if pattern.trim().is_empty() || pattern.contains('=') || text.len() > PATTERN_TEXT_MAX {
        return Err(illegal());
    }
    let whole = format!("^(?:{})$", pattern.trim());
    let mut builder = RegexBuilder::new(&whole);
    builder.size_limit(PATTERN_BYTES_MAX).dfa_size_limit(PATTERN_BYTES_MAX);
    let compiled = builder.build().map_err(|_| illegal())?;
    Ok((property, compiled))
}

#[cfg(test)]
mod tests {
    use super::{Client, Subscription};
    use std::time::Duration;

    fn read(settings: &[(&str, &str)]) -> Result<Subscription, String> {
        let configs =
            settings.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        Subscription::read(&configs).map_err(|error| error.to_string())
    }

    fn is_for(patterns: &str) -> bool {
        let client = Client {
            client_id: "loader-1".to_owned(),
            software_name: "apache-kafka-java".to_owned(),
            software_version: "4.4.0".to_owned(),
            source_address: "10.0.0.7".to_owned(),
            source_port: 5000,
        };
        read(&[("match", patterns)]).unwrap().is_for("some-id", &client)
    }

    #[test]
    fn all_patterns_have_to_fit_from_end_to_end() {
        for patterns in
            ["", "client_id=loader-.*", "client_software_version = 4\\..*, client_source_port=5000"]
        {
            assert!(is_for(patterns), "{patterns}");
        }
        for patterns in [
            "client_id=loader",
            "client_id=loader-.*,client_software_name=librdkafka",
            "client_instance_id=x",
        ] {
            assert!(!is_for(patterns), "{patterns}");
        }
    }

    #[test]
    fn settings_have_kafkas_defaults_and_kafkas_sentences() {
        let nothing = read(&[]).unwrap();
        assert!(nothing.metrics.is_empty() && nothing.interval == Duration::from_secs(300));
        for (name, value, sentence) in [
            ("coffee", "1", "Unknown client metrics configuration: coffee"),
            (
                "interval.ms",
                "99",
                "Invalid value 99 for interval.ms, interval must be between 100 and 3600000 (1 hour)",
            ),
            (
                "interval.ms",
                "soon",
                "Invalid value soon for configuration interval.ms: Not a number of type INT",
            ),
            ("match", "client_id", "Illegal client matching pattern: client_id"),
            ("match", "colour=red", "Illegal client matching pattern: colour=red"),
            ("match", "client_id=(", "Illegal client matching pattern: client_id=("),
            ("match", "client_id=", "Illegal client matching pattern: client_id="),
            ("match", "client_id=a{9999}{9999}", "Illegal client matching pattern: client_id=a{9999}{9999}"),
        ] {
            assert_eq!(read(&[(name, value)]).unwrap_err(), sentence);
        }
        let long = format!("client_id={}", "a".repeat(1100));
        assert!(read(&[("match", &long)]).unwrap_err().starts_with("Illegal client matching pattern"));
        let many = ["client_id=a"; 9].join(",");
        assert!(read(&[("match", &many)]).unwrap_err().starts_with("match has 9 patterns"));
    }
}
