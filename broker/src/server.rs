//! The Kafka listeners: binding, accepting, and the order in which a node stops.
//!
//! A stop goes downward, each step joined before the next: no new connections; every connection answers what it has
//! read and closes, members that wait for others among them; the coordinators of groups; housekeeping; the partitions are
//! flushed and the log directory is marked clean; the quorum.

use crate::broker::Broker;
use crate::connection;
use crate::seats::Seat;
use crate::stopping::Stopping;
use config::broker::Endpoint;
use std::io;
use std::net::SocketAddr;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream, lookup_host};
use tokio::sync::OwnedSemaphorePermit;
use tokio::task::JoinSet;
use tokio::time::timeout;

/// How long a stop waits for connections to send their last answers. Longer: a client that does not read delays the
/// stop. Shorter: a flush under way is cut off from its answer.
const DRAIN_DEADLINE: Duration = Duration::from_secs(10);

/// The most connections that wait to be turned away since their addresses connect too often. Larger: more memory goes to
/// those who are not let in. Smaller: more of them are turned away at once, and come again.
pub(crate) const HELD_BACK_MAX: usize = 1000;

/// How long an accept error (most often: no file descriptors left) keeps the listener from trying again.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// A listener could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    /// The host of a listener has no address here.
    #[error(
        "{key} names the host {host}, which has no address here: {source}; name an address of this machine, or none for all of them"
    )]
    Resolve {
        /// The configuration key.
        key: &'static str,
        /// The host as configured.
        host: String,
        /// What the resolver said.
        source: io::Error,
    },
    /// The address cannot be listened on.
    #[error("cannot listen on {address} ({key}): {source}; {}", fix(source))]
    Bind {
        /// The configuration key.
        key: &'static str,
        /// The address.
        address: SocketAddr,
        /// What the system said.
        source: io::Error,
    },
}

/// What to do about an address that cannot be listened on.
fn fix(source: &io::Error) -> &'static str {
    match source.kind() {
        io::ErrorKind::AddrNotAvailable => "name an address of this machine, or none for all of them",
        io::ErrorKind::PermissionDenied => "ports below 1024 need privileges; take another one",
        _ => "is another broker running there?",
    }
}

/// A socket that has its address and does not listen yet: a port that is taken is known before the data is opened,
/// and clients are refused until it is.
#[derive(Debug)]
pub struct BoundSocket {
    socket: socket2::Socket,
    key: &'static str,
    /// Its address.
    pub address: SocketAddr,
}

impl BoundSocket {
    /// Begins to listen.
    ///
    /// # Errors
    /// When another process has begun to listen on the address.
    pub fn listen(self, backlog: i32) -> Result<TcpListener, BindError> {
        let Self { socket, key, address } = self;
        let listening = socket.listen(backlog).and_then(|()| TcpListener::from_std(socket.into()));
        listening.map_err(|source| BindError::Bind { key, address, source })
    }
}

/// Binds every address of the host of `endpoint`, which `key` has configured; `localhost` has two. With port 0, all of
/// them take the port that the first one got.
///
/// # Errors
/// When the host has no address, or none of them can be listened on.
pub async fn bind(endpoint: &Endpoint, key: &'static str) -> Result<Vec<BoundSocket>, BindError> {
    let mut port = endpoint.port;
    let mut sockets = Vec::new();
    let mut refused = None;
    for mut address in addresses_of(&endpoint.host, port, key).await? {
        address.set_port(port);
        match bind_one(address) {
            Ok((socket, address)) => {
                port = address.port();
                sockets.push(BoundSocket { socket, key, address });
            }
            // A machine without IPv6 has no ::1; the other address serves.
            Err(source) if source.kind() == io::ErrorKind::AddrNotAvailable => {
                refused = Some((address, source));
            }
            Err(source) => return Err(BindError::Bind { key, address, source }),
        }
    }
    match refused {
        Some((address, source)) if sockets.is_empty() => Err(BindError::Bind { key, address, source }),
        _ => Ok(sockets),
    }
}

async fn addresses_of(host: &str, port: u16, key: &'static str) -> Result<Vec<SocketAddr>, BindError> {
    if host.is_empty() {
        return Ok(vec![SocketAddr::from(([0, 0, 0, 0, 0, 0, 0, 0], port))]);
    }
    let resolve = |source| BindError::Resolve { key, host: host.to_owned(), source };
    let mut addresses: Vec<SocketAddr> = lookup_host((host, port)).await.map_err(resolve)?.collect();
    if host == "localhost" {
        addresses.extend([
            SocketAddr::from(([127, 0, 0, 1], port)),
            SocketAddr::from(([0, 0, 0, 0, 0, 0, 0, 1], port)),
        ]);
    }
    addresses.sort_by_key(|address| (address.is_ipv6(), *address));
    addresses.dedup();
    match addresses.is_empty() {
        true => Err(resolve(io::ErrorKind::NotFound.into())),
        false => Ok(addresses),
    }
}

