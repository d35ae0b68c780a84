//! The records of the metadata log: events, each a fact that the controller decided.
//!
//! # Format
//!
//! A batch is what the controller decides in one step and the log takes or refuses as a whole. Integers are
//! big-endian, `string` is a `u32` length and that many bytes of UTF-8, `brokers` is a `u32` count and as many `i32`,
//! `uuid` is 16 bytes, `?` before a field is one byte, 0 (absent) or 1 (the field follows).
//!
//! ```text
//! batch    u32 count, then for each record: u32 length of what follows, u8 type, u8 version, fields
//!
//! type  record             fields of version 0; those behind + came with version 1, which is written now
//!  1    ClusterId          string id
//!  2    RegisterBroker     i32 broker_id, i64 broker_epoch, uuid incarnation, ?string rack,
//!                          u32 count of endpoints: string name, string host, u16 port, i16 security_protocol
//!                          + uuid directory_id, u8 is_fenced, u8 is_shutting_down
//!                          (version 0 reads as: nil, 0, 0)
//!  3    UnregisterBroker   i32 broker_id, i64 broker_epoch
//!  4    Topic              string name, uuid topic_id
//!                          + u8 has_default_replication_factor (version 0 reads as: 1)
//!  5    Partition          uuid topic_id, i32 partition, brokers replicas, brokers isr, ?i32 leader,
//!                          i32 leader_epoch, i32 partition_epoch, brokers eligible_leader_replicas,
//!                          brokers last_known_eligible_leader_replicas
//!                          + brokers adding_replicas, brokers removing_replicas (version 0 reads as: none)
//!  6    PartitionChange    uuid topic_id, i32 partition, ?brokers replicas, ?brokers isr,
//!                          u8 leader (0 as it was, 1 none, 2 followed by i32 broker),
//!                          ?brokers eligible_leader_replicas, ?brokers last_known_eligible_leader_replicas
//!                          + ?brokers adding_replicas, ?brokers removing_replicas
//!  7    RemoveTopic        uuid topic_id
//!  8    Config             u8 resource type (2 topic, 4 broker, 16 client metrics, 32 group), string resource name,
//!                          string key, ?string value
//!  9    ProducerIdBlock    i32 broker_id, i64 broker_epoch, i64 next_producer_id
//! 10    FeatureLevel       string name, i16 level (0 removes the feature)
//! 11    BrokerState        i32 broker_id, i64 broker_epoch, u8 is_fenced, u8 is_shutting_down
//! 12    FixReplicas        uuid topic_id
//! 13    ClientQuota        name user, name client_id (each u8: 0 absent, 1 the default, 2 followed by string),
//!                          u8 key (1 producer_byte_rate, 2 consumer_byte_rate, 3 request_percentage,
//!                          4 controller_mutation_rate, 5 connection_creation_rate),
//!                          ?u64 bits of the limit as an IEEE 754 double
//!                          + name ip (version 0 reads as: absent)
//! ```
//!
//! Upgrade rule: the fields of a version never change. A new field makes a new version of its record, which is written
//! only once every registered node reads it; versions once written are read for ever.
//! A type or version that is not in this table is an error, never skipped: a node that skipped a record would hold
//! another image than its peers.

mod encoding;

use crate::metadata::codec::{Reader, length};
use crate::metadata::quota::{QuotaEntity, QuotaKey, QuotaLimit};
use serde::{Deserialize, Serialize};
use storage::ids::{BrokerEpoch, BrokerId, LeaderEpoch, PartitionEpoch, PartitionIndex, ProducerId, TopicId};

pub use crate::metadata::codec::DecodeError;

/// The smallest record: its length, type and version.
const RECORD_LEN_MIN: usize = 6;

