//! ListConfigResources (key 74, versions 0–1): what can be given settings, by its kind (KIP-714, KIP-1142).
//!
//! Topics and brokers, each once more for its loggers, are listed whether they have settings or not; groups and
//! subscriptions to clients' metrics where they have. Version notes: 0 lists subscriptions to clients' metrics alone.
//! Source: `KafkaApis.handleListConfigResources`, `ListConfigResourcesRequest.supportedResourceTypes`.

use super::RequestContext;
use super::resource_kinds::{BROKER, BROKER_LOGGER, CLIENT_METRICS, GROUP, TOPIC};
use kafka_protocol::ResponseError;
use kafka_protocol::messages::list_config_resources_response::ConfigResource as Listed;
use kafka_protocol::messages::{ListConfigResourcesRequest, ListConfigResourcesResponse};
use kafka_protocol::protocol::StrBytes;
use replication::metadata::image::MetadataImage;
use replication::metadata::record::ConfigResource;
use std::collections::BTreeSet;

/// The first version that asks for kinds.
const KINDS_SINCE: i16 = 1;

pub(crate) async fn handle(
    context: RequestContext,
    request: ListConfigResourcesRequest,
) -> ListConfigResourcesResponse {
    let response = ListConfigResourcesResponse::default();
    let known: &[i8] = match context.version >= KINDS_SINCE {
        true => &[TOPIC, BROKER, BROKER_LOGGER, CLIENT_METRICS, GROUP],
        false => &[CLIENT_METRICS],
    };
    let mut kinds: BTreeSet<i8> = request.resource_types.into_iter().collect();
    if kinds.is_empty() {
        kinds.extend(known);
    }
    if kinds.iter().any(|kind| !known.contains(kind)) {
        return response.with_error_code(ResponseError::UnsupportedVersion.code());
    }
    let image = context.broker.image();
    let resources = kinds.iter().flat_map(|kind| {
        names(&image, *kind).into_iter().map(|name| {
            Listed::default()
                .with_resource_name(StrBytes::from_string(name))
                .with_resource_type(if context.version >= KINDS_SINCE { *kind } else { CLIENT_METRICS })
        })
    });
    response.with_config_resources(resources.collect())
}

fn names(image: &MetadataImage, kind: i8) -> Vec<String> {
    match kind {
        TOPIC => image.topics().map(|topic| topic.name.to_string()).collect(),
        BROKER | BROKER_LOGGER => image.brokers().keys().map(ToString::to_string).collect(),
        kind => image
            .configured_resources()
            .filter_map(|resource| match resource {
                ConfigResource::Group(name) if kind == GROUP => Some(name.clone()),
                ConfigResource::ClientMetrics(name) if kind == CLIENT_METRICS => Some(name.clone()),
                ConfigResource::Group(_)
                | ConfigResource::ClientMetrics(_)
                | ConfigResource::Topic(_)
                | ConfigResource::Broker(_)
                | ConfigResource::AllBrokers => None,
            })
            .collect(),
    }
}

#[cfg(test)]
mod tests {
    use crate::node::testing::TestNode;
    use kafka_protocol::messages::incremental_alter_configs_request::{
        AlterConfigsResource, AlterableConfig,
    };
    use kafka_protocol::messages::{
        IncrementalAlterConfigsRequest, IncrementalAlterConfigsResponse, ListConfigResourcesRequest,
        ListConfigResourcesResponse,
    };
    use kafka_protocol::protocol::StrBytes;

    async fn list(node: &TestNode, version: i16, kinds: &[i8]) -> (i16, Vec<(i8, String)>) {
        let request = ListConfigResourcesRequest::default().with_resource_types(kinds.to_vec());
        let answer: ListConfigResourcesResponse = node.ask(74, version, &request).await;
        let resources = answer.config_resources.into_iter();
        let named = resources.map(|resource| (resource.resource_type, resource.resource_name.to_string()));
        (answer.error_code, named.collect())
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn resources_are_listed_by_the_kinds_that_are_asked_for() {
        let node = TestNode::start(&[]).await;
        node.create_topic("orders", 1).await;
        let text = StrBytes::from_static_str;
        let config = AlterableConfig::default()
            .with_name(text("consumer.session.timeout.ms"))
            .with_value(Some(text("50000")));
        let interval =
            AlterableConfig::default().with_name(text("interval.ms")).with_value(Some(text("1000")));
        let resource = |kind, name, config| {
            AlterConfigsResource::default()
                .with_resource_type(kind)
                .with_resource_name(text(name))
                .with_configs(vec![config])
        };
        let resources = vec![resource(32, "g", config), resource(16, "s", interval)];
        let request = IncrementalAlterConfigsRequest::default().with_resources(resources);
        let altered: IncrementalAlterConfigsResponse = node.ask(44, 1, &request).await;
        assert!(altered.responses.iter().all(|altered| altered.error_code == 0), "{altered:?}");
        let [topic, broker, loggers, metrics, group] =
            [(2, "orders"), (4, "1"), (8, "1"), (16, "s"), (32, "g")]
                .map(|(kind, name)| (kind, name.to_owned()));
        let all = vec![topic.clone(), broker, loggers.clone(), metrics.clone(), group.clone()];
        assert_eq!(list(&node, 1, &[]).await, (0, all));
        assert_eq!(list(&node, 1, &[32, 2, 8]).await, (0, vec![topic, loggers, group]));
        assert_eq!(list(&node, 1, &[2, 9]).await, (35, vec![]));
        assert_eq!(list(&node, 0, &[]).await, (0, vec![metrics]));
        node.stop().await;
    }
}
