//! Copies what other nodes lead: one task for each node that leads something that this one follows.
//!
//! A task keeps one connection for all partitions of its leader. It asks ([`connection`]), follows the answers
//! ([`Fetcher::take_in`]) and asks on; in between it tells of flushes as soon as they are done. What a replica asks for and
//! what it does with an answer is decided in `replication::follower`, behind [`Partition`].
//!
//! Invariants: a partition is with one fetcher at most, that of its leader; a connection begins with nothing taken for
//! granted, so that each position is said anew. Absent: who leads (`metadata_follower`), and the leader's side
//! (`replica_server`).

mod connection;

use crate::broker::Broker;
use crate::clock;
use crate::partition::{AfterAnswer, Partition};
use crate::partitions::PartitionKey;
use crate::ready::{Mark, ReadyQueue};
use crate::replica_messages::{FollowerSays, PartitionAnswer};
use crate::replication_quota::LOOK_AGAIN_AFTER;
use crate::stopping::{StopSwitch, Stopping};
use bytes::Bytes;
use parking_lot::Mutex;
use replication::fetch::FetchPosition;
use std::collections::{BTreeMap, HashMap};
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;
use storage::ids::BrokerId;
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio::time::sleep;

/// How long a fetcher waits before it tries again what failed: a connection, or a partition that was refused. The first
/// is shorter than a leader takes to hear that it leads; the last bounds how busy a fault keeps two nodes.
const RETRY_FIRST: Duration = Duration::from_millis(10);
const RETRY_LAST: Duration = Duration::from_millis(500);

/// The fetchers of this node.
#[derive(Debug)]
pub(crate) struct ReplicaFetchers {
    by_leader: Mutex<BTreeMap<BrokerId, Running>>,
    switch: StopSwitch,
    stopping: Stopping,
}

/// A fetcher and its task.
type Running = (Arc<Fetcher>, JoinHandle<()>);

/// What is followed of one leader.
#[derive(Debug)]
struct Fetcher {
    leader: BrokerId,
    followed: Mutex<HashMap<PartitionKey, Arc<Partition>>>,
    outbox: Mutex<Outbox>,
    /// Partitions that have flushed. It wakes the task for everything else, too.
    flushed: Arc<ReadyQueue>,
    has_refused: Notify,
    has_held_back: Notify,
}

/// What the leader is to be told next.
#[derive(Debug, Default)]
struct Outbox {
    ask: Vec<PartitionKey>,
    forgotten: Vec<PartitionKey>,
    wants_answer: bool,
    /// Asked again a while later.
    refused: Vec<PartitionKey>,
    /// How often in a row something was refused.
    refusals: u32,
    /// Asked for once the throttle allows it.
    held_back: Vec<PartitionKey>,
}

impl Default for ReplicaFetchers {
    fn default() -> Self {
        let (switch, stopping) = StopSwitch::new();
        Self { by_leader: Mutex::default(), switch, stopping }
    }
}

impl ReplicaFetchers {
    /// Copies `partition` from `leader` from now on. Only the task that follows the metadata calls it.
    pub(crate) fn follow(&self, broker: &Arc<Broker>, leader: BrokerId, partition: &Arc<Partition>) {
        let mut by_leader = self.by_leader.lock();
        if self.stopping.is_requested() {
            return;
        }
        let (fetcher, _) = by_leader.entry(leader).or_insert_with(|| {
            let fetcher = Arc::new(Fetcher::new(leader));
            let task = connection::run(Arc::clone(broker), Arc::clone(&fetcher), self.stopping.clone());
            (fetcher, tokio::spawn(task))
        });
        fetcher.add(partition);
    }

    /// Copies `partition` from nobody but `leader`. Only the task that follows the metadata calls it.
    pub(crate) fn forget_all_but(&self, leader: Option<BrokerId>, partition: &Partition) {
        for (of, (fetcher, _)) in &*self.by_leader.lock() {
            if Some(*of) != leader {
                fetcher.remove(partition.key());
            }
        }
    }

    /// Ends all tasks.
    pub(crate) async fn stop(&self) {
        self.switch.stop();
        let all = std::mem::take(&mut *self.by_leader.lock());
        for (_, task) in all.into_values() {
            // A panic of the task has already ended the process; see `panics`.
            drop(task.await);
        }
    }
}

