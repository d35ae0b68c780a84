//! What a session answers: the records of partitions that have news, as views of their segments.

use super::{Ended, Session, State};
use crate::broker::Broker;
use crate::partition::{Leadership, Partition};
use crate::partitions::PartitionKey;
use crate::peer::write_frame;
use crate::replica_messages::{LeaderSays, PartitionAnswer};
use crate::replication_quota::LOOK_AGAIN_AFTER;
use bytes::Bytes;
use replication::fetch::{FetchAnswer, FetchPosition, FetchRefusal};
use std::convert::Infallible;
use std::sync::Arc;
use storage::error::ReadError;
use storage::ids::Offset;
use storage::log::LogRead;
use tokio::io::AsyncWrite;
use tokio::time::{Instant, timeout_at};

/// The most partitions in one answer. Larger: an answer of very many takes long to be put together, and nothing goes out
/// meanwhile. Smaller: more messages.
const PARTITIONS_PER_ANSWER_MAX: usize = 4096;

/// A position that may have news.
struct Question {
    key: PartitionKey,
    position: FetchPosition,
    agreed: Result<(Arc<Partition>, Leadership), FetchRefusal>,
    /// It is answered whatever there is to say.
    is_owed: bool,
    told_high_watermark: Option<Offset>,
    told_log_start_offset: Option<Offset>,
}

impl Question {
    /// Whether the log holds more than the follower has.
    fn is_behind(&self) -> bool {
        let end = |(partition, _): &(Arc<Partition>, Leadership)| partition.log.log_end_offset();
        self.agreed.as_ref().is_ok_and(|agreed| self.position.fetch_offset < end(agreed))
    }
}

/// What became of it.
struct Answered {
    question: Question,
    /// `None` where there is nothing to say.
    answer: Option<(FetchAnswer, Bytes)>,
}

/// Answers as long as the connection lasts.
pub(super) async fn speak<W: AsyncWrite + Unpin>(
    session: &Arc<Session>,
    mut writer: W,
) -> Result<Infallible, Ended> {
    let mut last_said = Instant::now();
    loop {
        let (due, look) = session.state.lock().deadlines(last_said, &session.broker);
        let is_late = timeout_at(due.min(look), session.ready.woken()).await.is_err();
        let is_silent = is_late && due <= look;
        let questions = {
            let mut state = session.state.lock();
            if !state.wants_answer {
                if is_silent {
                    // Nothing is asked for: the follower is busy, or has yet to speak.
                    last_said = Instant::now();
                }
                // The marks stay where they are, once each.
                continue;
            }
            state.backlog.extend(session.ready.take());
            if is_late || session.broker.leader_quota.wait().is_none() {
                state.release_held_back();
            }
            if is_silent {
                state.recall_high_watermarks();
            }
            state.next_questions()
        };
        let answered = read(session, questions).await;
        let (said, records) = session.state.lock().settle(answered);
        if said.partitions.is_empty() && !is_silent {
            continue;
        }
        session.state.lock().wants_answer = false;
        let head = said.encode();
        let pieces: Vec<&[u8]> =
            std::iter::once(head.as_slice()).chain(records.iter().map(Bytes::as_ref)).collect();
        session.broker.metrics.sent_to_followers(records.iter().map(Bytes::len).sum());
        write_frame(&mut writer, &pieces).await?;
        last_said = Instant::now();
    }
}

impl State {
    /// When the follower is to hear something, and when to look whether the throttle still holds something back.
    fn deadlines(&self, last_said: Instant, broker: &Broker) -> (Instant, Instant) {
        let due = last_said + self.wait_max;
        if !self.wants_answer || self.held_back.is_empty() {
            return (due, due);
        }
        let wait = broker.leader_quota.wait().unwrap_or_default();
        (due, Instant::now() + wait.min(LOOK_AGAIN_AFTER))
    }

    /// Looks again at what was held back.
    fn release_held_back(&mut self) {
        self.backlog.extend(std::mem::take(&mut self.held_back));
    }

    /// Looks again at the partitions whose high watermark has moved since the follower was told of it.
    fn recall_high_watermarks(&mut self) {
        let moved = self.asked.iter().filter(|(_, asked)| {
            let now = asked.served.as_ref().map(|served| served.partition.high_watermark());
            asked.position.is_some() && now != asked.told_high_watermark
        });
        let moved: Vec<_> = moved.map(|(key, _)| *key).collect();
        self.backlog.extend(moved);
    }

    /// Takes positions that may have news out of the backlog.
    fn next_questions(&mut self) -> Vec<Question> {
        let mut questions = Vec::new();
        while questions.len() < PARTITIONS_PER_ANSWER_MAX
            && let Some(key) = self.backlog.pop_front()
        {
            let Some(asked) = self.asked.get_mut(&key) else { continue };
            let Some((position, agreed)) = asked.position.take() else { continue };
            let agreed = agreed.and_then(|leadership| {
                let served = asked.served.as_ref().ok_or(FetchRefusal::NotLeader)?;
                Ok((Arc::clone(&served.partition), leadership))
            });
            let is_owed = asked.answered_epoch != Some(position.leader_epoch);
            let (told_high_watermark, told_log_start_offset) =
                (asked.told_high_watermark, asked.told_log_start_offset);
            questions.push(Question {
                key,
                position,
                agreed,
                is_owed,
                told_high_watermark,
                told_log_start_offset,
            });
        }
        questions
    }

