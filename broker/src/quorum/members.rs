//! Which nodes are members of the quorum, and as what: pure decisions of the node that leads it.
//!
//! Every node of the cluster is a learner at least, since all of them follow the metadata. Up to three of them vote. A
//! node that lost its disk comes back under another raft node id: once it has what the leader has, it takes the place of
//! its former self, whose vote nobody can give any more.
//!
//! Invariants: a change is proposed only when the one before is committed; a voter goes only in the step in which its
//! successor comes, so that no step makes the quorum smaller; a node that lags behind becomes no voter, since every
//! change would wait for it.

use crate::quorum::types::{Membership, QuorumNode, RaftNodeId};
use openraft::ChangeMembers;
use std::collections::{BTreeMap, BTreeSet};
use storage::ids::BrokerId;

/// The most voters. Larger: each decision waits for more disks. Smaller than three: the loss of one node stops it.
const VOTERS_MAX: usize = 3;

/// What a node that starts says about itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Newcomer {
    /// Its raft node id.
    pub(super) raft_node_id: RaftNodeId,
    /// Who it is and where it is reached.
    pub(super) node: QuorumNode,
}

/// A change of the membership.
pub(super) type Change = ChangeMembers<RaftNodeId, QuorumNode>;

/// What is to be done about a node that wants to be a member.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Admission {
    /// Nothing: it is one, and reached where it says.
    Member,
    /// This lets it be one.
    Change(Change),
    /// It has the journal of another node, whose id this is: its directory is a copy.
    Copied(BrokerId),
}

/// What is to be done about a node that wants to be a member.
pub(super) fn to_admit(membership: &Membership, newcomer: &Newcomer) -> Admission {
    let Newcomer { raft_node_id, node } = newcomer;
    let entry = || BTreeMap::from([(*raft_node_id, node.clone())]);
    match membership.get_node(raft_node_id) {
        None => Admission::Change(Change::AddNodes(entry())),
        Some(known) if known.broker_id != node.broker_id => Admission::Copied(known.broker_id),
        Some(known) if known != node => Admission::Change(Change::SetNodes(entry())),
        Some(_) => Admission::Member,
    }
}

/// Up to where a voter once had the log, if a run of it begins with less: whoever registered had the log up to its
/// registration on its disk. `registered_at` is the newest one of its broker.
///
/// Where the broker has two lives among the members, nobody knows which of them registered.
pub(super) fn lost_registration(
    membership: &Membership,
    raft_node_id: RaftNodeId,
    registered_at: Option<u64>,
    last_index: Option<u64>,
) -> Option<u64> {
    let is_voter = membership.voter_ids().any(|voter| voter == raft_node_id);
    let broker_id = membership.get_node(&raft_node_id)?.broker_id;
    let lives = membership.nodes().filter(|(_, node)| node.broker_id == broker_id).count();
    registered_at.filter(|at| is_voter && lives == 1 && last_index < Some(*at))
}

/// What the leader knows of the members.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Known {
    /// Those that have what the leader has.
    pub(super) caught_up: BTreeSet<RaftNodeId>,
    /// Those that have not answered for long.
    pub(super) silent: BTreeSet<RaftNodeId>,
    /// Those of them whose broker was unregistered.
    pub(super) forgotten: BTreeSet<RaftNodeId>,
}

/// The next change that the membership itself asks for; `None` where it is as it should be.
pub(super) fn next_change(membership: &Membership, known: &Known) -> Option<Change> {
    let Known { caught_up, silent, forgotten } = known;
    let voters = membership.get_joint_config().last()?;
    if membership.get_joint_config().len() > 1 {
        // A leader was lost between the two steps of a change.
        return Some(Change::ReplaceAllVoters(voters.clone()));
    }
    let broker = |id: &RaftNodeId| membership.get_node(id).map(|node| node.broker_id);
    let learners = || membership.nodes().filter(|(id, _)| !voters.contains(id));
    let ready = |id: &RaftNodeId| caught_up.contains(id);
    if let Some((id, node)) =
        learners().find(|(id, node)| ready(id) && is_voter(voters, broker, node.broker_id))
    {
        let others = voters.iter().copied().filter(|voter| broker(voter) != Some(node.broker_id));
        return Some(Change::ReplaceAllVoters(others.chain([*id]).collect()));
    }
    // Of two lives of one broker, the silent one is the former.
    let doubles = learners().filter(|(id, node)| {
        silent.contains(id)
            && membership.nodes().any(|(other, of_other)| {
                other != *id && of_other.broker_id == node.broker_id && !silent.contains(other)
            })
    });
    let forgotten_learners = learners().filter(|(id, _)| forgotten.contains(id));
    let gone: BTreeSet<RaftNodeId> = doubles.chain(forgotten_learners).map(|(id, _)| *id).collect();
    if !gone.is_empty() {
        return Some(Change::RemoveNodes(gone));
    }
    let next = learners().map(|(id, _)| *id).filter(ready).min_by_key(|id| broker(id))?;
    let place = voters.iter().find(|voter| forgotten.contains(voter));
    match place {
        Some(place) => {
            let others = voters.iter().copied().filter(|voter| voter != place);
            Some(Change::ReplaceAllVoters(others.chain([next]).collect()))
        }
        None if voters.len() < VOTERS_MAX => Some(Change::AddVoterIds(BTreeSet::from([next]))),
        None => None,
    }
}

