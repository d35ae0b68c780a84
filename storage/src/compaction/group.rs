//! Which segments become one: neighbours that together are no larger than one may be.
//!
//! The sizes before cleaning count, as in Kafka, so that a segment never outgrows `segment.bytes` by merging. Source:
//! Cleaner.groupSegmentsBySize.

use std::ops::Range;

use crate::ids::Offset;

/// What the decision needs to know of a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Size {
    pub(super) base_offset: Offset,
    /// Exclusive.
    pub(super) next_offset: Offset,
    pub(super) bytes: u64,
    /// Of the larger of its two indexes.
    pub(super) index_bytes: u64,
}

/// The groups in order, as ranges of `sizes`.
pub(super) fn groups(sizes: &[Size], segment_bytes: u64, index_bytes: u64) -> Vec<Range<usize>> {
    let mut groups: Vec<Range<usize>> = Vec::new();
    let mut current: Option<Size> = None;
    for (index, size) in sizes.iter().enumerate() {
        let joined = current.map(|group| Size {
            bytes: group.bytes + size.bytes,
            index_bytes: group.index_bytes + size.index_bytes,
            next_offset: size.next_offset,
            ..group
        });
        let fits = joined.filter(|joined| {
            let span = joined.next_offset.0.saturating_sub(1).saturating_sub(joined.base_offset.0);
            joined.bytes <= segment_bytes && joined.index_bytes <= index_bytes && span <= i64::from(i32::MAX)
        });
        match (fits, groups.last_mut()) {
            (Some(joined), Some(last)) => {
                last.end = index + 1;
                current = Some(joined);
            }
            (Some(_) | None, _) => {
                groups.push(index..index + 1);
                current = Some(*size);
            }
        }
    }
    groups
}

#[cfg(test)]
mod tests {
    use super::{Size, groups};
    use crate::ids::Offset;

    fn sizes(of: &[(i64, i64, u64, u64)]) -> Vec<Size> {
        let size = |&(base, next, bytes, index_bytes)| Size {
            base_offset: Offset(base),
            next_offset: Offset(next),
            bytes,
            index_bytes,
        };
        of.iter().map(size).collect()
    }

    /// Where the groups end; each begins where the one before it ended.
    fn ends(sizes: &[Size], segment_bytes: u64, index_bytes: u64) -> Vec<usize> {
        groups(sizes, segment_bytes, index_bytes).into_iter().map(|group| group.end).collect()
    }

    #[test]
    fn neighbours_join_while_bytes_and_indexes_fit() {
        let four = sizes(&[(0, 10, 40, 1), (10, 20, 40, 1), (20, 30, 40, 1), (30, 40, 10, 1)]);
        assert_eq!(ends(&four, 80, 10), [2, 4]);
        assert_eq!(ends(&four, 1000, 10), [4]);
        assert_eq!(ends(&four, 1000, 2), [2, 4]);
        assert_eq!(ends(&four, 1, 10), [1, 2, 3, 4], "one is always a group");
        assert!(ends(&[], 1, 1).is_empty());
    }

    #[test]
    fn offsets_of_a_group_stay_within_what_an_index_can_say() {
        let far = i64::from(i32::MAX);
        assert_eq!(ends(&sizes(&[(0, 10, 1, 1), (10, far + 1, 1, 1)]), 80, 10), [2]);
        assert_eq!(ends(&sizes(&[(0, 10, 1, 1), (10, far + 2, 1, 1)]), 80, 10), [1, 2]);
    }
}
