//! Which responses say for how long a client is to keep quiet: all but a few that have no field for it.

use super::api_versions::ApiVersionsReply;
use super::delete_groups::DeleteGroupsReply;
use super::fetch::FetchReply;
use super::list_offsets::ListOffsetsReply;
use super::offset_commit::OffsetCommitReply;
use super::offset_fetch::OffsetFetchReply;
use super::produce::ProduceReply;
use crate::client_quotas::Throttled;
use kafka_protocol::messages::{
    AlterClientQuotasResponse, AlterConfigsResponse, AlterPartitionReassignmentsResponse,
    ConsumerGroupDescribeResponse, ConsumerGroupHeartbeatResponse, CreatePartitionsResponse,
    CreateTopicsResponse, DeleteRecordsResponse, DeleteTopicsResponse, DescribeClientQuotasResponse,
    DescribeClusterResponse, DescribeConfigsResponse, DescribeGroupsResponse, DescribeProducersResponse,
    DescribeQuorumResponse, DescribeTopicPartitionsResponse, DescribeUserScramCredentialsResponse,
    ElectLeadersResponse, FindCoordinatorResponse, GetTelemetrySubscriptionsResponse, HeartbeatResponse,
    IncrementalAlterConfigsResponse, InitProducerIdResponse, JoinGroupResponse, LeaveGroupResponse,
    ListConfigResourcesResponse, ListGroupsResponse, ListPartitionReassignmentsResponse, MetadataResponse,
    OffsetDeleteResponse, OffsetForLeaderEpochResponse, PushTelemetryResponse, SyncGroupResponse,
    UnregisterBrokerResponse, UpdateFeaturesResponse,
};

macro_rules! throttled {
    ($($response:ident $(. $within:tt)?;)*) => {
        $(impl Throttled for $response {
            fn set_throttle_time_ms(&mut self, milliseconds: i32) {
                self$(.$within)?.throttle_time_ms = milliseconds;
            }

            fn throttle_time_ms(&self) -> i32 {
                self$(.$within)?.throttle_time_ms
            }
        })*
    };
}

throttled! {
    AlterClientQuotasResponse;
    AlterConfigsResponse;
    AlterPartitionReassignmentsResponse;
    ApiVersionsReply.0;
    ConsumerGroupDescribeResponse;
    ConsumerGroupHeartbeatResponse;
    CreatePartitionsResponse;
    CreateTopicsResponse;
    DeleteGroupsReply;
    DeleteRecordsResponse;
    DeleteTopicsResponse;
    DescribeClientQuotasResponse;
    DescribeClusterResponse;
    DescribeConfigsResponse;
    DescribeGroupsResponse;
    DescribeProducersResponse;
    DescribeTopicPartitionsResponse;
    DescribeUserScramCredentialsResponse;
    ElectLeadersResponse;
    FetchReply.0;
    FindCoordinatorResponse;
    GetTelemetrySubscriptionsResponse;
    HeartbeatResponse;
    IncrementalAlterConfigsResponse;
    InitProducerIdResponse;
    JoinGroupResponse;
    LeaveGroupResponse;
    ListConfigResourcesResponse;
    ListGroupsResponse;
    ListOffsetsReply.0;
    ListPartitionReassignmentsResponse;
    MetadataResponse;
    OffsetCommitReply.0;
    OffsetDeleteResponse;
    OffsetFetchReply.0;
    OffsetForLeaderEpochResponse;
    PushTelemetryResponse;
    SyncGroupResponse;
    UnregisterBrokerResponse;
    UpdateFeaturesResponse;
}

impl Throttled for ProduceReply {
    fn set_throttle_time_ms(&mut self, milliseconds: i32) {
        if let Self::Answer(response) = self {
            response.throttle_time_ms = milliseconds;
        }
    }

    fn throttle_time_ms(&self) -> i32 {
        match self {
            Self::Answer(response) => response.throttle_time_ms,
            Self::Silence | Self::Close => 0,
        }
    }
}

/// It has no such field.
impl Throttled for DescribeQuorumResponse {
    fn set_throttle_time_ms(&mut self, _: i32) {}

    fn throttle_time_ms(&self) -> i32 {
        0
    }
}
