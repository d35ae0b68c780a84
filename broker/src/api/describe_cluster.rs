//! DescribeCluster (key 60, versions 0–2): the cluster's id, its controller and its nodes.
//!
//! Version notes: 1 tells brokers from controllers (KIP-919; asked for controllers, a broker answers
//! MISMATCHED_ENDPOINT_TYPE), 2 may include fenced brokers and says so of each (KIP-1073).
//! Source: `KafkaApis.handleDescribeCluster`, `AuthHelper.computeDescribeClusterResponse`.

use super::RequestContext;
use super::metadata::CLUSTER_OPERATIONS_ALLOWED;
use kafka_protocol::ResponseError;
use kafka_protocol::messages::describe_cluster_response::DescribeClusterBroker;
use kafka_protocol::messages::{BrokerId, DescribeClusterRequest, DescribeClusterResponse};
use kafka_protocol::protocol::StrBytes;

/// The endpoints of brokers. Source: `EndpointType.java`.
const BROKER_ENDPOINTS: i8 = 1;

pub(crate) async fn handle(
    context: RequestContext,
    request: DescribeClusterRequest,
) -> DescribeClusterResponse {
    let broker = &context.broker;
    let response = DescribeClusterResponse::default().with_cluster_id(StrBytes::from_string(broker.cluster_id()));
    if context.version >= 1 && request.endpoint_type != BROKER_ENDPOINTS {
        let error = match request.endpoint_type {
            2 => ResponseError::MismatchedEndpointType,
            _ => ResponseError::UnsupportedEndpointType,
        };
        return response
            .with_endpoint_type(request.endpoint_type)
            .with_error_code(error.code())
            .with_error_message(Some(StrBytes::from_static_str("this listener names the endpoints of brokers alone")));
    }
    let endpoint = broker.advertised_to(context.local_address);
    let node = DescribeClusterBroker::default()
        .with_broker_id(BrokerId(broker.node_id().0))
        .with_host(StrBytes::from_string(endpoint.host))
        .with_port(i32::from(endpoint.port))
        .with_rack(broker.rack().map(StrBytes::from_string));
    let mut response = response.with_controller_id(BrokerId(broker.node_id().0)).with_brokers(vec![node]);
    if request.include_cluster_authorized_operations {
        response.cluster_authorized_operations = CLUSTER_OPERATIONS_ALLOWED;
    }
    response
}
