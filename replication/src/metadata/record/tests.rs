use super::*;
use crate::metadata::quota::{QUOTA_KEYS, QuotaName};
use proptest::prelude::*;

fn brokers() -> impl Strategy<Value = Vec<BrokerId>> {
    prop::collection::vec(any::<i32>().prop_map(BrokerId), 0..4)
}

fn topic_id() -> impl Strategy<Value = TopicId> {
    any::<[u8; 16]>().prop_map(TopicId::from_bytes)
}

fn registration() -> impl Strategy<Value = MetadataRecord> {
    let endpoint = (".{0,9}", ".{0,20}", any::<u16>(), any::<i16>()).prop_map(
        |(name, host, port, security_protocol)| BrokerEndpoint { name, host, port, security_protocol },
    );
    let endpoints = prop::collection::vec(endpoint, 0..3);
    let states = any::<(u128, bool, bool)>();
    (any::<i32>(), any::<i64>(), any::<u128>(), endpoints, prop::option::of(".{0,9}"), states).prop_map(
        |(id, epoch, incarnation, endpoints, rack, (directory, is_fenced, is_shutting_down))| {
            MetadataRecord::RegisterBroker(BrokerRegistration {
                broker_id: BrokerId(id),
                broker_epoch: BrokerEpoch(epoch),
                incarnation: uuid::Uuid::from_u128(incarnation),
                endpoints,
                rack,
                directory_id: uuid::Uuid::from_u128(directory),
                is_fenced,
                is_shutting_down,
            })
        },
    )
}

fn client_quota() -> impl Strategy<Value = MetadataRecord> {
    let name = || {
        let named = prop_oneof![Just(QuotaName::Default), ".{0,9}".prop_map(QuotaName::Named)];
        prop::option::of(named)
    };
    let limit = prop::option::of(any::<f64>().prop_map(QuotaLimit::of));
    (name(), name(), name(), prop::sample::select(&QUOTA_KEYS[..]), limit).prop_map(
        |(user, client_id, ip, key, limit)| MetadataRecord::ClientQuota {
            entity: QuotaEntity { user, client_id, ip },
            key,
            limit,
        },
    )
}

fn partition() -> impl Strategy<Value = MetadataRecord> {
    let lists = (brokers(), brokers(), brokers(), brokers(), brokers(), brokers());
    (topic_id(), any::<i32>(), lists, prop::option::of(any::<i32>()), any::<i32>(), any::<i32>()).prop_map(
        |(topic_id, partition, lists, leader, leader_epoch, partition_epoch)| {
            let (replicas, isr, elr, last_known, adding_replicas, removing_replicas) = lists;
            MetadataRecord::Partition(PartitionRecord {
                topic_id,
                partition: PartitionIndex(partition),
                replicas,
                isr,
                leader: leader.map(BrokerId),
                leader_epoch: LeaderEpoch(leader_epoch),
                partition_epoch: PartitionEpoch(partition_epoch),
                eligible_leader_replicas: elr,
                last_known_eligible_leader_replicas: last_known,
                adding_replicas,
                removing_replicas,
            })
        },
    )
}

fn partition_change() -> impl Strategy<Value = MetadataRecord> {
    let leader = prop_oneof![
        Just(LeaderChange::Unchanged),
        Just(LeaderChange::NoLeader),
        any::<i32>().prop_map(|id| LeaderChange::Elected(BrokerId(id))),
    ];
    let list = || prop::option::of(brokers());
    (topic_id(), any::<i32>(), list(), list(), leader, list(), list(), (list(), list())).prop_map(
        |(
            topic_id,
            partition,
            replicas,
            isr,
            leader,
            elr,
            last_known,
            (adding_replicas, removing_replicas),
        )| {
            MetadataRecord::PartitionChange(PartitionChange {
                topic_id,
                partition: PartitionIndex(partition),
                replicas,
                isr,
                leader,
                eligible_leader_replicas: elr,
                last_known_eligible_leader_replicas: last_known,
                adding_replicas,
                removing_replicas,
            })
        },
    )
}

fn config() -> impl Strategy<Value = MetadataRecord> {
    let resource = prop_oneof![
        ".{0,9}".prop_map(ConfigResource::Topic),
        any::<i32>().prop_map(|id| ConfigResource::Broker(BrokerId(id))),
        Just(ConfigResource::AllBrokers),
    ];
    (resource, ".{0,9}", prop::option::of(".{0,9}"))
        .prop_map(|(resource, key, value)| MetadataRecord::Config { resource, key, value })
}

fn record() -> impl Strategy<Value = MetadataRecord> {
    prop_oneof![
        ".{0,30}".prop_map(|id| MetadataRecord::ClusterId { id }),
        registration(),
        (any::<i32>(), any::<i64>()).prop_map(|(id, epoch)| MetadataRecord::UnregisterBroker {
            broker_id: BrokerId(id),
            broker_epoch: BrokerEpoch(epoch),
        }),
        (".{0,30}", topic_id(), any::<bool>()).prop_map(
            |(name, topic_id, has_default_replication_factor)| {
                MetadataRecord::Topic { name, topic_id, has_default_replication_factor }
            }
        ),
        partition(),
        partition_change(),
        topic_id().prop_map(|topic_id| MetadataRecord::RemoveTopic { topic_id }),
        config(),
        (any::<i32>(), any::<i64>(), any::<i64>()).prop_map(|(id, epoch, next)| {
            MetadataRecord::ProducerIdBlock {
                broker_id: BrokerId(id),
                broker_epoch: BrokerEpoch(epoch),
                next_producer_id: ProducerId(next),
            }
        }),
        (".{0,9}", any::<i16>()).prop_map(|(name, level)| MetadataRecord::FeatureLevel { name, level }),
        any::<(i32, i64, bool, bool)>().prop_map(|(id, epoch, is_fenced, is_shutting_down)| {
            MetadataRecord::BrokerState {
                broker_id: BrokerId(id),
                broker_epoch: BrokerEpoch(epoch),
                is_fenced,
                is_shutting_down,
            }
        }),
        topic_id().prop_map(|topic_id| MetadataRecord::FixReplicas { topic_id }),
        client_quota(),
    ]
}

