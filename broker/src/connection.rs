//! One connection: a reader that takes requests in their order, and a writer that answers in the same order.
//!
//! The reader hands each request to its handler, which does at once what must happen in order (an append), and puts
//! the pending outcome into a bounded queue. The writer drives all outcomes in the queue together and sends them as
//! they become the oldest. So a slow `acks=all` does not keep later requests from being read, and a client that does
//! not read its answers fills the queue, which stops the reader: that bound is the backpressure.
//!
//! Requests whose answers can be long (all but those that append or tell a group) begin one at a time, each once the answer
//! to the one before has gone, and few of them wait for that: a client that asks and asks behind a fetch that waits, or
//! reads nothing, holds one such answer. Apache Kafka serves a connection's requests of every kind like that.
//!
//! Once the reader has ended, because the client left or the node stops, fetches that wait for records answer with what
//! there is: nothing of a connection outlives it by more than the flush that its last records wait for.

mod incoming;
mod strayed;
mod turns;
mod writer;

use crate::api::{self, PendingOutcome, RequestContext, api_versions};
use crate::broker::Broker;
use crate::client_quotas::Mute;
use crate::clock;
use crate::limits;
use crate::metrics::Metrics;
use crate::panics;
use crate::stopping::{StopSwitch, Stopping};
use crate::telemetry::ClientSoftware;
use crate::timeline::{Asked, Timeline};
use crate::wire::frame::FrameError;
use crate::wire::request_header::{MalformedHeader, RequestPrefix, split_client_id};
use bytes::Bytes;
use incoming::{FRAME_DEADLINE, Incoming};
use std::future::ready;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite};
use tokio::net::TcpStream;
use tokio::sync::{OwnedSemaphorePermit, mpsc};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use turns::Turns;
use writer::{Answer, PendingAnswer, write_outcomes};

/// After this long without a request, the read buffer is given back. Longer: idle connections hold the memory of
/// their last burst. Shorter: a busy client's buffer is allocated again and again.
const QUIET_AFTER: Duration = Duration::from_secs(1);

/// How long a connection that we end waits for the client to close its side. Longer: a stop takes longer for clients
/// that do not close. Shorter: a client on a slow line loses its last answers.
const LINGER: Duration = Duration::from_millis(500);

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
    #[error("a frame did not go on, and others waited for the memory that it held")]
    FrameInTheWay,
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
    serve_halves(
        broker,
        (read_half, write_half),
        Addresses { local: local_address, peer: peer_address },
        stopping,
    )
    .await;
}

/// The two ends of a connection.
#[derive(Clone, Copy)]
struct Addresses {
    local: SocketAddr,
    peer: SocketAddr,
}

async fn serve_halves<R, W>(broker: Arc<Broker>, halves: (R, W), addresses: Addresses, stopping: Stopping)
where
    R: AsyncRead + Unpin,
    W: AsyncWrite + Unpin + Send + 'static,
{
    let Addresses { local, peer } = addresses;
    let (stream, write_half) = halves;
    let (queue, outcomes) = mpsc::channel(limits::REQUESTS_IN_FLIGHT_PER_CONNECTION);
    // A set of one, so that the writer ends with this future, also where a stop cuts it off.
    let mut writer = JoinSet::new();
    writer.spawn(write_outcomes(write_half, outcomes, Arc::clone(&broker), peer));
    let (reader_ended, ending) = StopSwitch::new();
    let mut reader = Reader {
        broker,
        incoming: Incoming::new(stream, peer.ip()),
        local_address: local,
        peer_address: peer,
        queue,
        mute: Arc::default(),
        stopping,
        reader_ended,
        ending,
        client_id: Arc::from(""),
        software: Arc::default(),
        turns: Turns::new(),
    };
    let end = reader.run().await;
    reader.reader_ended.stop();
    if matches!(end, Ending::Frame(FrameError::Http)) {
        reader.answer_http();
    }
    match &end {
        // A client that dies leaves half a frame or a reset behind: nothing that an operator could act on.
        Ending::PeerClosed
        | Ending::Stopping
        | Ending::Idle
        | Ending::Broken
        | Ending::Frame(FrameError::Io(_) | FrameError::CutOff { .. }) => {
            tracing::debug!(peer_address = %peer, "connection closed: {end}");
        }
        _ => {
            reader.broker.metrics.connections_refused_input.increment(1);
            match reader.broker.refusal_lines.lock().take_line(clock::monotonic()) {
                Some(0) => tracing::warn!(peer_address = %peer, "connection closed: {end}"),
                Some(left_out) => {
                    tracing::warn!(peer_address = %peer, left_out, "connection closed: {end}");
                }
                None => {}
            }
        }
    }
    drop(reader.queue);
    if let Some(Err(_panic)) = writer.join_next().await {
        tracing::error!(peer_address = %peer, "the writer of a connection ended in a panic");
    }
    // Not before: a push that waited for its turn would bring the client back.
    reader.broker.telemetry.disconnected(peer);
    match end {
        Ending::PeerClosed | Ending::Broken => {}
        Ending::Frame(error) if !matches!(error, FrameError::Http) => {}
        _answered => linger(reader.incoming.into_stream()).await,
    }
}

