//! What reads are told of a consumer group: what is committed. Source: ConsumerGroup.java (`asDescribedGroup`,
//! `maybeUpdateGroupState`).

use super::partitions::{held, listed};
use super::state::{Member, State};
use super::{ConsumerGroup, PROTOCOL_TYPE};
use crate::description::{
    ConsumerGroupDescription, ConsumerMemberDescription, GroupKind, GroupListing, GroupState,
};
use crate::ids::{GroupId, MemberEpoch, MemberId};

impl State {
    /// How the group stands.
    pub(crate) fn group_state(&self) -> GroupState {
        let target_epoch = MemberEpoch(self.assignment_epoch.0);
        if self.members.is_empty() {
            GroupState::Empty
        } else if self.epoch > self.assignment_epoch {
            GroupState::Assigning
        } else if self.members.values().all(|member| member.current.is_reconciled_to(target_epoch)) {
            GroupState::Stable
        } else {
            GroupState::Reconciling
        }
    }
}

impl ConsumerGroup {
    /// How it stands, in one line.
    pub(crate) fn listing(&self, group_id: &GroupId) -> GroupListing {
        GroupListing {
            group_id: group_id.clone(),
            protocol_type: PROTOCOL_TYPE.into(),
            state: self.committed.group_state(),
            kind: GroupKind::Consumer,
            member_count: self.committed.members.len(),
        }
    }

    /// How it stands.
    pub(crate) fn describe(&self) -> ConsumerGroupDescription {
        let committed = &self.committed;
        let members = committed.members.iter();
        ConsumerGroupDescription {
            state: committed.group_state(),
            group_epoch: committed.epoch,
            assignment_epoch: committed.assignment_epoch,
            assignor: committed.most_voted_assignor(),
            members: members
                .map(|(member_id, member)| committed.describe_member(member_id, member))
                .collect(),
        }
    }
}

impl State {
    fn most_voted_assignor(&self) -> Option<std::sync::Arc<str>> {
        let mut votes = super::index::Counts::default();
        let named = self.members.values().filter_map(|member| member.said.server_assignor.clone());
        named.for_each(|assignor| votes.add(assignor));
        let most = votes.iter().max_by_key(|(_, count)| *count);
        most.map(|(assignor, _)| assignor.clone())
    }

    fn describe_member(&self, member_id: &MemberId, member: &Member) -> ConsumerMemberDescription {
        let said = &member.said;
        ConsumerMemberDescription {
            member_id: member_id.clone(),
            instance_id: said.instance_id.clone(),
            rack_id: said.rack_id.clone(),
            member_epoch: member.current.epoch,
            client_id: said.client_id.clone(),
            client_host: said.client_host.clone(),
            subscribed_topic_names: said.subscribed_topic_names.clone(),
            subscribed_topic_regex: said.subscribed_topic_regex.clone(),
            assignment: held(&member.current),
            target_assignment: self.targets.get(member_id).map(|target| listed(target)).unwrap_or_default(),
            is_classic: member.is_classic(),
        }
    }
}
