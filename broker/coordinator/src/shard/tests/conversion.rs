//! A consumer group that nobody is left in becomes a classic group when a classic member joins.

use std::time::Duration;

use bytes::Bytes;

use crate::description::GroupKind;
use crate::error::GroupError;
use crate::ids::{GroupId, MemberEpoch, MemberId};
use crate::request::{ConsumerGroupHeartbeat, JoinGroup, Reply, Request};
use crate::testing::Broker;

fn heartbeat(member_epoch: MemberEpoch) -> Request {
    Request::ConsumerGroupHeartbeat(ConsumerGroupHeartbeat {
        group_id: GroupId::from("g"),
        member_id: MemberId::from("consumer"),
        is_named_by_client: true,
        member_epoch,
        instance_id: None,
        rack_id: None,
        rebalance_timeout_ms: 60_000,
        client_id: "client".into(),
        client_host: "/127.0.0.1".into(),
        subscribed_topic_names: Some(vec!["orders".into()]),
        subscribed_topic_regex: None,
        server_assignor: None,
        owned: Some(Vec::new()),
    })
}

fn join() -> Request {
    Request::JoinGroup(JoinGroup {
        group_id: GroupId::from("g"),
        member_id: None,
        group_instance_id: None,
        client_id: "client".into(),
        client_host: "/127.0.0.1".into(),
        session_timeout_ms: 10_000,
        rebalance_timeout_ms: 60_000,
        protocol_type: "consumer".into(),
        protocols: vec![("range".into(), Bytes::new())],
        requires_known_member_id: false,
        supports_skipping_assignment: true,
    })
}

/// A consumer group whose only member has left.
fn left_group() -> Broker {
    let mut broker = Broker::new();
    broker.topics.create("orders", 1);
    broker.ask(heartbeat(MemberEpoch::JOIN));
    broker.ask(heartbeat(MemberEpoch::LEAVE));
    broker.answers.clear();
    assert_eq!(kind(&broker), GroupKind::Consumer);
    broker
}

fn kind(broker: &Broker) -> GroupKind {
    broker.shard.list().first().expect("there is a group").kind
}

#[test]
fn a_classic_member_joins_a_consumer_group_that_nobody_is_left_in() {
    let mut broker = left_group();
    broker.ask(join());
    assert_eq!(kind(&broker), GroupKind::Classic);
    broker.wait(Duration::from_secs(3));
    let (_, reply) = broker.answers.pop().expect("it waited no longer than the first delay");
    assert!(matches!(reply, Some(Reply::JoinGroup(Ok(_)))));
}

#[test]
fn a_conversion_that_cannot_be_written_leaves_the_group_as_it_is_and_nobody_waiting() {
    let mut broker = left_group();
    broker.is_refusing = true;
    let refused = broker.ask(join());
    broker.is_refusing = false;
    broker.wait(Duration::ZERO);
    let answer = broker.answers.pop();
    assert_eq!(answer, Some((refused, Some(Reply::JoinGroup(Err(GroupError::NotCoordinator))))));
    assert_eq!(kind(&broker), GroupKind::Consumer);
}

#[test]
fn a_conversion_is_told_when_it_is_committed() {
    let mut broker = left_group();
    broker.is_stalled = true;
    broker.ask(join());
    assert_eq!(kind(&broker), GroupKind::Consumer);
    broker.catch_up();
    assert_eq!(kind(&broker), GroupKind::Classic);
}