impl Fetcher {
    fn new(leader: BrokerId) -> Self {
        Self {
            leader,
            followed: Mutex::default(),
            outbox: Mutex::default(),
            flushed: Arc::default(),
            has_refused: Notify::new(),
            has_held_back: Notify::new(),
        }
    }

    /// Follows `partition`, or asks for it anew in its new epoch.
    fn add(&self, partition: &Arc<Partition>) {
        let key = partition.key();
        self.followed.lock().insert(key, Arc::clone(partition));
        partition.report_flushes_to(Some(Mark::new(key, &self.flushed)));
        self.outbox.lock().ask.push(key);
        self.flushed.wake();
    }

    fn remove(&self, key: PartitionKey) {
        if self.followed.lock().remove(&key).is_some() {
            self.outbox.lock().forgotten.push(key);
            self.flushed.wake();
        }
    }

    fn find(&self, key: PartitionKey) -> Option<Arc<Partition>> {
        self.followed.lock().get(&key).cloned()
    }

    fn is_needed(&self) -> bool {
        !self.followed.lock().is_empty()
    }

    /// A new connection: the leader knows of nothing.
    fn begin(&self) {
        let all = self.followed.lock().keys().copied().collect();
        *self.outbox.lock() = Outbox { ask: all, wants_answer: true, ..Outbox::default() };
    }

    /// What the leader is to be told now, if anything.
    fn says(&self, broker: &Broker) -> Option<FollowerSays> {
        let flushed = self.flushed.take();
        let Outbox { ask, forgotten, wants_answer, .. } = {
            let mut outbox = self.outbox.lock();
            let refused = std::mem::take(&mut outbox.refused);
            let held_back = std::mem::take(&mut outbox.held_back);
            let refusals = outbox.refusals;
            std::mem::replace(&mut *outbox, Outbox { refused, refusals, held_back, ..Outbox::default() })
        };
        let positions = self.positions(broker, ask);
        let reports = flushed.into_iter();
        let reports = reports.filter_map(|key| Some((key, self.find(key)?.flush_report(self.leader)?)));
        let reports: Vec<_> = reports.collect();
        if positions.is_empty() && forgotten.is_empty() && reports.is_empty() && !wants_answer {
            return None;
        }
        let settings = broker.settings.load();
        let settings = &settings.broker.replication;
        let count = |value: i32| u32::try_from(value).unwrap_or(0);
        Some(FollowerSays {
            broker_epoch: broker.quorum.broker_epoch(),
            wants_answer,
            bytes_max: count(settings.replica_fetch_response_max_bytes),
            partition_bytes_max: count(settings.replica_fetch_max_bytes),
            wait_max_ms: count(settings.replica_fetch_wait_max_ms),
            positions,
            forgotten,
            flushed: reports,
        })
    }

    /// What to ask for. What the throttle holds back is asked for later.
    fn positions(&self, broker: &Broker, ask: Vec<PartitionKey>) -> Vec<(PartitionKey, FetchPosition)> {
        let is_exhausted = broker.follower_quota.wait().is_some();
        let mut positions = Vec::with_capacity(ask.len());
        let mut held_back = Vec::new();
        for key in ask {
            let Some(partition) = self.find(key) else { continue };
            if is_exhausted && partition.is_throttled_as_follower(broker.node_id()) {
                held_back.push(key);
            } else {
                positions.extend(partition.ask(self.leader).map(|position| (key, position)));
            }
        }
        if !held_back.is_empty() {
            self.outbox.lock().held_back.append(&mut held_back);
            self.has_held_back.notify_one();
        }
        positions
    }

    /// Follows the answers of one message, and has the next positions asked for.
    async fn take_in(&self, broker: &Broker, answers: Vec<(PartitionAnswer, Bytes)>) {
        let mut ask = Vec::with_capacity(answers.len());
        let mut refused = Vec::new();
        let mut has_deleted = false;
        for (answer, records) in answers {
            let Some(partition) = self.find(answer.key) else { continue };
            broker.metrics.replicated(records.len());
            if partition.is_throttled_as_follower(broker.node_id()) {
                broker.follower_quota.spend(records.len());
            }
            let start = partition.log.log_start_offset();
            match follow_answer(Arc::clone(&partition), &answer, records).await {
                Next::Ask => ask.push(answer.key),
                Next::AskLater => refused.push(answer.key),
                Next::Nothing => {}
            }
            has_deleted |= partition.log.log_start_offset() > start;
        }
        if has_deleted {
            write_log_starts(broker).await;
        }
        let mut outbox = self.outbox.lock();
        if refused.is_empty() {
            outbox.refusals = 0;
        } else {
            outbox.refusals = outbox.refusals.saturating_add(1);
            self.has_refused.notify_one();
        }
        outbox.ask.append(&mut ask);
        outbox.refused.append(&mut refused);
        outbox.wants_answer = true;
        drop(outbox);
        self.flushed.wake();
    }

