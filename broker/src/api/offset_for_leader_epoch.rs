//! OffsetForLeaderEpoch (key 23, versions 2–4): where an epoch ended in the leader's log, by which a client finds out that
//! records it has read are no more (KIP-320).
//!
//! The epoch that a client asks for may be unknown: the answer names the largest one at or below it, and its end; or
//! -1 for both, where it is newer than any here. Version notes: 3 names who asks (a request of a replica is refused, since
//! a client can never act as one), 4 has tagged fields.
//! Source: `KafkaApis.handleOffsetForLeaderEpochRequest`, `Partition.lastOffsetForLeaderEpoch`.

use super::RequestContext;
use super::fetch::{FetchError, check_leadership};
use crate::error_code;
use kafka_protocol::ResponseError;
use kafka_protocol::messages::offset_for_leader_epoch_request::{
    OffsetForLeaderPartition, OffsetForLeaderTopic,
};
use kafka_protocol::messages::offset_for_leader_epoch_response::{
    EpochEndOffset, OffsetForLeaderTopicResult,
};
use kafka_protocol::messages::{OffsetForLeaderEpochRequest, OffsetForLeaderEpochResponse};
use storage::ids::{LeaderEpoch, PartitionIndex};
use storage::leader_epochs::EpochEnd;

/// The first version that names who asks.
const REPLICA_ID_SINCE: i16 = 3;

pub(crate) async fn handle(
    context: RequestContext,
    request: OffsetForLeaderEpochRequest,
) -> OffsetForLeaderEpochResponse {
    let is_replica = context.version >= REPLICA_ID_SINCE && request.replica_id.0 >= 0;
    let answer = |topic: OffsetForLeaderTopic| {
        let partitions = topic.partitions.iter().map(|wanted| {
            let answer = EpochEndOffset::default()
                .with_partition(wanted.partition)
                .with_leader_epoch(-1)
                .with_end_offset(-1);
            if is_replica {
                return answer.with_error_code(ResponseError::ClusterAuthorizationFailed.code());
            }
            match look_up(&context, &topic, wanted) {
                Ok(Some(end)) => answer.with_leader_epoch(end.epoch.0).with_end_offset(end.end_offset.0),
                Ok(None) => answer,
                Err(error) => answer.with_error_code(error_code::of_fetch(&error).code()),
            }
        });
        let partitions = partitions.collect();
        OffsetForLeaderTopicResult::default().with_topic(topic.topic).with_partitions(partitions)
    };
    OffsetForLeaderEpochResponse::default().with_topics(request.topics.into_iter().map(answer).collect())
}

fn look_up(
    context: &RequestContext,
    topic: &OffsetForLeaderTopic,
    wanted: &OffsetForLeaderPartition,
) -> Result<Option<EpochEnd>, FetchError> {
    let broker = &context.broker;
    let topic_id = broker.topic_id_of(&topic.topic).ok_or(FetchError::UnknownTopic)?;
    let index = PartitionIndex(wanted.partition);
    let partition = broker.partitions.find(topic_id, index).ok_or_else(|| {
        match broker.has_partition(topic_id, index) {
            true => FetchError::NotLeader,
            false => FetchError::UnknownTopic,
        }
    })?;
    check_leadership(broker, &partition, LeaderEpoch(wanted.current_leader_epoch))?;
    Ok(partition.log.end_offset_for_epoch(LeaderEpoch(wanted.leader_epoch)))
}

#[cfg(test)]
mod tests {
    use crate::node::testing::{TestNode, batch, topic_name};
    use kafka_protocol::messages::offset_for_leader_epoch_request::{
        OffsetForLeaderPartition, OffsetForLeaderTopic,
    };
    use kafka_protocol::messages::produce_request::{PartitionProduceData, TopicProduceData};
    use kafka_protocol::messages::{
        OffsetForLeaderEpochRequest, OffsetForLeaderEpochResponse, ProduceRequest, ProduceResponse,
    };

    fn asks(
        topic: &str,
        partition: i32,
        current_leader_epoch: i32,
        leader_epoch: i32,
    ) -> OffsetForLeaderEpochRequest {
        let partition = OffsetForLeaderPartition::default()
            .with_partition(partition)
            .with_current_leader_epoch(current_leader_epoch)
            .with_leader_epoch(leader_epoch);
        let topic =
            OffsetForLeaderTopic::default().with_topic(topic_name(topic)).with_partitions(vec![partition]);
        OffsetForLeaderEpochRequest::default().with_replica_id((-1).into()).with_topics(vec![topic])
    }

    async fn answer(node: &TestNode, version: i16, request: &OffsetForLeaderEpochRequest) -> (i16, i32, i64) {
        let answer: OffsetForLeaderEpochResponse = node.ask(23, version, request).await;
        let found = &answer.topics[0].partitions[0];
        (found.error_code, found.leader_epoch, found.end_offset)
    }

    async fn write_two(node: &TestNode) {
        let data = PartitionProduceData::default().with_index(0).with_records(Some(batch(&[1, 2])));
        let topic =
            TopicProduceData::default().with_name(topic_name("orders")).with_partition_data(vec![data]);
        let request =
            ProduceRequest::default().with_acks(-1).with_timeout_ms(30_000).with_topic_data(vec![topic]);
        let written: ProduceResponse = node.ask(0, 9, &request).await;
        assert_eq!(written.responses[0].partition_responses[0].error_code, 0);
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn an_epoch_ended_where_the_next_one_began() {
        let node = TestNode::start(&[]).await;
        node.create_topic("orders", 1).await;
        write_two(&node).await;
        // A restart begins an epoch.
        let node = node.restart().await;
        write_two(&node).await;
        for version in 2..=4 {
            assert_eq!(answer(&node, version, &asks("orders", 0, -1, 0)).await, (0, 0, 2));
            assert_eq!(answer(&node, version, &asks("orders", 0, 1, 1)).await, (0, 1, 4), "its log end");
            assert_eq!(answer(&node, version, &asks("orders", 0, -1, 2)).await, (0, -1, -1), "not here");
        }
        node.stop().await;
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn who_asks_the_wrong_leader_or_for_what_is_not_there_is_told() {
        let node = TestNode::start(&[]).await;
        node.create_topic("orders", 1).await;
        assert_eq!(answer(&node, 4, &asks("missing", 0, -1, 0)).await, (3, -1, -1));
        assert_eq!(answer(&node, 4, &asks("orders", 1, -1, 0)).await, (3, -1, -1));
        assert_eq!(answer(&node, 4, &asks("orders", 0, 1, 0)).await, (75, -1, -1), "unknown leader epoch");
        let node = node.restart().await;
        assert_eq!(answer(&node, 4, &asks("orders", 0, 0, 0)).await, (74, -1, -1), "fenced leader epoch");
        let replica = asks("orders", 0, -1, 0).with_replica_id(2.into());
        assert_eq!(answer(&node, 3, &replica).await, (31, -1, -1));
        node.stop().await;
    }
}
