//! Decisions that concern more partitions than one batch of records may change: they are made again until all follow.

use super::{Controller, named};
use crate::controller::brokers::{RegisterBroker, RegisterBrokerError};
use crate::controller::fencing::{BrokerState, BrokerStateChange, ChangeBrokerState};
use crate::controller::growth::{GrowReplicas, GrownReplicas};
use crate::controller::topics::NewTopic;
use crate::controller::{ControllerReply, ControllerRequest, RECORDS_PER_REQUEST_MAX, balance};
use crate::metadata::image::{MetadataImage, PartitionImage};
use crate::metadata::record::{MetadataRecord, PartitionChange};
use std::collections::BTreeMap;
use std::sync::Arc;
use storage::ids::{BrokerId, PartitionIndex};

const ONE: BrokerId = BrokerId(1);

/// Node 1 leads 12,000 partitions and follows in 4,000.
fn many_partitions() -> Controller {
    let mut controller = Controller::new(2);
    for (name, replicas) in [("a", [1, 2]), ("b", [1, 2]), ("c", [1, 2]), ("d", [2, 1])] {
        let replicas: Vec<_> = replicas.map(BrokerId).into();
        let assignments = (0..4000).map(|index| (PartitionIndex(index), replicas.clone())).collect();
        let topic = NewTopic { assignments, ..named(name) };
        controller.create(topic).expect("nothing stands against it");
    }
    controller
}

fn partitions(image: &MetadataImage) -> impl Iterator<Item = &Arc<PartitionImage>> {
    image.topics().flat_map(|topic| &topic.partitions)
}

fn fence(controller: &mut Controller) -> BrokerStateChange {
    let broker_epoch = controller.image.broker(ONE).expect("it is registered").broker_epoch;
    let request = ChangeBrokerState { broker_id: ONE, broker_epoch, to: BrokerState::Fenced };
    match controller.ask(&ControllerRequest::ChangeBrokerState(request)) {
        ControllerReply::ChangeBrokerState(Ok(change)) => change,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_broker_of_many_partitions_is_fenced_in_steps_and_leaders_move_first() {
    let mut controller = many_partitions();
    let first = fence(&mut controller);
    assert_eq!(first, BrokerStateChange { is_complete: false, leads: 12_000 - RECORDS_PER_REQUEST_MAX });
    assert!(!controller.image.is_active(ONE), "it is fenced with the first step");
    let follows = partitions(&controller.image).filter(|partition| partition.leader == Some(BrokerId(2)));
    let in_isr = follows.filter(|partition| partition.isr.contains(&ONE)).count();
    assert_eq!(in_isr, 4000, "partitions that others lead come last");
    assert_eq!(fence(&mut controller), BrokerStateChange { is_complete: true, leads: 0 });
    assert!(partitions(&controller.image).all(|partition| *partition.isr == [BrokerId(2)]));
}

#[test]
fn a_run_is_registered_once_the_run_before_is_fenced_everywhere() {
    let mut controller = many_partitions();
    let request = RegisterBroker {
        broker_id: ONE,
        incarnation: uuid::Uuid::from_u128(99),
        endpoints: Vec::new(),
        rack: None,
        directory_id: uuid::Uuid::nil(),
        starts_fenced: true,
        was_clean: true,
    };
    let request = ControllerRequest::RegisterBroker(request);
    let unfinished = Err(RegisterBrokerError::FencingUnfinished { broker_id: ONE });
    assert_eq!(controller.ask(&request), ControllerReply::RegisterBroker(unfinished));
    assert!(matches!(controller.ask(&request), ControllerReply::RegisterBroker(Ok(_))));
    assert!(partitions(&controller.image).all(|partition| *partition.isr == [BrokerId(2)]));
}

#[test]
fn replicas_grow_and_leaders_move_a_batch_at_a_time() {
    let mut controller = Controller::new(1);
    for name in ["a", "b"] {
        let topic = NewTopic { partitions: Some(8000), ..named(name) };
        controller.create(topic).expect("nothing stands against it");
    }
    controller.register(2, 20);
    let request = GrowReplicas { default_replication_factor: 3, replication_factors: BTreeMap::new() };
    let request = ControllerRequest::GrowReplicas(request);
    let mut grow = || controller.ask(&request);
    let grown = |grown, is_complete| ControllerReply::GrowReplicas(GrownReplicas { grown, is_complete });
    assert_eq!(grow(), grown(RECORDS_PER_REQUEST_MAX, false));
    assert_eq!(grow(), grown(16_000 - RECORDS_PER_REQUEST_MAX, true));
    assert_eq!(grow(), grown(0, true));

    let mut controller = many_partitions();
    while !fence(&mut controller).is_complete {}
    let topics: Vec<_> = controller.image.topics().cloned().collect();
    let joined = |partition: &PartitionImage| PartitionChange {
        isr: Some(vec![BrokerId(2), ONE]),
        ..PartitionChange::of(topics[0].id, partition.index)
    };
    controller.register(1, 30);
    let records: Vec<_> = topics[0]
        .partitions
        .iter()
        .map(|partition| MetadataRecord::PartitionChange(joined(partition)))
        .collect();
    controller.image = controller.image.apply(controller.image.offset() + 1, &records);
    let moved = balance::ELECTIONS_PER_BALANCE_MAX;
    for is_complete in [false, false, false, true] {
        let expected = ControllerReply::BalanceLeaders(balance::BalancedLeaders { moved, is_complete });
        assert_eq!(controller.ask(&ControllerRequest::BalanceLeaders), expected);
    }
}
