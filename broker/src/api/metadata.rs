//! Metadata (key 3, versions 0–13): the nodes and the topics, and topics made on first use.
//!
//! An empty list of topics means all of them in version 0 and none from 1 on, where null means all. A topic that is
//! made for this request is in the answer, so that a producer's first record needs no second try; Kafka answers
//! LEADER_NOT_AVAILABLE first, and every client that waits for that also takes this.
//!
//! Version notes: 4 lets a client forbid auto-creation, 10 returns topic ids and 12 asks by them (KIP-516).
//! Source: `KafkaApis.handleTopicMetadataRequest`, `AutoTopicCreationManager`.

use super::RequestContext;
use crate::error_code;
use crate::topics;
use kafka_protocol::ResponseError;
use kafka_protocol::messages::metadata_request::MetadataRequestTopic;
use kafka_protocol::messages::metadata_response::{
    MetadataResponseBroker, MetadataResponsePartition, MetadataResponseTopic,
};
use kafka_protocol::messages::{BrokerId, MetadataRequest, MetadataResponse, TopicName};
use kafka_protocol::protocol::StrBytes;
use replication::metadata::image::{MetadataImage, PartitionImage, TopicImage};
use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::sync::Arc;
use storage::ids::TopicId;

/// The first version that may forbid auto-creation; below, it is always wished for.
const AUTO_CREATION_CHOICE_SINCE: i16 = 4;
/// The first version whose answers name leader epochs.
const LEADER_EPOCH_SINCE: i16 = 7;
/// The versions that tell what the client may do with the cluster.
const CLUSTER_OPERATIONS: std::ops::RangeInclusive<i16> = 8..=10;
/// The first version whose answers name topic ids.
const TOPIC_ID_SINCE: i16 = 10;
/// The first version that may ask by topic id, without a name.
const ASKED_BY_ID_SINCE: i16 = 12;
/// The operations of a topic that nobody restricts, as bits: READ, WRITE, CREATE, DELETE, ALTER, DESCRIBE,
/// DESCRIBE_CONFIGS, ALTER_CONFIGS. Source: `AclOperation`, `AclEntry.supportedOperations`.
pub(crate) const TOPIC_OPERATIONS: i32 = (1 << 3) | (1 << 4) | (1 << 5) | (1 << 6) | (1 << 7) | (1 << 8) | (1 << 10) | (1 << 11);
/// The same of the cluster: CREATE, ALTER, DESCRIBE, CLUSTER_ACTION, DESCRIBE_CONFIGS, ALTER_CONFIGS, IDEMPOTENT_WRITE.
pub(crate) const CLUSTER_OPERATIONS_ALLOWED: i32 =
    (1 << 5) | (1 << 7) | (1 << 8) | (1 << 9) | (1 << 10) | (1 << 11) | (1 << 12);

pub(crate) async fn handle(context: RequestContext, request: MetadataRequest) -> MetadataResponse {
    let wishes_creation = context.version < AUTO_CREATION_CHOICE_SINCE || request.allow_auto_topic_creation;
    let asks_for_all = match &request.topics {
        None => true,
        Some(topics) => topics.is_empty() && context.version == 0,
    };
    let topics = match (asks_for_all, request.topics) {
        (true, _) | (false, None) => {
            let image = context.broker.image();
            image.topics().map(|topic| describe(&context, topic)).collect()
        }
        (false, Some(wanted)) => named_topics(&context, wanted, wishes_creation).await,
    };
    let mut response = MetadataResponse::default()
        .with_brokers(brokers(&context))
        .with_controller_id(BrokerId(context.broker.node_id().0))
        .with_topics(with_operations(topics, request.include_topic_authorized_operations));
    if context.version >= 2 {
        response.cluster_id = Some(StrBytes::from_string(context.broker.cluster_id()));
    }
    if request.include_cluster_authorized_operations && CLUSTER_OPERATIONS.contains(&context.version) {
        response.cluster_authorized_operations = CLUSTER_OPERATIONS_ALLOWED;
    }
    response
}

fn brokers(context: &RequestContext) -> Vec<MetadataResponseBroker> {
    let endpoint = context.broker.advertised_to(context.local_address);
    let rack = context.broker.rack().map(StrBytes::from_string);
    vec![
        MetadataResponseBroker::default()
            .with_node_id(BrokerId(context.broker.node_id().0))
            .with_host(StrBytes::from_string(endpoint.host))
            .with_port(i32::from(endpoint.port))
            .with_rack(if context.version >= 1 { rack } else { None }),
    ]
}

