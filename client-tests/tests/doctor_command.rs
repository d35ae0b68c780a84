//! `ottla doctor` says in sentences what is in the way of a node and its clients.

use anyhow::{Context as _, Result, ensure};
use client_tests::node::{self, Node};
use client_tests::replica_set::network::own_host;
use serde_json::Value;

/// The exit code that scripts are promised where there are problems.
const UNWELL: i32 = 3;

/// The sentences about problems that `ottla doctor` finds with a node.
fn problems(node: &Node, more: &[String]) -> Result<Vec<String>> {
    let mut command = node::command()?;
    command.args(["doctor", "--output", "json", "--bootstrap", node.bootstrap(), "--http", node.http()]);
    command.args(["--set", &format!("log.dirs={}", node.data_dir().display())]);
    for setting in more {
        command.args(["--set", setting]);
    }
    let output = command.output()?;
    let told: Value = serde_json::from_slice(&output.stdout).with_context(|| format!("{output:?}"))?;
    let findings = told["findings"].as_array().context("findings are listed")?;
    let problems = findings.iter().filter(|finding| finding["severity"] == "problem");
    let problems: Vec<String> =
        problems.filter_map(|finding| finding["sentence"].as_str().map(str::to_owned)).collect();
    ensure!(output.status.code() == Some(if problems.is_empty() { 0 } else { UNWELL }), "{output:?}");
    Ok(problems)
}

/// Whether a sentence is about the machine that the test runs on, which may be as it likes.
fn is_about_machine(sentence: &str) -> bool {
    ["may open", "vm.max_map_count", "disk of", "in memory", "network file system", "address space"]
        .iter()
        .any(|words| sentence.contains(words))
}

#[test]
fn a_node_that_is_well_has_no_problems_but_its_machine_s() -> Result<()> {
    let node = Node::start(&[])?;
    let found = problems(&node, &["max.connections=100".to_owned()])?;
    ensure!(found.iter().all(|sentence| is_about_machine(sentence)), "{found:#?}");
    Ok(())
}

#[test]
fn what_was_looked_at_is_a_line_each_also_where_it_is_well() -> Result<()> {
    let node = Node::start(&[])?;
    let mut command = node::command()?;
    command.args(["doctor", "--bootstrap", node.bootstrap(), "--http", node.http()]);
    command.args(["--set", &format!("log.dirs={}", node.data_dir().display())]);
    let output = command.output()?;
    let said = String::from_utf8(output.stdout)?;
    for words in [
        &format!("ok       A broker answers at {}.\n", node.bootstrap()),
        &format!(
            "ok       Clients are told to connect to node 1 at {}, and it answers there.\n",
            node.bootstrap()
        ),
        "ok       Every partition has a leader (0 topics, 0 partitions).\n",
        &format!("ok       Node 1 serves, by its own account (http://{}/health).\n", node.http()),
        "note     No certificate is looked at, ",
    ] {
        ensure!(said.contains(words), "{words:?} is not in {said}");
    }
    // These may be well or not on the machine that the test runs on.
    for words in
        ["The clock", "The disk of ", "network file system", "may open", "address space", "max_map_count"]
    {
        ensure!(
            said.contains(words) || words == "network file system" && said.contains("in memory"),
            "{words:?} is not in {said}"
        );
    }
    let checks = said.lines().filter(|line| line.starts_with("ok ") || line.starts_with("PROBLEM ")).count();
    let last = said.lines().last().context("there is a last line")?;
    ensure!(last.starts_with(&format!("{checks} checks, ")), "{said}");
    Ok(())
}

#[test]
fn an_advertised_address_that_leads_nowhere_is_named() -> Result<()> {
    // Nobody listens on it, also while other tests start and end nodes.
    let nowhere = format!("{}:9", own_host());
    let node = Node::start(&[&format!("advertised.listeners=PLAINTEXT://{nowhere}")])?;
    let found = problems(&node, &[])?;
    let wanted = format!("Clients are told to connect to node 1 at {nowhere}, and that fails");
    ensure!(
        found.iter().any(|it| it.starts_with(&wanted) && it.contains("advertised.listeners")),
        "{found:#?}"
    );
    client_tests::wait::wait_until(std::time::Duration::from_secs(60), "the node says so itself", || {
        Ok(node.stderr().contains(&format!("clients are told to connect to {nowhere}, which this machine")))
    })
}

#[test]
fn a_disk_below_the_floor_is_a_problem() -> Result<()> {
    let node = Node::start(&[])?;
    let floor = format!("ottla.free.space.floor.bytes={}", i64::MAX);
    let found = problems(&node, &[floor])?;
    ensure!(found.iter().any(|it| it.contains("so records are refused")), "{found:#?}");
    Ok(())
}

#[test]
fn a_node_that_does_not_run_is_a_problem() -> Result<()> {
    let output = node::command()?.args(["doctor", "--bootstrap", "127.0.0.1:1"]).output()?;
    let said = String::from_utf8(output.stdout)?;
    ensure!(output.status.code() == Some(UNWELL), "{said}");
    ensure!(output.stderr.is_empty(), "what is on standard output is not said twice: {:?}", output.stderr);
    ensure!(said.contains("PROBLEM  No broker can be asked: no broker answers at 127.0.0.1:1"), "{said}");
    Ok(())
}
