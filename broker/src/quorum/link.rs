//! One connection to another node, over which calls go and their answers come back in any order.
//!
//! ```text
//! call, answer   one frame each: u64 number of the call, chosen by the caller, and the body
//! ```
//!
//! A [`Link`] connects when it is first used and again, after a short pause, when it is used after its connection ended.
//! Dropping it closes the connection. A caller may stop waiting at any time: an answer that nobody waits for is dropped.
//!
//! Invariants: calls go out in the order in which they were made; a call is sent at most once; the node at the other end
//! is the one that was meant, since an answer of another one would count for a disk that it does not have.
//!
//! Absent: deadlines. Callers have them.

use crate::clock;
use crate::peer::{DialError, Dialer, FrameError, FrameReader, Mismatch, PeerStream, Purpose, write_frame};
use crate::quorum::identity::Identity;
use crate::quorum::types::RaftNodeId;
use bytes::{Buf, Bytes};
use config::broker::Endpoint;
use futures_util::stream::{FuturesUnordered, StreamExt};
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use storage::ids::BrokerId;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::runtime::Handle;
use tokio::sync::{Notify, mpsc, oneshot};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep_until};

/// The most calls that wait to be sent. Larger: a node that hangs is owed more. Smaller: bursts are refused.
const WAITING_MAX: usize = 256;

/// The most calls that wait for an answer. Larger: more memory for a node that reads and never answers. Smaller: slow
/// answers end the connection.
const UNANSWERED_MAX: usize = 2048;

/// The most calls of one connection that are worked on at once; the rest wait in the socket. Larger: one node can keep
/// this one busier. Smaller: a slow call holds up a heartbeat.
const WORKED_ON_MAX: usize = 64;

/// The largest body, in bytes: an entry of the metadata log holds what one request of a client asked for, and those may
/// have 100 MiB. Larger: a peer gone mad takes more memory. Smaller: such an entry is never replicated.
const BODY_BYTES_MAX: usize = 256 * 1024 * 1024;

/// How long a failed connection is not tried again. Larger: a node that comes up is noticed later. Smaller: a node that is
/// gone is dialled more often.
const PAUSE: Duration = Duration::from_millis(50);

/// The most that the pause grows to where a member is known not to be there; it doubles with each vain attempt, and ends when
/// that member connects to this node. Larger: one that comes back and connects to nobody is noticed later. Smaller: a node
/// that is gone is dialled more often.
const PAUSE_MAX: Duration = Duration::from_secs(2);

/// Why a call was not answered.
#[derive(Debug, Clone, thiserror::Error)]
pub(super) enum CallError {
    /// The machine answers, and no process listens there. The call was not sent.
    #[error("{0} refuses connections")]
    Refused(Endpoint),
    /// The nodes do not belong together. The call was not sent.
    #[error("{0}")]
    Mismatch(Mismatch),
    /// Another node than the one that was meant answers. The call was not sent.
    #[error("{address} is answered by another life of node {answered} than the one that was meant")]
    AnotherNode {
        /// The address.
        address: Endpoint,
        /// The `node.id` of who answered.
        answered: BrokerId,
    },
    /// There is no connection, for another reason. The call was not sent.
    #[error("{0}")]
    Unreachable(Arc<DialError>),
    /// Too many calls wait. The call was not sent.
    #[error("too many calls wait for this node")]
    Busy,
    /// The connection ended. The call may have been carried out.
    #[error("the connection ended before the answer came")]
    Ended,
}

impl CallError {
    /// Whether the machine says that the member is not there: it will say itself when it is. A machine that says nothing may
    /// be there and cut off.
    fn is_absence(&self) -> bool {
        match self {
            Self::Refused(_) | Self::Mismatch(_) | Self::AnotherNode { .. } => true,
            Self::Unreachable(_) | Self::Busy | Self::Ended => false,
        }
    }
}

/// Who is meant by a link.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Whom {
    /// Whoever has this address.
    Anyone,
    /// The member of the quorum with this journal, as this broker.
    Member(RaftNodeId, BrokerId),
}

