//! Produce (key 0, versions 3–13): appends one batch to each partition that the request names.
//!
//! The appends happen in [`handle`] itself, before it returns, so that the requests of a connection append in their
//! order; the future that it returns waits until the records are durable. `acks=0` is never answered: after an error
//! its connection is closed, the only sign that such a client can see. `acks=1` is answered when this node will not lose
//! the records, `acks=all` when the high watermark has passed them, a duplicate no earlier than its original, also where that
//! is so old that only DUPLICATE_SEQUENCE_NUMBER can be said of it, which clients take for success. Who waits
//! on a node that ceases to lead is told so at once: what became of the records is for the next leader to say. With fewer
//! in-sync replicas than `min.insync.replicas`, `acks=all` is refused; where that comes to pass after the append, it is
//! said when the request's timeout has passed, since the replicas may come back before.
//!
//! Version notes: 3 is the first with record batches v2; 7 allows zstd; 8 names the records that failed; 10 names
//! the leader to who asks another node (KIP-951); 13 names topics by id (KIP-516). Not done: transactions (`INVALID_TXN_STATE`).
//! Source: `KafkaApis.handleProduceRequest`, `ReplicaManager.appendRecords`, `ProduceRequest.validateRecords`.

use super::nodes::{CurrentLeaders, Node};
use super::{Outcome, Reply, RequestContext};
use crate::broker::{Broker, TopicLookup};
use crate::clock;
use crate::error_code;
use crate::partition::{Leadership, Milestone, Partition, Registration};
use crate::timeline::Awaited;
use crate::topics;
use crate::wire::request_header::RequestPrefix;
use crate::wire::response::EncodeError;
use bytes::Bytes;
use kafka_protocol::messages::produce_request::{PartitionProduceData, TopicProduceData};
use kafka_protocol::messages::produce_response::{
    BatchIndexAndErrorMessage, LeaderIdAndEpoch, NodeEndpoint, PartitionProduceResponse, TopicProduceResponse,
};
use kafka_protocol::messages::{ProduceRequest, ProduceResponse};
use kafka_protocol::protocol::StrBytes;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;
use storage::batch::{self, AppendOrigin, AppendRules, BatchHeader, InvalidBatch};
use storage::error::AppendError;
use storage::ids::{Offset, PartitionIndex};
use storage::log::Appended;
use storage::producer_state::ProducerStateError;
use tokio::sync::Notify;
use tokio::time::{Instant, timeout_at};

/// The first version whose response names log start offsets.
const LOG_START_OFFSET_SINCE: i16 = 5;
/// The first version whose response can explain errors.
const ERROR_MESSAGES_SINCE: i16 = 8;
/// The first version whose response names the leader to a client that asked another node. Source: KIP-951.
const CURRENT_LEADER_SINCE: i16 = 10;

/// The first version that names topics by their ids.
const TOPIC_IDS_SINCE: i16 = 13;

