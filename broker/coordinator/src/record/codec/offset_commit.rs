//! The value of a committed offset, types 0 (version 0 only) and 1.
//!
//! ```text
//!                         version  0   1   2   3   4, flexible
//! offset            i64            x   x   x   x   x
//! leader_epoch      i32                        x   x   -1: unknown
//! metadata          string         x   x   x   x   x
//! commit_timestamp  i64            x   x   x   x   x
//! expire_timestamp  i64                x               -1: after offsets.retention.minutes, as in every other version
//! tag 0: topic_id   uuid                           x   missing: unknown
//! ```
//!
//! Written is version 1 where the client chose when the offset expires (that one forgets the leader epoch and the topic id),
//! 4 where there is a topic id, else 3: lag monitors that read the topic themselves (Burrow) know no later one.
//! Source: `OffsetCommitValue.json`, `LegacyOffsetCommitValue.json`.

use storage::ids::{LeaderEpoch, Offset, TimestampMs, TopicId};

use super::{CodecError, Reader, Writer};
use crate::record::OffsetCommitValue;

pub(super) fn encode(value: &OffsetCommitValue) -> Writer {
    match value.expire_timestamp {
        Some(expire_timestamp) => encode_with_expiry(value, expire_timestamp),
        None if value.topic_id == TopicId::ZERO => encode_without_topic_id(value),
        None => encode_with_topic_id(value),
    }
}

fn encode_without_topic_id(value: &OffsetCommitValue) -> Writer {
    let mut writer = Writer::inflexible();
    writer.i16(3);
    writer.i64(value.offset.0);
    writer.i32(value.leader_epoch.0);
    writer.string("metadata", &value.metadata);
    writer.i64(value.commit_timestamp.0);
    writer
}

fn encode_with_topic_id(value: &OffsetCommitValue) -> Writer {
    let mut writer = Writer::flexible();
    writer.i16(4);
    writer.i64(value.offset.0);
    writer.i32(value.leader_epoch.0);
    writer.string("metadata", &value.metadata);
    writer.i64(value.commit_timestamp.0);
    let topic_id = value.topic_id;
    writer.tag_0(Some(|writer: &mut Writer| writer.topic_id(topic_id)));
    writer
}

fn encode_with_expiry(value: &OffsetCommitValue, expire_timestamp: TimestampMs) -> Writer {
    let mut writer = Writer::inflexible();
    writer.i16(1);
    writer.i64(value.offset.0);
    writer.string("metadata", &value.metadata);
    writer.i64(value.commit_timestamp.0);
    writer.i64(expire_timestamp.0);
    writer
}

pub(super) fn decode((version, reader): (i16, &mut Reader<'_>)) -> Result<OffsetCommitValue, CodecError> {
    let offset = Offset(reader.i64("offset")?);
    let leader_epoch =
        if version >= 3 { LeaderEpoch(reader.i32("leader_epoch")?) } else { LeaderEpoch::NONE };
    let metadata = reader.string("metadata")?;
    let commit_timestamp = TimestampMs(reader.i64("commit_timestamp")?);
    let expire_timestamp =
        if version == 1 { TimestampMs(reader.i64("expire_timestamp")?) } else { TimestampMs::NONE };
    let mut topic_id = TopicId::ZERO;
    reader.tags(|tag, field| {
        if tag == 0 {
            topic_id = field.topic_id()?;
        }
        Ok(())
    })?;
    let expire_timestamp = (expire_timestamp != TimestampMs::NONE).then_some(expire_timestamp);
    Ok(OffsetCommitValue { offset, leader_epoch, metadata, commit_timestamp, expire_timestamp, topic_id })
}
