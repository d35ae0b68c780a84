//! What a consumer group may hold. Kafka has only a number of members, which is unlimited by default; a group that has
//! outgrown a batch of `__consumer_offsets` (1 MiB) can there neither be assigned nor shrink.

use super::ConsumerGroup;
use crate::environment::Environment;
use crate::error::GroupError;
use crate::ids::{GroupId, MemberId};
use crate::record::ConsumerMemberValue;

/// The most that the targets of all members may take in a batch, partitions aside. More, and a change that gives every
/// member another target could not be written; fewer, and groups would be refused that Apache Kafka takes.
const TARGET_BYTES_MAX: usize = 640 * 1024;

/// What a member's target takes beside the ids: the headers of record, key and value, and a topic.
const TARGET_BYTES: usize = 64;

/// The most that all members together may say of themselves, in bytes. More lets whoever may join fill the memory;
/// less would refuse a thousand members that subscribe to hundreds of topics each.
const SAID_BYTES_MAX: usize = 16 << 20;

/// The most patterns of a group. More would make a new topic cost as many matches; few groups have more than one.
const PATTERNS_MAX: usize = 256;

/// How many bytes a member says of itself.
pub(super) fn bytes_of(said: &ConsumerMemberValue) -> usize {
    let text = |text: &str| 16 + text.len();
    let topics: usize = said.subscribed_topic_names.iter().map(|topic| text(topic)).sum();
    let protocols = said.classic.iter().flat_map(|classic| &classic.supported_protocols);
    let protocols: usize = protocols.map(|(name, metadata)| text(name) + 32 + metadata.len()).sum();
    let optional = [&said.subscribed_topic_regex, &said.rack_id, &said.server_assignor];
    let optional: usize = optional.into_iter().flatten().map(|one| text(one)).sum();
    let instance_id = said.instance_id.as_ref().map_or(0, |id| text(id.as_str()));
    topics + protocols + optional + instance_id + text(&said.client_id) + text(&said.client_host)
}

impl ConsumerGroup {
    /// Whether the group has room for the member.
    ///
    /// # Errors
    /// [`GroupError::GroupMaxSizeReached`].
    pub(crate) fn check_room_for(
        &self,
        group_id: &GroupId,
        member_id: &MemberId,
        env: &Environment<'_>,
    ) -> Result<(), GroupError> {
        if self.state.members.contains_key(member_id) {
            return Ok(());
        }
        let max = env.settings.group_consumer_max_size;
        let members = self.state.members.len();
        if members >= usize::try_from(max).unwrap_or(0) {
            return Err(GroupError::GroupMaxSizeReached(format!(
                "The consumer group has reached its maximum capacity of {max} members."
            )));
        }
        let ids = self.index.id_bytes + member_id.as_str().len();
        if ids + (members + 1) * (group_id.as_str().len() + TARGET_BYTES) > TARGET_BYTES_MAX {
            return Err(GroupError::GroupMaxSizeReached(format!(
                "The consumer group has {members} members, and one more could not be assigned in one batch."
            )));
        }
        Ok(())
    }

    /// Whether the group can keep what a member says instead of what it said before.
    ///
    /// # Errors
    /// [`GroupError::RecordTooLarge`].
    pub(super) fn check_said(
        &self,
        before: &ConsumerMemberValue,
        said: &ConsumerMemberValue,
    ) -> Result<(), GroupError> {
        let (before, now) = (bytes_of(before), bytes_of(said));
        let is_more = now > before;
        if is_more && self.index.said_bytes + now > SAID_BYTES_MAX {
            return Err(GroupError::RecordTooLarge);
        }
        Ok(())
    }

    /// Whether the group can have one more pattern.
    ///
    /// # Errors
    /// [`GroupError::InvalidRegularExpression`].
    pub(super) fn check_room_for_pattern(&self, pattern: &str) -> Result<(), GroupError> {
        if self.index.patterns.len() >= PATTERNS_MAX && self.index.patterns.get(pattern) == 0 {
            return Err(GroupError::InvalidRegularExpression(format!(
                "The members of the group subscribe to {PATTERNS_MAX} patterns, and cannot subscribe to more."
            )));
        }
        Ok(())
    }
}
