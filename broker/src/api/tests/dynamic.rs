//! Settings of nodes that clients change: they hold without a restart, and again after one.

use crate::api::resource_kinds::{BROKER, BROKER_LOGGER};
use crate::node::testing::TestNode;
use kafka_protocol::messages::describe_configs_request::DescribeConfigsResource;
use kafka_protocol::messages::incremental_alter_configs_request::{AlterConfigsResource, AlterableConfig};
use kafka_protocol::messages::{
    DescribeConfigsRequest, DescribeConfigsResponse, IncrementalAlterConfigsRequest,
    IncrementalAlterConfigsResponse,
};
use kafka_protocol::protocol::StrBytes;
use replication::metadata::record::ConfigResource;
use std::net::{IpAddr, Ipv4Addr};

const SET: i8 = 0;
const DELETE: i8 = 1;

/// Where values come from. Source: `DescribeConfigsResponse.ConfigSource`.
const DYNAMIC_BROKER: i8 = 2;
const DYNAMIC_BROKER_LOGGER: i8 = 6;

/// Changes one setting of the broker of that name, where an empty one means all; the answer's code and message.
async fn alter(
    node: &TestNode,
    broker: &'static str,
    change: (&'static str, i8, Option<&'static str>),
    validate_only: bool,
) -> (i16, String) {
    alter_of(node, (BROKER, broker), change, validate_only).await
}

