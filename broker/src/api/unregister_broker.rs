//! UnregisterBroker (key 64, version 0): forgets a broker that will not come back (KIP-631).
//!
//! Unlike Kafka's, a broker that runs is refused, and one that is the last in-sync replica of a partition: what it has
//! would be given up without a word. The place of the node in the metadata quorum is another matter.
//! Source: `ControllerApis.handleUnregisterBroker`.

use super::RequestContext;
use crate::error_code;
use crate::limits;
use kafka_protocol::ResponseError;
use kafka_protocol::messages::{UnregisterBrokerRequest, UnregisterBrokerResponse};
use kafka_protocol::protocol::StrBytes;
use replication::controller::brokers::{UnregisterBroker, UnregisterBrokerError};
use replication::controller::{ControllerReply, ControllerRequest, RECORDS_PER_REQUEST_MAX, topics};
use storage::ids::BrokerId;

/// How often the controller is asked at most: each time it takes the broker out of as many partitions as one decision may
/// change. Larger: nothing. Smaller: a broker of very many partitions would have to be unregistered more than once.
const STEPS_MAX: usize = topics::PARTITIONS_MAX / RECORDS_PER_REQUEST_MAX + 1;

pub(crate) async fn handle(
    context: RequestContext,
    request: UnregisterBrokerRequest,
) -> UnregisterBrokerResponse {
    let broker_id = BrokerId(request.broker_id.0);
    let mut result = Err(UnregisterBrokerError::Unfinished { broker_id });
    for _ in 0..STEPS_MAX {
        let unregister = ControllerRequest::UnregisterBroker(UnregisterBroker { broker_id });
        result = match context.broker.propose(unregister, limits::METADATA_CHANGE_TIMEOUT).await {
            Ok(ControllerReply::UnregisterBroker(result)) => result,
            Ok(other) => unreachable!("the controller answered a broker with {other:?}"),
            Err(error) => return failed(error_code::of_propose(&error), error.to_string()),
        };
        if result != Err(UnregisterBrokerError::Unfinished { broker_id }) {
            break;
        }
    }
    match result {
        Ok(()) => UnregisterBrokerResponse::default().with_error_message(None),
        Err(error) => failed(error_code::of_unregister_broker(&error), error.to_string()),
    }
}

fn failed(error: ResponseError, message: String) -> UnregisterBrokerResponse {
    UnregisterBrokerResponse::default()
        .with_error_code(error.code())
        .with_error_message(Some(StrBytes::from_string(message)))
}
