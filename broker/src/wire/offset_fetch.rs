//! OffsetFetch's request and response. Version 8 asks about several groups at once, and version 10 (topic ids, Kafka 4.2)
//! the crate does not have; here all versions have the form of the newest.
//!
//! Source: KIP-709, KIP-848, `OffsetFetchRequest.json`.

use super::compact::{
    boolean, int32, list, nullable_list, nullable_string, put_list_length, put_no_tagged_fields,
    put_nullable_string, skip_tagged_fields, string, uuid,
};
use super::response::{EncodeError, FrameBuilder};
use anyhow::Result;
use bytes::{BufMut, BytesMut};
use kafka_protocol::messages::offset_fetch_response::{
    OffsetFetchResponseGroup, OffsetFetchResponsePartition, OffsetFetchResponsePartitions,
    OffsetFetchResponseTopic, OffsetFetchResponseTopics,
};
use kafka_protocol::messages::{
    GroupId, OffsetFetchRequest as RequestOfTheCrate, OffsetFetchResponse as ResponseOfTheCrate, TopicName,
};
use kafka_protocol::protocol::buf::ByteBuf;
use kafka_protocol::protocol::{Decodable, HeaderVersion, StrBytes};
use uuid::Uuid;

/// The first version that asks about several groups.
const GROUPS_SINCE: i16 = 8;
/// The first version that names topics by their ids.
const TOPIC_IDS_SINCE: i16 = 10;
/// The first version whose answer has an error of the group as a whole.
pub const GROUP_ERROR_SINCE: i16 = 2;

/// A question about committed offsets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OffsetFetchRequest {
    /// Of which groups; exactly one below version 8.
    pub groups: Vec<AskedGroup>,
    /// Whether offsets that a transaction may yet change are to be held back.
    pub require_stable: bool,
}

/// A group that is asked about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AskedGroup {
    /// The group.
    pub group_id: StrBytes,
    /// Who asks, where it says so.
    pub member_id: Option<StrBytes>,
    /// The epoch of who asks; -1 where it does not say.
    pub member_epoch: i32,
    /// Of which topics, or `None` for all of them.
    pub topics: Option<Vec<AskedTopic>>,
}

/// A topic that is asked about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AskedTopic {
    /// The name; empty from version 10 on.
    pub name: StrBytes,
    /// The id; nil below version 10.
    pub topic_id: Uuid,
    /// The partitions.
    pub partition_indexes: Vec<i32>,
}

impl HeaderVersion for OffsetFetchRequest {
    fn header_version(version: i16) -> i16 {
        RequestOfTheCrate::header_version(version.min(9))
    }
}

impl Decodable for OffsetFetchRequest {
    fn decode<B: ByteBuf>(buffer: &mut B, version: i16) -> Result<Self> {
        if version < TOPIC_IDS_SINCE {
            return Ok(of_the_crate(RequestOfTheCrate::decode(buffer, version)?, version));
        }
        let groups = list(buffer, group)?;
        let require_stable = boolean(buffer)?;
        skip_tagged_fields(buffer)?;
        Ok(Self { groups, require_stable })
    }
}

fn group<B: ByteBuf>(buffer: &mut B) -> Result<AskedGroup> {
    let read = AskedGroup {
        group_id: string(buffer)?,
        member_id: nullable_string(buffer)?,
        member_epoch: int32(buffer)?,
        topics: nullable_list(buffer, topic)?,
    };
    skip_tagged_fields(buffer)?;
    Ok(read)
}

fn topic<B: ByteBuf>(buffer: &mut B) -> Result<AskedTopic> {
    let topic_id = uuid(buffer)?;
    let partition_indexes = list(buffer, int32)?;
    skip_tagged_fields(buffer)?;
    Ok(AskedTopic { name: StrBytes::default(), topic_id, partition_indexes })
}

