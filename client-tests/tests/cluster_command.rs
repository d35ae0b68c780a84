//! `ottla cluster` shows how a set stands, evens it out, and takes a node out of use.

use std::process::Output;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use client_tests::node;
use client_tests::replica_set::ReplicaSet;
use client_tests::replica_set::product::Product;
use client_tests::wait::wait_until;
use serde_json::Value;

/// The exit codes that scripts are promised.
const WELL: i32 = 0;
const FAILED: i32 = 1;
const DEGRADED: i32 = 3;

const PARTITIONS: i32 = 6;
const LIMIT: Duration = Duration::from_secs(60);
/// No pause of a busy machine takes a node out of use while it is asked about; one that is killed is missed at once.
const UNHURRIED: &str = "broker.session.timeout.ms=3000";

fn run(bootstrap: &str, arguments: &str) -> Result<Output> {
    let mut command = node::command()?;
    command.arg("cluster").args(arguments.split(' ')).args(["--bootstrap", bootstrap]);
    Ok(command.output()?)
}

/// What a command that must end with this code prints for people.
fn text(bootstrap: &str, arguments: &str, exit_code: i32) -> Result<String> {
    let output = run(bootstrap, arguments)?;
    ensure!(output.status.code() == Some(exit_code), "cluster {arguments}: {output:?}");
    Ok(String::from_utf8(output.stdout)?)
}

fn status(bootstrap: &str, exit_code: i32) -> Result<Value> {
    Ok(serde_json::from_str(&text(bootstrap, "status --output json", exit_code)?)?)
}

/// The partitions of the cluster of which this list has the node.
fn partitions_of(status: &Value, list: &str, node: i32) -> Result<usize> {
    let partitions = status["partitions"].as_array().context("the status lists partitions")?;
    let has = |partition: &&Value| match &partition[list] {
        Value::Array(nodes) => nodes.contains(&node.into()),
        one => one.as_i64() == Some(i64::from(node)),
    };
    Ok(partitions.iter().filter(has).count())
}

fn states(status: &Value) -> Result<Vec<&str>> {
    let nodes = status["nodes"].as_array().context("the status lists nodes")?;
    nodes.iter().map(|node| node["state"].as_str().context("a node has a state")).collect()
}

#[test]
fn a_set_that_loses_a_node_is_degraded_until_it_returns() -> Result<()> {
    let Some(mut set) = ReplicaSet::start(Product::Ottla, &[UNHURRIED])? else { return Ok(()) };
    set.create_topic("orders", PARTITIONS, &[])?;
    let bootstrap = set.bootstrap();
    let well = status(&bootstrap, WELL)?;
    ensure!(well["state"] == "in order", "{well}");
    ensure!(states(&well)? == ["active"; 3], "{well}");
    ensure!(partitions_of(&well, "in_sync", 3)? >= PARTITIONS as usize, "{well}");
    set.node_mut(3)?.kill()?;
    wait_until(LIMIT, "node 3 is fenced and out of sync", || {
        let output = run(&bootstrap, "status --output json")?;
        let told: Value = serde_json::from_slice(&output.stdout)?;
        let is_out =
            states(&told)? == ["active", "active", "fenced"] && partitions_of(&told, "in_sync", 3)? == 0;
        Ok(is_out && output.status.code() == Some(DEGRADED))
    })?;
    let said = String::from_utf8(run(&bootstrap, "status")?.stderr)?;
    ensure!(said.contains("1 node cannot be used") && said.lines().count() == 1, "{said}");
    set.node_mut(3)?.start()?;
    set.node_mut(3)?.wait_until_served()?;
    set.wait_until_whole()?;
    text(&bootstrap, "balance --execute", WELL)?;
    let balanced = text(&bootstrap, "balance", WELL)?;
    ensure!(balanced == "There is nothing to even out.\n", "{balanced}");
    set.stop_all()
}

#[test]
fn commands_that_a_set_without_a_majority_does_not_answer_name_the_broker_and_the_request() -> Result<()> {
    let Some(mut set) = ReplicaSet::start(Product::Ottla, &[UNHURRIED])? else { return Ok(()) };
    set.create_topic("orders", PARTITIONS, &[])?;
    for id in [2, 3] {
        set.node_mut(id)?.kill()?;
    }
    let left = set.node(1)?.address().to_owned();
    // Nobody is left to notice that the last one is gone.
    let seen = status(&left, DEGRADED)?;
    let seen = states(&seen)?;
    let usable = seen.iter().filter(|state| **state == "active").count();
    ensure!(seen.len() == 3 && usable == 1 && seen.contains(&"silent"), "{seen:?}");
    let mut produce = node::command()?;
    // So long that a slow machine comes to the request that is not answered; less than the 30 s after which that one is.
    produce.args(["produce", "orders", "--timeout", "20", "--bootstrap", &left]);
    let output = produce.output()?;
    let said = String::from_utf8(output.stderr)?;
    let wanted = format!("the broker at {left} has not answered InitProducerId for ");
    ensure!(output.status.code() == Some(FAILED) && said.contains(&wanted), "{said}");
    ensure!(said.contains("`ottla cluster status"), "{said}");
    set.node_mut(1)?.kill()
}

#[test]
fn a_node_that_joins_gets_its_share_and_one_that_leaves_gives_it_back() -> Result<()> {
    let Some(mut set) = ReplicaSet::start(Product::Ottla, &[UNHURRIED])? else { return Ok(()) };
    set.create_topic("orders", PARTITIONS, &[])?;
    let bootstrap = set.bootstrap();
    let plan = text(&bootstrap, "drain 2", WELL)?;
    ensure!(plan.contains("--execute does it"), "{plan}");
    ensure!(partitions_of(&status(&bootstrap, WELL)?, "leader", 2)? > 0, "a plan changes nothing");
    let done = text(&bootstrap, "drain 2 --execute", WELL)?;
    ensure!(done.contains("Node 2 keeps its replica of"), "{done}");
    wait_until(LIMIT, "node 2 leads nothing", || {
        Ok(partitions_of(&status(&bootstrap, WELL)?, "leader", 2)? == 0)
    })?;
    let joined = set.join(&[])?;
    set.node_mut(joined)?.start()?;
    set.node_mut(joined)?.wait_until_served()?;
    wait_until(LIMIT, "the fourth node is used", || {
        let output = run(&bootstrap, "status --output json")?;
        Ok(states(&serde_json::from_slice(&output.stdout)?)? == ["active"; 4])
    })?;
    text(&bootstrap, "balance --replicas --execute", WELL)?;
    let even = status(&bootstrap, WELL)?;
    ensure!(partitions_of(&even, "in_sync", joined)? > 0, "{even}");
    text(&bootstrap, "drain 4 --execute", WELL)?;
    let drained = status(&bootstrap, WELL)?;
    ensure!(partitions_of(&drained, "replicas", joined)? == 0, "{drained}");
    text(&bootstrap, "drain 9", FAILED)?;
    set.stop_all()
}
