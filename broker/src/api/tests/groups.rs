//! The responses about groups, in every version that is served, as [`super`] has the others.

use super::offsets::{NAME, commit, committing, fetching_one};
use super::{text, versions};
use crate::api::{Outcome, decode_request, dispatch, find};
use crate::node::testing::{TestNode, response, topic_name};
use crate::wire::request_header::RequestPrefix;
use bytes::{Bytes, BytesMut};
use kafka_protocol::messages::join_group_request::JoinGroupRequestProtocol;
use kafka_protocol::messages::leave_group_request::MemberIdentity;
use kafka_protocol::messages::offset_delete_request::{
    OffsetDeleteRequestPartition, OffsetDeleteRequestTopic,
};
use kafka_protocol::messages::sync_group_request::SyncGroupRequestAssignment;
use kafka_protocol::messages::{
    ConsumerGroupDescribeRequest, ConsumerGroupDescribeResponse, ConsumerGroupHeartbeatRequest,
    ConsumerGroupHeartbeatResponse, DeleteGroupsRequest, DeleteGroupsResponse, DescribeGroupsRequest,
    DescribeGroupsResponse, FindCoordinatorRequest, FindCoordinatorResponse, GroupId, HeartbeatRequest,
    HeartbeatResponse, JoinGroupRequest, JoinGroupResponse, LeaveGroupRequest, LeaveGroupResponse,
    ListGroupsRequest, ListGroupsResponse, OffsetDeleteRequest, OffsetDeleteResponse, OffsetFetchResponse,
    SyncGroupRequest, SyncGroupResponse,
};
use kafka_protocol::protocol::{Encodable, StrBytes};

/// A node with the topic [`NAME`] of two partitions, and coordinators.
pub(super) async fn node() -> TestNode {
    let node = TestNode::start(&["group.initial.rebalance.delay.ms=0"]).await;
    node.create_topic(NAME, 2).await;
    let request = FindCoordinatorRequest::default().with_key(text("any"));
    let found: FindCoordinatorResponse = node.ask(10, 3, &request).await;
    assert_eq!(found.error_code, 0);
    node
}

pub(super) fn group(name: &str) -> GroupId {
    GroupId(text(name))
}

fn code_where(holds: bool, code: i16) -> i16 {
    if holds { code } else { 0 }
}

