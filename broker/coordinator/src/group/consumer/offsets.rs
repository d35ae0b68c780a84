//! Who may commit and read offsets of a consumer group. A member may commit in an older epoch than its own those
//! partitions that it already owned then. Source: ConsumerGroup.java (`validateOffsetCommit`, `validateOffsetFetch`),
//! CommitPartitionValidator.java, KIP-1251.

use storage::ids::TopicId;

use super::ConsumerGroup;
use super::heartbeat::unknown_member;
use super::state::Member;
use crate::environment::Environment;
use crate::error::GroupError;
use crate::ids::{MemberEpoch, MemberId};
use crate::request::{CommittingOffset, OffsetCommit};

impl ConsumerGroup {
    /// Whether the one who commits may: called once for each request, before [`Self::admits`].
    ///
    /// # Errors
    /// When it may not.
    pub(crate) fn check_commit(&self, request: &OffsetCommit) -> Result<(), GroupError> {
        let received = request.generation_id_or_member_epoch;
        if received < 0 && self.is_empty() {
            return Ok(());
        }
        let member = self.state.members.get(&request.member_id);
        let member = member.ok_or_else(|| unknown_member(&request.member_id, &request.group_id))?;
        if !member.is_classic() && !request.supports_consumer_protocol {
            return Err(GroupError::UnsupportedVersion(
                "OffsetCommit version 9 or above must be used by members using the consumer group protocol"
                    .to_owned(),
            ));
        }
        let current = member.current.epoch;
        if MemberEpoch(received) <= current {
            return Ok(());
        }
        Err(stale(
            member,
            format!("Received member epoch {received} is newer than current member epoch {current}."),
        ))
    }

    /// Whether the one who commits may commit this partition in its epoch.
    ///
    /// # Errors
    /// When it may not.
    pub(crate) fn admits(
        &self,
        request: &OffsetCommit,
        offset: &CommittingOffset,
        env: &Environment<'_>,
    ) -> Result<(), GroupError> {
        let Some(member) = self.state.members.get(&request.member_id) else { return Ok(()) };
        let received = MemberEpoch(request.generation_id_or_member_epoch);
        if received == member.current.epoch {
            return Ok(());
        }
        let topic_id = if offset.topic_id == TopicId::ZERO {
            env.cluster.topic_by_name(&offset.topic).map_or(TopicId::ZERO, |topic| topic.id)
        } else {
            offset.topic_id
        };
        let (topic, partition) = (&offset.topic, offset.partition);
        match member.current.assignment_epoch(topic_id, partition) {
            None => Err(stale(
                member,
                format!("Partition {topic}-{partition} is not assigned or pending revocation for member."),
            )),
            Some(assigned) if received < assigned => Err(stale(
                member,
                format!(
                    "Received member epoch {received} is older than assignment epoch {assigned} for partition \
                     {topic}-{partition}."
                ),
            )),
            Some(_) => Ok(()),
        }
    }

    /// Whether the one who reads offsets may, where it says who it is; by committed state.
    ///
    /// # Errors
    /// When it may not.
    pub(crate) fn check_fetch(
        &self,
        (member_id, received): &(MemberId, MemberEpoch),
    ) -> Result<(), GroupError> {
        let member = self.committed.members.get(member_id).ok_or_else(|| {
            GroupError::UnknownMemberId(format!("Member {member_id} is not a member of the group."))
        })?;
        let expected = member.current.epoch;
        if *received == expected {
            return Ok(());
        }
        Err(stale(
            member,
            format!(
                "The received member epoch {received} does not match the expected member epoch {expected}."
            ),
        ))
    }
}

/// The refusal of an epoch, in the words of the member's protocol.
fn stale(member: &Member, sentence: String) -> GroupError {
    if member.is_classic() { GroupError::IllegalGeneration } else { GroupError::StaleMemberEpoch(sentence) }
}
