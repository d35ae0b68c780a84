//! What turns groups of one protocol into the other, while they have members: a classic group of consumers becomes a
//! consumer group when a member of the consumer protocol joins (`upgrade`), and a classic group again when the last
//! such member is gone (`downgrade`). In between, members of both protocols share the partitions (`classic_member`).
//! `group.consumer.migration.policy` says what is allowed.
//!
//! Without members it takes no more than to join with the other protocol. Source: KIP-848, KIP-1071 (offline).

mod classic_member;
mod consumer_protocol;
mod downgrade;
#[cfg(test)]
mod properties;
#[cfg(test)]
mod tests;
mod upgrade;

use std::collections::BTreeSet;

use super::Group;
use super::table::Groups;
use crate::environment::Environment;
use crate::ids::{GroupId, MemberId};
use crate::output::Output;
pub(crate) use classic_member::{heartbeat, join, leave, sync};
#[cfg(test)]
pub(crate) use consumer_protocol::{Assignment, NamedPartitions, Subscription, subscription_bytes};
pub(crate) use upgrade::upgrade;

/// Members of a consumer group are gone. Where only members of the classic protocol stay, the group becomes theirs; if
/// it can be written as such, and else stays a consumer group.
pub(crate) fn fence(
    groups: &mut Groups,
    group_id: &GroupId,
    member_ids: &BTreeSet<MemberId>,
    env: &Environment<'_>,
    output: &mut Output,
) {
    let Some(Group::Consumer(group)) = groups.get(group_id) else { return };
    if member_ids.is_empty() {
        return;
    }
    if downgrade::is_due_without(group, member_ids, env)
        && let Ok((classic, records)) = downgrade::without(group, group_id, member_ids, env)
    {
        output.records.extend(records);
        groups.stage(group_id, Group::Classic(classic));
        return;
    }
    group.remove_members(group_id, member_ids, env, &mut output.records);
}

/// Members of a consumer group may be out of time.
pub(crate) fn on_deadline(
    groups: &mut Groups,
    group_id: &GroupId,
    env: &Environment<'_>,
    output: &mut Output,
) {
    let Some(Group::Consumer(group)) = groups.get_mut(group_id) else { return };
    let expired = group.expired_members(group_id, env.monotonic);
    fence(groups, group_id, &expired, env, output);
}
