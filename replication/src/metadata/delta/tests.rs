use super::*;
use crate::metadata::image::tests::{registration, topic};
use crate::metadata::record::MetadataRecord;

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
    assert!(MetadataDelta::between(&base(), &base().apply(3, &[registration(2, 3)]), ME).is_empty());
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
