//! OffsetCommit (key 8, versions 2–10): how far a group has read.
//!
//! Partitions that do not exist are refused one by one, and the others are committed. An answer means that the offsets
//! are as durable as `ottla.durability` says. Version notes: up to 4 a client may say how long to keep them, 6 brings leader epochs (KIP-320), 7 static
//! members, 9 the consumer protocol (KIP-848), 10 topic ids (KIP-516).
//! Source: `KafkaApis.handleOffsetCommitRequest`, `GroupCoordinatorService.commitOffsets`.

use super::coordination::{ask, mismatch, shared};
use super::{Outcome, Reply as ApiReply, RequestContext};
use crate::coordinators::CoordinatorError;
use crate::error_code;
use crate::wire::offset_commit::{
    AnsweredTopic, CommittedPartition, CommittedTopic, OffsetCommitRequest, OffsetCommitResponse,
    is_flexible, put_response,
};
use crate::wire::request_header::RequestPrefix;
use crate::wire::response::{EncodeError, FrameBuilder};
use coordinator::error::GroupError;
use coordinator::ids::{GroupId, InstanceId, MemberId};
use coordinator::request::{CommittingOffset, OffsetCommit, Reply, Request};
use kafka_protocol::ResponseError;
use kafka_protocol::protocol::StrBytes;
use replication::metadata::image::TopicImage;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;
use storage::ids::{LeaderEpoch, Offset, PartitionIndex, TopicId};

/// The first version that names topics by their ids.
const TOPIC_IDS_SINCE: i16 = 10;
/// The first version whose clients know the consumer protocol.
const CONSUMER_PROTOCOL_SINCE: i16 = 9;

/// The response, of which the crate does not have every version.
pub(crate) struct OffsetCommitReply(pub(crate) OffsetCommitResponse);

impl ApiReply for OffsetCommitReply {
    fn into_outcome(self, prefix: RequestPrefix, schema_version: i16) -> Result<Outcome, EncodeError> {
        let mut frame = FrameBuilder::new(prefix.correlation_id, is_flexible(schema_version));
        put_response(&mut frame, self.0, schema_version)?;
        frame.finish(schema_version).map(Outcome::Send)
    }
}

/// A topic of the request: what it is called, and each partition with its code, where that is known before the group is
/// asked.
struct Judged {
    name: StrBytes,
    topic_id: uuid::Uuid,
    partitions: Vec<(i32, Option<ResponseError>)>,
}

pub(crate) fn handle(
    context: RequestContext,
    request: OffsetCommitRequest,
) -> impl Future<Output = OffsetCommitReply> + Send + 'static {
    let image = context.broker.image();
    let mut topics = Vec::with_capacity(request.topics.len());
    let mut offsets = Vec::new();
    for topic in &request.topics {
        let (found, missing) = match context.version >= TOPIC_IDS_SINCE {
            true => (image.topic_by_id(TopicId(topic.topic_id)), ResponseError::UnknownTopicId),
            false => (image.topic_by_name(&topic.name), ResponseError::UnknownTopicOrPartition),
        };
        let found = found.ok_or(missing);
        topics.push(Judged {
            name: topic.name.clone(),
            topic_id: topic.topic_id,
            partitions: judge(topic, found, &mut offsets),
        });
    }
    // Where nothing is left to commit, Kafka does not look for the group either.
    let asked = (!offsets.is_empty()).then(|| {
        let commit = Request::OffsetCommit(committing(&context, &request, offsets));
        ask(&context, &request.group_id, commit)
    });
    async move {
        let committed = match asked {
            Some(asked) => committed(asked.await),
            None => Ok(Vec::new()),
        };
        OffsetCommitReply(answer(topics, &committed))
    }
}

/// The partitions of a topic, each with its code where it has one already; what is to be committed goes to `offsets`.
fn judge(
    topic: &CommittedTopic,
    found: Result<&Arc<TopicImage>, ResponseError>,
    offsets: &mut Vec<CommittingOffset>,
) -> Vec<(i32, Option<ResponseError>)> {
    let mut judge_one = |committed: &CommittedPartition| {
        let partition = PartitionIndex(committed.partition_index);
        let topic = found?;
        topic.partition(partition).ok_or(ResponseError::UnknownTopicOrPartition)?;
        offsets.push(CommittingOffset {
            topic: Arc::clone(&topic.name),
            topic_id: topic.id,
            partition,
            offset: Offset(committed.committed_offset),
            leader_epoch: LeaderEpoch(committed.committed_leader_epoch),
            metadata: committed.committed_metadata.as_ref().map(shared).unwrap_or_default(),
        });
        Ok(())
    };
    topic.partitions.iter().map(|committed| (committed.partition_index, judge_one(committed).err())).collect()
}

fn committing(
    context: &RequestContext,
    request: &OffsetCommitRequest,
    offsets: Vec<CommittingOffset>,
) -> OffsetCommit {
    OffsetCommit {
        group_id: GroupId(shared(&request.group_id)),
        member_id: MemberId(shared(&request.member_id)),
        generation_id_or_member_epoch: request.generation_id_or_member_epoch,
        group_instance_id: request.group_instance_id.as_ref().map(|id| InstanceId(shared(id))),
        retention: u64::try_from(request.retention_time_ms).ok().map(Duration::from_millis),
        supports_consumer_protocol: context.version >= CONSUMER_PROTOCOL_SINCE,
        names_topics_by_id: context.version >= TOPIC_IDS_SINCE,
        offsets,
    }
}

fn committed(
    answered: Result<Reply, CoordinatorError>,
) -> Result<Vec<Result<(), GroupError>>, CoordinatorError> {
    match answered? {
        Reply::OffsetCommit(committed) => Ok(committed?),
        other => mismatch(&other),
    }
}

/// The codes of all partitions: those that were refused before, and those that the group gave to the others, in order.
fn answer(
    topics: Vec<Judged>,
    committed: &Result<Vec<Result<(), GroupError>>, CoordinatorError>,
) -> OffsetCommitResponse {
    let mut of_group = committed.as_deref().unwrap_or_default().iter();
    let mut next_code = || match committed {
        Ok(_) => match of_group.next() {
            Some(Ok(())) => 0,
            Some(Err(error)) => error_code::of_group(error).code(),
            None => ResponseError::UnknownServerError.code(),
        },
        Err(error) => error_code::of_coordinator(error).code(),
    };
    let topics = topics.into_iter().map(|topic| AnsweredTopic {
        name: topic.name,
        topic_id: topic.topic_id,
        partitions: topic
            .partitions
            .into_iter()
            .map(|(index, refused)| (index, refused.map_or_else(&mut next_code, |error| error.code())))
            .collect(),
    });
    OffsetCommitResponse { topics: topics.collect(), throttle_time_ms: 0 }
}
