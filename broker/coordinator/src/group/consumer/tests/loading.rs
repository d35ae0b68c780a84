//! Whatever is in the log is loaded, and a group that makes no sense is brought back to sense by its members: records
//! may come from another version, and compaction takes away what others refer to.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use proptest::prelude::*;
use storage::ids::{PartitionIndex, TimestampMs};

use crate::description::GroupState;
use crate::ids::{GroupEpoch, GroupId, InstanceId, MemberEpoch, MemberId};
use crate::record::{
    AssignedPartitions, ClassicMemberMetadata, ConsumerGroupValue, ConsumerMemberValue,
    CurrentAssignmentValue, MemberState, PartitionMetadataValue, Record, RegularExpressionValue,
    TargetAssignmentMetadataValue, TopicPartitions,
};
use crate::testing::readers::{GROUP, Protocol, Reader};
use crate::testing::{Broker, topic_id};

fn epoch() -> impl Strategy<Value = i32> {
    prop_oneof![8 => -2..6, 1 => Just(i32::MIN)]
}

fn partitions() -> impl Strategy<Value = Vec<TopicPartitions>> {
    let topic = prop_oneof![Just("orders"), Just("gone")];
    let index = prop_oneof![4 => 0..4, 1 => Just(-1), 1 => Just(i32::MAX)];
    let topics = (topic, proptest::collection::vec(index.prop_map(PartitionIndex), 0..4));
    let topics =
        topics.prop_map(|(topic, partitions)| TopicPartitions { topic_id: topic_id(topic), partitions });
    proptest::collection::vec(topics, 0..3)
}

fn assigned() -> impl Strategy<Value = Vec<AssignedPartitions>> {
    (partitions(), proptest::option::of(epoch())).prop_map(|(topics, epoch)| {
        let with_epoch = |partition| (partition, epoch.map(MemberEpoch));
        let topics = topics.into_iter().map(|topic| AssignedPartitions {
            topic_id: topic.topic_id,
            partitions: topic.partitions.into_iter().map(with_epoch).collect(),
        });
        topics.collect()
    })
}

fn said() -> impl Strategy<Value = ConsumerMemberValue> {
    let topic = prop_oneof![Just("orders"), Just("payments"), Just("")].prop_map(Arc::from);
    let pattern = prop_oneof![Just("ord.*"), Just("ord["), Just("")].prop_map(Arc::from);
    let assignor = prop_oneof![Just("range"), Just("custom")].prop_map(Arc::from);
    (
        proptest::collection::vec(topic, 0..4),
        proptest::option::of(pattern),
        proptest::option::of(assignor),
        epoch(),
        proptest::bool::weighted(0.2),
    )
        .prop_map(|(topics, pattern, server_assignor, rebalance_timeout_ms, is_classic)| {
            ConsumerMemberValue {
                instance_id: None,
                rack_id: None,
                client_id: "client".into(),
                client_host: "/127.0.0.1".into(),
                subscribed_topic_names: topics,
                subscribed_topic_regex: pattern,
                rebalance_timeout_ms,
                server_assignor,
                classic: is_classic.then(|| ClassicMemberMetadata {
                    session_timeout_ms: -1,
                    supported_protocols: Vec::new(),
                }),
            }
        })
}

fn current() -> impl Strategy<Value = CurrentAssignmentValue> {
    let state = proptest::sample::select(vec![
        MemberState::Stable,
        MemberState::UnrevokedPartitions,
        MemberState::UnreleasedPartitions,
        MemberState::Unknown,
    ]);
    (epoch(), epoch(), state, assigned(), assigned()).prop_map(
        |(epoch, previous, state, assigned, pending)| CurrentAssignmentValue {
            member_epoch: MemberEpoch(epoch),
            previous_member_epoch: MemberEpoch(previous),
            state,
            assigned,
            pending_revocation: pending,
        },
    )
}

fn record() -> impl Strategy<Value = Record> {
    let group_id = || GroupId::from(GROUP);
    let member = || prop_oneof![Just("a-0"), Just("b-0"), Just("other")].prop_map(MemberId::from);
    let maybe = proptest::bool::weighted(0.8);
    prop_oneof![
        (epoch(), any::<i64>(), maybe).prop_map(move |(epoch, metadata_hash, is_there)| {
            let value = ConsumerGroupValue { epoch: GroupEpoch(epoch), metadata_hash };
            Record::ConsumerGroup { group_id: group_id(), value: is_there.then_some(value) }
        }),
        maybe.prop_map(move |is_there| Record::ConsumerGroupPartitionMetadata {
            group_id: group_id(),
            value: is_there.then_some(PartitionMetadataValue),
        }),
        (member(), proptest::option::weighted(0.8, said())).prop_map(move |(member_id, value)| {
            let instance_id = (member_id.as_str() == "other").then(|| InstanceId::from("i"));
            let value = value.map(|said| ConsumerMemberValue { instance_id, ..said });
            Record::ConsumerMember { group_id: group_id(), member_id, value }
        }),
        (epoch(), any::<i64>(), maybe).prop_map(move |(epoch, timestamp, is_there)| {
            let value = TargetAssignmentMetadataValue {
                assignment_epoch: GroupEpoch(epoch),
                assignment_timestamp: TimestampMs(timestamp),
            };
            Record::TargetAssignmentMetadata { group_id: group_id(), value: is_there.then_some(value) }
        }),
        (member(), proptest::option::weighted(0.8, partitions())).prop_map(move |(member_id, value)| {
            Record::TargetAssignmentMember { group_id: group_id(), member_id, value }
        }),
        (member(), proptest::option::weighted(0.8, current())).prop_map(move |(member_id, value)| {
            Record::CurrentAssignment { group_id: group_id(), member_id, value }
        }),
        proptest::option::weighted(0.8, any::<i64>()).prop_map(move |timestamp| Record::RegularExpression {
            group_id: group_id(),
            regular_expression: "ord.*".into(),
            value: timestamp.map(|timestamp| RegularExpressionValue {
                topics: vec!["orders".into(), "gone".into(), "orders".into()],
                version: 0,
                timestamp: TimestampMs(timestamp),
            }),
        }),
    ]
}

proptest! {
    #[test]
    fn any_log_is_loaded_and_the_group_goes_on(records in proptest::collection::vec(record(), 0..40)) {
        let mut broker = Broker::new();
        broker.topics.create("orders", 3);
        broker.log = records;
        broker.catch_up();
        broker.restart();
        let mut readers = [Reader::new("a", false, Protocol::Consumer), Reader::new("b", false, Protocol::Consumer)];
        // Each time the topic grows the epoch does, and at some time it is beyond all that was in the log.
        for partition_count in 4..16 {
            broker.topics.create("orders", partition_count);
            for _ in 0..6 {
                readers.iter_mut().for_each(|reader| beat(reader, &mut broker));
                broker.wait(Duration::from_secs(3));
            }
        }
        let group = broker.shard.describe_consumer(&GroupId::from(GROUP)).expect("readers are in it");
        prop_assert_eq!(group.members.len(), 2, "the others are gone: {:?}", group);
        prop_assert_eq!(group.state, GroupState::Stable, "{:?}", group);
        let read: BTreeSet<_> = readers.iter().flat_map(|reader| &reader.owned).collect();
        prop_assert_eq!(read.len(), 15, "{:?}", readers);
    }
}

fn beat(reader: &mut Reader, broker: &mut Broker) {
    reader.step(broker);
    for (reply_to, reply) in std::mem::take(&mut broker.answers) {
        reader.hear(reply_to, reply.as_ref(), broker);
    }
}
