//! What a core is told about the world: time, chance, topics and settings.

use std::sync::Arc;
use std::time::Duration;

use config::group::{GroupConfig, GroupCoordinatorConfig};
use storage::ids::{TimestampMs, TopicId};

use crate::ids::GroupId;

/// The world at the moment of a call.
pub struct Environment<'a> {
    /// The wall clock, for what is persisted. It may jump.
    pub now: TimestampMs,
    /// The time since some moment before the shard was made, for deadlines. It never goes back.
    pub monotonic: Duration,
    /// A source of random numbers, seeded by its owner.
    pub random: &'a dyn Fn() -> u128,
    /// The topics and the settings of groups.
    pub cluster: &'a dyn Cluster,
    /// The settings of the broker that concern groups.
    pub settings: &'a GroupCoordinatorConfig,
}

/// A topic as the metadata has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicDescription {
    /// Its id.
    pub id: TopicId,
    /// Its name.
    pub name: Arc<str>,
    /// How many partitions it has, numbered from 0.
    pub partition_count: i32,
}

/// What a core asks of the cluster's metadata. One call of a core sees one state of it.
pub trait Cluster {
    /// A number that grows whenever the metadata changes.
    fn version(&self) -> i64;
    /// The topic of this name, if there is one.
    fn topic_by_name(&self, name: &str) -> Option<TopicDescription>;
    /// The topic of this id, if there is one.
    fn topic_by_id(&self, id: TopicId) -> Option<TopicDescription>;
    /// Every topic's name, in order.
    fn topic_names(&self) -> Vec<Arc<str>>;
    /// The settings of a group, those of the broker where the group has none of its own.
    fn group_config(&self, group_id: &GroupId) -> GroupConfig;
}