/// Takes what the client still sends, until it closes too: a socket that is closed with bytes unread resets the
/// connection, and the reset overtakes answers that the client has not read yet.
async fn linger<R: AsyncRead + Unpin>(mut stream: R) {
    // Not on the stack, which every connection holds for as long as it lasts.
    let mut discarded = vec![0; 4096];
    let emptied = async { while matches!(stream.read(&mut discarded).await, Ok(count) if count > 0) {} };
    // Whether the client closed or was too slow, this is the end.
    let _closed = timeout(LINGER, emptied).await.is_ok();
}

/// A request that was decoded.
struct Handled {
    work: Work,
    timeline: Arc<Timeline>,
}

/// What is left to be done.
enum Work {
    /// What must happen in order has happened.
    UnderWay(PendingOutcome),
    /// Nothing has, until its turn has come.
    InTurn(Box<api::Request>, RequestPrefix, Box<RequestContext>),
}

struct Reader<R> {
    broker: Arc<Broker>,
    incoming: Incoming<R>,
    local_address: SocketAddr,
    peer_address: SocketAddr,
    queue: mpsc::Sender<PendingAnswer>,
    /// For how long the client is kept quiet, since it is over a quota.
    mute: Arc<Mute>,
    /// The word that the node stops.
    stopping: Stopping,
    /// Told to this connection's requests when no more will be read.
    reader_ended: StopSwitch,
    /// How they hear it.
    ending: Stopping,
    /// The name that the client gave itself last.
    client_id: Arc<str>,
    /// What software it says it is.
    software: Arc<ClientSoftware>,
    turns: Turns,
}

impl<R: AsyncRead + Unpin> Reader<R> {
    async fn run(&mut self) -> Ending {
        loop {
            if let Err(ending) = self.wait_for_request().await {
                return ending;
            }
            if let Err(ending) = self.keep_quiet().await {
                return ending;
            }
            let arrived = clock::monotonic();
            let (frame, memory) = match self.read_frame().await {
                Ok(read) => read,
                Err(ending) => return ending,
            };
            let memory = Arc::new(memory);
            let handled = match self.handle(&frame, &memory, arrived) {
                Ok(handled) => handled,
                Err(ending) => return ending,
            };
            drop(frame);
            let answer = match self.answer(handled, memory).await {
                Ok(answer) => answer,
                Err(ending) => return ending,
            };
            if let Err(ending) = self.enqueue(answer).await {
                return ending;
            }
        }
    }

    /// Reads a frame that has begun. A stop does not wait for the rest of it: what was not read is not answered.
    async fn read_frame(&mut self) -> Result<(Bytes, limits::RequestMemory), Ending> {
        let mut stopping = self.stopping.clone();
        tokio::select! {
            biased;
            read = self.incoming.request(&self.broker.limits, self.broker.request_bytes_max()) => read,
            () = stopping.requested() => Err(Ending::Stopping),
        }
    }

    /// The answer to a request; where requests like it take turns, one that waits for its turn.
    async fn answer(
        &mut self,
        handled: Handled,
        memory: Arc<limits::RequestMemory>,
    ) -> Result<PendingAnswer, Ending> {
        let Handled { work, timeline } = handled;
        timeline.handled(clock::monotonic());
        let in_turn = match work {
            Work::InTurn(..) => {
                let place = self.take_place().await?;
                Some(self.turns.next(place))
            }
            Work::UnderWay(_) => None,
        };
        Ok(Box::pin(async move {
            let turn = match in_turn {
                Some(in_turn) => Some(in_turn.comes().await),
                None => None,
            };
            let outcome = match work {
                Work::UnderWay(outcome) => outcome.await,
                Work::InTurn(request, prefix, context) => {
                    timeline.began(clock::monotonic());
                    api::dispatch(*request, prefix, *context).await
                }
            };
            drop(memory);
            timeline.ready(clock::monotonic());
            Answer { outcome, timeline, turn }
        }))
    }

