//! Clients that ask and never read what they are answered.

use std::io::Write as _;
use std::net::TcpStream;

use anyhow::{Result, ensure};
use bytes::Bytes;
use client_tests::records::KEPT;
use client_tests::wire::{self, Connection, batch};
use kafka_protocol::messages::describe_configs_request::DescribeConfigsResource;
use kafka_protocol::messages::fetch_request::{FetchPartition, FetchTopic};
use kafka_protocol::messages::{BrokerId, DescribeConfigsRequest, FetchRequest, MetadataRequest};
use kafka_protocol::protocol::StrBytes;

use crate::{GROWTH_MAX, HOSTILE, Siege};

const TOPIC: &str = "much";
/// Enough that no buffer of the system takes an answer whole.
const BATCHES: usize = 16;
const BATCH_BYTES: usize = 900_000;
/// Requests of one client; more are not read anyway while it takes no answer.
const REQUESTS: i32 = 8;
const BROKER: i8 = 4;

fn write_much(bootstrap: &str) -> Result<()> {
    let mut connection = Connection::open(bootstrap)?;
    ensure!(wire::create_topic(&mut connection, TOPIC, 1, &KEPT)? == 0, "the topic is not created");
    for _ in 0..BATCHES {
        let request = wire::produce_request(TOPIC, 0, -1, batch::plain(1, BATCH_BYTES)?);
        let answer = wire::produce(&mut connection, 9, &request)?;
        ensure!(answer.error_code == 0, "Produce answered {answer:?}");
    }
    Ok(())
}

fn fetch_all(correlation_id: i32) -> Result<Bytes> {
    let partition = FetchPartition::default()
        .with_current_leader_epoch(-1)
        .with_log_start_offset(-1)
        .with_partition_max_bytes(i32::MAX);
    let topic = FetchTopic::default().with_topic(wire::topic_name(TOPIC)).with_partitions(vec![partition]);
    let request = FetchRequest::default()
        .with_replica_id(BrokerId(-1))
        .with_max_bytes(i32::MAX)
        .with_session_epoch(-1)
        .with_topics(vec![topic]);
    wire::frame(correlation_id, 12, &request)
}

fn describe_node(correlation_id: i32) -> Result<Bytes> {
    let node = DescribeConfigsResource::default()
        .with_resource_type(BROKER)
        .with_resource_name(StrBytes::from_static_str("1"))
        .with_configuration_keys(None);
    let request = DescribeConfigsRequest::default()
        .with_resources(vec![node])
        .with_include_synonyms(true)
        .with_include_documentation(true);
    wire::frame(correlation_id, 4, &request)
}

fn expect_service_beside(request: impl Fn(i32) -> Result<Bytes>) -> Result<()> {
    let Some(siege) = Siege::begin(&[], 1000, HOSTILE)? else { return Ok(()) };
    write_much(siege.node.bootstrap())?;
    let requests = (0..REQUESTS).map(request).collect::<Result<Vec<_>>>()?.concat();
    let mut held = Vec::with_capacity(HOSTILE);
    for _ in 0..HOSTILE {
        let mut stream = TcpStream::connect(siege.node.bootstrap())?;
        stream.write_all(&requests)?;
        held.push(stream);
    }
    siege.expect_service(&held)?;
    siege.end(GROWTH_MAX)
}

#[test]
fn records_that_are_never_read_hold_up_nobody() -> Result<()> {
    expect_service_beside(fetch_all)
}

#[test]
fn metadata_that_is_never_read_holds_up_nobody() -> Result<()> {
    expect_service_beside(|number| wire::frame(number, 9, &MetadataRequest::default().with_topics(None)))
}

#[test]
fn settings_that_are_never_read_hold_up_nobody() -> Result<()> {
    expect_service_beside(describe_node)
}

/// The first waits for ever, so that the answers to the others wait for it, not for the client.
#[test]
fn answers_behind_one_that_waits_are_bounded() -> Result<()> {
    expect_service_beside(|number| match number {
        0 => wire::frame(0, 12, &waiting_fetch()),
        _ => describe_node(number),
    })
}

fn waiting_fetch() -> FetchRequest {
    let partition = FetchPartition::default()
        .with_current_leader_epoch(-1)
        .with_log_start_offset(-1)
        .with_fetch_offset(BATCHES as i64)
        .with_partition_max_bytes(1000);
    let topic = FetchTopic::default().with_topic(wire::topic_name(TOPIC)).with_partitions(vec![partition]);
    FetchRequest::default()
        .with_replica_id(BrokerId(-1))
        .with_max_wait_ms(i32::MAX)
        .with_min_bytes(1)
        .with_max_bytes(1000)
        .with_session_epoch(-1)
        .with_topics(vec![topic])
}
