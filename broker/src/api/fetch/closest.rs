//! Which replica a consumer had better read from. Source: KIP-392, `RackAwareReplicaSelector`,
//! `ReplicaManager.findPreferredReadReplica`.

use crate::broker::Broker;
use crate::partition::Partition;
use config::broker::ReplicaSelector;
use storage::ids::{BrokerId, Offset};

/// A replica in the consumer's rack, where this leader is in another: an in-sync one that has what the consumer asks for.
pub(super) fn preferred(
    broker: &Broker,
    partition: &Partition,
    client_rack: &str,
    fetch_offset: Offset,
) -> Option<BrokerId> {
    let settings = broker.settings.load();
    if settings.broker.replication.replica_selector_class != ReplicaSelector::RackAware
        || client_rack.is_empty()
        || settings.broker.broker_rack.as_deref() == Some(client_rack)
    {
        return None;
    }
    let image = broker.image();
    let is_close =
        |id| image.broker(id).is_some_and(|it| it.is_active() && it.rack.as_deref() == Some(client_rack));
    let followers = partition.followers().into_iter();
    let fitting = followers.filter(|follower| {
        let holds = follower.log_start_offset.is_some_and(|start| start <= fetch_offset)
            && follower.log_end_offset.is_some_and(|end| end >= fetch_offset);
        follower.is_in_sync && holds && is_close(follower.broker_id)
    });
    fitting.max_by_key(|follower| follower.log_end_offset).map(|follower| follower.broker_id)
}
