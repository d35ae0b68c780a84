//! DeleteTopics (key 20, versions 1–6): by name, and from 6 on also by id.
//!
//! A deleted topic is gone for every request once this is answered; its files are removed in the background.
//! Source: `ControllerApis.deleteTopics`.

use super::RequestContext;
use crate::error_code;
use crate::limits;
use kafka_protocol::ResponseError;
use kafka_protocol::messages::delete_topics_response::DeletableTopicResult;
use kafka_protocol::messages::{DeleteTopicsRequest, DeleteTopicsResponse, TopicName};
use kafka_protocol::protocol::StrBytes;
use replication::controller::mutations::{Mutation, MutationResults};
use replication::controller::topics::{DeleteTopics, TopicDeletion, TopicSelector};
use storage::ids::TopicId;

/// The first version that may name topics by id.
const TOPIC_IDS_SINCE: i16 = 6;
/// The first version whose clients know TOPIC_DELETION_DISABLED.
const DELETION_DISABLED_SINCE: i16 = 3;
/// The first version that explains errors.
const ERROR_MESSAGES_SINCE: i16 = 5;
/// The first version whose clients come back where they are over `controller_mutation_rate`. Source: KIP-599.
const STRICT_QUOTA_SINCE: i16 = 5;

pub(crate) async fn handle(context: RequestContext, request: DeleteTopicsRequest) -> DeleteTopicsResponse {
    let selectors = match selectors(&context, &request) {
        Ok(selectors) => selectors,
        Err(error) => return all_failed(&context, &request, error),
    };
    if !context.broker.deletes_topics() {
        let error = match context.version {
            DELETION_DISABLED_SINCE.. => ResponseError::TopicDeletionDisabled,
            _ => ResponseError::InvalidRequest,
        };
        return all_failed(&context, &request, error);
    }
    let delete = Mutation::DeleteTopics(DeleteTopics { topics: selectors });
    let patience = limits::metadata_change_timeout(request.timeout_ms);
    match context.mutate(delete, STRICT_QUOTA_SINCE, patience).await {
        Ok((MutationResults::DeleteTopics(deletions), quiet)) => DeleteTopicsResponse::default()
            .with_throttle_time_ms(context.keep_quiet(quiet))
            .with_responses(deletions.into_iter().map(|deletion| result(&context, deletion)).collect()),
        Ok((other, _)) => unreachable!("the controller answered a deletion with {other:?}"),
        Err(error) => all_failed(&context, &request, error_code::of_propose(&error)),
    }
}

fn selectors(
    context: &RequestContext,
    request: &DeleteTopicsRequest,
) -> Result<Vec<TopicSelector>, ResponseError> {
    if context.version < TOPIC_IDS_SINCE {
        return Ok(request.topic_names.iter().map(|name| TopicSelector::Name(name.to_string())).collect());
    }
    request
        .topics
        .iter()
        .map(|topic| match (&topic.name, topic.topic_id.is_nil()) {
            (Some(name), true) => Ok(TopicSelector::Name(name.to_string())),
            (None, false) => Ok(TopicSelector::Id(TopicId(topic.topic_id))),
            // Neither, or both.
            (None, true) | (Some(_), false) => Err(ResponseError::InvalidRequest),
        })
        .collect()
}

fn result(context: &RequestContext, deletion: TopicDeletion) -> DeletableTopicResult {
    let (name, topic_id) = match &deletion.selector {
        TopicSelector::Name(name) => (Some(name.clone()), TopicId::ZERO),
        TopicSelector::Id(id) => (None, *id),
    };
    match deletion.result {
        Ok((name, topic_id)) => named(context, Some(name), topic_id),
        Err(error) => {
            let code = error_code::of_delete_topic(&error);
            explained(context, named(context, name, topic_id), code, error.to_string())
        }
    }
}

fn named(context: &RequestContext, name: Option<String>, topic_id: TopicId) -> DeletableTopicResult {
    let name = name.map(|name| TopicName(StrBytes::from_string(name)));
    if context.version >= TOPIC_IDS_SINCE {
        return DeletableTopicResult::default().with_name(name).with_topic_id(topic_id.0);
    }
    DeletableTopicResult::default().with_name(Some(name.unwrap_or_default()))
}

fn explained(
    context: &RequestContext,
    result: DeletableTopicResult,
    error: ResponseError,
    message: String,
) -> DeletableTopicResult {
    let result = result.with_error_code(error.code());
    match context.version {
        ERROR_MESSAGES_SINCE.. => result.with_error_message(Some(StrBytes::from_string(message))),
        _ => result,
    }
}

fn all_failed(
    context: &RequestContext,
    request: &DeleteTopicsRequest,
    error: ResponseError,
) -> DeleteTopicsResponse {
    let by_name = request.topic_names.iter().map(|name| (Some(name.to_string()), TopicId::ZERO));
    let by_state = request
        .topics
        .iter()
        .map(|topic| (topic.name.as_ref().map(|name| name.to_string()), TopicId(topic.topic_id)));
    let failed = by_name
        .chain(by_state)
        .map(|(name, id)| explained(context, named(context, name, id), error, error.to_string()))
        .collect();
    DeleteTopicsResponse::default().with_responses(failed)
}
