//! A partition's log on disk.

pub mod aborted_transactions;
pub mod batch;
pub mod batch_builder;
pub mod checkpoint;
pub mod compression;
pub mod disk;
pub mod error;
pub mod flusher;
#[cfg(test)]
mod golden;
pub mod ids;
mod index;
pub mod leader_epochs;
pub mod log;
pub mod log_dir;
pub mod mapped;
pub mod producer_state;
pub mod records;
mod recovery;
pub mod retention;
mod segment;
