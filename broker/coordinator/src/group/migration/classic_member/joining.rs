//! A consumer of the classic protocol joins a consumer group. It waits for nobody: the broker assigns.
//!
//! Where it takes the place of the last member of the consumer protocol, the group becomes a classic one at once.

use std::sync::Arc;

use bytes::Bytes;
use config::group::MigrationPolicy;
use storage::ids::TopicId;

use crate::environment::{Cluster, Environment};
use crate::error::GroupError;
use crate::group::Group;
use crate::group::consumer::{
    ConsumerGroup, Member, PROTOCOL_TYPE, Speaking, Timer, check_instance, deadline_after_ms, new_member_id,
    rejoining, unknown_instance,
};
use crate::group::migration::consumer_protocol::{NamedPartitions, Subscription};
use crate::group::migration::downgrade;
use crate::ids::{GenerationId, MemberId};
use crate::record::{ClassicMemberMetadata, ConsumerMemberValue, Record, TopicPartitions};
use crate::request::{JoinGroup, JoinedGroup};

/// What a JoinGroup comes to.
pub(super) struct Joined {
    pub(super) reply: JoinedGroup,
    pub(super) records: Vec<Record>,
    /// What the group becomes, where the last member of the consumer protocol was replaced.
    pub(super) downgraded: Option<Group>,
}

impl ConsumerGroup {
    /// JoinGroup to a group that has members.
    pub(super) fn join_classic(
        &mut self,
        request: &JoinGroup,
        env: &Environment<'_>,
    ) -> Result<Joined, GroupError> {
        check_join(request, env)?;
        let member_id = request.member_id.clone().unwrap_or_else(|| new_member_id(env));
        self.check_room_for(&request.group_id, &member_id, env)?;
        if !self.supports_classic(request) {
            return Err(GroupError::InconsistentGroupProtocol);
        }
        let is_new = request.member_id.is_none();
        if is_new && request.group_instance_id.is_none() && request.requires_known_member_id {
            return Err(GroupError::MemberIdRequired(member_id));
        }
        let (_, metadata) = request.protocols.first().ok_or(GroupError::InconsistentGroupProtocol)?;
        let subscription = Subscription::read(metadata).map_err(|_| GroupError::InconsistentGroupProtocol)?;
        let (before, replaced) = self.find_joining(&member_id, request)?;
        let owner = request.group_instance_id.as_ref().and_then(|id| self.index.static_member(id)).cloned();
        let downgrades = owner.is_some_and(|owner| downgrade::is_due_replacing(self, &owner, env));

        let owned = with_topic_ids(&subscription.owned, env.cluster);
        let mut speaking = Speaking::new(self, &request.group_id, env, member_id.clone(), before);
        if let Some(replaced) = &replaced {
            speaking.replace(replaced);
        }
        let said = said_by(&speaking.before.said, request, subscription);
        speaking.says(Arc::new(said))?;
        let mut downgraded = None;
        if downgrades {
            let is_stale = speaking.group.state.assignment_epoch < speaking.epoch;
            if !is_stale {
                let target = speaking.last_target();
                speaking.reconcile(&target, Some(&owned))?;
            }
            let is_rebalance_due = is_stale || !downgrade::is_settled(speaking.group, &speaking.after);
            let joining = (&member_id, &speaking.after);
            let (classic, records) =
                downgrade::replacing(speaking.group, &request.group_id, joining, is_rebalance_due, env)?;
            speaking.records.extend(records);
            downgraded = Some(Group::Classic(classic));
        } else {
            let target = speaking.target();
            speaking.reconcile(&target, Some(&owned))?;
        }
        let Speaking { after, records, .. } = speaking;
        self.timers.cancel(&member_id, |timer| timer == Timer::Join);
        if downgraded.is_none() {
            self.timers.set(&member_id, Timer::Session, deadline_after_ms(env, request.session_timeout_ms));
            self.timers.set(&member_id, Timer::Sync, deadline_after_ms(env, after.said.rebalance_timeout_ms));
        }
        let reply = JoinedGroup {
            generation_id: GenerationId(after.current.epoch.0),
            protocol_type: PROTOCOL_TYPE.into(),
            protocol_name: request.protocols.first().map(|(name, _)| name.clone()).unwrap_or_default(),
            leader: MemberId::from(""),
            skip_assignment: false,
            member_id,
            members: Vec::new(),
        };
        Ok(Joined { reply, records, downgraded })
    }

