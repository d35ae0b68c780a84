//! Ottla, the broker.

pub mod wire;
