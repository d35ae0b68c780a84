//! The table of configuration keys, and everything that follows from it.
//!
//! This crate owns what a key is called, which values it takes, what it is when nobody sets it, and whether this
//! broker does what the key says. Parsing, validation, `DescribeConfigs`, the reference that `ottla config` prints and
//! the typed structs that the rest of the broker reads all come from [`keys`].
//!
//! Invariants:
//! - Plain data in, plain data out: no files, no sockets, no clock. The caller reads files and the environment.
//! - A key that is accepted does what it says. One that is not honoured is refused, or, where files and clients written
//!   for Apache Kafka commonly carry it, accepted and named in one warning.
//! - All mistakes of a configuration are reported together, each as one sentence.
//!
//! Deliberately absent: storage's types (this crate is below it), and Kafka's error codes (`broker` assigns them).

pub mod address_limits;
pub mod alter;
pub mod broker;
pub mod describe;
pub mod error;
pub mod group;
pub mod keys;
pub mod parse;
pub mod reference;
pub mod throttled_replicas;
pub mod topic;
pub mod value;
pub mod without_effect;
