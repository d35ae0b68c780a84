//! Bytes that are not Kafka's protocol, or not all of it: the connection that sent them is closed, nobody else
//! notices, and the broker's memory does not follow the numbers that it was told.

use anyhow::{Context as _, Result, ensure};
use client_tests::node::Node;
use client_tests::target::{Target, unique_topic};
use client_tests::wire::{self, Connection, batch, produce_request, sized};
use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::{
    ApiKey, ApiVersionsRequest, ApiVersionsResponse, MetadataRequest, ResponseHeader,
};
use kafka_protocol::protocol::{Decodable as _, StrBytes};

/// What the broker's anonymous memory may grow by under attack. A reservation that follows an announced length or
/// count is hundreds of megabytes; what honest buffers for the same connections cost is far less.
const MEMORY_GROWTH_MAX: u64 = 64 << 20;
/// One byte more than `socket.request.max.bytes` allows by default.
const FRAME_TOO_LARGE: i32 = 100 * 1024 * 1024 + 1;

/// Runs `attack`, then checks that an older connection and a new one are both served, and that memory is bounded.
fn survives(attack: impl FnOnce(&Target) -> Result<()>) -> Result<()> {
    let target = Target::start()?;
    let mut bystander = Connection::open(target.bootstrap())?;
    expect_service(&mut bystander).context("before the attack")?;
    let before = target.node().map(Node::anonymous_memory).transpose()?;
    attack(&target)?;
    expect_service(&mut bystander).context("on a connection from before the attack")?;
    expect_service(&mut Connection::open(target.bootstrap())?).context("on a new connection")?;
    if let (Some(before), Some(node)) = (before, target.node()) {
        let growth = node.anonymous_memory()?.saturating_sub(before);
        ensure!(growth <= MEMORY_GROWTH_MAX, "anonymous memory grew by {growth} bytes");
    }
    Ok(())
}

fn expect_service(connection: &mut Connection) -> Result<()> {
    let request = ApiVersionsRequest::default()
        .with_client_software_name(StrBytes::from_static_str("client-tests"))
        .with_client_software_version(StrBytes::from_static_str("1"));
    let response = connection.call(3, &request)?;
    ensure!(response.error_code == 0 && !response.api_keys.is_empty(), "ApiVersions answered {response:?}");
    Ok(())
}

/// Sends `bytes` on a connection of their own and expects the broker to close it without an answer.
fn expect_closed(target: &Target, bytes: &[u8]) -> Result<()> {
    expect_closed_after(target, bytes, 0)
}

/// The same with an answer of so many bytes at most.
fn expect_closed_after(target: &Target, bytes: &[u8], answer_bytes_max: usize) -> Result<()> {
    let mut connection = Connection::open(target.bootstrap())?;
    connection.send_bytes(bytes)?;
    let answered = connection.read_to_close()?;
    ensure!(answered <= answer_bytes_max, "{answered} bytes came back");
    Ok(())
}

/// A request header (version 1, no client id) with these first fields.
fn header(api_key: i16, version: i16) -> Vec<u8> {
    let mut bytes = api_key.to_be_bytes().to_vec();
    bytes.extend(version.to_be_bytes());
    bytes.extend(7_i32.to_be_bytes());
    bytes.extend((-1_i16).to_be_bytes());
    bytes
}

#[test]
fn frames_that_are_cut_off_are_dropped() -> Result<()> {
    survives(|target| {
        let request = wire::frame(1, 7, &MetadataRequest::default().with_topics(None))?;
        for length in [1, 3, 4, 5, request.len() - 1] {
            let mut connection = Connection::open(target.bootstrap())?;
            connection.send_bytes(&request[..length])?;
        }
        Ok(())
    })
}

#[test]
fn frames_of_impossible_size_close_the_connection() -> Result<()> {
    survives(|target| {
        for size in [FRAME_TOO_LARGE, i32::MAX, -1, i32::MIN, 0] {
            let mut bytes = size.to_be_bytes().to_vec();
            if size != 0 {
                bytes.extend([0; 16]);
            }
            expect_closed(target, &bytes).with_context(|| format!("a frame of {size} bytes"))?;
        }
        Ok(())
    })
}

#[test]
fn announced_frames_cost_no_memory_until_they_arrive() -> Result<()> {
    let target = Target::start()?;
    let Some(node) = target.node() else { return Ok(()) };
    let before = node.anonymous_memory()?;
    let mut announced = (100_i32 << 20).to_be_bytes().to_vec();
    announced.extend(header(ApiKey::Produce as i16, 9));
    announced.extend([0; 1000]);
    let open = (0..100)
        .map(|_| {
            let mut connection = Connection::open(target.bootstrap())?;
            connection.send_bytes(&announced)?;
            Ok(connection)
        })
        .collect::<Result<Vec<_>>>()?;
    expect_service(&mut Connection::open(target.bootstrap())?)?;
    let growth = node.anonymous_memory()?.saturating_sub(before);
    ensure!(growth <= MEMORY_GROWTH_MAX, "{} announced frames cost {growth} bytes", open.len());
    Ok(())
}

#[test]
fn array_of_two_billion_topics_in_fourteen_bytes_closes_the_connection() -> Result<()> {
    survives(|target| {
        let mut body = header(ApiKey::Metadata as i16, 1);
        body.extend(i32::MAX.to_be_bytes());
        ensure!(body.len() == 14, "the request is {} bytes long", body.len());
        for _ in 0..20 {
            expect_closed(target, &sized(&body))?;
        }
        Ok(())
    })
}

