//! Metadata (key 3, versions 0–13): the nodes and the topics, and topics made on first use.
//!
//! An empty list of topics means all of them in version 0 and none from 1 on, where null means all. A topic that is
//! made for this request is in the answer, so that a producer's first record needs no second try; Kafka answers
//! LEADER_NOT_AVAILABLE first, and every client that waits for that also takes this.
//!
//! The nodes are those that are not fenced, and the one that answers, which the client has just reached: librdkafka closes
//! what it has to nodes that are not named, and a list that named none would leave it without a node for good. A replica on
//! a fenced node is offline. Every node passes on what only the controller can do, so the controller that is named is any
//! of them.
//!
//! Version notes: 0 leaves offline replicas out (and answers REPLICA_NOT_AVAILABLE), 5 names them, 4 lets a client forbid auto-creation, 10 returns topic ids and 12 asks by them (KIP-516).
//! Source: `KafkaApis.handleTopicMetadataRequest`, `AutoTopicCreationManager`.

use super::{RequestContext, nodes};
use crate::error_code;
use crate::topics::{self, CreateOnFirstUseError};
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
/// The first version whose answers name the replicas that are not there.
const OFFLINE_REPLICAS_SINCE: i16 = 5;
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
pub(crate) const TOPIC_OPERATIONS: i32 =
    (1 << 3) | (1 << 4) | (1 << 5) | (1 << 6) | (1 << 7) | (1 << 8) | (1 << 10) | (1 << 11);
/// The same of the cluster: CREATE, ALTER, DESCRIBE, CLUSTER_ACTION, DESCRIBE_CONFIGS, ALTER_CONFIGS, IDEMPOTENT_WRITE.
pub(crate) const CLUSTER_OPERATIONS_ALLOWED: i32 =
    (1 << 5) | (1 << 7) | (1 << 8) | (1 << 9) | (1 << 10) | (1 << 11) | (1 << 12);

/// Topics that could not be made, and why.
type Refused = BTreeMap<String, CreateOnFirstUseError>;

pub(crate) async fn handle(context: RequestContext, request: MetadataRequest) -> MetadataResponse {
    let wishes_creation = context.version < AUTO_CREATION_CHOICE_SINCE || request.allow_auto_topic_creation;
    // An empty list means all in version 0.
    let wanted = request.topics.filter(|topics| !topics.is_empty() || context.version > 0).map(each_once);
    let refused = match &wanted {
        Some(wanted) if wishes_creation => create_missing(&context, wanted).await,
        Some(_) | None => BTreeMap::new(),
    };
    // One image for the whole answer: a leader that it names is among its nodes.
    let image = context.broker.image();
    let topics = match wanted {
        None => image.topics().map(|topic| describe(&context, &image, topic)).collect(),
        Some(wanted) => named_topics(&context, &image, wanted, &refused),
    };
    let mut response = MetadataResponse::default()
        .with_brokers(brokers(&context, &image))
        .with_controller_id(nodes::controller(&image))
        .with_topics(with_operations(topics, request.include_topic_authorized_operations));
    if context.version >= 2 {
        response.cluster_id = Some(StrBytes::from_string(context.broker.cluster_id()));
    }
    if request.include_cluster_authorized_operations && CLUSTER_OPERATIONS.contains(&context.version) {
        response.cluster_authorized_operations = CLUSTER_OPERATIONS_ALLOWED;
    }
    response
}

/// The nodes that may be used, of which there is always one.
fn brokers(context: &RequestContext, image: &MetadataImage) -> Vec<MetadataResponseBroker> {
    let described = |node: nodes::Node| {
        MetadataResponseBroker::default()
            .with_node_id(BrokerId(node.id.0))
            .with_host(node.host)
            .with_port(node.port)
            .with_rack(node.rack.filter(|_| context.version >= 1))
    };
    let this_node = context.broker.node_id();
    let told = nodes::all(context, image).into_iter().filter(|node| !node.is_fenced || node.id == this_node);
    told.map(described).collect()
}

/// Makes the topics that are asked for and not there, where that is allowed. Returns those that were tried, with why
/// they were not made.
async fn create_missing(context: &RequestContext, wanted: &[MetadataRequestTopic]) -> Refused {
    let missing = missing(&context.broker.image(), wanted);
    if misnames(context, wanted) || missing.is_empty() || !context.broker.creates_topics() {
        return Refused::new();
    }
    let made = topics::create_on_first_use(context, missing).await;
    made.into_iter().filter_map(|(name, result)| Some((name, result.err()?))).collect()
}

