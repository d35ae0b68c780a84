//! `kafka-configs` for what a node logs: it holds at once, and until the node stops (KIP-412).

use super::{CONFIGS, Tools};
use anyhow::{Result, ensure};
use client_tests::driver::Driver;
use client_tests::node::Node;
use client_tests::target::skip_on_foreign_broker;

const ENTITY: [&str; 4] = ["--entity-type", "broker-loggers", "--entity-name", "1"];

/// The module that says that a node stops, at DEBUG.
const LOGGER: &str = "ottla.cli";

/// The level of [`LOGGER`], as it is described.
fn level(tools: &mut Tools<'_>) -> Result<String> {
    let described = tools.run(CONFIGS, &[&ENTITY[..], &["--describe"]].concat())?;
    let line = described.lines().map(str::trim).find(|line| line.starts_with(&format!("{LOGGER}=")));
    Ok(line.unwrap_or_default().to_owned())
}

#[test]
fn a_node_logs_at_the_levels_that_clients_set_until_it_stops() -> Result<()> {
    if skip_on_foreign_broker("a_node_logs_at_the_levels_that_clients_set_until_it_stops") {
        return Ok(());
    }
    let Some(driver) = Driver::kafka_tools()? else { return Ok(()) };
    let mut node = Node::start(&[])?;
    let bootstrap = node.bootstrap().to_owned();
    let mut tools = Tools { driver, bootstrap: &bootstrap };
    let alter = |change: [&'static str; 2]| [&ENTITY[..], &["--alter"], &change].concat();
    let described = |level: &str| format!("{LOGGER}={level} sensitive=false synonyms={{}}");
    ensure!(level(&mut tools)? == described("INFO"), "{}", level(&mut tools)?);
    for (change, expected) in [
        (["--add-config", "root=WARN"], "WARN"),
        (["--add-config", "ottla.cli=TRACE,storage.log=FATAL"], "TRACE"),
        (["--delete-config", "ottla.cli,storage.log"], "WARN"),
        (["--add-config", "ottla=DEBUG"], "DEBUG"),
    ] {
        tools.run(CONFIGS, &alter(change))?;
        ensure!(level(&mut tools)? == described(expected), "{change:?}: {}", level(&mut tools)?);
    }
    let refused = tools.run_to_failure(CONFIGS, &alter(["--add-config", "ottla.cli=LOUD"]))?;
    let sentence = "Cannot set the log level of ottla.cli to LOUD as it is not a supported log level. Valid log levels are \
                    DEBUG, ERROR, FATAL, INFO, TRACE, WARN";
    ensure!(refused.contains(sentence), "{refused}");

    node.stop()?;
    let said = node.stderr();
    ensure!(said.lines().any(|line| line.ends_with("DEBUG stopping")), "{said}");
    node.restart()?;
    ensure!(level(&mut tools)? == described("INFO"), "{}", level(&mut tools)?);
    Ok(())
}
