//! What is known of single topics and groups, under the names and labels of kafka_exporter, so that the dashboards and
//! alerts that people have for it work here.
//!
//! It is gathered when somebody asks, so a topic or group that is gone leaves nothing behind. As in kafka_exporter, a
//! group has a row for every partition of a topic of which it has committed any, with -1 where it has committed none. A
//! lag is never below 0 here, and -1 is no part of a sum. Rows of one metric stand together, as the format demands.
//!
//! Source: kafka_exporter 1.9, `kafka_exporter.go`.

mod gather;

use std::collections::BTreeMap;
use std::fmt::Write;
use std::sync::Arc;

use coordinator::ids::GroupId;
use storage::ids::{BrokerId, Offset, PartitionIndex};

use super::{
    FOLLOWER_LAG, GROUP_CURRENT_OFFSET, GROUP_CURRENT_OFFSET_SUM, GROUP_LAG, GROUP_LAG_SUM, GROUP_MEMBERS,
    Metric, PARTITION_CURRENT_OFFSET, PARTITION_IN_SYNC, PARTITION_LEADER, PARTITION_OLDEST_OFFSET,
    PARTITION_REPLICAS, PARTITION_UNDER_REPLICATED, TOPIC_PARTITIONS,
};

pub(crate) use gather::gather;

/// The most samples of topics and groups that one answer has. Larger: a scrape takes longer than Prometheus waits, and
/// holds tens of megabytes. Smaller: a cluster with many groups is not seen as a whole.
const SAMPLES_MAX: usize = 100_000;

/// What a scrape finds of one topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct TopicSamples {
    pub(crate) topic: Arc<str>,
    pub(crate) partitions: Vec<PartitionSamples>,
}

/// What a scrape finds of one partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PartitionSamples {
    pub(crate) partition: PartitionIndex,
    pub(crate) leader: Option<BrokerId>,
    pub(crate) replica_count: usize,
    pub(crate) in_sync_count: usize,
    /// The log start offset and the high watermark, where this node leads it.
    pub(crate) offsets: Option<(Offset, Offset)>,
}

/// What a scrape finds of one group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct GroupSamples {
    pub(crate) group_id: GroupId,
    pub(crate) member_count: usize,
    pub(crate) topics: Vec<GroupTopicSamples>,
}

/// What a group has read of one topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct GroupTopicSamples {
    pub(crate) topic: Arc<str>,
    pub(crate) partitions: Vec<GroupPartitionSamples>,
}

/// What a group has read of one partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct GroupPartitionSamples {
    pub(crate) partition: PartitionIndex,
    pub(crate) committed: Option<Offset>,
    /// Where this node serves the partition.
    pub(crate) high_watermark: Option<Offset>,
}

impl GroupPartitionSamples {
    fn lag(&self) -> Option<i64> {
        Some((self.high_watermark?.0 - self.committed?.0).max(0))
    }
}

/// What was found, as far as there is room for it.
#[derive(Debug, Default)]
pub(crate) struct Exporter {
    topics: Vec<TopicSamples>,
    /// By follower, how far it is behind in the partition where it is most.
    follower_lags: BTreeMap<BrokerId, i64>,
    groups: Vec<GroupSamples>,
    samples: usize,
    left_out: usize,
}

impl Exporter {
    /// Adds a topic.
    pub(crate) fn topic(&mut self, topic: TopicSamples) {
        if self.has_room(1 + 6 * topic.partitions.len()) {
            self.topics.push(topic);
        }
    }

    /// Notes how far a follower is behind in one partition.
    pub(crate) fn follower_lag(&mut self, follower: BrokerId, lag: i64) {
        let largest = self.follower_lags.entry(follower).or_default();
        *largest = lag.max(*largest);
    }

    /// Adds a group.
    pub(crate) fn group(&mut self, group: GroupSamples) {
        let of_topics = group.topics.iter().map(|topic| 2 + 2 * topic.partitions.len()).sum::<usize>();
        if self.has_room(1 + of_topics) {
            self.groups.push(group);
        }
    }

    /// Notes that groups were not looked at, since there was no room.
    pub(crate) fn leave_out(&mut self, groups: usize) {
        self.left_out += groups;
    }

    /// How many samples there is still room for.
    pub(crate) fn room(&self) -> usize {
        SAMPLES_MAX - self.samples
    }

    /// How many topics and groups found no room.
    pub(crate) fn left_out(&self) -> usize {
        self.left_out
    }

    fn has_room(&mut self, samples: usize) -> bool {
        let has_room = self.samples + samples <= SAMPLES_MAX;
        if has_room {
            self.samples += samples;
        } else {
            self.left_out += 1;
        }
        has_room
    }

