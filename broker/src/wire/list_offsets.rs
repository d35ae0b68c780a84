//! ListOffsets in version 0, which the crate has dropped with Kafka 4.0.
//!
//! It is not advertised. Lag monitors on an old sarama (Burrow) send it without asking what is served, and know no topic
//! without it. A version 0 answer is a list of offsets; ours has the one that was asked for. Source:
//! `ListOffsetsRequest.json` of Kafka 3.9.

use super::response::{EncodeError, FrameBuilder};
use anyhow::{Context, Result};
use bytes::BufMut;
use kafka_protocol::messages::list_offsets_request::{ListOffsetsPartition, ListOffsetsTopic};
use kafka_protocol::messages::{
    BrokerId, ListOffsetsRequest as RequestOfTheCrate, ListOffsetsResponse as ResponseOfTheCrate, TopicName,
};
use kafka_protocol::protocol::buf::ByteBuf;
use kafka_protocol::protocol::{Decodable, HeaderVersion, StrBytes};

/// The first version that the crate has.
const OF_THE_CRATE_SINCE: i16 = 1;

/// Which offsets are asked for.
#[derive(Clone, Debug)]
pub struct ListOffsetsRequest(pub RequestOfTheCrate);

impl HeaderVersion for ListOffsetsRequest {
    fn header_version(version: i16) -> i16 {
        RequestOfTheCrate::header_version(version.max(OF_THE_CRATE_SINCE))
    }
}

impl Decodable for ListOffsetsRequest {
    fn decode<B: ByteBuf>(buffer: &mut B, version: i16) -> Result<Self> {
        if version >= OF_THE_CRATE_SINCE {
            return RequestOfTheCrate::decode(buffer, version).map(Self);
        }
        let replica_id = BrokerId(int32(buffer)?);
        let topics = list(buffer, topic)?;
        Ok(Self(RequestOfTheCrate::default().with_replica_id(replica_id).with_topics(topics)))
    }
}

fn topic<B: ByteBuf>(buffer: &mut B) -> Result<ListOffsetsTopic> {
    let length = i16::from_be_bytes(buffer.try_get_bytes(2)?.as_ref().try_into()?);
    let length = usize::try_from(length).context("a topic has no name")?;
    let name = TopicName(StrBytes::from_utf8(buffer.try_get_bytes(length)?)?);
    Ok(ListOffsetsTopic::default().with_name(name).with_partitions(list(buffer, partition)?))
}

fn partition<B: ByteBuf>(buffer: &mut B) -> Result<ListOffsetsPartition> {
    let index = int32(buffer)?;
    let timestamp = i64::from_be_bytes(buffer.try_get_bytes(8)?.as_ref().try_into()?);
    let _offsets_max = int32(buffer)?;
    Ok(ListOffsetsPartition::default().with_partition_index(index).with_timestamp(timestamp))
}

fn int32<B: ByteBuf>(buffer: &mut B) -> Result<i32> {
    Ok(i32::from_be_bytes(buffer.try_get_bytes(4)?.as_ref().try_into()?))
}

/// A list. Memory follows the elements that are there, not the count that a peer wrote.
fn list<B: ByteBuf, T>(buffer: &mut B, element: impl Fn(&mut B) -> Result<T>) -> Result<Vec<T>> {
    let mut elements = Vec::new();
    for _ in 0..int32(buffer)? {
        elements.push(element(buffer)?);
    }
    Ok(elements)
}

/// Writes `response` in `version` to `frame`.
///
/// # Errors
/// When the response cannot be written in that version.
pub fn put_response(
    frame: &mut FrameBuilder,
    response: &ResponseOfTheCrate,
    version: i16,
) -> Result<(), EncodeError> {
    if version >= OF_THE_CRATE_SINCE {
        return frame.put_message(response, version);
    }
    let buffer = frame.tail();
    buffer.put_i32(response.topics.len() as i32);
    for topic in &response.topics {
        buffer.put_i16(topic.name.len() as i16);
        buffer.put_slice(topic.name.as_bytes());
        buffer.put_i32(topic.partitions.len() as i32);
        for partition in &topic.partitions {
            buffer.put_i32(partition.partition_index);
            buffer.put_i16(partition.error_code);
            let found = (partition.offset >= 0).then_some(partition.offset);
            buffer.put_i32(i32::from(found.is_some()));
            if let Some(offset) = found {
                buffer.put_i64(offset);
            }
        }
    }
    Ok(())
}

/// Whether the header of a response in `version` has tagged fields.
#[must_use]
pub fn is_flexible(version: i16) -> bool {
    ResponseOfTheCrate::header_version(version.max(OF_THE_CRATE_SINCE)) >= 1
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;

    #[test]
    fn version_0_asks_for_a_number_of_offsets() {
        let mut body = Bytes::from_static(
            b"\xff\xff\xff\xff\0\0\0\x01\0\x03abc\0\0\0\x01\0\0\0\x07\xff\xff\xff\xff\xff\xff\xff\xff\0\0\0\x01",
        );
        let request = ListOffsetsRequest::decode(&mut body, 0).expect("a whole request").0;
        assert!(body.is_empty());
        let topic = &request.topics[0];
        let partition = &topic.partitions[0];
        assert_eq!((topic.name.as_str(), partition.partition_index, partition.timestamp), ("abc", 7, -1));
    }

    #[test]
    fn a_count_that_a_peer_made_up_takes_no_memory() {
        let mut body = Bytes::from_static(b"\xff\xff\xff\xff\x7f\xff\xff\xff");
        assert!(ListOffsetsRequest::decode(&mut body, 0).is_err());
    }
}
