//! What two nodes tell each other before anything else, and whether they then talk.
//!
//! Each side sends its hello at once and reads the other's; then the side that accepted the connection sends its
//! verdict. A hello is one frame (`frame.rs`):
//!
//! ```text
//! "ottla peer" | protocol version: u16, big-endian | the fields of `Fields`, as postcard writes them
//! ```
//!
//! A later version may append fields: the older side ignores what it does not know, and both speak the lower version.
//! Deliberately absent: whether a broker id is taken, and who joins whom. The metadata quorum decides that.

use super::frame::{self, FrameError, FrameReader, LENGTH_BYTES};
use super::tls::TlsProblem;
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::io;
use storage::ids::BrokerId;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use uuid::Uuid;

/// The version that this node speaks.
pub(crate) const PROTOCOL_VERSION: u16 = 1;

/// What a hello begins with, to tell a node from whatever else connects.
const MAGIC: &[u8] = b"ottla peer";

/// The largest hello or verdict. Larger: a stranger holds more memory before it is known. Smaller: no room for the
/// fields of later versions.
const HELLO_BYTES_MAX: usize = 1024;

/// What a TLS connection begins with: a record of type "handshake".
const TLS_HANDSHAKE: u8 = 0x16;

/// What a node that speaks TLS answers to anything else: a record of type "alert".
const TLS_ALERT: u8 = 0x15;

/// The longest cluster id, in bytes; Kafka's have 22. Longer ones would fill logs with what a stranger sent.
const CLUSTER_ID_BYTES_MAX: usize = 64;

/// What a connection between nodes is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) enum Purpose {
    /// The calls of the metadata quorum among its members.
    Raft,
    /// Joining, heartbeats, and requests to the controller.
    Control,
    /// A follower copies partitions from their leader.
    Fetch,
}

/// What one node says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Hello {
    /// The newest version that the node speaks; [`PROTOCOL_VERSION`] for this one.
    pub(crate) protocol_version: u16,
    /// What the connection is for; the dialling side decides, the other repeats its own words for nothing.
    pub(crate) purpose: Purpose,
    /// The cluster that the node's data belongs to; none as long as it has none.
    pub(crate) cluster_id: Option<String>,
    /// Its `node.id`.
    pub(crate) broker_id: BrokerId,
    /// Its id in the metadata quorum.
    pub(crate) raft_node_id: u64,
    /// This run of the node.
    pub(crate) incarnation: Uuid,
    /// Its log directory.
    pub(crate) directory_id: Uuid,
    /// Whether its metadata quorum holds anything.
    pub(crate) is_initialised: bool,
}

/// [`Hello`] on the wire. Fields are only ever appended.
#[derive(Serialize, Deserialize)]
struct Fields {
    purpose: Purpose,
    cluster_id: Option<String>,
    broker_id: i32,
    raft_node_id: u64,
    incarnation: [u8; 16],
    directory_id: [u8; 16],
    is_initialised: bool,
}

/// What the accepting side answers to a hello. Variants are only ever appended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Verdict {
    /// They talk.
    Welcome,
    /// They do not.
    Refused(Mismatch),
}

/// Why two nodes do not talk to each other.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
pub(crate) enum Mismatch {
    /// Their data belongs to different clusters.
    #[error(
        "node {accepting} belongs to the cluster {accepting_cluster}, and node {dialling} to the cluster \
         {dialling_cluster}; check ottla.replica.set and log.dirs of both"
    )]
    ForeignCluster {
        /// The node that accepted the connection.
        accepting: i32,
        /// Its cluster.
        accepting_cluster: String,
        /// The node that dialled.
        dialling: i32,
        /// Its cluster.
        dialling_cluster: String,
    },
    /// The certificate does not name the node that the hello names.
    #[error(
        "the hello says node {broker_id}, and the certificate that came with it does not name node-{broker_id}; \
         give each node its own of ottla.peer.tls.certificate"
    )]
    AnotherNodesCertificate {
        /// The id in the hello.
        broker_id: i32,
    },
}

