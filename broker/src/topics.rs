//! What the broker does about topics beyond asking the controller: names, creation on first use, and the rules by
//! which their settings are judged.

use crate::api::RequestContext;
use crate::broker::Broker;
use crate::limits;
use crate::quorum::ProposeError;
use crate::settings::Settings;
use crate::telemetry::{Subscription, SubscriptionError};
use config::alter::{validate_change, validate_dynamic};
use config::broker::{BrokerConfig, BrokerLayers};
use config::error::ConfigError;
use config::group::validate_overrides;
use config::keys;
use config::topic::TopicConfig;
use config::value::{ValueType, split_list};
use replication::controller::configs::{AlterConfigError, ConfigRules};
use replication::controller::mutations::{Mutation, MutationResults};
use replication::controller::topics::{
    CreateTopicError, CreateTopics, NewTopic, TopicCreation, validate_name,
};
use replication::controller::{ControllerReply, ControllerRequest};
use replication::metadata::image::MetadataImage;
use replication::metadata::record::ConfigResource;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;
use storage::ids::BrokerId;

/// Topics that Kafka itself writes to; clients may not. Source: `org.apache.kafka.common.internals.Topic`.
const INTERNAL: &[&str] = &["__consumer_offsets", "__transaction_state", "__share_group_state"];

/// Topics that one request may make on first use. Larger: a typo in a pattern makes more of them. Smaller: a client
/// that begins with many topics asks more often.
const CREATED_ON_FIRST_USE_MAX: usize = 1000;

/// A topic that is asked for in any version may be refused, since its client asks again.
const ALWAYS_STRICT: i16 = 0;

/// The client id that may write to internal topics. Source: `org.apache.kafka.clients.admin.AdminUtils`.
const ADMIN_CLIENT_ID: &str = "__admin_client";

/// Whether clients may not write to the topic.
pub(crate) fn is_internal(name: &str) -> bool {
    INTERNAL.contains(&name)
}

/// Whether this client may write to internal topics. Source: `KafkaApis.handleProduceRequest`.
pub(crate) fn may_write_internal(client_id: &str) -> bool {
    client_id == ADMIN_CLIENT_ID
}

pub(crate) fn is_valid_name(name: &str) -> bool {
    validate_name(name).is_ok()
}

