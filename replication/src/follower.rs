//! A follower of one partition in one leader epoch: what it asks for, and what it does with the answer.
//!
//! The caller asks with [`Follower::position`], does what [`Follower::on_answer`] says, and tells of it
//! ([`Follower::appended`], [`Follower::started_over`]; a truncation needs no word, the next position shows it). When a
//! flush finishes, it sends [`Follower::flush_report`].
//!
//! Invariants:
//! - the high watermark never goes back, and is at most the log's end;
//! - a log is never cut below its high watermark: with elections from the ISR and from eligible leader replicas there is
//!   no reason to, so the leader has lost committed records, and the follower stops and says so instead;
//! - a durable end is reported on its own only after the leader has found both logs to agree in this epoch: before, it
//!   may be that of records that are about to be cut.
//!
//! Absent: the leader's address, and the records. Source: `AbstractFetcherThread.scala`, KIP-101, KIP-279, KIP-595.

#[cfg(test)]
mod tests;

use crate::fetch::{FetchAnswer, FetchPosition, FetchRefusal, FlushReport, LogEnds};
use storage::ids::{BrokerId, LeaderEpoch, Offset};
use storage::leader_epochs::EpochEnd;

/// The follower of one partition in one leader epoch.
#[derive(Debug, Clone)]
pub struct Follower {
    leader: Option<BrokerId>,
    leader_epoch: LeaderEpoch,
    high_watermark: Offset,
    /// The durable end that the leader was last told in this epoch; `None` until it found the logs to agree.
    reported: Option<Offset>,
    halted: Option<CommittedRecordsGone>,
}

/// The leader lacks records that were committed: cutting the log to agree with it would lose them for good. A person must
/// look. It cannot happen by elections from the ISR or eligible leader replicas, only where data was lost or the leader
/// was chosen by hand.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "to agree with the leader of epoch {leader_epoch}, this replica would have to cut its log to offset {cut_to}, below \
     its high watermark {high_watermark}: the leader has lost committed records, and this replica may still hold them"
)]
pub struct CommittedRecordsGone {
    /// The epoch in which it was found.
    pub leader_epoch: LeaderEpoch,
    /// Where the log would end.
    pub cut_to: Offset,
    /// What was committed, exclusive.
    pub high_watermark: Offset,
}

/// What to do with an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FollowerStep {
    /// Nothing: the answer is to a position that the log has left, or of another epoch.
    Ignore,
    /// Append the records that came, if any, and then call [`Follower::appended`] with the rest.
    Append {
        /// The leader's high watermark.
        high_watermark: Offset,
        /// The first offset of the leader's log.
        log_start_offset: Offset,
    },
    /// Cut the log to this exclusive end, and ask again. Where it is the log's end, only epochs that begin there go.
    Truncate(Offset),
    /// Empty the log, let it start at this offset, call [`Follower::started_over`], and ask again.
    StartOver(Offset),
    /// Ask again a while later, or when the metadata has changed.
    Wait(FetchRefusal),
    /// Stop, and say so loudly: see [`CommittedRecordsGone`].
    Halt(CommittedRecordsGone),
}

/// What an append has changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Followed {
    /// The follower's high watermark.
    pub high_watermark: Offset,
    /// Where the log is to start now, if that is later than it does. At most the high watermark.
    pub log_start_offset: Option<Offset>,
}

impl Follower {
    /// A follower of `leader`, or of nobody while there is none, with a log that ends at `log_end_offset` and a high
    /// watermark that is known from before; what a crash took of the log is not committed as far as this node knows.
    #[must_use]
    pub fn new(
        leader: Option<BrokerId>,
        leader_epoch: LeaderEpoch,
        high_watermark: Offset,
        log_end_offset: Offset,
    ) -> Self {
        let high_watermark = high_watermark.min(log_end_offset);
        Self { leader, leader_epoch, high_watermark, reported: None, halted: None }
    }

    /// Whom it follows.
    #[must_use]
    pub fn leader(&self) -> Option<BrokerId> {
        self.leader
    }

    /// The epoch that it follows.
    #[must_use]
    pub fn leader_epoch(&self) -> LeaderEpoch {
        self.leader_epoch
    }

    /// The exclusive end of what is known here to be committed.
    #[must_use]
    pub fn high_watermark(&self) -> Offset {
        self.high_watermark
    }

    /// Why it asks no more in this epoch.
    #[must_use]
    pub fn halted(&self) -> Option<CommittedRecordsGone> {
        self.halted
    }

