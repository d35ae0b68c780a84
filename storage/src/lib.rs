//! A partition's log on disk.

pub mod ids;
