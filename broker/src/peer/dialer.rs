//! Connects to another node.

use super::frame::FrameError;
use super::hello::{self, Hello, HelloError, Mismatch, Purpose, Verdict};
use super::tls::PeerTls;
use super::transport::{self, PeerStream, Transport};
use config::broker::Endpoint;
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::net::{TcpStream, lookup_host};
use tokio::time::{sleep, timeout};

/// How long one address may take to answer a connection. Longer: a node that is cut off holds up who waits for it.
/// Shorter than a second: the first packet cannot be sent again in it, and a lossy network looks like a dead node.
const CONNECT_DEADLINE: Duration = Duration::from_millis(1500);

/// How long an address of a host may be silent before the next one is tried beside it (RFC 8305). Longer: a host with an
/// address that swallows packets is reached late. Shorter: on a slow network the first address is not the one that is used.
const NEXT_ADDRESS_AFTER: Duration = Duration::from_millis(250);

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
    #[error("the host of {address} is not found: {source}")]
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

/// Connects to the first address of a host that answers. It counts as refused when all of them refuse.
async fn connect(address: &Endpoint) -> Result<(TcpStream, SocketAddr), DialError> {
    let resolve = |source| DialError::Resolve { address: address.clone(), source };
    let resolved = timeout(CONNECT_DEADLINE, lookup_host((address.host.as_str(), address.port)));
    let addresses = resolved.await.map_err(|elapsed| resolve(elapsed.into()))?.map_err(resolve)?;
    connect_to_one(addresses).await.map_err(|failed| match failed {
        Some(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
            DialError::Refused { address: address.clone() }
        }
        Some(source) => DialError::Connect { address: address.clone(), source },
        None => resolve(io::ErrorKind::NotFound.into()),
    })
}

/// Tries the next address when one fails or is silent. Where all fail, gives an error that says more than that one was
/// refused, if there is any; `None` where there is no address.
async fn connect_to_one(
    remotes: impl IntoIterator<Item = SocketAddr>,
) -> Result<(TcpStream, SocketAddr), Option<io::Error>> {
    let mut remotes = remotes.into_iter();
    let mut connecting: FuturesUnordered<_> = remotes.next().map(connect_to).into_iter().collect();
    let mut failed: Option<io::Error> = None;
    while !connecting.is_empty() {
        tokio::select! {
            Some((remote, connected)) = connecting.next() => match connected {
                Ok(stream) => return Ok((stream, remote)),
                Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
                    failed.get_or_insert(error);
                }
                Err(error) => failed = Some(error),
            },
            () = sleep(NEXT_ADDRESS_AFTER) => {}
        }
        connecting.extend(remotes.next().map(connect_to));
    }
    Err(failed)
}

async fn connect_to(remote: SocketAddr) -> (SocketAddr, io::Result<TcpStream>) {
    let connected = timeout(CONNECT_DEADLINE, TcpStream::connect(remote)).await;
    let connected = connected.unwrap_or_else(|elapsed| Err(elapsed.into()));
    (remote, connected.and_then(|stream| transport::configure(&stream).map(|()| stream)))
}

#[cfg(test)]
mod tests {
    use super::{CONNECT_DEADLINE, connect_to_one};
    use crate::peer::testing::own_host;
    use socket2::{Domain, SockAddr, Socket, Type};
    use std::io;
    use std::net::{SocketAddr, TcpListener};
    use tokio::time::Instant;

    fn bound() -> (TcpListener, SocketAddr) {
        let listener = TcpListener::bind((own_host(), 0)).expect("a port is free");
        let address = listener.local_addr().expect("it is bound");
        (listener, address)
    }

    fn any_socket() -> Socket {
        Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket")
    }

    /// An address that answers nobody, as one behind a filter, for as long as these sockets live.
    fn silent() -> (Vec<Socket>, SocketAddr) {
        let host = own_host().parse().expect("an address");
        let listener = any_socket();
        listener.bind(&SocketAddr::new(host, 0).into()).expect("a port is free");
        listener.listen(0).expect("nobody else listens there");
        let address: SockAddr = listener.local_addr().expect("it is bound");
        // One connection waits to be accepted; there is no room for a second one.
        let waiting = any_socket();
        waiting.connect(&address).expect("there is room");
        (vec![listener, waiting], address.as_socket().expect("an address"))
    }

    #[tokio::test(start_paused = true)]
    async fn a_silent_address_of_a_host_does_not_hold_up_the_next() {
        let (_sockets, silent) = silent();
        let (_listener, listening) = bound();
        let began = Instant::now();
        let (_stream, remote) = connect_to_one([silent, listening]).await.expect("one answers");
        assert_eq!(remote, listening);
        assert!(began.elapsed() < CONNECT_DEADLINE, "{:?}", began.elapsed());
    }

    #[tokio::test(start_paused = true)]
    async fn a_host_has_refused_only_where_every_address_did() {
        let refusing = || bound().1;
        let kind = |failed: Option<io::Error>| failed.map(|error| error.kind());
        let refused = connect_to_one([refusing(), refusing()]).await.expect_err("nobody listens");
        assert_eq!(kind(refused), Some(io::ErrorKind::ConnectionRefused));
        let (_sockets, silent) = silent();
        for remotes in [[refusing(), silent], [silent, refusing()]] {
            let failed = connect_to_one(remotes).await.expect_err("nobody listens");
            assert_eq!(kind(failed), Some(io::ErrorKind::TimedOut));
        }
        assert_eq!(kind(connect_to_one([]).await.expect_err("there is no address")), None);
    }
}
