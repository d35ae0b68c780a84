//! What the controller decides.
//!
//! [`handle`] takes a request and one image and returns the records that carry it out, and the reply for when they are
//! committed. It changes nothing: whoever calls it appends the records, applies them to the image and then answers.
//!
//! Invariants: the records of a decision apply to the image that it was made against; a request that is refused has no
//! records; the same request, image, random numbers, time and allowances give the same decision.
//!
//! Absent: who may ask (the broker authorises), and where the metadata log is (`ottla::quorum`).

pub mod balance;
pub mod brokers;
pub mod client_quotas;
pub mod configs;
pub mod elections;
pub mod features;
pub mod fencing;
pub mod growth;
pub mod isr;
pub mod mutations;
mod partition_change;
pub mod partitions;
pub mod placement;
pub mod producer_ids;
pub mod reassignments;
pub mod sessions;
pub mod topics;

use crate::controller::mutations::Charge;
use crate::metadata::image::MetadataImage;
use crate::metadata::record::MetadataRecord;
use serde::{Deserialize, Serialize};
use std::time::Duration;
use storage::ids::BrokerId;

/// The most records of one decision. Larger: one entry of the metadata log holds up the log for longer.
/// Smaller: topics with many partitions cannot be created. Source: `QuorumController.MAX_RECORDS_PER_USER_OP`.
pub const RECORDS_PER_REQUEST_MAX: usize = 10_000;

/// Something that only the controller may decide.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum ControllerRequest {
    /// Makes the cluster id and finalises the first feature levels, once.
    FormCluster,
    /// A node has started.
    RegisterBroker(brokers::RegisterBroker),
    /// Create topics.
    CreateTopics(topics::CreateTopics),
    /// Delete topics.
    DeleteTopics(topics::DeleteTopics),
    /// Change what is set for topics and brokers.
    AlterConfigs(configs::AlterConfigs),
    /// Give a broker a block of producer ids.
    AllocateProducerIds(producer_ids::AllocateProducerIds),
    /// A broker is used from now on, or no more.
    ChangeBrokerState(fencing::ChangeBrokerState),
    /// Forget a broker.
    UnregisterBroker(brokers::UnregisterBroker),
    /// Change who is in-sync.
    AlterPartition(isr::AlterPartition),
    /// Elect leaders.
    ElectLeaders(elections::ElectLeaders),
    /// Move partitions.
    AlterPartitionReassignments(reassignments::AlterPartitionReassignments),
    /// Add partitions to topics.
    CreatePartitions(partitions::CreatePartitions),
    /// Have first replicas lead again.
    BalanceLeaders,
    /// Add replicas to topics that grow with the set.
    GrowReplicas(growth::GrowReplicas),
    /// Finalise feature levels.
    UpdateFeatures(features::UpdateFeatures),
    /// Change quotas of users, client ids and addresses.
    AlterClientQuotas(client_quotas::AlterClientQuotas),
    /// Make or delete partitions as far as a client may.
    Charged(mutations::ChargedRequest),
}

/// The answer to the [`ControllerRequest`] of the same name, true once the records are committed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum ControllerReply {
    /// The cluster exists.
    FormCluster,
    /// The new run's broker epoch.
    RegisterBroker(Result<storage::ids::BrokerEpoch, brokers::RegisterBrokerError>),
    /// One result for each name, in the order of the request.
    CreateTopics(Vec<topics::TopicCreation>),
    /// One result for each topic that was named.
    DeleteTopics(Vec<topics::TopicDeletion>),
    /// One result for each resource, in the order of the request.
    AlterConfigs(Vec<configs::ConfigAlteration>),
    /// The block.
    AllocateProducerIds(Result<producer_ids::ProducerIdBlock, producer_ids::AllocateProducerIdsError>),
    /// What the broker leads yet, and whether to ask again.
    ChangeBrokerState(Result<fencing::BrokerStateChange, brokers::StaleBrokerEpoch>),
    /// It is forgotten.
    UnregisterBroker(Result<(), brokers::UnregisterBrokerError>),
    /// One result for each proposal, in the order of the request.
    AlterPartition(Result<Vec<isr::IsrChange>, brokers::StaleBrokerEpoch>),
    /// One result for each partition, by topic and number.
    ElectLeaders(Vec<elections::LeaderElection>),
    /// One result for each partition, in the order of the request.
    AlterPartitionReassignments(Vec<reassignments::ReassignmentChange>),
    /// One result for each topic that was named.
    CreatePartitions(Vec<partitions::PartitionsCreation>),
    /// How many leaders moved, and whether to ask again.
    BalanceLeaders(balance::BalancedLeaders),
    /// How much has grown, and whether to ask again.
    GrowReplicas(growth::GrownReplicas),
    /// Whether all of them are finalised.
    UpdateFeatures(Result<(), features::UpdateFeatureError>),
    /// One result for each alteration, in the order of the request.
    AlterClientQuotas(Vec<Result<(), client_quotas::AlterQuotaError>>),
    /// What became of it.
    Charged {
        /// As for the request that is not charged.
        results: mutations::MutationResults,
        /// For how long the client is to keep quiet.
        quiet: Duration,
    },
}

