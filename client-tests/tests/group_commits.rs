//! Who may commit what to a group: Kafka's exact codes, and no offset stored with a refusal.

use std::time::Duration;

use anyhow::{Result, ensure};
use client_tests::group::SETTINGS;
use client_tests::group::admin::{
    commit, commit_request, committed_offset, coordinator, create_served_topic, delete_group, expect_code,
};
use client_tests::group::classic::{RawMember, join, join_request, text};
use client_tests::target::{Target, unique_topic};
use client_tests::wait::wait_until;
use client_tests::wire::{self, Connection};
use kafka_protocol::error::ResponseError as Code;
use kafka_protocol::messages::OffsetCommitRequest;
use kafka_protocol::messages::TopicName;
use kafka_protocol::messages::delete_topics_request::DeleteTopicsRequest;

/// OffsetCommit's newest version that the crate can write.
const NEWEST: i16 = 9;
/// The largest metadata that a commit may carry by default (`offset.metadata.max.bytes`).
const METADATA_MAX: usize = 4096;

/// A group with one stable member, and a topic with one partition.
struct Committing {
    _target: Target,
    connection: Connection,
    member: RawMember,
    topic: String,
}

impl Committing {
    fn start() -> Result<Committing> {
        let target = Target::start_with(&SETTINGS)?;
        let (group, topic) = (unique_topic("commits"), unique_topic("committed"));
        let mut connection = coordinator(target.bootstrap(), &group)?;
        create_served_topic(&mut connection, &topic, 1)?;
        let member = RawMember::alone(&mut connection, &group)?;
        Ok(Committing { _target: target, connection, member, topic })
    }

    /// The request of this member for its topic.
    fn request(&self, member: &RawMember, offset: i64) -> OffsetCommitRequest {
        commit_request(&member.group, &self.topic, 0, offset)
            .with_generation_id_or_member_epoch(member.generation)
            .with_member_id(member.member_id.clone())
            .with_group_instance_id(member.instance_id.clone())
    }

    fn commit(&mut self, version: i16, request: &OffsetCommitRequest) -> Result<i16> {
        commit(&mut self.connection, version, request)
    }

    fn committed(&mut self) -> Result<i64> {
        committed_offset(&mut self.connection, &self.member.group, &self.topic, 0)
    }
}

#[test]
fn only_a_member_in_its_generation_commits_to_a_group_with_members() -> Result<()> {
    let mut group = Committing::start()?;
    let member = group.member.clone();
    let refused = [
        ("an old generation", member.with_generation(member.generation - 1), Code::IllegalGeneration),
        ("a coming generation", member.with_generation(member.generation + 1), Code::IllegalGeneration),
        ("a stranger", member.with_member_id("stranger"), Code::UnknownMemberId),
        ("nobody", member.with_member_id("").with_generation(-1), Code::UnknownMemberId),
    ];
    for (who, member, code) in refused {
        for version in [2, 7, 8, NEWEST] {
            let request = group.request(&member, 7);
            let answer = group.commit(version, &request)?;
            expect_code(&format!("{who}, version {version}"), answer, Some(code))?;
        }
    }
    ensure!(group.committed()? == -1, "a refused commit was stored");
    let request = group.request(&member, 5);
    expect_code("the member", group.commit(NEWEST, &request)?, None)?;
    ensure!(group.committed()? == 5, "the member's commit was not stored");
    Ok(())
}

