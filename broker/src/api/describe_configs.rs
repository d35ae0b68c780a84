//! DescribeConfigs (key 32, versions 1–4): the settings of topics, of groups, of this node and its loggers, and of
//! subscriptions to clients' metrics, with who set them.
//!
//! An absent or empty list of keys means all of them. Sources and synonyms matter: declarative tools tell what was set
//! from what is a default by them. Resources of other kinds are not served (INVALID_REQUEST).
//! Version notes: 1 brings synonyms, 3 types and documentation, 4 compact lengths.
//! Source: `ConfigHelper.scala`, KIP-133, KIP-226, KIP-569.

use super::RequestContext;
use super::resource_kinds::{BROKER, BROKER_LOGGER, CLIENT_METRICS, GROUP, TOPIC};
use crate::loggers;
use config::describe::{self, DescribedConfig};
use config::value::ValueType;
use kafka_protocol::ResponseError;
use kafka_protocol::messages::describe_configs_request::DescribeConfigsResource;
use kafka_protocol::messages::describe_configs_response::{
    DescribeConfigsResourceResult, DescribeConfigsResult, DescribeConfigsSynonym,
};
use kafka_protocol::messages::{DescribeConfigsRequest, DescribeConfigsResponse};
use kafka_protocol::protocol::StrBytes;
use replication::controller::topics::validate_name;
use replication::metadata::record::ConfigResource;
use std::borrow::Cow;
use std::collections::HashSet;

/// The type of what is no key. Source: `DescribeConfigsResponse.ConfigType`.
const UNKNOWN_TYPE: i8 = 0;

/// The first version with types and documentation.
const TYPES_SINCE: i16 = 3;

/// Why a resource is not described; without a message, clients have a sentence for the error.
struct Refusal {
    error: ResponseError,
    message: Option<String>,
}

pub(crate) async fn handle(
    context: RequestContext,
    request: DescribeConfigsRequest,
) -> DescribeConfigsResponse {
    // Each resource once: a short request that repeats one would else have an answer without bound.
    let mut seen = HashSet::new();
    let results = request
        .resources
        .iter()
        .filter(|resource| seen.insert((resource.resource_type, &resource.resource_name)))
        .map(|resource| describe_resource(&context, &request, resource))
        .collect();
    DescribeConfigsResponse::default().with_results(results)
}

fn describe_resource(
    context: &RequestContext,
    request: &DescribeConfigsRequest,
    resource: &DescribeConfigsResource,
) -> DescribeConfigsResult {
    let result = DescribeConfigsResult::default()
        .with_resource_type(resource.resource_type)
        .with_resource_name(resource.resource_name.clone())
        .with_error_message(None);
    match described(context, resource) {
        Ok(configs) => result.with_configs(
            configs
                .into_iter()
                .filter(|config| is_asked_for(resource, &config.name))
                .map(|config| answer(config, request, context.version))
                .collect(),
        ),
        Err(refusal) => result
            .with_error_code(refusal.error.code())
            .with_error_message(refusal.message.map(StrBytes::from_string)),
    }
}

fn is_asked_for(resource: &DescribeConfigsResource, name: &str) -> bool {
    match &resource.configuration_keys {
        Some(keys) if !keys.is_empty() => keys.iter().any(|key| key.as_str() == name),
        _ => true,
    }
}

fn described(
    context: &RequestContext,
    resource: &DescribeConfigsResource,
) -> Result<Vec<DescribedConfig>, Refusal> {
    let name = resource.resource_name.as_str();
    let settings = context.broker.settings.load();
    match resource.resource_type {
        TOPIC => {
            let image = context.broker.image();
            if image.topic_by_name(name).is_none() {
                return Err(match validate_name(name) {
                    Ok(()) => Refusal { error: ResponseError::UnknownTopicOrPartition, message: None },
                    Err(invalid) => Refusal {
                        error: ResponseError::InvalidTopicException,
                        message: Some(invalid.to_string()),
                    },
                });
            }
            let overrides = image.configs_of(&ConfigResource::Topic(name.to_owned()));
            Ok(describe::topic(&settings.layers, overrides))
        }
        BROKER if name.is_empty() => Ok(describe::cluster_default(&settings.layers)),
        BROKER => {
            check_node(name, context, " or empty string,")?;
            Ok(describe::broker(&settings.layers))
        }
        BROKER_LOGGER if name.is_empty() => Err(invalid("Broker id must not be empty".to_owned())),
        BROKER_LOGGER => {
            check_node(name, context, "")?;
            Ok(describe::loggers(loggers::of_process().levels()))
        }
        GROUP if name.is_empty() => Err(invalid("Group name must not be empty".to_owned())),
        // A group has settings whether it exists or not.
        GROUP => {
            let image = context.broker.image();
            let overrides = image.configs_of(&ConfigResource::Group(name.to_owned()));
            Ok(describe::group(&settings.layers, overrides))
        }
        CLIENT_METRICS if name.is_empty() => {
            Err(invalid("Client metrics subscription name must not be empty".to_owned()))
        }
        CLIENT_METRICS => {
            let image = context.broker.image();
            Ok(describe::client_metrics(image.configs_of(&ConfigResource::ClientMetrics(name.to_owned()))))
        }
        other => Err(invalid(format!("Unsupported resource type: {other}"))),
    }
}

/// Whether `name` is this node's; `or` is what else Kafka says that it might have been.
fn check_node(name: &str, context: &RequestContext, or: &str) -> Result<(), Refusal> {
    let node_id = context.broker.node_id();
    match name.parse::<i32>() {
        Ok(id) if id == node_id.0 => Ok(()),
        Ok(_) => Err(invalid(format!("Unexpected broker id, expected {node_id}{or} but received {name}"))),
        Err(_) => Err(invalid(format!("Broker id must be an integer, but it is: {name}"))),
    }
}

fn invalid(message: String) -> Refusal {
    Refusal { error: ResponseError::InvalidRequest, message: Some(message) }
}

fn answer(
    config: DescribedConfig,
    request: &DescribeConfigsRequest,
    version: i16,
) -> DescribeConfigsResourceResult {
    let text = |text: Cow<'static, str>| StrBytes::from_string(text.into_owned());
    let shown = |value: Option<String>| match config.is_sensitive {
        true => None,
        false => value.map(StrBytes::from_string),
    };
    let mut result = DescribeConfigsResourceResult::default()
        .with_name(text(config.name))
        .with_value(shown(config.value))
        .with_read_only(config.read_only)
        .with_config_source(config.source.wire_number())
        .with_is_sensitive(config.is_sensitive)
        .with_documentation(None);
    if request.include_synonyms {
        result.synonyms = config
            .synonyms
            .into_iter()
            .map(|synonym| {
                DescribeConfigsSynonym::default()
                    .with_name(text(synonym.name))
                    .with_value(shown(synonym.value))
                    .with_source(synonym.source.wire_number())
            })
            .collect();
    }
    if version >= TYPES_SINCE {
        result.config_type = config.config_type.map_or(UNKNOWN_TYPE, ValueType::wire_number);
        if request.include_documentation {
            result.documentation = Some(text(config.documentation));
        }
    }
    result
}