/// Why topics could not be made.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CreateOnFirstUseError {
    #[error(transparent)]
    Refused(#[from] CreateTopicError),
    #[error(transparent)]
    Propose(#[from] ProposeError),
    #[error("more than {CREATED_ON_FIRST_USE_MAX} topics at once")]
    TooMany,
}

/// Asks the controller to create topics, and waits until requests see them.
///
/// # Errors
/// When the metadata quorum does not answer; what became of each topic is in the result.
pub(crate) async fn create(
    broker: &Broker,
    request: CreateTopics,
    patience: Duration,
) -> Result<Vec<TopicCreation>, ProposeError> {
    let reply = broker.propose(ControllerRequest::CreateTopics(request), patience).await?;
    match reply {
        ControllerReply::CreateTopics(creations) => Ok(creations),
        other => unreachable!("the controller answered topics with {other:?}"),
    }
}

/// Makes topics with the broker's defaults, charged to the client that asks for them, and says what became of each name. A
/// client that is over its quota is not told so: it asks again until they are there, as in Kafka.
pub(crate) async fn create_on_first_use(
    context: &RequestContext,
    names: BTreeSet<String>,
) -> BTreeMap<String, Result<(), CreateOnFirstUseError>> {
    if names.len() > CREATED_ON_FIRST_USE_MAX {
        return names.into_iter().map(|name| (name, Err(CreateOnFirstUseError::TooMany))).collect();
    }
    let topics = names.iter().map(|name| NewTopic { name: name.clone(), ..NewTopic::default() }).collect();
    let create = Mutation::CreateTopics(with_defaults(&context.broker, topics, false));
    match context.mutate(create, ALWAYS_STRICT, limits::METADATA_CHANGE_TIMEOUT).await {
        Ok((MutationResults::CreateTopics(creations), _)) => creations
            .into_iter()
            .map(|creation| match creation.result {
                // Somebody else was first: it is there, which is all that was wished for.
                Ok(_) | Err(CreateTopicError::AlreadyExists { .. }) => (creation.name, Ok(())),
                Err(error) => (creation.name, Err(error.into())),
            })
            .collect(),
        Ok((other, _)) => unreachable!("the controller answered topics with {other:?}"),
        Err(error) => names.into_iter().map(|name| (name, Err(error.into()))).collect(),
    }
}

/// A request for `topics`, with this broker's defaults where they say nothing.
pub(crate) fn with_defaults(broker: &Broker, topics: Vec<NewTopic>, validate_only: bool) -> CreateTopics {
    let settings = broker.settings.load();
    CreateTopics {
        topics,
        validate_only,
        default_partitions: settings.broker.num_partitions,
        default_replication_factor: settings.broker.default_replication_factor,
    }
}

/// The rules by which the controller judges settings: the table of keys, and what this node was started with.
pub(crate) fn config_rules(settings: &Settings) -> ConfigRules {
    let broker = &settings.broker;
    let min_insync_replicas = broker.topic_defaults.min_insync_replicas;
    let (groups, node_id) = (broker.groups.clone(), BrokerId(broker.node_id));
    let explicit = settings.layers.explicit.clone();
    let invalid = |error: ConfigError| AlterConfigError::InvalidConfig { error: error.to_string() };
    let first = move |errors: Vec<ConfigError>| {
        let error = errors.first().map(ToString::to_string).unwrap_or_default();
        AlterConfigError::InvalidConfig { error }
    };
    ConfigRules {
        validate: Box::new(move |resource, configs, image| match resource {
            ConfigResource::Broker(id) => {
                validate_broker(&explicit, *id, resource, configs, image).map_err(invalid)
            }
            ConfigResource::AllBrokers => {
                validate_broker(&explicit, node_id, resource, configs, image).map_err(invalid)
            }
            ConfigResource::Topic(_) => {
                TopicConfig::resolve(&BrokerConfig::default(), configs).map(|_| ()).map_err(first)
            }
            ConfigResource::Group(_) => validate_overrides(&groups, configs).map_err(first),
            ConfigResource::ClientMetrics(_) => {
                Subscription::read(configs).map(|_| ()).map_err(|error| invalid_subscription(&error))
            }
        }),
        default_list,
        default_min_insync_replicas: usize::try_from(min_insync_replicas).unwrap_or(1),
    }
}

/// Checks each setting by itself, and all that the node would have then. What another node than this one was started with is
/// taken to be the same.
fn validate_broker(
    explicit: &BTreeMap<String, String>,
    node_id: BrokerId,
    resource: &ConfigResource,
    configs: &BTreeMap<String, String>,
    image: &MetadataImage,
) -> Result<(), ConfigError> {
    let layers = |changed: Option<&ConfigResource>| {
        let of = |resource: ConfigResource| match changed {
            Some(changed) if *changed == resource => configs.clone(),
            Some(_) | None => image.configs_of(&resource).clone(),
        };
        BrokerLayers {
            explicit: explicit.clone(),
            dynamic_default: of(ConfigResource::AllBrokers),
            dynamic_broker: of(ConfigResource::Broker(node_id)),
        }
    };
    validate_dynamic(configs)?;
    validate_change(&layers(None), &layers(Some(resource)))
}

/// Source: `ClientMetricsConfigs.validateProperties`, which throws one or the other.
fn invalid_subscription(error: &SubscriptionError) -> AlterConfigError {
    let told = error.to_string();
    match error {
        SubscriptionError::UnknownKey { .. } | SubscriptionError::Interval { .. } => {
            AlterConfigError::InvalidRequest { error: told }
        }
        SubscriptionError::Value(_)
        | SubscriptionError::Pattern { .. }
        | SubscriptionError::TooManyPatterns { .. } => AlterConfigError::InvalidConfig { error: told },
    }
}

fn default_list(resource: &ConfigResource, name: &str) -> Option<Vec<String>> {
    let key = match resource {
        ConfigResource::Topic(_) => keys::topic_key(name),
        ConfigResource::Group(_) => keys::group_key(name),
        ConfigResource::ClientMetrics(_) => keys::client_metrics_key(name),
        ConfigResource::Broker(_) | ConfigResource::AllBrokers => keys::broker_key(name),
    }?;
    let is_list = key.value_type == ValueType::List;
    is_list.then(|| split_list(key.default.unwrap_or_default()).into_iter().map(str::to_owned).collect())
}
