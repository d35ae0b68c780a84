//! Which topics the members of a consumer group subscribe to: by name, and by patterns that are matched against the
//! topics there are.
//!
//! A pattern is matched when it is first given, and again when the metadata has changed (at most every
//! [`REFRESH_INTERVAL_MIN`]) or `group.consumer.regex.refresh.interval.ms` have passed; by the heartbeat of whichever
//! member comes first then. Kafka matches on another thread, so that a member waits one more heartbeat for its
//! partitions; here it has them at once, and one heartbeat does no more than [`MATCHES_MAX`].
//!
//! Source: GroupMetadataManager.java (`maybeUpdateRegularExpressions`), TopicRegexResolver.java.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use storage::ids::TopicId;

use super::pattern::Pattern;
use super::state::Member;
use super::{ConsumerGroup, records};
use crate::environment::{Cluster, Environment};
use crate::error::GroupError;
use crate::ids::GroupId;
use crate::record::{Record, RegularExpressionValue};

/// How often patterns are matched again at most. Source: GroupMetadataManager.java
/// (`REGEX_BATCH_REFRESH_MIN_INTERVAL_MS`).
const REFRESH_INTERVAL_MIN: Duration = Duration::from_secs(10);

/// How many names one heartbeat matches beyond the first pattern. More would hold up the other groups of the shard;
/// with fewer a group with many patterns takes more heartbeats to see a new topic.
const MATCHES_MAX: usize = 100_000;

/// When all patterns of a group were last known to be up to date.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PatternCheck {
    version: i64,
    at: Duration,
}

impl PatternCheck {
    fn is_over(self, env: &Environment<'_>) -> bool {
        let age = env.monotonic.saturating_sub(self.at);
        let has_changed = self.version != env.cluster.version() && age > REFRESH_INTERVAL_MIN;
        has_changed || age > refresh_interval(env)
    }
}

fn refresh_interval(env: &Environment<'_>) -> Duration {
    Duration::from_millis(u64::try_from(env.settings.group_consumer_regex_refresh_interval_ms).unwrap_or(0))
}

/// What becomes of the patterns of a group when a member speaks.
#[derive(Debug, Default)]
pub(crate) struct PatternChanges {
    /// The pattern to which nobody subscribes any more.
    dropped: Option<Arc<str>>,
    /// The patterns that were matched.
    matched: BTreeMap<Arc<str>, RegularExpressionValue>,
    /// Whether one of them matches other topics than before.
    pub(crate) is_different: bool,
}

impl PatternChanges {
    /// The records that say so.
    pub(crate) fn record(&self, group_id: &GroupId, records: &mut Vec<Record>) {
        records.extend(self.dropped.iter().map(|pattern| records::pattern(group_id, pattern, None)));
        let matched = self.matched.iter();
        records.extend(matched.map(|(pattern, value)| records::pattern(group_id, pattern, Some(value))));
    }

    /// What a pattern matches now.
    pub(crate) fn topics<'a>(&'a self, group: &'a ConsumerGroup, pattern: &str) -> &'a [Arc<str>] {
        let kept = || group.state.patterns.get(pattern).map(|value| value.topics.as_slice());
        self.matched.get(pattern).map(|value| value.topics.as_slice()).or_else(kept).unwrap_or_default()
    }

    /// The topics that a member subscribes to by its pattern.
    pub(crate) fn topics_of<'a>(&'a self, group: &'a ConsumerGroup, member: &Member) -> &'a [Arc<str>] {
        member.pattern().map_or(&[], |pattern| self.topics(group, pattern))
    }
}

/// Matches what a member has just brought, and what is out of date.
///
/// # Errors
/// When its pattern cannot be read.
pub(crate) fn refresh_patterns(
    group: &mut ConsumerGroup,
    before: &Member,
    after: &Member,
    env: &Environment<'_>,
) -> Result<PatternChanges, GroupError> {
    let mut changes = PatternChanges::default();
    let mut wanted = Vec::new();
    if before.pattern() != after.pattern() {
        changes.dropped = before.pattern().filter(|old| group.index.patterns.get(*old) == 1).cloned();
        if let Some(new) = after.pattern() {
            Pattern::read(new)?;
            wanted.extend((!group.state.patterns.contains_key(new)).then(|| new.clone()));
        }
    }
    let has_patterns = !group.index.patterns.is_empty() || after.pattern().is_some();
    let is_due = has_patterns && group.pattern_check.is_none_or(|check| check.is_over(env));
    if is_due {
        wanted.extend(outdated(group, env).filter(|pattern| changes.dropped.as_ref() != Some(pattern)));
    }
    let is_complete = match_patterns(wanted, &mut changes, env);
    if is_due && is_complete {
        group.pattern_check = Some(PatternCheck { version: env.cluster.version(), at: env.monotonic });
    }
    changes.is_different = changes.matched.iter().any(|(pattern, value)| {
        group.state.patterns.get(pattern).map_or(&[][..], |old| &old.topics) != value.topics
    });
    Ok(changes)
}

