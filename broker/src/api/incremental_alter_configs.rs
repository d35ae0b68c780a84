//! IncrementalAlterConfigs (key 44, versions 0–1): changes settings of topics, groups and nodes, and what a node logs, key by
//! key (KIP-339, KIP-412).
//!
//! A change is in force once it is answered. Levels of loggers are forgotten when the node stops.
//! Version notes: 1 has tagged fields.
//! Source: `ConfigurationControlManager.incrementalAlterConfigs`, `ConfigAdminManager`.

use super::RequestContext;
use super::altering::{Altered, Asked, Refusal, alter};
use kafka_protocol::messages::incremental_alter_configs_request::{AlterConfigsResource, AlterableConfig};
use kafka_protocol::messages::incremental_alter_configs_response::AlterConfigsResourceResponse;
use kafka_protocol::messages::{IncrementalAlterConfigsRequest, IncrementalAlterConfigsResponse};
use replication::controller::configs::{ConfigChange, ConfigOperation, KeyChange};

pub(crate) async fn handle(
    context: RequestContext,
    request: IncrementalAlterConfigsRequest,
) -> IncrementalAlterConfigsResponse {
    let asked = request.resources.iter().map(read_resource).collect();
    let altered = alter(&context, asked, request.validate_only).await;
    let responses = altered.into_iter().map(respond).collect();
    IncrementalAlterConfigsResponse::default().with_responses(responses)
}

fn read_resource(resource: &AlterConfigsResource) -> Asked {
    let changes = resource.configs.iter().map(read_change).collect::<Result<_, _>>();
    let change = changes.map(ConfigChange::Incremental);
    Asked { kind: resource.resource_type, name: resource.resource_name.clone(), change }
}

fn read_change(config: &AlterableConfig) -> Result<KeyChange, Refusal> {
    let operation = match config.config_operation {
        0 => ConfigOperation::Set,
        1 => ConfigOperation::Delete,
        2 => ConfigOperation::Append,
        3 => ConfigOperation::Subtract,
        other => return Err(Refusal::invalid_request(format!("Unknown operations type {other}"))),
    };
    let value = config.value.as_ref().map(ToString::to_string);
    Ok(KeyChange { key: config.name.to_string(), operation, value })
}

fn respond(altered: Altered) -> AlterConfigsResourceResponse {
    AlterConfigsResourceResponse::default()
        .with_resource_type(altered.kind)
        .with_resource_name(altered.name)
        .with_error_code(altered.error_code)
        .with_error_message(altered.error_message)
}
