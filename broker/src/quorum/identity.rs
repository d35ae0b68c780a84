//! How this node introduces itself to others.

use crate::peer::{Hello, PROTOCOL_VERSION, Purpose};
use crate::quorum::types::RaftNodeId;
use parking_lot::Mutex;
use replication::metadata::image::MetadataImage;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use storage::ids::BrokerId;
use tokio::sync::watch;
use uuid::Uuid;

/// What this run of the node is.
#[derive(Debug)]
pub(super) struct Identity {
    pub(super) broker_id: BrokerId,
    pub(super) raft_node_id: RaftNodeId,
    pub(super) incarnation: Uuid,
    /// The cluster that the directory belongs to by what stands in it beside the quorum's files.
    known_cluster_id: Option<String>,
    directory_id: Mutex<Uuid>,
    is_initialised: AtomicBool,
    images: watch::Receiver<Arc<MetadataImage>>,
}

impl Identity {
    pub(super) fn new(
        broker_id: BrokerId,
        raft_node_id: RaftNodeId,
        incarnation: Uuid,
        known_cluster_id: Option<String>,
        images: watch::Receiver<Arc<MetadataImage>>,
    ) -> Self {
        Self {
            broker_id,
            raft_node_id,
            incarnation,
            known_cluster_id,
            directory_id: Mutex::new(Uuid::nil()),
            is_initialised: AtomicBool::new(false),
            images,
        }
    }

    /// The cluster that this node belongs to, as far as it knows.
    pub(super) fn cluster_id(&self) -> Option<String> {
        let of_image = self.images.borrow().cluster_id().map(str::to_owned);
        of_image.or_else(|| self.known_cluster_id.clone())
    }

    /// Whether the quorum of this node holds anything.
    pub(super) fn is_initialised(&self) -> bool {
        self.is_initialised.load(Ordering::Acquire)
    }

    pub(super) fn set_initialised(&self, is_initialised: bool) {
        self.is_initialised.store(is_initialised, Ordering::Release);
    }

    pub(super) fn set_directory_id(&self, directory_id: Uuid) {
        *self.directory_id.lock() = directory_id;
    }

    pub(super) fn hello(&self) -> Hello {
        Hello {
            protocol_version: PROTOCOL_VERSION,
            purpose: Purpose::Control,
            cluster_id: self.cluster_id(),
            broker_id: self.broker_id,
            raft_node_id: self.raft_node_id,
            incarnation: self.incarnation,
            directory_id: *self.directory_id.lock(),
            is_initialised: self.is_initialised(),
        }
    }
}
