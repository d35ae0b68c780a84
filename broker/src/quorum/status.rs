//! How the quorum stands, for people and their tools.

use serde::{Deserialize, Serialize};
use std::time::Duration;
use storage::ids::BrokerId;

/// The quorum as its leader sees it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct QuorumStatus {
    /// The node that leads it: the active controller.
    pub leader: BrokerId,
    /// The term in which it leads.
    pub term: u64,
    /// The offset behind the last committed entry.
    pub high_watermark: i64,
    /// Whether a change of the members is under way: those that are named as voters may not all be counted on yet.
    pub is_changing: bool,
    /// The nodes that vote, by their ids.
    pub voters: Vec<MemberStatus>,
    /// The nodes that follow the metadata and do not vote, by their ids.
    pub observers: Vec<MemberStatus>,
}

/// One member as the leader sees it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MemberStatus {
    /// The node.
    pub broker_id: BrokerId,
    /// The identity of its data, nil where it is not known.
    pub directory_id: uuid::Uuid,
    /// The offset behind the last entry that it is known to have; `None` where nothing is known.
    pub log_end_offset: Option<i64>,
    /// How long ago it answered; `None` where it did not.
    pub answered_ago: Option<Duration>,
    /// How long ago it had everything that the leader had; `None` where it did not.
    pub caught_up_ago: Option<Duration>,
}
