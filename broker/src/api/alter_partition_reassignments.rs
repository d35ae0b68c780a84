//! AlterPartitionReassignments (key 45, versions 0–1): has partitions move to other brokers, or stops that (KIP-455).
//!
//! It is answered when the move has begun; ListPartitionReassignments says when it is over. Version notes: 1 may forbid
//! that the number of replicas changes (KIP-860). All rules are the controller's, see
//! `replication::controller::reassignments`. Source: `ReplicationControlManager.alterPartitionReassignments`.

use super::RequestContext;
use crate::error_code;
use crate::limits;
use kafka_protocol::ResponseError;
use kafka_protocol::messages::alter_partition_reassignments_response::{
    ReassignablePartitionResponse, ReassignableTopicResponse,
};
use kafka_protocol::messages::{AlterPartitionReassignmentsRequest, AlterPartitionReassignmentsResponse};
use kafka_protocol::protocol::StrBytes;
use replication::controller::reassignments::{AlterPartitionReassignments, Reassignment, ReassignmentChange};
use replication::controller::{ControllerReply, ControllerRequest};
use storage::ids::{BrokerId, TopicPartition};

/// The first version that says whether the number of replicas may change.
const FACTOR_CHANGE_SINCE: i16 = 1;

pub(crate) async fn handle(
    context: RequestContext,
    request: AlterPartitionReassignmentsRequest,
) -> AlterPartitionReassignmentsResponse {
    let allows_replication_factor_change =
        context.version < FACTOR_CHANGE_SINCE || request.allow_replication_factor_change;
    let response = AlterPartitionReassignmentsResponse::default()
        .with_allow_replication_factor_change(allows_replication_factor_change)
        .with_error_message(None);
    let partitions = reassignments(&request);
    let alter = AlterPartitionReassignments { partitions, allows_replication_factor_change };
    let alter = ControllerRequest::AlterPartitionReassignments(alter);
    match context.broker.propose(alter, limits::metadata_change_timeout(request.timeout_ms)).await {
        Ok(ControllerReply::AlterPartitionReassignments(changes)) => {
            response.with_responses(results(&request, changes))
        }
        Ok(other) => unreachable!("the controller answered reassignments with {other:?}"),
        Err(error) => response
            .with_error_code(error_code::of_propose(&error).code())
            .with_error_message(Some(StrBytes::from_string(error.to_string()))),
    }
}

fn reassignments(request: &AlterPartitionReassignmentsRequest) -> Vec<Reassignment> {
    let partitions = request.topics.iter().flat_map(|topic| {
        topic.partitions.iter().map(|partition| Reassignment {
            partition: TopicPartition::new(topic.name.to_string(), partition.partition_index),
            replicas: partition
                .replicas
                .as_ref()
                .map(|replicas| replicas.iter().map(|broker| BrokerId(broker.0)).collect()),
        })
    });
    partitions.collect()
}

/// The results, which come in the order of the request, by its topics.
fn results(
    request: &AlterPartitionReassignmentsRequest,
    changes: Vec<ReassignmentChange>,
) -> Vec<ReassignableTopicResponse> {
    let mut changes = changes.into_iter();
    let topics = request.topics.iter().map(|topic| {
        let results = changes.by_ref().take(topic.partitions.len()).map(result).collect();
        ReassignableTopicResponse::default().with_name(topic.name.clone()).with_partitions(results)
    });
    topics.collect()
}

fn result(change: ReassignmentChange) -> ReassignablePartitionResponse {
    let partition =
        ReassignablePartitionResponse::default().with_partition_index(change.partition.partition.0);
    match change.result.map_err(|error| (error_code::of_reassign(&error), error.to_string())) {
        Ok(()) => partition.with_error_message(None),
        Err((code, message)) => partition
            .with_error_code(ResponseError::code(&code))
            .with_error_message(Some(StrBytes::from_string(message))),
    }
}
