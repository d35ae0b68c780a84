mod limits;
mod mutations;
mod random;
mod transcript;

use super::brokers::RegisterBroker;
use super::configs::{
    AlterConfigError, AlterConfigs, AlterResource, ConfigChange, ConfigOperation, ConfigRules, KeyChange,
};
use super::mutations::MutationAllowances;
use super::placement::{InvalidAssignment, PlacementError};
use super::producer_ids::AllocateProducerIds;
use super::topics::{
    CreateTopicError, CreateTopics, CreatedTopic, DeleteTopicError, DeleteTopics, InvalidTopicName, NewTopic,
    PARTITIONS_MAX, TopicSelector,
};
use super::*;
use crate::metadata::record::ConfigResource;
use std::collections::BTreeMap;
use storage::ids::{BrokerEpoch, BrokerId, PartitionIndex, ProducerId, TopicId};

/// Accepts every key but `bad`; `cleanup.policy` is the only list.
fn rules() -> ConfigRules {
    ConfigRules {
        validate: Box::new(|_, configs, _| match configs.contains_key("bad") {
            true => Err(AlterConfigError::InvalidConfig { error: "bad is no key".to_owned() }),
            false => Ok(()),
        }),
        default_list: |_, key| (key == "cleanup.policy").then(|| vec!["delete".to_owned()]),
        default_min_insync_replicas: 2,
    }
}

/// A controller whose image is what it decided so far.
struct Controller {
    image: MetadataImage,
    random: u128,
    rules: ConfigRules,
    allowances: MutationAllowances,
    now: Duration,
}

impl Controller {
    /// A cluster of `brokers` registered brokers, numbered from 1.
    fn new(brokers: i32) -> Self {
        let mut controller = Self {
            image: MetadataImage::default(),
            random: 0,
            rules: rules(),
            allowances: MutationAllowances::new(Duration::from_secs(11)),
            now: Duration::from_secs(1000),
        };
        controller.ask(&ControllerRequest::FormCluster);
        for id in 1..=brokers {
            controller.register(id, u128::from(id.unsigned_abs()));
        }
        controller
    }

    fn ask(&mut self, request: &ControllerRequest) -> ControllerReply {
        let random = &mut self.random;
        let mut next = || {
            *random = random
                .wrapping_mul(0x2d99_787a_926d_46f6_9e37_79b9_7f4a_7c15)
                .wrapping_add(0x1234_5678_9abc_def1);
            *random
        };
        let (controller, config_rules, allowances) = (BrokerId(1), &self.rules, &mut self.allowances);
        let mut env = Env { controller, random: &mut next, config_rules, allowances, now: self.now };
        let decision = handle(request, &mut env, &self.image);
        self.image = self.image.apply(self.image.offset() + 1, &decision.records);
        decision.reply
    }

    fn register(&mut self, id: i32, incarnation: u128) -> BrokerEpoch {
        let request = RegisterBroker {
            broker_id: BrokerId(id),
            incarnation: uuid::Uuid::from_u128(incarnation),
            endpoints: Vec::new(),
            rack: None,
            directory_id: uuid::Uuid::nil(),
            starts_fenced: false,
            was_clean: true,
        };
        match self.ask(&ControllerRequest::RegisterBroker(request)) {
            ControllerReply::RegisterBroker(Ok(epoch)) => epoch,
            other => panic!("{other:?}"),
        }
    }

    fn create_all(&mut self, topics: Vec<NewTopic>) -> Vec<Result<CreatedTopic, CreateTopicError>> {
        let request = CreateTopics {
            topics,
            validate_only: false,
            default_partitions: 2,
            default_replication_factor: 3,
        };
        match self.ask(&ControllerRequest::CreateTopics(request)) {
            ControllerReply::CreateTopics(results) => results.into_iter().map(|topic| topic.result).collect(),
            other => panic!("{other:?}"),
        }
    }

    fn create(&mut self, topic: NewTopic) -> Result<CreatedTopic, CreateTopicError> {
        self.create_all(vec![topic]).remove(0)
    }

    fn delete(&mut self, topics: Vec<TopicSelector>) -> Vec<Result<(String, TopicId), DeleteTopicError>> {
        match self.ask(&ControllerRequest::DeleteTopics(DeleteTopics { topics })) {
            ControllerReply::DeleteTopics(results) => results.into_iter().map(|topic| topic.result).collect(),
            other => panic!("{other:?}"),
        }
    }

