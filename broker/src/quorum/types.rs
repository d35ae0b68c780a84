//! The types that openraft is instantiated with.

use crate::quorum::error::StoreError;
use config::broker::Endpoint;
use openraft::{AnyError, ErrorSubject, ErrorVerb, StorageError, StorageIOError};
use replication::metadata::record::MetadataRecord;
use std::io::Cursor;
use std::sync::Arc;
use storage::ids::BrokerId;

openraft::declare_raft_types!(
    /// What the metadata quorum agrees on, and in whose names.
    pub(super) TypeConfig:
        D = MetadataBatch,
        R = Applied,
        NodeId = RaftNodeId,
        Node = QuorumNode,
        Entry = openraft::Entry<TypeConfig>,
        SnapshotData = Cursor<Vec<u8>>,
        AsyncRuntime = openraft::TokioRuntime
);

/// Identifies one journal, not one node: random, made with the journal and kept in it. A node that lost its journal
/// comes back under another id, so that nobody counts on votes and entries that it has forgotten.
pub type RaftNodeId = u64;

pub(super) type LogId = openraft::LogId<RaftNodeId>;
pub(super) type Vote = openraft::Vote<RaftNodeId>;
pub(super) type Entry = openraft::Entry<TypeConfig>;
pub(super) type Membership = openraft::Membership<RaftNodeId, QuorumNode>;
pub(super) type StoredMembership = openraft::StoredMembership<RaftNodeId, QuorumNode>;
pub(super) type SnapshotMeta = openraft::SnapshotMeta<RaftNodeId, QuorumNode>;
pub(super) type Snapshot = openraft::Snapshot<TypeConfig>;
pub(super) type Raft = openraft::Raft<TypeConfig>;
pub(super) type RaftStorageError = StorageError<RaftNodeId>;

/// The records of one step of the controller.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct MetadataBatch {
    /// The term in which they were decided. A batch that is logged in another term was decided against an image that
    /// may have changed since, and is ignored wherever it is applied.
    pub(super) term: u64,
    /// The records.
    pub(super) records: Arc<[MetadataRecord]>,
}

/// What became of a log entry that was applied.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Applied {
    /// The image has changed, or the entry held no records.
    Accepted,
    /// The batch was decided in another term than it was logged in.
    Ignored,
}

/// The node behind a raft node id.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct QuorumNode {
    /// The configured `node.id`.
    pub broker_id: BrokerId,
    /// Where the other nodes reach it; `None` for a single node, which has no others.
    pub address: Option<Endpoint>,
}

/// The log id of an index in a term.
pub(super) fn log_id(term: u64, index: u64) -> LogId {
    LogId::new(openraft::CommittedLeaderId::new(term, 0), index)
}

/// Tells openraft that the disk failed us; it stops for good.
pub(super) fn storage_error(
    subject: ErrorSubject<RaftNodeId>,
    verb: ErrorVerb,
    error: &StoreError,
) -> RaftStorageError {
    StorageIOError::new(subject, verb, AnyError::new(error)).into()
}
