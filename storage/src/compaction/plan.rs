//! Whether a log is worth cleaning, and how far it may be cleaned: decisions without side effects.
//!
//! Never cleaned are the active segment and what is not wholly below the bound that the caller gives: what is replicated,
//! decided and flushed. Source: LogCleanerManager.cleanableOffsets, LogToClean.java.

use config::topic::TopicConfig;

use crate::ids::{Offset, TimestampMs};

/// What the decision needs to know of a sealed segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SegmentFacts {
    pub(crate) base_offset: Offset,
    /// Exclusive.
    pub(crate) next_offset: Offset,
    pub(crate) bytes: u64,
    /// When its newest record was made; asked for where `min.compaction.lag.ms` is set.
    pub(crate) largest_timestamp: TimestampMs,
    /// When its first batch was made, where that is known; asked for where `max.compaction.lag.ms` is set.
    pub(crate) first_timestamp: TimestampMs,
}

/// Where a log stands.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ends {
    pub(crate) log_start_offset: Offset,
    pub(crate) log_end_offset: Offset,
    /// Exclusive: everything below went through a round, if there was one.
    pub(crate) cleaned_end_offset: Option<Offset>,
    /// Exclusive: nothing from here on may be touched.
    pub(crate) bound: Offset,
    /// How often the log was cut.
    pub(crate) cuts: u64,
}

/// What there is to clean in a log.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Cleanable {
    /// Where the part begins that went through no round yet.
    pub first_dirty_offset: Offset,
    /// Exclusive end of what a round may touch; the start of a segment.
    pub first_uncleanable_offset: Offset,
    /// Bytes of segments that went through a round.
    pub clean_bytes: u64,
    /// Bytes of segments that did not, and may.
    pub dirty_bytes: u64,
    /// A record waits for longer than `max.compaction.lag.ms`.
    pub is_overdue: bool,
    /// `min.cleanable.dirty.ratio`.
    pub dirty_ratio_min: f64,
    /// How often the log was cut when this was found. What was found before a cut is not cleaned after it.
    pub cuts: u64,
}

impl Cleanable {
    /// The dirty part of all, 0 to 1.
    #[must_use]
    pub fn dirty_ratio(&self) -> f64 {
        let all = self.clean_bytes + self.dirty_bytes;
        if all == 0 { 0.0 } else { self.dirty_bytes as f64 / all as f64 }
    }

    /// Whether a round is worth its while.
    #[must_use]
    pub fn is_worth_cleaning(&self) -> bool {
        self.dirty_bytes > 0 && (self.is_overdue || self.dirty_ratio() > self.dirty_ratio_min)
    }
}

/// What there is to clean in a log with these sealed segments.
pub(crate) fn cleanable(
    sealed: &[SegmentFacts],
    config: &TopicConfig,
    ends: &Ends,
    now: TimestampMs,
) -> Cleanable {
    let known = ends.cleaned_end_offset.unwrap_or(ends.log_start_offset);
    let is_possible = known >= ends.log_start_offset && known <= ends.log_end_offset;
    let first_dirty_offset = if is_possible { known } else { ends.log_start_offset };
    let is_dirty = |segment: &&SegmentFacts| segment.next_offset > first_dirty_offset;
    let is_too_young = |segment: &SegmentFacts| {
        config.min_compaction_lag_ms > 0
            && segment.next_offset > first_dirty_offset
            && segment.largest_timestamp.0 > now.0.saturating_sub(config.min_compaction_lag_ms)
    };
    let touchable = sealed.iter().take_while(|one| one.next_offset <= ends.bound && !is_too_young(one));
    let first_uncleanable_offset =
        touchable.clone().last().map_or(first_dirty_offset, |last| last.next_offset);
    let overdue_since = now.0.saturating_sub(config.max_compaction_lag_ms);
    Cleanable {
        first_dirty_offset,
        first_uncleanable_offset: first_uncleanable_offset.max(first_dirty_offset),
        clean_bytes: sealed
            .iter()
            .filter(|one| one.base_offset < first_dirty_offset)
            .map(|one| one.bytes)
            .sum(),
        dirty_bytes: touchable.filter(is_dirty).map(|one| one.bytes).sum(),
        is_overdue: sealed
            .iter()
            .filter(is_dirty)
            .any(|one| one.first_timestamp.0 > 0 && one.first_timestamp.0 < overdue_since),
        dirty_ratio_min: config.min_cleanable_dirty_ratio,
        cuts: ends.cuts,
    }
}

