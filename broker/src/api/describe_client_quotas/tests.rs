//! Quotas as clients set, see and feel them.

use crate::api::{self, Outcome, RequestContext};
use crate::clock;
use crate::node::testing::replica_set::until;
use crate::node::testing::running_set::RunningSet;
use crate::node::testing::{TestNode, batch, response, topic_name};
use crate::wire::request_header::RequestPrefix;
use bytes::BytesMut;
use kafka_protocol::messages::alter_client_quotas_request::{EntityData, EntryData, OpData};
use kafka_protocol::messages::create_partitions_request::CreatePartitionsTopic;
use kafka_protocol::messages::create_topics_request::CreatableTopic;
use kafka_protocol::messages::describe_client_quotas_request::ComponentData;
use kafka_protocol::messages::fetch_request::{FetchPartition, FetchTopic};
use kafka_protocol::messages::metadata_request::MetadataRequestTopic;
use kafka_protocol::messages::produce_request::{PartitionProduceData, TopicProduceData};
use kafka_protocol::messages::{
    AlterClientQuotasRequest, AlterClientQuotasResponse, CreatePartitionsRequest, CreatePartitionsResponse,
    CreateTopicsRequest, CreateTopicsResponse, DeleteTopicsRequest, DeleteTopicsResponse,
    DescribeClientQuotasRequest, DescribeClientQuotasResponse, FetchRequest, FetchResponse, MetadataRequest,
    MetadataResponse, ProduceRequest, ProduceResponse,
};
use kafka_protocol::protocol::{Decodable, Encodable, HeaderVersion, StrBytes};
use std::sync::Arc;
use std::time::Duration;

const UNKNOWN_TOPIC_OR_PARTITION: i16 = 3;
const THROTTLING_QUOTA_EXCEEDED: i16 = 89;

type Part = (&'static str, Option<&'static str>);

fn text(text: &'static str) -> StrBytes {
    StrBytes::from_static_str(text)
}