/// Whether a client asks by id in a version that cannot.
fn misnames(context: &RequestContext, wanted: &[MetadataRequestTopic]) -> bool {
    let is_misnamed = |topic: &MetadataRequestTopic| topic.name.is_none() || !topic.topic_id.is_nil();
    context.version < ASKED_BY_ID_SINCE && wanted.iter().any(is_misnamed)
}

fn named_topics(
    context: &RequestContext,
    image: &MetadataImage,
    wanted: Vec<MetadataRequestTopic>,
    refused: &Refused,
) -> Vec<MetadataResponseTopic> {
    if misnames(context, &wanted) {
        let refused = |topic| failed(context, topic, ResponseError::InvalidRequest);
        return wanted.into_iter().map(refused).collect();
    }
    wanted
        .into_iter()
        .map(|wanted| {
            let refused = wanted.name.as_ref().and_then(|name| refused.get(name.as_str()));
            match (find(image, &wanted), refused) {
                (Ok(topic), _) => describe(context, image, topic),
                (Err(_), Some(error)) => failed(context, wanted, error_code::of_create_on_first_use(error)),
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
        // Kafka's own client leaves the name empty, not null, where it asks by id.
        Some(name) if wanted.topic_id.is_nil() => {
            image.topic_by_name(name).ok_or_else(|| match topics::is_valid_name(name) {
                true => ResponseError::UnknownTopicOrPartition,
                false => ResponseError::InvalidTopicException,
            })
        }
        Some(_) | None => image.topic_by_id(TopicId(wanted.topic_id)).ok_or(ResponseError::UnknownTopicId),
    }
}

fn failed(
    context: &RequestContext,
    wanted: MetadataRequestTopic,
    error: ResponseError,
) -> MetadataResponseTopic {
    // Below version 12 a name is not nullable; from then on there is none for an id.
    let name = match context.version {
        ASKED_BY_ID_SINCE.. => wanted.name.filter(|_| wanted.topic_id.is_nil()),
        _ => Some(wanted.name.unwrap_or_default()),
    };
    MetadataResponseTopic::default()
        .with_name(name)
        .with_topic_id(wanted.topic_id)
        .with_error_code(error.code())
}

fn describe(
    context: &RequestContext,
    image: &MetadataImage,
    topic: &Arc<TopicImage>,
) -> MetadataResponseTopic {
    let partitions = topic.partitions.iter();
    let mut response = MetadataResponseTopic::default()
        .with_name(Some(TopicName(StrBytes::from_string(topic.name.to_string()))))
        .with_is_internal(topics::is_internal(&topic.name))
        .with_partitions(partitions.map(|it| describe_partition(context, image, it)).collect());
    if context.version >= TOPIC_ID_SINCE {
        response.topic_id = topic.id.0;
    }
    response
}

/// Source: `KRaftMetadataCache.partitionMetadata`.
fn describe_partition(
    context: &RequestContext,
    image: &MetadataImage,
    partition: &PartitionImage,
) -> MetadataResponsePartition {
    let is_there = |id: &storage::ids::BrokerId| image.broker(*id).is_some_and(|known| !known.is_fenced);
    // Clients of version 0 are not told of nodes that they cannot use.
    let named = |list: &[storage::ids::BrokerId]| -> Vec<BrokerId> {
        let all = list.iter().filter(|id| context.version >= 1 || is_there(id));
        all.map(|id| BrokerId(id.0)).collect()
    };
    let leader = partition.leader.filter(|id| image.broker(*id).is_some());
    let mut response = MetadataResponsePartition::default()
        .with_partition_index(partition.index.0)
        .with_leader_id(BrokerId(leader.map_or(-1, |leader| leader.0)))
        .with_replica_nodes(named(&partition.replicas))
        .with_isr_nodes(named(&partition.isr));
    if leader.is_none() {
        response.error_code = ResponseError::LeaderNotAvailable.code();
    } else if response.replica_nodes.len() < partition.replicas.len()
        || response.isr_nodes.len() < partition.isr.len()
    {
        response.error_code = ResponseError::ReplicaNotAvailable.code();
    }
    if context.version >= OFFLINE_REPLICAS_SINCE {
        let offline = partition.replicas.iter().filter(|id| !is_there(id));
        response.offline_replicas = offline.map(|id| BrokerId(id.0)).collect();
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

#[cfg(test)]
mod tests {
    use crate::api::nodes::testing::{registration, show};
    use crate::node::testing::TestNode;
    use kafka_protocol::messages::{MetadataRequest, MetadataResponse};
    use replication::metadata::record::{LeaderChange, MetadataRecord, PartitionChange};
    use storage::ids::{BrokerId, PartitionIndex};

    fn all() -> MetadataRequest {
        MetadataRequest::default().with_topics(None)
    }

    /// The partition is on nodes 2, 3 and 4, of which 3 is fenced, and 4 is not known.
    fn moved(node: &TestNode, leader: Option<i32>) -> MetadataRecord {
        let topic_id = node.broker.topic_id_of("orders").expect("the topic is there");
        MetadataRecord::PartitionChange(PartitionChange {
            replicas: Some([2, 3, 4].map(BrokerId).to_vec()),
            isr: Some([2, 3].map(BrokerId).to_vec()),
            leader: leader.map_or(LeaderChange::NoLeader, |id| LeaderChange::Elected(BrokerId(id))),
            ..PartitionChange::of(topic_id, PartitionIndex(0))
        })
    }

    fn nodes(answer: &MetadataResponse) -> Vec<(i32, String, i32)> {
        answer.brokers.iter().map(|node| (node.node_id.0, node.host.to_string(), node.port)).collect()
    }

    fn ids(list: &[kafka_protocol::messages::BrokerId]) -> Vec<i32> {
        list.iter().map(|id| id.0).collect()
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn clients_are_told_of_the_nodes_that_may_be_used_and_of_replicas_that_are_offline() {
        let mut node = TestNode::start(&[]).await;
        node.create_topic("orders", 1).await;
        let records = [registration(2, false), registration(3, true), moved(&node, Some(2))];
        show(&mut node, &records).await;
        let answer: MetadataResponse = node.ask(3, 13, &all()).await;
        let expected = [(1, "127.0.0.1", 9092), (2, "node-2", 9092)];
        assert_eq!(nodes(&answer), expected.map(|(id, host, port)| (id, host.to_owned(), port)));
        assert_eq!(answer.brokers[1].rack.as_deref(), Some("rack-2"));
        assert_eq!(answer.controller_id.0, 1);
        let partition = &answer.topics[0].partitions[0];
        assert_eq!((partition.error_code, partition.leader_id.0, partition.leader_epoch), (0, 2, 1));
        assert_eq!(ids(&partition.replica_nodes), [2, 3, 4]);
        assert_eq!(ids(&partition.isr_nodes), [2, 3]);
        assert_eq!(ids(&partition.offline_replicas), [3, 4]);
        let answer: MetadataResponse = node.ask(3, 0, &all().with_topics(Some(Vec::new()))).await;
        let partition = &answer.topics[0].partitions[0];
        assert_eq!((partition.error_code, ids(&partition.replica_nodes)), (9, vec![2]));
        node.stop().await;
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn clients_are_told_of_the_node_that_answers_while_every_node_is_fenced() {
        let mut node = TestNode::start(&[]).await;
        show(&mut node, &[registration(1, true), registration(2, true)]).await;
        let answer: MetadataResponse = node.ask(3, 13, &all()).await;
        assert_eq!(nodes(&answer), [(1, "node-1".to_owned(), 9092)]);
        node.stop().await;
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn a_partition_without_a_leader_says_so() {
        let mut node = TestNode::start(&[]).await;
        node.create_topic("orders", 1).await;
        let records = [registration(2, true), registration(3, true), moved(&node, None)];
        show(&mut node, &records).await;
        for version in 0..=13 {
            let topics = if version == 0 { Some(Vec::new()) } else { None };
            let answer: MetadataResponse = node.ask(3, version, &all().with_topics(topics)).await;
            let partition = &answer.topics[0].partitions[0];
            assert_eq!((partition.error_code, partition.leader_id.0), (5, -1), "version {version}");
        }
        node.stop().await;
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn a_node_tells_what_it_has_registered_before_the_address_that_it_was_reached_at() {
        let mut node = TestNode::start(&[]).await;
        show(&mut node, &[registration(1, false)]).await;
        let answer: MetadataResponse = node.ask(3, 13, &all()).await;
        assert_eq!(nodes(&answer), [(1, "node-1".to_owned(), 9092)]);
        node.stop().await;
    }
}
