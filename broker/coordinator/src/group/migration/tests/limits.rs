//! Groups that cannot be written as what they are to become.

use std::time::Duration;

use bytes::{BufMut, Bytes, BytesMut};

use crate::description::GroupKind;
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

/// A classic consumer of `orders` with so many bytes of its own beside it.
fn join(user_data: usize) -> Request {
    let mut subscription = BytesMut::new();
    subscription.put_i16(0);
    subscription.put_i32(1);
    subscription.put_i16(6);
    subscription.put_slice(b"orders");
    subscription.put_i32(i32::try_from(user_data).expect("small"));
    subscription.put_bytes(0, user_data);
    Request::JoinGroup(JoinGroup {
        group_id: GroupId::from("g"),
        member_id: None,
        group_instance_id: None,
        client_id: "client".into(),
        client_host: "/127.0.0.1".into(),
        session_timeout_ms: 600_000,
        rebalance_timeout_ms: 600_000,
        protocol_type: "consumer".into(),
        protocols: vec![("range".into(), Bytes::from(subscription))],
        requires_known_member_id: false,
        supports_skipping_assignment: true,
    })
}

/// A consumer, and two classic members that bring so many bytes each.
fn mixed_group(user_data: usize) -> Broker {
    let mut broker = Broker::new();
    broker.topics.create("orders", 4);
    broker.ask(heartbeat(MemberEpoch::JOIN));
    for _ in 0..2 {
        broker.ask(join(user_data));
        let joined = broker.answers.pop();
        assert!(matches!(joined, Some((_, Some(Reply::JoinGroup(Ok(_)))))), "{joined:?}");
    }
    broker
}

fn group(broker: &Broker) -> (GroupKind, usize) {
    let listed = broker.shard.list();
    let group = listed.first().expect("there is a group");
    (group.kind, group.member_count)
}

#[test]
fn a_group_stays_a_consumer_group_where_its_classic_record_would_be_too_large() {
    for (user_data, becomes) in [(500_000, GroupKind::Classic), (600_000, GroupKind::Consumer)] {
        let mut broker = mixed_group(user_data);
        broker.ask(heartbeat(MemberEpoch::LEAVE));
        assert_eq!(group(&broker), (becomes, 2), "who leaves is gone, with {user_data} bytes each");

        let mut broker = mixed_group(user_data);
        broker.wait(Duration::from_secs(46));
        assert_eq!(group(&broker), (becomes, 2), "who is silent is gone, with {user_data} bytes each");
    }
}
