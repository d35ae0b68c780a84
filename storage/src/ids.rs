//! The identifiers of Kafka's data model, one type for each meaning.
//!
//! Every other crate takes them from here. They are plain numbers on the wire and on disk; the types exist so that
//! two of them cannot be swapped.

use serde::{Deserialize, Serialize};
use std::fmt;

macro_rules! integer_id {
    ($(#[$doc:meta])* $name:ident($inner:ty)) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
        pub struct $name(pub $inner);

        impl fmt::Display for $name {
            fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(&self.0, formatter)
            }
        }
    };
}

integer_id!(
    /// The position of a record in a partition, counted in records from 0.
    Offset(i64)
);
integer_id!(
    /// How often a partition has had a new leader; grows with every election. Source: KIP-101.
    LeaderEpoch(i32)
);
integer_id!(
    /// How often a partition's replica state (leader, ISR, assignment) has changed. Source: KIP-497.
    PartitionEpoch(i32)
);
integer_id!(
    /// The number of a partition within its topic, from 0.
    PartitionIndex(i32)
);
integer_id!(
    /// A node's configured `node.id`.
    BrokerId(i32)
);
integer_id!(
    /// One run of one node: a new one at every start. Source: KIP-380.
    BrokerEpoch(i64)
);
integer_id!(
    /// The identity of an idempotent or transactional producer. Source: KIP-98.
    ProducerId(i64)
);
integer_id!(
    /// Fences older instances of the same producer id. Source: KIP-98.
    ProducerEpoch(i16)
);
integer_id!(
    /// The number of a record among those that one producer wrote to one partition; wraps from 2^31-1 to 0.
    Sequence(i32)
);
integer_id!(
    /// Milliseconds since the Unix epoch; -1 where Kafka says "no timestamp".
    TimestampMs(i64)
);

impl Offset {
    /// The offset `count` records further on.
    #[must_use]
    pub fn plus(self, count: i64) -> Self {
        Self(self.0 + count)
    }
}

impl Sequence {
    /// The number of the next record: 0 after 2^31-1, and after "no sequence".
    #[must_use]
    pub fn next(self) -> Self {
        Self(self.0.wrapping_add(1) & i32::MAX)
    }
}

impl LeaderEpoch {
    /// "No epoch", as the wire writes it.
    pub const NONE: Self = Self(-1);
}

impl ProducerId {
    /// "No producer id", as the wire writes it: the batch is not idempotent.
    pub const NONE: Self = Self(-1);
}

impl ProducerEpoch {
    /// "No producer epoch", as the wire writes it.
    pub const NONE: Self = Self(-1);
}

impl TimestampMs {
    /// "No timestamp", as the wire writes it.
    pub const NONE: Self = Self(-1);
}

/// The identity of one life of a topic: a topic that is deleted and created again gets a new one. Source: KIP-516.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
pub struct TopicId(pub uuid::Uuid);

impl TopicId {
    /// "No topic id", as the wire writes it.
    pub const ZERO: Self = Self(uuid::Uuid::nil());

    /// The id from its 16 bytes, most significant first.
    #[must_use]
    pub fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(uuid::Uuid::from_bytes(bytes))
    }

    /// Kafka's text form (base64url without padding, 22 characters), or `None` where `text` is none.
    /// Source: `org.apache.kafka.common.Uuid.fromString`.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        base64url::decode_16(text).map(Self::from_bytes)
    }
}

impl fmt::Display for TopicId {
    /// Kafka's text form: base64url without padding. Source: `org.apache.kafka.common.Uuid.toString`.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&base64url::encode_16(self.0.as_bytes()))
    }
}

impl fmt::Debug for TopicId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "TopicId({self})")
    }
}

/// A partition by the name of its topic.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct TopicPartition {
    /// The topic's name.
    pub topic: String,
    /// The partition's number within it.
    pub partition: PartitionIndex,
}

impl TopicPartition {
    /// A partition of `topic`.
    #[must_use]
    pub fn new(topic: impl Into<String>, partition: i32) -> Self {
        Self { topic: topic.into(), partition: PartitionIndex(partition) }
    }
}

impl fmt::Display for TopicPartition {
    /// `topic-partition`, which is also the name of the partition's directory.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}-{}", self.topic, self.partition)
    }
}

/// Base64url of 16 bytes without padding: the text form of Kafka's UUIDs, small enough not to need a crate.
mod base64url {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    /// 16 bytes are 21 digits of 6 bits and one of 2 bits.
    const DIGITS: u32 = 22;

    pub(super) fn encode_16(bytes: &[u8; 16]) -> String {
        let number = u128::from_be_bytes(*bytes);
        (0..DIGITS)
            .map(|digit| {
                let six_bits = match 122u32.checked_sub(digit * 6) {
                    Some(shift) => (number >> shift) & 63,
                    None => (number << 4) & 63,
                };
                char::from(ALPHABET.get(six_bits as usize).copied().unwrap_or(b'A'))
            })
            .collect()
    }

    pub(super) fn decode_16(text: &str) -> Option<[u8; 16]> {
        if text.len() != DIGITS as usize {
            return None;
        }
        let mut number: u128 = 0;
        for (digit, character) in text.bytes().enumerate() {
            let six_bits = ALPHABET.iter().position(|&letter| letter == character)? as u128;
            if digit + 1 < DIGITS as usize {
                number = (number << 6) | six_bits;
            } else if six_bits & 15 == 0 {
                number = (number << 2) | (six_bits >> 4);
            } else {
                return None;
            }
        }
        Some(number.to_be_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::TopicId;

    #[test]
    fn topic_id_has_the_text_form_of_kafkas_uuid() {
        // From org.apache.kafka.common.Uuid: METADATA_TOPIC_ID is (0, 1).
        let mut bytes = [0; 16];
        bytes[15] = 1;
        assert_eq!(TopicId::from_bytes(bytes).to_string(), "AAAAAAAAAAAAAAAAAAAAAQ");
        assert_eq!(TopicId::parse("AAAAAAAAAAAAAAAAAAAAAQ"), Some(TopicId::from_bytes(bytes)));
    }

    #[test]
    fn topic_id_survives_its_text_form() {
        let id = TopicId::from_bytes(*b"0123456789abcdef");
        assert_eq!(TopicId::parse(&id.to_string()), Some(id));
        for wrong in ["", "AAAA", "AAAAAAAAAAAAAAAAAAAAA!", "AAAAAAAAAAAAAAAAAAAAAB"] {
            assert_eq!(TopicId::parse(wrong), None, "{wrong}");
        }
    }
}
