//! What must never be found in a history.
//!
//! Source of the classes: the Kafka workload of Jepsen (without transactions), and five of our own: phantom reads, end
//! offsets and committed offsets that go back, replicas that differ, and refused records that are read.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

use super::content::{Identity, Place};

/// Something that a log which loses nothing cannot have brought about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Anomaly {
    /// One offset held different records.
    InconsistentOffset {
        /// The partition.
        place: Place,
        /// The offset.
        offset: i64,
        /// All that was acknowledged or read there.
        records: BTreeSet<Identity>,
    },
    /// One record of an idempotent producer is at several offsets.
    Duplicate {
        /// The partition.
        place: Place,
        /// The record.
        record: Identity,
        /// All its offsets.
        offsets: BTreeSet<i64>,
    },
    /// An acknowledged record was never read, although records after it were.
    LostWrite {
        /// The partition.
        place: Place,
        /// The record.
        record: Identity,
        /// Where it was acknowledged.
        offset: i64,
        /// The highest offset that was read.
        read_to: i64,
    },
    /// An acknowledged record was never read, nor was any after it.
    Unseen {
        /// The partition.
        place: Place,
        /// The record.
        record: Identity,
        /// Where it was acknowledged, if the client was told.
        offset: Option<i64>,
    },
    /// A consumer that reads on left out records that are there.
    PollSkip {
        /// The consumer.
        process: u32,
        /// The partition.
        place: Place,
        /// The last offset before.
        before: i64,
        /// The next offset that it read.
        after: i64,
    },
    /// A consumer that reads on went back.
    NonmonotonicPoll {
        /// The consumer.
        process: u32,
        /// The partition.
        place: Place,
        /// The last offset before.
        before: i64,
        /// The next offset that it read.
        after: i64,
    },
    /// A producer's later record stands before its earlier one.
    NonmonotonicSend {
        /// The partition.
        place: Place,
        /// The earlier record and its offset.
        earlier: (Identity, i64),
        /// The later record and its offset.
        later: (Identity, i64),
    },
    /// Something was read that nobody wrote.
    PhantomRead {
        /// The partition.
        place: Place,
        /// The offset.
        offset: i64,
        /// What is wrong with it.
        why: String,
    },
    /// A record was read that had been refused for good.
    FailedSendSeen {
        /// The partition.
        place: Place,
        /// The record.
        record: Identity,
        /// Where it was read.
        offset: i64,
    },
    /// The end offset went back while no older leader answered.
    HighWatermarkRegression {
        /// The partition.
        place: Place,
        /// What was answered first.
        before: i64,
        /// What was answered to a question that was asked after that.
        after: i64,
    },
    /// A group's committed offset went back.
    CommittedOffsetRegression {
        /// The group.
        group: Arc<str>,
        /// The partition.
        place: Place,
        /// What was acknowledged, or answered, first.
        before: i64,
        /// What was answered to a question that was asked after that.
        after: i64,
    },
    /// Replicas hold different bytes at one offset, or different values of one key.
    ReplicaDivergence {
        /// The partition.
        place: Place,
        /// Where they differ first.
        offset: i64,
        /// Who differs, and how.
        how: String,
    },
}

impl fmt::Display for Anomaly {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Anomaly::InconsistentOffset { place, offset, records } => {
                write!(formatter, "inconsistent offset: {place} at {offset} held {records:?}")
            }
            Anomaly::Duplicate { place, record, offsets } => {
                write!(formatter, "duplicate: {record} is in {place} at {offsets:?}")
            }
            Anomaly::LostWrite { place, record, offset, read_to } => {
                write!(
                    formatter,
                    "lost write: {record}, acknowledged in {place} at {offset}, read to {read_to}"
                )
            }
            Anomaly::Unseen { place, record, offset } => {
                write!(formatter, "unseen: {record}, acknowledged in {place} at {offset:?}")
            }
            Anomaly::PollSkip { process, place, before, after } => {
                write!(formatter, "poll skip: consumer {process} read {place} at {before}, then at {after}")
            }
            Anomaly::NonmonotonicPoll { process, place, before, after } => {
                write!(
                    formatter,
                    "nonmonotonic poll: consumer {process} read {place} at {before}, then at {after}"
                )
            }
            Anomaly::NonmonotonicSend { place, earlier, later } => write!(
                formatter,
                "nonmonotonic send: in {place} {} is at {}, and {} at {}",
                earlier.0, earlier.1, later.0, later.1
            ),
            Anomaly::PhantomRead { place, offset, why } => {
                write!(formatter, "phantom read: {place} at {offset}: {why}")
            }
            Anomaly::FailedSendSeen { place, record, offset } => {
                write!(formatter, "failed send seen: {record} in {place} at {offset}")
            }
            Anomaly::HighWatermarkRegression { place, before, after } => {
                write!(
                    formatter,
                    "high watermark regression: the end of {place} went from {before} to {after}"
                )
            }
            Anomaly::CommittedOffsetRegression { group, place, before, after } => write!(
                formatter,
                "committed offset regression: {group} in {place} went from {before} to {after}"
            ),
            Anomaly::ReplicaDivergence { place, offset, how } => {
                write!(formatter, "replica divergence: {place} at {offset}: {how}")
            }
        }
    }
}
