//! What a shard is told of the world, from the metadata and the settings at one moment.

use super::Surroundings;
use crate::clock;
use crate::settings::Settings;
use config::group::GroupConfig;
use coordinator::environment::{Cluster, Environment, TopicDescription};
use coordinator::ids::GroupId;
use replication::metadata::image::{MetadataImage, TopicImage};
use replication::metadata::record::ConfigResource;
use std::sync::Arc;
use storage::ids::TopicId;

/// The metadata and the settings at one moment.
pub(super) struct Moment {
    image: Arc<MetadataImage>,
    settings: Arc<Settings>,
}

impl Moment {
    /// What holds now.
    pub(super) fn now(surroundings: &Surroundings) -> Self {
        Self { image: surroundings.image.load_full(), settings: surroundings.settings.load() }
    }

    /// The environment of a call. Its time is that of this call.
    pub(super) fn environment(&self) -> Environment<'_> {
        Environment {
            now: clock::now(),
            monotonic: clock::monotonic(),
            random: &random,
            cluster: self,
            settings: &self.settings.broker.groups,
        }
    }
}

fn random() -> u128 {
    uuid::Uuid::new_v4().as_u128()
}

impl Cluster for Moment {
    fn version(&self) -> i64 {
        self.image.offset()
    }

    fn topic_by_name(&self, name: &str) -> Option<TopicDescription> {
        self.image.topic_by_name(name).map(|topic| description(topic))
    }

    fn topic_by_id(&self, id: TopicId) -> Option<TopicDescription> {
        self.image.topic_by_id(id).map(|topic| description(topic))
    }

    fn topic_names(&self) -> Vec<Arc<str>> {
        self.image.topics().map(|topic| Arc::clone(&topic.name)).collect()
    }

    fn group_config(&self, group_id: &GroupId) -> GroupConfig {
        let overrides = self.image.configs_of(&ConfigResource::Group(group_id.as_str().to_owned()));
        GroupConfig::of_group(&self.settings.broker.groups, overrides)
    }
}

fn description(topic: &TopicImage) -> TopicDescription {
    TopicDescription {
        id: topic.id,
        name: Arc::clone(&topic.name),
        partition_count: i32::try_from(topic.partitions.len()).unwrap_or(i32::MAX),
    }
}
