//! The groups of one partition of `__consumer_offsets`, with their offsets: where requests, records and time come in.
//!
//! What persists is changed by [`GroupShard::apply`] alone. What does not (who waits for an answer, who has joined, when
//! a session ends) changes with every call. So a record that was refused by the disk was never true, and a shard that is
//! loaded from its records knows everything but who was waiting.
//!
//! Absent here: how a group behaves (`group`), and which offset a read sees (`offsets`).

mod housekeeping;
mod reads;
#[cfg(test)]
mod tests;

use std::time::Duration;

use storage::ids::Offset;

use crate::environment::Environment;
use crate::error::GroupError;
use crate::group::table::Groups;
use crate::group::{Group, classic, consumer, migration};
use crate::ids::GroupId;
use crate::offsets::{self, Offsets};
use crate::output::{Output, ReplyTo};
use crate::record::Record;
use crate::request::{Heartbeat, JoinGroup, LeaveGroup, OffsetCommit, Reply, Request, SyncGroup};

/// The groups of one partition of `__consumer_offsets`.
#[derive(Debug, Default)]
pub struct GroupShard {
    groups: Groups,
    offsets: Offsets,
}

impl GroupShard {
    /// A shard without groups, to be filled by [`Self::apply`].
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Decides what a request leads to. Whoever has to wait is answered by a later call.
    pub fn handle(
        &mut self,
        request: Request,
        reply_to: ReplyTo,
        env: &Environment<'_>,
        output: &mut Output,
    ) {
        self.forget_refused(output);
        let group_id = group_id_of(&request).clone();
        if is_group_id_needed(&request) && group_id.as_str().is_empty() {
            return output.reply(reply_to, refused(&request, GroupError::InvalidGroupId));
        }
        match request {
            Request::JoinGroup(request) => self.join_group(&request, reply_to, env, output),
            Request::SyncGroup(request) => self.sync_group(request, reply_to, env, output),
            Request::Heartbeat(request) => self.heartbeat(&request, reply_to, env, output),
            Request::LeaveGroup(request) => self.leave_group(&request, reply_to, env, output),
            Request::ConsumerGroupHeartbeat(request) => {
                consumer::heartbeat(&mut self.groups, &request, reply_to, env, output);
            }
            Request::OffsetCommit(request) => {
                let reply = self.commit(&request, env, output);
                output.reply(reply_to, Reply::OffsetCommit(reply));
            }
            Request::OffsetDelete(request) => {
                let reply = self.delete_offsets(&request, output);
                output.reply(reply_to, Reply::OffsetDelete(reply));
            }
            Request::DeleteGroup(group_id) => {
                let reply = self.delete_group(&group_id, output);
                output.reply(reply_to, Reply::DeleteGroup(reply));
            }
        }
        self.groups.schedule(&group_id);
    }

    /// Makes a record true that is at `offset` of the log; on load as in life, in the order of the log.
    pub fn apply(&mut self, record: &Record, offset: Offset) {
        match record {
            Record::OffsetCommit { group_id, topic, partition, value } => {
                if value.is_some() && self.groups.get(group_id).is_none() {
                    self.groups.insert(group_id, Group::Classic(classic::ClassicGroup::new(group_id)));
                }
                if value.is_some() && !self.groups.is_recorded(group_id) {
                    self.groups.recorded(group_id, offset);
                }
                self.offsets.apply(group_id, topic, *partition, value.clone(), offset);
            }
            Record::ClassicGroup { group_id, value } => {
                classic::apply(&mut self.groups, group_id, value.as_ref(), offset);
            }
            Record::ConsumerGroup { .. }
            | Record::ConsumerGroupPartitionMetadata { .. }
            | Record::ConsumerMember { .. }
            | Record::TargetAssignmentMetadata { .. }
            | Record::TargetAssignmentMember { .. }
            | Record::CurrentAssignment { .. }
            | Record::RegularExpression { .. } => consumer::apply(&mut self.groups, record, offset),
        }
        self.groups.schedule(record.group_id());
    }

    /// Everything in the log is applied, and this node leads it: the sessions of all members begin anew.
    pub fn loaded(&mut self, env: &Environment<'_>, output: &mut Output) {
        for (group_id, group) in self.groups.iter_mut() {
            group.loaded(group_id, env, output);
        }
        self.groups.schedule_all();
    }

