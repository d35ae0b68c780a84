//! Blocks of producer ids. Source: KIP-730, `ProducerIdControlManager.java`.
//!
//! A broker gives out the ids of its block without asking again. A block that a broker did not use up when it stopped
//! is lost; an id is never given out twice.

use crate::metadata::image::MetadataImage;
use crate::metadata::record::MetadataRecord;
use serde::{Deserialize, Serialize};
use storage::ids::{BrokerEpoch, BrokerId, ProducerId};

/// Ids in a block. Larger: more are lost at each start. Smaller: the controller is asked more often.
/// Source: `ProducerIdsBlock.PRODUCER_ID_BLOCK_SIZE`.
pub const PRODUCER_IDS_PER_BLOCK: i64 = 1000;

/// A broker asks for a block.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct AllocateProducerIds {
    /// The broker.
    pub broker_id: BrokerId,
    /// The run of it, so that a past run gets nothing.
    pub broker_epoch: BrokerEpoch,
}

/// The ids from `first` on, `count` of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProducerIdBlock {
    /// The first id.
    pub first: ProducerId,
    /// How many ids there are.
    pub count: i64,
}

/// Why no block was given.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
pub enum AllocateProducerIdsError {
    /// The broker is not registered, or a later run of it is.
    #[error("Broker {broker_id} is not registered with epoch {broker_epoch}.")]
    StaleBrokerEpoch {
        /// The broker that asked.
        broker_id: BrokerId,
        /// The epoch that it named.
        broker_epoch: BrokerEpoch,
    },
    /// All 2^63 ids are gone.
    #[error("Exhausted all producerIds as the next block's end producerId has exceeded the int64 type limit")]
    Exhausted,
}

/// Takes the next block.
pub(super) fn allocate(
    request: &AllocateProducerIds,
    image: &MetadataImage,
) -> (Vec<MetadataRecord>, Result<ProducerIdBlock, AllocateProducerIdsError>) {
    let AllocateProducerIds { broker_id, broker_epoch } = *request;
    if image.broker(broker_id).is_none_or(|broker| broker.broker_epoch != broker_epoch) {
        return (Vec::new(), Err(AllocateProducerIdsError::StaleBrokerEpoch { broker_id, broker_epoch }));
    }
    let first = image.next_producer_id();
    let Some(next) = first.0.checked_add(PRODUCER_IDS_PER_BLOCK) else {
        return (Vec::new(), Err(AllocateProducerIdsError::Exhausted));
    };
    let record =
        MetadataRecord::ProducerIdBlock { broker_id, broker_epoch, next_producer_id: ProducerId(next) };
    (vec![record], Ok(ProducerIdBlock { first, count: PRODUCER_IDS_PER_BLOCK }))
}