    /// Asks for what was held back, when it is time; never returns.
    async fn ask_held_back(&self, broker: &Broker) -> Infallible {
        loop {
            self.has_held_back.notified().await;
            let wait = broker.follower_quota.wait().unwrap_or_default();
            sleep(wait.min(LOOK_AGAIN_AFTER)).await;
            let mut outbox = self.outbox.lock();
            let mut held_back = std::mem::take(&mut outbox.held_back);
            outbox.ask.append(&mut held_back);
            drop(outbox);
            self.flushed.wake();
        }
    }

    /// Asks again for what was refused, when it is time; never returns.
    async fn ask_again(&self) -> Infallible {
        loop {
            self.has_refused.notified().await;
            let refusals = self.outbox.lock().refusals;
            sleep(retry_after(refusals)).await;
            let mut outbox = self.outbox.lock();
            let mut refused = std::mem::take(&mut outbox.refused);
            outbox.ask.append(&mut refused);
            drop(outbox);
            self.flushed.wake();
        }
    }
}

/// Follows `leader` at the other end of `stream`.
#[cfg(test)]
pub(crate) async fn follow_over(
    broker: Arc<Broker>,
    leader: BrokerId,
    stream: impl tokio::io::AsyncRead + tokio::io::AsyncWrite,
) {
    let found = broker.replica_fetchers.by_leader.lock().get(&leader).map(|(fetcher, _)| Arc::clone(fetcher));
    // A node that has stopped follows nobody.
    let Some(fetcher) = found else { return std::future::pending().await };
    drop(connection::follow_over(&broker, &fetcher, stream).await);
}

/// What to do with a partition after an answer.
enum Next {
    Ask,
    AskLater,
    Nothing,
}

async fn follow_answer(partition: Arc<Partition>, answer: &PartitionAnswer, records: Bytes) -> Next {
    let asked = (answer.leader_epoch, answer.fetch_offset);
    let name = Arc::clone(&partition.log);
    let name = name.topic_partition();
    let followed = if partition.answer_waits_for_disk(&answer.answer) {
        let answer = answer.answer;
        let follow = move || partition.take_answer(asked, &answer, &records, clock::now());
        match tokio::task::spawn_blocking(follow).await {
            Ok(followed) => followed,
            // A panic has already ended the process; see `panics`.
            Err(_panic) => return Next::Nothing,
        }
    } else {
        partition.take_answer(asked, &answer.answer, &records, clock::now())
    };
    match followed {
        Ok(AfterAnswer::Ignored) => Next::Nothing,
        Ok(AfterAnswer::AskAgain) => Next::Ask,
        Ok(AfterAnswer::Refused(refusal)) => {
            tracing::debug!("{name}: its leader has no records for this replica: {refusal}");
            Next::AskLater
        }
        Ok(AfterAnswer::Halted(gone)) => {
            tracing::error!(
                "{name}: {gone}; this replica stops following. Restore the leader's records from it, or delete it here"
            );
            Next::Nothing
        }
        Err(error) => {
            tracing::warn!("{name}: what its leader sent was not taken in: {error}");
            Next::AskLater
        }
    }
}

/// Before the leader is told what was deleted here, since it answers clients by that.
async fn write_log_starts(broker: &Broker) {
    let log_dir = Arc::clone(&broker.log_dir);
    match tokio::task::spawn_blocking(move || log_dir.write_log_starts()).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::warn!("records that were deleted may be back after a crash: {error}"),
        // It has already ended the process; see `panics`.
        Err(_panic) => {}
    }
}

fn retry_after(failures: u32) -> Duration {
    RETRY_FIRST.saturating_mul(1 << failures.min(10)).min(RETRY_LAST)
}

#[cfg(test)]
mod tests;
