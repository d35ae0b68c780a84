//! A connection to the one broker, which coordinates every group.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use bytes::{BufMut as _, Bytes, BytesMut};
use kafka_protocol::ResponseError;
use kafka_protocol::messages::{FindCoordinatorRequest, GroupId, RequestHeader, ResponseHeader};
use kafka_protocol::protocol::{Decodable as _, Encodable as _, HeaderVersion as _, Request, StrBytes};

use crate::clock::{Stopwatch, pause};

/// How long the broker may take for one answer: a join waits for the slowest member.
const ANSWER_LIMIT: Duration = Duration::from_secs(120);
/// The largest answer that is asked for: that to the leader of a large group.
const ANSWER_BYTES_MAX: usize = 64 * 1024 * 1024;
/// How long the topic of offsets may take to be made and loaded.
const COORDINATOR_LIMIT: Duration = Duration::from_secs(60);
/// How often it is looked for meanwhile. Larger rounds a figure up; smaller takes CPU from what is measured.
const COORDINATOR_STEP: Duration = Duration::from_millis(2);

/// One connection, with one request under way at a time.
#[derive(Debug)]
pub(super) struct Connection {
    stream: TcpStream,
    correlation_id: i32,
}

impl Connection {
    pub(super) fn open(address: SocketAddr) -> Result<Self> {
        let stream = TcpStream::connect_timeout(&address, ANSWER_LIMIT)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(ANSWER_LIMIT))?;
        Ok(Self { stream, correlation_id: 0 })
    }

    /// A request and its response.
    pub(super) fn call<R: Request>(&mut self, version: i16, request: &R) -> Result<R::Response> {
        self.correlation_id += 1;
        let header = RequestHeader::default()
            .with_request_api_key(R::KEY)
            .with_request_api_version(version)
            .with_correlation_id(self.correlation_id)
            .with_client_id(Some(StrBytes::from_static_str("bench")));
        let mut body = BytesMut::new();
        header.encode(&mut body, R::header_version(version))?;
        request.encode(&mut body, version)?;
        let mut frame = BytesMut::with_capacity(4 + body.len());
        frame.put_i32(i32::try_from(body.len())?);
        frame.extend_from_slice(&body);
        self.stream.write_all(&frame)?;
        let mut answer = self.receive()?;
        let header = ResponseHeader::decode(&mut answer, R::Response::header_version(version))?;
        ensure!(header.correlation_id == self.correlation_id, "the answer to another request");
        R::Response::decode(&mut answer, version)
    }

    fn receive(&mut self) -> Result<Bytes> {
        let mut size = [0; 4];
        self.stream.read_exact(&mut size).context("no answer came")?;
        let size = usize::try_from(i32::from_be_bytes(size))?;
        ensure!(size <= ANSWER_BYTES_MAX, "an answer of {size} bytes");
        let mut answer = vec![0; size];
        self.stream.read_exact(&mut answer)?;
        Ok(answer.into())
    }
}

/// A group's name as the messages have it.
pub(super) fn group_id(name: &str) -> GroupId {
    GroupId(StrBytes::from_string(name.to_owned()))
}

/// Whether the coordinator is only about to begin. Waits a little if so.
pub(super) fn is_beginning(error: ResponseError) -> bool {
    let is_beginning = matches!(
        error,
        ResponseError::CoordinatorLoadInProgress
            | ResponseError::CoordinatorNotAvailable
            | ResponseError::NotCoordinator
    );
    if is_beginning {
        pause(COORDINATOR_STEP);
    }
    is_beginning
}

/// Waits until the broker has made its topic of offsets, and coordinates `group`.
pub(super) fn wait_for_coordinator(address: SocketAddr, group: &str) -> Result<()> {
    let mut connection = Connection::open(address)?;
    let keys = vec![StrBytes::from_string(group.to_owned())];
    let request = FindCoordinatorRequest::default().with_coordinator_keys(keys);
    let started = Stopwatch::start();
    loop {
        let response = connection.call(4, &request)?;
        if response.coordinators.first().is_some_and(|coordinator| coordinator.error_code == 0) {
            return Ok(());
        }
        if started.elapsed() > COORDINATOR_LIMIT {
            bail!("no coordinator within {COORDINATOR_LIMIT:?}: {response:?}");
        }
        pause(COORDINATOR_STEP);
    }
}