/// Why a hello could not be read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum HelloError {
    /// Kafka's protocol: a client came to the wrong port, or this node dialled one.
    #[error(
        "the other side speaks Kafka's protocol, which is for listeners; nodes talk at ottla.peer.listener"
    )]
    Kafka,
    /// HTTP, likewise.
    #[error(
        "the other side speaks HTTP, which is for ottla.http.listener; nodes talk at ottla.peer.listener"
    )]
    Http,
    /// One side has certificates and the other has none.
    #[error(
        "the other side speaks TLS and this node does not; give every node of the set ottla.peer.tls.certificate"
    )]
    OnlyTheyUseTls,
    /// The other way round.
    #[error(
        "the other side speaks plain text and this node speaks TLS; give every node of the set \
         ottla.peer.tls.certificate"
    )]
    OnlyWeUseTls,
    /// Both have certificates, which do not fit.
    #[error(transparent)]
    Tls(TlsProblem),
    /// Something else.
    #[error("the other side is no Ottla node, or one of an unknown kind")]
    Stranger,
    /// A hello of this version with a field that is out of its range.
    #[error("the other side sent a hello that cannot be read")]
    Malformed,
    /// No hello came in time.
    #[error("no hello came in time")]
    TooSlow,
    /// No frame.
    #[error(transparent)]
    Frame(FrameError),
}

impl HelloError {
    /// What an error of TLS means; any other is the socket's.
    pub(super) fn of_tls(error: io::Error) -> Self {
        match TlsProblem::of(&error) {
            // What a node without TLS sends at once looks like a damaged record.
            Some(TlsProblem::Other(rustls::Error::InvalidMessage(_))) => Self::OnlyWeUseTls,
            Some(problem) => Self::Tls(problem),
            None => Self::Frame(error.into()),
        }
    }
}

impl From<FrameError> for HelloError {
    fn from(error: FrameError) -> Self {
        match error {
            // Whether the other side trusts a certificate is known with its first answer, after the handshake.
            FrameError::Io(error) => Self::of_tls(error),
            error => Self::Frame(error),
        }
    }
}

impl Hello {
    fn encode(&self) -> Vec<u8> {
        let fields = Fields {
            purpose: self.purpose,
            cluster_id: self.cluster_id.clone(),
            broker_id: self.broker_id.0,
            raft_node_id: self.raft_node_id,
            incarnation: self.incarnation.into_bytes(),
            directory_id: self.directory_id.into_bytes(),
            is_initialised: self.is_initialised,
        };
        let mut bytes = MAGIC.to_vec();
        bytes.extend_from_slice(&self.protocol_version.to_be_bytes());
        postcard::to_extend(&fields, bytes).expect("plain fields are written to memory")
    }

    fn decode(bytes: &[u8]) -> Result<Self, HelloError> {
        let after_magic = bytes.strip_prefix(MAGIC).ok_or(HelloError::Stranger)?;
        let (version, fields) = after_magic.split_first_chunk::<2>().ok_or(HelloError::Malformed)?;
        let protocol_version = u16::from_be_bytes(*version);
        let (fields, _of_later_versions) =
            postcard::take_from_bytes::<Fields>(fields).map_err(|_| HelloError::Malformed)?;
        let is_printable =
            |id: &String| id.len() <= CLUSTER_ID_BYTES_MAX && id.bytes().all(|byte| byte.is_ascii_graphic());
        if protocol_version == 0 || fields.broker_id < 0 || !fields.cluster_id.iter().all(is_printable) {
            return Err(HelloError::Malformed);
        }
        Ok(Self {
            protocol_version,
            purpose: fields.purpose,
            cluster_id: fields.cluster_id,
            broker_id: BrokerId(fields.broker_id),
            raft_node_id: fields.raft_node_id,
            incarnation: Uuid::from_bytes(fields.incarnation),
            directory_id: Uuid::from_bytes(fields.directory_id),
            is_initialised: fields.is_initialised,
        })
    }
}