    /// The member as it was, and whom it replaces.
    fn find_joining(
        &self,
        member_id: &MemberId,
        request: &JoinGroup,
    ) -> Result<(Member, Option<MemberId>), GroupError> {
        let known = || self.state.members.get(member_id).cloned().unwrap_or_default();
        let Some(instance_id) = &request.group_instance_id else { return Ok((known(), None)) };
        let owner = self.index.static_member(instance_id);
        if request.member_id.is_some() {
            check_instance(owner.ok_or_else(|| unknown_instance(instance_id))?, member_id)?;
            return Ok((known(), None));
        }
        match owner.and_then(|owner| Some((owner, self.state.members.get(owner)?))) {
            Some((owner, member)) => Ok((rejoining(member), Some(owner.clone()))),
            None => Ok((known(), None)),
        }
    }

    /// Whether a classic member with these protocols can be in the group.
    fn supports_classic(&self, request: &JoinGroup) -> bool {
        let is_common = |name: &str| self.index.classic_protocols.get(name) == self.index.classic_members;
        *request.protocol_type == *PROTOCOL_TYPE && request.protocols.iter().any(|(name, _)| is_common(name))
    }
}

/// What can be refused without a look at the group.
fn check_join(request: &JoinGroup, env: &Environment<'_>) -> Result<(), GroupError> {
    let sessions = env.settings.group_min_session_timeout_ms..=env.settings.group_max_session_timeout_ms;
    if !sessions.contains(&request.session_timeout_ms) {
        return Err(GroupError::InvalidSessionTimeout);
    }
    match env.settings.group_consumer_migration_policy {
        MigrationPolicy::Disabled => Err(GroupError::InconsistentGroupProtocol),
        MigrationPolicy::Bidirectional | MigrationPolicy::Upgrade | MigrationPolicy::Downgrade => Ok(()),
    }
}

/// What a classic member says now.
fn said_by(
    said: &ConsumerMemberValue,
    request: &JoinGroup,
    subscription: Subscription,
) -> ConsumerMemberValue {
    let mut topics = subscription.topics;
    topics.sort_unstable();
    topics.dedup();
    ConsumerMemberValue {
        instance_id: request.group_instance_id.clone().or_else(|| said.instance_id.clone()),
        rack_id: subscription.rack_id.or_else(|| said.rack_id.clone()),
        client_id: request.client_id.clone(),
        client_host: request.client_host.clone(),
        subscribed_topic_names: topics,
        subscribed_topic_regex: Some("".into()),
        rebalance_timeout_ms: if request.rebalance_timeout_ms == -1 {
            said.rebalance_timeout_ms
        } else {
            request.rebalance_timeout_ms
        },
        server_assignor: said.server_assignor.clone(),
        classic: Some(ClassicMemberMetadata {
            session_timeout_ms: request.session_timeout_ms,
            supported_protocols: request.protocols.iter().map(copied).collect(),
        }),
    }
}

/// A protocol whose bytes do not keep the frame that they came in.
fn copied((name, metadata): &(Arc<str>, Bytes)) -> (Arc<str>, Bytes) {
    (name.clone(), Bytes::copy_from_slice(metadata))
}

fn with_topic_ids(topics: &[NamedPartitions], cluster: &dyn Cluster) -> Vec<TopicPartitions> {
    let known = topics.iter().filter_map(|(topic, partitions)| {
        let topic_id: TopicId = cluster.topic_by_name(topic)?.id;
        Some(TopicPartitions { topic_id, partitions: partitions.clone() })
    });
    known.collect()
}
