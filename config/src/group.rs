//! The settings of groups, typed: what the broker's configuration says of them, and what a group says of itself.
//!
//! A group's own settings are checked against the broker's ranges when they are made. Ranges that are narrowed later cap
//! them. Source: KIP-848, GroupConfig.java, GroupCoordinatorConfig.java.

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use crate::error::ConfigError;
use crate::keys;
use crate::value::{Typed, Value};

/// What the broker's configuration says of groups. A field is named as its key, with `_` for `.`; times are
/// milliseconds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupCoordinatorConfig {
    /// The protocols by which groups may be joined; `classic` is among them.
    pub group_coordinator_rebalance_protocols: Vec<String>,
    /// The shortest session that a classic member may ask for.
    pub group_min_session_timeout_ms: i32,
    /// The longest session that a classic member may ask for.
    pub group_max_session_timeout_ms: i32,
    /// How long an empty classic group waits for more members before it assigns.
    pub group_initial_rebalance_delay_ms: i32,
    /// The most members of a classic group.
    pub group_max_size: i32,
    /// The most members of a consumer group.
    pub group_consumer_max_size: i32,
    /// The assignors of consumer groups, the first is the default.
    pub group_consumer_assignors: Vec<String>,
    /// Which groups may change their protocol while they have members.
    pub group_consumer_migration_policy: MigrationPolicy,
    /// How often patterns are matched again although no topic came or went.
    pub group_consumer_regex_refresh_interval_ms: i32,
    /// The session timeouts that a group may have.
    pub group_consumer_session_timeout_ms: Range,
    /// The heartbeat intervals that a group may have.
    pub group_consumer_heartbeat_interval_ms: Range,
    /// The assignment intervals that a group may have.
    pub group_consumer_assignment_interval_ms: Range,
    /// The longest text beside a committed offset, in bytes.
    pub offset_metadata_max_bytes: i32,
    /// How long the offsets of a group without members are kept.
    pub offsets_retention_ms: i64,
    /// How often offsets are looked for that have grown too old.
    pub offsets_retention_check_interval_ms: i64,
    /// The settings of a group that has none of its own.
    pub defaults: GroupConfig,
}

/// What a group may choose between, both ends inclusive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Range {
    /// The least.
    pub min: i32,
    /// The most.
    pub max: i32,
}

/// What the broker's configuration says of the topic that keeps groups, `__consumer_offsets`. A field is named as its
/// key, with `_` for `.`; sizes are bytes, times milliseconds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OffsetsTopicConfig {
    /// Its partitions, when it is made.
    pub offsets_topic_num_partitions: i32,
    /// The replicas of each, when it is made.
    pub offsets_topic_replication_factor: i16,
    /// The size at which a new segment begins, when it is made.
    pub offsets_topic_segment_bytes: i32,
    /// The number of the codec with which it is written.
    pub offsets_topic_compression_codec: i32,
    /// How long a write may wait for the replicas.
    pub offsets_commit_timeout_ms: i32,
    /// How much of it is read at once while groups are loaded.
    pub offsets_load_buffer_size: i32,
}

/// Which groups may change their protocol while they have members. Source: ConsumerGroupMigrationPolicy.java.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MigrationPolicy {
    /// Classic groups become consumer groups and the other way round.
    Bidirectional,
    /// Classic groups become consumer groups when a member of the new protocol joins.
    Upgrade,
    /// Consumer groups become classic groups when the last member of the new protocol leaves.
    Downgrade,
    /// None may.
    Disabled,
}

/// The settings of one group. A field is named as its key, with `_` for `.`; times are milliseconds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupConfig {
    /// How long a member of a consumer group may be silent.
    pub consumer_session_timeout_ms: i32,
    /// How often a member of a consumer group is to speak.
    pub consumer_heartbeat_interval_ms: i32,
    /// The shortest time between two computations of a consumer group's assignment.
    pub consumer_assignment_interval_ms: i32,
}

const SESSION: &str = "consumer.session.timeout.ms";
const HEARTBEAT: &str = "consumer.heartbeat.interval.ms";
const ASSIGNMENT: &str = "consumer.assignment.interval.ms";

