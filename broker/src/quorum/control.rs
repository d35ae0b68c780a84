//! What nodes ask each other beside the calls of raft: to be let in, to decide, and whether they are alive.
//!
//! Requests and answers are written by `postcard`. Variants and fields are only ever appended, and an answer that an
//! older node does not know ends the connection: the newest node of a set that is upgraded asks for nothing new before
//! all of them know it.

use crate::quorum::ProposeError;
use crate::quorum::status::QuorumStatus;
use config::broker::Endpoint;
use replication::controller::{ControllerReply, ControllerRequest};
use serde::{Deserialize, Serialize};
use storage::ids::{BrokerEpoch, BrokerId};

/// What one node asks another.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) enum ControlRequest {
    /// Who are you, and what do you hold?
    Introduce {
        /// What the node that asks wants beside the answer.
        wish: Wish,
    },
    /// Let this run of the node, which the hello names, be a member. Only the controller can.
    Join {
        /// Where the node is reached.
        address: Address,
        /// The last entry of its metadata log.
        last: LastIndex,
    },
    /// Decide this. Only the controller can.
    Propose(ControllerRequest),
    /// This run of a broker is alive. Only the controller wants to know.
    Heartbeat(Heartbeat),
    /// How does the quorum stand? Only the controller knows.
    Status,
}

/// Where the metadata log of a node ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct LastIndex {
    /// When this run began.
    pub(super) begun_with: Option<u64>,
    /// By now: a leader sends entries before it lets a member in.
    pub(super) now: Option<u64>,
}

/// What a node wants of another, as the one that forms the cluster.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Wish {
    /// Nothing.
    Nothing,
    /// To be agreed to, and nobody else.
    Agreement,
    /// That an agreement ends, since not everyone agreed.
    Release,
}

/// What is answered.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) enum ControlAnswer {
    /// To [`ControlRequest::Introduce`].
    Introduction(Introduction),
    /// To [`ControlRequest::Join`]: the node is a member.
    Joined,
    /// To [`ControlRequest::Join`]: a node with this `node.id` is alive.
    Taken {
        /// The `node.id`.
        broker_id: BrokerId,
    },
    /// To [`ControlRequest::Propose`]: what was decided, and the offset of the metadata log that holds it.
    Decided(ControllerReply, i64),
    /// To [`ControlRequest::Propose`] and [`ControlRequest::Join`].
    Failed(ProposeError),
    /// To [`ControlRequest::Heartbeat`]: the controller has a session for this run.
    Alive {
        /// Whether a broker that wants to stop leads nothing any more that others could lead.
        may_stop: bool,
    },
    /// To [`ControlRequest::Heartbeat`]: a later run of a node with this `node.id` has registered.
    Superseded,
    /// To [`ControlRequest::Status`].
    Status(QuorumStatus),
    /// To whatever only the controller can do.
    NotController {
        /// Who is, as far as this node knows.
        controller: Option<Address>,
    },
    /// To [`ControlRequest::Join`]: the journal of the node that asks is that of another one.
    Copied {
        /// Whose it is.
        broker_id: BrokerId,
    },
    /// To [`ControlRequest::Join`]: the journal of the node that asks lacks what it once held.
    OlderCopy {
        /// Who knows it.
        controller: BrokerId,
        /// The last entry that it is known to have held.
        last_index: u64,
    },
    /// To [`ControlRequest::Join`]: the node that asks is not found where the controller looks for it, so that it could be
    /// sent nothing.
    Unreached {
        /// Who leads.
        controller: BrokerId,
        /// Where it looked.
        address: Address,
    },
}

/// What a node says of itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Introduction {
    pub(super) broker_id: BrokerId,
    pub(super) cluster_id: Option<String>,
    pub(super) is_initialised: bool,
    /// Whether it agreed to the node that asked.
    pub(super) agrees: bool,
    /// The node that leads the quorum, as far as it knows.
    pub(super) leader: Option<BrokerId>,
}

/// What a broker says about itself every so often.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Heartbeat {
    pub(super) broker_id: BrokerId,
    pub(super) broker_epoch: BrokerEpoch,
    /// Up to where it knows the metadata.
    pub(super) metadata_offset: i64,
    /// Whether its data is recovered and its ports are open.
    pub(super) is_ready: bool,
    /// Whether others should lead what it leads, since it is about to stop.
    pub(super) wants_to_stop: bool,
}

/// Where a node is reached.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Address {
    host: String,
    port: u16,
}

impl From<Endpoint> for Address {
    fn from(endpoint: Endpoint) -> Self {
        Self { host: endpoint.host, port: endpoint.port }
    }
}

impl From<Address> for Endpoint {
    fn from(address: Address) -> Self {
        Self { host: address.host, port: address.port }
    }
}

/// The bytes of a request or an answer.
pub(super) fn encode(message: &impl Serialize) -> Vec<u8> {
    postcard::to_allocvec(message).expect("plain fields are written to memory")
}

/// The request or answer of these bytes; `None` where they are none.
pub(super) fn decode<T: for<'de> Deserialize<'de>>(bytes: &[u8]) -> Option<T> {
    let (message, rest) = postcard::take_from_bytes(bytes).ok()?;
    rest.is_empty().then_some(message)
}
