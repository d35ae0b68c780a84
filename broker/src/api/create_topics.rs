//! CreateTopics (key 19, versions 2–7): new topics, answered once every request can use them.
//!
//! Version notes: 4 takes −1 for the broker's defaults, 5 returns the settings, 7 the topic's id. All rules are the
//! controller's, see `replication::controller::topics`.
//! Source: `ControllerApis.createTopics`, `ReplicationControlManager.createTopic`.

use super::RequestContext;
use crate::error_code;
use crate::limits;
use crate::topics;
use config::describe::{self, ConfigSource, DescribedConfig};
use kafka_protocol::messages::create_topics_request::CreatableTopic;
use kafka_protocol::messages::create_topics_response::{CreatableTopicConfigs, CreatableTopicResult};
use kafka_protocol::messages::{CreateTopicsRequest, CreateTopicsResponse, TopicName};
use kafka_protocol::protocol::StrBytes;
use replication::controller::mutations::{Mutation, MutationResults};
use replication::controller::topics::{CreatedTopic, NewTopic};
use std::collections::BTreeMap;
use storage::ids::{BrokerId, PartitionIndex};

/// The first version that returns numbers and settings.
const DETAILS_SINCE: i16 = 5;
/// The first version that returns topic ids.
const TOPIC_ID_SINCE: i16 = 7;
/// The first version whose clients come back where they are over `controller_mutation_rate`. Source: KIP-599.
const STRICT_QUOTA_SINCE: i16 = 6;
/// What a request writes for "the default".
const DEFAULT: i32 = -1;

type Overrides = BTreeMap<String, BTreeMap<String, String>>;

pub(crate) async fn handle(context: RequestContext, request: CreateTopicsRequest) -> CreateTopicsResponse {
    let new_topics: Vec<NewTopic> = request.topics.iter().map(new_topic).collect();
    let names: Vec<String> = new_topics.iter().map(|topic| topic.name.clone()).collect();
    let overrides = overrides(&new_topics);
    let create = topics::with_defaults(&context.broker, new_topics, request.validate_only);
    let patience = limits::metadata_change_timeout(request.timeout_ms);
    let mut throttle_time_ms = 0;
    let results = match context.mutate(Mutation::CreateTopics(create), STRICT_QUOTA_SINCE, patience).await {
        Ok((MutationResults::CreateTopics(creations), quiet)) => {
            throttle_time_ms = context.keep_quiet(quiet);
            creations
                .into_iter()
                .map(|creation| match creation.result {
                    Ok(created) => created_result(&context, &creation.name, created, &overrides),
                    Err(error) => {
                        let code = error_code::of_create_topic(&error).code();
                        failed(&context, &creation.name, code, error.to_string())
                    }
                })
                .collect()
        }
        Ok((other, _)) => unreachable!("the controller answered topics with {other:?}"),
        Err(error) => names
            .iter()
            .map(|name| failed(&context, name, error_code::of_propose(&error).code(), error.to_string()))
            .collect(),
    };
    CreateTopicsResponse::default().with_throttle_time_ms(throttle_time_ms).with_topics(results)
}

fn new_topic(topic: &CreatableTopic) -> NewTopic {
    NewTopic {
        name: topic.name.to_string(),
        partitions: Some(topic.num_partitions).filter(|count| *count != DEFAULT),
        replication_factor: Some(topic.replication_factor).filter(|count| i32::from(*count) != DEFAULT),
        assignments: topic
            .assignments
            .iter()
            .map(|assignment| {
                let brokers = assignment.broker_ids.iter().map(|broker| BrokerId(broker.0)).collect();
                (PartitionIndex(assignment.partition_index), brokers)
            })
            .collect(),
        configs: topic
            .configs
            .iter()
            .map(|config| (config.name.to_string(), config.value.as_ref().map(ToString::to_string)))
            .collect(),
    }
}

/// The settings that each topic is created with.
fn overrides(topics: &[NewTopic]) -> Overrides {
    let set = |topic: &NewTopic| {
        topic.configs.iter().filter_map(|(name, value)| Some((name.clone(), value.clone()?))).collect()
    };
    topics.iter().map(|topic| (topic.name.clone(), set(topic))).collect()
}

fn created_result(
    context: &RequestContext,
    name: &str,
    created: CreatedTopic,
    overrides: &Overrides,
) -> CreatableTopicResult {
    let mut result = named(context, name);
    if context.version >= TOPIC_ID_SINCE {
        result.topic_id = created.topic_id.0;
    }
    if context.version >= DETAILS_SINCE {
        result.num_partitions = created.partitions;
        result.replication_factor = created.replication_factor;
        let settings = context.broker.settings.load();
        let described = describe::topic(&settings.layers, overrides.get(name).unwrap_or(&BTreeMap::new()));
        result.configs = Some(described.into_iter().map(creatable_config).collect());
    }
    result
}

fn creatable_config(config: DescribedConfig) -> CreatableTopicConfigs {
    let source: ConfigSource = config.source;
    CreatableTopicConfigs::default()
        .with_name(StrBytes::from_string(config.name.into_owned()))
        .with_value(config.value.filter(|_| !config.is_sensitive).map(StrBytes::from_string))
        .with_read_only(config.read_only)
        .with_config_source(source.wire_number())
        .with_is_sensitive(config.is_sensitive)
}

fn failed(context: &RequestContext, name: &str, code: i16, message: String) -> CreatableTopicResult {
    named(context, name).with_error_code(code).with_error_message(Some(StrBytes::from_string(message)))
}

fn named(context: &RequestContext, name: &str) -> CreatableTopicResult {
    let result = CreatableTopicResult::default()
        .with_name(TopicName(StrBytes::from_string(name.to_owned())))
        .with_error_message(None);
    // Kafka's tools iterate the settings also of a topic that was refused: empty, never null.
    if context.version >= DETAILS_SINCE { result.with_configs(Some(Vec::new())) } else { result }
}

#[cfg(test)]
mod tests {
    use super::new_topic;
    use kafka_protocol::messages::create_topics_request::CreatableTopic;

    #[test]
    fn minus_one_means_the_default() {
        let topic = new_topic(&CreatableTopic::default().with_num_partitions(-1).with_replication_factor(-1));
        assert_eq!((topic.partitions, topic.replication_factor), (None, None));
        let topic = new_topic(&CreatableTopic::default().with_num_partitions(0).with_replication_factor(-2));
        assert_eq!((topic.partitions, topic.replication_factor), (Some(0), Some(-2)));
    }
}
