//! The settings of groups and of the topic that keeps them.

use super::Reader;
use crate::group::{GroupConfig, GroupCoordinatorConfig, OffsetsTopicConfig, Range};

const MINUTE_MS: i64 = 60_000;

impl Reader<'_> {
    pub(super) fn groups(&mut self) -> GroupCoordinatorConfig {
        let retention_minutes: i32 = self.typed("offsets.retention.minutes");
        let config = GroupCoordinatorConfig {
            group_coordinator_rebalance_protocols: self.typed("group.coordinator.rebalance.protocols"),
            group_min_session_timeout_ms: self.typed("group.min.session.timeout.ms"),
            group_max_session_timeout_ms: self.typed("group.max.session.timeout.ms"),
            group_initial_rebalance_delay_ms: self.typed("group.initial.rebalance.delay.ms"),
            group_max_size: self.typed("group.max.size"),
            group_consumer_max_size: self.typed("group.consumer.max.size"),
            group_consumer_assignors: self.typed("group.consumer.assignors"),
            group_consumer_migration_policy: self.typed("group.consumer.migration.policy"),
            group_consumer_regex_refresh_interval_ms: self.typed("group.consumer.regex.refresh.interval.ms"),
            group_consumer_session_timeout_ms: Range {
                min: self.typed("group.consumer.min.session.timeout.ms"),
                max: self.typed("group.consumer.max.session.timeout.ms"),
            },
            group_consumer_heartbeat_interval_ms: Range {
                min: self.typed("group.consumer.min.heartbeat.interval.ms"),
                max: self.typed("group.consumer.max.heartbeat.interval.ms"),
            },
            group_consumer_assignment_interval_ms: Range {
                min: self.typed("group.consumer.min.assignment.interval.ms"),
                max: self.typed("group.consumer.max.assignment.interval.ms"),
            },
            offset_metadata_max_bytes: self.typed("offset.metadata.max.bytes"),
            offsets_retention_ms: i64::from(retention_minutes) * MINUTE_MS,
            offsets_retention_check_interval_ms: self.typed("offsets.retention.check.interval.ms"),
            defaults: GroupConfig {
                consumer_session_timeout_ms: self.typed("group.consumer.session.timeout.ms"),
                consumer_heartbeat_interval_ms: self.typed("group.consumer.heartbeat.interval.ms"),
                consumer_assignment_interval_ms: self.typed("group.consumer.assignment.interval.ms"),
            },
        };
        self.errors.extend(config.check().err());
        config
    }

    pub(super) fn offsets_topic(&mut self) -> OffsetsTopicConfig {
        OffsetsTopicConfig {
            offsets_topic_num_partitions: self.typed("offsets.topic.num.partitions"),
            offsets_topic_replication_factor: self.typed("offsets.topic.replication.factor"),
            offsets_topic_segment_bytes: self.typed("offsets.topic.segment.bytes"),
            offsets_topic_compression_codec: self.typed("offsets.topic.compression.codec"),
            offsets_commit_timeout_ms: self.typed("offsets.commit.timeout.ms"),
            offsets_load_buffer_size: self.typed("offsets.load.buffer.size"),
        }
    }
}