fn bind_one(address: SocketAddr) -> io::Result<(socket2::Socket, SocketAddr)> {
    let socket = socket2::Socket::new(socket2::Domain::for_address(address), socket2::Type::STREAM, None)?;
    socket.set_reuse_address(true)?;
    if address.is_ipv6() {
        socket.set_only_v6(!address.ip().is_unspecified())?;
    }
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    let address = socket.local_addr()?.as_socket().unwrap_or(address);
    Ok((socket, address))
}

/// Accepts connections on `socket` and serves them, until `stopping`; then waits until all have sent their answers.
pub async fn accept(broker: Arc<Broker>, socket: TcpListener, stopping: Stopping) {
    let mut connections = JoinSet::new();
    let mut stopped = stopping.clone();
    loop {
        tokio::select! {
            biased;
            () = stopped.requested() => break,
            Some(ended) = connections.join_next() => drop(ended),
            accepted = socket.accept() => match accepted {
                Ok((stream, peer)) => {
                    // Who is not let in takes nothing from the pace of the others.
                    let wait = broker.client_quotas.connects(peer.ip());
                    if !wait.is_zero() {
                        if let Some(place) = place_to_wait(&broker, peer) {
                            connections.spawn(hold_back(stream, place, wait, stopping.clone()));
                        }
                        continue;
                    }
                    if keep_pace(&broker, &mut stopped).await.is_break() {
                        break;
                    }
                    if let Some(seat) = admit(&broker, &stream, peer) {
                        let serving = connection::serve(Arc::clone(&broker), stream, peer, stopping.clone());
                        connections.spawn(async move {
                            serving.await;
                            drop(seat);
                        });
                    }
                }
                Err(error) => {
                    tracing::warn!("accepting a connection failed: {error}");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            },
        }
    }
    drop(socket);
    let drained = timeout(DRAIN_DEADLINE, async { while connections.join_next().await.is_some() {} }).await;
    if drained.is_err() {
        tracing::warn!("clients did not take their last answers in time: {} of them", connections.len());
        connections.shutdown().await;
    }
}

/// Waits where connections come faster than they may. Breaks where the node stops meanwhile.
async fn keep_pace(broker: &Broker, stopping: &mut Stopping) -> ControlFlow<()> {
    let wait = broker.pace_connection();
    if wait.is_zero() {
        return ControlFlow::Continue(());
    }
    broker.metrics.connections_delayed.increment(1);
    tokio::select! {
        () = stopping.requested() => ControlFlow::Break(()),
        () = tokio::time::sleep(wait) => ControlFlow::Continue(()),
    }
}

/// Where a connection waits to be turned away: a seat, of which those who wait take half at most, and one of few places.
/// `None` where it is turned away at once.
fn place_to_wait(broker: &Broker, peer: SocketAddr) -> Option<(Seat, OwnedSemaphorePermit)> {
    broker.metrics.connections_held_back.increment(1);
    let place = Arc::clone(&broker.held_back).try_acquire_owned().ok()?;
    let (in_total_max, per_address_max) = broker.connections_max(peer.ip());
    Some((broker.seats.take(peer.ip(), in_total_max / 2, per_address_max)?, place))
}

/// Keeps a connection of an address that connects too often waiting, and turns it away: its client would else come again at
/// once. Source: KIP-612, `SocketServer.Acceptor.throttledSockets`.
async fn hold_back(
    stream: TcpStream,
    place: (Seat, OwnedSemaphorePermit),
    wait: Duration,
    mut stopping: Stopping,
) {
    tokio::select! {
        () = stopping.requested() => {}
        () = tokio::time::sleep(wait) => {}
    }
    drop((stream, place));
}

/// Gives a new connection its seat, or drops it at a limit.
fn admit(broker: &Arc<Broker>, stream: &TcpStream, peer: SocketAddr) -> Option<Seat> {
    let (in_total_max, per_address_max) = broker.connections_max(peer.ip());
    let seat = broker.seats.take(peer.ip(), in_total_max, per_address_max);
    if seat.is_none() {
        broker.metrics.connections_refused_limit.increment(1);
        return None;
    }
    let settings = broker.settings.load();
    let socket = socket2::SockRef::from(stream);
    let sizes = [settings.broker.socket_receive_buffer_bytes, settings.broker.socket_send_buffer_bytes];
    let [receive, send] = sizes.map(|bytes| usize::try_from(bytes).ok());
    let sized = receive
        .map_or(Ok(()), |bytes| socket.set_recv_buffer_size(bytes))
        .and_then(|()| send.map_or(Ok(()), |bytes| socket.set_send_buffer_size(bytes)));
    // A socket option that the system refuses costs latency, not correctness.
    if let Err(error) = stream.set_nodelay(true).and(sized) {
        tracing::debug!("an option of a connection: {error}");
    }
    seat
}