    fn alter(&mut self, resource: ConfigResource, change: ConfigChange) -> Result<(), AlterConfigError> {
        let resources = vec![AlterResource { resource, change }];
        match self.ask(&ControllerRequest::AlterConfigs(AlterConfigs { resources, validate_only: false })) {
            ControllerReply::AlterConfigs(mut results) => results.remove(0).result,
            other => panic!("{other:?}"),
        }
    }
}

fn named(name: &str) -> NewTopic {
    NewTopic { name: name.to_owned(), ..NewTopic::default() }
}

fn change(key: &str, operation: ConfigOperation, value: Option<&str>) -> ConfigChange {
    ConfigChange::Incremental(vec![KeyChange {
        key: key.to_owned(),
        operation,
        value: value.map(str::to_owned),
    }])
}

#[test]
fn a_cluster_is_formed_once_with_an_id_of_22_characters() {
    let mut controller = Controller::new(0);
    let id = controller.image.cluster_id().expect("the cluster was formed").to_owned();
    assert_eq!(id.len(), 22);
    assert_eq!(controller.image.features()[features::METADATA_VERSION], features::METADATA_VERSION_LEVEL);
    controller.ask(&ControllerRequest::FormCluster);
    assert_eq!(controller.image.cluster_id(), Some(id.as_str()));
}

#[test]
fn a_cluster_of_an_earlier_version_gets_the_levels_that_have_come_since() {
    let mut controller = Controller::new(1);
    let before = controller.image.cluster_id().map(str::to_owned);
    let earlier = MetadataRecord::FeatureLevel { name: features::GROUP_VERSION.to_owned(), level: 0 };
    controller.image = controller.image.apply(controller.image.offset() + 1, &[earlier]);
    assert!(!controller.image.features().contains_key(features::GROUP_VERSION));
    controller.ask(&ControllerRequest::FormCluster);
    assert_eq!(controller.image.features()[features::GROUP_VERSION], features::GROUP_VERSION_LEVEL);
    assert_eq!(controller.image.cluster_id().map(str::to_owned), before);
}

#[test]
fn a_group_has_settings_before_its_first_member_and_not_every_group_may() {
    let mut controller = Controller::new(1);
    let set = || change("consumer.session.timeout.ms", ConfigOperation::Set, Some("50000"));
    let group = |number: usize| ConfigResource::Group(format!("g{number}"));
    let records: Vec<_> = (1..super::configs::CONFIGURED_GROUPS_MAX)
        .map(|number| MetadataRecord::Config {
            resource: group(number),
            key: "k".into(),
            value: Some("v".into()),
        })
        .collect();
    controller.image = controller.image.apply(controller.image.offset() + 1, &records);
    assert_eq!(controller.alter(group(0), set()), Ok(()));
    assert_eq!(controller.image.configs_of(&group(0))["consumer.session.timeout.ms"], "50000");
    assert_eq!(
        controller.alter(ConfigResource::Group("one too many".into()), set()),
        Err(AlterConfigError::TooManyGroups)
    );
    assert_eq!(controller.alter(group(1), set()), Ok(()), "one that has some already may change them");
}

#[test]
fn every_run_of_a_broker_gets_a_higher_epoch_and_a_repeated_request_the_same() {
    let mut controller = Controller::new(0);
    let first = controller.register(1, 10);
    assert_eq!(controller.register(1, 10), first);
    let second = controller.register(1, 11);
    assert!(second > first);
    assert!(controller.register(2, 12) > second);
}

#[test]
fn a_topic_takes_the_defaults_and_no_more_replicas_than_there_are_brokers() {
    let created = Controller::new(1).create(named("a")).expect("nothing stands against it");
    assert_eq!((created.partitions, created.replication_factor), (2, 1));
    let created = Controller::new(5).create(named("a")).expect("nothing stands against it");
    assert_eq!((created.partitions, created.replication_factor), (2, 3));
}

#[test]
fn a_created_topic_is_led_by_its_first_replica_with_everyone_in_sync() {
    let mut controller = Controller::new(3);
    let topic = NewTopic { partitions: Some(6), replication_factor: Some(2), ..named("a") };
    let created = controller.create(topic).expect("nothing stands against it");
    let topic = controller.image.topic_by_name("a").expect("it was created");
    assert_eq!(topic.id, created.topic_id);
    let mut led = BTreeMap::<BrokerId, usize>::new();
    for partition in &topic.partitions {
        assert_eq!((partition.replicas.len(), &partition.isr), (2, &partition.replicas));
        assert_eq!(partition.leader, partition.replicas.first().copied());
        assert_ne!(partition.replicas[0], partition.replicas[1]);
        *led.entry(partition.replicas[0]).or_default() += 1;
    }
    assert_eq!(led.into_values().collect::<Vec<_>>(), [2, 2, 2]);
}

