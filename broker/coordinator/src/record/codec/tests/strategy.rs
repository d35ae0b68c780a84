//! Arbitrary records, of those that can be told from their bytes: a retention of the client's own leaves no room for a
//! leader epoch and a topic id, and -1 stands for "none".

use std::sync::Arc;

use bytes::Bytes;
use proptest::prelude::*;
use storage::ids::{LeaderEpoch, Offset, PartitionIndex, TimestampMs, TopicId};

use crate::ids::{GenerationId, GroupEpoch, GroupId, InstanceId, MemberEpoch, MemberId};
use crate::record::{
    AssignedPartitions, ClassicGroupValue, ClassicMemberMetadata, ClassicMemberValue, ConsumerGroupValue,
    ConsumerMemberValue, CurrentAssignmentValue, MemberState, OffsetCommitValue, PartitionMetadataValue,
    Record, RegularExpressionValue, TargetAssignmentMetadataValue, TopicPartitions,
};

fn text() -> impl Strategy<Value = Arc<str>> {
    prop_oneof!["[a-z.]{0,8}", "\\PC{0,40}", "[a-z]{120,300}"].prop_map(|text| text.as_str().into())
}

fn maybe_text() -> impl Strategy<Value = Option<Arc<str>>> {
    prop::option::of(text())
}

fn group() -> impl Strategy<Value = GroupId> {
    text().prop_map(GroupId)
}

fn member() -> impl Strategy<Value = MemberId> {
    text().prop_map(MemberId)
}

fn bytes() -> impl Strategy<Value = Bytes> {
    prop::collection::vec(any::<u8>(), 0..200).prop_map(Bytes::from)
}

fn topic_id() -> impl Strategy<Value = TopicId> {
    prop_oneof![Just(TopicId::ZERO), any::<[u8; 16]>().prop_map(TopicId::from_bytes)]
}

fn partition() -> impl Strategy<Value = PartitionIndex> {
    any::<i32>().prop_map(PartitionIndex)
}

fn offset_commit() -> impl Strategy<Value = OffsetCommitValue> {
    (any::<(i64, i32, i64)>(), text(), prop::option::of(0..i64::MAX), topic_id()).prop_map(
        |((offset, leader_epoch, commit_timestamp), metadata, expire_timestamp, topic_id)| {
            OffsetCommitValue {
                offset: Offset(offset),
                leader_epoch: if expire_timestamp.is_some() {
                    LeaderEpoch::NONE
                } else {
                    LeaderEpoch(leader_epoch)
                },
                metadata,
                commit_timestamp: TimestampMs(commit_timestamp),
                expire_timestamp: expire_timestamp.map(TimestampMs),
                topic_id: if expire_timestamp.is_some() { TopicId::ZERO } else { topic_id },
            }
        },
    )
}

fn classic_member() -> impl Strategy<Value = ClassicMemberValue> {
    (member(), maybe_text(), text(), text(), 0..i32::MAX, any::<i32>(), bytes(), bytes()).prop_map(
        |(member_id, instance_id, client_id, client_host, rebalance, session, subscription, assignment)| {
            ClassicMemberValue {
                member_id,
                group_instance_id: instance_id.map(InstanceId),
                client_id,
                client_host,
                rebalance_timeout_ms: rebalance,
                session_timeout_ms: session,
                subscription,
                assignment,
            }
        },
    )
}

fn classic_group() -> impl Strategy<Value = ClassicGroupValue> {
    let members = prop::collection::vec(classic_member(), 0..4);
    (text(), any::<i32>(), maybe_text(), maybe_text(), any::<i64>(), members).prop_map(
        |(protocol_type, generation_id, protocol, leader, timestamp, members)| ClassicGroupValue {
            protocol_type,
            generation_id: GenerationId(generation_id),
            protocol,
            leader: leader.map(MemberId),
            current_state_timestamp: TimestampMs(timestamp),
            members,
        },
    )
}

fn consumer_member() -> impl Strategy<Value = ConsumerMemberValue> {
    let protocols = prop::collection::vec((text(), bytes()), 0..3);
    let classic =
        prop::option::of((any::<i32>(), protocols).prop_map(|(session_timeout_ms, supported_protocols)| {
            ClassicMemberMetadata { session_timeout_ms, supported_protocols }
        }));
    let names = prop::collection::vec(text(), 0..4);
    let texts = (maybe_text(), maybe_text(), text(), text(), maybe_text(), maybe_text());
    (texts, names, any::<i32>(), classic).prop_map(
        |(texts, subscribed_topic_names, rebalance_timeout_ms, classic)| {
            let (instance_id, rack_id, client_id, client_host, subscribed_topic_regex, server_assignor) =
                texts;
            ConsumerMemberValue {
                instance_id: instance_id.map(InstanceId),
                rack_id,
                client_id,
                client_host,
                subscribed_topic_names,
                subscribed_topic_regex,
                rebalance_timeout_ms,
                server_assignor,
                classic,
            }
        },
    )
}

