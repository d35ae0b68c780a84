//! What a classic group is to the consumer group that it becomes, and a classic group that a consumer group becomes.

use std::sync::Arc;

use bytes::Bytes;

use super::ClassicGroup;
use crate::environment::Environment;
use crate::error::GroupError;
use crate::ids::{GroupId, InstanceId, MemberId};
use crate::output::Output;
use crate::record::ClassicGroupValue;
use crate::request::Reply;

/// A member, as the consumer group has to know it.
pub(crate) struct ConvertedMember<'a> {
    pub(crate) member_id: &'a MemberId,
    pub(crate) group_instance_id: Option<&'a InstanceId>,
    pub(crate) client_id: &'a Arc<str>,
    pub(crate) client_host: &'a Arc<str>,
    pub(crate) session_timeout_ms: i32,
    pub(crate) rebalance_timeout_ms: i32,
    /// The protocols that it supports, with what it says for each, its favourite first.
    pub(crate) protocols: &'a [(Arc<str>, Bytes)],
    /// What it says for the protocol that the group chose, or for its favourite before the group chose one.
    pub(crate) subscription: &'a [u8],
    /// What the leader assigned to it.
    pub(crate) assignment: &'a [u8],
}

impl ClassicGroup {
    /// A group that has just been made of a consumer group. Its members' sessions begin now; they are called to join
    /// again where not everything is assigned.
    pub(crate) fn converted(
        group_id: &GroupId,
        value: &ClassicGroupValue,
        is_rebalance_due: bool,
        env: &Environment<'_>,
    ) -> Self {
        let mut group = Self::from_value(group_id, value, env);
        if is_rebalance_due {
            // Nobody waits in it, so nobody is answered.
            group.prepare_rebalance(env, &mut Output::default());
        }
        group
    }

    /// How often it has completed a rebalance.
    pub(crate) fn generation(&self) -> i32 {
        self.generation_id.0
    }

    /// Its members.
    pub(crate) fn converted_members(&self) -> impl Iterator<Item = ConvertedMember<'_>> {
        self.members.iter().map(|(member_id, member)| {
            let chosen = self.protocol.as_deref().and_then(|protocol| member.protocols.metadata(protocol));
            let protocols = member.protocols.as_slice();
            let favourite = || protocols.first().map(|(_, metadata)| metadata);
            ConvertedMember {
                member_id,
                group_instance_id: member.group_instance_id.as_ref(),
                client_id: &member.client_id,
                client_host: &member.client_host,
                session_timeout_ms: member.timeouts.session_ms,
                rebalance_timeout_ms: member.timeouts.rebalance_ms,
                protocols,
                subscription: chosen.or_else(favourite).map(Bytes::as_ref).unwrap_or_default(),
                assignment: &member.assignment,
            }
        })
    }

    /// The group becomes one of the consumer protocol: whoever waits for an answer is to join again.
    pub(crate) fn send_back_waiting(&mut self, output: &mut Output) {
        self.awaiting_join_count = 0;
        for member in self.members.values_mut() {
            if let Some(reply_to) = member.awaiting_join.take() {
                output.reply(reply_to, Reply::JoinGroup(Err(GroupError::RebalanceInProgress)));
            }
            if let Some(reply_to) = member.awaiting_sync.take() {
                output.reply(reply_to, Reply::SyncGroup(Err(GroupError::RebalanceInProgress)));
            }
        }
    }
}
