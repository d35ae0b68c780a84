//! A member of a classic group.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use super::protocols::Protocols;
use crate::ids::InstanceId;
use crate::output::ReplyTo;
use crate::request::JoinGroup;

/// A member of a classic group.
#[derive(Debug)]
pub(super) struct Member {
    /// The name that it keeps, where it is static.
    pub(super) group_instance_id: Option<InstanceId>,
    pub(super) client_id: Arc<str>,
    pub(super) client_host: Arc<str>,
    pub(super) timeouts: Timeouts,
    pub(super) protocols: Protocols,
    /// What the leader assigned to it.
    pub(super) assignment: Bytes,
    /// Who waits for the rebalance to begin.
    pub(super) awaiting_join: Option<ReplyTo>,
    /// Who waits for the leader to assign.
    pub(super) awaiting_sync: Option<ReplyTo>,
    /// Whether it has never been in a generation; such a one may vanish while it waits.
    pub(super) is_new: bool,
    /// When it is taken for dead; `None` while it waits for an answer longer than a session.
    pub(super) session_deadline: Option<Duration>,
}

/// How long a member may take, in milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Timeouts {
    /// To be silent.
    pub(super) session_ms: i32,
    /// To rejoin.
    pub(super) rebalance_ms: i32,
}

impl Timeouts {
    /// As a client or a record has them; -1 for the second means that it is the first (JoinGroup version 0).
    pub(super) fn new(session_ms: i32, rebalance_ms: i32) -> Self {
        let rebalance_ms = if rebalance_ms == -1 { session_ms } else { rebalance_ms };
        Self { session_ms, rebalance_ms: rebalance_ms.max(0) }
    }

    pub(super) fn session(self) -> Duration {
        milliseconds(self.session_ms)
    }

    pub(super) fn rebalance(self) -> Duration {
        milliseconds(self.rebalance_ms)
    }
}

impl Member {
    /// A member that joins, and that may be silent until `session_deadline`.
    pub(super) fn new(request: &JoinGroup, protocols: Protocols, session_deadline: Duration) -> Self {
        Self {
            group_instance_id: request.group_instance_id.clone(),
            client_id: request.client_id.clone(),
            client_host: request.client_host.clone(),
            timeouts: Timeouts::new(request.session_timeout_ms, request.rebalance_timeout_ms),
            protocols,
            assignment: Bytes::new(),
            awaiting_join: None,
            awaiting_sync: None,
            is_new: true,
            session_deadline: Some(session_deadline),
        }
    }

    /// Whether its silence is excused: it waits for us.
    pub(super) fn is_waiting(&self) -> bool {
        !self.is_new && (self.awaiting_join.is_some() || self.awaiting_sync.is_some())
    }
}

/// Milliseconds as Kafka's settings and clients have them; negative ones are none.
pub(super) fn milliseconds(count: i32) -> Duration {
    Duration::from_millis(u64::try_from(count).unwrap_or(0))
}