#[test]
fn numbers_that_cannot_be_are_refused() {
    let mut controller = Controller::new(1);
    let mut create = |partitions, replication_factor| {
        controller
            .create(NewTopic { partitions, replication_factor, ..named("a") })
            .expect_err("it must be refused")
    };
    assert_eq!(create(Some(0), None), CreateTopicError::InvalidPartitions);
    assert_eq!(create(Some(-2), None), CreateTopicError::InvalidPartitions);
    assert_eq!(create(None, Some(0)), CreateTopicError::InvalidReplicationFactor);
    assert_eq!(
        create(None, Some(2)),
        CreateTopicError::NotPlaced {
            replication_factor: 2,
            reason: PlacementError::TooFewBrokers { replication_factor: 2, brokers: 1 },
        }
    );
    assert_eq!(create(Some(10_000), None), CreateTopicError::RequestTooLarge);
    assert_eq!(create(Some(i32::MAX), None), CreateTopicError::RequestTooLarge);
}

#[test]
fn a_request_with_too_many_partitions_creates_none_of_its_topics() {
    let mut controller = Controller::new(1);
    let large = NewTopic { partitions: Some(9_999), ..named("large") };
    assert_eq!(
        controller.create_all(vec![named("small"), large.clone()]),
        [Err(CreateTopicError::RequestTooLarge), Err(CreateTopicError::RequestTooLarge)]
    );
    assert_eq!(controller.image.topic_count(), 0);
    assert!(controller.create(large).is_ok());
}

#[test]
fn a_cluster_takes_no_more_partitions_than_its_limit() {
    let mut controller = Controller::new(1);
    for topic in 0..PARTITIONS_MAX / 8_000 {
        let topic = NewTopic { partitions: Some(8_000), ..named(&format!("t{topic}")) };
        controller.create(topic).expect("there is room");
    }
    assert_eq!(controller.create(named("one-more")), Err(CreateTopicError::TooManyPartitions));
}

#[test]
fn names_that_no_topic_may_have_are_refused() {
    let mut controller = Controller::new(1);
    let mut create = |name: &str| controller.create(named(name)).expect_err("it must be refused");
    assert_eq!(create(""), InvalidTopicName::Empty.into());
    assert_eq!(create("."), InvalidTopicName::Dots(".".to_owned()).into());
    assert_eq!(create("a/b"), InvalidTopicName::IllegalCharacter("a/b".to_owned()).into());
    let long = "x".repeat(250);
    assert_eq!(create(&long), InvalidTopicName::TooLong(long.clone()).into());
    assert_eq!(create("__cluster_metadata"), CreateTopicError::MetadataTopic);
    assert!(controller.create(named(&"x".repeat(249))).is_ok());
}

#[test]
fn a_name_that_is_taken_or_collides_is_refused() {
    let mut controller = Controller::new(1);
    for name in ["a.b_c", "a-b", "ab"] {
        controller.create(named(name)).expect("nothing stands against it");
    }
    assert_eq!(
        controller.create(named("a-b")),
        Err(CreateTopicError::AlreadyExists { name: "a-b".to_owned() })
    );
    let collision =
        |name: &str| Err(CreateTopicError::Collides { name: name.to_owned(), existing: "a.b_c".to_owned() });
    for name in ["a_b_c", "a.b.c", "a_b.c"] {
        assert_eq!(controller.create(named(name)), collision(name));
    }
    assert!(controller.create(named("a.b-c")).is_ok());
}

#[test]
fn a_name_twice_in_a_request_is_refused_once_and_leaves_the_others() {
    let results = Controller::new(1).create_all(vec![named("a"), named("b"), named("a")]);
    assert_eq!(results.len(), 2);
    assert_eq!(results[0], Err(CreateTopicError::DuplicateName));
    assert!(results[1].is_ok());
}

#[test]
fn a_validated_topic_is_not_created() {
    let mut controller = Controller::new(1);
    let topics = vec![named("a")];
    let request =
        CreateTopics { topics, validate_only: true, default_partitions: 1, default_replication_factor: 1 };
    let reply = controller.ask(&ControllerRequest::CreateTopics(request));
    assert!(matches!(reply, ControllerReply::CreateTopics(results) if results[0].result.is_ok()));
    assert_eq!(controller.image.topic_count(), 0);
}

