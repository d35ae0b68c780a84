//! What a leader knows of one follower: how far it is, and when it was last caught up.
//!
//! *Caught up* means: what is durable at the follower reached what was durable at the leader at some moment. The latest
//! such moment is found by one sample, the leader's end at a moment, which is replaced only once it was reached; so it
//! is at most twice the follower's delay old, however often the follower reports.

use crate::leader::Standing;
use std::time::Duration;
use storage::ids::{BrokerEpoch, Offset};

/// One follower, as its leader sees it.
#[derive(Debug, Clone)]
pub(super) struct Replica {
    /// What the metadata says of the broker; `None` while it is not registered.
    pub(super) standing: Option<Standing>,
    /// What it reported in this leader epoch; `None` before its first report that agreed.
    pub(super) progress: Option<Progress>,
    /// The latest moment at which it was caught up, as far as is known.
    pub(super) last_caught_up: Option<Duration>,
    /// The first moment at which it was known to be caught up since it joined or left the ISR, or began this run.
    pub(super) close_since: Option<Duration>,
    /// The leader's durable end at a moment: reaching it proves that the follower was caught up then.
    sample: Option<(Offset, Duration)>,
    /// The controller did not let it into the ISR; it is not proposed again before this time.
    pub(super) refused_until: Option<Duration>,
}

/// What a follower reported.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Progress {
    /// The run that reported.
    pub(super) broker_epoch: BrokerEpoch,
    /// Exclusive.
    pub(super) log_end_offset: Offset,
    /// Exclusive; only grows within a run, since a follower that agreed once in an epoch truncates no more in it.
    pub(super) durable_end_offset: Offset,
    /// The first offset of its log.
    pub(super) log_start_offset: Offset,
}

impl Replica {
    /// A follower of which nothing was heard in this epoch.
    pub(super) fn new(standing: Option<Standing>) -> Self {
        Self {
            standing,
            progress: None,
            last_caught_up: None,
            close_since: None,
            sample: None,
            refused_until: None,
        }
    }

    /// It is a member of the ISR that the leader begins with, and gets the full lag time to show itself.
    pub(super) fn begin_in_sync(&mut self, now: Duration) {
        self.last_caught_up = Some(self.last_caught_up.map_or(now, |last| last.max(now)));
    }

    /// The metadata says something else of its broker. What an earlier run reported counts no more.
    pub(super) fn stands(&mut self, standing: Option<Standing>) {
        let registered = standing.map(|standing| standing.broker_epoch);
        if self.progress.is_some_and(|progress| registered > Some(progress.broker_epoch)) {
            self.progress = None;
            self.sample = None;
            self.close_since = None;
        }
        if self.standing != standing {
            self.refused_until = None;
        }
        self.standing = standing;
    }

    /// The newest run that is known, by the metadata or by its reports.
    pub(super) fn newest_run(&self) -> Option<BrokerEpoch> {
        let registered = self.standing.map(|standing| standing.broker_epoch);
        registered.max(self.progress.map(|progress| progress.broker_epoch))
    }

    /// Whether the metadata says that its broker is neither fenced nor about to stop.
    pub(super) fn runs(&self) -> bool {
        self.standing.is_some_and(|standing| standing.may_join_isr)
    }

    /// A report that agrees with the leader's log. The first one of a run counts as it is.
    pub(super) fn report(&mut self, report: Progress, leader_durable_end: Offset, now: Duration) {
        let same_run = self.progress.filter(|known| known.broker_epoch == report.broker_epoch);
        let durable_end_offset = match same_run {
            Some(known) => known.durable_end_offset.max(report.durable_end_offset),
            None => report.durable_end_offset,
        };
        if same_run.is_none() {
            self.sample = None;
        }
        self.progress = Some(Progress { durable_end_offset, ..report });
        self.note_caught_up(durable_end_offset, leader_durable_end, now);
    }

    fn note_caught_up(&mut self, durable_end: Offset, leader_durable_end: Offset, now: Duration) {
        if durable_end >= leader_durable_end {
            self.caught_up_at(now);
            self.sample = None;
            return;
        }
        match self.sample {
            Some((end, at)) if durable_end >= end => {
                self.caught_up_at(at);
                self.sample = Some((leader_durable_end, now));
            }
            Some(_) => {}
            None => self.sample = Some((leader_durable_end, now)),
        }
    }

    fn caught_up_at(&mut self, at: Duration) {
        self.last_caught_up = self.last_caught_up.max(Some(at));
        self.close_since.get_or_insert(at);
    }

    /// For how long it has been caught up again and again, as far as is known.
    pub(super) fn close_for(&self) -> Duration {
        let times = self.last_caught_up.zip(self.close_since);
        times.map_or(Duration::ZERO, |(last, first)| last.saturating_sub(first))
    }

    /// The leader's durable end moves from `before` to `after`: a follower that had reached the former was caught up
    /// until now, however long ago it reported.
    pub(super) fn leader_moved(&mut self, before: Offset, after: Offset, now: Duration) {
        if self.has_reached(before) {
            self.caught_up_at(now);
            self.sample = Some((after, now));
        }
    }

    /// Whether everything below `offset` is durable there.
    pub(super) fn has_reached(&self, offset: Offset) -> bool {
        self.progress.is_some_and(|progress| progress.durable_end_offset >= offset)
    }

    /// Whether it has what the leader has, or had it less than `patience` ago.
    pub(super) fn is_caught_up(&self, leader_durable_end: Offset, patience: Duration, now: Duration) -> bool {
        self.has_reached(leader_durable_end) || self.lags_from(patience).is_some_and(|end| now < end)
    }

    /// When it counts as lagging, unless it catches up before.
    pub(super) fn lags_from(&self, patience: Duration) -> Option<Duration> {
        self.last_caught_up.map(|last| last + patience)
    }

    /// Whether the controller would let it into the ISR: the run that reported is the registered one, and is neither
    /// fenced nor about to stop. Source: KIP-841, KIP-903.
    pub(super) fn may_join_isr(&self, now: Duration) -> bool {
        let Some(standing) = self.standing else { return false };
        standing.may_join_isr
            && self.progress.is_some_and(|progress| progress.broker_epoch == standing.broker_epoch)
            && self.refused_until.is_none_or(|until| now >= until)
    }
}