/// Where a link leads.
#[derive(Debug, Clone)]
pub(super) struct Target {
    pub(super) whom: Whom,
    pub(super) address: Endpoint,
    pub(super) purpose: Purpose,
}

/// A connection to another node. A clone shares it.
#[derive(Debug, Clone)]
pub(super) struct Link {
    calls: mpsc::Sender<Outgoing>,
    /// When the last answer came, in milliseconds of the monotonic clock; 0 where none did.
    answered_at: Arc<AtomicU64>,
    /// Ends a pause.
    is_back: Arc<Notify>,
    _task: Arc<AbortOnDrop>,
}

#[derive(Debug)]
struct AbortOnDrop(JoinHandle<()>);

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        self.0.abort();
    }
}

#[derive(Debug)]
struct Outgoing {
    body: Vec<u8>,
    answer: oneshot::Sender<Result<Bytes, CallError>>,
}

impl Link {
    /// A link whose work `runtime` does, wherever it is used.
    pub(super) fn new(runtime: &Handle, dialer: Dialer, identity: Arc<Identity>, target: Target) -> Self {
        let (calls, waiting) = mpsc::channel(WAITING_MAX);
        let answered_at = Arc::<AtomicU64>::default();
        let is_back = Arc::<Notify>::default();
        let task = runtime.spawn(run(dialer, identity, target, waiting, Arc::clone(&is_back)));
        Self { calls, answered_at, is_back, _task: Arc::new(AbortOnDrop(task)) }
    }

    /// The node at the other end is known to be there: it is dialled with the next call.
    pub(super) fn is_back(&self) {
        // Only a pause that goes on hears it.
        self.is_back.notify_waiters();
    }

    /// Sends one call and waits for its answer.
    ///
    /// # Errors
    /// [`CallError`]; all but [`CallError::Ended`] mean that the call was not sent.
    pub(super) async fn call(&self, body: Vec<u8>) -> Result<Bytes, CallError> {
        let (answer, answered) = oneshot::channel();
        self.calls.try_send(Outgoing { body, answer }).map_err(|_full| CallError::Busy)?;
        let answer = answered.await.unwrap_or(Err(CallError::Ended))?;
        self.answered_at.store(milliseconds(clock::monotonic()), Ordering::Relaxed);
        Ok(answer)
    }

    /// How long ago the last answer came; `None` where none did.
    pub(super) fn silent_for(&self) -> Option<Duration> {
        let answered_at = self.answered_at.load(Ordering::Relaxed);
        (answered_at > 0).then(|| clock::monotonic().saturating_sub(Duration::from_millis(answered_at)))
    }
}

/// A moment of the monotonic clock as one number, for an atomic.
pub(super) fn milliseconds(moment: Duration) -> u64 {
    u64::try_from(moment.as_millis()).unwrap_or(u64::MAX)
}

async fn run(
    dialer: Dialer,
    identity: Arc<Identity>,
    target: Target,
    mut calls: mpsc::Receiver<Outgoing>,
    is_back: Arc<Notify>,
) {
    let mut pause = PAUSE;
    while let Some(first) = calls.recv().await {
        // Who stopped waiting before there was a connection needs none.
        if first.answer.is_closed() {
            continue;
        }
        match connect(&dialer, &identity, &target).await {
            Ok(stream) => {
                pause = PAUSE;
                exchange(stream, first, &mut calls).await;
            }
            Err(error) => {
                drop(first.answer.send(Err(error.clone())));
                let is_awaited = tokio::select! {
                    () = refuse_for_a_while(&error, &mut calls, pause) => true,
                    () = is_back.notified() => false,
                };
                let grows = is_awaited && target.whom != Whom::Anyone && error.is_absence();
                pause = if grows { PAUSE_MAX.min(2 * pause) } else { PAUSE };
            }
        }
    }
}

