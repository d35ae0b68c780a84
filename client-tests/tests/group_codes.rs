//! What a classic group answers to requests that no well-behaved member sends: Kafka's exact codes, and a group that
//! goes on as if nothing had been asked.

use anyhow::{Result, ensure};
use client_tests::group::SETTINGS;
use client_tests::group::admin::{coordinator, delete_group, expect_code, group_id};
use client_tests::group::classic::{JOIN_VERSION, RawMember, join, join_request, text};
use client_tests::target::{Target, unique_topic};
use client_tests::wire::Connection;
use kafka_protocol::error::ResponseError as Code;
use kafka_protocol::messages::{DescribeGroupsRequest, OffsetDeleteRequest};

/// Runs `claim` with a stable group of one member, and then checks that this member still is in it.
fn beside_a_stable_group(claim: impl FnOnce(&mut Connection, &RawMember) -> Result<()>) -> Result<()> {
    let target = Target::start_with(&SETTINGS)?;
    let group = unique_topic("codes");
    let mut connection = coordinator(target.bootstrap(), &group)?;
    let member = RawMember::alone(&mut connection, &group)?;
    claim(&mut connection, &member)?;
    expect_code("the member's own heartbeat", member.heartbeat(&mut connection)?, None)
}

#[test]
fn heartbeats_syncs_and_leaves_of_others_are_refused() -> Result<()> {
    beside_a_stable_group(|connection, member| {
        let stranger = member.with_member_id("stranger");
        for generation in [member.generation - 1, member.generation + 1] {
            let other = member.with_generation(generation);
            expect_code("heartbeat", other.heartbeat(connection)?, Some(Code::IllegalGeneration))?;
            expect_code("sync", other.sync(connection)?, Some(Code::IllegalGeneration))?;
        }
        expect_code("heartbeat", stranger.heartbeat(connection)?, Some(Code::UnknownMemberId))?;
        expect_code("sync", stranger.sync(connection)?, Some(Code::UnknownMemberId))?;
        expect_code("leave", stranger.leave(connection)?, Some(Code::UnknownMemberId))?;
        let elsewhere = RawMember { group: unique_topic("no-such-group"), ..member.clone() };
        expect_code("heartbeat", elsewhere.heartbeat(connection)?, Some(Code::UnknownMemberId))?;
        expect_code("sync", elsewhere.sync(connection)?, Some(Code::UnknownMemberId))?;
        expect_code("leave", elsewhere.leave(connection)?, Some(Code::UnknownMemberId))
    })
}

#[test]
fn groups_without_a_name_are_refused() -> Result<()> {
    beside_a_stable_group(|connection, member| {
        let nameless = RawMember { group: String::new(), ..member.clone() };
        let joined = join(connection, join_request("", &["range"]))?;
        expect_code("join", joined.error_code, Some(Code::InvalidGroupId))?;
        expect_code("sync", nameless.sync(connection)?, Some(Code::InvalidGroupId))?;
        expect_code("heartbeat", nameless.heartbeat(connection)?, Some(Code::InvalidGroupId))?;
        expect_code("leave", nameless.leave(connection)?, Some(Code::InvalidGroupId))?;
        expect_code("delete", delete_group(connection, "")?, Some(Code::GroupIdNotFound))
    })
}

#[test]
fn sessions_out_of_range_are_refused() -> Result<()> {
    beside_a_stable_group(|connection, member| {
        for session_timeout_ms in [-1, 0, 999, 1_800_001, i32::MAX] {
            let request = join_request(&member.group, &["range"]).with_session_timeout_ms(session_timeout_ms);
            let joined = join(connection, request)?;
            let what = format!("a session of {session_timeout_ms} ms");
            expect_code(&what, joined.error_code, Some(Code::InvalidSessionTimeout))?;
        }
        Ok(())
    })
}

#[test]
fn new_member_is_told_its_id_first_and_others_do_not_exist() -> Result<()> {
    beside_a_stable_group(|connection, member| {
        let request = join_request(&unique_topic("ids"), &["range"]);
        let asked = connection.call(JOIN_VERSION, &request)?;
        expect_code("the first join", asked.error_code, Some(Code::MemberIdRequired))?;
        ensure!(asked.generation_id == -1 && !asked.member_id.is_empty(), "{asked:?}");
        let joined =
            connection.call(JOIN_VERSION, &request.clone().with_member_id(asked.member_id.clone()))?;
        expect_code("the join with the id", joined.error_code, None)?;
        ensure!(joined.generation_id == 1 && joined.leader == asked.member_id, "{joined:?}");
        for request in [request, join_request(&unique_topic("new"), &["range"])] {
            let invented = request.with_member_id(text("invented"));
            let refused = connection.call(JOIN_VERSION, &invented)?;
            expect_code("an invented id", refused.error_code, Some(Code::UnknownMemberId))?;
        }
        let stranger = join_request(&member.group, &["range"]).with_member_id(text("stranger"));
        let refused = connection.call(JOIN_VERSION, &stranger)?;
        expect_code("an invented id", refused.error_code, Some(Code::UnknownMemberId))
    })
}

