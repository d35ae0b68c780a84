//! What the members of the quorum say to each other, as bytes. Integers are big-endian; `?x` and the parts that the
//! quorum's files hold as well are as in `entry_codec`, version 2.
//!
//! ```text
//! call      u8 kind, and
//!   kind 0  append     vote, ?log id before the entries, ?log id of the last committed entry, u32 count, as many entries
//!   kind 1  vote       vote, ?log id of the last entry
//!   kind 2  snapshot   vote, ?log id of its last entry, stored membership, string id, u64 offset, u8 is the last chunk,
//!                      and the bytes of the chunk up to the end
//!   kind 3  canvass    ?log id of the last entry: would you vote for me?
//!   kind 4  stand      nothing: stand for election at once
//!
//! answer    u8 kind, and
//!   kind 0  success    nothing
//!   kind 1  partial    ?log id of the last entry that is there
//!   kind 2  conflict   nothing
//!   kind 3  higher     vote
//!   kind 4  vote       vote, u8 granted, ?log id of the last entry
//!   kind 5  snapshot   vote
//!   kind 6  mismatch   nothing: the chunk continues another snapshot, begin again
//!   kind 7  canvass    u8 would vote
//!   kind 8  stand      nothing
//!   kind 9  stopped    nothing: the member's quorum has stopped
//! ```
//!
//! They are not openraft's own serde layouts, which change between its versions: nodes of a set are upgraded one by one.

use crate::quorum::entry_codec::{
    put_entries, put_optional_log_id, put_stored_membership, put_string, put_vote, read_entries,
    read_optional_log_id, read_stored_membership, read_string, read_vote,
};
use crate::quorum::error::EntryError;
use crate::quorum::types::{Entry, LogId, RaftNodeId, SnapshotMeta, TypeConfig, Vote, log_id};
use bytes::Buf;
use openraft::raft::{
    AppendEntriesRequest, AppendEntriesResponse, InstallSnapshotRequest, VoteRequest, VoteResponse,
};

/// The layout of memberships in calls, as `entry_codec` counts them. Larger than what `put_stored_membership` writes, or
/// smaller: nodes that are upgraded one after the other do not understand each other.
const MEMBERSHIP_VERSION: u32 = 2;

/// What one member asks another.
#[derive(Debug, Clone)]
pub(super) enum Call {
    /// Entries of the leader's log, or none as a heartbeat.
    Append(AppendEntriesRequest<TypeConfig>),
    /// A candidate asks for a vote.
    Vote(VoteRequest<RaftNodeId>),
    /// A piece of a snapshot.
    Snapshot(InstallSnapshotRequest<TypeConfig>),
    /// Whether it would get a vote, before a member disturbs the others by standing for election.
    Canvass {
        /// The last entry that the asking member has.
        last_log_id: Option<LogId>,
    },
    /// The leader wants to be succeeded by the member that it asks.
    Stand,
}

/// What the other answers.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Answer {
    /// To [`Call::Append`].
    Append(AppendEntriesResponse<RaftNodeId>),
    /// To [`Call::Vote`].
    Vote(VoteResponse<RaftNodeId>),
    /// To [`Call::Snapshot`]: the vote of who received it.
    Snapshot(Vote),
    /// To [`Call::Snapshot`]: the chunk does not continue what is there.
    SnapshotMismatch,
    /// To [`Call::Canvass`].
    Canvass {
        /// Whether it hears no leader, and lacks nothing that the other has.
        would_vote: bool,
    },
    /// To [`Call::Stand`]: it does.
    Stand,
    /// To any call: the quorum has stopped there.
    Stopped,
}

