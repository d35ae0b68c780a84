//! ListGroups (key 16, versions 0–5): every group that this node coordinates, as it is committed.
//!
//! Where a shard is being loaded the whole answer is an error, so that nobody takes a part for all.
//! Version notes: 4 shows states and filters by them (KIP-518), 5 the same with kinds (KIP-848).
//! Source: `GroupCoordinatorService.listGroups`.

use super::RequestContext;
use super::coordination::{state_name, text};
use crate::coordinators::CoordinatorError;
use crate::error_code;
use coordinator::description::{GroupKind, GroupListing};
use kafka_protocol::messages::list_groups_response::ListedGroup;
use kafka_protocol::messages::{GroupId, ListGroupsRequest, ListGroupsResponse};
use kafka_protocol::protocol::StrBytes;

/// The first version that shows states.
const STATES_SINCE: i16 = 4;
/// The first version that shows kinds.
const KINDS_SINCE: i16 = 5;

pub(crate) async fn handle(context: RequestContext, request: ListGroupsRequest) -> ListGroupsResponse {
    let mut groups = Vec::new();
    for shard in context.broker.coordinators.shards() {
        match shard.read(|shard| Ok(shard.list())) {
            Ok(listed) => groups.extend(
                listed
                    .into_iter()
                    .filter(|group| is_asked_for(group, &request))
                    .map(|group| show(&group, context.version)),
            ),
            // Somebody else has these groups, or nobody can.
            Err(CoordinatorError::NotCoordinator) => {}
            Err(error) => {
                return ListGroupsResponse::default()
                    .with_error_code(error_code::of_coordinator(&error).code());
            }
        }
    }
    ListGroupsResponse::default().with_groups(groups)
}

fn is_asked_for(group: &GroupListing, request: &ListGroupsRequest) -> bool {
    let holds = |filter: &[StrBytes], name: &str| {
        filter.is_empty() || filter.iter().any(|wanted| wanted.eq_ignore_ascii_case(name))
    };
    holds(&request.states_filter, state_name(group.state))
        && holds(&request.types_filter, kind_name(group.kind))
}

fn show(group: &GroupListing, version: i16) -> ListedGroup {
    let mut listed = ListedGroup::default()
        .with_group_id(GroupId(text(group.group_id.as_str())))
        .with_protocol_type(text(&group.protocol_type));
    if version >= STATES_SINCE {
        listed.group_state = text(state_name(group.state));
    }
    if version >= KINDS_SINCE {
        listed.group_type = text(kind_name(group.kind));
    }
    listed
}

/// What kind of group it is, in Kafka's word. Source: `Group.GroupType`.
fn kind_name(kind: GroupKind) -> &'static str {
    match kind {
        GroupKind::Classic => "classic",
        GroupKind::Consumer => "consumer",
    }
}
