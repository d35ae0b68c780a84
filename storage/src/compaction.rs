//! Compaction: of each key a log keeps the newest record, and every record keeps its offset.
//!
//! A round reads the dirty part of a log and notes the newest offset of each key ([`key_map`]), as far as memory allows;
//! then it reads the log from its start to there and writes it anew without what is old ([`retain`], [`rewrite`]), group by
//! group ([`group`]), and puts each new segment in the place of its group ([`crate::log`]). What did not fit into memory is
//! dirty still, and the next round goes on there. Groups are replaced oldest first: a tombstone never goes before what it
//! deletes, whenever a round is cut off.
//!
//! ```text
//! <base>.{log,index,timeindex,txnindex}.cleaned   being written; a start removes them
//!                                      .swap      whole and synced; a start puts them in their place
//!                                      .deleted   the old ones, until file.delete.delay.ms have passed
//! ```
//!
//! Invariants: only sealed segments are touched that are wholly replicated, decided (below the last stable offset) and below
//! the recovery point *on the disk*, since recovery takes a gap between segments past that point for the end of the log; a
//! segment that is written ends where its group ended, so that segments still meet; a batch that cannot be read ends the round before
//! anything is replaced for it; no lock is held while records are read or written.
//!
//! Absent: clocks, threads, and which log comes next (the broker's cleaner). Source: Cleaner.java, LogCleaner.java.

mod group;
mod key_map;
mod keys;
mod plan;
mod retain;
mod rewrite;
mod round;
mod transactions;
mod writer;

use std::ops::ControlFlow;

pub use plan::Cleanable;

pub(crate) use plan::{Ends, SegmentFacts, cleanable};
pub(crate) use retain::LastOfProducer;
pub(crate) use round::clean;
pub(crate) use writer::CleanedWriter;

/// The most memory that a round takes, besides one batch, decompressed.
#[derive(Clone, Copy, Debug)]
pub struct CleanerSettings {
    /// Bytes for the keys; 24 a key.
    pub key_bytes_max: usize,
    /// The share of them that is filled, 0 to 1.
    pub key_load_factor: f64,
    /// Bytes of one read.
    pub read_bytes: usize,
}

/// Is told how many bytes were read and written since the last time; it may wait, to bound what compaction does in a second,
/// and may say that the round is to stop.
pub type Pace<'a> = &'a mut dyn FnMut(u64) -> ControlFlow<()>;

/// What a round has done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CleaningStats {
    /// Exclusive: the log is clean up to here.
    pub cleaned_end_offset: Option<crate::ids::Offset>,
    /// Bytes that were read for their keys.
    pub key_bytes_read: u64,
    /// Bytes of segments that were read to be written anew.
    pub bytes_read: u64,
    /// Bytes that were written in their place.
    pub bytes_written: u64,
    /// Records that were read, and looked at, to be written anew.
    pub records_read: u64,
    /// Records of those that stayed.
    pub records_kept: u64,
    /// Different keys in the dirty part.
    pub keys: u64,
    /// Segments that were replaced.
    pub segments_before: u64,
    /// Segments that took their place.
    pub segments_after: u64,
}
