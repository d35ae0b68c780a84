//! The values that a consumer group has once, or once for each pattern. All of version 0, flexible.
//!
//! ```text
//! type 3, the group                     epoch i32, tag 0: metadata_hash i64 (missing: 0)
//! type 4, its topics (Kafka 4.0)        topics [ ], which nobody reads any more
//! type 6, its target assignment         assignment_epoch i32, tag 0: assignment_timestamp i64 (missing: 0)
//! type 16, a pattern                    topics [string], version i64, timestamp i64
//! ```
//!
//! Source: `ConsumerGroupMetadataValue.json`, `ConsumerGroupPartitionMetadataValue.json`,
//! `ConsumerGroupTargetAssignmentMetadataValue.json`, `ConsumerGroupRegularExpressionValue.json`.

use storage::ids::TimestampMs;

use super::{CodecError, Reader, Writer};
use crate::ids::GroupEpoch;
use crate::record::{
    ConsumerGroupValue, PartitionMetadataValue, RegularExpressionValue, TargetAssignmentMetadataValue,
};

fn begin() -> Writer {
    let mut writer = Writer::flexible();
    writer.i16(0);
    writer
}

/// An epoch, and tag 0 with an integer that is 0 where it is missing: what types 3 and 6 have in common.
fn encode_epoch(epoch: GroupEpoch, tag_0: i64) -> Writer {
    let mut writer = begin();
    writer.i32(epoch.0);
    writer.tag_0((tag_0 != 0).then_some(|writer: &mut Writer| writer.i64(tag_0)));
    writer
}

fn decode_epoch(
    reader: &mut Reader<'_>,
    name: &'static str,
    tag_0_name: &'static str,
) -> Result<(GroupEpoch, i64), CodecError> {
    let epoch = GroupEpoch(reader.i32(name)?);
    let mut tag_0 = 0;
    reader.tags(|tag, field| {
        if tag == 0 {
            tag_0 = field.i64(tag_0_name)?;
        }
        Ok(())
    })?;
    Ok((epoch, tag_0))
}

pub(super) fn encode(value: &ConsumerGroupValue) -> Writer {
    encode_epoch(value.epoch, value.metadata_hash)
}

pub(super) fn decode((_, reader): (i16, &mut Reader<'_>)) -> Result<ConsumerGroupValue, CodecError> {
    let (epoch, metadata_hash) = decode_epoch(reader, "epoch", "metadata_hash")?;
    Ok(ConsumerGroupValue { epoch, metadata_hash })
}

/// A group without topics.
pub(super) fn encode_partition_metadata() -> Writer {
    let mut writer = begin();
    writer.array::<()>(&[], |_, ()| ());
    writer.no_tags();
    writer
}

pub(super) fn decode_partition_metadata(_: (i16, &mut Reader<'_>)) -> PartitionMetadataValue {
    PartitionMetadataValue
}

pub(super) fn encode_target_assignment_metadata(value: &TargetAssignmentMetadataValue) -> Writer {
    encode_epoch(value.assignment_epoch, value.assignment_timestamp.0)
}

pub(super) fn decode_target_assignment_metadata(
    (_, reader): (i16, &mut Reader<'_>),
) -> Result<TargetAssignmentMetadataValue, CodecError> {
    let (assignment_epoch, timestamp) = decode_epoch(reader, "assignment_epoch", "assignment_timestamp")?;
    Ok(TargetAssignmentMetadataValue { assignment_epoch, assignment_timestamp: TimestampMs(timestamp) })
}

pub(super) fn encode_regular_expression(value: &RegularExpressionValue) -> Writer {
    let mut writer = begin();
    writer.array(&value.topics, |writer, topic| writer.string("topics", topic));
    writer.i64(value.version);
    writer.i64(value.timestamp.0);
    writer.no_tags();
    writer
}

pub(super) fn decode_regular_expression(
    (_, reader): (i16, &mut Reader<'_>),
) -> Result<RegularExpressionValue, CodecError> {
    let value = RegularExpressionValue {
        topics: reader.array("topics", |reader| reader.string("topics"))?,
        version: reader.i64("version")?,
        timestamp: TimestampMs(reader.i64("timestamp")?),
    };
    reader.no_tags()?;
    Ok(value)
}
