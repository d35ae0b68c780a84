//! Fetch (key 1, versions 4–18): reads record batches, from many partitions at once.
//!
//! One loop: register with every partition, read them all, answer when there is enough, else wait and read again.
//! Records are views of the mapped segments and go to the socket without a copy. Whole batches only, from the one
//! that holds the fetch offset; the first partition with records gets at least one batch, however large (KIP-74).
//!
//! Version notes: 7 brings sessions (KIP-227), 12 the client's last fetched epoch (KIP-595), 13 topic ids (KIP-516), 16 the
//! leader where a client asked another node (KIP-951).
//! With version 11 a consumer may read from a follower, to which the leader sends it (KIP-392). Not done: followers' own
//! fields (a request with a replica id is refused; replicas have a protocol of their own).
//! Source: `KafkaApis.handleFetchRequest`, `ReplicaManager.fetchMessages`, `DelayedFetch`.

mod closest;
mod elsewhere;

use super::nodes::CurrentLeaders;
use super::{Outcome, Reply, RequestContext};
use crate::broker::Broker;
use crate::clock;
use crate::error_code;
use crate::fetch_sessions::{
    PartitionKey, Resolved, SessionError, SessionRequest, Told, TopicKey, Wanted,
};
use crate::partition::{Milestone, Partition, Registration};
use crate::stopping::Stopping;
use crate::wire::fetch_response::put_fetch_response;
use crate::wire::request_header::RequestPrefix;
use crate::wire::response::{EncodeError, FrameBuilder};
use bytes::Bytes;
use kafka_protocol::ResponseError;
use kafka_protocol::messages::fetch_response::{
    AbortedTransaction, EpochEndOffset, FetchableTopicResponse, PartitionData,
};
use kafka_protocol::messages::{FetchRequest, FetchResponse, ProducerId, TopicName};
use kafka_protocol::protocol::{HeaderVersion, StrBytes};
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;
use storage::ids::{BrokerId, LeaderEpoch, Offset, PartitionIndex, TopicId};
use storage::error::ReadError;
use storage::leader_epochs::EpochEnd;
use storage::log::LogRead;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until};

/// The first version whose clients know that they may read from a follower.
const FOLLOWER_FETCH_SINCE: i16 = 11;

/// The first version that names topics by their ids.
const TOPIC_IDS_SINCE: i16 = 13;

