//! Keeps the membership as `members` says that it should be, while this node leads.

use crate::clock;
use crate::peer::Purpose;
use crate::quorum::council::Council;
use crate::quorum::forming::named;
use crate::quorum::members::{self, Change, Newcomer};
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
}

impl MembershipKeeper {
    /// Lets a node that starts be a member. Returns once it is one, or with `None` where this node cannot say so.
    pub(super) async fn admit(&self, council: &Council, newcomer: &Newcomer) -> Option<()> {
        let _turn = self.changes.lock().await;
        let Some(change) = members::to_admit(&council.membership(), newcomer) else {
            return council.is_leading().then_some(());
        };
        change_membership(council, change).await
    }

    /// Looks whether the membership is to be changed, and does so in the background.
    pub(super) fn look(&self, council: &Arc<Council>) {
        let caught_up = self.caught_up(council);
        let Some(change) = members::next_change(&council.membership(), &caught_up) else { return };
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

    /// The members that have what this node had the last time it looked, and answer.
    fn caught_up(&self, council: &Council) -> BTreeSet<RaftNodeId> {
        let now = clock::monotonic();
        let metrics = council.raft.metrics().borrow().clone();
        let mut state = self.state.lock();
        let before = state.last_log_index.unwrap_or(0);
        state.last_log_index = metrics.last_log_index;
        let mut caught_up = BTreeSet::from([council.identity.raft_node_id]);
        let membership = metrics.membership_config.membership();
        for (id, matching) in metrics.replication.iter().flatten() {
            let Some(index) = matching.map(|id| id.index) else { continue };
            let answers = membership.get_node(id).is_some_and(|node| {
                let link = council.links.as_ref().and_then(|links| links.to(Purpose::Raft, *id, node));
                link.and_then(|link| link.silent_for()).is_some_and(|silence| silence < ANSWERED_WITHIN)
            });
            if index >= before && answers {
                state.caught_up_at.insert(*id, now);
            }
            if index + LAG_MAX >= before && answers {
                caught_up.insert(*id);
            }
        }
        caught_up
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
