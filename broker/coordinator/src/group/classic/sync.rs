//! SyncGroup: members ask for their assignment, and the leader brings everybody's.

use std::collections::BTreeMap;

use bytes::Bytes;

use super::recorded::is_recordable;
use super::{ClassicGroup, State};
use crate::environment::Environment;
use crate::error::GroupError;
use crate::ids::{GroupId, MemberId};
use crate::output::{Output, ReplyTo};
use crate::record::{ClassicGroupValue, Record};
use crate::request::{Reply, SyncGroup, SyncedGroup};

impl ClassicGroup {
    pub(crate) fn sync(
        &mut self,
        request: &SyncGroup,
        reply_to: ReplyTo,
        env: &Environment<'_>,
        output: &mut Output,
    ) {
        self.replacement = None;
        if let Err(error) = self.check_sync(request) {
            return output.reply(reply_to, Reply::SyncGroup(Err(error)));
        }
        match self.state {
            State::Empty | State::PreparingRebalance { .. } => {
                output.reply(reply_to, Reply::SyncGroup(Err(GroupError::RebalanceInProgress)));
            }
            State::CompletingRebalance => {
                self.await_sync(&request.member_id, reply_to, output);
                if self.leader.as_ref() == Some(&request.member_id) {
                    self.assign(request, env, output);
                } else {
                    self.pending_sync.remove(&request.member_id);
                }
            }
            State::Stable => {
                self.pending_sync.remove(&request.member_id);
                let assignment = self.assignment(&request.member_id);
                output.reply(reply_to, Reply::SyncGroup(Ok(self.synced(assignment))));
            }
        }
    }

    fn check_sync(&self, request: &SyncGroup) -> Result<(), GroupError> {
        self.check_member(&request.member_id, request.group_instance_id.as_ref())?;
        if request.generation_id != self.generation_id {
            return Err(GroupError::IllegalGeneration);
        }
        let is_other = |said: &Option<_>, ours: &Option<_>| said.is_some() && ours.is_some() && said != ours;
        if is_other(&request.protocol_type, &self.protocol_type)
            || is_other(&request.protocol_name, &self.protocol)
        {
            return Err(GroupError::InconsistentGroupProtocol);
        }
        Ok(())
    }

    fn await_sync(&mut self, member_id: &MemberId, reply_to: ReplyTo, output: &mut Output) {
        let Some(member) = self.members.get_mut(member_id) else { return };
        if let Some(earlier) = member.awaiting_sync.replace(reply_to) {
            output.reply(earlier, Reply::SyncGroup(Err(GroupError::RebalanceInProgress)));
        }
    }

    /// The leader has assigned: everybody who waits is answered, once it is written. Until it is applied, the leader
    /// counts as one who has yet to bring it, so that a group whose record is refused does not wait for ever.
    fn assign(&mut self, request: &SyncGroup, env: &Environment<'_>, output: &mut Output) {
        let given: BTreeMap<&MemberId, &Bytes> =
            request.assignments.iter().map(|(member_id, assignment)| (member_id, assignment)).collect();
        // Copied, so that a member does not keep the frame that its assignment came in.
        let copied = |member_id: &MemberId| {
            given.get(member_id).map(|assignment| Bytes::copy_from_slice(assignment)).unwrap_or_default()
        };
        let value = self.value(copied);
        if !is_recordable(&request.group_id, &value) {
            self.refuse_waiting_for_sync(&GroupError::RecordTooLarge, env, output);
            return self.prepare_rebalance(env, output);
        }
        for member in &value.members {
            let waiting =
                self.members.get_mut(&member.member_id).and_then(|member| member.awaiting_sync.take());
            if let Some(reply_to) = waiting {
                output.reply(reply_to, Reply::SyncGroup(Ok(self.synced(member.assignment.clone()))));
                self.begin_session(&member.member_id, env);
            }
        }
        output.records.push(record(&request.group_id, value));
    }

    /// The leader's assignment is applied.
    pub(super) fn apply_assignment(&mut self, value: &ClassicGroupValue) {
        if self.state != State::CompletingRebalance || value.generation_id != self.generation_id {
            return;
        }
        for assigned in &value.members {
            if let Some(member) = self.members.get_mut(&assigned.member_id) {
                member.assignment = assigned.assignment.clone();
            }
        }
        if let Some(leader) = &self.leader {
            self.pending_sync.remove(leader);
        }
        self.state = State::Stable;
    }

    /// Forgets what was assigned, and answers those who wait for it.
    pub(super) fn refuse_waiting_for_sync(
        &mut self,
        error: &GroupError,
        env: &Environment<'_>,
        output: &mut Output,
    ) {
        let member_ids: Vec<MemberId> = self.members.keys().cloned().collect();
        for member_id in member_ids {
            let waiting = self.members.get_mut(&member_id).and_then(|member| {
                member.assignment = Bytes::new();
                member.awaiting_sync.take()
            });
            if let Some(reply_to) = waiting {
                output.reply(reply_to, Reply::SyncGroup(Err(error.clone())));
                self.begin_session(&member_id, env);
            }
        }
    }

    fn assignment(&self, member_id: &MemberId) -> Bytes {
        self.members.get(member_id).map(|member| member.assignment.clone()).unwrap_or_default()
    }

    fn synced(&self, assignment: Bytes) -> SyncedGroup {
        SyncedGroup {
            protocol_type: self.protocol_type.clone(),
            protocol_name: self.protocol.clone(),
            assignment,
        }
    }
}

fn record(group_id: &GroupId, value: ClassicGroupValue) -> Record {
    Record::ClassicGroup { group_id: group_id.clone(), value: Some(value) }
}
