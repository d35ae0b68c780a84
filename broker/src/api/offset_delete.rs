//! OffsetDelete (key 47, version 0): offsets that a group is to forget.
//!
//! Source: KIP-496, `KafkaApis.handleOffsetDeleteRequest`.

use super::RequestContext;
use super::coordination::{Refusal, ask, mismatch, shared};
use crate::coordinators::CoordinatorError;
use crate::error_code;
use coordinator::error::GroupError;
use coordinator::ids::GroupId;
use coordinator::request::{OffsetDelete, Reply, Request};
use kafka_protocol::ResponseError;
use kafka_protocol::messages::offset_delete_response::{
    OffsetDeleteResponsePartition, OffsetDeleteResponseTopic,
};
use kafka_protocol::messages::{OffsetDeleteRequest, OffsetDeleteResponse, TopicName};
use std::future::Future;
use std::sync::Arc;
use storage::ids::PartitionIndex;

/// A topic of the request: its partitions, and whether each is there.
struct Judged {
    name: TopicName,
    partitions: Vec<(i32, bool)>,
}

pub(crate) fn handle(
    context: RequestContext,
    request: OffsetDeleteRequest,
) -> impl Future<Output = OffsetDeleteResponse> + Send + 'static {
    let image = context.broker.image();
    let mut partitions = Vec::new();
    let mut topics = Vec::with_capacity(request.topics.len());
    for topic in &request.topics {
        let name: Arc<str> = shared(&topic.name);
        let is_there = |index| image.partition(&name, PartitionIndex(index)).is_some();
        let judged: Vec<_> = topic
            .partitions
            .iter()
            .map(|partition| (partition.partition_index, is_there(partition.partition_index)))
            .collect();
        let there = judged.iter().filter(|(_, is_there)| *is_there);
        partitions.extend(there.map(|(index, _)| (Arc::clone(&name), PartitionIndex(*index))));
        topics.push(Judged { name: topic.name.clone(), partitions: judged });
    }
    let asked = match request.group_id.is_empty() {
        true => Err(ResponseError::InvalidGroupId),
        false => {
            let delete = OffsetDelete { group_id: GroupId(shared(&request.group_id)), partitions };
            Ok(ask(&context, &request.group_id, Request::OffsetDelete(delete)))
        }
    };
    async move {
        match deleted(asked).await {
            Ok(results) => answer(topics, results),
            Err(refusal) => OffsetDeleteResponse::default().with_error_code(refusal.code()),
        }
    }
}

async fn deleted(
    asked: Result<impl Future<Output = Result<Reply, CoordinatorError>>, ResponseError>,
) -> Result<Vec<Result<(), GroupError>>, Refusal> {
    match asked?.await? {
        Reply::OffsetDelete(results) => Ok(results.map_err(CoordinatorError::Group)?),
        other => mismatch(&other),
    }
}

fn answer(topics: Vec<Judged>, results: Vec<Result<(), GroupError>>) -> OffsetDeleteResponse {
    let mut results = results.into_iter();
    let mut code = |is_there: bool| match is_there.then(|| results.next()) {
        None => ResponseError::UnknownTopicOrPartition.code(),
        Some(Some(Ok(()))) => 0,
        Some(Some(Err(error))) => error_code::of_group(&error).code(),
        Some(None) => ResponseError::UnknownServerError.code(),
    };
    let topics = topics.into_iter().map(|topic| {
        let partitions = topic.partitions.into_iter().map(|(index, is_there)| {
            OffsetDeleteResponsePartition::default()
                .with_partition_index(index)
                .with_error_code(code(is_there))
        });
        OffsetDeleteResponseTopic::default().with_name(topic.name).with_partitions(partitions.collect())
    });
    OffsetDeleteResponse::default().with_topics(topics.collect())
}
