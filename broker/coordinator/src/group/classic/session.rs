//! Heartbeats, and what happens without them.

use std::time::Duration;

use super::{ClassicGroup, State};
use crate::environment::Environment;
use crate::error::GroupError;
use crate::ids::MemberId;
use crate::output::Output;
use crate::request::Heartbeat;

/// How far the next deadline is at least once everything was done that was due. Were it nothing, a member whose timeouts
/// are nothing would keep the shard from everything else.
const DEADLINE_STEP: Duration = Duration::from_millis(1);

impl ClassicGroup {
    /// Heartbeat.
    ///
    /// # Errors
    /// When the member is none, or of another generation, or is to join again.
    pub(crate) fn heartbeat(&mut self, request: &Heartbeat, env: &Environment<'_>) -> Result<(), GroupError> {
        self.check_member(&request.member_id, request.group_instance_id.as_ref())?;
        if request.generation_id != self.generation_id {
            return Err(GroupError::IllegalGeneration);
        }
        self.begin_session(&request.member_id, env);
        match self.state {
            State::PreparingRebalance { .. } => Err(GroupError::RebalanceInProgress),
            State::Empty | State::CompletingRebalance | State::Stable => Ok(()),
        }
    }

    /// The member is alive: it may be silent for a session from now on.
    pub(super) fn begin_session(&mut self, member_id: &MemberId, env: &Environment<'_>) {
        let Some(member) = self.members.get_mut(member_id) else { return };
        let deadline = env.monotonic.saturating_add(member.timeouts.session());
        member.session_deadline = Some(deadline);
        self.wake_by(deadline);
    }

    /// Does what was due by now.
    pub(crate) fn on_deadline(&mut self, env: &Environment<'_>, output: &mut Output) {
        self.replacement = None;
        let now = env.monotonic;
        if matches!(self.state, State::PreparingRebalance { deadline, .. } if deadline <= now) {
            self.on_join_deadline(env, output);
        }
        if self.sync_deadline.is_some_and(|deadline| deadline <= now) {
            self.on_sync_deadline(env, output);
        }
        for member_id in self.silent_members(now) {
            self.on_session_deadline(&member_id, env, output);
        }
        self.deadline = self.earliest_deadline().map(|deadline| deadline.max(now + DEADLINE_STEP));
    }

    fn on_session_deadline(&mut self, member_id: &MemberId, env: &Environment<'_>, output: &mut Output) {
        let member = self.members.get_mut(member_id);
        let is_member = member.is_some();
        if let Some(member) = member.filter(|member| member.is_waiting()) {
            // Its next session begins when it is answered.
            member.session_deadline = None;
            return;
        }
        self.remove(member_id, output);
        match self.state {
            State::PreparingRebalance { .. } if self.have_all_joined() => self.complete_join(env, output),
            State::CompletingRebalance | State::Stable if is_member => self.prepare_rebalance(env, output),
            State::Empty | State::PreparingRebalance { .. } | State::CompletingRebalance | State::Stable => {}
        }
    }

    fn silent_members(&self, now: Duration) -> Vec<MemberId> {
        let is_due = |deadline: Option<Duration>| deadline.is_some_and(|deadline| deadline <= now);
        let pending = self.pending_members.iter().filter(|(_, deadline)| **deadline <= now);
        let members = self.members.iter().filter(|(_, member)| is_due(member.session_deadline));
        pending
            .map(|(member_id, _)| member_id)
            .chain(members.map(|(member_id, _)| member_id))
            .cloned()
            .collect()
    }

    fn earliest_deadline(&self) -> Option<Duration> {
        let joining = match self.state {
            State::PreparingRebalance { deadline, .. } => Some(deadline),
            State::Empty | State::CompletingRebalance | State::Stable => None,
        };
        let sessions = self.members.values().filter_map(|member| member.session_deadline);
        let pending = self.pending_members.values().copied();
        sessions.chain(pending).chain(joining).chain(self.sync_deadline).min()
    }
}
