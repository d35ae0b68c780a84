//! The table of APIs: one line an API, one file an API.
//!
//! A line gives the dispatch, the answer to ApiVersions, the label in metrics and the row in the README, and says `at once`
//! where the handler does something in the order of a connection's requests: it appends, or tells a group. Where the
//! advertised range is not the served one, the line says so: Produce is advertised from 0 since librdkafka
//! switches compression off otherwise (KAFKA-18659), and served from 3; ListOffsets is served from 0, which monitors on an
//! old sarama send without asking, and advertised from 1 as Kafka does.

use crate::broker::Broker;
use crate::client_quotas::{Meter, Mute};
use crate::limits::{self, RequestMemory};
use crate::stopping::Stopping;
use crate::telemetry::ClientSoftware;
use crate::timeline::Timeline;
use crate::wire::api_versions_request::ApiVersionsRequest;
use crate::wire::bounded_buffer::BoundedBuffer;
use crate::wire::delete_groups::DeleteGroupsRequest;
use crate::wire::list_offsets::ListOffsetsRequest;
use crate::wire::offset_commit::OffsetCommitRequest;
use crate::wire::offset_fetch::OffsetFetchRequest;
use crate::wire::request_header::RequestPrefix;
use crate::wire::response::{EncodeError, FrameBuilder, ResponseFrame};
use bytes::Bytes;
use futures_util::future::BoxFuture;
use kafka_protocol::messages::{
    AlterClientQuotasRequest, AlterConfigsRequest, AlterPartitionReassignmentsRequest,
    ConsumerGroupDescribeRequest, ConsumerGroupHeartbeatRequest, CreatePartitionsRequest,
    CreateTopicsRequest, DeleteRecordsRequest, DeleteTopicsRequest, DescribeClientQuotasRequest,
    DescribeClusterRequest, DescribeConfigsRequest, DescribeGroupsRequest, DescribeLogDirsRequest,
    DescribeProducersRequest, DescribeQuorumRequest, DescribeTopicPartitionsRequest,
    DescribeUserScramCredentialsRequest, ElectLeadersRequest, FetchRequest, FindCoordinatorRequest,
    GetTelemetrySubscriptionsRequest, HeartbeatRequest, IncrementalAlterConfigsRequest,
    InitProducerIdRequest, JoinGroupRequest, LeaveGroupRequest, ListConfigResourcesRequest,
    ListGroupsRequest, ListPartitionReassignmentsRequest, MetadataRequest, OffsetDeleteRequest,
    OffsetForLeaderEpochRequest, ProduceRequest, PushTelemetryRequest, SyncGroupRequest,
    UnregisterBrokerRequest, UpdateFeaturesRequest,
};
use kafka_protocol::protocol::{Decodable, Encodable, HeaderVersion};
use std::net::SocketAddr;
use std::sync::Arc;

mod altering;
mod coordination;
mod nodes;
mod resource_kinds;
mod throttled;

/// One API as the table has it.
#[derive(Clone, Copy, Debug)]
pub struct Api {
    /// Kafka's name of it.
    pub name: &'static str,
    /// Its number on the wire.
    pub key: i16,
    /// The lowest version that ApiVersions names.
    pub advertised_min: i16,
    /// The highest version that ApiVersions names, and the highest that is served.
    pub version_max: i16,
    /// The lowest version that is served.
    pub served_min: i16,
    /// The highest version whose schema is known; later ones have the same bytes.
    schema_max: i16,
    /// The version from which the request's header has tagged fields.
    pub request_flexible: fn(i16) -> bool,
    /// Whether a request begins only once the answers before it have gone, so that a connection holds one such answer. The
    /// others, which the table says begin at once, have short answers, or wait outside of the connection.
    pub(crate) takes_turns: bool,
}

