//! Settings of topics, brokers and groups. Source: KIP-339, `ConfigurationControlManager.java`.
//!
//! One resource is changed whole or not at all; a refused one does not fail the others. What a key means and which
//! values it takes is decided by the [`ConfigRules`].

use crate::controller::partition_change::{MIN_INSYNC_REPLICAS, Rules, Sweep};
use crate::controller::{Env, RECORDS_PER_REQUEST_MAX};
use crate::metadata::image::MetadataImage;
use crate::metadata::record::{ConfigResource, MetadataRecord};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use storage::ids::BrokerId;

/// The longest value of a key, in bytes. Larger: lists that are only appended to grow images and snapshots.
/// Smaller: throttled replicas of large topics cannot be listed.
pub const VALUE_BYTES_MAX: usize = 65_536;

/// The most groups with settings of their own. Larger: a client that makes names up grows images and snapshots.
/// Smaller: a cluster of very many applications cannot set each of theirs.
pub const CONFIGURED_GROUPS_MAX: usize = 10_000;

/// The most subscriptions to clients' metrics. Larger: each client that asks is matched against more patterns. Smaller: teams
/// that watch their own clients run out of them.
pub const CLIENT_METRICS_SUBSCRIPTIONS_MAX: usize = 100;

/// Checks all settings that a resource would have, beside what the metadata has now.
pub type Validate = dyn Fn(&ConfigResource, &BTreeMap<String, String>, &MetadataImage) -> Result<(), AlterConfigError>
    + Send
    + Sync;

/// Which settings are accepted.
pub struct ConfigRules {
    /// Checks them.
    pub validate: Box<Validate>,
    /// The entries that a list key has where nothing is set; `None` where the key is no list.
    pub default_list: fn(&ConfigResource, &str) -> Option<Vec<String>>,
    /// `min.insync.replicas` where neither a topic nor all brokers have it set.
    pub default_min_insync_replicas: usize,
}

/// A request to change settings.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AlterConfigs {
    /// The resources, each at most once.
    pub resources: Vec<AlterResource>,
    /// Whether to check only.
    pub validate_only: bool,
}

/// The changes to one resource.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AlterResource {
    /// What is configured.
    pub resource: ConfigResource,
    /// What is changed.
    pub change: ConfigChange,
}

/// How the settings of a resource change.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum ConfigChange {
    /// Key by key; other keys stay as they are.
    Incremental(Vec<KeyChange>),
    /// These are all; every other key is removed. Source: the older AlterConfigs API.
    Replace(BTreeMap<String, String>),
}

/// One key's change.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyChange {
    /// The key's name.
    pub key: String,
    /// What to do with it.
    pub operation: ConfigOperation,
    /// With what; [`ConfigOperation::Delete`] takes no value.
    pub value: Option<String>,
}

/// What to do with a key. Source: `AlterConfigOp.OpType`, 0 to 3.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum ConfigOperation {
    /// Give it this value.
    Set,
    /// Give it its default again.
    Delete,
    /// Add the entries of a list that are not there.
    Append,
    /// Remove entries of a list.
    Subtract,
}

impl std::fmt::Display for ConfigOperation {
    /// Kafka's name of it.
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(match self {
            Self::Set => "SET",
            Self::Delete => "DELETE",
            Self::Append => "APPEND",
            Self::Subtract => "SUBTRACT",
        })
    }
}

/// The result for one resource.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConfigAlteration {
    /// The resource.
    pub resource: ConfigResource,
    /// What became of it.
    pub result: Result<(), AlterConfigError>,
}

