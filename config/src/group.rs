//! The settings of a group.
//!
//! Groups are not served yet, so no setting is honoured, and there is no typed struct.

use crate::error::ConfigError;
use crate::keys;

/// Checks a value that a client wants to give to a key of a group.
///
/// # Errors
/// When there is no such key, or the value is not accepted.
pub fn validate_override(name: &str, value: &str) -> Result<(), ConfigError> {
    let key = keys::group_key(name).ok_or_else(|| ConfigError::UnknownGroupKey { name: name.to_owned() })?;
    key.read(value).map(|_| ())
}

/// What the broker's configuration says of groups. A field is named as its key, with `_` for `.`; times are
/// milliseconds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupCoordinatorConfig {
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
    /// The longest text beside a committed offset, in bytes.
    pub offset_metadata_max_bytes: i32,
    /// How long the offsets of a group without members are kept.
    pub offsets_retention_ms: i64,
    /// How often offsets are looked for that have grown too old.
    pub offsets_retention_check_interval_ms: i64,
    /// The settings of a group that has none of its own.
    pub defaults: GroupConfig,
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
            group_min_session_timeout_ms: 6_000,
            group_max_session_timeout_ms: 1_800_000,
            group_initial_rebalance_delay_ms: 3_000,
            group_max_size: i32::MAX,
            group_consumer_max_size: i32::MAX,
            group_consumer_assignors: vec!["uniform".to_owned(), "range".to_owned()],
            group_consumer_migration_policy: MigrationPolicy::Bidirectional,
            group_consumer_regex_refresh_interval_ms: 600_000,
            offset_metadata_max_bytes: 4_096,
            offsets_retention_ms: 604_800_000,
            offsets_retention_check_interval_ms: 600_000,
            defaults: GroupConfig::default(),
        }
    }
}