impl GroupConfig {
    /// The settings of a group with these of its own: they count, capped to what the broker allows. One that no key
    /// reads any more does not count. Source: `GroupConfig.evaluate`.
    #[must_use]
    pub fn of_group(broker: &GroupCoordinatorConfig, overrides: &BTreeMap<String, String>) -> Self {
        let mut config = broker.defaults.clone();
        for (name, text) in overrides {
            if let Ok(value) = read_override(name, text) {
                config.set(name, &value, Some(broker));
            }
        }
        config
    }

    /// Sets the field of that key, within the broker's range where one is given. Keys of what this broker does not do
    /// have none.
    fn set(&mut self, name: &str, value: &Value, range: Option<&GroupCoordinatorConfig>) {
        let capped = |range_of: fn(&GroupCoordinatorConfig) -> Range| {
            let value = i32::of(value);
            range.map(range_of).map_or(value, |range| value.max(range.min).min(range.max))
        };
        match name {
            SESSION => {
                self.consumer_session_timeout_ms = capped(|broker| broker.group_consumer_session_timeout_ms);
            }
            HEARTBEAT => {
                self.consumer_heartbeat_interval_ms =
                    capped(|broker| broker.group_consumer_heartbeat_interval_ms);
            }
            ASSIGNMENT => {
                self.consumer_assignment_interval_ms =
                    capped(|broker| broker.group_consumer_assignment_interval_ms);
            }
            _ => {}
        }
    }
}

/// Checks the settings that clients would give to a group, all of them together.
///
/// # Errors
/// Every one that names no key or is not accepted, and those that do not fit the broker's ranges or each other.
pub fn validate_overrides(
    broker: &GroupCoordinatorConfig,
    overrides: &BTreeMap<String, String>,
) -> Result<(), Vec<ConfigError>> {
    let mut config = broker.defaults.clone();
    let mut errors = Vec::new();
    for (name, text) in overrides {
        match read_override(name, text) {
            Ok(value) => config.set(name, &value, None),
            Err(error) => errors.push(error),
        }
    }
    let ranges = [
        (
            HEARTBEAT,
            config.consumer_heartbeat_interval_ms,
            broker.group_consumer_heartbeat_interval_ms,
            HEARTBEATS,
        ),
        (SESSION, config.consumer_session_timeout_ms, broker.group_consumer_session_timeout_ms, SESSIONS),
        (
            ASSIGNMENT,
            config.consumer_assignment_interval_ms,
            broker.group_consumer_assignment_interval_ms,
            ASSIGNMENTS,
        ),
    ];
    for (name, value, range, bounds) in ranges {
        errors.extend(check_range(name, value, range, bounds).err());
    }
    if config.consumer_session_timeout_ms <= config.consumer_heartbeat_interval_ms {
        errors.push(ConfigError::Unfitting { name: SESSION, relation: "greater than", other: HEARTBEAT });
    }
    if errors.is_empty() { Ok(()) } else { Err(errors) }
}

fn read_override(name: &str, value: &str) -> Result<Value, ConfigError> {
    keys::group_key(name).ok_or_else(|| ConfigError::UnknownGroupKey { name: name.to_owned() })?.read(value)
}

/// The names of the keys that are the ends of a range.
type Bounds = (&'static str, &'static str);

const SESSIONS: Bounds = ("group.consumer.min.session.timeout.ms", "group.consumer.max.session.timeout.ms");
const HEARTBEATS: Bounds =
    ("group.consumer.min.heartbeat.interval.ms", "group.consumer.max.heartbeat.interval.ms");
const ASSIGNMENTS: Bounds =
    ("group.consumer.min.assignment.interval.ms", "group.consumer.max.assignment.interval.ms");

fn check_range(name: &'static str, value: i32, range: Range, (min, max): Bounds) -> Result<(), ConfigError> {
    if value < range.min {
        return Err(ConfigError::Unfitting { name, relation: "greater than or equal to", other: min });
    }
    if value > range.max {
        return Err(ConfigError::Unfitting { name, relation: "less than or equal to", other: max });
    }
    Ok(())
}

impl GroupCoordinatorConfig {
    /// Whether members of the consumer protocol (KIP-848) are served.
    #[must_use]
    pub fn serves_consumer_protocol(&self) -> bool {
        self.group_coordinator_rebalance_protocols.iter().any(|protocol| protocol == "consumer")
    }

