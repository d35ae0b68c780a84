//! DescribeGroups (key 15, versions 0–6): how groups of the classic protocol stand, as it is committed.
//!
//! Who asks for it with Ottla's own tag is told whom a group waits for (`wire::awaited`).
//!
//! A group that is not there, or is of the consumer protocol, is "Dead"; from version 6 on that is an error too.
//! Version notes: 3 tells what the client may do with the group, 4 names static members, 6 explains errors (KIP-1043).
//! Source: `GroupMetadataManager.describeGroups`.

use super::RequestContext;
use super::coordination::{GROUP_OPERATIONS, Refusal, each_once, look, shared, state_name, text};
use crate::clock;
use crate::coordinators::CoordinatorError;
use crate::wire::awaited;
use coordinator::description::{ClassicGroupDescription, ClassicMemberDescription, GroupState};
use coordinator::error::GroupError;
use coordinator::ids::GroupId;
use kafka_protocol::messages::describe_groups_response::{DescribedGroup, DescribedGroupMember};
use kafka_protocol::messages::{DescribeGroupsRequest, DescribeGroupsResponse};

/// The first version with operations.
const OPERATIONS_SINCE: i16 = 3;
/// The first version that names static members.
const STATIC_SINCE: i16 = 4;
/// The first version in which a missing group is an error.
const NOT_FOUND_SINCE: i16 = 6;

pub(crate) async fn handle(
    context: RequestContext,
    request: DescribeGroupsRequest,
) -> DescribeGroupsResponse {
    let shows_operations = request.include_authorized_operations && context.version >= OPERATIONS_SINCE;
    let tells_awaited = awaited::is_asked(&request);
    let groups = each_once(request.groups, |group_id| &group_id.0).map(|group_id| {
        let id = GroupId(shared(&group_id));
        let described = look(&context, &group_id, |shard| shard.describe_classic(&id, clock::monotonic()));
        let group = DescribedGroup::default().with_group_id(group_id);
        match described {
            Ok(description) => {
                let group = describe(group, description, context.version, tells_awaited);
                if shows_operations { group.with_authorized_operations(GROUP_OPERATIONS) } else { group }
            }
            Err(error) => refuse(group, error, context.version),
        }
    });
    DescribeGroupsResponse::default().with_groups(groups.collect())
}

fn describe(
    group: DescribedGroup,
    description: ClassicGroupDescription,
    version: i16,
    tells_awaited: bool,
) -> DescribedGroup {
    let members = description.members.into_iter().map(|member| {
        let awaited_for = member.awaited_for;
        let mut member = describe_member(member, version);
        if tells_awaited {
            awaited::tell(&mut member, awaited_for);
        }
        member
    });
    group
        .with_group_state(text(state_name(description.state)))
        .with_protocol_type(text(&description.protocol_type))
        .with_protocol_data(text(&description.protocol))
        .with_members(members.collect())
        .with_error_message(None)
}

fn describe_member(member: ClassicMemberDescription, version: i16) -> DescribedGroupMember {
    let instance_id = member.group_instance_id.filter(|_| version >= STATIC_SINCE);
    DescribedGroupMember::default()
        .with_member_id(text(member.member_id.as_str()))
        .with_group_instance_id(instance_id.map(|id| text(id.as_str())))
        .with_client_id(text(&member.client_id))
        .with_client_host(text(&member.client_host))
        .with_member_metadata(member.metadata)
        .with_member_assignment(member.assignment)
}

fn refuse(group: DescribedGroup, error: CoordinatorError, version: i16) -> DescribedGroup {
    let is_missing = matches!(error, CoordinatorError::Group(GroupError::GroupIdNotFound(_)));
    let refusal = Refusal::from(error);
    let group = match is_missing {
        true => group.with_group_state(text(state_name(GroupState::Dead))),
        false => group,
    };
    match version {
        NOT_FOUND_SINCE.. => group.with_error_code(refusal.code()).with_error_message(refusal.message()),
        _ if is_missing => group.with_error_message(None),
        _ => group.with_error_code(refusal.code()).with_error_message(None),
    }
}