#[test]
fn negative_and_huge_lengths_inside_a_request_close_the_connection() -> Result<()> {
    survives(|target| {
        let with_tail = |api: ApiKey, version, tail: &[u8]| {
            let mut body = header(api as i16, version);
            body.extend(tail);
            sized(&body)
        };
        let requests = [
            // Metadata: one topic whose name has a negative length, then one that is longer than the frame.
            with_tail(ApiKey::Metadata, 1, &[0, 0, 0, 1, 0x80, 0]),
            with_tail(ApiKey::Metadata, 1, &[0, 0, 0, 1, 0x7f, 0xff, b'a']),
            // Produce: a null transactional id, acks, a timeout, then 2^31-1 topics.
            with_tail(ApiKey::Produce, 3, &[255, 255, 255, 255, 0, 0, 0, 1, 0x7f, 255, 255, 255]),
            // Metadata in its compact form: no tagged fields, then a varint that never ends.
            with_tail(ApiKey::Metadata, 9, &[0, 255, 255, 255, 255, 255, 255, 255]),
            // Metadata in its compact form: 2^32-2 topics.
            with_tail(ApiKey::Metadata, 9, &[0, 255, 255, 255, 255, 15]),
            // ApiVersions with 2^32-1 tagged fields.
            with_tail(ApiKey::ApiVersions, 3, &[255, 255, 255, 255, 15]),
        ];
        for request in requests {
            expect_closed(target, &request).with_context(|| format!("{request:?}"))?;
        }
        Ok(())
    })
}

#[test]
fn request_that_ends_early_inside_its_frame_closes_the_connection() -> Result<()> {
    survives(|target| {
        let whole = wire::frame(1, 9, &produce_request("early", 0, -1, batch::plain(1, 100)?))?;
        let body = whole.get(4..).context("a frame has a size")?;
        for length in [0, 1, 7, 8, 9, 12, 20, 30, body.len() / 2, body.len() - 2] {
            expect_closed(target, &sized(&body[..length])).with_context(|| format!("{length} bytes"))?;
        }
        Ok(())
    })
}

#[test]
fn unknown_requests_and_versions_close_the_connection() -> Result<()> {
    survives(|target| {
        let unknown = [(-1, 0), (4, 0), (1000, 0), (i16::MAX, 0), (ApiKey::Metadata as i16, 99)];
        for (api_key, version) in unknown.into_iter().chain([(ApiKey::Fetch as i16, -1)]) {
            let mut body = header(api_key, version);
            body.extend([0; 8]);
            expect_closed(target, &sized(&body))
                .with_context(|| format!("key {api_key}, version {version}"))?;
        }
        Ok(())
    })
}

#[test]
fn api_versions_of_a_version_from_the_future_says_which_versions_there_are() -> Result<()> {
    let target = Target::start()?;
    let mut connection = Connection::open(target.bootstrap())?;
    let mut body = header(ApiKey::ApiVersions as i16, 99);
    body.extend([0, 1, 1, 0]);
    connection.send_bytes(&sized(&body))?;
    let mut answer = connection.receive_frame()?;
    ResponseHeader::decode(&mut answer, 0)?;
    let response = ApiVersionsResponse::decode(&mut answer, 0)?;
    ensure!(response.error_code == ResponseError::UnsupportedVersion.code(), "{response:?}");
    let own = response.api_keys.iter().find(|range| range.api_key == ApiKey::ApiVersions as i16);
    let own = own.context("the range of ApiVersions is not in the answer")?;
    ensure!(own.min_version == 0 && own.max_version >= 3, "{own:?}");
    expect_service(&mut connection).context("the connection stays open for a second try")
}

#[test]
fn other_protocols_and_noise_close_the_connection() -> Result<()> {
    survives(|target| {
        // A TLS 1.2 record that holds the beginning of a ClientHello.
        let mut tls = vec![0x16, 3, 1, 0, 200, 1, 0, 0, 196, 3, 3];
        tls.extend([0x5a; 194]);
        // It begins with a byte over 127, so that it announces no plausible frame.
        let noise: Vec<u8> = (1_u32..4096).map(|i| (i.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
        let http = b"GET / HTTP/1.1\r\nHost: broker\r\nUser-Agent: curl/8\r\n\r\n";
        // Whoever types curl may be told where HTTP is served.
        expect_closed_after(target, http, 1024)?;
        for bytes in [tls.as_slice(), &noise, &[0xff; 64], b"SSH-2.0-OpenSSH_9.2\r\n"] {
            expect_closed(target, bytes).with_context(|| format!("{:?}", bytes.get(..8)))?;
        }
        Ok(())
    })
}

#[test]
fn requests_sent_in_one_burst_are_answered_in_order() -> Result<()> {
    let target = Target::start()?;
    let mut connection = Connection::open(target.bootstrap())?;
    let topic = unique_topic("burst");
    ensure!(wire::create_topic(&mut connection, &topic, 1, &[])? == 0, "the topic was not created");
    let request = produce_request(&topic, 0, -1, batch::plain(1, 100)?);
    let frames = (0..200).map(|id| wire::frame(id, 9, &request)).collect::<Result<Vec<_>>>()?;
    connection.send_bytes(&frames.concat())?;
    for expected in 0..200 {
        let mut answer = connection.receive_frame()?;
        let header = ResponseHeader::decode(&mut answer, 1)?;
        ensure!(header.correlation_id == expected, "{} came instead of {expected}", header.correlation_id);
    }
    ensure!(wire::end_offset(&mut connection, &topic, 0)? == 200, "not every record is there");
    Ok(())
}
