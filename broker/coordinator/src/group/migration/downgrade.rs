//! A consumer group becomes a classic group, since all who stay in it speak the classic protocol. Where not everything
//! is assigned as it should be, the members are called to join again.
//!
//! Two things are other than in Kafka, where partitions could stay unread or be read twice:
//! - Members that are called to join again are called so also after a crash: the record is of the next generation, which
//!   no member knows.
//! - The record says what each member holds, and not what it was to own, since the group may become a consumer group
//!   again before all have heard of it.
//!
//! Source: GroupMetadataManager.java (`convertToClassicGroup`), ClassicGroup.java (`fromConsumerGroup`).

use std::collections::BTreeSet;

use config::group::MigrationPolicy;

use super::consumer_protocol::{Assignment, Malformed, NamedPartitions};
use crate::environment::Environment;
use crate::error::GroupError;
use crate::group::classic::{ClassicGroup, select_protocol};
use crate::group::consumer::{ConsumerGroup, Member, PROTOCOL_TYPE, held, remove_group};
use crate::ids::{GenerationId, GroupId, MemberEpoch, MemberId};
use crate::record::{ClassicGroupValue, ClassicMemberMetadata, ClassicMemberValue, Record, codec};

/// The most that the records of the change may take, in bytes: what a batch of `__consumer_offsets` may
/// (`max.message.bytes`, 1,048,588 by default), without its header. Larger, and the log would refuse them each time;
/// smaller, and groups would stay consumer groups that need not.
const BATCH_BYTES_MAX: usize = 1_048_588 - 61;

/// What a record takes beside its key and value, at most.
const RECORD_BYTES: usize = 20;

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

/// Whether everybody owns what the target gives to it, where this member takes the place of a static one. Kafka does not
/// look, and hands out what another may still read.
pub(super) fn is_settled(group: &ConsumerGroup, joining: &Member) -> bool {
    let target_epoch = MemberEpoch(group.state.assignment_epoch.0);
    let replaced = joining.said.instance_id.as_ref().and_then(|id| group.index.static_member(id));
    let mut others = group.state.members.iter().filter(|(member_id, _)| Some(*member_id) != replaced);
    joining.current.is_reconciled_to(target_epoch)
        && others.all(|(_, member)| member.current.is_reconciled_to(target_epoch))
}

/// The classic group of those who stay, which are called to join again, and the records that make it.
///
/// # Errors
/// When what a member said cannot be read, or [`GroupError::RecordTooLarge`].
pub(super) fn without(
    group: &ConsumerGroup,
    group_id: &GroupId,
    leaving: &BTreeSet<MemberId>,
    env: &Environment<'_>,
) -> Result<(ClassicGroup, Vec<Record>), GroupError> {
    let members = group.state.members.iter();
    let staying = members.filter(|(member_id, _)| !leaving.contains(*member_id));
    let staying = staying.map(|(member_id, member)| Staying { member_id, member }).collect();
    let mut records = Vec::new();
    remove_group(group, group_id, |member_id| member_id, &mut records);
    convert(group, group_id, staying, true, env, records)
}

/// The classic group in which a static member has taken the place of another, and the records that make it. That the
/// member is replaced has been recorded before.
///
/// # Errors
/// When what a member said cannot be read, or [`GroupError::RecordTooLarge`].
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
        if is_replaced(member_id) {
            Staying { member_id: joining_id, member: joining }
        } else {
            Staying { member_id, member }
        }
    });
    let staying = staying.collect();
    let mut records = Vec::new();
    let renamed = |member_id| if is_replaced(member_id) { joining_id } else { member_id };
    remove_group(group, group_id, renamed, &mut records);
    convert(group, group_id, staying, is_rebalance_due, env, records)
}

/// A member that stays.
struct Staying<'a> {
    member_id: &'a MemberId,
    member: &'a Member,
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
    let mut value = classic_value(group, &staying, env).ok_or_else(|| {
        GroupError::GroupIdNotFound(format!("Cannot downgrade the classic group {group_id}: {Malformed}."))
    })?;
    let mut generation_before = None;
    if is_rebalance_due {
        generation_before = Some(value.generation_id);
        value.generation_id = GenerationId(value.generation_id.0.saturating_add(1));
    }
    let classic = ClassicGroup::converted(group_id, &value, generation_before, env);
    records.push(Record::ClassicGroup { group_id: group_id.clone(), value: Some(value) });
    if !is_writable(&records) {
        return Err(GroupError::RecordTooLarge);
    }
    Ok((classic, records))
}

/// Whether the log takes these records in one batch. A classic group is one record with all that its members say, which
/// as members of a consumer group have a record each.
fn is_writable(records: &[Record]) -> bool {
    let bytes_of = |record: &Record| {
        let encoded = codec::encode(record).ok()?;
        Some(RECORD_BYTES + encoded.key.len() + encoded.value.map_or(0, |value| value.len()))
    };
    let bytes: Option<usize> = records.iter().map(bytes_of).sum();
    bytes.is_some_and(|bytes| bytes <= BATCH_BYTES_MAX)
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
        staying.iter().map(|staying| classic_member(staying, &protocol, env)).collect();
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
    staying: &Staying<'_>,
    protocol: &str,
    env: &Environment<'_>,
) -> Option<ClassicMemberValue> {
    let said = &staying.member.said;
    let classic = said.classic.as_ref()?;
    let (_, subscription) = classic.supported_protocols.iter().find(|(name, _)| **name == *protocol)?;
    let held = held(&staying.member.current);
    let partitions = held
        .iter()
        .filter_map(|topic| Some((env.cluster.topic_by_id(topic.topic_id)?.name, topic.partitions.clone())));
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
