//! The ids that idempotent producers are given, from blocks that the controller hands out. Source: KIP-730.
//!
//! An id is given to one producer only, in this run or any other: a block is agreed on before its first id leaves,
//! and what is left of it when the node stops is never given.

use crate::broker::Broker;
use crate::limits;
use crate::quorum::ProposeError;
use replication::controller::producer_ids::{AllocateProducerIds, AllocateProducerIdsError};
use replication::controller::{ControllerReply, ControllerRequest};
use std::ops::Range;
use storage::ids::ProducerId;
use tokio::sync::Mutex;

/// Why there is no id.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ProducerIdsError {
    #[error(transparent)]
    Propose(#[from] ProposeError),
    #[error(transparent)]
    Refused(#[from] AllocateProducerIdsError),
}

/// The ids of the current block that are left.
#[derive(Debug, Default)]
pub(crate) struct ProducerIds {
    block: Mutex<Range<i64>>,
}

impl ProducerIds {
    /// An id that nobody has.
    ///
    /// # Errors
    /// When a new block is needed and there is none to be had.
    pub(crate) async fn next(&self, broker: &Broker) -> Result<ProducerId, ProducerIdsError> {
        let mut block = self.block.lock().await;
        loop {
            if let Some(id) = block.next() {
                return Ok(ProducerId(id));
            }
            *block = allocate(broker).await?;
        }
    }
}

async fn allocate(broker: &Broker) -> Result<Range<i64>, ProducerIdsError> {
    let request =
        AllocateProducerIds { broker_id: broker.node_id(), broker_epoch: broker.quorum.broker_epoch() };
    let allocate = ControllerRequest::AllocateProducerIds(request);
    match broker.propose(allocate, limits::METADATA_CHANGE_TIMEOUT).await? {
        ControllerReply::AllocateProducerIds(block) => {
            let block = block?;
            Ok(block.first.0..block.first.0.saturating_add(block.count))
        }
        other => unreachable!("the controller answered producer ids with {other:?}"),
    }
}