/// Who asks, through which connection, in which version.
#[derive(Clone, Debug)]
pub struct RequestContext {
    /// The node that serves the request.
    pub broker: Arc<Broker>,
    /// The address of our end of the connection: what a client is told to connect to, unless `advertised.listeners`
    /// says otherwise.
    pub local_address: SocketAddr,
    /// The address of the client's end.
    pub peer_address: SocketAddr,
    /// The name that the client gave itself; empty where it gave none.
    pub client_id: String,
    /// What software the client says it is.
    pub(crate) software: Arc<ClientSoftware>,
    /// The version of the request.
    pub version: i16,
    /// The bytes of the request on the wire, without the four that say how many.
    pub(crate) request_bytes: usize,
    /// For how long nothing is read from the connection.
    pub(crate) mute: Arc<Mute>,
    /// The word that no more requests come over the connection: who waits for records answers now.
    pub ending: Stopping,
    /// The room that the request takes of those that wait for an answer.
    pub(crate) memory: Arc<RequestMemory>,
    /// Where its time goes.
    pub(crate) timeline: Arc<Timeline>,
}

/// What becomes of a request once it was handled.
#[derive(Debug)]
pub enum Outcome {
    /// This goes back.
    Send(ResponseFrame),
    /// The client expects no answer.
    Silence,
    /// The connection ends, which is the only answer that this client can understand.
    Close,
}

/// What a handler returns: something that can be put into a frame.
pub(crate) trait Reply {
    /// Puts the reply to the request with `prefix` into a frame, written in `schema_version`.
    fn into_outcome(self, prefix: RequestPrefix, schema_version: i16) -> Result<Outcome, EncodeError>;
}

impl<M: Encodable + HeaderVersion> Reply for M {
    fn into_outcome(self, prefix: RequestPrefix, schema_version: i16) -> Result<Outcome, EncodeError> {
        let is_flexible = M::header_version(schema_version) >= 1;
        let mut frame = FrameBuilder::new(prefix.correlation_id, is_flexible);
        frame.put_message(&self, schema_version)?;
        frame.finish(schema_version).map(Outcome::Send)
    }
}

/// A handled request; ready at once or, where it waits for a disk or for other records, later.
pub type PendingOutcome = BoxFuture<'static, Result<Outcome, EncodeError>>;

/// The body of a request could not be read.
#[derive(Debug, thiserror::Error)]
#[error("the body of a {api} request in version {version} is malformed: {reason}")]
pub struct MalformedBody {
    api: &'static str,
    version: i16,
    reason: String,
}

/// Whether a line without or with `at once` takes turns; any other word does not compile.
macro_rules! takes_turns {
    () => {
        true
    };
    (once) => {
        false
    };
}

macro_rules! apis {
    ($($name:ident = $key:literal, advertised $min:literal ..= $max:literal, served from $served:literal,
       schema to $schema:literal, $request:ident => $module:ident $(, at $once:ident)?;)*) => {
        $(
            #[allow(
                clippy::needless_pass_by_value,
                reason = "a handler owns what it is asked, whether it keeps it or not"
            )]
            pub(crate) mod $module;
        )*

        /// Every API that is served, by key.
        pub const APIS: &[Api] = &[$(Api {
            name: stringify!($name),
            key: $key,
            advertised_min: $min,
            version_max: $max,
            served_min: $served,
            schema_max: $schema,
            request_flexible: |version| $request::header_version(version.min($schema)) >= 2,
            takes_turns: takes_turns!($($once)?),
        }),*];

        /// The body of a request, by its API.
        pub(crate) enum Request {
            $($name($request),)*
        }

        /// Reads the body of a request. Bytes behind it are left unread, as Kafka leaves them.
        ///
        /// # Errors
        /// When the body is no request of that API and version.
        pub(crate) fn decode_request(
            api: &'static Api,
            version: i16,
            body: Bytes,
        ) -> Result<Request, MalformedBody> {
            let schema_version = version.min(api.schema_max);
            let mut body = BoundedBuffer::new(body, limits::reads_max(api.key));
            let decoded = match api.key {
                $($key => $request::decode(&mut body, schema_version).map(Request::$name),)*
                _ => Err(anyhow::anyhow!("no such API")),
            };
            decoded.map_err(|error| {
                let reason = match body.is_exhausted() {
                    true => "it has more elements than this node decodes".to_owned(),
                    false => error.to_string(),
                };
                MalformedBody { api: api.name, version, reason }
            })
        }

        /// Hands a request to its handler. What must happen in the order of the connection's requests (an append)
        /// has happened when this returns; the rest happens while the outcome is awaited.
        pub(crate) fn dispatch(
            request: Request,
            prefix: RequestPrefix,
            context: RequestContext,
        ) -> PendingOutcome {
            match request {
                $(Request::$name(request) => {
                    let schema_version = prefix.api_version.min($schema);
                    let meter = Meter::begin(&context, $key);
                    let reply = $module::handle(context, request);
                    let reply = meter.finish(reply);
                    Box::pin(async move { reply.await.into_outcome(prefix, schema_version) })
                })*
            }
        }
    };
}

