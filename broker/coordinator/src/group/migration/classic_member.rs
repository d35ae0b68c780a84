//! Members that speak the classic protocol in a consumer group. To them it looks like a group whose leader is somebody
//! else: they join, are told their epoch as the generation, and fetch with SyncGroup what the broker assigned. Where
//! they have to give something up, or may have more, a heartbeat sends them to join again.
//!
//! How they join is in `joining`. What is common to both protocols is in `group/consumer/speaking`.
//!
//! Source: KIP-848, GroupMetadataManager.java (`classicGroup*ToConsumerGroup`).

mod joining;

use std::collections::BTreeSet;
use std::sync::Arc;

use super::consumer_protocol::{Assignment, NamedPartitions};
use super::fence;
use crate::environment::Environment;
use crate::error::GroupError;
use crate::group::Group;
use crate::group::consumer::{
    ConsumerGroup, Member, PROTOCOL_TYPE, Speaking, Timer, check_instance, deadline_after_ms,
    unknown_instance, unknown_member,
};
use crate::group::table::Groups;
use crate::ids::{GenerationId, GroupId, InstanceId, MemberId};
use crate::output::{Output, ReplyTo};
use crate::record::{MemberState, Record};
use crate::request::{Heartbeat, JoinGroup, LeaveGroup, LeavingMember, Reply, SyncGroup, SyncedGroup};

/// JoinGroup to a consumer group that has members.
pub(crate) fn join(
    groups: &mut Groups,
    request: &JoinGroup,
    reply_to: ReplyTo,
    env: &Environment<'_>,
    output: &mut Output,
) {
    let reply = match groups.get_mut(&request.group_id) {
        Some(Group::Consumer(group)) => group.join_classic(request, env),
        Some(Group::Classic(_)) | None => Err(unknown_group(&request.group_id)),
    };
    let reply = reply.map(|joined| {
        output.records.extend(joined.records);
        if let Some(group) = joined.downgraded {
            groups.stage(&request.group_id, group);
        }
        joined.reply
    });
    output.reply(reply_to, Reply::JoinGroup(reply));
}

/// SyncGroup to a consumer group that has members.
pub(crate) fn sync(
    groups: &mut Groups,
    request: SyncGroup,
    reply_to: ReplyTo,
    env: &Environment<'_>,
    output: &mut Output,
) {
    let reply = match groups.get_mut(&request.group_id) {
        Some(Group::Consumer(group)) => group.sync_classic(request, env),
        Some(Group::Classic(_)) | None => Err(unknown_group(&request.group_id)),
    };
    output.reply(reply_to, Reply::SyncGroup(reply));
}

/// Heartbeat to a consumer group.
pub(crate) fn heartbeat(
    groups: &mut Groups,
    request: &Heartbeat,
    reply_to: ReplyTo,
    env: &Environment<'_>,
    output: &mut Output,
) {
    let reply = match groups.get_mut(&request.group_id) {
        Some(Group::Consumer(group)) => group.heartbeat_classic(request, env, &mut output.records),
        Some(Group::Classic(_)) | None => Err(unknown_group(&request.group_id)),
    };
    output.reply(reply_to, Reply::Heartbeat(reply));
}

/// LeaveGroup to a consumer group, which also removes members of the consumer protocol.
pub(crate) fn leave(
    groups: &mut Groups,
    request: &LeaveGroup,
    reply_to: ReplyTo,
    env: &Environment<'_>,
    output: &mut Output,
) {
    let Some(Group::Consumer(group)) = groups.get(&request.group_id) else {
        return output.reply(reply_to, Reply::LeaveGroup(Err(unknown_group(&request.group_id))));
    };
    let mut leaving = BTreeSet::new();
    let results = request.members.iter().map(|member| {
        leaving.insert(group.find_leaving(member, &request.group_id)?);
        Ok(())
    });
    let results = results.collect();
    fence(groups, &request.group_id, &leaving, env, output);
    output.reply(reply_to, Reply::LeaveGroup(Ok(results)));
}

