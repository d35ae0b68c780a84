//! IncrementalAlterConfigs (key 44, versions 0–1): changes settings of topics, groups and nodes, key by key (KIP-339).
//!
//! A change is in force once it is answered. Source: `ConfigurationControlManager.incrementalAlterConfigs`.

use super::RequestContext;
use crate::error_code;
use crate::limits;
use kafka_protocol::ResponseError;
use kafka_protocol::messages::incremental_alter_configs_request::{AlterConfigsResource, AlterableConfig};
use kafka_protocol::messages::incremental_alter_configs_response::AlterConfigsResourceResponse;
use kafka_protocol::messages::{IncrementalAlterConfigsRequest, IncrementalAlterConfigsResponse};
use kafka_protocol::protocol::StrBytes;
use replication::controller::configs::{
    AlterConfigs, AlterResource, ConfigAlteration, ConfigChange, ConfigOperation, KeyChange,
};
use replication::controller::{ControllerReply, ControllerRequest};
use replication::metadata::record::ConfigResource;

struct Refusal {
    error: ResponseError,
    message: String,
}

pub(crate) async fn handle(
    context: RequestContext,
    request: IncrementalAlterConfigsRequest,
) -> IncrementalAlterConfigsResponse {
    let read: Vec<_> = request.resources.iter().map(|resource| (resource, read_resource(resource))).collect();
    let resources = read.iter().filter_map(|(_, read)| read.as_ref().ok()).cloned().collect();
    let alter = AlterConfigs { resources, validate_only: request.validate_only };
    let alter = ControllerRequest::AlterConfigs(alter);
    let altered = context.broker.propose(alter, limits::METADATA_CHANGE_TIMEOUT).await;
    let responses = match altered {
        Ok(ControllerReply::AlterConfigs(alterations)) => read
            .iter()
            .map(|(resource, read)| respond(resource, outcome(read, &alterations)))
            .collect(),
        Ok(other) => unreachable!("the controller answered settings with {other:?}"),
        Err(error) => read
            .iter()
            .map(|(resource, _)| {
                let refusal = Refusal { error: error_code::of_propose(&error), message: error.to_string() };
                respond(resource, Err(refusal))
            })
            .collect(),
    };
    IncrementalAlterConfigsResponse::default().with_responses(responses)
}

fn read_resource(resource: &AlterConfigsResource) -> Result<AlterResource, Refusal> {
    let invalid = |message: String| Refusal { error: ResponseError::InvalidRequest, message };
    let kind = u8::try_from(resource.resource_type).unwrap_or(0);
    let name = resource.resource_name.as_str();
    let what = ConfigResource::from_kafka(kind, name)
        .ok_or_else(|| invalid(format!("Unexpected resource type {kind} or name '{name}'.")))?;
    let changes = resource.configs.iter().map(read_change).collect::<Result<Vec<_>, _>>()?;
    Ok(AlterResource { resource: what, change: ConfigChange::Incremental(changes) })
}

fn read_change(config: &AlterableConfig) -> Result<KeyChange, Refusal> {
    let operation = match config.config_operation {
        0 => ConfigOperation::Set,
        1 => ConfigOperation::Delete,
        2 => ConfigOperation::Append,
        3 => ConfigOperation::Subtract,
        other => {
            let message = format!("Unknown operation type {other} for config {}", config.name);
            return Err(Refusal { error: ResponseError::InvalidRequest, message });
        }
    };
    let value = config.value.as_ref().map(ToString::to_string);
    Ok(KeyChange { key: config.name.to_string(), operation, value })
}

fn outcome(read: &Result<AlterResource, Refusal>, alterations: &[ConfigAlteration]) -> Result<(), Refusal> {
    let resource = match read {
        Ok(read) => &read.resource,
        Err(refusal) => return Err(Refusal { error: refusal.error, message: refusal.message.clone() }),
    };
    match alterations.iter().find(|alteration| alteration.resource == *resource).map(|found| &found.result) {
        Some(Err(error)) => {
            Err(Refusal { error: error_code::of_alter_config(error), message: error.to_string() })
        }
        Some(Ok(())) | None => Ok(()),
    }
}

fn respond(resource: &AlterConfigsResource, outcome: Result<(), Refusal>) -> AlterConfigsResourceResponse {
    let response = AlterConfigsResourceResponse::default()
        .with_resource_type(resource.resource_type)
        .with_resource_name(resource.resource_name.clone())
        .with_error_message(None);
    match outcome {
        Ok(()) => response,
        Err(refusal) => response
            .with_error_code(refusal.error.code())
            .with_error_message(Some(StrBytes::from_string(refusal.message))),
    }
}
