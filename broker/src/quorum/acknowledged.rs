//! What the members acknowledged to the node that leads, and which of their answers openraft may hear.
//!
//! openraft counts what a member acknowledged for as long as a leader leads, and panics where an answer says that it is
//! gone. A member whose directory is an older copy answers just that: what counted as being on its disk is not. It is not
//! asked any more, and not counted for anything newer; the node is told to come back as a new member (`service`).
//!
//! Invariants: no answer passes that takes back what was acknowledged in the same term, or that answers something else
//! than what was sent. The feature `loosen-follower-log-revert` of openraft would let the leader go on with such a member
//! instead: entries that rest on its acknowledgement could then be lost without a word.
//!
//! Absent: what was acknowledged to an earlier leader. Of that only the registration of a broker is known to all
//! (`members::is_older_copy`).

use crate::quorum::types::{LogId, RaftNodeId, Vote};
use openraft::raft::AppendEntriesResponse;
use std::collections::BTreeMap;

/// Up to where each member has the log, by its own word.
#[derive(Debug, Default)]
pub(super) struct Acknowledged {
    /// In whose name this node asked for it; everything is forgotten when another term begins.
    vote: Option<Vote>,
    members: BTreeMap<RaftNodeId, Member>,
}

#[derive(Debug, Clone, Copy)]
struct Member {
    last_index: u64,
    has_lost: bool,
}

/// What was sent to a member: the entries after `before`, up to and with `last`.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sent {
    pub(super) vote: Vote,
    pub(super) before: Option<LogId>,
    /// The last entry that was sent; `before` where none was.
    pub(super) last: Option<LogId>,
}

/// Why an answer is kept from openraft.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum Unfit {
    /// The member lacks what it acknowledged; said for the first time in this term.
    #[error("it lacks entry {last_index} of the metadata log, which it had acknowledged")]
    LostNow {
        /// The last entry that it had acknowledged.
        last_index: u64,
    },
    /// The same, once more.
    #[error("it lacks entries of the metadata log that it had acknowledged")]
    Lost,
    /// The answer does not fit what was sent.
    #[error("its answer does not fit what was sent to it")]
    Unexpected,
}

/// What is known of a member that returns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Returns {
    /// It has what it acknowledged, and is counted on.
    Whole,
    /// It has acknowledged more by now than it said, or has lost it: the next answer to the leader tells.
    Unclear,
    /// It lost what it had acknowledged.
    Lost {
        /// The last entry that it had acknowledged.
        last_index: u64,
    },
}

impl Acknowledged {
    /// Takes note of what a member answered to entries.
    ///
    /// # Errors
    /// [`Unfit`], where openraft must not hear of it.
    pub(super) fn answered(
        &mut self,
        id: RaftNodeId,
        sent: &Sent,
        answer: &AppendEntriesResponse<RaftNodeId>,
    ) -> Result<(), Unfit> {
        match answer {
            AppendEntriesResponse::Success => self.has(id, sent.vote, sent.last),
            AppendEntriesResponse::PartialSuccess(last) if *last == sent.before || *last == sent.last => {
                self.has(id, sent.vote, *last)
            }
            AppendEntriesResponse::Conflict => self.lacks(id, sent),
            AppendEntriesResponse::HigherVote(vote) if *vote > sent.vote => Ok(()),
            AppendEntriesResponse::PartialSuccess(_) | AppendEntriesResponse::HigherVote(_) => {
                Err(Unfit::Unexpected)
            }
        }
    }

    /// A member says that it has everything up to `last`.
    ///
    /// # Errors
    /// [`Unfit::Lost`], where it is not counted any more.
    pub(super) fn has(&mut self, id: RaftNodeId, vote: Vote, last: Option<LogId>) -> Result<(), Unfit> {
        self.begin(vote);
        self.check(id)?;
        if let Some(last) = last.filter(|_| self.vote == Some(vote)) {
            let member = self.members.entry(id).or_insert(Member { last_index: 0, has_lost: false });
            member.last_index = member.last_index.max(last.index);
        }
        Ok(())
    }

    /// Whether a member may be asked.
    ///
    /// # Errors
    /// [`Unfit::Lost`], where it lost what it had acknowledged.
    pub(super) fn check(&self, id: RaftNodeId) -> Result<(), Unfit> {
        match self.members.get(&id) {
            Some(Member { has_lost: true, .. }) => Err(Unfit::Lost),
            Some(_) | None => Ok(()),
        }
    }

    /// What is known of a member that wants to be let in and says that its log ends at `last_index`.
    pub(super) fn returns(&mut self, id: RaftNodeId, last_index: Option<u64>) -> Returns {
        let Some(member) = self.members.get_mut(&id) else { return Returns::Whole };
        if last_index >= Some(member.last_index) {
            member.has_lost = false;
            return Returns::Whole;
        }
        if member.has_lost { Returns::Lost { last_index: member.last_index } } else { Returns::Unclear }
    }

