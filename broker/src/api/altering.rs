//! What IncrementalAlterConfigs and AlterConfigs share: who may be configured here, and how the controller's answers
//! become theirs.
//!
//! Levels of loggers are this node's own and are changed here; all else is the controller's to decide.
//! Source: `ConfigAdminManager.preprocess`.

use super::RequestContext;
use super::resource_kinds::{BROKER, BROKER_LOGGER, CLIENT_METRICS, GROUP, TOPIC};
use crate::error_code;
use crate::limits;
use crate::loggers;
use kafka_protocol::ResponseError;
use kafka_protocol::protocol::StrBytes;
use replication::controller::configs::{
    AlterConfigError, AlterConfigs, AlterResource, ConfigAlteration, ConfigChange,
};
use replication::controller::{ControllerReply, ControllerRequest};
use replication::metadata::record::ConfigResource;
use std::collections::BTreeMap;
use storage::ids::BrokerId;

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

/// A resource that can be configured.
enum Read {
    /// By the controller.
    Theirs(AlterResource),
    /// By this node, which has done so.
    Done,
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
                false => read(&asked, context.broker.node_id(), validate_only),
            };
            (asked, read)
        })
        .collect();
    let theirs = read.iter().filter_map(|(_, read)| match read {
        Ok(Read::Theirs(resource)) => Some(resource.clone()),
        Ok(Read::Done) | Err(_) => None,
    });
    let alterations = propose(context, theirs.collect(), validate_only).await;
    let outcome = |read| match read? {
        Read::Theirs(AlterResource { resource, .. }) => {
            outcome_of(&resource, alterations.as_ref().map_err(Refusal::clone)?)
        }
        Read::Done => Ok(()),
    };
    read.into_iter().map(|(asked, read)| Altered::new(asked, outcome(read))).collect()
}

async fn propose(
    context: &RequestContext,
    resources: Vec<AlterResource>,
    validate_only: bool,
) -> Result<Vec<ConfigAlteration>, Refusal> {
    // Levels of loggers help where a node finds no controller.
    if resources.is_empty() {
        return Ok(Vec::new());
    }
    let alter = ControllerRequest::AlterConfigs(AlterConfigs { resources, validate_only });
    match context.broker.propose(alter, limits::METADATA_CHANGE_TIMEOUT).await {
        Ok(ControllerReply::AlterConfigs(alterations)) => Ok(alterations),
        Ok(other) => unreachable!("the controller answered settings with {other:?}"),
        Err(error) => Err(Refusal { error: error_code::of_propose(&error), message: error.to_string() }),
    }
}

fn read(asked: &Asked, node_id: BrokerId, validate_only: bool) -> Result<Read, Refusal> {
    let change = asked.change.clone()?;
    let name = asked.name.as_str();
    match (asked.kind, &change) {
        (BROKER, _) if !name.is_empty() => check_node(name, node_id, "broker id, expected")?,
        (BROKER_LOGGER, ConfigChange::Incremental(changes)) => {
            check_node(name, node_id, "node id. Expected")?;
            let altered = loggers::of_process().alter(changes, validate_only);
            return altered.map(|()| Read::Done).map_err(|error| Refusal {
                error: error_code::of_logger(&error),
                message: error.to_string(),
            });
        }
        (TOPIC, _) if name.is_empty() => {
            return Err(Refusal::invalid_request("Default topic resources are not allowed.".to_owned()));
        }
        (_, ConfigChange::Incremental(_) | ConfigChange::Replace(_)) => {}
    }
    let unknown = || match asked.kind {
        CLIENT_METRICS => Refusal::invalid_request("Subscription name can't be empty".to_owned()),
        GROUP => Refusal::invalid_request("Default group resources are not allowed.".to_owned()),
        kind => Refusal::invalid_request(format!("Unknown resource type {kind}")),
    };
    let kind = u8::try_from(asked.kind).map_err(|_| unknown())?;
    let resource = ConfigResource::from_kafka(kind, name).ok_or_else(unknown)?;
    Ok(Read::Theirs(AlterResource { resource, change }))
}

/// Whether `name` is this node's; `expected` is how Kafka says that another was.
fn check_node(name: &str, node_id: BrokerId, expected: &str) -> Result<(), Refusal> {
    let message = match name.parse() {
        Ok(id) if BrokerId(id) == node_id => return Ok(()),
        Ok(_) => format!("Unexpected {expected} {node_id}, but received {name}"),
        Err(_) => format!("Node id must be an integer, but it is: {name}"),
    };
    Err(Refusal::invalid_request(message))
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
