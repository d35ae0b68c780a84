//! What the consumer protocol (KIP-848) answers to heartbeats that no well-behaved member sends: Kafka's exact codes.

use std::time::Duration;

use anyhow::{Result, ensure};
use client_tests::group::SETTINGS;
use client_tests::group::admin::{commit, commit_request, coordinator, create_served_topic, expect_code};
use client_tests::group::classic::{RawMember, join, join_request as classic_join, text};
use client_tests::group::consumer::{RawConsumer, heartbeat, heartbeat_request, join_request};
use client_tests::target::{Target, unique_topic};
use client_tests::wait::wait_until;
use client_tests::wire::{Connection, topic_name};
use kafka_protocol::error::ResponseError as Code;
use kafka_protocol::messages::ConsumerGroupHeartbeatRequest;
use kafka_protocol::messages::DeleteTopicsRequest;
use kafka_protocol::messages::consumer_group_heartbeat_request::TopicPartitions;
use uuid::Uuid;

const PARTITIONS: i32 = 3;
/// The longest that a reconciliation may take.
const LIMIT: Duration = Duration::from_secs(60);

/// A group with one member that owns all partitions of a topic.
struct Settled {
    _target: Target,
    connection: Connection,
    member: RawConsumer,
    topic: String,
}

impl Settled {
    fn start() -> Result<Settled> {
        Settled::start_by(|request| request)
    }

    fn start_by(
        change: impl FnOnce(ConsumerGroupHeartbeatRequest) -> ConsumerGroupHeartbeatRequest,
    ) -> Result<Settled> {
        let target = Target::start_with(&SETTINGS)?;
        let (group, topic) = (unique_topic("consumers"), unique_topic("subscribed"));
        let mut connection = coordinator(target.bootstrap(), &group)?;
        create_served_topic(&mut connection, &topic, PARTITIONS)?;
        let request = change(join_request(&group, "first", &[&topic]));
        let mut member = RawConsumer::join(&mut connection, &request)?;
        settle(&mut connection, &mut [&mut member], PARTITIONS as usize)?;
        Ok(Settled { _target: target, connection, member, topic })
    }

    fn join_request(&self, member_id: &str) -> ConsumerGroupHeartbeatRequest {
        join_request(&self.member.group, member_id, &[&self.topic])
    }

    fn heartbeat(&self) -> ConsumerGroupHeartbeatRequest {
        heartbeat_request(&self.member.group, &self.member.member_id, self.member.epoch)
    }

    fn expect(
        &mut self,
        what: &str,
        request: &ConsumerGroupHeartbeatRequest,
        code: Option<Code>,
    ) -> Result<()> {
        let response = heartbeat(&mut self.connection, request)?;
        expect_code(what, response.error_code, code)
    }
}

/// Lets the members reconcile until each has `share` partitions.
fn settle(connection: &mut Connection, members: &mut [&mut RawConsumer], share: usize) -> Result<()> {
    wait_until(LIMIT, "the members have their share", || {
        members.iter_mut().try_for_each(|member| member.reconcile(connection))?;
        Ok(members.iter().all(|member| member.share() == share))
    })
}

#[test]
fn heartbeats_that_make_no_sense_are_refused() -> Result<()> {
    let mut group = Settled::start()?;
    let next = || group.join_request("next");
    let owned = TopicPartitions::default().with_topic_id(Uuid::from_u128(1)).with_partitions(vec![0]);
    let refused = [
        ("no group", next().with_group_id(Default::default())),
        ("no member id", next().with_member_id(text(""))),
        ("a blank member id", next().with_member_id(text(" "))),
        ("a blank instance id", next().with_instance_id(Some(text("")))),
        ("a blank rack", next().with_rack_id(Some(text("")))),
        ("no rebalance timeout", next().with_rebalance_timeout_ms(-1)),
        ("no subscription", next().with_subscribed_topic_names(None)),
        ("no list of partitions", next().with_topic_partitions(None)),
        ("partitions from the start", next().with_topic_partitions(Some(vec![owned]))),
        ("a leave of a static member without its id", group.heartbeat().with_member_epoch(-2)),
        ("an epoch below those", group.heartbeat().with_member_epoch(-3)),
    ];
    for (what, request) in refused {
        group.expect(what, &request, Some(Code::InvalidRequest))?;
    }
    for assignor in ["", "no-such-assignor"] {
        let unknown = group.join_request("next").with_server_assignor(Some(text(assignor)));
        group.expect("an unknown assignor", &unknown, Some(Code::UnsupportedAssignor))?;
    }
    let request = group.heartbeat();
    group.expect("the member's own heartbeat", &request, None)
}

#[test]
fn bad_patterns_are_refused_and_good_ones_subscribe() -> Result<()> {
    let mut group = Settled::start()?;
    for pattern in ["(", "[a-", "a{2,1}", "*", r"(?=lookahead)", r"(a)\1"] {
        let request = group
            .join_request("next")
            .with_subscribed_topic_names(None)
            .with_subscribed_topic_regex(Some(text(pattern)));
        group.expect(pattern, &request, Some(Code::InvalidRegularExpression))?;
    }
    let name = unique_topic("by-pattern");
    let pattern = format!("{}.*", group.topic);
    let request = join_request(&name, "reader", &[])
        .with_subscribed_topic_names(None)
        .with_subscribed_topic_regex(Some(text(&pattern)));
    let mut reader = RawConsumer::join(&mut group.connection, &request)?;
    settle(&mut group.connection, &mut [&mut reader], PARTITIONS as usize)
}

