//! The nodes of a replica set, and how they reach each other.
//!
//! Nothing is resolved and no file is read here: hosts and paths stay what the configuration gave.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::PathBuf;

use thiserror::Error;

use super::listener::{self, Endpoint};
use crate::error::ConfigError;
use crate::value;

/// A replica set, as its nodes name each other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReplicaSet {
    /// Where each node is reached by the others, by `node.id`; this node is among them.
    pub nodes: BTreeMap<i32, Endpoint>,
    /// Where this node listens for the others.
    pub listener: Endpoint,
    /// How they talk.
    pub security: PeerSecurity,
}

/// How the nodes of a replica set talk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PeerSecurity {
    /// In plain text: on loopback, or because the configuration allows it.
    Plaintext,
    /// Through TLS, where each side shows a certificate of the set's own authority.
    Tls(PeerTlsFiles),
}

/// The PEM files of one node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PeerTlsFiles {
    /// Its certificate.
    pub certificate: PathBuf,
    /// The certificate's private key.
    pub key: PathBuf,
    /// The certificate of the authority that signed those of all nodes.
    pub ca: PathBuf,
}

/// Why a text names no replica set that this node belongs to.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum ReplicaSetProblem {
    /// Not of the form of an entry.
    #[error("{0} is not of the form ID@HOST:PORT, such as 1@10.0.0.1:9192")]
    NotANode(String),
    /// A comma with no entry before or after it.
    #[error("there is a comma with no node beside it; leave it out")]
    NothingBetweenCommas,
    /// Two entries have one id.
    #[error("node {0} is there twice; every node needs an id of its own")]
    SameId(i32),
    /// Two entries have one address.
    #[error("{0} is there twice; every node needs an address of its own")]
    SameAddress(Endpoint),
    /// The node does not know which one it is.
    #[error("set node.id to say which of them this node is: {ids}", ids = listed(.0))]
    WhichOne(Vec<i32>),
    /// The node is none of them.
    #[error("this node is node {node_id} (node.id), which is not among {ids}; correct one of the two", ids = listed(.ids))]
    NotAmong {
        /// This node's `node.id`.
        node_id: i32,
        /// Those that are named.
        ids: Vec<i32>,
    },
}

/// What the keys about the replica set hold; none where unset.
pub(super) struct Texts {
    pub(super) nodes: Option<String>,
    pub(super) certificate: Option<String>,
    pub(super) key: Option<String>,
    pub(super) ca: Option<String>,
}

/// What is known of this node before its set is read.
pub(super) struct ThisNode {
    /// `node.id`; none where nobody set it, since a default would be the same on all nodes.
    pub(super) id: Option<i32>,
    /// `ottla.peer.listener`.
    pub(super) listener: Option<Endpoint>,
    /// `ottla.peer.allow.plaintext`.
    pub(super) may_use_plaintext: bool,
}

/// Reads the keys about the replica set; none where there is no set, or where it is not what it must be.
pub(super) fn read(texts: &Texts, this: &ThisNode, errors: &mut Vec<ConfigError>) -> Option<ReplicaSet> {
    let value = texts.nodes.as_ref()?;
    let mut report = |problem| errors.push(ConfigError::ReplicaSet { value: value.clone(), problem });
    let (nodes, problems) = read_nodes(value);
    let is_complete = problems.is_empty();
    problems.into_iter().for_each(&mut report);
    let own = match this.id.map(|id| (id, nodes.get(&id))) {
        Some((_, Some(own))) => Some(own.clone()),
        // An entry that could not be read may be this node's.
        _ if !is_complete => None,
        Some((node_id, None)) => {
            report(ReplicaSetProblem::NotAmong { node_id, ids: nodes.keys().copied().collect() });
            None
        }
        None => {
            report(ReplicaSetProblem::WhichOne(nodes.keys().copied().collect()));
            None
        }
    };
    let listener = this.listener.clone().or(own);
    let security = read_security(texts, errors)?;
    let listener = listener.filter(|_| is_complete)?;
    if security == PeerSecurity::Plaintext && !this.may_use_plaintext {
        let exposed = exposed(&nodes, &listener);
        if let Some(error) = exposed {
            errors.push(error);
            return None;
        }
    }
    Some(ReplicaSet { nodes, listener, security })
}

fn read_nodes(text: &str) -> (BTreeMap<i32, Endpoint>, Vec<ReplicaSetProblem>) {
    let (mut nodes, mut problems) = (BTreeMap::new(), Vec::new());
    for entry in value::split_list(text) {
        match read_node(entry) {
            Some((id, _)) if nodes.contains_key(&id) => problems.push(ReplicaSetProblem::SameId(id)),
            Some((_, address)) if nodes.values().any(|other| *other == address) => {
                problems.push(ReplicaSetProblem::SameAddress(address));
            }
            Some((id, address)) => {
                nodes.insert(id, address);
            }
            None if entry.is_empty() => problems.push(ReplicaSetProblem::NothingBetweenCommas),
            None => problems.push(ReplicaSetProblem::NotANode(entry.to_owned())),
        }
    }
    (nodes, problems)
}

/// Reads `ID@HOST:PORT`, an address that others can connect to.
fn read_node(entry: &str) -> Option<(i32, Endpoint)> {
    let (id, address) = entry.split_once('@')?;
    let id = id.trim().parse().ok().filter(|&id: &i32| id >= 0)?;
    let address = listener::endpoint(address.trim()).ok()?;
    let is_reachable = address.port != 0 && !["", "0.0.0.0", "::"].contains(&address.host.as_str());
    is_reachable.then_some((id, address))
}

fn read_security(texts: &Texts, errors: &mut Vec<ConfigError>) -> Option<PeerSecurity> {
    let files = [
        ("ottla.peer.tls.certificate", &texts.certificate),
        ("ottla.peer.tls.key", &texts.key),
        ("ottla.peer.tls.ca", &texts.ca),
    ];
    if let (Some(certificate), Some(key), Some(ca)) = (&texts.certificate, &texts.key, &texts.ca) {
        let files = PeerTlsFiles { certificate: certificate.into(), key: key.into(), ca: ca.into() };
        return Some(PeerSecurity::Tls(files));
    }
    if files.iter().all(|(_, path)| path.is_none()) {
        return Some(PeerSecurity::Plaintext);
    }
    let missing = files.iter().filter(|(_, path)| path.is_none());
    errors.extend(missing.map(|(name, _)| ConfigError::IncompletePeerTls { name }));
    None
}

/// The first address that machines other than this one can reach or are reached at.
fn exposed(nodes: &BTreeMap<i32, Endpoint>, listener: &Endpoint) -> Option<ConfigError> {
    let named = nodes.values().map(|address| ("ottla.replica.set", address));
    let mut addresses = named.chain([("ottla.peer.listener", listener)]);
    let (name, address) = addresses.find(|(_, address)| !is_loopback(&address.host))?;
    Some(ConfigError::PlaintextBetweenMachines { name, address: address.clone() })
}

pub(super) fn is_loopback(host: &str) -> bool {
    host == "localhost" || host.parse().is_ok_and(|address: IpAddr| address.is_loopback())
}

fn listed(ids: &[i32]) -> String {
    ids.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests;
