//! How a cluster comes to be formed once, and how every other node finds it: pure decisions of one node that starts.
//!
//! A node holds something or nothing. One whose quorum holds something goes on as the member that it was. One that
//! holds nothing joins whoever holds something; only where every node of the set said that it holds nothing does the
//! lowest `node.id` form the cluster, and only once every other one agreed that it is this node (its raft node id, so
//! that a second process with the same `node.id` gets no agreement of the same nodes) that does so.
//!
//! Invariants: a node that does not hear from everyone forms nothing; a node whose data belongs to a cluster joins no
//! other one, and forms none. So a cluster whose majority lost its data is never replaced by an empty one silently.
//!
//! Absent: the asking (`start`), and who becomes a voter (`members`, `membership_keeper`).

use config::broker::Endpoint;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use storage::ids::BrokerId;

/// What this node is and holds at its start.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Own {
    /// Its `node.id`.
    pub(super) broker_id: BrokerId,
    /// The cluster that its data belongs to, as far as its directory says.
    pub(super) cluster_id: Option<String>,
    /// Whether its quorum holds anything: a membership, entries, a snapshot.
    pub(super) is_initialised: bool,
    /// Every node of `ottla.replica.set`, this one among them.
    pub(super) set: BTreeSet<BrokerId>,
}

/// What another node answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Answer {
    /// The `node.id` that answered, which may be another than was asked for.
    pub(super) broker_id: BrokerId,
    /// The cluster that its data belongs to.
    pub(super) cluster_id: Option<String>,
    /// Whether its quorum holds anything.
    pub(super) is_initialised: bool,
    /// Whether it agreed that this node, and no other, forms the cluster.
    pub(super) agrees: bool,
}

/// What to do next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Step {
    /// Go on as the member that this node was.
    Resume,
    /// Ask again later.
    Wait(Waiting),
    /// Ask the others to agree that this node forms the cluster.
    AskToAgree,
    /// Form the cluster, alone; the others join.
    Initialise,
    /// Join the cluster through one of these nodes.
    Join {
        /// Nodes that hold something.
        through: Vec<BrokerId>,
    },
    /// End this node.
    Refuse(Refusal),
}

/// What a node that cannot go on yet waits for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Waiting {
    /// Nodes that did not answer.
    Unheard {
        /// Their ids.
        nodes: Vec<BrokerId>,
    },
    /// The node that forms the cluster.
    Lowest {
        /// Its id.
        node: BrokerId,
    },
    /// Nodes that did not agree.
    Agreement {
        /// Their ids.
        nodes: Vec<BrokerId>,
    },
    /// A controller that lets this node in.
    Controller,
    /// That the controller reaches this node.
    Unreached {
        /// This node.
        own: BrokerId,
        /// The node that leads.
        controller: BrokerId,
        /// Where it looks for this node.
        address: Endpoint,
    },
    /// That this node, which is let in, is registered.
    Registration {
        /// The node that leads, as far as this one knows.
        controller: Option<BrokerId>,
        /// Why that node is not reached, where it is not.
        unreached: Option<String>,
    },
    /// That the `node.id` of this node is free.
    Taken {
        /// The id.
        own: BrokerId,
    },
}

/// Why a node must not go on.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// This node's data is of another cluster than that of the others.
    #[error(
        "this node's data belongs to the cluster {own}, but node {other} belongs to the cluster {theirs}: \
         check ottla.replica.set and log.dirs of both"
    )]
    ForeignCluster {
        /// This node's cluster.
        own: String,
        /// A node of another cluster.
        other: BrokerId,
        /// That node's cluster.
        theirs: String,
    },
    /// The nodes that this one would join are of several clusters.
    #[error(
        "node {one} belongs to the cluster {of_one}, but node {other} to the cluster {of_other}: this node cannot tell \
         which of them to join, check ottla.replica.set and log.dirs of both"
    )]
    SeveralClusters {
        /// A node.
        one: BrokerId,
        /// Its cluster.
        of_one: String,
        /// A node of another cluster.
        other: BrokerId,
        /// That node's cluster.
        of_other: String,
    },
    /// The others hold nothing of the cluster that this node has data of, and neither does this node's own quorum.
    #[error(
        "this node's data belongs to the cluster {own}, but its metadata is missing and no node of ottla.replica.set \
         has it: restore the directory metadata of one node from a copy"
    )]
    MetadataLost {
        /// This node's cluster.
        own: String,
    },
    /// Another node answers where one was asked for.
    #[error("node {asked} of ottla.replica.set is answered by node {answered}: correct its address")]
    AnotherNode {
        /// Who was asked for.
        asked: BrokerId,
        /// Who answered.
        answered: BrokerId,
    },
}

/// Decides what a node that starts does next. `answers` holds the nodes of the set that answered.
pub(super) fn next_step(own: &Own, answers: &BTreeMap<BrokerId, Answer>) -> Step {
    if let Some(refusal) = refusal(own, answers) {
        return Step::Refuse(refusal);
    }
    if own.is_initialised {
        return Step::Resume;
    }
    let through: Vec<BrokerId> =
        answers.iter().filter(|(_, answer)| answer.is_initialised).map(|(id, _)| *id).collect();
    if !through.is_empty() {
        return Step::Join { through };
    }
    let others = || own.set.iter().copied().filter(|id| *id != own.broker_id);
    let unheard: Vec<BrokerId> = others().filter(|id| !answers.contains_key(id)).collect();
    if !unheard.is_empty() {
        return Step::Wait(Waiting::Unheard { nodes: unheard });
    }
    if let Some(lost) = &own.cluster_id {
        return Step::Refuse(Refusal::MetadataLost { own: lost.clone() });
    }
    if let Some(&lowest) = own.set.first()
        && lowest != own.broker_id
    {
        return Step::Wait(Waiting::Lowest { node: lowest });
    }
    match answers.values().all(|answer| answer.agrees) {
        true => Step::Initialise,
        false => Step::AskToAgree,
    }
}