async fn connect(dialer: &Dialer, identity: &Identity, target: &Target) -> Result<PeerStream, CallError> {
    let dialled = dialer.dial(&target.address, target.purpose, &identity.hello()).await;
    let stream = dialled.map_err(|error| match error {
        DialError::Refused { address } => CallError::Refused(address),
        DialError::Mismatch { source, .. } => CallError::Mismatch(source),
        other => CallError::Unreachable(Arc::new(other)),
    })?;
    let is_meant = match target.whom {
        Whom::Anyone => true,
        Whom::Member(raft_node_id, broker_id) => {
            (stream.hello.raft_node_id, stream.hello.broker_id) == (raft_node_id, broker_id)
        }
    };
    match is_meant {
        true => Ok(stream),
        false => {
            Err(CallError::AnotherNode { address: target.address.clone(), answered: stream.hello.broker_id })
        }
    }
}

async fn refuse_for_a_while(error: &CallError, calls: &mut mpsc::Receiver<Outgoing>, pause: Duration) {
    let until = Instant::now() + pause;
    loop {
        tokio::select! {
            () = sleep_until(until) => return,
            call = calls.recv() => match call {
                Some(call) => drop(call.answer.send(Err(error.clone()))),
                None => return,
            }
        }
    }
}

type Unanswered = Mutex<BTreeMap<u64, oneshot::Sender<Result<Bytes, CallError>>>>;

/// Sends calls and hands out answers until the connection ends; whoever waits then is told by the drop.
async fn exchange(stream: PeerStream, first: Outgoing, calls: &mut mpsc::Receiver<Outgoing>) {
    let (mut reader, mut writer) = tokio::io::split(stream);
    let unanswered = Unanswered::default();
    // Both go on together: a peer that waits for us to read must not wait for us to write.
    tokio::select! {
        () = send_calls(&mut writer, first, calls, &unanswered) => {}
        error = read_answers(&mut reader, &unanswered) => {
            tracing::debug!("a connection to a node ended: {error}");
        }
    }
}

async fn send_calls(
    writer: &mut (impl AsyncWrite + Unpin),
    first: Outgoing,
    calls: &mut mpsc::Receiver<Outgoing>,
    unanswered: &Unanswered,
) {
    let mut next = Some(first);
    let mut number = 0_u64;
    while let Some(Outgoing { body, answer }) = next {
        if !answer.is_closed() {
            number += 1;
            if !remember(unanswered, number, answer)
                || write_frame(writer, &[&number.to_be_bytes(), &body]).await.is_err()
            {
                return;
            }
        }
        next = calls.recv().await;
    }
}

/// Returns false where a peer owes so many answers that it will hardly give them.
fn remember(unanswered: &Unanswered, number: u64, answer: oneshot::Sender<Result<Bytes, CallError>>) -> bool {
    let mut unanswered = unanswered.lock();
    if unanswered.len() >= UNANSWERED_MAX {
        unanswered.retain(|_, answer| !answer.is_closed());
    }
    unanswered.insert(number, answer);
    unanswered.len() <= UNANSWERED_MAX
}

async fn read_answers(reader: &mut (impl AsyncRead + Unpin), unanswered: &Unanswered) -> FrameError {
    let mut frames = FrameReader::default();
    loop {
        let mut frame = match frames.read(reader, BODY_BYTES_MAX).await {
            Ok(frame) => frame,
            Err(error) => return error,
        };
        let Ok(number) = frame.try_get_u64() else { return FrameError::Closed };
        if let Some(answer) = unanswered.lock().remove(&number) {
            drop(answer.send(Ok(frame)));
        }
    }
}

