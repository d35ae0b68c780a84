//! How this node tells the controller that it is alive, and what it learns from the answers.
//!
//! A node that had no answer for a whole session takes itself for isolated: by then others may lead what it leads. The
//! answer to that question is computed from the clock when it is asked, so that a process that was stopped for a while
//! knows it with its first instruction.

use crate::clock;
use crate::quorum::control::{self, ControlAnswer, ControlRequest, Heartbeat};
use crate::quorum::controllership::Controllership;
use crate::quorum::council::{Controller, Council};
use crate::quorum::link::milliseconds;
use crate::quorum::links::Lane;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;
use storage::ids::{BrokerEpoch, BrokerId};
use tokio::sync::{Notify, watch};
use tokio::time::{sleep, timeout};

/// How long an unknown controller is waited for. Larger: a node is heard later after an election. Smaller: more work in
/// vain.
const LOOK_AGAIN: Duration = Duration::from_millis(20);

/// What a running node tells, and was told.
#[derive(Debug)]
pub(super) struct Pulse {
    broker_id: BrokerId,
    broker_epoch: BrokerEpoch,
    session_timeout: Duration,
    is_ready: AtomicBool,
    wants_to_stop: AtomicBool,
    stands_aside: AtomicBool,
    /// Says that there is something new to tell.
    news: Notify,
    /// When the newest answered heartbeat was sent, in milliseconds of the monotonic clock.
    answered_at: AtomicU64,
    may_stop: watch::Sender<bool>,
    is_superseded: watch::Sender<bool>,
    /// Whether it was isolated when it last looked: for who waits for it.
    isolation: watch::Sender<bool>,
}

impl Pulse {
    /// The pulse of a node that has just registered.
    pub(super) fn new(broker_id: BrokerId, broker_epoch: BrokerEpoch, session_timeout: Duration) -> Self {
        Self {
            broker_id,
            broker_epoch,
            session_timeout,
            is_ready: AtomicBool::new(false),
            wants_to_stop: AtomicBool::new(false),
            stands_aside: AtomicBool::new(false),
            news: Notify::new(),
            answered_at: AtomicU64::new(milliseconds(clock::monotonic())),
            may_stop: watch::Sender::new(false),
            is_superseded: watch::Sender::new(false),
            isolation: watch::Sender::new(false),
        }
    }

    /// Tells the controller that this node can be used.
    pub(super) fn say_ready(&self) {
        self.is_ready.store(true, Ordering::Release);
        self.news.notify_one();
    }

    /// Tells the controller that this node wants to stop, and returns once nothing is left here that others could lead.
    pub(super) async fn say_stopping(&self) {
        self.wants_to_stop.store(true, Ordering::Release);
        self.news.notify_one();
        // The sender lives in `self`, so there is an answer or there is none yet.
        let _answered = self.may_stop.subscribe().wait_for(|may_stop| *may_stop).await.is_ok();
    }

    /// Has others lead what they can, or takes part again.
    pub(super) fn stand_aside(&self, stands_aside: bool) {
        if self.stands_aside.swap(stands_aside, Ordering::AcqRel) != stands_aside {
            self.news.notify_one();
        }
    }

    /// Whether no heartbeat was answered for a whole session.
    pub(super) fn is_isolated(&self) -> bool {
        let answered_at = Duration::from_millis(self.answered_at.load(Ordering::Acquire));
        clock::monotonic() > answered_at + self.session_timeout
    }

    /// Returns once this node is isolated, or no longer.
    pub(super) async fn isolated(&self, wanted: bool) {
        // The sender lives in `self`.
        let _seen = self.isolation.subscribe().wait_for(|isolated| *isolated == wanted).await.is_ok();
    }

