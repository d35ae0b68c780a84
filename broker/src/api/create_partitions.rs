//! CreatePartitions (key 37, versions 0–3): more partitions for topics, answered once every request can use them (KIP-195).
//!
//! The number only grows. Topics that this broker writes to itself are refused, which Kafka leaves to its tools: what is
//! in them is found by their number of partitions. The other rules are the controller's, see
//! `replication::controller::partitions`. Source: `ControllerApis.createPartitions`.

use super::RequestContext;
use crate::error_code;
use crate::limits;
use crate::topics;
use kafka_protocol::ResponseError;
use kafka_protocol::messages::create_partitions_request::CreatePartitionsTopic;
use kafka_protocol::messages::create_partitions_response::CreatePartitionsTopicResult;
use kafka_protocol::messages::{CreatePartitionsRequest, CreatePartitionsResponse, TopicName};
use kafka_protocol::protocol::StrBytes;
use replication::controller::mutations::{Mutation, MutationResults};
use replication::controller::partitions::{CreatePartitions, MorePartitions};
use storage::ids::BrokerId;

/// The first version whose clients come back where they are over `controller_mutation_rate`. Source: KIP-599.
const STRICT_QUOTA_SINCE: i16 = 3;

pub(crate) async fn handle(
    context: RequestContext,
    request: CreatePartitionsRequest,
) -> CreatePartitionsResponse {
    let (internal, wanted): (Vec<_>, Vec<_>) =
        request.topics.iter().partition(|topic| topics::is_internal(&topic.name));
    let mut results: Vec<_> = internal.into_iter().map(|topic| refuse_internal(&topic.name)).collect();
    let create = CreatePartitions {
        topics: wanted.iter().copied().map(more_partitions).collect(),
        validate_only: request.validate_only,
    };
    let create = Mutation::CreatePartitions(create);
    let patience = limits::metadata_change_timeout(request.timeout_ms);
    let mut throttle_time_ms = 0;
    match context.mutate(create, STRICT_QUOTA_SINCE, patience).await {
        Ok((MutationResults::CreatePartitions(creations), quiet)) => {
            throttle_time_ms = context.keep_quiet(quiet);
            results.extend(creations.into_iter().map(|creation| match creation.result {
                Ok(()) => named(&creation.name),
                Err(error) => {
                    failed(&creation.name, error_code::of_create_partitions(&error), error.to_string())
                }
            }));
        }
        Ok((other, _)) => unreachable!("the controller answered partitions with {other:?}"),
        Err(error) => results.extend(
            wanted.iter().map(|topic| failed(&topic.name, error_code::of_propose(&error), error.to_string())),
        ),
    }
    CreatePartitionsResponse::default().with_throttle_time_ms(throttle_time_ms).with_results(results)
}

fn more_partitions(topic: &CreatePartitionsTopic) -> MorePartitions {
    let assignments = topic.assignments.as_ref().map(|assignments| {
        assignments
            .iter()
            .map(|assignment| assignment.broker_ids.iter().map(|broker| BrokerId(broker.0)).collect())
            .collect()
    });
    MorePartitions { name: topic.name.to_string(), count: topic.count, assignments }
}

fn refuse_internal(name: &str) -> CreatePartitionsTopicResult {
    let message =
        format!("The number of partitions of {name} cannot be changed: what is in it is found by it.");
    failed(name, ResponseError::InvalidPartitions, message)
}

fn failed(name: &str, error: ResponseError, message: String) -> CreatePartitionsTopicResult {
    named(name).with_error_code(error.code()).with_error_message(Some(StrBytes::from_string(message)))
}

fn named(name: &str) -> CreatePartitionsTopicResult {
    CreatePartitionsTopicResult::default()
        .with_name(TopicName(StrBytes::from_string(name.to_owned())))
        .with_error_message(None)
}
