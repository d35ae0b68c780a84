//! Members of the classic protocol as raw requests, for what no client would ask.

use anyhow::{Result, ensure};
use bytes::Bytes;
use kafka_protocol::messages::join_group_request::JoinGroupRequestProtocol;
use kafka_protocol::messages::leave_group_request::MemberIdentity;
use kafka_protocol::messages::sync_group_request::SyncGroupRequestAssignment;
use kafka_protocol::messages::{
    HeartbeatRequest, JoinGroupRequest, JoinGroupResponse, LeaveGroupRequest, SyncGroupRequest,
};
use kafka_protocol::protocol::StrBytes;

use super::admin::group_id;
use crate::wire::Connection;

/// JoinGroup's version in these tests: the newest.
pub const JOIN_VERSION: i16 = 9;
/// Error code MEMBER_ID_REQUIRED.
const MEMBER_ID_REQUIRED: i16 = 79;
/// A Subscription of version 0 without topics and user data, which the broker can read and has no use for.
const NO_TOPICS: [u8; 10] = [0, 0, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff];

/// Who a member is, as the broker knows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RawMember {
    /// The group.
    pub group: String,
    /// The id that the broker gave.
    pub member_id: StrBytes,
    /// The instance id of a static member.
    pub instance_id: Option<StrBytes>,
    /// The generation that it joined.
    pub generation: i32,
}

/// Text as the crate has it.
#[must_use]
pub fn text(text: &str) -> StrBytes {
    StrBytes::from_string(text.to_owned())
}

/// A JoinGroup of a consumer that supports these protocols.
#[must_use]
pub fn join_request(group: &str, protocols: &[&str]) -> JoinGroupRequest {
    let protocols = protocols.iter().map(|name| {
        JoinGroupRequestProtocol::default()
            .with_name(text(name))
            .with_metadata(Bytes::from_static(&NO_TOPICS))
    });
    JoinGroupRequest::default()
        .with_group_id(group_id(group))
        .with_session_timeout_ms(6_000)
        .with_rebalance_timeout_ms(6_000)
        .with_protocol_type(text("consumer"))
        .with_protocols(protocols.collect())
}

/// Joins, with the id that the broker first asks for where it does.
///
/// # Errors
/// When no answer comes.
pub fn join(connection: &mut Connection, mut request: JoinGroupRequest) -> Result<JoinGroupResponse> {
    let response = connection.call(JOIN_VERSION, &request)?;
    if response.error_code != MEMBER_ID_REQUIRED {
        return Ok(response);
    }
    request.member_id = response.member_id;
    connection.call(JOIN_VERSION, &request)
}

impl RawMember {
    /// Makes a new group with one member, in its first generation and stable.
    ///
    /// # Errors
    /// When the broker refuses.
    pub fn alone(connection: &mut Connection, group: &str) -> Result<RawMember> {
        RawMember::alone_by(connection, join_request(group, &["range"]))
    }

    /// As [`RawMember::alone`], with this JoinGroup.
    ///
    /// # Errors
    /// When the broker refuses.
    pub fn alone_by(connection: &mut Connection, request: JoinGroupRequest) -> Result<RawMember> {
        let (group, instance_id) = (request.group_id.to_string(), request.group_instance_id.clone());
        let joined = join(connection, request)?;
        ensure!(joined.error_code == 0, "JoinGroup answered {}", joined.error_code);
        ensure!(joined.leader == joined.member_id, "somebody else leads the group");
        let generation = joined.generation_id;
        let member = RawMember { group, member_id: joined.member_id, instance_id, generation };
        let synced = member.sync(connection)?;
        ensure!(synced == 0, "SyncGroup answered {synced}");
        Ok(member)
    }

    /// Sends an assignment for itself, and returns the error code.
    ///
    /// # Errors
    /// When no answer comes.
    pub fn sync(&self, connection: &mut Connection) -> Result<i16> {
        Ok(connection.call(5, &self.sync_request())?.error_code)
    }

    /// The SyncGroup of a leader that is alone.
    #[must_use]
    pub fn sync_request(&self) -> SyncGroupRequest {
        let assignment = SyncGroupRequestAssignment::default()
            .with_member_id(self.member_id.clone())
            .with_assignment(Bytes::from_static(&NO_TOPICS));
        SyncGroupRequest::default()
            .with_group_id(group_id(&self.group))
            .with_generation_id(self.generation)
            .with_member_id(self.member_id.clone())
            .with_group_instance_id(self.instance_id.clone())
            .with_protocol_type(Some(text("consumer")))
            .with_protocol_name(Some(text("range")))
            .with_assignments(vec![assignment])
    }

    /// Sends a heartbeat and returns the error code.
    ///
    /// # Errors
    /// When no answer comes.
    pub fn heartbeat(&self, connection: &mut Connection) -> Result<i16> {
        let request = HeartbeatRequest::default()
            .with_group_id(group_id(&self.group))
            .with_generation_id(self.generation)
            .with_member_id(self.member_id.clone())
            .with_group_instance_id(self.instance_id.clone());
        Ok(connection.call(4, &request)?.error_code)
    }

    /// Leaves, and returns the error code of the member.
    ///
    /// # Errors
    /// When no answer comes.
    pub fn leave(&self, connection: &mut Connection) -> Result<i16> {
        let member = MemberIdentity::default()
            .with_member_id(self.member_id.clone())
            .with_group_instance_id(self.instance_id.clone());
        let request =
            LeaveGroupRequest::default().with_group_id(group_id(&self.group)).with_members(vec![member]);
        let response = connection.call(5, &request)?;
        Ok(response.members.first().map_or(response.error_code, |member| member.error_code))
    }

    /// The same member with another id.
    #[must_use]
    pub fn with_member_id(&self, member_id: &str) -> RawMember {
        RawMember { member_id: text(member_id), ..self.clone() }
    }

    /// The same member in another generation.
    #[must_use]
    pub fn with_generation(&self, generation: i32) -> RawMember {
        RawMember { generation, ..self.clone() }
    }
}
