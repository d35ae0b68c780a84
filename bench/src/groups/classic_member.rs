//! A member that speaks the classic protocol: it joins, assigns if it leads, and sends heartbeats.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Result, bail};
use bytes::{Bytes, BytesMut};
use kafka_protocol::ResponseError;
use kafka_protocol::messages::consumer_protocol_assignment::TopicPartition;
use kafka_protocol::messages::join_group_request::JoinGroupRequestProtocol;
use kafka_protocol::messages::leave_group_request::MemberIdentity;
use kafka_protocol::messages::sync_group_request::SyncGroupRequestAssignment;
use kafka_protocol::messages::{
    ConsumerProtocolAssignment, ConsumerProtocolSubscription, HeartbeatRequest, JoinGroupRequest,
    JoinGroupResponse, LeaveGroupRequest, SyncGroupRequest, TopicName,
};
use kafka_protocol::protocol::{Decodable as _, Encodable as _, StrBytes};

use super::board::{Board, Owned};
use super::coordination::{group_id, is_beginning};
use crate::clock::pause;
use crate::connection::Connection;

const CONSUMER: StrBytes = StrBytes::from_static_str("consumer");
const PROTOCOL: StrBytes = StrBytes::from_static_str("bench");
/// Before the two-byte version of the consumer protocol's messages.
const VERSION: [u8; 2] = [0, 0];
const SESSION_TIMEOUT_MS: i32 = 45_000;
const REBALANCE_TIMEOUT_MS: i32 = 60_000;
/// How often a member that is away looks whether it is to come back.
const AWAY_STEP: Duration = Duration::from_millis(1);

/// What a member is to do.
#[derive(Clone, Copy, Debug)]
pub(super) struct Duty<'a> {
    pub(super) address: SocketAddr,
    pub(super) group: &'a str,
    pub(super) topic: &'a str,
    pub(super) partitions: usize,
    pub(super) number: usize,
    pub(super) heartbeat_interval: Duration,
}

/// Lives until the measurement is over.
pub(super) fn live(duty: Duty<'_>, board: &Board) -> Result<()> {
    let mut member = Member { duty, connection: Connection::open(duty.address)?, id: StrBytes::new() };
    while !board.is_over() {
        if board.is_wanted(duty.number) {
            member.belong(board)?;
        } else {
            pause(AWAY_STEP);
        }
    }
    Ok(())
}

struct Member<'a> {
    duty: Duty<'a>,
    connection: Connection,
    id: StrBytes,
}

