//! What reads see: offsets whose records are committed.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use storage::ids::{PartitionIndex, TopicId};

use super::{Key, Offsets};
use crate::description::FetchedOffset;
use crate::ids::GroupId;
use crate::record::OffsetCommitValue;

impl Offsets {
    /// The committed offset of a partition.
    pub(crate) fn committed_value(
        &self,
        group_id: &GroupId,
        topic: &Arc<str>,
        partition: PartitionIndex,
    ) -> Option<&OffsetCommitValue> {
        if !self.superseded.is_empty()
            && let Some(before) = self.superseded.get(&(group_id.clone(), topic.clone(), partition))
        {
            return before.front().and_then(Option::as_ref);
        }
        self.applied.get(group_id)?.get(topic)?.get(&partition)
    }

    /// Every committed offset of a group, in the order of topics and partitions.
    pub(crate) fn committed_of<'a>(
        &'a self,
        group_id: &'a GroupId,
    ) -> Vec<(&'a Arc<str>, PartitionIndex, &'a OffsetCommitValue)> {
        let applied = self.applied.get(group_id).into_iter().flatten().flat_map(|(topic, partitions)| {
            partitions.iter().map(move |(partition, value)| (topic, *partition, value))
        });
        if self.superseded_of(group_id).next().is_none() {
            return applied.collect();
        }
        let mut values: BTreeMap<(&Arc<str>, PartitionIndex), &OffsetCommitValue> =
            applied.map(|(topic, partition, value)| ((topic, partition), value)).collect();
        for ((_, topic, partition), before) in self.superseded_of(group_id) {
            match before.front().and_then(Option::as_ref) {
                Some(value) => values.insert((topic, *partition), value),
                None => values.remove(&(topic, *partition)),
            };
        }
        values.into_iter().map(|((topic, partition), value)| (topic, partition, value)).collect()
    }

    /// The groups that have committed offsets, and perhaps a few that have none any more.
    pub(crate) fn groups_with_offsets(&self) -> impl Iterator<Item = &GroupId> {
        let only_superseded = self.superseded.keys().map(|(group_id, ..)| group_id);
        let mut groups: Vec<&GroupId> = self.applied.keys().chain(only_superseded).collect();
        groups.sort_unstable();
        groups.dedup();
        groups.into_iter()
    }

    fn superseded_of<'a>(
        &'a self,
        group_id: &'a GroupId,
    ) -> impl Iterator<Item = (&'a Key, &'a VecDeque<Option<OffsetCommitValue>>)> {
        let first = (group_id.clone(), Arc::from(""), PartitionIndex(i32::MIN));
        self.superseded.range(first..).take_while(move |((group, ..), _)| group == group_id)
    }
}

/// The answer for one partition.
pub(crate) fn fetched(
    topic: &Arc<str>,
    partition: PartitionIndex,
    value: Option<&OffsetCommitValue>,
) -> FetchedOffset {
    FetchedOffset {
        topic: topic.clone(),
        topic_id: value.map_or(TopicId::ZERO, |value| value.topic_id),
        partition,
        committed: value.map(|value| (value.offset, value.leader_epoch, value.metadata.clone())),
    }
}
