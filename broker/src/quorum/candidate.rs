//! Stands for election when the leader is gone: the shell around `election`.

use crate::clock;
use crate::quorum::council::{Council, random};
use crate::quorum::election::LEASE;
use crate::quorum::link::Link;
use crate::quorum::links::Lane;
use crate::quorum::links::Probe;
use crate::quorum::raft_rpc::{Answer, Call};
use crate::quorum::types::{LogId, Membership, RaftNodeId};
use futures_util::StreamExt;
use futures_util::future::join_all;
use futures_util::stream::FuturesUnordered;
use openraft::Vote;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{sleep, timeout};

/// How long another voter may take to say whether it would vote. Longer: a voter that is cut off delays the election.
/// Shorter: a busy one is not counted.
const CANVASS_DEADLINE: Duration = Duration::from_millis(250);

/// How long a voter that was asked to succeed this leader may take. Longer: a stop takes longer where the first one cannot.
/// Shorter: a busy one is passed over.
const HEIR_DEADLINE: Duration = Duration::from_millis(500);

/// How long a node that stops waits before it looks again for others that could take over. Longer: the last node of a set stops
/// later. Shorter: more connections.
const LOOK_PAUSE: Duration = Duration::from_millis(100);

/// Stands for election whenever it is time to. Never returns.
pub(super) async fn run(council: Arc<Council>) {
    loop {
        let stands_at = council.election.lock().stands_at();
        tokio::select! {
            () = sleep(stands_at.saturating_sub(clock::monotonic())) => {}
            () = council.election_changed.notified() => continue,
        }
        if council.is_leading() {
            council.election.lock().heard(clock::monotonic(), random());
        } else {
            // Whether or not it comes to an election, the next attempt waits.
            stand_if_wanted(&council).await;
            council.election.lock().tried(clock::monotonic(), random());
        }
    }
}

/// Notes that another member said something as the leader, by this vote.
pub(super) fn heard_leader(council: &Council, vote: &Vote<RaftNodeId>) {
    if let Some(leader) = vote.leader_id.voted_for {
        council.election.lock().heard_from(leader, clock::monotonic(), random());
    }
}

/// Notes that this node voted for another one.
pub(super) fn voted(council: &Council) {
    council.election.lock().voted(clock::monotonic(), random());
    council.election_changed.notify_one();
}

/// Looks whether the process of the leader is there, after a connection of it ended, and shortens the wait if not.
pub(super) async fn leader_hung_up(council: &Council, raft_node_id: RaftNodeId) {
    let Some((leader, node)) = council.leader() else { return };
    let Some(links) = council.links.as_ref().filter(|_| leader == raft_node_id) else { return };
    let Some(address) = links.address(&node) else { return };
    // Longer than that, and the election comes by itself.
    if links.look_for(&address, LEASE).await == Probe::Gone {
        let heirs = council.membership();
        let before = heirs.voter_ids().filter(|id| *id != leader && *id < council.identity.raft_node_id);
        let turn = u32::try_from(before.count()).unwrap_or(u32::MAX);
        council.election.lock().lost(clock::monotonic(), turn);
        council.election_changed.notify_one();
    }
}

/// Whether this node would vote for a member whose last entry this is.
pub(super) fn would_vote(council: &Council, last_log_id: Option<LogId>) -> bool {
    !council.is_leading()
        && last_log_id >= council.log.last()
        && council.election.lock().is_free_to_vote(clock::monotonic())
}

async fn stand_if_wanted(council: &Council) {
    let membership = council.membership();
    let own_id = council.identity.raft_node_id;
    if !membership.voter_ids().any(|voter| voter == own_id) {
        return;
    }
    let others = membership.voter_ids().filter(|voter| *voter != own_id);
    let links = others.filter_map(|voter| {
        let node = membership.get_node(&voter)?;
        Some((voter, council.links.as_ref()?.to(Lane::Raft, voter, node)?))
    });
    let call = Call::Canvass { last_log_id: council.log.last() }.encode();
    let mut answers: FuturesUnordered<_> =
        links.map(|(voter, link)| would_be_given(voter, link, call.clone())).collect();
    let mut votes = BTreeSet::from([own_id]);
    // The former leader may be one that gives no answer: it is not waited for.
    while !is_enough(&membership, &votes)
        && let Some(answer) = answers.next().await
    {
        votes.extend(answer);
    }
    let still_alone = council.election.lock().is_free_to_vote(clock::monotonic()) && !council.is_leading();
    if is_enough(&membership, &votes) && still_alone {
        elect(council).await;
    }
}

/// Whether these votes are a majority of the voters, before and after a change of them that is under way.
fn is_enough(membership: &Membership, votes: &BTreeSet<RaftNodeId>) -> bool {
    let is_majority = |voters: &BTreeSet<RaftNodeId>| 2 * voters.intersection(votes).count() > voters.len();
    membership.get_joint_config().iter().all(is_majority)
}

async fn would_be_given(voter: RaftNodeId, link: Link, call: Vec<u8>) -> Option<RaftNodeId> {
    let answer = timeout(CANVASS_DEADLINE, link.call(call)).await.ok()?.ok()?;
    (Answer::decode(&answer) == Ok(Answer::Canvass { would_vote: true })).then_some(voter)
}

/// Begins a new term as its candidate.
pub(super) async fn elect(council: &Council) {
    if let Err(error) = council.raft.trigger().elect().await {
        tracing::debug!("no election was begun: {error}");
    }
}

/// Returns once the processes of all other voters are gone, so that nobody is left who could take anything. Never where this
/// node is the only voter.
pub(super) async fn left_alone(council: &Council) {
    let Some(links) = &council.links else { return std::future::pending().await };
    let own_id = council.identity.raft_node_id;
    loop {
        let membership = council.membership();
        let others = membership.voter_ids().filter(|voter| *voter != own_id);
        let addresses: Vec<_> =
            others.filter_map(|voter| links.address(membership.get_node(&voter)?)).collect();
        let looks = join_all(addresses.iter().map(|address| links.probe(address))).await;
        if !looks.is_empty() && looks.iter().all(|look| *look == Probe::Gone) {
            return;
        }
        sleep(LOOK_PAUSE).await;
    }
}

/// Has another voter lead the quorum, if this node does. Returns once another one leads.
pub(super) async fn step_down(council: &Council) {
    let own_id = council.identity.raft_node_id;
    let mut metrics = council.raft.metrics();
    while council.is_leading() {
        let current = metrics.borrow_and_update().clone();
        let membership = current.membership_config.membership().clone();
        let mut heirs: Vec<_> = current.replication.iter().flatten().collect();
        heirs.retain(|(id, _)| **id != own_id && membership.voter_ids().any(|voter| voter == **id));
        // The one with the longest log is the one that the others vote for.
        heirs.sort_by_key(|(_, matching)| std::cmp::Reverse(**matching));
        if heirs.is_empty() {
            return;
        }
        for (id, _) in heirs {
            let link =
                membership.get_node(id).and_then(|node| council.links.as_ref()?.to(Lane::Raft, *id, node));
            let Some(link) = link else { continue };
            let asked = timeout(CANVASS_DEADLINE, link.call(Call::Stand.encode())).await;
            let follows =
                metrics.wait_for(|metrics| metrics.current_leader.is_some_and(|leader| leader != own_id));
            if asked.is_ok_and(|answer| answer.is_ok()) && timeout(HEIR_DEADLINE, follows).await.is_ok() {
                return;
            }
        }
        sleep(LOOK_PAUSE).await;
    }
}
