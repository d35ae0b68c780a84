//! Fetch's response, encoded without copying a record.
//!
//! The crate's encoder needs one contiguous buffer and copies each partition's records into it. Here each partition
//! is encoded by the crate with empty records, whose length is then replaced by the true one, and the records follow
//! as a piece of their own. The tests hold every version against the crate's own encoding.

use super::compact::put_unsigned_varint;
use super::response::{EncodeError, FrameBuilder};
use bytes::{BufMut, Bytes, BytesMut};
use kafka_protocol::messages::FetchResponse;
use kafka_protocol::messages::fetch_response::{FetchableTopicResponse, PartitionData};
use kafka_protocol::protocol::Encodable;

/// The first version with compact lengths and tagged fields. Source: `FetchResponse.json`.
const FLEXIBLE_SINCE: i16 = 12;
/// The first version that names topics by their ids. Source: KIP-516.
const TOPIC_IDS_SINCE: i16 = 13;

/// Writes `response` in `version` to `frame`.
///
/// # Errors
/// When a field is set that `version` does not have.
pub fn put_fetch_response(
    frame: &mut FrameBuilder,
    mut response: FetchResponse,
    version: i16,
) -> Result<(), EncodeError> {
    let topics = std::mem::take(&mut response.responses);
    let mut shell = BytesMut::new();
    encode(&response, &mut shell, version)?;
    // With no topics, the shell is its fixed fields, the empty array's length, and then the tagged fields.
    let fixed_fields = if version >= 7 { 10 } else { 4 };
    let (before, after) = shell.split_at_checked(fixed_fields).ok_or_else(|| too_short(version))?;
    let (_length, tagged_fields) =
        after.split_at_checked(array_length_size(version)).ok_or_else(|| too_short(version))?;
    frame.tail().put_slice(before);
    put_array_length(frame.tail(), topics.len(), version);
    for topic in topics {
        put_topic(frame, topic, version)?;
    }
    frame.tail().put_slice(tagged_fields);
    Ok(())
}

fn put_topic(
    frame: &mut FrameBuilder,
    mut topic: FetchableTopicResponse,
    version: i16,
) -> Result<(), EncodeError> {
    let partitions = std::mem::take(&mut topic.partitions);
    if version >= TOPIC_IDS_SINCE {
        frame.tail().put_slice(topic.topic_id.as_bytes());
    } else if version >= FLEXIBLE_SINCE {
        put_unsigned_varint(frame.tail(), topic.topic.len() + 1);
        frame.tail().put_slice(topic.topic.as_bytes());
    } else {
        let length = i16::try_from(topic.topic.len())
            .map_err(|_| EncodeError { version, reason: "a topic's name is too long".to_owned() })?;
        frame.tail().put_i16(length);
        frame.tail().put_slice(topic.topic.as_bytes());
    }
    put_array_length(frame.tail(), partitions.len(), version);
    for partition in partitions {
        put_partition(frame, partition, version)?;
    }
    if version >= FLEXIBLE_SINCE {
        frame.tail().put_u8(0);
    }
    Ok(())
}

fn put_partition(
    frame: &mut FrameBuilder,
    mut partition: PartitionData,
    version: i16,
) -> Result<(), EncodeError> {
    let records = partition.records.replace(Bytes::new()).unwrap_or_default();
    encode(&partition, frame.tail(), version)?;
    if records.is_empty() {
        return Ok(());
    }
    let tail = frame.tail();
    if version >= FLEXIBLE_SINCE {
        // Ends in the compact length of empty records (1) and the number of tagged fields (0).
        let kept = tail.len().saturating_sub(2);
        assert_eq!(tail.get(kept..), Some(&[1, 0][..]), "only an answer without records has tagged fields");
        tail.truncate(kept);
        put_unsigned_varint(tail, records.len() + 1);
        frame.put_records(records);
        frame.tail().put_u8(0);
    } else {
        tail.truncate(tail.len().saturating_sub(4));
        let length = i32::try_from(records.len())
            .map_err(|_| EncodeError { version, reason: "records over 2 GiB".to_owned() })?;
        tail.put_i32(length);
        frame.put_records(records);
    }
    Ok(())
}

fn encode<M: Encodable>(message: &M, buffer: &mut BytesMut, version: i16) -> Result<(), EncodeError> {
    message.encode(buffer, version).map_err(|error| EncodeError { version, reason: error.to_string() })
}

