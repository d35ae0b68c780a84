//! ElectLeaders (key 43, versions 0–2): the preferred leader, or one that may lack records (KIP-183, KIP-460).
//!
//! Version notes: 0 knows the preferred leader only, 1 adds the election type and an error for the whole. Where no
//! partitions are named, those that need no election are not answered, and topics without one that does neither.
//! Source: `ControllerApis.handleElectLeaders`, `ReplicationControlManager.electLeaders`.

use super::RequestContext;
use crate::error_code;
use crate::limits;
use kafka_protocol::ResponseError;
use kafka_protocol::messages::elect_leaders_response::{PartitionResult, ReplicaElectionResult};
use kafka_protocol::messages::{ElectLeadersRequest, ElectLeadersResponse, TopicName};
use kafka_protocol::protocol::StrBytes;
use replication::controller::elections::{ElectLeaderError, ElectLeaders, ElectionType, LeaderElection};
use replication::controller::{ControllerReply, ControllerRequest};
use std::collections::BTreeMap;
use storage::ids::TopicPartition;

/// The first version with an election type, and with an error for the whole request.
const ELECTION_TYPE_SINCE: i16 = 1;

pub(crate) async fn handle(context: RequestContext, request: ElectLeadersRequest) -> ElectLeadersResponse {
    let election_type = match (context.version, request.election_type) {
        (..ELECTION_TYPE_SINCE, _) | (_, 0) => ElectionType::Preferred,
        (_, 1) => ElectionType::Unclean,
        (_, other) => {
            let message = format!("Unknown election type {other}");
            return all_failed(&context, &request, ResponseError::InvalidRequest, &message);
        }
    };
    let elect = ElectLeaders {
        election_type,
        partitions: request.topic_partitions.as_ref().map(|_| named(&request)),
    };
    let elect = ControllerRequest::ElectLeaders(elect);
    match context.broker.propose(elect, limits::metadata_change_timeout(request.timeout_ms)).await {
        Ok(ControllerReply::ElectLeaders(elections)) => {
            respond(elections.into_iter().map(|election| (election.partition.clone(), result(&election))))
        }
        Ok(other) => unreachable!("the controller answered elections with {other:?}"),
        Err(error) => all_failed(&context, &request, error_code::of_propose(&error), &error.to_string()),
    }
}

fn named(request: &ElectLeadersRequest) -> Vec<TopicPartition> {
    let topics = request.topic_partitions.iter().flatten();
    let partitions = topics.flat_map(|topic| {
        topic.partitions.iter().map(|partition| TopicPartition::new(topic.topic.to_string(), *partition))
    });
    partitions.collect()
}

fn result(election: &LeaderElection) -> PartitionResult {
    let partition = PartitionResult::default().with_partition_id(election.partition.partition.0);
    match &election.result {
        Ok(()) => partition.with_error_message(None),
        Err(error) => partition
            .with_error_code(error_code::of_elect_leader(error).code())
            .with_error_message(Some(StrBytes::from_string(message(*error, &election.partition)))),
    }
}

/// What Kafka's controller says, which names what it does not know.
fn message(error: ElectLeaderError, place: &TopicPartition) -> String {
    match error {
        ElectLeaderError::UnknownTopic => format!("No such topic as {}", place.topic),
        ElectLeaderError::UnknownPartition => {
            format!("No such partition as {}-{}", place.topic, place.partition.0)
        }
        ElectLeaderError::NotNeeded
        | ElectLeaderError::PreferredLeaderNotAvailable
        | ElectLeaderError::EligibleLeadersNotAvailable
        | ElectLeaderError::TooMany => error.to_string(),
    }
}

/// Results by topic.
fn respond(results: impl Iterator<Item = (TopicPartition, PartitionResult)>) -> ElectLeadersResponse {
    let mut topics: BTreeMap<String, Vec<PartitionResult>> = BTreeMap::new();
    for (partition, result) in results {
        topics.entry(partition.topic).or_default().push(result);
    }
    let topics = topics.into_iter().map(|(name, results)| {
        ReplicaElectionResult::default()
            .with_topic(TopicName(StrBytes::from_string(name)))
            .with_partition_result(results)
    });
    ElectLeadersResponse::default().with_replica_election_results(topics.collect())
}

fn all_failed(
    context: &RequestContext,
    request: &ElectLeadersRequest,
    error: ResponseError,
    message: &str,
) -> ElectLeadersResponse {
    let response = respond(named(request).into_iter().map(|partition| {
        let result = PartitionResult::default()
            .with_partition_id(partition.partition.0)
            .with_error_code(error.code())
            .with_error_message(Some(StrBytes::from_string(message.to_owned())));
        (partition, result)
    }));
    match context.version {
        ELECTION_TYPE_SINCE.. => response.with_error_code(error.code()),
        _ => response,
    }
}