/// Why a partition's batch was not appended, or not confirmed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ProduceError {
    #[error("acks must be -1, 0 or 1")]
    RequiredAcks,
    #[error("This server does not host this topic-partition.")]
    UnknownTopic,
    #[error("This server does not host this topic ID.")]
    UnknownTopicId,
    #[error("this node does not lead the partition")]
    NotLeader,
    #[error("the in-sync replicas are fewer than min.insync.replicas")]
    NotEnoughReplicas,
    #[error("the records were appended, and the in-sync replicas have become fewer than min.insync.replicas")]
    NotEnoughReplicasAfterAppend,
    #[error("as many partitions are written to as this node may have files open for")]
    TooManyBusyPartitions,
    #[error("only the broker itself writes to this topic")]
    InternalTopic,
    #[error("transactions are not served by this version of Ottla")]
    Transactional,
    #[error(transparent)]
    Invalid(#[from] InvalidBatch),
    #[error(transparent)]
    Append(#[from] AppendError),
    #[error("the records were appended, and not confirmed as durable within the request's timeout")]
    TimedOut,
    #[error("the topic was deleted before the records were known to be durable")]
    Deleted,
    #[error("the log directory failed before the records were known to be durable")]
    LogDirectoryFailed,
}

/// What a produce request leads to.
pub(crate) enum ProduceReply {
    Answer(ProduceResponse),
    Silence,
    Close,
}

impl Reply for ProduceReply {
    fn into_outcome(self, prefix: RequestPrefix, schema_version: i16) -> Result<Outcome, EncodeError> {
        match self {
            Self::Answer(response) => response.into_outcome(prefix, schema_version),
            Self::Silence => Ok(Outcome::Silence),
            Self::Close => Ok(Outcome::Close),
        }
    }
}

/// A batch that is in the log and waits for what its producer wants.
struct Pending {
    partition: Arc<Partition>,
    leadership: Leadership,
    milestone: Milestone,
    /// Where the milestone has to be, exclusive.
    end_offset: Offset,
    /// What is answered then. An error, where all that is known of the batch is that it was there before.
    answer: Result<Appended, ProducerStateError>,
}

type PartitionOutcome = (i32, Result<Pending, ProduceError>);

struct TopicOutcome {
    topic: TopicProduceData,
    partitions: Vec<PartitionOutcome>,
}

pub(crate) fn handle(
    context: RequestContext,
    request: ProduceRequest,
) -> impl Future<Output = ProduceReply> + Send + 'static {
    let acks = request.acks;
    let timeout = Duration::from_millis(u64::try_from(request.timeout_ms).unwrap_or(0));
    let is_transactional = request.transactional_id.is_some();
    let mut topics = Vec::with_capacity(request.topic_data.len());
    for mut topic in request.topic_data {
        let batches = std::mem::take(&mut topic.partition_data);
        let partitions = append_to_topic(&context, acks, is_transactional, &topic, batches);
        topics.push(TopicOutcome { topic, partitions });
    }
    let deadline = Instant::now() + timeout;
    async move {
        if acks == 0 {
            let has_failed =
                topics.iter().flat_map(|topic| &topic.partitions).any(|(_, result)| result.is_err());
            return if has_failed { ProduceReply::Close } else { ProduceReply::Silence };
        }
        wait_until_durable(&context, &topics, deadline).await;
        ProduceReply::Answer(answer(&context, topics))
    }
}

fn append_to_topic(
    context: &RequestContext,
    acks: i16,
    is_transactional: bool,
    topic: &TopicProduceData,
    batches: Vec<PartitionProduceData>,
) -> Vec<PartitionOutcome> {
    let lookup = context.broker.topic(&topic.name, topic.topic_id);
    let append = |index: i32, records: Option<Bytes>| {
        if !(-1..=1).contains(&acks) {
            return Err(ProduceError::RequiredAcks);
        }
        if is_transactional {
            return Err(ProduceError::Transactional);
        }
        if lookup.is_some_and(|topic| topic.is_internal) && !topics::may_write_internal(&context.client_id) {
            return Err(ProduceError::InternalTopic);
        }
        append(context, lookup.as_ref(), acks, index, records.unwrap_or_default())
    };
    batches.into_iter().map(|batch| (batch.index, append(batch.index, batch.records))).collect()
}

fn append(
    context: &RequestContext,
    lookup: Option<&TopicLookup>,
    acks: i16,
    index: i32,
    records: Bytes,
) -> Result<Pending, ProduceError> {
    let Some(lookup) = lookup else {
        return Err(match context.version {
            TOPIC_IDS_SINCE.. => ProduceError::UnknownTopicId,
            _ => ProduceError::UnknownTopic,
        });
    };
    let broker = &context.broker;
    let index = PartitionIndex(index);
    let partition = broker.partitions.find(lookup.topic_id, index).ok_or_else(|| {
        match broker.has_partition(lookup.topic_id, index) {
            true => ProduceError::NotLeader,
            false => ProduceError::UnknownTopic,
        }
    })?;
    let leadership = broker.leadership(&partition).ok_or(ProduceError::NotLeader)?;
    if acks == -1 && !partition.has_enough_replicas() {
        return Err(ProduceError::NotEnoughReplicas);
    }
    if BatchHeader::parse(&records).is_ok_and(|header| header.attributes.is_transactional()) {
        return Err(ProduceError::Transactional);
    }
    let now = clock::now();
    let rules = AppendRules::of_topic(&partition.log.config(), AppendOrigin::Client, context.version);
    let size = records.len();
    let validated = batch::validate(records, &rules, now)?;
    // Behind the checks: what is not appended takes nobody's place.
    take_turn(broker, &partition, &validated.header)?;
    let record_count = validated.header.record_count;
    let (end_offset, answer) = match partition.append(validated, &leadership, now) {
        Ok(appended) => (appended.end_offset, Ok(appended)),
        Err(AppendError::Producer(error @ ProducerStateError::DuplicateSequence { end_offset, .. })) => {
            (end_offset, Err(error))
        }
        Err(error) => return Err(error.into()),
    };
    if answer.is_ok_and(|appended| !appended.is_duplicate) {
        broker.metrics.appended(size, record_count);
    }
    let milestone = if acks == -1 { Milestone::HighWatermark } else { Milestone::DurableEnd };
    Ok(Pending { partition, leadership, milestone, end_offset, answer })
}