    /// Says it in the log when this node begins or ceases to be isolated: clients see no more of it than refusals.
    fn look_at_isolation(&self) {
        let is_isolated = self.is_isolated();
        if self.isolation.send_if_modified(|known| std::mem::replace(known, is_isolated) != is_isolated) {
            match is_isolated {
                true => tracing::warn!(
                    "no controller has answered this node for {:?}: it refuses what clients ask of the partitions that it \
                     leads until one does; check that a majority of the nodes in ottla.replica.set runs and can be reached",
                    self.session_timeout
                ),
                false => tracing::info!("the controller answers this node again"),
            }
        }
    }

    /// Returns once another run of a node with this `node.id` has registered.
    pub(super) async fn superseded(&self) {
        // The sender lives in `self`.
        let _heard = self.is_superseded.subscribe().wait_for(|superseded| *superseded).await.is_ok();
    }

    fn next(&self, council: &Council) -> Heartbeat {
        Heartbeat {
            broker_id: self.broker_id,
            broker_epoch: self.broker_epoch,
            metadata_offset: council.images.borrow().offset(),
            is_ready: self.is_ready.load(Ordering::Acquire),
            wants_to_stop: self.wants_to_stop.load(Ordering::Acquire)
                || self.stands_aside.load(Ordering::Acquire),
        }
    }

    fn take(&self, answer: Option<&ControlAnswer>, sent_at: Duration) {
        match answer {
            Some(ControlAnswer::Alive { may_stop }) => {
                self.answered_at.store(milliseconds(sent_at), Ordering::Release);
                self.may_stop.send_if_modified(|known| std::mem::replace(known, *may_stop) != *may_stop);
            }
            Some(ControlAnswer::Superseded) => {
                self.is_superseded.send_replace(true);
            }
            // Whoever answered does not lead, or answered something else.
            None
            | Some(
                ControlAnswer::Introduction(_)
                | ControlAnswer::Joined
                | ControlAnswer::Taken { .. }
                | ControlAnswer::Copied { .. }
                | ControlAnswer::OlderCopy { .. }
                | ControlAnswer::Unreached { .. }
                | ControlAnswer::Decided(..)
                | ControlAnswer::Failed(_)
                | ControlAnswer::Status(_)
                | ControlAnswer::NotController { .. },
            ) => {}
        }
    }
}

/// Sends a heartbeat every `every`, sooner when there is news or another controller. Never returns.
pub(super) async fn run(
    pulse: Arc<Pulse>,
    council: Arc<Council>,
    controllership: Arc<Controllership>,
    every: Duration,
) {
    let mut metrics = council.raft.metrics();
    loop {
        let leader = metrics.borrow_and_update().current_leader;
        let sent_at = clock::monotonic();
        let beat = pulse.next(&council);
        // An answer that comes later than the next heartbeat would say nothing that is still true.
        let answer = timeout(every, tell(&council, &controllership, &beat)).await.ok().flatten();
        let was_heard = answer.is_some();
        pulse.take(answer.as_ref(), sent_at);
        pulse.look_at_isolation();
        let pause = if was_heard { every } else { LOOK_AGAIN };
        let wants_to_stop = pulse.wants_to_stop.load(Ordering::Acquire);
        let another_leads = metrics.wait_for(|metrics| metrics.current_leader != leader);
        tokio::select! {
            () = sleep(if wants_to_stop { LOOK_AGAIN } else { pause }) => {}
            () = pulse.news.notified() => {}
            // Where the quorum has stopped, there is nothing to wait for.
            changed = another_leads => if changed.is_err() { return },
        }
    }
}

/// What the controller answers; `None` where it is not reached, or does not answer for itself.
async fn tell(
    council: &Arc<Council>,
    controllership: &Arc<Controllership>,
    beat: &Heartbeat,
) -> Option<ControlAnswer> {
    match council.controller(Lane::Heartbeats) {
        Controller::Here => controllership.heartbeat(council, beat),
        Controller::There(link) => {
            let answer = link.call(control::encode(&ControlRequest::Heartbeat(*beat))).await.ok()?;
            control::decode(&answer)
                .filter(|answer| matches!(answer, ControlAnswer::Alive { .. } | ControlAnswer::Superseded))
        }
        Controller::Unknown => None,
    }
}
