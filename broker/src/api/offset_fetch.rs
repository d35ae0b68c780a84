//! OffsetFetch (key 9, versions 1–10): how far groups have read, as it is committed.
//!
//! It waits for nothing: what is not committed yet is not there yet. So `require_stable` asks for nothing more until
//! transactions are served. A partition without an offset answers −1 and no error. What is asked for twice is answered
//! once, and groups beyond [`OFFSET_FETCH_BYTES`] are to be asked for again.
//! Version notes: 2 asks about all topics with null, and has an error of the group; 5 brings leader epochs, 8 several
//! groups (KIP-709), 9 who asks (KIP-848), 10 topic ids (KIP-516).
//! Source: `KafkaApis.handleOffsetFetchRequest`, `OffsetMetadataManager.fetchOffsets`.

use super::coordination::{Refusal, each_once, look, shared, text};
use super::{Outcome, Reply as ApiReply, RequestContext};
use crate::limits::OFFSET_FETCH_BYTES;
use crate::wire::offset_fetch::{
    AnsweredGroup, AnsweredPartition, AnsweredTopic, AskedGroup, AskedTopic, GROUP_ERROR_SINCE,
    OffsetFetchRequest, OffsetFetchResponse, is_flexible, put_response,
};
use crate::wire::request_header::RequestPrefix;
use crate::wire::response::{EncodeError, FrameBuilder};
use coordinator::description::{FetchedOffset, OffsetFetch};
use coordinator::ids::{GroupId, MemberEpoch, MemberId};
use kafka_protocol::ResponseError;
use kafka_protocol::protocol::StrBytes;
use replication::metadata::image::MetadataImage;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use storage::ids::{LeaderEpoch, Offset, PartitionIndex, TopicId};
use uuid::Uuid;

/// The first version that names topics by their ids.
const TOPIC_IDS_SINCE: i16 = 10;

/// The response, of which the crate does not have every version.
pub(crate) struct OffsetFetchReply(pub(crate) OffsetFetchResponse);

impl ApiReply for OffsetFetchReply {
    fn into_outcome(self, prefix: RequestPrefix, schema_version: i16) -> Result<Outcome, EncodeError> {
        let mut frame = FrameBuilder::new(prefix.correlation_id, is_flexible(schema_version));
        put_response(&mut frame, self.0, schema_version)?;
        frame.finish(schema_version).map(Outcome::Send)
    }
}

pub(crate) async fn handle(context: RequestContext, request: OffsetFetchRequest) -> OffsetFetchReply {
    let image = context.broker.image();
    let groups = each_once(request.groups, |group| &group.group_id).map(partitions_once);
    let fetch = |group| fetch(&context, &image, group);
    OffsetFetchReply(OffsetFetchResponse {
        throttle_time_ms: 0,
        groups: fetch_within(OFFSET_FETCH_BYTES, groups, context.version, fetch),
    })
}

/// Each partition of a group once: one that is repeated would have its metadata repeated too, which is longer.
fn partitions_once(mut group: AskedGroup) -> AskedGroup {
    let mut seen: HashMap<(StrBytes, Uuid), HashSet<i32>> = HashMap::new();
    for topic in group.topics.iter_mut().flatten() {
        let seen = seen.entry((topic.name.clone(), topic.topic_id)).or_default();
        topic.partition_indexes.retain(|&index| seen.insert(index));
    }
    group
}

/// Answers `groups` until the answer has reached `bytes_max`. A group is answered whole, since nobody could ask for the
/// rest of it; those after it are to be asked for again, which clients do.
fn fetch_within(
    bytes_max: usize,
    groups: impl Iterator<Item = AskedGroup>,
    version: i16,
    fetch: impl Fn(AskedGroup) -> AnsweredGroup,
) -> Vec<AnsweredGroup> {
    let mut bytes = 0;
    let answered = groups.map(|group| {
        if bytes >= bytes_max {
            return refuse(group, ResponseError::CoordinatorNotAvailable, version);
        }
        let answered = fetch(group);
        bytes += size_of_offsets(&answered);
        answered
    });
    answered.collect()
}

