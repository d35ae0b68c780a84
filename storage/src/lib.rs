//! A partition's log on disk, byte for byte in Apache Kafka's layout.
//!
//! Owns the record batch and what is checked of it (`batch`, `records`, `compression`, `batch_builder`), what a log knows
//! besides its records (`producer_state`, `leader_epochs`, `aborted_transactions`), the log itself (`log`, over segments,
//! indexes and mapped files), when it is on the disk (`flusher`), and the directory of all logs with its checkpoints and
//! their recovery (`log_dir`).
//!
//! Invariants:
//! - nothing is reported as flushed that a crash could take away, and after an error of a sync nothing is ever again;
//! - bytes that were published never change, so that readers share them with the writer without a lock;
//! - an append that fails changes nothing; the duplicate check and the append are one step;
//! - whatever comes from a disk or a socket is parsed, never trusted: indexes and snapshots are hints that are rebuilt.
//!
//! Absent: clocks (time is an argument), async, replication, any decision about *when* to checkpoint or delete. `unsafe` is
//! in `mapped` alone. Everything works on a [`disk::Disk`], of which one is the operating system's and one is simulated.

pub mod aborted_transactions;
pub mod batch;
pub mod batch_builder;
mod batch_reader;
pub mod checkpoint;
pub mod compaction;
pub mod compression;
pub mod disk;
pub mod error;
pub mod flusher;
#[cfg(test)]
mod golden;
pub mod ids;
mod index;
pub mod inspection;
pub mod leader_epochs;
pub mod log;
pub mod log_dir;
pub mod mapped;
pub mod producer_state;
pub mod records;
mod recovery;
pub mod retention;
mod segment;