async fn named_topics(
    context: &RequestContext,
    wanted: Vec<MetadataRequestTopic>,
    wishes_creation: bool,
) -> Vec<MetadataResponseTopic> {
    let is_misnamed = |topic: &MetadataRequestTopic| topic.name.is_none() || !topic.topic_id.is_nil();
    if context.version < ASKED_BY_ID_SINCE && wanted.iter().any(is_misnamed) {
        let refused = |topic| failed(context, topic, ResponseError::InvalidRequest);
        return wanted.into_iter().map(refused).collect();
    }
    let wanted = each_once(wanted);
    let mut made = BTreeMap::new();
    if wishes_creation && context.broker.creates_topics() {
        let missing = missing(&context.broker.image(), &wanted);
        if !missing.is_empty() {
            made = topics::create_on_first_use(&context.broker, missing).await;
        }
    }
    let image = context.broker.image();
    wanted
        .into_iter()
        .map(|wanted| {
            let refused = wanted.name.as_ref().and_then(|name| made.get(name.as_str()));
            match (find(&image, &wanted), refused) {
                (Ok(topic), _) => describe(context, topic),
                (Err(_), Some(Err(error))) => failed(context, wanted, error_code::of_create_on_first_use(error)),
                (Err(error), _) => failed(context, wanted, error),
            }
        })
        .collect()
}

/// What is asked for, without repetitions: a short request that names one large topic very often would else have an
/// answer without bound.
fn each_once(mut wanted: Vec<MetadataRequestTopic>) -> Vec<MetadataRequestTopic> {
    let mut seen = HashSet::with_capacity(wanted.len());
    wanted.retain(|topic| seen.insert((topic.name.clone(), topic.topic_id)));
    wanted
}

/// The names that are asked for and may be made, each once. Internal topics have settings of their own, with which
/// whoever needs them makes them.
fn missing(image: &MetadataImage, wanted: &[MetadataRequestTopic]) -> BTreeSet<String> {
    wanted
        .iter()
        .filter(|wanted| wanted.topic_id.is_nil())
        .filter_map(|wanted| wanted.name.as_ref())
        .filter(|name| image.topic_by_name(name).is_none() && !topics::is_internal(name))
        .map(|name| name.to_string())
        .collect()
}

fn find<'a>(
    image: &'a MetadataImage,
    wanted: &MetadataRequestTopic,
) -> Result<&'a Arc<TopicImage>, ResponseError> {
    match &wanted.name {
        Some(name) => image.topic_by_name(name).ok_or_else(|| match topics::is_valid_name(name) {
            true => ResponseError::UnknownTopicOrPartition,
            false => ResponseError::InvalidTopicException,
        }),
        None => image.topic_by_id(TopicId(wanted.topic_id)).ok_or(ResponseError::UnknownTopicId),
    }
}

fn failed(
    context: &RequestContext,
    wanted: MetadataRequestTopic,
    error: ResponseError,
) -> MetadataResponseTopic {
    // Below version 12 a name is not nullable.
    let name = match context.version {
        12.. => wanted.name,
        _ => Some(wanted.name.unwrap_or_default()),
    };
    MetadataResponseTopic::default().with_name(name).with_topic_id(wanted.topic_id).with_error_code(error.code())
}

fn describe(context: &RequestContext, topic: &Arc<TopicImage>) -> MetadataResponseTopic {
    let mut response = MetadataResponseTopic::default()
        .with_name(Some(TopicName(StrBytes::from_string(topic.name.to_string()))))
        .with_is_internal(topics::is_internal(&topic.name))
        .with_partitions(
            topic.partitions.iter().map(|partition| describe_partition(context, partition)).collect(),
        );
    if context.version >= TOPIC_ID_SINCE {
        response.topic_id = topic.id.0;
    }
    response
}

fn describe_partition(
    context: &RequestContext,
    partition: &PartitionImage,
) -> MetadataResponsePartition {
    let ids = |brokers: &[storage::ids::BrokerId]| brokers.iter().map(|broker| BrokerId(broker.0)).collect();
    let mut response = MetadataResponsePartition::default()
        .with_partition_index(partition.index.0)
        .with_replica_nodes(ids(&partition.replicas))
        .with_isr_nodes(ids(&partition.isr));
    match partition.leader {
        Some(leader) => response.leader_id = BrokerId(leader.0),
        None => {
            response.leader_id = BrokerId(-1);
            response.error_code = ResponseError::LeaderNotAvailable.code();
        }
    }
    if context.version >= LEADER_EPOCH_SINCE {
        response.leader_epoch = partition.leader_epoch.0;
    }
    response
}

fn with_operations(mut topics: Vec<MetadataResponseTopic>, is_asked: bool) -> Vec<MetadataResponseTopic> {
    for topic in topics.iter_mut().filter(|topic| is_asked && topic.error_code == 0) {
        topic.topic_authorized_operations = TOPIC_OPERATIONS;
    }
    topics
}