/// The memory that the offsets of an answer take, metadata and all.
fn size_of_offsets(group: &AnsweredGroup) -> usize {
    let partitions = group.topics.iter().flat_map(|topic| &topic.partitions);
    partitions.map(|partition| size_of::<AnsweredPartition>() + partition.metadata.len()).sum()
}

fn fetch(context: &RequestContext, image: &MetadataImage, group: AskedGroup) -> AnsweredGroup {
    let by_id = context.version >= TOPIC_IDS_SINCE;
    let fetched = match &group.topics {
        None => fetch_all(context, image, &group, by_id),
        Some(topics) => fetch_named(context, image, &group, topics, by_id),
    };
    match fetched {
        Ok(topics) => AnsweredGroup { group_id: group.group_id, topics, error_code: 0 },
        Err(refusal) => refuse(group, refusal.error, context.version),
    }
}

fn asking(group: &AskedGroup, partitions: Option<Vec<(Arc<str>, PartitionIndex)>>) -> OffsetFetch {
    let member_id = group.member_id.as_ref();
    OffsetFetch {
        group_id: GroupId(shared(&group.group_id)),
        member: member_id.map(|id| (MemberId(shared(id)), MemberEpoch(group.member_epoch))),
        partitions,
    }
}

/// Everything that the group has offsets of, by topic.
fn fetch_all(
    context: &RequestContext,
    image: &MetadataImage,
    group: &AskedGroup,
    by_id: bool,
) -> Result<Vec<AnsweredTopic>, Refusal> {
    let fetched = look(context, &group.group_id, |shard| shard.fetch_offsets(&asking(group, None)))?;
    let mut topics: Vec<AnsweredTopic> = Vec::new();
    for offset in fetched.into_iter().filter(|offset| offset.committed.is_some()) {
        // A topic that is gone has no id by which it could be named.
        let known = image.topic_by_name(&offset.topic).map(|topic| topic.id);
        let Some(id) = known.or((!by_id).then_some(TopicId::ZERO)) else { continue };
        if is_of_another_life(&offset, id) {
            continue;
        }
        let partition = answered(&offset, id);
        match topics.last_mut() {
            Some(last) if last.name.as_str() == &*offset.topic => last.partitions.push(partition),
            Some(_) | None => topics.push(AnsweredTopic {
                name: text(&offset.topic),
                topic_id: id.0,
                partitions: vec![partition],
            }),
        }
    }
    Ok(topics)
}

/// What is asked for, in the order of the request.
fn fetch_named(
    context: &RequestContext,
    image: &MetadataImage,
    group: &AskedGroup,
    topics: &[AskedTopic],
    by_id: bool,
) -> Result<Vec<AnsweredTopic>, Refusal> {
    let names: Vec<Option<Arc<str>>> = topics.iter().map(|topic| name_of(image, topic, by_id)).collect();
    let named = topics.iter().zip(&names).filter_map(|(topic, name)| Some((topic, name.as_ref()?)));
    let partitions = named.flat_map(|(topic, name)| {
        topic.partition_indexes.iter().map(|&index| (Arc::clone(name), PartitionIndex(index)))
    });
    let asking = asking(group, Some(partitions.collect()));
    // One for each partition that is asked about, in the order of the question.
    let mut fetched = look(context, &group.group_id, |shard| shard.fetch_offsets(&asking))?.into_iter();
    let mut answer = |topic: &AskedTopic, name: Option<&Arc<str>>| {
        let id = id_of(image, topic, by_id);
        let partition = |&index: &i32| match name {
            Some(_) => fetched.next().map_or_else(|| nothing(index, 0), |offset| answered(&offset, id)),
            None => nothing(index, ResponseError::UnknownTopicId.code()),
        };
        AnsweredTopic {
            name: topic.name.clone(),
            topic_id: topic.topic_id,
            partitions: topic.partition_indexes.iter().map(partition).collect(),
        }
    };
    Ok(topics.iter().zip(&names).map(|(topic, name)| answer(topic, name.as_ref())).collect())
}