apis! {
    Produce = 0, advertised 0..=13, served from 3, schema to 13, ProduceRequest => produce, at once;
    Fetch = 1, advertised 4..=18, served from 4, schema to 18, FetchRequest => fetch;
    ListOffsets = 2, advertised 1..=11, served from 0, schema to 10, ListOffsetsRequest => list_offsets;
    Metadata = 3, advertised 0..=13, served from 0, schema to 13, MetadataRequest => metadata;
    OffsetCommit = 8, advertised 2..=10, served from 2, schema to 10, OffsetCommitRequest => offset_commit, at once;
    OffsetFetch = 9, advertised 1..=10, served from 1, schema to 10, OffsetFetchRequest => offset_fetch;
    FindCoordinator = 10, advertised 0..=6, served from 0, schema to 6, FindCoordinatorRequest => find_coordinator;
    JoinGroup = 11, advertised 0..=9, served from 0, schema to 9, JoinGroupRequest => join_group, at once;
    Heartbeat = 12, advertised 0..=4, served from 0, schema to 4, HeartbeatRequest => heartbeat, at once;
    LeaveGroup = 13, advertised 0..=5, served from 0, schema to 5, LeaveGroupRequest => leave_group, at once;
    SyncGroup = 14, advertised 0..=5, served from 0, schema to 5, SyncGroupRequest => sync_group, at once;
    DescribeGroups = 15, advertised 0..=6, served from 0, schema to 6, DescribeGroupsRequest => describe_groups;
    ListGroups = 16, advertised 0..=5, served from 0, schema to 5, ListGroupsRequest => list_groups;
    ApiVersions = 18, advertised 0..=5, served from 0, schema to 5, ApiVersionsRequest => api_versions;
    CreateTopics = 19, advertised 2..=7, served from 2, schema to 7, CreateTopicsRequest => create_topics;
    DeleteTopics = 20, advertised 1..=6, served from 1, schema to 6, DeleteTopicsRequest => delete_topics;
    DeleteRecords = 21, advertised 0..=2, served from 0, schema to 2, DeleteRecordsRequest => delete_records;
    InitProducerId = 22, advertised 0..=5, served from 0, schema to 5, InitProducerIdRequest => init_producer_id;
    OffsetForLeaderEpoch = 23, advertised 2..=4, served from 2, schema to 4,
        OffsetForLeaderEpochRequest => offset_for_leader_epoch;
    DescribeConfigs = 32, advertised 1..=4, served from 1, schema to 4, DescribeConfigsRequest => describe_configs;
    AlterConfigs = 33, advertised 0..=2, served from 0, schema to 2, AlterConfigsRequest => alter_configs;
    DescribeLogDirs = 35, advertised 1..=5, served from 1, schema to 4, DescribeLogDirsRequest => describe_log_dirs;
    CreatePartitions = 37, advertised 0..=3, served from 0, schema to 3,
        CreatePartitionsRequest => create_partitions;
    DeleteGroups = 42, advertised 0..=3, served from 0, schema to 3, DeleteGroupsRequest => delete_groups, at once;
    ElectLeaders = 43, advertised 0..=2, served from 0, schema to 2, ElectLeadersRequest => elect_leaders;
    IncrementalAlterConfigs = 44, advertised 0..=1, served from 0, schema to 1,
        IncrementalAlterConfigsRequest => incremental_alter_configs;
    AlterPartitionReassignments = 45, advertised 0..=1, served from 0, schema to 1,
        AlterPartitionReassignmentsRequest => alter_partition_reassignments;
    ListPartitionReassignments = 46, advertised 0..=0, served from 0, schema to 0,
        ListPartitionReassignmentsRequest => list_partition_reassignments;
    OffsetDelete = 47, advertised 0..=0, served from 0, schema to 0, OffsetDeleteRequest => offset_delete, at once;
    DescribeClientQuotas = 48, advertised 0..=1, served from 0, schema to 1,
        DescribeClientQuotasRequest => describe_client_quotas;
    AlterClientQuotas = 49, advertised 0..=1, served from 0, schema to 1,
        AlterClientQuotasRequest => alter_client_quotas;
    DescribeUserScramCredentials = 50, advertised 0..=0, served from 0, schema to 0,
        DescribeUserScramCredentialsRequest => describe_user_scram_credentials;
    DescribeQuorum = 55, advertised 0..=2, served from 0, schema to 2, DescribeQuorumRequest => describe_quorum;
    UpdateFeatures = 57, advertised 0..=2, served from 0, schema to 2, UpdateFeaturesRequest => update_features;
    DescribeCluster = 60, advertised 0..=2, served from 0, schema to 2, DescribeClusterRequest => describe_cluster;
    DescribeProducers = 61, advertised 0..=0, served from 0, schema to 0,
        DescribeProducersRequest => describe_producers;
    UnregisterBroker = 64, advertised 0..=0, served from 0, schema to 0,
        UnregisterBrokerRequest => unregister_broker;
    ConsumerGroupHeartbeat = 68, advertised 0..=1, served from 0, schema to 1,
        ConsumerGroupHeartbeatRequest => consumer_group_heartbeat, at once;
    ConsumerGroupDescribe = 69, advertised 0..=1, served from 0, schema to 1,
        ConsumerGroupDescribeRequest => consumer_group_describe;
    GetTelemetrySubscriptions = 71, advertised 0..=0, served from 0, schema to 0,
        GetTelemetrySubscriptionsRequest => get_telemetry_subscriptions;
    PushTelemetry = 72, advertised 0..=0, served from 0, schema to 0, PushTelemetryRequest => push_telemetry;
    ListConfigResources = 74, advertised 0..=1, served from 0, schema to 1,
        ListConfigResourcesRequest => list_config_resources;
    DescribeTopicPartitions = 75, advertised 0..=0, served from 0, schema to 0,
        DescribeTopicPartitionsRequest => describe_topic_partitions;
}

/// Produce's key, which the connection lets send longer frames than the others.
pub const PRODUCE_KEY: i16 = 0;
/// The key of ApiVersions, which answers in versions that it does not serve.
pub const API_VERSIONS_KEY: i16 = 18;

/// The key of GetTelemetrySubscriptions.
pub(crate) const GET_TELEMETRY_SUBSCRIPTIONS_KEY: i16 = 71;
/// The key of PushTelemetry.
pub(crate) const PUSH_TELEMETRY_KEY: i16 = 72;

/// The row of `key`, or `None` where that API is not served.
#[must_use]
pub fn find(key: i16) -> Option<&'static Api> {
    APIS.iter().find(|api| api.key == key)
}

#[cfg(test)]
mod tests;
