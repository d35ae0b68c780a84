//! Which partition of `__consumer_offsets` a group belongs to: Java's hash of its name, so that every broker and every
//! tool of Kafka's agrees. Source: `GroupCoordinatorService.partitionFor`.

use storage::ids::PartitionIndex;

/// The partition, of `count` of them, that `group_id` belongs to.
pub(crate) fn partition_of(group_id: &str, count: usize) -> PartitionIndex {
    let count = i32::try_from(count).unwrap_or(i32::MAX).max(1);
    // The absolute value of the smallest integer is none, and Kafka takes 0.
    let hash = java_hash(group_id).checked_abs().unwrap_or(0);
    PartitionIndex(hash % count)
}

/// Java's `String.hashCode`, over UTF-16.
fn java_hash(text: &str) -> i32 {
    text.encode_utf16().fold(0_i32, |hash, unit| hash.wrapping_mul(31).wrapping_add(i32::from(unit)))
}

#[cfg(test)]
mod tests {
    use super::{java_hash, partition_of};
    use storage::ids::PartitionIndex;

    #[test]
    fn hash_is_javas() {
        for (text, hash) in [
            ("", 0),
            ("a", 97),
            ("console-consumer-12345", 158_455_506),
            ("größe", 98_762_257),
            ("😀", 1_772_899),
            ("polygenelubricants", i32::MIN),
        ] {
            assert_eq!(java_hash(text), hash, "{text}");
        }
    }

    #[test]
    fn every_group_has_a_partition_also_one_whose_hash_has_no_absolute_value() {
        assert_eq!(partition_of("polygenelubricants", 50), PartitionIndex(0));
        assert_eq!(partition_of("console-consumer-12345", 50), PartitionIndex(6));
        assert_eq!(partition_of("a", 0), PartitionIndex(0));
    }
}
