//! A rebalance: members are called to join again, and when all have, or time is up, a new generation begins.

use std::time::Duration;

use super::member::milliseconds;
use super::{ClassicGroup, InitialDelay, State};
use crate::environment::Environment;
use crate::error::GroupError;
use crate::ids::{GenerationId, MemberId};
use crate::output::Output;
use crate::request::Reply;

/// How soon a group looks again whether anybody has rejoined, at the soonest. Members choose how long they may take;
/// were that nothing, and less than this allowed, the group would look without end.
const REJOIN_WAIT_MIN: Duration = Duration::from_secs(1);

impl ClassicGroup {
    /// A member came, went or changed: a group that rests is rebalanced, one that rebalances may have all it waits for.
    pub(super) fn rebalance_or_complete_join(&mut self, env: &Environment<'_>, output: &mut Output) {
        match self.state {
            State::PreparingRebalance { .. } => self.complete_join_if_all(env, output),
            State::Empty | State::CompletingRebalance | State::Stable => self.prepare_rebalance(env, output),
        }
    }

    /// Ends the wait for members if nobody is missing. A group that was empty waits on, since more may come.
    pub(super) fn complete_join_if_all(&mut self, env: &Environment<'_>, output: &mut Output) {
        if matches!(self.state, State::PreparingRebalance { initial: None, .. }) && self.have_all_joined() {
            self.complete_join(env, output);
        }
    }

    /// Calls the members to join again.
    pub(super) fn prepare_rebalance(&mut self, env: &Environment<'_>, output: &mut Output) {
        if self.state == State::CompletingRebalance {
            self.refuse_waiting_for_sync(&GroupError::RebalanceInProgress, env, output);
        }
        self.pending_sync.clear();
        self.sync_deadline = None;
        let timeout = self.rebalance_timeout();
        let delay = milliseconds(env.settings.group_initial_rebalance_delay_ms);
        let remaining = timeout.saturating_sub(delay);
        let initial =
            (self.state == State::Empty).then_some(InitialDelay { delay, remaining, is_member_added: false });
        let deadline = env.monotonic.saturating_add(if initial.is_some() { delay } else { timeout });
        self.enter(State::PreparingRebalance { deadline, initial }, env);
        self.wake_by(deadline);
        self.complete_join_if_all(env, output);
    }

    /// Time to join is up; or, in a group that was empty, it may be worth waiting a little longer.
    pub(super) fn on_join_deadline(&mut self, env: &Environment<'_>, output: &mut Output) {
        let State::PreparingRebalance { initial: Some(initial), .. } = self.state else {
            return self.complete_join(env, output);
        };
        if !initial.is_member_added || initial.remaining.is_zero() {
            return self.complete_join(env, output);
        }
        let longest = milliseconds(env.settings.group_initial_rebalance_delay_ms);
        let next = InitialDelay {
            delay: longest.min(initial.remaining),
            remaining: initial.remaining.saturating_sub(initial.delay),
            is_member_added: false,
        };
        let deadline = env.monotonic.saturating_add(next.delay);
        self.state = State::PreparingRebalance { deadline, initial: Some(next) };
        self.wake_by(deadline);
    }

    /// Begins a generation with those who have joined, and with the static members, who may still come.
    pub(super) fn complete_join(&mut self, env: &Environment<'_>, output: &mut Output) {
        for member_id in self.missing_dynamic_members() {
            self.remove(&member_id, output);
        }
        if !self.elect_joined_leader() && !self.members.is_empty() {
            let deadline = env.monotonic.saturating_add(self.rebalance_timeout().max(REJOIN_WAIT_MIN));
            self.state = State::PreparingRebalance { deadline, initial: None };
            return self.wake_by(deadline);
        }
        self.generation_id = GenerationId(self.generation_id.0.checked_add(1).unwrap_or(1));
        self.protocol = self.select_protocol();
        self.subscribed_topics = self.read_subscriptions();
        if self.members.is_empty() {
            return self.become_empty(env, output);
        }
        self.enter(State::CompletingRebalance, env);
        self.answer_joined(env, output);
        let deadline = env.monotonic.saturating_add(self.rebalance_timeout());
        self.sync_deadline = Some(deadline);
        self.wake_by(deadline);
    }

    /// Members who have joined and never asked for their assignment are removed, and the others called again.
    pub(super) fn on_sync_deadline(&mut self, env: &Environment<'_>, output: &mut Output) {
        self.sync_deadline = None;
        let silent: Vec<MemberId> = std::mem::take(&mut self.pending_sync).into_iter().collect();
        if silent.is_empty() {
            return;
        }
        for member_id in silent {
            self.remove(&member_id, output);
        }
        self.prepare_rebalance(env, output);
    }

    /// Begins another state.
    pub(super) fn enter(&mut self, state: State, env: &Environment<'_>) {
        self.state = state;
        self.state_timestamp = env.now;
        self.state_since = env.monotonic;
    }

    fn become_empty(&mut self, env: &Environment<'_>, output: &mut Output) {
        self.enter(State::Empty, env);
        self.pending_sync.clear();
        self.sync_deadline = None;
        output.records.push(self.record_of_empty());
    }

    fn answer_joined(&mut self, env: &Environment<'_>, output: &mut Output) {
        let member_ids: Vec<MemberId> = self.members.keys().cloned().collect();
        for member_id in member_ids {
            let waiting = self.members.get_mut(&member_id).and_then(|member| {
                member.is_new = false;
                member.awaiting_join.take()
            });
            if let Some(reply_to) = waiting {
                self.awaiting_join_count -= 1;
                output.reply(reply_to, Reply::JoinGroup(Ok(self.joined(&member_id))));
            }
            self.begin_session(&member_id, env);
            self.pending_sync.insert(member_id);
        }
    }

    fn missing_dynamic_members(&self) -> Vec<MemberId> {
        let missing = self
            .members
            .iter()
            .filter(|(_, member)| member.awaiting_join.is_none() && member.group_instance_id.is_none());
        missing.map(|(member_id, _)| member_id.clone()).collect()
    }
}
