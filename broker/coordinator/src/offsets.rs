//! How far groups have read: the committed offsets of one shard.
//!
//! An offset is *applied* when its record is in the log, and *committed* when every in-sync replica holds that record.
//! What is decided (deletion, expiry) looks at what is applied; what is read (OffsetFetch, lag) at what is committed.
//! So beside an applied value stand those that it supersedes, until the high watermark has passed it. In a shard that
//! rests nothing stands there, and an offset costs what its own value costs.

mod committing;
mod view;

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use storage::ids::{Offset, PartitionIndex};

use crate::ids::GroupId;
use crate::record::OffsetCommitValue;

pub(crate) use committing::commit;
pub(crate) use view::fetched;

/// What an offset is of.
type Key = (GroupId, Arc<str>, PartitionIndex);

/// The offsets of one group, by topic and partition.
pub(crate) type GroupOffsets = BTreeMap<Arc<str>, BTreeMap<PartitionIndex, OffsetCommitValue>>;

/// The offsets of all groups of a shard.
///
/// Invariants: no group and no topic is kept without an offset; `superseded` has one entry for each of `uncommitted`,
/// in its order.
#[derive(Debug, Default)]
pub(crate) struct Offsets {
    /// What is applied.
    applied: BTreeMap<GroupId, GroupOffsets>,
    /// What stood before each record that is not committed yet, the oldest first.
    superseded: BTreeMap<Key, VecDeque<Option<OffsetCommitValue>>>,
    /// The records that are not committed yet: where they are in the log, and what they are about.
    uncommitted: VecDeque<(Offset, Key)>,
    /// Everything before this is committed (exclusive).
    high_watermark: Offset,
}

impl Offsets {
    /// Makes a record true that is at `offset` of the log: a value, or its absence.
    pub(crate) fn apply(
        &mut self,
        group_id: &GroupId,
        topic: &Arc<str>,
        partition: PartitionIndex,
        value: Option<OffsetCommitValue>,
        offset: Offset,
    ) {
        let before = match value {
            Some(value) => self.put(group_id, topic, partition, value),
            None => self.remove(group_id, topic, partition),
        };
        if offset >= self.high_watermark {
            let key = (group_id.clone(), topic.clone(), partition);
            self.superseded.entry(key.clone()).or_default().push_back(before);
            self.uncommitted.push_back((offset, key));
        }
    }

    /// Every record before `high_watermark` is committed.
    pub(crate) fn committed(&mut self, high_watermark: Offset) {
        self.high_watermark = self.high_watermark.max(high_watermark);
        while let Some((_, key)) = self.uncommitted.pop_front_if(|(offset, _)| *offset < high_watermark) {
            let Some(values) = self.superseded.get_mut(&key) else { continue };
            values.pop_front();
            if values.is_empty() {
                self.superseded.remove(&key);
            }
        }
    }

    /// What is applied of a group.
    pub(crate) fn of_group(&self, group_id: &GroupId) -> Option<&GroupOffsets> {
        self.applied.get(group_id)
    }

    /// Whether an offset of the partition is applied.
    pub(crate) fn contains(&self, group_id: &GroupId, topic: &str, partition: PartitionIndex) -> bool {
        let topic = self.applied.get(group_id).and_then(|topics| topics.get(topic));
        topic.is_some_and(|partitions| partitions.contains_key(&partition))
    }

    /// The groups that have offsets.
    pub(crate) fn groups(&self) -> impl Iterator<Item = (&GroupId, &GroupOffsets)> {
        self.applied.iter()
    }

    fn put(
        &mut self,
        group_id: &GroupId,
        topic: &Arc<str>,
        partition: PartitionIndex,
        value: OffsetCommitValue,
    ) -> Option<OffsetCommitValue> {
        // The lookups come first so that a group or topic that is there keeps the text it has.
        if !self.applied.contains_key(group_id) {
            self.applied.insert(group_id.clone(), GroupOffsets::new());
        }
        let topics = self.applied.get_mut(group_id)?;
        match topics.get_mut(topic) {
            Some(partitions) => partitions.insert(partition, value),
            None => {
                topics.insert(topic.clone(), BTreeMap::from([(partition, value)]));
                None
            }
        }
    }

    fn remove(
        &mut self,
        group_id: &GroupId,
        topic: &str,
        partition: PartitionIndex,
    ) -> Option<OffsetCommitValue> {
        let topics = self.applied.get_mut(group_id)?;
        let partitions = topics.get_mut(topic)?;
        let before = partitions.remove(&partition);
        if partitions.is_empty() {
            topics.remove(topic);
        }
        if topics.is_empty() {
            self.applied.remove(group_id);
        }
        before
    }
}
