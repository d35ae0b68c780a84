//! What a classic group says to commits, deletions and the age of offsets.

use super::subscription::CONSUMER_PROTOCOL_TYPE;
use super::{ClassicGroup, State};
use crate::environment::Environment;
use crate::error::GroupError;
use crate::group::OffsetAge;
use crate::ids::GenerationId;
use crate::record::{ClassicGroupValue, Record};
use crate::request::OffsetCommit;

impl ClassicGroup {
    /// Whether the one who commits may. A member that does is alive.
    ///
    /// # Errors
    /// When it is no member, or of another generation, or the leader assigns: what it read may be another's by now.
    /// While members are joining it may commit, since it still owns what it read.
    pub(crate) fn check_commit(
        &mut self,
        request: &OffsetCommit,
        env: &Environment<'_>,
    ) -> Result<(), GroupError> {
        self.replacement = None;
        let generation_id = request.generation_id_or_member_epoch;
        if generation_id < 0 && self.state == State::Empty {
            return Ok(());
        }
        let is_member_id_given = !request.member_id.as_str().is_empty();
        if generation_id < 0 && !is_member_id_given && request.group_instance_id.is_none() {
            return Err(GroupError::UnknownMemberId(
                "The group has members, and only they may commit.".to_owned(),
            ));
        }
        self.check_member(&request.member_id, request.group_instance_id.as_ref())?;
        if generation_id != self.generation_id.0 {
            return Err(GroupError::IllegalGeneration);
        }
        if self.state == State::CompletingRebalance {
            return Err(GroupError::RebalanceInProgress);
        }
        self.begin_session(&request.member_id, env);
        Ok(())
    }

    /// Whether single offsets may be deleted: of a group with members only where it is known what they read.
    ///
    /// # Errors
    /// [`GroupError::NonEmptyGroup`] when they may not.
    pub(crate) fn check_offset_deletion(&self) -> Result<(), GroupError> {
        if self.is_empty() || self.is_of_consumers() { Ok(()) } else { Err(GroupError::NonEmptyGroup) }
    }

    /// Whether a member reads the topic. Consumers that do not say what they read may read everything.
    pub(crate) fn is_subscribed_to(&self, topic: &str) -> bool {
        match &self.subscribed_topics {
            Some(topics) => topics.contains(topic),
            None => self.is_of_consumers(),
        }
    }

    /// When offsets grow old: from when the group became empty; of a group that only keeps offsets each from its
    /// commit, and so those of a stable group that nobody reads any more.
    pub(crate) fn offset_age(&self) -> OffsetAge {
        if self.protocol_type.is_none() {
            return OffsetAge::SinceCommit;
        }
        match self.state {
            State::Empty => match self.record.applied().filter(|value| self.is_end(Some(value))) {
                Some(value) if value.current_state_timestamp.0 >= 0 => {
                    OffsetAge::Since(value.current_state_timestamp)
                }
                Some(_) => OffsetAge::SinceCommit,
                None => OffsetAge::Never,
            },
            State::Stable if self.is_of_consumers() && self.subscribed_topics.is_some() => {
                OffsetAge::SinceCommit
            }
            State::Stable | State::PreparingRebalance { .. } | State::CompletingRebalance => OffsetAge::Never,
        }
    }

    /// The record that says that nobody is left, where it could not be written when that happened.
    pub(crate) fn unwritten_end(&self) -> Option<Record> {
        let is_unwritten = self.state == State::Empty && !self.is_end(self.record.applied());
        is_unwritten.then(|| self.record_of_empty())
    }

    /// Whether the record says that nobody is left of the last generation there was.
    pub(super) fn is_end(&self, value: Option<&ClassicGroupValue>) -> bool {
        match value {
            Some(value) => value.members.is_empty() && value.generation_id == self.generation_id,
            None => self.generation_id == GenerationId(0),
        }
    }

    pub(crate) fn is_of_consumers(&self) -> bool {
        self.protocol_type.as_deref() == Some(CONSUMER_PROTOCOL_TYPE)
    }
}
