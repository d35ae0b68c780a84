//! A classic group of consumers becomes a consumer group, since a member of the consumer protocol joins. Everybody owns
//! what the leader gave to it, in the generation that there was; whoever waits for an answer is called to join again.
//!
//! The group's epoch always grows, so that the target is computed and everybody hears of it: the leader may have been
//! about to assign what nobody owns now. (In Kafka it grows only where the new member subscribes to something new.)
//!
//! Source: GroupMetadataManager.java (`validateOnlineUpgrade`, `convertToConsumerGroup`), ConsumerGroup.java
//! (`fromClassicGroup`).

use std::collections::BTreeMap;
use std::sync::Arc;

use config::group::MigrationPolicy;

use super::consumer_protocol::{Assignment, Subscription};
use crate::environment::{Cluster, Environment};
use crate::error::GroupError;
use crate::group::classic::{ClassicGroup, ConvertedMember};
use crate::group::consumer::{
    ConsumerGroup, CurrentAssignment, Member, OwnedPartitions, Timer, deadline_after_ms,
};
use crate::ids::{GroupEpoch, GroupId, MemberEpoch};
use crate::record::{ClassicMemberMetadata, ConsumerMemberValue, MemberState, Record};

/// The consumer group that a classic group becomes, and the records that make it. Nobody is answered yet: the member
/// that joins may still be refused.
///
/// # Errors
/// [`GroupError::GroupIdNotFound`] when it may not become one.
pub(crate) fn upgrade(
    group: &ClassicGroup,
    group_id: &GroupId,
    env: &Environment<'_>,
) -> Result<(ConsumerGroup, Vec<Record>), GroupError> {
    check(group, env).map_err(|why| refused(group_id, why))?;
    let mut members = BTreeMap::new();
    for member in group.converted_members() {
        let converted =
            convert(&member, group.generation(), env.cluster).map_err(|why| refused(group_id, why))?;
        members.insert(member.member_id.clone(), converted);
    }
    let mut records = vec![Record::ClassicGroup { group_id: group_id.clone(), value: None }];
    let mut consumer =
        ConsumerGroup::of_members(&members, GroupEpoch(group.generation()), group_id, env, &mut records);
    for (member_id, member) in &members {
        let session_timeout_ms = member.said.classic.as_ref().map_or(0, |classic| classic.session_timeout_ms);
        consumer.timers.set(member_id, Timer::Session, deadline_after_ms(env, session_timeout_ms));
    }
    Ok((consumer, records))
}

fn refused(group_id: &GroupId, why: &str) -> GroupError {
    GroupError::GroupIdNotFound(format!(
        "Cannot upgrade classic group {group_id} to consumer group because {why}."
    ))
}

fn check(group: &ClassicGroup, env: &Environment<'_>) -> Result<(), &'static str> {
    match env.settings.group_consumer_migration_policy {
        MigrationPolicy::Bidirectional | MigrationPolicy::Upgrade => {}
        MigrationPolicy::Downgrade | MigrationPolicy::Disabled => return Err("online upgrade is disabled"),
    }
    if !group.is_of_consumers() {
        return Err("the group does not use the consumer embedded protocol");
    }
    if group.converted_members().count() > usize::try_from(env.settings.group_consumer_max_size).unwrap_or(0)
    {
        return Err("the group size exceeds the consumer group maximum size");
    }
    Ok(())
}

fn convert(
    member: &ConvertedMember<'_>,
    generation: i32,
    cluster: &dyn Cluster,
) -> Result<Member, &'static str> {
    const MALFORMED: &str = "the embedded consumer protocol is malformed";
    let subscription = Subscription::read(member.subscription).map_err(|_| MALFORMED)?;
    let assignment = Assignment::read(member.assignment).map_err(|_| MALFORMED)?;
    if assignment.has_user_data {
        return Err(
            "an unsupported custom assignor is in use. Please refer to the documentation or switch to a default \
             assignor before re-attempting the upgrade",
        );
    }
    let epoch = MemberEpoch(generation);
    let mut assigned = OwnedPartitions::new();
    for (topic, partitions) in assignment.partitions.iter().filter(|(_, partitions)| !partitions.is_empty()) {
        if let Some(topic) = cluster.topic_by_name(topic) {
            assigned
                .entry(topic.id)
                .or_default()
                .extend(partitions.iter().map(|partition| (*partition, epoch)));
        }
    }
    let said = ConsumerMemberValue {
        instance_id: member.group_instance_id.cloned(),
        rack_id: subscription.rack_id,
        client_id: member.client_id.clone(),
        client_host: member.client_host.clone(),
        subscribed_topic_names: subscription.topics,
        subscribed_topic_regex: Some("".into()),
        rebalance_timeout_ms: member.rebalance_timeout_ms,
        server_assignor: None,
        classic: Some(ClassicMemberMetadata {
            session_timeout_ms: member.session_timeout_ms,
            supported_protocols: member.protocols.to_vec(),
        }),
    };
    let current = CurrentAssignment {
        epoch,
        previous_epoch: epoch,
        state: MemberState::Stable,
        assigned,
        pending_revocation: OwnedPartitions::new(),
    };
    Ok(Member { said: Arc::new(in_order(said)), current: Arc::new(current) })
}

fn in_order(mut said: ConsumerMemberValue) -> ConsumerMemberValue {
    said.subscribed_topic_names.sort_unstable();
    said.subscribed_topic_names.dedup();
    said
}
