//! The bytes of a request while it is decoded, with a bound on how often they are read.
//!
//! Decoded, an element that takes one byte on the wire can take a hundred bytes of memory, so a frame that is within
//! its limit is not enough. Every element costs at least one read here, and elements with many fields more; so the
//! number of reads bounds the memory, for every message, without a look at its schema. Reading a slice (the records of
//! a batch, a string) is one read, whatever its length, and copies nothing.

use bytes::{Buf, Bytes};
use kafka_protocol::protocol::buf::ByteBuf;
use std::ops::Range;

/// A buffer that is empty once it was read too often, which every decoder takes for a message that is cut off.
#[derive(Debug)]
pub struct BoundedBuffer {
    bytes: Bytes,
    reads_left: usize,
}

impl BoundedBuffer {
    /// A buffer over `bytes` that may be read `reads_max` times.
    #[must_use]
    pub fn new(bytes: Bytes, reads_max: usize) -> Self {
        Self { bytes, reads_left: reads_max }
    }

    /// Whether it was read as often as it may be.
    #[must_use]
    pub fn is_exhausted(&self) -> bool {
        self.reads_left == 0
    }

    fn count(&mut self) {
        self.reads_left = self.reads_left.saturating_sub(1);
    }
}

impl Buf for BoundedBuffer {
    fn remaining(&self) -> usize {
        if self.is_exhausted() { 0 } else { self.bytes.len() }
    }

    fn chunk(&self) -> &[u8] {
        if self.is_exhausted() { &[] } else { &self.bytes }
    }

    fn advance(&mut self, count: usize) {
        self.bytes.advance(count);
        self.count();
    }
}

impl ByteBuf for BoundedBuffer {
    fn peek_bytes(&mut self, range: Range<usize>) -> Bytes {
        self.bytes.slice(range)
    }

    fn get_bytes(&mut self, size: usize) -> Bytes {
        self.count();
        self.bytes.split_to(size)
    }
}

#[cfg(test)]
mod tests {
    use super::BoundedBuffer;
    use bytes::{Bytes, BytesMut};
    use kafka_protocol::messages::metadata_request::MetadataRequestTopic;
    use kafka_protocol::messages::{MetadataRequest, ProduceRequest, TopicName};
    use kafka_protocol::protocol::{Decodable, Encodable, StrBytes};

    fn metadata_of(topics: usize) -> Bytes {
        let topic =
            MetadataRequestTopic::default().with_name(Some(TopicName(StrBytes::from_static_str("t"))));
        let request = MetadataRequest::default().with_topics(Some(vec![topic; topics]));
        let mut bytes = BytesMut::new();
        request.encode(&mut bytes, 12).expect("the fields exist in this version");
        bytes.freeze()
    }

    #[test]
    fn a_message_within_the_bound_decodes_as_from_plain_bytes() {
        let bytes = metadata_of(100);
        let expected = MetadataRequest::decode(&mut bytes.clone(), 12).expect("a whole request");
        let mut bounded = BoundedBuffer::new(bytes, 1000);
        assert_eq!(MetadataRequest::decode(&mut bounded, 12).expect("a whole request"), expected);
    }

    #[test]
    fn a_message_of_too_many_elements_does_not_decode() {
        let mut bounded = BoundedBuffer::new(metadata_of(1000), 1000);
        assert!(MetadataRequest::decode(&mut bounded, 12).is_err());
        assert!(bounded.is_exhausted());
    }

    #[test]
    fn the_smallest_elements_and_unknown_tagged_fields_are_counted() {
        // Version 9: a null transactional id, acks, a timeout, and a million empty topics of three bytes each.
        let mut topics = BytesMut::from(&b"\0\0\x01\0\0\0\0\xc1\x84\x3d"[..]);
        topics.extend_from_slice(&[1, 1, 0].repeat(1_000_000));
        let mut bounded = BoundedBuffer::new(topics.freeze(), 1000);
        assert!(ProduceRequest::decode(&mut bounded, 9).is_err());

        // The same with no topic and 100,000 empty tagged fields.
        let mut tagged = BytesMut::from(&b"\0\0\x01\0\0\0\0\x01\xa0\x8d\x06"[..]);
        for _ in 0..100_000 {
            tagged.extend_from_slice(&[7, 0]);
        }
        let mut bounded = BoundedBuffer::new(tagged.freeze(), 1000);
        assert!(ProduceRequest::decode(&mut bounded, 9).is_err());
        assert!(bounded.is_exhausted());
    }
}