#[test]
fn members_without_a_common_protocol_are_refused() -> Result<()> {
    beside_a_stable_group(|connection, member| {
        let request = |protocols: &[&str]| join_request(&member.group, protocols);
        let refused = [
            ("another protocol", request(&["roundrobin"])),
            ("another type", request(&["range"]).with_protocol_type(text("connect"))),
            ("no protocol", request(&[])),
            ("no type", request(&["range"]).with_protocol_type(text(""))),
            ("no protocol in a new group", join_request(&unique_topic("new"), &[])),
        ];
        for (what, request) in refused {
            let joined = join(connection, request)?;
            expect_code(what, joined.error_code, Some(Code::InconsistentGroupProtocol))?;
        }
        for (what, request) in [
            ("type", member.sync_request().with_protocol_type(Some(text("connect")))),
            ("name", member.sync_request().with_protocol_name(Some(text("roundrobin")))),
        ] {
            let synced = connection.call(5, &request)?;
            expect_code(what, synced.error_code, Some(Code::InconsistentGroupProtocol))?;
        }
        Ok(())
    })
}

#[test]
fn instance_id_belongs_to_who_joined_with_it_last() -> Result<()> {
    let target = Target::start_with(&SETTINGS)?;
    let group = unique_topic("static");
    let mut connection = coordinator(target.bootstrap(), &group)?;
    let connection = &mut connection;
    let request = join_request(&group, &["range"]).with_group_instance_id(Some(text("instance")));
    let first = RawMember::alone_by(connection, request.clone())?;
    let joined = join(connection, request)?;
    expect_code("the second join", joined.error_code, None)?;
    ensure!(joined.generation_id == first.generation, "a static member that comes back starts no rebalance");
    ensure!(joined.member_id != first.member_id && joined.skip_assignment, "{joined:?}");
    let second = RawMember { member_id: joined.member_id, ..first.clone() };
    expect_code("heartbeat", first.heartbeat(connection)?, Some(Code::FencedInstanceId))?;
    expect_code("sync", first.sync(connection)?, Some(Code::FencedInstanceId))?;
    expect_code("leave", first.leave(connection)?, Some(Code::FencedInstanceId))?;
    let back = join_request(&group, &["range"])
        .with_group_instance_id(Some(text("instance")))
        .with_member_id(first.member_id.clone());
    expect_code("join", join(connection, back)?.error_code, Some(Code::FencedInstanceId))?;
    let unknown = RawMember { instance_id: Some(text("another")), ..second.clone() };
    expect_code("heartbeat", unknown.heartbeat(connection)?, Some(Code::UnknownMemberId))?;
    expect_code("leave", unknown.leave(connection)?, Some(Code::UnknownMemberId))?;
    expect_code("the second one's sync", second.sync(connection)?, None)?;
    expect_code("the second one's heartbeat", second.heartbeat(connection)?, None)?;
    let by_instance = RawMember { member_id: text(""), ..second };
    expect_code("leave by instance id", by_instance.leave(connection)?, None)
}

#[test]
fn groups_that_are_there_or_not_are_described_and_deleted_accordingly() -> Result<()> {
    beside_a_stable_group(|connection, member| {
        let missing = unique_topic("missing");
        let describe = DescribeGroupsRequest::default().with_groups(vec![group_id(&missing)]);
        let [old, new] = [5, 6].map(|version| connection.call(version, &describe));
        let (old, new) = (old?, new?);
        ensure!(old.groups[0].error_code == 0 && *old.groups[0].group_state == *"Dead", "{old:?}");
        expect_code("describe", new.groups[0].error_code, Some(Code::GroupIdNotFound))?;
        expect_code("delete", delete_group(connection, &missing)?, Some(Code::GroupIdNotFound))?;
        let not_empty = delete_group(connection, &member.group)?;
        expect_code("delete a group with a member", not_empty, Some(Code::NonEmptyGroup))?;
        let delete = OffsetDeleteRequest::default().with_group_id(group_id(&missing));
        let deleted = connection.call(0, &delete)?;
        expect_code("delete offsets", deleted.error_code, Some(Code::GroupIdNotFound))?;
        let empty = RawMember::alone(connection, &missing)?;
        expect_code("leave", empty.leave(connection)?, None)?;
        expect_code("delete an empty group", delete_group(connection, &missing)?, None)?;
        expect_code("heartbeat", empty.heartbeat(connection)?, Some(Code::UnknownMemberId))
    })
}
