//! Applies committed entries to the metadata image and publishes it.
//!
//! The image lives in memory; after a start it is the snapshot's, and the entries behind it are applied once more.

use crate::quorum::error::StoreError;
use crate::quorum::snapshot::{SnapshotFile, State, offset};
use crate::quorum::store::{FailureReport, report};
use crate::quorum::types::{
    Applied, Entry, LogId, MetadataBatch, QuorumNode, RaftNodeId, RaftStorageError, Snapshot, SnapshotMeta,
    StoredMembership, TypeConfig,
};
use openraft::storage::RaftStateMachine;
use openraft::{EntryPayload, ErrorSubject, ErrorVerb, OptionalSend, RaftSnapshotBuilder};
use parking_lot::Mutex;
use replication::metadata::image::MetadataImage;
use std::io::Cursor;
use std::sync::Arc;
use tokio::sync::watch;

/// Where each new image is published.
pub(super) type ImageSender = watch::Sender<Arc<MetadataImage>>;

/// The state that the log adds up to.
pub(super) struct StateMachine {
    state: State,
    images: ImageSender,
    file: Arc<Mutex<SnapshotFile>>,
    failures: FailureReport,
}

/// Writes a snapshot of one moment while the state machine goes on.
pub(super) struct SnapshotBuilder {
    state: State,
    file: Arc<Mutex<SnapshotFile>>,
    failures: FailureReport,
}

impl StateMachine {
    /// The state of a snapshot, or the empty one.
    pub(super) fn new(file: SnapshotFile, images: ImageSender, failures: FailureReport) -> Self {
        let state = file.saved().cloned().unwrap_or_default();
        images.send_replace(Arc::new(state.image.clone()));
        Self { state, images, file: Arc::new(Mutex::new(file)), failures }
    }

    fn apply_entry(&mut self, entry: Entry) -> Applied {
        let Entry { log_id, payload } = entry;
        self.state.last_applied = Some(log_id);
        let (records, applied) = match &payload {
            EntryPayload::Normal(MetadataBatch { term, records }) if *term == log_id.leader_id.term => {
                (records.as_ref(), Applied::Accepted)
            }
            EntryPayload::Normal(_) => (&[][..], Applied::Ignored),
            EntryPayload::Blank | EntryPayload::Membership(_) => (&[][..], Applied::Accepted),
        };
        self.state.image = self.state.image.apply(offset(&log_id), records);
        if let EntryPayload::Membership(membership) = payload {
            self.state.membership = StoredMembership::new(Some(log_id), membership);
        }
        applied
    }

    fn publish(&self) {
        self.images.send_replace(Arc::new(self.state.image.clone()));
    }
}

impl RaftStateMachine<TypeConfig> for StateMachine {
    type SnapshotBuilder = SnapshotBuilder;

    async fn applied_state(
        &mut self,
    ) -> Result<(Option<LogId>, openraft::StoredMembership<RaftNodeId, QuorumNode>), RaftStorageError> {
        Ok((self.state.last_applied, self.state.membership.clone()))
    }

    async fn apply<I>(&mut self, entries: I) -> Result<Vec<Applied>, RaftStorageError>
    where
        I: IntoIterator<Item = Entry> + OptionalSend,
        I::IntoIter: OptionalSend,
    {
        let applied = entries.into_iter().map(|entry| self.apply_entry(entry)).collect();
        self.publish();
        Ok(applied)
    }

    async fn get_snapshot_builder(&mut self) -> SnapshotBuilder {
        SnapshotBuilder {
            state: self.state.clone(),
            file: Arc::clone(&self.file),
            failures: self.failures.clone(),
        }
    }

    async fn begin_receiving_snapshot(&mut self) -> Result<Box<Cursor<Vec<u8>>>, RaftStorageError> {
        Ok(Box::default())
    }

    async fn install_snapshot(
        &mut self,
        meta: &SnapshotMeta,
        snapshot: Box<Cursor<Vec<u8>>>,
    ) -> Result<(), RaftStorageError> {
        let subject = ErrorSubject::Snapshot(Some(meta.signature()));
        let state = State::from_snapshot(meta, snapshot.get_ref()).map_err(|source| {
            let error =
                StoreError::Undecodable { path: self.file.lock().path().to_owned(), position: 0, source };
            report(&self.failures, error, subject.clone(), ErrorVerb::Read)
        })?;
        let saved = self.file.lock().save(state.clone());
        saved.map_err(|error| report(&self.failures, error, subject, ErrorVerb::Write))?;
        self.state = state;
        self.publish();
        Ok(())
    }

    async fn get_current_snapshot(&mut self) -> Result<Option<Snapshot>, RaftStorageError> {
        Ok(self.file.lock().saved().map(State::to_snapshot))
    }
}

impl RaftSnapshotBuilder<TypeConfig> for SnapshotBuilder {
    async fn build_snapshot(&mut self) -> Result<Snapshot, RaftStorageError> {
        let snapshot = self.state.to_snapshot();
        let subject = ErrorSubject::Snapshot(Some(snapshot.meta.signature()));
        let saved = self.file.lock().save(self.state.clone());
        saved.map_err(|error| report(&self.failures, error, subject, ErrorVerb::Write))?;
        Ok(snapshot)
    }
}
