//! What a group has committed.

use std::collections::BTreeMap;

use kafka_protocol::ResponseError;
use kafka_protocol::messages::OffsetFetchRequest;
use kafka_protocol::messages::offset_fetch_request::OffsetFetchRequestGroup;

use super::{GroupRefusal, wire_id};
use crate::cli::client::{Client, ClientError, PartitionId};

/// The committed offset of each partition of which `group_id` has one.
pub(in crate::cli) async fn committed(
    client: &mut Client,
    group_id: &str,
) -> anyhow::Result<BTreeMap<PartitionId, i64>> {
    let group = OffsetFetchRequestGroup::default()
        .with_group_id(wire_id(group_id))
        .with_member_epoch(-1)
        .with_topics(None);
    let request = OffsetFetchRequest::default().with_groups(vec![group]);
    let error_of = |response: &kafka_protocol::messages::OffsetFetchResponse| {
        response.groups.first().map_or(0, |group| group.error_code)
    };
    let response = client.ask_coordinator(group_id, &request, error_of).await?;
    match ResponseError::try_from_code(error_of(&response)) {
        None => {}
        Some(ResponseError::GroupIdNotFound) => {
            return Err(GroupRefusal::NoSuchGroup { group_id: group_id.to_owned() }.into());
        }
        Some(error) => {
            return Err(ClientError::Refused { what: format!("the offsets of {group_id}"), error }.into());
        }
    }
    let mut offsets = BTreeMap::new();
    for topic in response.groups.into_iter().flat_map(|group| group.topics) {
        for partition in topic.partitions {
            if partition.error_code == 0 && partition.committed_offset >= 0 {
                let id = PartitionId { topic: topic.name.to_string(), partition: partition.partition_index };
                offsets.insert(id, partition.committed_offset);
            }
        }
    }
    Ok(offsets)
}
