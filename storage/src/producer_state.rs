//! What a log knows of the producers that write to it: which batches are duplicates, who is fenced, and which
//! transactions are open.
//!
//! A pure function of the batches in the log, in order: the leader, followers and recovery all get it from
//! [`ProducerStates::apply`]. To cut a log is to start over, from the newest snapshot at or below the new end
//! (or from nothing) and the batches after it.
//!
//! Invariants: [`ProducerStates::check`] changes nothing and `apply` cannot fail, so that a leader can check,
//! append and then apply under one lock; a producer has at most [`BATCHES_PER_PRODUCER`] batches; every open
//! transaction of a producer is in the list of open transactions, and only those.
//!
//! Absent: files and when snapshots are taken (the log), verification of transactions with their coordinator.
//! Source: KIP-98, KIP-360, KIP-890, `ProducerStateManager.java`, `ProducerAppendInfo.java`,
//! `ProducerStateEntry.java`.

use std::collections::BTreeMap;

use thiserror::Error;

use crate::batch::{AppendOrigin, BatchHeader, EndTransactionMarker, NO_SEQUENCE, TransactionResult};
use crate::ids::{Offset, ProducerEpoch, ProducerId, Sequence, TimestampMs};

mod batches;
mod cut;
mod snapshot;

use batches::Batches;
pub use snapshot::SnapshotError;

/// Batches of a producer that are remembered to recognise duplicates. Clients have up to five requests in
/// flight, so fewer would take a retry for a gap; more never match. Source:
/// `ProducerStateEntry.NUM_BATCHES_TO_RETAIN`.
pub const BATCHES_PER_PRODUCER: usize = 5;

/// Producers that a log remembers. Beyond it those without an open transaction that have not written for
/// longest are forgotten, an eighth of all at once, as if they had expired: the state of a log stays below
/// about 25 MB. Larger lets short-lived producers take that much more memory in each partition; smaller
/// forgets a quiet producer, whose next retry is then taken for new, while others still start.
///
/// Forgetting, not refusing: a follower must apply what its leader appended, and a flood of new producer ids
/// must not lock out everyone for as long as ids live.
pub const PRODUCERS_MAX: usize = 100_000;

/// One batch of a producer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProducerBatch {
    /// The sequence of its last record, inclusive.
    pub last_sequence: Sequence,
    /// The offset of its last record, inclusive.
    pub last_offset: Offset,
    /// Its last offset relative to its first.
    pub offset_delta: i32,
    /// Its greatest timestamp.
    pub timestamp: TimestampMs,
}

impl ProducerBatch {
    /// The sequence of its first record; wraps below 0 to 2^31-1.
    #[must_use]
    pub fn first_sequence(&self) -> Sequence {
        Sequence(self.last_sequence.0.wrapping_sub(self.offset_delta) & i32::MAX)
    }

    /// The offset of its first record.
    #[must_use]
    pub fn first_offset(&self) -> Offset {
        self.last_offset.plus(-i64::from(self.offset_delta))
    }
}

/// What is known of one producer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProducerState {
    /// The newest epoch seen; older ones are fenced.
    pub producer_epoch: ProducerEpoch,
    /// The epoch of the coordinator that wrote the newest marker, or -1.
    pub coordinator_epoch: i32,
    /// The greatest timestamp of the newest batch or marker.
    pub last_timestamp: TimestampMs,
    /// When this node last saw it write, by this node's clock. Producers expire by it, not by the timestamps
    /// of their records: who writes records from last year is not idle.
    pub last_active: TimestampMs,
    /// Where the open transaction began, if one is open.
    pub current_transaction_first_offset: Option<Offset>,
    /// The newest batch of this epoch or marker at most; orders producers by when they wrote.
    last_seen_offset: Offset,
    /// The batches of this epoch, oldest first.
    batches: Batches,
}

impl ProducerState {
    fn new() -> Self {
        Self {
            producer_epoch: ProducerEpoch::NONE,
            coordinator_epoch: -1,
            last_timestamp: TimestampMs::NONE,
            last_active: TimestampMs::NONE,
            current_transaction_first_offset: None,
            last_seen_offset: Offset(-1),
            batches: Batches::default(),
        }
    }

    /// The newest batch of the current epoch, if one is known.
    #[must_use]
    pub fn last_batch(&self) -> Option<&ProducerBatch> {
        self.batches.iter().next_back()
    }

    /// The sequence of the last record, inclusive; -1 where none of this epoch is known.
    #[must_use]
    pub fn last_sequence(&self) -> Sequence {
        self.last_batch().map_or(NO_SEQUENCE, |batch| batch.last_sequence)
    }