impl Member<'_> {
    /// One generation: joins, and stays until the group rebalances or this member is to leave.
    fn belong(&mut self, board: &Board) -> Result<()> {
        let Some(joined) = self.join()? else { return Ok(()) };
        let Some(assignment) = self.sync(&joined)? else { return Ok(()) };
        let epoch = joined.generation_id;
        board.owns(self.duty.number, Owned { epoch, partitions: count(assignment)? });
        loop {
            pause(self.duty.heartbeat_interval);
            if !board.is_wanted(self.duty.number) {
                board.owns_nothing(self.duty.number);
                return self.leave();
            }
            let heartbeat = HeartbeatRequest::default()
                .with_group_id(group_id(self.duty.group))
                .with_generation_id(epoch)
                .with_member_id(self.id.clone());
            let error_code = self.connection.call(4, &heartbeat)?.error_code;
            if !self.may_stay(error_code)? {
                board.owns_nothing(self.duty.number);
                return Ok(());
            }
        }
    }

    /// Joins; `None` where it has to begin again.
    fn join(&mut self) -> Result<Option<JoinGroupResponse>> {
        let subscription = ConsumerProtocolSubscription::default()
            .with_topics(vec![StrBytes::from_string(self.duty.topic.to_owned())]);
        let mut metadata = BytesMut::from(&VERSION[..]);
        subscription.encode(&mut metadata, 0)?;
        let protocol =
            JoinGroupRequestProtocol::default().with_name(PROTOCOL).with_metadata(metadata.freeze());
        let request = JoinGroupRequest::default()
            .with_group_id(group_id(self.duty.group))
            .with_session_timeout_ms(SESSION_TIMEOUT_MS)
            .with_rebalance_timeout_ms(REBALANCE_TIMEOUT_MS)
            .with_member_id(self.id.clone())
            .with_protocol_type(CONSUMER)
            .with_protocols(vec![protocol]);
        let response = self.connection.call(9, &request)?;
        self.id = response.member_id.clone();
        match ResponseError::try_from_code(response.error_code) {
            None => Ok(Some(response)),
            Some(ResponseError::MemberIdRequired | ResponseError::RebalanceInProgress) => Ok(None),
            Some(error) if is_beginning(error) => Ok(None),
            Some(error) => bail!("JoinGroup: {error}"),
        }
    }

    /// Has the partitions assigned; `None` where the group rebalances already.
    fn sync(&mut self, joined: &JoinGroupResponse) -> Result<Option<Bytes>> {
        let assignments = if joined.leader == joined.member_id { self.assign(joined)? } else { Vec::new() };
        let request = SyncGroupRequest::default()
            .with_group_id(group_id(self.duty.group))
            .with_generation_id(joined.generation_id)
            .with_member_id(self.id.clone())
            .with_protocol_type(Some(CONSUMER))
            .with_protocol_name(Some(PROTOCOL))
            .with_assignments(assignments);
        let response = self.connection.call(5, &request)?;
        Ok(self.may_stay(response.error_code)?.then_some(response.assignment))
    }

    /// Deals the partitions out in turn.
    fn assign(&self, joined: &JoinGroupResponse) -> Result<Vec<SyncGroupRequestAssignment>> {
        let members = joined.members.len();
        let mut assignments = Vec::with_capacity(members);
        for (place, member) in joined.members.iter().enumerate() {
            let partitions = (place..self.duty.partitions).step_by(members).map(|index| index as i32);
            let topic = TopicPartition::default()
                .with_topic(TopicName(StrBytes::from_string(self.duty.topic.to_owned())))
                .with_partitions(partitions.collect());
            let mut bytes = BytesMut::from(&VERSION[..]);
            ConsumerProtocolAssignment::default()
                .with_assigned_partitions(vec![topic])
                .encode(&mut bytes, 0)?;
            assignments.push(
                SyncGroupRequestAssignment::default()
                    .with_member_id(member.member_id.clone())
                    .with_assignment(bytes.freeze()),
            );
        }
        Ok(assignments)
    }

    fn leave(&mut self) -> Result<()> {
        let identity = MemberIdentity::default().with_member_id(std::mem::take(&mut self.id));
        let request = LeaveGroupRequest::default()
            .with_group_id(group_id(self.duty.group))
            .with_members(vec![identity]);
        let response = self.connection.call(5, &request)?;
        match ResponseError::try_from_code(response.error_code) {
            None => Ok(()),
            Some(error) => bail!("LeaveGroup: {error}"),
        }
    }

    /// Whether its membership goes on as it is; otherwise it has to join again.
    fn may_stay(&mut self, error_code: i16) -> Result<bool> {
        match ResponseError::try_from_code(error_code) {
            None => Ok(true),
            Some(ResponseError::RebalanceInProgress | ResponseError::IllegalGeneration) => Ok(false),
            Some(ResponseError::UnknownMemberId) => {
                self.id = StrBytes::new();
                Ok(false)
            }
            Some(error) => bail!("{error}"),
        }
    }
}

/// How many partitions an assignment has.
fn count(mut assignment: Bytes) -> Result<usize> {
    if assignment.len() < VERSION.len() {
        return Ok(0);
    }
    let mut topics = assignment.split_off(VERSION.len());
    let assignment = ConsumerProtocolAssignment::decode(&mut topics, 0)?;
    Ok(assignment.assigned_partitions.iter().map(|topic| topic.partitions.len()).sum())
}