    /// Every record before `high_watermark` (exclusive) is held by every in-sync replica, so reads may see it.
    pub fn committed(&mut self, high_watermark: Offset) {
        self.offsets.committed(high_watermark);
        self.groups.committed(high_watermark);
    }

    /// When [`Self::on_deadline`] is to be called, on [`Environment::monotonic`]. It may be too early, never too late.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Duration> {
        if self.groups.is_anything_staged() {
            // The append was refused, and somebody waits in what was not written.
            return Some(Duration::ZERO);
        }
        self.groups.next_deadline().map(|(deadline, _)| deadline)
    }

    /// Does what is due for one group, so that no group's records are refused for those of another. Where more groups are
    /// due, [`Self::next_deadline`] is still in the past.
    pub fn on_deadline(&mut self, env: &Environment<'_>, output: &mut Output) {
        self.forget_refused(output);
        let Some((deadline, group_id)) = self.groups.next_deadline() else { return };
        if deadline > env.monotonic {
            return;
        }
        let group_id = group_id.clone();
        match self.groups.get_mut(&group_id) {
            Some(Group::Classic(group)) => group.on_deadline(env, output),
            Some(Group::Consumer(_)) => migration::on_deadline(&mut self.groups, &group_id, env, output),
            None => {}
        }
        self.groups.schedule(&group_id);
    }

    /// This node leads the partition no longer: whoever waits is told to look for the coordinator again. The shard is
    /// to be dropped afterwards.
    pub fn unload(&mut self, output: &mut Output) {
        self.forget_refused(output);
        for (_, group) in self.groups.iter_mut() {
            group.unload(output);
        }
    }

    /// Answers those who wait in what a group would have become, had its records been written.
    fn forget_refused(&mut self, output: &mut Output) {
        for mut group in self.groups.unstage().into_values() {
            group.unload(output);
        }
    }

    fn join_group(
        &mut self,
        request: &JoinGroup,
        reply_to: ReplyTo,
        env: &Environment<'_>,
        output: &mut Output,
    ) {
        let settings = env.settings;
        let sessions = settings.group_min_session_timeout_ms..=settings.group_max_session_timeout_ms;
        if !sessions.contains(&request.session_timeout_ms) {
            return output.reply(reply_to, Reply::JoinGroup(Err(GroupError::InvalidSessionTimeout)));
        }
        match self.groups.get(&request.group_id) {
            Some(Group::Consumer(group)) if !group.is_empty() => {
                migration::join(&mut self.groups, request, reply_to, env, output);
            }
            Some(Group::Classic(_) | Group::Consumer(_)) | None => {
                classic::join(&mut self.groups, request, reply_to, env, output);
            }
        }
    }

    fn sync_group(
        &mut self,
        request: SyncGroup,
        reply_to: ReplyTo,
        env: &Environment<'_>,
        output: &mut Output,
    ) {
        match self.groups.get_mut(&request.group_id) {
            Some(group) if group.is_empty() => {
                output.reply(reply_to, Reply::SyncGroup(Err(unknown_group(&request.group_id))));
            }
            Some(Group::Classic(group)) => group.sync(&request, reply_to, env, output),
            Some(Group::Consumer(_)) => {
                migration::sync(&mut self.groups, request, reply_to, env, output);
            }
            None => output.reply(reply_to, Reply::SyncGroup(Err(unknown_group(&request.group_id)))),
        }
    }

    fn heartbeat(
        &mut self,
        request: &Heartbeat,
        reply_to: ReplyTo,
        env: &Environment<'_>,
        output: &mut Output,
    ) {
        match self.groups.get_mut(&request.group_id) {
            Some(Group::Classic(group)) => {
                let reply = group.heartbeat(request, env);
                output.reply(reply_to, Reply::Heartbeat(reply));
            }
            Some(Group::Consumer(_)) => {
                migration::heartbeat(&mut self.groups, request, reply_to, env, output);
            }
            None => output.reply(reply_to, Reply::Heartbeat(Err(unknown_group(&request.group_id)))),
        }
    }

    fn leave_group(
        &mut self,
        request: &LeaveGroup,
        reply_to: ReplyTo,
        env: &Environment<'_>,
        output: &mut Output,
    ) {
        match self.groups.get_mut(&request.group_id) {
            Some(Group::Classic(group)) => {
                let results = group.leave(request, env, output);
                output.reply(reply_to, Reply::LeaveGroup(Ok(results)));
            }
            Some(Group::Consumer(_)) => {
                migration::leave(&mut self.groups, request, reply_to, env, output);
            }
            None => {
                let unknown = |_| Err(unknown_group(&request.group_id));
                let results = request.members.iter().map(unknown).collect();
                output.reply(reply_to, Reply::LeaveGroup(Ok(results)));
            }
        }
    }

    fn commit(
        &mut self,
        request: &OffsetCommit,
        env: &Environment<'_>,
        output: &mut Output,
    ) -> Result<Vec<Result<(), GroupError>>, GroupError> {
        if self.groups.get(&request.group_id).is_none() && self.groups.is_full() {
            return Err(GroupError::GroupMaxSizeReached("There are too many groups.".to_owned()));
        }
        let committed = match self.groups.get_mut(&request.group_id) {
            // Whoever commits without being a member makes a group that only keeps offsets.
            None if request.generation_id_or_member_epoch < 0 => offsets::commit(request, env, |_| Ok(()))?,
            None if request.supports_consumer_protocol => {
                return Err(GroupError::GroupIdNotFound(format!("Group {} not found.", request.group_id)));
            }
            None => return Err(GroupError::IllegalGeneration),
            Some(Group::Classic(group)) => {
                group.check_commit(request, env)?;
                offsets::commit(request, env, |_| Ok(()))?
            }
            Some(Group::Consumer(group)) => {
                group.check_commit(request)?;
                offsets::commit(request, env, |offset| group.admits(request, offset, env))?
            }
        };
        output.records.extend(committed.records);
        Ok(committed.results)
    }
}

