//! What is refused since it would be too much.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use storage::ids::{LeaderEpoch, Offset, PartitionIndex};

use crate::error::GroupError;
use crate::ids::{GenerationId, GroupId, MemberId};
use crate::request::{CommittingOffset, JoinGroup, OffsetCommit, Reply, Request, SyncGroup};
use crate::shard::GroupShard;
use crate::testing::{Broker, topic_id};

fn broker() -> Broker {
    let mut broker = Broker::new();
    broker.topics.create("orders", 1);
    broker
}

fn join(member_id: Option<MemberId>, metadata: usize, is_id_needed: bool) -> Request {
    Request::JoinGroup(JoinGroup {
        group_id: GroupId::from("g"),
        member_id,
        group_instance_id: None,
        client_id: "client".into(),
        client_host: "/127.0.0.1".into(),
        session_timeout_ms: 1_800_000,
        rebalance_timeout_ms: 60_000,
        protocol_type: "consumer".into(),
        protocols: vec![("range".into(), Bytes::from(vec![0; metadata]))],
        requires_known_member_id: is_id_needed,
        supports_skipping_assignment: true,
    })
}

fn sync(member_id: MemberId, assignment: usize) -> Request {
    Request::SyncGroup(SyncGroup {
        group_id: GroupId::from("g"),
        generation_id: GenerationId(1),
        member_id: member_id.clone(),
        group_instance_id: None,
        protocol_type: None,
        protocol_name: None,
        assignments: vec![(member_id, Bytes::from(vec![0; assignment]))],
    })
}

fn commit(group_id: &str, metadata: &str) -> Request {
    Request::OffsetCommit(OffsetCommit {
        group_id: GroupId::from(group_id),
        member_id: MemberId::from(""),
        generation_id_or_member_epoch: -1,
        group_instance_id: None,
        retention: None,
        supports_consumer_protocol: true,
        names_topics_by_id: false,
        offsets: vec![CommittingOffset {
            topic: "orders".into(),
            topic_id: topic_id("orders"),
            partition: PartitionIndex(0),
            offset: Offset(1),
            leader_epoch: LeaderEpoch::NONE,
            metadata: Arc::from(metadata),
        }],
    })
}

fn answer(broker: &mut Broker) -> Reply {
    let (_, reply) = broker.answers.pop().expect("an answer");
    reply.expect("the log takes everything")
}

