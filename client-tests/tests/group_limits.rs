//! Groups at their limits: one member too many, members that vanish as soon as they have joined, and members that are
//! there and do nothing. No group is stuck, and memory is bounded.

use std::time::Duration;

use anyhow::{Result, ensure};
use client_tests::group::admin::{coordinator, create_served_topic, expect_code};
use client_tests::group::classic::{JOIN_VERSION, RawMember, join, join_request, text};
use client_tests::group::consumer::{RawConsumer, heartbeat, join_request as consumer_join};
use client_tests::group::{GROUP_SIZE_MAX, SETTINGS};
use client_tests::node::Node;
use client_tests::target::{Target, unique_topic};
use client_tests::wait::wait_until;
use client_tests::wire::Connection;
use kafka_protocol::error::ResponseError as Code;
use kafka_protocol::messages::JoinGroupRequest;

/// How many members come and vanish. Each holds some hundred bytes in the broker until its session ends.
const VANISHING: usize = 2_000;
/// What the broker's anonymous memory may grow by meanwhile.
const MEMORY_GROWTH_MAX: u64 = 32 << 20;
/// The longest that a group may take to notice dead members and to rebalance.
const LIMIT: Duration = Duration::from_secs(60);

#[test]
fn classic_group_takes_no_more_members_than_its_maximum() -> Result<()> {
    let target = Target::start_with(&SETTINGS)?;
    let group = unique_topic("full");
    let mut connections = vec![coordinator(target.bootstrap(), &group)?];
    let request = join_request(&group, &["range"]);
    let mut ids = Vec::new();
    for _ in 0..GROUP_SIZE_MAX {
        // Each keeps its connection: its join is answered once the others have joined again, which they never do.
        let mut connection = Connection::open(target.bootstrap())?;
        let asked = connection.call(JOIN_VERSION, &request)?;
        expect_code("a member", asked.error_code, Some(Code::MemberIdRequired))?;
        connection.send(JOIN_VERSION, &request.clone().with_member_id(asked.member_id.clone()))?;
        ids.push(asked.member_id);
        connections.push(connection);
    }
    let last = &mut connections[0];
    wait_until(LIMIT, "one member too many is refused", || {
        let refused = join(last, request.clone())?;
        Ok(Code::try_from_code(refused.error_code) == Some(Code::GroupMaxSizeReached))
    })?;
    ensure!(ids.len() == GROUP_SIZE_MAX, "not all had joined");
    Ok(())
}

#[test]
fn consumer_group_takes_no_more_members_than_its_maximum() -> Result<()> {
    let target = Target::start_with(&SETTINGS)?;
    let group = unique_topic("full");
    let mut connection = coordinator(target.bootstrap(), &group)?;
    for index in 0..GROUP_SIZE_MAX {
        RawConsumer::join(&mut connection, &consumer_join(&group, &format!("member-{index}"), &["none"]))?;
    }
    let refused = heartbeat(&mut connection, &consumer_join(&group, "one-too-many", &["none"]))?;
    expect_code("one too many", refused.error_code, Some(Code::GroupMaxSizeReached))?;
    let again = heartbeat(&mut connection, &consumer_join(&group, "member-0", &["none"]))?;
    expect_code("one that is in it", again.error_code, None)
}

#[test]
fn members_that_join_and_vanish_leave_nothing_behind() -> Result<()> {
    let target = Target::start_with(&SETTINGS)?;
    let group = unique_topic("vanishing");
    let mut connection = coordinator(target.bootstrap(), &group)?;
    let before = target.node().map(Node::anonymous_memory).transpose()?;
    for number in 0..VANISHING {
        let request = short_session(&format!("{group}-{}", number % 50));
        let mut vanishing = Connection::open(target.bootstrap())?;
        let asked = vanishing.call(JOIN_VERSION, &request)?;
        // Half of them never come back with their id; the others do, and do not wait for the answer.
        if number % 2 == 0 && Code::try_from_code(asked.error_code) == Some(Code::MemberIdRequired) {
            vanishing.send(JOIN_VERSION, &request.with_member_id(asked.member_id))?;
        }
    }
    let growth = match (before, target.node()) {
        (Some(before), Some(node)) => node.anonymous_memory()?.saturating_sub(before),
        _ => 0,
    };
    ensure!(growth <= MEMORY_GROWTH_MAX, "{VANISHING} vanished members cost {growth} bytes");
    wait_until(LIMIT, "the group is free for somebody who stays", || {
        let Ok(member) = RawMember::alone_by(&mut connection, short_session(&format!("{group}-0"))) else {
            return Ok(false);
        };
        Ok(member.heartbeat(&mut connection)? == 0)
    })
}

#[test]
fn classic_member_that_does_not_rejoin_in_time_is_left_behind() -> Result<()> {
    let target = Target::start_with(&SETTINGS)?;
    let group = unique_topic("idle");
    let mut connection = coordinator(target.bootstrap(), &group)?;
    let request = join_request(&group, &["range"]).with_rebalance_timeout_ms(1_500);
    let idle = RawMember::alone_by(&mut connection, request.clone())?;
    let mut other = Connection::open(target.bootstrap())?;
    let asked = other.call(JOIN_VERSION, &request)?;
    let request = request.with_member_id(asked.member_id);
    other.send(JOIN_VERSION, &request)?;
    wait_until(LIMIT, "the idle member is told of the rebalance", || {
        let code = Code::try_from_code(idle.heartbeat(&mut connection)?);
        Ok(code == Some(Code::RebalanceInProgress))
    })?;
    // It goes on saying that it is there, and never joins again.
    wait_until(LIMIT, "the idle member is out", || {
        let code = Code::try_from_code(idle.heartbeat(&mut connection)?);
        ensure!(matches!(code, Some(Code::RebalanceInProgress | Code::UnknownMemberId)), "{code:?}");
        Ok(code == Some(Code::UnknownMemberId))
    })?;
    let joined = other.receive::<JoinGroupRequest>(JOIN_VERSION)?;
    expect_code("the other's join", joined.error_code, None)?;
    ensure!(joined.members.len() == 1 && joined.leader == request.member_id, "{joined:?}");
    Ok(())
}

#[test]
fn consumer_that_does_not_give_up_partitions_in_time_is_fenced() -> Result<()> {
    let target = Target::start_with(&SETTINGS)?;
    let (group, topic) = (unique_topic("stuck"), unique_topic("stuck"));
    let mut connection = coordinator(target.bootstrap(), &group)?;
    create_served_topic(&mut connection, &topic, 2)?;
    let request = |id: &str| consumer_join(&group, id, &[&topic]).with_rebalance_timeout_ms(1_500);
    let mut stuck = RawConsumer::join(&mut connection, &request("stuck"))?;
    wait_until(LIMIT, "the first member owns everything", || {
        stuck.reconcile(&mut connection)?;
        Ok(stuck.share() == 2)
    })?;
    let mut other = RawConsumer::join(&mut connection, &request("other"))?;
    wait_until(LIMIT, "the stuck member is fenced, and the other one owns everything", || {
        let code = Code::try_from_code(stuck.beat(&mut connection)?);
        ensure!(matches!(code, None | Some(Code::UnknownMemberId)), "{code:?}");
        other.reconcile(&mut connection)?;
        Ok(code == Some(Code::UnknownMemberId) && other.share() == 2)
    })
}

/// A JoinGroup with the shortest session that the settings allow.
fn short_session(group: &str) -> JoinGroupRequest {
    join_request(group, &["range"])
        .with_session_timeout_ms(1_000)
        .with_rebalance_timeout_ms(1_000)
        .with_reason(Some(text("test")))
}
