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

/// A group whose members have a pattern each, a new topic, and the patterns old enough to be matched again.
fn by_outdated_patterns(count: usize, bytes: usize) -> Broker {
    let mut broker = broker();
    for number in 0..count {
        assert!(answer(&mut broker, by_pattern(number, bytes)).is_ok(), "{number}");
    }
    broker.wait(Duration::from_secs(11));
    broker.topics.create("new", 1);
    broker
}

fn by_pattern(number: usize, bytes: usize) -> ConsumerGroupHeartbeat {
    ConsumerGroupHeartbeat {
        subscribed_topic_names: None,
        subscribed_topic_regex: Some(format!("{number}{}", "x".repeat(bytes)).into()),
        ..joining(&format!("m{number}"))
    }
}

/// How many bytes of patterns each record has that a heartbeat leads to.
fn matched(broker: &mut Broker, request: ConsumerGroupHeartbeat) -> Vec<usize> {
    let appended = broker.log.len();
    assert!(answer(broker, request).is_ok());
    let batch = broker.log.iter().skip(appended);
    let pattern = |record: &Record| match record {
        Record::RegularExpression { regular_expression, .. } => Some(regular_expression.len()),
        _ => None,
    };
    batch.filter_map(pattern).collect()
}

#[test]
fn one_heartbeat_writes_patterns_up_to_so_many_bytes() {
    let mut broker = by_outdated_patterns(60, 5_000);
    let bytes: usize = matched(&mut broker, by_pattern(0, 5_000)).iter().sum();
    assert!((128 * 1024..136 * 1024).contains(&bytes), "{bytes}");
}

#[test]
fn one_heartbeat_compiles_so_many_patterns_and_one_a_second_later_the_others() {
    let mut broker = by_outdated_patterns(150, 1);
    assert_eq!(matched(&mut broker, by_pattern(0, 1)).len(), 100);
    assert_eq!(matched(&mut broker, by_pattern(1, 1)).len(), 0);
    broker.wait(Duration::from_secs(1));
    assert_eq!(matched(&mut broker, by_pattern(0, 1)).len(), 50);
}

#[test]
fn patterns_whose_matches_the_log_refuses_are_not_matched_by_every_heartbeat() {
    let mut broker = by_outdated_patterns(2, 1);
    broker.is_refusing = true;
    broker.ask(Request::ConsumerGroupHeartbeat(by_pattern(0, 1)));
    assert_eq!(broker.answers.pop().and_then(|(_, reply)| reply), None, "it was refused");
    broker.is_refusing = false;
    assert_eq!(matched(&mut broker, by_pattern(0, 1)).len(), 0);
    broker.wait(Duration::from_secs(1));
    assert_eq!(matched(&mut broker, by_pattern(0, 1)).len(), 2);
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

#[test]
fn members_with_long_ids_are_removed_in_batches_of_so_many_bytes() {
    let mut broker = broker();
    let long = "m".repeat(20_000);
    for number in 0..10 {
        assert!(answer(&mut broker, joining(&format!("{long}{number}"))).is_ok());
    }
    broker.wait(Duration::from_millis(44_999));
    // Three times 20,000 bytes each, of 262,144.
    for left in [6, 2, 0] {
        broker.wait(Duration::from_millis(1));
        assert_eq!(member_count(&broker), left);
    }
}
