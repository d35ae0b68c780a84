//! One connection: a reader that takes requests in their order, and a writer that answers in the same order.
//!
//! The reader hands each request to its handler, which does at once what must happen in order (an append), and puts
//! the pending outcome into a bounded queue. The writer drives all outcomes in the queue together and sends them as
//! they become the oldest. So a slow `acks=all` does not keep later requests from being read, and a client that does
//! not read its answers fills the queue, which stops the reader: that bound is the backpressure.

use crate::api::{self, Outcome, PendingOutcome, RequestContext, api_versions};
use crate::broker::Broker;

use crate::limits;
use crate::panics;
use crate::stopping::Stopping;
use crate::wire::frame::{FrameError, FrameReader};
use crate::wire::request_header::{MalformedHeader, RequestPrefix, split_client_id};
use crate::wire::response::{EncodeError, ResponseFrame};
use bytes::{Buf, Bytes};
use futures_util::StreamExt;
use futures_util::stream::FuturesOrdered;
use std::io::{self, IoSlice};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::mpsc;
use tokio::time::timeout;

/// After this long without a request, the read buffer is given back. Longer: idle connections hold the memory of
/// their last burst. Shorter: a busy client's buffer is allocated again and again.
const QUIET_AFTER: Duration = Duration::from_secs(1);

/// A frame that has begun must be complete after this long. Longer: half-sent frames hold a connection. Shorter: a
/// thin line cannot carry a large request.
const FRAME_DEADLINE: Duration = Duration::from_secs(120);

/// How many pieces go into one vectored write; the kernel takes 1,024 at most.
const PIECES_PER_WRITE: usize = 64;

