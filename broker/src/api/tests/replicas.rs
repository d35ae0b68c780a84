//! What tools ask about partitions and where they are, on a node beside which another one is registered.

use super::versions;
use crate::api::Outcome;
use crate::node::testing::{TestNode, batch, topic_name};
use kafka_protocol::messages::alter_partition_reassignments_request::{
    ReassignablePartition, ReassignableTopic,
};
use kafka_protocol::messages::create_partitions_request::{
    CreatePartitionsAssignment, CreatePartitionsTopic,
};
use kafka_protocol::messages::describe_log_dirs_request::DescribableLogDirTopic;
use kafka_protocol::messages::elect_leaders_request::TopicPartitions;
use kafka_protocol::messages::list_partition_reassignments_request::ListPartitionReassignmentsTopics;
use kafka_protocol::messages::produce_request::{PartitionProduceData, TopicProduceData};
use kafka_protocol::messages::{
    AlterPartitionReassignmentsRequest, AlterPartitionReassignmentsResponse, BrokerId,
    CreatePartitionsRequest, CreatePartitionsResponse, DescribeLogDirsRequest, DescribeLogDirsResponse,
    ElectLeadersRequest, ElectLeadersResponse, ListPartitionReassignmentsRequest,
    ListPartitionReassignmentsResponse, ProduceRequest, ProduceResponse, UnregisterBrokerRequest,
    UnregisterBrokerResponse,
};
use kafka_protocol::protocol::{Decodable, Encodable};
use replication::controller::brokers::RegisterBroker;
use replication::controller::{ControllerReply, ControllerRequest};
use std::time::Duration;

/// Node 2 has registered and never became ready.
async fn register_another(node: &TestNode) {
    let request = RegisterBroker {
        broker_id: storage::ids::BrokerId(2),
        incarnation: uuid::Uuid::from_u128(2),
        endpoints: Vec::new(),
        rack: None,
        directory_id: uuid::Uuid::from_u128(2),
        starts_fenced: true,
        was_clean: true,
    };
    let reply =
        node.broker.propose(ControllerRequest::RegisterBroker(request), Duration::from_secs(30)).await;
    assert!(matches!(reply, Ok(ControllerReply::RegisterBroker(Ok(_)))), "{reply:?}");
}