impl Call {
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        match self {
            Self::Append(request) => {
                out.push(0);
                put_vote(&mut out, &request.vote);
                put_optional_log_id(&mut out, request.prev_log_id.as_ref());
                put_optional_log_id(&mut out, request.leader_commit.as_ref());
                put_entries(&mut out, &request.entries);
            }
            Self::Vote(request) => {
                out.push(1);
                put_vote(&mut out, &request.vote);
                put_optional_log_id(&mut out, request.last_log_id.as_ref());
            }
            Self::Snapshot(request) => {
                out.push(2);
                put_vote(&mut out, &request.vote);
                put_optional_log_id(&mut out, request.meta.last_log_id.as_ref());
                put_stored_membership(&mut out, &request.meta.last_membership);
                put_string(&mut out, &request.meta.snapshot_id);
                out.extend_from_slice(&request.offset.to_be_bytes());
                out.push(u8::from(request.done));
                out.extend_from_slice(&request.data);
            }
            Self::Canvass { last_log_id } => {
                out.push(3);
                put_optional_log_id(&mut out, last_log_id.as_ref());
            }
            Self::Stand => out.push(4),
        }
        out
    }

    pub(super) fn decode(mut bytes: &[u8]) -> Result<Self, EntryError> {
        let bytes = &mut bytes;
        let call = match bytes.try_get_u8()? {
            0 => {
                let vote = read_vote(bytes)?;
                let prev_log_id = read_optional_log_id(bytes)?;
                let leader_commit = read_optional_log_id(bytes)?;
                let entries = read_entries(bytes)?;
                follow_each_other(&vote, prev_log_id, &entries)?;
                Self::Append(AppendEntriesRequest {
                    vote: of_leader(vote)?,
                    prev_log_id,
                    entries,
                    leader_commit,
                })
            }
            1 => {
                let vote = read_vote(bytes)?;
                if vote.committed || vote.leader_id.voted_for.is_none() {
                    return Err(EntryError::Vote);
                }
                Self::Vote(VoteRequest { vote, last_log_id: read_optional_log_id(bytes)? })
            }
            2 => Self::Snapshot(read_snapshot(bytes)?),
            3 => Self::Canvass { last_log_id: read_optional_log_id(bytes)? },
            4 => Self::Stand,
            value => return Err(EntryError::UnknownKind { what: "call between members", value }),
        };
        if bytes.is_empty() { Ok(call) } else { Err(EntryError::Length) }
    }
}

/// The vote of a call that only a leader makes.
fn of_leader(vote: Vote) -> Result<Vote, EntryError> {
    if vote.committed && vote.leader_id.voted_for.is_some() { Ok(vote) } else { Err(EntryError::Vote) }
}

/// Checks what openraft takes for granted of the entries of a leader.
fn follow_each_other(vote: &Vote, before: Option<LogId>, entries: &[Entry]) -> Result<(), EntryError> {
    let mut last = before;
    for LogId { leader_id, index } in entries.iter().map(|entry| entry.log_id) {
        let follows = index == last.map_or(0, |last| last.index + 1)
            && last.is_none_or(|last| last.leader_id <= leader_id)
            && leader_id.term <= vote.leader_id.term;
        if !follows {
            return Err(EntryError::NotConsecutive);
        }
        last = Some(log_id(leader_id.term, index));
    }
    Ok(())
}

fn read_snapshot(bytes: &mut &[u8]) -> Result<InstallSnapshotRequest<TypeConfig>, EntryError> {
    let vote = of_leader(read_vote(bytes)?)?;
    let last_log_id = read_optional_log_id(bytes)?;
    let last_membership = read_stored_membership(bytes, MEMBERSHIP_VERSION)?;
    let snapshot_id = read_string(bytes)?;
    let offset = bytes.try_get_u64()?;
    let done = read_bool(bytes)?;
    let data = std::mem::take(bytes).to_vec();
    let meta = SnapshotMeta { last_log_id, last_membership, snapshot_id };
    Ok(InstallSnapshotRequest { vote, meta, offset, data, done })
}

fn read_bool(bytes: &mut &[u8]) -> Result<bool, EntryError> {
    match bytes.try_get_u8()? {
        0 => Ok(false),
        1 => Ok(true),
        value => Err(EntryError::UnknownKind { what: "truth value", value }),
    }
}

