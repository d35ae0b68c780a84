//! ConsumerGroupHeartbeat to a consumer group: joining, staying alive, saying what is owned.
//! Source: GroupMetadataManager.java (`consumerGroupHeartbeat`).

use std::sync::Arc;
use std::time::Duration;

use super::partitions::{OwnedPartitions, without_epochs};
use super::speaking::Speaking;
use super::state::{Member, sort};
use super::timers::Timer;
use super::{ConsumerGroup, deadline_after_ms, new_member_id};
use crate::environment::Environment;
use crate::error::GroupError;
use crate::ids::{GroupId, InstanceId, MemberEpoch, MemberId};
use crate::record::{ConsumerMemberValue, Record, TopicPartitions};
use crate::request::{ConsumerGroupHeartbeat, ConsumerGroupHeartbeatReply};

impl ConsumerGroup {
    /// A member joins or stays.
    pub(super) fn heartbeat(
        &mut self,
        request: &ConsumerGroupHeartbeat,
        env: &Environment<'_>,
    ) -> Result<(ConsumerGroupHeartbeatReply, Vec<Record>), GroupError> {
        self.check_room_for(&request.group_id, &request.member_id, env)?;
        let member_id =
            if request.member_id.0.is_empty() { new_member_id(env) } else { request.member_id.clone() };
        let found = match &request.instance_id {
            None => self.dynamic_member(&member_id, request)?,
            Some(instance_id) => self.static_member(&member_id, instance_id, request)?,
        };
        let mut speaking = Speaking::new(self, &request.group_id, env, member_id, found.member);
        if let Some(replaced) = &found.replaced {
            speaking.replace(replaced);
        }
        let said = updated(&speaking.before.said, request);
        speaking.says(said)?;
        let target = speaking.target();
        speaking.reconcile(&target, request.owned.as_deref())?;
        let Speaking { member_id, before, after, records, .. } = speaking;
        let config = env.cluster.group_config(&request.group_id);
        let deadline = deadline_after_ms(env, config.consumer_session_timeout_ms);
        self.timers.set(&member_id, Timer::Session, deadline);
        let tells_assignment = request.member_epoch == MemberEpoch::JOIN
            || is_full(request)
            || before.current.assigned != after.current.assigned;
        let reply = ConsumerGroupHeartbeatReply {
            member_id,
            member_epoch: after.current.epoch,
            heartbeat_interval: Duration::from_millis(
                u64::try_from(config.consumer_heartbeat_interval_ms).unwrap_or(0),
            ),
            assignment: tells_assignment.then(|| without_epochs(&after.current.assigned)),
        };
        Ok((reply, records))
    }

    fn dynamic_member(
        &self,
        member_id: &MemberId,
        request: &ConsumerGroupHeartbeat,
    ) -> Result<Found, GroupError> {
        let member = match self.state.members.get(member_id) {
            Some(member) => member.clone(),
            None if request.member_epoch == MemberEpoch::JOIN => Member::default(),
            None => return Err(unknown_member(member_id, &request.group_id)),
        };
        check_epoch(&member, request)?;
        Ok(Found { member, replaced: None })
    }

    fn static_member(
        &self,
        member_id: &MemberId,
        instance_id: &InstanceId,
        request: &ConsumerGroupHeartbeat,
    ) -> Result<Found, GroupError> {
        let owner = self.index.static_member(instance_id);
        let owner = owner.and_then(|owner| Some((owner, self.state.members.get(owner)?)));
        if request.member_epoch != MemberEpoch::JOIN {
            let (owner, member) = owner.ok_or_else(|| unknown_instance(instance_id))?;
            check_instance(owner, member_id)?;
            check_epoch(member, request)?;
            return Ok(Found { member: member.clone(), replaced: None });
        }
        let Some((owner, member)) = owner else {
            let member = self.state.members.get(member_id).cloned().unwrap_or_default();
            return Ok(Found { member, replaced: None });
        };
        if !member.is_classic() && member.current.epoch != MemberEpoch::LEAVE_STATIC {
            return Err(GroupError::UnreleasedInstanceId(format!(
                "Static member {member_id} with instance id {instance_id} cannot join the group because the instance \
                 id is owned by {owner} member."
            )));
        }
        Ok(Found { member: rejoining(member), replaced: Some(owner.clone()) })
    }
}

/// Who speaks, as it was, and whom it replaces.
struct Found {
    member: Member,
    replaced: Option<MemberId>,
}

/// A static member under its new id: it owns what it owned, and has reached no epoch.
pub(crate) fn rejoining(member: &Member) -> Member {
    let mut current = (*member.current).clone();
    current.epoch = MemberEpoch::JOIN;
    current.previous_epoch = MemberEpoch::JOIN;
    Member { said: Arc::clone(&member.said), current: Arc::new(current) }
}

