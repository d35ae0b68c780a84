//! What stays of a batch: decisions without side effects.
//!
//! - Of each key the newest record stays, and everything from the end of the key map on.
//! - A record without a value (a tombstone) goes `delete.retention.ms` after the first round in which it was the newest
//!   of its key; that time is kept in the batch (attribute bit 6, in the place of the base timestamp; KIP-534). A batch
//!   that the key map does not cover whole waits for its time, since older records of its keys may still be there.
//! - Records without a key go: a compacted topic takes none, but may have been no compacted one before.
//! - Aborted data goes. A marker goes when its data is gone and a time as that of a tombstone has passed.
//! - The last batch of a producer stays, empty if need be, so that its sequence survives; where a producer's newest
//!   batch is a marker, that marker stays.
//! - The last batch of what becomes one segment stays, empty if need be: a segment ends where the next one begins, which
//!   recovery relies on. Kafka keeps that of a whole round only.
//!
//! Source: Cleaner.java, MemoryRecords.filterTo.

use std::collections::BTreeMap;

use super::key_map::KeyMap;
use crate::batch::BatchHeader;
use crate::ids::{Offset, ProducerEpoch, ProducerId, TimestampMs};
use crate::records::Record;

/// The newest batch of a producer that has not expired.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LastOfProducer {
    /// The last offset of its newest batch of data.
    Data(Offset),
    /// It has none of this epoch, only markers.
    Marker(ProducerEpoch),
}

/// What a round knows.
pub(super) struct Round<'a> {
    pub(super) keys: &'a KeyMap,
    /// Exclusive: `keys` holds what is below, from the first dirty offset on.
    pub(super) keys_end: Offset,
    pub(super) now: TimestampMs,
    /// When tombstones go that are met for the first time.
    pub(super) delete_horizon: TimestampMs,
    pub(super) producers: &'a BTreeMap<ProducerId, LastOfProducer>,
}

/// What a batch is, among the transactions of its log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Standing {
    /// Records that count.
    Data,
    /// Records of a transaction that was aborted.
    Aborted,
    /// The end of a transaction.
    Marker {
        /// No data of the transaction is left.
        is_unused: bool,
    },
}

/// What becomes of a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    /// It stays as it is.
    Whole,
    /// Its records are looked at one by one.
    Filtered {
        /// The batch stays when no record does.
        keeps_empty: bool,
        /// Whether a tombstone that stays starts the delete horizon.
        starts_horizon: bool,
    },
    /// Its records stay, and the time until they go begins.
    HorizonStarts,
    /// None of its records stays, but the batch does.
    Emptied,
    /// Nothing stays.
    Gone,
}

impl Round<'_> {
    /// What becomes of a batch; `is_last` says that nothing follows it in the segment that is written.
    pub(super) fn fate(&self, header: &BatchHeader, standing: Standing, is_last: bool) -> Fate {
        let is_last_of_producer = self.is_last_of_producer(header);
        let without_records = match (is_last || is_last_of_producer, header.record_count) {
            (true, 0) => Fate::Whole,
            (true, _) => Fate::Emptied,
            (false, _) => Fate::Gone,
        };
        match standing {
            Standing::Aborted => without_records,
            Standing::Marker { .. } if header.record_count == 0 => without_records,
            Standing::Marker { is_unused: false } => Fate::Whole,
            Standing::Marker { is_unused: true } => match delete_horizon(header) {
                None => Fate::HorizonStarts,
                Some(horizon) if self.now < horizon || is_last_of_producer => Fate::Whole,
                Some(_) => without_records,
            },
            Standing::Data if header.record_count == 0 => without_records,
            Standing::Data if header.base_offset >= self.keys_end => Fate::Whole,
            Standing::Data => Fate::Filtered {
                keeps_empty: is_last || is_last_of_producer,
                starts_horizon: delete_horizon(header).is_none() && header.next_offset() <= self.keys_end,
            },
        }
    }

    /// Whether a record of a batch with [`Fate::Filtered`] stays.
    pub(super) fn keeps(&self, header: &BatchHeader, record: &Record<'_>) -> bool {
        if record.offset >= self.keys_end {
            return true;
        }
        let Some(key) = record.key else { return false };
        let is_newest = self.keys.newest(key).is_none_or(|newest| record.offset >= newest);
        let is_shown =
            record.value.is_some() || delete_horizon(header).is_none_or(|horizon| self.now < horizon);
        is_newest && is_shown
    }

    fn is_last_of_producer(&self, header: &BatchHeader) -> bool {
        let last = self.producers.get(&header.producer_id).filter(|_| header.has_producer_id());
        last.is_some_and(|last| match last {
            LastOfProducer::Data(offset) => header.last_offset() == *offset,
            LastOfProducer::Marker(epoch) => {
                header.attributes.is_control() && header.producer_epoch == *epoch
            }
        })
    }
}

/// From when on the tombstones or the marker of a batch may go.
fn delete_horizon(header: &BatchHeader) -> Option<TimestampMs> {
    header.attributes.has_delete_horizon().then_some(header.base_timestamp)
}

#[cfg(test)]
mod tests;
