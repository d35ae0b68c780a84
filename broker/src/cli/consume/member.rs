//! A member of a consumer group (KIP-848): the coordinator says which partitions it reads, and keeps how far it is.
//!
//! Invariant: an offset is committed once its records are written to standard output, so that nothing is left out when another
//! member goes on; some may be shown twice. Absent: the classic protocol, so brokers before Kafka 4.0.

use crate::cli::client::{Client, ClientError, PartitionId, wire_name};
use crate::clock;
use kafka_protocol::ResponseError;
use kafka_protocol::messages::consumer_group_heartbeat_request::TopicPartitions;
use kafka_protocol::messages::offset_commit_request::{
    OffsetCommitRequestPartition, OffsetCommitRequestTopic,
};
use kafka_protocol::messages::{
    ConsumerGroupHeartbeatRequest, ConsumerGroupHeartbeatResponse, GroupId, OffsetCommitRequest,
};
use kafka_protocol::protocol::StrBytes;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;
use uuid::Uuid;

/// How long the other members wait for this one to give partitions up.
const REBALANCE_TIMEOUT_MS: i32 = 45_000;

/// The epoch with which a member joins, and the one with which it leaves.
const JOINING: i32 = 0;
const LEAVING: i32 = -1;

/// A member.
#[derive(Debug)]
pub(super) struct Member {
    group_id: String,
    member_id: String,
    epoch: i32,
    /// The topics, by their ids.
    topics: BTreeMap<Uuid, String>,
    /// What the coordinator was told that this member has.
    owned: BTreeSet<PartitionId>,
    next_heartbeat: Duration,
    committed: BTreeMap<PartitionId, i64>,
}

impl Member {
    /// A member that has not joined yet.
    pub(super) async fn new(client: &mut Client, group_id: &str, topics: &[&str]) -> anyhow::Result<Self> {
        let mut by_id = BTreeMap::new();
        for name in topics {
            let topic = crate::cli::topics::existing(client, name).await?;
            by_id.insert(topic.topic_id, topic.topic);
        }
        Ok(Self {
            group_id: group_id.to_owned(),
            member_id: Uuid::new_v4().to_string(),
            epoch: JOINING,
            topics: by_id,
            owned: BTreeSet::new(),
            next_heartbeat: Duration::ZERO,
            committed: BTreeMap::new(),
        })
    }

    pub(super) fn group_id(&self) -> &str {
        &self.group_id
    }

    /// Tells the coordinator that the member lives, where that is due. Returns the partitions that it has from now on, where
    /// they are others than before.
    pub(super) async fn keep_up(
        &mut self,
        client: &mut Client,
    ) -> anyhow::Result<Option<BTreeSet<PartitionId>>> {
        if clock::monotonic() < self.next_heartbeat {
            return Ok(None);
        }
        let response = self.heartbeat(client, self.epoch).await?;
        match ResponseError::try_from_code(response.error_code) {
            None => {}
            Some(ResponseError::UnknownMemberId | ResponseError::FencedMemberEpoch) => {
                self.epoch = JOINING;
                self.committed.clear();
                return Ok(self.own(BTreeSet::new()));
            }
            Some(_refused) => {
                let what = format!("group {}", self.group_id);
                let message = response.error_message.as_ref();
                return crate::cli::asking::refusal(&what, response.error_code, message)
                    .map_or(Ok(None), Err);
            }
        }
        self.epoch = response.member_epoch;
        let interval = u64::try_from(response.heartbeat_interval_ms).unwrap_or(0);
        self.next_heartbeat = clock::monotonic() + Duration::from_millis(interval);
        Ok(response.assignment.and_then(|assignment| {
            let partitions = assignment.topic_partitions.into_iter().flat_map(|topic| {
                let name = self.topics.get(&topic.topic_id).cloned();
                topic
                    .partitions
                    .into_iter()
                    .filter_map(move |partition| name.clone().map(|topic| PartitionId { topic, partition }))
            });
            let assigned = partitions.collect();
            self.own(assigned)
        }))
    }

