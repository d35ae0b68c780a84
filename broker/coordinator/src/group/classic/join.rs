//! JoinGroup: who comes, and who comes again.

use std::time::Duration;

use super::member::{Member, Timeouts};
use super::protocols::Protocols;
use super::{ClassicGroup, State};
use crate::environment::Environment;
use crate::error::GroupError;
use crate::group::Group;
use crate::group::table::Groups;
use crate::ids::MemberId;
use crate::output::{Output, ReplyTo};
use crate::request::{JoinGroup, JoinedGroup, JoinedMember, Reply};

/// How long a member that has never been in a generation may wait for one. Longer would keep the place of a client that
/// gave up and came back under another id; shorter would lose members of groups that rebalance slowly.
/// Source: CLASSIC_GROUP_NEW_MEMBER_JOIN_TIMEOUT_MS, GroupCoordinatorConfig.java.
const NEW_MEMBER_TIMEOUT: Duration = Duration::from_secs(5 * 60);

/// The most members of a group that were sent back to join with an id. More would let a client that asks for ids and
/// never comes back fill the memory; fewer could turn away members of a large group that starts at once.
const PENDING_MEMBERS_MAX: usize = 10_000;

/// The most that the members of a group may say of themselves, in bytes: all their protocols, of which only the chosen
/// one goes into the group's record, which is refused above 1 MiB. More would let a group hold memory that it can never
/// use; less could refuse a group that supports many protocols.
const GROUP_BYTES_MAX: usize = 16 << 20;

/// Who comes: the request, the protocols that were read from it, and whom the answer goes to.
pub(super) struct Arrival<'a> {
    pub(super) request: &'a JoinGroup,
    pub(super) protocols: Protocols,
    pub(super) reply_to: ReplyTo,
}

/// JoinGroup to a classic group, to none, or to a consumer group without members, which becomes a classic one.
pub(crate) fn join(
    groups: &mut Groups,
    request: &JoinGroup,
    reply_to: ReplyTo,
    env: &Environment<'_>,
    output: &mut Output,
) {
    let group_id = &request.group_id;
    if let Some(Group::Classic(group)) = groups.get_mut(group_id) {
        group.join(request, reply_to, env, output);
        if !groups.is_recorded(group_id) {
            record_first(groups, request, env, output);
        }
        return;
    }
    if request.member_id.is_some() {
        return refuse(reply_to, GroupError::UnknownMemberId(format!("Group {group_id} not found.")), output);
    }
    let mut group = ClassicGroup::new(group_id);
    match groups.get(group_id) {
        Some(consumer_group) => {
            group.join(request, reply_to, env, output);
            if !group.is_vacant() {
                consumer_group.tombstones(group_id, &mut output.records);
                output.records.push(group.record_of_new(env.now));
                groups.stage(group_id, Group::Classic(group));
            }
        }
        None if groups.is_full() => {
            let error = GroupError::GroupMaxSizeReached("There are too many groups.".to_owned());
            refuse(reply_to, error, output);
        }
        None => {
            group.join(request, reply_to, env, output);
            groups.insert(group_id, Group::Classic(group));
            record_first(groups, request, env, output);
        }
    }
}

/// Writes down that there is the group, so that it is found and listed; unless the join came to nothing.
fn record_first(groups: &mut Groups, request: &JoinGroup, env: &Environment<'_>, output: &mut Output) {
    let Some(Group::Classic(group)) = groups.get(&request.group_id) else { return };
    if group.is_vacant() {
        groups.discard(&request.group_id);
    } else {
        output.records.push(group.record_of_new(env.now));
    }
}

fn refuse(reply_to: ReplyTo, error: GroupError, output: &mut Output) {
    output.reply(reply_to, Reply::JoinGroup(Err(error)));
}

impl ClassicGroup {
    fn join(&mut self, request: &JoinGroup, reply_to: ReplyTo, env: &Environment<'_>, output: &mut Output) {
        self.replacement = None;
        if let Err(error) = self.try_join(request, reply_to, env, output) {
            refuse(reply_to, error, output);
        }
    }

    /// Lets the member in, or answers it, unless it is refused.
    fn try_join(
        &mut self,
        request: &JoinGroup,
        reply_to: ReplyTo,
        env: &Environment<'_>,
        output: &mut Output,
    ) -> Result<(), GroupError> {
        self.check_size(request.member_id.as_ref(), env, output)?;
        let protocols = Protocols::of_request(request)?;
        if !self.supports(&request.protocol_type, &protocols) {
            return Err(GroupError::InconsistentGroupProtocol);
        }
        if self.protocol_bytes + protocols.bytes() > GROUP_BYTES_MAX {
            return Err(GroupError::RecordTooLarge);
        }
        let arrival = Arrival { request, protocols, reply_to };
        match (&request.member_id, &request.group_instance_id) {
            (Some(member_id), _) => self.join_again(member_id, arrival, env, output)?,
            (None, Some(instance_id)) => {
                let member_id = new_member_id(instance_id.as_str(), env);
                match self.static_members.get(instance_id).cloned() {
                    Some(former) => self.replace(&former, &member_id, arrival, env, output)?,
                    None => self.join_new(&member_id, arrival, env, output),
                }
            }
            (None, None) => {
                let member_id = new_member_id(&request.client_id, env);
                if request.requires_known_member_id {
                    return Err(self.send_back(member_id, request, env));
                }
                self.join_new(&member_id, arrival, env, output);
            }
        }
        Ok(())
    }

