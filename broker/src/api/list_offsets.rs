//! ListOffsets (key 2, versions 1–11): the offset that belongs to a timestamp, or to a special one.
//!
//! Version 0, which is served and not advertised, knows the first two special timestamps (`wire::list_offsets`).
//!
//! Special timestamps: −1 latest (the high watermark, or the last stable offset under `read_committed`), −2 earliest,
//! −3 the record with the largest timestamp (7+), −4 the earliest on this machine (8+; all of a log is), −5 the last in
//! tiered storage (9+; none is) and −6 the earliest that is still to be copied there (11+; none is).
//!
//! Version notes: 4 brings leader epochs (KIP-320), 7 KIP-734, 8 KIP-405, 9 KIP-1005, 10 the timeout of remote
//! look-ups, which are not made here, 11 KIP-1023. Version 11 has the schema of 10.
//! Source: `KafkaApis.handleListOffsetRequest`, `Partition.fetchOffsetForTimestamp`.

use super::fetch::{FetchError, check_leadership};
use super::{Outcome, Reply, RequestContext};
use crate::error_code;
use crate::partition::Partition;
use crate::wire::list_offsets::{ListOffsetsRequest, is_flexible, put_response};
use crate::wire::request_header::RequestPrefix;
use crate::wire::response::{EncodeError, FrameBuilder};
use kafka_protocol::ResponseError;
use kafka_protocol::messages::list_offsets_request::{ListOffsetsPartition, ListOffsetsTopic};
use kafka_protocol::messages::list_offsets_response::{
    ListOffsetsPartitionResponse, ListOffsetsTopicResponse,
};
use kafka_protocol::messages::{ListOffsetsRequest as RequestOfTheCrate, ListOffsetsResponse};
use std::collections::BTreeSet;
use std::sync::Arc;
use storage::error::ReadError;
use storage::ids::{LeaderEpoch, Offset, PartitionIndex, TimestampMs};
use storage::log::TimestampedOffset;

const LATEST: i64 = -1;
const EARLIEST: i64 = -2;
const MAX_TIMESTAMP: i64 = -3;
const EARLIEST_LOCAL: i64 = -4;
const LATEST_TIERED: i64 = -5;
const EARLIEST_PENDING_UPLOAD: i64 = -6;

/// The first version whose answers name leader epochs.
const LEADER_EPOCH_SINCE: i16 = 4;

/// The first version of which clients know that a new leader may not have the latest offset yet. Source: KIP-207.
const OFFSET_NOT_AVAILABLE_SINCE: i16 = 5;

