//! A partition's log on disk.

pub mod aborted_transactions;
pub mod batch;
pub mod batch_builder;
pub mod checkpoint;
pub mod compression;
#[cfg(test)]
mod golden;
pub mod ids;
pub mod leader_epochs;
pub mod producer_state;
pub mod records;
