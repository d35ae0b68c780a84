//! The sum of all metadata records up to one position of the log.
//!
//! An image never changes: [`MetadataImage::apply`] makes the next one, which shares with it whatever the records did
//! not touch. Applying n records costs O(n), plus one copy of each topic that they touch, plus a copy of the list of
//! chunks of the topic maps (see [`ChunkedMap`]); never a walk over all topics, with one exception: a broker that
//! registers visits every partition that it leads.
//!
//! Invariants: a topic is in both indexes or in none; partition numbers of a topic are 0, 1, 2, … without a gap; a
//! leader is a member of the ISR; leader epochs and partition epochs only grow; the offset only grows.
//!
//! Absent: anything that is not agreed on (who was heard from when, high watermarks, leases).

mod partition;

pub use partition::PartitionImage;

use crate::metadata::chunked_map::ChunkedMap;
use crate::metadata::quota::{QuotaEntity, QuotaKey, QuotaLimit};
use crate::metadata::record::{
    BrokerRegistration, ConfigResource, MetadataRecord, PartitionChange, PartitionRecord,
};
use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock};
use storage::ids::{BrokerId, PartitionIndex, ProducerId, TopicId};

static NO_CONFIGS: LazyLock<Arc<BTreeMap<String, String>>> = LazyLock::new(Arc::default);

/// The quotas of each user and client id that has any.
pub type ClientQuotas = BTreeMap<QuotaEntity, BTreeMap<QuotaKey, QuotaLimit>>;

/// The cluster's metadata at one position of its log. A clone shares everything.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MetadataImage {
    offset: i64,
    cluster_id: Option<Arc<str>>,
    brokers: Arc<BTreeMap<BrokerId, Arc<BrokerRegistration>>>,
    topics_by_name: ChunkedMap<Arc<str>, Arc<TopicImage>>,
    topics_by_id: ChunkedMap<TopicId, Arc<TopicImage>>,
    partition_count: usize,
    configs: ChunkedMap<ConfigResource, Arc<BTreeMap<String, String>>>,
    features: Arc<BTreeMap<String, i16>>,
    client_quotas: Arc<ClientQuotas>,
    next_producer_id: ProducerId,
}

/// A topic and its partitions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TopicImage {
    /// The topic's name.
    pub name: Arc<str>,
    /// The identity of this life of the topic.
    pub id: TopicId,
    /// Whether nobody chose how many replicas it has: it then grows with the set.
    pub has_default_replication_factor: bool,
    /// The partitions by their number.
    pub partitions: Vec<Arc<PartitionImage>>,
}

impl Default for MetadataImage {
    /// The image of an empty log.
    fn default() -> Self {
        Self {
            offset: -1,
            cluster_id: None,
            brokers: Arc::default(),
            topics_by_name: ChunkedMap::default(),
            topics_by_id: ChunkedMap::default(),
            partition_count: 0,
            configs: ChunkedMap::default(),
            features: Arc::default(),
            client_quotas: Arc::default(),
            next_producer_id: ProducerId(0),
        }
    }
}

impl TopicImage {
    /// The partition of this number.
    #[must_use]
    pub fn partition(&self, index: PartitionIndex) -> Option<&PartitionImage> {
        self.partitions.get(usize::try_from(index.0).ok()?).map(Arc::as_ref)
    }

    /// How many replicas a partition has, taken from the first as Kafka does.
    #[must_use]
    pub fn replication_factor(&self) -> usize {
        self.partitions.first().map_or(0, |partition| partition.replicas.len())
    }
}

impl MetadataImage {
    /// The position in the metadata log of the last entry that this image holds, inclusive; -1 for an empty log.
    /// It is the epoch of the finalised features and only grows.
    #[must_use]
    pub fn offset(&self) -> i64 {
        self.offset
    }

    /// The identity of the cluster; `None` only before the first record.
    #[must_use]
    pub fn cluster_id(&self) -> Option<&str> {
        self.cluster_id.as_deref()
    }

    /// The registered brokers, by ascending id.
    #[must_use]
    pub fn brokers(&self) -> &BTreeMap<BrokerId, Arc<BrokerRegistration>> {
        &self.brokers
    }