    fn duplicate_of(&self, header: &BatchHeader) -> Option<&ProducerBatch> {
        let range = (header.base_sequence, header.last_sequence());
        let same_range = |batch: &&ProducerBatch| (batch.first_sequence(), batch.last_sequence) == range;
        self.batches.iter().find(same_range).filter(|_| self.producer_epoch == header.producer_epoch)
    }

    /// The batch with this header was written, or its marker. Another epoch leaves nothing to compare with.
    fn wrote(&mut self, header: &BatchHeader, now: TimestampMs) {
        if self.producer_epoch != header.producer_epoch {
            self.batches = Batches::default();
            self.producer_epoch = header.producer_epoch;
        }
        self.last_timestamp = header.max_timestamp;
        self.last_active = now;
        self.last_seen_offset = header.last_offset();
    }

    fn is_expired(&self, now: TimestampMs, expiration_ms: i64) -> bool {
        let idle_ms = now.0.saturating_sub(self.last_active.0);
        self.current_transaction_first_offset.is_none() && idle_ms >= expiration_ms
    }
}

/// What to do with a batch that may be appended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It is new.
    Append,
    /// It is in the log already. The answer is that of the first time.
    Duplicate {
        /// Where its first record is.
        base_offset: Offset,
        /// Where its last record is, inclusive.
        last_offset: Offset,
        /// The greatest timestamp of the batch in the log.
        timestamp: TimestampMs,
    },
}

/// Why a producer's batch may not be appended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum ProducerStateError {
    /// A gap, or a retry of what may be older than all that is known.
    #[error("producer {producer_id} sent sequence {base_sequence} after {last_sequence}")]
    OutOfOrderSequence {
        /// Whose batch it is.
        producer_id: ProducerId,
        /// The batch's first sequence.
        base_sequence: Sequence,
        /// The last sequence in the log; -1 where a new epoch begins, which must start at 0.
        last_sequence: Sequence,
    },
    /// A retry of something older than is remembered. It was appended, somewhere below `end_offset`.
    ///
    /// Apache Kafka takes it for a gap; a client then sends it again until it gives it up. That happens to clients that do not
    /// wait for a node that was cut off, and write more than [`BATCHES_PER_PRODUCER`] batches to the next leader before
    /// they hear that the former one leads no more. Clients take this error for success. Source: KIP-98, `Sender.java`,
    /// `rdkafka_request.c`.
    #[error(
        "producer {producer_id} sent sequence {base_sequence} again, which is in the log below offset {end_offset}"
    )]
    DuplicateSequence {
        /// Whose batch it is.
        producer_id: ProducerId,
        /// The batch's first sequence.
        base_sequence: Sequence,
        /// Where the oldest batch begins that is remembered.
        end_offset: Offset,
    },
    /// A newer instance of the producer has written.
    #[error("producer {producer_id} sent epoch {producer_epoch} after {current_epoch}")]
    InvalidProducerEpoch {
        /// Whose batch it is.
        producer_id: ProducerId,
        /// The batch's epoch.
        producer_epoch: ProducerEpoch,
        /// The epoch in the log.
        current_epoch: ProducerEpoch,
    },
    /// Data outside the transaction that the producer has open.
    #[error("producer {producer_id} sent a batch without a transaction while one is open")]
    TransactionOpen {
        /// Whose batch it is.
        producer_id: ProducerId,
    },
    /// A marker from a coordinator that was replaced.
    #[error(
        "coordinator epoch {coordinator_epoch} ends a transaction of producer {producer_id} after {current_epoch}"
    )]
    CoordinatorFenced {
        /// Whose transaction it is.
        producer_id: ProducerId,
        /// The marker's coordinator epoch.
        coordinator_epoch: i32,
        /// The coordinator epoch in the log.
        current_epoch: i32,
    },
}

/// A transaction that a marker has just ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CompletedTransaction {
    /// Whose it was.
    pub producer_id: ProducerId,
    /// Where its data begins.
    pub first_offset: Offset,
    /// Where its marker is.
    pub last_offset: Offset,
    /// How it ended. Aborted ones go into the index of aborted transactions.
    pub result: TransactionResult,
    /// The last stable offset with this marker, whatever is replicated: the first offset of the oldest
    /// transaction that is still open, or the offset after the marker.
    pub last_stable_offset: Offset,
}

/// The producers of one log.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct ProducerStates {
    producers: BTreeMap<ProducerId, ProducerState>,
    /// Boxed, and there only where it holds any: most logs of a node with many of them never have one.
    transactions: Option<Box<Transactions>>,
    end_offset: Offset,
}

