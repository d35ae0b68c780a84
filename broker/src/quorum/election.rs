//! When a voter stands for election: a pure decision from what it heard of the leader.
//!
//! openraft's own timers are switched off. They are drawn once for the life of a process, so that two nodes that collide
//! collide again, and an election begins a new term whether or not anybody would vote: a node that was cut off for a
//! while would end the term of a healthy leader when it comes back. Here each wait is drawn anew, and a node first asks
//! the others whether they would vote for it (Source: Ongaro, "Consensus: Bridging Theory and Practice", 9.6).
//!
//! Absent: the asking, the voting, and safety, which rests on openraft's terms alone: whatever is decided here, there is
//! at most one leader in a term.

use std::time::Duration;

/// How often a leader says that it is there, in milliseconds. Larger: its loss is noticed later. Smaller: idle nodes
/// work.
pub(super) const HEARTBEAT_MS: u64 = 100;

/// For how long a member that heard from a leader votes for nobody else. Larger: a leader that is gone is succeeded
/// later. Smaller: a few lost packets put a healthy leader in question.
pub(super) const LEASE: Duration = Duration::from_millis(400);

/// The shortest silence of a leader that a member takes for its loss. Larger: later elections. Smaller: a pause of the
/// disk looks like a loss.
const SILENCE_MIN: Duration = Duration::from_millis(600);

/// How much longer it may wait at most, drawn each time. Larger: later elections. Smaller: more of them collide.
const SPREAD: Duration = Duration::from_millis(400);

/// How long it waits at most once the leader's process is known to be gone and the lease is over, drawn each time.
const SPREAD_AFTER_LOSS: Duration = Duration::from_millis(100);

/// What a voter remembers about the leader.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Election {
    heard: Option<Duration>,
    stands_at: Duration,
}

impl Election {
    /// A voter that has heard nobody yet: it asks soon, since a whole set may have been started. `random` is any number.
    pub(super) fn new(now: Duration, random: u64) -> Self {
        Self { heard: None, stands_at: now + LEASE / 2 + drawn(SPREAD, random) }
    }

    /// The leader said something.
    pub(super) fn heard(&mut self, now: Duration, random: u64) {
        self.heard = Some(now);
        self.stands_at = now + SILENCE_MIN + drawn(SPREAD, random);
    }

    /// The process of the leader is gone.
    pub(super) fn lost(&mut self, now: Duration, random: u64) {
        let free = self.heard.map_or(now, |heard| now.max(heard + LEASE));
        self.stands_at = self.stands_at.min(free + drawn(SPREAD_AFTER_LOSS, random));
    }

    /// An attempt was made just now, or nobody would have voted.
    pub(super) fn tried(&mut self, now: Duration, random: u64) {
        self.stands_at = now + LEASE / 2 + drawn(SPREAD, random);
    }

    /// When to stand for election, if nothing happens until then.
    pub(super) fn stands_at(&self) -> Duration {
        self.stands_at
    }

    /// Whether this voter would vote for another one now.
    pub(super) fn is_free_to_vote(&self, now: Duration) -> bool {
        self.heard.is_none_or(|heard| now > heard + LEASE)
    }
}

fn drawn(most: Duration, random: u64) -> Duration {
    Duration::from_millis(random % u64::try_from(most.as_millis()).unwrap_or(u64::MAX).max(1))
}

#[cfg(test)]
mod tests {
    use super::{Election, LEASE, SILENCE_MIN, SPREAD, SPREAD_AFTER_LOSS};
    use std::time::Duration;

    const T: Duration = Duration::from_secs(100);

    #[test]
    fn a_leader_that_speaks_is_never_put_in_question() {
        let mut election = Election::new(T, 0);
        for beat in 1..100 {
            let now = T + Duration::from_millis(100 * beat);
            election.heard(now, beat * 7919);
            assert!(election.stands_at() >= now + SILENCE_MIN);
            assert!(election.stands_at() < now + SILENCE_MIN + SPREAD);
            assert!(!election.is_free_to_vote(now + LEASE));
        }
    }

    #[test]
    fn a_leader_whose_process_is_gone_is_succeeded_once_the_lease_is_over() {
        let mut election = Election::new(T, 0);
        election.heard(T, 399);
        election.lost(T + Duration::from_millis(20), 99);
        assert_eq!(election.stands_at(), T + LEASE + Duration::from_millis(99));
        assert!(election.is_free_to_vote(election.stands_at()));
        election.lost(T + LEASE + Duration::from_millis(500), 0);
        assert!(election.stands_at() < T + LEASE + SPREAD_AFTER_LOSS, "a later report does not put it off");
    }

    #[test]
    fn two_that_collide_draw_again() {
        let (mut one, mut other) = (Election::new(T, 5), Election::new(T, 5));
        one.tried(T + SILENCE_MIN, 12);
        other.tried(T + SILENCE_MIN, 345);
        assert_ne!(one.stands_at(), other.stands_at());
    }

    #[test]
    fn a_voter_that_just_started_votes_for_whoever_asks() {
        assert!(Election::new(T, 0).is_free_to_vote(T));
    }
}
