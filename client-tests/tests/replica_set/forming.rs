//! How a set comes to be and stays itself: in whatever order its nodes start, and whichever of them has data.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use client_tests::client::Client;
use client_tests::clock::Moment;
use client_tests::driver::{Producing, Start};
use client_tests::records::{KEPT, bulk};
use client_tests::replica_set::ReplicaSet;
use client_tests::replica_set::network::Network;
use client_tests::replica_set::product::Product;
use client_tests::replica_set::roles;
use client_tests::wait::{let_pass, wait_until};

const TOPIC: &str = "kept";
const RECORDS: i64 = 200;
/// How long a set that is not complete is watched for doing what it must not.
const WATCHED: Duration = Duration::from_secs(2);
/// The longest that replicas may take to be as many as there are nodes.
const GROW_LIMIT: Duration = Duration::from_secs(60);

/// Three nodes of ours that do not run.
fn three() -> Result<Option<ReplicaSet>> {
    ReplicaSet::prepare(Product::Ottla, Network::loopback()?, 3, &[])
}

/// Starts these nodes, and waits until all of them serve.
fn start(set: &mut ReplicaSet, ids: &[i32]) -> Result<()> {
    ids.iter().try_for_each(|&id| set.node_mut(id)?.start())?;
    ids.iter().try_for_each(|&id| set.node_mut(id)?.wait_until_served())
}

/// Checks that all nodes tell of one and the same cluster of `size` brokers, and returns its id.
fn expect_one_cluster(set: &ReplicaSet, size: usize) -> Result<String> {
    let mut ids = Vec::new();
    for node in set.nodes() {
        wait_until(GROW_LIMIT, "every node knows all brokers", || {
            Ok(roles::cluster(node.address()).is_ok_and(|cluster| cluster.brokers.len() == size))
        })?;
        ids.push(roles::cluster(node.address())?.id.context("the cluster has no id")?);
    }
    ids.dedup();
    ensure!(ids.len() == 1, "the nodes are of several clusters: {ids:?}");
    ids.pop().context("there is no node")
}

/// Makes the topic and produces the records; `None` where the client is missing and that is no failure.
fn write(set: &ReplicaSet) -> Result<Option<()>> {
    set.create_topic(TOPIC, 1, &KEPT)?;
    let Some(mut client) = Client::Java.start(&set.bootstrap())? else { return Ok(None) };
    client.produce(Producing::DEFAULT, TOPIC, 0, &bulk(RECORDS, 100))?;
    Ok(Some(()))
}

/// Checks that the records are there, on every replica, whoever leads.
fn expect_records(set: &mut ReplicaSet) -> Result<()> {
    set.wait_until_whole()?;
    let Some(mut client) = Client::Java.start(&set.bootstrap())? else { return Ok(()) };
    let read = client.consume(TOPIC, 0, Start::Offset(0), RECORDS)?;
    ensure!(read.len() == usize::try_from(RECORDS)?, "{} records are left", read.len());
    Ok(())
}

#[test]
fn three_that_start_at_once_form_one_set() -> Result<()> {
    let Some(mut set) = three()? else { return Ok(()) };
    let begin = Moment::now();
    set.start_all()?;
    expect_one_cluster(&set, 3)?;
    eprintln!("three empty nodes are a set after {:.1?}", begin.elapsed());
    write(&set)?;
    expect_records(&mut set)
}

#[test]
fn three_that_start_one_after_the_other_form_one_set() -> Result<()> {
    for order in [[3, 2, 1], [1, 2, 3]] {
        let Some(mut set) = three()? else { return Ok(()) };
        for id in order {
            set.node_mut(id)?.start()?;
            let_pass(WATCHED);
        }
        start(&mut set, &[])
            .and_then(|()| order.iter().try_for_each(|&id| set.node_mut(id)?.wait_until_served()))?;
        expect_one_cluster(&set, 3)?;
    }
    Ok(())
}

#[test]
fn node_that_is_alone_forms_no_set_of_three() -> Result<()> {
    let Some(mut set) = three()? else { return Ok(()) };
    set.node_mut(1)?.start()?;
    let_pass(WATCHED);
    let alone = roles::cluster(set.node(1)?.address());
    ensure!(
        alone.is_err() || alone.is_ok_and(|cluster| cluster.id.is_none()),
        "node 1 formed a cluster alone"
    );
    start(&mut set, &[2, 3])?;
    expect_one_cluster(&set, 3).map(drop)
}