/// Whether the member has reached the epoch that it says, or the one before and has just not heard of it.
fn check_epoch(member: &Member, request: &ConsumerGroupHeartbeat) -> Result<(), GroupError> {
    let (received, current) = (request.member_epoch, &member.current);
    if received == MemberEpoch::JOIN || received == current.epoch {
        return Ok(());
    }
    let compared = if received > current.epoch { "greater" } else { "smaller" };
    let is_lost_answer = received < current.epoch
        && received == current.previous_epoch
        && is_within(request.owned.as_deref(), &current.assigned);
    if is_lost_answer {
        return Ok(());
    }
    Err(GroupError::FencedMemberEpoch(format!(
        "The consumer group member has a {compared} member epoch ({received}) than the one known by the group \
         coordinator ({}). The member must abandon all its partitions and rejoin.",
        current.epoch
    )))
}

fn is_within(owned: Option<&[TopicPartitions]>, assigned: &OwnedPartitions) -> bool {
    owned.is_some_and(|topics| {
        topics.iter().all(|topic| {
            let assigned = assigned.get(&topic.topic_id);
            assigned.is_some_and(|assigned| topic.partitions.iter().all(|index| assigned.contains_key(index)))
        })
    })
}

/// What the member says now; what it leaves out is as it was.
fn updated(said: &Arc<ConsumerMemberValue>, request: &ConsumerGroupHeartbeat) -> Arc<ConsumerMemberValue> {
    if has_nothing_new(said, request) {
        return Arc::clone(said);
    }
    let mut said = (**said).clone();
    said.client_id = request.client_id.clone();
    said.client_host = request.client_host.clone();
    said.classic = None;
    if let Some(instance_id) = &request.instance_id {
        said.instance_id = Some(instance_id.clone());
    }
    if let Some(rack_id) = &request.rack_id {
        said.rack_id = Some(rack_id.clone());
    }
    if request.rebalance_timeout_ms != -1 {
        said.rebalance_timeout_ms = request.rebalance_timeout_ms;
    }
    if request.member_epoch == MemberEpoch::JOIN {
        // Who joins says all that it subscribes to. (In Kafka what it leaves out stays as it was when it is a static
        // member that comes back, so that it may be given topics that it no longer reads.)
        said.subscribed_topic_names = Vec::new();
        said.subscribed_topic_regex = Some("".into());
    }
    if let Some(topics) = &request.subscribed_topic_names {
        said.subscribed_topic_names = topics.clone();
        sort(&mut said.subscribed_topic_names);
    }
    if let Some(pattern) = &request.subscribed_topic_regex {
        said.subscribed_topic_regex = Some(pattern.clone());
    }
    if let Some(assignor) = &request.server_assignor {
        said.server_assignor = Some(assignor.clone());
    }
    Arc::new(said)
}

/// Whether a glance shows that the member only says that it is alive, as nearly every heartbeat does.
fn has_nothing_new(said: &ConsumerMemberValue, request: &ConsumerGroupHeartbeat) -> bool {
    request.rebalance_timeout_ms == -1
        && request.rack_id.is_none()
        && request.subscribed_topic_names.is_none()
        && request.subscribed_topic_regex.is_none()
        && request.server_assignor.is_none()
        && (request.instance_id.is_none() || request.instance_id == said.instance_id)
        && request.client_id == said.client_id
        && request.client_host == said.client_host
        && said.classic.is_none()
}

/// Whether the member says everything: it may not have heard the last answer, and is told everything too.
fn is_full(request: &ConsumerGroupHeartbeat) -> bool {
    request.rebalance_timeout_ms != -1
        && (request.subscribed_topic_names.is_some() || request.subscribed_topic_regex.is_some())
        && request.owned.is_some()
}

/// The refusal of a member that the group does not have.
pub(crate) fn unknown_member(member_id: &MemberId, group_id: &GroupId) -> GroupError {
    GroupError::UnknownMemberId(format!("Member {member_id} is not a member of group {group_id}."))
}

/// The refusal of an instance id that the group does not have.
pub(crate) fn unknown_instance(instance_id: &InstanceId) -> GroupError {
    GroupError::UnknownMemberId(format!("Instance id {instance_id} is unknown."))
}

/// Whether the instance id is that of this member.
pub(crate) fn check_instance(owner: &MemberId, member_id: &MemberId) -> Result<(), GroupError> {
    if owner == member_id { Ok(()) } else { Err(GroupError::FencedInstanceId) }
}
