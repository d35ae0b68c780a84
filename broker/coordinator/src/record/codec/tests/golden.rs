//! Bytes that the classes of Apache Kafka 4.3.1 made (`MessageUtil.toCoordinatorTypePrefixedBytes` of the key,
//! `toVersionPrefixedBytes` of the value), one field a word.

use bytes::Bytes;
use storage::ids::{LeaderEpoch, Offset, PartitionIndex, TimestampMs, TopicId};

use super::{decode, encode, hex};
use crate::ids::{GenerationId, GroupEpoch, MemberEpoch};
use crate::record::{
    AssignedPartitions, ClassicGroupValue, ClassicMemberMetadata, ClassicMemberValue, ConsumerGroupValue,
    ConsumerMemberValue, CurrentAssignmentValue, MemberState, OffsetCommitValue, PartitionMetadataValue,
    Record, RegularExpressionValue, TargetAssignmentMetadataValue, TopicPartitions,
};

/// A name, the key, the value (`None` for a tombstone), and the record that they are.
type Golden = (&'static str, &'static str, Option<&'static str>, fn() -> Record);

const OFFSET_KEY: &str = "0001 0007 72656164657273 0006 6576656e7473 00000003";
const CLASSIC_KEY: &str = "0002 0007 72656164657273";
const CURRENT_KEY: &str = "0008 0007 72656164657273 0003 6d2d31";

/// What is written.
const WRITTEN: &[Golden] = &[
    (
        "offset",
        OFFSET_KEY,
        Some(
            "0004 000000000000002a 00000007 05 646f6e65 0000018bcfe56800
             01 00 10 000102030405060708090a0b0c0d0e0f",
        ),
        || offset(OffsetCommitValue { leader_epoch: LeaderEpoch(7), topic_id: topic_id(), ..committed() }),
    ),
    (
        "offset without leader epoch, metadata and topic id",
        OFFSET_KEY,
        Some("0003 000000000000002a ffffffff 0000 0000018bcfe56800"),
        || offset(OffsetCommitValue { metadata: "".into(), ..committed() }),
    ),
    (
        "offset with a retention of the client's own",
        OFFSET_KEY,
        Some("0001 000000000000002a 0004 646f6e65 0000018bcfe56800 0000018bcfe65260"),
        || {
            offset(OffsetCommitValue {
                expire_timestamp: Some(TimestampMs(1_700_000_060_000)),
                ..committed()
            })
        },
    ),
    ("forgotten offset", OFFSET_KEY, None, || Record::OffsetCommit {
        group_id: "readers".into(),
        topic: "events".into(),
        partition: PartitionIndex(3),
        value: None,
    }),
    (
        "classic group",
        CLASSIC_KEY,
        Some(
            "0003 0008 636f6e73756d6572 00000005 0005 72616e6765 0003 612d31 0000018bcfe56800 00000001
             0003 612d31 0005 6669727374 0001 61 000a 2f3132372e302e302e31 000493e0 0000afc8
             00000002 0102 00000001 03",
        ),
        || classic_group(|_| ()),
    ),
    (
        "classic group that only keeps offsets",
        CLASSIC_KEY,
        Some("0003 0000 00000000 ffff ffff 0000018bcfe56800 00000000"),
        || {
            classic_group(|value| {
                *value = ClassicGroupValue {
                    protocol_type: "".into(),
                    generation_id: GenerationId(0),
                    protocol: None,
                    leader: None,
                    current_state_timestamp: value.current_state_timestamp,
                    members: Vec::new(),
                }
            })
        },
    ),
    ("consumer group", "0003 0007 72656164657273", Some("0000 00000009 01 00 08 fffffffffffffffe"), || {
        consumer_group(-2)
    }),
    ("consumer group without hash", "0003 0007 72656164657273", Some("0000 00000009 00"), || {
        consumer_group(0)
    }),
    ("no topics of Kafka 4.0", "0004 0007 72656164657273", Some("0000 01 00"), partition_metadata),
    (
        "member that speaks the classic protocol",
        "0005 0007 72656164657273 0003 6d2d31",
        Some(
            "0000 06 6669727374 03 7231 02 61 0b 2f3132372e302e302e31 03 07 6576656e7473 05 6c6f6773
             05 65762e2a 000493e0 08 756e69666f726d
             01 00 11 01 0000afc8 02 06 72616e6765 03 0102 00 00",
        ),
        || {
            consumer_member(ConsumerMemberValue {
                instance_id: Some("first".into()),
                rack_id: Some("r1".into()),
                client_id: "a".into(),
                client_host: "/127.0.0.1".into(),
                subscribed_topic_names: vec!["events".into(), "logs".into()],
                subscribed_topic_regex: Some("ev.*".into()),
                rebalance_timeout_ms: 300_000,
                server_assignor: Some("uniform".into()),
                classic: Some(ClassicMemberMetadata {
                    session_timeout_ms: 45_000,
                    supported_protocols: vec![("range".into(), Bytes::from_static(&[1, 2]))],
                }),
            })
        },
    ),
    (
        "member that speaks the consumer protocol",
        "0005 0007 72656164657273 0003 6d2d31",
        Some("0000 00 00 02 61 0b 2f3132372e302e302e31 02 07 6576656e7473 00 000493e0 00 01 00 01 00"),
        || {
            consumer_member(ConsumerMemberValue {
                instance_id: None,
                rack_id: None,
                client_id: "a".into(),
                client_host: "/127.0.0.1".into(),
                subscribed_topic_names: vec!["events".into()],
                subscribed_topic_regex: None,
                rebalance_timeout_ms: 300_000,
                server_assignor: None,
                classic: None,
            })
        },
    ),
    ("target", "0006 0007 72656164657273", Some("0000 00000009 01 00 08 0000018bcfe56800"), || {
        target_metadata(1_700_000_000_000)
    }),
    ("target without time", "0006 0007 72656164657273", Some("0000 00000009 00"), || target_metadata(0)),
    (
        "target of a member",
        "0007 0007 72656164657273 0003 6d2d31",
        Some("0000 02 000102030405060708090a0b0c0d0e0f 03 00000000 00000003 00 00"),
        || Record::TargetAssignmentMember {
            group_id: "readers".into(),
            member_id: "m-1".into(),
            value: Some(vec![TopicPartitions {
                topic_id: topic_id(),
                partitions: vec![PartitionIndex(0), PartitionIndex(3)],
            }]),
        },
    ),
    (
        "what a member owns",
        CURRENT_KEY,
        Some(
            "0000 00000009 00000008 00
             02 000102030405060708090a0b0c0d0e0f 03 00000000 00000003 01 00 09 03 00000008 00000009
             02 000102030405060708090a0b0c0d0e0f 02 00000001 01 00 05 02 00000007 00",
        ),
        || current_assignment(vec![(0, Some(8)), (3, Some(9))]),
    ),
    (
        "pattern",
        "0010 0007 72656164657273 0004 65762e2a",
        Some("0000 03 07 6576656e7473 05 6576696c 0000000000000003 0000018bcfe56800 00"),
        || Record::RegularExpression {
            group_id: "readers".into(),
            regular_expression: "ev.*".into(),
            value: Some(RegularExpressionValue {
                topics: vec!["events".into(), "evil".into()],
                version: 3,
                timestamp: TimestampMs(1_700_000_000_000),
            }),
        },
    ),
];

/// What only other versions of Kafka wrote, or would write.
const READ: &[Golden] = &[
    (
        "offset, version 4 without topic id",
        OFFSET_KEY,
        Some("0004 000000000000002a ffffffff 05 646f6e65 0000018bcfe56800 00"),
        || offset(committed()),
    ),
    (
        "offset, type 0",
        "0000 0007 72656164657273 0006 6576656e7473 00000003",
        Some("0000 000000000000002a 0004 646f6e65 0000018bcfe56800"),
        || offset(committed()),
    ),
    ("offset, version 0", OFFSET_KEY, Some("0000 000000000000002a 0004 646f6e65 0000018bcfe56800"), || {
        offset(committed())
    }),
    ("offset, version 2", OFFSET_KEY, Some("0002 000000000000002a 0004 646f6e65 0000018bcfe56800"), || {
        offset(committed())
    }),
    (
        "offset, version 3",
        OFFSET_KEY,
        Some("0003 000000000000002a 00000007 0004 646f6e65 0000018bcfe56800"),
        || offset(OffsetCommitValue { leader_epoch: LeaderEpoch(7), ..committed() }),
    ),
    (
        "classic group, version 0: one timeout for both",
        CLASSIC_KEY,
        Some(
            "0000 0008 636f6e73756d6572 00000005 0005 72616e6765 0003 612d31 00000001
             0003 612d31 0001 61 000a 2f3132372e302e302e31 0000afc8 00000002 0102 00000001 03",
        ),
        || {
            classic_group(|value| {
                value.current_state_timestamp = TimestampMs::NONE;
                value.members[0].group_instance_id = None;
                value.members[0].rebalance_timeout_ms = 45_000;
            })
        },
    ),
    (
        "classic group, version 1",
        CLASSIC_KEY,
        Some(
            "0001 0008 636f6e73756d6572 00000005 0005 72616e6765 0003 612d31 00000001
             0003 612d31 0001 61 000a 2f3132372e302e302e31 000493e0 0000afc8 00000002 0102 00000001 03",
        ),
        || {
            classic_group(|value| {
                value.current_state_timestamp = TimestampMs::NONE;
                value.members[0].group_instance_id = None;
            })
        },
    ),
    (
        "classic group, version 2",
        CLASSIC_KEY,
        Some(
            "0002 0008 636f6e73756d6572 00000005 0005 72616e6765 0003 612d31 0000018bcfe56800 00000001
             0003 612d31 0001 61 000a 2f3132372e302e302e31 000493e0 0000afc8 00000002 0102 00000001 03",
        ),
        || classic_group(|value| value.members[0].group_instance_id = None),
    ),
    (
        "classic group, version 4",
        CLASSIC_KEY,
        Some(
            "0004 09 636f6e73756d6572 00000005 06 72616e6765 04 612d31 0000018bcfe56800 02
             04 612d31 06 6669727374 02 61 0b 2f3132372e302e302e31 000493e0 0000afc8 03 0102 02 03 00 00",
        ),
        || classic_group(|_| ()),
    ),
    (
        "topics of Kafka 4.0",
        "0004 0007 72656164657273",
        Some("0000 02 000102030405060708090a0b0c0d0e0f 07 6576656e7473 00000004 01 00 00"),
        partition_metadata,
    ),
    (
        "what a member owns, epochs missing",
        CURRENT_KEY,
        Some(
            "0000 00000009 00000008 00
             02 000102030405060708090a0b0c0d0e0f 03 00000000 00000003 00
             02 000102030405060708090a0b0c0d0e0f 02 00000001 01 00 05 02 00000007 00",
        ),
        || current_assignment(vec![(0, None), (3, None)]),
    ),
    (
        "what a member owns, epochs null",
        CURRENT_KEY,
        Some(
            "0000 00000009 00000008 00
             02 000102030405060708090a0b0c0d0e0f 03 00000000 00000003 01 00 01 00
             02 000102030405060708090a0b0c0d0e0f 02 00000001 01 00 05 02 00000007 00",
        ),
        || current_assignment(vec![(0, None), (3, None)]),
    ),
];

#[test]
fn records_are_written_as_kafka_writes_them() {
    for (name, key, value, record) in WRITTEN {
        let encoded = encode(&record()).expect("the texts are short");
        assert_eq!(encoded.key, hex(key), "the key of {name}");
        assert_eq!(encoded.value.as_deref(), value.map(hex).as_deref(), "the value of {name}");
    }
}

#[test]
fn records_of_every_version_are_read() {
    for (name, key, value, record) in WRITTEN.iter().chain(READ) {
        let decoded = decode(&hex(key), value.map(hex).as_deref());
        assert_eq!(decoded, Ok(Some(record())), "{name}");
    }
}

fn topic_id() -> TopicId {
    TopicId::from_bytes([0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15])
}

fn committed() -> OffsetCommitValue {
    OffsetCommitValue {
        offset: Offset(42),
        leader_epoch: LeaderEpoch::NONE,
        metadata: "done".into(),
        commit_timestamp: TimestampMs(1_700_000_000_000),
        expire_timestamp: None,
        topic_id: TopicId::ZERO,
    }
}

fn offset(value: OffsetCommitValue) -> Record {
    Record::OffsetCommit {
        group_id: "readers".into(),
        topic: "events".into(),
        partition: PartitionIndex(3),
        value: Some(value),
    }
}

fn classic_group(change: fn(&mut ClassicGroupValue)) -> Record {
    let mut value = ClassicGroupValue {
        protocol_type: "consumer".into(),
        generation_id: GenerationId(5),
        protocol: Some("range".into()),
        leader: Some("a-1".into()),
        current_state_timestamp: TimestampMs(1_700_000_000_000),
        members: vec![ClassicMemberValue {
            member_id: "a-1".into(),
            group_instance_id: Some("first".into()),
            client_id: "a".into(),
            client_host: "/127.0.0.1".into(),
            rebalance_timeout_ms: 300_000,
            session_timeout_ms: 45_000,
            subscription: Bytes::from_static(&[1, 2]),
            assignment: Bytes::from_static(&[3]),
        }],
    };
    change(&mut value);
    Record::ClassicGroup { group_id: "readers".into(), value: Some(value) }
}

fn consumer_group(metadata_hash: i64) -> Record {
    let value = ConsumerGroupValue { epoch: GroupEpoch(9), metadata_hash };
    Record::ConsumerGroup { group_id: "readers".into(), value: Some(value) }
}

fn partition_metadata() -> Record {
    Record::ConsumerGroupPartitionMetadata { group_id: "readers".into(), value: Some(PartitionMetadataValue) }
}

fn consumer_member(value: ConsumerMemberValue) -> Record {
    Record::ConsumerMember { group_id: "readers".into(), member_id: "m-1".into(), value: Some(value) }
}

fn target_metadata(timestamp: i64) -> Record {
    let value = TargetAssignmentMetadataValue {
        assignment_epoch: GroupEpoch(9),
        assignment_timestamp: TimestampMs(timestamp),
    };
    Record::TargetAssignmentMetadata { group_id: "readers".into(), value: Some(value) }
}

/// What a member owns of one topic, partition and epoch; it has partition 1 to give up, assigned in epoch 7.
pub(super) fn current_assignment(owned: Vec<(i32, Option<i32>)>) -> Record {
    let partitions = |partitions: Vec<(i32, Option<i32>)>| {
        let partitions = partitions.into_iter();
        vec![AssignedPartitions {
            topic_id: topic_id(),
            partitions: partitions
                .map(|(partition, epoch)| (PartitionIndex(partition), epoch.map(MemberEpoch)))
                .collect(),
        }]
    };
    Record::CurrentAssignment {
        group_id: "readers".into(),
        member_id: "m-1".into(),
        value: Some(CurrentAssignmentValue {
            member_epoch: MemberEpoch(9),
            previous_member_epoch: MemberEpoch(8),
            state: MemberState::Stable,
            assigned: partitions(owned),
            pending_revocation: partitions(vec![(1, Some(7))]),
        }),
    }
}