fn of_the_crate(request: RequestOfTheCrate, version: i16) -> OffsetFetchRequest {
    let asked = |name: TopicName, partition_indexes| AskedTopic {
        name: name.0,
        topic_id: Uuid::nil(),
        partition_indexes,
    };
    let groups = if version < GROUPS_SINCE {
        let topics = request.topics.map(|topics| {
            topics.into_iter().map(|topic| asked(topic.name, topic.partition_indexes)).collect()
        });
        vec![AskedGroup { group_id: request.group_id.0, member_id: None, member_epoch: -1, topics }]
    } else {
        let group =
            |group: kafka_protocol::messages::offset_fetch_request::OffsetFetchRequestGroup| AskedGroup {
                group_id: group.group_id.0,
                member_id: group.member_id,
                member_epoch: group.member_epoch,
                topics: group.topics.map(|topics| {
                    topics.into_iter().map(|topic| asked(topic.name, topic.partition_indexes)).collect()
                }),
            };
        request.groups.into_iter().map(group).collect()
    };
    OffsetFetchRequest { groups, require_stable: request.require_stable }
}

/// The offsets of the groups, in the order of the request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OffsetFetchResponse {
    /// The groups; exactly one below version 8.
    pub groups: Vec<AnsweredGroup>,
    /// For how long the client is to keep quiet; not written below version 3.
    pub throttle_time_ms: i32,
}

/// The offsets of a group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AnsweredGroup {
    /// The group.
    pub group_id: StrBytes,
    /// By topic.
    pub topics: Vec<AnsweredTopic>,
    /// The error of the group as a whole, 0 for none; below version 2 each partition carries it.
    pub error_code: i16,
}

/// The offsets of a topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AnsweredTopic {
    /// The name; not written from version 10 on.
    pub name: StrBytes,
    /// The id; not written below version 10.
    pub topic_id: Uuid,
    /// By partition.
    pub partitions: Vec<AnsweredPartition>,
}

/// The offset of a partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AnsweredPartition {
    /// The partition.
    pub partition_index: i32,
    /// The next offset to read, -1 where none is committed.
    pub committed_offset: i64,
    /// The leader epoch of the last record read, -1 where it is not known.
    pub committed_leader_epoch: i32,
    /// What the client wanted kept beside it. Never null, since clients iterate over it.
    pub metadata: StrBytes,
    /// The error, 0 for none.
    pub error_code: i16,
}

/// Writes `response` in `version` to `frame`.
///
/// # Errors
/// When the response cannot be written in that version.
pub fn put_response(
    frame: &mut FrameBuilder,
    response: OffsetFetchResponse,
    version: i16,
) -> Result<(), EncodeError> {
    if version < TOPIC_IDS_SINCE {
        return frame.put_message(&response_of_the_crate(response, version), version);
    }
    let buffer = frame.tail();
    buffer.put_i32(response.throttle_time_ms);
    put_list_length(buffer, response.groups.len());
    for group in response.groups {
        put_nullable_string(buffer, Some(&group.group_id));
        put_list_length(buffer, group.topics.len());
        for topic in group.topics {
            put_topic(buffer, topic);
        }
        buffer.put_i16(group.error_code);
        put_no_tagged_fields(buffer);
    }
    put_no_tagged_fields(buffer);
    Ok(())
}

fn put_topic(buffer: &mut BytesMut, topic: AnsweredTopic) {
    buffer.put_slice(topic.topic_id.as_bytes());
    put_list_length(buffer, topic.partitions.len());
    for partition in topic.partitions {
        buffer.put_i32(partition.partition_index);
        buffer.put_i64(partition.committed_offset);
        buffer.put_i32(partition.committed_leader_epoch);
        put_nullable_string(buffer, Some(&partition.metadata));
        buffer.put_i16(partition.error_code);
        put_no_tagged_fields(buffer);
    }
    put_no_tagged_fields(buffer);
}

/// Whether the header of a response in `version` has tagged fields.
#[must_use]
pub fn is_flexible(version: i16) -> bool {
    ResponseOfTheCrate::header_version(version.min(9)) >= 1
}

