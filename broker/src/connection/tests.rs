//! A client on the other end of a pipe: order, overlap, backpressure, and what ends a connection.

use super::{Addresses, Ending, decoded, serve_halves};
use crate::limits::RequestMemory;
use crate::metrics::Metrics;
use crate::node::testing::{TestNode, batch, topic_name};
use crate::stopping::StopSwitch;
use bytes::{BufMut, Bytes, BytesMut};
use kafka_protocol::messages::fetch_request::{FetchPartition, FetchTopic};
use kafka_protocol::messages::produce_request::{PartitionProduceData, TopicProduceData};
use kafka_protocol::messages::{FetchRequest, ProduceRequest};
use kafka_protocol::protocol::Encodable;
use metrics_exporter_prometheus::PrometheusBuilder;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, ReadHalf, WriteHalf, split};
use tokio::task::JoinHandle;

/// What the pipe holds in each direction: little, so that who does not read is noticed.
const PIPE_BYTES: usize = 256;

struct Client {
    reading: ReadHalf<DuplexStream>,
    writing: WriteHalf<DuplexStream>,
    serving: JoinHandle<()>,
    stop: StopSwitch,
}

fn connect(node: &TestNode) -> Client {
    let (near, far) = tokio::io::duplex(PIPE_BYTES);
    let (stop, stopping) = StopSwitch::new();
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, 9092));
    let addresses = Addresses { local: address, peer: address };
    let serving = tokio::spawn(serve_halves(Arc::clone(&node.broker), split(far), addresses, stopping));
    let (reading, writing) = split(near);
    Client { reading, writing, serving, stop }
}

/// A frame with a request in a version without tagged fields.
fn frame<M: Encodable>(key: i16, version: i16, number: i32, message: &M) -> Bytes {
    let mut body = BytesMut::new();
    message.encode(&mut body, version).expect("the request fits its version");
    raw_frame(key, version, number, &body)
}

fn raw_frame(key: i16, version: i16, number: i32, body: &[u8]) -> Bytes {
    let mut frame = BytesMut::new();
    frame.put_i32(i32::try_from(body.len() + 10).expect("small"));
    frame.put_i16(key);
    frame.put_i16(version);
    frame.put_i32(number);
    frame.put_i16(-1);
    frame.put_slice(body);
    frame.freeze()
}

/// A fetch that waits until there are records.
fn fetch(number: i32) -> Bytes {
    fetch_often(number, 1)
}

/// The same, which names its partition so often.
fn fetch_often(number: i32, times: usize) -> Bytes {
    let partition = FetchPartition::default().with_partition_max_bytes(1000);
    let topic =
        FetchTopic::default().with_topic(topic_name("orders")).with_partitions(vec![partition; times]);
    let request = FetchRequest::default()
        .with_max_wait_ms(i32::MAX)
        .with_min_bytes(1)
        .with_max_bytes(1000)
        .with_topics(vec![topic]);
    frame(1, 4, number, &request)
}

fn produce(number: i32, acks: i16, topic: &str) -> Bytes {
    let data = PartitionProduceData::default().with_records(Some(batch(&[1])));
    let topic = TopicProduceData::default().with_name(topic_name(topic)).with_partition_data(vec![data]);
    let request =
        ProduceRequest::default().with_acks(acks).with_timeout_ms(30_000).with_topic_data(vec![topic]);
    frame(0, 3, number, &request)
}

fn api_versions(number: i32) -> Bytes {
    raw_frame(18, 0, number, &[])
}

impl Client {
    async fn send(&mut self, frame: Bytes) {
        self.writing.write_all(&frame).await.expect("the node reads");
    }

    async fn next_answer(&mut self) -> Option<i32> {
        next_answer(&mut self.reading).await
    }
}