impl Answer {
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        match self {
            Self::Append(AppendEntriesResponse::Success) => out.push(0),
            Self::Append(AppendEntriesResponse::PartialSuccess(last)) => {
                out.push(1);
                put_optional_log_id(&mut out, last.as_ref());
            }
            Self::Append(AppendEntriesResponse::Conflict) => out.push(2),
            Self::Append(AppendEntriesResponse::HigherVote(vote)) => {
                out.push(3);
                put_vote(&mut out, vote);
            }
            Self::Vote(response) => {
                out.push(4);
                put_vote(&mut out, &response.vote);
                out.push(u8::from(response.vote_granted));
                put_optional_log_id(&mut out, response.last_log_id.as_ref());
            }
            Self::Snapshot(vote) => {
                out.push(5);
                put_vote(&mut out, vote);
            }
            Self::SnapshotMismatch => out.push(6),
            Self::Canvass { would_vote } => out.extend_from_slice(&[7, u8::from(*would_vote)]),
            Self::Stand => out.push(8),
            Self::Stopped => out.push(9),
        }
        out
    }

    pub(super) fn decode(mut bytes: &[u8]) -> Result<Self, EntryError> {
        let bytes = &mut bytes;
        let answer = match bytes.try_get_u8()? {
            0 => Self::Append(AppendEntriesResponse::Success),
            1 => Self::Append(AppendEntriesResponse::PartialSuccess(read_optional_log_id(bytes)?)),
            2 => Self::Append(AppendEntriesResponse::Conflict),
            3 => Self::Append(AppendEntriesResponse::HigherVote(read_vote(bytes)?)),
            4 => {
                let vote = read_vote(bytes)?;
                let vote_granted = read_bool(bytes)?;
                Self::Vote(VoteResponse { vote, vote_granted, last_log_id: read_optional_log_id(bytes)? })
            }
            5 => Self::Snapshot(read_vote(bytes)?),
            6 => Self::SnapshotMismatch,
            7 => Self::Canvass { would_vote: read_bool(bytes)? },
            8 => Self::Stand,
            9 => Self::Stopped,
            value => return Err(EntryError::UnknownKind { what: "answer between members", value }),
        };
        if bytes.is_empty() { Ok(answer) } else { Err(EntryError::Length) }
    }
}

#[cfg(test)]
mod tests {
    use super::{Answer, Call};
    use crate::quorum::EntryError;
    use crate::quorum::types::{Entry, MetadataBatch, QuorumNode, SnapshotMeta, log_id};
    use config::broker::Endpoint;
    use openraft::raft::{
        AppendEntriesRequest, AppendEntriesResponse, InstallSnapshotRequest, VoteRequest, VoteResponse,
    };
    use openraft::{EntryPayload, Membership, StoredMembership, Vote};
    use replication::metadata::record::MetadataRecord;
    use std::collections::{BTreeMap, BTreeSet};
    use storage::ids::BrokerId;

    fn membership() -> Membership<u64, QuorumNode> {
        let node = |id, host: &str| QuorumNode {
            broker_id: BrokerId(id),
            address: Some(Endpoint { host: host.to_owned(), port: 9093 }),
        };
        let nodes = BTreeMap::from([(11, node(1, "one")), (12, node(2, "::1")), (13, QuorumNode::default())]);
        Membership::new(vec![BTreeSet::from([11]), BTreeSet::from([11, 12])], nodes)
    }

    fn calls() -> Vec<Call> {
        let records = vec![MetadataRecord::ClusterId { id: "x".to_owned() }].into();
        let entry = |index, payload| Entry { log_id: log_id(3, index), payload };
        let entries = vec![
            entry(8, EntryPayload::Blank),
            entry(9, EntryPayload::Normal(MetadataBatch { term: 3, records })),
            entry(10, EntryPayload::Membership(membership())),
        ];
        let meta = SnapshotMeta {
            last_log_id: Some(log_id(2, 7)),
            last_membership: StoredMembership::new(Some(log_id(1, 1)), membership()),
            snapshot_id: "2-7".to_owned(),
        };
        let vote = Vote::new_committed(3, 11);
        vec![
            Call::Append(AppendEntriesRequest {
                vote,
                prev_log_id: Some(log_id(2, 7)),
                entries,
                leader_commit: None,
            }),
            Call::Vote(VoteRequest { vote: Vote::new(4, 12), last_log_id: Some(log_id(3, 9)) }),
            Call::Snapshot(InstallSnapshotRequest { vote, meta, offset: 5, data: vec![1, 2, 3], done: true }),
            Call::Canvass { last_log_id: None },
            Call::Stand,
        ]
    }

