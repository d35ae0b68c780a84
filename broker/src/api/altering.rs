//! What IncrementalAlterConfigs and AlterConfigs share: who may be configured here, and how the controller's answers
//! become theirs.
//!
//! Source: `ConfigAdminManager.preprocess`.

use super::RequestContext;
use crate::error_code;
use crate::limits;
use kafka_protocol::ResponseError;
use kafka_protocol::protocol::StrBytes;
use replication::controller::configs::{
    AlterConfigError, AlterConfigs, AlterResource, ConfigAlteration, ConfigChange,
};
use replication::controller::{ControllerReply, ControllerRequest};
use replication::metadata::record::ConfigResource;
use std::collections::BTreeMap;
use storage::ids::BrokerId;

/// The kind of a resource that is one broker or all of them. Source: `ConfigResource.Type`.
const BROKER: i8 = 4;

/// Why a resource is not changed.
#[derive(Clone, Debug)]
pub(super) struct Refusal {
    pub(super) error: ResponseError,
    pub(super) message: String,
}

impl Refusal {
    pub(super) fn invalid_request(message: String) -> Self {
        Self { error: ResponseError::InvalidRequest, message }
    }
}

/// A resource as a request names it, and what is to change.
#[derive(Clone, Debug)]
pub(super) struct Asked {
    pub(super) kind: i8,
    pub(super) name: StrBytes,
    pub(super) change: Result<ConfigChange, Refusal>,
}

/// What a resource is answered.
#[derive(Debug)]
pub(super) struct Altered {
    pub(super) kind: i8,
    pub(super) name: StrBytes,
    pub(super) error_code: i16,
    pub(super) error_message: Option<StrBytes>,
}

impl Altered {
    fn new(asked: Asked, outcome: Result<(), Refusal>) -> Self {
        let Asked { kind, name, change: _ } = asked;
        let (error_code, error_message) = match outcome {
            Ok(()) => (0, None),
            Err(refusal) => (refusal.error.code(), Some(StrBytes::from_string(refusal.message))),
        };
        Self { kind, name, error_code, error_message }
    }
}

/// Changes what can be changed, and answers for every resource in the order of the request.
pub(super) async fn alter(context: &RequestContext, asked: Vec<Asked>, validate_only: bool) -> Vec<Altered> {
    let mut mentions: BTreeMap<(i8, StrBytes), usize> = BTreeMap::new();
    for resource in &asked {
        *mentions.entry((resource.kind, resource.name.clone())).or_default() += 1;
    }
    let read: Vec<_> = asked
        .into_iter()
        .map(|asked| {
            let is_repeated = mentions.get(&(asked.kind, asked.name.clone())).is_some_and(|times| *times > 1);
            let read = match is_repeated {
                true => Err(Refusal::invalid_request("Each resource must appear at most once.".to_owned())),
                false => read(&asked, context.broker.node_id()),
            };
            (asked, read)
        })
        .collect();
    let resources = read.iter().filter_map(|(_, read)| read.as_ref().ok()).cloned().collect();
    let alter = ControllerRequest::AlterConfigs(AlterConfigs { resources, validate_only });
    let alterations = match context.broker.propose(alter, limits::METADATA_CHANGE_TIMEOUT).await {
        Ok(ControllerReply::AlterConfigs(alterations)) => Ok(alterations),
        Ok(other) => unreachable!("the controller answered settings with {other:?}"),
        Err(error) => Err(Refusal { error: error_code::of_propose(&error), message: error.to_string() }),
    };
    let outcome = |read: Result<AlterResource, Refusal>| {
        let resource = read?;
        outcome_of(&resource.resource, alterations.as_ref().map_err(Refusal::clone)?)
    };
    read.into_iter().map(|(asked, read)| Altered::new(asked, outcome(read))).collect()
}

fn read(asked: &Asked, node_id: BrokerId) -> Result<AlterResource, Refusal> {
    let change = asked.change.clone()?;
    let name = asked.name.as_str();
    if asked.kind == BROKER && !name.is_empty() {
        let invalid = |message| Err(Refusal::invalid_request(message));
        match name.parse() {
            Err(_) => return invalid(format!("Node id must be an integer, but it is: {name}")),
            Ok(id) if BrokerId(id) != node_id => {
                return invalid(format!("Unexpected broker id, expected {node_id}, but received {name}"));
            }
            Ok(_) => {}
        }
    }
    let unknown = || match asked.kind {
        16 => Refusal::invalid_request("Subscription name can't be empty".to_owned()),
        32 => Refusal::invalid_request("Default group resources are not allowed.".to_owned()),
        kind => Refusal::invalid_request(format!("Unknown resource type {kind}")),
    };
    let kind = u8::try_from(asked.kind).map_err(|_| unknown())?;
    let resource = ConfigResource::from_kafka(kind, name).ok_or_else(unknown)?;
    Ok(AlterResource { resource, change })
}

/// A value that a broker does not take is an invalid request, as in Kafka (KAFKA-13609), and an invalid setting of anything
/// else.
fn outcome_of(resource: &ConfigResource, alterations: &[ConfigAlteration]) -> Result<(), Refusal> {
    let found = alterations.iter().find(|alteration| alteration.resource == *resource);
    match found.map(|found| &found.result) {
        Some(Err(error)) => {
            let is_broker = matches!(resource, ConfigResource::Broker(_) | ConfigResource::AllBrokers);
            let code = match error {
                AlterConfigError::InvalidConfig { .. } if is_broker => ResponseError::InvalidRequest,
                error => error_code::of_alter_config(error),
            };
            Err(Refusal { error: code, message: error.to_string() })
        }
        Some(Ok(())) | None => Ok(()),
    }
}