    /// Has other partitions; the coordinator hears of it at once.
    fn own(&mut self, partitions: BTreeSet<PartitionId>) -> Option<BTreeSet<PartitionId>> {
        if partitions == self.owned {
            return None;
        }
        self.next_heartbeat = Duration::ZERO;
        self.owned = partitions.clone();
        Some(partitions)
    }

    /// Commits how far the partitions are read, where that is further than before.
    pub(super) async fn commit(
        &mut self,
        client: &mut Client,
        positions: &BTreeMap<PartitionId, i64>,
    ) -> anyhow::Result<()> {
        let is_new = |(partition, next): &(&PartitionId, &i64)| self.committed.get(*partition) != Some(*next);
        let moved: BTreeMap<PartitionId, i64> =
            positions.iter().filter(is_new).map(|(partition, next)| (partition.clone(), *next)).collect();
        if moved.is_empty() {
            return Ok(());
        }
        let request = self.commit_request(&moved);
        let group_id = self.group_id.clone();
        let response = client.ask_coordinator(&group_id, &request, |_| 0).await?;
        for partition in response.topics.into_iter().flat_map(|topic| topic.partitions) {
            match ResponseError::try_from_code(partition.error_code) {
                None => {}
                Some(
                    ResponseError::StaleMemberEpoch
                    | ResponseError::UnknownMemberId
                    | ResponseError::FencedMemberEpoch
                    | ResponseError::NotCoordinator
                    | ResponseError::CoordinatorLoadInProgress
                    | ResponseError::CoordinatorNotAvailable,
                ) => {
                    // The next heartbeat says what is true now, and the next commit has what this one has.
                    self.next_heartbeat = Duration::ZERO;
                    return Ok(());
                }
                Some(error) => {
                    let what = format!("an offset of group {}", self.group_id);
                    return Err(ClientError::Refused { what, error }.into());
                }
            }
        }
        self.committed.extend(moved);
        Ok(())
    }

    /// Leaves, so that others have its partitions at once.
    pub(super) async fn leave(&mut self, client: &mut Client) -> anyhow::Result<()> {
        self.heartbeat(client, LEAVING).await?;
        Ok(())
    }

    async fn heartbeat(
        &self,
        client: &mut Client,
        epoch: i32,
    ) -> Result<ConsumerGroupHeartbeatResponse, ClientError> {
        let names = self.topics.values().map(|name| wire_name(name)).collect();
        let owned = self.topics.iter().filter_map(|(topic_id, name)| {
            let partitions: Vec<i32> =
                self.owned.iter().filter(|it| it.topic == *name).map(|it| it.partition).collect();
            let is_any = !partitions.is_empty();
            is_any.then(|| TopicPartitions::default().with_topic_id(*topic_id).with_partitions(partitions))
        });
        let request = ConsumerGroupHeartbeatRequest::default()
            .with_group_id(GroupId(StrBytes::from_string(self.group_id.clone())))
            .with_member_id(StrBytes::from_string(self.member_id.clone()))
            .with_member_epoch(epoch)
            .with_rebalance_timeout_ms(REBALANCE_TIMEOUT_MS)
            .with_subscribed_topic_names(Some(names))
            .with_topic_partitions(Some(owned.collect()));
        client.ask_coordinator(&self.group_id, &request, |response| response.error_code).await
    }

    fn commit_request(&self, positions: &BTreeMap<PartitionId, i64>) -> OffsetCommitRequest {
        let mut topics: BTreeMap<&str, Vec<OffsetCommitRequestPartition>> = BTreeMap::new();
        for (partition, next) in positions {
            let place = OffsetCommitRequestPartition::default()
                .with_partition_index(partition.partition)
                .with_committed_offset(*next)
                .with_committed_leader_epoch(-1)
                .with_committed_metadata(None);
            topics.entry(&partition.topic).or_default().push(place);
        }
        let topics = topics.into_iter().map(|(name, partitions)| {
            OffsetCommitRequestTopic::default().with_name(wire_name(name)).with_partitions(partitions)
        });
        OffsetCommitRequest::default()
            .with_group_id(GroupId(StrBytes::from_string(self.group_id.clone())))
            .with_generation_id_or_member_epoch(self.epoch)
            .with_member_id(StrBytes::from_string(self.member_id.clone()))
            .with_topics(topics.collect())
    }
}
