//! The records of a consumer group. Source: GroupCoordinatorRecordHelpers.java.

use std::sync::Arc;

use storage::ids::TimestampMs;

use super::ConsumerGroup;
use super::partitions::{CurrentAssignment, listed};
use crate::group::assignor::PartitionSet;
use crate::ids::{GroupEpoch, GroupId, MemberId};
use crate::record::{
    ConsumerGroupValue, ConsumerMemberValue, Record, RegularExpressionValue, TargetAssignmentMetadataValue,
};

/// What a member says.
pub(crate) fn member(group_id: &GroupId, member_id: &MemberId, said: &ConsumerMemberValue) -> Record {
    Record::ConsumerMember {
        group_id: group_id.clone(),
        member_id: member_id.clone(),
        value: Some(said.clone()),
    }
}

/// The epoch of a group.
pub(crate) fn epoch(group_id: &GroupId, epoch: GroupEpoch, metadata_hash: i64) -> Record {
    Record::ConsumerGroup {
        group_id: group_id.clone(),
        value: Some(ConsumerGroupValue { epoch, metadata_hash }),
    }
}

/// What a member is to own.
pub(crate) fn target(group_id: &GroupId, member_id: &MemberId, target: &PartitionSet) -> Record {
    Record::TargetAssignmentMember {
        group_id: group_id.clone(),
        member_id: member_id.clone(),
        value: Some(listed(target)),
    }
}

/// When the targets were computed.
pub(crate) fn target_epoch(group_id: &GroupId, epoch: GroupEpoch, timestamp: TimestampMs) -> Record {
    Record::TargetAssignmentMetadata {
        group_id: group_id.clone(),
        value: Some(TargetAssignmentMetadataValue {
            assignment_epoch: epoch,
            assignment_timestamp: timestamp,
        }),
    }
}

/// What a member owns.
pub(crate) fn current(group_id: &GroupId, member_id: &MemberId, current: &CurrentAssignment) -> Record {
    Record::CurrentAssignment {
        group_id: group_id.clone(),
        member_id: member_id.clone(),
        value: Some(current.into()),
    }
}

/// What a pattern matches, or that nobody subscribes to it any more.
pub(crate) fn pattern(
    group_id: &GroupId,
    pattern: &Arc<str>,
    value: Option<&RegularExpressionValue>,
) -> Record {
    Record::RegularExpression {
        group_id: group_id.clone(),
        regular_expression: pattern.clone(),
        value: value.cloned(),
    }
}

/// That there is no record of Kafka 4.0 any more.
pub(crate) fn no_partition_metadata(group_id: &GroupId) -> Record {
    Record::ConsumerGroupPartitionMetadata { group_id: group_id.clone(), value: None }
}

/// A member is gone.
pub(crate) fn remove_member(group_id: &GroupId, member_id: &MemberId, records: &mut Vec<Record>) {
    records.push(current_tombstone(group_id, member_id));
    records.push(target_tombstone(group_id, member_id));
    records.push(member_tombstone(group_id, member_id));
}

/// The group is gone. Members go under the name that `renamed` gives them, where it has one: that of a static member
/// which another has just replaced.
pub(crate) fn remove_group<'a>(
    group: &'a ConsumerGroup,
    group_id: &GroupId,
    renamed: impl Fn(&'a MemberId) -> &'a MemberId,
    records: &mut Vec<Record>,
) {
    let members = || group.state.members.keys().map(&renamed);
    records.extend(members().map(|member_id| current_tombstone(group_id, member_id)));
    records.extend(members().map(|member_id| target_tombstone(group_id, member_id)));
    records.push(Record::TargetAssignmentMetadata { group_id: group_id.clone(), value: None });
    records.extend(members().map(|member_id| member_tombstone(group_id, member_id)));
    records.extend(group.state.patterns.keys().map(|regex| pattern(group_id, regex, None)));
    records.push(no_partition_metadata(group_id));
    records.push(Record::ConsumerGroup { group_id: group_id.clone(), value: None });
}

fn current_tombstone(group_id: &GroupId, member_id: &MemberId) -> Record {
    Record::CurrentAssignment { group_id: group_id.clone(), member_id: member_id.clone(), value: None }
}

fn target_tombstone(group_id: &GroupId, member_id: &MemberId) -> Record {
    Record::TargetAssignmentMember { group_id: group_id.clone(), member_id: member_id.clone(), value: None }
}

fn member_tombstone(group_id: &GroupId, member_id: &MemberId) -> Record {
    Record::ConsumerMember { group_id: group_id.clone(), member_id: member_id.clone(), value: None }
}
