//! The task of one shard: loads it, then turns requests, time and the high watermark into calls of it.
//!
//! One request at a time: decide, append, apply, without an await in between; so a later request is decided on the state
//! that the earlier one made, and nobody sees half of it. What the append made is waited for by its answers alone.

use super::append::{Unity, append};
use super::cluster::Moment;
use super::load::{LoadError, load};
use super::replies::Replies;
use super::shard::{Queued, Shard};
use super::{CoordinatorError, Surroundings, WriteError};
use crate::clock;
use crate::partition::{Leadership, Milestone, Partition, Registration};
use crate::stopping::Stopping;
use coordinator::environment::Environment;
use coordinator::output::Output;
use coordinator::request::Request;
use coordinator::shard::GroupShard;
use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use storage::compression::Codec;
use storage::ids::{Offset, PartitionIndex};
use tokio::sync::mpsc;
use tokio::time::sleep;

/// How many groups that are due are served before the next request. More would hold up the requests; with fewer it takes
/// longer until very many groups are served, since the timer wakes the task once in a millisecond.
const GROUPS_AT_ONCE: usize = 8;

/// A shard that begins, and the task that runs it until `stopping`. Where the log is empty the shard serves at once.
pub(super) fn begin(
    index: PartitionIndex,
    partition: Arc<Partition>,
    leadership: Leadership,
    surroundings: Arc<Surroundings>,
    stopping: Stopping,
) -> (Arc<Shard>, impl Future<Output = ()> + Send + 'static) {
    let (shard, queue) = Shard::new();
    // The leadership is from before the end of the log, so that what an earlier epoch appends is either loaded or refused.
    let log = &partition.log;
    let is_empty = log.log_start_offset() == log.log_end_offset();
    let applied_end = log.log_end_offset();
    if is_empty {
        shard.set_loaded(Some(GroupShard::new()));
    }
    let task = Task {
        index,
        leadership,
        shard: Arc::clone(&shard),
        partition,
        surroundings,
        replies: Replies::default(),
        registration: None,
        applied_end,
        next_expiry: Duration::ZERO,
        is_forgetting_refused: false,
    };
    (shard, task.run(queue, stopping, is_empty))
}

struct Task {
    index: PartitionIndex,
    /// The time of leading that the shard is loaded in. In a later epoch somebody else may have written.
    leadership: Leadership,
    shard: Arc<Shard>,
    partition: Arc<Partition>,
    surroundings: Arc<Surroundings>,
    replies: Replies,
    /// The place among those who wait for the high watermark, and what it is to be.
    registration: Option<(Offset, Registration)>,
    /// The end (exclusive) of what is applied.
    applied_end: Offset,
    /// When offsets are next looked for that have grown too old.
    next_expiry: Duration,
    /// Whether the log refused to forget the offsets of topics that are gone.
    is_forgetting_refused: bool,
}

impl Task {
    async fn run(mut self, mut queue: mpsc::Receiver<Queued>, mut stopping: Stopping, is_loaded: bool) {
        if !is_loaded {
            // What is cut off here is a load, which changes nothing.
            let is_serving = tokio::select! {
                biased;
                () = stopping.requested() => return,
                is_serving = self.load() => is_serving,
            };
            if !is_serving {
                return;
            }
        }
        self.next_expiry = clock::monotonic() + self.expiry_interval();
        self.committed();
        loop {
            let until_due = self.do_what_is_due();
            tokio::select! {
                biased;
                () = stopping.requested() => break,
                () = self.shard.wake.notified() => {
                    self.registration = None;
                    self.committed();
                    self.forget_deleted_topics();
                }
                Some(queued) = queue.recv() => {
                    let (request, answer) = *queued;
                    let reply_to = self.replies.register(answer);
                    let unity = unity_of(&request);
                    // Who asked is told of an error.
                    drop(self.decide(unity, |core, env, output| core.handle(request, reply_to, env, output)));
                }
                () = sleep(until_due) => {}
            }
        }
        self.end(queue);
    }

