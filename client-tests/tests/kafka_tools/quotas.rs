//! `kafka-configs` for users and clients, and what a producer feels of its quota.

use super::{CONFIGS, TOPICS, with_tools};
use anyhow::{Context as _, Result, bail, ensure};
use client_tests::target::unique_topic;
use client_tests::wait::wait_until;
use client_tests::wire::{self, Connection};
use std::io::ErrorKind;
use std::net::{SocketAddr, TcpStream, ToSocketAddrs as _};
use std::time::Duration;
use tokio::net::TcpSocket;

/// Nobody else connects from here.
const OTHER_ADDRESS: &str = "127.0.0.2";

/// What has to happen happens in this time, also on a machine that is busy.
const PATIENCE: Duration = Duration::from_secs(60);
const PERFORMANCE: &str = "org.apache.kafka.tools.ProducerPerformance";

#[test]
fn quotas_are_set_described_and_removed() -> Result<()> {
    with_tools(|tools| {
        let client = &*unique_topic("client");
        let entity = ["--entity-type", "clients", "--entity-name", client];
        let both = [
            "--entity-type",
            "users",
            "--entity-default",
            "--entity-type",
            "clients",
            "--entity-name",
            client,
        ];
        tools
            .run(CONFIGS, &[&entity[..], &["--alter", "--add-config", "producer_byte_rate=1024"]].concat())?;
        tools.run(CONFIGS, &[&both[..], &["--alter", "--add-config", "request_percentage=12.5"]].concat())?;
        let described = tools.run(CONFIGS, &[&entity[..], &["--describe"]].concat())?;
        let expected = format!("Quota configs for client-id '{client}' are producer_byte_rate=1024.0");
        ensure!(described.contains(&expected), "{expected:?} is not in {described}");
        let described = tools.run(CONFIGS, &[&both[..], &["--describe"]].concat())?;
        ensure!(described.contains("request_percentage=12.5"), "{described}");
        tools.run(CONFIGS, &[&both[..], &["--alter", "--delete-config", "request_percentage"]].concat())?;
        let described = tools.run(CONFIGS, &[&both[..], &["--describe"]].concat())?;
        ensure!(!described.contains("request_percentage"), "{described}");
        tools.run_to_failure(
            CONFIGS,
            &[&entity[..], &["--alter", "--add-config", "producer_byte_rate=0"]].concat(),
        )?;
        Ok(())
    })
}

#[test]
fn a_producer_is_slowed_down_to_its_quota_and_loses_nothing() -> Result<()> {
    with_tools(|tools| {
        let topic = &*unique_topic("throttled");
        tools.run(TOPICS, &["--create", "--topic", topic])?;
        let client = format!("client-{topic}");
        let entity = ["--entity-type", "clients", "--entity-name", &client, "--alter"];
        tools.run(CONFIGS, &[&entity[..], &["--add-config", "producer_byte_rate=100000"]].concat())?;
        // Ten seconds' worth may come at once; this is twelve, in so few requests that a slow disk does not make them slower.
        let bootstrap = format!("bootstrap.servers={}", tools.bootstrap);
        let client = format!("client.id={client}");
        let arguments = [
            &["--topic", topic, "--num-records", "1200", "--record-size", "1000", "--throughput", "-1"][..],
            &["--print-metrics", "--command-property", &bootstrap, &client, "batch.size=300000"],
        ]
        .concat();
        let output = tools.driver.run_tool(PERFORMANCE, &arguments, Default::default())?;
        ensure!(output.status == 0, "{output:?}");
        let summary = output.stdout.lines().find(|line| line.starts_with("1200 records sent"));
        ensure!(summary.is_some(), "{}", output.stdout);
        let line = output.stdout.lines().find(|line| line.contains("produce-throttle-time-max"));
        let line = line.context("the producer counts for how long it was throttled")?;
        let milliseconds: f64 = line.rsplit(':').next().unwrap_or_default().trim().parse()?;
        ensure!(milliseconds > 0.0, "{line}");
        Ok(())
    })
}

