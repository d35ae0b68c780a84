//! Keeps the membership as `members` says that it should be, while this node leads.

use crate::clock;
use crate::quorum::council::Council;
use crate::quorum::forming::named;
use crate::quorum::links::Lane;
use crate::quorum::members::{self, Admission, Change, Known, Newcomer};
use crate::quorum::types::{Membership, RaftNodeId};
use parking_lot::Mutex;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;
use storage::ids::BrokerId;

/// A member that lacks at most this many entries has caught up. Larger: a new voter holds up decisions while it
/// catches up. Smaller: under load none ever has.
const LAG_MAX: u64 = 100;

/// A member that answered within this time is there. Longer: a dead member may become a voter. Shorter: a pause hides one.
const ANSWERED_WITHIN: Duration = Duration::from_secs(1);

/// A member that does not answer for this long may be forgotten, where its broker is not registered or has another life.
/// Longer: one that is gone is counted on for longer. Shorter: a node that starts slowly is forgotten before it is there.
const SILENT_AFTER: Duration = Duration::from_secs(30);

/// What became of a node that wants to be a member.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Admitted {
    /// It is one.
    Member,
    /// It has the journal of this other node.
    Copied(BrokerId),
    /// This node cannot say: it does not lead, or another change is under way.
    Unknown,
}

/// What the leader remembers of the members.
#[derive(Default)]
pub(super) struct MembershipKeeper {
    state: Mutex<State>,
    /// Changes go one after the other.
    changes: Arc<tokio::sync::Mutex<()>>,
}

#[derive(Default)]
struct State {
    /// When each member had everything that the leader had the last time it looked.
    caught_up_at: BTreeMap<RaftNodeId, Duration>,
    last_log_index: Option<u64>,
    /// When each member was first seen.
    seen_at: BTreeMap<RaftNodeId, Duration>,
}

impl MembershipKeeper {
    /// Lets a node that starts be a member. Returns once it is one, or cannot be.
    pub(super) async fn admit(&self, council: &Council, newcomer: &Newcomer) -> Admitted {
        let _turn = self.changes.lock().await;
        let membership = council.membership();
        match members::to_admit(&membership, newcomer) {
            Admission::Copied(other) => Admitted::Copied(other),
            Admission::Member if council.is_leading() => Admitted::Member,
            Admission::Member => Admitted::Unknown,
            Admission::Change(change) => match change_membership(council, change).await {
                Some(()) => Admitted::Member,
                None => Admitted::Unknown,
            },
        }
    }

    /// Looks whether the membership is to be changed, and does so in the background.
    pub(super) fn look(&self, council: &Arc<Council>) {
        let known = self.known(council);
        let Some(change) = members::next_change(&council.membership(), &known) else { return };
        // Whoever has the turn changes the membership that this change was meant for.
        let Ok(turn) = Arc::clone(&self.changes).try_lock_owned() else { return };
        let council = Arc::clone(council);
        tokio::spawn(async move {
            if change_membership(&council, change).await.is_some() {
                tracing::info!("the metadata quorum is now {}", described(&council.membership()));
            }
            drop(turn);
        });
    }

    /// Which members have what this node had the last time it looked, and which are to be forgotten.
    fn known(&self, council: &Council) -> Known {
        let now = clock::monotonic();
        let metrics = council.raft.metrics().borrow().clone();
        let image = council.images.borrow().clone();
        let own_id = council.identity.raft_node_id;
        let mut state = self.state.lock();
        let before = state.last_log_index.unwrap_or(0);
        state.last_log_index = metrics.last_log_index;
        let membership = metrics.membership_config.membership();
        state.seen_at.retain(|id, _| membership.get_node(id).is_some());
        let mut known = Known { caught_up: BTreeSet::from([own_id]), ..Known::default() };
        for (id, node) in membership.nodes().filter(|(id, _)| **id != own_id) {
            let link = council.links.as_ref().and_then(|links| links.to(Lane::Raft, *id, node));
            let silence = link.and_then(|link| link.silent_for());
            let answers = silence.is_some_and(|silence| silence < ANSWERED_WITHIN);
            let matching = metrics.replication.as_ref().and_then(|members| *members.get(id)?);
            if let Some(index) = matching.map(|id| id.index).filter(|_| answers) {
                if index >= before {
                    state.caught_up_at.insert(*id, now);
                }
                if index + LAG_MAX >= before {
                    known.caught_up.insert(*id);
                }
            }
            let seen_at = *state.seen_at.entry(*id).or_insert(now);
            let is_silent =
                silence.is_none_or(|silence| silence > SILENT_AFTER) && now > seen_at + SILENT_AFTER;
            if is_silent {
                known.silent.insert(*id);
            }
            if is_silent && image.broker(node.broker_id).is_none() {
                known.forgotten.insert(*id);
            }
        }
        known
    }

    /// When a member had everything that the leader had.
    pub(super) fn caught_up_at(&self, raft_node_id: RaftNodeId) -> Option<Duration> {
        self.state.lock().caught_up_at.get(&raft_node_id).copied()
    }
}

async fn change_membership(council: &Council, change: Change) -> Option<()> {
    // A member that is replaced is gone for good, so it does not stay as a learner.
    match council.raft.change_membership(change, false).await {
        Ok(_) => Some(()),
        Err(error) => {
            tracing::debug!("the membership was not changed: {error}");
            None
        }
    }
}

/// The membership as a sentence names it.
fn described(membership: &Membership) -> String {
    let those = |wanted: bool| -> Vec<BrokerId> {
        let is_voter = |id: &RaftNodeId| membership.voter_ids().any(|voter| voter == *id);
        let members = membership.nodes().filter(|(id, _)| is_voter(id) == wanted);
        members.map(|(_, node)| node.broker_id).collect::<BTreeSet<_>>().into_iter().collect()
    };
    let (voters, learners) = (those(true), those(false));
    let followed = match learners.is_empty() {
        true => String::new(),
        false => format!(", followed by {}", named(&learners)),
    };
    format!("{}{followed}", named(&voters))
}
