//! What a consumer group cannot hold, and how it lets go of very many members.

use std::sync::Arc;
use std::time::Duration;

use crate::error::GroupError;
use crate::ids::{GroupId, MemberEpoch, MemberId};
use crate::record::Record;
use crate::request::{ConsumerGroupHeartbeat, ConsumerGroupHeartbeatReply, Reply, Request};
use crate::testing::Broker;

fn joining(member_id: &str) -> ConsumerGroupHeartbeat {
    ConsumerGroupHeartbeat {
        group_id: GroupId::from("g"),
        member_id: MemberId::from(member_id),
        is_named_by_client: true,
        member_epoch: MemberEpoch::JOIN,
        instance_id: None,
        rack_id: None,
        rebalance_timeout_ms: 60_000,
        client_id: "client".into(),
        client_host: "/127.0.0.1".into(),
        subscribed_topic_names: Some(vec!["orders".into()]),
        subscribed_topic_regex: None,
        server_assignor: None,
        owned: Some(Vec::new()),
    }
}

fn broker() -> Broker {
    let mut broker = Broker::new();
    broker.topics.create("orders", 4);
    broker
}

fn answer(
    broker: &mut Broker,
    request: ConsumerGroupHeartbeat,
) -> Result<ConsumerGroupHeartbeatReply, GroupError> {
    broker.ask(Request::ConsumerGroupHeartbeat(request));
    match broker.answers.pop() {
        Some((_, Some(Reply::ConsumerGroupHeartbeat(reply)))) => reply,
        other => panic!("a heartbeat is answered at once: {other:?}"),
    }
}

fn member_count(broker: &Broker) -> usize {
    broker.shard.describe_consumer(&GroupId::from("g")).expect("there is a group").members.len()
}

#[test]
fn members_are_taken_as_long_as_all_can_be_assigned_in_one_batch() {
    let mut broker = broker();
    let long = "m".repeat(32_000);
    let joined = (0..100)
        .take_while(|number| answer(&mut broker, joining(&format!("{long}{number}"))).is_ok())
        .count();
    assert_eq!(joined, 20);
    let refused = answer(&mut broker, joining(&format!("{long}x")));
    assert!(matches!(refused, Err(GroupError::GroupMaxSizeReached(_))), "{refused:?}");
    let known = answer(&mut broker, joining(&format!("{long}0")));
    assert!(known.is_ok(), "a member that is in comes back: {known:?}");
}

#[test]
fn members_may_say_so_much_together() {
    let mut broker = broker();
    let topics: Vec<Arc<str>> = (0..30_000).map(|number| format!("topic-{number:04}").into()).collect();
    let verbose = |number: usize| ConsumerGroupHeartbeat {
        subscribed_topic_names: Some(topics.clone()),
        ..joining(&format!("m{number}"))
    };
    let joined = (0..100).take_while(|number| answer(&mut broker, verbose(*number)).is_ok()).count();
    assert_eq!(joined, 20);
    assert_eq!(answer(&mut broker, verbose(joined)), Err(GroupError::RecordTooLarge));
    assert!(answer(&mut broker, joining("m0")).is_ok(), "one says less");
    assert!(answer(&mut broker, verbose(joined)).is_ok(), "and makes room");
}

#[test]
fn a_group_has_so_many_patterns() {
    let mut broker = broker();
    let by_pattern = |number: usize| ConsumerGroupHeartbeat {
        subscribed_topic_regex: Some(format!("orders-{number}.*").into()),
        ..joining(&format!("m{number}"))
    };
    for number in 0..256 {
        assert!(answer(&mut broker, by_pattern(number)).is_ok(), "{number}");
    }
    let refused = answer(&mut broker, by_pattern(256));
    assert!(matches!(refused, Err(GroupError::InvalidRegularExpression(_))), "{refused:?}");
    let shared = ConsumerGroupHeartbeat { member_id: MemberId::from("other"), ..by_pattern(7) };
    assert!(answer(&mut broker, shared).is_ok(), "one that is there already");
}

#[test]
fn very_many_members_are_removed_in_batches() {
    let mut broker = broker();
    for number in 0..1_200 {
        assert!(answer(&mut broker, joining(&format!("m{number}"))).is_ok());
    }
    broker.wait(Duration::from_millis(44_999));
    assert_eq!(member_count(&broker), 1_200);
    let mut appended = broker.log.len();
    for left in [700, 200, 0] {
        broker.wait(Duration::from_millis(1));
        assert_eq!(member_count(&broker), left);
        let batch = broker.log.get(appended..).unwrap_or_default();
        let epochs = batch.iter().filter(|record| matches!(record, Record::ConsumerGroup { .. })).count();
        assert_eq!(epochs, 1, "one batch");
        appended = broker.log.len();
    }
}
