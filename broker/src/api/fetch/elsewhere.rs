//! Who leads what a client asked another node for. Source: KIP-951.

use super::FetchError;
use super::reading::Found;
use crate::api::RequestContext;
use crate::api::nodes::{CurrentLeaders, Node};
use crate::fetch_sessions::TopicKey;
use kafka_protocol::messages::fetch_response::{LeaderIdAndEpoch, NodeEndpoint};
use storage::ids::PartitionIndex;

/// The first version whose response names the leader to a client that asked another node.
const CURRENT_LEADER_SINCE: i16 = 16;

/// The leader, for a client that asked another node for it.
pub(super) fn leader(
    context: &RequestContext,
    found: &Result<Found, FetchError>,
    (topic, index): (&TopicKey, PartitionIndex),
    leaders: &mut CurrentLeaders<'_>,
) -> Option<LeaderIdAndEpoch> {
    let is_wrong = matches!(found, Err(FetchError::NotLeader | FetchError::FencedLeaderEpoch { .. }));
    if !is_wrong || context.version < CURRENT_LEADER_SINCE {
        return None;
    }
    let topic_id = match topic {
        TopicKey::Name(name) => leaders.topic_id_of(name)?,
        TopicKey::Id(topic_id) => *topic_id,
    };
    let (leader, epoch) = leaders.of(topic_id, index)?;
    Some(LeaderIdAndEpoch::default().with_leader_id(leader.0.into()).with_leader_epoch(epoch.0))
}

/// Where the leaders that were named are reached.
pub(super) fn endpoints(leaders: CurrentLeaders<'_>) -> Vec<NodeEndpoint> {
    let endpoint = |node: Node| {
        let endpoint = NodeEndpoint::default().with_node_id(node.id.0.into()).with_rack(node.rack);
        endpoint.with_host(node.host).with_port(node.port)
    };
    leaders.into_nodes().map(endpoint).collect()
}
