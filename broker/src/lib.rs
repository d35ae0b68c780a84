//! The broker: everything that touches a socket, a clock or a task.
//!
//! A request comes in through [`server`] and `connection`, is cut into frames by [`wire`], found in the table of
//! [`api`], and served by one file there. What is on the disk is `storage`'s; what the cluster agrees on is decided in
//! `replication` and agreed on through [`quorum`].
//!
//! Invariants: nothing from the network is indexed or unwrapped; answers leave in the order of their requests; no
//! lock is held across an await; time enters through [`clock`].

pub mod api;
pub mod broker;
mod busy_partitions;
mod cleaner;
pub mod cli;
mod client_quotas;
pub mod clock;
mod connection;
mod coordinators;
mod error_code;
pub mod fetch_sessions;
mod high_watermarks;
mod housekeeping;
pub mod http;
pub mod isr;
mod limits;
mod log_budget;
pub mod loggers;
mod metadata_follower;
pub mod metrics;
pub mod node;
pub mod open_files;
mod pace;
pub mod panics;
pub mod partition;
pub mod partitions;
mod peer;
mod producer_ids;
pub mod quorum;
mod ready;
mod replica_fetcher;
mod replica_messages;
mod replica_server;
mod replication_quota;
pub mod seats;
pub mod server;
pub mod settings;
pub mod stopping;
mod telemetry;
mod timeline;
mod topics;
pub mod wire;