/// The other end: has `work` answer each call that comes, several at once, until the connection ends. A call that is
/// answered with `None` ends it.
pub(super) async fn answer_calls<W, F>(stream: PeerStream, work: W)
where
    W: Fn(Bytes) -> F,
    F: Future<Output = Option<Vec<u8>>>,
{
    let (mut reader, mut writer) = tokio::io::split(stream);
    let mut frames = FrameReader::default();
    let mut worked_on = FuturesUnordered::new();
    loop {
        tokio::select! {
            frame = frames.read(&mut reader, BODY_BYTES_MAX), if worked_on.len() < WORKED_ON_MAX => {
                let Ok(mut body) = frame else { return };
                let Ok(number) = body.try_get_u64() else { return };
                let answer = work(body);
                worked_on.push(async move { (number, answer.await) });
            }
            Some((number, answer)) = worked_on.next(), if !worked_on.is_empty() => {
                let Some(answer) = answer else { return };
                if write_frame(&mut writer, &[&number.to_be_bytes(), &answer]).await.is_err() {
                    return;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{CallError, Link, PAUSE, Target, Whom};
    use crate::clock;
    use crate::peer::testing::free_address;
    use crate::peer::{Dialer, PeerListener, PeerSockets, Purpose};
    use crate::quorum::identity::Identity;
    use config::broker::Endpoint;
    use std::cell::RefCell;
    use std::sync::Arc;
    use std::time::Duration;
    use storage::ids::BrokerId;
    use tokio::runtime::Handle;
    use tokio::sync::watch;
    use tokio::task::yield_now;

    fn identity(broker_id: i32) -> Arc<Identity> {
        let (_, images) = watch::channel(Arc::default());
        Arc::new(Identity::new(BrokerId(broker_id), 10, uuid::Uuid::new_v4(), None, images))
    }

    fn link(address: &Endpoint) -> Link {
        let whom = Whom::Member(10, BrokerId(2));
        let target = Target { whom, address: address.clone(), purpose: Purpose::Raft };
        Link::new(&Handle::current(), Dialer::new(None), identity(1), target)
    }

    /// Waits until a node that is always asked for has been dialled `count` times, and gives the pauses between, which seem
    /// longer than they are where this takes its time, and never shorter: a pause begins after the node has said who it is,
    /// and ends before it does so the next time.
    async fn pauses(link: &Link, listener: &mut PeerListener, count: usize) -> Vec<Duration> {
        let another = identity(3);
        let asking = async {
            loop {
                let answer = link.call(Vec::new()).await;
                assert!(matches!(answer, Err(CallError::AnotherNode { .. })), "{answer:?}");
                tokio::task::yield_now().await;
            }
        };
        let dialled = async {
            let at = RefCell::new(Vec::new());
            let introduce = || {
                at.borrow_mut().push(clock::monotonic());
                another.hello()
            };
            for _ in 0..count {
                drop(listener.accept(introduce).await);
            }
            let at = at.into_inner();
            at.windows(2).map(|two| two[1] - two[0]).collect()
        };
        tokio::select! {
            () = asking => unreachable!("it asks for ever"),
            pauses = dialled => pauses,
        }
    }

    #[tokio::test]
    async fn a_member_that_is_not_there_is_dialled_ever_more_rarely() {
        let address = free_address();
        let sockets = PeerSockets::bind(&address).await.expect("its port is free");
        let mut listener = PeerListener::listen(sockets, None).expect("nobody else listens there");
        let link = link(&address);
        let pauses = pauses(&link, &mut listener, 5).await;
        for (pause, doubled) in pauses.iter().zip([1, 2, 4, 8]) {
            assert!(*pause >= PAUSE * doubled, "{pauses:?}");
        }
    }

    #[tokio::test]
    async fn a_member_that_connects_is_dialled_at_once() {
        let address = free_address();
        // Bound, it refuses connections for as long as it does not listen.
        let sockets = PeerSockets::bind(&address).await.expect("its port is free");
        let link = link(&address);
        let refused = link.call(Vec::new()).await;
        assert!(matches!(refused, Err(CallError::Refused(_))), "{refused:?}");
        let mut listener = PeerListener::listen(sockets, None).expect("nobody else listens there");
        let node = identity(2);
        link.is_back();
        // Whoever has the pause hears of it before the next call.
        yield_now().await;
        tokio::select! {
            stream = listener.accept(|| node.hello()) => drop(stream),
            answer = link.call(Vec::new()) => panic!("it is not dialled: {answer:?}"),
        }
    }
}