fn response_of_the_crate(response: OffsetFetchResponse, version: i16) -> ResponseOfTheCrate {
    if version >= GROUPS_SINCE {
        let groups = response.groups.into_iter().map(|group| {
            OffsetFetchResponseGroup::default()
                .with_group_id(GroupId(group.group_id))
                .with_topics(group.topics.into_iter().map(topic_of_several).collect())
                .with_error_code(group.error_code)
        });
        return ResponseOfTheCrate::default()
            .with_throttle_time_ms(response.throttle_time_ms)
            .with_groups(groups.collect());
    }
    let mut answer = ResponseOfTheCrate::default().with_throttle_time_ms(response.throttle_time_ms);
    for group in response.groups {
        if version >= GROUP_ERROR_SINCE {
            answer.error_code = group.error_code;
        }
        answer.topics = group.topics.into_iter().map(topic_of_one).collect();
    }
    answer
}

fn topic_of_several(topic: AnsweredTopic) -> OffsetFetchResponseTopics {
    let partitions = topic.partitions.into_iter().map(|partition| {
        OffsetFetchResponsePartitions::default()
            .with_partition_index(partition.partition_index)
            .with_committed_offset(partition.committed_offset)
            .with_committed_leader_epoch(partition.committed_leader_epoch)
            .with_metadata(Some(partition.metadata))
            .with_error_code(partition.error_code)
    });
    OffsetFetchResponseTopics::default()
        .with_name(TopicName(topic.name))
        .with_partitions(partitions.collect())
}

fn topic_of_one(topic: AnsweredTopic) -> OffsetFetchResponseTopic {
    let partitions = topic.partitions.into_iter().map(|partition| {
        OffsetFetchResponsePartition::default()
            .with_partition_index(partition.partition_index)
            .with_committed_offset(partition.committed_offset)
            .with_committed_leader_epoch(partition.committed_leader_epoch)
            .with_metadata(Some(partition.metadata))
            .with_error_code(partition.error_code)
    });
    OffsetFetchResponseTopic::default().with_name(TopicName(topic.name)).with_partitions(partitions.collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;

    #[test]
    fn version_10_names_topics_by_their_ids_and_null_means_all() {
        let mut body = vec![3];
        // The group "g" with a member "m" of epoch 4 asks about partitions 1 and 2 of a topic.
        body.extend_from_slice(b"\x02g\x02m\0\0\0\x04\x02");
        body.extend_from_slice(&[9; 16]);
        body.extend_from_slice(b"\x03\0\0\0\x01\0\0\0\x02\0\0");
        // The group "h" asks about all.
        body.extend_from_slice(b"\x02h\0\xff\xff\xff\xff\0\0");
        body.extend_from_slice(b"\x01\0");
        let mut body = Bytes::from(body);
        let request = OffsetFetchRequest::decode(&mut body, 10).expect("a whole request");
        assert!(body.is_empty() && request.require_stable);
        let [first, second] = &request.groups[..] else { panic!("{request:?}") };
        let topics = first.topics.as_ref().expect("named topics");
        assert_eq!((first.member_id.as_deref(), first.member_epoch), (Some("m"), 4));
        assert_eq!(
            (topics[0].topic_id, &topics[0].partition_indexes[..]),
            (Uuid::from_bytes([9; 16]), &[1, 2][..])
        );
        assert_eq!((second.member_id.as_deref(), second.topics.as_ref()), (None, None));
    }

    #[test]
    fn every_cut_of_a_request_is_refused() {
        let mut body = b"\x02\x02g\x02m\0\0\0\x04\x02".to_vec();
        body.extend_from_slice(&[9; 16]);
        body.extend_from_slice(b"\x03\0\0\0\x01\0\0\0\x02\0\0\x01\0");
        let whole = Bytes::from(body);
        assert!(OffsetFetchRequest::decode(&mut whole.clone(), 10).is_ok());
        for length in 0..whole.len() {
            assert!(OffsetFetchRequest::decode(&mut whole.slice(..length), 10).is_err(), "{length}");
        }
        for place in 0..whole.len() {
            let mut changed = whole.to_vec();
            changed[place] = 0xff;
            // Whatever it makes of them, it neither panics nor asks for memory that the bytes do not bear out.
            drop(OffsetFetchRequest::decode(&mut Bytes::from(changed), 10));
        }
    }
}