    /// The registration of one broker.
    #[must_use]
    pub fn broker(&self, id: BrokerId) -> Option<&BrokerRegistration> {
        self.brokers.get(&id).map(Arc::as_ref)
    }

    /// Whether a broker is registered and may become a leader and join an ISR.
    #[must_use]
    pub fn is_active(&self, id: BrokerId) -> bool {
        self.broker(id).is_some_and(BrokerRegistration::is_active)
    }

    /// What clients are told as the controller: any broker that is not fenced, since a broker passes on what only the
    /// controller can do. The one with the lowest id here, of those that go on if there are any.
    #[must_use]
    pub fn controller_id(&self) -> Option<BrokerId> {
        let first = |wanted: fn(&BrokerRegistration) -> bool| {
            self.brokers.values().find(|broker| wanted(broker)).map(|broker| broker.broker_id)
        };
        first(BrokerRegistration::is_active).or_else(|| first(|broker| !broker.is_fenced))
    }

    /// The topic of this name.
    #[must_use]
    pub fn topic_by_name(&self, name: &str) -> Option<&Arc<TopicImage>> {
        self.topics_by_name.get(name)
    }

    /// The topic of this id.
    #[must_use]
    pub fn topic_by_id(&self, id: TopicId) -> Option<&Arc<TopicImage>> {
        self.topics_by_id.get(&id)
    }

    /// Every topic, by ascending name.
    pub fn topics(&self) -> impl Iterator<Item = &Arc<TopicImage>> {
        self.topics_by_name.iter().map(|(_, topic)| topic)
    }

