//! A consumer group becomes a classic group, since all who stay in it speak the classic protocol. Everybody keeps what
//! the target gave to it; where that is not all of it, the members are called to join again.
//!
//! Source: GroupMetadataManager.java (`convertToClassicGroup`), ClassicGroup.java (`fromConsumerGroup`).

use std::collections::BTreeSet;

use config::group::MigrationPolicy;

use super::consumer_protocol::{Assignment, Malformed, NamedPartitions};
use crate::environment::Environment;
use crate::error::GroupError;
use crate::group::classic::{ClassicGroup, select_protocol};
use crate::group::consumer::{ConsumerGroup, Member, PROTOCOL_TYPE, remove_group};
use crate::ids::{GenerationId, GroupId, MemberId};
use crate::record::{ClassicGroupValue, ClassicMemberMetadata, ClassicMemberValue, Record};

/// Whether the group becomes a classic one when these members go.
pub(super) fn is_due_without(
    group: &ConsumerGroup,
    leaving: &BTreeSet<MemberId>,
    env: &Environment<'_>,
) -> bool {
    let members = &group.state.members;
    let leaving: Vec<&Member> = leaving.iter().filter_map(|member_id| members.get(member_id)).collect();
    let classic_leaving = leaving.iter().filter(|member| member.is_classic()).count();
    let staying = members.len() - leaving.len();
    staying > 0 && group.index.classic_members - classic_leaving == staying && is_allowed(staying, env)
}

/// Whether the group becomes a classic one when a classic member takes the place of this static one.
pub(super) fn is_due_replacing(group: &ConsumerGroup, replaced: &MemberId, env: &Environment<'_>) -> bool {
    let is_last = group.state.members.get(replaced).is_some_and(|member| !member.is_classic());
    let members = group.state.members.len();
    is_last && group.index.classic_members + 1 == members && is_allowed(members, env)
}

fn is_allowed(member_count: usize, env: &Environment<'_>) -> bool {
    let has_policy = match env.settings.group_consumer_migration_policy {
        MigrationPolicy::Bidirectional | MigrationPolicy::Downgrade => true,
        MigrationPolicy::Upgrade | MigrationPolicy::Disabled => false,
    };
    has_policy && member_count <= usize::try_from(env.settings.group_max_size).unwrap_or(0)
}

/// The classic group of those who stay, which are called to join again, and the records that make it.
///
/// # Errors
/// When what a member said cannot be read.
pub(super) fn without(
    group: &ConsumerGroup,
    group_id: &GroupId,
    leaving: &BTreeSet<MemberId>,
    env: &Environment<'_>,
) -> Result<(ClassicGroup, Vec<Record>), GroupError> {
    let members = group.state.members.iter();
    let staying = members.filter(|(member_id, _)| !leaving.contains(*member_id));
    let staying =
        staying.map(|(member_id, member)| Staying { member_id, member, owner: member_id }).collect();
    let mut records = Vec::new();
    remove_group(group, group_id, |member_id| member_id, &mut records);
    convert(group, group_id, staying, true, env, records)
}

/// The classic group in which a static member has taken the place of another, and the records that make it. That the
/// member is replaced has been recorded before.
///
/// # Errors
/// When what a member said cannot be read.
pub(super) fn replacing(
    group: &ConsumerGroup,
    group_id: &GroupId,
    (joining_id, joining): (&MemberId, &Member),
    is_rebalance_due: bool,
    env: &Environment<'_>,
) -> Result<(ClassicGroup, Vec<Record>), GroupError> {
    let replaced = joining.said.instance_id.as_ref().and_then(|id| group.index.static_member(id));
    let is_replaced = |member_id: &MemberId| Some(member_id) == replaced;
    let members = group.state.members.iter();
    let staying = members.map(|(member_id, member)| {
        let (member_id, member, owner) = if is_replaced(member_id) {
            (joining_id, joining, member_id)
        } else {
            (member_id, member, member_id)
        };
        Staying { member_id, member, owner }
    });
    let staying = staying.collect();
    let mut records = Vec::new();
    let renamed = |member_id| if is_replaced(member_id) { joining_id } else { member_id };
    remove_group(group, group_id, renamed, &mut records);
    convert(group, group_id, staying, is_rebalance_due, env, records)
}

/// A member that stays, and the one whose target is its own: another only where it has just taken its place.
struct Staying<'a> {
    member_id: &'a MemberId,
    member: &'a Member,
    owner: &'a MemberId,
}

fn convert(
    group: &ConsumerGroup,
    group_id: &GroupId,
    mut staying: Vec<Staying<'_>>,
    is_rebalance_due: bool,
    env: &Environment<'_>,
    mut records: Vec<Record>,
) -> Result<(ClassicGroup, Vec<Record>), GroupError> {
    staying.sort_by_key(|staying| staying.member_id);
    let value = classic_value(group, &staying, env).ok_or_else(|| {
        GroupError::GroupIdNotFound(format!("Cannot downgrade the classic group {group_id}: {Malformed}."))
    })?;
    let classic = ClassicGroup::converted(group_id, &value, is_rebalance_due, env);
    records.push(Record::ClassicGroup { group_id: group_id.clone(), value: Some(value) });
    Ok((classic, records))
}

fn classic_value(
    group: &ConsumerGroup,
    staying: &[Staying<'_>],
    env: &Environment<'_>,
) -> Option<ClassicGroupValue> {
    let classic: Option<Vec<&ClassicMemberMetadata>> =
        staying.iter().map(|staying| staying.member.said.classic.as_ref()).collect();
    let protocol = select_protocol(classic?.iter().map(|classic| classic.supported_protocols.as_slice()))?;
    let members: Option<Vec<ClassicMemberValue>> =
        staying.iter().map(|staying| classic_member(group, staying, &protocol, env)).collect();
    Some(ClassicGroupValue {
        protocol_type: PROTOCOL_TYPE.into(),
        generation_id: GenerationId(group.state.epoch.0),
        protocol: Some(protocol),
        leader: staying.first().map(|staying| staying.member_id.clone()),
        current_state_timestamp: env.now,
        members: members?,
    })
}

fn classic_member(
    group: &ConsumerGroup,
    staying: &Staying<'_>,
    protocol: &str,
    env: &Environment<'_>,
) -> Option<ClassicMemberValue> {
    let said = &staying.member.said;
    let classic = said.classic.as_ref()?;
    let (_, subscription) = classic.supported_protocols.iter().find(|(name, _)| **name == *protocol)?;
    let target = group.state.targets.get(staying.owner);
    let partitions = target.iter().flat_map(|target| target.iter()).filter_map(|(topic, partitions)| {
        Some((env.cluster.topic_by_id(*topic)?.name, partitions.iter().copied().collect()))
    });
    let partitions: Vec<NamedPartitions> = partitions.collect();
    Some(ClassicMemberValue {
        member_id: staying.member_id.clone(),
        group_instance_id: said.instance_id.clone(),
        client_id: said.client_id.clone(),
        client_host: said.client_host.clone(),
        rebalance_timeout_ms: said.rebalance_timeout_ms,
        session_timeout_ms: classic.session_timeout_ms,
        subscription: subscription.clone(),
        assignment: Assignment::write(&partitions, subscription).ok()?,
    })
}