/// The transactions of a log that are not decided for readers.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
struct Transactions {
    /// Open ones by their first offset.
    open: BTreeMap<Offset, ProducerId>,
    /// Ended ones by their first offset, with the offset of their marker, until that is replicated.
    unreplicated: BTreeMap<Offset, Offset>,
}

impl ProducerStates {
    /// No producers, at a log that ends at `end_offset` (exclusive).
    #[must_use]
    pub fn new(end_offset: Offset) -> Self {
        Self { end_offset, ..Self::default() }
    }

    /// The log's end (exclusive) up to which this state is: what the name of a snapshot says.
    #[must_use]
    pub fn end_offset(&self) -> Offset {
        self.end_offset
    }

    /// Whether the batch with this header may be appended; `marker` is what the batch holds if it is a
    /// control batch. The header's offsets do not matter.
    ///
    /// # Errors
    /// [`ProducerStateError`]; never for [`AppendOrigin::Replication`], since the leader has checked.
    pub fn check(
        &self,
        header: &BatchHeader,
        marker: Option<&EndTransactionMarker>,
        origin: AppendOrigin,
    ) -> Result<Verdict, ProducerStateError> {
        if !header.has_producer_id() || origin == AppendOrigin::Replication {
            return Ok(Verdict::Append);
        }
        let Some(state) = self.producers.get(&header.producer_id) else {
            return Ok(Verdict::Append);
        };
        if origin == AppendOrigin::Client
            && let Some(batch) = state.duplicate_of(header)
        {
            let (base_offset, last_offset) = (batch.first_offset(), batch.last_offset);
            return Ok(Verdict::Duplicate { base_offset, last_offset, timestamp: batch.timestamp });
        }
        check_epochs(state, header, marker)?;
        if origin == AppendOrigin::Client {
            check_sequence(state, header)?;
        }
        if state.current_transaction_first_offset.is_some()
            && !header.attributes.is_transactional()
            && !header.attributes.is_control()
        {
            return Err(ProducerStateError::TransactionOpen { producer_id: header.producer_id });
        }
        Ok(Verdict::Append)
    }

    /// The batch with this header is in the log, at the header's offsets. Gives the transaction that it
    /// ended, if any. Batches without a producer only move [`Self::end_offset`].
    pub fn apply(
        &mut self,
        header: &BatchHeader,
        marker: Option<&EndTransactionMarker>,
        now: TimestampMs,
    ) -> Option<CompletedTransaction> {
        self.end_offset = self.end_offset.max(header.next_offset());
        if !header.has_producer_id() {
            return None;
        }
        if header.attributes.is_control() {
            return marker.and_then(|marker| self.apply_marker(header, marker, now));
        }
        self.make_room_for(header.producer_id);
        let state = self.producers.entry(header.producer_id).or_insert_with(ProducerState::new);
        state.wrote(header, now);
        state.batches.push(ProducerBatch {
            last_sequence: header.last_sequence(),
            last_offset: header.last_offset(),
            offset_delta: header.last_offset_delta,
            timestamp: header.max_timestamp,
        });
        if header.attributes.is_transactional() && state.current_transaction_first_offset.is_none() {
            state.current_transaction_first_offset = Some(header.base_offset);
            self.opened(header.base_offset, header.producer_id);
        }
        None
    }

    fn apply_marker(
        &mut self,
        header: &BatchHeader,
        marker: &EndTransactionMarker,
        now: TimestampMs,
    ) -> Option<CompletedTransaction> {
        self.make_room_for(header.producer_id);
        let state = self.producers.entry(header.producer_id).or_insert_with(ProducerState::new);
        state.wrote(header, now);
        state.coordinator_epoch = marker.coordinator_epoch;
        let first_offset = state.current_transaction_first_offset.take()?;
        let transactions = self.transactions.get_or_insert_default();
        transactions.open.remove(&first_offset);
        transactions.unreplicated.insert(first_offset, header.base_offset);
        let oldest_open = self.first_undecided_offset();
        Some(CompletedTransaction {
            producer_id: header.producer_id,
            first_offset,
            last_offset: header.base_offset,
            result: marker.result,
            last_stable_offset: oldest_open.unwrap_or(header.base_offset.plus(1)),
        })
    }

    /// Forgets producers that wrote nothing for `expiration_ms` (`producer.id.expiration.ms`) and have no
    /// open transaction.
    pub fn remove_expired(&mut self, now: TimestampMs, expiration_ms: i64) {
        self.producers.retain(|_, state| !state.is_expired(now, expiration_ms));
    }