    /// What to ask the leader for; `None` where there is no leader, or nothing more may be asked in this epoch.
    #[must_use]
    pub fn position(&self, log: &LogEnds) -> Option<FetchPosition> {
        if self.leader.is_none() || self.halted.is_some() {
            return None;
        }
        Some(FetchPosition {
            leader_epoch: self.leader_epoch,
            fetch_offset: log.log_end_offset,
            last_fetched_epoch: log.latest_epoch,
            durable_end_offset: log.durable_end_offset,
            log_start_offset: log.log_start_offset,
        })
    }

    /// The leader has answered `asked`. The log stands at `log`, and its epochs ended where `epoch_end` says.
    pub fn on_answer(
        &mut self,
        asked: &FetchPosition,
        answer: &FetchAnswer,
        log: &LogEnds,
        epoch_end: impl FnOnce(LeaderEpoch) -> Option<EpochEnd>,
    ) -> FollowerStep {
        let is_current = asked.leader_epoch == self.leader_epoch
            && asked.fetch_offset == log.log_end_offset
            && asked.last_fetched_epoch == log.latest_epoch
            && self.halted.is_none();
        if !is_current {
            return FollowerStep::Ignore;
        }
        match *answer {
            FetchAnswer::Records { high_watermark, log_start_offset } => {
                self.reported = self.reported.max(Some(asked.durable_end_offset));
                FollowerStep::Append { high_watermark, log_start_offset }
            }
            FetchAnswer::Refused(refusal) => match refusal {
                FetchRefusal::Diverging(end) => self.cut(where_they_part(end, log, epoch_end)),
                FetchRefusal::OutOfRange { log_start_offset, .. }
                    if log.log_end_offset <= log_start_offset && log.log_start_offset < log_start_offset =>
                {
                    self.reported = None;
                    FollowerStep::StartOver(log_start_offset)
                }
                FetchRefusal::OutOfRange { log_end_offset, .. } if log_end_offset < log.log_end_offset => {
                    self.cut(log_end_offset)
                }
                FetchRefusal::OutOfRange { .. }
                | FetchRefusal::NotLeader
                | FetchRefusal::NotAReplica
                | FetchRefusal::StaleBrokerEpoch { .. }
                | FetchRefusal::FencedLeaderEpoch { .. }
                | FetchRefusal::UnknownLeaderEpoch { .. } => FollowerStep::Wait(refusal),
            },
        }
    }

    /// The records of [`FollowerStep::Append`] are in the log, which now stands at `log`.
    pub fn appended(&mut self, log: &LogEnds, high_watermark: Offset, log_start_offset: Offset) -> Followed {
        self.high_watermark = self.high_watermark.max(high_watermark.min(log.log_end_offset));
        let log_start_offset = log_start_offset.min(self.high_watermark);
        Followed {
            high_watermark: self.high_watermark,
            log_start_offset: (log_start_offset > log.log_start_offset).then_some(log_start_offset),
        }
    }

    /// The log is empty and starts at `log_start_offset`: all before it was committed, and then deleted.
    pub fn started_over(&mut self, log_start_offset: Offset) {
        self.high_watermark = self.high_watermark.max(log_start_offset);
    }

    /// The log is durable up to `durable_end_offset`: what to tell the leader at once, if it does not know.
    pub fn flush_report(&mut self, durable_end_offset: Offset) -> Option<FlushReport> {
        if self.reported? >= durable_end_offset {
            return None;
        }
        self.reported = Some(durable_end_offset);
        Some(FlushReport { leader_epoch: self.leader_epoch, durable_end_offset })
    }

    fn cut(&mut self, cut_to: Offset) -> FollowerStep {
        self.reported = None;
        if cut_to >= self.high_watermark {
            return FollowerStep::Truncate(cut_to);
        }
        let gone = CommittedRecordsGone {
            leader_epoch: self.leader_epoch,
            cut_to,
            high_watermark: self.high_watermark,
        };
        self.halted = Some(gone);
        FollowerStep::Halt(gone)
    }
}

/// The exclusive end of what both logs may share, given where the leader's largest epoch at or below the follower's
/// newest one ended. Each round trip settles one epoch. Source: KIP-279, `getOffsetTruncationState`.
fn where_they_part(
    leader: EpochEnd,
    log: &LogEnds,
    epoch_end: impl FnOnce(LeaderEpoch) -> Option<EpochEnd>,
) -> Offset {
    let shared = match epoch_end(leader.epoch) {
        Some(own) if own.epoch == leader.epoch => own.end_offset.min(leader.end_offset),
        // The leader's epoch is unknown here: whatever follows the older one came from elsewhere.
        Some(own) => own.end_offset,
        None => leader.end_offset,
    };
    shared.min(log.log_end_offset)
}
