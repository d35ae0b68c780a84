//! Members that leave, for good or for a while, and those that are removed because they are out of time.
//! Source: GroupMetadataManager.java (`consumerGroupLeave`, `consumerGroupFenceMembers`).

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::heartbeat::{check_instance, unknown_instance, unknown_member};
use super::metadata_hash::metadata_hash;
use super::partitions::{CurrentAssignment, OwnedPartitions};
use super::state::Member;
use super::subscriptions::topics_without;
use super::timers::Timer;
use super::{ConsumerGroup, records};
use crate::environment::Environment;
use crate::error::GroupError;
use crate::ids::{GroupId, MemberEpoch, MemberId};
use crate::record::Record;
use crate::request::{ConsumerGroupHeartbeat, ConsumerGroupHeartbeatReply};

/// What a heartbeat that leaves comes to.
pub(super) enum Leave {
    /// The member is to be removed.
    ForGood(MemberId),
    /// The static member keeps its partitions for as long as its session lasts.
    ForAWhile(Record),
}

impl ConsumerGroup {
    /// Whether the member may leave, and how it does.
    pub(super) fn leave(&self, request: &ConsumerGroupHeartbeat) -> Result<Leave, GroupError> {
        let Some(instance_id) = &request.instance_id else {
            if !self.state.members.contains_key(&request.member_id) {
                return Err(unknown_member(&request.member_id, &request.group_id));
            }
            return Ok(Leave::ForGood(request.member_id.clone()));
        };
        let owner = self.index.static_member(instance_id).ok_or_else(|| unknown_instance(instance_id))?;
        check_instance(owner, &request.member_id)?;
        let member = self.state.members.get(owner).ok_or_else(|| unknown_instance(instance_id))?;
        if request.member_epoch != MemberEpoch::LEAVE_STATIC {
            return Ok(Leave::ForGood(owner.clone()));
        }
        let away = away(&member.current);
        Ok(Leave::ForAWhile(records::current(&request.group_id, owner, &away)))
    }

    /// The members that are out of time.
    pub(crate) fn expired_members(&mut self, group_id: &GroupId, now: Duration) -> BTreeSet<MemberId> {
        let mut expired = BTreeSet::new();
        for (member_id, timer) in self.timers.expire(group_id, now) {
            match (timer, self.state.members.get(&member_id)) {
                (_, None) => self.timers.forget(&member_id),
                (Timer::Revocation(epoch), Some(member)) if member.current.epoch != epoch => {
                    self.timers.cancel(&member_id, |other| other == timer);
                }
                (Timer::Session | Timer::Revocation(_) | Timer::Join | Timer::Sync, Some(_)) => {
                    expired.insert(member_id);
                }
            }
        }
        expired
    }

    /// Adds the records that remove these members and let the group's epoch grow.
    pub(crate) fn remove_members(
        &self,
        group_id: &GroupId,
        member_ids: &BTreeSet<MemberId>,
        env: &Environment<'_>,
        records: &mut Vec<Record>,
    ) {
        let members: BTreeMap<&MemberId, &Member> = member_ids
            .iter()
            .filter_map(|member_id| Some((member_id, self.state.members.get(member_id)?)))
            .collect();
        if members.is_empty() {
            return;
        }
        members.keys().for_each(|member_id| records::remove_member(group_id, member_id, records));
        let (topics, dropped) = topics_without(self, members.values().copied());
        records.extend(dropped.iter().map(|pattern| records::pattern(group_id, pattern, None)));
        let hash = metadata_hash(topics.iter(), env.cluster);
        records.push(records::epoch(group_id, self.state.epoch.next(), hash));
    }
}

/// Where a static member stands that left for a while: it owns what it owned, in no epoch of a member.
fn away(current: &CurrentAssignment) -> CurrentAssignment {
    let mut assigned = current.assigned.clone();
    assigned.values_mut().flat_map(BTreeMap::values_mut).for_each(|epoch| *epoch = MemberEpoch(0));
    CurrentAssignment {
        epoch: MemberEpoch::LEAVE_STATIC,
        assigned,
        pending_revocation: OwnedPartitions::new(),
        ..current.clone()
    }
}

/// The answer to a member that left.
pub(super) fn left(request: &ConsumerGroupHeartbeat) -> ConsumerGroupHeartbeatReply {
    ConsumerGroupHeartbeatReply {
        member_id: request.member_id.clone(),
        member_epoch: request.member_epoch,
        heartbeat_interval: Duration::ZERO,
        assignment: None,
    }
}
