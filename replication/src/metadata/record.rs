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
//! type  record             fields of version 0
//!  1    ClusterId          string id
//!  2    RegisterBroker     i32 broker_id, i64 broker_epoch, uuid incarnation, ?string rack,
//!                          u32 count of endpoints: string name, string host, u16 port, i16 security_protocol
//!  3    UnregisterBroker   i32 broker_id, i64 broker_epoch
//!  4    Topic              string name, uuid topic_id
//!  5    Partition          uuid topic_id, i32 partition, brokers replicas, brokers isr, ?i32 leader,
//!                          i32 leader_epoch, i32 partition_epoch, brokers eligible_leader_replicas,
//!                          brokers last_known_eligible_leader_replicas
//!  6    PartitionChange    uuid topic_id, i32 partition, ?brokers replicas, ?brokers isr,
//!                          u8 leader (0 as it was, 1 none, 2 followed by i32 broker),
//!                          ?brokers eligible_leader_replicas, ?brokers last_known_eligible_leader_replicas
//!  7    RemoveTopic        uuid topic_id
//!  8    Config             u8 resource type (2 topic, 4 broker, 32 group), string resource name, string key, ?string value
//!  9    ProducerIdBlock    i32 broker_id, i64 broker_epoch, i64 next_producer_id
//! 10    FeatureLevel       string name, i16 level (0 removes the feature)
//! ```
//!
//! Upgrade rule: the fields of a version never change. A new field makes a new version of its record, which is written
//! only once every registered node reads it; versions once written are read for ever.
//! A type or version that is not in this table is an error, never skipped: a node that skipped a record would hold
//! another image than its peers.

mod encoding;

use crate::metadata::codec::{Reader, length};
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
}

/// One listener of a broker.
#[derive(Debug, Clone, PartialEq, Eq)]
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
    /// The replicas that were eligible before an unclean stop. Source: KIP-966.
    pub last_known_eligible_leader_replicas: Vec<BrokerId>,
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
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum ConfigResource {
    /// The topic of this name.
    Topic(String),
    /// One broker.
    Broker(BrokerId),
    /// Every broker that has no value of its own.
    AllBrokers,
    /// The group of this name, which need not exist.
    Group(String),
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
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests;