pub(super) fn encoded<Q: Encodable>(request: &Q, version: i16) -> BytesMut {
    let mut body = BytesMut::new();
    request.encode(&mut body, version).expect("the request fits its version");
    body
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn find_coordinator_answers_in_every_version() {
    let node = TestNode::start(&[]).await;
    for version in versions(10) {
        for (key_type, expected) in [(0, 0), (1, 42), (2, 42), (9, 42)] {
            if version == 0 && key_type != 0 {
                continue;
            }
            let mut request = FindCoordinatorRequest::default();
            if version >= 1 {
                request.key_type = key_type;
            }
            if version >= 4 {
                request.coordinator_keys = vec![text("one"), text("two")];
            } else {
                request.key = text("one");
            }
            let answer: FindCoordinatorResponse = node.ask(10, version, &request).await;
            let found: Vec<_> = match version {
                4.. => answer
                    .coordinators
                    .iter()
                    .map(|found| (found.error_code, found.node_id.0, found.port))
                    .collect(),
                _ => vec![(answer.error_code, answer.node_id.0, answer.port)],
            };
            let one = if expected == 0 { (0, 1, 9092) } else { (expected, -1, -1) };
            let count = if version >= 4 { 2 } else { 1 };
            assert_eq!(found, vec![one; count], "kind {key_type} in version {version}");
        }
    }
    assert_eq!(node.broker.image().topic_by_name("__consumer_offsets").expect("made").partitions.len(), 50);
    node.stop().await;
}

fn joining(name: &str, member_id: &StrBytes, version: i16) -> JoinGroupRequest {
    let protocol =
        JoinGroupRequestProtocol::default().with_name(text("range")).with_metadata(Bytes::from_static(b"me"));
    let mut request = JoinGroupRequest::default()
        .with_group_id(group(name))
        .with_session_timeout_ms(10_000)
        .with_member_id(member_id.clone())
        .with_protocol_type(text("consumer"))
        .with_protocols(vec![protocol]);
    if version >= 1 {
        request.rebalance_timeout_ms = 10_000;
    }
    request
}

/// A member of a group of its own, with the generation.
async fn join(node: &TestNode, name: &str, version: i16) -> (StrBytes, i32) {
    let first: JoinGroupResponse = node.ask(11, version, &joining(name, &text(""), version)).await;
    if version < 4 {
        assert_eq!(first.error_code, 0, "version {version}");
        return (first.member_id, first.generation_id);
    }
    assert_eq!((first.error_code, first.generation_id), (79, -1), "version {version}");
    let joined: JoinGroupResponse = node.ask(11, version, &joining(name, &first.member_id, version)).await;
    assert_eq!((joined.error_code, &joined.leader), (0, &first.member_id));
    assert_eq!(joined.members.len(), 1);
    assert_eq!(joined.protocol_name, Some(text("range")));
    assert_eq!(joined.protocol_type.is_some(), version >= 7);
    (joined.member_id, joined.generation_id)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn join_that_may_be_parked_keeps_nothing_of_its_frame() {
    let node = node().await;
    let frame = encoded(&joining("parks", &text("a member"), 9), 9).freeze();
    let api = find(11).expect("the API is served");
    let request = decode_request(api, 9, frame.clone()).expect("the request can be read");
    let prefix = RequestPrefix { api_key: 11, api_version: 9, correlation_id: 7 };
    let pending = dispatch(request, prefix, node.context(9));
    assert!(frame.is_unique());
    let answer: JoinGroupResponse = response(pending.await.expect("a response"), 9);
    assert_eq!((answer.error_code, answer.member_id), (25, text("a member")));
    node.stop().await;
}

async fn sync(node: &TestNode, name: &str, member_id: &StrBytes, generation: i32, version: i16) -> i16 {
    let given = SyncGroupRequestAssignment::default()
        .with_member_id(member_id.clone())
        .with_assignment(Bytes::from_static(b"all"));
    let mut request = SyncGroupRequest::default()
        .with_group_id(group(name))
        .with_generation_id(generation)
        .with_member_id(member_id.clone())
        .with_assignments(vec![given]);
    if version >= 5 {
        request.protocol_type = Some(text("consumer"));
        request.protocol_name = Some(text("range"));
    }
    let answer: SyncGroupResponse = node.ask(14, version, &request).await;
    if answer.error_code == 0 {
        assert_eq!(&answer.assignment[..], b"all");
        assert_eq!(answer.protocol_name.is_some(), version >= 5);
    }
    answer.error_code
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn members_join_sync_live_and_leave_in_every_version() {
    let node = node().await;
    for version in versions(11) {
        let name = format!("joins-{version}");
        let (member_id, generation) = join(&node, &name, version).await;
        assert_eq!(generation, 1);
        let nameless: JoinGroupResponse = node.ask(11, version, &joining("", &member_id, version)).await;
        assert_eq!((nameless.error_code, nameless.member_id), (24, member_id.clone()));
        let impatient = joining(&name, &member_id, version).with_session_timeout_ms(1);
        let impatient: JoinGroupResponse = node.ask(11, version, &impatient).await;
        assert_eq!(impatient.error_code, 26);
    }
    for version in versions(14) {
        let name = format!("syncs-{version}");
        let (member_id, generation) = join(&node, &name, 9).await;
        assert_eq!(sync(&node, &name, &member_id, generation, version).await, 0, "version {version}");
        assert_eq!(sync(&node, &name, &member_id, 7, version).await, 22);
        assert_eq!(sync(&node, "", &member_id, 7, version).await, 24);
    }
    let silent: SyncGroupResponse =
        node.ask(14, 5, &SyncGroupRequest::default().with_group_id(group("g"))).await;
    assert_eq!(silent.error_code, 23, "version 5 names the protocol");
    let (member_id, generation) = join(&node, "lives", 9).await;
    assert_eq!(sync(&node, "lives", &member_id, generation, 5).await, 0);
    for version in versions(12) {
        for (name, generation, expected) in
            [("lives", generation, 0), ("lives", 7, 22), ("missing", 1, 25), ("", 1, 24)]
        {
            let request = HeartbeatRequest::default()
                .with_group_id(group(name))
                .with_generation_id(generation)
                .with_member_id(member_id.clone());
            let answer: HeartbeatResponse = node.ask(12, version, &request).await;
            assert_eq!(answer.error_code, expected, "{name} in version {version}");
        }
    }
    for version in versions(13) {
        let name = format!("leaves-{version}");
        let (member_id, _) = join(&node, &name, 9).await;
        let leave = |name: &str| {
            let request = LeaveGroupRequest::default().with_group_id(group(name));
            match version {
                3.. => request.with_members(vec![
                    MemberIdentity::default().with_member_id(member_id.clone()),
                    MemberIdentity::default().with_member_id(text("nobody")),
                ]),
                _ => request.with_member_id(member_id.clone()),
            }
        };
        let answer: LeaveGroupResponse = node.ask(13, version, &leave(&name)).await;
        let codes: Vec<_> = answer.members.iter().map(|member| member.error_code).collect();
        assert_eq!(answer.error_code, 0, "version {version}");
        assert_eq!(codes, if version >= 3 { vec![0, 25] } else { vec![] });
        let again: LeaveGroupResponse = node.ask(13, version, &leave(&name)).await;
        assert_eq!(again.error_code, code_where(version < 3, 25));
        let nameless: LeaveGroupResponse = node.ask(13, version, &leave("")).await;
        assert_eq!(nameless.error_code, 24);
    }
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn groups_are_listed_and_described_in_every_version() {
    let node = node().await;
    let (member_id, generation) = join(&node, "stable", 9).await;
    assert_eq!(sync(&node, "stable", &member_id, generation, 5).await, 0);
    assert_eq!(commit(&node, 9, &committing("simple", 1, &[(NAME, 0)])).await, [0]);
    for version in versions(16) {
        let answer: ListGroupsResponse = node.ask(16, version, &ListGroupsRequest::default()).await;
        let mut listed: Vec<_> = answer
            .groups
            .iter()
            .map(|group| (group.group_id.as_str(), group.protocol_type.as_str(), group.group_state.as_str()))
            .collect();
        listed.sort_unstable();
        let [empty, stable] = if version >= 4 { ["Empty", "Stable"] } else { ["", ""] };
        assert_eq!(listed, [("simple", "", empty), ("stable", "consumer", stable)], "version {version}");
        let kind = if version >= 5 { "classic" } else { "" };
        assert!(answer.groups.iter().all(|group| group.group_type.as_str() == kind));
        if version >= 4 {
            let stable = ListGroupsRequest::default().with_states_filter(vec![text("STABLE")]);
            let answer: ListGroupsResponse = node.ask(16, version, &stable).await;
            assert_eq!(answer.groups.len(), 1);
        }
        if version >= 5 {
            let consumer = ListGroupsRequest::default().with_types_filter(vec![text("consumer")]);
            let answer: ListGroupsResponse = node.ask(16, version, &consumer).await;
            assert!(answer.groups.is_empty());
        }
    }
    for version in versions(15) {
        let mut request = DescribeGroupsRequest::default().with_groups(vec![
            group("stable"),
            group("stable"),
            group("simple"),
            group("missing"),
        ]);
        request.include_authorized_operations = version >= 3;
        let answer: DescribeGroupsResponse = node.ask(15, version, &request).await;
        let described: Vec<_> = answer
            .groups
            .iter()
            .map(|group| (group.error_code, group.group_state.as_str(), group.members.len()))
            .collect();
        let missing = code_where(version >= 6, 69);
        assert_eq!(described, [(0, "Stable", 1), (0, "Empty", 0), (missing, "Dead", 0)], "version {version}");
        let stable = &answer.groups[0];
        assert_eq!(
            (stable.protocol_data.as_str(), stable.authorized_operations >= 0),
            ("range", version >= 3)
        );
        let member = &stable.members[0];
        assert_eq!((&member.member_metadata[..], &member.member_assignment[..]), (&b"me"[..], &b"all"[..]));
        assert_eq!((member.client_id.as_str(), member.client_host.as_str()), ("test", "/127.0.0.1"));
    }
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn groups_and_offsets_are_deleted_in_every_version() {
    let node = node().await;
    let (_, _) = join(&node, "busy", 9).await;
    for version in versions(42) {
        let name = format!("deleted-{version}");
        assert_eq!(commit(&node, 9, &committing(&name, 1, &[(NAME, 0)])).await, [0]);
        let names = [name.as_str(), "busy", "missing", "busy"].map(group).to_vec();
        let request = DeleteGroupsRequest::default().with_groups_names(names);
        let outcome = node.outcome_of_bytes(42, version, encoded(&request, version.min(2)).freeze()).await;
        let codes: Vec<_> = if version >= 3 {
            let Outcome::Send(frame) = outcome else { panic!("{outcome:?}") };
            let bytes = frame.pieces.concat();
            // The size, the number of the request, no tagged fields, no throttling, three results.
            assert_eq!(&bytes[8..14], [0, 0, 0, 0, 0, 4]);
            let messages = String::from_utf8_lossy(&bytes);
            assert!(messages.contains("the group is not empty") && messages.contains("missing not found"));
            vec![0, 68, 69]
        } else {
            let answer: DeleteGroupsResponse = response(outcome, version);
            answer.results.iter().map(|result| result.error_code).collect()
        };
        assert_eq!(codes, [0, 68, 69], "version {version}");
        let read: OffsetFetchResponse = node.ask(9, 7, &fetching_one(&name, None)).await;
        assert!(read.topics.is_empty(), "version {version}");
    }
    assert_eq!(commit(&node, 9, &committing("keeps", 1, &[(NAME, 0), (NAME, 1)])).await, [0, 0]);
    for version in versions(47) {
        let partition = |index| OffsetDeleteRequestPartition::default().with_partition_index(index);
        let topic = OffsetDeleteRequestTopic::default()
            .with_name(topic_name(NAME))
            .with_partitions(vec![partition(7), partition(1)]);
        let request = |name: &str| {
            OffsetDeleteRequest::default().with_group_id(group(name)).with_topics(vec![topic.clone()])
        };
        let answer: OffsetDeleteResponse = node.ask(47, version, &request("keeps")).await;
        let codes: Vec<_> =
            answer.topics[0].partitions.iter().map(|partition| partition.error_code).collect();
        assert_eq!((answer.error_code, codes), (0, vec![3, 0]));
        for (name, expected) in [("missing", 69), ("", 24)] {
            let answer: OffsetDeleteResponse = node.ask(47, version, &request(name)).await;
            assert_eq!((answer.error_code, answer.topics.len()), (expected, 0));
        }
    }
    let read: OffsetFetchResponse = node.ask(9, 7, &fetching_one("keeps", None)).await;
    assert_eq!(read.topics[0].partitions.len(), 1);
    node.stop().await;
}

fn alive(member_id: &str, epoch: i32, version: i16) -> ConsumerGroupHeartbeatRequest {
    let mut request = ConsumerGroupHeartbeatRequest::default()
        .with_group_id(group(&format!("modern-{version}")))
        .with_member_id(text(member_id))
        .with_member_epoch(epoch)
        .with_instance_id(None)
        .with_rack_id(None)
        .with_server_assignor(None)
        .with_subscribed_topic_names(None)
        .with_topic_partitions(None);
    if version >= 1 {
        request.subscribed_topic_regex = None;
    }
    if epoch == 0 {
        request.rebalance_timeout_ms = 10_000;
        request.subscribed_topic_names = Some(vec![topic_name(NAME)]);
        request.topic_partitions = Some(Vec::new());
    }
    request
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn consumer_groups_are_joined_and_described_in_every_version() {
    let node = node().await;
    for version in versions(68) {
        let named = if version >= 1 { "me" } else { "" };
        let joined: ConsumerGroupHeartbeatResponse = node.ask(68, version, &alive(named, 0, version)).await;
        assert_eq!((joined.error_code, joined.member_epoch), (0, 2), "version {version}");
        let member_id = joined.member_id.expect("a member has a name");
        let assigned = joined.assignment.expect("a member that joins is told what it owns");
        assert_eq!(assigned.topic_partitions[0].partitions, [0, 1]);
        let alive_still: ConsumerGroupHeartbeatResponse =
            node.ask(68, version, &alive(&member_id, 2, version)).await;
        assert_eq!((alive_still.error_code, alive_still.assignment), (0, None), "nothing changed");
        let fenced: ConsumerGroupHeartbeatResponse =
            node.ask(68, version, &alive(&member_id, 9, version)).await;
        assert_eq!((fenced.error_code, fenced.error_message.is_some()), (110, true));
        let invalid: ConsumerGroupHeartbeatResponse =
            node.ask(68, version, &alive(&member_id, 0, version).with_topic_partitions(None)).await;
        assert_eq!(invalid.error_code, 42);
    }
    for version in versions(69) {
        let groups = ["modern-1", "missing", "modern-1", ""].map(group).to_vec();
        let request = ConsumerGroupDescribeRequest::default()
            .with_group_ids(groups)
            .with_include_authorized_operations(true);
        let answer: ConsumerGroupDescribeResponse = node.ask(69, version, &request).await;
        let described: Vec<_> = answer
            .groups
            .iter()
            .map(|group| (group.error_code, group.group_state.as_str(), group.members.len()))
            .collect();
        assert_eq!(described, [(0, "Stable", 1), (69, "", 0), (24, "", 0)], "version {version}");
        let found = &answer.groups[0];
        assert_eq!((found.assignor_name.as_str(), found.authorized_operations), ("uniform", 3400));
        let member = &found.members[0];
        assert_eq!(member.assignment.topic_partitions[0].topic_name, topic_name(NAME));
        assert_eq!(member.member_type, if version >= 1 { 1 } else { -1 });
    }
    node.stop().await;

    let node = TestNode::start(&["group.coordinator.rebalance.protocols=classic"]).await;
    for version in versions(68) {
        let refused: ConsumerGroupHeartbeatResponse = node.ask(68, version, &alive("me", 0, version)).await;
        assert_eq!(refused.error_code, 35);
    }
    node.stop().await;
}