    /// Checks what no single key can: that the settings fit each other. Source: `GroupCoordinatorConfig`'s constructor.
    pub(crate) fn check(&self) -> Result<(), ConfigError> {
        if !self.group_coordinator_rebalance_protocols.iter().any(|protocol| protocol == "classic") {
            return Err(ConfigError::NoClassicProtocol);
        }
        let broker = &self.defaults;
        let ranges = [
            (
                "group.consumer.heartbeat.interval.ms",
                broker.consumer_heartbeat_interval_ms,
                self.group_consumer_heartbeat_interval_ms,
                HEARTBEATS,
            ),
            (
                "group.consumer.session.timeout.ms",
                broker.consumer_session_timeout_ms,
                self.group_consumer_session_timeout_ms,
                SESSIONS,
            ),
            (
                "group.consumer.assignment.interval.ms",
                broker.consumer_assignment_interval_ms,
                self.group_consumer_assignment_interval_ms,
                ASSIGNMENTS,
            ),
        ];
        for (name, value, range, bounds) in ranges {
            check_range(bounds.1, range.max, Range { max: i32::MAX, ..range }, bounds)?;
            check_range(name, value, range, bounds)?;
        }
        if broker.consumer_heartbeat_interval_ms >= broker.consumer_session_timeout_ms {
            return Err(ConfigError::Unfitting {
                name: "group.consumer.heartbeat.interval.ms",
                relation: "less than",
                other: "group.consumer.session.timeout.ms",
            });
        }
        Ok(())
    }
}

impl Typed for MigrationPolicy {
    fn of(value: &Value) -> Self {
        match value.to_string().to_ascii_lowercase().as_str() {
            "bidirectional" => Self::Bidirectional,
            "upgrade" => Self::Upgrade,
            "downgrade" => Self::Downgrade,
            "disabled" => Self::Disabled,
            other => unreachable!("the key's rule does not let {other} through"),
        }
    }

    fn value(&self) -> Value {
        let text = match self {
            Self::Bidirectional => "bidirectional",
            Self::Upgrade => "upgrade",
            Self::Downgrade => "downgrade",
            Self::Disabled => "disabled",
        };
        Value::Text(text.to_owned())
    }
}

impl Default for GroupConfig {
    fn default() -> Self {
        Self {
            consumer_session_timeout_ms: 45_000,
            consumer_heartbeat_interval_ms: 5_000,
            consumer_assignment_interval_ms: 1_000,
        }
    }
}

impl Default for GroupCoordinatorConfig {
    fn default() -> Self {
        Self {
            group_coordinator_rebalance_protocols: ["classic", "consumer", "streams"]
                .map(str::to_owned)
                .to_vec(),
            group_min_session_timeout_ms: 6_000,
            group_max_session_timeout_ms: 1_800_000,
            group_initial_rebalance_delay_ms: 3_000,
            group_max_size: i32::MAX,
            group_consumer_max_size: i32::MAX,
            group_consumer_assignors: vec!["uniform".to_owned(), "range".to_owned()],
            group_consumer_migration_policy: MigrationPolicy::Bidirectional,
            group_consumer_regex_refresh_interval_ms: 600_000,
            group_consumer_session_timeout_ms: Range { min: 45_000, max: 60_000 },
            group_consumer_heartbeat_interval_ms: Range { min: 5_000, max: 15_000 },
            group_consumer_assignment_interval_ms: Range { min: 0, max: 15_000 },
            offset_metadata_max_bytes: 4_096,
            offsets_retention_ms: 604_800_000,
            offsets_retention_check_interval_ms: 600_000,
            defaults: GroupConfig::default(),
        }
    }
}

impl Default for OffsetsTopicConfig {
    fn default() -> Self {
        Self {
            offsets_topic_num_partitions: 50,
            offsets_topic_replication_factor: 3,
            offsets_topic_segment_bytes: 104_857_600,
            offsets_topic_compression_codec: 0,
            offsets_commit_timeout_ms: 5_000,
            offsets_load_buffer_size: 5_242_880,
        }
    }
}
