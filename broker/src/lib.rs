//! Ottla, the broker.

pub mod quorum;
pub mod wire;
