//! Finds what a scrape asks for: topics in the metadata, offsets in the partitions that this node serves, groups in the
//! shards that it leads.

use std::collections::BTreeMap;
use std::sync::Arc;

use coordinator::ids::GroupId;
use coordinator::shard::GroupShard;
use replication::metadata::image::MetadataImage;
use storage::ids::{Offset, PartitionIndex};

use crate::broker::Broker;

use super::{
    Exporter, GroupPartitionSamples, GroupSamples, GroupTopicSamples, PartitionSamples, TopicSamples,
};

/// What this node knows of topics and groups now.
pub(crate) fn gather(broker: &Broker) -> Exporter {
    let mut exporter = Exporter::default();
    let image = broker.image();
    for topic in image.topics() {
        let partitions = topic.partitions.iter().map(|image| {
            let partition = broker.partitions.find(topic.id, image.index);
            let led = partition.filter(|partition| partition.leadership().is_some());
            if let Some(partition) = &led {
                let durable_end = partition.durable_end_offset();
                for follower in partition.followers() {
                    let reached = follower.durable_end_offset.unwrap_or_default();
                    exporter.follower_lag(follower.broker_id, durable_end.0 - reached.0);
                }
            }
            PartitionSamples {
                partition: image.index,
                leader: image.leader,
                replica_count: image.replicas.len(),
                in_sync_count: image.isr.len(),
                offsets: led.map(|it| (it.log.log_start_offset(), it.high_watermark())),
            }
        });
        let partitions: Vec<_> = partitions.collect();
        exporter.topic(TopicSamples { topic: topic.name.clone(), partitions });
    }
    for shard in broker.coordinators.shards() {
        // What a shard that is still being loaded knows is there at the next scrape.
        let Ok(groups) = shard.read(|shard| Ok(committed(shard, exporter.room()))) else { continue };
        exporter.leave_out(groups.left_out);
        for group in groups.found {
            exporter.group(samples(broker, &image, group));
        }
    }
    exporter
}

/// The groups of a shard, copied while it is locked.
struct Groups {
    found: Vec<CommittedGroup>,
    left_out: usize,
}

/// A group with its committed offsets.
struct CommittedGroup {
    group_id: GroupId,
    member_count: usize,
    topics: BTreeMap<Arc<str>, BTreeMap<PartitionIndex, Offset>>,
}

/// The groups of a shard, until their offsets are `room`: requests of the shard wait meanwhile.
fn committed(shard: &GroupShard, room: usize) -> Groups {
    let mut groups = Groups { found: Vec::new(), left_out: 0 };
    let mut offsets = shard.committed_offsets().peekable();
    let mut taken = 0;
    for listing in shard.list() {
        // Once the offsets of one group found no room, those of the later ones are not looked at.
        if taken > room {
            groups.left_out += 1;
            continue;
        }
        while offsets.next_if(|(group_id, ..)| **group_id < listing.group_id).is_some() {}
        let mut topics: BTreeMap<Arc<str>, BTreeMap<PartitionIndex, Offset>> = BTreeMap::new();
        while let Some((_, topic, partition, value)) =
            offsets.next_if(|(group_id, ..)| taken <= room && **group_id == listing.group_id)
        {
            topics.entry(topic.clone()).or_default().insert(partition, value.offset);
            taken += 1;
        }
        if taken > room {
            groups.left_out += 1;
            continue;
        }
        groups.found.push(CommittedGroup {
            group_id: listing.group_id,
            member_count: listing.member_count,
            topics,
        });
    }
    groups
}

/// The samples of a group. Topics that are not there any more have none.
fn samples(broker: &Broker, image: &MetadataImage, group: CommittedGroup) -> GroupSamples {
    let topics = group.topics.into_iter().filter_map(|(name, committed)| {
        let topic = image.topic_by_name(&name)?;
        let partitions = topic.partitions.iter().map(|partition| GroupPartitionSamples {
            partition: partition.index,
            committed: committed.get(&partition.index).copied(),
            high_watermark: broker.partitions.find(topic.id, partition.index).map(|it| it.high_watermark()),
        });
        Some(GroupTopicSamples { partitions: partitions.collect(), topic: name })
    });
    let topics = topics.collect();
    GroupSamples { group_id: group.group_id, member_count: group.member_count, topics }
}

#[cfg(test)]
mod tests {
    use coordinator::record::{OffsetCommitValue, Record};
    use coordinator::shard::GroupShard;
    use storage::ids::{LeaderEpoch, Offset, PartitionIndex, TimestampMs, TopicId};

    use super::{Groups, committed};

    /// A shard in which each of `groups` has committed offsets of so many partitions of one topic.
    fn shard(groups: &[(&str, i32)]) -> GroupShard {
        let mut shard = GroupShard::new();
        let mut offset = Offset(0);
        for (group_id, partitions) in groups {
            for partition in 0..*partitions {
                let value = OffsetCommitValue {
                    offset: Offset(7),
                    leader_epoch: LeaderEpoch::NONE,
                    metadata: "".into(),
                    commit_timestamp: TimestampMs(0),
                    expire_timestamp: None,
                    topic_id: TopicId::ZERO,
                };
                let (group_id, topic) = ((*group_id).into(), "events".into());
                let partition = PartitionIndex(partition);
                shard.apply(&Record::OffsetCommit { group_id, topic, partition, value: Some(value) }, offset);
                offset = offset.plus(1);
            }
        }
        shard.committed(offset);
        shard
    }

    /// The groups with the number of their offsets, and how many were left out.
    fn found(Groups { found, left_out }: Groups) -> (Vec<(String, usize)>, usize) {
        let offsets = |group: super::CommittedGroup| {
            (group.group_id.to_string(), group.topics.values().map(std::collections::BTreeMap::len).sum())
        };
        (found.into_iter().map(offsets).collect(), left_out)
    }

    #[test]
    fn each_group_has_its_own_offsets() {
        let shard = shard(&[("a", 2), ("b", 3), ("c", 1)]);
        let all = vec![("a".to_owned(), 2), ("b".to_owned(), 3), ("c".to_owned(), 1)];
        assert_eq!(found(committed(&shard, 6)), (all, 0));
    }

    #[test]
    fn a_group_is_there_with_all_its_offsets_or_not_at_all() {
        let shard = shard(&[("a", 2), ("b", 3), ("c", 1)]);
        assert_eq!(found(committed(&shard, 4)), (vec![("a".to_owned(), 2)], 2));
        assert_eq!(found(committed(&shard, 0)), (Vec::new(), 3));
    }
}
