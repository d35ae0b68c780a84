//! What a classic group is to the consumer group that it becomes, and a classic group that a consumer group becomes.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;

use super::ClassicGroup;
use crate::environment::Environment;
use crate::error::GroupError;
use crate::ids::{GenerationId, GroupId, InstanceId, MemberId};
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
    /// What it was assigned when the group was last stable: it may still read that, also while it joins again.
    pub(crate) assignment: &'a [u8],
}

impl ClassicGroup {
    /// A group that has just been made of a consumer group. Its members' sessions begin now. Where not everything is
    /// assigned they are called to join again, in the generation that they know: the record is already of the next one,
    /// so that they come also if this node dies before all have heard of it.
    pub(crate) fn converted(
        group_id: &GroupId,
        value: &ClassicGroupValue,
        generation_before: Option<GenerationId>,
        env: &Environment<'_>,
    ) -> Self {
        let mut group = Self::from_value(group_id, value, env);
        if let Some(generation_id) = generation_before {
            group.generation_id = generation_id;
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
        let recorded = self.record.applied().map(|value| value.members.as_slice()).unwrap_or_default();
        let assigned: BTreeMap<&MemberId, &Bytes> =
            recorded.iter().map(|member| (&member.member_id, &member.assignment)).collect();
        self.members.iter().map(move |(member_id, member)| {
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
                assignment: assigned.get(member_id).copied().map(Bytes::as_ref).unwrap_or_default(),
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