#[test]
fn set_is_itself_again_in_whichever_order_it_starts() -> Result<()> {
    let Some(mut set) = three()? else { return Ok(()) };
    set.start_all()?;
    let id = expect_one_cluster(&set, 3)?;
    write(&set)?;
    for order in [[3, 2, 1], [2, 1, 3]] {
        set.stop_all()?;
        for node in order {
            set.node_mut(node)?.start()?;
            let_pass(Duration::from_millis(300));
        }
        order.iter().try_for_each(|&node| set.node_mut(node)?.wait_until_served())?;
        ensure!(expect_one_cluster(&set, 3)? == id, "it is another cluster now");
        expect_records(&mut set)?;
    }
    Ok(())
}

#[test]
fn node_with_the_data_that_starts_last_brings_it_in() -> Result<()> {
    let Some(mut set) = three()? else { return Ok(()) };
    // Node 2 is alone at first, and has data; the node with the lowest number is not the one that has it.
    let alone = set.hosts().into_iter().filter(|(id, _)| *id == 2).collect::<Vec<_>>();
    set.node_mut(2)?.set_peers(&alone);
    start(&mut set, &[2])?;
    let id = roles::cluster(set.node(2)?.address())?.id;
    write(&set)?;
    set.node_mut(2)?.stop()?;
    let all = set.hosts();
    set.node_mut(2)?.set_peers(&all);
    set.node_mut(1)?.start()?;
    set.node_mut(3)?.start()?;
    let_pass(WATCHED);
    set.node_mut(2)?.start()?;
    [1, 2, 3].iter().try_for_each(|&node| set.node_mut(node)?.wait_until_served())?;
    ensure!(Some(expect_one_cluster(&set, 3)?) == id, "the data's cluster is another");
    expect_grown(&set, 3)?;
    expect_records(&mut set)
}

/// Waits until the topic has this many replicas.
fn expect_grown(set: &ReplicaSet, replicas: usize) -> Result<()> {
    wait_until(GROW_LIMIT, "the topic has grown", || {
        let cluster = set.cluster()?;
        let partitions = cluster.partitions(TOPIC);
        Ok(!partitions.is_empty() && partitions.iter().all(|(_, view)| view.replicas.len() == replicas))
    })
}

#[test]
fn single_node_grows_into_three() -> Result<()> {
    let Some(mut set) = three()? else { return Ok(()) };
    let alone = set.hosts().into_iter().take(1).collect::<Vec<_>>();
    set.node_mut(1)?.set_peers(&alone);
    start(&mut set, &[1])?;
    let id = roles::cluster(set.node(1)?.address())?.id;
    write(&set)?;
    set.node_mut(1)?.stop()?;
    let all = set.hosts();
    set.node_mut(1)?.set_peers(&all);
    start(&mut set, &[1, 2, 3])?;
    ensure!(Some(expect_one_cluster(&set, 3)?) == id, "it is another cluster now");
    expect_grown(&set, 3)?;
    expect_records(&mut set)?;
    // The first one is needed no more.
    set.node_mut(1)?.kill()?;
    let Some(mut client) = Client::Java.start(&set.bootstrap())? else { return Ok(()) };
    client.produce(Producing::DEFAULT, TOPIC, 0, &bulk(1, 100)).map(drop)
}

#[test]
fn wiped_node_comes_back_with_everything() -> Result<()> {
    let Some(mut set) = three()? else { return Ok(()) };
    set.start_all()?;
    let id = expect_one_cluster(&set, 3)?;
    write(&set)?;
    for victim in [1, 2, 3] {
        set.node_mut(victim)?.kill()?;
        set.node_mut(victim)?.wipe()?;
        start(&mut set, &[victim])?;
        ensure!(expect_one_cluster(&set, 3)? == id, "it is another cluster now");
        expect_records(&mut set)?;
    }
    Ok(())
}

#[test]
fn fourth_and_fifth_node_join_as_brokers() -> Result<()> {
    let Some(mut set) = three()? else { return Ok(()) };
    set.start_all()?;
    write(&set)?;
    for size in [4, 5] {
        let id = set.join(&[])?;
        start(&mut set, &[id])?;
        expect_one_cluster(&set, size)?;
    }
    set.create_topic("wide", 10, &[])?;
    let cluster = set.cluster()?;
    let holds = |id| cluster.partitions("wide").iter().any(|(_, view)| view.replicas.contains(&id));
    ensure!(holds(4) && holds(5), "the new nodes hold nothing of a new topic");
    expect_records(&mut set)
}
