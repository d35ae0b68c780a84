//! The response: the partitions that have news for the session, or all where it asked for all.

use bytes::Bytes;
use kafka_protocol::ResponseError;
use kafka_protocol::messages::fetch_response::{EpochEndOffset, FetchableTopicResponse, PartitionData};
use kafka_protocol::messages::{FetchResponse, TopicName};
use kafka_protocol::protocol::StrBytes;
use storage::ids::PartitionIndex;

use super::reading::{Found, Pass};
use super::{FetchError, FetchReply, elsewhere};
use crate::api::RequestContext;
use crate::api::nodes::CurrentLeaders;
use crate::error_code;
use crate::fetch_sessions::{Resolved, Told, TopicKey};

/// The answer with what was found.
pub(super) fn of(context: &RequestContext, resolved: &Resolved, pass: Pass) -> FetchReply {
    let told: Vec<_> = pass.found.iter().map(|(key, found)| (key.clone(), told(found))).collect();
    let mut is_named = context.broker.fetch_sessions.lock().tell(resolved.session_id, &told);
    if resolved.is_full {
        is_named.fill(true);
    }
    let mut topics: Vec<FetchableTopicResponse> = Vec::new();
    let mut last_topic = None;
    let mut leaders = CurrentLeaders::new(context);
    for (((topic, index), found), _) in pass.found.into_iter().zip(is_named).filter(|(_, is_named)| *is_named)
    {
        if last_topic.as_ref() != Some(&topic) {
            topics.push(topic_response(&topic));
            last_topic = Some(topic.clone());
        }
        let leader = elsewhere::leader(context, &found, (&topic, index), &mut leaders);
        let data = partition_data(index, found, context).with_current_leader(leader.unwrap_or_default());
        if let Some(topic) = topics.last_mut() {
            topic.partitions.push(data);
        }
    }
    let mut response =
        FetchResponse::default().with_responses(topics).with_node_endpoints(elsewhere::endpoints(leaders));
    if context.version >= 7 {
        response.session_id = resolved.session_id;
    }
    FetchReply(response)
}

fn told(found: &Result<Found, FetchError>) -> Told {
    match found {
        Ok(found) => {
            let has_records = found.read.as_ref().is_some_and(|read| !read.records.is_empty());
            Told {
                high_watermark: found.high_watermark.0,
                log_start_offset: found.log_start_offset.0,
                has_news: has_records || found.diverging.is_some() || found.preferred_read_replica.is_some(),
                has_records,
            }
        }
        Err(_) => Told { high_watermark: -1, log_start_offset: -1, has_news: true, has_records: false },
    }
}

fn topic_response(topic: &TopicKey) -> FetchableTopicResponse {
    match topic {
        TopicKey::Name(name) => {
            FetchableTopicResponse::default().with_topic(TopicName(StrBytes::from_string(name.clone())))
        }
        TopicKey::Id(id) => FetchableTopicResponse::default().with_topic_id(id.0),
    }
}

fn partition_data(
    index: PartitionIndex,
    found: Result<Found, FetchError>,
    context: &RequestContext,
) -> PartitionData {
    let data = PartitionData::default().with_partition_index(index.0);
    match found {
        // Empty records, not null, for a partition without data; the same for its list of aborted transactions.
        Err(error) => data
            .with_error_code(error_code::of_fetch(&error).code())
            .with_high_watermark(-1)
            .with_last_stable_offset(-1)
            .with_log_start_offset(-1)
            .with_aborted_transactions(None)
            .with_records(Some(Bytes::new())),
        Ok(found) => {
            let records = found.read.map(|read| read.records).unwrap_or_default();
            context.broker.metrics.fetched(records.len());
            let mut data = data
                .with_high_watermark(found.high_watermark.0)
                .with_last_stable_offset(found.last_stable_offset.0)
                .with_log_start_offset(found.log_start_offset.0)
                .with_aborted_transactions(found.aborted)
                .with_records(Some(records));
            if let Some((epoch, end_offset)) = found.diverging {
                data.diverging_epoch =
                    EpochEndOffset::default().with_epoch(epoch.0).with_end_offset(end_offset.0);
            }
            if let Some(replica) = found.preferred_read_replica {
                data.preferred_read_replica = replica.0.into();
            }
            data
        }
    }
}

/// The answer to a client that is over its quota: nothing, which its session knows of, and it is to ask again later. One
/// that asks for everything is told of no session. Source: `FetchContext.getThrottledResponse`.
pub(super) fn quiet(resolved: &Resolved, throttle_time_ms: i32, version: i16) -> FetchReply {
    let mut response = FetchResponse::default().with_throttle_time_ms(throttle_time_ms);
    if version >= 7 && !resolved.is_full {
        response.session_id = resolved.session_id;
    }
    FetchReply(response)
}

/// The answer that refuses the whole request, which clients of the first versions cannot be told.
pub(super) fn refuse(error: ResponseError, version: i16) -> FetchReply {
    let mut response = FetchResponse::default();
    if version >= 7 {
        response.error_code = error.code();
    }
    FetchReply(response)
}