/// Finds the batch a place among those that are written to.
fn take_turn(broker: &Broker, partition: &Partition, header: &BatchHeader) -> Result<(), ProduceError> {
    let refused = &partition.first_batch_refused;
    if !broker.busy_partitions.admit(&partition.last_round, || broker.busy_partitions_max()) {
        refused.note(header, clock::monotonic());
        return Err(ProduceError::TooManyBusyPartitions);
    }
    let is_known = || partition.log.knows_producer(header.producer_id);
    if refused.holds_back(header, clock::monotonic, is_known) {
        return Err(ProduceError::TooManyBusyPartitions);
    }
    Ok(())
}

/// Waits until nothing is to be waited for any more with any pending batch, the log directory has failed, or the deadline
/// has passed. What became of each is seen by [`Pending::state`].
async fn wait_until_durable(context: &RequestContext, topics: &[TopicOutcome], deadline: Instant) {
    let broker = &context.broker;
    // What holds up a request is looked at once it is slow, and not for each of them.
    let mut slow = broker.slow_request().map(|limit| Instant::now() + limit);
    let wake = Arc::new(Notify::new());
    // Register before the last look, so that a flush in between is not missed.
    let pending = || {
        topics
            .iter()
            .flat_map(|topic| &topic.partitions)
            .filter_map(|(_, result)| result.as_ref().ok())
            .filter(|pending| pending.state() == PendingState::Waiting)
    };
    let _registrations: Vec<_> = pending().map(|pending| pending.register(&wake)).collect();
    while pending().next().is_some() && !broker.has_failed() {
        let next = slow.map_or(deadline, |slow| slow.min(deadline));
        if timeout_at(next, wake.notified()).await.is_err() {
            let is_flushed = !pending().any(Pending::is_unflushed);
            context.timeline.awaits(if is_flushed { Awaited::Replicas } else { Awaited::Flush });
            if next == deadline {
                return;
            }
            slow = None;
        }
    }
}

/// How far a pending batch is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum PendingState {
    /// What its producer wants has happened.
    Done,
    /// It may yet.
    Waiting,
    /// This node has not led without interruption since the append.
    LeadershipLost,
    /// The partition is not on this node any more.
    Closed,
}

impl Pending {
    fn register(&self, wake: &Arc<Notify>) -> Registration {
        self.partition.register(self.milestone, self.end_offset, wake)
    }

    /// Whether the records are not on the disk of this node yet.
    fn is_unflushed(&self) -> bool {
        self.partition.reached(Milestone::DurableEnd) < self.end_offset
    }

    fn lacks_replicas(&self) -> bool {
        self.milestone == Milestone::HighWatermark && !self.partition.has_enough_replicas()
    }

    fn state(&self) -> PendingState {
        // The milestone first: one that is reached while this node still leads was reached by these very records.
        let is_reached = self.partition.reached(self.milestone) >= self.end_offset;
        let still_leads = self.partition.still_leads(&self.leadership);
        if is_reached && still_leads {
            PendingState::Done
        } else if self.partition.is_closed() {
            PendingState::Closed
        } else if still_leads {
            PendingState::Waiting
        } else {
            PendingState::LeadershipLost
        }
    }
}

