//! SIGTERM: what was taken in is answered, what was answered is there, and the next start knows that all was well.

use anyhow::{Context as _, Result, ensure};
use client_tests::node::Node;
use client_tests::target::skip_on_foreign_broker;
use client_tests::wire::fetch::Writer;
use client_tests::wire::{self, Connection, batch, produce_request};
use kafka_protocol::messages::ProduceRequest;
use rustix::process::{Pid, Signal, kill_process};

const CLEAN_SHUTDOWN: &str = ".kafka_cleanshutdown";
const VERSION: i16 = 9;

#[test]
fn every_batch_that_is_in_the_log_after_sigterm_was_answered() -> Result<()> {
    if skip_on_foreign_broker("sigterm") {
        return Ok(());
    }
    let mut node = Node::start(&[])?;
    let mut connection = Connection::open(node.bootstrap())?;
    ensure!(wire::create_topic(&mut connection, "in-flight", 1, &[])? == 0, "the topic was not created");
    let request = produce_request("in-flight", 0, -1, batch::plain(1, 1000)?);
    for _ in 0..2000 {
        connection.send(VERSION, &request)?;
    }
    connection.receive::<ProduceRequest>(VERSION)?;
    node.ask_to_stop()?;
    let mut answered = 1;
    while let Ok(response) = connection.receive::<ProduceRequest>(VERSION) {
        let partitions = response.responses.iter().flat_map(|topic| &topic.partition_responses);
        answered += partitions.filter(|partition| partition.error_code == 0).count();
    }
    node.wait_for_stop()?;
    node.restart()?;
    let end = wire::end_offset(&mut Connection::open(node.bootstrap())?, "in-flight", 0)?;
    ensure!(end == i64::try_from(answered)?, "{answered} batches were acknowledged, the log ends at {end}");
    Ok(())
}

#[test]
fn clean_stop_leaves_a_marker_that_a_crash_does_not() -> Result<()> {
    if skip_on_foreign_broker("sigterm") {
        return Ok(());
    }
    let mut node = Node::start(&[])?;
    let marker = node.data_dir().join(CLEAN_SHUTDOWN);
    let mut connection = Connection::open(node.bootstrap())?;
    let settings = [("retention.ms", "-1")];
    ensure!(wire::create_topic(&mut connection, "stopped", 1, &settings)? == 0, "the topic was not created");
    let mut writer = Writer::new(&mut connection, "stopped")?;
    writer.write(&mut connection, 20, 1000)?;
    node.stop()?;
    ensure!(marker.exists(), "a clean stop left no {CLEAN_SHUTDOWN}");
    node.restart()?;
    let mut connection = Connection::open(node.bootstrap())?;
    writer.expect_all_from(&mut connection, 0)?;
    writer.write(&mut connection, 1, 1000)?;
    node.kill()?;
    ensure!(!marker.exists(), "a crash left {CLEAN_SHUTDOWN}");
    node.restart()?;
    writer.expect_all_from(&mut Connection::open(node.bootstrap())?, 0)
}

#[test]
fn the_end_of_its_terminal_is_a_clean_stop_too() -> Result<()> {
    if skip_on_foreign_broker("sigterm") {
        return Ok(());
    }
    let mut node = Node::start(&[])?;
    let pid = Pid::from_raw(node.pid()?.try_into()?).context("a process id is positive")?;
    kill_process(pid, Signal::HUP)?;
    match ignores_hangup()? {
        true => node.stop()?,
        false => node.wait_for_stop()?,
    }
    ensure!(node.data_dir().join(CLEAN_SHUTDOWN).exists(), "SIGHUP left no {CLEAN_SHUTDOWN}");
    Ok(())
}

/// Whether this process, and so the nodes that it starts, outlives its terminal: `nohup cargo test`.
fn ignores_hangup() -> Result<bool> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:")).context("no mask of signals")?;
    Ok(u64::from_str_radix(mask.trim(), 16)? & 1 != 0)
}