    /// Refuses a member that is one too many; a group that was loaded with too many sheds those that come last.
    fn check_size(
        &mut self,
        member_id: Option<&MemberId>,
        env: &Environment<'_>,
        output: &mut Output,
    ) -> Result<(), GroupError> {
        let max = usize::try_from(env.settings.group_max_size).unwrap_or(0);
        let member = member_id.and_then(|member_id| self.members.get(member_id));
        let has_place = match self.state {
            State::Empty => true,
            State::PreparingRebalance { .. } => {
                member.is_some_and(|member| member.awaiting_join.is_some()) || self.awaiting_join_count < max
            }
            State::CompletingRebalance | State::Stable => member.is_some() || self.members.len() < max,
        };
        if has_place {
            return Ok(());
        }
        if let Some(member_id) = member_id {
            self.remove(member_id, output);
            self.complete_join_if_all(env, output);
        }
        Err(GroupError::GroupMaxSizeReached(format!("The group already has {max} members.")))
    }

    /// Tells a new member to come back with an id, so that a client whose answer is lost does not become two members.
    fn send_back(&mut self, member_id: MemberId, request: &JoinGroup, env: &Environment<'_>) -> GroupError {
        if self.pending_members.len() >= PENDING_MEMBERS_MAX {
            return GroupError::GroupMaxSizeReached(
                "Too many members are about to join the group.".to_owned(),
            );
        }
        let timeouts = Timeouts::new(request.session_timeout_ms, request.rebalance_timeout_ms);
        let deadline = env.monotonic.saturating_add(timeouts.session());
        self.pending_members.insert(member_id.clone(), deadline);
        self.wake_by(deadline);
        GroupError::MemberIdRequired(member_id)
    }

    fn join_new(
        &mut self,
        member_id: &MemberId,
        arrival: Arrival<'_>,
        env: &Environment<'_>,
        output: &mut Output,
    ) {
        if let State::PreparingRebalance { initial: Some(delay), .. } = &mut self.state {
            delay.is_member_added = true;
        }
        let deadline = env.monotonic.saturating_add(NEW_MEMBER_TIMEOUT);
        let member = Member::new(arrival.request, arrival.protocols, deadline);
        self.wake_by(deadline);
        self.add(member_id, &arrival.request.protocol_type, member);
        self.await_join(member_id, arrival.reply_to, output);
        self.rebalance_or_complete_join(env, output);
    }

    fn join_again(
        &mut self,
        member_id: &MemberId,
        arrival: Arrival<'_>,
        env: &Environment<'_>,
        output: &mut Output,
    ) -> Result<(), GroupError> {
        let instance_id = arrival.request.group_instance_id.as_ref();
        if instance_id.is_none() && self.pending_members.contains_key(member_id) {
            self.join_new(member_id, arrival, env, output);
            return Ok(());
        }
        self.check_member(member_id, instance_id)?;
        let is_leader = self.leader.as_ref() == Some(member_id);
        let member = self.members.get(member_id);
        let is_changed = member.is_none_or(|member| member.protocols != arrival.protocols);
        let is_rebalance_needed = match self.state {
            State::Empty | State::PreparingRebalance { .. } => true,
            State::CompletingRebalance => is_changed,
            // The leader comes again when it wants to assign anew, for example since a topic has grown.
            State::Stable => is_changed || is_leader,
        };
        if !is_rebalance_needed {
            let joined = self.joined(member_id);
            output.reply(arrival.reply_to, Reply::JoinGroup(Ok(joined)));
            return Ok(());
        }
        self.update(member_id, arrival.request, arrival.protocols);
        self.await_join(member_id, arrival.reply_to, output);
        self.rebalance_or_complete_join(env, output);
        Ok(())
    }

    /// Takes over what a member says of itself when it joins again.
    pub(super) fn update(&mut self, member_id: &MemberId, request: &JoinGroup, protocols: Protocols) {
        self.set_protocols(member_id, protocols);
        if let Some(member) = self.members.get_mut(member_id) {
            member.timeouts = Timeouts::new(request.session_timeout_ms, request.rebalance_timeout_ms);
        }
    }

    /// The answer to a member that is in the generation.
    pub(super) fn joined(&self, member_id: &MemberId) -> JoinedGroup {
        let is_assigning =
            self.leader.as_ref() == Some(member_id) && self.state == State::CompletingRebalance;
        JoinedGroup {
            generation_id: self.generation_id,
            protocol_type: self.protocol_type.clone().unwrap_or_default(),
            protocol_name: self.protocol.clone().unwrap_or_default(),
            leader: self.leader.clone().unwrap_or_else(|| MemberId::from("")),
            skip_assignment: false,
            member_id: member_id.clone(),
            members: if is_assigning { self.joined_members() } else { Vec::new() },
        }
    }

    /// The members as the leader sees them.
    pub(super) fn joined_members(&self) -> Vec<JoinedMember> {
        let protocol = self.protocol.as_deref().unwrap_or_default();
        let seen = |(member_id, member): (&MemberId, &Member)| JoinedMember {
            member_id: member_id.clone(),
            group_instance_id: member.group_instance_id.clone(),
            metadata: member.protocols.metadata(protocol).cloned().unwrap_or_default(),
        };
        self.members.iter().map(seen).collect()
    }
}

/// An id for a new member: who it says it is, and chance.
fn new_member_id(name: &str, env: &Environment<'_>) -> MemberId {
    let random = uuid::Builder::from_random_bytes((env.random)().to_be_bytes()).into_uuid();
    MemberId(format!("{name}-{random}").into())
}
