//! Groups of the consumer protocol, in which the broker assigns. Source: KIP-848.
//!
//! A group moves by epochs. Its own grows when a member or a topic changes; the *target* is computed for it
//! (`target`), and each member walks towards the target by itself (`reconciliation`), from heartbeat to heartbeat.
//! What a member says and what follows is in `speaking`; who leaves or is out of time, in `leaving`.
//!
//! Invariants:
//! - A partition has at most one member that owns it or has yet to give it up, in every epoch.
//! - A heartbeat that says nothing new costs no more in a large group than in a small one.
//! - `index` follows from `state`; `committed` is `state` as it was at the high watermark, and `uncommitted` lies
//!   between the two.

mod conversion;
mod description;
mod heartbeat;
mod index;
mod leaving;
mod limits;
mod metadata_hash;
mod offsets;
mod partitions;
mod pattern;
mod reconciliation;
mod records;
mod speaking;
mod state;
mod subscriptions;
mod target;
#[cfg(test)]
mod tests;
mod timers;
mod validation;

use std::collections::{BTreeSet, VecDeque};
use std::time::Duration;

use storage::ids::{Offset, TopicId};

pub(crate) use self::heartbeat::{check_instance, rejoining, unknown_instance, unknown_member};
use self::index::Index;
use self::leaving::Leave;
pub(crate) use self::partitions::{CurrentAssignment, OwnedPartitions, held};
pub(crate) use self::records::remove_group;
pub(crate) use self::speaking::Speaking;
pub(crate) use self::state::Member;
use self::state::{Change, State};
use self::subscriptions::PatternCheck;
pub(crate) use self::timers::Timer;
use self::timers::Timers;
use super::table::Groups;
use super::{Group, migration};
use crate::environment::Environment;
use crate::error::GroupError;
use crate::ids::{GroupEpoch, GroupId, MemberEpoch, MemberId};
use crate::output::{Output, ReplyTo};
use crate::record::{MemberState, Record};
use crate::request::{ConsumerGroupHeartbeat, ConsumerGroupHeartbeatReply, Reply};

/// What kind of members a consumer group has, in the words of the classic protocol.
pub(crate) const PROTOCOL_TYPE: &str = "consumer";

/// A group of the consumer protocol.
#[derive(Debug, Default)]
pub(crate) struct ConsumerGroup {
    /// What is applied.
    pub(crate) state: State,
    /// What follows from it.
    pub(crate) index: Index,
    /// What is committed.
    committed: State,
    /// What is applied and not committed yet, with where it is in the log.
    uncommitted: VecDeque<(Offset, Change)>,
    /// When members are out of time.
    pub(crate) timers: Timers,
    /// Which metadata the hash in `state` was compared with.
    checked: Option<Checked>,
    /// When the patterns were last looked at.
    pattern_check: Option<PatternCheck>,
    /// Whether the epoch is to grow although nobody subscribes to anything else.
    is_epoch_due: bool,
}

/// Which metadata the hash of a group was compared with. Where the group has not come to `epoch`, the record of it was
/// not appended, and the comparison does not count.
#[derive(Clone, Copy, Debug)]
struct Checked {
    version: i64,
    epoch: GroupEpoch,
}

/// ConsumerGroupHeartbeat, to whatever group there is or none. A classic group may have to be turned into a consumer
/// group first.
pub(crate) fn heartbeat(
    groups: &mut Groups,
    request: &ConsumerGroupHeartbeat,
    reply_to: ReplyTo,
    env: &Environment<'_>,
    output: &mut Output,
) {
    let reply = match request.member_epoch {
        MemberEpoch::LEAVE | MemberEpoch::LEAVE_STATIC => leave(groups, request, env, output),
        _ => join_or_stay(groups, request, env, output),
    };
    output.reply(reply_to, Reply::ConsumerGroupHeartbeat(reply));
}

fn join_or_stay(
    groups: &mut Groups,
    request: &ConsumerGroupHeartbeat,
    env: &Environment<'_>,
    output: &mut Output,
) -> Result<ConsumerGroupHeartbeatReply, GroupError> {
    validation::check(request, env)?;
    let group_id = &request.group_id;
    let is_joining = request.member_epoch == MemberEpoch::JOIN;
    let is_full = groups.is_full();
    let (mut group, mut records) = match groups.get_mut(group_id) {
        Some(Group::Consumer(group)) => {
            let (reply, records) = group.heartbeat(request, env)?;
            output.records.extend(records);
            return Ok(reply);
        }
        Some(Group::Classic(group)) if is_joining && group.is_empty() => {
            (ConsumerGroup::default(), vec![Record::ClassicGroup { group_id: group_id.clone(), value: None }])
        }
        Some(Group::Classic(group)) if is_joining => migration::upgrade(group, group_id, env)?,
        Some(Group::Classic(_)) => return Err(not_a_consumer_group(group_id)),
        None if is_joining && is_full => {
            return Err(GroupError::GroupMaxSizeReached("There are too many groups.".to_owned()));
        }
        None if is_joining => (ConsumerGroup::default(), Vec::new()),
        None => return Err(GroupError::GroupIdNotFound(format!("Consumer group {group_id} not found."))),
    };
    let (reply, more) = group.heartbeat(request, env)?;
    records.extend(more);
    if let Some(Group::Classic(classic)) = groups.get_mut(group_id) {
        classic.send_back_waiting(output);
    }
    groups.stage(group_id, Group::Consumer(group.without_state()));
    output.records.extend(records);
    Ok(reply)
}