    /// Waits for room among the requests that wait for their turn, where nothing is read meanwhile, not even that the client
    /// has left; so no longer than a connection may be idle. A stop ends the waiting: what has no place is not answered.
    async fn take_place(&mut self) -> Result<OwnedSemaphorePermit, Ending> {
        let place = timeout(self.broker.idle_max(), Arc::clone(&self.turns.places).acquire_owned());
        tokio::select! {
            biased;
            place = place => place.map_err(|_elapsed| Ending::Idle)?.map_err(|_closed| Ending::Broken),
            () = self.queue.closed() => Err(Ending::Broken),
            () = self.stopping.requested() => Err(Ending::Stopping),
        }
    }

    /// Puts an outcome behind the earlier ones. Where the queue is full and the node stops, the fetches in it are told
    /// to answer, which makes room.
    async fn enqueue(&mut self, answer: PendingAnswer) -> Result<(), Ending> {
        let place = tokio::select! {
            biased;
            place = self.queue.reserve() => place,
            () = self.stopping.requested() => {
                self.reader_ended.stop();
                self.queue.reserve().await
            }
        };
        place.map_err(|_closed| Ending::Broken)?.send(answer);
        Ok(())
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
                arrived = timeout(patience, self.incoming.wait_for_bytes()) => arrived,
            };
            match arrived {
                Ok(Ok(true)) => return Ok(()),
                Ok(Ok(false)) => return Err(Ending::PeerClosed),
                Ok(Err(error)) => return Err(Ending::Frame(FrameError::Io(error))),
                Err(_elapsed) if patience >= idle_max => return Err(Ending::Idle),
                Err(_elapsed) => {
                    self.incoming.shrink();
                    patience = idle_max;
                }
            }
        }
    }

    /// Says to a client that began with HTTP where that is served.
    fn answer_http(&self) {
        let answer = strayed::answer_to_http(self.broker.http_address.get().copied(), self.local_address);
        // Nothing came before it, so there is room; a client that has left hears nothing.
        let _unheard = self.queue.try_send(Box::pin(ready(answer)));
    }

    /// Reads nothing while the client is to keep quiet. Source: KIP-219.
    async fn keep_quiet(&mut self) -> Result<(), Ending> {
        loop {
            let remaining = self.mute.remaining();
            if remaining.is_zero() {
                return Ok(());
            }
            tokio::select! {
                biased;
                () = self.stopping.requested() => return Err(Ending::Stopping),
                () = self.queue.closed() => return Err(Ending::Broken),
                () = sleep(remaining) => {}
            }
        }
    }

    /// Judges a request by its header and hands it on.
    fn handle(
        &mut self,
        frame: &Bytes,
        memory: &Arc<limits::RequestMemory>,
        arrived: Duration,
    ) -> Result<Handled, Ending> {
        let prefix = RequestPrefix::read(frame)?;
        let RequestPrefix { api_key: key, api_version: version, .. } = prefix;
        let api = api::find(key).ok_or(Ending::NotServed { key, version })?;
        if version < api.served_min || version > api.version_max {
            if key == api::API_VERSIONS_KEY {
                let work = Work::UnderWay(api_versions::answer_unsupported(prefix));
                return Ok(Handled { work, timeline: Arc::default() });
            }
            return Err(Ending::NotServed { key, version });
        }
        let (client_id, body) = split_client_id(frame, (api.request_flexible)(version))?;
        self.broker.metrics.request(api);
        if *self.client_id != *client_id {
            self.client_id = Arc::from(client_id.as_str());
        }
        let asked = Asked { api, version, client_id: Arc::clone(&self.client_id) };
        let timeline = Arc::new(Timeline::new(asked, arrived, clock::monotonic()));
        let context = RequestContext {
            broker: Arc::clone(&self.broker),
            local_address: self.local_address,
            peer_address: self.peer_address,
            client_id,
            software: Arc::clone(&self.software),
            version,
            request_bytes: frame.len(),
            mute: Arc::clone(&self.mute),
            ending: self.ending.clone(),
            memory: Arc::clone(memory),
            timeline: Arc::clone(&timeline),
        };
        let request = decoded(&self.broker.metrics, || api::decode_request(api, version, body))?;
        let work = match api.takes_turns {
            true => Work::InTurn(Box::new(request), prefix, Box::new(context)),
            false => Work::UnderWay(api::dispatch(request, prefix, context)),
        };
        Ok(Handled { work, timeline })
    }
}

/// What `decode` makes of a request. A panic in it is a defect of ours, which costs this one connection and is counted.
fn decoded(
    metrics: &Metrics,
    decode: impl FnOnce() -> Result<api::Request, api::MalformedBody>,
) -> Result<api::Request, Ending> {
    match panics::contained(decode) {
        Some(request) => Ok(request?),
        None => {
            metrics.decode_panics.increment(1);
            Err(Ending::Panic)
        }
    }
}

#[cfg(test)]
mod tests;
