//! OffsetFetch (key 9, versions 1–10): how far groups have read, as it is committed.
//!
//! It waits for nothing: what is not committed yet is not there yet. So `require_stable` asks for nothing more until
//! transactions are served. A partition without an offset answers −1 and no error.
//! Version notes: 2 asks about all topics with null, and has an error of the group; 5 brings leader epochs, 8 several
//! groups (KIP-709), 9 who asks (KIP-848), 10 topic ids (KIP-516).
//! Source: `KafkaApis.handleOffsetFetchRequest`, `OffsetMetadataManager.fetchOffsets`.

use super::coordination::{GROUPS_PER_REQUEST_MAX, Refusal, look, shared, text};
use super::{Outcome, Reply as ApiReply, RequestContext};
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
use std::collections::HashMap;
use std::sync::Arc;
use storage::ids::{LeaderEpoch, Offset, PartitionIndex, TopicId};
use uuid::Uuid;

/// The first version that names topics by their ids.
const TOPIC_IDS_SINCE: i16 = 10;

/// The response, of which the crate does not have every version.
pub(crate) struct OffsetFetchReply(OffsetFetchResponse);

impl ApiReply for OffsetFetchReply {
    fn into_outcome(self, prefix: RequestPrefix, schema_version: i16) -> Result<Outcome, EncodeError> {
        let mut frame = FrameBuilder::new(prefix.correlation_id, is_flexible(schema_version));
        put_response(&mut frame, self.0, schema_version)?;
        frame.finish(schema_version).map(Outcome::Send)
    }
}

pub(crate) async fn handle(context: RequestContext, request: OffsetFetchRequest) -> OffsetFetchReply {
    let image = context.broker.image();
    let groups =
        request.groups.into_iter().take(GROUPS_PER_REQUEST_MAX).map(|group| fetch(&context, &image, group));
    OffsetFetchReply(OffsetFetchResponse { groups: groups.collect() })
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
    let fetched = look(context, &group.group_id, |shard| shard.fetch_offsets(&asking))?;
    let fetched: HashMap<_, _> =
        fetched.into_iter().map(|offset| ((Arc::clone(&offset.topic), offset.partition), offset)).collect();
    let answer = |topic: &AskedTopic, name: Option<&Arc<str>>, index: i32| {
        let Some(name) = name else { return nothing(index, ResponseError::UnknownTopicId.code()) };
        let offset = fetched.get(&(Arc::clone(name), PartitionIndex(index)));
        offset.map_or_else(|| nothing(index, 0), |offset| answered(offset, TopicId(topic.topic_id)))
    };
    let topics = topics.iter().zip(&names).map(|(topic, name)| AnsweredTopic {
        name: topic.name.clone(),
        topic_id: topic.topic_id,
        partitions: topic
            .partition_indexes
            .iter()
            .map(|&index| answer(topic, name.as_ref(), index))
            .collect(),
    });
    Ok(topics.collect())
}

/// The name of a topic that is asked about. By name it may be one that no topic has any more.
fn name_of(image: &MetadataImage, topic: &AskedTopic, by_id: bool) -> Option<Arc<str>> {
    match by_id {
        true => image.topic_by_id(TopicId(topic.topic_id)).map(|topic| Arc::clone(&topic.name)),
        false => Some(shared(&topic.name)),
    }
}

/// Whether an offset was committed for another life of the topic than the one that is asked about. It is to be forgotten.
fn is_of_another_life(offset: &FetchedOffset, asked: TopicId) -> bool {
    asked != TopicId::ZERO && offset.topic_id != TopicId::ZERO && asked != offset.topic_id
}

fn answered(offset: &FetchedOffset, asked: TopicId) -> AnsweredPartition {
    match &offset.committed {
        Some((committed, leader_epoch, metadata)) if !is_of_another_life(offset, asked) => AnsweredPartition {
            partition_index: offset.partition.0,
            committed_offset: committed.0,
            committed_leader_epoch: leader_epoch.0,
            metadata: text(metadata),
            error_code: 0,
        },
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
