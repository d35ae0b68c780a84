//! What a node that cannot serve yet tells the person who looks into its log: whom it waits for, where, and why.

use std::time::Duration;

use anyhow::{Context as _, Result};
use client_tests::replica_set::ReplicaSet;
use client_tests::replica_set::network::{Network, PEER_PORT};
use client_tests::replica_set::product::Product;
use client_tests::replica_set::roles::Role;
use client_tests::wait::wait_until;

/// The longest that a node may keep to itself what it waits for: it says nothing for a minute after it has said something.
const SAY_LIMIT: Duration = Duration::from_secs(90);

/// Waits until one line of the log of a node holds all of `parts`.
fn wait_for_line(set: &ReplicaSet, id: i32, parts: &[&str]) -> Result<()> {
    let node = set.node(id)?;
    wait_until(SAY_LIMIT, &format!("node {id} says {parts:?}"), || {
        Ok(node.log().lines().any(|line| parts.iter().all(|part| line.contains(part))))
    })
}

fn peer_address(host: &str) -> String {
    format!("{host}:{PEER_PORT}")
}

fn host(set: &ReplicaSet, id: i32) -> Result<String> {
    let found = set.hosts().into_iter().find(|(known, _)| *known == id);
    found.map(|(_, host)| host).with_context(|| format!("node {id} is not of the set"))
}

#[test]
fn node_that_is_alone_names_the_others_and_what_is_wrong_with_each() -> Result<()> {
    let Some(mut set) = ReplicaSet::prepare(Product::Ottla, Network::loopback()?, 3, &[])? else {
        return Ok(());
    };
    set.node_mut(1)?.start()?;
    let refused =
        |id| anyhow::Ok(format!("node {id}: {} refuses connections", peer_address(&host(&set, id)?)));
    let sentence = "waiting for nodes 2 and 3 of ottla.replica.set (";
    wait_for_line(&set, 1, &[sentence, &refused(2)?, &refused(3)?])
}

#[test]
fn node_that_is_not_where_the_set_looks_for_it_is_told_where_that_is() -> Result<()> {
    let Some(mut set) = ReplicaSet::start(Product::Ottla, &[])? else { return Ok(()) };
    set.node_mut(3)?.stop()?;
    let moved = set.join(&[])?;
    let (former, own) = (host(&set, 3)?, host(&set, moved)?);
    let peers = [(1, host(&set, 1)?), (2, host(&set, 2)?), (3, own)];
    let node = set.node_mut(moved)?;
    node.set_id(3);
    node.set_peers(&peers);
    let started = node.start();
    node.set_id(moved);
    started?;
    let looked_for = format!("it looks for node 3 at {}, and does not find it there", peer_address(&former));
    wait_for_line(&set, moved, &[&looked_for])
}

#[test]
fn node_that_does_not_reach_the_controller_names_its_address() -> Result<()> {
    let Some(mut set) = ReplicaSet::start(Product::Ottla, &[])? else { return Ok(()) };
    set.node_mut(3)?.stop()?;
    let mut controller = 3;
    wait_until(SAY_LIMIT, "another node leads than the one that was stopped", || {
        controller = set.who(&Role::Controller)?;
        Ok(controller != 3)
    })?;
    let mut hosts = set.hosts();
    let nobody = set.join(&[])?;
    let nowhere = host(&set, nobody)?;
    hosts.iter_mut().filter(|(id, _)| *id == controller).for_each(|(_, at)| at.clone_from(&nowhere));
    set.node_mut(3)?.set_peers(&hosts);
    set.node_mut(3)?.start()?;
    let refused = format!("but it is not reached: {}", peer_address(&nowhere));
    wait_for_line(&set, 3, &[&format!("waiting for node {controller}"), "to register this node", &refused])
}
