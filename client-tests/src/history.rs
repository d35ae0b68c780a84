//! What clients did to a set of nodes and what they saw of it, and whether a log that loses nothing can explain it.
//!
//! - [`content`] makes records that say themselves which one they are.
//! - This module takes down operations as they happen, from any number of threads.
//! - [`check`] looks for every [`anomaly`] that is possible without transactions.
//!
//! Invariants: ticks are given out in the order in which this process saw things happen, so an operation that began after
//! another had ended did so in truth; a send without an outcome may have happened or not.

pub mod anomaly;
pub mod check;
pub mod content;

#[cfg(test)]
mod tests;

use std::ops::RangeBounds;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use self::content::{Identity, Place};

/// A moment, in the order of this process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Tick(u64);

/// What became of a send.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// Acknowledged by every in-sync replica, at this offset where the client was told one.
    Acknowledged(Option<i64>),
    /// Refused, and never written for sure.
    Failed,
    /// Given up by the client; it may be written all the same.
    Unknown,
}

/// Something that a client did or saw.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Operation {
    /// The producer handed all records with sequences below `end` (exclusive) to its client.
    Attempted {
        /// The producer's number.
        producer: u32,
        /// Where to.
        place: Place,
        /// The first sequence that it did not send.
        end: i64,
    },
    /// A send came to its end.
    Send {
        /// Where to.
        place: Place,
        /// Which record.
        record: Identity,
        /// How it ended.
        outcome: Outcome,
    },
    /// The consumer was placed anew, so that what it reads next need not follow what it read before.
    Assigned {
        /// The consumer's number.
        process: u32,
        /// In which partition.
        place: Place,
    },
    /// The consumer read records, one after the other.
    Poll {
        /// The consumer's number.
        process: u32,
        /// From where.
        place: Place,
        /// Offsets and what was read there: a record, or why it is none.
        records: Vec<(i64, Result<Identity, String>)>,
    },
    /// ListOffsets answered the end offset (exclusive) that consumers may read to.
    EndOffset {
        /// Of which partition.
        place: Place,
        /// The epoch of the leader that answered.
        leader_epoch: i32,
        /// The end offset.
        offset: i64,
    },
    /// A commit was acknowledged. The committers of a group only ever go forward.
    Commit {
        /// The group.
        group: Arc<str>,
        /// In which partition.
        place: Place,
        /// The next offset to read.
        offset: i64,
    },
    /// OffsetFetch answered what the group has committed; -1 is nothing.
    Committed {
        /// The group.
        group: Arc<str>,
        /// In which partition.
        place: Place,
        /// The next offset to read.
        offset: i64,
    },
}

/// An operation with its time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// It began no earlier than here.
    pub began: Tick,
    /// It had ended by here.
    pub ended: Tick,
    /// What it was.
    pub operation: Operation,
}

/// Operations in the order of their ends.
#[derive(Debug, Default)]
pub struct History {
    ticks: AtomicU64,
    entries: Mutex<Vec<Entry>>,
}

impl History {
    /// The present, to be remembered as the beginning of an operation.
    pub fn now(&self) -> Tick {
        Tick(self.ticks.fetch_add(1, Ordering::SeqCst))
    }

    /// Takes down an operation that began then and has just ended.
    pub fn add(&self, began: Tick, operation: Operation) {
        let mut entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        // Under the lock, so that entries stand in the order of their ends.
        let ended = self.now();
        entries.push(Entry { began, ended, operation });
    }

    /// Takes down an operation of which no more is known than that it has ended.
    pub fn add_ended(&self, operation: Operation) {
        self.add(Tick(0), operation);
    }

    /// How many sends of these producers came to their end, by outcome: acknowledged, failed, unknown.
    #[must_use]
    pub fn outcomes(&self, of: impl RangeBounds<u32>) -> (usize, usize, usize) {
        let mut counts = (0, 0, 0);
        for entry in self.lock().iter() {
            let Operation::Send { record, outcome, .. } = &entry.operation else { continue };
            match outcome {
                _ if !of.contains(&record.producer) => {}
                Outcome::Acknowledged(_) => counts.0 += 1,
                Outcome::Failed => counts.1 += 1,
                Outcome::Unknown => counts.2 += 1,
            }
        }
        counts
    }

    /// Everything so far.
    #[must_use]
    pub fn entries(&self) -> Vec<Entry> {
        self.lock().clone()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<Entry>> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
