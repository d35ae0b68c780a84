//! DescribeQuorum (key 55, versions 0–2): who leads the metadata quorum, who votes, and how far each member is (KIP-595).
//!
//! Version notes: 1 adds when a member last answered and had everything (KIP-836), 2 adds directory ids, the addresses at
//! which the members are reached, and messages (KIP-853). Any node answers, as its leader sees it; where nobody leads for
//! as long as a client waits, the answer is NOT_LEADER_OR_FOLLOWER. Until a version that has it, a client sees no directory.
//! Source: `KafkaRaftClient.handleDescribeQuorumRequest`, `LeaderState`, `RaftUtil.singletonDescribeQuorumResponse`.

use super::RequestContext;
use crate::clock;
use crate::limits;
use crate::quorum::{MemberStatus, QuorumStatus};
use kafka_protocol::ResponseError;
use kafka_protocol::messages::describe_quorum_request::PartitionData as RequestedPartition;
use kafka_protocol::messages::describe_quorum_response::{
    Listener, Node, PartitionData, ReplicaState, TopicData,
};
use kafka_protocol::messages::{BrokerId, DescribeQuorumRequest, DescribeQuorumResponse};
use kafka_protocol::protocol::StrBytes;
use replication::metadata::image::MetadataImage;
use replication::metadata::record::PEER_ENDPOINT;
use std::time::Duration;
use storage::ids::TimestampMs;

/// What Kafka's tools call the metadata log. Source: `Topic.CLUSTER_METADATA_TOPIC_NAME`.
const METADATA_TOPIC: &str = "__cluster_metadata";

/// The first version with directories and addresses.
const ADDRESSES_SINCE: i16 = 2;

/// An offset or a time that is not known.
const UNKNOWN: i64 = -1;

pub(crate) async fn handle(
    context: RequestContext,
    request: DescribeQuorumRequest,
) -> DescribeQuorumResponse {
    if !names_metadata_alone(&request) {
        return refused(&request);
    }
    let quorum = &context.broker.quorum;
    let status = quorum.wait_for_status(limits::METADATA_CHANGE_TIMEOUT).await;
    let response = DescribeQuorumResponse::default().with_error_message(None);
    let Some(status) = status else {
        let partition = PartitionData::default()
            .with_error_code(ResponseError::NotLeaderOrFollower.code())
            .with_error_message(None)
            .with_leader_id(BrokerId(-1));
        return response.with_topics(vec![of_metadata(partition)]);
    };
    let response = response.with_topics(vec![of_metadata(described(&status, context.version, clock::now()))]);
    match context.version {
        ..ADDRESSES_SINCE => response,
        _ => response.with_nodes(addresses(&status, &context.broker.image())),
    }
}

fn names_metadata_alone(request: &DescribeQuorumRequest) -> bool {
    match request.topics.as_slice() {
        [topic] => {
            topic.topic_name.as_str() == METADATA_TOPIC
                && matches!(topic.partitions.as_slice(), [RequestedPartition { partition_index: 0, .. }])
        }
        _ => false,
    }
}

fn of_metadata(partition: PartitionData) -> TopicData {
    TopicData::default()
        .with_topic_name(StrBytes::from_static_str(METADATA_TOPIC).into())
        .with_partitions(vec![partition])
}

/// Whatever is asked for but the metadata log is not there.
fn refused(request: &DescribeQuorumRequest) -> DescribeQuorumResponse {
    let topics = request.topics.iter().map(|topic| {
        let partitions = topic.partitions.iter().map(|partition| {
            PartitionData::default()
                .with_partition_index(partition.partition_index)
                .with_error_code(ResponseError::UnknownTopicOrPartition.code())
                .with_error_message(None)
        });
        TopicData::default().with_topic_name(topic.topic_name.clone()).with_partitions(partitions.collect())
    });
    DescribeQuorumResponse::default().with_error_message(None).with_topics(topics.collect())
}

fn described(status: &QuorumStatus, version: i16, now: TimestampMs) -> PartitionData {
    let states = |members: &[MemberStatus]| -> Vec<ReplicaState> {
        members.iter().map(|member| state(member, status.leader, version, now)).collect()
    };
    PartitionData::default()
        .with_error_message(None)
        .with_leader_id(BrokerId(status.leader.0))
        .with_leader_epoch(i32::try_from(status.term).unwrap_or(i32::MAX))
        .with_high_watermark(status.high_watermark)
        .with_current_voters(states(&status.voters))
        .with_observers(states(&status.observers))
}