fn target() -> impl Strategy<Value = Vec<TopicPartitions>> {
    let topic = (topic_id(), prop::collection::vec(partition(), 0..200));
    let topic = topic.prop_map(|(topic_id, partitions)| TopicPartitions { topic_id, partitions });
    prop::collection::vec(topic, 0..4)
}

fn assigned() -> impl Strategy<Value = Vec<AssignedPartitions>> {
    let known =
        prop::collection::vec((partition(), any::<i32>().prop_map(MemberEpoch).prop_map(Some)), 0..200);
    let unknown = prop::collection::vec((partition(), Just(None)), 0..4);
    let topic = (topic_id(), prop_oneof![known, unknown]);
    let topic = topic.prop_map(|(topic_id, partitions)| AssignedPartitions { topic_id, partitions });
    prop::collection::vec(topic, 0..4)
}

fn current() -> impl Strategy<Value = CurrentAssignmentValue> {
    let state = prop::sample::select(vec![
        MemberState::Stable,
        MemberState::UnrevokedPartitions,
        MemberState::UnreleasedPartitions,
        MemberState::Unknown,
    ]);
    (any::<i32>(), any::<i32>(), state, assigned(), assigned()).prop_map(
        |(member_epoch, previous, state, assigned, pending_revocation)| CurrentAssignmentValue {
            member_epoch: MemberEpoch(member_epoch),
            previous_member_epoch: MemberEpoch(previous),
            state,
            assigned,
            pending_revocation,
        },
    )
}

fn consumer_group() -> impl Strategy<Value = ConsumerGroupValue> {
    any::<(i32, i64)>()
        .prop_map(|(epoch, metadata_hash)| ConsumerGroupValue { epoch: GroupEpoch(epoch), metadata_hash })
}

fn target_metadata() -> impl Strategy<Value = TargetAssignmentMetadataValue> {
    any::<(i32, i64)>().prop_map(|(epoch, timestamp)| TargetAssignmentMetadataValue {
        assignment_epoch: GroupEpoch(epoch),
        assignment_timestamp: TimestampMs(timestamp),
    })
}

fn regular_expression() -> impl Strategy<Value = RegularExpressionValue> {
    (prop::collection::vec(text(), 0..4), any::<i64>(), any::<i64>()).prop_map(
        |(topics, version, timestamp)| RegularExpressionValue {
            topics,
            version,
            timestamp: TimestampMs(timestamp),
        },
    )
}

/// Any record.
pub(super) fn record() -> impl Strategy<Value = Record> {
    use prop::option::of;
    prop_oneof![
        (group(), text(), partition(), of(offset_commit())).prop_map(
            |(group_id, topic, partition, value)| {
                Record::OffsetCommit { group_id, topic, partition, value }
            }
        ),
        (group(), of(classic_group())).prop_map(|(group_id, value)| Record::ClassicGroup { group_id, value }),
        (group(), of(consumer_group()))
            .prop_map(|(group_id, value)| Record::ConsumerGroup { group_id, value }),
        (group(), of(Just(PartitionMetadataValue)))
            .prop_map(|(group_id, value)| Record::ConsumerGroupPartitionMetadata { group_id, value }),
        (group(), member(), of(consumer_member()))
            .prop_map(|(group_id, member_id, value)| Record::ConsumerMember { group_id, member_id, value }),
        (group(), of(target_metadata()))
            .prop_map(|(group_id, value)| Record::TargetAssignmentMetadata { group_id, value }),
        (group(), member(), of(target())).prop_map(|(group_id, member_id, value)| {
            Record::TargetAssignmentMember { group_id, member_id, value }
        }),
        (group(), member(), of(current())).prop_map(|(group_id, member_id, value)| {
            Record::CurrentAssignment { group_id, member_id, value }
        }),
        (group(), text(), of(regular_expression())).prop_map(|(group_id, regular_expression, value)| {
            Record::RegularExpression { group_id, regular_expression, value }
        }),
    ]
}
