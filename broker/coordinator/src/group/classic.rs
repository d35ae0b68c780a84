//! Groups of the classic protocol, in which a member, the leader, assigns.
//!
//! ```text
//!            first join              delay over, or all have joined           leader's SyncGroup is applied
//!   Empty ───────────► PreparingRebalance ───────────► CompletingRebalance ───────────► Stable
//!     ▲                    │    ▲  ▲                            │                          │
//!     └── nobody is left ──┘    │  └── a member comes or goes ──┘                          │
//!                               └───────────── a member comes, goes or changes ────────────┘
//! ```
//!
//! Of this, only two things persist: that everybody has its assignment (Stable), and that nobody is left (Empty). A
//! group that is loaded is therefore one or the other, and members that were in between join again. *Stable is reached
//! by [`apply`] alone*: until the leader's assignment is in the log the group stands in CompletingRebalance, so after a
//! refused append members just come back. How many members have joined, who waits for an answer and when a session ends
//! is never written.
//!
//! Source: ClassicGroup.java, GroupMetadataManager.java (`classicGroup*`).

mod commit;
mod conversion;
mod describe;
mod join;
mod leave;
mod member;
mod membership;
mod protocols;
mod rebalance;
mod recorded;
mod session;
mod static_member;
mod subscription;
mod sync;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use storage::ids::TimestampMs;

use crate::error::GroupError;
use crate::ids::{GenerationId, GroupId, InstanceId, MemberId};
use crate::output::Output;
use crate::request::Reply;
pub(crate) use conversion::ConvertedMember;
pub(crate) use join::join;
use member::Member;
pub(crate) use protocols::select as select_protocol;
use recorded::Recorded;
pub(crate) use recorded::apply;
use static_member::Replacement;

/// How a group stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// It has no members, though some may have been sent back to join with an id.
    Empty,
    /// Members are joining, until `deadline` at the latest.
    PreparingRebalance {
        deadline: Duration,
        /// How a group that was empty waits for more members to come.
        initial: Option<InitialDelay>,
    },
    /// All have joined, and the leader assigns.
    CompletingRebalance,
    /// All have their assignment.
    Stable,
}

/// How a group that was empty waits for more members: a first time for the whole delay, then again as long as new ones
/// keep coming, and not longer in all than a member may take to rejoin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct InitialDelay {
    /// How long this time.
    delay: Duration,
    /// How much longer it may take in all.
    remaining: Duration,
    /// Whether anybody has come meanwhile.
    is_member_added: bool,
}

/// A group of the classic protocol. A group that only keeps offsets is one too, and has never had a protocol type.
///
/// Invariants: `static_members` names exactly the members with an instance id; `leader` is a member, where there are
/// members; `protocol_counts` says how many members support each protocol, and
/// `protocol_bytes` how much they all say; `awaiting_join_count` is the number of
/// members that wait for an answer to JoinGroup.
#[derive(Debug)]
pub(crate) struct ClassicGroup {
    group_id: GroupId,
    /// What persists of it.
    record: Recorded,
    state: State,
    /// When it came to stand like this, by the wall clock.
    state_timestamp: TimestampMs,
    /// The same on [`crate::environment::Environment::monotonic`].
    state_since: Duration,
    generation_id: GenerationId,
    protocol_type: Option<Arc<str>>,
    protocol: Option<Arc<str>>,
    leader: Option<MemberId>,
    members: BTreeMap<MemberId, Member>,
    static_members: BTreeMap<InstanceId, MemberId>,
    protocol_counts: BTreeMap<Arc<str>, usize>,
    protocol_bytes: usize,
    awaiting_join_count: usize,
    /// Who was sent back to join with an id, and until when it may.
    pending_members: BTreeMap<MemberId, Duration>,
    /// Who has joined and not asked for its assignment yet.
    pending_sync: BTreeSet<MemberId>,
    /// When those are removed.
    sync_deadline: Option<Duration>,
    /// The topics that members of protocol type `consumer` read, or `None` where they did not say so.
    subscribed_topics: Option<BTreeSet<Arc<str>>>,
    /// What becomes of a static member once the record is applied.
    replacement: Option<Replacement>,
    /// Nothing is due before this.
    deadline: Option<Duration>,
}

impl ClassicGroup {
    /// A group without members, as one that only keeps offsets.
    pub(crate) fn new(group_id: &GroupId) -> Self {
        Self {
            group_id: group_id.clone(),
            record: Recorded::default(),
            state: State::Empty,
            state_timestamp: TimestampMs::NONE,
            state_since: Duration::ZERO,
            generation_id: GenerationId(0),
            protocol_type: None,
            protocol: None,
            leader: None,
            members: BTreeMap::new(),
            static_members: BTreeMap::new(),
            protocol_counts: BTreeMap::new(),
            protocol_bytes: 0,
            awaiting_join_count: 0,
            pending_members: BTreeMap::new(),
            pending_sync: BTreeSet::new(),
            sync_deadline: None,
            subscribed_topics: None,
            replacement: None,
            deadline: None,
        }
    }

    /// Whether it has no members.
    pub(crate) fn is_empty(&self) -> bool {
        self.state == State::Empty
    }

    /// Whether it has no members, and nobody is about to become one.
    pub(crate) fn is_vacant(&self) -> bool {
        self.is_empty() && self.pending_members.is_empty()
    }

    /// Nothing is due before this moment.
    pub(crate) fn next_deadline(&self) -> Option<Duration> {
        self.deadline
    }

    /// Makes sure that the group is looked at by `deadline`.
    fn wake_by(&mut self, deadline: Duration) {
        self.deadline = Some(self.deadline.map_or(deadline, |earlier| earlier.min(deadline)));
    }

    /// The shard is led elsewhere: whoever waits is to ask there.
    pub(crate) fn unload(&mut self, output: &mut Output) {
        self.awaiting_join_count = 0;
        for member in self.members.values_mut() {
            if let Some(reply_to) = member.awaiting_join.take() {
                output.reply(reply_to, Reply::JoinGroup(Err(GroupError::NotCoordinator)));
            }
            if let Some(reply_to) = member.awaiting_sync.take() {
                output.reply(reply_to, Reply::SyncGroup(Err(GroupError::NotCoordinator)));
            }
        }
    }
}
