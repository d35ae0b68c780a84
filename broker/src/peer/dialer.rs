//! Connects to another node.

use super::frame::FrameError;
use super::hello::{self, Hello, HelloError, Mismatch, Purpose, Verdict};
use super::tls::PeerTls;
use super::transport::{self, PeerStream, Transport};
use config::broker::Endpoint;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::net::{TcpStream, lookup_host};
use tokio::time::timeout;

/// How long one address may take to answer a connection. Longer: a node that is cut off holds up who waits for it.
/// Shorter than a second: the first packet cannot be sent again in it, and a lossy network looks like a dead node.
const CONNECT_DEADLINE: Duration = Duration::from_millis(1500);

/// How long the hellos may take. Longer: waiting for a node that hangs. Shorter: a busy node looks like a dead one.
const HANDSHAKE_DEADLINE: Duration = Duration::from_secs(2);

/// Connects to other nodes.
#[derive(Clone, Debug, Default)]
pub(crate) struct Dialer {
    tls: Option<PeerTls>,
}

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DialError {
    /// Nothing listens there: the machine answers, and the process is gone.
    #[error("{address} refused the connection")]
    Refused {
        /// The address as configured.
        address: Endpoint,
    },
    /// The host has no address.
    #[error("the host of {address} has no address: {source}")]
    Resolve {
        /// The address as configured.
        address: Endpoint,
        /// What the resolver said.
        source: io::Error,
    },
    /// No connection, for another reason than [`DialError::Refused`].
    #[error("no connection to {address}: {source}")]
    Connect {
        /// The address as configured.
        address: Endpoint,
        /// What the system said.
        source: io::Error,
    },
    /// The hellos failed or took too long.
    #[error("{address} does not answer as a node: {source}")]
    Hello {
        /// The address as configured.
        address: Endpoint,
        /// What went wrong.
        source: HelloError,
    },
    /// The two nodes do not belong together, and trying again changes nothing.
    #[error("{address} is no peer of this node: {source}")]
    Mismatch {
        /// The address as configured.
        address: Endpoint,
        /// Why not.
        source: Mismatch,
    },
    /// The node dialled itself.
    #[error("{address} is this node itself; name the others in ottla.replica.set as they are reached")]
    Itself {
        /// The address as configured.
        address: Endpoint,
    },
}

impl DialError {
    /// Whether the other side took the connection and ended it before it had said anything: so does a process that is just
    /// ending, whose listener still is there.
    pub(crate) fn is_hung_up(&self) -> bool {
        match self {
            Self::Connect { source, .. } => transport::is_end(source),
            Self::Hello { source: HelloError::Frame(error), .. } => match error {
                FrameError::Closed | FrameError::CutOff { .. } => true,
                FrameError::Io(error) => transport::is_end(error),
                FrameError::TooLarge { .. } => false,
            },
            Self::Refused { .. }
            | Self::Resolve { .. }
            | Self::Hello { .. }
            | Self::Mismatch { .. }
            | Self::Itself { .. } => false,
        }
    }
}

impl Dialer {
    /// One that talks through TLS, or in plain text where there is none.
    pub(crate) fn new(tls: Option<PeerTls>) -> Self {
        Self { tls }
    }

    /// Connects to the node at `address`, and says `own` with `purpose` in it.
    ///
    /// Who answers is in [`PeerStream::hello`]: a caller that wants one node checks its `broker_id`.
    ///
    /// # Errors
    /// See [`DialError`].
    pub(crate) async fn dial(
        &self,
        address: &Endpoint,
        purpose: Purpose,
        own: &Hello,
    ) -> Result<PeerStream, DialError> {
        let (stream, remote) = connect(address).await?;
        let own = Hello { purpose, ..own.clone() };
        let failed = |source| DialError::Hello { address: address.clone(), source };
        let agreed = timeout(HANDSHAKE_DEADLINE, self.agree(stream, &own)).await;
        let (transport, theirs) = match agreed {
            Ok(Ok(agreed)) => agreed,
            Ok(Err(Disagreement::Hello(source))) => return Err(failed(source)),
            Ok(Err(Disagreement::Mismatch(source))) => {
                return Err(DialError::Mismatch { address: address.clone(), source });
            }
            Err(_elapsed) => return Err(failed(HelloError::TooSlow)),
        };
        if theirs.incarnation == own.incarnation {
            return Err(DialError::Itself { address: address.clone() });
        }
        Ok(PeerStream::new(Hello { purpose, ..theirs }, remote, transport))
    }

    async fn agree(&self, stream: TcpStream, own: &Hello) -> Result<(Transport, Hello), Disagreement> {
        let mut transport = match &self.tls {
            None => Transport::Plain(stream),
            Some(tls) => Transport::Tls(Box::new(tls.connect(stream).await.map_err(HelloError::of_tls)?)),
        };
        let theirs = hello::exchange(&mut transport, own).await?;
        transport.check_names(theirs.broker_id)?;
        hello::judge(&theirs, own)?;
        match hello::read_verdict(&mut transport).await? {
            Verdict::Welcome => Ok((transport, theirs)),
            Verdict::Refused(mismatch) => Err(mismatch.into()),
        }
    }
}

#[derive(Debug, thiserror::Error)]
enum Disagreement {
    #[error(transparent)]
    Hello(#[from] HelloError),
    #[error(transparent)]
    Mismatch(#[from] Mismatch),
}

/// Tries the addresses of a host in turn. It counts as refused when all of them refuse.
async fn connect(address: &Endpoint) -> Result<(TcpStream, SocketAddr), DialError> {
    let resolve = |source| DialError::Resolve { address: address.clone(), source };
    let resolved = timeout(CONNECT_DEADLINE, lookup_host((address.host.as_str(), address.port)));
    let addresses = resolved.await.map_err(|elapsed| resolve(elapsed.into()))?.map_err(resolve)?;
    let (mut has_refused, mut failed) = (false, None);
    for remote in addresses {
        let connected = timeout(CONNECT_DEADLINE, TcpStream::connect(remote)).await;
        let connected = connected.unwrap_or_else(|elapsed| Err(elapsed.into()));
        match connected.and_then(|stream| transport::configure(&stream).map(|()| stream)) {
            Ok(stream) => return Ok((stream, remote)),
            Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => has_refused = true,
            Err(error) => failed = Some(error),
        }
    }
    Err(match failed {
        Some(source) => DialError::Connect { address: address.clone(), source },
        None if has_refused => DialError::Refused { address: address.clone() },
        None => resolve(io::ErrorKind::NotFound.into()),
    })
}
