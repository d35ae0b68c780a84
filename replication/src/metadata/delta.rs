//! What has changed between two images, as one broker sees it.
//!
//! A follower of the metadata may skip images: the difference is taken between any two, so `a` to `c` gives what `a`
//! to `b` and `b` to `c` would have given together.

use crate::metadata::chunked_map::Change;
use crate::metadata::image::{MetadataImage, PartitionImage, TopicImage};
use crate::metadata::record::ConfigResource;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use storage::ids::{BrokerId, PartitionIndex, TopicId, TopicPartition};

/// What one broker must do to follow the metadata. Apply the lists in the order of the fields: a topic that was
/// deleted and created again under its name is first removed and then begun.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct MetadataDelta {
    /// Partitions of this broker that are its no more: deleted, or moved away.
    pub removed: Vec<LocalPartition>,
    /// Partitions that this broker leads in an epoch that it did not lead before.
    pub leads: Vec<LocalPartition>,
    /// Partitions of this broker that another broker leads, or nobody, and whose leader or leader epoch is new. A new run
    /// of a leader begins a new epoch, so where it is to be reached now is looked up for these.
    pub follows: Vec<LocalPartition>,
    /// Partitions that this broker leads on in the same epoch, with another ISR, other eligible replicas or another
    /// assignment.
    pub replicas_changed: Vec<LocalPartition>,
    /// Brokers that are new or gone, or of which anything has changed: the run, where they are reached, whether they
    /// are fenced or stopping. A leader asks anew which of its followers may be in-sync.
    pub brokers: BTreeSet<BrokerId>,
    /// Names of the topics that were deleted, on whatever brokers they were; a topic of that name may have been made since.
    pub deleted_topics: BTreeSet<Arc<str>>,
    /// Names of existing topics whose own configuration has changed.
    pub topic_configs: BTreeSet<String>,
    /// Whether a setting of this broker, or of all, has changed.
    pub broker_configs: bool,
    /// Whether a subscription to clients' metrics has changed.
    pub client_metrics: bool,
}

/// A partition of which this broker holds a replica.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LocalPartition {
    /// The partition by name.
    pub topic_partition: TopicPartition,
    /// The identity of its topic.
    pub topic_id: TopicId,
    /// Its state: the new one, or the last one where it was removed.
    pub state: Arc<PartitionImage>,
    /// Whether this broker held no replica of it before.
    pub is_new: bool,
}

impl MetadataDelta {
    /// What `broker` must do to go from `old` to `new`.
    #[must_use]
    pub fn between(old: &MetadataImage, new: &MetadataImage, broker: BrokerId) -> Self {
        let mut delta = Self::default();
        for change in new.topic_map().changes_since(old.topic_map()) {
            match change {
                Change::Added(_, topic) => delta.compare_topics(None, Some(topic), broker),
                Change::Removed(_, topic) => {
                    delta.deleted_topics.insert(Arc::clone(&topic.name));
                    delta.compare_topics(Some(topic), None, broker);
                }
                Change::Replaced(_, before, after) => {
                    if !Arc::ptr_eq(before, after) {
                        delta.compare_topics(Some(before), Some(after), broker);
                    }
                }
            }
        }
        delta.compare_brokers(old, new);
        for change in new.config_map().changes_since(old.config_map()) {
            match change {
                Change::Added(resource, _) | Change::Removed(resource, _) => {
                    delta.note_config(resource, new, broker);
                }
                Change::Replaced(resource, before, after) => {
                    if !Self::same_configs(before, after) {
                        delta.note_config(resource, new, broker);
                    }
                }
            }
        }
        delta
    }

    /// Whether there is nothing to do.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    fn same_configs(before: &Arc<BTreeMap<String, String>>, after: &Arc<BTreeMap<String, String>>) -> bool {
        Arc::ptr_eq(before, after) || before == after
    }

    fn note_config(&mut self, resource: &ConfigResource, new: &MetadataImage, broker: BrokerId) {
        match resource {
            ConfigResource::Topic(name) => {
                if new.topic_by_name(name).is_some() {
                    self.topic_configs.insert(name.clone());
                }
            }
            ConfigResource::Broker(id) => self.broker_configs |= *id == broker,
            ConfigResource::AllBrokers => self.broker_configs = true,
            ConfigResource::ClientMetrics(_) => self.client_metrics = true,
            // Whoever needs a group's settings takes them from the image.
            ConfigResource::Group(_) => {}
        }
    }

    fn compare_brokers(&mut self, old: &MetadataImage, new: &MetadataImage) {
        let known = old.brokers().keys().chain(new.brokers().keys());
        self.brokers.extend(known.filter(|id| old.broker(**id) != new.broker(**id)));
    }

    fn compare_topics(
        &mut self,
        old: Option<&Arc<TopicImage>>,
        new: Option<&Arc<TopicImage>>,
        broker: BrokerId,
    ) {
        let Some(topic) = new.or(old) else { return };
        let partitions = |topic: Option<&Arc<TopicImage>>| topic.map_or(0, |topic| topic.partitions.len());
        for index in 0..partitions(old).max(partitions(new)) {
            let local = |topic: Option<&Arc<TopicImage>>| {
                topic?.partitions.get(index).filter(|partition| partition.replicas.contains(&broker)).cloned()
            };
            self.compare_partitions(topic, local(old), local(new), broker);
        }
    }

    fn compare_partitions(
        &mut self,
        topic: &TopicImage,
        old: Option<Arc<PartitionImage>>,
        new: Option<Arc<PartitionImage>>,
        broker: BrokerId,
    ) {
        let local = |state: Arc<PartitionImage>, is_new| LocalPartition {
            topic_partition: TopicPartition {
                topic: topic.name.to_string(),
                partition: PartitionIndex(state.index.0),
            },
            topic_id: topic.id,
            state,
            is_new,
        };
        match (old, new) {
            (None, None) => {}
            (Some(old), None) => self.removed.push(local(old, false)),
            (old, Some(new)) => {
                let leads = new.leader == Some(broker);
                let is_new = old.is_none();
                let same_epoch = old
                    .as_ref()
                    .is_some_and(|old| old.leader_epoch == new.leader_epoch && old.leader == new.leader);
                if !same_epoch {
                    let list = if leads { &mut self.leads } else { &mut self.follows };
                    list.push(local(new, is_new));
                } else if leads && old.is_some_and(|old| old.partition_epoch != new.partition_epoch) {
                    self.replicas_changed.push(local(new, is_new));
                }
            }
        }
    }
}

#[cfg(test)]
mod tests;
