//! From the subscription to `/metrics`, through both APIs.

use crate::node::testing::TestNode;
use crate::telemetry::gauge_for_tests;
use bytes::Bytes;
use kafka_protocol::messages::incremental_alter_configs_request::{AlterConfigsResource, AlterableConfig};
use kafka_protocol::messages::{
    ApiVersionsRequest, ApiVersionsResponse, GetTelemetrySubscriptionsRequest,
    GetTelemetrySubscriptionsResponse, IncrementalAlterConfigsRequest, IncrementalAlterConfigsResponse,
    PushTelemetryRequest, PushTelemetryResponse,
};
use kafka_protocol::protocol::StrBytes;
use storage::compression::{Codec, compress};
use uuid::Uuid;

const SWITCH: &str = "ottla.client.metrics.enable=true";
const UNSUPPORTED_VERSION: i16 = 35;
const INVALID_CONFIG: i16 = 40;
const INVALID_REQUEST: i16 = 42;
const UNSUPPORTED_COMPRESSION_TYPE: i16 = 76;
const INVALID_RECORD: i16 = 87;
const THROTTLING_QUOTA_EXCEEDED: i16 = 89;
const UNKNOWN_SUBSCRIPTION_ID: i16 = 117;
const TELEMETRY_TOO_LARGE: i16 = 118;

/// Changes a subscription; the answer's code and message.
async fn subscribe(
    node: &TestNode,
    name: &'static str,
    settings: &[(&'static str, &'static str)],
) -> (i16, String) {
    let configs = settings.iter().map(|&(name, value)| {
        AlterableConfig::default()
            .with_name(StrBytes::from_static_str(name))
            .with_value(Some(StrBytes::from_static_str(value)))
    });
    let resource = AlterConfigsResource::default()
        .with_resource_type(16)
        .with_resource_name(StrBytes::from_static_str(name))
        .with_configs(configs.collect());
    let request = IncrementalAlterConfigsRequest::default().with_resources(vec![resource]);
    let answer: IncrementalAlterConfigsResponse = node.ask(44, 1, &request).await;
    let answer = &answer.responses[0];
    (answer.error_code, answer.error_message.as_ref().map(ToString::to_string).unwrap_or_default())
}

async fn get(node: &TestNode, id: Uuid) -> GetTelemetrySubscriptionsResponse {
    node.ask(71, 0, &GetTelemetrySubscriptionsRequest::default().with_client_instance_id(id)).await
}

async fn push(
    node: &TestNode,
    granted: &GetTelemetrySubscriptionsResponse,
    codec: i8,
    metrics: Vec<u8>,
) -> i16 {
    let request = PushTelemetryRequest::default()
        .with_client_instance_id(granted.client_instance_id)
        .with_subscription_id(granted.subscription_id)
        .with_compression_type(codec)
        .with_metrics(Bytes::from(metrics));
    let answer: PushTelemetryResponse = node.ask(72, 0, &request).await;
    answer.error_code
}

/// Lets the client ask and push anew.
async fn anew(node: &TestNode) -> GetTelemetrySubscriptionsResponse {
    let granted = get(node, Uuid::nil()).await;
    assert_eq!(granted.error_code, 0);
    granted
}

