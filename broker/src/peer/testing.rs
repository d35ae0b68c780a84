//! Two nodes that talk to each other, for tests.

use super::{
    DialError, Dialer, Hello, PROTOCOL_VERSION, PeerListener, PeerSockets, PeerStream, PeerTls, Purpose,
};
use config::broker::Endpoint;
use std::net::TcpListener;
use std::sync::atomic::{AtomicU32, Ordering};
use storage::ids::BrokerId;
use uuid::Uuid;

/// What a node says that has just started.
pub(super) fn hello(broker_id: i32, cluster_id: Option<&str>) -> Hello {
    Hello {
        protocol_version: PROTOCOL_VERSION,
        purpose: Purpose::Raft,
        cluster_id: cluster_id.map(str::to_owned),
        broker_id: BrokerId(broker_id),
        raft_node_id: 7,
        incarnation: Uuid::new_v4(),
        directory_id: Uuid::new_v4(),
        is_initialised: cluster_id.is_some(),
    }
}

/// An address on loopback that no other test of this process has: a port on it is not given to another one meanwhile, also
/// while nobody listens there.
pub(crate) fn own_host() -> String {
    static NEXT: AtomicU32 = AtomicU32::new(1);
    let [_, high, middle, low] = NEXT.fetch_add(1, Ordering::Relaxed).to_be_bytes();
    // 127.0 is where everything else on a machine listens.
    format!("127.{}.{middle}.{low}", 1 + high)
}

/// An address on which nobody listens, and nobody else will.
pub(crate) fn free_address() -> Endpoint {
    let host = own_host();
    let socket = TcpListener::bind((host.as_str(), 0)).expect("a port is free");
    let port = socket.local_addr().expect("it is bound").port();
    Endpoint { host, port }
}

/// A listener on a port that was free.
pub(super) async fn listener(tls: Option<PeerTls>) -> (PeerListener, Endpoint) {
    let any_port = Endpoint { host: own_host(), port: 0 };
    let sockets = PeerSockets::bind(&any_port).await.unwrap();
    let port = sockets.addresses().next().unwrap().port();
    (PeerListener::listen(sockets, tls).unwrap(), Endpoint { port, ..any_port })
}

/// One node accepts, another dials, each with what it has of TLS and what it says: gives the ends of both.
pub(super) async fn connect_through(
    (accepting_tls, accepting): (Option<PeerTls>, &Hello),
    (dialling_tls, dialling): (Option<PeerTls>, &Hello),
) -> Result<(PeerStream, PeerStream), DialError> {
    let (mut listener, address) = listener(accepting_tls).await;
    let dialer = Dialer::new(dialling_tls);
    let dialled = dialer.dial(&address, Purpose::Fetch, dialling);
    tokio::pin!(dialled);
    tokio::select! {
        accepted = listener.accept(|| accepting.clone()) => Ok((accepted, dialled.await?)),
        dialled = &mut dialled => match dialled {
            Err(error) => Err(error),
            Ok(dialled) => Ok((listener.accept(|| accepting.clone()).await, dialled)),
        },
    }
}
