//! The two requests that this program sends by hand, so that no client library's start is measured.
//!
//! Source: MetadataRequest.json and MetadataResponse.json, version 1; CreateTopicsRequest.json and
//! CreateTopicsResponse.json, version 4.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};

use crate::clock::{Stopwatch, pause};
use crate::process::Background;

const METADATA: i16 = 3;
const CREATE_TOPICS: i16 = 19;
/// How long a broker may take for one answer.
const ANSWER_LIMIT: Duration = Duration::from_secs(30);
/// How long a broker may take to start.
const START_LIMIT: Duration = Duration::from_secs(120);
/// How often a starting broker is tried. Larger rounds the figure, smaller takes CPU from the start that is measured.
const START_STEP: Duration = Duration::from_micros(500);
/// Answers to these requests are small; a larger length means that this is no Kafka broker.
const ANSWER_BYTES_MAX: usize = 1 << 20;

/// A loopback address with a port that is free now.
pub(crate) fn free_address() -> Result<SocketAddr> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?)
}

/// Tries until `broker` answers Metadata at `address` and names a broker in it; answers the time since `started`.
pub(crate) fn first_metadata(
    broker: &mut Background,
    address: SocketAddr,
    started: &Stopwatch,
) -> Result<Duration> {
    loop {
        if metadata_names_a_broker(address).unwrap_or(false) {
            return Ok(started.elapsed());
        }
        broker.must_run()?;
        if started.elapsed() > START_LIMIT {
            bail!("no answer to Metadata within {START_LIMIT:?}");
        }
        pause(START_STEP);
    }
}

fn metadata_names_a_broker(address: SocketAddr) -> Result<bool> {
    // Of no topic: a broker with 100,000 partitions is asked many times.
    let no_topics = 0_i32.to_be_bytes();
    let answer = exchange(address, METADATA, 1, &no_topics)?;
    Ok(Fields(&answer).i32()? > 0)
}

/// Makes a topic with one replica.
pub(crate) fn create_topic(address: SocketAddr, name: &str, partitions: i32) -> Result<()> {
    let mut body = Vec::new();
    body.extend(1_i32.to_be_bytes());
    put_string(&mut body, name)?;
    body.extend(partitions.to_be_bytes());
    body.extend(1_i16.to_be_bytes());
    let no_assignments = 0_i32.to_be_bytes();
    body.extend(no_assignments);
    let no_configs = 0_i32.to_be_bytes();
    body.extend(no_configs);
    body.extend(i32::try_from(ANSWER_LIMIT.as_millis())?.to_be_bytes());
    let validate_only = 0_u8;
    body.push(validate_only);
    let answer = exchange(address, CREATE_TOPICS, 4, &body)?;
    let mut fields = Fields(&answer);
    let _throttle_time_ms = fields.i32()?;
    let _topics = fields.i32()?;
    let name_length = usize::try_from(fields.i16()?)?;
    let _name = fields.take(name_length)?;
    match fields.i16()? {
        0 => Ok(()),
        error => bail!("CreateTopics of {name} answered error {error}"),
    }
}

/// One request on a connection of its own; answers the body of the response.
fn exchange(address: SocketAddr, api_key: i16, version: i16, body: &[u8]) -> Result<Vec<u8>> {
    let correlation_id = 1_i32;
    let mut request = Vec::new();
    request.extend(api_key.to_be_bytes());
    request.extend(version.to_be_bytes());
    request.extend(correlation_id.to_be_bytes());
    put_string(&mut request, "bench")?;
    request.extend(body);
    let mut frame = i32::try_from(request.len())?.to_be_bytes().to_vec();
    frame.extend(request);

    let mut stream = TcpStream::connect_timeout(&address, ANSWER_LIMIT)?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(ANSWER_LIMIT))?;
    stream.write_all(&frame)?;
    let mut length = [0; 4];
    stream.read_exact(&mut length)?;
    let length = usize::try_from(i32::from_be_bytes(length))?;
    if length > ANSWER_BYTES_MAX {
        bail!("an answer of {length} bytes");
    }
    let mut answer = vec![0; length];
    stream.read_exact(&mut answer)?;
    let mut fields = Fields(&answer);
    if fields.i32()? != correlation_id {
        bail!("the answer to another request");
    }
    Ok(fields.0.to_vec())
}

fn put_string(target: &mut Vec<u8>, text: &str) -> Result<()> {
    target.extend(i16::try_from(text.len())?.to_be_bytes());
    target.extend(text.as_bytes());
    Ok(())
}

/// What is still unread of an answer.
struct Fields<'a>(&'a [u8]);

impl<'a> Fields<'a> {
    fn take(&mut self, count: usize) -> Result<&'a [u8]> {
        let (field, rest) = self.0.split_at_checked(count).context("the answer is too short")?;
        self.0 = rest;
        Ok(field)
    }

    fn i16(&mut self) -> Result<i16> {
        Ok(i16::from_be_bytes(self.take(2)?.try_into()?))
    }

    fn i32(&mut self) -> Result<i32> {
        Ok(i32::from_be_bytes(self.take(4)?.try_into()?))
    }
}
