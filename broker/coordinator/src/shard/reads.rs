//! What can be read of a shard: what is committed, without waiting.

use std::sync::Arc;
use std::time::Duration;

use storage::ids::PartitionIndex;

use super::GroupShard;
use crate::description::{
    ClassicGroupDescription, ConsumerGroupDescription, FetchedOffset, GroupListing, OffsetFetch,
};
use crate::error::GroupError;
use crate::group::Group;
use crate::ids::GroupId;
use crate::offsets;
use crate::record::OffsetCommitValue;

impl GroupShard {
    /// OffsetFetch: the committed offsets that are asked for, in the order of the request; all of the group, in the
    /// order of topics and partitions, where it names none. A group that is not there has no offsets, which is no
    /// error.
    ///
    /// # Errors
    /// When the one who asks says who it is, and the group knows better.
    pub fn fetch_offsets(&self, request: &OffsetFetch) -> Result<Vec<FetchedOffset>, GroupError> {
        let group_id = &request.group_id;
        let group = self.groups.read(group_id);
        if let (Some(Group::Consumer(group)), Some(member)) = (group, &request.member) {
            group.check_fetch(member)?;
        }
        let Some(partitions) = &request.partitions else {
            let values = self.offsets.committed_of(group_id).into_iter().filter(|_| group.is_some());
            return Ok(values
                .map(|(topic, index, value)| offsets::fetched(topic, index, Some(value)))
                .collect());
        };
        let value = |(topic, index): &(Arc<str>, PartitionIndex)| {
            let value = self.offsets.committed_value(group_id, topic, *index).filter(|_| group.is_some());
            offsets::fetched(topic, *index, value)
        };
        Ok(partitions.iter().map(value).collect())
    }

    /// DescribeGroups: how a classic group stands. `monotonic` is the time, see
    /// [`crate::environment::Environment::monotonic`].
    ///
    /// # Errors
    /// [`GroupError::GroupIdNotFound`] when there is no such group, or it is of another kind.
    pub fn describe_classic(
        &self,
        group_id: &GroupId,
        monotonic: Duration,
    ) -> Result<ClassicGroupDescription, GroupError> {
        match self.groups.read(group_id) {
            Some(Group::Classic(group)) => Ok(group.describe(monotonic)),
            Some(Group::Consumer(_)) => {
                Err(GroupError::GroupIdNotFound(format!("Group {group_id} is not a classic group.")))
            }
            None => Err(not_found(group_id)),
        }
    }

    /// ConsumerGroupDescribe: how a consumer group stands.
    ///
    /// # Errors
    /// [`GroupError::GroupIdNotFound`] when there is no such group, or it is of another kind.
    pub fn describe_consumer(&self, group_id: &GroupId) -> Result<ConsumerGroupDescription, GroupError> {
        match self.groups.read(group_id) {
            Some(Group::Consumer(group)) => Ok(group.describe()),
            Some(Group::Classic(_)) => {
                Err(GroupError::GroupIdNotFound(format!("Group {group_id} is not a consumer group.")))
            }
            None => Err(not_found(group_id)),
        }
    }

    /// ListGroups: every group, in the order of their ids.
    #[must_use]
    pub fn list(&self) -> Vec<GroupListing> {
        self.groups.read_all().map(|(group_id, group)| group.listing(group_id)).collect()
    }

    /// Every committed offset, in the order of groups, topics and partitions.
    pub fn committed_offsets(
        &self,
    ) -> impl Iterator<Item = (&GroupId, &Arc<str>, PartitionIndex, &OffsetCommitValue)> {
        self.offsets.groups_with_offsets().flat_map(|group_id| {
            let values = self.offsets.committed_of(group_id);
            values.into_iter().map(move |(topic, index, value)| (group_id, topic, index, value))
        })
    }
}

fn not_found(group_id: &GroupId) -> GroupError {
    GroupError::GroupIdNotFound(format!("Group {group_id} not found."))
}