#[test]
fn members_are_known_by_id_and_epoch() -> Result<()> {
    let mut group = Settled::start()?;
    let stranger = heartbeat_request(&group.member.group, "stranger", 1);
    group.expect("a stranger", &stranger, Some(Code::UnknownMemberId))?;
    let leaving = heartbeat_request(&group.member.group, "stranger", -1);
    group.expect("a stranger that leaves", &leaving, Some(Code::UnknownMemberId))?;
    let elsewhere = heartbeat_request(&unique_topic("missing"), "first", 1);
    group.expect("a missing group", &elsewhere, Some(Code::GroupIdNotFound))?;
    let ahead = group.heartbeat().with_member_epoch(group.member.epoch + 1);
    group.expect("an epoch of the future", &ahead, Some(Code::FencedMemberEpoch))?;
    // The epoch rises twice, so that the first one is not the one before.
    let request = group.join_request("second");
    let mut second = RawConsumer::join(&mut group.connection, &request)?;
    let (connection, member) = (&mut group.connection, &mut group.member);
    wait_until(LIMIT, "both have a share", || {
        member.reconcile(connection)?;
        second.reconcile(connection)?;
        Ok(member.share() + second.share() == PARTITIONS as usize && second.share() > 0)
    })?;
    let left = heartbeat(connection, &heartbeat_request(&member.group, "second", -1))?;
    expect_code("leave", left.error_code, None)?;
    ensure!(left.member_epoch == -1, "{left:?}");
    settle(connection, &mut [member], PARTITIONS as usize)?;
    let behind = group.heartbeat().with_member_epoch(1);
    group.expect("an epoch of the past", &behind, Some(Code::FencedMemberEpoch))?;
    let request = group.heartbeat();
    group.expect("its own epoch", &request, None)
}

#[test]
fn commits_need_the_members_epoch() -> Result<()> {
    let mut group = Settled::start()?;
    let (name, topic, epoch) = (group.member.group.clone(), group.topic.clone(), group.member.epoch);
    let request = |member_id: &str, epoch: i32| {
        commit_request(&name, &topic, 0, 4)
            .with_member_id(text(member_id))
            .with_generation_id_or_member_epoch(epoch)
    };
    let cases = [
        ("the member", 9, request("first", epoch), None),
        ("an old epoch", 9, request("first", epoch - 1), Some(Code::StaleMemberEpoch)),
        ("a coming epoch", 9, request("first", epoch + 1), Some(Code::StaleMemberEpoch)),
        ("a stranger", 9, request("stranger", epoch), Some(Code::UnknownMemberId)),
        ("nobody", 9, request("", -1), Some(Code::UnknownMemberId)),
        ("a version that does not know epochs", 8, request("first", epoch), Some(Code::UnsupportedVersion)),
    ];
    for (who, version, request, code) in cases {
        expect_code(who, commit(&mut group.connection, version, &request)?, code)?;
    }
    Ok(())
}

#[test]
fn instance_id_is_given_up_before_another_takes_it() -> Result<()> {
    let instance = Some(text("instance"));
    let mut group = Settled::start_by(|request| request.with_instance_id(Some(text("instance"))))?;
    let second = group.join_request("second").with_instance_id(instance.clone());
    group.expect("while it is in use", &second, Some(Code::UnreleasedInstanceId))?;
    let other = group.heartbeat().with_instance_id(Some(text("other")));
    group.expect("an instance that is not there", &other, Some(Code::UnknownMemberId))?;
    let pause = group.heartbeat().with_member_epoch(-2).with_instance_id(instance.clone());
    group.expect("a leave for a while", &pause, None)?;
    let mut second = RawConsumer::join(&mut group.connection, &second)?;
    settle(&mut group.connection, &mut [&mut second], PARTITIONS as usize)?;
    let late = group.heartbeat().with_instance_id(instance);
    group.expect("the first one", &late, Some(Code::FencedInstanceId))
}

#[test]
fn partitions_of_a_deleted_topic_are_taken_back() -> Result<()> {
    let mut group = Settled::start()?;
    let name = topic_name(&group.topic);
    let delete = DeleteTopicsRequest::default().with_topic_names(vec![name]).with_timeout_ms(60_000);
    let deleted = group.connection.call(5, &delete)?;
    expect_code("delete", deleted.responses[0].error_code, None)?;
    let (connection, member) = (&mut group.connection, &mut group.member);
    settle(connection, &mut [member], 0)?;
    create_served_topic(connection, &group.topic, PARTITIONS + 1)?;
    settle(connection, &mut [member], PARTITIONS as usize + 1)
}

#[test]
fn two_protocols_share_a_group_only_where_the_classic_one_is_a_consumers() -> Result<()> {
    let mut group = Settled::start()?;
    let name = group.member.group.clone();
    let connect = classic_join(&name, &["default"]).with_protocol_type(text("connect"));
    let refused = join(&mut group.connection, connect)?;
    expect_code("a connector", refused.error_code, Some(Code::InconsistentGroupProtocol))?;
    let classic = unique_topic("connectors");
    let connectors = classic_join(&classic, &["default"]).with_protocol_type(text("connect"));
    let joined = join(&mut group.connection, connectors)?;
    expect_code("a group of connectors", joined.error_code, None)?;
    let consumer = join_request(&classic, "consumer", &[&group.topic]);
    group.expect("a consumer among connectors", &consumer, Some(Code::GroupIdNotFound))?;
    // An empty classic group becomes one of the consumer protocol.
    let empty = unique_topic("emptied");
    let classic = RawMember::alone(&mut group.connection, &empty)?;
    expect_code("leave", classic.leave(&mut group.connection)?, None)?;
    let mut consumer =
        RawConsumer::join(&mut group.connection, &join_request(&empty, "consumer", &[&group.topic]))?;
    settle(&mut group.connection, &mut [&mut consumer], PARTITIONS as usize)
}