async fn alter_of(
    node: &TestNode,
    (kind, broker): (i8, &'static str),
    (key, operation, value): (&'static str, i8, Option<&'static str>),
    validate_only: bool,
) -> (i16, String) {
    let config = AlterableConfig::default()
        .with_name(StrBytes::from_static_str(key))
        .with_config_operation(operation)
        .with_value(value.map(StrBytes::from_static_str));
    let resource = AlterConfigsResource::default()
        .with_resource_type(kind)
        .with_resource_name(StrBytes::from_static_str(broker))
        .with_configs(vec![config]);
    let request = IncrementalAlterConfigsRequest::default()
        .with_resources(vec![resource])
        .with_validate_only(validate_only);
    let answer: IncrementalAlterConfigsResponse = node.ask(44, 1, &request).await;
    let answer = &answer.responses[0];
    (answer.error_code, answer.error_message.as_ref().map(ToString::to_string).unwrap_or_default())
}

/// Names, values and sources of these settings of the node, or of its loggers.
async fn describe(node: &TestNode, kind: i8, keys: &[&'static str]) -> Vec<(String, Option<String>, i8)> {
    let resource = DescribeConfigsResource::default()
        .with_resource_type(kind)
        .with_resource_name(StrBytes::from_static_str("1"))
        .with_configuration_keys(Some(keys.iter().map(|key| StrBytes::from_static_str(key)).collect()));
    let request = DescribeConfigsRequest::default().with_resources(vec![resource]);
    let answer: DescribeConfigsResponse = node.ask(32, 4, &request).await;
    let configs = answer.results.into_iter().flat_map(|result| result.configs);
    let text = |text: StrBytes| text.to_string();
    configs.map(|config| (text(config.name), config.value.map(text), config.config_source)).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_setting_holds_once_it_is_answered_and_after_a_restart() {
    let node = TestNode::start(&["max.connections=50"]).await;
    let (here, there) = (IpAddr::V4(Ipv4Addr::LOCALHOST), IpAddr::V4(Ipv4Addr::new(127, 0, 0, 2)));
    let ok = (0, String::new());
    let overrides = ("max.connections.per.ip.overrides", SET, Some("127.0.0.2:3"));
    assert_eq!(alter(&node, "1", overrides, true).await, ok, "it was only to be checked");
    assert_eq!(node.broker.connections_max(there), (50, 2_147_483_647));
    assert_eq!(alter(&node, "1", overrides, false).await, ok);
    assert_eq!(alter(&node, "", ("max.connections.per.ip", SET, Some("9")), false).await, ok);
    assert_eq!(alter(&node, "", ("max.connections", SET, Some("40")), false).await, ok);
    let limits = |node: &TestNode| (node.broker.connections_max(here), node.broker.connections_max(there));
    assert_eq!(limits(&node), ((40, 9), (40, 3)));
    assert_eq!(alter(&node, "1", ("num.recovery.threads.per.data.dir", SET, Some("4")), false).await, ok);
    let node = node.restart().await;
    assert_eq!(limits(&node), ((40, 9), (40, 3)));
    assert_eq!(node.broker.settings.load().broker.num_recovery_threads_per_data_dir, 4);
    assert_eq!(alter(&node, "", ("max.connections", DELETE, None), false).await, ok);
    assert_eq!(limits(&node), ((50, 9), (50, 3)), "what the node was started with");
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_changes_nothing_here_is_kept_and_shown_as_kafka_does() {
    let node = TestNode::start(&[]).await;
    let ok = (0, String::new());
    for (key, value) in [("num.io.threads", "16"), ("no.such.key", "secret")] {
        assert_eq!(alter(&node, "1", (key, SET, Some(value)), false).await, ok);
    }
    let too_many = alter(&node, "1", ("num.io.threads", SET, Some("33")), false).await;
    assert_eq!(
        too_many,
        (
            42,
            "Invalid value org.apache.kafka.common.config.ConfigException: Dynamic thread count update validation failed for \
             num.io.threads=33, value should not be greater than double the current value 16 for configuration Invalid \
             dynamic configuration"
                .to_owned()
        )
    );
    let node = node.restart().await;
    assert_eq!(
        describe(&node, BROKER, &["num.io.threads", "no.such.key"]).await,
        [
            ("num.io.threads".to_owned(), Some("16".to_owned()), DYNAMIC_BROKER),
            ("no.such.key".to_owned(), None, DYNAMIC_BROKER),
        ]
    );
    for key in ["num.io.threads", "no.such.key"] {
        assert_eq!(alter(&node, "1", (key, DELETE, None), false).await, ok);
    }
    assert_eq!(describe(&node, BROKER, &["num.io.threads", "no.such.key"]).await, []);
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn settings_that_do_not_go_with_the_others_are_refused_whole() {
    let node = TestNode::start(&["log.cleaner.max.compaction.lag.ms=5000"]).await;
    let invalid_request = |message: &str| (42, message.to_owned());
    for (broker, key, value, message) in [
        (
            "1",
            "log.cleaner.threads",
            "9",
            "Invalid value org.apache.kafka.common.config.ConfigException: Log cleaner threads cannot be increased to more \
             than double the current value 1 for configuration Invalid dynamic configuration",
        ),
        (
            "",
            "log.cleaner.threads",
            "0",
            "Invalid value org.apache.kafka.common.config.ConfigException: Log cleaner threads should be at least 1 for \
             configuration Invalid dynamic configuration",
        ),
        (
            "",
            "log.cleaner.min.compaction.lag.ms",
            "6000",
            "conflict topic config setting min.compaction.lag.ms (6000) > max.compaction.lag.ms (5000)",
        ),
        (
            "",
            "log.retention.ms",
            "0",
            "log.retention.ms must be unlimited (-1) or, greater than or equal to 1",
        ),
        ("1", "log.dirs", "/elsewhere", "Cannot update these configs dynamically: [log.dirs]"),
    ] {
        for validate_only in [true, false] {
            let answer = alter(&node, broker, (key, SET, Some(value)), validate_only).await;
            assert_eq!(answer, invalid_request(message), "{key}");
        }
    }
    let image = node.broker.image();
    for resource in [ConfigResource::AllBrokers, ConfigResource::Broker(node.broker.node_id())] {
        assert!(image.configs_of(&resource).is_empty(), "{resource:?}");
    }
    node.stop().await;
}

/// The loggers are those of the process: no other test changes them.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_logs_what_clients_ask_for_until_it_stops() {
    let node = TestNode::start(&[]).await;
    let loggers = (BROKER_LOGGER, "1");
    let level = |level: &str| ("ottla.isr".to_owned(), Some(level.to_owned()), DYNAMIC_BROKER_LOGGER);
    let ok = (0, String::new());
    let trace = ("ottla.isr", SET, Some("TRACE"));
    assert_eq!(alter_of(&node, loggers, trace, true).await, ok);
    assert_eq!(
        describe(&node, BROKER_LOGGER, &["ottla.isr"]).await,
        [level("INFO")],
        "it was only to be checked"
    );
    assert_eq!(alter_of(&node, loggers, trace, false).await, ok);
    assert_eq!(describe(&node, BROKER_LOGGER, &["ottla.isr"]).await, [level("TRACE")]);
    assert_eq!(alter_of(&node, loggers, ("ottla.isr", DELETE, None), false).await, ok);
    assert_eq!(describe(&node, BROKER_LOGGER, &["ottla.isr"]).await, [level("INFO")]);
    assert!(describe(&node, BROKER_LOGGER, &[]).await.iter().any(|(name, _, _)| name == "root"));
    for (name, message) in [
        ("9", "Unexpected node id. Expected 1, but received 9"),
        ("", "Node id must be an integer, but it is: "),
        ("one", "Node id must be an integer, but it is: one"),
    ] {
        assert_eq!(alter_of(&node, (BROKER_LOGGER, name), trace, false).await, (42, message.to_owned()));
    }
    let unknown = alter_of(&node, loggers, ("no.such", SET, Some("INFO")), false).await;
    assert_eq!(unknown, (40, "Logger no.such does not exist!".to_owned()));
    node.stop().await;
}
