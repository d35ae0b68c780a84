//! What persists of a classic group: one record with all its members, and how a group is made of it.

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::Bytes;
use storage::ids::{Offset, TimestampMs};

use super::member::{Member, Timeouts};
use super::protocols::Protocols;
use super::{ClassicGroup, State};
use crate::environment::Environment;
use crate::group::Group;
use crate::group::table::Groups;
use crate::ids::{GenerationId, GroupId, MemberId};
use crate::output::Output;
use crate::record::{ClassicGroupValue, ClassicMemberValue, Record};

/// The most that a group's record may take, in bytes: what a batch of `__consumer_offsets` may (`max.message.bytes`,
/// 1,048,588 by default), without what the batch and the record need around key and value. Larger, and the log would
/// refuse it every time; smaller, and groups would be refused that Apache Kafka takes.
const RECORD_BYTES_MAX: usize = 1_048_588 - 61 - 32;

/// The value of a group that is applied, with those that it supersedes until it is committed.
#[derive(Debug, Default)]
pub(super) struct Recorded {
    applied: Option<Arc<ClassicGroupValue>>,
    /// What stood before each record that is not committed yet, the oldest first.
    superseded: VecDeque<(Offset, Option<Arc<ClassicGroupValue>>)>,
}

impl Recorded {
    /// What is applied.
    pub(super) fn applied(&self) -> Option<&ClassicGroupValue> {
        self.applied.as_deref()
    }

    /// What is committed.
    pub(super) fn committed(&self) -> Option<&ClassicGroupValue> {
        self.superseded.front().map_or(self.applied.as_deref(), |(_, before)| before.as_deref())
    }

    fn apply(&mut self, value: &ClassicGroupValue, offset: Offset, is_committed: bool) {
        let before = self.applied.replace(Arc::new(value.clone()));
        if !is_committed {
            self.superseded.push_back((offset, before));
        }
    }

    fn commit(&mut self, high_watermark: Offset) {
        while self.superseded.pop_front_if(|(offset, _)| *offset < high_watermark).is_some() {}
    }
}

/// Makes the record of a classic group true.
pub(crate) fn apply(
    groups: &mut Groups,
    group_id: &GroupId,
    value: Option<&ClassicGroupValue>,
    offset: Offset,
) {
    let Some(value) = value else {
        if matches!(groups.get(group_id), Some(Group::Classic(_))) {
            groups.delete(group_id, offset);
        }
        return;
    };
    if !matches!(groups.get(group_id), Some(Group::Classic(_))) {
        groups.insert_staged(group_id, || Group::Classic(ClassicGroup::new(group_id)));
    }
    let is_committed = groups.is_committed(offset);
    if let Some(Group::Classic(group)) = groups.get_mut(group_id) {
        group.record.apply(value, offset, is_committed);
        group.apply_assignment(value);
        group.apply_replacement(value);
    }
    groups.recorded(group_id, offset);
}

impl ClassicGroup {
    /// A group as its record says, whose members' sessions begin now. A consumer group becomes a classic one with this.
    pub(crate) fn from_value(group_id: &GroupId, value: &ClassicGroupValue, env: &Environment<'_>) -> Self {
        let mut group = Self::new(group_id);
        group.restore(value, env);
        group
    }

    /// Every record before `high_watermark` is committed.
    pub(crate) fn committed(&mut self, high_watermark: Offset) {
        self.record.commit(high_watermark);
    }

    /// All records are applied: members get their sessions anew. A group that has more members than the settings allow
    /// by now is rebalanced, since its members can then commit before some are turned away.
    pub(crate) fn loaded(&mut self, env: &Environment<'_>, output: &mut Output) {
        let Some(value) = self.record.applied.clone() else { return };
        self.restore(&value, env);
        if self.members.len() > usize::try_from(env.settings.group_max_size).unwrap_or(0) {
            self.prepare_rebalance(env, output);
        }
    }

