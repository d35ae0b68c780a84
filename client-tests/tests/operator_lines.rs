//! What a node says to whoever runs it: a line at its start and its stop, and about what clients do to it.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use client_tests::http;
use client_tests::node::Node;
use client_tests::wait::{let_pass, wait_until};
use client_tests::wire::{self, Connection};
use kafka_protocol::messages::MetadataRequest;

const LIMIT: Duration = Duration::from_secs(60);
/// How long a request is held back half-sent; a slow request here is one that takes a tenth of it.
const HELD_BACK: Duration = Duration::from_millis(200);

/// The value of a metric without labels.
fn metric(node: &Node, name: &str) -> Result<f64> {
    http::metric(node.http(), name)
}

/// The lines on standard error that contain `words`.
fn lines(node: &Node, words: &str) -> Vec<String> {
    node.stderr().lines().filter(|line| line.contains(words)).map(str::to_owned).collect()
}

#[test]
fn a_start_and_a_stop_are_a_line_each() -> Result<()> {
    let mut node = Node::start(&[])?;
    node.stop()?;
    let said = node.stderr();
    ensure!(said.lines().count() == 2, "{said}");
    let [start, stop] = ["node 1 of cluster ", "stopped in "].map(|words| lines(&node, words));
    let serves = format!("serves 0 topics (0 partitions) on {}", node.bootstrap());
    ensure!(start.len() == 1 && start[0].contains(&serves), "{said}");
    ensure!(stop.len() == 1 && stop[0].contains("everything is flushed"), "{said}");
    Ok(())
}

#[test]
fn http_and_tls_on_the_kafka_port_are_named_with_the_fix() -> Result<()> {
    let node = Node::start(&[])?;
    for (bytes, words, fix) in [
        (&b"GET / HTTP/1.1\r\n\r\n"[..], "spoke HTTP to the Kafka listener", "ottla.http.listener"),
        (
            &[0x16, 3, 1, 2, 0, 1, 0, 1, 0xfc, 3, 3][..],
            "spoke TLS to a plaintext listener",
            "security.protocol",
        ),
    ] {
        TcpStream::connect(node.bootstrap())?.write_all(bytes)?;
        wait_until(LIMIT, "the node says what came", || Ok(!lines(&node, words).is_empty()))?;
        let said = lines(&node, words);
        ensure!(said.len() == 1 && said[0].contains(fix), "{said:?}");
    }
    Ok(())
}

#[test]
fn curl_on_the_kafka_port_is_told_where_health_and_metrics_are() -> Result<()> {
    let node = Node::start(&[])?;
    let mut stream = TcpStream::connect(node.bootstrap())?;
    stream.set_read_timeout(Some(LIMIT))?;
    stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: localhost\r\nAccept: */*\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    let place = format!("health and metrics are at http://{}/health", node.http());
    ensure!(answer.starts_with("HTTP/1.1 400 ") && answer.contains(&place), "{answer}");
    Ok(())
}

#[test]
fn a_slow_request_is_counted_and_its_line_says_where_the_time_went() -> Result<()> {
    let node = Node::start(&["ottla.slow.request.ms=20"])?;
    let mut stream = TcpStream::connect(node.bootstrap())?;
    let request = wire::frame(1, 9, &MetadataRequest::default())?;
    let (head, rest) = request.split_at(request.len() - 1);
    stream.write_all(head)?;
    // It is held back from when the node has seen it.
    wait_until(LIMIT, "the node reads it", || Ok(metric(&node, "ottla_requests_in_flight")? >= 1.0))?;
    let_pass(HELD_BACK);
    stream.write_all(rest)?;
    wait_until(LIMIT, "the node names the request", || Ok(!lines(&node, "slow: Metadata 9 of ").is_empty()))?;
    let said = lines(&node, "slow: Metadata");
    let being_read = said[0].split_once(" ms being read").and_then(|(before, _)| before.rsplit(' ').next());
    let being_read: u128 = being_read.context("the line says how long reading took")?.parse()?;
    // What else it took is for the machine to say.
    let others = [" being handled", " waiting", " behind earlier answers", " being sent"];
    let names_all = others.iter().all(|part| said[0].contains(part));
    ensure!(being_read >= HELD_BACK.as_millis() && names_all, "{said:?}");
    ensure!(metric(&node, "ottla_slow_requests_total")? >= 1.0, "it is counted");
    Ok(())
}

#[test]
fn connections_come_no_faster_than_they_may() -> Result<()> {
    let node = Node::start(&["max.connection.creation.rate=5"])?;
    let connections: Vec<Connection> =
        (0..12).map(|_| Connection::open(node.bootstrap())).collect::<Result<_>>()?;
    // Each of them is served in its turn.
    for mut connection in connections {
        wire::cluster_id(&mut connection)?;
    }
    ensure!(metric(&node, "ottla_connections_delayed_total")? >= 1.0, "some had to wait");
    Ok(())
}

#[test]
fn what_requests_hold_of_the_limits_is_told() -> Result<()> {
    let node = Node::start(&[])?;
    let mut stream = TcpStream::connect(node.bootstrap())?;
    // A Produce request of 10 MiB, of which the last one is not sent.
    let mut begun = (10_u32 << 20).to_be_bytes().to_vec();
    begun.extend([0, 0, 0, 9, 0, 0, 0, 1]);
    begun.resize(9 << 20, 0);
    stream.write_all(&begun)?;
    wait_until(LIMIT, "the request holds memory", || {
        Ok(metric(&node, "ottla_request_memory_bytes")? >= f64::from(9 << 20))
    })?;
    ensure!(metric(&node, "ottla_requests_in_flight")? >= 1.0, "it is in flight");
    drop(stream);
    wait_until(LIMIT, "the memory is free again", || Ok(metric(&node, "ottla_request_memory_bytes")? == 0.0))
}

#[test]
fn a_data_directory_that_is_moved_away_ends_the_node_in_one_sentence() -> Result<()> {
    let mut node = Node::start(&[])?;
    let away = node.data_dir().with_extension("moved");
    std::fs::rename(node.data_dir(), away)?;
    node.wait_for_failure()?;
    let said = lines(&node, "failed: cannot find");
    ensure!(said.len() == 1 && said[0].contains("Look who removed, moved or unmounted it"), "{said:?}");
    Ok(())
}