/// Why the settings of a resource did not change.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
pub enum AlterConfigError {
    /// The request names the resource twice.
    #[error("Duplicate resource.")]
    DuplicateResource,
    /// The request names a key of the resource twice.
    #[error("Error due to duplicate config keys")]
    DuplicateKey,
    /// Operations that need a value have none.
    #[error("Null value not supported for : {keys}")]
    NullValue {
        /// The keys, with commas between them.
        keys: String,
    },
    /// APPEND or SUBTRACT on a key that is no list.
    #[error("Can't {operation} to key {key} because its type is not LIST.")]
    NotAList {
        /// The operation.
        operation: ConfigOperation,
        /// The key.
        key: String,
    },
    /// A value is longer than [`VALUE_BYTES_MAX`].
    #[error("The value of {key} is longer than {VALUE_BYTES_MAX} bytes.")]
    ValueTooLong {
        /// The key.
        key: String,
    },
    /// A key or value is not accepted.
    #[error("{error}")]
    InvalidConfig {
        /// What is wrong.
        error: String,
    },
    /// There is no such topic.
    #[error("The topic '{name}' does not exist.")]
    UnknownTopic {
        /// The topic's name.
        name: String,
    },
    /// There are [`CONFIGURED_GROUPS_MAX`] groups with settings.
    #[error(
        "The cluster has {CONFIGURED_GROUPS_MAX} groups with settings of their own, which is the most that it takes."
    )]
    TooManyGroups,
    /// There is no such broker.
    #[error("No broker with id {id} found.")]
    UnknownBroker {
        /// The broker.
        id: BrokerId,
    },
    /// A key or value is not accepted, which makes the request invalid and not the setting, as Kafka has it.
    #[error("{error}")]
    InvalidRequest {
        /// What is wrong.
        error: String,
    },
    /// There are [`CLIENT_METRICS_SUBSCRIPTIONS_MAX`] subscriptions to clients' metrics.
    #[error(
        "The cluster has {CLIENT_METRICS_SUBSCRIPTIONS_MAX} subscriptions to clients' metrics, which is the most that it takes."
    )]
    TooManySubscriptions,
}

/// Changes what can be changed.
pub(super) fn alter(
    request: &AlterConfigs,
    env: &Env<'_>,
    image: &MetadataImage,
) -> (Vec<MetadataRecord>, Vec<ConfigAlteration>) {
    let mut mentions: BTreeMap<&ConfigResource, usize> = BTreeMap::new();
    for resource in &request.resources {
        *mentions.entry(&resource.resource).or_default() += 1;
    }
    let mut records = Vec::new();
    let mut results = Vec::with_capacity(request.resources.len());
    for AlterResource { resource, change } in &request.resources {
        let changed = match mentions.remove(resource) {
            None => continue, // answered where it was first named
            Some(1) => alter_resource(resource, change, env, image),
            Some(_) => Err(AlterConfigError::DuplicateResource),
        };
        let result = changed.map(|changed| records.extend(changed));
        results.push(ConfigAlteration { resource: resource.clone(), result });
    }
    records.extend(no_more_eligible(&records, env, image));
    if request.validate_only {
        records.clear();
    }
    (records, results)
}

/// Partitions whose ISR is enough by the new `min.insync.replicas` have no eligible leader replicas any more: their high
/// watermark moves on without them. Source: `ClearElrRecord`.
fn no_more_eligible(records: &[MetadataRecord], env: &Env<'_>, image: &MetadataImage) -> Vec<MetadataRecord> {
    let concerns = |record: &MetadataRecord| matches!(record, MetadataRecord::Config { key, .. } if key == MIN_INSYNC_REPLICAS);
    if !records.iter().any(concerns) {
        return Vec::new();
    }
    let changed = image.apply(image.offset(), records);
    let mut sweep = Sweep::new(Rules::new(env, &changed), RECORDS_PER_REQUEST_MAX);
    sweep.over(|partition| !partition.eligible_leader_replicas.is_empty(), |target, _| target);
    sweep.records
}

fn alter_resource(
    resource: &ConfigResource,
    change: &ConfigChange,
    env: &Env<'_>,
    image: &MetadataImage,
) -> Result<Vec<MetadataRecord>, AlterConfigError> {
    let before = image.configs_of(resource);
    let after = match change {
        ConfigChange::Replace(all) => all.clone(),
        ConfigChange::Incremental(changes) => change_keys(resource, changes, before, env)?,
    };
    check(resource, &after, env, image)?;
    check_exists(resource, image)?;
    Ok(difference(resource, before, &after))
}

