//! The HTTP listener's connections: so many at once, and none that is idle for long.
//!
//! Health and metrics are small and answered at once; who holds a connection without asking keeps others out.

use axum::serve::Listener;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, Sleep, sleep};

/// The most connections at once. Larger: who floods the listener holds more descriptors. Smaller: probes and scrapers of
/// several systems wait for each other.
pub(crate) const CONNECTIONS_MAX: usize = 64;

/// A connection over which nothing came or went for so long ends. Longer: who asks nothing keeps others out for longer.
/// Shorter: a large answer to a scraper that is slow is cut off. Scrapers come less often, and connect anew each time.
const IDLE_MAX: Duration = Duration::from_secs(10);

/// How long an accept error keeps the listener from trying again.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// A listener of which at most [`CONNECTIONS_MAX`] connections are open; further ones wait in the system's backlog.
#[derive(Debug)]
pub(crate) struct LimitedListener {
    socket: TcpListener,
    seats: Arc<Semaphore>,
}

/// One of its connections.
#[derive(Debug)]
pub(crate) struct LimitedStream {
    stream: TcpStream,
    idle: Pin<Box<Sleep>>,
    _seat: Option<OwnedSemaphorePermit>,
}

impl LimitedListener {
    pub(crate) fn new(socket: TcpListener, seats: Arc<Semaphore>) -> Self {
        Self { socket, seats }
    }
}

impl Listener for LimitedListener {
    type Io = LimitedStream;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (LimitedStream, SocketAddr) {
        // The semaphore is never closed; if it were, there would be no limit, not no health.
        let seat = Arc::clone(&self.seats).acquire_owned().await.ok();
        loop {
            match self.socket.accept().await {
                Ok((stream, peer)) => {
                    return (LimitedStream { stream, idle: Box::pin(sleep(IDLE_MAX)), _seat: seat }, peer);
                }
                Err(error) => {
                    tracing::warn!("accepting a connection for HTTP failed: {error}");
                    sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.socket.local_addr()
    }
}

impl LimitedStream {
    /// What came of an attempt; one that has to wait fails when nothing has happened for too long.
    fn watched<T>(&mut self, context: &mut Context<'_>, polled: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        match polled {
            Poll::Ready(done) => {
                self.idle.as_mut().reset(Instant::now() + IDLE_MAX);
                Poll::Ready(done)
            }
            Poll::Pending => self.idle.as_mut().poll(context).map(|()| Err(io::ErrorKind::TimedOut.into())),
        }
    }
}

impl AsyncRead for LimitedStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let polled = Pin::new(&mut self.stream).poll_read(context, buffer);
        self.watched(context, polled)
    }
}

impl AsyncWrite for LimitedStream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.watched(context, polled)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use super::LimitedListener;
    use axum::serve::Listener;
    use std::sync::Arc;
    use tokio::net::{TcpListener, TcpStream};
    use tokio::sync::Semaphore;

    #[tokio::test]
    async fn who_comes_over_the_limit_waits_until_another_leaves() {
        let socket = TcpListener::bind("127.0.0.1:0").await.expect("loopback has ports");
        let address = socket.local_addr().expect("it is bound");
        let seats = Arc::new(Semaphore::new(1));
        let mut listener = LimitedListener::new(socket, Arc::clone(&seats));
        let _clients = (TcpStream::connect(address).await, TcpStream::connect(address).await);
        let (first, _) = listener.accept().await;
        let mut second = std::pin::pin!(listener.accept());
        let is_waiting = futures_util::FutureExt::now_or_never(&mut second).is_none();
        assert!(is_waiting && seats.available_permits() == 0);
        drop(first);
        second.await;
    }
}
