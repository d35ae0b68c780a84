//! Serves what this node leads to the nodes that follow: one session for each connection.
//!
//! Invariants: a session knows only what was said over its connection, and ends with it; sessions are few, since each is
//! of another node. Absent: what a follower's report means (`replication::leader`), and the follower's side
//! (`replica_fetcher`).

mod session;

use crate::broker::Broker;
use crate::peer::PeerStream;
use crate::stopping::Stopping;
use std::sync::Arc;
use tokio::task::JoinSet;

/// Sessions at the same time. Larger: peers that connect again and again hold more. Smaller than there are nodes: some
/// could not follow.
const SESSIONS_MAX: usize = 512;

/// Serves every connection that comes, until `stopping` is set.
pub(crate) async fn run(broker: Arc<Broker>, mut stopping: Stopping) {
    let Some(mut streams) = broker.quorum.fetch_streams() else { return };
    let mut sessions = JoinSet::new();
    loop {
        tokio::select! {
            biased;
            () = stopping.requested() => break,
            // A panic in a session has already ended the process; see `panics`.
            Some(_ended) = sessions.join_next() => {}
            Some(stream) = streams.recv(), if sessions.len() < SESSIONS_MAX => {
                sessions.spawn(serve(Arc::clone(&broker), stream));
            }
        }
    }
    sessions.shutdown().await;
}

/// Serves `follower` at the other end of `stream`.
#[cfg(test)]
pub(crate) async fn serve_over(
    broker: Arc<Broker>,
    follower: storage::ids::BrokerId,
    stream: impl tokio::io::AsyncRead + tokio::io::AsyncWrite,
) {
    drop(session::serve(broker, follower, stream).await);
}

async fn serve(broker: Arc<Broker>, mut stream: PeerStream) {
    let (follower, address) = (stream.hello.broker_id, stream.address);
    if let Err(error) = stream.move_to_this_runtime() {
        tracing::warn!("node {follower} cannot be served: {error}");
        return;
    }
    tracing::debug!("node {follower} at {address} follows");
    let ended = session::serve(broker, follower, stream).await;
    tracing::debug!("node {follower} at {address} follows no more: {ended}");
}
