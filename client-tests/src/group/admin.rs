//! Questions about a group, asked of the broker with raw requests, and commits to it.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::incremental_alter_configs_request::{AlterConfigsResource, AlterableConfig};
use kafka_protocol::messages::leave_group_request::MemberIdentity;
use kafka_protocol::messages::offset_commit_request::{
    OffsetCommitRequestPartition, OffsetCommitRequestTopic,
};
use kafka_protocol::messages::offset_fetch_request::OffsetFetchRequestTopic;
use kafka_protocol::messages::{
    DeleteGroupsRequest, DescribeGroupsRequest, FindCoordinatorRequest, GroupId,
    IncrementalAlterConfigsRequest, LeaveGroupRequest, ListGroupsRequest, OffsetCommitRequest,
    OffsetFetchRequest,
};
use kafka_protocol::protocol::StrBytes;

use super::classic::text;
use crate::wait::wait_until;
use crate::wire::{self, Connection, topic_name};

/// The longest that a coordinator may take to be there, its topic to be created included.
const COORDINATOR_LIMIT: Duration = Duration::from_secs(30);

/// The longest that a broker may take for an answer before another is asked.
const NODE_LIMIT: Duration = Duration::from_secs(5);

/// A group's name as the crate has it.
#[must_use]
pub fn group_id(group: &str) -> GroupId {
    GroupId(StrBytes::from_string(group.to_owned()))
}

/// Checks an error code; `None` stands for success.
///
/// # Errors
/// When it is another.
pub fn expect_code(what: &str, found: i16, expected: Option<ResponseError>) -> Result<()> {
    let found = ResponseError::try_from_code(found);
    ensure!(found == expected, "{what}: expected {expected:?}, the answer is {found:?}");
    Ok(())
}

/// Connects to the broker that coordinates `group`, by way of those in `bootstrap`, and waits until it does.
///
/// # Errors
/// When none does in time.
pub fn coordinator(bootstrap: &str, group: &str) -> Result<Connection> {
    let request = FindCoordinatorRequest::default().with_key_type(0).with_coordinator_keys(vec![text(group)]);
    let mut found = None;
    wait_until(COORDINATOR_LIMIT, "the group has a coordinator", || {
        for address in bootstrap.split(',') {
            let Ok(mut connection) = Connection::open_within(address, NODE_LIMIT) else { continue };
            let Ok(response) = connection.call(4, &request) else { continue };
            let coordinator = response.coordinators.first().context("the answer names no coordinator")?;
            match ResponseError::try_from_code(coordinator.error_code) {
                None => {}
                Some(ResponseError::CoordinatorNotAvailable | ResponseError::CoordinatorLoadInProgress) => {
                    continue;
                }
                Some(error) => bail!("FindCoordinator answered {error:?}"),
            }
            let address = format!("{}:{}", coordinator.host, coordinator.port);
            let Ok(mut connection) = Connection::open(&address) else { continue };
            if committed_offset(&mut connection, group, "none", 0).is_ok() {
                found = Some(connection);
                return Ok(true);
            }
        }
        Ok(false)
    })?;
    found.context("the group has a coordinator")
}

/// Creates a topic, and waits until the broker serves its partitions.
///
/// # Errors
/// When it does not in time.
pub fn create_served_topic(connection: &mut Connection, topic: &str, partitions: i32) -> Result<()> {
    // Some tests' records carry old timestamps.
    let created = wire::create_topic(connection, topic, partitions, &[("retention.ms", "-1")])?;
    ensure!(created == 0, "CreateTopics answered {created}");
    wait_until(COORDINATOR_LIMIT, "the new topic is served", || {
        Ok((0..partitions).all(|partition| wire::end_offset(connection, topic, partition).is_ok()))
    })
}

/// The committed offsets of a group in the partitions of one topic; -1 stands for none.
///
/// # Errors
/// When no answer comes, or it is an error.
pub fn committed_offsets(
    connection: &mut Connection,
    group: &str,
    topic: &str,
    partitions: i32,
) -> Result<BTreeMap<i32, i64>> {
    let topics = OffsetFetchRequestTopic::default()
        .with_name(topic_name(topic))
        .with_partition_indexes((0..partitions).collect());
    let request =
        OffsetFetchRequest::default().with_group_id(group_id(group)).with_topics(Some(vec![topics]));
    let response = connection.call(7, &request)?;
    ensure!(response.error_code == 0, "OffsetFetch answered {}", response.error_code);
    let mut offsets = BTreeMap::new();
    for partition in response.topics.iter().flat_map(|topic| &topic.partitions) {
        ensure!(partition.error_code == 0, "OffsetFetch answered {partition:?}");
        offsets.insert(partition.partition_index, partition.committed_offset);
    }
    Ok(offsets)
}

