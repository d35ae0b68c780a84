//! Registration of brokers, and their leaving for good. Source: KIP-631, KIP-380, KIP-966.
//!
//! Every run of a node registers once and gets a broker epoch that no run had before; the rule that applies the record
//! begins a new leader epoch for each partition that the node leads. In a set the run before is fenced first, so that the
//! new one leads nothing until it says that it is ready; a single node goes on leading what it led.

use crate::controller::fencing::{self, BrokerState, Loss};
use crate::controller::partition_change::Rules;
use crate::controller::{Env, RECORDS_PER_REQUEST_MAX};
use crate::metadata::image::{MetadataImage, PartitionImage};
use crate::metadata::record::{BrokerEndpoint, BrokerRegistration, MetadataRecord};
use serde::{Deserialize, Serialize};
use storage::ids::{BrokerEpoch, BrokerId};

/// The most brokers of a cluster. Larger: the lists of every partition and the full mesh of fetchers grow past what is
/// tested. Smaller: sets cannot grow by learners.
pub const BROKERS_MAX: usize = 100;

/// One run of a node introduces itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RegisterBroker {
    /// The node's configured id.
    pub broker_id: BrokerId,
    /// Random, made by the process at its start: a repeated request is answered with the same epoch.
    pub incarnation: uuid::Uuid,
    /// Where clients and peers reach it.
    pub endpoints: Vec<BrokerEndpoint>,
    /// Where it stands.
    pub rack: Option<String>,
    /// The identity of its data, from its `meta.properties`; nil where it is not known.
    pub directory_id: uuid::Uuid,
    /// Whether it is used only once it says that it is ready, as every node of a set is.
    pub starts_fenced: bool,
    /// Whether what its last run acknowledged is on its disk for certain: because it flushes first, or because it stopped
    /// cleanly.
    pub was_clean: bool,
}

/// Why a broker was not registered.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
pub enum RegisterBrokerError {
    /// The cluster is full.
    #[error("The cluster has {BROKERS_MAX} brokers, which is the most that it takes.")]
    TooManyBrokers,
    /// Not all partitions have taken leave of the run before; the same request is to be made again.
    #[error("The run of broker {broker_id} before this one is still being fenced.")]
    FencingUnfinished {
        /// The broker.
        broker_id: BrokerId,
    },
}

/// A broker is not registered, or another run of it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
#[error("Broker {broker_id} is not registered with epoch {broker_epoch}.")]
pub struct StaleBrokerEpoch {
    /// The broker.
    pub broker_id: BrokerId,
    /// The epoch that was named.
    pub broker_epoch: BrokerEpoch,
}

/// Registers the run, or confirms it.
pub(super) fn register(
    request: &RegisterBroker,
    env: &Env<'_>,
    image: &MetadataImage,
) -> (Vec<MetadataRecord>, Result<BrokerEpoch, RegisterBrokerError>) {
    let known = image.broker(request.broker_id);
    if let Some(known) = known
        && known.incarnation == request.incarnation
    {
        return (Vec::new(), Ok(known.broker_epoch));
    }
    if known.is_none() && image.brokers().len() >= BROKERS_MAX {
        return (Vec::new(), Err(RegisterBrokerError::TooManyBrokers));
    }
    let (mut records, is_complete) = match known {
        Some(known) => end_run(known, request, env, image),
        None => (Vec::new(), true),
    };
    if !is_complete {
        let broker_id = request.broker_id;
        return (records, Err(RegisterBrokerError::FencingUnfinished { broker_id }));
    }
    let registration = registration(request, image);
    let broker_epoch = registration.broker_epoch;
    records.push(MetadataRecord::RegisterBroker(registration));
    if !request.starts_fenced {
        let registered = image.apply(image.offset(), &records);
        let returned = fencing::return_to_leaderless(Rules::new(env, &registered), request.broker_id);
        records.extend(returned.records);
    }
    (records, Ok(broker_epoch))
}

