//! Who is a member: the few places where members come into a group, go, and take another's place.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use super::member::Member;
use super::protocols::{self, Protocols};
use super::subscription::{self, CONSUMER_PROTOCOL_TYPE};
use super::{ClassicGroup, State};
use crate::error::GroupError;
use crate::ids::{InstanceId, MemberId};
use crate::output::{Output, ReplyTo};
use crate::request::Reply;

impl ClassicGroup {
    /// Takes a member in.
    pub(super) fn add(&mut self, member_id: &MemberId, protocol_type: &Arc<str>, member: Member) {
        if self.members.is_empty() {
            self.protocol_type = Some(protocol_type.clone());
        }
        if let Some(instance_id) = &member.group_instance_id {
            self.static_members.insert(instance_id.clone(), member_id.clone());
        }
        self.leader.get_or_insert_with(|| member_id.clone());
        self.pending_members.remove(member_id);
        self.count(&member.protocols);
        self.awaiting_join_count += usize::from(member.awaiting_join.is_some());
        self.members.insert(member_id.clone(), member);
    }

    /// Lets a member go, whether it has joined or was about to. Whoever waits for an answer to it is told so.
    pub(super) fn remove(&mut self, member_id: &MemberId, output: &mut Output) {
        self.pending_members.remove(member_id);
        self.pending_sync.remove(member_id);
        let Some(mut member) = self.members.remove(member_id) else { return };
        self.discount(&member.protocols);
        if let Some(instance_id) = &member.group_instance_id {
            self.static_members.remove(instance_id);
        }
        if self.leader.as_ref() == Some(member_id) {
            self.leader = self.members.keys().next().cloned();
        }
        self.awaiting_join_count -= usize::from(member.awaiting_join.is_some());
        refuse_waiting(&mut member, &unknown_member(), output);
    }

    /// Gives a static member's place to its next life, which has what the former had. Whoever waits for an answer to
    /// the former is fenced. `None` where there is no such member.
    pub(super) fn rename(
        &mut self,
        former: &MemberId,
        member_id: &MemberId,
        output: &mut Output,
    ) -> Option<&mut Member> {
        let mut member = self.members.remove(former)?;
        self.awaiting_join_count -= usize::from(member.awaiting_join.is_some());
        refuse_waiting(&mut member, &GroupError::FencedInstanceId, output);
        if self.leader.as_ref() == Some(former) {
            self.leader = Some(member_id.clone());
        }
        if self.pending_sync.remove(former) {
            self.pending_sync.insert(member_id.clone());
        }
        if let Some(instance_id) = &member.group_instance_id {
            self.static_members.insert(instance_id.clone(), member_id.clone());
        }
        Some(self.members.entry(member_id.clone()).or_insert(member))
    }

    /// Replaces what a member supports.
    pub(super) fn set_protocols(&mut self, member_id: &MemberId, protocols: Protocols) {
        self.count(&protocols);
        let Some(member) = self.members.get_mut(member_id) else { return self.discount(&protocols) };
        let before = std::mem::replace(&mut member.protocols, protocols);
        self.discount(&before);
    }

    /// Lets a member wait for the rebalance to begin. Who already waits for it is sent to try again.
    pub(super) fn await_join(&mut self, member_id: &MemberId, reply_to: ReplyTo, output: &mut Output) {
        let Some(member) = self.members.get_mut(member_id) else { return };
        match member.awaiting_join.replace(reply_to) {
            Some(earlier) => output.reply(earlier, Reply::JoinGroup(Err(GroupError::RebalanceInProgress))),
            None => self.awaiting_join_count += 1,
        }
    }

    /// Whether nobody has to be waited for.
    pub(super) fn have_all_joined(&self) -> bool {
        self.members.len() == self.awaiting_join_count && self.pending_members.is_empty()
    }

    /// Makes a member the leader that has joined, if the leader has not. Whether the leader has joined now.
    pub(super) fn elect_joined_leader(&mut self) -> bool {
        let has_joined = |member_id: &MemberId| {
            self.members.get(member_id).is_some_and(|member| member.awaiting_join.is_some())
        };
        if self.leader.as_ref().is_some_and(has_joined) {
            return true;
        }
        let Some(leader) = self.members.keys().find(|member_id| has_joined(member_id)).cloned() else {
            return false;
        };
        self.leader = Some(leader);
        true
    }

    /// Checks that a member is who it says.
    ///
    /// # Errors
    /// When the group does not know it, or another has its instance id now.
    pub(super) fn check_member(
        &self,
        member_id: &MemberId,
        instance_id: Option<&InstanceId>,
    ) -> Result<(), GroupError> {
        if let Some(instance_id) = instance_id {
            let holder = self.static_members.get(instance_id).ok_or_else(unknown_member)?;
            if holder != member_id {
                return Err(GroupError::FencedInstanceId);
            }
        }
        if self.members.contains_key(member_id) { Ok(()) } else { Err(unknown_member()) }
    }

    /// Whether a member with these protocols can be in the group.
    pub(super) fn supports(&self, protocol_type: &str, protocols: &Protocols) -> bool {
        if self.state == State::Empty {
            return !protocol_type.is_empty() && protocols.names().next().is_some();
        }
        let all = self.members.len();
        self.protocol_type.as_deref() == Some(protocol_type)
            && protocols.names().any(|name| self.protocol_counts.get(name).copied().unwrap_or(0) == all)
    }

    /// The protocol that the members choose.
    pub(super) fn select_protocol(&self) -> Option<Arc<str>> {
        protocols::select(self.members.values().map(|member| member.protocols.as_slice()))
    }

    /// How long members have to rejoin: as long as the one that has longest.
    pub(super) fn rebalance_timeout(&self) -> Duration {
        self.members.values().map(|member| member.timeouts.rebalance()).max().unwrap_or_default()
    }

    /// The topics that the members read, if they are consumers and said so.
    pub(super) fn read_subscriptions(&self) -> Option<BTreeSet<Arc<str>>> {
        if self.protocol_type.as_deref() != Some(CONSUMER_PROTOCOL_TYPE) {
            return None;
        }
        let mut topics = BTreeSet::new();
        for member in self.members.values() {
            let metadata = member.protocols.metadata(self.protocol.as_deref()?)?;
            subscription::add_topics(metadata, &mut topics)?;
        }
        Some(topics)
    }

    fn count(&mut self, protocols: &Protocols) {
        self.protocol_bytes += protocols.bytes();
        for name in protocols.names() {
            *self.protocol_counts.entry(name.clone()).or_default() += 1;
        }
    }

    fn discount(&mut self, protocols: &Protocols) {
        self.protocol_bytes -= protocols.bytes();
        for name in protocols.names() {
            let Some(count) = self.protocol_counts.get_mut(name) else { continue };
            *count -= 1;
            if *count == 0 {
                self.protocol_counts.remove(name);
            }
        }
    }
}

/// What a group says of whom it does not know.
pub(super) fn unknown_member() -> GroupError {
    GroupError::UnknownMemberId("The group does not know the member.".to_owned())
}

fn refuse_waiting(member: &mut Member, error: &GroupError, output: &mut Output) {
    if let Some(reply_to) = member.awaiting_join.take() {
        output.reply(reply_to, Reply::JoinGroup(Err(error.clone())));
    }
    if let Some(reply_to) = member.awaiting_sync.take() {
        output.reply(reply_to, Reply::SyncGroup(Err(error.clone())));
    }
}