#[test]
fn chosen_replicas_are_taken_as_they_are_or_refused() {
    let mut controller = Controller::new(3);
    let mut create = |assignments: &[(i32, &[i32])]| {
        let assignments = assignments
            .iter()
            .map(|(partition, brokers)| {
                (PartitionIndex(*partition), brokers.iter().copied().map(BrokerId).collect())
            })
            .collect();
        controller.create(NewTopic { assignments, ..named("a") })
    };
    let refused = |error: InvalidAssignment| Err(CreateTopicError::InvalidAssignment(error));
    assert_eq!(create(&[(0, &[])]), refused(InvalidAssignment::Empty));
    assert_eq!(create(&[(0, &[9])]), refused(InvalidAssignment::UnknownBroker { broker: BrokerId(9) }));
    assert_eq!(create(&[(0, &[1, 1])]), refused(InvalidAssignment::DuplicateBroker { broker: BrokerId(1) }));
    assert_eq!(create(&[(0, &[1]), (2, &[1])]), refused(InvalidAssignment::NotConsecutive));
    assert_eq!(
        create(&[(0, &[1]), (0, &[1])]),
        refused(InvalidAssignment::DuplicatePartition { partition: 0 })
    );
    assert_eq!(
        create(&[(0, &[1]), (1, &[1, 2])]),
        refused(InvalidAssignment::Uneven { found: 2, expected: 1 })
    );
    let created = create(&[(1, &[2, 3]), (0, &[1, 2])]).expect("it can be");
    assert_eq!((created.partitions, created.replication_factor), (2, 2));
    let leader =
        |index| controller.image.partition("a", PartitionIndex(index)).and_then(|partition| partition.leader);
    assert_eq!((leader(0), leader(1)), (Some(BrokerId(1)), Some(BrokerId(2))));
}

#[test]
fn chosen_replicas_allow_no_numbers_beside_them() {
    let mut controller = Controller::new(1);
    let topic = NewTopic { assignments: vec![(PartitionIndex(0), vec![BrokerId(1)])], ..named("a") };
    let with_factor = NewTopic { replication_factor: Some(1), ..topic.clone() };
    assert_eq!(controller.create(with_factor), Err(CreateTopicError::ReplicationFactorBesideAssignment));
    let with_partitions = NewTopic { partitions: Some(1), ..topic };
    assert_eq!(controller.create(with_partitions), Err(CreateTopicError::PartitionsBesideAssignment));
}

#[test]
fn settings_of_a_new_topic_are_checked_and_kept() {
    let mut controller = Controller::new(1);
    let with = |key: &str, value: Option<&str>| NewTopic {
        configs: BTreeMap::from([(key.to_owned(), value.map(str::to_owned))]),
        ..named("a")
    };
    let null = CreateTopicError::NullConfigs { keys: vec!["k".to_owned()] };
    assert_eq!(controller.create(with("k", None)), Err(null));
    assert!(matches!(controller.create(with("bad", Some("1"))), Err(CreateTopicError::InvalidConfig(_))));
    controller.create(with("k", Some("v"))).expect("nothing stands against it");
    assert_eq!(controller.image.configs_of(&ConfigResource::Topic("a".to_owned()))["k"], "v");
}

#[test]
fn topics_are_deleted_by_name_or_id_and_mistakes_leave_the_others() {
    let mut controller = Controller::new(1);
    let ids: Vec<TopicId> =
        ["a", "b", "c"].map(|name| controller.create(named(name)).expect("it can be").topic_id).to_vec();
    let name = |name: &str| TopicSelector::Name(name.to_owned());
    let results = controller.delete(vec![
        name("a"),
        name("a"),
        TopicSelector::Id(ids[1]),
        name("nope"),
        TopicSelector::Id(TopicId::ZERO),
        name("c"),
        TopicSelector::Id(ids[2]),
    ]);
    assert_eq!(
        results,
        [
            Err(DeleteTopicError::DuplicateName),
            Ok(("b".to_owned(), ids[1])),
            Err(DeleteTopicError::UnknownTopic),
            Err(DeleteTopicError::UnknownTopicId),
            Err(DeleteTopicError::NameOfGivenId),
            Err(DeleteTopicError::NameOfGivenId),
        ]
    );
    assert_eq!(controller.image.topics().map(|topic| topic.name.to_string()).collect::<Vec<_>>(), ["a", "c"]);
}