/// One fact of the cluster's metadata.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MetadataRecord {
    /// The identity of the cluster; the first record of every log.
    ClusterId {
        /// Kafka's text form of a random UUID, 22 characters.
        id: String,
    },
    /// A node has started.
    RegisterBroker(BrokerRegistration),
    /// A node has left for good.
    UnregisterBroker {
        /// The node.
        broker_id: BrokerId,
        /// The run of it that is meant: a later registration is not undone.
        broker_epoch: BrokerEpoch,
    },
    /// A topic was created. Its partitions follow.
    Topic {
        /// The topic's name.
        name: String,
        /// The identity of this life of it.
        topic_id: TopicId,
        /// Whether nobody chose how many replicas it has: it then grows with the set. Where the record does not say,
        /// nobody did, since there was no set to choose for.
        has_default_replication_factor: bool,
    },
    /// A partition was created. Partitions of a topic come in order from 0, without a gap.
    Partition(PartitionRecord),
    /// The replica state of a partition has changed.
    PartitionChange(PartitionChange),
    /// A topic was deleted, with its partitions and its configuration.
    RemoveTopic {
        /// The topic.
        topic_id: TopicId,
    },
    /// A configuration key was set or removed.
    Config {
        /// What it configures.
        resource: ConfigResource,
        /// The key's name.
        key: String,
        /// The new value; `None` removes the key.
        value: Option<String>,
    },
    /// A block of producer ids was given to a broker.
    ProducerIdBlock {
        /// The broker that got it.
        broker_id: BrokerId,
        /// The run of that broker.
        broker_epoch: BrokerEpoch,
        /// The first id behind the block: where the next one starts.
        next_producer_id: ProducerId,
    },
    /// A feature level was finalised. Source: KIP-584.
    FeatureLevel {
        /// The feature's name, such as `metadata.version`.
        name: String,
        /// The level; 0 removes the feature.
        level: i16,
    },
    /// A broker may be a leader and in-sync from here on, or no more.
    BrokerState {
        /// The broker.
        broker_id: BrokerId,
        /// The run of it that is meant: another one does not change.
        broker_epoch: BrokerEpoch,
        /// See [`BrokerRegistration::is_fenced`].
        is_fenced: bool,
        /// See [`BrokerRegistration::is_shutting_down`].
        is_shutting_down: bool,
    },
    /// A person chose the number of replicas of a topic: it grows with the set no more.
    FixReplicas {
        /// The topic.
        topic_id: TopicId,
    },
    /// A quota was set or removed. Source: KIP-546.
    ClientQuota {
        /// For whom it is.
        entity: QuotaEntity,
        /// What it limits.
        key: QuotaKey,
        /// To how much; `None` removes it.
        limit: Option<QuotaLimit>,
    },
}

/// One run of a node and how to reach it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BrokerRegistration {
    /// The node's configured id.
    pub broker_id: BrokerId,
    /// Higher at every start of any node. Source: KIP-380.
    pub broker_epoch: BrokerEpoch,
    /// Random, made by the process at its start: tells a repeated registration from a second process with this id.
    pub incarnation: uuid::Uuid,
    /// Where clients and peers reach it.
    pub endpoints: Vec<BrokerEndpoint>,
    /// Where it stands, for the placement of replicas.
    pub rack: Option<String>,
    /// The identity of its data, from its `meta.properties`: another one than before means that the data is gone.
    /// Nil where it is not known.
    pub directory_id: uuid::Uuid,
    /// Whether it is not to be used: not started up yet, or not heard from.
    pub is_fenced: bool,
    /// Whether it is about to stop and hands over what it leads.
    pub is_shutting_down: bool,
}

/// The name of the endpoint at which nodes reach each other; no listener of clients has it.
pub const PEER_ENDPOINT: &str = "PEER";

impl BrokerRegistration {
    /// Whether it may become a leader and join an ISR. Source: `ClusterControlManager.isActive`.
    #[must_use]
    pub fn is_active(&self) -> bool {
        !self.is_fenced && !self.is_shutting_down
    }

    /// Where clients reach it, if they do.
    #[must_use]
    pub fn client_endpoint(&self) -> Option<&BrokerEndpoint> {
        self.endpoints.iter().find(|endpoint| endpoint.name != PEER_ENDPOINT)
    }
}

/// One listener of a broker.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BrokerEndpoint {
    /// The listener's name, such as `PLAINTEXT`.
    pub name: String,
    /// The host that is advertised.
    pub host: String,
    /// The port that is advertised.
    pub port: u16,
    /// Kafka's number of the protocol: 0 PLAINTEXT, 1 SSL, 2 SASL_PLAINTEXT, 3 SASL_SSL.
    pub security_protocol: i16,
}

/// A partition at its creation, or whole in a snapshot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PartitionRecord {
    /// The topic.
    pub topic_id: TopicId,
    /// The partition's number.
    pub partition: PartitionIndex,
    /// The brokers that hold it, the preferred leader first.
    pub replicas: Vec<BrokerId>,
    /// Those of them that hold everything that was acknowledged.
    pub isr: Vec<BrokerId>,
    /// The leader; `None` while no eligible replica is alive.
    pub leader: Option<BrokerId>,
    /// How often the partition has had a new leader.
    pub leader_epoch: LeaderEpoch,
    /// How often this state has changed.
    pub partition_epoch: PartitionEpoch,
    /// Replicas outside the ISR that hold everything below the high watermark. Source: KIP-966.
    pub eligible_leader_replicas: Vec<BrokerId>,
    /// Replicas that came back without their data since nobody leads, which makes them a bad choice. Source: KIP-966.
    pub last_known_eligible_leader_replicas: Vec<BrokerId>,
    /// Those of the replicas that a reassignment adds. Source: KIP-455.
    pub adding_replicas: Vec<BrokerId>,
    /// Those of the replicas that a reassignment removes once the added ones are in-sync. Source: KIP-455.
    pub removing_replicas: Vec<BrokerId>,
}

