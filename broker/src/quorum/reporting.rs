//! How the quorum stands, asked of whoever leads it.

use crate::clock;
use crate::quorum::control::{self, ControlAnswer, ControlRequest};
use crate::quorum::controllership::Controllership;
use crate::quorum::council::{Controller, Council};
use crate::quorum::links::Lane;
use crate::quorum::status::{MemberStatus, QuorumStatus};
use crate::quorum::types::{QuorumNode, RaftNodeId};
use std::time::Duration;

/// The status, from this node or from the one that leads; `None` where nobody is known to lead.
pub(super) async fn status(council: &Council, controllership: &Controllership) -> Option<QuorumStatus> {
    match council.controller(Lane::Control) {
        Controller::Here => status_here(council, controllership),
        Controller::There(link) => {
            let answer = link.call(control::encode(&ControlRequest::Status)).await.ok()?;
            // Any other answer is that of a node that does not lead.
            if let ControlAnswer::Status(status) = control::decode(&answer)? { Some(status) } else { None }
        }
        Controller::Unknown => None,
    }
}

/// The status as this node knows it, if it leads.
pub(super) fn status_here(council: &Council, controllership: &Controllership) -> Option<QuorumStatus> {
    let metrics = council.raft.metrics().borrow().clone();
    let replication = metrics.replication.as_ref()?;
    let image = council.images.borrow().clone();
    let now = clock::monotonic();
    let own_id = council.identity.raft_node_id;
    let end = |index: Option<u64>| index.and_then(|index| i64::try_from(index + 1).ok());
    let member = |id: &RaftNodeId, node: &QuorumNode| {
        let is_own = *id == own_id;
        let matching = replication.get(id).copied().flatten().map(|id| id.index);
        let link = council.links.as_ref().and_then(|links| links.to(Lane::Raft, *id, node));
        let caught_up_at = controllership.membership.caught_up_at(*id);
        MemberStatus {
            broker_id: node.broker_id,
            directory_id: image.broker(node.broker_id).map_or(uuid::Uuid::nil(), |known| known.directory_id),
            log_end_offset: end(if is_own { metrics.last_log_index } else { matching }),
            answered_ago: if is_own { Some(Duration::ZERO) } else { link.and_then(|link| link.silent_for()) },
            caught_up_ago: match is_own {
                true => Some(Duration::ZERO),
                false => caught_up_at.map(|at| now.saturating_sub(at)),
            },
        }
    };
    let membership = metrics.membership_config.membership();
    let is_voter = |id: &RaftNodeId| membership.voter_ids().any(|voter| voter == *id);
    let members = |wanted: bool| -> Vec<MemberStatus> {
        let members = membership.nodes().filter(|(id, _)| is_voter(id) == wanted);
        let mut members: Vec<_> = members.map(|(id, node)| member(id, node)).collect();
        members.sort_by_key(|member| member.broker_id);
        members
    };
    Some(QuorumStatus {
        leader: council.identity.broker_id,
        term: metrics.current_term,
        high_watermark: end(metrics.last_applied.map(|id| id.index)).unwrap_or(0),
        is_changing: membership.get_joint_config().len() > 1
            || *metrics.membership_config.log_id() > metrics.last_applied,
        voters: members(true),
        observers: members(false),
    })
}
