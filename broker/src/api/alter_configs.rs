//! AlterConfigs (key 33, versions 0–2): gives topics, groups and nodes these settings and no others.
//!
//! What a request does not name has its default again, which is why IncrementalAlterConfigs took its place; librdkafka,
//! sarama, kafkajs and kafka-python still send it. A change is in force once it is answered.
//! Version notes: 1 means nothing here, 2 has tagged fields.
//! Source: `ConfigurationControlManager.legacyAlterConfigs`, `ConfigAdminManager`, KIP-133.

use super::RequestContext;
use super::altering::{Altered, Asked, Refusal, alter};
use kafka_protocol::messages::alter_configs_request::{AlterConfigsResource, AlterableConfig};
use kafka_protocol::messages::alter_configs_response::AlterConfigsResourceResponse;
use kafka_protocol::messages::{AlterConfigsRequest, AlterConfigsResponse};
use replication::controller::configs::ConfigChange;
use std::collections::BTreeMap;

pub(crate) async fn handle(context: RequestContext, request: AlterConfigsRequest) -> AlterConfigsResponse {
    let asked = request.resources.iter().map(read_resource).collect();
    let altered = alter(&context, asked, request.validate_only).await;
    let responses = altered.into_iter().map(respond).collect();
    AlterConfigsResponse::default().with_responses(responses)
}

fn read_resource(resource: &AlterConfigsResource) -> Asked {
    let change = read_settings(&resource.configs).map(ConfigChange::Replace);
    Asked { kind: resource.resource_type, name: resource.resource_name.clone(), change }
}

fn read_settings(configs: &[AlterableConfig]) -> Result<BTreeMap<String, String>, Refusal> {
    let named = configs.iter().map(|config| (config.name.to_string(), config.value.as_ref()));
    let settings: BTreeMap<_, _> = named.collect();
    if settings.len() < configs.len() {
        return Err(Refusal::invalid_request("Error due to duplicate config keys".to_owned()));
    }
    let without: Vec<_> =
        settings.iter().filter(|(_, value)| value.is_none()).map(|(key, _)| key.as_str()).collect();
    if !without.is_empty() {
        let message = format!("Null value not supported for : {}", without.join(", "));
        return Err(Refusal::invalid_request(message));
    }
    Ok(settings.into_iter().filter_map(|(key, value)| Some((key, value?.to_string()))).collect())
}

fn respond(altered: Altered) -> AlterConfigsResourceResponse {
    AlterConfigsResourceResponse::default()
        .with_resource_type(altered.kind)
        .with_resource_name(altered.name)
        .with_error_code(altered.error_code)
        .with_error_message(altered.error_message)
}

#[cfg(test)]
mod tests {
    use crate::node::testing::TestNode;
    use kafka_protocol::messages::alter_configs_request::{AlterConfigsResource, AlterableConfig};
    use kafka_protocol::messages::{AlterConfigsRequest, AlterConfigsResponse};
    use kafka_protocol::protocol::StrBytes;
    use replication::metadata::record::ConfigResource;
    use std::collections::BTreeMap;

    type Setting = (&'static str, Option<&'static str>);

    fn resource(kind: i8, name: &'static str, settings: &[Setting]) -> AlterConfigsResource {
        let config = |&(name, value): &Setting| {
            AlterableConfig::default()
                .with_name(StrBytes::from_static_str(name))
                .with_value(value.map(StrBytes::from_static_str))
        };
        AlterConfigsResource::default()
            .with_resource_type(kind)
            .with_resource_name(StrBytes::from_static_str(name))
            .with_configs(settings.iter().map(config).collect())
    }

    async fn alter(
        node: &TestNode,
        version: i16,
        resources: Vec<AlterConfigsResource>,
        validate_only: bool,
    ) -> Vec<(i16, String)> {
        let request =
            AlterConfigsRequest::default().with_resources(resources).with_validate_only(validate_only);
        let answer: AlterConfigsResponse = node.ask(33, version, &request).await;
        let text = |message: Option<StrBytes>| message.map(|text| text.to_string()).unwrap_or_default();
        answer.responses.into_iter().map(|it| (it.error_code, text(it.error_message))).collect()
    }

    fn settings_of_orders(node: &TestNode) -> BTreeMap<String, String> {
        node.broker.image().configs_of(&ConfigResource::Topic("orders".to_owned())).clone()
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn what_is_not_named_has_its_default_again() {
        let node = TestNode::start(&[]).await;
        node.create_topic("orders", 1).await;
        for version in 0..=2 {
            let first = [("retention.ms", Some("1000")), ("segment.ms", Some("2000"))];
            let ok = [(0, String::new())];
            assert_eq!(alter(&node, version, vec![resource(2, "orders", &first)], false).await, ok);
            assert_eq!(settings_of_orders(&node).len(), 2);
            let second = [("retention.ms", Some("3000"))];
            assert_eq!(alter(&node, version, vec![resource(2, "orders", &second)], true).await, ok);
            assert_eq!(settings_of_orders(&node).len(), 2, "it was only to be checked");
            assert_eq!(alter(&node, version, vec![resource(2, "orders", &second)], false).await, ok);
            assert_eq!(settings_of_orders(&node), [("retention.ms".to_owned(), "3000".to_owned())].into());
            let partition = node.broker.partitions.all().pop().expect("one partition");
            assert_eq!(partition.log.config().retention_ms, 3000, "it is in force");
            assert_eq!(alter(&node, version, vec![resource(2, "orders", &[])], false).await, ok);
            assert!(settings_of_orders(&node).is_empty());
        }
        node.stop().await;
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn mistakes_are_told_in_kafkas_words() {
        let node = TestNode::start(&[]).await;
        node.create_topic("orders", 1).await;
        let answers = alter(
            &node,
            2,
            vec![
                resource(2, "orders", &[]),
                resource(2, "orders", &[]),
                resource(2, "missing", &[("retention.ms", Some("1"))]),
                resource(4, "9", &[]),
                resource(4, "one", &[]),
                resource(4, "1", &[("node.id", Some("5"))]),
                resource(8, "1", &[]),
                resource(32, "", &[]),
                resource(2, "", &[("retention.ms", Some("1"))]),
                resource(32, "g", &[("a", None), ("b", None)]),
                resource(32, "h", &[("a", Some("1")), ("a", Some("2"))]),
            ],
            false,
        )
        .await;
        let expected = [
            (42, "Each resource must appear at most once."),
            (42, "Each resource must appear at most once."),
            (3, "The topic 'missing' does not exist."),
            (42, "Unexpected broker id, expected 1, but received 9"),
            (42, "Node id must be an integer, but it is: one"),
            (42, "Cannot update these configs dynamically: [node.id]"),
            (42, "Unknown resource type 8"),
            (42, "Default group resources are not allowed."),
            (42, "Default topic resources are not allowed."),
            (42, "Null value not supported for : a, b"),
            (42, "Error due to duplicate config keys"),
        ];
        let expected: Vec<_> = expected.map(|(code, text)| (code, text.to_owned())).into();
        assert_eq!(answers, expected);
        node.stop().await;
    }
}