/// Why a partition gives no records.
#[derive(Debug, thiserror::Error)]
pub(crate) enum FetchError {
    #[error("no such topic or partition")]
    UnknownTopic,
    #[error("no topic with this id")]
    UnknownTopicId,
    #[error("the client knows leader epoch {asked}, which is older than {current}")]
    FencedLeaderEpoch { asked: LeaderEpoch, current: LeaderEpoch },
    #[error("the client knows leader epoch {asked}, which is newer than {current}")]
    UnknownLeaderEpoch { asked: LeaderEpoch, current: LeaderEpoch },
    #[error("this node does not lead the partition")]
    NotLeader,
    #[error(transparent)]
    Read(#[from] ReadError),
}

/// A response that is sent without copying its records.
pub(crate) struct FetchReply(pub(crate) FetchResponse);

impl Reply for FetchReply {
    fn into_outcome(self, prefix: RequestPrefix, schema_version: i16) -> Result<Outcome, EncodeError> {
        let is_flexible = FetchResponse::header_version(schema_version) >= 1;
        let mut frame = FrameBuilder::new(prefix.correlation_id, is_flexible);
        put_fetch_response(&mut frame, self.0, schema_version)?;
        frame.finish(schema_version).map(Outcome::Send)
    }
}

/// What one pass over the partitions found.
#[derive(Default)]
struct Pass {
    bytes: usize,
    must_answer: bool,
    found: Vec<(PartitionKey, Result<Found, FetchError>)>,
}

/// What a partition gave.
struct Found {
    partition: Arc<Partition>,
    high_watermark: Offset,
    last_stable_offset: Offset,
    log_start_offset: Offset,
    read: Option<LogRead>,
    diverging: Option<(LeaderEpoch, Offset)>,
    aborted: Option<Vec<AbortedTransaction>>,
    /// Where the client had better ask.
    preferred_read_replica: Option<BrokerId>,
}

/// What holds for every partition of a request.
#[derive(Clone)]
struct Terms {
    bytes_max: usize,
    is_read_committed: bool,
    may_read_from_follower: bool,
    client_rack: Arc<str>,
}

/// How long a request waits for records.
struct Patience {
    deadline: Instant,
    /// The word that the connection ends.
    ending: Stopping,
    /// Whether the next pass is the last.
    is_over: bool,
}

pub(crate) async fn handle(context: RequestContext, request: FetchRequest) -> FetchReply {
    if request.replica_id.0 >= 0 || request.replica_state.replica_id.0 >= 0 {
        // A client can never act as a replica.
        return refuse(ResponseError::ClusterAuthorizationFailed, context.version);
    }
    let broker = &context.broker;
    let deadline = Instant::now() + Duration::from_millis(u64::try_from(request.max_wait_ms).unwrap_or(0));
    let by_quota = broker.client_quotas.fetch_bytes_max(context.client());
    let terms = Terms {
        bytes_max: usize::try_from(request.max_bytes).unwrap_or(0).min(broker.fetch_bytes_max()).min(by_quota),
        is_read_committed: request.isolation_level == 1,
        may_read_from_follower: context.version >= FOLLOWER_FETCH_SINCE,
        client_rack: request.rack_id.as_str().into(),
    };
    // More than the answer may hold never comes together. Source: `KafkaApis.handleFetchRequest`.
    let min_bytes = usize::try_from(request.min_bytes).unwrap_or(0).min(terms.bytes_max);
    let resolved = match resolve(&context, &request) {
        Ok(resolved) => resolved,
        Err(error) => return refuse(error_code::of_fetch_session(error), context.version),
    };
    let resolved = Arc::new(resolved);
    let is_over = request.max_wait_ms <= 0;
    let patience = Patience { deadline, ending: context.ending.clone(), is_over };
    let pass = read_until_enough(broker, &resolved, &terms, min_bytes, patience).await;
    match context.fetches(pass.bytes) {
        0 => answer(&context, &resolved, pass),
        throttle_time_ms => quiet(&resolved, throttle_time_ms, context.version),
    }
}

/// The answer to a client that is over its quota: nothing, which its session knows of, and it is to ask again later. One
/// that asks for everything is told of no session. Source: `FetchContext.getThrottledResponse`.
fn quiet(resolved: &Resolved, throttle_time_ms: i32, version: i16) -> FetchReply {
    let mut response = FetchResponse::default().with_throttle_time_ms(throttle_time_ms);
    if version >= 7 && !resolved.is_full {
        response.session_id = resolved.session_id;
    }
    FetchReply(response)
}

fn refuse(error: ResponseError, version: i16) -> FetchReply {
    let mut response = FetchResponse::default();
    if version >= 7 {
        response.error_code = error.code();
    }
    FetchReply(response)
}

fn resolve(context: &RequestContext, request: &FetchRequest) -> Result<Resolved, SessionError> {
    let uses_topic_ids = context.version >= TOPIC_IDS_SINCE;
    let key = |name: &TopicName, id: uuid::Uuid, partition: i32| {
        let topic =
            if uses_topic_ids { TopicKey::Id(TopicId(id)) } else { TopicKey::Name(name.to_string()) };
        (topic, PartitionIndex(partition))
    };
    let wanted = request
        .topics
        .iter()
        .flat_map(|topic| {
            topic.partitions.iter().map(|partition| {
                let wanted = Wanted {
                    fetch_offset: Offset(partition.fetch_offset),
                    bytes_max: usize::try_from(partition.partition_max_bytes).unwrap_or(0),
                    current_leader_epoch: LeaderEpoch(partition.current_leader_epoch),
                    last_fetched_epoch: LeaderEpoch(partition.last_fetched_epoch),
                };
                (key(&topic.topic, topic.topic_id, partition.partition), wanted)
            })
        })
        .collect();
    let wanted = each_once(wanted);
    let forgotten: Vec<_> = request
        .forgotten_topics_data
        .iter()
        .flat_map(|topic| topic.partitions.iter().map(|partition| key(&topic.topic, topic.topic_id, *partition)))
        .collect();
    let session = SessionRequest {
        session_id: request.session_id,
        // Below version 7 there are no sessions, and the crate fills in its default.
        epoch: if context.version >= 7 { request.session_epoch } else { -1 },
        uses_topic_ids,
    };
    let random = || uuid::Uuid::new_v4().as_u64_pair().0 as i32;
    context.broker.fetch_sessions.lock().resolve(session, wanted, &forgotten, clock::monotonic(), random)
}

/// Each partition once, in the place where it was first named, with what was said of it last, as Kafka's maps keep it.
fn each_once(wanted: Vec<(PartitionKey, Wanted)>) -> Vec<(PartitionKey, Wanted)> {
    if wanted.len() < 2 {
        return wanted;
    }
    let mut places = HashMap::with_capacity(wanted.len());
    let mut once: Vec<(PartitionKey, Wanted)> = Vec::with_capacity(wanted.len());
    for (key, wanted) in wanted {
        match places.get(&key).and_then(|place: &usize| once.get_mut(*place)) {
            Some((_, named_before)) => *named_before = wanted,
            None => {
                places.insert(key.clone(), once.len());
                once.push((key, wanted));
            }
        }
    }
    once
}

async fn read_until_enough(
    broker: &Arc<Broker>,
    resolved: &Arc<Resolved>,
    terms: &Terms,
    min_bytes: usize,
    mut patience: Patience,
) -> Pass {
    let wake = Arc::new(Notify::new());
    loop {
        let registrations = register(broker, resolved, &wake);
        let pass = read_once(broker, resolved, terms).await;
        let is_enough = pass.bytes >= min_bytes || pass.must_answer || resolved.wanted.is_empty();
        if is_enough || patience.is_over {
            return pass;
        }
        drop(pass);
        // However the wait ended, the next pass decides.
        tokio::select! {
            () = wake.notified() => {}
            () = sleep_until(patience.deadline) => patience.is_over = true,
            () = patience.ending.requested() => patience.is_over = true,
        }
        drop(registrations);
    }
}

/// Asks every partition to wake us once it has more than now.
fn register(broker: &Broker, resolved: &Resolved, wake: &Arc<Notify>) -> Vec<Registration> {
    resolved
        .wanted
        .iter()
        .filter_map(|(key, _)| find(broker, key).ok())
        .map(|partition| {
            let more = partition.high_watermark().plus(1);
            partition.register(Milestone::HighWatermark, more, wake)
        })
        .collect()
}

/// Reads every partition once. What may have to come from the disk is read where waiting for it blocks nobody else.
async fn read_once(broker: &Arc<Broker>, resolved: &Arc<Resolved>, terms: &Terms) -> Pass {
    let is_hot = |(key, wanted): &(PartitionKey, Wanted)| {
        find(broker, key).map_or(true, |partition| partition.log.is_hot(wanted.fetch_offset))
    };
    if resolved.wanted.iter().all(is_hot) {
        return read_all(broker, resolved, terms);
    }
    let permit = broker.cold_reads.acquire().await;
    let (blocking_broker, blocking_resolved, blocking_terms) =
        (Arc::clone(broker), Arc::clone(resolved), terms.clone());
    let read = tokio::task::spawn_blocking(move || read_all_cold(&blocking_broker, &blocking_resolved, &blocking_terms)).await;
    drop(permit);
    read.unwrap_or_else(|_cut_off| read_all(broker, resolved, terms))
}

fn read_all_cold(broker: &Broker, resolved: &Resolved, terms: &Terms) -> Pass {
    let pass = read_all(broker, resolved, terms);
    for read in pass.found.iter().filter_map(|(_, found)| found.as_ref().ok()?.read.as_ref()) {
        if let Err(error) = read.populate() {
            // The pages come in when they are sent, only later.
            tracing::debug!("reading ahead of a fetch: {error}");
        }
    }
    pass
}

fn read_all(broker: &Broker, resolved: &Resolved, terms: &Terms) -> Pass {
    let mut pass = Pass::default();
    for (key, wanted) in &resolved.wanted {
        let bytes_left = terms.bytes_max.saturating_sub(pass.bytes);
        let found = find(broker, key).and_then(|partition| read(broker, &partition, wanted, terms, bytes_left, pass.bytes == 0));
        match &found {
            Ok(found) => {
                pass.bytes += found.read.as_ref().map_or(0, |read| read.records.len());
                pass.must_answer |= found.diverging.is_some() || found.preferred_read_replica.is_some();
            }
            Err(_) => pass.must_answer = true,
        }
        pass.found.push((key.clone(), found));
    }
    pass
}

fn find(broker: &Broker, (topic, index): &PartitionKey) -> Result<Arc<Partition>, FetchError> {
    let topic_id = match topic {
        TopicKey::Name(name) => broker.topic_id_of(name).ok_or(FetchError::UnknownTopic)?,
        TopicKey::Id(topic_id) => *topic_id,
    };
    broker.partitions.find(topic_id, *index).ok_or_else(|| match topic {
        _ if broker.has_partition(topic_id, *index) => FetchError::NotLeader,
        TopicKey::Id(id) if broker.image().topic_by_id(*id).is_none() => FetchError::UnknownTopicId,
        TopicKey::Id(_) | TopicKey::Name(_) => FetchError::UnknownTopic,
    })
}

fn read(
    broker: &Broker,
    partition: &Arc<Partition>,
    wanted: &Wanted,
    terms: &Terms,
    bytes_left: usize,
    at_least_one: bool,
) -> Result<Found, FetchError> {
    let is_led = check_leadership(broker, partition, wanted.current_leader_epoch);
    match is_led {
        Err(FetchError::NotLeader) if terms.may_read_from_follower && broker.follows(partition) => {}
        led => led?,
    }
    let log = &partition.log;
    let high_watermark = partition.high_watermark();
    let last_stable_offset = partition.last_stable_offset_below(high_watermark);
    let mut found = Found {
        high_watermark,
        last_stable_offset,
        log_start_offset: log.log_start_offset(),
        read: None,
        diverging: diverging(partition, wanted),
        preferred_read_replica: closest::preferred(broker, partition, &terms.client_rack, wanted.fetch_offset),
        aborted: None,
        partition: Arc::clone(partition),
    };
    if found.diverging.is_some() || found.preferred_read_replica.is_some() {
        return Ok(found);
    }
    let upper_bound = if terms.is_read_committed { last_stable_offset } else { high_watermark };
    let bytes_max = wanted.bytes_max.min(bytes_left);
    let read = log.read(wanted.fetch_offset, upper_bound, bytes_max, at_least_one)?;
    if terms.is_read_committed {
        let aborted = match read.records.is_empty() {
            true => Vec::new(),
            false => log.aborted_transactions(wanted.fetch_offset, upper_bound),
        };
        found.aborted = Some(
            aborted
                .iter()
                .map(|transaction| {
                    AbortedTransaction::default()
                        .with_producer_id(ProducerId(transaction.producer_id.0))
                        .with_first_offset(transaction.first_offset.0)
                })
                .collect(),
        );
    }
    found.read = Some(read);
    Ok(found)
}

/// Whether a client that knows the leader epoch `asked` is right here. Source: `Partition.checkCurrentLeaderEpoch`, KIP-320.
pub(crate) fn check_leadership(
    broker: &Broker,
    partition: &Partition,
    asked: LeaderEpoch,
) -> Result<(), FetchError> {
    let current = partition.leader_epoch();
    match asked {
        LeaderEpoch::NONE => {}
        _ if asked < current => return Err(FetchError::FencedLeaderEpoch { asked, current }),
        _ if asked > current => return Err(FetchError::UnknownLeaderEpoch { asked, current }),
        _ => {}
    }
    broker.leadership(partition).map(drop).ok_or(FetchError::NotLeader)
}

/// Where the client's log left ours, if it did: the last epoch that both have, and its end here. Source: KIP-595.
fn diverging(partition: &Partition, wanted: &Wanted) -> Option<(LeaderEpoch, Offset)> {
    if wanted.last_fetched_epoch == LeaderEpoch::NONE {
        return None;
    }
    let EpochEnd { epoch, end_offset } = partition.log.end_offset_for_epoch(wanted.last_fetched_epoch)?;
    let has_diverged = epoch < wanted.last_fetched_epoch || end_offset < wanted.fetch_offset;
    has_diverged.then_some((epoch, end_offset))
}

fn answer(context: &RequestContext, resolved: &Resolved, pass: Pass) -> FetchReply {
    let told: Vec<_> = pass.found.iter().map(|(key, found)| (key.clone(), told(found))).collect();
    let mut is_named = context.broker.fetch_sessions.lock().tell(resolved.session_id, &told);
    if resolved.is_full {
        is_named.fill(true);
    }
    let mut topics: Vec<FetchableTopicResponse> = Vec::new();
    let mut last_topic = None;
    let mut leaders = CurrentLeaders::new(context);
    for (((topic, index), found), _) in pass.found.into_iter().zip(is_named).filter(|(_, is_named)| *is_named) {
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
    let mut response = FetchResponse::default().with_responses(topics).with_node_endpoints(elsewhere::endpoints(leaders));
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
                has_news: has_records
                    || found.diverging.is_some()
                    || found.preferred_read_replica.is_some(),
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
            drop(found.partition);
            data
        }
    }
}

#[cfg(test)]
mod tests;
