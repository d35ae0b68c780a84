//! When a voter stands for election: a pure decision from what it heard of the leader.
//!
//! openraft's own timers are switched off. They are drawn once for the life of a process, so that two nodes that collide
//! collide again, and an election begins a new term whether or not anybody would vote: a node that was cut off for a
//! while would end the term of a healthy leader when it comes back. Here each wait is drawn anew, and a node first asks
//! the others whether they would vote for it (Source: Ongaro, "Consensus: Bridging Theory and Practice", 9.6).
//!
//! Absent: the asking, the voting, and safety, which rests on openraft's terms alone: whatever is decided here, there is
//! at most one leader in a term.

use crate::quorum::types::RaftNodeId;
use std::time::Duration;

/// How often a leader says that it is there, in milliseconds. Larger: its loss is noticed later. Smaller: idle nodes
/// work.
pub(super) const HEARTBEAT_MS: u64 = 100;

/// For how long a member that heard from a leader votes for nobody else. Larger: a leader that is gone is succeeded
/// later. Smaller: a few lost packets put a healthy leader in question.
pub(super) const LEASE: Duration = Duration::from_millis(400);

/// For how long openraft, for its own part, refuses its vote after it heard from a leader, and how long it waits for the
/// votes of others. Larger: a leader whose process is known to be gone is succeeded later. Smaller: a voter whose disk is
/// slow answers too late.
pub(super) const VOTE_LEASE: Duration = Duration::from_millis(200);

/// The shortest silence of a leader that a member takes for its loss. Larger: later elections. Smaller: a pause of the
/// disk looks like a loss.
const SILENCE_MIN: Duration = Duration::from_millis(600);

/// How much longer it may wait at most, drawn each time. Larger: later elections. Smaller: more of them collide.
const SPREAD: Duration = Duration::from_millis(400);

/// How much later than the voter before it each voter stands once the leader's process is known to be gone: all of them
/// know it in the same moment. Larger: later elections where the first one cannot win. Smaller: they collide.
const TURN: Duration = Duration::from_millis(60);

/// What a voter remembers about the leader.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Election {
    heard: Option<Duration>,
    /// The other member that was heard as the leader last, and when, until this one leads.
    last_leader: Option<(RaftNodeId, Duration)>,
    /// From when on this voter would vote for another one.
    free_at: Duration,
    stands_at: Duration,
}

impl Election {
    /// A voter that has heard nobody yet: it asks soon, since a whole set may have been started. `random` is any number.
    pub(super) fn new(now: Duration, random: u64) -> Self {
        Self {
            heard: None,
            last_leader: None,
            free_at: now,
            stands_at: now + LEASE / 2 + drawn(SPREAD, random),
        }
    }

    /// Another member said something as the leader.
    pub(super) fn heard_from(&mut self, leader: RaftNodeId, now: Duration, random: u64) {
        self.last_leader = Some((leader, now));
        self.heard(now, random);
    }

    /// Whom this voter succeeds, now that it leads, and when that one was heard last. Told once.
    pub(super) fn take_predecessor(&mut self) -> Option<(RaftNodeId, Duration)> {
        self.last_leader.take()
    }

    /// The leader, which may be this voter, said something.
    pub(super) fn heard(&mut self, now: Duration, random: u64) {
        self.heard = Some(now);
        self.free_at = now + LEASE;
        self.stands_at = now + SILENCE_MIN + drawn(SPREAD, random);
    }

    /// The process of the leader is gone: nobody is disturbed by an election. `turn` counts from 0, and every voter that is
    /// left has another one.
    pub(super) fn lost(&mut self, now: Duration, turn: u32) {
        let free_at = self.heard.map_or(now, |heard| now.max(heard + VOTE_LEASE));
        self.free_at = self.free_at.min(free_at);
        self.stands_at = self.stands_at.min(free_at + TURN / 6 + turn * TURN);
    }

    /// This voter has just voted for another one, which is given the time to win.
    pub(super) fn voted(&mut self, now: Duration, random: u64) {
        self.free_at = now + VOTE_LEASE;
        self.tried(now, random);
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
        now >= self.free_at
    }
}

fn drawn(most: Duration, random: u64) -> Duration {
    Duration::from_millis(random % u64::try_from(most.as_millis()).unwrap_or(u64::MAX).max(1))
}

#[cfg(test)]
mod tests {
    use super::{Election, LEASE, SILENCE_MIN, SPREAD, TURN, VOTE_LEASE};
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
            assert!(!election.is_free_to_vote(now + LEASE - Duration::from_millis(1)));
        }
    }

    #[test]
    fn a_leader_whose_process_is_gone_is_succeeded_long_before_a_silent_one() {
        let [mut first, mut second] = [0, 399].map(|random| {
            let mut election = Election::new(T, 0);
            election.heard(T, random);
            election
        });
        let known_at = T + Duration::from_millis(20);
        first.lost(known_at, 0);
        second.lost(known_at, 1);
        assert!(
            !second.is_free_to_vote(T + VOTE_LEASE - Duration::from_millis(1)),
            "its openraft would refuse"
        );
        assert!(second.is_free_to_vote(first.stands_at()), "it votes for the first");
        assert!(first.stands_at() + TURN <= second.stands_at(), "unless that one cannot win");
        assert!(second.stands_at() < T + LEASE);
        first.lost(T + LEASE + Duration::from_millis(500), 0);
        assert!(first.stands_at() < T + LEASE, "a later report does not put it off");
    }

    #[test]
    fn a_leader_that_speaks_after_it_was_taken_for_gone_is_the_leader() {
        let mut election = Election::new(T, 0);
        election.heard(T, 0);
        election.lost(T, 0);
        election.heard(T + Duration::from_millis(10), 0);
        assert!(!election.is_free_to_vote(T + LEASE));
        assert!(election.stands_at() >= T + SILENCE_MIN);
    }

    #[test]
    fn a_voter_that_gave_its_vote_does_not_stand_before_the_other_one_could_win() {
        let mut election = Election::new(T, 0);
        election.heard(T, 0);
        election.lost(T, 0);
        let voted_at = election.stands_at() - Duration::from_millis(1);
        election.voted(voted_at, 0);
        assert!(!election.is_free_to_vote(voted_at + VOTE_LEASE - Duration::from_millis(1)));
        assert!(election.stands_at() >= voted_at + VOTE_LEASE);
    }

    #[test]
    fn who_succeeds_a_leader_is_told_once_when_that_one_was_heard() {
        let mut election = Election::new(T, 0);
        election.heard_from(2, T, 0);
        election.heard(T + LEASE, 0);
        assert_eq!(election.take_predecessor(), Some((2, T)), "this one leads itself since");
        assert_eq!(election.take_predecessor(), None);
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
