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

use crate::metadata::codec::{Reader, length, put_brokers, put_optional, put_string};
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
        encode(record, &mut record_bytes);
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
        decode(reader.bytes(len)?)
    })?;
    reader.finish()?;
    Ok(records)
}

fn encode(record: &MetadataRecord, out: &mut Vec<u8>) {
    out.extend_from_slice(&[record_type(record), 0]);
    match record {
        MetadataRecord::ClusterId { id } => put_string(out, id),
        MetadataRecord::RegisterBroker(registration) => encode_registration(registration, out),
        MetadataRecord::UnregisterBroker { broker_id, broker_epoch } => {
            out.extend_from_slice(&broker_id.0.to_be_bytes());
            out.extend_from_slice(&broker_epoch.0.to_be_bytes());
        }
        MetadataRecord::Topic { name, topic_id } => {
            put_string(out, name);
            out.extend_from_slice(topic_id.0.as_bytes());
        }
        MetadataRecord::Partition(partition) => encode_partition(partition, out),
        MetadataRecord::PartitionChange(change) => encode_partition_change(change, out),
        MetadataRecord::RemoveTopic { topic_id } => out.extend_from_slice(topic_id.0.as_bytes()),
        MetadataRecord::Config { resource, key, value } => {
            let (resource_type, name) = resource.to_kafka();
            out.push(resource_type);
            put_string(out, &name);
            put_string(out, key);
            put_optional(out, value.as_deref(), put_string);
        }
        MetadataRecord::ProducerIdBlock { broker_id, broker_epoch, next_producer_id } => {
            out.extend_from_slice(&broker_id.0.to_be_bytes());
            out.extend_from_slice(&broker_epoch.0.to_be_bytes());
            out.extend_from_slice(&next_producer_id.0.to_be_bytes());
        }
        MetadataRecord::FeatureLevel { name, level } => {
            put_string(out, name);
            out.extend_from_slice(&level.to_be_bytes());
        }
    }
}

fn record_type(record: &MetadataRecord) -> u8 {
    match record {
        MetadataRecord::ClusterId { .. } => 1,
        MetadataRecord::RegisterBroker(_) => 2,
        MetadataRecord::UnregisterBroker { .. } => 3,
        MetadataRecord::Topic { .. } => 4,
        MetadataRecord::Partition(_) => 5,
        MetadataRecord::PartitionChange(_) => 6,
        MetadataRecord::RemoveTopic { .. } => 7,
        MetadataRecord::Config { .. } => 8,
        MetadataRecord::ProducerIdBlock { .. } => 9,
        MetadataRecord::FeatureLevel { .. } => 10,
    }
}

fn decode(bytes: &[u8]) -> Result<MetadataRecord, DecodeError> {
    let mut reader = Reader::new(bytes);
    let record_type = reader.u8()?;
    let version = reader.u8()?;
    if !(1..=10).contains(&record_type) {
        return Err(DecodeError::UnknownRecordType { record_type });
    }
    if version != 0 {
        return Err(DecodeError::UnknownVersion { record_type, version });
    }
    let record = decode_version_0(record_type, &mut reader)?;
    reader.finish()?;
    Ok(record)
}

fn decode_version_0(record_type: u8, reader: &mut Reader<'_>) -> Result<MetadataRecord, DecodeError> {
    Ok(match record_type {
        1 => MetadataRecord::ClusterId { id: reader.string()? },
        2 => MetadataRecord::RegisterBroker(decode_registration(reader)?),
        3 => MetadataRecord::UnregisterBroker {
            broker_id: BrokerId(reader.i32()?),
            broker_epoch: BrokerEpoch(reader.i64()?),
        },
        4 => MetadataRecord::Topic { name: reader.string()?, topic_id: reader.topic_id()? },
        5 => MetadataRecord::Partition(decode_partition(reader)?),
        6 => MetadataRecord::PartitionChange(decode_partition_change(reader)?),
        7 => MetadataRecord::RemoveTopic { topic_id: reader.topic_id()? },
        8 => {
            let resource_type = reader.u8()?;
            let resource = ConfigResource::from_kafka(resource_type, &reader.string()?).ok_or(
                DecodeError::UnknownVariant { what: "type of a configured resource", value: resource_type },
            )?;
            MetadataRecord::Config {
                resource,
                key: reader.string()?,
                value: reader.optional(Reader::string)?,
            }
        }
        9 => MetadataRecord::ProducerIdBlock {
            broker_id: BrokerId(reader.i32()?),
            broker_epoch: BrokerEpoch(reader.i64()?),
            next_producer_id: ProducerId(reader.i64()?),
        },
        10 => MetadataRecord::FeatureLevel { name: reader.string()?, level: reader.i16()? },
        _ => return Err(DecodeError::UnknownRecordType { record_type }),
    })
}

