//! One process uses a data directory at a time.

use anyhow::{Result, ensure};
use client_tests::node::Node;
use client_tests::target::skip_on_foreign_broker;
use client_tests::wire::{self, Connection};

#[test]
fn second_process_on_the_same_directory_refuses_in_one_sentence() -> Result<()> {
    if skip_on_foreign_broker("second_process") {
        return Ok(());
    }
    let mut node = Node::start(&[])?;
    let refusal = node.run_second_process()?;
    ensure!(!refusal.status.success(), "the second process ended as if all were well");
    refusal.expect_one_sentence(&node.data_dir().display().to_string())?;
    ensure!(node.is_running()?, "the first process ended");
    let mut connection = Connection::open(node.bootstrap())?;
    ensure!(
        wire::create_topic(&mut connection, "still-served", 1, &[])? == 0,
        "the first process does not serve"
    );
    Ok(())
}

#[test]
fn directory_of_a_killed_process_is_free_again() -> Result<()> {
    if skip_on_foreign_broker("second_process") {
        return Ok(());
    }
    let mut node = Node::start(&[])?;
    node.kill()?;
    node.restart()
}