/// Why a partition has no answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ListOffsetsError {
    #[error("the request names the partition twice")]
    Duplicate,
    #[error("no such topic or partition")]
    UnknownTopic,
    #[error("the special timestamp {timestamp} is not of this version")]
    UnsupportedTimestamp { timestamp: i64 },
    #[error("the leader has yet to learn how far what is committed goes")]
    NotAvailable { is_known_to_client: bool },
    #[error(transparent)]
    LeaderEpoch(#[from] FetchError),
    #[error(transparent)]
    Read(#[from] ReadError),
}

/// The response, of which the crate does not have every version.
pub(crate) struct ListOffsetsReply(pub(crate) ListOffsetsResponse);

impl Reply for ListOffsetsReply {
    fn into_outcome(self, prefix: RequestPrefix, schema_version: i16) -> Result<Outcome, EncodeError> {
        let mut frame = FrameBuilder::new(prefix.correlation_id, is_flexible(schema_version));
        put_response(&mut frame, &self.0, schema_version)?;
        frame.finish(schema_version).map(Outcome::Send)
    }
}

pub(crate) async fn handle(context: RequestContext, request: ListOffsetsRequest) -> ListOffsetsReply {
    ListOffsetsReply(answer(context, request.0).await)
}

async fn answer(context: RequestContext, request: RequestOfTheCrate) -> ListOffsetsResponse {
    let version = context.version;
    if request.replica_id.0 >= 0 {
        // A client can never act as a replica.
        return refuse(request, ResponseError::ClusterAuthorizationFailed, version);
    }
    if !request
        .topics
        .iter()
        .flat_map(|topic| &topic.partitions)
        .any(|partition| reads_files(partition.timestamp))
    {
        return look_up_all(&context, request);
    }
    let broker = Arc::clone(&context.broker);
    let permit = broker.cold_reads.acquire().await;
    let looked_up = tokio::task::spawn_blocking(move || look_up_all(&context, request)).await;
    drop(permit);
    looked_up.unwrap_or_default()
}

/// Whether the look-up reads index and log files.
fn reads_files(timestamp: i64) -> bool {
    timestamp >= 0 || timestamp == MAX_TIMESTAMP
}

fn look_up_all(context: &RequestContext, request: RequestOfTheCrate) -> ListOffsetsResponse {
    let version = context.version;
    let is_read_committed = request.isolation_level == 1;
    let duplicates = duplicates(&request);
    let topics = request
        .topics
        .into_iter()
        .map(|topic| {
            let answer = |partition: &ListOffsetsPartition| {
                let key = (topic.name.to_string(), partition.partition_index);
                let found = match duplicates.contains(&key) {
                    true => Err(ListOffsetsError::Duplicate),
                    false => look_up(context, &topic, partition, is_read_committed),
                };
                partition_response(partition.partition_index, found, version)
            };
            let partitions = topic.partitions.iter().map(answer).collect();
            ListOffsetsTopicResponse::default().with_name(topic.name.clone()).with_partitions(partitions)
        })
        .collect();
    ListOffsetsResponse::default().with_topics(topics)
}

fn duplicates(request: &RequestOfTheCrate) -> BTreeSet<(String, i32)> {
    let mut seen = BTreeSet::new();
    request
        .topics
        .iter()
        .flat_map(|topic| {
            topic.partitions.iter().map(|partition| (topic.name.to_string(), partition.partition_index))
        })
        .filter(|key| !seen.insert(key.clone()))
        .collect()
}

fn look_up(
    context: &RequestContext,
    topic: &ListOffsetsTopic,
    wanted: &ListOffsetsPartition,
    is_read_committed: bool,
) -> Result<Option<TimestampedOffset>, ListOffsetsError> {
    let broker = &context.broker;
    let topic_id = broker.topic_id_of(&topic.name).ok_or(ListOffsetsError::UnknownTopic)?;
    let partition = broker.partitions.find(topic_id, PartitionIndex(wanted.partition_index)).ok_or_else(
        || match broker.has_partition(topic_id, PartitionIndex(wanted.partition_index)) {
            true => ListOffsetsError::LeaderEpoch(FetchError::NotLeader),
            false => ListOffsetsError::UnknownTopic,
        },
    )?;
    check_leadership(broker, &partition, LeaderEpoch(wanted.current_leader_epoch))?;
    let end = if is_read_committed { partition.last_stable_offset() } else { partition.high_watermark() };
    let log = &partition.log;
    let is_available = partition.is_latest_offset_available();
    let not_available =
        ListOffsetsError::NotAvailable { is_known_to_client: context.version >= OFFSET_NOT_AVAILABLE_SINCE };
    match wanted.timestamp {
        LATEST if !is_available => Err(not_available),
        LATEST => Ok(Some(at(end, Some(partition.leader_epoch())))),
        EARLIEST | EARLIEST_LOCAL if is_served(wanted.timestamp, context.version) => {
            let start = log.log_start_offset();
            Ok(Some(at(start, log.epoch_of_offset(start))))
        }
        MAX_TIMESTAMP if is_served(MAX_TIMESTAMP, context.version) => Ok(log.offset_of_max_timestamp(end)?),
        LATEST_TIERED | EARLIEST_PENDING_UPLOAD if is_served(wanted.timestamp, context.version) => Ok(None),
        timestamp if timestamp < 0 || context.version == 0 => {
            Err(ListOffsetsError::UnsupportedTimestamp { timestamp })
        }
        timestamp => match by_timestamp(&partition, TimestampMs(timestamp), end)? {
            None if !is_available => Err(not_available),
            found => Ok(found),
        },
    }
}

/// Source: `ListOffsetsRequest.java`, `KafkaApis.handleListOffsetRequest`.
fn is_served(timestamp: i64, version: i16) -> bool {
    let since = match timestamp {
        MAX_TIMESTAMP => 7,
        EARLIEST_LOCAL => 8,
        LATEST_TIERED => 9,
        EARLIEST_PENDING_UPLOAD => 11,
        _ => 0,
    };
    version >= since
}

fn by_timestamp(
    partition: &Arc<Partition>,
    timestamp: TimestampMs,
    end: Offset,
) -> Result<Option<TimestampedOffset>, ListOffsetsError> {
    Ok(partition.log.offset_for_timestamp(timestamp, end)?)
}

fn at(offset: Offset, leader_epoch: Option<LeaderEpoch>) -> TimestampedOffset {
    TimestampedOffset {
        offset,
        timestamp: TimestampMs::NONE,
        leader_epoch: leader_epoch.unwrap_or(LeaderEpoch::NONE),
    }
}

fn partition_response(
    index: i32,
    found: Result<Option<TimestampedOffset>, ListOffsetsError>,
    version: i16,
) -> ListOffsetsPartitionResponse {
    let mut response = ListOffsetsPartitionResponse::default()
        .with_partition_index(index)
        .with_timestamp(-1)
        .with_offset(-1);
    match found {
        Ok(None) => {}
        Ok(Some(found)) => {
            response.offset = found.offset.0;
            response.timestamp = found.timestamp.0;
            if version >= LEADER_EPOCH_SINCE {
                response.leader_epoch = found.leader_epoch.0;
            }
        }
        Err(error) => response.error_code = error_code::of_list_offsets(&error).code(),
    }
    response
}

fn refuse(request: RequestOfTheCrate, error: ResponseError, version: i16) -> ListOffsetsResponse {
    let refused = |partition: &ListOffsetsPartition| {
        partition_response(partition.partition_index, Ok(None), version).with_error_code(error.code())
    };
    let topics = request
        .topics
        .into_iter()
        .map(|topic| {
            let partitions = topic.partitions.iter().map(refused).collect();
            ListOffsetsTopicResponse::default().with_name(topic.name).with_partitions(partitions)
        })
        .collect();
    ListOffsetsResponse::default().with_topics(topics)
}
