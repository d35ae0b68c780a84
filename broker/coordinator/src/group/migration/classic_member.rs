//! Members that speak the classic protocol in a consumer group. To them it looks like a group whose leader is somebody
//! else: they join, are told their epoch as the generation, and fetch with SyncGroup what the broker assigned. Where
//! they have to give something up, or may have more, a heartbeat sends them to join again.
//!
//! Source: KIP-848, GroupMetadataManager.java (`classicGroup*ToConsumerGroup`).

use std::collections::BTreeSet;
use std::sync::Arc;

use bytes::Bytes;
use storage::ids::TopicId;

use super::consumer_protocol::{Assignment, NamedPartitions, Subscription};
use super::{downgrade, fence};
use crate::environment::{Cluster, Environment};
use crate::error::GroupError;
use crate::group::Group;
use crate::group::consumer::{
    ConsumerGroup, Member, PROTOCOL_TYPE, Speaking, Timer, check_instance, deadline_after_ms, new_member_id,
    rejoining, unknown_instance, unknown_member,
};
use crate::group::table::Groups;
use crate::ids::{GenerationId, GroupId, InstanceId, MemberId};
use crate::output::{Output, ReplyTo};
use crate::record::{ClassicMemberMetadata, ConsumerMemberValue, MemberState, Record, TopicPartitions};
use crate::request::{
    Heartbeat, JoinGroup, JoinedGroup, LeaveGroup, LeavingMember, Reply, SyncGroup, SyncedGroup,
};
use config::group::MigrationPolicy;

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

/// What a JoinGroup comes to.
struct Joined {
    reply: JoinedGroup,
    records: Vec<Record>,
    /// What the group becomes, where the last member of the consumer protocol was replaced.
    downgraded: Option<Group>,
}

impl ConsumerGroup {
    fn join_classic(&mut self, request: &JoinGroup, env: &Environment<'_>) -> Result<Joined, GroupError> {
        check_join(request, env)?;
        let member_id = request.member_id.clone().unwrap_or_else(|| new_member_id(env));
        self.check_room_for(&member_id, env)?;
        if !self.supports_classic(request) {
            return Err(GroupError::InconsistentGroupProtocol);
        }
        let is_new = request.member_id.is_none();
        if is_new && request.group_instance_id.is_none() && request.requires_known_member_id {
            return Err(GroupError::MemberIdRequired(member_id));
        }
        let (_, metadata) = request.protocols.first().ok_or(GroupError::InconsistentGroupProtocol)?;
        let subscription = Subscription::read(metadata).map_err(|_| GroupError::InconsistentGroupProtocol)?;
        let (before, replaced) = self.find_joining(&member_id, request)?;
        let owner = request.group_instance_id.as_ref().and_then(|id| self.index.static_member(id)).cloned();
        let downgrades = owner.is_some_and(|owner| downgrade::is_due_replacing(self, &owner, env));

        let owned = with_topic_ids(&subscription.owned, env.cluster);
        let mut speaking = Speaking::new(self, &request.group_id, env, member_id.clone(), before);
        if let Some(replaced) = &replaced {
            speaking.replace(replaced);
        }
        let said = said_by(&speaking.before.said, request, subscription);
        speaking.says(Arc::new(said))?;
        let mut downgraded = None;
        if downgrades {
            let is_stale = speaking.group.state.assignment_epoch < speaking.epoch;
            if !is_stale {
                let target = speaking.last_target();
                speaking.reconcile(&target, Some(&owned))?;
            }
            let is_rebalance_due = is_stale || !downgrade::is_settled(speaking.group, &speaking.after);
            let joining = (&member_id, &speaking.after);
            let (classic, records) =
                downgrade::replacing(speaking.group, &request.group_id, joining, is_rebalance_due, env)?;
            speaking.records.extend(records);
            downgraded = Some(Group::Classic(classic));
        } else {
            let target = speaking.target();
            speaking.reconcile(&target, Some(&owned))?;
        }
        let Speaking { after, records, .. } = speaking;
        self.timers.cancel(&member_id, |timer| timer == Timer::Join);
        if downgraded.is_none() {
            self.timers.set(&member_id, Timer::Session, deadline_after_ms(env, request.session_timeout_ms));
            self.timers.set(&member_id, Timer::Sync, deadline_after_ms(env, after.said.rebalance_timeout_ms));
        }
        let reply = JoinedGroup {
            generation_id: GenerationId(after.current.epoch.0),
            protocol_type: PROTOCOL_TYPE.into(),
            protocol_name: request.protocols.first().map(|(name, _)| name.clone()).unwrap_or_default(),
            leader: MemberId::from(""),
            skip_assignment: false,
            member_id,
            members: Vec::new(),
        };
        Ok(Joined { reply, records, downgraded })
    }