fn leave(
    groups: &mut Groups,
    request: &ConsumerGroupHeartbeat,
    env: &Environment<'_>,
    output: &mut Output,
) -> Result<ConsumerGroupHeartbeatReply, GroupError> {
    validation::check(request, env)?;
    let group_id = &request.group_id;
    let group = match groups.get_mut(group_id) {
        Some(Group::Consumer(group)) => group,
        Some(Group::Classic(_)) => return Err(not_a_consumer_group(group_id)),
        None => return Err(GroupError::GroupIdNotFound(format!("Group {group_id} not found."))),
    };
    match group.leave(request)? {
        Leave::ForAWhile(record) => output.records.push(record),
        Leave::ForGood(member_id) => {
            migration::fence(groups, group_id, &BTreeSet::from([member_id]), env, output);
        }
    }
    Ok(leaving::left(request))
}

fn not_a_consumer_group(group_id: &GroupId) -> GroupError {
    GroupError::GroupIdNotFound(format!("Group {group_id} is not a consumer group."))
}

/// Makes a record true that is neither an offset nor of a classic group.
pub(crate) fn apply(groups: &mut Groups, record: &Record, offset: Offset) {
    let group_id = record.group_id();
    let Some(change) = Change::of(record) else {
        if matches!(groups.get(group_id), Some(Group::Consumer(_))) {
            groups.delete(group_id, offset);
        }
        return;
    };
    if !matches!(groups.get(group_id), Some(Group::Consumer(_))) {
        if !change.adds() {
            return;
        }
        // A group that only kept offsets has no record of its own to delete.
        groups.delete(group_id, offset);
        groups.insert_staged(group_id, || Group::Consumer(ConsumerGroup::default()));
    }
    let is_committed = groups.is_committed(offset);
    if let Some(Group::Consumer(group)) = groups.get_mut(group_id) {
        group.apply(change, offset, is_committed);
    }
    groups.recorded(group_id, offset);
}

impl ConsumerGroup {
    /// Makes a change true that is at `offset` of the log.
    fn apply(&mut self, change: Change, offset: Offset, is_committed: bool) {
        if is_committed {
            self.committed.apply(change.clone());
        } else {
            self.uncommitted.push_back((offset, change.clone()));
        }
        match &change {
            Change::Said(member_id, _) | Change::Current(member_id, _) => {
                let member_id = member_id.clone();
                self.state.members.get(&member_id).iter().for_each(|was| self.index.remove(&member_id, was));
                self.state.apply(change);
                match self.state.members.get(&member_id) {
                    Some(is) => self.index.add(&member_id, is),
                    None => self.timers.forget(&member_id),
                }
            }
            Change::Pattern(pattern, after) => {
                let before = self.state.patterns.get(pattern);
                self.index.replace_pattern(before.map(AsRef::as_ref), after.as_deref());
                self.state.apply(change);
            }
            Change::Epoch(..)
            | Change::PartitionMetadata(_)
            | Change::TargetEpoch(..)
            | Change::Target(..) => {
                self.state.apply(change);
            }
        }
    }

    /// Whether it has no members.
    pub(crate) fn is_empty(&self) -> bool {
        self.state.members.is_empty()
    }

    /// Every record before `high_watermark` is committed.
    pub(crate) fn committed(&mut self, high_watermark: Offset) {
        while let Some((_, change)) = self.uncommitted.pop_front_if(|(offset, _)| *offset < high_watermark) {
            self.committed.apply(change);
        }
    }

    /// All its records are applied: the sessions of its members begin.
    pub(crate) fn loaded(&mut self, group_id: &GroupId, env: &Environment<'_>) {
        let session = deadline_after_ms(env, env.cluster.group_config(group_id).consumer_session_timeout_ms);
        for (member_id, member) in &self.state.members {
            self.timers.set(member_id, Timer::Session, session);
            if member.current.state == MemberState::UnrevokedPartitions {
                let deadline = deadline_after_ms(env, member.said.rebalance_timeout_ms);
                self.timers.set(member_id, Timer::Revocation(member.current.epoch), deadline);
            }
        }
    }

    /// The moment before which time changes nothing.
    pub(crate) fn next_deadline(&self) -> Option<Duration> {
        self.timers.next_deadline()
    }

    /// Whether a member reads the topic.
    pub(crate) fn is_subscribed_to(&self, topic: &str) -> bool {
        self.index.topics.get(topic) > 0
    }

    /// Adds the records that delete the group.
    pub(crate) fn tombstones(&self, group_id: &GroupId, records: &mut Vec<Record>) {
        records::remove_group(self, group_id, |member_id| member_id, records);
    }

    /// Whether the topics may have changed since the hash was last compared.
    fn has_metadata_expired(&self, env: &Environment<'_>) -> bool {
        self.checked.is_none_or(|checked| {
            checked.version != env.cluster.version() || self.state.epoch < checked.epoch
        })
    }
}

/// The moment so many milliseconds from now. A member may say what it likes; a negative time is none.
pub(crate) fn deadline_after_ms(env: &Environment<'_>, timeout_ms: i32) -> Duration {
    env.monotonic + Duration::from_millis(u64::try_from(timeout_ms).unwrap_or(0))
}

/// A name for a member that has none yet, as Kafka makes them.
pub(crate) fn new_member_id(env: &Environment<'_>) -> MemberId {
    let random = uuid::Builder::from_random_bytes((env.random)().to_be_bytes()).into_uuid();
    MemberId::from(&*TopicId(random).to_string())
}
