//! The values of what a member of a consumer group is to own and of what it owns, types 7 and 8. Version 0, flexible.
//!
//! ```text
//! type 7
//! topic_partitions         [ ]
//!   topic_id               uuid
//!   partitions             [i32]
//!
//! type 8
//! member_epoch             i32
//! previous_member_epoch    i32
//! state                    i8   0 stable, 1 has to give up, 2 waits for others, 127 anything later
//! assigned_partitions      [ ]
//!   topic_id               uuid
//!   partitions             [i32]
//!   tag 0: assignment_epochs  [i32], or null: as many as there are partitions; missing or another number: unknown
//! partitions_pending_revocation  [ ] likewise
//! ```
//!
//! Source: `ConsumerGroupTargetAssignmentMemberValue.json`, `ConsumerGroupCurrentMemberAssignmentValue.json`,
//! `Utils.assignmentFromCurrentMemberAssignment`.

use storage::ids::PartitionIndex;

use super::{CodecError, Reader, Writer};
use crate::ids::MemberEpoch;
use crate::record::{AssignedPartitions, CurrentAssignmentValue, MemberState, TopicPartitions};

pub(super) fn encode_target(value: &[TopicPartitions]) -> Writer {
    let mut writer = Writer::flexible();
    writer.i16(0);
    writer.array(value, |writer, topic| {
        writer.topic_id(topic.topic_id);
        writer.array(&topic.partitions, |writer, partition| writer.i32(partition.0));
        writer.no_tags();
    });
    writer.no_tags();
    writer
}

pub(super) fn decode_target((_, reader): (i16, &mut Reader<'_>)) -> Result<Vec<TopicPartitions>, CodecError> {
    let topics = reader.array("topic_partitions", |reader| {
        let topic_id = reader.topic_id()?;
        let partitions = reader.array("partitions", Reader::partition)?;
        reader.no_tags()?;
        Ok(TopicPartitions { topic_id, partitions })
    })?;
    reader.no_tags()?;
    Ok(topics)
}

pub(super) fn encode_current(value: &CurrentAssignmentValue) -> Writer {
    let mut writer = Writer::flexible();
    writer.i16(0);
    writer.i32(value.member_epoch.0);
    writer.i32(value.previous_member_epoch.0);
    writer.i8(match value.state {
        MemberState::Stable => 0,
        MemberState::UnrevokedPartitions => 1,
        MemberState::UnreleasedPartitions => 2,
        MemberState::Unknown => 127,
    });
    writer.array(&value.assigned, encode_assigned);
    writer.array(&value.pending_revocation, encode_assigned);
    writer.no_tags();
    writer
}

fn encode_assigned(writer: &mut Writer, topic: &AssignedPartitions) {
    writer.topic_id(topic.topic_id);
    writer.array(&topic.partitions, |writer, (partition, _)| writer.i32(partition.0));
    let epochs: Option<Vec<MemberEpoch>> = topic.partitions.iter().map(|(_, epoch)| *epoch).collect();
    let epochs = epochs.filter(|epochs| !epochs.is_empty());
    writer.tag_0(
        epochs.map(|epochs| {
            move |writer: &mut Writer| writer.array(&epochs, |writer, epoch| writer.i32(epoch.0))
        }),
    );
}

pub(super) fn decode_current(
    (_, reader): (i16, &mut Reader<'_>),
) -> Result<CurrentAssignmentValue, CodecError> {
    let value = CurrentAssignmentValue {
        member_epoch: MemberEpoch(reader.i32("member_epoch")?),
        previous_member_epoch: MemberEpoch(reader.i32("previous_member_epoch")?),
        state: match reader.i8("state")? {
            0 => MemberState::Stable,
            1 => MemberState::UnrevokedPartitions,
            2 => MemberState::UnreleasedPartitions,
            _ => MemberState::Unknown,
        },
        assigned: reader.array("assigned_partitions", decode_assigned)?,
        pending_revocation: reader.array("partitions_pending_revocation", decode_assigned)?,
    };
    reader.no_tags()?;
    Ok(value)
}

fn decode_assigned(reader: &mut Reader<'_>) -> Result<AssignedPartitions, CodecError> {
    let topic_id = reader.topic_id()?;
    let partitions: Vec<PartitionIndex> = reader.array("partitions", Reader::partition)?;
    let mut epochs = None;
    reader.tags(|tag, field| {
        if tag == 0 {
            epochs = field.nullable_array("assignment_epochs", |field| {
                field.i32("assignment_epochs").map(|epoch| Some(MemberEpoch(epoch)))
            })?;
        }
        Ok(())
    })?;
    let epochs = epochs
        .filter(|epochs| epochs.len() == partitions.len())
        .unwrap_or_else(|| vec![None; partitions.len()]);
    Ok(AssignedPartitions { topic_id, partitions: partitions.into_iter().zip(epochs).collect() })
}