/// What of a partition's replica state has changed; `None` stays as it was. The partition epoch grows by one, and the
/// leader epoch too where `leader` names a change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PartitionChange {
    /// The topic.
    pub topic_id: TopicId,
    /// The partition's number.
    pub partition: PartitionIndex,
    /// The new assignment.
    pub replicas: Option<Vec<BrokerId>>,
    /// The new ISR.
    pub isr: Option<Vec<BrokerId>>,
    /// The new leader.
    pub leader: LeaderChange,
    /// The new eligible leader replicas.
    pub eligible_leader_replicas: Option<Vec<BrokerId>>,
    /// The new last known eligible leader replicas.
    pub last_known_eligible_leader_replicas: Option<Vec<BrokerId>>,
    /// The new replicas that are being added.
    pub adding_replicas: Option<Vec<BrokerId>>,
    /// The new replicas that are being removed.
    pub removing_replicas: Option<Vec<BrokerId>>,
}

impl PartitionChange {
    /// A change of nothing, to be filled in.
    #[must_use]
    pub fn of(topic_id: TopicId, partition: PartitionIndex) -> Self {
        Self {
            topic_id,
            partition,
            replicas: None,
            isr: None,
            leader: LeaderChange::Unchanged,
            eligible_leader_replicas: None,
            last_known_eligible_leader_replicas: None,
            adding_replicas: None,
            removing_replicas: None,
        }
    }
}

/// What happens to the leader of a partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LeaderChange {
    /// It leads on, in its epoch.
    Unchanged,
    /// Nobody leads.
    NoLeader,
    /// This broker leads in a new epoch, also where it led before.
    Elected(BrokerId),
}

/// What a configuration key belongs to.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum ConfigResource {
    /// The topic of this name.
    Topic(String),
    /// One broker.
    Broker(BrokerId),
    /// Every broker that has no value of its own.
    AllBrokers,
    /// The group of this name, which need not exist.
    Group(String),
    /// The subscription of this name to clients' metrics. It is there while it has a setting. Source: KIP-714.
    ClientMetrics(String),
}

/// Encodes a batch of records in their newest versions.
#[must_use]
pub fn encode_batch(records: &[MetadataRecord]) -> Vec<u8> {
    let mut out = Vec::with_capacity(records.len() * 64);
    out.extend_from_slice(&length(records.len()).to_be_bytes());
    let mut record_bytes = Vec::new();
    for record in records {
        record_bytes.clear();
        encoding::encode(record, &mut record_bytes);
        out.extend_from_slice(&length(record_bytes.len()).to_be_bytes());
        out.extend_from_slice(&record_bytes);
    }
    out
}

/// Decodes what [`encode_batch`] wrote, by this or an older version.
///
/// # Errors
///
/// [`DecodeError`] where the bytes are no batch, or hold a record that only a newer version knows.
pub fn decode_batch(bytes: &[u8]) -> Result<Vec<MetadataRecord>, DecodeError> {
    let mut reader = Reader::new(bytes);
    let records = reader.list(RECORD_LEN_MIN, |reader| {
        let len = reader.u32()? as usize;
        encoding::decode(reader.bytes(len)?)
    })?;
    reader.finish()?;
    Ok(records)
}

impl ConfigResource {
    /// Kafka's type number and name of the resource. Source: `ConfigResource.java`; an empty broker name means all.
    #[must_use]
    pub fn to_kafka(&self) -> (u8, String) {
        match self {
            Self::Topic(name) => (2, name.clone()),
            Self::Broker(id) => (4, id.to_string()),
            Self::AllBrokers => (4, String::new()),
            Self::Group(name) => (32, name.clone()),
            Self::ClientMetrics(name) => (16, name.clone()),
        }
    }

    /// The resource of Kafka's type number and name; `None` where it is none that holds configuration here.
    #[must_use]
    pub fn from_kafka(resource_type: u8, name: &str) -> Option<Self> {
        match (resource_type, name) {
            (2, name) => Some(Self::Topic(name.to_owned())),
            (4, "") => Some(Self::AllBrokers),
            (4, id) => id.parse().ok().map(|id| Self::Broker(BrokerId(id))),
            (32, name) if !name.is_empty() => Some(Self::Group(name.to_owned())),
            (16, name) if !name.is_empty() => Some(Self::ClientMetrics(name.to_owned())),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests;
