//! The target assignment of a consumer group: what each member is to own, computed when the group's epoch has grown,
//! at most every `consumer.assignment.interval.ms`, by the assignor that most members prefer.
//!
//! Source: TargetAssignmentBuilder.java, GroupMetadataManager.java (`maybeUpdateTargetAssignment`).

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use storage::ids::TopicId;

use super::state::Member;
use super::subscriptions::PatternChanges;
use super::{ConsumerGroup, records};
use crate::environment::{Cluster, Environment};
use crate::group::assignor::{Assignor, AssignorMember, Members, PartitionSet, assign};
use crate::ids::{GroupEpoch, GroupId, InstanceId, MemberId};
use crate::record::Record;

/// The member whose heartbeat leads to a new target.
pub(crate) struct Speaker<'a> {
    pub(crate) member_id: &'a MemberId,
    /// As it was.
    pub(crate) before: &'a Member,
    /// As it is.
    pub(crate) after: &'a Member,
}

/// Whether the interval between two computations is over. A clock that was set back does not prolong it.
pub(crate) fn may_compute(group: &ConsumerGroup, interval_ms: i32, env: &Environment<'_>) -> bool {
    let computed = group.state.assignment_timestamp.0;
    let is_within = computed <= env.now.0 && env.now.0 < computed.saturating_add(i64::from(interval_ms));
    computed == 0 || !is_within
}

/// What the member is to own by the target that is there. A static member takes over what the one had that it replaces.
pub(crate) fn last_target(
    group: &ConsumerGroup,
    member_id: &MemberId,
    instance_id: Option<&InstanceId>,
) -> Arc<PartitionSet> {
    let owner = match instance_id {
        Some(instance_id) => group.index.static_member(instance_id),
        None => Some(member_id),
    };
    owner.and_then(|owner| group.state.targets.get(owner)).cloned().unwrap_or_default()
}

/// Computes the target of this epoch. Adds the records of those whose target changes, and answers that of the speaker.
pub(crate) fn compute(
    group: &ConsumerGroup,
    group_id: &GroupId,
    epoch: GroupEpoch,
    speaker: &Speaker<'_>,
    patterns: &PatternChanges,
    env: &Environment<'_>,
    records: &mut Vec<Record>,
) -> Arc<PartitionSet> {
    let replaced = speaker.after.said.instance_id.as_ref().and_then(|id| group.index.static_member(id));
    let mut members: BTreeMap<&MemberId, &Member> = group.state.members.iter().collect();
    replaced.map(|replaced| members.remove(replaced));
    members.insert(speaker.member_id, speaker.after);

    let mut topics = Topics::new(env.cluster);
    let subscriptions: Vec<usize> =
        members.values().map(|member| topics.subscribed(member, patterns.topics_of(group, member))).collect();
    let assignor_members = members.iter().zip(&subscriptions).map(|((member_id, member), subscription)| {
        let owner = if *member_id == speaker.member_id { replaced.unwrap_or(member_id) } else { member_id };
        AssignorMember {
            instance_id: member.said.instance_id.as_ref(),
            topics: &topics.sets[*subscription],
            assigned: group.state.targets.get(owner).map(Arc::as_ref),
        }
    });
    let assignor = preferred_assignor(group, speaker, env);
    let members_alike =
        Members { members: assignor_members.collect(), partition_counts: &topics.partition_counts };
    let assignments = assign(assignor, &members_alike);

    let mut of_speaker = Arc::default();
    for (member_id, target) in members.keys().zip(assignments) {
        if group.state.targets.get(*member_id).map(Arc::as_ref) != Some(&target) {
            records.push(records::target(group_id, member_id, &target));
        }
        if *member_id == speaker.member_id {
            of_speaker = Arc::new(target);
        }
    }
    records.push(records::target_epoch(group_id, epoch, env.now));
    of_speaker
}

/// The assignor with the most votes; where that is open, the one that the broker names first.
fn preferred_assignor(group: &ConsumerGroup, speaker: &Speaker<'_>, env: &Environment<'_>) -> Assignor {
    let mut votes = group.index.assignors.clone();
    speaker.before.said.server_assignor.iter().for_each(|name| votes.remove(name));
    speaker.after.said.server_assignor.iter().for_each(|name| votes.add(name.clone()));
    let names = &env.settings.group_consumer_assignors;
    let place = |name: &str| names.iter().position(|other| other == name).unwrap_or(names.len());
    let winner = votes.iter().min_by_key(|(name, count)| (Reverse(*count), place(name)));
    let of_name = winner.and_then(|(name, _)| Assignor::by_name(name));
    of_name.or_else(|| names.iter().find_map(|name| Assignor::by_name(name))).unwrap_or(Assignor::Uniform)
}

/// Topics by name, and by pattern.
type Subscription<'a> = (&'a [Arc<str>], &'a [Arc<str>]);

/// The topics that are subscribed to and are there. Members mostly subscribe alike, and each distinct set of topics is
/// looked up once.
struct Topics<'a> {
    cluster: &'a dyn Cluster,
    sets: Vec<BTreeSet<TopicId>>,
    partition_counts: BTreeMap<TopicId, i32>,
    known: BTreeMap<Subscription<'a>, usize>,
}

impl<'a> Topics<'a> {
    fn new(cluster: &'a dyn Cluster) -> Self {
        Self { cluster, sets: Vec::new(), partition_counts: BTreeMap::new(), known: BTreeMap::new() }
    }

    /// The place in `sets` of what a member subscribes to.
    fn subscribed(&mut self, member: &'a Member, by_pattern: &'a [Arc<str>]) -> usize {
        let key = (member.said.subscribed_topic_names.as_slice(), by_pattern);
        if let Some(place) = self.known.get(&key) {
            return *place;
        }
        let mut set = BTreeSet::new();
        for topic in key.0.iter().chain(key.1).filter_map(|name| self.cluster.topic_by_name(name)) {
            set.insert(topic.id);
            self.partition_counts.insert(topic.id, topic.partition_count);
        }
        self.sets.push(set);
        self.known.insert(key, self.sets.len() - 1);
        self.sets.len() - 1
    }
}
