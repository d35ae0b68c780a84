//! The disk of a node that is alone gets full: records are refused, everything else goes on, and so do they once there is
//! space.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use client_tests::http;
use client_tests::node::Node;
use client_tests::records::KEPT;
use client_tests::small_disk::SmallDisk;
use client_tests::target::skip_on_foreign_broker;
use client_tests::wait::wait_until;
use client_tests::wire::{self, Connection, batch, fetch, produce, produce_request, topic_name};
use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::delete_records_request::{DeleteRecordsPartition, DeleteRecordsTopic};
use kafka_protocol::messages::{DeleteRecordsRequest, DeleteTopicsRequest};

use crate::load::Load;

/// Twice `ottla.free.space.floor.bytes`.
const SIZE: u64 = 512 << 20;
/// What is left below the floor.
const LEFT: u64 = 64 << 20;
const LIMIT: Duration = Duration::from_secs(60);
const PRODUCE: i16 = 9;
const RECORDS: i64 = 20;

fn produce_one(connection: &mut Connection, topic: &str) -> Result<i16> {
    let request = produce_request(topic, 0, -1, batch::plain(1, 1000)?);
    Ok(produce(connection, PRODUCE, &request)?.error_code)
}

fn delete_records(connection: &mut Connection, topic: &str, before: i64) -> Result<i16> {
    let partition = DeleteRecordsPartition::default().with_offset(before);
    let topic = DeleteRecordsTopic::default().with_name(topic_name(topic)).with_partitions(vec![partition]);
    let request = DeleteRecordsRequest::default().with_topics(vec![topic]).with_timeout_ms(30_000);
    let response = connection.call(2, &request)?;
    let partition = response.topics.first().and_then(|topic| topic.partitions.first());
    Ok(partition.context("the answer names no partition")?.error_code)
}

fn delete_topic(connection: &mut Connection, topic: &str) -> Result<i16> {
    let request = DeleteTopicsRequest::default().with_topic_names(vec![topic_name(topic)]);
    let response = connection.call(5, &request.with_timeout_ms(30_000))?;
    Ok(response.responses.first().context("the answer names no topic")?.error_code)
}

fn is_said_to_be_full(node: &Node) -> Result<bool> {
    Ok(http::get(node.http(), "/metrics")?.lines().any(|line| line == "ottla_disk_full 1"))
}

#[test]
fn full_disk_refuses_records_and_nothing_else_until_there_is_space() -> Result<()> {
    if skip_on_foreign_broker("full_disk") {
        return Ok(());
    }
    let Some(disk) = SmallDisk::create(SIZE)? else { return Ok(()) };
    let mut node = Node::start_in(&disk.path().join("data"), &[])?;
    let mut connection = Connection::open(node.bootstrap())?;
    for topic in ["read", "deleted", "loaded"] {
        ensure!(wire::create_topic(&mut connection, topic, 1, &KEPT)? == 0, "{topic} is not created");
    }
    for _ in 0..RECORDS {
        ensure!(produce_one(&mut connection, "read")? == 0, "a record is refused for no reason");
    }
    // A real client beside it, which must come through the fault by itself.
    let load = Load::start(node.bootstrap(), "loaded", 1)?;
    load.wait_for_acknowledgements(100)?;

    disk.fill(LEFT)?;
    let refused = ResponseError::KafkaStorageError.code();
    let mut taken = RECORDS;
    wait_until(LIMIT, "records are refused", || {
        let code = produce_one(&mut connection, "read")?;
        taken += i64::from(code == 0);
        ensure!(code == 0 || code == refused, "Produce answered {code}");
        Ok(code == refused)
    })?;
    wait_until(LIMIT, "a metric says so", || is_said_to_be_full(&node))?;
    let said = node.stderr();
    ensure!(said.lines().filter(|line| line.contains("the disk is nearly full")).count() == 1, "{said}");

    for left in ["a little", "nothing"] {
        let first = fetch::fetch(&mut connection, "read", 0, 10)?;
        ensure!(first.error_code == 0 && !first.records.is_empty(), "with {left} left, records are not read");
        ensure!(wire::end_offset(&mut connection, "read", 0)? == taken, "what was refused is there");
        ensure!(wire::cluster_id(&mut connection)?.is_some(), "with {left} left, there is no metadata");
        ensure!(produce_one(&mut connection, "read")? == refused, "with {left} left, a record is taken");
        if left == "a little" {
            ensure!(wire::create_topic(&mut connection, "made", 1, &KEPT)? == 0, "no topic can be made");
            ensure!(produce_one(&mut connection, "made")? == refused, "a new topic takes records");
            ensure!(delete_topic(&mut connection, "deleted")? == 0, "no topic can be deleted");
            ensure!(delete_records(&mut connection, "read", 5)? == 0, "no records can be deleted");
            disk.fill(0)?;
        }
    }

    disk.free()?;
    wait_until(LIMIT, "records are taken again", || {
        let code = produce_one(&mut connection, "read")?;
        taken += i64::from(code == 0);
        Ok(code == 0)
    })?;
    ensure!(wire::end_offset(&mut connection, "read", 0)? == taken, "what was refused is there");
    load.wait_for_acknowledgements(100)?;
    node.kill()?;
    node.restart()?;
    let mut connection = Connection::open(node.bootstrap())?;
    ensure!(wire::end_offset(&mut connection, "read", 0)? == taken, "a record is gone");
    load.finish(node.bootstrap())
}
