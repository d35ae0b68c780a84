//! The newest batches of one producer, by which a duplicate is told from what is new.

use super::{BATCHES_PER_PRODUCER, ProducerBatch};
use crate::batch::BatchHeader;

/// Sequences before those batches of which a log knows that they were written. They count modulo 2^31: half of that, so that
/// what is to come is never taken for what was.
const FORGOTTEN_MAX: i32 = 1 << 30;

/// At most [`BATCHES_PER_PRODUCER`] batches, oldest first, in place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub(super) struct Batches {
    pub(super) newest: [Option<ProducerBatch>; BATCHES_PER_PRODUCER],
    /// How many sequences right before those of the oldest batch were in batches, too: [`FORGOTTEN_MAX`] at most.
    pub(super) forgotten: i32,
}

impl Batches {
    pub(super) fn push(&mut self, batch: ProducerBatch) {
        let free = self.newest.iter_mut().find(|place| place.is_none());
        if let Some(place) = free {
            *place = Some(batch);
            return;
        }
        self.newest.rotate_left(1);
        if let Some(last) = self.newest.last_mut() {
            let oldest = last.replace(batch);
            self.forget(oldest);
        }
    }

    /// What the leader let pass over a gap says nothing of what is before that.
    fn forget(&mut self, batch: Option<ProducerBatch>) {
        let expected = self.iter().next().map(ProducerBatch::first_sequence);
        let forgotten = batch.filter(|batch| Some(batch.last_sequence.next()) == expected);
        self.forgotten = forgotten.map_or(0, |batch| {
            self.forgotten.saturating_add(batch.offset_delta).saturating_add(1).clamp(0, FORGOTTEN_MAX)
        });
    }

    pub(super) fn iter(&self) -> impl DoubleEndedIterator<Item = &ProducerBatch> {
        self.newest.iter().flatten()
    }

    /// The oldest batch, where that of `header` is of sequences that were written before.
    pub(super) fn oldest_after(&self, header: &BatchHeader) -> Option<&ProducerBatch> {
        let oldest = self.iter().next()?;
        let distance = oldest.first_sequence().0.wrapping_sub(header.base_sequence.0) & i32::MAX;
        let is_before = header.last_offset_delta < distance && distance <= self.forgotten;
        is_before.then_some(oldest)
    }
}