fn state(
    member: &MemberStatus,
    leader: storage::ids::BrokerId,
    version: i16,
    now: TimestampMs,
) -> ReplicaState {
    let at = |ago: Option<Duration>| {
        ago.and_then(|ago| i64::try_from(ago.as_millis()).ok()).map_or(UNKNOWN, |ago| now.0 - ago)
    };
    // The leader asks nobody, and is where it is now.
    let is_leader = member.broker_id == leader;
    let state = ReplicaState::default()
        .with_replica_id(BrokerId(member.broker_id.0))
        .with_log_end_offset(member.log_end_offset.unwrap_or(UNKNOWN))
        .with_last_fetch_timestamp(if is_leader { now.0 } else { at(member.answered_ago) })
        .with_last_caught_up_timestamp(at(member.caught_up_ago));
    match version {
        ..ADDRESSES_SINCE => state,
        _ => state.with_replica_directory_id(member.directory_id),
    }
}

/// Where the voters are reached by the others.
fn addresses(status: &QuorumStatus, image: &MetadataImage) -> Vec<Node> {
    let nodes = status.voters.iter().map(|voter| {
        let registration = image.broker(voter.broker_id);
        let endpoints = registration.iter().flat_map(|known| &known.endpoints);
        let peers = endpoints.filter(|endpoint| endpoint.name == PEER_ENDPOINT);
        let listeners = peers.map(|endpoint| {
            Listener::default()
                .with_name(StrBytes::from_string(endpoint.name.clone()))
                .with_host(StrBytes::from_string(endpoint.host.clone()))
                .with_port(endpoint.port)
        });
        Node::default().with_node_id(BrokerId(voter.broker_id.0)).with_listeners(listeners.collect())
    });
    nodes.collect()
}

#[cfg(test)]
mod tests {
    use super::{METADATA_TOPIC, described};
    use crate::node::testing::TestNode;
    use crate::quorum::{MemberStatus, QuorumStatus};
    use kafka_protocol::messages::describe_quorum_request::{PartitionData, TopicData};
    use kafka_protocol::messages::{DescribeQuorumRequest, DescribeQuorumResponse};
    use kafka_protocol::protocol::StrBytes;
    use std::time::Duration;
    use storage::ids::{BrokerId, TimestampMs};

    fn request(topic: &'static str) -> DescribeQuorumRequest {
        let topic = TopicData::default()
            .with_topic_name(StrBytes::from_static_str(topic).into())
            .with_partitions(vec![PartitionData::default()]);
        DescribeQuorumRequest::default().with_topics(vec![topic])
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn a_node_alone_leads_itself() {
        let node = TestNode::start(&[]).await;
        for version in 0..=2 {
            let answer: DescribeQuorumResponse = node.ask(55, version, &request(METADATA_TOPIC)).await;
            let partition = &answer.topics[0].partitions[0];
            assert_eq!((answer.error_code, partition.error_code, partition.leader_id.0), (0, 0, 1));
            assert!(partition.leader_epoch > 0 && partition.high_watermark > 0);
            let [voter] = partition.current_voters.as_slice() else { panic!("{partition:?}") };
            assert!(voter.log_end_offset >= partition.high_watermark, "{voter:?}");
            assert_eq!(!voter.replica_directory_id.is_nil(), version >= 2);
            assert!(partition.observers.is_empty());
        }
        node.stop().await;
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn there_is_no_other_quorum_than_that_of_the_metadata() {
        let node = TestNode::start(&[]).await;
        let answer: DescribeQuorumResponse = node.ask(55, 2, &request("other")).await;
        assert_eq!(answer.topics[0].partitions[0].error_code, 3);
        node.stop().await;
    }

    #[test]
    fn times_are_those_of_the_leader_and_what_is_not_known_is_minus_one() {
        let member = |id, log_end_offset, ago: Option<u64>| MemberStatus {
            broker_id: BrokerId(id),
            directory_id: uuid::Uuid::nil(),
            log_end_offset,
            answered_ago: ago.map(Duration::from_millis),
            caught_up_ago: ago.map(|ago| Duration::from_millis(10 * ago)),
        };
        let status = QuorumStatus {
            leader: BrokerId(1),
            term: 7,
            high_watermark: 90,
            is_changing: false,
            voters: vec![member(1, Some(92), Some(0)), member(2, Some(90), Some(5)), member(3, None, None)],
            observers: vec![member(4, Some(80), Some(6))],
        };
        let partition = described(&status, 1, TimestampMs(1000));
        let told = |state: &kafka_protocol::messages::describe_quorum_response::ReplicaState| {
            let times = (state.last_fetch_timestamp, state.last_caught_up_timestamp);
            (state.replica_id.0, state.log_end_offset, times)
        };
        let voters: Vec<_> = partition.current_voters.iter().map(told).collect();
        assert_eq!(voters, [(1, 92, (1000, 1000)), (2, 90, (995, 950)), (3, -1, (-1, -1))]);
        assert_eq!(partition.observers.iter().map(told).collect::<Vec<_>>(), [(4, 80, (994, 940))]);
    }
}
