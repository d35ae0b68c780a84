//! The cluster's metadata: its records, their sum, and the difference between two sums.

pub mod chunked_map;
mod codec;
pub mod delta;
pub mod image;
pub mod quota;
pub mod record;
