//! Static members: a client that comes back under its instance id takes the place of its former life. Source: KIP-345.

use std::sync::Arc;
use std::time::Duration;

use super::join::Arrival;
use super::member::Timeouts;
use super::protocols::{self, Protocols};
use super::recorded::{is_recordable, member_value};
use super::{ClassicGroup, State};
use crate::environment::Environment;
use crate::error::GroupError;
use crate::ids::MemberId;
use crate::output::Output;
use crate::record::{ClassicGroupValue, Record};
use crate::request::{JoinedGroup, JoinedMember, Reply};

/// What becomes of a static member of a stable group once the record is applied that names its new id.
#[derive(Debug)]
pub(super) struct Replacement {
    former: MemberId,
    member_id: MemberId,
    protocols: Protocols,
    timeouts: Timeouts,
    session_deadline: Duration,
}

impl ClassicGroup {
    /// Lets the static member `former` go on as `member_id`. A stable group that would choose the same protocol goes on
    /// as it is: the member takes its assignment over as soon as its new id is written.
    pub(super) fn replace(
        &mut self,
        former: &MemberId,
        member_id: &MemberId,
        arrival: Arrival<'_>,
        env: &Environment<'_>,
        output: &mut Output,
    ) -> Result<(), GroupError> {
        let is_stable = self.state == State::Stable;
        if is_stable && self.protocol == self.protocol_chosen_with(former, &arrival.protocols) {
            return self.replace_in_place(former, member_id, arrival, env, output);
        }
        if let Some(member) = self.rename(former, member_id, output) {
            member.is_new = false;
        }
        self.update(member_id, arrival.request, arrival.protocols);
        self.begin_session(member_id, env);
        self.await_join(member_id, arrival.reply_to, output);
        self.rebalance_or_complete_join(env, output);
        Ok(())
    }

    fn replace_in_place(
        &mut self,
        former: &MemberId,
        member_id: &MemberId,
        arrival: Arrival<'_>,
        env: &Environment<'_>,
        output: &mut Output,
    ) -> Result<(), GroupError> {
        let Arrival { request, protocols, reply_to } = arrival;
        let timeouts = Timeouts::new(request.session_timeout_ms, request.rebalance_timeout_ms);
        let replacement = Replacement {
            former: former.clone(),
            member_id: member_id.clone(),
            protocols,
            timeouts,
            session_deadline: env.monotonic.saturating_add(timeouts.session()),
        };
        let value = self.value_with(&replacement);
        if !is_recordable(&request.group_id, &value) {
            return Err(GroupError::RecordTooLarge);
        }
        let joined = self.joined_with(&replacement, request.supports_skipping_assignment);
        output.records.push(Record::ClassicGroup { group_id: request.group_id.clone(), value: Some(value) });
        output.reply(reply_to, Reply::JoinGroup(Ok(joined)));
        self.replacement = Some(replacement);
        Ok(())
    }

    /// The record was applied: the static member has its new id.
    pub(super) fn apply_replacement(&mut self, value: &ClassicGroupValue) {
        let Some(replacement) = self.replacement.take() else { return };
        if !value.members.iter().any(|member| member.member_id == replacement.member_id) {
            return;
        }
        // A stable group parks nobody, so nobody is answered here.
        self.rename(&replacement.former, &replacement.member_id, &mut Output::default());
        self.set_protocols(&replacement.member_id, replacement.protocols);
        if let Some(member) = self.members.get_mut(&replacement.member_id) {
            member.timeouts = replacement.timeouts;
            member.session_deadline = Some(replacement.session_deadline);
        }
        self.wake_by(replacement.session_deadline);
    }

    /// The protocol that the members would choose if one of them had these.
    fn protocol_chosen_with(&self, member_id: &MemberId, theirs: &Protocols) -> Option<Arc<str>> {
        let of_each = self
            .members
            .iter()
            .map(|(other, member)| if other == member_id { theirs } else { &member.protocols })
            .map(Protocols::as_slice);
        protocols::select(of_each)
    }

    fn value_with(&self, replacement: &Replacement) -> ClassicGroupValue {
        let mut value = self.value(|member_id| {
            self.members.get(member_id).map(|member| member.assignment.clone()).unwrap_or_default()
        });
        if let (Some(member), Some(place)) = (
            self.members.get(&replacement.former),
            value.members.iter_mut().find(|member| member.member_id == replacement.former),
        ) {
            let protocol = self.protocol.as_deref().unwrap_or_default();
            *place = member_value(&replacement.member_id, member, protocol, member.assignment.clone());
            place.subscription = replacement.protocols.metadata(protocol).cloned().unwrap_or_default();
            place.session_timeout_ms = replacement.timeouts.session_ms;
            place.rebalance_timeout_ms = replacement.timeouts.rebalance_ms;
        }
        if value.leader.as_ref() == Some(&replacement.former) {
            value.leader = Some(replacement.member_id.clone());
        }
        value
    }

    /// A leader that comes back is told who the members are and that it need not assign, where it knows how to listen
    /// (KIP-814). An older one would assign again, so it is told that its former life leads.
    fn joined_with(&self, replacement: &Replacement, supports_skipping_assignment: bool) -> JoinedGroup {
        let mut joined = self.joined(&replacement.member_id);
        if !supports_skipping_assignment || self.leader.as_ref() != Some(&replacement.former) {
            return joined;
        }
        joined.leader = replacement.member_id.clone();
        joined.skip_assignment = true;
        joined.members = self.joined_members();
        if let Some(place) = joined.members.iter_mut().find(|member| member.member_id == replacement.former) {
            let metadata = replacement.protocols.metadata(&joined.protocol_name).cloned().unwrap_or_default();
            *place = JoinedMember {
                member_id: replacement.member_id.clone(),
                group_instance_id: place.group_instance_id.clone(),
                metadata,
            };
        }
        joined
    }
}
