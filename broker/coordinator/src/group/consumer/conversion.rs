//! A consumer group that begins with members: those of the classic group that it was.
//! Source: ConsumerGroup.java (`fromClassicGroup`, `createConsumerGroupRecords`).

use std::collections::BTreeMap;

use storage::ids::{Offset, TimestampMs};

use super::metadata_hash::metadata_hash;
use super::state::{Change, Member};
use super::{ConsumerGroup, records};
use crate::environment::Environment;
use crate::group::assignor::PartitionSet;
use crate::ids::{GroupEpoch, GroupId, MemberId};
use crate::record::Record;

impl ConsumerGroup {
    /// A group of these members, each of which owns in this epoch what it is to own. Adds the records that make it.
    pub(crate) fn of_members(
        members: &BTreeMap<MemberId, Member>,
        epoch: GroupEpoch,
        group_id: &GroupId,
        env: &Environment<'_>,
        records: &mut Vec<Record>,
    ) -> Self {
        let mut group = Self::default();
        for (member_id, member) in members {
            group.index.add(member_id, member);
        }
        let hash = metadata_hash(group.index.topics.keys(), env.cluster);
        let each = || members.iter();
        let made: Vec<Record> = each()
            .map(|(member_id, member)| records::member(group_id, member_id, &member.said))
            .chain([records::epoch(group_id, epoch, hash)])
            .chain(each().map(|(member_id, member)| records::target(group_id, member_id, &owned_by(member))))
            .chain([records::target_epoch(group_id, epoch, TimestampMs(0))])
            .chain(each().map(|(member_id, member)| records::current(group_id, member_id, &member.current)))
            .collect();
        let mut group = Self { is_epoch_due: true, ..Self::default() };
        for change in made.iter().filter_map(Change::of) {
            group.apply(change, Offset(0), true);
        }
        records.extend(made);
        group
    }

    /// The group without what persists of it, which its records bring: what only a group in memory has.
    pub(super) fn without_state(self) -> Self {
        Self {
            timers: self.timers,
            checked: self.checked,
            pattern_check: self.pattern_check,
            ..Self::default()
        }
    }
}

fn owned_by(member: &Member) -> PartitionSet {
    let topics = member.current.assigned.iter();
    topics.map(|(topic, partitions)| (*topic, partitions.keys().copied().collect())).collect()
}