    /// All of it in the text format of Prometheus.
    pub(crate) fn render(&self) -> String {
        let mut text = Text::default();
        text.metric(&TOPIC_PARTITIONS);
        for topic in &self.topics {
            text.sample(&TOPIC_PARTITIONS, &[("topic", &topic.topic)], topic.partitions.len() as i64);
        }
        let count = |count: usize| i64::try_from(count).ok();
        self.render_partitions(&mut text, &PARTITION_CURRENT_OFFSET, |it| Some(it.offsets?.1.0));
        self.render_partitions(&mut text, &PARTITION_OLDEST_OFFSET, |it| Some(it.offsets?.0.0));
        self.render_partitions(&mut text, &PARTITION_LEADER, |it| {
            Some(it.leader.map_or(-1, |id| id.0.into()))
        });
        self.render_partitions(&mut text, &PARTITION_REPLICAS, |it| count(it.replica_count));
        self.render_partitions(&mut text, &PARTITION_IN_SYNC, |it| count(it.in_sync_count));
        self.render_partitions(&mut text, &PARTITION_UNDER_REPLICATED, |it| {
            Some(i64::from(it.in_sync_count < it.replica_count))
        });
        text.metric(&FOLLOWER_LAG);
        for (follower, lag) in &self.follower_lags {
            text.sample(&FOLLOWER_LAG, &[("follower", &*follower.to_string())], *lag);
        }
        text.metric(&GROUP_MEMBERS);
        for group in &self.groups {
            let labels = [("consumergroup", group.group_id.as_str())];
            text.sample(&GROUP_MEMBERS, &labels, group.member_count as i64);
        }
        let or_none = |offset: Option<i64>| offset.unwrap_or(-1);
        self.render_group_partitions(&mut text, &GROUP_CURRENT_OFFSET, |partition| {
            Some(or_none(partition.committed.map(|offset| offset.0)))
        });
        self.render_group_topics(&mut text, &GROUP_CURRENT_OFFSET_SUM, |partition| {
            partition.committed.map(|offset| offset.0)
        });
        self.render_group_partitions(&mut text, &GROUP_LAG, |partition| {
            partition.high_watermark.map(|_| or_none(partition.lag()))
        });
        self.render_group_topics(&mut text, &GROUP_LAG_SUM, GroupPartitionSamples::lag);
        text.0
    }

    fn render_partitions(
        &self,
        text: &mut Text,
        metric: &Metric,
        value: impl Fn(&PartitionSamples) -> Option<i64>,
    ) {
        text.metric(metric);
        for topic in &self.topics {
            for samples in &topic.partitions {
                let Some(value) = value(samples) else { continue };
                let labels = [("partition", &*samples.partition.to_string()), ("topic", &topic.topic)];
                text.sample(metric, &labels, value);
            }
        }
    }

    fn render_group_partitions(
        &self,
        text: &mut Text,
        metric: &Metric,
        value: impl Fn(&GroupPartitionSamples) -> Option<i64>,
    ) {
        text.metric(metric);
        for (group, topic) in self.group_topics() {
            for partition in &topic.partitions {
                let Some(value) = value(partition) else { continue };
                let labels = [
                    ("consumergroup", group.as_str()),
                    ("partition", &*partition.partition.to_string()),
                    ("topic", &topic.topic),
                ];
                text.sample(metric, &labels, value);
            }
        }
    }

    fn render_group_topics(
        &self,
        text: &mut Text,
        metric: &Metric,
        value: impl Fn(&GroupPartitionSamples) -> Option<i64>,
    ) {
        text.metric(metric);
        for (group, topic) in self.group_topics() {
            let labels = [("consumergroup", group.as_str()), ("topic", &topic.topic)];
            text.sample(metric, &labels, topic.partitions.iter().filter_map(&value).sum());
        }
    }

    fn group_topics(&self) -> impl Iterator<Item = (&GroupId, &GroupTopicSamples)> {
        self.groups.iter().flat_map(|group| group.topics.iter().map(|topic| (&group.group_id, topic)))
    }
}

/// The text format: a head for each metric, then its samples. Writing to a string cannot fail.
#[derive(Debug, Default)]
struct Text(String);

impl Text {
    fn metric(&mut self, Metric { name, kind, help, .. }: &Metric) {
        let _infallible = write!(self.0, "# HELP {name} {help}\n# TYPE {name} {kind}\n");
    }

    fn sample(&mut self, metric: &Metric, labels: &[(&str, &str)], value: i64) {
        self.0.push_str(metric.name);
        for (index, (name, value)) in labels.iter().enumerate() {
            self.0.push(if index == 0 { '{' } else { ',' });
            self.0.push_str(name);
            self.0.push_str("=\"");
            self.escape(value);
            self.0.push('"');
        }
        let _infallible = writeln!(self.0, "}} {value}");
    }

    /// A group's name is any text: what ends a label, or a line, is written otherwise.
    fn escape(&mut self, value: &str) {
        for character in value.chars() {
            match character {
                '\\' => self.0.push_str("\\\\"),
                '"' => self.0.push_str("\\\""),
                '\n' => self.0.push_str("\\n"),
                other => self.0.push(other),
            }
        }
    }
}

#[cfg(test)]
mod tests;
