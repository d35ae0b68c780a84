//! A partition's log on disk.

pub mod batch;
pub mod compression;
pub mod ids;
