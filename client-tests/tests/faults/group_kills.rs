//! `kill -9` of a node in the middle of rebalances and of commits: no acknowledged commit is lost, and members carry
//! on by themselves.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow, ensure};
use client_tests::group::SETTINGS;
use client_tests::group::admin::{
    commit, commit_request, committed_offset, coordinator, create_served_topic,
};
use client_tests::group::client::{GroupClient, Protocol};
use client_tests::group::running::{PARTITIONS, RunningGroup};
use client_tests::node::Node;
use client_tests::target::skip_on_foreign_broker;
use client_tests::wait::{let_pass, wait_until};
use client_tests::wire::Connection;

use crate::load::Load;

const REBALANCE_KILLS: u64 = 6;
const COMMIT_KILLS: u64 = 20;
/// The longest that one of the first commits may take.
const LIMIT: Duration = Duration::from_secs(60);

/// The node is killed up to this long after a rebalance began: some kills hit members that join, some the leader's
/// assignment, some the first commits after it.
const REBALANCE: Duration = Duration::from_millis(700);

fn rebalances(client: GroupClient) -> Result<()> {
    if skip_on_foreign_broker("group_kills") {
        return Ok(());
    }
    let mut node = Node::start(&SETTINGS)?;
    let Some(mut group) = RunningGroup::new(node.bootstrap(), client)? else { return Ok(()) };
    let load = Load::start(node.bootstrap(), group.topic(), usize::try_from(PARTITIONS)?)?;
    group.start(2)?;
    load.wait_for_acknowledgements(60)?;
    rest(&mut group, &load)?;
    group.expect_protocol()?;
    for kill in 0..REBALANCE_KILLS {
        let context = || format!("kill {kill} of {REBALANCE_KILLS}");
        // One leaves or comes, which begins the rebalance.
        if kill % 2 == 0 { group.start(1).map(drop) } else { group.kill(0) }.with_context(context)?;
        let_pass(REBALANCE.mul_f64((kill as f64 * 0.618).fract()));
        node.kill()?;
        node.restart().with_context(context)?;
        coordinator(node.bootstrap(), group.name()).with_context(context)?;
        group.expect_commits().with_context(context)?;
        rest(&mut group, &load).with_context(context)?;
    }
    load.wait_for_acknowledgements(60)?;
    let ends = load.acknowledged_ends();
    group.drain(&ends)?;
    group.leave(group.size())?;
    group.expect_commits()?;
    load.finish(node.bootstrap())
}

/// Waits until the members share, and process what then comes.
fn rest(group: &mut RunningGroup, load: &Load) -> Result<()> {
    group.share("the members share")?;
    load.wait_for_acknowledgements(60)?;
    group.drain(&load.acknowledged_ends())
}

#[test]
fn node_killed_in_rebalances_of_librdkafka_loses_no_commit() -> Result<()> {
    rebalances(GroupClient::Confluent(Protocol::Range))
}

#[test]
fn node_killed_in_rebalances_of_franz_go_loses_no_commit() -> Result<()> {
    rebalances(GroupClient::FranzGo(Protocol::CooperativeSticky))
}

#[test]
fn node_killed_in_reconciliations_loses_no_commit() -> Result<()> {
    rebalances(GroupClient::FranzGo(Protocol::Consumer))
}

#[test]
fn node_killed_in_commits_keeps_each_that_it_acknowledged() -> Result<()> {
    if skip_on_foreign_broker("group_kills") {
        return Ok(());
    }
    let mut node = Node::start(&SETTINGS)?;
    let mut connection = coordinator(node.bootstrap(), "commits")?;
    create_served_topic(&mut connection, "committed", 1)?;
    let mut begin = 0;
    for kill in 0..COMMIT_KILLS {
        let acknowledged = Arc::new(AtomicI64::new(-1));
        let (entries, bootstrap) = (Arc::clone(&acknowledged), node.bootstrap().to_owned());
        let committer = std::thread::spawn(move || commit_until_refused(&bootstrap, begin, &entries));
        let goal = begin + i64::try_from(kill * 7 % 50)?;
        wait_until(LIMIT, "some commits are acknowledged", || {
            Ok(acknowledged.load(Ordering::SeqCst) >= goal)
        })?;
        node.kill()?;
        committer.join().map_err(|_| anyhow!("the committer panicked"))??;
        node.restart()?;
        let mut connection = coordinator(node.bootstrap(), "commits")?;
        let stored = committed_offset(&mut connection, "commits", "committed", 0)?;
        let acknowledged = acknowledged.load(Ordering::SeqCst);
        // The one that was under way may have been stored without an answer.
        ensure!(
            stored == acknowledged || stored == acknowledged + 1,
            "kill {kill}: {acknowledged} was acknowledged, {stored} is stored"
        );
        begin = stored + 1;
    }
    Ok(())
}

/// Commits one offset after the other until the connection breaks.
fn commit_until_refused(bootstrap: &str, begin: i64, acknowledged: &AtomicI64) -> Result<()> {
    let mut connection = Connection::open(bootstrap)?;
    for offset in begin.. {
        match commit(&mut connection, 9, &commit_request("commits", "committed", 0, offset)) {
            Ok(0) => acknowledged.store(offset, Ordering::SeqCst),
            Ok(code) => return Err(anyhow!("the commit of {offset} was answered with {code}")),
            Err(_broken) => break,
        }
    }
    Ok(())
}
