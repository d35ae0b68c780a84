//! Accepts the connections of other nodes.

use super::handshakes::{HANDSHAKE_DEADLINE, Handshakes};
use super::hello::{self, Hello, HelloError, Mismatch, Verdict};
use super::tls::PeerTls;
use super::transport::{self, PeerStream, Transport};
use crate::clock;
use crate::server::{self, BindError, BoundSocket};
use config::broker::Endpoint;
use parking_lot::Mutex;
use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::time::sleep;

/// The connections that the system keeps for a listener that is busy. Larger: strangers wait in the system's memory.
/// Smaller: a flood fills it, and nodes must connect again.
const BACKLOG: i32 = 1024;

/// How long an accept error (most often: no file descriptors left) keeps the listener from trying again.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Refused connections are logged this far apart. Shorter: a stranger fills the log. Longer: a person who looks at a node
/// that does not join sees nothing.
const REFUSAL_LOG_INTERVAL: Duration = Duration::from_secs(5);

/// The sockets of a peer listener, which have their addresses and do not listen yet. They belong to no runtime.
#[derive(Debug)]
pub(crate) struct PeerSockets(Vec<BoundSocket>);

/// Accepts connections and lets them say hello.
#[derive(Debug)]
pub(crate) struct PeerListener {
    sockets: Vec<TcpListener>,
    tls: Option<PeerTls>,
    handshakes: Handshakes,
    refusals: Arc<Mutex<RefusalLog>>,
}

/// Why a connection came to nothing.
#[derive(Debug, thiserror::Error)]
enum Refusal {
    #[error(transparent)]
    Hello(#[from] HelloError),
    #[error(transparent)]
    Mismatch(#[from] Mismatch),
    #[error("an option of its socket: {0}")]
    Socket(io::Error),
}

/// When a refusal was logged last, and how many were not since.
#[derive(Debug, Default)]
struct RefusalLog {
    logged: Option<Duration>,
    left_out: u64,
}

impl PeerSockets {
    /// Binds every address of the host of `listener`.
    ///
    /// # Errors
    /// When the host has no address, or none of them can be bound.
    pub(crate) async fn bind(listener: &Endpoint) -> Result<Self, BindError> {
        Ok(Self(server::bind(listener, "ottla.peer.listener").await?))
    }

    /// The addresses, with the ports that the system chose where 0 was configured.
    #[cfg(test)]
    pub(crate) fn addresses(&self) -> impl Iterator<Item = SocketAddr> {
        self.0.iter().map(|socket| socket.address)
    }
}

impl PeerListener {
    /// Begins to listen, for nodes that talk through TLS, or in plain text where there is none. The runtime that this is called on watches the sockets.
    ///
    /// # Errors
    /// When another process has begun to listen on an address.
    pub(crate) fn listen(sockets: PeerSockets, tls: Option<PeerTls>) -> Result<Self, BindError> {
        let sockets: Result<_, _> = sockets.0.into_iter().map(|socket| socket.listen(BACKLOG)).collect();
        Ok(Self {
            sockets: sockets?,
            tls,
            handshakes: Handshakes::new(HANDSHAKE_DEADLINE),
            refusals: Arc::default(),
        })
    }

    /// The next node that connected and said hello; each is told `own`. Strangers are refused and logged here.
    ///
    /// Cancel-safe: a connection that is saying hello goes on, and comes with the next call.
    pub(crate) async fn accept(&mut self, own: impl Fn() -> Hello) -> PeerStream {
        loop {
            tokio::select! {
                biased;
                stream = self.handshakes.next() => return stream,
                accepted = accept_any(&self.sockets) => match accepted {
                    Ok((stream, address)) => {
                        let refusals = Arc::clone(&self.refusals);
                        let (tls, own) = (self.tls.clone(), own());
                        self.handshakes.begin(address.ip(), async move {
                            let agreed = agree(stream, address, tls.as_ref(), &own).await;
                            agreed.map_err(|refusal| refusals.lock().log(address, &refusal)).ok()
                        });
                    }
                    Err(error) => {
                        tracing::warn!("accepting a connection of a node failed: {error}");
                        sleep(ACCEPT_PAUSE).await;
                    }
                },
            }
        }
    }
}

async fn accept_any(sockets: &[TcpListener]) -> io::Result<(TcpStream, SocketAddr)> {
    poll_fn(|context| {
        sockets.iter().map(|socket| socket.poll_accept(context)).find(Poll::is_ready).unwrap_or(Poll::Pending)
    })
    .await
}

async fn agree(
    stream: TcpStream,
    address: SocketAddr,
    tls: Option<&PeerTls>,
    own: &Hello,
) -> Result<PeerStream, Refusal> {
    transport::configure(&stream).map_err(Refusal::Socket)?;
    let mut transport = match tls {
        None => Transport::Plain(stream),
        Some(tls) => {
            let stranger = hello::other_than_tls(&stream).await?;
            // TLS tells a stranger that it is none.
            let accepted = tls.accept(stream).await;
            let failed = |error| stranger.unwrap_or_else(|| HelloError::of_tls(error));
            Transport::Tls(Box::new(accepted.map_err(failed)?))
        }
    };
    let theirs = hello::exchange(&mut transport, own).await?;
    let judgement = transport.check_names(theirs.broker_id).and_then(|()| hello::judge(own, &theirs));
    let verdict = judgement.clone().map_or_else(Verdict::Refused, |()| Verdict::Welcome);
    hello::send_verdict(&mut transport, &verdict).await.map_err(HelloError::Frame)?;
    judgement?;
    Ok(PeerStream::new(theirs, address, transport))
}

impl RefusalLog {
    fn log(&mut self, address: SocketAddr, refusal: &Refusal) {
        let now = clock::monotonic();
        if self.logged.is_some_and(|logged| now < logged + REFUSAL_LOG_INTERVAL) {
            self.left_out += 1;
            return;
        }
        self.logged = Some(now);
        let left_out = std::mem::take(&mut self.left_out);
        let more = if left_out == 0 { String::new() } else { format!(" (and {left_out} more since)") };
        tracing::warn!("a connection from {address} to the peer listener was refused: {refusal}{more}");
    }
}

#[cfg(test)]
mod tests;