fn too_short(version: i16) -> EncodeError {
    EncodeError { version, reason: "the encoder wrote less than the fixed fields".to_owned() }
}

fn array_length_size(version: i16) -> usize {
    if version >= FLEXIBLE_SINCE { 1 } else { 4 }
}

fn put_array_length(buffer: &mut BytesMut, length: usize, version: i16) {
    if version >= FLEXIBLE_SINCE {
        put_unsigned_varint(buffer, length + 1);
    } else {
        buffer.put_i32(i32::try_from(length).expect("a response holds no more elements than its request"));
    }
}

#[cfg(test)]
mod tests {
    use super::put_fetch_response;
    use crate::wire::response::FrameBuilder;
    use bytes::{Bytes, BytesMut};
    use kafka_protocol::messages::fetch_response::{
        AbortedTransaction, EpochEndOffset, FetchableTopicResponse, LeaderIdAndEpoch, NodeEndpoint,
        PartitionData,
    };
    use kafka_protocol::messages::{BrokerId, FetchResponse, ProducerId, TopicName};
    use kafka_protocol::protocol::{Encodable, StrBytes};

    fn partition(index: i32, records: Bytes) -> PartitionData {
        PartitionData::default()
            .with_partition_index(index)
            .with_high_watermark(77)
            .with_last_stable_offset(76)
            .with_aborted_transactions(Some(vec![
                AbortedTransaction::default().with_producer_id(ProducerId(5)).with_first_offset(9),
            ]))
            .with_records(Some(records))
    }

    fn response(version: i16) -> FetchResponse {
        let name = if version <= 12 { "orders" } else { "" };
        let mut diverging = partition(3, Bytes::new()).with_error_code(6);
        if version >= 12 {
            diverging = diverging
                .with_diverging_epoch(EpochEndOffset::default().with_epoch(3).with_end_offset(44))
                .with_current_leader(
                    LeaderIdAndEpoch::default().with_leader_id(BrokerId(2)).with_leader_epoch(4),
                );
        }
        let topic = FetchableTopicResponse::default()
            .with_topic(TopicName(StrBytes::from_static_str(name)))
            .with_topic_id(if version >= 13 { uuid::Uuid::from_u128(7) } else { uuid::Uuid::nil() })
            .with_partitions(vec![
                partition(0, Bytes::from(vec![1; 300])),
                partition(1, Bytes::new()),
                partition(2, Bytes::from(vec![2; 100])),
                diverging,
            ]);
        let mut response =
            FetchResponse::default().with_throttle_time_ms(1).with_responses(vec![topic.clone(), topic]);
        if version >= 7 {
            response = response.with_session_id(8);
        }
        if version >= 16 {
            let node = NodeEndpoint::default()
                .with_node_id(BrokerId(2))
                .with_host(StrBytes::from_static_str("localhost"))
                .with_port(9092);
            response = response.with_node_endpoints(vec![node]);
        }
        response
    }

    #[test]
    fn every_version_has_the_bytes_of_the_flat_encoding() {
        for version in 4..=18 {
            for response in [response(version), FetchResponse::default()] {
                let mut flat = BytesMut::new();
                response.encode(&mut flat, version).expect("the fields exist in this version");
                let mut frame = FrameBuilder::new(9, version >= 12);
                put_fetch_response(&mut frame, response, version).expect("the fields exist in this version");
                let frame = frame.finish(version).expect("small");
                let sent = frame.pieces.concat();
                let header = if version >= 12 { 9 } else { 8 };
                assert_eq!(sent[..4], u32::try_from(sent.len() - 4).expect("small").to_be_bytes());
                assert_eq!(sent[header..], flat[..], "version {version}");
            }
        }
    }

    #[test]
    fn records_are_not_copied() {
        let records = Bytes::from(vec![7; 1000]);
        let topic = FetchableTopicResponse::default().with_partitions(vec![partition(0, records.clone())]);
        let mut frame = FrameBuilder::new(1, true);
        put_fetch_response(&mut frame, FetchResponse::default().with_responses(vec![topic]), 17)
            .expect("the fields exist in this version");
        assert!(
            frame.finish(17).expect("small").pieces.iter().any(|piece| piece.as_ptr() == records.as_ptr())
        );
    }
}
