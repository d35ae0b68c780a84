//! Changes of an ISR, which the leader of a partition asks for. Source: KIP-497, KIP-841, KIP-903,
//! `ReplicationControlManager.alterPartition`.
//!
//! A leader names the state that it knows (both epochs) and the run of each member that it wants; what has changed since
//! refuses it, so that a broker that came back without its data, or is fenced, never joins by an old wish.

use crate::controller::brokers::StaleBrokerEpoch;
use crate::controller::partition_change::{Rules, Target};
use crate::controller::{Env, RECORDS_PER_REQUEST_MAX};
use crate::leader::IsrProposal;
use crate::metadata::image::{MetadataImage, PartitionImage, TopicImage};
use crate::metadata::record::{MetadataRecord, PartitionChange};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use storage::ids::{BrokerEpoch, BrokerId, LeaderEpoch, PartitionEpoch, PartitionIndex, TopicId};

/// A broker asks for other in-sync replicas of what it leads.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AlterPartition {
    /// The broker that leads.
    pub broker_id: BrokerId,
    /// The run of it.
    pub broker_epoch: BrokerEpoch,
    /// What it asks for, each partition once; [`RECORDS_PER_REQUEST_MAX`] at most.
    pub partitions: Vec<PartitionProposal>,
}

/// The ISR that the leader of a partition asks for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PartitionProposal {
    /// The topic.
    pub topic_id: TopicId,
    /// The partition's number.
    pub partition: PartitionIndex,
    /// What it asks for; the leader itself is a member.
    pub proposal: IsrProposal,
}

/// What became of a [`PartitionProposal`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct IsrChange {
    /// The topic.
    pub topic_id: TopicId,
    /// The partition's number.
    pub partition: PartitionIndex,
    /// The state of the partition, or why it did not change.
    pub result: Result<AlteredPartition, AlterPartitionError>,
}

/// A partition after its ISR was changed. Where that completed a reassignment, another may lead.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AlteredPartition {
    /// Who leads.
    pub leader: Option<BrokerId>,
    /// In which epoch.
    pub leader_epoch: LeaderEpoch,
    /// Who is in-sync.
    pub isr: Vec<BrokerId>,
    /// The epoch of this state.
    pub partition_epoch: PartitionEpoch,
}

/// Why an ISR did not change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
pub enum AlterPartitionError {
    /// No topic has this id.
    #[error("This server does not host this topic ID.")]
    UnknownTopicId,
    /// The topic has no such partition.
    #[error("This server does not host this topic-partition.")]
    UnknownPartition,
    /// The broker knows more than this controller, which cannot be the active one.
    #[error("The leader knows a later state than the controller.")]
    ControllerBehind,
    /// Another epoch has begun.
    #[error("The leader epoch in the request is older than the epoch on the controller.")]
    FencedLeaderEpoch,
    /// Another broker leads.
    #[error("The broker does not lead the partition.")]
    NotLeader,
    /// The state has changed since.
    #[error("The partition epoch in the request is older than the epoch on the controller.")]
    InvalidUpdateVersion,
    /// The ISR lacks the leader, names a broker twice, or one that is no replica.
    #[error("The ISR is no set of replicas with the leader among them.")]
    InvalidIsr,
    /// A member is not registered, fenced, stopping, or another run of it is meant.
    #[error("Broker {broker_id} cannot be in-sync: it is fenced, stopping or was started again.")]
    IneligibleReplica {
        /// The member.
        broker_id: BrokerId,
    },
    /// The request names more partitions than one decision may change, or this one twice.
    #[error("The request names too many partitions, or this one twice.")]
    RequestTooLarge,
}

