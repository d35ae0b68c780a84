//! What is forgotten: offsets that grew old, offsets of deleted topics, and what an administrator deletes.

use std::sync::Arc;

use storage::ids::{PartitionIndex, TopicId};

use super::GroupShard;
use crate::environment::Environment;
use crate::error::GroupError;
use crate::ids::GroupId;
use crate::output::Output;
use crate::record::Record;
use crate::request::OffsetDelete;

impl GroupShard {
    /// Forgets offsets that have been kept for long enough, and groups without members that have none left. To be
    /// called every `offsets.retention.check.interval.ms`. The records stand for themselves: they may be appended in
    /// more than one batch. Source: GroupCoordinatorShard.java.
    pub fn expire_offsets(&mut self, env: &Environment<'_>, output: &mut Output) {
        for (group_id, group) in self.groups.iter() {
            if let Some(record) = group.unwritten_end() {
                output.records.push(record);
                continue;
            }
            let age = group.offset_age();
            let mut is_any_left = false;
            for (topic, partitions) in self.offsets.of_group(group_id).into_iter().flatten() {
                let is_subscribed = group.is_subscribed_to(topic);
                for (partition, value) in partitions {
                    if !is_subscribed && age.is_expired(value, env.now, env.settings.offsets_retention_ms) {
                        output.records.push(tombstone(group_id, topic, *partition));
                    } else {
                        is_any_left = true;
                    }
                }
            }
            if !is_any_left && group.is_vacant() {
                group.tombstones(group_id, &mut output.records);
            }
        }
    }

    /// Forgets the offsets of topics that are deleted. The records stand for themselves, as those of
    /// [`Self::expire_offsets`].
    pub fn forget_topics(&mut self, names: &[Arc<str>], env: &Environment<'_>, output: &mut Output) {
        for (group_id, topics) in self.offsets.groups() {
            for name in names {
                let partitions = topics.get(name).into_iter().flatten();
                // A topic of the same name may have been created since, and its offsets committed.
                let recreated = env.cluster.topic_by_name(name).map(|topic| topic.id);
                let of_deleted = partitions.filter(|(_, value)| recreated != Some(value.topic_id));
                output.records.extend(of_deleted.map(|(partition, _)| tombstone(group_id, name, *partition)));
            }
        }
    }

    /// Forgets the offsets of topics that were deleted while nobody looked after this shard, to be called once it is
    /// loaded. An offset whose topic's id is not known stays where a topic of the name is there: it may be of that one.
    /// The records stand for themselves, as those of [`Self::expire_offsets`].
    pub fn forget_topics_that_are_gone(&mut self, env: &Environment<'_>, output: &mut Output) {
        for (group_id, topics) in self.offsets.groups() {
            for (name, partitions) in topics {
                let current = env.cluster.topic_by_name(name).map(|topic| topic.id);
                let is_gone =
                    |id: TopicId| current.is_none_or(|current| id != TopicId::ZERO && id != current);
                let gone = partitions.iter().filter(|(_, value)| is_gone(value.topic_id));
                output.records.extend(gone.map(|(partition, _)| tombstone(group_id, name, *partition)));
            }
        }
    }

    /// OffsetDelete. Source: OffsetMetadataManager.java.
    pub(super) fn delete_offsets(
        &mut self,
        request: &OffsetDelete,
        output: &mut Output,
    ) -> Result<Vec<Result<(), GroupError>>, GroupError> {
        let group_id = &request.group_id;
        let group = self.groups.get(group_id).ok_or_else(|| not_found(group_id))?;
        group.check_offset_deletion()?;
        let mut results = Vec::with_capacity(request.partitions.len());
        for (topic, partition) in &request.partitions {
            if group.is_subscribed_to(topic) {
                results.push(Err(GroupError::GroupSubscribedToTopic));
                continue;
            }
            if self.offsets.contains(group_id, topic, *partition) {
                output.records.push(tombstone(group_id, topic, *partition));
            }
            results.push(Ok(()));
        }
        Ok(results)
    }

    /// DeleteGroups, for one group.
    pub(super) fn delete_group(&mut self, group_id: &GroupId, output: &mut Output) -> Result<(), GroupError> {
        let group = self.groups.get(group_id).ok_or_else(|| not_found(group_id))?;
        if !group.is_empty() {
            return Err(GroupError::NonEmptyGroup);
        }
        for (topic, partitions) in self.offsets.of_group(group_id).into_iter().flatten() {
            output.records.extend(partitions.keys().map(|partition| tombstone(group_id, topic, *partition)));
        }
        group.tombstones(group_id, &mut output.records);
        Ok(())
    }
}

fn tombstone(group_id: &GroupId, topic: &Arc<str>, partition: PartitionIndex) -> Record {
    Record::OffsetCommit { group_id: group_id.clone(), topic: topic.clone(), partition, value: None }
}

fn not_found(group_id: &GroupId) -> GroupError {
    GroupError::GroupIdNotFound(format!("Group {group_id} not found."))
}