fn is_voter(
    voters: &BTreeSet<RaftNodeId>,
    broker: impl Fn(&RaftNodeId) -> Option<BrokerId>,
    wanted: BrokerId,
) -> bool {
    voters.iter().any(|voter| broker(voter) == Some(wanted))
}

#[cfg(test)]
mod tests {
    use super::{Admission, Change, Known, Newcomer, lost_registration, next_change, to_admit};
    use crate::quorum::types::{Membership, QuorumNode};
    use config::broker::Endpoint;
    use std::collections::{BTreeMap, BTreeSet};
    use storage::ids::BrokerId;

    fn node(broker_id: i32, host: &str) -> QuorumNode {
        let address = Some(Endpoint { host: host.to_owned(), port: 9093 });
        QuorumNode { broker_id: BrokerId(broker_id), address }
    }

    /// Members as `raft node id: broker id`; those of `voters` vote.
    fn membership(voters: &[&[u64]], members: &[(u64, i32)]) -> Membership {
        let nodes: BTreeMap<_, _> = members.iter().map(|(id, broker)| (*id, node(*broker, "host"))).collect();
        Membership::new(voters.iter().map(|ids| ids.iter().copied().collect()).collect(), nodes)
    }

    fn ids(ids: &[u64]) -> BTreeSet<u64> {
        ids.iter().copied().collect()
    }

    fn caught_up(members: &[u64]) -> Known {
        Known { caught_up: ids(members), ..Known::default() }
    }

    #[test]
    fn a_broker_that_was_unregistered_is_forgotten_and_its_vote_goes_to_another() {
        let known =
            |members: &[u64], forgotten: &[u64]| Known { forgotten: ids(forgotten), ..caught_up(members) };
        let four = membership(&[&[10, 20, 30]], &[(10, 1), (20, 2), (30, 3), (40, 4)]);
        assert_eq!(next_change(&four, &known(&[10, 20, 30], &[40])), Some(Change::RemoveNodes(ids(&[40]))));
        let replaced = Some(Change::ReplaceAllVoters(ids(&[10, 20, 40])));
        assert_eq!(next_change(&four, &known(&[10, 20, 40], &[30])), replaced);
        let three = membership(&[&[10, 20, 30]], &[(10, 1), (20, 2), (30, 3)]);
        assert_eq!(next_change(&three, &known(&[10, 20], &[30])), None, "nobody takes its place");
    }

    #[test]
    fn a_newcomer_is_a_learner_first_and_a_voter_once_it_has_caught_up() {
        let before = membership(&[&[10]], &[(10, 1)]);
        let newcomer = Newcomer { raft_node_id: 20, node: node(2, "host") };
        let admitted = to_admit(&before, &newcomer);
        let change = Change::AddNodes(BTreeMap::from([(20, node(2, "host"))]));
        assert_eq!(admitted, Admission::Change(change));
        let after = membership(&[&[10]], &[(10, 1), (20, 2)]);
        assert_eq!(to_admit(&after, &newcomer), Admission::Member);
        assert_eq!(next_change(&after, &caught_up(&[10])), None);
        assert_eq!(next_change(&after, &caught_up(&[10, 20])), Some(Change::AddVoterIds(ids(&[20]))));
    }

