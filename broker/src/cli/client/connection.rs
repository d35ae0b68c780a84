//! One connection to one broker, and the versions that it speaks.

use std::collections::BTreeMap;
use std::io;

use bytes::{BufMut, Bytes, BytesMut};
use kafka_protocol::messages::{ApiVersionsRequest, RequestHeader, ResponseHeader};
use kafka_protocol::protocol::{Decodable, Encodable, HeaderVersion, Request, StrBytes};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::{Call, ClientError};

/// The largest answer. Larger: who listens there by mistake is believed for longer. Smaller: a group with tens of
/// thousands of members cannot be described.
const ANSWER_BYTES_MAX: usize = 256 * 1024 * 1024;

/// An open connection.
#[derive(Debug)]
pub(super) struct Connection {
    address: String,
    stream: TcpStream,
    correlation_id: i32,
    /// The versions that the broker serves, by API key.
    served: BTreeMap<i16, (i16, i16)>,
}

impl Connection {
    /// Connects, and asks for the versions.
    pub(super) async fn open(address: &str) -> Result<Self, ClientError> {
        let io_error = |source| ClientError::Io { address: address.to_owned(), told_by: None, source };
        let stream = TcpStream::connect(address).await.map_err(io_error)?;
        stream.set_nodelay(true).map_err(io_error)?;
        let mut connection =
            Self { address: address.to_owned(), stream, correlation_id: 0, served: BTreeMap::new() };
        // Version 0 is the one that every broker answers in full.
        let versions = connection.exchange(0, &ApiVersionsRequest::default()).await?;
        let served = versions.api_keys.iter().map(|api| (api.api_key, (api.min_version, api.max_version)));
        connection.served = served.collect();
        Ok(connection)
    }

    /// The highest version of `R` that both speak.
    pub(super) fn version<R: Call>(&self) -> Result<i16, ClientError> {
        let (min, max) = (*R::SPOKEN.start(), *R::SPOKEN.end());
        let served = self.served.get(&R::KEY);
        let common = served.map(|(served_min, served_max)| (min.max(*served_min), max.min(*served_max)));
        match common {
            Some((lowest, highest)) if lowest <= highest => Ok(highest),
            _ => Err(ClientError::Unsupported { address: self.address.clone(), api: R::NAME, min, max }),
        }
    }

    /// One request and its response.
    pub(super) async fn call<R: Call>(&mut self, request: &R) -> Result<R::Response, ClientError> {
        let version = self.version::<R>()?;
        self.exchange(version, request).await
    }

    async fn exchange<R: Request>(&mut self, version: i16, request: &R) -> Result<R::Response, ClientError> {
        self.correlation_id += 1;
        let frame = frame(self.correlation_id, version, request).map_err(|reason| self.malformed(&reason))?;
        self.send(&frame).await.map_err(|source| self.io(source))?;
        let size = self.stream.read_i32().await.map_err(|source| self.io(source))?;
        if let Some(other) = other_protocol(size.to_be_bytes()) {
            return Err(self.malformed(&other));
        }
        let size = usize::try_from(size).ok().filter(|size| *size <= ANSWER_BYTES_MAX);
        let size = size.ok_or_else(|| self.malformed(&"the length of its answer is not possible"))?;
        let mut answer = BytesMut::new();
        while answer.len() < size {
            let missing = size - answer.len();
            let read = (&mut self.stream).take(missing as u64).read_buf(&mut answer).await;
            if read.map_err(|source| self.io(source))? == 0 {
                return Err(self.io(io::ErrorKind::UnexpectedEof.into()));
            }
        }
        let correlation_id = self.correlation_id;
        decode::<R>(answer.freeze(), correlation_id, version).map_err(|reason| self.malformed(&reason))
    }

    async fn send(&mut self, frame: &[u8]) -> io::Result<()> {
        self.stream.write_all(frame).await?;
        self.stream.flush().await
    }

    fn io(&self, source: io::Error) -> ClientError {
        ClientError::Io { address: self.address.clone(), told_by: None, source }
    }

    fn malformed(&self, reason: &dyn std::fmt::Display) -> ClientError {
        ClientError::Malformed { address: self.address.clone(), reason: reason.to_string() }
    }
}

/// What listens there, where its first bytes are those of a well-known answer to what it does not understand.
fn other_protocol(head: [u8; 4]) -> Option<&'static str> {
    match head {
        [b'H', b'T', b'T', b'P'] => {
            Some("it speaks HTTP; `listeners` of a node names its Kafka port, 9092 unless it is set")
        }
        [0x15, 3, ..] => Some("it speaks TLS, which this client does not; name a PLAINTEXT listener"),
        _ => None,
    }
}

/// A request as it is sent, its size included.
fn frame<R: Request>(correlation_id: i32, version: i16, request: &R) -> anyhow::Result<Bytes> {
    let header = RequestHeader::default()
        .with_request_api_key(R::KEY)
        .with_request_api_version(version)
        .with_correlation_id(correlation_id)
        .with_client_id(Some(StrBytes::from_static_str("ottla-cli")));
    let mut body = BytesMut::new();
    header.encode(&mut body, R::header_version(version))?;
    request.encode(&mut body, version)?;
    let mut frame = BytesMut::with_capacity(4 + body.len());
    frame.put_i32(i32::try_from(body.len())?);
    frame.extend_from_slice(&body);
    Ok(frame.freeze())
}

fn decode<R: Request>(mut answer: Bytes, correlation_id: i32, version: i16) -> anyhow::Result<R::Response> {
    let decoded = crate::panics::contained(move || {
        let header = ResponseHeader::decode(&mut answer, R::Response::header_version(version))?;
        anyhow::ensure!(header.correlation_id == correlation_id, "it answers another request");
        R::Response::decode(&mut answer, version)
    });
    decoded.unwrap_or_else(|| Err(anyhow::anyhow!("it cannot be decoded")))
}

#[cfg(test)]
mod tests {
    use super::other_protocol;

    #[test]
    fn other_protocols_are_named_by_their_first_bytes() {
        assert!(other_protocol(*b"HTTP").is_some_and(|it| it.contains("speaks HTTP")));
        assert!(other_protocol([0x15, 3, 3, 0]).is_some_and(|it| it.contains("speaks TLS")));
        assert_eq!(other_protocol([0, 0, 0, 64]), None);
    }
}
