use super::*;
use crate::metadata::record::LeaderChange;
use storage::ids::{BrokerEpoch, LeaderEpoch, PartitionEpoch};

pub(crate) fn registration(broker_id: i32, broker_epoch: i64) -> MetadataRecord {
    MetadataRecord::RegisterBroker(BrokerRegistration {
        broker_id: BrokerId(broker_id),
        broker_epoch: BrokerEpoch(broker_epoch),
        incarnation: uuid::Uuid::from_u128(7),
        endpoints: Vec::new(),
        rack: None,
        directory_id: uuid::Uuid::nil(),
        is_fenced: false,
        is_shutting_down: false,
    })
}

pub(crate) fn topic(name: &str, id: u8, partitions: i32, leader: i32) -> Vec<MetadataRecord> {
    let topic_id = TopicId::from_bytes([id; 16]);
    let mut records =
        vec![MetadataRecord::Topic { name: name.to_owned(), topic_id, has_default_replication_factor: true }];
    records.extend((0..partitions).map(|partition| {
        MetadataRecord::Partition(PartitionRecord {
            topic_id,
            partition: PartitionIndex(partition),
            replicas: vec![BrokerId(leader)],
            isr: vec![BrokerId(leader)],
            leader: Some(BrokerId(leader)),
            leader_epoch: LeaderEpoch(0),
            partition_epoch: PartitionEpoch(0),
            eligible_leader_replicas: Vec::new(),
            last_known_eligible_leader_replicas: Vec::new(),
            adding_replicas: Vec::new(),
            removing_replicas: Vec::new(),
        })
    }));
    records
}

fn config(resource: ConfigResource, key: &str, value: Option<&str>) -> MetadataRecord {
    MetadataRecord::Config { resource, key: key.to_owned(), value: value.map(str::to_owned) }
}

fn epochs(image: &MetadataImage, topic: &str, partition: i32) -> (i32, i32) {
    let partition = image.partition(topic, PartitionIndex(partition)).expect("the partition exists");
    (partition.leader_epoch.0, partition.partition_epoch.0)
}

#[test]
fn a_new_run_of_a_broker_begins_a_leader_epoch_for_what_it_leads_and_only_that() {
    let image = MetadataImage::default()
        .apply(1, &[registration(1, 1), registration(2, 1)])
        .apply(2, &topic("mine", 1, 2, 1))
        .apply(3, &topic("theirs", 2, 1, 2))
        .apply(4, &[registration(1, 4)]);
    assert_eq!(epochs(&image, "mine", 0), (1, 1));
    assert_eq!(epochs(&image, "mine", 1), (1, 1));
    assert_eq!(epochs(&image, "theirs", 0), (0, 0));
}

#[test]
fn a_registration_with_the_known_broker_epoch_begins_no_leader_epoch() {
    let image = MetadataImage::default().apply(1, &[registration(1, 1)]).apply(2, &topic("a", 1, 1, 1));
    assert_eq!(epochs(&image.apply(3, &[registration(1, 1)]), "a", 0), (0, 0));
}

#[test]
fn an_older_image_does_not_see_what_is_applied_to_its_copy() {
    let old = MetadataImage::default().apply(1, &topic("a", 1, 1, 1));
    let copy = old.clone();
    let new = old.apply(2, &[registration(1, 9)]).apply(3, &topic("b", 2, 1, 1));
    assert_eq!(old, copy);
    assert_eq!((old.topic_count(), new.topic_count()), (1, 2));
    assert_eq!((epochs(&old, "a", 0), epochs(&new, "a", 0)), ((0, 0), (1, 1)));
}

#[test]
fn a_removed_topic_takes_its_partitions_and_its_configuration_along() {
    let resource = ConfigResource::Topic("a".to_owned());
    let image = MetadataImage::default()
        .apply(1, &topic("a", 1, 3, 1))
        .apply(2, &[config(resource.clone(), "retention.ms", Some("5"))]);
    assert_eq!((image.partition_count(), image.configs_of(&resource).len()), (3, 1));
    let image = image.apply(3, &[MetadataRecord::RemoveTopic { topic_id: TopicId::from_bytes([1; 16]) }]);
    assert_eq!((image.topic_count(), image.partition_count(), image.configs_of(&resource).len()), (0, 0, 0));
    assert!(image.topic_by_id(TopicId::from_bytes([1; 16])).is_none());
}

