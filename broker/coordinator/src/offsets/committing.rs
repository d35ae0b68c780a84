//! OffsetCommit: the records of a commit that its group has let in. Source: OffsetMetadataManager.java.

use storage::ids::{TimestampMs, TopicId};

use crate::environment::Environment;
use crate::error::GroupError;
use crate::record::{OffsetCommitValue, Record};
use crate::request::{CommittingOffset, OffsetCommit};

/// What a commit leads to.
pub(crate) struct Committed {
    /// What to write.
    pub(crate) records: Vec<Record>,
    /// What becomes of each partition, in the order of the request.
    pub(crate) results: Vec<Result<(), GroupError>>,
}

/// What becomes of each partition of the request, in its order, with the records of those that are good.
///
/// `admits` is the group's word on a single partition; the first that it refuses refuses the whole request.
pub(crate) fn commit(
    request: &OffsetCommit,
    env: &Environment<'_>,
    mut admits: impl FnMut(&CommittingOffset) -> Result<(), GroupError>,
) -> Result<Committed, GroupError> {
    let mut records = Vec::with_capacity(request.offsets.len());
    let mut results = Vec::with_capacity(request.offsets.len());
    for committing in &request.offsets {
        // A request may wait in the queue while the topic is deleted and its offsets are forgotten, which what it
        // commits would outlive.
        if env.cluster.topic_by_id(committing.topic_id).is_none() {
            results.push(Err(unknown_topic(request)));
            continue;
        }
        if is_too_large(&committing.metadata, env) {
            results.push(Err(GroupError::OffsetMetadataTooLarge));
            continue;
        }
        admits(committing)?;
        records.push(record(request, committing, env.now));
        results.push(Ok(()));
    }
    Ok(Committed { records, results })
}

fn unknown_topic(request: &OffsetCommit) -> GroupError {
    if request.names_topics_by_id { GroupError::UnknownTopicId } else { GroupError::UnknownTopic }
}

/// Kafka counts as Java does: in UTF-16 units.
fn is_too_large(metadata: &str, env: &Environment<'_>) -> bool {
    let longest = usize::try_from(env.settings.offset_metadata_max_bytes).unwrap_or(0);
    metadata.len() > longest && metadata.encode_utf16().count() > longest
}

fn record(request: &OffsetCommit, committing: &CommittingOffset, now: TimestampMs) -> Record {
    let retention_ms =
        request.retention.map(|retention| i64::try_from(retention.as_millis()).unwrap_or(i64::MAX));
    Record::OffsetCommit {
        group_id: request.group_id.clone(),
        topic: committing.topic.clone(),
        partition: committing.partition,
        value: Some(OffsetCommitValue {
            offset: committing.offset,
            leader_epoch: committing.leader_epoch,
            metadata: committing.metadata.clone(),
            commit_timestamp: now,
            expire_timestamp: retention_ms
                .map(|retention_ms| TimestampMs(now.0.saturating_add(retention_ms))),
            topic_id: if request.names_topics_by_id { committing.topic_id } else { TopicId::ZERO },
        }),
    }
}
