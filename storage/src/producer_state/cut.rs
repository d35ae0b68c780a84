//! What a state that was rebuilt for an earlier end of the log takes over from the one that it replaces.

use super::{Batches, ProducerState, ProducerStates};
use crate::ids::Offset;

impl Batches {
    fn below(&self, end_offset: Offset) -> Self {
        let mut below = Self::default();
        self.iter().filter(|batch| batch.last_offset < end_offset).for_each(|batch| below.push(*batch));
        if below.iter().next().is_some() {
            below.forgotten = self.forgotten;
        }
        below
    }
}

impl ProducerState {
    fn inherit(&mut self, before: &Self, end_offset: Offset) {
        self.last_active = before.last_active;
        let known = before.batches.below(end_offset);
        if self.producer_epoch == before.producer_epoch && known.iter().count() > self.batches.iter().count()
        {
            self.batches = known;
        }
    }
}

impl ProducerStates {
    /// Takes over from `before`, the state at a later end of the same log, what the batches that were read do not say: which
    /// producers are forgotten by now, when the others were active, batches that are older than what was read or left of the
    /// log, and which ended transactions are not replicated.
    pub(crate) fn inherit(&mut self, before: &Self) {
        let end_offset = self.end_offset;
        self.producers.retain(|producer_id, state| {
            let known = before.producers.get(producer_id);
            if let Some(known) = known {
                state.inherit(known, end_offset);
            }
            known.is_some() || state.current_transaction_first_offset.is_some()
        });
        for (producer_id, known) in &before.producers {
            if self.producers.contains_key(producer_id) {
                continue;
            }
            let first_offset = known.current_transaction_first_offset.filter(|first| *first < end_offset);
            let batches = known.batches.below(end_offset);
            let older =
                ProducerState { current_transaction_first_offset: first_offset, batches, ..known.clone() };
            if let Some(first_offset) = first_offset {
                self.opened(first_offset, *producer_id);
            }
            if older.last_batch().is_some() || first_offset.is_some() {
                self.producers.insert(*producer_id, older);
            }
        }
        let unreplicated = before.transactions.as_ref().map(|transactions| transactions.unreplicated.clone());
        self.transactions.get_or_insert_default().unreplicated = unreplicated.unwrap_or_default();
        self.keep_unreplicated(|marker_offset| marker_offset < end_offset);
    }

    /// Whether no producer is known, so that no batch has said anything.
    pub(crate) fn is_empty(&self) -> bool {
        self.producers.is_empty()
    }

    /// Batches up to `end_offset` (exclusive) were looked at.
    pub(crate) fn advance_end_offset(&mut self, end_offset: Offset) {
        self.end_offset = self.end_offset.max(end_offset);
    }
}
