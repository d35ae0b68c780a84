//! Registration of brokers. Source: KIP-631, KIP-380.
//!
//! Every run of a node registers once and gets a broker epoch that no run had before; the rule that applies the record
//! begins a new leader epoch for each partition that the node leads.

use crate::metadata::image::MetadataImage;
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
}

/// Registers the run, or confirms it.
pub(super) fn register(
    request: &RegisterBroker,
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
    // Several decisions may share one position of the log, so the offset alone would not make the epoch new.
    let highest = image.brokers().values().map(|broker| broker.broker_epoch.0).fold(image.offset(), i64::max);
    let broker_epoch = BrokerEpoch(highest + 1);
    let registration = BrokerRegistration {
        broker_id: request.broker_id,
        broker_epoch,
        incarnation: request.incarnation,
        endpoints: request.endpoints.clone(),
        rack: request.rack.clone(),
        directory_id: request.directory_id,
        is_fenced: request.starts_fenced,
        is_shutting_down: false,
    };
    (vec![MetadataRecord::RegisterBroker(registration)], Ok(broker_epoch))
}
