//! Groups of the classic protocol, in which a member (the leader) assigns.

use std::time::Duration;

use storage::ids::Offset;

use super::Group;
use super::OffsetAge;
use super::table::Groups;
use crate::description::{ClassicGroupDescription, GroupKind, GroupListing, GroupState};
use crate::environment::Environment;
use crate::error::GroupError;
use crate::ids::GroupId;
use crate::output::{Output, ReplyTo};
use crate::record::ClassicGroupValue;
use crate::request::{Heartbeat, JoinGroup, LeaveGroup, OffsetCommit, Reply, SyncGroup};

/// A group of the classic protocol.
#[derive(Debug, Default)]
pub(crate) struct ClassicGroup {}

fn unserved() -> GroupError {
    GroupError::UnsupportedVersion("the classic protocol is not served".to_owned())
}

/// JoinGroup to a classic group, to none, or to a consumer group without members.
pub(crate) fn join(
    groups: &mut Groups,
    request: JoinGroup,
    reply_to: ReplyTo,
    env: &Environment<'_>,
    output: &mut Output,
) {
    let _ = (groups, request, env);
    output.reply(reply_to, Reply::JoinGroup(Err(unserved())));
}

/// Makes the record of a classic group true.
pub(crate) fn apply(
    groups: &mut Groups,
    group_id: &GroupId,
    value: Option<&ClassicGroupValue>,
    offset: Offset,
) {
    let Some(_) = value else {
        if matches!(groups.get(group_id), Some(Group::Classic(_))) {
            groups.delete(group_id, offset);
        }
        return;
    };
    if !matches!(groups.get(group_id), Some(Group::Classic(_))) {
        groups.insert(group_id, Group::Classic(ClassicGroup::default()));
    }
    groups.recorded(group_id, offset);
}

impl ClassicGroup {
    pub(crate) fn sync(
        &mut self,
        request: SyncGroup,
        reply_to: ReplyTo,
        env: &Environment<'_>,
        output: &mut Output,
    ) {
        let _ = (request, env);
        output.reply(reply_to, Reply::SyncGroup(Err(unserved())));
    }

    pub(crate) fn heartbeat(&mut self, request: &Heartbeat, env: &Environment<'_>) -> Result<(), GroupError> {
        let _ = (request, env);
        Err(unserved())
    }

    pub(crate) fn leave(
        &mut self,
        request: LeaveGroup,
        env: &Environment<'_>,
        output: &mut Output,
    ) -> Vec<Result<(), GroupError>> {
        let _ = (env, output);
        request.members.iter().map(|_| Err(unserved())).collect()
    }

    pub(crate) fn is_empty(&self) -> bool {
        true
    }

    pub(crate) fn is_vacant(&self) -> bool {
        true
    }

    pub(crate) fn committed(&mut self, high_watermark: Offset) {
        let _ = high_watermark;
    }

    pub(crate) fn loaded(&mut self, group_id: &GroupId, env: &Environment<'_>, output: &mut Output) {
        let _ = (group_id, env, output);
    }

    pub(crate) fn next_deadline(&self) -> Option<Duration> {
        None
    }

    pub(crate) fn on_deadline(&mut self, group_id: &GroupId, env: &Environment<'_>, output: &mut Output) {
        let _ = (group_id, env, output);
    }

    pub(crate) fn check_commit(
        &mut self,
        request: &OffsetCommit,
        env: &Environment<'_>,
    ) -> Result<(), GroupError> {
        let _ = (request, env);
        if request.generation_id_or_member_epoch < 0 { Ok(()) } else { Err(GroupError::IllegalGeneration) }
    }

    pub(crate) fn check_offset_deletion(&self) -> Result<(), GroupError> {
        Ok(())
    }

    pub(crate) fn is_subscribed_to(&self, topic: &str) -> bool {
        let _ = topic;
        false
    }

    pub(crate) fn offset_age(&self) -> OffsetAge {
        OffsetAge::SinceCommit
    }

    pub(crate) fn listing(&self, group_id: &GroupId) -> GroupListing {
        GroupListing {
            group_id: group_id.clone(),
            protocol_type: "".into(),
            state: GroupState::Empty,
            kind: GroupKind::Classic,
        }
    }

    pub(crate) fn describe(&self, monotonic: Duration) -> ClassicGroupDescription {
        let _ = monotonic;
        ClassicGroupDescription {
            state: GroupState::Empty,
            protocol_type: "".into(),
            protocol: "".into(),
            members: Vec::new(),
        }
    }

    pub(crate) fn unload(&mut self, output: &mut Output) {
        let _ = output;
    }
}