fn group_id_of(request: &Request) -> &GroupId {
    match request {
        Request::JoinGroup(request) => &request.group_id,
        Request::SyncGroup(request) => &request.group_id,
        Request::Heartbeat(request) => &request.group_id,
        Request::LeaveGroup(request) => &request.group_id,
        Request::ConsumerGroupHeartbeat(request) => &request.group_id,
        Request::OffsetCommit(request) => &request.group_id,
        Request::OffsetDelete(request) => &request.group_id,
        Request::DeleteGroup(group_id) => group_id,
    }
}

/// Whether Kafka refuses the request of a group without a name with INVALID_GROUP_ID. Offsets may be committed for such
/// a one.
fn is_group_id_needed(request: &Request) -> bool {
    match request {
        Request::JoinGroup(_) | Request::SyncGroup(_) | Request::Heartbeat(_) | Request::LeaveGroup(_) => {
            true
        }
        // The consumer protocol has a code of its own for it, INVALID_REQUEST.
        Request::ConsumerGroupHeartbeat(_)
        | Request::OffsetCommit(_)
        | Request::OffsetDelete(_)
        | Request::DeleteGroup(_) => false,
    }
}

/// The answer to a request that is refused.
fn refused(request: &Request, error: GroupError) -> Reply {
    match request {
        Request::JoinGroup(_) => Reply::JoinGroup(Err(error)),
        Request::SyncGroup(_) => Reply::SyncGroup(Err(error)),
        Request::Heartbeat(_) => Reply::Heartbeat(Err(error)),
        Request::LeaveGroup(_) => Reply::LeaveGroup(Err(error)),
        Request::ConsumerGroupHeartbeat(_) => Reply::ConsumerGroupHeartbeat(Err(error)),
        Request::OffsetCommit(_) => Reply::OffsetCommit(Err(error)),
        Request::OffsetDelete(_) => Reply::OffsetDelete(Err(error)),
        Request::DeleteGroup(_) => Reply::DeleteGroup(Err(error)),
    }
}

/// Kafka answers a member of a group that is not there as it answers one that the group does not know.
fn unknown_group(group_id: &GroupId) -> GroupError {
    GroupError::UnknownMemberId(format!("Group {group_id} not found."))
}