/// What a decision depends on beside the request and the image.
pub struct Env<'a> {
    /// The node that decides, which some refusals name.
    pub controller: BrokerId,
    /// Random numbers: all 128 bits are used for identities that must never repeat.
    pub random: &'a mut dyn FnMut() -> u128,
    /// The rules of configuration keys.
    pub config_rules: &'a configs::ConfigRules,
    /// What clients may make and delete yet.
    pub allowances: &'a mut mutations::MutationAllowances,
    /// The time, since any fixed point in it.
    pub now: Duration,
}

/// Records, and the reply for when they are committed.
#[derive(Debug, Clone, PartialEq)]
pub struct Decision {
    /// What to append, as one batch; empty where nothing changes.
    pub records: Vec<MetadataRecord>,
    /// What to answer once the records are committed.
    pub reply: ControllerReply,
}

/// Decides one request against one image.
#[must_use]
pub fn handle(request: &ControllerRequest, env: &mut Env<'_>, image: &MetadataImage) -> Decision {
    match request {
        ControllerRequest::FormCluster => {
            Decision { records: features::form_cluster(env, image), reply: ControllerReply::FormCluster }
        }
        ControllerRequest::RegisterBroker(request) => {
            let (records, result) = brokers::register(request, env, image);
            Decision { records, reply: ControllerReply::RegisterBroker(result) }
        }
        ControllerRequest::CreateTopics(request) => {
            let (records, results) = topics::create(request, &mut Charge::free(), env, image);
            Decision { records, reply: ControllerReply::CreateTopics(results) }
        }
        ControllerRequest::DeleteTopics(request) => {
            let (records, results) = topics::delete(request, &mut Charge::free(), image);
            Decision { records, reply: ControllerReply::DeleteTopics(results) }
        }
        ControllerRequest::AlterConfigs(request) => {
            let (records, results) = configs::alter(request, env, image);
            Decision { records, reply: ControllerReply::AlterConfigs(results) }
        }
        ControllerRequest::AllocateProducerIds(request) => {
            let (records, result) = producer_ids::allocate(request, image);
            Decision { records, reply: ControllerReply::AllocateProducerIds(result) }
        }
        ControllerRequest::ChangeBrokerState(request) => {
            let (records, result) = fencing::change_state(request, env, image);
            Decision { records, reply: ControllerReply::ChangeBrokerState(result) }
        }
        ControllerRequest::UnregisterBroker(request) => {
            let (records, result) = brokers::unregister(request, env, image);
            Decision { records, reply: ControllerReply::UnregisterBroker(result) }
        }
        ControllerRequest::AlterPartition(request) => {
            let (records, result) = isr::alter(request, env, image);
            Decision { records, reply: ControllerReply::AlterPartition(result) }
        }
        ControllerRequest::ElectLeaders(request) => {
            let (records, results) = elections::elect(request, env, image);
            Decision { records, reply: ControllerReply::ElectLeaders(results) }
        }
        ControllerRequest::AlterPartitionReassignments(request) => {
            let (records, results) = reassignments::alter(request, env, image);
            Decision { records, reply: ControllerReply::AlterPartitionReassignments(results) }
        }
        ControllerRequest::CreatePartitions(request) => {
            let (records, results) = partitions::create(request, &mut Charge::free(), env, image);
            Decision { records, reply: ControllerReply::CreatePartitions(results) }
        }
        ControllerRequest::BalanceLeaders => {
            let (records, balanced) = balance::balance(env, image);
            Decision { records, reply: ControllerReply::BalanceLeaders(balanced) }
        }
        ControllerRequest::GrowReplicas(request) => {
            let (records, grown) = growth::grow(request, env, image);
            Decision { records, reply: ControllerReply::GrowReplicas(grown) }
        }
        ControllerRequest::UpdateFeatures(request) => {
            let (records, result) = features::update(request, env.controller, image);
            Decision { records, reply: ControllerReply::UpdateFeatures(result) }
        }
        ControllerRequest::AlterClientQuotas(request) => {
            let (records, results) = client_quotas::alter(request, image);
            Decision { records, reply: ControllerReply::AlterClientQuotas(results) }
        }
        ControllerRequest::Charged(request) => mutations::handle(request, env, image),
    }
}

#[cfg(test)]
mod tests;