/// The nodes whose agreement is missing, for who asked and was not given it.
pub(super) fn missing_agreement(answers: &BTreeMap<BrokerId, Answer>) -> Waiting {
    let nodes = answers.iter().filter(|(_, answer)| !answer.agrees).map(|(id, _)| *id).collect();
    Waiting::Agreement { nodes }
}

fn refusal(own: &Own, answers: &BTreeMap<BrokerId, Answer>) -> Option<Refusal> {
    // A member knows the others by their journals, and need not care who else has an address of the configuration.
    let misplaced = answers.iter().find(|(asked, answer)| **asked != answer.broker_id);
    if let Some((&asked, answer)) = misplaced.filter(|_| !own.is_initialised) {
        return Some(Refusal::AnotherNode { asked, answered: answer.broker_id });
    }
    let clusters: Vec<(BrokerId, &String)> =
        answers.iter().filter_map(|(id, answer)| Some((*id, answer.cluster_id.as_ref()?))).collect();
    let Some(own_cluster) = &own.cluster_id else {
        let &(one, of_one) = clusters.first()?;
        let &(other, of_other) = clusters.iter().find(|(_, cluster)| *cluster != of_one)?;
        return Some(Refusal::SeveralClusters {
            one,
            of_one: of_one.clone(),
            other,
            of_other: of_other.clone(),
        });
    };
    // A stray among the others does not stop the node that belongs to them: it stops itself.
    let (of_ours, of_others): (Vec<_>, Vec<_>) =
        clusters.into_iter().partition(|(_, cluster)| *cluster == own_cluster);
    let &(other, theirs) = of_others.first().filter(|_| of_ours.len() < of_others.len())?;
    Some(Refusal::ForeignCluster { own: own_cluster.clone(), other, theirs: theirs.clone() })
}

/// Why no node of a set may be missing at first.
const ONCE_ALL_ARE_HEARD: &str = "a cluster is formed only once every node has said that it holds no data";

impl Waiting {
    /// The sentence for a person, with what was last heard of the nodes that this waits for.
    pub(super) fn with(&self, heard: &[(BrokerId, String)]) -> String {
        let words = |is_awaited: &dyn Fn(&BrokerId) -> bool| {
            let awaited = heard.iter().filter(|(node, _)| is_awaited(node));
            let words: Vec<String> = awaited.map(|(node, words)| format!("node {node}: {words}")).collect();
            words.join("; ")
        };
        match self {
            Self::Unheard { nodes } => {
                let words = words(&|node| nodes.contains(node));
                format!("waiting for {} of ottla.replica.set ({words}): {ONCE_ALL_ARE_HEARD}", named(nodes))
            }
            Self::Controller => format!("{self}: {}", words(&|_| true)),
            other => other.to_string(),
        }
    }
}

impl fmt::Display for Waiting {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unheard { nodes } => write!(
                formatter,
                "waiting for {} of ottla.replica.set: {ONCE_ALL_ARE_HEARD}",
                named(nodes)
            ),
            Self::Lowest { node } => {
                write!(
                    formatter,
                    "waiting for node {node}, the lowest of ottla.replica.set, to form the cluster; its log says what it waits for"
                )
            }
            Self::Agreement { nodes } => write!(
                formatter,
                "waiting for {} to agree that this node forms the cluster: they agreed to another one, so either \
                 ottla.replica.set is not the same everywhere, or this node.id runs twice",
                named(nodes)
            ),
            Self::Controller => formatter.write_str(
                "waiting for a controller, which a majority of the metadata quorum elects, to let this node in",
            ),
            Self::Unreached { own, controller, address } => write!(
                formatter,
                "waiting for node {controller}, which leads the metadata quorum, to reach this node: it looks for node {own} \
                 at {address}, and does not find it there; correct that address in ottla.replica.set of node {controller} \
                 and of this node, or let node {controller} through to it"
            ),
            Self::Registration { controller: None, .. } => formatter.write_str(
                "waiting for a controller, which a majority of the metadata quorum elects, to register this node",
            ),
            Self::Registration { controller: Some(controller), unreached } => {
                write!(
                    formatter,
                    "waiting for node {controller}, which leads the metadata quorum, to register this node"
                )?;
                match unreached {
                    None => Ok(()),
                    Some(why) => write!(
                        formatter,
                        ", but it is not reached: {why}; correct its address in this node's ottla.replica.set, or let \
                         this node through to it"
                    ),
                }
            }
            Self::Taken { own } => write!(
                formatter,
                "waiting for node.id {own} to be free: another process has it, or a former run of this node, which is given \
                 up when its session ends"
            ),
        }
    }
}

/// Nodes as a sentence names them.
pub(super) fn named(nodes: &[BrokerId]) -> String {
    match nodes {
        [] => "no node".to_owned(),
        [node] => format!("node {node}"),
        [first @ .., last] => {
            let first: Vec<String> = first.iter().map(ToString::to_string).collect();
            format!("nodes {} and {last}", first.join(", "))
        }
    }
}

#[cfg(test)]
mod tests;