/// The number of the next answer, or `None` where the node has closed.
async fn next_answer(reading: &mut ReadHalf<DuplexStream>) -> Option<i32> {
    let size = reading.read_i32().await.ok()?;
    let number = reading.read_i32().await.expect("a whole answer");
    let mut rest = vec![0; usize::try_from(size - 4).expect("a size")];
    reading.read_exact(&mut rest).await.expect("a whole answer");
    Some(number)
}

async fn node() -> TestNode {
    let node = TestNode::start(&[]).await;
    node.create_topic("orders", 1).await;
    node
}

/// What a connection that is idle costs is its two tasks, its sockets and [`crate::wire::frame`]'s quiet buffer.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_task_of_a_connection_is_small() {
    let node = node().await;
    let (_stop, stopping) = StopSwitch::new();
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, 9092));
    let addresses = Addresses { local: address, peer: address };
    let (_near, far) = tokio::io::duplex(PIPE_BYTES);
    let (reading, writing) = split(far);
    let (_queue, outcomes) = tokio::sync::mpsc::channel(1);
    let writer = super::write_outcomes(tokio::io::sink(), outcomes, Arc::clone(&node.broker), address);
    let writer = std::mem::size_of_val(&writer);
    let whole = serve_halves(Arc::clone(&node.broker), (reading, writing), addresses, stopping);
    let whole = std::mem::size_of_val(&whole);
    assert!(whole + writer <= 3200, "{whole} bytes for the reader, {writer} for the writer");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn later_requests_are_served_while_an_earlier_one_waits_and_answered_behind_it() {
    let node = node().await;
    let mut client = connect(&node);
    client.send(fetch(1)).await;
    client.send(api_versions(2)).await;
    // The fetch waits for what this one writes.
    client.send(produce(3, -1, "orders")).await;
    for expected in 1..=3 {
        assert_eq!(client.next_answer().await, Some(expected));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_reads_late_gets_every_answer_in_order() {
    const REQUESTS: i32 = 500;
    let node = node().await;
    let mut client = connect(&node);
    client.send(fetch(0)).await;
    let Client { mut reading, mut writing, .. } = client;
    let sending = tokio::spawn(async move {
        for number in 1..=REQUESTS {
            writing.write_all(&api_versions(number)).await.expect("the node reads");
        }
        writing
    });
    // Another connection brings what the first request waits for.
    let mut other = connect(&node);
    other.send(produce(1, -1, "orders")).await;
    assert_eq!(other.next_answer().await, Some(1));
    for expected in 0..=REQUESTS {
        assert_eq!(next_answer(&mut reading).await, Some(expected));
    }
    drop(sending.await.expect("no panic"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stop_answers_what_was_read_at_once() {
    let node = node().await;
    let mut client = connect(&node);
    client.send(fetch(1)).await;
    client.send(api_versions(2)).await;
    // Half a frame, which is not waited for.
    client.send(Bytes::from_static(b"\0\0\x01\0\0\x12\0\0")).await;
    let partition = node.broker.partitions.all().pop().expect("one partition");
    while partition.waiting() == 0 {
        tokio::task::yield_now().await;
    }
    client.stop.stop();
    assert_eq!(client.next_answer().await, Some(1));
    // The second is answered too where it was read before the stop.
    let last = client.next_answer().await;
    assert!(matches!(last, Some(2) | None), "{last:?}");
    client.serving.await.expect("no panic");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_waits_for_a_client_that_has_left() {
    let node = node().await;
    let mut client = connect(&node);
    client.send(fetch(1)).await;
    let partition = node.broker.partitions.all().pop().expect("one partition");
    while partition.waiting() == 0 {
        tokio::task::yield_now().await;
    }
    drop((client.reading, client.writing));
    client.serving.await.expect("no panic");
    assert_eq!(partition.waiting(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_fetch_that_waits_gives_back_the_memory_that_its_request_took() {
    let node = node().await;
    let mut client = connect(&node);
    // Some 60 KiB.
    client.send(fetch_often(1, 3700)).await;
    let waits = async {
        while node.broker.limits.usage().awaited_bytes == 0 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), waits).await.expect("it waits at last");
    let usage = node.broker.limits.usage();
    assert_eq!((usage.small_request_bytes, usage.requests_in_flight), (0, 1));
    assert!(usage.awaited_bytes <= 4096, "it keeps the one partition that it named: {usage:?}");
    let mut other = connect(&node);
    other.send(produce(1, -1, "orders")).await;
    assert_eq!((other.next_answer().await, client.next_answer().await), (Some(1), Some(1)));
    assert_eq!(node.broker.limits.usage().awaited_bytes, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_fetch_that_finds_no_place_among_those_that_wait_answers_soon() {
    let node = node().await;
    let nothing = RequestMemory::default();
    let places: Vec<_> =
        std::iter::from_fn(|| node.broker.limits.await_records(&nothing, 1024 * 1024)).collect();
    let mut client = connect(&node);
    client.send(fetch(1)).await;
    assert_eq!(client.next_answer().await, Some(1), "though it would wait for weeks");
    drop(places);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_produce_without_acks_that_fails_closes_behind_earlier_answers() {
    let node = node().await;
    let mut client = connect(&node);
    client.send(api_versions(1)).await;
    client.send(produce(2, 0, "orders")).await;
    client.send(produce(3, 0, "missing")).await;
    assert_eq!(client.next_answer().await, Some(1));
    assert_eq!(client.next_answer().await, None);
    client.serving.await.expect("no panic");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_unknown_version_is_answered_for_api_versions_alone() {
    let node = node().await;
    let mut client = connect(&node);
    client.send(raw_frame(18, 99, 1, b"whatever")).await;
    assert_eq!(client.next_answer().await, Some(1));
    client.send(raw_frame(3, 99, 2, &[])).await;
    assert_eq!(client.next_answer().await, None);
    client.serving.await.expect("no panic");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn http_is_answered_once_and_the_connection_ends() {
    let node = node().await;
    let mut client = connect(&node);
    client.send(Bytes::from_static(b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n")).await;
    let mut answer = String::new();
    client.reading.read_to_string(&mut answer).await.expect("text, and then the end");
    let (head, body) = answer.split_once("\r\n\r\n").expect("a head and a body");
    assert!(head.starts_with("HTTP/1.1 400 ") && head.ends_with("Connection: close"), "{head}");
    assert!(head.contains(&format!("Content-Length: {}\r\n", body.len())), "{answer}");
    assert!(body.starts_with("Port 9092 speaks Kafka, not HTTP; "), "{body}");
    drop(client.writing);
    client.serving.await.expect("no panic");
    let mut kafka = connect(&node);
    kafka.send(api_versions(1)).await;
    kafka.send(Bytes::from_static(b"GET /health HTTP/1.1\r\n\r\n")).await;
    assert_eq!((kafka.next_answer().await, kafka.next_answer().await), (Some(1), None));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_body_that_is_cut_off_or_of_too_many_elements_ends_the_connection() {
    let node = node().await;
    // Metadata of version 1 with 2^31 - 1 topics is left to the real binary, whose allocator bears it.
    for body in [&b"\0\0\0\x05\0\x01a"[..], b"\0\0", b"\xff\xff\xff\xfe"] {
        let mut client = connect(&node);
        client.send(raw_frame(3, 1, 1, body)).await;
        assert_eq!(client.next_answer().await, None, "{body:?}");
        client.serving.await.expect("no panic");
    }
}

#[test]
fn a_panic_while_decoding_ends_the_connection_and_is_counted() {
    let recorder = PrometheusBuilder::new().build_recorder();
    let metrics = metrics::with_local_recorder(&recorder, Metrics::register);
    let outcome = decoded(&metrics, || panic!("a decoder with a defect"));
    assert!(matches!(outcome, Err(Ending::Panic)));
    assert!(recorder.handle().render().contains("ottla_decode_panics_total 1\n"));
}
