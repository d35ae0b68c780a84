//! DescribeCluster (key 60, versions 0–2): the cluster's id, its controller and its nodes.
//!
//! Version notes: 1 tells brokers from controllers (KIP-919; asked for controllers, a broker answers
//! MISMATCHED_ENDPOINT_TYPE), 2 may include fenced brokers and says so of each (KIP-1073).
//! Source: `KafkaApis.handleDescribeCluster`, `AuthHelper.computeDescribeClusterResponse`.

use super::metadata::CLUSTER_OPERATIONS_ALLOWED;
use super::{RequestContext, nodes};
use kafka_protocol::ResponseError;
use kafka_protocol::messages::describe_cluster_response::DescribeClusterBroker;
use kafka_protocol::messages::{BrokerId, DescribeClusterRequest, DescribeClusterResponse};
use kafka_protocol::protocol::StrBytes;

/// The endpoints of brokers. Source: `EndpointType.java`.
const BROKER_ENDPOINTS: i8 = 1;

/// The first version that tells of fenced nodes.
const FENCED_SINCE: i16 = 2;

pub(crate) async fn handle(
    context: RequestContext,
    request: DescribeClusterRequest,
) -> DescribeClusterResponse {
    let broker = &context.broker;
    let response =
        DescribeClusterResponse::default().with_cluster_id(StrBytes::from_string(broker.cluster_id()));
    if context.version >= 1 && request.endpoint_type != BROKER_ENDPOINTS {
        let error = match request.endpoint_type {
            2 => ResponseError::MismatchedEndpointType,
            _ => ResponseError::UnsupportedEndpointType,
        };
        return response
            .with_endpoint_type(request.endpoint_type)
            .with_error_code(error.code())
            .with_error_message(Some(StrBytes::from_static_str(
                "this listener names the endpoints of brokers alone",
            )));
    }
    let image = broker.image();
    let described = |node: nodes::Node| {
        let described = DescribeClusterBroker::default()
            .with_broker_id(BrokerId(node.id.0))
            .with_host(node.host)
            .with_port(node.port)
            .with_rack(node.rack);
        if context.version >= FENCED_SINCE { described.with_is_fenced(node.is_fenced) } else { described }
    };
    let tells_fenced = context.version >= FENCED_SINCE && request.include_fenced_brokers;
    let told = nodes::all(&context, &image).into_iter().filter(|node| tells_fenced || !node.is_fenced);
    let brokers = told.map(described).collect();
    let mut response = response.with_controller_id(nodes::controller(&image)).with_brokers(brokers);
    if request.include_cluster_authorized_operations {
        response.cluster_authorized_operations = CLUSTER_OPERATIONS_ALLOWED;
    }
    response
}

#[cfg(test)]
mod tests {
    use crate::api::nodes::testing::{registration, show};
    use crate::node::testing::TestNode;
    use kafka_protocol::messages::{DescribeClusterRequest, DescribeClusterResponse};

    fn told(answer: &DescribeClusterResponse) -> Vec<(i32, bool)> {
        answer.brokers.iter().map(|node| (node.broker_id.0, node.is_fenced)).collect()
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn fenced_nodes_are_told_to_those_who_ask_for_them() {
        let mut node = TestNode::start(&[]).await;
        show(&mut node, &[registration(2, true), registration(3, false)]).await;
        let request = DescribeClusterRequest::default();
        for version in 0..=2 {
            let answer: DescribeClusterResponse = node.ask(60, version, &request).await;
            assert_eq!(told(&answer), [(1, false), (3, false)], "version {version}");
        }
        let request = request.with_include_fenced_brokers(true);
        let answer: DescribeClusterResponse = node.ask(60, 2, &request).await;
        assert_eq!(told(&answer), [(1, false), (2, true), (3, false)]);
        assert_eq!(answer.controller_id.0, 1);
        node.stop().await;
    }
}
