//! The responses about offsets, in every version that is served, as [`super`] has the others.

use super::groups::{encoded, group, node};
use super::{text, topic_id, versions};
use crate::api::Outcome;
use crate::node::testing::{TestNode, response, topic_name};
use bytes::Bytes;
use kafka_protocol::messages::offset_commit_request::{
    OffsetCommitRequestPartition, OffsetCommitRequestTopic,
};
use kafka_protocol::messages::offset_fetch_request::{
    OffsetFetchRequestGroup, OffsetFetchRequestTopic, OffsetFetchRequestTopics,
};
use kafka_protocol::messages::{
    HeartbeatRequest, HeartbeatResponse, ListGroupsRequest, ListGroupsResponse, OffsetCommitRequest,
    OffsetCommitResponse, OffsetFetchRequest, OffsetFetchResponse,
};
use kafka_protocol::protocol::StrBytes;
use uuid::Uuid;

/// A topic's name that takes as many bytes as its id: versions 9 and 10 of the offset APIs differ in that alone, so that
/// one is made from the other.
pub(super) const NAME: &str = "fifteen.letters";

/// Puts ids in the place of names.
fn with_ids(body: &[u8], id: Uuid) -> Bytes {
    replace(body, &[&[16], NAME.as_bytes()].concat(), id.as_bytes())
}

/// The response in `outcome`, with names in the place of ids.
fn frame_with_names(outcome: Outcome, id: Uuid) -> Outcome {
    let Outcome::Send(mut frame) = outcome else { panic!("no response, but {outcome:?}") };
    let bytes = frame.pieces.concat();
    frame.pieces = vec![replace(&bytes, id.as_bytes(), &[&[16], NAME.as_bytes()].concat())];
    Outcome::Send(frame)
}

fn replace(bytes: &[u8], from: &[u8], to: &[u8]) -> Bytes {
    let mut rest = bytes;
    let mut replaced = Vec::new();
    while let Some(place) = rest.windows(from.len()).position(|window| window == from) {
        replaced.extend_from_slice(&rest[..place]);
        replaced.extend_from_slice(to);
        rest = &rest[place + from.len()..];
    }
    replaced.extend_from_slice(rest);
    replaced.into()
}

pub(super) fn committing(name: &str, offset: i64, topics: &[(&str, i32)]) -> OffsetCommitRequest {
    let topic = |&(topic, partition): &(&str, i32)| {
        let committed = OffsetCommitRequestPartition::default()
            .with_partition_index(partition)
            .with_committed_offset(offset)
            .with_committed_metadata(Some(text("note")));
        OffsetCommitRequestTopic::default().with_name(topic_name(topic)).with_partitions(vec![committed])
    };
    OffsetCommitRequest::default()
        .with_group_id(group(name))
        .with_generation_id_or_member_epoch(-1)
        .with_topics(topics.iter().map(topic).collect())
}