/// Why a connection came to its end.
#[derive(Debug, thiserror::Error)]
enum Ending {
    #[error("the client closed")]
    PeerClosed,
    #[error("the node stops")]
    Stopping,
    #[error("no request came for the length of connections.max.idle.ms")]
    Idle,
    #[error("answers could no longer be sent")]
    Broken,
    #[error(transparent)]
    Frame(#[from] FrameError),
    #[error("a frame of {size} bytes that is no Produce request; at most {limit} are read")]
    FrameTooLarge { size: usize, limit: usize },
    #[error("a frame was not complete after {FRAME_DEADLINE:?}")]
    FrameTooSlow,
    #[error(transparent)]
    Header(#[from] MalformedHeader),
    #[error("API key {key} in version {version} is not served")]
    NotServed { key: i16, version: i16 },
    #[error(transparent)]
    Body(#[from] api::MalformedBody),
    #[error("decoding a request panicked; this is a defect, please report it")]
    Panic,
}

/// Serves `stream` until it ends, or until `stopping` is set and every request that was read is answered.
pub(crate) async fn serve(
    broker: Arc<Broker>,
    stream: TcpStream,
    peer_address: SocketAddr,
    stopping: Stopping,
) {
    let Ok(local_address) = stream.local_addr() else { return };
    let (read_half, write_half) = stream.into_split();
    let (queue, outcomes) = mpsc::channel(limits::REQUESTS_IN_FLIGHT_PER_CONNECTION);
    let writer = tokio::spawn(write_outcomes(write_half, outcomes));
    let mut reader =
        Reader { broker, stream: read_half, frames: FrameReader::default(), local_address, queue, stopping };
    let ending = reader.run().await;
    match &ending {
        Ending::PeerClosed | Ending::Stopping | Ending::Idle | Ending::Broken => {
            tracing::debug!(%peer_address, "connection closed: {ending}");
        }
        _ => {
            reader.broker.metrics.connections_refused_input.increment(1);
            tracing::warn!(%peer_address, "connection closed: {ending}");
        }
    }
    drop(reader);
    if writer.await.is_err() {
        tracing::error!(%peer_address, "the writer of a connection ended in a panic");
    }
}

struct Reader {
    broker: Arc<Broker>,
    stream: OwnedReadHalf,
    frames: FrameReader,
    local_address: SocketAddr,
    queue: mpsc::Sender<PendingOutcome>,
    stopping: Stopping,
}

impl Reader {
    async fn run(&mut self) -> Ending {
        loop {
            if let Err(ending) = self.wait_for_request().await {
                return ending;
            }
            match timeout(FRAME_DEADLINE, self.read_frame()).await {
                Err(_elapsed) => return Ending::FrameTooSlow,
                Ok(Err(ending)) => return ending,
                Ok(Ok((frame, memory))) => {
                    let handled = self.handle(&frame);
                    drop(frame);
                    match handled {
                        Err(ending) => return ending,
                        Ok(outcome) => {
                            let outcome: PendingOutcome = Box::pin(async move {
                                let outcome = outcome.await;
                                drop(memory);
                                outcome
                            });
                            if self.queue.send(outcome).await.is_err() {
                                return Ending::Broken;
                            }
                        }
                    }
                }
            }
        }
    }

    /// Waits for the first bytes of a request; gives memory back on the way.
    async fn wait_for_request(&mut self) -> Result<(), Ending> {
        let idle_max = self.broker.idle_max();
        let mut patience = QUIET_AFTER.min(idle_max);
        loop {
            let arrived = tokio::select! {
                biased;
                () = self.stopping.requested() => return Err(Ending::Stopping),
                () = self.queue.closed() => return Err(Ending::Broken),
                arrived = timeout(patience, self.frames.wait_for_bytes(&mut self.stream)) => arrived,
            };
            match arrived {
                Ok(Ok(true)) => return Ok(()),
                Ok(Ok(false)) => return Err(Ending::PeerClosed),
                Ok(Err(error)) => return Err(Ending::Frame(FrameError::Io(error))),
                Err(_elapsed) if patience >= idle_max => return Err(Ending::Idle),
                Err(_elapsed) => {
                    self.frames.shrink();
                    patience = idle_max;
                }
            }
        }
    }

    async fn read_frame(&mut self) -> Result<(Bytes, limits::RequestMemory), Ending> {
        let limit = self.broker.request_bytes_max();
        let Some(size) = self.frames.announcement(&mut self.stream, limit).await? else {
            return Err(Ending::PeerClosed);
        };
        if size > limits::OTHER_FRAME_BYTES_MAX {
            let head = self.frames.peek(&mut self.stream, 8).await?;
            let is_produce = RequestPrefix::read(head)?.api_key == api::PRODUCE_KEY;
            if !is_produce {
                return Err(Ending::FrameTooLarge { size, limit: limits::OTHER_FRAME_BYTES_MAX });
            }
        }
        let memory = self.broker.limits.request_memory(size).await;
        Ok((self.frames.body(&mut self.stream, size).await?, memory))
    }

    /// Judges a request by its header and hands it on.
    fn handle(&self, frame: &Bytes) -> Result<PendingOutcome, Ending> {
        let prefix = RequestPrefix::read(frame)?;
        let RequestPrefix { api_key: key, api_version: version, .. } = prefix;
        let api = api::find(key).ok_or(Ending::NotServed { key, version })?;
        if version < api.served_min || version > api.version_max {
            if key == api::API_VERSIONS_KEY {
                return Ok(api_versions::answer_unsupported(prefix));
            }
            return Err(Ending::NotServed { key, version });
        }
        let (client_id, body) = split_client_id(frame, (api.request_flexible)(version))?;
        self.broker.metrics.request(api);
        let context = RequestContext {
            broker: Arc::clone(&self.broker),
            local_address: self.local_address,
            client_id,
            version,
        };
        match panics::contained(|| api::decode_request(api, version, body)) {
            Some(request) => Ok(api::dispatch(request?, prefix, context)),
            None => {
                self.broker.metrics.decode_panics.increment(1);
                Err(Ending::Panic)
            }
        }
    }
}

/// Sends outcomes in the order in which their requests came, until the reader has ended and all are sent.
async fn write_outcomes(mut stream: OwnedWriteHalf, mut queue: mpsc::Receiver<PendingOutcome>) {
    let mut pending = FuturesOrdered::<PendingOutcome>::new();
    let mut is_open = true;
    while is_open || !pending.is_empty() {
        tokio::select! {
            outcome = queue.recv(), if is_open && pending.len() < limits::REQUESTS_IN_FLIGHT_PER_CONNECTION => {
                match outcome {
                    Some(outcome) => pending.push_back(outcome),
                    None => is_open = false,
                }
            }
            Some(outcome) = pending.next(), if !pending.is_empty() => {
                if !send(&mut stream, outcome).await {
                    return;
                }
            }
        }
    }
}

/// Sends one outcome. Returns whether the connection goes on.
async fn send(stream: &mut OwnedWriteHalf, outcome: Result<Outcome, EncodeError>) -> bool {
    match outcome {
        Ok(Outcome::Silence) => true,
        Ok(Outcome::Close) => false,
        Ok(Outcome::Send(frame)) => write_all_vectored(stream, frame).await.is_ok(),
        Err(error) => {
            tracing::error!("{error}; this is a defect, please report it");
            false
        }
    }
}

async fn write_all_vectored<W: AsyncWrite + Unpin>(stream: &mut W, frame: ResponseFrame) -> io::Result<()> {
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
            stream.write_vectored(slices.get(..count).unwrap_or_default()).await?
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