    fn restore(&mut self, value: &ClassicGroupValue, env: &Environment<'_>) {
        let protocol_type = &value.protocol_type;
        self.generation_id = value.generation_id;
        self.protocol_type = (!protocol_type.is_empty()).then(|| protocol_type.clone());
        self.protocol = value.protocol.clone();
        let is_member = |leader: &MemberId| value.members.iter().any(|member| member.member_id == *leader);
        self.leader = value.leader.clone().filter(is_member);
        for member in &value.members {
            let protocol = value.protocol.clone().unwrap_or_default();
            let protocols = Protocols::of_record(protocol, member.subscription.clone());
            self.add(&member.member_id, protocol_type, restored(member, protocols));
            self.begin_session(&member.member_id, env);
        }
        self.state = if self.members.is_empty() { State::Empty } else { State::Stable };
        self.state_timestamp = value.current_state_timestamp;
        self.state_since = env.monotonic;
        self.subscribed_topics = self.read_subscriptions();
    }

    /// The value of the group as it is, with these assignments.
    pub(super) fn value(&self, assignment: impl Fn(&MemberId) -> Bytes) -> ClassicGroupValue {
        let protocol = self.protocol.as_deref().unwrap_or_default();
        let members = self.members.iter();
        ClassicGroupValue {
            protocol_type: self.protocol_type.clone().unwrap_or_default(),
            generation_id: self.generation_id,
            protocol: self.protocol.clone(),
            leader: self.leader.clone(),
            current_state_timestamp: self.state_timestamp,
            members: members
                .map(|(member_id, member)| member_value(member_id, member, protocol, assignment(member_id)))
                .collect(),
        }
    }

    /// The record of a group that has just been thought of.
    pub(super) fn record_of_new(&self, now: TimestampMs) -> Record {
        let value = ClassicGroupValue {
            protocol_type: "".into(),
            generation_id: GenerationId(0),
            protocol: None,
            leader: None,
            current_state_timestamp: now,
            members: Vec::new(),
        };
        Record::ClassicGroup { group_id: self.group_id.clone(), value: Some(value) }
    }

    /// The record of a group that nobody is left in.
    pub(super) fn record_of_empty(&self) -> Record {
        Record::ClassicGroup { group_id: self.group_id.clone(), value: Some(self.value(|_| Bytes::new())) }
    }
}

/// What a member is in the group's record.
pub(super) fn member_value(
    member_id: &MemberId,
    member: &Member,
    protocol: &str,
    assignment: Bytes,
) -> ClassicMemberValue {
    ClassicMemberValue {
        member_id: member_id.clone(),
        group_instance_id: member.group_instance_id.clone(),
        client_id: member.client_id.clone(),
        client_host: member.client_host.clone(),
        rebalance_timeout_ms: member.timeouts.rebalance_ms,
        session_timeout_ms: member.timeouts.session_ms,
        subscription: member.protocols.metadata(protocol).cloned().unwrap_or_default(),
        assignment,
    }
}

fn restored(value: &ClassicMemberValue, protocols: Protocols) -> Member {
    Member {
        group_instance_id: value.group_instance_id.clone(),
        client_id: value.client_id.clone(),
        client_host: value.client_host.clone(),
        timeouts: Timeouts::new(value.session_timeout_ms, value.rebalance_timeout_ms),
        protocols,
        assignment: value.assignment.clone(),
        awaiting_join: None,
        awaiting_sync: None,
        is_new: false,
        session_deadline: None,
    }
}

/// Whether the log takes a group's record: counts the bytes of key and value as Kafka writes them (version 3).
pub(super) fn is_recordable(group_id: &GroupId, value: &ClassicGroupValue) -> bool {
    let text = |text: &str| 2 + text.len();
    let member = |member: &ClassicMemberValue| {
        text(member.member_id.as_str())
            + text(member.group_instance_id.as_ref().map_or("", |instance_id| instance_id.as_str()))
            + text(&member.client_id)
            + text(&member.client_host)
            + (4 + 4)
            + (4 + member.subscription.len())
            + (4 + member.assignment.len())
    };
    let key = 2 + text(group_id.as_str());
    let head = 2 + text(&value.protocol_type) + 4 + text(value.protocol.as_deref().unwrap_or_default());
    let leader = text(value.leader.as_ref().map_or("", |leader| leader.as_str()));
    let members: usize = value.members.iter().map(member).sum();
    key + head + leader + 8 + 4 + members <= RECORD_BYTES_MAX
}
