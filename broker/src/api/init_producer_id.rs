//! InitProducerId (key 22, versions 0–5): an identity for an idempotent producer.
//!
//! Without a transactional id, every call gives a new producer id with epoch 0; what the client had before (versions 3
//! and up name it) is let go. Not done: transactional ids, whose coordinator is not there yet
//! (COORDINATOR_NOT_AVAILABLE). Version 6 is unstable in Kafka and not advertised.
//! Source: `TransactionCoordinator.handleInitProducerId`, KIP-98, KIP-360.

use super::RequestContext;
use crate::error_code;
use kafka_protocol::ResponseError;
use kafka_protocol::messages::{InitProducerIdRequest, InitProducerIdResponse, ProducerId};

/// No producer, as the wire writes it.
const NONE: i64 = -1;

pub(crate) async fn handle(
    context: RequestContext,
    request: InitProducerIdRequest,
) -> InitProducerIdResponse {
    if let Err(error) = judge(&request) {
        return refuse(error);
    }
    match context.broker.producer_ids.next(&context.broker).await {
        Ok(id) => InitProducerIdResponse::default().with_producer_id(ProducerId(id.0)).with_producer_epoch(0),
        Err(error) => {
            tracing::debug!("no producer ids: {error}");
            refuse(error_code::of_producer_ids(&error))
        }
    }
}

fn judge(request: &InitProducerIdRequest) -> Result<(), ResponseError> {
    let has_id = request.producer_id.0 != NONE;
    let has_epoch = i64::from(request.producer_epoch) != NONE;
    match &request.transactional_id {
        _ if has_id != has_epoch => Err(ResponseError::InvalidRequest),
        Some(id) if id.is_empty() => Err(ResponseError::InvalidRequest),
        Some(_) => Err(ResponseError::CoordinatorNotAvailable),
        None => Ok(()),
    }
}

fn refuse(error: ResponseError) -> InitProducerIdResponse {
    InitProducerIdResponse::default()
        .with_error_code(error.code())
        .with_producer_id(ProducerId(NONE))
        .with_producer_epoch(-1)
}