#[test]
fn a_partition_change_replaces_what_it_names_and_counts_epochs() {
    let image = MetadataImage::default().apply(1, &topic("a", 1, 1, 1));
    let mut change = PartitionChange {
        replicas: Some(vec![BrokerId(1), BrokerId(2)]),
        isr: Some(vec![BrokerId(1), BrokerId(2)]),
        ..PartitionChange::of(TopicId::from_bytes([1; 16]), PartitionIndex(0))
    };
    let image = image.apply(2, &[MetadataRecord::PartitionChange(change.clone())]);
    assert_eq!(epochs(&image, "a", 0), (0, 1));
    change.replicas = None;
    change.isr = None;
    change.leader = LeaderChange::Elected(BrokerId(2));
    let image = image.apply(3, &[MetadataRecord::PartitionChange(change)]);
    assert_eq!(epochs(&image, "a", 0), (1, 2));
    assert_eq!(
        image.partition("a", PartitionIndex(0)).and_then(|partition| partition.leader),
        Some(BrokerId(2))
    );
}

#[test]
fn the_records_of_an_image_make_the_same_image() {
    let image = MetadataImage::default()
        .apply(1, &[MetadataRecord::ClusterId { id: "cluster".to_owned() }, registration(1, 1)])
        .apply(2, &topic("a", 1, 3, 1))
        .apply(
            3,
            &[
                registration(1, 3),
                MetadataRecord::FeatureLevel { name: "metadata.version".to_owned(), level: 30 },
            ],
        )
        .apply(
            4,
            &[
                config(ConfigResource::AllBrokers, "k", Some("v")),
                config(ConfigResource::Topic("a".to_owned()), "k", Some("w")),
            ],
        )
        .apply(
            9,
            &[MetadataRecord::ProducerIdBlock {
                broker_id: BrokerId(1),
                broker_epoch: BrokerEpoch(3),
                next_producer_id: ProducerId(1000),
            }],
        )
        .apply(
            10,
            &[state(3, true, false), MetadataRecord::FixReplicas { topic_id: TopicId::from_bytes([1; 16]) }],
        );
    assert_eq!(MetadataImage::default().apply(10, &image.to_records()), image);
}

#[test]
fn unregistering_an_older_run_leaves_the_newer_registered() {
    let image = MetadataImage::default().apply(1, &[registration(1, 5)]);
    let leave =
        |epoch| MetadataRecord::UnregisterBroker { broker_id: BrokerId(1), broker_epoch: BrokerEpoch(epoch) };
    assert!(image.apply(2, &[leave(4)]).broker(BrokerId(1)).is_some());
    assert!(image.apply(2, &[leave(5)]).broker(BrokerId(1)).is_none());
}

#[test]
fn topics_are_walked_by_name_from_any_name() {
    let image = ["b", "a", "c"].iter().zip(1u8..).fold(MetadataImage::default(), |image, (name, id)| {
        image.apply(i64::from(id), &topic(name, id, 1, 1))
    });
    let names =
        |topics: Vec<&Arc<TopicImage>>| topics.iter().map(|topic| topic.name.to_string()).collect::<Vec<_>>();
    assert_eq!(names(image.topics().collect()), ["a", "b", "c"]);
    assert_eq!(names(image.topics_from("aa").collect()), ["b", "c"]);
}

fn state(broker_epoch: i64, is_fenced: bool, is_shutting_down: bool) -> MetadataRecord {
    let (broker_id, broker_epoch) = (BrokerId(1), BrokerEpoch(broker_epoch));
    MetadataRecord::BrokerState { broker_id, broker_epoch, is_fenced, is_shutting_down }
}

#[test]
fn the_state_of_a_broker_changes_for_the_run_that_is_named_and_begins_no_leader_epoch() {
    let image = MetadataImage::default().apply(1, &[registration(1, 5)]).apply(2, &topic("a", 1, 1, 1));
    let other = image.apply(3, &[state(4, true, false)]);
    assert!(other.is_active(BrokerId(1)));
    let fenced = image.apply(3, &[state(5, true, false)]);
    assert!(!fenced.is_active(BrokerId(1)));
    assert_eq!(epochs(&fenced, "a", 0), (0, 0));
    assert!(image.is_active(BrokerId(1)), "an older image stays as it was");
}

#[test]
fn the_controller_is_a_broker_that_goes_on_or_at_least_is_not_fenced() {
    let image = MetadataImage::default().apply(1, &[registration(1, 5), registration(2, 6)]);
    assert_eq!(image.controller_id(), Some(BrokerId(1)));
    assert_eq!(image.apply(2, &[state(5, false, true)]).controller_id(), Some(BrokerId(2)));
    assert_eq!(image.apply(2, &[state(5, true, false)]).controller_id(), Some(BrokerId(2)));
    let alone = MetadataImage::default().apply(1, &[registration(1, 5)]);
    assert_eq!(alone.apply(2, &[state(5, false, true)]).controller_id(), Some(BrokerId(1)));
    assert_eq!(alone.apply(2, &[state(5, true, false)]).controller_id(), None);
}