/// Changes what may be changed.
pub(super) fn alter(
    request: &AlterPartition,
    env: &Env<'_>,
    image: &MetadataImage,
) -> (Vec<MetadataRecord>, Result<Vec<IsrChange>, StaleBrokerEpoch>) {
    let AlterPartition { broker_id, broker_epoch, ref partitions } = *request;
    if image.broker(broker_id).is_none_or(|known| known.broker_epoch != broker_epoch) {
        return (Vec::new(), Err(StaleBrokerEpoch { broker_id, broker_epoch }));
    }
    let rules = Rules::new(env, image);
    let mut records = Vec::new();
    let mut named = BTreeSet::new();
    let mut results = Vec::with_capacity(partitions.len());
    for asked in partitions {
        let is_new = named.insert((asked.topic_id, asked.partition));
        let result = match is_new && records.len() < RECORDS_PER_REQUEST_MAX {
            true => alter_one(asked, broker_id, &rules),
            false => Err(AlterPartitionError::RequestTooLarge),
        };
        let result = result.map(|(altered, change)| {
            records.push(MetadataRecord::PartitionChange(change));
            altered
        });
        results.push(IsrChange { topic_id: asked.topic_id, partition: asked.partition, result });
    }
    (records, Ok(results))
}

fn alter_one(
    asked: &PartitionProposal,
    broker: BrokerId,
    rules: &Rules<'_>,
) -> Result<(AlteredPartition, PartitionChange), AlterPartitionError> {
    let topic: &TopicImage =
        rules.image.topic_by_id(asked.topic_id).ok_or(AlterPartitionError::UnknownTopicId)?;
    let partition = topic.partition(asked.partition).ok_or(AlterPartitionError::UnknownPartition)?;
    check_epochs(&asked.proposal, broker, partition)?;
    check_members(&asked.proposal, broker, partition, rules.image)?;
    let isr: Vec<BrokerId> = asked.proposal.isr.iter().map(|(member, _)| *member).collect();
    let target = Target::new(topic, partition, rules.min_insync_replicas(&topic.name)).with_isr(isr.clone());
    // A leader that asks for the ISR that there is wants the partition epoch to move past what it asked for before.
    let change = target.decide(rules).unwrap_or_else(|| PartitionChange {
        isr: Some(isr),
        ..PartitionChange::of(asked.topic_id, asked.partition)
    });
    let after = partition.after(&change);
    let altered = AlteredPartition {
        leader: after.leader,
        leader_epoch: after.leader_epoch,
        isr: after.isr.into_vec(),
        partition_epoch: after.partition_epoch,
    };
    Ok((altered, change))
}

fn check_epochs(
    proposal: &IsrProposal,
    broker: BrokerId,
    partition: &PartitionImage,
) -> Result<(), AlterPartitionError> {
    if proposal.leader_epoch > partition.leader_epoch || proposal.partition_epoch > partition.partition_epoch
    {
        return Err(AlterPartitionError::ControllerBehind);
    }
    if proposal.leader_epoch < partition.leader_epoch {
        return Err(AlterPartitionError::FencedLeaderEpoch);
    }
    if partition.leader != Some(broker) {
        return Err(AlterPartitionError::NotLeader);
    }
    if proposal.partition_epoch < partition.partition_epoch {
        return Err(AlterPartitionError::InvalidUpdateVersion);
    }
    Ok(())
}

fn check_members(
    proposal: &IsrProposal,
    broker: BrokerId,
    partition: &PartitionImage,
    image: &MetadataImage,
) -> Result<(), AlterPartitionError> {
    let members: BTreeSet<BrokerId> = proposal.isr.iter().map(|(member, _)| *member).collect();
    let are_replicas = members.iter().all(|member| partition.replicas.contains(member));
    if !are_replicas || members.len() != proposal.isr.len() || !members.contains(&broker) {
        return Err(AlterPartitionError::InvalidIsr);
    }
    for &(broker_id, broker_epoch) in &proposal.isr {
        // Who stops may stay where it is until it is fenced, but not join.
        let may_be_in = image.broker(broker_id).is_some_and(|known| {
            known.broker_epoch == broker_epoch
                && !known.is_fenced
                && (!known.is_shutting_down || partition.isr.contains(&broker_id))
        });
        if !may_be_in {
            return Err(AlterPartitionError::IneligibleReplica { broker_id });
        }
    }
    Ok(())
}
