//! LeaveGroup: members say that they go, or an administrator sends them away.

use super::membership::unknown_member;
use super::{ClassicGroup, State};
use crate::environment::Environment;
use crate::error::GroupError;
use crate::output::Output;
use crate::request::{LeaveGroup, LeavingMember};

impl ClassicGroup {
    /// What becomes of each member, in the order of the request.
    pub(crate) fn leave(
        &mut self,
        request: &LeaveGroup,
        env: &Environment<'_>,
        output: &mut Output,
    ) -> Vec<Result<(), GroupError>> {
        self.replacement = None;
        let results: Vec<_> = request.members.iter().map(|member| self.leave_one(member, output)).collect();
        if results.iter().any(Result::is_ok) {
            match self.state {
                State::Empty => {}
                State::PreparingRebalance { .. } => self.complete_join_if_all(env, output),
                State::CompletingRebalance | State::Stable => self.prepare_rebalance(env, output),
            }
        }
        results
    }

    fn leave_one(&mut self, leaving: &LeavingMember, output: &mut Output) -> Result<(), GroupError> {
        let member_id = match (&leaving.member_id, &leaving.group_instance_id) {
            (Some(member_id), _) if self.pending_members.contains_key(member_id) => member_id.clone(),
            (Some(member_id), instance_id) => {
                self.check_member(member_id, instance_id.as_ref())?;
                member_id.clone()
            }
            (None, Some(instance_id)) => {
                self.static_members.get(instance_id).cloned().ok_or_else(unknown_member)?
            }
            (None, None) => return Err(unknown_member()),
        };
        self.remove(&member_id, output);
        Ok(())
    }
}
