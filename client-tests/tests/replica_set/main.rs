//! A set of three real nodes under load and faults: nothing acknowledged is lost or doubled, and the replicas are the same.
//!
//! `OTTLA_TEST_SET_KILLS`, `_PAUSES`, `_PARTITIONS` and `_ROLLS` say how often; `OTTLA_TEST_PRODUCT=kafka` runs the faults
//! against Apache Kafka, whose records survive a `kill -9` in the page cache.

mod clocks;
mod compaction;
mod coordinator_moves;
mod forming;
mod full_disk;
mod kills;
mod longer_log;
mod numbered_flow;
mod partitions;
mod pauses;
mod peer_security;
mod recovery;
mod refusals;
mod returning_node;
mod rolling_restarts;
mod slow_disk;
mod tools;
mod two_at_once;
mod waiting;
