//! Who waits for an answer of a shard: first for the shard to decide, then for the high watermark.
//!
//! Invariant: answers that wait for the high watermark stand in the order of the offsets that they wait for.

use super::{CoordinatorError, WriteError};
use coordinator::output::ReplyTo;
use coordinator::request::Reply;
use std::collections::{HashMap, VecDeque};
use std::time::Duration;
use storage::ids::Offset;
use tokio::sync::oneshot;

/// Where an answer goes.
pub(super) type Answer = oneshot::Sender<Result<Reply, CoordinatorError>>;

/// Everybody who waits.
#[derive(Debug, Default)]
pub(super) struct Replies {
    next: u64,
    /// For the shard's decision.
    undecided: HashMap<ReplyTo, Answer>,
    /// For the high watermark.
    uncommitted: VecDeque<Waiting>,
}

/// Answers that leave together.
#[derive(Debug)]
struct Waiting {
    /// Once the high watermark is this or more.
    until: Offset,
    /// Or as errors, once this moment has come.
    deadline: Duration,
    answers: Vec<(Answer, Reply)>,
}

impl Replies {
    /// A name for who asks.
    pub(super) fn register(&mut self, answer: Answer) -> ReplyTo {
        let reply_to = ReplyTo(self.next);
        self.next += 1;
        self.undecided.insert(reply_to, answer);
        reply_to
    }

    /// The shard has decided; the answers leave once the high watermark is `until`, or fail at `deadline`.
    pub(super) fn decided(&mut self, replies: Vec<(ReplyTo, Reply)>, until: Offset, deadline: Duration) {
        let answers: Vec<_> = replies
            .into_iter()
            .filter_map(|(to, reply)| Some((self.undecided.remove(&to)?, reply)))
            .collect();
        if !answers.is_empty() {
            self.uncommitted.push_back(Waiting { until, deadline, answers });
        }
    }

    /// What the shard decided is not in the log: all that it would have answered are told so.
    pub(super) fn refused(&mut self, replies: &[(ReplyTo, Reply)], error: &WriteError) {
        for (to, _) in replies {
            if let Some(answer) = self.undecided.remove(to) {
                send(answer, Err(error.clone().into()));
            }
        }
    }

    /// Sends what waited for no more than `high_watermark`.
    pub(super) fn committed(&mut self, high_watermark: Offset) {
        while let Some(waiting) = self.uncommitted.pop_front_if(|waiting| waiting.until <= high_watermark) {
            for (answer, reply) in waiting.answers {
                send(answer, Ok(reply));
            }
        }
    }

    /// Gives up on what should have been confirmed by `now`.
    pub(super) fn expire(&mut self, now: Duration) {
        while let Some(waiting) = self.uncommitted.pop_front_if(|waiting| waiting.deadline <= now) {
            fail(waiting, &CoordinatorError::Write(WriteError::TimedOut));
        }
    }

    /// Tells everybody that the group is coordinated elsewhere. Whether what they asked for comes to pass is unknown.
    pub(super) fn resign(&mut self) {
        for (_, answer) in self.undecided.drain() {
            send(answer, Err(CoordinatorError::NotCoordinator));
        }
        for waiting in self.uncommitted.drain(..) {
            fail(waiting, &CoordinatorError::NotCoordinator);
        }
    }

    /// The offset that the oldest answer waits for.
    pub(super) fn oldest(&self) -> Option<Offset> {
        self.uncommitted.front().map(|waiting| waiting.until)
    }

    /// When [`Self::expire`] is next to be called.
    pub(super) fn next_deadline(&self) -> Option<Duration> {
        self.uncommitted.front().map(|waiting| waiting.deadline)
    }
}

fn fail(waiting: Waiting, error: &CoordinatorError) {
    for (answer, _) in waiting.answers {
        send(answer, Err(error.clone()));
    }
}

fn send(answer: Answer, result: Result<Reply, CoordinatorError>) {
    // Whoever asked may have left since.
    drop(answer.send(result));
}

#[cfg(test)]
mod tests {
    use super::*;

    type Asked = oneshot::Receiver<Result<Reply, CoordinatorError>>;

    fn ask(replies: &mut Replies) -> (ReplyTo, Asked) {
        let (answer, asked) = oneshot::channel();
        (replies.register(answer), asked)
    }

    const ALIVE: Reply = Reply::Heartbeat(Ok(()));
    const SOON: Duration = Duration::from_secs(5);

    #[test]
    fn answer_leaves_once_the_high_watermark_has_passed_what_was_applied_before_it() {
        let mut replies = Replies::default();
        let (first, mut first_asked) = ask(&mut replies);
        let (second, mut second_asked) = ask(&mut replies);
        replies.decided(vec![(first, ALIVE)], Offset(3), SOON);
        replies.decided(vec![(second, ALIVE)], Offset(5), SOON);
        replies.committed(Offset(4));
        assert_eq!(first_asked.try_recv(), Ok(Ok(ALIVE)));
        assert!(second_asked.try_recv().is_err());
        replies.committed(Offset(5));
        assert_eq!(second_asked.try_recv(), Ok(Ok(ALIVE)));
    }

    #[test]
    fn what_is_not_written_or_not_confirmed_is_an_error() {
        let mut replies = Replies::default();
        let (refused, mut refused_asked) = ask(&mut replies);
        let (late, mut late_asked) = ask(&mut replies);
        let (parked, mut parked_asked) = ask(&mut replies);
        replies.refused(&[(refused, ALIVE)], &WriteError::NotLeader);
        replies.decided(vec![(late, ALIVE)], Offset(3), SOON);
        replies.expire(SOON);
        replies.resign();
        assert_eq!(refused_asked.try_recv(), Ok(Err(CoordinatorError::Write(WriteError::NotLeader))));
        assert_eq!(late_asked.try_recv(), Ok(Err(CoordinatorError::Write(WriteError::TimedOut))));
        assert_eq!(parked_asked.try_recv(), Ok(Err(CoordinatorError::NotCoordinator)));
        assert!(parked > late, "every asker has a name of its own");
    }
}
