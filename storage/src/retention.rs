//! Which segments of a log are old enough to go: a decision without side effects.
//!
//! Only what is wholly below the high watermark may go, oldest first and without a gap. Source: UnifiedLog.deleteOldSegments.

use config::topic::TopicConfig;

use crate::ids::{Offset, TimestampMs};

/// What the decision needs to know of a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SegmentFacts {
    /// Exclusive end of its offsets.
    pub next_offset: Offset,
    /// Its bytes of records.
    pub size_in_bytes: u64,
    /// The largest timestamp of its records, or when the file was last written where they have none.
    pub largest_timestamp: TimestampMs,
}

/// How many of the oldest segments go. The last one of `segments` is active; where it is among them, another must be
/// started first.
#[must_use]
pub fn segments_to_delete(
    segments: &[SegmentFacts],
    config: &TopicConfig,
    now: TimestampMs,
    high_watermark: Offset,
    log_start_offset: Offset,
) -> usize {
    let total: u64 = segments.iter().map(|segment| segment.size_in_bytes).sum();
    let retained = u64::try_from(config.retention_bytes).ok();
    let mut surplus = match retained {
        Some(retained) if config.cleanup_policy.delete => total.saturating_sub(retained),
        Some(_) | None => 0,
    };
    let mut count = 0;
    for (index, segment) in segments.iter().enumerate() {
        let is_active = index + 1 == segments.len();
        let is_below_start = segment.next_offset <= log_start_offset && !is_active;
        let is_expired = config.cleanup_policy.delete
            && config.retention_ms >= 0
            && now.0.saturating_sub(segment.largest_timestamp.0) > config.retention_ms;
        // By size only what leaves at least `retention.bytes` behind.
        let is_surplus = !is_active && surplus > 0 && segment.size_in_bytes <= surplus;
        let is_replicated = segment.next_offset <= high_watermark;
        let is_empty = segment.size_in_bytes == 0;
        if !is_replicated || is_empty || !(is_below_start || is_expired || is_surplus) {
            break;
        }
        surplus = surplus.saturating_sub(segment.size_in_bytes);
        count = index + 1;
    }
    count
}

#[cfg(test)]
mod tests {
    use super::{SegmentFacts, segments_to_delete};
    use crate::ids::{Offset, TimestampMs};
    use config::topic::TopicConfig;

    fn segments() -> Vec<SegmentFacts> {
        let segment = |index: i64| SegmentFacts {
            next_offset: Offset(10 * (index + 1)),
            size_in_bytes: 100,
            largest_timestamp: TimestampMs(1000 * (index + 1)),
        };
        (0..4).map(segment).collect()
    }

    fn count(config: &TopicConfig, now: i64, high_watermark: i64) -> usize {
        segments_to_delete(&segments(), config, TimestampMs(now), Offset(high_watermark), Offset(0))
    }

    fn config(retention_ms: i64, retention_bytes: i64) -> TopicConfig {
        TopicConfig { retention_ms, retention_bytes, ..TopicConfig::default() }
    }

    #[test]
    fn age_counts_from_the_largest_timestamp() {
        assert_eq!(count(&config(500, -1), 1500, 40), 0);
        assert_eq!(count(&config(500, -1), 1501, 40), 1);
        assert_eq!(count(&config(500, -1), 9000, 40), 4, "the active segment expires too");
        assert_eq!(count(&config(-1, -1), i64::MAX, 40), 0);
    }

    #[test]
    fn size_leaves_at_least_what_is_to_be_kept() {
        assert_eq!(count(&config(-1, 400), 0, 40), 0);
        assert_eq!(count(&config(-1, 301), 0, 40), 0);
        assert_eq!(count(&config(-1, 300), 0, 40), 1);
        assert_eq!(count(&config(-1, 0), 0, 40), 3, "the active segment stays");
    }

    #[test]
    fn nothing_above_the_high_watermark_goes() {
        assert_eq!(count(&config(0, 0), 9000, 25), 2);
        assert_eq!(count(&config(0, 0), 9000, 0), 0);
    }

    #[test]
    fn compacted_topics_lose_nothing_by_age_or_size() {
        let mut compacted = config(0, 0);
        compacted.cleanup_policy.compact = true;
        compacted.cleanup_policy.delete = false;
        assert_eq!(count(&compacted, 9000, 40), 0);
        let facts = segments();
        let now = TimestampMs(9000);
        assert_eq!(
            segments_to_delete(&facts, &compacted, now, Offset(40), Offset(20)),
            2,
            "but by DeleteRecords"
        );
    }
}
