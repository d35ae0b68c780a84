//! DescribeProducers (key 61, version 0): the idempotent and transactional producers that a replica remembers (KIP-664).
//!
//! Any replica answers, also one that follows: who looks for a hanging transaction compares them. Each partition is answered
//! once. Source: `KafkaApis.handleDescribeProducersRequest`, `ReplicaManager.activeProducerState`.

use super::RequestContext;
use crate::topics;
use kafka_protocol::ResponseError;
use kafka_protocol::messages::describe_producers_response::{
    PartitionResponse, ProducerState, TopicResponse,
};
use kafka_protocol::messages::{DescribeProducersRequest, DescribeProducersResponse};
use kafka_protocol::protocol::StrBytes;
use std::collections::BTreeSet;
use storage::ids::PartitionIndex;
use storage::log::ProducerSnapshot;

/// The most producers in one answer, about 40 bytes each. Larger: one short request over partitions with very many
/// producers takes more memory than any limit counts. Smaller than what one partition remembers (100,000): it could not be
/// described.
const PRODUCERS_MAX: usize = 200_000;

/// Why a partition's producers are not told.
#[derive(Clone, Copy, Debug)]
enum NotDescribed {
    InvalidName,
    UnknownPartition,
    NotHere,
    TooMany,
}

impl NotDescribed {
    fn code(self) -> ResponseError {
        match self {
            Self::InvalidName => ResponseError::InvalidTopicException,
            Self::UnknownPartition => ResponseError::UnknownTopicOrPartition,
            Self::NotHere => ResponseError::NotLeaderOrFollower,
            Self::TooMany => ResponseError::InvalidRequest,
        }
    }

    fn message(self) -> Option<StrBytes> {
        let text = "The partitions have too many producers for one answer; ask for fewer of them at once.";
        matches!(self, Self::TooMany).then(|| StrBytes::from_static_str(text))
    }
}

pub(crate) async fn handle(
    context: RequestContext,
    request: DescribeProducersRequest,
) -> DescribeProducersResponse {
    let mut room = PRODUCERS_MAX;
    let topics = request.topics.into_iter().map(|topic| {
        let indexes: BTreeSet<i32> = topic.partition_indexes.iter().copied().collect();
        let partitions = indexes.into_iter().map(|index| {
            let answer = PartitionResponse::default().with_partition_index(index).with_error_message(None);
            match producers(&context, &topic.name, PartitionIndex(index), &mut room) {
                Ok(producers) => answer.with_active_producers(producers.iter().map(described).collect()),
                Err(reason) => {
                    answer.with_error_code(reason.code().code()).with_error_message(reason.message())
                }
            }
        });
        let partitions = partitions.collect();
        TopicResponse::default().with_name(topic.name.clone()).with_partitions(partitions)
    });
    DescribeProducersResponse::default().with_topics(topics.collect())
}

fn producers(
    context: &RequestContext,
    topic: &str,
    index: PartitionIndex,
    room: &mut usize,
) -> Result<Vec<ProducerSnapshot>, NotDescribed> {
    if !topics::is_valid_name(topic) {
        return Err(NotDescribed::InvalidName);
    }
    let broker = &context.broker;
    let topic_id = broker.topic_id_of(topic).ok_or(NotDescribed::UnknownPartition)?;
    if !broker.has_partition(topic_id, index) {
        return Err(NotDescribed::UnknownPartition);
    }
    let partition = broker.partitions.find(topic_id, index).ok_or(NotDescribed::NotHere)?;
    let producers = partition.log.producers();
    *room = room.checked_sub(producers.len()).ok_or(NotDescribed::TooMany)?;
    Ok(producers)
}

fn described(producer: &ProducerSnapshot) -> ProducerState {
    let state = &producer.state;
    ProducerState::default()
        .with_producer_id(producer.producer_id.0.into())
        .with_producer_epoch(i32::from(state.producer_epoch.0))
        .with_last_sequence(state.last_sequence().0)
        .with_last_timestamp(state.last_timestamp.0)
        .with_coordinator_epoch(state.coordinator_epoch)
        .with_current_txn_start_offset(state.current_transaction_first_offset.map_or(-1, |offset| offset.0))
}

#[cfg(test)]
mod tests {
    use crate::node::testing::replica_set::{TOPIC, TestSet};
    use crate::node::testing::{TestNode, batch, topic_name};
    use bytes::Bytes;
    use kafka_protocol::messages::describe_producers_request::TopicRequest;
    use kafka_protocol::messages::{DescribeProducersRequest, DescribeProducersResponse};
    use storage::batch_builder::{BatchBuilder, BatchSpec};
    use storage::ids::{ProducerEpoch, ProducerId, Sequence, TimestampMs};

    fn of_producer() -> Bytes {
        let spec = BatchSpec {
            producer_id: ProducerId(70),
            producer_epoch: ProducerEpoch(3),
            base_sequence: Sequence(0),
            ..BatchSpec::default()
        };
        let mut builder = BatchBuilder::new(spec);
        for timestamp in [1000, 2000] {
            builder.push(TimestampMs(timestamp), None, Some(b"value"), &[]);
        }
        builder.build().expect("a small batch").into()
    }

    async fn describe(node: &TestNode, topic: &'static str, indexes: &[i32]) -> DescribeProducersResponse {
        let topic =
            TopicRequest::default().with_name(topic_name(topic)).with_partition_indexes(indexes.to_vec());
        node.ask(61, 0, &DescribeProducersRequest::default().with_topics(vec![topic])).await
    }

    fn codes(answer: &DescribeProducersResponse) -> Vec<i16> {
        answer.topics[0].partitions.iter().map(|partition| partition.error_code).collect()
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn every_replica_tells_which_producers_it_remembers() {
        let set = TestSet::start(2, &[]).await;
        let _connection = set.connect(2, 1);
        assert_eq!(set.produce_batch(1, -1, of_producer(), 30_000).await.expect("no panic"), 0);
        assert_eq!(set.produce_batch(1, -1, batch(&[5]), 30_000).await.expect("no panic"), 0);
        for id in [1, 2] {
            let answer = describe(set.node_of(id), TOPIC, &[0, 0]).await;
            assert_eq!(codes(&answer), [0], "each partition once");
            let producers = &answer.topics[0].partitions[0].active_producers;
            let told = producers.iter().map(|producer| {
                (
                    producer.producer_id.0,
                    producer.producer_epoch,
                    producer.last_sequence,
                    producer.last_timestamp,
                )
            });
            assert_eq!(told.collect::<Vec<_>>(), [(70, 3, 1, 2000)], "on node {id}");
            let (coordinator, start) =
                (producers[0].coordinator_epoch, producers[0].current_txn_start_offset);
            assert_eq!((coordinator, start), (-1, -1));
        }
        set.stop().await;
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn partitions_that_are_not_there_are_told() {
        let node = TestNode::start(&[]).await;
        node.create_topic("orders", 1).await;
        assert_eq!(codes(&describe(&node, "orders", &[0, 1]).await), [0, 3]);
        assert_eq!(codes(&describe(&node, "missing", &[0]).await), [3]);
        assert_eq!(codes(&describe(&node, "bad/name", &[0]).await), [17]);
        node.stop().await;
    }
}
