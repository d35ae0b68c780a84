//! Every response, in every version that is served, through the real handlers: a field that a version does not have
//! would close the connection.

mod compression;
mod dynamic;
mod following;
mod groups;
mod offsets;
mod replicas;
mod timestamps;

use super::{APIS, Outcome};
use crate::node::testing::{TestNode, batch, response, topic_name};
use bytes::Bytes;
use kafka_protocol::ResponseError;
use kafka_protocol::messages::create_topics_request::{CreatableTopic, CreatableTopicConfig};
use kafka_protocol::messages::delete_topics_request::DeleteTopicState;
use kafka_protocol::messages::describe_configs_request::DescribeConfigsResource;
use kafka_protocol::messages::fetch_request::{FetchPartition, FetchTopic};
use kafka_protocol::messages::incremental_alter_configs_request::{AlterConfigsResource, AlterableConfig};
use kafka_protocol::messages::list_offsets_request::{ListOffsetsPartition, ListOffsetsTopic};
use kafka_protocol::messages::metadata_request::MetadataRequestTopic;
use kafka_protocol::messages::produce_request::{PartitionProduceData, TopicProduceData};
use kafka_protocol::messages::{
    ApiVersionsRequest, ApiVersionsResponse, BrokerId, CreateTopicsRequest, CreateTopicsResponse,
    DeleteTopicsRequest, DeleteTopicsResponse, DescribeClusterRequest, DescribeClusterResponse,
    DescribeConfigsRequest, DescribeConfigsResponse, FetchRequest, FetchResponse,
    IncrementalAlterConfigsRequest, IncrementalAlterConfigsResponse, InitProducerIdRequest,
    InitProducerIdResponse, ListOffsetsRequest, ListOffsetsResponse, MetadataRequest, MetadataResponse,
    ProduceRequest, ProduceResponse, TransactionalId,
};
use kafka_protocol::protocol::StrBytes;
use std::collections::BTreeSet;
use std::ops::RangeInclusive;
use uuid::Uuid;

pub(super) fn versions(key: i16) -> RangeInclusive<i16> {
    let api = super::find(key).expect("the API is served");
    api.served_min..=api.version_max
}

#[test]
fn what_appends_or_tells_a_group_begins_at_once_and_all_else_takes_turns() {
    let at_once: Vec<_> = APIS.iter().filter(|api| !api.takes_turns).map(|api| api.name).collect();
    let expected = [
        "Produce",
        "OffsetCommit",
        "JoinGroup",
        "Heartbeat",
        "LeaveGroup",
        "SyncGroup",
        "DeleteGroups",
        "OffsetDelete",
        "ConsumerGroupHeartbeat",
    ];
    assert_eq!(at_once, expected);
}

pub(super) async fn topic_id(node: &TestNode, name: &str) -> Uuid {
    node.broker.topic_id_of(name).expect("the topic is there").0
}

pub(super) fn text(text: &str) -> StrBytes {
    StrBytes::from_string(text.to_owned())
}

fn produce(version: i16, topics: &[(&str, Uuid)], acks: i16, records: Option<&Bytes>) -> ProduceRequest {
    let topic = |&(name, id): &(&str, Uuid)| {
        let data = PartitionProduceData::default().with_index(0).with_records(records.cloned());
        let topic = TopicProduceData::default().with_partition_data(vec![data]);
        if version >= 13 { topic.with_topic_id(id) } else { topic.with_name(topic_name(name)) }
    };
    ProduceRequest::default()
        .with_acks(acks)
        .with_timeout_ms(30_000)
        .with_topic_data(topics.iter().map(topic).collect())
}

