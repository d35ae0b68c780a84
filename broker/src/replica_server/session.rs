//! One follower's connection: what it asks for, and the answers.
//!
//! Two halves that never wait for one another: [`hear`] takes positions and flushes in at once, so that a large answer on
//! its way holds up no acknowledgement; [`speak`] answers when a partition that was asked for has news.
//!
//! Invariant: a position is answered once; after that the follower has to say where it is now.

mod answer;

use crate::broker::Broker;
use crate::partition::{Leadership, Partition};
use crate::partitions::PartitionKey;
use crate::peer::{FrameError, FrameReader, NoSilence};
use crate::ready::{Mark, ReadyQueue};
use crate::replica_messages::{FOLLOWER_BYTES_MAX, FollowerSays, MessageError, SILENCE_MAX};
use parking_lot::Mutex;
use replication::fetch::{BrokerRun, FetchPosition, FetchRefusal};
use std::collections::{BTreeSet, HashMap, VecDeque};
use std::convert::Infallible;
use std::io;
use std::sync::Arc;
use std::time::Duration;
use storage::ids::{BrokerId, LeaderEpoch, Offset};
use tokio::io::{AsyncRead, AsyncWrite, split};

/// Why a session ended.
#[derive(Debug, thiserror::Error)]
pub(super) enum Ended {
    #[error(transparent)]
    Read(#[from] FrameError),
    #[error("writing failed: {0}")]
    Write(#[from] io::Error),
    #[error(transparent)]
    Message(#[from] MessageError),
}

/// The shortest wait for news. Shorter: a follower that is set so keeps two nodes busy with nothing.
const WAIT_MIN: Duration = Duration::from_millis(10);

/// A session.
struct Session {
    broker: Arc<Broker>,
    follower: BrokerId,
    ready: Arc<ReadyQueue>,
    state: Mutex<State>,
}

/// What the follower has said.
struct State {
    wants_answer: bool,
    bytes_max: usize,
    partition_bytes_max: usize,
    wait_max: Duration,
    asked: HashMap<PartitionKey, Asked>,
    /// Partitions that may have news, in the order in which they are served.
    backlog: VecDeque<PartitionKey>,
    /// Partitions that have news which the throttle holds back.
    held_back: BTreeSet<PartitionKey>,
}

impl Default for State {
    /// Of a follower that has yet to speak.
    fn default() -> Self {
        Self {
            wants_answer: false,
            bytes_max: 0,
            partition_bytes_max: 0,
            wait_max: SILENCE_MAX,
            asked: HashMap::new(),
            backlog: VecDeque::new(),
            held_back: BTreeSet::new(),
        }
    }
}

/// What it has said of one partition.
struct Asked {
    /// `None` where this node does not have it.
    served: Option<Served>,
    /// The position that awaits its answer.
    position: Option<(FetchPosition, Result<Leadership, FetchRefusal>)>,
    /// The epoch of the last answer. The first answer of an epoch is owed whatever there is to say: from it the follower
    /// knows that both logs agree.
    answered_epoch: Option<LeaderEpoch>,
    told_high_watermark: Option<Offset>,
    told_log_start_offset: Option<Offset>,
}

/// A partition, and the mark that is set when something is appended to it.
struct Served {
    partition: Arc<Partition>,
    mark: Arc<Mark>,
}

impl Served {
    fn new(partition: Arc<Partition>, ready: &Arc<ReadyQueue>) -> Self {
        let mark = Mark::new(partition.key(), ready);
        partition.subscribe(&mark);
        Self { partition, mark }
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        self.partition.unsubscribe(&self.mark);
    }
}

/// Serves `follower`, which is at the other end of `stream`, until that ends.
pub(super) async fn serve<S: AsyncRead + AsyncWrite>(
    broker: Arc<Broker>,
    follower: BrokerId,
    stream: S,
) -> Ended {
    let session = Arc::new(Session { broker, follower, ready: Arc::default(), state: Mutex::default() });
    let (reader, writer) = split(stream);
    // The loser is cut off, with the connection.
    let ended = tokio::select! {
        ended = hear(&session, reader) => ended,
        ended = answer::speak(&session, writer) => ended,
    };
    match ended {
        Ok(never) => match never {},
        Err(ended) => ended,
    }
}

async fn hear<R: AsyncRead + Unpin>(session: &Session, reader: R) -> Result<Infallible, Ended> {
    let mut reader = NoSilence::new(reader, SILENCE_MAX);
    let mut frames = FrameReader::default();
    loop {
        let body = frames.read(&mut reader, FOLLOWER_BYTES_MAX).await?;
        session.take_in(FollowerSays::decode(&body)?);
    }
}

impl Session {
    fn take_in(&self, says: FollowerSays) {
        let from = BrokerRun { broker_id: self.follower, broker_epoch: says.broker_epoch };
        let mut state = self.state.lock();
        for key in &says.forgotten {
            state.asked.remove(key);
        }
        for (key, position) in says.positions {
            self.ask(&mut state, from, key, position);
        }
        for (key, report) in &says.flushed {
            let served = state.asked.get(key).and_then(|asked| asked.served.as_ref());
            if let Some(served) = served
                && let Err(refusal) = served.partition.follower_flushed(from, report)
            {
                tracing::debug!("node {} reports a flush that does not count: {refusal}", self.follower);
            }
        }
        if says.wants_answer {
            state.wants_answer = true;
            state.bytes_max = usize::try_from(says.bytes_max).unwrap_or(0);
            state.partition_bytes_max = usize::try_from(says.partition_bytes_max).unwrap_or(0);
            state.wait_max = Duration::from_millis(u64::from(says.wait_max_ms)).max(WAIT_MIN);
        }
        if state.wants_answer {
            self.ready.wake();
        }
    }

    fn ask(&self, state: &mut State, from: BrokerRun, key: PartitionKey, position: FetchPosition) {
        let asked = state.asked.entry(key).or_insert_with(|| Asked {
            served: None,
            position: None,
            answered_epoch: None,
            told_high_watermark: None,
            told_log_start_offset: None,
        });
        if asked.served.as_ref().is_none_or(|served| served.partition.is_closed()) {
            let found = self.broker.partitions.find(key.0, key.1);
            asked.served = found.map(|partition| Served::new(partition, &self.ready));
        }
        let Some(served) = &asked.served else {
            asked.position = Some((position, Err(FetchRefusal::NotLeader)));
            state.backlog.push_back(key);
            return;
        };
        let agreed = served.partition.follower_fetches(from, &position);
        let is_owed = agreed.is_err() || asked.answered_epoch != Some(position.leader_epoch);
        let log = &served.partition.log;
        // What is appended or deleted from here on sets the mark; what was before is looked for now.
        let is_behind = position.fetch_offset < log.log_end_offset()
            || asked.told_log_start_offset != Some(log.log_start_offset());
        if is_owed || is_behind {
            served.mark.set();
        }
        asked.position = Some((position, agreed));
    }
}