#[test]
fn keys_are_set_deleted_appended_and_subtracted() {
    let mut controller = Controller::new(1);
    controller.create(named("a")).expect("it can be");
    let topic = ConfigResource::Topic("a".to_owned());
    let steps = [
        (change("k", ConfigOperation::Set, Some("1")), "k", Some("1")),
        (change("k", ConfigOperation::Delete, None), "k", None),
        (change("absent", ConfigOperation::Delete, None), "absent", None),
        (
            change("cleanup.policy", ConfigOperation::Append, Some("compact")),
            "cleanup.policy",
            Some("delete,compact"),
        ),
        (
            change("cleanup.policy", ConfigOperation::Append, Some("compact")),
            "cleanup.policy",
            Some("delete,compact"),
        ),
        (
            change("cleanup.policy", ConfigOperation::Subtract, Some("delete")),
            "cleanup.policy",
            Some("compact"),
        ),
    ];
    for (change, key, expected) in steps {
        assert_eq!(controller.alter(topic.clone(), change), Ok(()));
        assert_eq!(controller.image.configs_of(&topic).get(key).map(String::as_str), expected);
    }
}

#[test]
fn the_older_request_replaces_all_keys() {
    let mut controller = Controller::new(1);
    controller
        .alter(ConfigResource::AllBrokers, change("old", ConfigOperation::Set, Some("1")))
        .expect("it can be");
    let all = BTreeMap::from([("new".to_owned(), "2".to_owned())]);
    controller.alter(ConfigResource::AllBrokers, ConfigChange::Replace(all.clone())).expect("it can be");
    assert_eq!(controller.image.configs_of(&ConfigResource::AllBrokers), &all);
}

#[test]
fn changes_that_cannot_be_are_refused_by_name() {
    let mut controller = Controller::new(1);
    controller.create(named("a")).expect("it can be");
    let topic = ConfigResource::Topic("a".to_owned());
    let twice = ConfigChange::Incremental(vec![
        KeyChange { key: "k".to_owned(), operation: ConfigOperation::Set, value: Some("1".to_owned()) },
        KeyChange { key: "k".to_owned(), operation: ConfigOperation::Delete, value: None },
    ]);
    assert_eq!(controller.alter(topic.clone(), twice), Err(AlterConfigError::DuplicateKey));
    let null = change("k", ConfigOperation::Set, None);
    assert_eq!(
        controller.alter(topic.clone(), null),
        Err(AlterConfigError::NullValue { keys: "k".to_owned() })
    );
    let append = controller.alter(topic.clone(), change("k", ConfigOperation::Append, Some("1")));
    assert_eq!(
        append,
        Err(AlterConfigError::NotAList { operation: ConfigOperation::Append, key: "k".to_owned() })
    );
    let bad = controller.alter(topic.clone(), change("bad", ConfigOperation::Set, Some("1")));
    assert!(matches!(bad, Err(AlterConfigError::InvalidConfig { .. })));
    let missing = ConfigResource::Topic("b".to_owned());
    let unknown = controller.alter(missing, change("k", ConfigOperation::Set, Some("1")));
    assert_eq!(unknown, Err(AlterConfigError::UnknownTopic { name: "b".to_owned() }));
    let unknown =
        controller.alter(ConfigResource::Broker(BrokerId(7)), change("k", ConfigOperation::Set, Some("1")));
    assert_eq!(unknown, Err(AlterConfigError::UnknownBroker { id: BrokerId(7) }));
    assert!(controller.image.configs_of(&topic).is_empty());
}

#[test]
fn a_resource_twice_in_a_request_is_refused_once() {
    let mut controller = Controller::new(1);
    let resource = AlterResource {
        resource: ConfigResource::AllBrokers,
        change: change("k", ConfigOperation::Set, Some("1")),
    };
    let request = AlterConfigs { resources: vec![resource.clone(), resource], validate_only: false };
    let reply = controller.ask(&ControllerRequest::AlterConfigs(request));
    let ControllerReply::AlterConfigs(results) = reply else { panic!("{reply:?}") };
    assert_eq!(
        results.iter().map(|result| &result.result).collect::<Vec<_>>(),
        [&Err(AlterConfigError::DuplicateResource)]
    );
}

#[test]
fn blocks_of_producer_ids_never_overlap_and_a_past_run_gets_none() {
    let mut controller = Controller::new(0);
    let old = controller.register(1, 1);
    let new = controller.register(1, 2);
    let mut allocate = |broker_epoch| {
        let request = AllocateProducerIds { broker_id: BrokerId(1), broker_epoch };
        match controller.ask(&ControllerRequest::AllocateProducerIds(request)) {
            ControllerReply::AllocateProducerIds(result) => result.map(|block| (block.first, block.count)),
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(allocate(new), Ok((ProducerId(0), 1000)));
    assert!(allocate(old).is_err());
    assert_eq!(allocate(new), Ok((ProducerId(1000), 1000)));
}