    /// Puts back what was not answered, and puts the rest together.
    fn settle(&mut self, answered: Vec<Answered>) -> (LeaderSays, Vec<Bytes>) {
        let mut said = LeaderSays::default();
        let mut all_records = Vec::new();
        for Answered { question, answer } in answered {
            let Question { key, position, agreed, .. } = question;
            let Some(asked) = self.asked.get_mut(&key) else { continue };
            let Some((answer, records)) = answer else {
                // Where the follower has said something new meanwhile, that holds.
                let leadership = agreed.map(|(_, leadership)| leadership);
                asked.position.get_or_insert((position, leadership));
                continue;
            };
            if let FetchAnswer::Records { high_watermark, log_start_offset } = answer {
                asked.answered_epoch = Some(position.leader_epoch);
                asked.told_high_watermark = Some(high_watermark);
                asked.told_log_start_offset = Some(log_start_offset);
            }
            said.partitions.push(PartitionAnswer {
                key,
                leader_epoch: position.leader_epoch,
                fetch_offset: position.fetch_offset,
                answer,
                records_bytes: u32::try_from(records.len()).expect("a read is within one segment"),
            });
            if !records.is_empty() {
                all_records.push(records);
            }
        }
        (said, all_records)
    }
}

impl Session {
    /// How many bytes the throttle lets through to a follower that has to catch up; `None` where it is not throttled.
    fn room(&self, question: &Question) -> Option<usize> {
        let (partition, _) = question.agreed.as_ref().ok()?;
        if !partition.is_throttled_for(self.broker.node_id(), self.follower) {
            return None;
        }
        let quota = &self.broker.leader_quota;
        Some(if quota.wait().is_some() { 0 } else { quota.read_bytes_max() })
    }
}

/// Reads what the questions ask for. What may have to come from the disk is read where waiting for it blocks nobody else.
async fn read(session: &Arc<Session>, questions: Vec<Question>) -> Vec<Answered> {
    let is_cold = |question: &Question| {
        let position = question.position.fetch_offset;
        question.agreed.as_ref().is_ok_and(|(partition, _)| !partition.log.is_hot(position))
    };
    if !questions.iter().any(is_cold) {
        return read_all(session, questions);
    }
    // The semaphore lives as long as the node, so this cannot fail.
    let _permit = session.broker.cold_reads.acquire().await.ok();
    let session = Arc::clone(session);
    let read = tokio::task::spawn_blocking(move || read_all(&session, questions));
    // A panic has already ended the process; see `panics`.
    read.await.unwrap_or_default()
}

fn read_all(session: &Session, questions: Vec<Question>) -> Vec<Answered> {
    let (mut bytes_left, partition_bytes_max) = {
        let state = session.state.lock();
        (state.bytes_max, state.partition_bytes_max)
    };
    let mut is_first = true;
    let mut answered = Vec::with_capacity(questions.len());
    for question in questions {
        if bytes_left == 0 {
            session.state.lock().backlog.push_back(question.key);
            answered.push(Answered { question, answer: None });
            continue;
        }
        let room = session.room(&question);
        if room == Some(0) && !question.is_owed {
            session.state.lock().held_back.insert(question.key);
            answered.push(Answered { question, answer: None });
            continue;
        }
        let bytes_max = bytes_left.min(partition_bytes_max).min(room.unwrap_or(usize::MAX));
        let answer = answer(&question, bytes_max, is_first && room != Some(0));
        let bytes = answer.as_ref().map_or(0, |(_, records)| records.len());
        bytes_left -= bytes.min(bytes_left);
        is_first &= bytes == 0;
        if room.is_some() {
            session.broker.leader_quota.spend(bytes);
        }
        if answer.is_none() && question.is_behind() {
            // Its next batch did not fit. In the next answer it comes first, where every batch fits.
            session.state.lock().backlog.push_back(question.key);
        }
        answered.push(Answered { question, answer });
    }
    answered
}

fn answer(question: &Question, bytes_max: usize, at_least_one: bool) -> Option<(FetchAnswer, Bytes)> {
    let refused = |refusal| Some((FetchAnswer::Refused(refusal), Bytes::new()));
    let (partition, leadership) = match &question.agreed {
        Ok(agreed) => agreed,
        Err(refusal) => return refused(*refusal),
    };
    if partition.is_closed() {
        return refused(FetchRefusal::NotLeader);
    }
    let log = &partition.log;
    let read = match partition.read_for_follower(&question.position, leadership, bytes_max, at_least_one) {
        Some(Ok(read)) => read,
        Some(Err(ReadError::OutOfRange { log_start_offset, log_end_offset, .. })) => {
            return refused(FetchRefusal::OutOfRange { log_start_offset, log_end_offset });
        }
        Some(Err(
            error @ (ReadError::Corrupt { .. } | ReadError::UnreadableRecords { .. } | ReadError::Disk(_)),
        )) => {
            tracing::error!("{}: a follower cannot be given what it lacks: {error}", log.topic_partition());
            return refused(FetchRefusal::NotLeader);
        }
        None => return refused(FetchRefusal::NotLeader),
    };
    populate(&read);
    let high_watermark = partition.high_watermark();
    let log_start_offset = log.log_start_offset();
    let has_news = !read.records.is_empty()
        || question.told_high_watermark != Some(high_watermark)
        || question.told_log_start_offset != Some(log_start_offset);
    let answer = FetchAnswer::Records { high_watermark, log_start_offset };
    (question.is_owed || has_news).then_some((answer, read.records))
}

/// Brings cold bytes into memory before they are sent.
fn populate(read: &LogRead) {
    if read.is_cold
        && let Err(error) = read.populate()
    {
        // The pages come in when they are sent, only later.
        tracing::debug!("reading ahead for a follower: {error}");
    }
}
