//! Questions about a group, asked of the broker with raw requests.

use std::collections::BTreeMap;

use anyhow::{Result, ensure};
use kafka_protocol::messages::offset_fetch_request::OffsetFetchRequestTopic;
use kafka_protocol::messages::{GroupId, OffsetFetchRequest};
use kafka_protocol::protocol::StrBytes;

use crate::wire::{Connection, topic_name};

/// A group's name as the crate has it.
#[must_use]
pub fn group_id(group: &str) -> GroupId {
    GroupId(StrBytes::from_string(group.to_owned()))
}

/// The committed offsets of a group in the partitions of one topic; -1 stands for none.
///
/// # Errors
/// When no answer comes, or it is an error.
pub fn committed_offsets(
    connection: &mut Connection,
    group: &str,
    topic: &str,
    partitions: i32,
) -> Result<BTreeMap<i32, i64>> {
    let topics = OffsetFetchRequestTopic::default()
        .with_name(topic_name(topic))
        .with_partition_indexes((0..partitions).collect());
    let request =
        OffsetFetchRequest::default().with_group_id(group_id(group)).with_topics(Some(vec![topics]));
    let response = connection.call(7, &request)?;
    ensure!(response.error_code == 0, "OffsetFetch answered {}", response.error_code);
    let mut offsets = BTreeMap::new();
    for partition in response.topics.iter().flat_map(|topic| &topic.partitions) {
        ensure!(partition.error_code == 0, "OffsetFetch answered {partition:?}");
        offsets.insert(partition.partition_index, partition.committed_offset);
    }
    Ok(offsets)
}