/// The committed offset of one partition; -1 stands for none.
///
/// # Errors
/// As [`committed_offsets`].
pub fn committed_offset(
    connection: &mut Connection,
    group: &str,
    topic: &str,
    partition: i32,
) -> Result<i64> {
    let offsets = committed_offsets(connection, group, topic, partition + 1)?;
    offsets.get(&partition).copied().context("the answer names no such partition")
}

/// A commit of one partition by nobody in particular.
#[must_use]
pub fn commit_request(group: &str, topic: &str, partition: i32, offset: i64) -> OffsetCommitRequest {
    let partition = OffsetCommitRequestPartition::default()
        .with_partition_index(partition)
        .with_committed_offset(offset)
        .with_committed_leader_epoch(-1)
        .with_committed_metadata(Some(StrBytes::default()));
    let topic =
        OffsetCommitRequestTopic::default().with_name(topic_name(topic)).with_partitions(vec![partition]);
    OffsetCommitRequest::default()
        .with_group_id(group_id(group))
        .with_generation_id_or_member_epoch(-1)
        .with_topics(vec![topic])
}

/// Commits and returns the error code of the first partition.
///
/// # Errors
/// When no answer comes.
pub fn commit(connection: &mut Connection, version: i16, request: &OffsetCommitRequest) -> Result<i16> {
    let response = connection.call(version, request)?;
    let partition = response.topics.first().and_then(|topic| topic.partitions.first());
    Ok(partition.context("the answer names no partition")?.error_code)
}

/// The type of a group as ListGroups has it: `classic` or `consumer`.
///
/// # Errors
/// When no answer comes, or it does not name the group.
pub fn group_type(connection: &mut Connection, group: &str) -> Result<String> {
    let response = connection.call(5, &ListGroupsRequest::default())?;
    let listed = response.groups.iter().find(|listed| *listed.group_id.0 == *group);
    Ok(listed.context("the group is not listed")?.group_type.to_lowercase())
}

/// The ids of a classic group's members, once it is stable with `size` of them; `None` until then.
///
/// # Errors
/// When no answer comes, or it does not name the group.
pub fn stable_members(
    connection: &mut Connection,
    group: &str,
    size: usize,
) -> Result<Option<BTreeSet<StrBytes>>> {
    let request = DescribeGroupsRequest::default().with_groups(vec![group_id(group)]);
    let response = connection.call(5, &request)?;
    let described = response.groups.first().context("the answer names no group")?;
    ensure!(described.error_code == 0, "DescribeGroups answered {described:?}");
    let members: BTreeSet<StrBytes> =
        described.members.iter().map(|member| member.member_id.clone()).collect();
    Ok((&*described.group_state == "Stable" && members.len() == size).then_some(members))
}

/// Takes a member out of a classic group, as an administrator does.
///
/// # Errors
/// When no answer comes, or the broker refuses.
pub fn take_out(connection: &mut Connection, group: &str, member_id: &StrBytes) -> Result<()> {
    let member = MemberIdentity::default().with_member_id(member_id.clone());
    let request = LeaveGroupRequest::default().with_group_id(group_id(group)).with_members(vec![member]);
    let response = connection.call(5, &request)?;
    let answer = response.members.first().context("the answer names no member")?;
    ensure!(response.error_code == 0 && answer.error_code == 0, "LeaveGroup answered {response:?}");
    Ok(())
}

/// Sets a group's own settings.
///
/// # Errors
/// When the broker refuses.
pub fn alter_group(connection: &mut Connection, group: &str, settings: &[(&str, String)]) -> Result<()> {
    /// The number of the resource type GROUP.
    const GROUP: i8 = 32;
    /// The number of the operation SET.
    const SET: i8 = 0;
    let configs = settings.iter().map(|(key, value)| {
        AlterableConfig::default()
            .with_name(text(key))
            .with_config_operation(SET)
            .with_value(Some(text(value)))
    });
    let resource = AlterConfigsResource::default()
        .with_resource_type(GROUP)
        .with_resource_name(text(group))
        .with_configs(configs.collect());
    let request = IncrementalAlterConfigsRequest::default().with_resources(vec![resource]);
    let response = connection.call(1, &request)?;
    let answer = response.responses.first().context("the answer names no resource")?;
    ensure!(answer.error_code == 0, "IncrementalAlterConfigs answered {answer:?}");
    Ok(())
}

/// Deletes a group and returns the error code.
///
/// # Errors
/// When no answer comes.
pub fn delete_group(connection: &mut Connection, group: &str) -> Result<i16> {
    let request = DeleteGroupsRequest::default().with_groups_names(vec![group_id(group)]);
    let response = connection.call(2, &request)?;
    Ok(response.results.first().context("the answer names no group")?.error_code)
}
