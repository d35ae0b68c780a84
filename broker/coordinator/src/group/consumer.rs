//! Groups of the consumer protocol (KIP-848).

use std::time::Duration;

use storage::ids::Offset;

use super::table::Groups;
use crate::description::{ConsumerGroupDescription, GroupKind, GroupListing, GroupState};
use crate::environment::Environment;
use crate::error::GroupError;
use crate::ids::{GroupId, MemberEpoch, MemberId};
use crate::output::{Output, ReplyTo};
use crate::record::Record;
use crate::request::{
    CommittingOffset, ConsumerGroupHeartbeat, Heartbeat, JoinGroup, LeaveGroup, OffsetCommit, Reply,
    SyncGroup,
};

/// A group of the consumer protocol.
#[derive(Debug, Default)]
pub(crate) struct ConsumerGroup {}

fn unserved() -> GroupError {
    GroupError::UnsupportedVersion("the consumer protocol is not served".to_owned())
}

/// ConsumerGroupHeartbeat, to whatever group there is or none. A classic group may have to be turned into a consumer
/// group first.
pub(crate) fn heartbeat(
    groups: &mut Groups,
    request: ConsumerGroupHeartbeat,
    reply_to: ReplyTo,
    env: &Environment<'_>,
    output: &mut Output,
) {
    let _ = (groups, request, env);
    output.reply(reply_to, Reply::ConsumerGroupHeartbeat(Err(unserved())));
}

/// JoinGroup to a consumer group that has members.
pub(crate) fn join_classic(
    groups: &mut Groups,
    request: JoinGroup,
    reply_to: ReplyTo,
    env: &Environment<'_>,
    output: &mut Output,
) {
    let _ = (groups, request, env);
    output.reply(reply_to, Reply::JoinGroup(Err(unserved())));
}

/// SyncGroup to a consumer group that has members.
pub(crate) fn sync_classic(
    groups: &mut Groups,
    request: SyncGroup,
    reply_to: ReplyTo,
    env: &Environment<'_>,
    output: &mut Output,
) {
    let _ = (groups, request, env);
    output.reply(reply_to, Reply::SyncGroup(Err(unserved())));
}

/// Heartbeat to a consumer group.
pub(crate) fn heartbeat_classic(
    groups: &mut Groups,
    request: Heartbeat,
    reply_to: ReplyTo,
    env: &Environment<'_>,
    output: &mut Output,
) {
    let _ = (groups, request, env);
    output.reply(reply_to, Reply::Heartbeat(Err(unserved())));
}

/// LeaveGroup to a consumer group.
pub(crate) fn leave_classic(
    groups: &mut Groups,
    request: LeaveGroup,
    reply_to: ReplyTo,
    env: &Environment<'_>,
    output: &mut Output,
) {
    let _ = (groups, request, env);
    output.reply(reply_to, Reply::LeaveGroup(Err(unserved())));
}

/// Makes a record true that is neither an offset nor of a classic group. The first record of a group makes it
/// ([`Groups::insert`]), each is noted ([`Groups::recorded`]), the tombstone of the group deletes it
/// ([`Groups::delete`]).
pub(crate) fn apply(groups: &mut Groups, record: &Record, offset: Offset) {
    let _ = (groups, record, offset);
}

impl ConsumerGroup {
    pub(crate) fn is_empty(&self) -> bool {
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

    /// Whether the one who commits may: called once for each request, before [`Self::admits`].
    pub(crate) fn check_commit(
        &mut self,
        request: &OffsetCommit,
        env: &Environment<'_>,
    ) -> Result<(), GroupError> {
        let _ = (request, env);
        Err(unserved())
    }

    /// Whether the one who commits may commit this partition in its epoch. Source: CommitPartitionValidator.java.
    pub(crate) fn admits(&self, request: &OffsetCommit, offset: &CommittingOffset) -> Result<(), GroupError> {
        let _ = (request, offset);
        Ok(())
    }

    /// Whether the one who reads offsets may, where it says who it is; by committed state.
    pub(crate) fn check_fetch(&self, member: &(MemberId, MemberEpoch)) -> Result<(), GroupError> {
        let _ = member;
        Ok(())
    }

    pub(crate) fn is_subscribed_to(&self, topic: &str) -> bool {
        let _ = topic;
        false
    }

    pub(crate) fn tombstones(&self, group_id: &GroupId, records: &mut Vec<Record>) {
        records.push(Record::ConsumerGroup { group_id: group_id.clone(), value: None });
    }

    pub(crate) fn listing(&self, group_id: &GroupId) -> GroupListing {
        GroupListing {
            group_id: group_id.clone(),
            protocol_type: "consumer".into(),
            state: GroupState::Empty,
            kind: GroupKind::Consumer,
        }
    }

    pub(crate) fn describe(&self) -> ConsumerGroupDescription {
        ConsumerGroupDescription {
            state: GroupState::Empty,
            group_epoch: Default::default(),
            assignment_epoch: Default::default(),
            assignor: "".into(),
            members: Vec::new(),
        }
    }

    pub(crate) fn unload(&mut self, output: &mut Output) {
        let _ = output;
    }
}
