//! OffsetCommit's request and response, whose version 10 (topic ids, Kafka 4.2) the crate does not have.
//!
//! Version 10 names a topic by its id alone, earlier ones by its name alone. Source: KIP-848, `OffsetCommitRequest.json`.

use super::compact::{
    int32, int64, list, nullable_string, put_list_length, put_no_tagged_fields, skip_tagged_fields, string,
    uuid,
};
use super::response::{EncodeError, FrameBuilder};
use anyhow::Result;
use bytes::BufMut;
use kafka_protocol::messages::offset_commit_response::{
    OffsetCommitResponsePartition, OffsetCommitResponseTopic,
};
use kafka_protocol::messages::{
    OffsetCommitRequest as RequestOfTheCrate, OffsetCommitResponse as ResponseOfTheCrate, TopicName,
};
use kafka_protocol::protocol::buf::ByteBuf;
use kafka_protocol::protocol::{Decodable, HeaderVersion, StrBytes};
use uuid::Uuid;

/// The first version that names topics by their ids.
const TOPIC_IDS_SINCE: i16 = 10;

/// How far a group has read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OffsetCommitRequest {
    /// The group.
    pub group_id: StrBytes,
    /// The generation or the member's epoch; -1 where who commits is no member.
    pub generation_id_or_member_epoch: i32,
    /// The member; empty where who commits is none.
    pub member_id: StrBytes,
    /// The name that the member keeps, where it is static.
    pub group_instance_id: Option<StrBytes>,
    /// How long to keep the offsets, in milliseconds; -1 for as long as the broker does. Only up to version 4.
    pub retention_time_ms: i64,
    /// The offsets.
    pub topics: Vec<CommittedTopic>,
}

/// The offsets of a topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CommittedTopic {
    /// The name; empty from version 10 on.
    pub name: StrBytes,
    /// The id; nil below version 10.
    pub topic_id: Uuid,
    /// The offsets by partition.
    pub partitions: Vec<CommittedPartition>,
}

/// The offset of a partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CommittedPartition {
    /// The partition.
    pub partition_index: i32,
    /// The next offset to read.
    pub committed_offset: i64,
    /// The leader epoch of the last record read; -1 where it is not known.
    pub committed_leader_epoch: i32,
    /// What the client wants kept beside it.
    pub committed_metadata: Option<StrBytes>,
}

impl HeaderVersion for OffsetCommitRequest {
    fn header_version(version: i16) -> i16 {
        RequestOfTheCrate::header_version(version.min(9))
    }
}

impl Decodable for OffsetCommitRequest {
    fn decode<B: ByteBuf>(buffer: &mut B, version: i16) -> Result<Self> {
        if version < TOPIC_IDS_SINCE {
            return Ok(RequestOfTheCrate::decode(buffer, version)?.into());
        }
        let group_id = string(buffer)?;
        let generation_id_or_member_epoch = int32(buffer)?;
        let member_id = string(buffer)?;
        let group_instance_id = nullable_string(buffer)?;
        let topics = list(buffer, topic)?;
        skip_tagged_fields(buffer)?;
        let retention_time_ms = -1;
        Ok(Self {
            group_id,
            generation_id_or_member_epoch,
            member_id,
            group_instance_id,
            retention_time_ms,
            topics,
        })
    }
}

fn topic<B: ByteBuf>(buffer: &mut B) -> Result<CommittedTopic> {
    let topic_id = uuid(buffer)?;
    let partitions = list(buffer, partition)?;
    skip_tagged_fields(buffer)?;
    Ok(CommittedTopic { name: StrBytes::default(), topic_id, partitions })
}

fn partition<B: ByteBuf>(buffer: &mut B) -> Result<CommittedPartition> {
    let read = CommittedPartition {
        partition_index: int32(buffer)?,
        committed_offset: int64(buffer)?,
        committed_leader_epoch: int32(buffer)?,
        committed_metadata: nullable_string(buffer)?,
    };
    skip_tagged_fields(buffer)?;
    Ok(read)
}

impl From<RequestOfTheCrate> for OffsetCommitRequest {
    fn from(request: RequestOfTheCrate) -> Self {
        Self {
            group_id: request.group_id.0,
            generation_id_or_member_epoch: request.generation_id_or_member_epoch,
            member_id: request.member_id,
            group_instance_id: request.group_instance_id,
            retention_time_ms: request.retention_time_ms,
            topics: request
                .topics
                .into_iter()
                .map(|topic| CommittedTopic {
                    name: topic.name.0,
                    topic_id: Uuid::nil(),
                    partitions: topic
                        .partitions
                        .into_iter()
                        .map(|partition| CommittedPartition {
                            partition_index: partition.partition_index,
                            committed_offset: partition.committed_offset,
                            committed_leader_epoch: partition.committed_leader_epoch,
                            committed_metadata: partition.committed_metadata,
                        })
                        .collect(),
                })
                .collect(),
        }
    }
}