    fn lacks(&mut self, id: RaftNodeId, sent: &Sent) -> Result<(), Unfit> {
        self.begin(sent.vote);
        self.check(id)?;
        // Nothing comes before the first entry, so there is nothing that could be missing.
        let before = sent.before.ok_or(Unfit::Unexpected)?;
        match self.members.get_mut(&id).filter(|_| self.vote == Some(sent.vote)) {
            Some(member) if before.index <= member.last_index => {
                member.has_lost = true;
                Err(Unfit::LostNow { last_index: member.last_index })
            }
            Some(_) | None => Ok(()),
        }
    }

    fn begin(&mut self, vote: Vote) {
        if self.vote.is_none_or(|known| vote > known) {
            *self = Self { vote: Some(vote), members: BTreeMap::new() };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Acknowledged, Returns, Sent, Unfit};
    use crate::quorum::types::log_id;
    use openraft::Vote;
    use openraft::raft::AppendEntriesResponse::{Conflict, HigherVote, PartialSuccess, Success};

    const MEMBER: u64 = 30;

    /// What the leader of term 2 sent: entries after `before` up to `last`.
    fn sent(before: u64, last: u64) -> Sent {
        Sent {
            vote: Vote::new_committed(2, 10),
            before: Some(log_id(2, before)),
            last: Some(log_id(2, last)),
        }
    }

    #[test]
    fn a_member_that_lost_what_it_acknowledged_is_not_counted_again_in_this_term() {
        let mut acknowledged = Acknowledged::default();
        acknowledged.answered(MEMBER, &sent(4, 9), &Success).expect("it has 9");
        acknowledged.answered(MEMBER, &sent(9, 9), &Success).expect("it has 9");
        let lost = acknowledged.answered(MEMBER, &sent(9, 12), &Conflict);
        assert_eq!(lost, Err(Unfit::LostNow { last_index: 9 }));
        assert_eq!(acknowledged.answered(MEMBER, &sent(3, 12), &Success), Err(Unfit::Lost));
        assert_eq!(acknowledged.check(MEMBER), Err(Unfit::Lost));
        acknowledged.answered(40, &sent(9, 12), &Success).expect("another member is counted");
    }

    #[test]
    fn a_snapshot_counts_as_acknowledged() {
        let mut acknowledged = Acknowledged::default();
        acknowledged.has(MEMBER, sent(0, 0).vote, Some(log_id(2, 20))).expect("it has 20");
        let lost = acknowledged.answered(MEMBER, &sent(20, 21), &Conflict);
        assert_eq!(lost, Err(Unfit::LostNow { last_index: 20 }));
    }

    #[test]
    fn a_member_of_which_nothing_is_known_may_lack_anything() {
        let mut acknowledged = Acknowledged::default();
        acknowledged.answered(MEMBER, &sent(9, 12), &Conflict).expect("nothing is known of it");
        acknowledged.answered(MEMBER, &sent(4, 6), &Success).expect("it has 6");
        acknowledged.answered(MEMBER, &sent(9, 12), &Conflict).expect("it never said that it has 9");
        let next_term = Sent { vote: Vote::new_committed(5, 10), ..sent(6, 12) };
        acknowledged.answered(MEMBER, &next_term, &Conflict).expect("another leader had it cut");
    }

    #[test]
    fn a_member_that_returns_with_less_is_lost_once_an_answer_of_it_showed_that() {
        let mut acknowledged = Acknowledged::default();
        acknowledged.answered(MEMBER, &sent(4, 9), &Success).expect("it has 9");
        assert_eq!(acknowledged.returns(MEMBER, Some(8)), Returns::Unclear, "it may have been sent 9 since");
        acknowledged.answered(MEMBER, &sent(9, 9), &Conflict).expect_err("it has not");
        assert_eq!(acknowledged.returns(MEMBER, Some(8)), Returns::Lost { last_index: 9 });
        assert_eq!(acknowledged.returns(MEMBER, None), Returns::Lost { last_index: 9 });
        assert_eq!(acknowledged.returns(MEMBER, Some(9)), Returns::Whole, "its true directory is back");
        assert_eq!(acknowledged.check(MEMBER), Ok(()));
        assert_eq!(acknowledged.returns(40, None), Returns::Whole);
    }

    #[test]
    fn an_answer_to_something_else_is_kept_from_openraft() {
        let mut acknowledged = Acknowledged::default();
        let from_the_start = Sent { before: None, ..sent(0, 3) };
        let older = Vote::new_committed(1, 40);
        for (sent, answer) in [
            (from_the_start, Conflict),
            (sent(4, 9), PartialSuccess(Some(log_id(2, 10)))),
            (sent(4, 9), PartialSuccess(Some(log_id(1, 9)))),
            (sent(4, 9), HigherVote(older)),
        ] {
            assert_eq!(acknowledged.answered(MEMBER, &sent, &answer), Err(Unfit::Unexpected), "{answer:?}");
        }
        acknowledged.answered(MEMBER, &sent(4, 9), &HigherVote(Vote::new(3, 40))).expect("it is higher");
    }
}