fn encode_registration(registration: &BrokerRegistration, out: &mut Vec<u8>) {
    out.extend_from_slice(&registration.broker_id.0.to_be_bytes());
    out.extend_from_slice(&registration.broker_epoch.0.to_be_bytes());
    out.extend_from_slice(registration.incarnation.as_bytes());
    put_optional(out, registration.rack.as_deref(), put_string);
    out.extend_from_slice(&length(registration.endpoints.len()).to_be_bytes());
    for endpoint in &registration.endpoints {
        put_string(out, &endpoint.name);
        put_string(out, &endpoint.host);
        out.extend_from_slice(&endpoint.port.to_be_bytes());
        out.extend_from_slice(&endpoint.security_protocol.to_be_bytes());
    }
}

fn decode_registration(reader: &mut Reader<'_>) -> Result<BrokerRegistration, DecodeError> {
    Ok(BrokerRegistration {
        broker_id: BrokerId(reader.i32()?),
        broker_epoch: BrokerEpoch(reader.i64()?),
        incarnation: reader.uuid()?,
        rack: reader.optional(Reader::string)?,
        endpoints: reader.list(12, |reader| {
            Ok(BrokerEndpoint {
                name: reader.string()?,
                host: reader.string()?,
                port: reader.u16()?,
                security_protocol: reader.i16()?,
            })
        })?,
    })
}

fn encode_partition(partition: &PartitionRecord, out: &mut Vec<u8>) {
    out.extend_from_slice(partition.topic_id.0.as_bytes());
    out.extend_from_slice(&partition.partition.0.to_be_bytes());
    put_brokers(out, &partition.replicas);
    put_brokers(out, &partition.isr);
    put_optional(out, partition.leader, |out, leader| out.extend_from_slice(&leader.0.to_be_bytes()));
    out.extend_from_slice(&partition.leader_epoch.0.to_be_bytes());
    out.extend_from_slice(&partition.partition_epoch.0.to_be_bytes());
    put_brokers(out, &partition.eligible_leader_replicas);
    put_brokers(out, &partition.last_known_eligible_leader_replicas);
}

fn decode_partition(reader: &mut Reader<'_>) -> Result<PartitionRecord, DecodeError> {
    Ok(PartitionRecord {
        topic_id: reader.topic_id()?,
        partition: PartitionIndex(reader.i32()?),
        replicas: reader.brokers()?,
        isr: reader.brokers()?,
        leader: reader.optional(|reader| reader.i32().map(BrokerId))?,
        leader_epoch: LeaderEpoch(reader.i32()?),
        partition_epoch: PartitionEpoch(reader.i32()?),
        eligible_leader_replicas: reader.brokers()?,
        last_known_eligible_leader_replicas: reader.brokers()?,
    })
}

fn encode_partition_change(change: &PartitionChange, out: &mut Vec<u8>) {
    out.extend_from_slice(change.topic_id.0.as_bytes());
    out.extend_from_slice(&change.partition.0.to_be_bytes());
    put_optional(out, change.replicas.as_deref(), put_brokers);
    put_optional(out, change.isr.as_deref(), put_brokers);
    match change.leader {
        LeaderChange::Unchanged => out.push(0),
        LeaderChange::NoLeader => out.push(1),
        LeaderChange::Elected(broker) => {
            out.push(2);
            out.extend_from_slice(&broker.0.to_be_bytes());
        }
    }
    put_optional(out, change.eligible_leader_replicas.as_deref(), put_brokers);
    put_optional(out, change.last_known_eligible_leader_replicas.as_deref(), put_brokers);
}

fn decode_partition_change(reader: &mut Reader<'_>) -> Result<PartitionChange, DecodeError> {
    Ok(PartitionChange {
        topic_id: reader.topic_id()?,
        partition: PartitionIndex(reader.i32()?),
        replicas: reader.optional(Reader::brokers)?,
        isr: reader.optional(Reader::brokers)?,
        leader: match reader.u8()? {
            0 => LeaderChange::Unchanged,
            1 => LeaderChange::NoLeader,
            2 => LeaderChange::Elected(BrokerId(reader.i32()?)),
            value => return Err(DecodeError::UnknownVariant { what: "change of a leader", value }),
        },
        eligible_leader_replicas: reader.optional(Reader::brokers)?,
        last_known_eligible_leader_replicas: reader.optional(Reader::brokers)?,
    })
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