    /// The topics whose names are `name` or greater, by ascending name.
    pub fn topics_from<'a>(&'a self, name: &str) -> impl Iterator<Item = &'a Arc<TopicImage>> + use<'a> {
        self.topics_by_name.iter_from(name).map(|(_, topic)| topic)
    }

    /// How many topics there are.
    #[must_use]
    pub fn topic_count(&self) -> usize {
        self.topics_by_name.len()
    }

    /// How many partitions all topics have together.
    #[must_use]
    pub fn partition_count(&self) -> usize {
        self.partition_count
    }

    /// One partition of the topic of this name.
    #[must_use]
    pub fn partition(&self, topic: &str, index: PartitionIndex) -> Option<&PartitionImage> {
        self.topic_by_name(topic)?.partition(index)
    }

    /// The keys that were set for a resource; empty where none was.
    #[must_use]
    pub fn configs_of(&self, resource: &ConfigResource) -> &BTreeMap<String, String> {
        self.configs.get(resource).unwrap_or(&NO_CONFIGS)
    }

    /// The finalised features and their levels; their epoch is [`Self::offset`]. Source: KIP-584.
    #[must_use]
    pub fn features(&self) -> &BTreeMap<String, i16> {
        &self.features
    }

    /// The quotas of users and client ids.
    #[must_use]
    pub fn client_quotas(&self) -> &Arc<ClientQuotas> {
        &self.client_quotas
    }

    /// The lowest producer id that no broker was given.
    #[must_use]
    pub fn next_producer_id(&self) -> ProducerId {
        self.next_producer_id
    }

    /// Whatever has settings of its own.
    pub fn configured_resources(&self) -> impl Iterator<Item = &ConfigResource> {
        self.configs.iter().map(|(resource, _)| resource)
    }

    pub(super) fn topic_map(&self) -> &ChunkedMap<TopicId, Arc<TopicImage>> {
        &self.topics_by_id
    }

    pub(super) fn config_map(&self) -> &ChunkedMap<ConfigResource, Arc<BTreeMap<String, String>>> {
        &self.configs
    }

    /// The image after `records`, which stand at `offset` of the log.
    ///
    /// # Panics
    ///
    /// When a record contradicts the image, such as one for a topic that does not exist: the log is wrong then, and
    /// a wrong image is worse than a dead broker.
    #[must_use]
    pub fn apply(&self, offset: i64, records: &[MetadataRecord]) -> Self {
        assert!(offset >= self.offset, "the metadata log went back from {} to {offset}", self.offset);
        let mut next = self.clone();
        next.offset = offset;
        for record in records {
            next.apply_one(record);
        }
        next
    }

    fn apply_one(&mut self, record: &MetadataRecord) {
        match record {
            MetadataRecord::ClusterId { id } => self.cluster_id = Some(id.as_str().into()),
            MetadataRecord::RegisterBroker(registration) => self.register(registration),
            MetadataRecord::UnregisterBroker { broker_id, broker_epoch } => {
                if self.broker(*broker_id).is_some_and(|broker| broker.broker_epoch == *broker_epoch) {
                    Arc::make_mut(&mut self.brokers).remove(broker_id);
                }
            }
            MetadataRecord::Topic { name, topic_id, has_default_replication_factor } => {
                assert!(self.topic_by_name(name).is_none(), "topic {name} is created twice");
                let name: Arc<str> = name.as_str().into();
                self.put_topic(TopicImage {
                    name,
                    id: *topic_id,
                    has_default_replication_factor: *has_default_replication_factor,
                    partitions: Vec::new(),
                });
            }
            MetadataRecord::Partition(partition) => self.add_partition(partition),
            MetadataRecord::PartitionChange(change) => self.change_partition(change),
            MetadataRecord::RemoveTopic { topic_id } => self.remove_topic(*topic_id),
            MetadataRecord::Config { resource, key, value } => {
                self.set_config(resource, key, value.as_deref());
            }
            MetadataRecord::ProducerIdBlock { next_producer_id, .. } => {
                assert!(
                    *next_producer_id >= self.next_producer_id,
                    "producer ids went back to {next_producer_id}"
                );
                self.next_producer_id = *next_producer_id;
            }
            MetadataRecord::FeatureLevel { name, level } => {
                let features = Arc::make_mut(&mut self.features);
                if *level == 0 {
                    features.remove(name);
                } else {
                    features.insert(name.clone(), *level);
                }
            }
            MetadataRecord::BrokerState { broker_id, broker_epoch, is_fenced, is_shutting_down } => {
                if let Some(broker) = Arc::make_mut(&mut self.brokers).get_mut(broker_id)
                    && broker.broker_epoch == *broker_epoch
                {
                    let broker = Arc::make_mut(broker);
                    (broker.is_fenced, broker.is_shutting_down) = (*is_fenced, *is_shutting_down);
                }
            }
            MetadataRecord::FixReplicas { topic_id } => {
                self.edit_topic(*topic_id, |topic| topic.has_default_replication_factor = false);
            }
            MetadataRecord::ClientQuota { entity, key, limit } => self.set_quota(entity, *key, *limit),
        }
    }

    /// A new run of a broker leads what it led before in a new epoch: it may have lost records that it had not
    /// flushed, and must never give their offsets to others under an epoch that a follower holds.
    fn register(&mut self, registration: &BrokerRegistration) {
        let broker_id = registration.broker_id;
        let known_epoch = self.broker(broker_id).map(|broker| broker.broker_epoch);
        Arc::make_mut(&mut self.brokers).insert(broker_id, Arc::new(registration.clone()));
        if known_epoch == Some(registration.broker_epoch) {
            return;
        }
        let led =
            |topic: &TopicImage| topic.partitions.iter().any(|partition| partition.leader == Some(broker_id));
        let topics: Vec<_> = self.topics().filter(|topic| led(topic)).cloned().collect();
        for topic in topics {
            let mut topic = TopicImage::clone(&topic);
            for partition in &mut topic.partitions {
                if partition.leader == Some(broker_id) {
                    Arc::make_mut(partition).begin_leader_epoch();
                }
            }
            self.put_topic(topic);
        }
    }

    fn add_partition(&mut self, record: &PartitionRecord) {
        self.edit_topic(record.topic_id, |topic| {
            assert!(
                usize::try_from(record.partition.0) == Ok(topic.partitions.len()),
                "partition {} of topic {} is created out of order",
                record.partition,
                topic.name
            );
            topic.partitions.push(Arc::new(PartitionImage::from(record)));
        });
        self.partition_count += 1;
    }

    fn change_partition(&mut self, change: &PartitionChange) {
        self.edit_topic(change.topic_id, |topic| {
            let partition =
                usize::try_from(change.partition.0).ok().and_then(|index| topic.partitions.get_mut(index));
            Arc::make_mut(partition.expect("the changed partition exists")).change(change);
        });
    }

    fn remove_topic(&mut self, topic_id: TopicId) {
        let topic = self.topics_by_id.remove(&topic_id).expect("the deleted topic exists");
        self.topics_by_name.remove(&topic.name);
        self.partition_count -= topic.partitions.len();
        self.configs.remove(&ConfigResource::Topic(topic.name.to_string()));
    }

    fn set_config(&mut self, resource: &ConfigResource, key: &str, value: Option<&str>) {
        let mut configs = self.configs_of(resource).clone();
        match value {
            Some(value) => configs.insert(key.to_owned(), value.to_owned()),
            None => configs.remove(key),
        };
        if configs.is_empty() {
            self.configs.remove(resource);
        } else {
            self.configs.insert(resource.clone(), Arc::new(configs));
        }
    }

    fn set_quota(&mut self, entity: &QuotaEntity, key: QuotaKey, limit: Option<QuotaLimit>) {
        let all = Arc::make_mut(&mut self.client_quotas);
        let quotas = all.entry(entity.clone()).or_default();
        match limit {
            Some(limit) => quotas.insert(key, limit),
            None => quotas.remove(&key),
        };
        if quotas.is_empty() {
            all.remove(entity);
        }
    }

    fn edit_topic(&mut self, topic_id: TopicId, edit: impl FnOnce(&mut TopicImage)) {
        let mut topic = self.topics_by_id.remove(&topic_id).expect("the topic of a partition exists");
        self.topics_by_name.remove(&topic.name);
        // Only the first edit after an image was published copies the topic: both indexes have let go of it.
        edit(Arc::make_mut(&mut topic));
        self.put_shared_topic(topic);
    }

    fn put_topic(&mut self, topic: TopicImage) {
        self.put_shared_topic(Arc::new(topic));
    }

    fn put_shared_topic(&mut self, topic: Arc<TopicImage>) {
        self.topics_by_name.insert(Arc::clone(&topic.name), Arc::clone(&topic));
        self.topics_by_id.insert(topic.id, topic);
    }

    /// Records that make this image from an empty one: what a snapshot holds beside the offset.
    #[must_use]
    pub fn to_records(&self) -> Vec<MetadataRecord> {
        let mut records =
            Vec::with_capacity(self.topic_count() + self.partition_count + self.brokers.len() + 8);
        records.extend(self.cluster_id().map(|id| MetadataRecord::ClusterId { id: id.to_owned() }));
        let feature = |(name, level): (&String, &i16)| MetadataRecord::FeatureLevel {
            name: name.clone(),
            level: *level,
        };
        records.extend(self.features.iter().map(feature));
        // Brokers go before topics: a registration must not begin new epochs for partitions that have theirs.
        let registration =
            |broker: &Arc<BrokerRegistration>| MetadataRecord::RegisterBroker(broker.as_ref().clone());
        records.extend(self.brokers.values().map(registration));
        if self.next_producer_id > ProducerId(0) {
            records.push(MetadataRecord::ProducerIdBlock {
                broker_id: BrokerId(-1),
                broker_epoch: storage::ids::BrokerEpoch(-1),
                next_producer_id: self.next_producer_id,
            });
        }
        for topic in self.topics() {
            records.push(MetadataRecord::Topic {
                name: topic.name.to_string(),
                topic_id: topic.id,
                has_default_replication_factor: topic.has_default_replication_factor,
            });
            let partition =
                |partition: &Arc<PartitionImage>| MetadataRecord::Partition(partition.to_record(topic.id));
            records.extend(topic.partitions.iter().map(partition));
        }
        for (resource, configs) in self.configs.iter() {
            records.extend(configs.iter().map(|(key, value)| MetadataRecord::Config {
                resource: resource.clone(),
                key: key.clone(),
                value: Some(value.clone()),
            }));
        }
        for (entity, quotas) in &*self.client_quotas {
            records.extend(quotas.iter().map(|(key, limit)| MetadataRecord::ClientQuota {
                entity: entity.clone(),
                key: *key,
                limit: Some(*limit),
            }));
        }
        records
    }
}

#[cfg(test)]
pub(crate) mod tests;