    fn answers() -> Vec<Answer> {
        let vote = Vote::new(4, 12);
        vec![
            Answer::Append(AppendEntriesResponse::Success),
            Answer::Append(AppendEntriesResponse::PartialSuccess(Some(log_id(1, 2)))),
            Answer::Append(AppendEntriesResponse::Conflict),
            Answer::Append(AppendEntriesResponse::HigherVote(vote)),
            Answer::Vote(VoteResponse { vote, vote_granted: true, last_log_id: None }),
            Answer::Snapshot(vote),
            Answer::SnapshotMismatch,
            Answer::Canvass { would_vote: true },
            Answer::Stand,
            Answer::Stopped,
        ]
    }

    #[test]
    fn every_call_and_answer_comes_back_as_it_was() {
        for call in calls() {
            let read = Call::decode(&call.encode()).expect("it can be read");
            assert_eq!(format!("{read:?}"), format!("{call:?}"));
        }
        for answer in answers() {
            assert_eq!(Answer::decode(&answer.encode()), Ok(answer));
        }
    }

    #[test]
    fn what_no_leader_or_candidate_says_is_refused() {
        let entry = |term, index| Entry { log_id: log_id(term, index), payload: EntryPayload::Blank };
        let append = |vote, before, entries| {
            let call = AppendEntriesRequest { vote, prev_log_id: before, entries, leader_commit: None };
            Call::decode(&Call::Append(call).encode()).map(drop)
        };
        let (leader, before) = (Vote::new_committed(3, 11), Some(log_id(2, 7)));
        assert_eq!(append(leader, before, vec![entry(2, 8), entry(3, 9)]), Ok(()));
        assert_eq!(append(leader, None, vec![entry(1, 0)]), Ok(()));
        for entries in [
            vec![entry(3, 9)],
            vec![entry(3, 7)],
            vec![entry(1, 8)],
            vec![entry(4, 8)],
            vec![entry(3, 8), entry(3, 10)],
            vec![entry(3, 8), entry(2, 9)],
        ] {
            let refused = append(leader, before, entries.clone());
            assert_eq!(refused, Err(EntryError::NotConsecutive), "{entries:?}");
        }
        assert_eq!(append(Vote::new(3, 11), before, vec![]), Err(EntryError::Vote));
        let vote = Call::Vote(VoteRequest { vote: leader, last_log_id: None });
        assert_eq!(Call::decode(&vote.encode()).map(drop), Err(EntryError::Vote));
    }

    #[test]
    fn terms_and_indexes_that_would_overflow_are_refused() {
        for value in [u64::MAX, 1 << 63] {
            let too_large = Err(EntryError::TooLarge { value });
            let canvass = Call::Canvass { last_log_id: Some(log_id(1, value)) };
            assert_eq!(Call::decode(&canvass.encode()).map(drop), too_large);
            let canvass = Call::Canvass { last_log_id: Some(log_id(value, 1)) };
            assert_eq!(Call::decode(&canvass.encode()).map(drop), too_large);
            let answer = Answer::Snapshot(Vote::new(value, 11));
            assert_eq!(Answer::decode(&answer.encode()).map(drop), too_large);
        }
    }

    #[test]
    fn what_is_cut_short_or_goes_on_is_refused() {
        let encoded = answers().iter().map(Answer::encode).collect::<Vec<_>>();
        for bytes in &encoded {
            assert!(Answer::decode(&[bytes, &[0][..]].concat()).is_err());
            assert!((0..bytes.len()).all(|end| Answer::decode(&bytes[..end]).is_err()));
        }
        for call in calls() {
            let bytes = call.encode();
            // The bytes of a chunk end where the frame does.
            let shortest = if matches!(call, Call::Snapshot(_)) { bytes.len() - 3 } else { bytes.len() };
            assert!((0..shortest).all(|end| Call::decode(&bytes[..end]).is_err()));
        }
        assert!(Call::decode(&[9]).is_err() && Answer::decode(&[99]).is_err());
    }
}