async fn alter(
    node: &TestNode,
    version: i16,
    entity: &[Part],
    limits: &[(&'static str, Option<f64>)],
) -> (i16, Option<String>) {
    let part = |&(kind, name): &Part| {
        EntityData::default().with_entity_type(text(kind)).with_entity_name(name.map(text))
    };
    let change = |&(key, limit): &(&'static str, Option<f64>)| {
        OpData::default().with_key(text(key)).with_value(limit.unwrap_or(0.0)).with_remove(limit.is_none())
    };
    let entry = EntryData::default()
        .with_entity(entity.iter().map(part).collect())
        .with_ops(limits.iter().map(change).collect());
    let request = AlterClientQuotasRequest::default().with_entries(vec![entry]);
    let mut answer: AlterClientQuotasResponse = node.ask(49, version, &request).await;
    let answer = answer.entries.remove(0);
    assert_eq!(answer.entity.len(), entity.len());
    (answer.error_code, answer.error_message.map(|message| message.to_string()))
}

/// The error, and what was found as text.
async fn describe(
    node: &TestNode,
    version: i16,
    parts: &[(&'static str, i8, Option<&'static str>)],
    strict: bool,
) -> (i16, Vec<String>) {
    let component = |&(kind, match_type, name): &(&'static str, i8, Option<&'static str>)| {
        ComponentData::default()
            .with_entity_type(text(kind))
            .with_match_type(match_type)
            .with_match(name.map(text))
    };
    let request = DescribeClientQuotasRequest::default()
        .with_components(parts.iter().map(component).collect())
        .with_strict(strict);
    let answer: DescribeClientQuotasResponse = node.ask(48, version, &request).await;
    let entries = answer.entries.expect("never null").into_iter().map(|entry| {
        let parts = entry.entity.iter().map(|part| {
            format!("{} {}", part.entity_type, part.entity_name.as_ref().map_or("*", |name| name.as_str()))
        });
        let values = entry.values.iter().map(|value| format!("{}={}", value.key, value.value));
        parts.chain(values).collect::<Vec<_>>().join(", ")
    });
    (answer.error_code, entries.collect())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn quotas_are_set_described_and_removed_in_every_version_and_outlive_a_restart() {
    let node = TestNode::start(&[]).await;
    for version in 0..=1 {
        let ok = (0, None);
        let rate = [("producer_byte_rate", Some(1024.0))];
        assert_eq!(alter(&node, version, &[("client-id", Some("c"))], &rate).await, ok);
        let user = [("user", Some("u")), ("client-id", None)];
        assert_eq!(alter(&node, version, &user, &[("request_percentage", Some(12.5))]).await, ok);
        assert_eq!(alter(&node, version, &[("user", None)], &[("consumer_byte_rate", Some(5.0))]).await, ok);
        let [by_client, by_both, by_default] = [
            "client-id c, producer_byte_rate=1024",
            "user u, client-id *, request_percentage=12.5",
            "user *, consumer_byte_rate=5",
        ];
        let mut all = describe(&node, version, &[], false).await;
        all.1.sort();
        assert_eq!(all, (0, [by_client, by_default, by_both].map(str::to_owned).into()));
        let one = |entry: &str| (0, vec![entry.to_owned()]);
        assert_eq!(describe(&node, version, &[("user", 0, Some("u"))], false).await, one(by_both));
        assert_eq!(describe(&node, version, &[("user", 0, Some("u"))], true).await, (0, vec![]));
        assert_eq!(describe(&node, version, &[("user", 1, None)], true).await, one(by_default));
        assert_eq!(describe(&node, version, &[("client-id", 2, None)], true).await, one(by_client));
        assert_eq!(describe(&node, version, &[("ip", 2, None)], false).await, (0, vec![]));
        for mistake in [
            vec![("", 2, None)],
            vec![("user", 2, None), ("user", 2, None)],
            vec![("user", 2, None), ("ip", 2, None)],
            vec![("user", 0, None)],
            vec![("user", 1, Some("u"))],
            vec![("user", 7, None)],
        ] {
            assert_eq!(describe(&node, version, &mistake, false).await, (42, vec![]), "{mistake:?}");
        }
        assert_eq!(describe(&node, version, &[("group", 2, None)], false).await, (35, vec![]));
        assert_eq!(alter(&node, version, &[("user", None)], &[("consumer_byte_rate", None)]).await, ok);
        assert_eq!(describe(&node, version, &[("user", 1, None)], true).await, (0, vec![]));
        let address = [("ip", Some("10.0.0.1"))];
        let refused = alter(&node, version, &address, &rate).await;
        assert_eq!(refused.0, 42, "{refused:?}");
        let connections = |limit: Option<f64>| [("connection_creation_rate", limit)];
        assert_eq!(alter(&node, version, &address, &connections(Some(5.0))).await, ok);
        let by_address = one("ip 10.0.0.1, connection_creation_rate=5");
        assert_eq!(describe(&node, version, &[("ip", 2, None)], false).await, by_address);
        assert_eq!(describe(&node, version, &[("user", 2, None)], false).await, one(by_both));
        assert_eq!(alter(&node, version, &address, &connections(None)).await, ok);
    }
    let node = node.restart().await;
    assert_eq!(describe(&node, 1, &[], false).await.1.len(), 2);
    assert!(node.broker.client_quotas.are_set());
    node.stop().await;
}

/// Asks over a connection that may be muted: the answer, and for how long nothing is read from the connection.
async fn ask<Q: Encodable, A: Decodable + HeaderVersion>(
    node: &TestNode,
    key: i16,
    version: i16,
    request: &Q,
) -> (A, Duration) {
    ask_over(node.context(version), key, request).await
}

async fn ask_over<Q: Encodable, A: Decodable + HeaderVersion>(
    mut context: RequestContext,
    key: i16,
    request: &Q,
) -> (A, Duration) {
    let version = context.version;
    let mut body = BytesMut::new();
    request.encode(&mut body, version).expect("the request fits its version");
    context.request_bytes = body.len();
    let mute = Arc::clone(&context.mute);
    let api = api::find(key).expect("the API is served");
    let request = api::decode_request(api, version, body.freeze()).expect("the request can be read");
    let prefix = RequestPrefix { api_key: key, api_version: version, correlation_id: 7 };
    let outcome: Outcome = api::dispatch(request, prefix, context).await.expect("it can be answered");
    (response(outcome, version), mute.remaining())
}

fn produce(topic: &str, timestamps: &[i64]) -> ProduceRequest {
    let data = PartitionProduceData::default().with_index(0).with_records(Some(batch(timestamps)));
    let topic = TopicProduceData::default().with_name(topic_name(topic)).with_partition_data(vec![data]);
    ProduceRequest::default().with_acks(-1).with_timeout_ms(30_000).with_topic_data(vec![topic])
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_producer_over_its_quota_is_answered_at_once_and_then_not_read_for_a_while() {
    let node = TestNode::start(&[]).await;
    node.create_topic("orders", 1).await;
    let (answer, muted): (ProduceResponse, _) = ask(&node, 0, 9, &produce("orders", &[1])).await;
    assert_eq!((answer.throttle_time_ms, muted), (0, Duration::ZERO), "nobody has a quota");
    alter(&node, 1, &[("user", Some("ANONYMOUS"))], &[("producer_byte_rate", Some(2.0))]).await;
    let (answer, muted): (ProduceResponse, _) = ask(&node, 0, 9, &produce("orders", &[2])).await;
    assert_eq!(answer.responses[0].partition_responses[0].error_code, 0, "it is carried out");
    assert!(answer.throttle_time_ms > 10_000, "{}", answer.throttle_time_ms);
    assert!(muted > Duration::from_secs(10), "{muted:?}");
    let (answer, muted): (MetadataResponse, _) = ask(&node, 3, 9, &MetadataRequest::default()).await;
    assert_eq!((answer.throttle_time_ms, muted), (0, Duration::ZERO), "other requests are not limited by it");
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_consumer_over_its_quota_gets_nothing_and_later_everything() {
    let node = TestNode::start(&[]).await;
    node.create_topic("orders", 1).await;
    let _: (ProduceResponse, _) = ask(&node, 0, 9, &produce("orders", &[1, 2, 3])).await;
    let fetch = |session_id: i32, session_epoch: i32| {
        let partition = FetchPartition::default().with_partition_max_bytes(1_000_000);
        let topic = FetchTopic::default().with_topic(topic_name("orders")).with_partitions(vec![partition]);
        FetchRequest::default()
            .with_max_bytes(1_000_000)
            .with_session_id(session_id)
            .with_session_epoch(session_epoch)
            .with_topics(vec![topic])
    };
    let has_records = |answer: &FetchResponse| {
        let mut partitions = answer.responses.iter().flat_map(|topic| &topic.partitions);
        partitions.any(|partition| partition.records.as_ref().is_some_and(|records| !records.is_empty()))
    };
    let (answer, _): (FetchResponse, _) = ask(&node, 1, 12, &fetch(0, 0)).await;
    assert!(has_records(&answer) && answer.session_id != 0);
    let session = answer.session_id;
    alter(&node, 1, &[("client-id", None)], &[("consumer_byte_rate", Some(1.0))]).await;
    let (answer, muted): (FetchResponse, _) = ask(&node, 1, 12, &fetch(session, 1)).await;
    assert_eq!((answer.error_code, answer.session_id, answer.responses.len()), (0, session, 0));
    assert!(answer.throttle_time_ms > 1000 && muted > Duration::from_secs(1), "{answer:?}");
    alter(&node, 1, &[("client-id", Some("test"))], &[("consumer_byte_rate", Some(1e9))]).await;
    let (answer, muted): (FetchResponse, _) = ask(&node, 1, 12, &fetch(session, 2)).await;
    assert!(
        has_records(&answer) && answer.throttle_time_ms == 0 && muted.is_zero(),
        "its own quota is larger"
    );
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_keeps_the_node_busy_beyond_its_quota_is_told_in_any_answer() {
    let node = TestNode::start(&[]).await;
    alter(&node, 1, &[("client-id", Some("test"))], &[("request_percentage", Some(1e-9))]).await;
    let context = node.context(9);
    let (mute, asked) = (Arc::clone(&context.mute), clock::monotonic());
    let (answer, muted): (MetadataResponse, _) = ask_over(context, 3, &MetadataRequest::default()).await;
    assert_eq!(answer.throttle_time_ms, 1000, "one window at most");
    // It may be over by now.
    assert!(mute.until() > asked && muted <= Duration::from_secs(1));
    node.stop().await;
}

fn create(name: &str, partitions: i32) -> CreateTopicsRequest {
    let topic = CreatableTopic::default()
        .with_name(topic_name(name))
        .with_num_partitions(partitions)
        .with_replication_factor(1);
    CreateTopicsRequest::default().with_timeout_ms(30_000).with_topics(vec![topic])
}

/// The code for the first topic, and for how long the client is to keep quiet by the answer, which is also for how long
/// nothing is read from it.
async fn create_topic(node: &TestNode, version: i16, name: &str, partitions: i32) -> (i16, Duration) {
    let (answer, muted): (CreateTopicsResponse, _) = ask(node, 19, version, &create(name, partitions)).await;
    let told = Duration::from_millis(answer.throttle_time_ms.try_into().expect("no time is negative"));
    assert!(muted <= told && muted.is_zero() == told.is_zero(), "{muted:?} and {told:?}");
    (answer.topics[0].error_code, told)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_changes_more_partitions_than_its_quota_is_told_to_come_back() {
    let node = TestNode::start(&[]).await;
    // One in seventeen minutes, so that none comes back while this runs.
    let rate = [("controller_mutation_rate", Some(0.001))];
    alter(&node, 1, &[("client-id", Some("test"))], &rate).await;
    let (invalid_partitions, wait_min) = (37, Duration::from_secs(100_000));
    assert_eq!(create_topic(&node, 7, "none", 0).await, (invalid_partitions, Duration::ZERO));
    assert_eq!(create_topic(&node, 7, "wide", 300).await, (0, Duration::ZERO), "a topic is made whole");
    let (code, told) = create_topic(&node, 7, "late", 1).await;
    assert!(code == THROTTLING_QUOTA_EXCEEDED && told > wait_min, "{code} and {told:?}");
    assert!(node.broker.topic_id_of("late").is_none());
    let more =
        CreatePartitionsTopic::default().with_name(topic_name("wide")).with_count(301).with_assignments(None);
    let request = CreatePartitionsRequest::default().with_topics(vec![more]).with_timeout_ms(30_000);
    let (answer, muted): (CreatePartitionsResponse, _) = ask(&node, 37, 3, &request).await;
    assert_eq!(answer.results[0].error_code, THROTTLING_QUOTA_EXCEEDED);
    assert!(answer.throttle_time_ms > 100_000_000 && !muted.is_zero());
    let delete =
        DeleteTopicsRequest::default().with_topic_names(vec![topic_name("wide")]).with_timeout_ms(30_000);
    let (answer, muted): (DeleteTopicsResponse, _) = ask(&node, 20, 5, &delete).await;
    assert_eq!(answer.responses[0].error_code, THROTTLING_QUOTA_EXCEEDED);
    assert!(answer.throttle_time_ms > 100_000_000 && !muted.is_zero());
    let first_use = MetadataRequestTopic::default().with_name(Some(topic_name("first-use")));
    let request =
        MetadataRequest::default().with_topics(Some(vec![first_use])).with_allow_auto_topic_creation(true);
    let (answer, muted): (MetadataResponse, _) = ask(&node, 3, 9, &request).await;
    assert_eq!((answer.topics[0].error_code, answer.throttle_time_ms), (UNKNOWN_TOPIC_OR_PARTITION, 0));
    assert!(muted.is_zero(), "it asks again");
    // Clients that do not know the code are only slowed down.
    let (code, told) = create_topic(&node, 5, "old", 1).await;
    assert!(code == 0 && told > wait_min, "{code} and {told:?}");
    alter(&node, 1, &[("client-id", Some("test"))], &[("controller_mutation_rate", None)]).await;
    assert_eq!(create_topic(&node, 7, "late", 1).await, (0, Duration::ZERO));
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_client_changes_through_one_node_of_a_set_counts_on_all_of_them() {
    let set = RunningSet::start().await;
    let node = |id: i32| set.nodes.get(&id).expect("it runs");
    alter(node(1), 1, &[("client-id", None)], &[("controller_mutation_rate", Some(0.001))]).await;
    let code_at = async |id: i32, client: usize, name: &str| {
        let context = RequestContext { client_id: format!("client-{client}"), ..node(id).context(7) };
        let (answer, _): (CreateTopicsResponse, _) = ask_over(context, 19, &create(name, 1)).await;
        answer.topics[0].error_code
    };
    // A controller that takes over meanwhile knows nothing of what the client did; the next client is tried then.
    let mut client = 0;
    until(async || {
        client += 1;
        let mut codes = Vec::new();
        for id in 1..=3 {
            codes.push(code_at(id, client, &format!("topic-{client}-of-{id}")).await);
        }
        codes == [0, THROTTLING_QUOTA_EXCEEDED, THROTTLING_QUOTA_EXCEEDED]
    })
    .await;
    set.stop().await;
}