proptest! {
    #[test]
    fn batch_survives_its_encoding(records in prop::collection::vec(record(), 0..8)) {
        prop_assert_eq!(decode_batch(&encode_batch(&records)), Ok(records));
    }

    #[test]
    fn every_cut_of_a_batch_is_refused(records in prop::collection::vec(record(), 1..4)) {
        let bytes = encode_batch(&records);
        for end in 0..bytes.len() {
            prop_assert!(decode_batch(&bytes[..end]).is_err());
        }
    }

    #[test]
    fn changed_bytes_never_panic(
        records in prop::collection::vec(record(), 0..4),
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
    ) {
        let mut bytes = encode_batch(&records);
        for (index, value) in changes {
            let index = index.index(bytes.len());
            bytes[index] = value;
        }
        drop(decode_batch(&bytes));
    }

    #[test]
    fn arbitrary_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        drop(decode_batch(&bytes));
    }
}

#[test]
fn a_count_beyond_the_bytes_is_refused_before_anything_is_allocated() {
    assert_eq!(decode_batch(&[0xff, 0xff, 0xff, 0xff, 0, 0]), Err(DecodeError::Truncated));
}

#[test]
fn a_record_of_a_newer_version_is_refused_by_name() {
    let mut bytes = encode_batch(&[MetadataRecord::ClusterId { id: "x".to_owned() }]);
    bytes[9] = 1;
    assert_eq!(decode_batch(&bytes), Err(DecodeError::UnknownVersion { record_type: 1, version: 1 }));
    bytes[8] = 99;
    assert_eq!(decode_batch(&bytes), Err(DecodeError::UnknownRecordType { record_type: 99 }));
}

#[test]
fn the_encoding_is_the_one_that_the_module_draws() {
    let bytes = encode_batch(&[MetadataRecord::FeatureLevel { name: "ab".to_owned(), level: 3 }]);
    assert_eq!(bytes, [0, 0, 0, 1, 0, 0, 0, 10, 10, 0, 0, 0, 0, 2, b'a', b'b', 0, 3]);
}

/// A batch of one record with these bytes behind its type and version.
fn batch_of(record_type: u8, version: u8, fields: &[u8]) -> Vec<u8> {
    let length = (fields.len() as u32 + 2).to_be_bytes();
    [&[0, 0, 0, 1], &length[..], &[record_type, version], fields].concat()
}

#[test]
fn records_of_version_0_read_as_what_was_true_before_there_were_sets() {
    let registration = [&[0, 0, 0, 7][..], &[0; 8], &[1; 16], &[0], &[0; 4]].concat();
    let decoded = decode_batch(&batch_of(2, 0, &registration)).map(|mut records| records.remove(0));
    let Ok(MetadataRecord::RegisterBroker(read)) = decoded else { panic!("{decoded:?}") };
    assert_eq!((read.broker_id, read.directory_id), (BrokerId(7), uuid::Uuid::nil()));
    assert!(read.is_active());

    let topic = [&[0, 0, 0, 1, b'a'][..], &[9; 16]].concat();
    let expected = MetadataRecord::Topic {
        name: "a".to_owned(),
        topic_id: TopicId::from_bytes([9; 16]),
        has_default_replication_factor: true,
    };
    assert_eq!(decode_batch(&batch_of(4, 0, &topic)), Ok(vec![expected]));

    // Topic id and number; one replica, in-sync, leading; two epochs; no eligible leader replicas.
    let one = [0, 0, 0, 1, 0, 0, 0, 5];
    let leader = [1, 0, 0, 0, 5];
    let partition = [&[9; 16][..], &[0; 4], &one, &one, &leader, &[0; 8], &[0; 8]].concat();
    let decoded = decode_batch(&batch_of(5, 0, &partition)).map(|mut records| records.remove(0));
    let Ok(MetadataRecord::Partition(read)) = decoded else { panic!("{decoded:?}") };
    assert_eq!((read.replicas, read.leader), (vec![BrokerId(5)], Some(BrokerId(5))));
    assert!(read.adding_replicas.is_empty() && read.removing_replicas.is_empty());

    let change = [&[9; 16][..], &[0; 4], &[0, 0, 1, 0, 0]].concat();
    let expected = PartitionChange {
        leader: LeaderChange::NoLeader,
        ..PartitionChange::of(TopicId::from_bytes([9; 16]), PartitionIndex(0))
    };
    assert_eq!(decode_batch(&batch_of(6, 0, &change)), Ok(vec![MetadataRecord::PartitionChange(expected)]));
}

#[test]
fn a_quota_of_version_0_is_of_no_address() {
    let quota = [&[2, 0, 0, 0, 1, b'u', 0, 1, 1][..], &1024_f64.to_bits().to_be_bytes()].concat();
    let entity = QuotaEntity { user: Some(QuotaName::Named("u".to_owned())), ..QuotaEntity::default() };
    let (key, limit) = (QuotaKey::ProducerByteRate, Some(QuotaLimit::of(1024.0)));
    let expected = MetadataRecord::ClientQuota { entity, key, limit };
    assert_eq!(decode_batch(&batch_of(13, 0, &quota)), Ok(vec![expected]));
}
