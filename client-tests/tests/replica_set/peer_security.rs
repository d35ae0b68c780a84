//! Nodes on a network that others are on: they prove to each other who they are, and say so where they cannot.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Result, ensure};
use client_tests::client::Client;
use client_tests::driver::{Producing, Start};
use client_tests::node;
use client_tests::records::{KEPT, bulk};
use client_tests::replica_set::ReplicaSet;
use client_tests::replica_set::network::Network;
use client_tests::replica_set::product::Product;
use client_tests::wait::let_pass;

const RECORDS: i64 = 100;
/// How long a node that must stay out is watched.
const WATCHED: Duration = Duration::from_secs(3);

fn three() -> Result<Option<ReplicaSet>> {
    let Some(network) = Network::namespaces(3)? else { return Ok(None) };
    ReplicaSet::prepare(Product::Ottla, network, 3, &[])
}

/// Makes certificates of a new authority for all nodes, by the command that a user has.
fn certificates(set: &ReplicaSet, name: &str) -> Result<PathBuf> {
    let directory = set.home().join(name);
    let nodes: Vec<String> = set.hosts().into_iter().map(|(id, host)| format!("{id}@{host}")).collect();
    let output = node::command()?
        .args(["cluster", "certificates", "--nodes", &nodes.join(","), "--out"])
        .arg(&directory)
        .output()?;
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Ok(directory)
}

/// Lets a node use its certificate in the directory.
fn arm(set: &mut ReplicaSet, id: i32, certificates: &Path) -> Result<()> {
    let directory = certificates.join(format!("node-{id}"));
    for (key, file) in [("certificate", "certificate.pem"), ("key", "key.pem"), ("ca", "ca.pem")] {
        let path = directory.join(file);
        set.node_mut(id)?.set(&format!("ottla.peer.tls.{key}={}", path.display()));
    }
    Ok(())
}

#[test]
fn nodes_with_certificates_form_a_set_and_a_stranger_stays_out() -> Result<()> {
    let Some(mut set) = three()? else { return Ok(()) };
    let ours = certificates(&set, "ours")?;
    for id in set.ids() {
        arm(&mut set, id, &ours)?;
    }
    set.start_all()?;
    set.create_topic("private", 3, &KEPT)?;
    let Some(mut client) = Client::Java.start(&set.bootstrap())? else { return Ok(()) };
    client.produce(Producing::DEFAULT, "private", 0, &bulk(RECORDS, 100))?;

    set.node_mut(3)?.stop()?;
    let theirs = certificates(&set, "theirs")?;
    arm(&mut set, 3, &theirs)?;
    set.node_mut(3)?.start()?;
    let_pass(WATCHED);
    let cluster = set.cluster()?;
    let holds = cluster.partitions("private").into_iter().any(|(_, view)| view.isr.contains(&3));
    ensure!(!holds, "a node with a certificate of another authority is in sync");
    client.produce(Producing::DEFAULT, "private", 0, &bulk(RECORDS, 100))?;

    if set.node_mut(3)?.has_ended()? {
        set.node_mut(3)?.wait_for_refusal()?;
    } else {
        set.node_mut(3)?.kill()?;
    }
    arm(&mut set, 3, &ours)?;
    set.node_mut(3)?.start()?;
    set.node_mut(3)?.wait_until_served()?;
    set.wait_until_whole()?;
    let read = client.consume("private", 0, Start::Offset(0), 2 * RECORDS)?;
    ensure!(read.len() == usize::try_from(2 * RECORDS)?, "{} records were read", read.len());
    Ok(())
}

#[test]
fn plaintext_between_machines_is_refused_unless_allowed_in_so_many_words() -> Result<()> {
    let Some(mut set) = three()? else { return Ok(()) };
    let node = set.node_mut(1)?;
    node.set("ottla.peer.allow.plaintext=false");
    node.start()?;
    let (status, log) = node.wait_for_refusal()?;
    ensure!(!status.success() && log.contains("ottla.peer.allow.plaintext"), "it ended with {status}: {log}");
    Ok(())
}