    /// The member as it was, and whom it replaces.
    fn find_joining(
        &self,
        member_id: &MemberId,
        request: &JoinGroup,
    ) -> Result<(Member, Option<MemberId>), GroupError> {
        let known = || self.state.members.get(member_id).cloned().unwrap_or_default();
        let Some(instance_id) = &request.group_instance_id else { return Ok((known(), None)) };
        let owner = self.index.static_member(instance_id);
        if request.member_id.is_some() {
            check_instance(owner.ok_or_else(|| unknown_instance(instance_id))?, member_id)?;
            return Ok((known(), None));
        }
        match owner.and_then(|owner| Some((owner, self.state.members.get(owner)?))) {
            Some((owner, member)) => Ok((rejoining(member), Some(owner.clone()))),
            None => Ok((known(), None)),
        }
    }

    /// Whether a classic member with these protocols can be in the group.
    fn supports_classic(&self, request: &JoinGroup) -> bool {
        let is_common = |name: &str| self.index.classic_protocols.get(name) == self.index.classic_members;
        *request.protocol_type == *PROTOCOL_TYPE && request.protocols.iter().any(|(name, _)| is_common(name))
    }

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

/// What can be refused without a look at the group.
fn check_join(request: &JoinGroup, env: &Environment<'_>) -> Result<(), GroupError> {
    let sessions = env.settings.group_min_session_timeout_ms..=env.settings.group_max_session_timeout_ms;
    if !sessions.contains(&request.session_timeout_ms) {
        return Err(GroupError::InvalidSessionTimeout);
    }
    match env.settings.group_consumer_migration_policy {
        MigrationPolicy::Disabled => Err(GroupError::InconsistentGroupProtocol),
        MigrationPolicy::Bidirectional | MigrationPolicy::Upgrade | MigrationPolicy::Downgrade => Ok(()),
    }
}

/// What a classic member says now.
fn said_by(
    said: &ConsumerMemberValue,
    request: &JoinGroup,
    subscription: Subscription,
) -> ConsumerMemberValue {
    let mut topics = subscription.topics;
    topics.sort_unstable();
    topics.dedup();
    ConsumerMemberValue {
        instance_id: request.group_instance_id.clone().or_else(|| said.instance_id.clone()),
        rack_id: subscription.rack_id.or_else(|| said.rack_id.clone()),
        client_id: request.client_id.clone(),
        client_host: request.client_host.clone(),
        subscribed_topic_names: topics,
        subscribed_topic_regex: Some("".into()),
        rebalance_timeout_ms: if request.rebalance_timeout_ms == -1 {
            said.rebalance_timeout_ms
        } else {
            request.rebalance_timeout_ms
        },
        server_assignor: said.server_assignor.clone(),
        classic: Some(ClassicMemberMetadata {
            session_timeout_ms: request.session_timeout_ms,
            supported_protocols: request.protocols.iter().map(copied).collect(),
        }),
    }
}

/// A protocol whose bytes do not keep the frame that they came in.
fn copied((name, metadata): &(Arc<str>, Bytes)) -> (Arc<str>, Bytes) {
    (name.clone(), Bytes::copy_from_slice(metadata))
}

fn with_topic_ids(topics: &[NamedPartitions], cluster: &dyn Cluster) -> Vec<TopicPartitions> {
    let known = topics.iter().filter_map(|(topic, partitions)| {
        let topic_id: TopicId = cluster.topic_by_name(topic)?.id;
        Some(TopicPartitions { topic_id, partitions: partitions.clone() })
    });
    known.collect()
}

fn unknown_group(group_id: &GroupId) -> GroupError {
    GroupError::UnknownMemberId(format!("Group {group_id} not found."))
}
