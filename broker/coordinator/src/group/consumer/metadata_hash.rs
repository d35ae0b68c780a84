//! A hash of what an assignment takes from the topics: their ids, names and partitions. Where it changes, the group's
//! epoch grows.
//!
//! It is Kafka's number where brokers have no racks, so that a group which Kafka wrote is not rebalanced for being
//! loaded here: XXH3 (64 bits) of, for each topic, a zero byte, the id, the name as UTF-16 and its length, the count of
//! partitions and each index; then XXH3 of these hashes in the order of the names. All little-endian.
//! Source: Utils.java (`computeTopicHash`, `computeGroupHash`).

use std::sync::Arc;

use twox_hash::XxHash3_64;

use crate::environment::{Cluster, TopicDescription};

/// The hash of these topics, of which those that are not there do not count; 0 where none is.
pub(crate) fn metadata_hash<'a>(topics: impl Iterator<Item = &'a Arc<str>>, cluster: &dyn Cluster) -> i64 {
    let topics: Vec<TopicDescription> = topics.filter_map(|name| cluster.topic_by_name(name)).collect();
    group_hash(topics.iter())
}

fn group_hash<'a>(topics: impl Iterator<Item = &'a TopicDescription>) -> i64 {
    let hashes: Vec<u8> = topics.flat_map(|topic| topic_hash(topic).to_le_bytes()).collect();
    if hashes.is_empty() { 0 } else { XxHash3_64::oneshot(&hashes).cast_signed() }
}

fn topic_hash(topic: &TopicDescription) -> u64 {
    let mut bytes = vec![0];
    let (high, low) = topic.id.0.as_u64_pair();
    bytes.extend(high.to_le_bytes());
    bytes.extend(low.to_le_bytes());
    let name: Vec<u16> = topic.name.encode_utf16().collect();
    bytes.extend(name.iter().flat_map(|unit| unit.to_le_bytes()));
    bytes.extend(u32::try_from(name.len()).unwrap_or(u32::MAX).to_le_bytes());
    bytes.extend(topic.partition_count.to_le_bytes());
    (0..topic.partition_count).for_each(|partition| bytes.extend(partition.to_le_bytes()));
    XxHash3_64::oneshot(&bytes)
}

#[cfg(test)]
mod tests {
    use storage::ids::TopicId;

    use super::*;

    fn topic(first: u8, name: &str, partition_count: i32) -> TopicDescription {
        let mut id = [first; 16];
        id.iter_mut().zip(first..).for_each(|(byte, value)| *byte = value);
        TopicDescription { id: TopicId::from_bytes(id), name: name.into(), partition_count }
    }

    /// The numbers are those of hash4j 0.22.0, the library that Kafka uses.
    #[test]
    fn the_hash_is_that_of_kafka() {
        let (events, readings) = (topic(1, "events", 3), topic(0x11, "readings", 12));
        assert_eq!(topic_hash(&events).cast_signed(), -4_340_165_600_240_730_984);
        assert_eq!(topic_hash(&readings).cast_signed(), -5_446_045_087_289_729_302);
        assert_eq!(group_hash([&events].into_iter()), -572_234_466_211_621_146);
        assert_eq!(group_hash([&events, &readings].into_iter()), 168_305_453_597_637_592);
        assert_eq!(group_hash(std::iter::empty()), 0);
    }
}