fn brokers(ids: &[i32]) -> Vec<BrokerId> {
    ids.iter().copied().map(BrokerId).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn create_partitions_answers_in_every_version() {
    let node = TestNode::start(&[]).await;
    node.create_topic("orders", 1).await;
    for version in versions(37) {
        let count = i32::from(version) + 2;
        let topic = |name: &str, count: i32| {
            CreatePartitionsTopic::default()
                .with_name(topic_name(name))
                .with_count(count)
                .with_assignments(None)
        };
        let chosen = |ids: &[i32]| CreatePartitionsAssignment::default().with_broker_ids(brokers(ids));
        let request = |topics: Vec<CreatePartitionsTopic>, validate_only: bool| {
            CreatePartitionsRequest::default()
                .with_topics(topics)
                .with_timeout_ms(30_000)
                .with_validate_only(validate_only)
        };
        for (topics, validate_only, expected) in [
            (vec![topic("orders", count)], true, &[0][..]),
            (vec![topic("orders", count).with_assignments(Some(vec![chosen(&[9])]))], false, &[39]),
            (
                vec![topic("orders", count), topic("missing", 2), topic("__consumer_offsets", 60)],
                false,
                &[37, 0, 3],
            ),
            (vec![topic("orders", count)], false, &[37]),
            (vec![topic("orders", 1)], false, &[37]),
            (vec![topic("orders", 9), topic("orders", 9)], false, &[42]),
            (vec![topic("orders", 20_000)], false, &[44]),
        ] {
            let answer: CreatePartitionsResponse =
                node.ask(37, version, &request(topics, validate_only)).await;
            let codes: Vec<_> = answer.results.iter().map(|result| result.error_code).collect();
            assert_eq!(codes, expected, "version {version}: {answer:?}");
        }
        // Used at once.
        let image = node.broker.image();
        let orders = image.topic_by_name("orders").expect("it is there");
        assert_eq!(orders.partitions.len(), usize::try_from(count).expect("a small number"));
        let newest = storage::ids::PartitionIndex(count - 1);
        assert!(node.broker.partitions.find(orders.id, newest).is_some());
    }
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn elect_leaders_answers_in_every_version() {
    let node = TestNode::start(&[]).await;
    node.create_topic("orders", 1).await;
    for version in versions(43) {
        let named = TopicPartitions::default().with_topic(topic_name("orders")).with_partitions(vec![0, 7]);
        let request = ElectLeadersRequest::default().with_timeout_ms(30_000);
        let some = request.clone().with_topic_partitions(Some(vec![named]));
        let answer: ElectLeadersResponse = node.ask(43, version, &some).await;
        let codes: Vec<_> = answer.replica_election_results[0]
            .partition_result
            .iter()
            .map(|result| result.error_code)
            .collect();
        assert_eq!((answer.error_code, codes), (0, vec![84, 3]), "version {version}");
        let all: ElectLeadersResponse = node.ask(43, version, &request.with_topic_partitions(None)).await;
        assert!(all.replica_election_results.is_empty(), "no partition needs it: {all:?}");
        if version >= 1 {
            for (kind, expected, of_each) in [(1, 0, [84, 3]), (7, 42, [42, 42])] {
                let answer: ElectLeadersResponse =
                    node.ask(43, version, &some.clone().with_election_type(kind)).await;
                let results = answer.replica_election_results[0].partition_result.iter();
                let codes: Vec<_> = results.map(|result| result.error_code).collect();
                assert_eq!((answer.error_code, codes), (expected, of_each.to_vec()), "{answer:?}");
            }
        }
    }
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn reassignments_answer_in_every_version_and_are_listed_until_they_end() {
    let node = TestNode::start(&[]).await;
    node.create_topic("orders", 2).await;
    register_another(&node).await;
    let list = async |topics: Option<Vec<(&str, Vec<i32>)>>| {
        let topics = topics.map(|topics| {
            topics
                .into_iter()
                .map(|(name, indexes)| {
                    ListPartitionReassignmentsTopics::default()
                        .with_name(topic_name(name))
                        .with_partition_indexes(indexes)
                })
                .collect()
        });
        let request = ListPartitionReassignmentsRequest::default().with_topics(topics);
        let answer: ListPartitionReassignmentsResponse = node.ask(46, 0, &request).await;
        assert_eq!((answer.error_code, &answer.error_message), (0, &None));
        let moving = answer.topics.into_iter().flat_map(|topic| topic.partitions);
        moving
            .map(|p| (p.partition_index, p.replicas, p.adding_replicas, p.removing_replicas))
            .collect::<Vec<_>>()
    };
    for version in versions(45) {
        let partition = |index: i32, replicas: Option<&[i32]>| {
            ReassignablePartition::default().with_partition_index(index).with_replicas(replicas.map(brokers))
        };
        let request = |partitions: Vec<ReassignablePartition>| {
            let topic =
                ReassignableTopic::default().with_name(topic_name("orders")).with_partitions(partitions);
            AlterPartitionReassignmentsRequest::default().with_timeout_ms(30_000).with_topics(vec![topic])
        };
        let alter = async |request: &AlterPartitionReassignmentsRequest| {
            let answer: AlterPartitionReassignmentsResponse = node.ask(45, version, request).await;
            assert_eq!(answer.error_code, 0);
            answer.responses[0].partitions.iter().map(|result| result.error_code).collect::<Vec<_>>()
        };
        let mistakes = vec![
            partition(0, Some(&[9])),
            partition(0, Some(&[1])),
            partition(1, None),
            partition(9, Some(&[1])),
            partition(1, Some(&[])),
        ];
        assert_eq!(alter(&request(mistakes)).await, [39, 42, 85, 3, 42], "version {version}");
        if version >= 1 {
            let grows =
                request(vec![partition(0, Some(&[2, 1]))]).with_allow_replication_factor_change(false);
            assert_eq!(alter(&grows).await, [38]);
        }
        assert_eq!(list(None).await, []);
        assert_eq!(
            alter(&request(vec![partition(0, Some(&[2, 1])), partition(1, Some(&[2]))])).await,
            [0, 0]
        );
        let first = (0, brokers(&[2, 1]), brokers(&[2]), brokers(&[]));
        let second = (1, brokers(&[2, 1]), brokers(&[2]), brokers(&[1]));
        assert_eq!(list(None).await, [first, second.clone()]);
        assert_eq!(list(Some(vec![("orders", vec![1, 9]), ("missing", vec![0])])).await, [second]);
        assert_eq!(alter(&request(vec![partition(0, None), partition(1, None)])).await, [0, 0]);
        assert_eq!(list(None).await, []);
    }
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn unregister_broker_forgets_one_that_is_gone_and_no_other() {
    let node = TestNode::start(&[]).await;
    register_another(&node).await;
    for (id, expected) in [(9, 102), (1, 42), (2, 0), (2, 102)] {
        let request = UnregisterBrokerRequest::default().with_broker_id(BrokerId(id));
        let answer: UnregisterBrokerResponse = node.ask(64, 0, &request).await;
        assert_eq!(answer.error_code, expected, "{answer:?}");
        assert_eq!(answer.error_message.is_none(), expected == 0);
    }
    assert!(node.broker.image().broker(storage::ids::BrokerId(2)).is_none());
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn describe_log_dirs_answers_in_every_version() {
    let node = TestNode::start(&[]).await;
    node.create_topic("orders", 2).await;
    node.create_topic("empty", 1).await;
    let data = PartitionProduceData::default().with_index(1).with_records(Some(batch(&[1, 2])));
    let topic = TopicProduceData::default().with_name(topic_name("orders")).with_partition_data(vec![data]);
    let produce =
        ProduceRequest::default().with_acks(-1).with_timeout_ms(30_000).with_topic_data(vec![topic]);
    let _: ProduceResponse = node.ask(0, 9, &produce).await;
    for version in versions(35) {
        let describe = async |topics| {
            let request = DescribeLogDirsRequest::default().with_topics(topics);
            // The request of version 5 is that of 4.
            let mut body = bytes::BytesMut::new();
            Encodable::encode(&request, &mut body, version.min(4)).expect("a valid request");
            let Outcome::Send(frame) = node.outcome_of_bytes(35, version, body.freeze()).await else {
                panic!("no answer")
            };
            let mut bytes = frame.pieces.concat();
            if version == 5 {
                // The directory is not cordoned; then the numbers of tagged fields of it and of the response.
                assert_eq!(bytes.split_off(bytes.len() - 3), [0, 0, 0]);
                bytes.extend([0, 0]);
            }
            let mut body = bytes::Bytes::from(bytes).slice(if version >= 2 { 9 } else { 8 }..);
            let answer =
                DescribeLogDirsResponse::decode(&mut body, version.min(4)).expect("the response can be read");
            assert!(body.is_empty());
            assert_eq!((answer.error_code, answer.results.len(), answer.results[0].error_code), (0, 1, 0));
            assert!(answer.results[0].log_dir.starts_with('/'));
            assert_eq!(answer.results[0].usable_bytes > 0, version >= 4, "version {version}");
            assert_eq!(answer.results[0].total_bytes > answer.results[0].usable_bytes, version >= 4);
            let topics = answer.results[0].topics.iter();
            let partitions = topics.flat_map(|topic| {
                topic.partitions.iter().map(|partition| {
                    (topic.name.to_string(), partition.partition_index, partition.partition_size > 0)
                })
            });
            let mut partitions: Vec<_> = partitions.collect();
            partitions.sort();
            partitions
        };
        let [empty, first, second] = [("empty", 0, false), ("orders", 0, false), ("orders", 1, true)]
            .map(|(name, index, has_data)| (name.to_owned(), index, has_data));
        assert_eq!(describe(None).await, [empty, first, second.clone()]);
        let named = |name, partitions| {
            DescribableLogDirTopic::default().with_topic(topic_name(name)).with_partitions(partitions)
        };
        let some = vec![named("orders", vec![1, 7]), named("missing", vec![0])];
        assert_eq!(describe(Some(some)).await, [second]);
    }
    node.stop().await;
}
