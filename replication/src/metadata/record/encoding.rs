//! The bytes of each record, as the table in [`super`] draws them.

use super::{
    BrokerEndpoint, BrokerRegistration, ConfigResource, LeaderChange, MetadataRecord, PartitionChange,
    PartitionRecord,
};
use crate::metadata::codec::{DecodeError, Reader, length, put_brokers, put_optional, put_string};
use crate::metadata::quota::{QuotaEntity, QuotaKey, QuotaLimit, QuotaName};
use storage::ids::{BrokerEpoch, BrokerId, LeaderEpoch, PartitionEpoch, PartitionIndex, ProducerId};

pub(super) fn encode(record: &MetadataRecord, out: &mut Vec<u8>) {
    out.extend_from_slice(&[record_type(record), version(record)]);
    match record {
        MetadataRecord::ClusterId { id } => put_string(out, id),
        MetadataRecord::RegisterBroker(registration) => encode_registration(registration, out),
        MetadataRecord::UnregisterBroker { broker_id, broker_epoch } => {
            out.extend_from_slice(&broker_id.0.to_be_bytes());
            out.extend_from_slice(&broker_epoch.0.to_be_bytes());
        }
        MetadataRecord::Topic { name, topic_id, has_default_replication_factor } => {
            put_string(out, name);
            out.extend_from_slice(topic_id.0.as_bytes());
            out.push(u8::from(*has_default_replication_factor));
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
        MetadataRecord::BrokerState { broker_id, broker_epoch, is_fenced, is_shutting_down } => {
            out.extend_from_slice(&broker_id.0.to_be_bytes());
            out.extend_from_slice(&broker_epoch.0.to_be_bytes());
            out.extend_from_slice(&[u8::from(*is_fenced), u8::from(*is_shutting_down)]);
        }
        MetadataRecord::FixReplicas { topic_id } => out.extend_from_slice(topic_id.0.as_bytes()),
        MetadataRecord::ClientQuota { entity, key, limit } => {
            put_quota_name(out, entity.user.as_ref());
            put_quota_name(out, entity.client_id.as_ref());
            out.push(key.number());
            put_optional(out, *limit, |out, limit| {
                out.extend_from_slice(&limit.value().to_bits().to_be_bytes());
            });
            put_quota_name(out, entity.ip.as_ref());
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
        MetadataRecord::BrokerState { .. } => 11,
        MetadataRecord::FixReplicas { .. } => 12,
        MetadataRecord::ClientQuota { .. } => 13,
    }
}

/// The newest version of the record, which is the one that is written.
fn version(record: &MetadataRecord) -> u8 {
    version_max(record_type(record))
}

fn version_max(record_type: u8) -> u8 {
    match record_type {
        2 | 4 | 5 | 6 | 13 => 1,
        _ => 0,
    }
}

pub(super) fn decode(bytes: &[u8]) -> Result<MetadataRecord, DecodeError> {
    let mut reader = Reader::new(bytes);
    let record_type = reader.u8()?;
    let version = reader.u8()?;
    if !(1..=13).contains(&record_type) {
        return Err(DecodeError::UnknownRecordType { record_type });
    }
    if version > version_max(record_type) {
        return Err(DecodeError::UnknownVersion { record_type, version });
    }
    let record = decode_fields(record_type, version, &mut reader)?;
    reader.finish()?;
    Ok(record)
}

fn decode_fields(
    record_type: u8,
    version: u8,
    reader: &mut Reader<'_>,
) -> Result<MetadataRecord, DecodeError> {
    Ok(match record_type {
        1 => MetadataRecord::ClusterId { id: reader.string()? },
        2 => MetadataRecord::RegisterBroker(decode_registration(version, reader)?),
        3 => MetadataRecord::UnregisterBroker {
            broker_id: BrokerId(reader.i32()?),
            broker_epoch: BrokerEpoch(reader.i64()?),
        },
        4 => MetadataRecord::Topic {
            name: reader.string()?,
            topic_id: reader.topic_id()?,
            has_default_replication_factor: version == 0 || reader.boolean()?,
        },
        5 => MetadataRecord::Partition(decode_partition(version, reader)?),
        6 => MetadataRecord::PartitionChange(decode_partition_change(version, reader)?),
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
        11 => MetadataRecord::BrokerState {
            broker_id: BrokerId(reader.i32()?),
            broker_epoch: BrokerEpoch(reader.i64()?),
            is_fenced: reader.boolean()?,
            is_shutting_down: reader.boolean()?,
        },
        12 => MetadataRecord::FixReplicas { topic_id: reader.topic_id()? },
        13 => decode_quota(version, reader)?,
        _ => return Err(DecodeError::UnknownRecordType { record_type }),
    })
}

fn decode_quota(version: u8, reader: &mut Reader<'_>) -> Result<MetadataRecord, DecodeError> {
    let (user, client_id) = (quota_name(reader)?, quota_name(reader)?);
    let value = reader.u8()?;
    let key =
        QuotaKey::of_number(value).ok_or(DecodeError::UnknownVariant { what: "key of a quota", value })?;
    let limit = reader.optional(|reader| reader.u64().map(|bits| QuotaLimit::of(f64::from_bits(bits))))?;
    let ip = if version >= 1 { quota_name(reader)? } else { None };
    Ok(MetadataRecord::ClientQuota { entity: QuotaEntity { user, client_id, ip }, key, limit })
}

fn put_quota_name(out: &mut Vec<u8>, name: Option<&QuotaName>) {
    match name {
        None => out.push(0),
        Some(QuotaName::Default) => out.push(1),
        Some(QuotaName::Named(name)) => {
            out.push(2);
            put_string(out, name);
        }
    }
}

fn quota_name(reader: &mut Reader<'_>) -> Result<Option<QuotaName>, DecodeError> {
    match reader.u8()? {
        0 => Ok(None),
        1 => Ok(Some(QuotaName::Default)),
        2 => reader.string().map(QuotaName::Named).map(Some),
        value => Err(DecodeError::UnknownVariant { what: "name in a quota", value }),
    }
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
    out.extend_from_slice(registration.directory_id.as_bytes());
    out.extend_from_slice(&[u8::from(registration.is_fenced), u8::from(registration.is_shutting_down)]);
}

fn decode_registration(version: u8, reader: &mut Reader<'_>) -> Result<BrokerRegistration, DecodeError> {
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
        directory_id: if version >= 1 { reader.uuid()? } else { uuid::Uuid::nil() },
        is_fenced: version >= 1 && reader.boolean()?,
        is_shutting_down: version >= 1 && reader.boolean()?,
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
    put_brokers(out, &partition.adding_replicas);
    put_brokers(out, &partition.removing_replicas);
}

fn decode_partition(version: u8, reader: &mut Reader<'_>) -> Result<PartitionRecord, DecodeError> {
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
        adding_replicas: if version >= 1 { reader.brokers()? } else { Vec::new() },
        removing_replicas: if version >= 1 { reader.brokers()? } else { Vec::new() },
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
    put_optional(out, change.adding_replicas.as_deref(), put_brokers);
    put_optional(out, change.removing_replicas.as_deref(), put_brokers);
}

fn decode_partition_change(version: u8, reader: &mut Reader<'_>) -> Result<PartitionChange, DecodeError> {
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
        adding_replicas: if version >= 1 { reader.optional(Reader::brokers)? } else { None },
        removing_replicas: if version >= 1 { reader.optional(Reader::brokers)? } else { None },
    })
}
