//! A connection between two nodes that know each other, and the options of its socket.

use super::hello::{Hello, Mismatch};
use super::tls;
use socket2::{SockRef, TcpKeepalive};
use std::io::{self, IoSlice};
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;
use storage::ids::BrokerId;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::TlsStream;

/// A connection without traffic is probed after this long, and as often from then on. Longer: one whose other end lost
/// its power is kept longer. Shorter: packets on idle connections.
const KEEPALIVE: Duration = Duration::from_secs(5);

/// A connection ends when what was sent is not confirmed for this long, probes included. Longer: waiting for a node
/// that is gone. Shorter: a lossy network ends connections that would have recovered.
const UNCONFIRMED_MAX: Duration = Duration::from_secs(10);

/// A connection to another node, after both have said hello. Dropping it closes it; `tokio::io::split` gives a half
/// for each of two tasks.
#[derive(Debug)]
pub(crate) struct PeerStream {
    /// What the other side said of itself. Its `purpose` is the connection's.
    pub(crate) hello: Hello,
    /// The other side's address.
    pub(crate) address: SocketAddr,
    transport: Transport,
}

/// How bytes travel.
#[derive(Debug)]
pub(super) enum Transport {
    /// As they are.
    Plain(TcpStream),
    /// Through TLS, with certificates on both sides.
    Tls(Box<TlsStream<TcpStream>>),
}

trait Stream: AsyncRead + AsyncWrite + Unpin {}
impl<S: AsyncRead + AsyncWrite + Unpin> Stream for S {}

impl PeerStream {
    pub(super) fn new(hello: Hello, address: SocketAddr, transport: Transport) -> Self {
        Self { hello, address, transport }
    }

    /// Lets the runtime that this is called on watch the socket, instead of the one that accepted the connection: the
    /// bytes of a fetch then wake no thread of the quorum.
    ///
    /// # Errors
    /// When the socket cannot be registered; the connection is of no use then.
    pub(crate) fn move_to_this_runtime(&mut self) -> io::Result<()> {
        let stream = match &mut self.transport {
            Transport::Plain(stream) => stream,
            Transport::Tls(stream) => stream.get_mut().0,
        };
        // A second descriptor of the same socket: a stream within a TLS session can be replaced, but not taken out.
        let socket: std::net::TcpStream = SockRef::from(&*stream).try_clone()?.into();
        *stream = TcpStream::from_std(socket)?;
        Ok(())
    }
}

impl Transport {
    fn stream(&mut self) -> Pin<&mut dyn Stream> {
        match self {
            Self::Plain(stream) => Pin::new(stream),
            Self::Tls(stream) => Pin::new(stream.as_mut()),
        }
    }

    /// Whether the other side may say that it is `broker_id`.
    pub(super) fn check_names(&self, broker_id: BrokerId) -> Result<(), Mismatch> {
        match self {
            Self::Plain(_) => Ok(()),
            Self::Tls(stream) => tls::check_names(stream, broker_id),
        }
    }
}

/// Sets the options that each connection between nodes has.
pub(super) fn configure(stream: &TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let socket = SockRef::from(stream);
    socket.set_tcp_keepalive(&TcpKeepalive::new().with_time(KEEPALIVE).with_interval(KEEPALIVE))?;
    socket.set_tcp_user_timeout(Some(UNCONFIRMED_MAX))
}

/// Whether an error of a socket says that the other side ended the connection.
pub(super) fn is_end(error: &io::Error) -> bool {
    use io::ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionReset, NotConnected, UnexpectedEof};
    matches!(error.kind(), ConnectionReset | ConnectionAborted | BrokenPipe | NotConnected | UnexpectedEof)
}

impl AsyncRead for Transport {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.get_mut().stream().poll_read(context, buffer)
    }
}

impl AsyncWrite for Transport {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.get_mut().stream().poll_write(context, bytes)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.get_mut().stream().poll_write_vectored(context, slices)
    }

    fn is_write_vectored(&self) -> bool {
        match self {
            Self::Plain(stream) => stream.is_write_vectored(),
            Self::Tls(stream) => stream.is_write_vectored(),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.get_mut().stream().poll_flush(context)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.get_mut().stream().poll_shutdown(context)
    }
}

impl AsyncRead for PeerStream {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().transport).poll_read(context, buffer)
    }
}

impl AsyncWrite for PeerStream {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().transport).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().transport).poll_write_vectored(context, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.transport.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().transport).poll_flush(context)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().transport).poll_shutdown(context)
    }
}
