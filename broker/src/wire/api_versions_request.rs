//! The request of ApiVersions, whose version 5 (KIP-1242, Kafka 4.4) the crate does not have.
//!
//! Version 5 says which cluster and node the client means to reach, so that a client with stale addresses finds out.

use super::compact::{int32, nullable_string, skip_tagged_fields};
use anyhow::Result;
use kafka_protocol::messages::ApiVersionsRequest as RequestOfTheCrate;
use kafka_protocol::protocol::buf::ByteBuf;
use kafka_protocol::protocol::{Decodable, HeaderVersion, StrBytes};

/// The first version that names the cluster and the node.
const DESTINATION_SINCE: i16 = 5;

/// What a client says of itself before anything else.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApiVersionsRequest {
    /// The name of the client's library; empty below version 3.
    pub client_software_name: StrBytes,
    /// Its version; empty below version 3.
    pub client_software_version: StrBytes,
    /// The cluster that the client means to reach, where it knows.
    pub cluster_id: Option<StrBytes>,
    /// The node that the client means to reach; -1 where it does not know.
    pub node_id: i32,
}

impl HeaderVersion for ApiVersionsRequest {
    fn header_version(version: i16) -> i16 {
        RequestOfTheCrate::header_version(version.min(4))
    }
}

impl Decodable for ApiVersionsRequest {
    fn decode<B: ByteBuf>(buffer: &mut B, version: i16) -> Result<Self> {
        if version < DESTINATION_SINCE {
            let request = RequestOfTheCrate::decode(buffer, version)?;
            return Ok(Self {
                client_software_name: request.client_software_name,
                client_software_version: request.client_software_version,
                cluster_id: None,
                node_id: -1,
            });
        }
        let request = Self {
            client_software_name: nullable_string(buffer)?.unwrap_or_default(),
            client_software_version: nullable_string(buffer)?.unwrap_or_default(),
            cluster_id: nullable_string(buffer)?,
            node_id: int32(buffer)?,
        };
        skip_tagged_fields(buffer)?;
        Ok(request)
    }
}

#[cfg(test)]
mod tests {
    use super::ApiVersionsRequest;
    use bytes::Bytes;
    use kafka_protocol::protocol::{Decodable, StrBytes};

    #[test]
    fn version_5_names_the_cluster_and_the_node() {
        let mut body = Bytes::from_static(b"\x03me\x021\x04abc\0\0\0\x07\x01\x00\x01x");
        let request = ApiVersionsRequest::decode(&mut body, 5).expect("a whole request");
        assert_eq!(request.cluster_id, Some(StrBytes::from_static_str("abc")));
        assert_eq!((request.client_software_name.as_str(), request.node_id), ("me", 7));
        assert!(body.is_empty());
    }

    #[test]
    fn a_null_cluster_is_none() {
        let mut body = Bytes::from_static(b"\x03me\x021\0\xff\xff\xff\xff\0");
        let request = ApiVersionsRequest::decode(&mut body, 5).expect("a whole request");
        assert_eq!((request.cluster_id, request.node_id), (None, -1));
    }
}
