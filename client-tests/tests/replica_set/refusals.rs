//! Nodes that do not belong: another cluster's data, a number that is taken, a data directory that is in use or a copy.

use std::path::Path;
use std::process::ExitStatus;

use anyhow::{Context as _, Result, ensure};
use client_tests::replica_set::ReplicaSet;
use client_tests::replica_set::product::Product;
use client_tests::replica_set::roles;
use client_tests::tools::run;

/// A node waits for its number for as long as a session, in which it has more than one occasion to say so.
const PATIENT: &[&str] = &["broker.session.timeout.ms=6000"];

fn set() -> Result<Option<ReplicaSet>> {
    // A node that a busy machine lets pause goes on being there for the others, so that nobody else gets its number.
    ReplicaSet::start(Product::Ottla, &["broker.session.timeout.ms=3000"])
}

/// Checks that a node ended with one sentence that names all of `subjects`.
fn expect_sentence((status, log): &(ExitStatus, String), subjects: &[&str]) -> Result<()> {
    ensure!(!status.success(), "it ended as if nothing were wrong");
    let crashed = ["panicked", "stack backtrace", "Caused by:"].iter().any(|word| log.contains(word));
    let naming = log.lines().filter(|line| subjects.iter().all(|subject| line.contains(subject)));
    ensure!(!crashed && naming.count() >= 1, "a sentence about {subjects:?} was expected, it said:\n{log}");
    Ok(())
}

fn copy(from: &Path, to: &Path) -> Result<()> {
    run("cp", ["-a".as_ref(), from.as_os_str(), to.as_os_str()]).map(drop)
}

#[test]
fn data_of_another_cluster_is_refused_by_both_names() -> Result<()> {
    let (Some(mut ours), Some(mut theirs)) = (set()?, set()?) else { return Ok(()) };
    let our_id = roles::cluster(ours.node(1)?.address())?.id.context("no id")?;
    let their_id = roles::cluster(theirs.node(1)?.address())?.id.context("no id")?;
    theirs.node_mut(3)?.stop()?;
    ours.node_mut(3)?.stop()?;
    let foreign = theirs.node(3)?.data_dir().to_owned();
    let node = ours.node_mut(3)?;
    node.set_data_dir(&foreign);
    node.start()?;
    expect_sentence(&node.wait_for_refusal()?, &[&our_id, &their_id])
}

#[test]
fn number_that_is_taken_is_refused() -> Result<()> {
    let Some(mut set) = set()? else { return Ok(()) };
    let fourth = set.join(PATIENT)?;
    expect_refusal_as_second(&mut set, fourth)
}

#[test]
fn directory_in_use_is_refused() -> Result<()> {
    let Some(mut set) = set()? else { return Ok(()) };
    let fourth = set.join(&[])?;
    let used = set.node(2)?.data_dir().to_owned();
    let node = set.node_mut(fourth)?;
    node.set_data_dir(&used);
    node.start()?;
    expect_sentence(&node.wait_for_refusal()?, &[&used.display().to_string()])?;
    set.wait_until_whole()
}

#[test]
fn copied_directory_under_another_number_is_refused() -> Result<()> {
    let Some(mut set) = set()? else { return Ok(()) };
    let fourth = set.join(&[])?;
    set.node_mut(2)?.stop()?;
    copy(set.node(2)?.data_dir(), set.node(fourth)?.data_dir())?;
    set.node_mut(2)?.start()?;
    set.node_mut(2)?.wait_until_served()?;
    let node = set.node_mut(fourth)?;
    node.start()?;
    expect_sentence(&node.wait_for_refusal()?, &["2", "4"])?;
    set.wait_until_whole()
}

#[test]
fn copied_directory_under_its_own_number_is_refused_beside_the_original() -> Result<()> {
    let Some(mut set) = set()? else { return Ok(()) };
    let fourth = set.join(PATIENT)?;
    set.node_mut(2)?.stop()?;
    copy(set.node(2)?.data_dir(), set.node(fourth)?.data_dir())?;
    set.node_mut(2)?.start()?;
    set.node_mut(2)?.wait_until_served()?;
    expect_refusal_as_second(&mut set, fourth)
}

/// Starts the last node as if it were the second, at its own address: it is refused, and the set stays whole.
fn expect_refusal_as_second(set: &mut ReplicaSet, last: i32) -> Result<()> {
    let mut hosts = set.hosts();
    let own = hosts.pop().context("there are nodes")?.1;
    for host in hosts.iter_mut().filter(|(id, _)| *id == 2) {
        host.1.clone_from(&own);
    }
    let node = set.node_mut(last)?;
    node.set_peers(&hosts);
    node.set_id(2);
    node.start()?;
    let refusal = node.wait_for_refusal();
    node.set_id(last);
    let refusal = refusal?;
    // It waits for the session of a former run first, and says so.
    expect_sentence(&refusal, &["waiting for node.id 2 to be free"])?;
    expect_sentence(&refusal, &["node 2 (node.id) runs already"])?;
    set.wait_until_whole()
}