/// The only member of a group that waits to assign.
fn leader(broker: &mut Broker, metadata: usize) -> MemberId {
    broker.ask(join(None, metadata, false));
    broker.wait(Duration::from_secs(3));
    match answer(broker) {
        Reply::JoinGroup(Ok(joined)) => joined.member_id,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_member_that_says_more_than_a_record_holds_is_refused() {
    let mut broker = broker();
    broker.ask(join(None, 1 << 20, false));
    assert_eq!(answer(&mut broker), Reply::JoinGroup(Err(GroupError::RecordTooLarge)));
    assert!(broker.shard.list().is_empty());
}

#[test]
fn members_that_together_say_more_than_a_group_may_hold_are_refused() {
    let mut broker = broker();
    let megabyte = (1 << 20) - 1_000;
    for _ in 0..16 {
        broker.ask(join(None, megabyte, false));
        assert!(broker.answers.is_empty(), "it waits for the group");
    }
    broker.ask(join(None, megabyte, false));
    assert_eq!(answer(&mut broker), Reply::JoinGroup(Err(GroupError::RecordTooLarge)));
}

#[test]
fn an_assignment_that_the_log_would_not_take_is_refused_and_members_join_again() {
    let mut broker = broker();
    let member_id = leader(&mut broker, 500_000);
    broker.ask(sync(member_id.clone(), 600_000));
    assert_eq!(answer(&mut broker), Reply::SyncGroup(Err(GroupError::RecordTooLarge)));
    broker.ask(sync(member_id, 0));
    assert_eq!(answer(&mut broker), Reply::SyncGroup(Err(GroupError::RebalanceInProgress)));
}

#[test]
fn an_assignment_is_taken_up_to_the_last_byte_of_the_record() {
    // Version, type, generation, protocol, leader, timestamp and count; the member's texts, numbers and lengths.
    let key = 2 + 2 + "g".len();
    let member_id = "client-".len() + 36;
    let head = 2 + (2 + "consumer".len()) + 4 + (2 + "range".len()) + (2 + member_id) + 8 + 4;
    let member = (2 + member_id) + 2 + (2 + "client".len()) + (2 + "/127.0.0.1".len()) + 8 + 8;
    let longest = 1_048_588 - 61 - 32 - key - head - member;
    for (length, is_taken) in [(longest, true), (longest + 1, false)] {
        let mut broker = broker();
        let member_id = leader(&mut broker, 0);
        broker.ask(sync(member_id, length));
        assert_eq!(matches!(answer(&mut broker), Reply::SyncGroup(Ok(_))), is_taken, "{length} bytes");
    }
}

#[test]
fn clients_that_ask_for_ids_and_do_not_come_do_not_fill_the_memory() {
    let mut broker = broker();
    for _ in 0..10_000 {
        broker.ask(join(None, 0, true));
    }
    assert!(matches!(answer(&mut broker), Reply::JoinGroup(Err(GroupError::MemberIdRequired(_)))));
    broker.ask(join(None, 0, true));
    assert!(matches!(answer(&mut broker), Reply::JoinGroup(Err(GroupError::GroupMaxSizeReached(_)))));
    broker.wait(Duration::from_secs(1_800));
    broker.ask(join(None, 0, true));
    assert!(matches!(answer(&mut broker), Reply::JoinGroup(Err(GroupError::MemberIdRequired(_)))));
}

#[test]
fn a_shard_holds_so_many_groups_and_not_one_more() {
    let mut broker = broker();
    for number in 0..100_000 {
        broker.ask(commit(&format!("group-{number}"), ""));
    }
    broker.ask(commit("one more", ""));
    assert!(matches!(answer(&mut broker), Reply::OffsetCommit(Err(GroupError::GroupMaxSizeReached(_)))));
    broker.ask(join(None, 0, true));
    assert!(matches!(answer(&mut broker), Reply::JoinGroup(Err(GroupError::GroupMaxSizeReached(_)))));
    broker.ask(commit("group-7", ""));
    assert_eq!(answer(&mut broker), Reply::OffsetCommit(Ok(vec![Ok(())])));
}

#[test]
fn text_beside_an_offset_is_counted_in_utf16_units() {
    let mut broker = broker();
    let results = [("é".repeat(4_096), true), ("é".repeat(4_097), false), ("😀".repeat(2_049), false)];
    for (metadata, is_taken) in results {
        broker.ask(commit("g", &metadata));
        let expected = if is_taken { Ok(()) } else { Err(GroupError::OffsetMetadataTooLarge) };
        assert_eq!(answer(&mut broker), Reply::OffsetCommit(Ok(vec![expected])));
    }
}

#[test]
fn a_group_without_a_name_has_no_members() {
    let mut broker = broker();
    let Request::JoinGroup(request) = join(None, 0, true) else { unreachable!("it is one") };
    broker.ask(Request::JoinGroup(JoinGroup { group_id: GroupId::from(""), ..request }));
    assert_eq!(answer(&mut broker), Reply::JoinGroup(Err(GroupError::InvalidGroupId)));
    broker.ask(commit("", ""));
    assert_eq!(answer(&mut broker), Reply::OffsetCommit(Ok(vec![Ok(())])));
}

#[test]
fn each_group_that_is_due_has_an_append_of_its_own() {
    let mut broker = broker();
    for group_id in ["g", "h"] {
        let Request::JoinGroup(request) = join(None, 0, false) else { unreachable!("it is one") };
        broker.ask(Request::JoinGroup(JoinGroup { group_id: GroupId::from(group_id), ..request }));
    }
    broker.now = Duration::from_secs(3);
    for answered in [1, 2] {
        assert!(broker.shard.next_deadline().is_some_and(|deadline| deadline <= broker.now));
        broker.call(GroupShard::on_deadline);
        assert_eq!(broker.answers.len(), answered);
    }
    assert!(broker.shard.next_deadline().is_some_and(|deadline| deadline > broker.now));
}
