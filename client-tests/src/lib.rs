//! Proof with clients that no one here wrote, and with real faults, against the real release binary.
//!
//! This library is the harness; each file under `tests/` is one client or one behaviour, and `programs/` holds the
//! small programs in the clients' own languages.
//!
//! - [`node`] starts, kills, stops and restarts the broker's process; [`target`] is that node, or a broker that is
//!   already running elsewhere.
//! - [`command_line`] runs the commands of our own binary.
//! - [`driver`] talks to a client program over JSON lines; [`client`] has the clients that keep that contract, and
//!   [`scenario`] is what each must be able to do.
//! - [`group`] runs consumer groups: processes of real clients that come, die, hang and leave.
//! - [`tools`] finds or installs the clients' runtimes, once; [`transcript`] is what Kafka's own tools print.
//! - [`wire`] speaks raw frames, for requests that no well-behaved client would send.
//! - [`history`] takes down what clients of a replica set did and saw, and looks for anomalies in it.
//! - [`replica_set`] runs three nodes that are one, and [`load`] puts all clients on them at once.
//! - [`bystander`] is a healthy client beside a fault; [`nbd_disk`] makes disks with faults, [`small_disk`] one to be filled.
//! - [`ledger`] checks that nothing acknowledged was lost or doubled; [`access_log`] makes the million lines.
//! - [`wait`] is the only place that lets time pass; [`clock`] says how long a recovery took.
//!
//! Environment:
//! - `OTTLA_BINARY`: the binary to test instead of a fresh release build.
//! - `OTTLA_TEST_BOOTSTRAP`: `host:port` of a running broker. The client tests then run against it, Apache Kafka
//!   included, which shows whether a test itself is right. Tests that need a process of their own are skipped.
//! - `CI`: a missing runtime fails a test instead of skipping it.
//! - `OTTLA_TEST_KILLS`, `OTTLA_TEST_POWER_CUTS`: how many cycles the fault tests run (200 and 20 unless set).
//! - `OTTLA_TEST_PRODUCT`: `kafka` runs the faults of replica sets against Apache Kafka, which shows whether they are right.
//! - `OTTLA_TEST_SET_KILLS`, `OTTLA_TEST_SET_PAUSES`, `OTTLA_TEST_SET_PARTITIONS`, `OTTLA_TEST_SET_ROLLS`: how many faults of
//!   a kind a set goes through (6, 4, 6 and 2 unless set).
//! - `OTTLA_TEST_KEEP`: a directory where the data and the logs of sets stay after a test.
//! - `OTTLA_TEST_REBALANCES`: how many rebalances a group under random kills goes through (100 unless set).
//! - `OTTLA_TEST_RENEW_GOLDEN`: writes what Kafka's tools print into the golden file instead of comparing with it.
//!
//! Deliberately absent: anything that the broker imports, and any assertion on speed (`bench` measures).

pub mod access_log;
pub mod bystander;
pub mod client;
pub mod clock;
pub mod command_line;
pub mod driver;
pub mod group;
pub mod history;
pub mod http;
pub mod ledger;
pub mod load;
pub mod nbd_disk;
pub mod node;
pub mod records;
pub mod replica_set;
pub mod scenario;
pub mod service;
pub mod small_disk;
pub mod target;
pub mod tools;
pub mod transcript;
pub mod wait;
pub mod wire;