/// What became of each offset, topic by topic in the order of the request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OffsetCommitResponse {
    /// The topics.
    pub topics: Vec<AnsweredTopic>,
    /// For how long the client is to keep quiet; not written below version 3.
    pub throttle_time_ms: i32,
}

/// What became of the offsets of a topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AnsweredTopic {
    /// The name; not written from version 10 on.
    pub name: StrBytes,
    /// The id; not written below version 10.
    pub topic_id: Uuid,
    /// Each partition with its error code.
    pub partitions: Vec<(i32, i16)>,
}

/// Writes `response` in `version` to `frame`.
///
/// # Errors
/// When the response cannot be written in that version.
pub fn put_response(
    frame: &mut FrameBuilder,
    response: OffsetCommitResponse,
    version: i16,
) -> Result<(), EncodeError> {
    if version < TOPIC_IDS_SINCE {
        return frame.put_message(&ResponseOfTheCrate::from(response), version);
    }
    let buffer = frame.tail();
    buffer.put_i32(response.throttle_time_ms);
    put_list_length(buffer, response.topics.len());
    for topic in response.topics {
        buffer.put_slice(topic.topic_id.as_bytes());
        put_list_length(buffer, topic.partitions.len());
        for (partition, code) in topic.partitions {
            buffer.put_i32(partition);
            buffer.put_i16(code);
            put_no_tagged_fields(buffer);
        }
        put_no_tagged_fields(buffer);
    }
    put_no_tagged_fields(buffer);
    Ok(())
}

/// Whether the header of a response in `version` has tagged fields.
#[must_use]
pub fn is_flexible(version: i16) -> bool {
    ResponseOfTheCrate::header_version(version.min(9)) >= 1
}

impl From<OffsetCommitResponse> for ResponseOfTheCrate {
    fn from(response: OffsetCommitResponse) -> Self {
        let partition = |(index, code)| {
            OffsetCommitResponsePartition::default().with_partition_index(index).with_error_code(code)
        };
        let topic = |topic: AnsweredTopic| {
            OffsetCommitResponseTopic::default()
                .with_name(TopicName(topic.name))
                .with_partitions(topic.partitions.into_iter().map(partition).collect())
        };
        Self::default()
            .with_throttle_time_ms(response.throttle_time_ms)
            .with_topics(response.topics.into_iter().map(topic).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;

    #[test]
    fn version_10_names_topics_by_their_ids() {
        let mut body = BytesOf::default()
            .text("group")
            .int(&7i32.to_be_bytes())
            .text("member")
            .int(&[0])
            .int(&[2])
            .int(&[9; 16])
            .int(&[2])
            .int(&3i32.to_be_bytes())
            .int(&42i64.to_be_bytes())
            .int(&(-1i32).to_be_bytes())
            .text("note")
            // Of the partition, the topic and the request; the last has one that nobody knows.
            .int(&[0, 0, 1, 5, 1, 0])
            .finish();
        let request = OffsetCommitRequest::decode(&mut body, 10).expect("a whole request");
        assert!(body.is_empty());
        let topic = &request.topics[0];
        assert_eq!((request.member_id.as_str(), request.generation_id_or_member_epoch), ("member", 7));
        assert_eq!((topic.topic_id, topic.name.as_str()), (Uuid::from_bytes([9; 16]), ""));
        let committed = &topic.partitions[0];
        assert_eq!((committed.partition_index, committed.committed_offset), (3, 42));
        assert_eq!(committed.committed_metadata.as_deref(), Some("note"));
    }

    #[test]
    fn every_cut_of_a_request_is_refused() {
        let mut body = b"\x02g\0\0\0\x07\x02m\0\x02".to_vec();
        body.extend_from_slice(&[9; 16]);
        body.extend_from_slice(b"\x02\0\0\0\x03\0\0\0\0\0\0\0\x2a\xff\xff\xff\xff\0\0\0\0");
        let whole = Bytes::from(body);
        assert!(OffsetCommitRequest::decode(&mut whole.clone(), 10).is_ok());
        for length in 0..whole.len() {
            assert!(OffsetCommitRequest::decode(&mut whole.slice(..length), 10).is_err(), "{length}");
        }
        for place in 0..whole.len() {
            let mut changed = whole.to_vec();
            changed[place] = 0xff;
            // Whatever it makes of them, it neither panics nor asks for memory that the bytes do not bear out.
            drop(OffsetCommitRequest::decode(&mut Bytes::from(changed), 10));
        }
    }

    #[derive(Default)]
    struct BytesOf(Vec<u8>);

    impl BytesOf {
        fn text(mut self, text: &str) -> Self {
            self.0.push(u8::try_from(text.len() + 1).expect("a short text"));
            self.0.extend_from_slice(text.as_bytes());
            self
        }

        fn int(mut self, bytes: &[u8]) -> Self {
            self.0.extend_from_slice(bytes);
            self
        }

        fn finish(self) -> Bytes {
            self.0.into()
        }
    }
}