/// Takes the run before out of what it may not keep. Says whether that is all.
fn end_run(
    known: &BrokerRegistration,
    request: &RegisterBroker,
    env: &Env<'_>,
    image: &MetadataImage,
) -> (Vec<MetadataRecord>, bool) {
    let directories = [known.directory_id, request.directory_id];
    let has_other_data =
        directories.iter().all(|id| !id.is_nil()) && known.directory_id != request.directory_id;
    let loss = match (has_other_data, request.was_clean) {
        (true, _) => Loss::Everything,
        (false, false) => Loss::Unflushed,
        (false, true) => Loss::Nothing,
    };
    if !request.starts_fenced && loss != Loss::Everything {
        return (Vec::new(), true);
    }
    let mut records: Vec<MetadataRecord> =
        fencing::state_record(known, BrokerState::Fenced).into_iter().collect();
    let fenced = image.apply(image.offset(), &records);
    let left = fencing::leave(Rules::new(env, &fenced), known.broker_id, loss);
    let is_complete = left.is_complete;
    records.extend(left.records);
    (records, is_complete)
}

fn registration(request: &RegisterBroker, image: &MetadataImage) -> BrokerRegistration {
    // Several decisions may share one position of the log, so the offset alone would not make the epoch new.
    let highest = image.brokers().values().map(|broker| broker.broker_epoch.0).fold(image.offset(), i64::max);
    BrokerRegistration {
        broker_id: request.broker_id,
        broker_epoch: BrokerEpoch(highest + 1),
        incarnation: request.incarnation,
        endpoints: request.endpoints.clone(),
        rack: request.rack.clone(),
        directory_id: request.directory_id,
        is_fenced: request.starts_fenced,
        is_shutting_down: false,
    }
}

/// A broker leaves for good.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct UnregisterBroker {
    /// The broker.
    pub broker_id: BrokerId,
}

/// Why a broker stays registered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
pub enum UnregisterBrokerError {
    /// There is no such broker.
    #[error("Broker ID {broker_id} is not currently registered")]
    NotRegistered {
        /// The broker.
        broker_id: BrokerId,
    },
    /// It is there. Unlike Kafka, which takes it out of what it serves.
    #[error("Broker {broker_id} is running. Stop it first; it would register again at its next start.")]
    Running {
        /// The broker.
        broker_id: BrokerId,
    },
    /// It holds the last complete copy of something. Unlike Kafka, which forgets that.
    #[error(
        "Broker {broker_id} is the last in-sync replica of {partitions} partition(s). Start it again, or give them up: \
         delete their topics, or elect other leaders with the election type unclean."
    )]
    LastInSync {
        /// The broker.
        broker_id: BrokerId,
        /// How many partitions.
        partitions: usize,
    },
    /// It is eligible in more partitions than one decision may change; the same request is to be made again.
    #[error("Broker {broker_id} is still being taken out of its partitions. Ask again.")]
    Unfinished {
        /// The broker.
        broker_id: BrokerId,
    },
}

/// Forgets a broker that is fenced and needed nowhere. Source: KIP-631, `unregisterBroker`.
pub(super) fn unregister(
    request: &UnregisterBroker,
    env: &Env<'_>,
    image: &MetadataImage,
) -> (Vec<MetadataRecord>, Result<(), UnregisterBrokerError>) {
    let broker_id = request.broker_id;
    let Some(known) = image.broker(broker_id) else {
        return (Vec::new(), Err(UnregisterBrokerError::NotRegistered { broker_id }));
    };
    if !known.is_fenced {
        return (Vec::new(), Err(UnregisterBrokerError::Running { broker_id }));
    }
    let is_last = |partition: &&std::sync::Arc<PartitionImage>| match *partition.isr {
        [] => *partition.eligible_leader_replicas == [broker_id],
        [last] => last == broker_id,
        _ => false,
    };
    let partitions = image.topics().flat_map(|topic| &topic.partitions).filter(is_last).count();
    if partitions > 0 {
        return (Vec::new(), Err(UnregisterBrokerError::LastInSync { broker_id, partitions }));
    }
    // Its identity is forgotten with it, so what it holds cannot be trusted if it comes back.
    let left = fencing::leave(Rules::new(env, image), broker_id, Loss::Everything);
    let mut records = left.records;
    if !left.is_complete || records.len() >= RECORDS_PER_REQUEST_MAX {
        return (records, Err(UnregisterBrokerError::Unfinished { broker_id }));
    }
    records.push(MetadataRecord::UnregisterBroker { broker_id, broker_epoch: known.broker_epoch });
    (records, Ok(()))
}