/// The patterns that were last matched against other metadata, or long ago; the oldest first.
fn outdated<'a>(group: &'a ConsumerGroup, env: &Environment<'_>) -> impl Iterator<Item = Arc<str>> + use<'a> {
    let oldest =
        env.now.0.saturating_sub(i64::try_from(refresh_interval(env).as_millis()).unwrap_or(i64::MAX));
    let mut outdated: Vec<(i64, &Arc<str>)> = group
        .index
        .patterns
        .keys()
        .filter_map(|pattern| match group.state.patterns.get(pattern) {
            Some(value) if value.version == env.cluster.version() && value.timestamp.0 > oldest => None,
            Some(value) => Some((value.timestamp.0, pattern)),
            None => Some((i64::MIN, pattern)),
        })
        .collect();
    outdated.sort_unstable();
    outdated.into_iter().map(|(_, pattern)| pattern.clone())
}

/// Matches the patterns in this order until enough is done. Answers whether that was all.
fn match_patterns(wanted: Vec<Arc<str>>, changes: &mut PatternChanges, env: &Environment<'_>) -> bool {
    if wanted.is_empty() {
        return true;
    }
    let names = env.cluster.topic_names();
    let mut matches = 0;
    for pattern in wanted {
        if matches > MATCHES_MAX {
            return false;
        }
        // One that this version cannot read was written by another; it matches nothing, and is left so.
        let compiled = Pattern::read(&pattern).ok();
        let is_match = |name: &&Arc<str>| compiled.as_ref().is_some_and(|compiled| compiled.matches(name));
        let topics = names.iter().filter(is_match).cloned().collect();
        let value = RegularExpressionValue { topics, version: env.cluster.version(), timestamp: env.now };
        changes.matched.insert(pattern, value);
        matches += names.len();
    }
    true
}

/// Every topic that somebody subscribes to once the member is as it is after it spoke, in order.
pub(crate) fn topics_after(
    group: &ConsumerGroup,
    before: &Member,
    after: &Member,
    patterns: &PatternChanges,
) -> Vec<Arc<str>> {
    let mut topics = group.index.topics.clone();
    before.said.subscribed_topic_names.iter().for_each(|topic| topics.remove(topic));
    after.said.subscribed_topic_names.iter().for_each(|topic| topics.add(topic.clone()));
    for pattern in patterns.dropped.iter().chain(patterns.matched.keys()) {
        let old = group.state.patterns.get(pattern);
        old.iter().flat_map(|value| &value.topics).for_each(|topic| topics.remove(topic));
    }
    patterns.matched.values().flat_map(|value| &value.topics).for_each(|topic| topics.add(topic.clone()));
    topics.keys().cloned().collect()
}

/// Every topic that somebody subscribes to once these members are gone, in order, with the patterns to which nobody
/// does then.
pub(crate) fn topics_without<'a>(
    group: &ConsumerGroup,
    members: impl Iterator<Item = &'a Member> + Clone,
) -> (Vec<Arc<str>>, Vec<Arc<str>>) {
    let mut topics = group.index.topics.clone();
    let mut patterns = group.index.patterns.clone();
    for member in members.clone() {
        member.said.subscribed_topic_names.iter().for_each(|topic| topics.remove(topic));
        member.pattern().iter().for_each(|pattern| patterns.remove(*pattern));
    }
    let mut dropped: Vec<Arc<str>> = members.filter_map(Member::pattern).cloned().collect();
    dropped.retain(|pattern| patterns.get(pattern) == 0);
    dropped.sort_unstable();
    dropped.dedup();
    for pattern in &dropped {
        let old = group.state.patterns.get(pattern);
        old.iter().flat_map(|value| &value.topics).for_each(|topic| topics.remove(topic));
    }
    (topics.keys().cloned().collect(), dropped)
}

/// Whether a member subscribes to a topic that is there.
pub(crate) fn is_subscribed(
    member: &Member,
    by_pattern: &[Arc<str>],
    topic: TopicId,
    cluster: &dyn Cluster,
) -> bool {
    let Some(topic) = cluster.topic_by_id(topic) else { return false };
    let names = |topics: &[Arc<str>]| topics.binary_search(&topic.name).is_ok();
    names(&member.said.subscribed_topic_names) || names(by_pattern)
}