impl ConsumerGroup {
    fn sync_classic(&mut self, request: SyncGroup, env: &Environment<'_>) -> Result<SyncedGroup, GroupError> {
        let member = self.classic_member(
            &request.member_id,
            request.group_instance_id.as_ref(),
            request.generation_id,
            &request.group_id,
        )?;
        let classic = member.said.classic.as_ref().ok_or(GroupError::InconsistentGroupProtocol)?;
        let (name, metadata) =
            classic.supported_protocols.first().ok_or(GroupError::InconsistentGroupProtocol)?;
        let is_other_type = request.protocol_type.as_ref().is_some_and(|other| **other != *PROTOCOL_TYPE);
        if is_other_type || request.protocol_name.as_ref().is_some_and(|other| other != name) {
            return Err(GroupError::InconsistentGroupProtocol);
        }
        let current = &member.current;
        let rebalance_timeout_ms = member.said.rebalance_timeout_ms;
        if self.state.assignment_epoch.0 > current.epoch.0
            && current.state != MemberState::UnrevokedPartitions
        {
            let deadline = deadline_after_ms(env, rebalance_timeout_ms);
            self.timers.set_if_absent(&request.member_id, Timer::Join, deadline);
            return Err(GroupError::RebalanceInProgress);
        }
        let partitions = current.assigned.iter().filter_map(|(topic, partitions)| {
            let name = env.cluster.topic_by_id(*topic)?.name;
            Some((name, partitions.keys().copied().collect()))
        });
        let partitions: Vec<NamedPartitions> = partitions.collect();
        let assignment =
            Assignment::write(&partitions, metadata).map_err(|_| GroupError::InconsistentGroupProtocol)?;
        let session = deadline_after_ms(env, classic.session_timeout_ms);
        self.timers.cancel(&request.member_id, |timer| timer == Timer::Sync);
        self.timers.set(&request.member_id, Timer::Session, session);
        Ok(SyncedGroup {
            protocol_type: request.protocol_type,
            protocol_name: request.protocol_name,
            assignment,
        })
    }

    /// A member is alive. As the heartbeat of a member of the consumer protocol, this one sees to it that the target is
    /// computed when it is time; else a group in which only classic members are left would wait for it (as in Kafka).
    fn heartbeat_classic(
        &mut self,
        request: &Heartbeat,
        env: &Environment<'_>,
        records: &mut Vec<Record>,
    ) -> Result<(), GroupError> {
        let member_id = &request.member_id;
        let member = self
            .classic_member(
                member_id,
                request.group_instance_id.as_ref(),
                request.generation_id,
                &request.group_id,
            )?
            .clone();
        let said = Arc::clone(&member.said);
        let rebalance_timeout_ms = said.rebalance_timeout_ms;
        let session_timeout_ms = said.classic.as_ref().map_or(0, |classic| classic.session_timeout_ms);
        self.timers.set(member_id, Timer::Session, deadline_after_ms(env, session_timeout_ms));
        let mut speaking = Speaking::new(self, &request.group_id, env, member_id.clone(), member);
        speaking.says(said)?;
        let (target_epoch, _) = speaking.target();
        let Speaking { after, records: computed, .. } = speaking;
        records.extend(computed);
        let has_to_rejoin = after.current.epoch < target_epoch
            || after.current.state == MemberState::UnrevokedPartitions
            || (after.current.state == MemberState::UnreleasedPartitions
                && !self.is_waiting_for_others(member_id, &after));
        if has_to_rejoin {
            self.timers.set_if_absent(member_id, Timer::Join, deadline_after_ms(env, rebalance_timeout_ms));
            return Err(GroupError::RebalanceInProgress);
        }
        Ok(())
    }

    /// Whether a partition that the member is to own is still held by another.
    fn is_waiting_for_others(&self, member_id: &MemberId, member: &Member) -> bool {
        let Some(target) = self.state.targets.get(member_id) else { return false };
        target.iter().any(|(topic, partitions)| {
            let assigned = member.current.assigned.get(topic);
            let is_mine = |partition| assigned.is_some_and(|assigned| assigned.contains_key(partition));
            partitions.iter().any(|partition| !is_mine(partition) && self.index.is_held(*topic, *partition))
        })
    }

    /// The member that a request is of, which has to speak the classic protocol and to be in this generation.
    fn classic_member(
        &self,
        member_id: &MemberId,
        instance_id: Option<&InstanceId>,
        generation_id: GenerationId,
        group_id: &GroupId,
    ) -> Result<&Member, GroupError> {
        if let Some(instance_id) = instance_id {
            let owner = self.index.static_member(instance_id).ok_or_else(|| unknown_instance(instance_id))?;
            check_instance(owner, member_id)?;
        }
        let member = self.state.members.get(member_id).ok_or_else(|| unknown_member(member_id, group_id))?;
        if !member.is_classic() {
            return Err(GroupError::UnknownMemberId(format!(
                "Member {member_id} does not use the classic protocol."
            )));
        }
        if member.current.epoch.0 != generation_id.0 {
            return Err(GroupError::IllegalGeneration);
        }
        Ok(member)
    }

    fn find_leaving(&self, leaving: &LeavingMember, group_id: &GroupId) -> Result<MemberId, GroupError> {
        let Some(instance_id) = &leaving.group_instance_id else {
            let member_id = leaving.member_id.clone().unwrap_or_else(|| MemberId::from(""));
            if !self.state.members.contains_key(&member_id) {
                return Err(unknown_member(&member_id, group_id));
            }
            return Ok(member_id);
        };
        let owner = self.index.static_member(instance_id).ok_or_else(|| unknown_instance(instance_id))?;
        leaving.member_id.as_ref().map_or(Ok(()), |member_id| check_instance(owner, member_id))?;
        Ok(owner.clone())
    }
}

fn unknown_group(group_id: &GroupId) -> GroupError {
    GroupError::UnknownMemberId(format!("Group {group_id} not found."))
}
