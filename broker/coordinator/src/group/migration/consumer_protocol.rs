//! What consumers of the classic protocol say to each other inside of it: what they subscribe to, and what they are
//! assigned. The broker reads it where such members are in a consumer group.
//!
//! ```text
//!   subscription: version: i16
//!                 topics: i32 count, then each i16 length and UTF-8
//!                 user data: i32 length (-1: none) and bytes
//!            1+   owned: i32 count, then each the topic, i32 count and partitions of i32
//!            2+   generation: i32
//!            3+   rack: i16 length (-1: none) and UTF-8
//!   assignment:   version: i16
//!                 assigned: as owned
//!                 user data: as above
//! ```
//!
//! Versions beyond the last known are read as the last: they only add to the end.
//! Source: ConsumerProtocol.java, ConsumerProtocolSubscription.json, ConsumerProtocolAssignment.json.

#[cfg(test)]
mod tests;

use std::sync::Arc;

use bytes::{Buf, BufMut, Bytes, BytesMut};
use storage::ids::PartitionIndex;

/// The last version that is known.
const VERSION_MAX: i16 = 3;

/// Partitions of a topic, by its name.
pub(crate) type NamedPartitions = (Arc<str>, Vec<PartitionIndex>);

/// The bytes are not what they should be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the embedded consumer protocol is malformed")]
pub(crate) struct Malformed;

impl From<bytes::TryGetError> for Malformed {
    fn from(_: bytes::TryGetError) -> Self {
        Self
    }
}

/// What a member subscribes to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Subscription {
    /// The topics that it names.
    pub(crate) topics: Vec<Arc<str>>,
    /// What it owns, as far as it says.
    pub(crate) owned: Vec<NamedPartitions>,
    /// Its rack.
    pub(crate) rack_id: Option<Arc<str>>,
}

/// What a member is assigned.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Assignment {
    /// The partitions.
    pub(crate) partitions: Vec<NamedPartitions>,
    /// Whether a custom assignor says more, which the broker cannot keep.
    pub(crate) has_user_data: bool,
}

impl Subscription {
    /// Reads a subscription.
    pub(crate) fn read(mut bytes: &[u8]) -> Result<Self, Malformed> {
        let version = version(&mut bytes)?;
        let count = length(bytes.try_get_i32()?)?;
        let mut topics = Vec::new();
        for _ in 0..count {
            topics.push(text(&mut bytes)?);
        }
        skip_user_data(&mut bytes)?;
        let owned = if version >= 1 { named_partitions(&mut bytes)? } else { Vec::new() };
        if version >= 2 {
            bytes.try_get_i32()?;
        }
        let rack_id = if version >= 3 { nullable_text(&mut bytes)? } else { None };
        Ok(Self { topics, owned, rack_id: rack_id.filter(|rack_id| !rack_id.is_empty()) })
    }
}

impl Assignment {
    /// Reads an assignment. Who has none has no bytes.
    pub(crate) fn read(mut bytes: &[u8]) -> Result<Self, Malformed> {
        if bytes.is_empty() {
            return Ok(Self::default());
        }
        version(&mut bytes)?;
        let partitions = named_partitions(&mut bytes)?;
        let has_user_data = skip_user_data(&mut bytes)? > 0;
        Ok(Self { partitions, has_user_data })
    }

    /// Writes an assignment for a member that subscribed with these bytes: in the version that it knows.
    pub(crate) fn write(partitions: &[NamedPartitions], mut subscription: &[u8]) -> Result<Bytes, Malformed> {
        let mut bytes = BytesMut::new();
        bytes.put_i16(version(&mut subscription)?.min(VERSION_MAX));
        bytes.put_i32(i32::try_from(partitions.len()).map_err(|_| Malformed)?);
        for (topic, partitions) in partitions {
            bytes.put_i16(i16::try_from(topic.len()).map_err(|_| Malformed)?);
            bytes.put_slice(topic.as_bytes());
            bytes.put_i32(i32::try_from(partitions.len()).map_err(|_| Malformed)?);
            partitions.iter().for_each(|partition| bytes.put_i32(partition.0));
        }
        bytes.put_i32(-1);
        Ok(bytes.freeze())
    }
}

/// What a consumer says that subscribes to these topics, in version 0.
#[cfg(test)]
pub(crate) fn subscription_bytes(topics: &[Arc<str>]) -> Bytes {
    let mut bytes = BytesMut::new();
    bytes.put_i16(0);
    bytes.put_i32(i32::try_from(topics.len()).expect("few topics"));
    for topic in topics {
        bytes.put_i16(i16::try_from(topic.len()).expect("a short name"));
        bytes.put_slice(topic.as_bytes());
    }
    bytes.put_i32(-1);
    bytes.freeze()
}

fn version(bytes: &mut &[u8]) -> Result<i16, Malformed> {
    let version = bytes.try_get_i16()?;
    if version < 0 { Err(Malformed) } else { Ok(version) }
}

fn length(length: i32) -> Result<usize, Malformed> {
    usize::try_from(length).map_err(|_| Malformed)
}

fn take<'a>(bytes: &mut &'a [u8], length: usize) -> Result<&'a [u8], Malformed> {
    let (taken, rest) = bytes.split_at_checked(length).ok_or(Malformed)?;
    *bytes = rest;
    Ok(taken)
}

fn nullable_text(bytes: &mut &[u8]) -> Result<Option<Arc<str>>, Malformed> {
    let length = bytes.try_get_i16()?;
    if length == -1 {
        return Ok(None);
    }
    let text = take(bytes, usize::try_from(length).map_err(|_| Malformed)?)?;
    std::str::from_utf8(text).map(|text| Some(text.into())).map_err(|_| Malformed)
}

fn text(bytes: &mut &[u8]) -> Result<Arc<str>, Malformed> {
    nullable_text(bytes)?.ok_or(Malformed)
}

/// How many bytes were skipped.
fn skip_user_data(bytes: &mut &[u8]) -> Result<usize, Malformed> {
    let count = bytes.try_get_i32()?;
    if count == -1 {
        return Ok(0);
    }
    take(bytes, length(count)?).map(<[u8]>::len)
}

fn named_partitions(bytes: &mut &[u8]) -> Result<Vec<NamedPartitions>, Malformed> {
    let count = length(bytes.try_get_i32()?)?;
    let mut topics = Vec::new();
    for _ in 0..count {
        let topic = text(bytes)?;
        let count = length(bytes.try_get_i32()?)?;
        let mut partitions = take(bytes, count.checked_mul(4).ok_or(Malformed)?)?;
        let mut indexes = Vec::with_capacity(count);
        while partitions.has_remaining() {
            indexes.push(PartitionIndex(partitions.try_get_i32()?));
        }
        topics.push((topic, indexes));
    }
    Ok(topics)
}