#[test]
fn topics_are_made_and_deleted_no_faster_than_the_quota_says() -> Result<()> {
    with_tools(|tools| {
        let [first, second] = [&*unique_topic("first"), &*unique_topic("second")];
        let users = ["--entity-type", "users", "--entity-default", "--alter"];
        // One in seventeen minutes, of which none is saved up: whatever is made uses it up.
        tools.run(CONFIGS, &[&users[..], &["--add-config", "controller_mutation_rate=0.001"]].concat())?;
        tools.run(TOPICS, &["--create", "--topic", first, "--partitions", "2"])?;
        // (`--alter` says the same, and does not end before its quiet does, on Apache Kafka too.)
        for over in [["--create", "--topic", second], ["--delete", "--topic", first]] {
            let printed = tools.run_to_failure(TOPICS, &over)?;
            ensure!(printed.contains("The throttling quota has been exceeded."), "{over:?}: {printed}");
        }
        let described = tools.run(TOPICS, &["--describe", "--topic", first])?;
        ensure!(described.contains("PartitionCount: 2"), "{described}");
        tools.run(CONFIGS, &[&users[..], &["--delete-config", "controller_mutation_rate"]].concat())?;
        tools.run(TOPICS, &["--create", "--topic", second])?;
        tools.run(TOPICS, &["--delete", "--topic", first])?;
        Ok(())
    })
}

#[test]
fn an_address_that_connects_too_often_is_turned_away_and_others_are_served() -> Result<()> {
    with_tools(|tools| {
        let entity = ["--entity-type", "ips", "--entity-name", OTHER_ADDRESS];
        tools.run(
            CONFIGS,
            &[&entity[..], &["--alter", "--add-config", "connection_creation_rate=1"]].concat(),
        )?;
        let described = tools.run(CONFIGS, &[&entity[..], &["--describe"]].concat())?;
        let expected = format!("Quota configs for ip '{OTHER_ADDRESS}' are connection_creation_rate=1.0");
        ensure!(described.contains(&expected), "{expected:?} is not in {described}");
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let connect = || runtime.block_on(connect_from_other_address(tools.bootstrap));
        // Ten seconds' worth may come at once; most of these end without a word.
        let mut connections = (0..100).map(|_| connect()).collect::<Result<Vec<_>>>()?;
        wait_until(PATIENCE, "a connection was turned away", || {
            connections.iter().try_fold(false, |any, connection| Ok(any | has_ended(connection)?))
        })?;
        let mut first = Connection::of(connections.swap_remove(0), PATIENCE)?;
        ensure!(wire::cluster_id(&mut first)?.is_some(), "a connection that was let in is served");
        tools.run(
            CONFIGS,
            &[&entity[..], &["--alter", "--delete-config", "connection_creation_rate"]].concat(),
        )?;
        let mut free = Connection::of(connect()?, PATIENCE)?;
        ensure!(wire::cluster_id(&mut free)?.is_some(), "without a quota every connection is let in");
        Ok(())
    })
}

async fn connect_from_other_address(bootstrap: &str) -> Result<TcpStream> {
    let node = bootstrap.to_socket_addrs()?.find(SocketAddr::is_ipv4).context("it has no such address")?;
    let socket = TcpSocket::new_v4()?;
    socket.bind(SocketAddr::new(OTHER_ADDRESS.parse()?, 0))?;
    let stream = socket.connect(node).await?.into_std()?;
    stream.set_nonblocking(false)?;
    Ok(stream)
}

/// Whether the node has ended the connection, on which it said nothing.
fn has_ended(connection: &TcpStream) -> Result<bool> {
    connection.set_nonblocking(true)?;
    let peeked = connection.peek(&mut [0]);
    connection.set_nonblocking(false)?;
    match peeked {
        Ok(0) => Ok(true),
        Ok(_) => bail!("the node speaks first"),
        Err(error) if error.kind() == ErrorKind::ConnectionReset => Ok(true),
        Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(false),
        Err(error) => Err(error.into()),
    }
}