fn change_keys(
    resource: &ConfigResource,
    changes: &[KeyChange],
    before: &BTreeMap<String, String>,
    env: &Env<'_>,
) -> Result<BTreeMap<String, String>, AlterConfigError> {
    let without_value = changes
        .iter()
        .filter(|change| change.operation != ConfigOperation::Delete && change.value.is_none())
        .map(|change| change.key.as_str());
    let without_value: Vec<_> = without_value.collect();
    let mut after = before.clone();
    let mut keys = BTreeSet::new();
    for KeyChange { key, operation, value } in changes {
        if !keys.insert(key) {
            return Err(AlterConfigError::DuplicateKey);
        }
        let missing = || AlterConfigError::NullValue { keys: without_value.join(", ") };
        let needed = || value.as_deref().ok_or_else(missing);
        let entries = || list_entries(resource, key, *operation, before.get(key), env);
        match operation {
            ConfigOperation::Delete => {
                after.remove(key);
            }
            ConfigOperation::Set => {
                after.insert(key.clone(), needed()?.to_owned());
            }
            ConfigOperation::Append => {
                let mut list = entries()?;
                for entry in needed()?.split(',') {
                    if !list.iter().any(|existing| existing == entry) {
                        list.push(entry.to_owned());
                    }
                }
                after.insert(key.clone(), list.join(","));
            }
            ConfigOperation::Subtract => {
                let mut list = entries()?;
                let removed: Vec<&str> = needed()?.split(',').collect();
                list.retain(|entry| !removed.contains(&entry.as_str()));
                after.insert(key.clone(), list.join(","));
            }
        }
    }
    Ok(after)
}

/// What a list key holds before it is appended to or subtracted from.
fn list_entries(
    resource: &ConfigResource,
    key: &str,
    operation: ConfigOperation,
    current: Option<&String>,
    env: &Env<'_>,
) -> Result<Vec<String>, AlterConfigError> {
    let default = (env.config_rules.default_list)(resource, key)
        .ok_or_else(|| AlterConfigError::NotAList { operation, key: key.to_owned() })?;
    Ok(current.map_or(default, |value| {
        value.split(',').filter(|entry| !entry.is_empty()).map(str::to_owned).collect()
    }))
}

/// Checks all settings that a resource would have.
pub(super) fn check(
    resource: &ConfigResource,
    configs: &BTreeMap<String, String>,
    env: &Env<'_>,
    image: &MetadataImage,
) -> Result<(), AlterConfigError> {
    if let Some((key, _)) = configs.iter().find(|(_, value)| value.len() > VALUE_BYTES_MAX) {
        return Err(AlterConfigError::ValueTooLong { key: key.clone() });
    }
    (env.config_rules.validate)(resource, configs, image)
}

fn check_exists(resource: &ConfigResource, image: &MetadataImage) -> Result<(), AlterConfigError> {
    match resource {
        ConfigResource::Topic(name) if image.topic_by_name(name).is_none() => {
            Err(AlterConfigError::UnknownTopic { name: name.clone() })
        }
        ConfigResource::Broker(id) if image.broker(*id).is_none() => {
            Err(AlterConfigError::UnknownBroker { id: *id })
        }
        ConfigResource::Group(_)
            if image.configs_of(resource).is_empty() && configured_groups(image) >= CONFIGURED_GROUPS_MAX =>
        {
            Err(AlterConfigError::TooManyGroups)
        }
        ConfigResource::ClientMetrics(_)
            if image.configs_of(resource).is_empty()
                && subscriptions(image) >= CLIENT_METRICS_SUBSCRIPTIONS_MAX =>
        {
            Err(AlterConfigError::TooManySubscriptions)
        }
        // A group may be given settings before its first member comes.
        ConfigResource::Topic(_)
        | ConfigResource::Broker(_)
        | ConfigResource::AllBrokers
        | ConfigResource::Group(_)
        | ConfigResource::ClientMetrics(_) => Ok(()),
    }
}

fn configured_groups(image: &MetadataImage) -> usize {
    image.configured_resources().filter(|resource| matches!(resource, ConfigResource::Group(_))).count()
}

fn subscriptions(image: &MetadataImage) -> usize {
    image
        .configured_resources()
        .filter(|resource| matches!(resource, ConfigResource::ClientMetrics(_)))
        .count()
}

fn difference(
    resource: &ConfigResource,
    before: &BTreeMap<String, String>,
    after: &BTreeMap<String, String>,
) -> Vec<MetadataRecord> {
    let record = |key: &String, value: Option<&String>| MetadataRecord::Config {
        resource: resource.clone(),
        key: key.clone(),
        value: value.cloned(),
    };
    let removed = before.keys().filter(|key| !after.contains_key(*key)).map(|key| record(key, None));
    let set = after.iter().filter(|(key, value)| before.get(*key) != Some(value));
    removed.chain(set.map(|(key, value)| record(key, Some(value)))).collect()
}