pub(super) async fn commit(node: &TestNode, version: i16, request: &OffsetCommitRequest) -> Vec<i16> {
    let answer: OffsetCommitResponse = if version >= 10 {
        let id = topic_id(node, NAME).await;
        let outcome = node.outcome_of_bytes(8, version, with_ids(&encoded(request, 9), id)).await;
        response(frame_with_names(outcome, id), 9)
    } else {
        node.ask(8, version, request).await
    };
    answer.topics.iter().flat_map(|topic| &topic.partitions).map(|answer| answer.error_code).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn offsets_are_committed_in_every_version() {
    let node = node().await;
    for version in versions(8) {
        let name = format!("commits-{version}");
        let unknown = if version >= 10 { &[][..] } else { &[("missing", 0)] };
        let topics = [&[(NAME, 0), (NAME, 7)], unknown].concat();
        let codes = commit(&node, version, &committing(&name, 5, &topics)).await;
        assert_eq!(
            codes,
            [&[0, 3][..], if version >= 10 { &[] } else { &[3] }].concat(),
            "version {version}"
        );
        let long = "x".repeat(5000);
        let mut too_long = committing(&name, 5, &[(NAME, 0)]);
        too_long.topics[0].partitions[0].committed_metadata = Some(text(&long));
        assert_eq!(commit(&node, version, &too_long).await, [12]);
        let of_nobody = committing("absent", 5, &[(NAME, 0)])
            .with_generation_id_or_member_epoch(3)
            .with_member_id(text("m"));
        let expected = if version >= 9 { 69 } else { 22 };
        assert_eq!(commit(&node, version, &of_nobody).await, [expected], "version {version}");
        let nothing: OffsetFetchResponse = node.ask(9, 7, &fetching_one("absent", None)).await;
        assert!(nothing.topics.is_empty());
    }
    // Version 10, of a topic that nobody knows.
    let unknown = Uuid::from_u128(9);
    let body = with_ids(&encoded(&committing("g", 5, &[(NAME, 0)]), 9), unknown);
    let answer: OffsetCommitResponse =
        response(frame_with_names(node.outcome_of_bytes(8, 10, body).await, unknown), 9);
    assert_eq!(answer.topics[0].partitions[0].error_code, 100);
    node.stop().await;
}

pub(super) fn fetching_one(name: &str, topics: Option<&[&str]>) -> OffsetFetchRequest {
    let topic = |name: &&str| {
        OffsetFetchRequestTopic::default().with_name(topic_name(name)).with_partition_indexes(vec![0, 1])
    };
    OffsetFetchRequest::default()
        .with_group_id(group(name))
        .with_topics(topics.map(|topics| topics.iter().map(topic).collect()))
}

fn fetching_several(groups: &[&str], topics: Option<&[&str]>) -> OffsetFetchRequest {
    let topic = |name: &&str| {
        OffsetFetchRequestTopics::default().with_name(topic_name(name)).with_partition_indexes(vec![0, 1])
    };
    let asked = |name: &&str| {
        OffsetFetchRequestGroup::default()
            .with_group_id(group(name))
            .with_topics(topics.map(|topics| topics.iter().map(topic).collect()))
    };
    OffsetFetchRequest::default()
        .with_topics(Some(Vec::new()))
        .with_groups(groups.iter().map(asked).collect())
}

/// Offset, metadata and code of each partition that is answered.
type Fetched = Vec<(i64, Option<String>, i16)>;

async fn fetch(node: &TestNode, version: i16, topics: Option<&[&str]>) -> Vec<Fetched> {
    let owned = |text: &Option<StrBytes>| text.as_ref().map(ToString::to_string);
    if version < 8 {
        let answer: OffsetFetchResponse = node.ask(9, version, &fetching_one("reads", topics)).await;
        assert_eq!(answer.error_code, 0);
        let partitions = answer.topics.iter().flat_map(|topic| &topic.partitions);
        return vec![
            partitions.map(|read| (read.committed_offset, owned(&read.metadata), read.error_code)).collect(),
        ];
    }
    let request = fetching_several(&["reads", "reads nothing"], topics);
    let answer: OffsetFetchResponse = if version >= 10 {
        let id = topic_id(node, NAME).await;
        let outcome = node.outcome_of_bytes(9, version, with_ids(&encoded(&request, 9), id)).await;
        response(frame_with_names(outcome, id), 9)
    } else {
        node.ask(9, version, &request).await
    };
    let of_group = |group: &kafka_protocol::messages::offset_fetch_response::OffsetFetchResponseGroup| {
        assert_eq!(group.error_code, 0);
        let partitions = group.topics.iter().flat_map(|topic| &topic.partitions);
        partitions.map(|read| (read.committed_offset, owned(&read.metadata), read.error_code)).collect()
    };
    answer.groups.iter().map(of_group).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn offsets_are_fetched_in_every_version() {
    let node = node().await;
    assert_eq!(commit(&node, 9, &committing("reads", 42, &[(NAME, 0)])).await, [0]);
    let known = (42, Some("note".to_owned()), 0);
    let unknown = (-1, Some(String::new()), 0);
    for version in versions(9) {
        let read = fetch(&node, version, Some(&[NAME])).await;
        let mut expected = vec![vec![known.clone(), unknown.clone()]];
        if version >= 8 {
            expected.push(vec![unknown.clone(), unknown.clone()]);
        }
        assert_eq!(read, expected, "version {version}");
        if version >= 2 {
            let all = fetch(&node, version, None).await;
            assert_eq!(all[0], std::slice::from_ref(&known), "version {version}");
            assert!(all[1..].iter().all(Vec::is_empty));
        }
    }
    // Version 10, of a topic that nobody knows.
    let unknown_id = Uuid::from_u128(9);
    let body = with_ids(&encoded(&fetching_several(&["reads"], Some(&[NAME])), 9), unknown_id);
    let outcome = node.outcome_of_bytes(9, 10, body).await;
    let answer: OffsetFetchResponse = response(frame_with_names(outcome, unknown_id), 9);
    assert_eq!(answer.groups[0].topics[0].partitions[0].error_code, 100);
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_coordinates_groups_before_their_topic_is_there() {
    let node = TestNode::start(&[]).await;
    for version in versions(9) {
        let topics: Option<&[&str]> = Some(&["t"]);
        let (of_group, of_partition) = if version >= 8 {
            if version >= 10 {
                continue;
            }
            let answer: OffsetFetchResponse = node.ask(9, version, &fetching_several(&["g"], topics)).await;
            (answer.groups[0].error_code, None)
        } else {
            let answer: OffsetFetchResponse = node.ask(9, version, &fetching_one("g", topics)).await;
            let partition = answer.topics.first().map(|topic| topic.partitions[0].error_code);
            (answer.error_code, partition)
        };
        let expected = if version >= 2 { (16, None) } else { (0, Some(16)) };
        assert_eq!((of_group, of_partition), expected, "version {version}");
    }
    let heartbeat: HeartbeatResponse =
        node.ask(12, 4, &HeartbeatRequest::default().with_group_id(group("g"))).await;
    assert_eq!(heartbeat.error_code, 16);
    let listed: ListGroupsResponse = node.ask(16, 5, &ListGroupsRequest::default()).await;
    assert_eq!((listed.error_code, listed.groups.len()), (0, 0));
    node.stop().await;
}
