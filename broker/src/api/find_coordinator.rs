//! FindCoordinator (key 10, versions 0–6): which node coordinates a group.
//!
//! The first request makes `__consumer_offsets` and waits until it is there. Version notes: 1 brings kinds of
//! coordinators, 4 asks about several at once, 6 share groups. Not done: the coordinators of transactions and of share
//! groups, which answer INVALID_REQUEST at once, so that a client says so instead of trying for a minute.
//! Source: `KafkaApis.getCoordinator`, KIP-699, KIP-932.

use super::RequestContext;
use super::coordination::GROUPS_PER_REQUEST_MAX;
use super::nodes::{self, Node};
use crate::coordinators::{OFFSETS_TOPIC, make_offsets_topic, partition_of};
use crate::error_code;
use kafka_protocol::ResponseError;
use kafka_protocol::messages::find_coordinator_response::Coordinator;
use kafka_protocol::messages::{BrokerId, FindCoordinatorRequest, FindCoordinatorResponse};
use kafka_protocol::protocol::StrBytes;

/// The first version that asks about several keys.
const KEYS_SINCE: i16 = 4;
/// The first version below [`KEYS_SINCE`] that explains errors.
const ERROR_MESSAGE_SINCE: i16 = 1;
/// The number of groups among the kinds of coordinators. Source: `FindCoordinatorRequest.CoordinatorType`.
const GROUP: i8 = 0;
/// The number of transactions.
const TRANSACTION: i8 = 1;
/// The number of share groups.
const SHARE: i8 = 2;

struct Refusal {
    error: ResponseError,
    message: String,
}

pub(crate) async fn handle(
    context: RequestContext,
    request: FindCoordinatorRequest,
) -> FindCoordinatorResponse {
    let made = make(&context, request.key_type).await;
    if context.version < KEYS_SINCE {
        let found = made.and_then(|()| find(&context, &request.key));
        return answer_one(&context, found);
    }
    let coordinators = request
        .coordinator_keys
        .into_iter()
        .take(GROUPS_PER_REQUEST_MAX)
        .map(|key| {
            let found = match &made {
                Ok(()) => find(&context, &key),
                Err(Refusal { error, message }) => Err(Refusal { error: *error, message: message.clone() }),
            };
            answer_key(key, found)
        })
        .collect();
    FindCoordinatorResponse::default().with_coordinators(coordinators)
}

/// Sees to it that there are coordinators of this kind.
async fn make(context: &RequestContext, key_type: i8) -> Result<(), Refusal> {
    let refuse = |message: String| Err(Refusal { error: ResponseError::InvalidRequest, message });
    match key_type {
        GROUP => make_offsets_topic(&context.broker).await.map_err(|error| {
            tracing::warn!("groups cannot be coordinated: {error}");
            Refusal { error: error_code::of_offsets_topic(&error), message: error.to_string() }
        }),
        TRANSACTION => refuse("transactions are not served by this version of Ottla".to_owned()),
        SHARE => refuse("share groups are not served by this version of Ottla".to_owned()),
        other => refuse(format!("there is no coordinator of kind {other}")),
    }
}

/// The node that coordinates the group: whoever leads its partition of `__consumer_offsets`.
fn find(context: &RequestContext, group_id: &str) -> Result<Node, Refusal> {
    let image = context.broker.image();
    let leader = image.topic_by_name(OFFSETS_TOPIC).and_then(|topic| {
        let partition = partition_of(group_id, topic.partitions.len());
        topic.partition(partition)?.leader
    });
    leader.and_then(|leader| nodes::find(context, &image, leader)).ok_or_else(|| {
        let error = ResponseError::CoordinatorNotAvailable;
        Refusal { error, message: error.to_string() }
    })
}

fn answer_one(context: &RequestContext, found: Result<Node, Refusal>) -> FindCoordinatorResponse {
    let (coordinator, message) = match found {
        Ok(node) => {
            let coordinator = FindCoordinatorResponse::default()
                .with_node_id(BrokerId(node.id.0))
                .with_host(node.host)
                .with_port(node.port);
            (coordinator, "NONE".to_owned())
        }
        Err(refusal) => {
            let nobody = FindCoordinatorResponse::default().with_node_id(BrokerId(-1)).with_port(-1);
            (nobody.with_error_code(refusal.error.code()), refusal.message)
        }
    };
    match context.version {
        ERROR_MESSAGE_SINCE.. => coordinator.with_error_message(Some(StrBytes::from_string(message))),
        _ => coordinator,
    }
}

fn answer_key(key: StrBytes, found: Result<Node, Refusal>) -> Coordinator {
    let coordinator = Coordinator::default().with_key(key);
    match found {
        Ok(node) => coordinator
            .with_node_id(BrokerId(node.id.0))
            .with_host(node.host)
            .with_port(node.port)
            .with_error_message(Some(StrBytes::default())),
        Err(refusal) => coordinator
            .with_node_id(BrokerId(-1))
            .with_port(-1)
            .with_error_code(refusal.error.code())
            .with_error_message(Some(StrBytes::from_string(refusal.message))),
    }
}

#[cfg(test)]
mod tests {
    use crate::api::nodes::testing::{registration, show};
    use crate::coordinators::{OFFSETS_TOPIC, partition_of};
    use crate::node::testing::TestNode;
    use kafka_protocol::messages::{FindCoordinatorRequest, FindCoordinatorResponse};
    use kafka_protocol::protocol::StrBytes;
    use replication::metadata::record::{LeaderChange, MetadataRecord, PartitionChange};
    use storage::ids::BrokerId;

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn the_coordinator_is_whoever_leads_the_partition_of_the_group() {
        let mut node = TestNode::start(&[]).await;
        let ask = |version: i16| {
            let key = StrBytes::from_static_str("g");
            match version {
                4.. => FindCoordinatorRequest::default().with_coordinator_keys(vec![key]),
                _ => FindCoordinatorRequest::default().with_key(key),
            }
        };
        let here: FindCoordinatorResponse = node.ask(10, 4, &ask(4)).await;
        assert_eq!(here.coordinators[0].node_id.0, 1);
        let image = node.broker.image();
        let topic = image.topic_by_name(OFFSETS_TOPIC).expect("the first request makes it");
        let index = partition_of("g", topic.partitions.len());
        let led_by = |leader| {
            let isr = Some([1, 2].map(BrokerId).to_vec());
            let change = PartitionChange { leader, isr, ..PartitionChange::of(topic.id, index) };
            MetadataRecord::PartitionChange(change)
        };
        let elected = led_by(LeaderChange::Elected(BrokerId(2)));
        show(&mut node, &[registration(2, false), elected]).await;
        for version in 0..=6 {
            let there: FindCoordinatorResponse = node.ask(10, version, &ask(version)).await;
            let found = match there.coordinators.first() {
                Some(found) => (found.node_id.0, found.host.to_string(), found.port, found.error_code),
                None => (there.node_id.0, there.host.to_string(), there.port, there.error_code),
            };
            assert_eq!(found, (2, "node-2".to_owned(), 9092, 0), "version {version}");
        }
        show(&mut node, &[led_by(LeaderChange::NoLeader)]).await;
        let nowhere: FindCoordinatorResponse = node.ask(10, 4, &ask(4)).await;
        assert_eq!((nowhere.coordinators[0].node_id.0, nowhere.coordinators[0].error_code), (-1, 15));
        node.stop().await;
    }
}