    /// Whether the shard can be served.
    async fn load(&mut self) -> bool {
        let surroundings = Arc::clone(&self.surroundings);
        // The semaphore lives as long as the node, so this cannot fail.
        let permit = surroundings.loads.acquire().await.ok();
        let settings = surroundings.settings.load();
        let piece = usize::try_from(settings.broker.offsets_topic.offsets_load_buffer_size).unwrap_or(1);
        let partition = Arc::clone(&self.partition);
        let began = clock::monotonic();
        let loaded = tokio::task::spawn_blocking(move || load(&partition, piece)).await;
        // Others may read meanwhile: the replicas of this one may take long.
        drop(permit);
        match loaded {
            Ok(Ok((mut core, end))) => {
                if !self.until_committed(end).await {
                    return false;
                }
                tracing::debug!(
                    "the groups of {} are loaded, in {:?}",
                    self.partition.log.topic_partition(),
                    clock::monotonic().saturating_sub(began)
                );
                self.applied_end = end;
                // Before anybody looks: what was applied above the high watermark that the load began with counts.
                core.committed(end);
                self.shard.set_loaded(Some(core));
                // Where that is refused, the groups stand as they were loaded.
                drop(self.decide(Unity::Whole, GroupShard::loaded));
                self.forget(GroupShard::forget_topics_that_are_gone);
                true
            }
            Ok(Err(error)) => {
                self.refuse_to_serve(&error);
                false
            }
            // A panic has already ended the process; see `panics`.
            Err(_panic) => false,
        }
    }

    /// Waits until everything that was loaded is known to be committed. Before, this leader may know less of it than the one
    /// before had told, and would answer with what that one had left behind. Returns whether this node still leads then.
    async fn until_committed(&self, end: Offset) -> bool {
        let _registration = self.partition.register(Milestone::HighWatermark, end, &self.shard.wake);
        while self.partition.high_watermark() < end && self.partition.still_leads(&self.leadership) {
            self.shard.wake.notified().await;
        }
        self.partition.still_leads(&self.leadership)
    }

    fn refuse_to_serve(&self, error: &LoadError) {
        tracing::error!(
            "the groups of {} are not served, since its log cannot be read: {error}; restore it from a copy",
            self.partition.log.topic_partition()
        );
        self.shard.set_loaded(None);
    }

