//! How a classic group looks from outside: as far as it is committed.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use super::member::Member;
use super::{ClassicGroup, State};
use crate::description::{
    ClassicGroupDescription, ClassicMemberDescription, GroupKind, GroupListing, GroupState,
};
use crate::ids::{GroupId, MemberId};
use crate::record::{ClassicGroupValue, ClassicMemberValue};

impl ClassicGroup {
    /// The group in a list.
    pub(crate) fn listing(&self, group_id: &GroupId) -> GroupListing {
        GroupListing {
            group_id: group_id.clone(),
            protocol_type: self.protocol_type.clone().unwrap_or_default(),
            state: self.visible_state(),
            kind: GroupKind::Classic,
            member_count: self.visible_value().map_or(self.members.len(), |value| value.members.len()),
        }
    }

    /// The group with its members. What they said and were assigned is told of a stable group alone.
    pub(crate) fn describe(&self, monotonic: Duration) -> ClassicGroupDescription {
        let state = self.visible_state();
        let committed = self.visible_value();
        let waited = monotonic.saturating_sub(self.state_since);
        let members = match committed {
            Some(value) => value.members.iter().map(assigned).collect(),
            None => self.members.iter().map(|(id, member)| self.joining(id, member, waited)).collect(),
        };
        ClassicGroupDescription {
            state,
            protocol_type: self.protocol_type.clone().unwrap_or_default(),
            protocol: committed.and_then(|value| value.protocol.clone()).unwrap_or_default(),
            members,
        }
    }

    /// The generation that is told: of a stable group alone.
    fn visible_value(&self) -> Option<&ClassicGroupValue> {
        self.record.committed().filter(|_| self.visible_state() == GroupState::Stable)
    }

    /// How the group stands. Neither that it is stable nor that it is empty is told before it is committed.
    fn visible_state(&self) -> GroupState {
        match self.state {
            State::Empty if self.is_end(self.record.committed()) => GroupState::Empty,
            State::Empty | State::PreparingRebalance { .. } => GroupState::PreparingRebalance,
            State::Stable if self.has_committed_generation() => GroupState::Stable,
            State::Stable | State::CompletingRebalance => GroupState::CompletingRebalance,
        }
    }

    /// Whether the generation is committed, if perhaps before a static member got a new id.
    fn has_committed_generation(&self) -> bool {
        self.record.committed().is_some_and(|value| value.generation_id == self.generation_id)
    }

    fn joining(&self, member_id: &MemberId, member: &Member, waited: Duration) -> ClassicMemberDescription {
        let is_awaited = match self.state {
            State::PreparingRebalance { .. } => member.awaiting_join.is_none(),
            State::CompletingRebalance => self.pending_sync.contains(member_id),
            State::Empty | State::Stable => false,
        };
        ClassicMemberDescription {
            member_id: member_id.clone(),
            group_instance_id: member.group_instance_id.clone(),
            client_id: member.client_id.clone(),
            client_host: member.client_host.clone(),
            metadata: Bytes::new(),
            assignment: Bytes::new(),
            awaited_for: is_awaited.then_some(waited),
        }
    }
}

fn assigned(value: &ClassicMemberValue) -> ClassicMemberDescription {
    ClassicMemberDescription {
        member_id: value.member_id.clone(),
        group_instance_id: value.group_instance_id.clone(),
        client_id: Arc::clone(&value.client_id),
        client_host: Arc::clone(&value.client_host),
        metadata: value.subscription.clone(),
        assignment: value.assignment.clone(),
        awaited_for: None,
    }
}