#[test]
fn anybody_commits_to_an_empty_group_and_nobody_to_a_missing_one_by_generation() -> Result<()> {
    let mut group = Committing::start()?;
    let missing = RawMember { group: unique_topic("missing"), ..group.member.clone() };
    let request = group.request(&missing, 1);
    for (version, code) in [(8, Code::IllegalGeneration), (NEWEST, Code::GroupIdNotFound)] {
        let answer = group.commit(version, &request)?;
        expect_code(&format!("version {version}"), answer, Some(code))?;
    }
    let simple = commit_request(&missing.group, &group.topic, 0, 3);
    expect_code("a group that a commit makes", group.commit(NEWEST, &simple)?, None)?;
    let stored = committed_offset(&mut group.connection, &missing.group, &group.topic, 0)?;
    ensure!(stored == 3, "committed is {stored}");
    let member = group.member.clone();
    expect_code("leave", member.leave(&mut group.connection)?, None)?;
    let request = group.request(&member.with_member_id("").with_generation(-1), 11);
    expect_code("a group that is empty now", group.commit(NEWEST, &request)?, None)?;
    ensure!(group.committed()? == 11, "the commit was not stored");
    let request = group.request(&member, 12);
    expect_code("who has left", group.commit(NEWEST, &request)?, Some(Code::UnknownMemberId))?;
    expect_code("delete", delete_group(&mut group.connection, &member.group)?, None)?;
    ensure!(group.committed()? == -1, "a deleted group has no offsets");
    Ok(())
}

#[test]
fn fenced_instance_does_not_commit() -> Result<()> {
    let mut group = Committing::start()?;
    let name = unique_topic("fenced");
    let request = join_request(&name, &["range"]).with_group_instance_id(Some(text("instance")));
    let first = RawMember::alone_by(&mut group.connection, request.clone())?;
    ensure!(join(&mut group.connection, request)?.error_code == 0, "the second one did not join");
    let request = group.request(&first, 1);
    expect_code("the first one", group.commit(NEWEST, &request)?, Some(Code::FencedInstanceId))
}

#[test]
fn unknown_topics_are_refused_beside_known_ones() -> Result<()> {
    let mut group = Committing::start()?;
    let member = group.member.clone();
    let mut request = group.request(&member, 5);
    let mut unknown = request.topics[0].clone();
    unknown.name = wire::topic_name("no-such-topic");
    let mut beyond = request.topics[0].partitions[0].clone();
    beyond.partition_index = 1;
    request.topics[0].partitions.push(beyond);
    request.topics.push(unknown);
    let response = group.connection.call(NEWEST, &request)?;
    let answers: Vec<_> = response
        .topics
        .iter()
        .flat_map(|topic| {
            topic.partitions.iter().map(|partition| (topic.name.to_string(), partition.error_code))
        })
        .collect();
    let unknown = Code::UnknownTopicOrPartition.code();
    for expected in
        [(group.topic.clone(), 0), (group.topic.clone(), unknown), ("no-such-topic".to_owned(), unknown)]
    {
        ensure!(answers.contains(&expected), "{expected:?} is not in {answers:?}");
    }
    ensure!(answers.len() == 3 && group.committed()? == 5, "{answers:?}");
    Ok(())
}

#[test]
fn metadata_of_more_than_its_maximum_is_refused() -> Result<()> {
    let mut group = Committing::start()?;
    let member = group.member.clone();
    for (size, code) in [(METADATA_MAX, None), (METADATA_MAX + 1, Some(Code::OffsetMetadataTooLarge))] {
        let mut request = group.request(&member, i64::try_from(size)?);
        request.topics[0].partitions[0].committed_metadata = Some(text(&"m".repeat(size)));
        expect_code(&format!("{size} bytes"), group.commit(NEWEST, &request)?, code)?;
    }
    ensure!(group.committed()? == i64::try_from(METADATA_MAX)?, "the refused commit was stored");
    Ok(())
}

#[test]
fn offsets_of_a_deleted_topic_are_gone_and_cannot_be_committed() -> Result<()> {
    let mut group = Committing::start()?;
    let member = group.member.clone();
    let request = group.request(&member, 5);
    expect_code("before", group.commit(NEWEST, &request)?, None)?;
    let name = TopicName(text(&group.topic));
    let delete = DeleteTopicsRequest::default().with_topic_names(vec![name]).with_timeout_ms(60_000);
    let deleted = group.connection.call(5, &delete)?;
    expect_code("delete", deleted.responses[0].error_code, None)?;
    wait_until(Duration::from_secs(60), "the offsets are gone", || {
        let answer = group.commit(NEWEST, &request)?;
        Ok(Code::try_from_code(answer) == Some(Code::UnknownTopicOrPartition) && group.committed()? == -1)
    })
}