    /// Decides, appends and applies, and puts the answers where they wait for the high watermark. Who waits for an answer
    /// is told where the append fails.
    ///
    /// # Errors
    /// That of the append; nothing is applied then, or a part of what stands for itself.
    fn decide(
        &mut self,
        unity: Unity,
        decide: impl FnOnce(&mut GroupShard, &Environment<'_>, &mut Output),
    ) -> Result<(), WriteError> {
        let moment = Moment::now(&self.surroundings);
        let env = moment.environment();
        let mut output = Output::default();
        let Ok(core) = self.shard.core() else { return Ok(()) };
        decide(&mut core.write(), &env, &mut output);
        let mut applied_end = self.applied_end;
        let written = append(
            &self.partition,
            &self.leadership,
            &output.records,
            unity,
            self.codec(),
            env.now,
            |records, base_offset| {
                let mut core = core.write();
                for (record, offset) in records.iter().zip(base_offset.0..) {
                    core.apply(record, Offset(offset));
                    applied_end = Offset(offset + 1);
                }
            },
        );
        self.applied_end = applied_end;
        match &written {
            Ok(()) => {
                self.replies.decided(output.replies, applied_end, env.monotonic + self.commit_timeout());
            }
            Err(error) => {
                self.log_refusal(error);
                self.replies.refused(&output.replies, error);
            }
        }
        self.committed();
        written
    }

    /// Sends the answers that the high watermark has passed, and sees to it that the task is woken when it moves on.
    fn committed(&mut self) {
        if self.partition.is_closed() || self.surroundings.failure.load(Ordering::Acquire) {
            // The high watermark moves no further.
            self.replies.resign();
            self.registration = None;
            return;
        }
        let mut high_watermark = self.partition.high_watermark();
        if high_watermark < self.applied_end {
            // Register before the last look, so that no move falls in between.
            let until = self.replies.oldest().unwrap_or(self.applied_end).max(high_watermark.plus(1));
            if self.registration.as_ref().is_none_or(|(registered, _)| *registered != until) {
                self.registration =
                    Some((until, self.partition.register(Milestone::HighWatermark, until, &self.shard.wake)));
            }
            high_watermark = self.partition.high_watermark();
        } else {
            self.registration = None;
        }
        if let Ok(core) = self.shard.core() {
            core.write().committed(high_watermark);
        }
        self.replies.committed(high_watermark);
    }

    /// Does what time asks for, and answers how long there is nothing to do.
    fn do_what_is_due(&mut self) -> Duration {
        let now = clock::monotonic();
        self.replies.expire(now);
        if self.next_expiry <= now {
            self.next_expiry = now + self.expiry_interval();
            // What is not written now is as old or older the next time.
            drop(self.decide(Unity::Parts, GroupShard::expire_offsets));
            self.forget_what_was_refused();
        }
        let next = |task: &Self| task.shard.core().ok().and_then(|core| core.read().next_deadline());
        for _ in 0..GROUPS_AT_ONCE {
            if next(self).is_none_or(|deadline| deadline > now) {
                break;
            }
            // What is not written now is still due.
            drop(self.decide(Unity::Whole, GroupShard::on_deadline));
        }
        let deadlines = [next(self), self.replies.next_deadline(), Some(self.next_expiry)];
        let earliest = deadlines.into_iter().flatten().min().unwrap_or(self.next_expiry);
        earliest.saturating_sub(clock::monotonic())
    }

    fn forget_deleted_topics(&mut self) {
        let names = self.shard.take_deleted_topics();
        if !names.is_empty() {
            self.forget(|core, env, output| core.forget_topics(&names, env, output));
        }
    }

    fn forget_what_was_refused(&mut self) {
        if self.is_forgetting_refused {
            let forgotten = self.decide(Unity::Parts, GroupShard::forget_topics_that_are_gone);
            self.is_forgetting_refused = forgotten.is_err();
        }
    }

    /// Forgets offsets of topics that are gone. Where the log refuses, all such are looked for once more when offsets
    /// are next looked for that have grown too old.
    fn forget(&mut self, forget: impl FnOnce(&mut GroupShard, &Environment<'_>, &mut Output)) {
        let Err(error) = self.decide(Unity::Parts, forget) else { return };
        if !self.is_forgetting_refused {
            tracing::warn!(
                "{}: offsets of deleted topics are still there, and are to be forgotten later: {error}",
                self.partition.log.topic_partition()
            );
        }
        self.is_forgetting_refused = true;
    }

    /// Answers everybody who waits, in the queue too.
    fn end(mut self, mut queue: mpsc::Receiver<Queued>) {
        queue.close();
        while let Ok(queued) = queue.try_recv() {
            let (_, answer) = *queued;
            drop(answer.send(Err(CoordinatorError::NotCoordinator)));
        }
        self.committed();
        let mut output = Output::default();
        if let Ok(core) = self.shard.core() {
            core.write().unload(&mut output);
        }
        self.replies.resign();
        tracing::debug!("the groups of partition {} are no longer served here", self.index);
    }

    fn log_refusal(&self, error: &WriteError) {
        match error {
            WriteError::Refused(_) => {
                tracing::error!("{}: {error}", self.partition.log.topic_partition());
            }
            WriteError::TextTooLong(_)
            | WriteError::TooLarge(_)
            | WriteError::Storage(_)
            | WriteError::NotLeader
            | WriteError::Deleted
            | WriteError::TimedOut => {
                tracing::debug!("{}: {error}", self.partition.log.topic_partition());
            }
        }
    }

    fn codec(&self) -> Codec {
        let settings = self.surroundings.settings.load();
        let number = i16::try_from(settings.broker.offsets_topic.offsets_topic_compression_codec);
        number.ok().and_then(Codec::from_number).unwrap_or(Codec::None)
    }

    fn commit_timeout(&self) -> Duration {
        let settings = self.surroundings.settings.load();
        milliseconds(i64::from(settings.broker.offsets_topic.offsets_commit_timeout_ms))
    }

    fn expiry_interval(&self) -> Duration {
        let settings = self.surroundings.settings.load();
        milliseconds(settings.broker.groups.offsets_retention_check_interval_ms)
    }
}

/// Deletions stand for themselves: what is cut off is asked for again.
fn unity_of(request: &Request) -> Unity {
    match request {
        Request::DeleteGroup(_) | Request::OffsetDelete(_) => Unity::Parts,
        Request::JoinGroup(_)
        | Request::SyncGroup(_)
        | Request::Heartbeat(_)
        | Request::LeaveGroup(_)
        | Request::ConsumerGroupHeartbeat(_)
        | Request::OffsetCommit(_) => Unity::Whole,
    }
}

fn milliseconds(count: i64) -> Duration {
    Duration::from_millis(u64::try_from(count).unwrap_or(0).max(1))
}