fn answer(context: &RequestContext, topics: Vec<TopicOutcome>) -> ProduceResponse {
    let has_failed = context.broker.has_failed();
    let mut leaders = CurrentLeaders::new(context);
    let responses =
        topics.into_iter().map(|topic| answer_topic(context, topic, has_failed, &mut leaders)).collect();
    let node_endpoint = |node: Node| {
        NodeEndpoint::default()
            .with_node_id(node.id.0.into())
            .with_host(node.host)
            .with_port(node.port)
            .with_rack(node.rack)
    };
    let node_endpoints = leaders.into_nodes().map(node_endpoint).collect();
    ProduceResponse::default().with_responses(responses).with_node_endpoints(node_endpoints)
}

fn answer_topic(
    context: &RequestContext,
    outcome: TopicOutcome,
    has_failed: bool,
    leaders: &mut CurrentLeaders<'_>,
) -> TopicProduceResponse {
    let TopicOutcome { topic, partitions } = outcome;
    let mut answers = Vec::with_capacity(partitions.len());
    for (index, result) in partitions {
        let result = result.and_then(|pending| match pending.state() {
            PendingState::Done => pending.answer.map_err(|error| AppendError::Producer(error).into()),
            PendingState::Closed => Err(ProduceError::Deleted),
            PendingState::LeadershipLost => Err(ProduceError::NotLeader),
            PendingState::Waiting if has_failed => Err(ProduceError::LogDirectoryFailed),
            PendingState::Waiting if pending.lacks_replicas() => {
                Err(ProduceError::NotEnoughReplicasAfterAppend)
            }
            PendingState::Waiting => Err(ProduceError::TimedOut),
        });
        let is_wrong_node =
            context.version >= CURRENT_LEADER_SINCE && matches!(result, Err(ProduceError::NotLeader));
        let mut answer = answer_partition(index, result, context.version);
        if is_wrong_node
            && let Some(topic) = context.broker.topic(&topic.name, topic.topic_id)
            && let Some((leader, epoch)) = leaders.of(topic.topic_id, PartitionIndex(index))
        {
            answer.current_leader =
                LeaderIdAndEpoch::default().with_leader_id(leader.0.into()).with_leader_epoch(epoch.0);
        }
        answers.push(answer);
    }
    TopicProduceResponse::default()
        .with_name(topic.name)
        .with_topic_id(topic.topic_id)
        .with_partition_responses(answers)
}

fn answer_partition(
    index: i32,
    result: Result<Appended, ProduceError>,
    version: i16,
) -> PartitionProduceResponse {
    let mut answer = PartitionProduceResponse::default().with_index(index).with_log_append_time_ms(-1);
    match result {
        Ok(appended) => {
            answer.base_offset = appended.base_offset.0;
            answer.log_append_time_ms = appended.log_append_time.0;
            if version >= LOG_START_OFFSET_SINCE {
                answer.log_start_offset = appended.log_start_offset.0;
            }
        }
        Err(error) => {
            answer.error_code = error_code::of_produce(&error).code();
            answer.base_offset = Offset(-1).0;
            if version >= LOG_START_OFFSET_SINCE {
                answer.log_start_offset = Offset(-1).0;
            }
            if version >= ERROR_MESSAGES_SINCE {
                answer.error_message = Some(StrBytes::from_string(error.to_string()));
                answer.record_errors = record_errors(&error);
            }
        }
    }
    answer
}

fn record_errors(error: &ProduceError) -> Vec<BatchIndexAndErrorMessage> {
    let (ProduceError::Invalid(InvalidBatch::InvalidRecords { errors })
    | ProduceError::Invalid(InvalidBatch::InvalidTimestamps { errors })) = error
    else {
        return Vec::new();
    };
    errors
        .iter()
        .map(|record| {
            BatchIndexAndErrorMessage::default()
                .with_batch_index(record.batch_index)
                .with_batch_index_error_message(Some(StrBytes::from_string(record.message.clone())))
        })
        .collect()
}

#[cfg(test)]
mod tests;
