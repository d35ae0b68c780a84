//! What a follower and its leader say to each other about one partition.
//!
//! A follower's fetch carries two ends: where its log ends, which is the offset that it asks for, and how far that is
//! durable. Only the second counts for the high watermark. A durable end means something only where both logs agree up
//! to it, so it counts with a position that the leader found to agree, or in a [`FlushReport`] of a follower that was
//! answered with records in the same leader epoch.
//!
//! What is sent between nodes is only ever appended to: fields, and variants.
//!
//! Absent: bytes on a wire, sessions, and the records themselves (`ottla::replica_fetcher`).

use serde::{Deserialize, Serialize};
use storage::ids::{BrokerEpoch, BrokerId, LeaderEpoch, Offset};
use storage::leader_epochs::EpochEnd;

/// One run of a broker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BrokerRun {
    /// The broker.
    pub broker_id: BrokerId,
    /// The run: a report of an earlier one counts no more.
    pub broker_epoch: BrokerEpoch,
}

/// Where a log stands. `log_start_offset <= durable_end_offset <= log_end_offset`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LogEnds {
    /// The first offset that the log may hold.
    pub log_start_offset: Offset,
    /// Exclusive end of what a crash cannot take.
    pub durable_end_offset: Offset,
    /// Exclusive end of all records.
    pub log_end_offset: Offset,
    /// The epoch of the last record, or a later one that began without a record; `None` while no epoch is known.
    pub latest_epoch: Option<LeaderEpoch>,
}

/// What a follower asks for, and how far it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct FetchPosition {
    /// The leader epoch that the follower follows.
    pub leader_epoch: LeaderEpoch,
    /// The offset of the first record that it lacks: its log's end.
    pub fetch_offset: Offset,
    /// The newest epoch of its log; the leader compares where that one ended. Source: KIP-595.
    pub last_fetched_epoch: Option<LeaderEpoch>,
    /// Exclusive end of what is durable at the follower.
    pub durable_end_offset: Offset,
    /// The first offset of its log.
    pub log_start_offset: Offset,
}

/// What a follower sends when a flush has finished, without being asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct FlushReport {
    /// The leader epoch that the follower follows.
    pub leader_epoch: LeaderEpoch,
    /// Exclusive end of what is durable at the follower now.
    pub durable_end_offset: Offset,
}

/// What a leader answers to a [`FetchPosition`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum FetchAnswer {
    /// The logs agree up to the fetch offset; records from there on come along, or none.
    Records {
        /// The leader's high watermark.
        high_watermark: Offset,
        /// The first offset of the leader's log.
        log_start_offset: Offset,
    },
    /// Nothing can be read there.
    Refused(FetchRefusal),
}

/// Why a leader gives a follower no records.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
pub enum FetchRefusal {
    /// The asked node does not lead the partition, or does not know it.
    #[error("the asked node does not lead the partition")]
    NotLeader,
    /// The asking broker is not assigned a replica, as far as the leader knows.
    #[error("the broker is not a replica of the partition")]
    NotAReplica,
    /// The report is of a run of the broker that has ended.
    #[error("the broker has registered another run with epoch {registered}")]
    StaleBrokerEpoch {
        /// The newest run that the leader knows.
        registered: BrokerEpoch,
    },
    /// The follower follows an epoch that has ended.
    #[error("the leader is in epoch {current} already")]
    FencedLeaderEpoch {
        /// The leader's.
        current: LeaderEpoch,
    },
    /// The follower follows an epoch that the leader has not heard of yet.
    #[error("the leader is still in epoch {current}")]
    UnknownLeaderEpoch {
        /// The leader's.
        current: LeaderEpoch,
    },
    /// The logs part before the fetch offset. Source: KIP-595, KIP-320.
    #[error("the logs part at or before offset {} of epoch {}", .0.end_offset, .0.epoch)]
    Diverging(EpochEnd),
    /// The leader's log does not reach from or to the fetch offset.
    #[error("the leader's log holds offsets {log_start_offset} to {log_end_offset}")]
    OutOfRange {
        /// The first offset of the leader's log.
        log_start_offset: Offset,
        /// Its exclusive end.
        log_end_offset: Offset,
    },
}
