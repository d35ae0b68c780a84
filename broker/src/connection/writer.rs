//! The writing half of a connection: it drives all outcomes together and sends them in the order of their requests.

use super::turns::Turn;
use crate::api::Outcome;
use crate::broker::Broker;
use crate::clock;
use crate::limits;
use crate::timeline::{Asked, Timeline};
use crate::wire::response::{EncodeError, ResponseFrame};
use bytes::Buf;
use futures_util::StreamExt;
use futures_util::future::BoxFuture;
use futures_util::stream::FuturesOrdered;
use std::io::{self, IoSlice};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncWrite, AsyncWriteExt};
use tokio::sync::mpsc;
use tokio::time::timeout;

/// How many pieces go into one vectored write; the kernel takes 1,024 at most.
const PIECES_PER_WRITE: usize = 64;

/// An answer, once everything that it waits for has happened.
pub(super) type PendingAnswer = BoxFuture<'static, Answer>;

/// What goes back, where the time went, and what the request holds of its connection until the answer has gone.
pub(super) struct Answer {
    pub(super) outcome: Result<Outcome, EncodeError>,
    pub(super) timeline: Arc<Timeline>,
    pub(super) turn: Option<Turn>,
}

/// Sends outcomes in the order in which their requests came, until the reader has ended and all are sent. A client
/// that takes nothing for `connections.max.idle.ms` has left.
pub(super) async fn write_outcomes<W: AsyncWrite + Unpin>(
    mut stream: W,
    mut queue: mpsc::Receiver<PendingAnswer>,
    broker: Arc<Broker>,
    peer: SocketAddr,
) {
    let patience = broker.idle_max();
    let mut pending = FuturesOrdered::<PendingAnswer>::new();
    let mut is_open = true;
    while is_open || !pending.is_empty() {
        tokio::select! {
            outcome = queue.recv(), if is_open && pending.len() < limits::REQUESTS_IN_FLIGHT_PER_CONNECTION => {
                match outcome {
                    Some(outcome) => pending.push_back(outcome),
                    None => is_open = false,
                }
            }
            Some(answer) = pending.next(), if !pending.is_empty() => {
                let sending = clock::monotonic();
                if !send(&mut stream, answer.outcome, patience).await {
                    return;
                }
                drop(answer.turn);
                report_if_slow(&broker, peer, &answer.timeline, sending);
            }
        }
    }
}

/// Counts a request that took long, and says of some of them where the time went.
fn report_if_slow(broker: &Broker, peer: SocketAddr, timeline: &Timeline, sending: Duration) {
    let Some(Asked { api, version, client_id }) = &timeline.of else { return };
    let Some(limit) = broker.slow_request() else { return };
    let now = clock::monotonic();
    let parts = timeline.parts(sending, now);
    let total = parts.total(api.key);
    if total <= limit {
        return;
    }
    broker.metrics.slow_requests.increment(1);
    if let Some(left_out) = broker.slow_lines.lock().take_line(now) {
        let (name, total_ms) = (api.name, total.as_millis());
        let others =
            if left_out > 0 { format!(" ({left_out} others were slow meanwhile)") } else { String::new() };
        tracing::warn!(
            "slow: {name} {version} of {client_id:?} at {peer} took {total_ms} ms: {parts}{others}"
        );
    }
}

/// Sends one outcome. Returns whether the connection goes on.
async fn send<W: AsyncWrite + Unpin>(
    stream: &mut W,
    outcome: Result<Outcome, EncodeError>,
    patience: Duration,
) -> bool {
    match outcome {
        Ok(Outcome::Silence) => true,
        Ok(Outcome::Close) => false,
        Ok(Outcome::Send(frame)) => write_all_vectored(stream, frame, patience).await.is_ok(),
        Err(error) => {
            tracing::error!("{error}; this is a defect, please report it");
            false
        }
    }
}

async fn write_all_vectored<W: AsyncWrite + Unpin>(
    stream: &mut W,
    frame: ResponseFrame,
    patience: Duration,
) -> io::Result<()> {
    let mut pieces = frame.pieces;
    let mut first = 0;
    while first < pieces.len() {
        let mut written = {
            let mut slices = [IoSlice::new(&[]); PIECES_PER_WRITE];
            let mut count = 0;
            for (slice, piece) in slices.iter_mut().zip(pieces.iter().skip(first)) {
                *slice = IoSlice::new(piece);
                count += 1;
            }
            let writing = stream.write_vectored(slices.get(..count).unwrap_or_default());
            timeout(patience, writing).await.map_err(|_elapsed| io::ErrorKind::TimedOut)??
        };
        if written == 0 {
            return Err(io::ErrorKind::WriteZero.into());
        }
        while let Some(piece) = pieces.get_mut(first).filter(|_| written > 0) {
            let taken = written.min(piece.len());
            piece.advance(taken);
            written -= taken;
            if piece.is_empty() {
                first += 1;
            }
        }
    }
    Ok(())
}