#[cfg(test)]
mod tests {
    use config::topic::TopicConfig;

    use super::{Cleanable, Ends, SegmentFacts, cleanable};
    use crate::ids::{Offset, TimestampMs};

    /// Four sealed segments of ten offsets and 100 bytes each; records are as old as their offsets say, in seconds.
    fn plan(cleaned_end: Option<i64>, bound: i64, config: &TopicConfig, now: i64) -> Cleanable {
        let segment = |index: i64| SegmentFacts {
            base_offset: Offset(10 * index),
            next_offset: Offset(10 * index + 10),
            bytes: 100,
            largest_timestamp: TimestampMs(1000 * (10 * index + 9)),
            first_timestamp: TimestampMs(1000 * 10 * index),
        };
        let sealed: Vec<_> = (0..4).map(segment).collect();
        let ends = Ends {
            log_start_offset: Offset(5),
            log_end_offset: Offset(45),
            cleaned_end_offset: cleaned_end.map(Offset),
            bound: Offset(bound),
            cuts: 0,
        };
        cleanable(&sealed, config, &ends, TimestampMs(now))
    }

    fn range(plan: &Cleanable) -> (i64, i64) {
        (plan.first_dirty_offset.0, plan.first_uncleanable_offset.0)
    }

    #[test]
    fn round_ends_at_a_segment_below_the_bound() {
        let config = TopicConfig::default();
        assert_eq!(range(&plan(None, 45, &config, 0)), (5, 40));
        assert_eq!(range(&plan(Some(20), 39, &config, 0)), (20, 30));
        assert_eq!(range(&plan(Some(20), 15, &config, 0)), (20, 20));
        assert_eq!(plan(Some(20), 15, &config, 0).dirty_bytes, 0);
    }

    #[test]
    fn offset_that_cannot_be_starts_from_the_beginning() {
        let config = TopicConfig::default();
        assert_eq!(range(&plan(Some(3), 45, &config, 0)), (5, 40), "records were deleted");
        assert_eq!(range(&plan(Some(46), 45, &config, 0)), (5, 40), "the log is another");
    }

    #[test]
    fn log_is_worth_cleaning_above_its_ratio() {
        let config = TopicConfig { min_cleanable_dirty_ratio: 0.5, ..TopicConfig::default() };
        let half = plan(Some(20), 45, &config, 0);
        assert_eq!((half.clean_bytes, half.dirty_bytes), (200, 200));
        assert!(!half.is_worth_cleaning(), "more than the ratio, not as much");
        assert!(plan(Some(10), 45, &config, 0).is_worth_cleaning());
        let always = TopicConfig { min_cleanable_dirty_ratio: 0.0, ..config };
        assert!(!plan(Some(40), 45, &always, 0).is_worth_cleaning(), "nothing is dirty");
    }

    #[test]
    fn young_segments_wait_and_overdue_ones_do_not() {
        let config = TopicConfig {
            min_compaction_lag_ms: 10_000,
            max_compaction_lag_ms: 30_000,
            ..TopicConfig::default()
        };
        assert_eq!(range(&plan(None, 45, &config, 40_000)), (5, 30));
        assert!(!plan(Some(20), 45, &config, 50_000).is_overdue);
        let overdue = plan(Some(20), 45, &config, 50_001);
        assert!(overdue.is_overdue && overdue.is_worth_cleaning());
    }
}
