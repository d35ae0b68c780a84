//! A partition that another node leads, or none: what this replica asks for and does with the answers.

use super::{Partition, Role};
use crate::ready::Mark;
use bytes::Bytes;
use replication::fetch::{FetchAnswer, FetchPosition, FetchRefusal, FlushReport};
use replication::follower::{CommittedRecordsGone, Follower, FollowerStep};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use storage::disk::DiskError;
use storage::error::{FollowerAppendError, TruncateError};
use storage::ids::{BrokerId, LeaderEpoch, Offset, TimestampMs};

/// The core of a follower, and what it asked last.
#[derive(Debug)]
pub(super) struct Following {
    core: Follower,
    /// The position that awaits its answer.
    asked: Option<FetchPosition>,
    /// The high watermark that the leader told last.
    leader_high_watermark: Option<Offset>,
}

/// What to do after an answer.
#[derive(Debug)]
pub(crate) enum AfterAnswer {
    /// It was to no question of this replica.
    Ignored,
    /// Ask with the new position.
    AskAgain,
    /// Ask again a while later, or when the metadata has changed.
    Refused(FetchRefusal),
    /// Ask no more in this epoch: a person must look.
    Halted(CommittedRecordsGone),
}

/// Why an answer could not be followed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum FollowError {
    #[error(transparent)]
    Append(#[from] FollowerAppendError),
    #[error(transparent)]
    Truncate(#[from] TruncateError),
    #[error(transparent)]
    Disk(#[from] DiskError),
}

impl Partition {
    /// Follows `leader` in `epoch`, or nobody where there is none. An epoch that is not later than the one that is known
    /// changes nothing. Who waits on a node that led until now is woken.
    pub fn follow(&self, leader: Option<BrokerId>, epoch: LeaderEpoch) {
        let _changing = self.changing.write();
        let mut role = self.role.lock();
        if epoch <= self.leader_epoch() {
            return;
        }
        let has_led = matches!(*role, Role::Leader(_));
        if has_led {
            // First, so that nobody takes for done in its own time what comes to pass from now on.
            self.tenure.fetch_add(1, Ordering::AcqRel);
            self.is_enough.store(false, Ordering::Release);
            self.is_latest_offset_available.store(false, Ordering::Release);
            self.isr_duties.reschedule(self.key(), role.scheduled(), None);
        }
        self.leader_epoch.store(epoch.0, Ordering::Release);
        let core = Follower::new(leader, epoch, self.high_watermark(), self.log.log_end_offset());
        *role = Role::Follower(Box::new(Following { core, asked: None, leader_high_watermark: None }));
        drop(role);
        if has_led {
            self.wake_all();
        }
    }

    /// Whom this replica follows, and in which epoch.
    #[must_use]
    pub fn followed_leader(&self) -> Option<BrokerId> {
        match &*self.role.lock() {
            Role::Follower(following) => following.core.leader(),
            Role::Idle | Role::Leader(_) => None,
        }
    }

    /// Tells `mark` when this follower has flushed.
    pub(crate) fn report_flushes_to(&self, mark: Option<Arc<Mark>>) {
        self.flush_reporter.store(mark);
    }

    /// What to ask `leader` for now; `None` where this replica follows somebody else or may ask no more. Waits while the
    /// log is being cut: ends from before with an epoch from after would vouch for records that are about to go.
    pub(crate) fn ask(&self, leader: BrokerId) -> Option<FetchPosition> {
        let _unchanged = self.changing.read();
        let mut role = self.role.lock();
        let Role::Follower(following) = &mut *role else { return None };
        if following.core.leader() != Some(leader) {
            // The question that is open is another leader's to answer.
            return None;
        }
        following.asked = following.core.position(&self.log_ends());
        following.asked
    }

    /// What to tell `leader` of this replica's flushes, if it does not know.
    pub(crate) fn flush_report(&self, leader: BrokerId) -> Option<FlushReport> {
        let mut role = self.role.lock();
        let Role::Follower(following) = &mut *role else { return None };
        if following.core.leader() != Some(leader) {
            return None;
        }
        following.core.flush_report(self.durable_end_offset())
    }

    /// Whether copying to this replica, which is on the node `local`, is throttled: its topic says so, and it has to catch
    /// up. Source: KIP-73.
    pub(crate) fn is_throttled_as_follower(&self, local: BrokerId) -> bool {
        let index = self.log.topic_partition().partition.0;
        if !self.log.config().follower_replication_throttled_replicas.contains(index, local.0) {
            return false;
        }
        match &*self.role.lock() {
            // What is in sync is never behind the high watermark.
            Role::Follower(following) => {
                following.leader_high_watermark.is_none_or(|committed| committed > self.log.log_end_offset())
            }
            Role::Idle | Role::Leader(_) => false,
        }
    }

    /// Whether following `answer` may have to wait for the disk, beyond an append.
    pub(crate) fn answer_waits_for_disk(&self, answer: &FetchAnswer) -> bool {
        match answer {
            FetchAnswer::Records { log_start_offset, .. } => {
                let start = self.log.log_start_offset();
                // An empty log that does not start at 0 starts over where it starts within a batch.
                *log_start_offset > start || (start > Offset(0) && start == self.log.log_end_offset())
            }
            FetchAnswer::Refused(_) => true,
        }
    }

    /// Follows the leader's answer to the position that was asked in `leader_epoch` at `fetch_offset`.
    ///
    /// # Errors
    /// [`FollowError`] where the log does not take it; asking again later may succeed.
    pub(crate) fn take_answer(
        &self,
        (leader_epoch, fetch_offset): (LeaderEpoch, Offset),
        answer: &FetchAnswer,
        records: &Bytes,
        now: TimestampMs,
    ) -> Result<AfterAnswer, FollowError> {
        let _changing = self.changing.write();
        let step = match self.step(leader_epoch, fetch_offset, answer) {
            Ok(step) => step,
            Err(after) => return Ok(after),
        };
        match step {
            FollowerStep::Ignore => {}
            FollowerStep::Append { high_watermark, log_start_offset } => {
                if !records.is_empty() {
                    self.admit(self.log.append_as_follower(records, now)?);
                }
                self.appended(high_watermark, log_start_offset, now)?;
            }
            FollowerStep::Truncate(offset) => {
                self.say_what_is_cut(offset);
                self.admit_no_more_than(offset);
                self.log.truncate_to(offset)?;
            }
            FollowerStep::StartOver(offset) => {
                tracing::info!(
                    "{}: starting over at offset {offset}, before which its leader has nothing",
                    self.log.topic_partition()
                );
                self.admit_no_more_than(offset);
                self.log.start_over_at(offset)?;
                self.with_follower(|core| {
                    core.started_over(offset);
                    self.set_high_watermark(core.high_watermark());
                });
            }
            FollowerStep::Wait(refusal) => return Ok(AfterAnswer::Refused(refusal)),
            FollowerStep::Halt(gone) => return Ok(AfterAnswer::Halted(gone)),
        }
        Ok(AfterAnswer::AskAgain)
    }

    /// Only where the end moves: otherwise epochs without a record go, which is nobody's concern.
    fn say_what_is_cut(&self, offset: Offset) {
        let end = self.log.log_end_offset();
        if offset < end {
            tracing::info!(
                "{}: cutting offsets {offset} to {} off the log, which its leader does not have; unless a person made \
                 an unclean election, no producer was told with acks=all that they are stored",
                self.log.topic_partition(),
                end.0 - 1
            );
        }
    }

    /// What the core wants done, which stays true until it is done since the caller holds `changing` alone; or what to do
    /// where the answer is to no open question. Where none is open, an answer that came late over an earlier connection
    /// took its place, and somebody has to ask again.
    fn step(
        &self,
        leader_epoch: LeaderEpoch,
        fetch_offset: Offset,
        answer: &FetchAnswer,
    ) -> Result<FollowerStep, AfterAnswer> {
        let mut role = self.role.lock();
        let Role::Follower(following) = &mut *role else { return Err(AfterAnswer::Ignored) };
        let Some(asked) = following.asked else { return Err(AfterAnswer::AskAgain) };
        if asked.leader_epoch != leader_epoch || asked.fetch_offset != fetch_offset {
            return Err(AfterAnswer::Ignored);
        }
        following.asked = None;
        if let FetchAnswer::Records { high_watermark, .. } = answer {
            following.leader_high_watermark = Some(*high_watermark);
        }
        let epoch_end = |epoch: LeaderEpoch| self.log.end_offset_for_epoch(epoch);
        Ok(following.core.on_answer(&asked, answer, &self.log_ends(), epoch_end))
    }

    fn appended(
        &self,
        high_watermark: Offset,
        log_start_offset: Offset,
        now: TimestampMs,
    ) -> Result<(), FollowError> {
        let mut start_at = None;
        self.with_follower(|core| {
            let followed = core.appended(&self.log_ends(), high_watermark, log_start_offset);
            self.set_high_watermark(followed.high_watermark);
            start_at = followed.log_start_offset;
        });
        if let Some(start_at) = start_at {
            self.log.follow_log_start(start_at, now)?;
        }
        Ok(())
    }

    fn with_follower(&self, act: impl FnOnce(&mut Follower)) {
        if let Role::Follower(following) = &mut *self.role.lock() {
            act(&mut following.core);
        }
    }
}