impl fmt::Display for Purpose {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Raft => "raft",
            Self::Control => "control",
            Self::Fetch => "fetch",
        })
    }
}

/// Whether the node that accepted a connection and the one that dialled it belong together, as far as both know.
/// Both sides come to the same answer.
pub(super) fn judge(accepting: &Hello, dialling: &Hello) -> Result<(), Mismatch> {
    match (&accepting.cluster_id, &dialling.cluster_id) {
        (Some(accepting_cluster), Some(dialling_cluster)) if accepting_cluster != dialling_cluster => {
            Err(Mismatch::ForeignCluster {
                accepting: accepting.broker_id.0,
                accepting_cluster: accepting_cluster.clone(),
                dialling: dialling.broker_id.0,
                dialling_cluster: dialling_cluster.clone(),
            })
        }
        _ => Ok(()),
    }
}

/// Sends `own` and reads the other side's.
pub(super) async fn exchange<S: AsyncRead + AsyncWrite + Unpin>(
    stream: &mut S,
    own: &Hello,
) -> Result<Hello, HelloError> {
    frame::write_frame(stream, &[&own.encode()]).await.map_err(HelloError::of_tls)?;
    let mut reader = FrameReader::default();
    match reader.read(stream, HELLO_BYTES_MAX).await {
        Ok(bytes) => Hello::decode(&bytes).map_err(|error| named(&bytes).unwrap_or(error)),
        Err(error) => Err(foreign_tongue(reader.received()).unwrap_or_else(|| error.into())),
    }
}

/// Who speaks, when the first bytes of a connection are no TLS.
pub(super) async fn other_than_tls(stream: &TcpStream) -> Result<Option<HelloError>, HelloError> {
    let mut first = [0; 16];
    let count = stream.peek(&mut first).await.map_err(HelloError::of_tls)?;
    match first.get(..count) {
        None | Some([]) => Err(HelloError::Frame(FrameError::Closed)),
        Some([TLS_HANDSHAKE, ..]) => Ok(None),
        Some(other) => Ok(Some(foreign_tongue(other).unwrap_or(HelloError::OnlyWeUseTls))),
    }
}

/// Sends what became of the other side's hello.
pub(super) async fn send_verdict<S: AsyncWrite + Unpin>(
    stream: &mut S,
    verdict: &Verdict,
) -> Result<(), FrameError> {
    let bytes = postcard::to_allocvec(verdict).expect("plain fields are written to memory");
    Ok(frame::write_frame(stream, &[&bytes]).await?)
}

/// Reads what became of the own hello.
pub(super) async fn read_verdict<S: AsyncRead + Unpin>(stream: &mut S) -> Result<Verdict, HelloError> {
    let bytes: Bytes = frame::read_frame(stream, HELLO_BYTES_MAX).await?;
    postcard::from_bytes(&bytes).map_err(|_| HelloError::Malformed)
}

/// Who sent a frame that is no hello: a Kafka request begins with its API key and version, and the first one that
/// every client sends is ApiVersions (18).
fn named(body: &[u8]) -> Option<HelloError> {
    matches!(body, [0, 18, 0, _, ..]).then_some(HelloError::Kafka)
}

/// Who sent bytes that are no frame.
fn foreign_tongue(received: &[u8]) -> Option<HelloError> {
    match received.get(..LENGTH_BYTES)? {
        [TLS_HANDSHAKE | TLS_ALERT, 0x03, ..] => Some(HelloError::OnlyTheyUseTls),
        b"GET " | b"HEAD" | b"POST" | b"PUT " | b"OPTI" | b"PRI " | b"HTTP" => Some(HelloError::Http),
        _ => named(received.get(LENGTH_BYTES..)?),
    }
}

#[cfg(test)]
mod tests;
