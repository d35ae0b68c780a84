//! Where clients are told that the nodes of the cluster are.
//!
//! A node of a set has registered that; a node alone has not, and tells each client the address that it came to.

use super::RequestContext;
use config::broker::Endpoint;
use kafka_protocol::protocol::StrBytes;
use replication::metadata::image::MetadataImage;
use std::collections::BTreeMap;
use std::sync::Arc;
use storage::ids::{BrokerId, LeaderEpoch, PartitionIndex, TopicId};

/// A node, as a client is told of it.
pub(super) struct Node {
    pub(super) id: BrokerId,
    pub(super) host: StrBytes,
    pub(super) port: i32,
    pub(super) rack: Option<StrBytes>,
    /// Whether it is not to be used.
    pub(super) is_fenced: bool,
}

/// The node of this id; `None` where there is none, or clients do not reach it.
pub(super) fn find(context: &RequestContext, image: &MetadataImage, id: BrokerId) -> Option<Node> {
    let registration = image.broker(id)?;
    let registered = registration
        .client_endpoint()
        .map(|endpoint| Endpoint { host: endpoint.host.clone(), port: endpoint.port });
    let endpoint = match id == context.broker.node_id() {
        true => context.broker.advertised().or(registered).unwrap_or_else(|| reached(context)),
        false => registered?,
    };
    Some(Node {
        id,
        host: StrBytes::from_string(endpoint.host),
        port: i32::from(endpoint.port),
        rack: registration.rack.clone().map(StrBytes::from_string),
        is_fenced: registration.is_fenced,
    })
}

/// Every node that clients reach, by id.
pub(super) fn all(context: &RequestContext, image: &MetadataImage) -> Vec<Node> {
    image.brokers().keys().filter_map(|id| find(context, image, *id)).collect()
}

/// The node to which requests go that change the cluster, -1 while there is none. Every node passes them on.
pub(super) fn controller(image: &MetadataImage) -> kafka_protocol::messages::BrokerId {
    image.controller_id().map_or(-1, |id| id.0).into()
}

/// Who leads the partitions that a client asked the wrong node for, so that it need not ask for metadata first.
/// Source: KIP-951.
pub(super) struct CurrentLeaders<'a> {
    context: &'a RequestContext,
    /// One image for the whole answer, from when it is needed on, which is rarely.
    image: Option<Arc<MetadataImage>>,
    told: BTreeMap<BrokerId, Node>,
}

impl<'a> CurrentLeaders<'a> {
    pub(super) fn new(context: &'a RequestContext) -> Self {
        Self { context, image: None, told: BTreeMap::new() }
    }

    /// The id of the topic of this name.
    pub(super) fn topic_id_of(&mut self, name: &str) -> Option<TopicId> {
        self.image().topic_by_name(name).map(|topic| topic.id)
    }

    /// The leader of the partition and its epoch. `None` where there is none, or it is this node, which does not know
    /// enough then.
    pub(super) fn of(&mut self, topic_id: TopicId, index: PartitionIndex) -> Option<(BrokerId, LeaderEpoch)> {
        let image = self.image();
        let partition = image.topic_by_id(topic_id)?.partition(index)?;
        let leader = partition.leader.filter(|leader| *leader != self.context.broker.node_id())?;
        let node = find(self.context, &image, leader)?;
        self.told.insert(leader, node);
        Some((leader, partition.leader_epoch))
    }

    fn image(&mut self) -> Arc<MetadataImage> {
        Arc::clone(self.image.get_or_insert_with(|| self.context.broker.image()))
    }

    /// Where the leaders that were told are reached, by id.
    pub(super) fn into_nodes(self) -> impl Iterator<Item = Node> {
        self.told.into_values()
    }
}

/// The address at which this client reached us.
fn reached(context: &RequestContext) -> Endpoint {
    let address = context.local_address;
    Endpoint { host: address.ip().to_canonical().to_string(), port: address.port() }
}

#[cfg(test)]
mod tests;

#[cfg(test)]
pub(super) mod testing {
    use crate::node::testing::TestNode;
    use replication::metadata::image::MetadataImage;
    use replication::metadata::record::{BrokerEndpoint, BrokerRegistration, MetadataRecord};
    use std::sync::Arc;
    use storage::ids::{BrokerEpoch, BrokerId};

    /// Shows the node an image with these records more.
    pub(crate) async fn show(node: &mut TestNode, records: &[MetadataRecord]) -> Arc<MetadataImage> {
        node.stop_following().await;
        let image = node.broker.image();
        let image = Arc::new(image.apply(image.offset() + 1, records));
        node.broker.publish(Arc::clone(&image));
        image
    }

    /// A node `node-ID` at port 9092, which other nodes reach at port 9093.
    pub(crate) fn registration(id: i32, is_fenced: bool) -> MetadataRecord {
        let endpoint = |name: &str, port| BrokerEndpoint {
            name: name.to_owned(),
            host: format!("node-{id}"),
            port,
            security_protocol: 0,
        };
        MetadataRecord::RegisterBroker(BrokerRegistration {
            broker_id: BrokerId(id),
            broker_epoch: BrokerEpoch(1000 + i64::from(id)),
            incarnation: uuid::Uuid::nil(),
            endpoints: vec![endpoint("PEER", 9093), endpoint("PLAINTEXT", 9092)],
            rack: Some(format!("rack-{id}")),
            directory_id: uuid::Uuid::nil(),
            is_fenced,
            is_shutting_down: false,
        })
    }
}