    #[test]
    fn a_node_that_moved_is_known_at_its_new_address() {
        let before = membership(&[&[10]], &[(10, 1)]);
        let moved = Newcomer { raft_node_id: 10, node: node(1, "elsewhere") };
        let change = Change::SetNodes(BTreeMap::from([(10, node(1, "elsewhere"))]));
        assert_eq!(to_admit(&before, &moved), Admission::Change(change));
    }

    #[test]
    fn a_voter_whose_log_ends_before_its_registration_has_an_older_copy() {
        let three = membership(&[&[10, 20, 30]], &[(10, 1), (20, 2), (30, 3), (40, 4), (31, 3)]);
        assert_eq!(lost_registration(&three, 20, Some(17), Some(16)), Some(17));
        assert_eq!(lost_registration(&three, 20, Some(17), None), Some(17));
        assert_eq!(lost_registration(&three, 20, Some(17), Some(17)), None, "it has it");
        assert_eq!(lost_registration(&three, 20, None, Some(3)), None, "it never registered");
        assert_eq!(lost_registration(&three, 40, Some(17), Some(16)), None, "nothing rests on a learner");
        assert_eq!(lost_registration(&three, 30, Some(17), Some(16)), None, "31 may have registered");
        assert_eq!(lost_registration(&three, 50, Some(17), None), None, "it is no member");
    }

    #[test]
    fn a_node_with_the_journal_of_another_one_is_not_let_in() {
        let three = membership(&[&[10, 20, 30]], &[(10, 1), (20, 2), (30, 3)]);
        let copy = Newcomer { raft_node_id: 10, node: node(3, "host") };
        assert_eq!(to_admit(&three, &copy), Admission::Copied(BrokerId(1)));
    }

    #[test]
    fn the_fourth_and_the_fifth_node_stay_learners() {
        let five = membership(&[&[10, 20, 30]], &[(10, 1), (20, 2), (30, 3), (40, 4), (50, 5)]);
        assert_eq!(next_change(&five, &caught_up(&[10, 20, 30, 40, 50])), None);
    }

    #[test]
    fn a_wiped_node_takes_the_place_of_its_former_self_in_one_step() {
        let wiped = membership(&[&[10, 20, 30]], &[(10, 1), (20, 2), (30, 3), (31, 3)]);
        assert_eq!(next_change(&wiped, &caught_up(&[10, 20])), None, "it has not caught up");
        let replaced = Some(Change::ReplaceAllVoters(ids(&[10, 20, 31])));
        assert_eq!(next_change(&wiped, &caught_up(&[10, 20, 31])), replaced);
    }

    #[test]
    fn a_learner_that_was_wiped_leaves_one_entry_behind_it() {
        let members = [(10, 1), (20, 2), (30, 3), (40, 4), (41, 4)];
        let wiped = membership(&[&[10, 20, 30]], &members);
        let known = |silent: &[u64]| Known { silent: ids(silent), ..caught_up(&[10, 20, 30, 41]) };
        assert_eq!(next_change(&wiped, &known(&[])), None, "nothing says which of them is gone");
        assert_eq!(next_change(&wiped, &known(&[40])), Some(Change::RemoveNodes(ids(&[40]))));
        assert_eq!(next_change(&wiped, &known(&[40, 41])), None);
    }

    #[test]
    fn a_node_that_was_wiped_twice_leaves_one_entry_behind_it() {
        let members = [(10, 1), (20, 2), (30, 3), (31, 3), (32, 3)];
        let before = membership(&[&[10, 20, 30]], &members);
        let replaced = Some(Change::ReplaceAllVoters(ids(&[10, 20, 32])));
        assert_eq!(next_change(&before, &caught_up(&[10, 20, 32])), replaced);
        let after = membership(&[&[10, 20, 32]], &[(10, 1), (20, 2), (31, 3), (32, 3)]);
        let known = Known { silent: ids(&[31]), ..caught_up(&[10, 20, 32]) };
        assert_eq!(next_change(&after, &known), Some(Change::RemoveNodes(ids(&[31]))));
    }

    #[test]
    fn a_change_that_a_lost_leader_left_half_done_is_finished() {
        let joint = membership(&[&[10, 20], &[10, 20, 30]], &[(10, 1), (20, 2), (30, 3)]);
        assert_eq!(next_change(&joint, &caught_up(&[])), Some(Change::ReplaceAllVoters(ids(&[10, 20, 30]))));
    }
}
