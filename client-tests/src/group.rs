//! Consumer groups of real clients: processes that come, are killed, are paused and leave while records flow.
//!
//! - [`client`] is the table of clients, each a command that starts one member of a group.
//! - [`member`] is one such process; [`event`] is what it says, in the programs' contract or in a tool's own words.
//! - [`journal`] gathers what all members said and judges it as it comes.
//! - [`running`] is a group of such members; [`flow`] keeps the records coming; [`scenario`] is what every client must bring through.
//! - [`admin`] asks the broker about a group with raw requests; [`classic`] and [`consumer`] are members of raw
//!   requests, for what no client would do.
//!
//! A broker under these tests has [`SETTINGS`], so that they end in seconds; one that `OTTLA_TEST_BOOTSTRAP` names must
//! have been started with them.

pub mod admin;
pub mod classic;
pub mod client;
pub mod consumer;
pub mod event;
pub mod flow;
pub mod journal;
pub mod member;
pub mod running;
pub mod scenario;

/// The most members that a group may have under [`SETTINGS`].
pub const GROUP_SIZE_MAX: usize = 20;

/// What a broker under these tests is set to: sessions of the consumer protocol as short as the classic ones, and no
/// wait for further members before the first rebalance. Groups are small, so that a test can fill one.
pub const SETTINGS: [&str; 9] = [
    "group.initial.rebalance.delay.ms=0",
    "group.min.session.timeout.ms=1000",
    "group.consumer.min.session.timeout.ms=1000",
    "group.consumer.session.timeout.ms=6000",
    "group.consumer.min.heartbeat.interval.ms=100",
    "group.consumer.heartbeat.interval.ms=500",
    "group.consumer.assignment.interval.ms=0",
    "group.max.size=20",
    "group.consumer.max.size=20",
];