    fn make_room_for(&mut self, newcomer: ProducerId) {
        if self.producers.len() < PRODUCERS_MAX || self.producers.contains_key(&newcomer) {
            return;
        }
        let idle = self.producers.values().filter(|state| state.current_transaction_first_offset.is_none());
        let mut last_seen: Vec<Offset> = idle.map(|state| state.last_seen_offset).collect();
        let Some(going) = last_seen.len().checked_sub(1).map(|last| last.min(PRODUCERS_MAX / 8)) else {
            return;
        };
        let (_, &mut threshold, _) = last_seen.select_nth_unstable(going);
        self.producers.retain(|_, state| {
            state.current_transaction_first_offset.is_some() || state.last_seen_offset > threshold
        });
    }

    /// The high watermark (exclusive end of what is replicated) is now `high_watermark`: ended transactions
    /// whose marker is below it are stable. Also right for a log start offset that has moved.
    pub fn advance_high_watermark(&mut self, high_watermark: Offset) {
        self.keep_unreplicated(|marker_offset| marker_offset >= high_watermark);
    }

    fn opened(&mut self, first_offset: Offset, producer_id: ProducerId) {
        self.transactions.get_or_insert_default().open.insert(first_offset, producer_id);
    }

    fn keep_unreplicated(&mut self, is_kept: impl Fn(Offset) -> bool) {
        self.transactions.take_if(|transactions| {
            transactions.unreplicated.retain(|_, marker_offset| is_kept(*marker_offset));
            transactions.open.is_empty() && transactions.unreplicated.is_empty()
        });
    }

    /// The first offset whose outcome readers of committed data must not act on yet: that of the oldest
    /// transaction that is open, or whose marker is not below `high_watermark`. `None` where there is none:
    /// the last stable offset is then the high watermark.
    #[must_use]
    pub fn first_unstable_offset(&self, high_watermark: Offset) -> Option<Offset> {
        let transactions = self.transactions.as_ref()?;
        let mut unreplicated =
            transactions.unreplicated.iter().filter(|&(_, marker)| *marker >= high_watermark);
        let ended = unreplicated.next().map(|(first_offset, _)| *first_offset);
        self.first_undecided_offset().into_iter().chain(ended).min()
    }

    /// The first offset of the oldest transaction without a marker, replicated or not.
    #[must_use]
    pub fn first_undecided_offset(&self) -> Option<Offset> {
        self.transactions.as_ref()?.open.keys().next().copied()
    }

    /// What is known of one producer.
    #[must_use]
    pub fn producer(&self, producer_id: ProducerId) -> Option<&ProducerState> {
        self.producers.get(&producer_id)
    }

    /// All producers, by their ids.
    pub fn producers(&self) -> impl ExactSizeIterator<Item = (ProducerId, &ProducerState)> {
        self.producers.iter().map(|(producer_id, state)| (*producer_id, state))
    }
}

fn check_epochs(
    state: &ProducerState,
    header: &BatchHeader,
    marker: Option<&EndTransactionMarker>,
) -> Result<(), ProducerStateError> {
    let (producer_id, producer_epoch) = (header.producer_id, header.producer_epoch);
    if producer_epoch < state.producer_epoch {
        let current_epoch = state.producer_epoch;
        return Err(ProducerStateError::InvalidProducerEpoch { producer_id, producer_epoch, current_epoch });
    }
    let current_epoch = state.coordinator_epoch;
    match marker {
        Some(&EndTransactionMarker { coordinator_epoch, .. }) if coordinator_epoch < current_epoch => {
            Err(ProducerStateError::CoordinatorFenced { producer_id, coordinator_epoch, current_epoch })
        }
        Some(_) | None => Ok(()),
    }
}

/// A new epoch starts at 0; the same epoch goes on where it was, wrapping from 2^31-1 to 0. Where all that is known of it is a
/// transaction that is open, since its later batches were cut off, that may be anywhere.
fn check_sequence(state: &ProducerState, header: &BatchHeader) -> Result<(), ProducerStateError> {
    let is_new_epoch = header.producer_epoch != state.producer_epoch;
    let last_sequence = if is_new_epoch { NO_SEQUENCE } else { state.last_sequence() };
    let (producer_id, base_sequence) = (header.producer_id, header.base_sequence);
    let is_cut = state.last_batch().is_none() && state.current_transaction_first_offset.is_some();
    if base_sequence == last_sequence.next() || (is_cut && !is_new_epoch) {
        return Ok(());
    }
    Err(match state.batches.oldest_after(header).filter(|_| !is_new_epoch) {
        Some(oldest) => {
            let end_offset = oldest.first_offset();
            ProducerStateError::DuplicateSequence { producer_id, base_sequence, end_offset }
        }
        None => ProducerStateError::OutOfOrderSequence { producer_id, base_sequence, last_sequence },
    })
}

#[cfg(test)]
mod tests;
