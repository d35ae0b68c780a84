//! What a ConsumerGroupHeartbeat may say, before anybody looks at the group.
//! Source: GroupCoordinatorService.java (`throwIfConsumerGroupHeartbeatRequestIsInvalid`).

use std::sync::Arc;

use crate::environment::Environment;
use crate::error::GroupError;
use crate::ids::MemberEpoch;
use crate::request::ConsumerGroupHeartbeat;

/// Whether the request makes sense.
///
/// # Errors
/// With the first thing that does not.
pub(super) fn check(request: &ConsumerGroupHeartbeat, env: &Environment<'_>) -> Result<(), GroupError> {
    let epoch = request.member_epoch;
    if request.is_named_by_client || epoch > MemberEpoch::JOIN || epoch == MemberEpoch::LEAVE {
        not_empty(Some(&request.member_id.0), "MemberId")?;
    }
    not_empty(Some(&request.group_id.0), "GroupId")?;
    not_empty(request.instance_id.as_ref().map(|id| &id.0), "InstanceId")?;
    not_empty(request.rack_id.as_ref(), "RackId")?;
    if epoch == MemberEpoch::JOIN {
        check_joining(request)?;
    } else if epoch == MemberEpoch::LEAVE_STATIC {
        require(request.instance_id.is_some(), "InstanceId can't be null.")?;
    } else {
        require(epoch > MemberEpoch::LEAVE_STATIC, "MemberEpoch is invalid.")?;
    }
    let supported = &env.settings.group_consumer_assignors;
    match &request.server_assignor {
        Some(assignor) if !supported.iter().any(|name| **name == **assignor) => {
            Err(GroupError::UnsupportedAssignor(format!(
                "ServerAssignor {assignor} is not supported. Supported assignors: {}.",
                supported.join(", ")
            )))
        }
        Some(_) | None => Ok(()),
    }
}

fn check_joining(request: &ConsumerGroupHeartbeat) -> Result<(), GroupError> {
    require(request.rebalance_timeout_ms != -1, "RebalanceTimeoutMs must be provided in first request.")?;
    require(
        request.owned.as_ref().is_some_and(Vec::is_empty),
        "TopicPartitions must be empty when (re-)joining.",
    )?;
    require(
        request.subscribed_topic_names.is_some() || request.subscribed_topic_regex.is_some(),
        "Either SubscribedTopicNames or SubscribedTopicRegex must be non-null when (re-)joining.",
    )
}

fn not_empty(text: Option<&Arc<str>>, field: &str) -> Result<(), GroupError> {
    let is_blank = text.is_some_and(|text| text.trim().is_empty());
    require(!is_blank, &format!("{field} can't be empty."))
}

fn require(is_met: bool, otherwise: &str) -> Result<(), GroupError> {
    if is_met { Ok(()) } else { Err(GroupError::InvalidRequest(otherwise.to_owned())) }
}
