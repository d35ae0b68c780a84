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

/// How many matches it counts as to compile a pattern. More, and few patterns would be looked at by one heartbeat; fewer,
/// and very many long ones would hold up the shard.
const COMPILATION_MATCHES: usize = 1_000;

/// How many bytes of patterns and of the names that they match one heartbeat writes beyond the first pattern. More may not fit into the batch with all else
/// that the heartbeat leads to; fewer as above.
const MATCHED_BYTES_MAX: usize = 128 * 1024;

/// How soon a group looks again whose patterns are out of date, and were matched a moment ago or are being matched: that
/// may be a part of them, and may not be appended. Sooner costs a look at all of them for each heartbeat; later finds new
/// topics later than they could be.
const RETRY: Duration = Duration::from_secs(1);

/// When the patterns of a group have to be looked at again.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PatternCheck {
    /// The metadata that they were compared with.
    version: i64,
    /// When, if the metadata has changed.
    if_changed: Duration,
    /// When in any case.
    at_the_latest: Duration,
}

impl PatternCheck {
    fn is_over(self, env: &Environment<'_>) -> bool {
        let has_changed = self.version != env.cluster.version();
        env.monotonic >= self.at_the_latest || (has_changed && env.monotonic >= self.if_changed)
    }
}

/// How a pattern stands to the metadata.
enum Age {
    UpToDate,
    /// It is out of date, and was matched so lately that it is left so for now.
    Young,
    /// It is out of date, since then by the wall clock.
    OutOfDate(i64),
}

fn age(value: Option<&RegularExpressionValue>, env: &Environment<'_>) -> Age {
    let Some(value) = value else { return Age::OutOfDate(i64::MIN) };
    // What is of the future was matched before the clock was set back, nobody knows how long ago.
    let since_ms = u64::try_from(env.now.0.saturating_sub(value.timestamp.0)).unwrap_or(u64::MAX);
    let is_beyond = |age: Duration| u128::from(since_ms) >= age.as_millis();
    if value.version == env.cluster.version() && !is_beyond(refresh_interval(env)) {
        Age::UpToDate
    } else if is_beyond(REFRESH_INTERVAL_MIN) {
        Age::OutOfDate(value.timestamp.0)
    } else {
        Age::Young
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
            group.check_room_for_pattern(new)?;
            wanted.extend((!group.state.patterns.contains_key(new)).then(|| new.clone()));
        }
    }
    let has_patterns = !group.index.patterns.is_empty() || after.pattern().is_some();
    if has_patterns && group.pattern_check.is_none_or(|check| check.is_over(env)) {
        wanted.extend(look_for_outdated(group, env));
        wanted.retain(|pattern| changes.dropped.as_ref() != Some(pattern));
    }
    match_patterns(wanted, &mut changes, env);
    changes.is_different = changes.matched.iter().any(|(pattern, value)| {
        group.state.patterns.get(pattern).map_or(&[][..], |old| &old.topics) != value.topics
    });
    Ok(changes)
}

/// The patterns that are to be matched again, the oldest first.
fn look_for_outdated(group: &mut ConsumerGroup, env: &Environment<'_>) -> Vec<Arc<str>> {
    let mut outdated = Vec::new();
    let mut is_any_young = false;
    for pattern in group.index.patterns.keys() {
        match age(group.state.patterns.get(pattern).map(AsRef::as_ref), env) {
            Age::UpToDate => {}
            Age::Young => is_any_young = true,
            Age::OutOfDate(since) => outdated.push((since, pattern.clone())),
        }
    }
    outdated.sort_unstable();
    let is_any_left = is_any_young || !outdated.is_empty();
    let wait = |full: Duration| env.monotonic + if is_any_left { RETRY } else { full };
    group.pattern_check = Some(PatternCheck {
        version: env.cluster.version(),
        if_changed: wait(REFRESH_INTERVAL_MIN),
        at_the_latest: wait(refresh_interval(env)),
    });
    outdated.into_iter().map(|(_, pattern)| pattern).collect()
}

/// Matches the patterns in this order until enough is done.
fn match_patterns(wanted: Vec<Arc<str>>, changes: &mut PatternChanges, env: &Environment<'_>) {
    if wanted.is_empty() {
        return;
    }
    let names = env.cluster.topic_names();
    let (mut matches, mut matched_bytes) = (0, 0);
    for pattern in wanted {
        if matches > MATCHES_MAX || matched_bytes > MATCHED_BYTES_MAX {
            return;
        }
        // One that this version cannot read was written by another; it matches nothing, and is left so.
        let compiled = Pattern::read(&pattern).ok();
        let is_match = |name: &&Arc<str>| compiled.as_ref().is_some_and(|compiled| compiled.matches(name));
        let topics: Vec<Arc<str>> = names.iter().filter(is_match).cloned().collect();
        matched_bytes += pattern.len() + topics.iter().map(|topic| topic.len()).sum::<usize>();
        let value = RegularExpressionValue { topics, version: env.cluster.version(), timestamp: env.now };
        changes.matched.insert(pattern, value);
        matches += names.len() + COMPILATION_MATCHES;
    }
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
