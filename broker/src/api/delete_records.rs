//! DeleteRecords (key 21, versions 0–2): logs start later, and what was before is gone (KIP-107).
//!
//! The offset −1 means the high watermark. It is answered once every replica that runs has deleted the records, with the low
//! watermark: where all of their logs start. On the leader the new start is on the disk before that, and a follower writes
//! it before it tells; so nothing comes back after a crash. Files go with the next round of retention.
//! A topic that is only compacted is refused, and so is one that this broker writes to itself.
//! Version notes: 1 means nothing here, 2 has tagged fields.
//! Source: `ReplicaManager.deleteRecords`, `Partition.deleteRecordsOnLeader`, `DelayedDeleteRecords`.

use super::RequestContext;
use crate::broker::Broker;
use crate::error_code;
use crate::limits;
use crate::partition::{DeleteRecordsError, Leadership, Milestone, Partition};
use kafka_protocol::messages::delete_records_request::DeleteRecordsPartition;
use kafka_protocol::messages::delete_records_response::{
    DeleteRecordsPartitionResult, DeleteRecordsTopicResult,
};
use kafka_protocol::messages::{DeleteRecordsRequest, DeleteRecordsResponse, TopicName};
use std::sync::Arc;
use storage::ids::{Offset, PartitionIndex};
use tokio::sync::Notify;
use tokio::time::{Instant, timeout_at};
use uuid::Uuid;

/// The offset that means the high watermark.
const HIGH_WATERMARK: i64 = -1;

/// What is answered for a low watermark that is not known.
const NO_LOW_WATERMARK: i64 = -1;

/// Why records are not deleted, or not everywhere yet.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DeletionError {
    #[error("no such topic or partition")]
    UnknownTopic,
    #[error("records of internal topics are not deleted")]
    InternalTopic,
    #[error("the topic is compacted, and nothing else may delete its records")]
    Compacted,
    #[error(transparent)]
    Refused(#[from] DeleteRecordsError),
    #[error("the disk did not take where the log starts")]
    NotWritten,
    #[error("a follower has not deleted them in time")]
    TimedOut { low_watermark: Option<Offset> },
}

/// Records of one partition that this leader has deleted, and others may not have.
struct Deleted {
    partition: Arc<Partition>,
    leadership: Leadership,
    start: Offset,
}

type Outcome = (i32, Result<Deleted, DeletionError>);

pub(crate) async fn handle(context: RequestContext, request: DeleteRecordsRequest) -> DeleteRecordsResponse {
    let broker = &context.broker;
    let deadline = Instant::now() + limits::deletion_timeout(request.timeout_ms);
    let mut topics: Vec<(TopicName, Vec<Outcome>)> = Vec::with_capacity(request.topics.len());
    for topic in request.topics {
        let outcomes = topic.partitions.iter();
        let outcomes = outcomes.map(|wanted| (wanted.partition_index, delete(broker, &topic.name, wanted)));
        topics.push((topic.name.clone(), outcomes.collect()));
    }
    let deleted = || topics.iter().flat_map(|(_, outcomes)| outcomes).filter_map(|(_, it)| it.as_ref().ok());
    let is_written = deleted().next().is_none() || write_log_starts(broker).await;
    if is_written {
        wait_for_followers(broker, deleted, deadline).await;
    }
    let answer = |(name, outcomes): (TopicName, Vec<Outcome>)| {
        let partitions = outcomes.into_iter().map(|(index, outcome)| {
            let answer = DeleteRecordsPartitionResult::default().with_partition_index(index);
            match outcome.and_then(|deleted| deleted.low_watermark(is_written)) {
                Ok(low_watermark) => answer.with_low_watermark(low_watermark.0),
                Err(error) => {
                    let known = match &error {
                        DeletionError::TimedOut { low_watermark } => *low_watermark,
                        _ => None,
                    };
                    answer
                        .with_low_watermark(known.map_or(NO_LOW_WATERMARK, |known| known.0))
                        .with_error_code(error_code::of_deletion(&error).code())
                }
            }
        });
        DeleteRecordsTopicResult::default().with_name(name.clone()).with_partitions(partitions.collect())
    };
    DeleteRecordsResponse::default().with_topics(topics.into_iter().map(answer).collect())
}

fn delete(
    broker: &Broker,
    topic: &TopicName,
    wanted: &DeleteRecordsPartition,
) -> Result<Deleted, DeletionError> {
    let topic = broker.topic(topic, Uuid::nil()).ok_or(DeletionError::UnknownTopic)?;
    let index = PartitionIndex(wanted.partition_index);
    if !broker.has_partition(topic.topic_id, index) {
        return Err(DeletionError::UnknownTopic);
    }
    if topic.is_internal {
        return Err(DeletionError::InternalTopic);
    }
    let partition = broker.partitions.find(topic.topic_id, index).ok_or(DeleteRecordsError::NotLeader)?;
    let leadership = broker.leadership(&partition).ok_or(DeleteRecordsError::NotLeader)?;
    let policy = partition.log.config().cleanup_policy;
    if policy.compact && !policy.delete {
        return Err(DeletionError::Compacted);
    }
    let offset = (wanted.offset != HIGH_WATERMARK).then_some(Offset(wanted.offset));
    let start = partition.delete_records(offset, &leadership)?;
    Ok(Deleted { partition, leadership, start })
}

/// Whether the disk knows now where the logs start.
async fn write_log_starts(broker: &Broker) -> bool {
    let log_dir = Arc::clone(&broker.log_dir);
    match tokio::task::spawn_blocking(move || log_dir.write_log_starts()).await {
        Ok(Ok(())) => true,
        Ok(Err(error)) => {
            tracing::warn!(
                "where logs start was not written, so deleted records may be back after a crash: {error}"
            );
            false
        }
        // A panic has already ended the process; see `panics`.
        Err(_panic) => false,
    }
}

/// Waits until there is nothing to wait for any more, the log directory has failed, or the deadline has passed.
async fn wait_for_followers<'a, I: Iterator<Item = &'a Deleted>>(
    broker: &Broker,
    deleted: impl Fn() -> I,
    deadline: Instant,
) {
    let wake = Arc::new(Notify::new());
    // Registered before the last look, so that a follower that tells in between is not missed.
    let waiting = || deleted().filter(|deleted| deleted.is_waiting());
    let _registrations: Vec<_> = waiting()
        .map(|waiting| waiting.partition.register(Milestone::LowWatermark, waiting.start, &wake))
        .collect();
    while waiting().next().is_some() && !broker.has_failed() {
        if timeout_at(deadline, wake.notified()).await.is_err() {
            return;
        }
    }
}

impl Deleted {
    fn is_waiting(&self) -> bool {
        let is_reached = self.partition.reached(Milestone::LowWatermark) >= self.start;
        !is_reached && self.partition.still_leads(&self.leadership) && !self.partition.is_closed()
    }

    fn low_watermark(&self, is_written: bool) -> Result<Offset, DeletionError> {
        let low_watermark = self.partition.low_watermark();
        if self.partition.is_closed() {
            return Err(DeletionError::UnknownTopic);
        }
        if !self.partition.still_leads(&self.leadership) {
            return Err(DeletionError::Refused(DeleteRecordsError::NotLeader));
        }
        if !is_written {
            return Err(DeletionError::NotWritten);
        }
        low_watermark.filter(|low| *low >= self.start).ok_or(DeletionError::TimedOut { low_watermark })
    }
}

#[cfg(test)]
mod tests;