fn produced(answer: &ProduceResponse) -> Vec<i16> {
    answer
        .responses
        .iter()
        .flat_map(|topic| &topic.partition_responses)
        .map(|answer| answer.error_code)
        .collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn produce_answers_in_every_version() {
    let node = TestNode::start(&[]).await;
    node.create_topic("orders", 1).await;
    let id = topic_id(&node, "orders").await;
    for version in versions(0) {
        let topics = [("orders", id), ("missing", Uuid::from_u128(9))];
        let answer: ProduceResponse =
            node.ask(0, version, &produce(version, &topics, -1, Some(&batch(&[1])))).await;
        let unknown = if version >= 13 { 100 } else { 3 };
        assert_eq!(produced(&answer), [0, unknown], "version {version}");
        for (acks, records, expected) in [
            (7, Some(batch(&[1])), ResponseError::InvalidRequiredAcks),
            (1, None, ResponseError::InvalidRecord),
            (1, Some(Bytes::from_static(b"no batch")), ResponseError::InvalidRecord),
        ] {
            let answer: ProduceResponse =
                node.ask(0, version, &produce(version, &topics[..1], acks, records.as_ref())).await;
            assert_eq!(produced(&answer), [expected.code()], "version {version}");
        }
        let silent = node.outcome(0, version, &produce(version, &topics[..1], 0, Some(&batch(&[1])))).await;
        assert!(matches!(silent, Outcome::Silence));
        let closed = node.outcome(0, version, &produce(version, &topics[1..], 0, Some(&batch(&[1])))).await;
        assert!(matches!(closed, Outcome::Close));
    }
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fetch_answers_in_every_version() {
    let node = TestNode::start(&[]).await;
    node.create_topic("orders", 1).await;
    let id = topic_id(&node, "orders").await;
    let _: ProduceResponse = node.ask(0, 9, &produce(9, &[("orders", id)], -1, Some(&batch(&[1, 2])))).await;
    for version in versions(1) {
        let topic = |name: &str, id: Uuid, offset: i64| {
            let partition =
                FetchPartition::default().with_fetch_offset(offset).with_partition_max_bytes(1000);
            let topic = FetchTopic::default().with_partitions(vec![partition]);
            if version >= 13 { topic.with_topic_id(id) } else { topic.with_topic(topic_name(name)) }
        };
        for isolation_level in [0, 1] {
            let request = FetchRequest::default()
                .with_max_wait_ms(0)
                .with_max_bytes(1_000_000)
                .with_isolation_level(isolation_level)
                .with_session_epoch(if version >= 7 { 0 } else { -1 })
                .with_topics(vec![topic("orders", id, 0), topic("missing", Uuid::from_u128(9), 0)]);
            let answer: FetchResponse = node.ask(1, version, &request).await;
            assert_eq!(answer.session_id != 0, version >= 7);
            let codes: Vec<_> = answer
                .responses
                .iter()
                .flat_map(|topic| &topic.partitions)
                .map(|partition| {
                    (partition.error_code, partition.records.as_ref().is_some_and(|r| !r.is_empty()))
                })
                .collect();
            let unknown = if version >= 13 { 100 } else { 3 };
            assert_eq!(codes, [(0, true), (unknown, false)], "version {version}");
        }
        let beyond = FetchRequest::default().with_max_bytes(1).with_topics(vec![topic("orders", id, 50)]);
        let answer: FetchResponse = node.ask(1, version, &beyond).await;
        assert_eq!(answer.responses[0].partitions[0].error_code, ResponseError::OffsetOutOfRange.code());
        let follower = if version >= 15 {
            FetchRequest::default().with_replica_state(
                kafka_protocol::messages::fetch_request::ReplicaState::default().with_replica_id(BrokerId(2)),
            )
        } else {
            FetchRequest::default().with_replica_id(BrokerId(2))
        };
        let refused: FetchResponse = node.ask(1, version, &follower).await;
        assert!(refused.responses.is_empty());
    }
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn list_offsets_answers_in_version_0_who_does_not_ask_what_is_served() {
    let node = TestNode::start(&[]).await;
    node.create_topic("orders", 1).await;
    let id = topic_id(&node, "orders").await;
    let _: ProduceResponse =
        node.ask(0, 9, &produce(9, &[("orders", id)], -1, Some(&batch(&[10, 30, 20])))).await;
    // The timestamp, the code, and the list of offsets.
    for (timestamp, code, offsets) in
        [(-1_i64, 0_i16, &[3_i64][..]), (-2, 0, &[0]), (15, 35, &[]), (-3, 35, &[])]
    {
        let mut body = b"\xff\xff\xff\xff\0\0\0\x01\0\x06orders\0\0\0\x01\0\0\0\0".to_vec();
        body.extend_from_slice(&timestamp.to_be_bytes());
        body.extend_from_slice(&1_i32.to_be_bytes());
        let Outcome::Send(frame) = node.outcome_of_bytes(2, 0, body.into()).await else {
            panic!("no answer")
        };
        let mut expected = b"\0\0\0\x01\0\x06orders\0\0\0\x01\0\0\0\0".to_vec();
        expected.extend_from_slice(&code.to_be_bytes());
        expected.extend_from_slice(&(offsets.len() as i32).to_be_bytes());
        expected.extend(offsets.iter().flat_map(|offset| offset.to_be_bytes()));
        assert_eq!(frame.pieces.concat().get(8..), Some(&expected[..]), "timestamp {timestamp}");
    }
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn list_offsets_answers_in_every_version() {
    let node = TestNode::start(&[]).await;
    node.create_topic("orders", 1).await;
    let id = topic_id(&node, "orders").await;
    let _: ProduceResponse =
        node.ask(0, 9, &produce(9, &[("orders", id)], -1, Some(&batch(&[10, 30, 20])))).await;
    for version in 1..=*versions(2).end() {
        // A special timestamp, the first version that has it, and its answer there.
        for (timestamp, since, expected) in [
            (-1, 1, (0, 3, -1)),
            (-2, 1, (0, 0, -1)),
            (-3, 7, (0, 1, 30)),
            (-4, 8, (0, 0, -1)),
            (-5, 9, (0, -1, -1)),
            (-6, 11, (0, -1, -1)),
            (-7, 99, (0, 0, 0)),
            (0, 1, (0, 0, 10)),
            (15, 1, (0, 1, 30)),
            (31, 1, (0, -1, -1)),
        ] {
            let partition = ListOffsetsPartition::default().with_timestamp(timestamp);
            let topic =
                ListOffsetsTopic::default().with_name(topic_name("orders")).with_partitions(vec![partition]);
            let request =
                ListOffsetsRequest::default().with_replica_id(BrokerId(-1)).with_topics(vec![topic]);
            let schema = version.min(10);
            let mut body = bytes::BytesMut::new();
            kafka_protocol::protocol::Encodable::encode(&request, &mut body, schema)
                .expect("a valid request");
            let outcome = node.outcome_of_bytes(2, version, body.freeze()).await;
            let answer: ListOffsetsResponse = response(outcome, schema);
            let answer = &answer.topics[0].partitions[0];
            let expected =
                if version >= since { expected } else { (ResponseError::UnsupportedVersion.code(), -1, -1) };
            let found = (answer.error_code, answer.offset, answer.timestamp);
            assert_eq!(found, expected, "timestamp {timestamp} in version {version}");
        }
        let twice = vec![ListOffsetsPartition::default(), ListOffsetsPartition::default()];
        let topics = vec![
            ListOffsetsTopic::default().with_name(topic_name("orders")).with_partitions(twice),
            ListOffsetsTopic::default()
                .with_name(topic_name("missing"))
                .with_partitions(vec![ListOffsetsPartition::default()]),
        ];
        let request = ListOffsetsRequest::default().with_replica_id(BrokerId(-1)).with_topics(topics);
        let answer: ListOffsetsResponse = node.ask(2, version.min(10), &request).await;
        let codes: Vec<_> = answer
            .topics
            .iter()
            .flat_map(|topic| &topic.partitions)
            .map(|answer| answer.error_code)
            .collect();
        assert_eq!(codes, [42, 42, 3]);
    }
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn metadata_answers_in_every_version() {
    let node = TestNode::start(&["num.partitions=2", "broker.rack=r1"]).await;
    node.create_topic("orders", 1).await;
    for version in versions(3) {
        let asked = |name: &str| MetadataRequestTopic::default().with_name(Some(topic_name(name)));
        let made = format!("made-{version}");
        let mut request = MetadataRequest::default().with_topics(Some(vec![
            asked("orders"),
            asked("orders"),
            asked(&made),
            asked("bad/name"),
            asked("__consumer_offsets"),
        ]));
        if version >= 8 {
            request = request
                .with_include_topic_authorized_operations(true)
                .with_include_cluster_authorized_operations(version <= 10);
        }
        let answer: MetadataResponse = node.ask(3, version, &request).await;
        let codes: Vec<_> =
            answer.topics.iter().map(|topic| (topic.error_code, topic.partitions.len())).collect();
        assert_eq!(codes, [(0, 1), (0, 2), (17, 0), (3, 0)], "each topic once, in version {version}");
        assert_eq!(answer.topics[0].topic_id.is_nil(), version < 10);
        assert_eq!(answer.brokers.len(), 1);
        if version >= 4 {
            let forbidden = MetadataRequest::default()
                .with_topics(Some(vec![asked("not-made")]))
                .with_allow_auto_topic_creation(false);
            let answer: MetadataResponse = node.ask(3, version, &forbidden).await;
            assert_eq!(answer.topics[0].error_code, 3);
        }
        if version >= 10 {
            let unknown = MetadataRequestTopic::default().with_topic_id(Uuid::from_u128(9));
            let unknown = if version >= 12 { unknown.with_name(None) } else { unknown };
            let request = MetadataRequest::default().with_topics(Some(vec![unknown]));
            let answer: MetadataResponse = node.ask(3, version, &request).await;
            assert_eq!(answer.topics[0].error_code, if version >= 12 { 100 } else { 42 });
        }
        if version >= 12 {
            // Kafka's own client names nothing there, with an empty name instead of none.
            for name in [None, Some(topic_name(""))] {
                let by = |id| MetadataRequestTopic::default().with_name(name.clone()).with_topic_id(id);
                let topics = vec![by(topic_id(&node, "orders").await), by(Uuid::from_u128(9))];
                let request = MetadataRequest::default().with_topics(Some(topics));
                let answer: MetadataResponse = node.ask(3, version, &request).await;
                let told = answer.topics.iter().map(|topic| (topic.error_code, topic.name.as_deref()));
                let told: Vec<_> = told.map(|(code, name)| (code, name.map(StrBytes::as_str))).collect();
                assert_eq!(told, [(0, Some("orders")), (100, None)], "version {version}");
            }
        }
        let all = if version == 0 { Some(Vec::new()) } else { None };
        let answer: MetadataResponse =
            node.ask(3, version, &MetadataRequest::default().with_topics(all)).await;
        assert!(answer.topics.len() > 1);
    }
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn api_versions_answers_in_every_version() {
    let node = TestNode::start(&["ottla.client.metrics.enable=true"]).await;
    for version in versions(18).filter(|version| *version <= 4) {
        let request = ApiVersionsRequest::default()
            .with_client_software_name(text(if version >= 3 { "test" } else { "" }))
            .with_client_software_version(text(if version >= 3 { "1" } else { "" }));
        let answer: ApiVersionsResponse = node.ask(18, version, &request).await;
        assert_eq!((answer.error_code, answer.api_keys.len()), (0, APIS.len()));
        assert_eq!(answer.finalized_features.is_empty(), version < 3);
    }
    let nameless: ApiVersionsResponse = node.ask(18, 3, &ApiVersionsRequest::default()).await;
    assert_eq!(nameless.error_code, ResponseError::InvalidRequest.code());
    // Version 5, of another cluster.
    let body = Bytes::from_static(b"\x03me\x021\x04abc\xff\xff\xff\xff\0");
    let other: ApiVersionsResponse = response(node.outcome_of_bytes(18, 5, body).await, 4);
    assert_eq!(other.error_code, ResponseError::RebootstrapRequired.code());
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn create_and_delete_topics_answer_in_every_version() {
    let node = TestNode::start(&[]).await;
    for version in versions(19) {
        let name = format!("topic-{version}");
        let topic = |name: &str| {
            CreatableTopic::default()
                .with_name(topic_name(name))
                .with_num_partitions(1)
                .with_replication_factor(1)
        };
        let config =
            CreatableTopicConfig::default().with_name(text("segment.bytes")).with_value(Some(text("x")));
        let request = CreateTopicsRequest::default().with_timeout_ms(30_000).with_topics(vec![
            topic(&name),
            topic("bad/name"),
            topic("other").with_configs(vec![config]),
            topic("third").with_num_partitions(0),
        ]);
        let answer: CreateTopicsResponse = node.ask(19, version, &request).await;
        let codes: Vec<_> = answer.topics.iter().map(|topic| topic.error_code).collect();
        assert_eq!(codes, [0, 17, 40, 37], "version {version}");
        let configs = |place: usize| answer.topics[place].configs.as_ref().map(Vec::is_empty);
        assert_eq!((configs(0), configs(1)), (Some(version < 5), Some(true)), "never null");
        let again: CreateTopicsResponse = node.ask(19, version, &request.with_validate_only(true)).await;
        assert_eq!(again.topics[0].error_code, ResponseError::TopicAlreadyExists.code());
    }
    for version in versions(20) {
        let name = format!("topic-{}", version.max(2));
        let names = [name.as_str(), "missing"];
        let request = DeleteTopicsRequest::default().with_timeout_ms(30_000);
        let request = if version >= 6 {
            let by_name = |name: &str| DeleteTopicState::default().with_name(Some(topic_name(name)));
            let by_id = DeleteTopicState::default().with_name(None).with_topic_id(Uuid::from_u128(9));
            request.with_topics(names.iter().map(|name| by_name(name)).chain([by_id]).collect())
        } else {
            request.with_topic_names(names.iter().map(|name| topic_name(name)).collect())
        };
        let answer: DeleteTopicsResponse = node.ask(20, version, &request).await;
        let codes: BTreeSet<_> = answer.responses.iter().map(|topic| topic.error_code).collect();
        let deleted = if version == 2 { 3 } else { 0 };
        let unknown = if version >= 6 { 100 } else { 3 };
        assert_eq!(codes, BTreeSet::from([deleted, 3, unknown]), "version {version}");
    }
    node.stop().await;

    let node = TestNode::start(&["delete.topic.enable=false"]).await;
    for version in versions(20).filter(|version| *version < 6) {
        let request = DeleteTopicsRequest::default().with_topic_names(vec![topic_name("orders")]);
        let answer: DeleteTopicsResponse = node.ask(20, version, &request).await;
        assert_eq!(answer.responses[0].error_code, if version >= 3 { 73 } else { 42 });
    }
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn init_producer_id_answers_in_every_version() {
    let node = TestNode::start(&[]).await;
    for version in versions(22) {
        let request =
            InitProducerIdRequest::default().with_transactional_id(None).with_transaction_timeout_ms(1000);
        let answer: InitProducerIdResponse = node.ask(22, version, &request).await;
        assert_eq!((answer.error_code, answer.producer_epoch), (0, 0));
        let request = request.with_transactional_id(Some(TransactionalId(text("t"))));
        let answer: InitProducerIdResponse = node.ask(22, version, &request).await;
        assert_eq!((answer.error_code, answer.producer_id.0), (15, -1));
    }
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn configs_are_described_and_altered_in_every_version() {
    let node = TestNode::start(&[]).await;
    node.create_topic("orders", 1).await;
    for version in versions(32) {
        let resource = |kind: i8, name: &str| {
            DescribeConfigsResource::default()
                .with_resource_type(kind)
                .with_resource_name(text(name))
                .with_configuration_keys(None)
        };
        let resources = [
            (2, "orders"),
            (2, "orders"),
            (2, "missing"),
            (2, "bad/name"),
            (4, "1"),
            (4, ""),
            (4, "9"),
            (8, "1"),
            (32, "g"),
            (32, ""),
        ];
        let request = DescribeConfigsRequest::default()
            .with_include_synonyms(true)
            .with_include_documentation(version >= 3)
            .with_resources(resources.iter().map(|&(kind, name)| resource(kind, name)).collect());
        let answer: DescribeConfigsResponse = node.ask(32, version, &request).await;
        let codes: Vec<_> = answer.results.iter().map(|result| result.error_code).collect();
        assert_eq!(codes, [0, 3, 17, 0, 0, 42, 0, 0, 42], "each resource once, in version {version}");
        assert!(answer.results[0].configs.len() > 20);
        let messages = answer.results[..3].iter().map(|result| result.error_message.as_ref());
        let messages: Vec<_> = messages.map(|message| message.map(StrBytes::as_str)).collect();
        let invalid = "Topic name is invalid: 'bad/name' contains one or more characters other than ASCII \
                       alphanumerics, '.', '_' and '-'";
        assert_eq!(messages, [None, None, Some(invalid)], "clients have sentences of their own for the rest");
        let plain = request.with_include_documentation(false);
        let plain: DescribeConfigsResponse = node.ask(32, version, &plain).await;
        if version >= 3 {
            assert!(answer.results[0].configs[0].documentation.as_ref().is_some_and(|text| !text.is_empty()));
            assert_eq!(plain.results[0].configs[0].documentation, None);
        }
    }
    for version in versions(44) {
        let resource = |kind: i8, name: &str, key: &str, value: &str| {
            let config = AlterableConfig::default().with_name(text(key)).with_value(Some(text(value)));
            AlterConfigsResource::default()
                .with_resource_type(kind)
                .with_resource_name(text(name))
                .with_configs(vec![config])
        };
        let request = IncrementalAlterConfigsRequest::default().with_resources(vec![
            resource(2, "orders", "retention.ms", "1000"),
            resource(4, "1", "producer.id.expiration.ms", "5000"),
            resource(4, "", "message.max.bytes", "2000000"),
            resource(2, "missing", "retention.ms", "1000"),
            resource(9, "?", "a", "b"),
            resource(32, "g", "consumer.session.timeout.ms", "50000"),
            resource(32, "h", "consumer.session.timeout.ms", "60001"),
            resource(32, "", "consumer.session.timeout.ms", "50000"),
        ]);
        let answer: IncrementalAlterConfigsResponse = node.ask(44, version, &request).await;
        let codes: Vec<_> = answer.responses.iter().map(|result| result.error_code).collect();
        assert_eq!(codes, [0, 0, 0, 3, 42, 0, 40, 42], "version {version}: {answer:?}");
        // In force once it is answered.
        assert_eq!(node.broker.settings.load().broker.producer_id_expiration_ms, 5000);
        let partition = node.broker.partitions.all().pop().expect("one partition");
        assert_eq!(partition.log.config().retention_ms, 1000);
        assert_eq!(partition.log.config().max_message_bytes, 2_000_000);
    }
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn describe_cluster_answers_in_every_version() {
    let node = TestNode::start(&["broker.rack=r1"]).await;
    for version in versions(60) {
        let mut request = DescribeClusterRequest::default().with_include_cluster_authorized_operations(true);
        if version >= 2 {
            request = request.with_include_fenced_brokers(true);
        }
        let answer: DescribeClusterResponse = node.ask(60, version, &request).await;
        assert_eq!((answer.error_code, answer.brokers.len()), (0, 1));
        for (endpoint_type, expected) in [(2, 114), (3, 115)] {
            if version >= 1 {
                let request = request.clone().with_endpoint_type(endpoint_type);
                let answer: DescribeClusterResponse = node.ask(60, version, &request).await;
                assert_eq!(answer.error_code, expected);
            }
        }
    }
    node.stop().await;
}
