use super::*;
use crate::metadata::image::tests::{registration, topic};
use crate::metadata::record::{LeaderChange, MetadataRecord, PartitionChange};
use storage::ids::BrokerEpoch;

const ME: BrokerId = BrokerId(1);

fn names(partitions: &[LocalPartition]) -> Vec<String> {
    partitions.iter().map(|partition| partition.topic_partition.to_string()).collect()
}

fn base() -> MetadataImage {
    MetadataImage::default()
        .apply(1, &[registration(1, 1), registration(2, 1)])
        .apply(2, &topic("a", 1, 2, 1))
}

#[test]
fn a_created_topic_begins_its_partitions_on_the_brokers_that_hold_them() {
    let new = base().apply(3, &topic("b", 2, 2, 1)).apply(4, &topic("c", 3, 1, 2));
    let delta = MetadataDelta::between(&base(), &new, ME);
    assert_eq!(names(&delta.leads), ["b-0", "b-1"]);
    assert!(delta.leads.iter().all(|partition| partition.is_new && partition.state.leader_epoch.0 == 0));
    assert!(delta.removed.is_empty() && delta.follows.is_empty());
}

#[test]
fn a_new_run_of_this_broker_leads_what_it_had_in_a_new_epoch() {
    let delta = MetadataDelta::between(&base(), &base().apply(3, &[registration(1, 3)]), ME);
    assert_eq!(names(&delta.leads), ["a-0", "a-1"]);
    assert!(delta.leads.iter().all(|partition| !partition.is_new && partition.state.leader_epoch.0 == 1));
}

#[test]
fn a_topic_created_again_under_its_name_is_removed_and_begun() {
    let new = base()
        .apply(3, &[MetadataRecord::RemoveTopic { topic_id: TopicId::from_bytes([1; 16]) }])
        .apply(4, &topic("a", 9, 1, 1));
    let delta = MetadataDelta::between(&base(), &new, ME);
    assert_eq!(
        (names(&delta.removed), names(&delta.leads)),
        (vec!["a-0".into(), "a-1".into()], vec!["a-0".into()])
    );
    assert_eq!(delta.leads[0].topic_id, TopicId::from_bytes([9; 16]));
}

#[test]
fn nothing_is_to_do_between_equal_images() {
    assert!(MetadataDelta::between(&base(), &base(), ME).is_empty());
}

#[test]
fn changed_settings_name_the_topics_and_brokers_they_concern() {
    let set =
        |resource| MetadataRecord::Config { resource, key: "k".to_owned(), value: Some("v".to_owned()) };
    let topic = base().apply(3, &[set(ConfigResource::Topic("a".to_owned()))]);
    let delta = MetadataDelta::between(&base(), &topic, ME);
    assert_eq!((delta.topic_configs, delta.broker_configs), (BTreeSet::from(["a".to_owned()]), false));
    let other = base().apply(3, &[set(ConfigResource::Broker(BrokerId(2)))]);
    assert!(MetadataDelta::between(&base(), &other, ME).is_empty());
    let all = base().apply(3, &[set(ConfigResource::AllBrokers)]);
    assert!(MetadataDelta::between(&base(), &all, ME).broker_configs);
}

fn broker_state(broker_id: i32, is_fenced: bool) -> MetadataRecord {
    let (broker_id, broker_epoch) = (BrokerId(broker_id), BrokerEpoch(1));
    MetadataRecord::BrokerState { broker_id, broker_epoch, is_fenced, is_shutting_down: false }
}

/// What changes for this broker when one record is applied to a partition that is on brokers 1 and 2, and led by 1.
fn after_change(records: &[MetadataRecord]) -> MetadataDelta {
    let two = vec![BrokerId(1), BrokerId(2)];
    let replicated = PartitionChange { replicas: Some(two.clone()), isr: Some(two), ..change() };
    let base = base().apply(3, &[MetadataRecord::PartitionChange(replicated)]);
    MetadataDelta::between(&base, &base.apply(4, records), ME)
}

fn change() -> PartitionChange {
    PartitionChange::of(TopicId::from_bytes([1; 16]), PartitionIndex(0))
}

#[test]
fn a_leader_learns_of_its_in_sync_and_eligible_replicas_and_goes_on_in_its_epoch() {
    let (isr, eligible) = (Some(vec![BrokerId(1)]), Some(vec![BrokerId(2)]));
    let shrunk = PartitionChange { isr, eligible_leader_replicas: eligible, ..change() };
    let delta = after_change(&[MetadataRecord::PartitionChange(shrunk)]);
    assert_eq!(names(&delta.replicas_changed), ["a-0"]);
    assert_eq!(*delta.replicas_changed[0].state.eligible_leader_replicas, [BrokerId(2)]);
    assert!(delta.leads.is_empty() && delta.follows.is_empty());
}

#[test]
fn a_leader_that_is_no_more_follows_the_next_one_or_nobody() {
    for leader in [LeaderChange::Elected(BrokerId(2)), LeaderChange::NoLeader] {
        let delta = after_change(&[MetadataRecord::PartitionChange(PartitionChange { leader, ..change() })]);
        assert_eq!((names(&delta.follows), delta.leads.len()), (vec!["a-0".to_owned()], 0));
    }
}

#[test]
fn brokers_that_are_fenced_register_or_leave_are_named_whoever_they_are() {
    let delta = after_change(&[broker_state(2, true)]);
    assert_eq!(delta.brokers, BTreeSet::from([BrokerId(2)]));
    let (broker_id, broker_epoch) = (BrokerId(2), BrokerEpoch(1));
    let delta =
        after_change(&[MetadataRecord::UnregisterBroker { broker_id, broker_epoch }, registration(3, 4)]);
    assert_eq!(delta.brokers, BTreeSet::from([BrokerId(2), BrokerId(3)]));
    assert!(after_change(&[broker_state(2, false)]).is_empty(), "it was not fenced before");
}

#[test]
fn a_new_run_of_a_leader_is_followed_in_a_new_epoch() {
    let leader = LeaderChange::Elected(BrokerId(2));
    let isr = Some(vec![BrokerId(1), BrokerId(2)]);
    let replicated = PartitionChange { leader, replicas: isr.clone(), isr, ..change() };
    let base = base().apply(3, &[MetadataRecord::PartitionChange(replicated)]);
    let delta = MetadataDelta::between(&base, &base.apply(4, &[registration(2, 9)]), ME);
    assert_eq!(names(&delta.follows), ["a-0"]);
    assert_eq!(delta.follows[0].state.leader_epoch.0, 2);
    assert_eq!(delta.brokers, BTreeSet::from([BrokerId(2)]));
}

#[test]
fn a_broker_that_a_reassignment_adds_begins_to_follow_and_one_that_it_removed_deletes() {
    let with = |replicas: &[i32]| {
        let replicas: Vec<_> = replicas.iter().copied().map(BrokerId).collect();
        base().apply(
            3,
            &[MetadataRecord::PartitionChange(PartitionChange {
                isr: Some(vec![BrokerId(2)]),
                leader: LeaderChange::Elected(BrokerId(2)),
                replicas: Some(replicas),
                ..change()
            })],
        )
    };
    let (without_me, with_me) = (with(&[2]), with(&[2, 1]));
    let added = MetadataDelta::between(&without_me, &with_me, ME);
    assert_eq!((names(&added.follows), added.follows[0].is_new), (vec!["a-0".to_owned()], true));
    let removed = MetadataDelta::between(&with_me, &without_me, ME);
    assert_eq!((names(&removed.removed), removed.follows.len()), (vec!["a-0".to_owned()], 0));
}
