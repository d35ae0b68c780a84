//! The one task that decides: it takes requests one batch at a time and answers them once their records are applied.
//!
//! Requests that wait when a decision begins are decided together, each against the image that the earlier ones make,
//! and their records go into the log as one entry: one flush answers them all.
//!
//! Invariants: a decision is made against an image that holds everything that was committed before, which is certain
//! only in the term in which this node made sure that it leads; no batch is decided while another is on its way, so
//! writing one has no deadline of its own (callers have theirs).

use crate::clock;
use crate::quorum::snapshot::offset;
use crate::quorum::types::{Applied, MetadataBatch, Raft, RaftNodeId};
use crate::quorum::{Decided, ProposeError};
use openraft::error::RaftError;
use replication::controller::mutations::MutationAllowances;
use replication::controller::{self, ControllerReply, ControllerRequest, Env, RECORDS_PER_REQUEST_MAX};
use replication::metadata::image::MetadataImage;
use replication::metadata::record::MetadataRecord;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use storage::ids::BrokerId;
use tokio::sync::{mpsc, oneshot, watch};

/// The most requests that are decided together. Larger: the first of them waits longer. Smaller: more flushes.
const REQUESTS_PER_BATCH_MAX: usize = 1024;

/// A journal longer than this, in bytes, asks for a snapshot. Larger: a start applies more, and memory holds more
/// entries. Smaller: snapshots of large images are written more often.
const SNAPSHOT_AFTER_JOURNAL_BYTES: u64 = 8 * 1024 * 1024;

/// A request and where its answer goes.
pub(super) struct Proposal {
    pub(super) request: ControllerRequest,
    pub(super) answer: oneshot::Sender<Result<Decided, ProposeError>>,
}

/// Everything that the task owns.
pub(super) struct ControllerTask {
    pub(super) broker_id: BrokerId,
    pub(super) raft: Raft,
    pub(super) images: watch::Receiver<Arc<MetadataImage>>,
    pub(super) random: Box<dyn FnMut() -> u128 + Send>,
    pub(super) config_rules: replication::controller::configs::ConfigRules,
    /// What clients may make and delete yet, as far as this node decided.
    pub(super) allowances: MutationAllowances,
    pub(super) journal_bytes: Arc<AtomicU64>,
    /// The term in which this node made sure that it leads and holds everything committed.
    pub(super) led_term: Option<u64>,
    /// Whether openraft has stopped for good.
    pub(super) has_stopped: bool,
}

impl ControllerTask {
    /// Answers proposals until their channel closes or openraft stops.
    pub(super) async fn run(&mut self, mut proposals: mpsc::Receiver<Proposal>) {
        let mut waiting = Vec::with_capacity(REQUESTS_PER_BATCH_MAX);
        while !self.has_stopped && proposals.recv_many(&mut waiting, REQUESTS_PER_BATCH_MAX).await > 0 {
            let mut batch = waiting.drain(..).peekable();
            while batch.peek().is_some() {
                self.decide_and_write(&mut batch).await;
            }
        }
    }

    /// Takes proposals until their records fill an entry, writes it, and answers them.
    async fn decide_and_write(&mut self, proposals: &mut impl Iterator<Item = Proposal>) {
        let term = self.term().await;
        let mut records = Vec::new();
        let mut answers = Vec::new();
        let mut without_their_data = Vec::new();
        let mut image = self.images.borrow().as_ref().clone();
        let next_offset = image.offset() + 1;
        for Proposal { request, answer } in proposals {
            let mut env = Env {
                controller: self.broker_id,
                random: &mut *self.random,
                config_rules: &self.config_rules,
                allowances: &mut self.allowances,
                now: clock::monotonic(),
            };
            let decision = controller::handle(&request, &mut env, &image);
            if matches!(decision.reply, ControllerReply::RegisterBroker(Ok(_))) {
                without_their_data.extend(comes_without_its_data(&request, &image));
            }
            image = image.apply(next_offset, &decision.records);
            records.extend(decision.records);
            answers.push((answer, decision.reply));
            if records.len() >= RECORDS_PER_REQUEST_MAX {
                break;
            }
        }
        let written = match term {
            Ok(_) if records.is_empty() => Ok(next_offset - 1),
            Ok(term) => self.write(term, records).await,
            Err(error) => Err(error),
        };
        if written.is_ok() {
            for broker_id in without_their_data {
                tracing::warn!(
                    "node {broker_id} came back with another data directory than before: what it had counts as lost, \
                     and it copies all from the other nodes"
                );
            }
        }
        for (answer, reply) in answers {
            // Whoever asked may have given up since; what was decided stands.
            drop(answer.send(written.map(|offset| Decided { reply, offset })));
        }
    }

    /// The term in which this node leads, once its image holds everything that was committed before.
    async fn term(&mut self) -> Result<u64, ProposeError> {
        let term = self.raft.metrics().borrow().current_term;
        if self.led_term != Some(term) {
            let read_to = self.raft.ensure_linearizable().await;
            read_to
                .map_err(|error| self.refusal(&error, ProposeError::NotController, ProposeError::Stopped))?;
            if self.raft.metrics().borrow().current_term != term {
                return Err(ProposeError::NotController);
            }
            self.led_term = Some(term);
        }
        Ok(term)
    }

    /// Writes the records as one entry, and returns its offset once it is applied here.
    async fn write(&mut self, term: u64, records: Vec<MetadataRecord>) -> Result<i64, ProposeError> {
        let batch = MetadataBatch { term, records: records.into() };
        let written = self
            .raft
            .client_write(batch)
            .await
            // Also where openraft has stopped: others may hold the entry.
            .map_err(|error| self.refusal(&error, ProposeError::LeadLost, ProposeError::LeadLost))?;
        ask_for_snapshot(&self.raft, &self.journal_bytes).await;
        match written.data {
            Applied::Accepted => Ok(offset(&written.log_id)),
            Applied::Ignored => Err(ProposeError::NotController),
        }
    }

    fn refusal<E>(
        &mut self,
        error: &RaftError<RaftNodeId, E>,
        of_api: ProposeError,
        of_fatal: ProposeError,
    ) -> ProposeError {
        match error {
            RaftError::Fatal(_) => {
                self.has_stopped = true;
                of_fatal
            }
            RaftError::APIError(_) => of_api,
        }
    }
}

/// The broker that `request` registers, if its data directory is another one than before.
fn comes_without_its_data(request: &ControllerRequest, image: &MetadataImage) -> Option<BrokerId> {
    let ControllerRequest::RegisterBroker(register) = request else { return None };
    let before = image.broker(register.broker_id)?.directory_id;
    (!before.is_nil() && before != register.directory_id).then_some(register.broker_id)
}

/// Asks for a snapshot where the journal has grown long.
pub(super) async fn ask_for_snapshot(raft: &Raft, journal_bytes: &AtomicU64) {
    if journal_bytes.load(Ordering::Relaxed) > SNAPSHOT_AFTER_JOURNAL_BYTES
        && let Err(error) = raft.trigger().snapshot().await
    {
        tracing::debug!("no snapshot was asked for: {error}");
    }
}