/// The name of a topic that is asked about. By name it may be one that no topic has any more.
fn name_of(image: &MetadataImage, topic: &AskedTopic, by_id: bool) -> Option<Arc<str>> {
    match by_id {
        true => image.topic_by_id(TopicId(topic.topic_id)).map(|topic| Arc::clone(&topic.name)),
        false => Some(shared(&topic.name)),
    }
}

/// The topic that is meant now; zero, which every offset matches, where no topic has the name any more.
fn id_of(image: &MetadataImage, topic: &AskedTopic, by_id: bool) -> TopicId {
    match by_id {
        true => TopicId(topic.topic_id),
        false => image.topic_by_name(&topic.name).map_or(TopicId::ZERO, |topic| topic.id),
    }
}

/// Whether an offset was committed for another life of the topic than the one that is asked about. It is to be forgotten.
fn is_of_another_life(offset: &FetchedOffset, asked: TopicId) -> bool {
    asked != TopicId::ZERO && offset.topic_id != TopicId::ZERO && asked != offset.topic_id
}

fn answered(offset: &FetchedOffset, asked: TopicId) -> AnsweredPartition {
    match &offset.committed {
        Some((committed, leader_epoch, metadata)) if !is_of_another_life(offset, asked) => {
            AnsweredPartition {
                partition_index: offset.partition.0,
                committed_offset: committed.0,
                committed_leader_epoch: leader_epoch.0,
                metadata: text(metadata),
                error_code: 0,
            }
        }
        Some(_) | None => nothing(offset.partition.0, 0),
    }
}

fn nothing(partition_index: i32, error_code: i16) -> AnsweredPartition {
    AnsweredPartition {
        partition_index,
        committed_offset: Offset(-1).0,
        committed_leader_epoch: LeaderEpoch::NONE.0,
        metadata: StrBytes::default(),
        error_code,
    }
}

/// The error of a group; where the version has no place for it, each partition carries it.
fn refuse(group: AskedGroup, error: ResponseError, version: i16) -> AnsweredGroup {
    let code = error.code();
    if version >= GROUP_ERROR_SINCE {
        return AnsweredGroup { group_id: group.group_id, topics: Vec::new(), error_code: code };
    }
    let topics = group.topics.unwrap_or_default().into_iter().map(|topic| AnsweredTopic {
        name: topic.name,
        topic_id: Uuid::nil(),
        partitions: topic.partition_indexes.into_iter().map(|index| nothing(index, code)).collect(),
    });
    AnsweredGroup { group_id: group.group_id, topics: topics.collect(), error_code: code }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(group_id: &str, topics: &[(&str, &[i32])]) -> AskedGroup {
        let topic = |&(name, indexes): &(&str, &[i32])| AskedTopic {
            name: text(name),
            topic_id: Uuid::nil(),
            partition_indexes: indexes.to_vec(),
        };
        AskedGroup {
            group_id: text(group_id),
            member_id: None,
            member_epoch: -1,
            topics: Some(topics.iter().map(topic).collect()),
        }
    }

    #[test]
    fn partition_that_is_asked_for_again_is_answered_once() {
        let once = partitions_once(asked("g", &[("t", &[1, 0, 1]), ("u", &[1]), ("t", &[0, 2])]));
        assert_eq!(once, asked("g", &[("t", &[1, 0]), ("u", &[1]), ("t", &[2])]));
    }

    #[test]
    fn groups_beyond_the_bound_of_an_answer_are_to_be_asked_for_again() {
        let groups = ["a", "b", "c", "d"].map(|name| asked(name, &[("t", &[0])]));
        let long = |group: AskedGroup| AnsweredGroup {
            group_id: group.group_id,
            topics: vec![AnsweredTopic {
                name: text("t"),
                topic_id: Uuid::nil(),
                partitions: vec![AnsweredPartition { metadata: text(&"x".repeat(100)), ..nothing(0, 0) }],
            }],
            error_code: 0,
        };
        let answered = fetch_within(201, groups.into_iter(), 9, long);
        let codes: Vec<_> =
            answered.iter().map(|group| (group.group_id.as_str(), group.error_code)).collect();
        assert_eq!(codes, [("a", 0), ("b", 0), ("c", 15), ("d", 15)]);
        assert!(answered[2].topics.is_empty());
    }
}
