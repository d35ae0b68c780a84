//! ConsumerGroupHeartbeat (key 68, versions 0–1): a member of a consumer group joins, is alive, reports what it owns, or
//! leaves (KIP-848).
//!
//! A null in the answer's assignment means that nothing changed, an empty one that the member owns nothing.
//! Version notes: 1 brings patterns, and member ids that the client makes. Source:
//! `GroupCoordinatorService.consumerGroupHeartbeat`.

use super::RequestContext;
use super::coordination::{Refusal, ask, client_host, mismatch, shared, text};
use crate::coordinators::CoordinatorError;
use coordinator::ids::{GroupId, InstanceId, MemberEpoch, MemberId};
use coordinator::record::TopicPartitions;
use coordinator::request::{ConsumerGroupHeartbeat, ConsumerGroupHeartbeatReply, Reply, Request};
use kafka_protocol::ResponseError;
use kafka_protocol::messages::consumer_group_heartbeat_response::{Assignment, TopicPartitions as Assigned};
use kafka_protocol::messages::{ConsumerGroupHeartbeatRequest, ConsumerGroupHeartbeatResponse};
use std::future::Future;
use std::sync::Arc;
use storage::ids::{PartitionIndex, TopicId};

/// The first version whose clients name themselves.
const MEMBER_IDS_SINCE: i16 = 1;

pub(crate) fn handle(
    context: RequestContext,
    request: ConsumerGroupHeartbeatRequest,
) -> impl Future<Output = ConsumerGroupHeartbeatResponse> + Send + 'static {
    let asked = match context.broker.settings.load().broker.groups.serves_consumer_protocol() {
        true => {
            let heartbeat = Request::ConsumerGroupHeartbeat(alive(&context, &request));
            Ok(ask(&context, &request.group_id, heartbeat))
        }
        false => Err(ResponseError::UnsupportedVersion),
    };
    async move {
        match answered(asked).await {
            Ok(reply) => answer(reply),
            Err(refusal) => ConsumerGroupHeartbeatResponse::default()
                .with_error_code(refusal.code())
                .with_error_message(refusal.message())
                .with_member_id(None)
                .with_assignment(None),
        }
    }
}

async fn answered(
    asked: Result<impl Future<Output = Result<Reply, CoordinatorError>>, ResponseError>,
) -> Result<ConsumerGroupHeartbeatReply, Refusal> {
    match asked?.await? {
        Reply::ConsumerGroupHeartbeat(reply) => Ok(reply.map_err(CoordinatorError::Group)?),
        other => mismatch(&other),
    }
}

fn alive(context: &RequestContext, request: &ConsumerGroupHeartbeatRequest) -> ConsumerGroupHeartbeat {
    let names = |names: &Vec<kafka_protocol::messages::TopicName>| -> Vec<Arc<str>> {
        names.iter().map(|name| shared(name)).collect()
    };
    ConsumerGroupHeartbeat {
        group_id: GroupId(shared(&request.group_id)),
        member_id: MemberId(shared(&request.member_id)),
        is_named_by_client: context.version >= MEMBER_IDS_SINCE,
        member_epoch: MemberEpoch(request.member_epoch),
        instance_id: request.instance_id.as_ref().map(|id| InstanceId(shared(id))),
        rack_id: request.rack_id.as_ref().map(shared),
        rebalance_timeout_ms: request.rebalance_timeout_ms,
        client_id: context.client_id.as_str().into(),
        client_host: client_host(context),
        subscribed_topic_names: request.subscribed_topic_names.as_ref().map(names),
        subscribed_topic_regex: request.subscribed_topic_regex.as_ref().map(shared),
        server_assignor: request.server_assignor.as_ref().map(shared),
        owned: request.topic_partitions.as_ref().map(|owned| {
            owned
                .iter()
                .map(|topic| TopicPartitions {
                    topic_id: TopicId(topic.topic_id),
                    partitions: topic.partitions.iter().copied().map(PartitionIndex).collect(),
                })
                .collect()
        }),
    }
}

fn answer(reply: ConsumerGroupHeartbeatReply) -> ConsumerGroupHeartbeatResponse {
    let assigned = |topic: TopicPartitions| {
        Assigned::default()
            .with_topic_id(topic.topic_id.0)
            .with_partitions(topic.partitions.into_iter().map(|partition| partition.0).collect())
    };
    let assignment = reply.assignment.map(|topics| {
        Assignment::default().with_topic_partitions(topics.into_iter().map(assigned).collect())
    });
    ConsumerGroupHeartbeatResponse::default()
        .with_error_message(None)
        .with_member_id(Some(text(reply.member_id.as_str())))
        .with_member_epoch(reply.member_epoch.0)
        .with_heartbeat_interval_ms(i32::try_from(reply.heartbeat_interval.as_millis()).unwrap_or(i32::MAX))
        .with_assignment(assignment)
}