async fn advertised(node: &TestNode) -> Vec<i16> {
    let answer: ApiVersionsResponse = node.ask(18, 0, &ApiVersionsRequest::default()).await;
    answer.api_keys.iter().map(|api| api.api_key).filter(|key| (71..=72).contains(key)).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_client_pushes_is_shown_until_it_is_gone() {
    let node = TestNode::start(&[SWITCH]).await;
    assert_eq!(advertised(&node).await, [71, 72]);
    let settings = [("metrics", "org.apache.kafka."), ("interval.ms", "300000"), ("match", "client_id=te.*")];
    assert_eq!(subscribe(&node, "s", &settings).await, (0, String::new()));
    let granted = get(&node, Uuid::nil()).await;
    assert_eq!(
        (granted.error_code, granted.push_interval_ms, granted.telemetry_max_bytes),
        (0, 300_000, 1_048_576)
    );
    assert_eq!(granted.accepted_compression_types, [4, 3, 1, 2]);
    assert_eq!(granted.requested_metrics, [StrBytes::from_static_str("org.apache.kafka.")]);
    assert!(!granted.client_instance_id.is_nil() && !granted.delta_temporality);
    let metrics = gauge_for_tests("org.apache.kafka.producer.record.queue.time.avg", &[("orders", 2.5)]);
    let packed = compress(Codec::Zstd, 3, &metrics).expect("it can be compressed");
    assert_eq!(push(&node, &granted, 4, packed).await, 0);
    let shown = node.broker.telemetry.render();
    for part in [
        "kafka_client_producer_record_queue_time_avg{client_instance_id=\"",
        "client_id=\"test\",client_software_name=\"unknown\"",
        "client_source_address=\"127.0.0.1\",client_rack=\"here\",topic=\"orders\"} 2.5\n",
    ] {
        assert!(shown.contains(part), "{part} is not in {shown}");
    }
    assert_eq!(push(&node, &granted, 4, metrics).await, THROTTLING_QUOTA_EXCEEDED);
    assert_eq!(get(&node, granted.client_instance_id).await.error_code, THROTTLING_QUOTA_EXCEEDED);
    node.broker.telemetry.disconnected(node.context(0).peer_address);
    assert_eq!((node.broker.telemetry.render(), node.broker.telemetry.clients()), (String::new(), 0));
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_be_taken_is_refused_as_kafka_does() {
    let node = TestNode::start(&[SWITCH, "telemetry.max.bytes=1000"]).await;
    let metrics = gauge_for_tests("a", &[("t", 1.0)]);
    let stranger = GetTelemetrySubscriptionsResponse::default();
    assert_eq!(push(&node, &stranger, 0, metrics.clone()).await, INVALID_REQUEST, "it has no id");
    let mut other = anew(&node).await;
    other.subscription_id ^= 1;
    assert_eq!(push(&node, &other, 0, metrics.clone()).await, UNKNOWN_SUBSCRIPTION_ID);
    let granted = anew(&node).await;
    assert_eq!(push(&node, &granted, 9, metrics.clone()).await, UNSUPPORTED_COMPRESSION_TYPE);
    let granted = anew(&node).await;
    assert_eq!(push(&node, &granted, 0, vec![0; 1001]).await, TELEMETRY_TOO_LARGE);
    for (codec, bytes) in [(0, vec![0xff; 20]), (4, b"no zstd".to_vec())] {
        let granted = anew(&node).await;
        assert_eq!(push(&node, &granted, codec, bytes).await, INVALID_RECORD, "in codec {codec}");
    }
    // Some hundred bytes that are two megabytes of nothing.
    let bomb = compress(Codec::Zstd, 3, &vec![0; 2 << 20]).expect("it can be compressed");
    assert!(bomb.len() < 1000);
    let granted = anew(&node).await;
    assert_eq!(push(&node, &granted, 4, bomb).await, INVALID_RECORD);
    let granted = anew(&node).await;
    assert_eq!(push(&node, &granted, 0, Vec::new()).await, 0, "nothing to say");
    assert_eq!(node.broker.telemetry.render(), "");
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn subscriptions_are_judged_in_kafkas_words_and_outlive_a_restart() {
    let node = TestNode::start(&[SWITCH]).await;
    for (name, setting, answer) in [
        ("s", ("coffee", "1"), (INVALID_REQUEST, "Unknown client metrics configuration: coffee")),
        (
            "s",
            ("interval.ms", "1"),
            (
                INVALID_REQUEST,
                "Invalid value 1 for interval.ms, interval must be between 100 and 3600000 (1 hour)",
            ),
        ),
        ("s", ("match", "colour=red"), (INVALID_CONFIG, "Illegal client matching pattern: colour=red")),
        ("", ("interval.ms", "100"), (INVALID_REQUEST, "Subscription name can't be empty")),
    ] {
        assert_eq!(subscribe(&node, name, &[setting]).await, (answer.0, answer.1.to_owned()));
    }
    assert_eq!(subscribe(&node, "s", &[("interval.ms", "100")]).await, (0, String::new()));
    let node = node.restart().await;
    assert_eq!(anew(&node).await.push_interval_ms, 100);
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_is_told_of_it_where_it_is_not_switched_on() {
    let node = TestNode::start(&[]).await;
    assert!(advertised(&node).await.is_empty());
    let granted = get(&node, Uuid::nil()).await;
    assert_eq!(granted.error_code, UNSUPPORTED_VERSION);
    assert_eq!(push(&node, &granted, 0, Vec::new()).await, UNSUPPORTED_VERSION);
    node.stop().await;
}
