//! The partitions of which this node holds a replica. A lookup takes no lock.

use crate::partition::Partition;
use arc_swap::ArcSwap;
use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use storage::ids::{PartitionIndex, TopicId};

/// A partition, in this life of its topic.
pub type PartitionKey = (TopicId, PartitionIndex);

/// The partitions of one topic on this node, by number.
pub type TopicPartitions = HashMap<PartitionIndex, Arc<Partition>>;

/// Every partition on this node.
#[derive(Debug, Default)]
pub struct Partitions {
    by_topic: ArcSwap<HashMap<TopicId, Arc<TopicPartitions>>>,
}

impl Partitions {
    /// The partition, or `None` where this node does not hold it.
    #[must_use]
    pub fn find(&self, topic_id: TopicId, partition: PartitionIndex) -> Option<Arc<Partition>> {
        self.by_topic.load().get(&topic_id)?.get(&partition).cloned()
    }

    /// Every partition, in no order.
    #[must_use]
    pub fn all(&self) -> Vec<Arc<Partition>> {
        self.by_topic.load().values().flat_map(|topic| topic.values().cloned()).collect()
    }

    /// Adds partitions in one step: readers see all of them or none. Only the task that follows the metadata calls it.
    pub fn add(&self, added: Vec<(PartitionKey, Arc<Partition>)>) {
        if added.is_empty() {
            return;
        }
        let mut by_topic = HashMap::clone(&self.by_topic.load());
        for ((topic_id, index), partition) in added {
            let topic = by_topic.entry(topic_id).or_default();
            Arc::make_mut(topic).insert(index, partition);
        }
        self.by_topic.store(Arc::new(by_topic));
    }

    /// Removes partitions and hands them out, to be closed once the image says why they are gone. Only the task that follows
    /// the metadata calls it.
    pub fn remove(&self, removed: &BTreeSet<PartitionKey>) -> Vec<Arc<Partition>> {
        if removed.is_empty() {
            return Vec::new();
        }
        let mut by_topic = HashMap::clone(&self.by_topic.load());
        let mut gone = Vec::with_capacity(removed.len());
        for (topic_id, index) in removed {
            let Some(topic) = by_topic.get_mut(topic_id) else { continue };
            gone.extend(Arc::make_mut(topic).remove(index));
            if topic.is_empty() {
                by_topic.remove(topic_id);
            }
        }
        self.by_topic.store(Arc::new(by_topic));
        gone
    }
}

#[cfg(test)]
mod tests {
    use super::Partitions;
    use storage::ids::{PartitionIndex, TopicId};

    #[test]
    fn nothing_is_found_where_nothing_is_served() {
        let partitions = Partitions::default();
        assert!(partitions.find(TopicId::ZERO, PartitionIndex(0)).is_none());
        assert!(partitions.all().is_empty());
    }
}
