use super::*;
use crate::controller::configs::ConfigRules;
use crate::controller::mutations::MutationAllowances;
use crate::metadata::record::{BrokerRegistration, MetadataRecord};
use std::collections::BTreeSet;
use std::time::Duration;
use storage::ids::BrokerEpoch;

fn rules() -> ConfigRules {
    ConfigRules {
        validate: Box::new(|_, _, _| Ok(())),
        default_list: |_, _| None,
        default_min_insync_replicas: 1,
    }
}

/// Brokers numbered from 1 on these racks; those in `fenced` are fenced.
fn brokers(racks: &[Option<&str>], fenced: &[i32]) -> MetadataImage {
    let registration = |(id, rack): (i32, &Option<&str>)| {
        MetadataRecord::RegisterBroker(BrokerRegistration {
            broker_id: BrokerId(id),
            broker_epoch: BrokerEpoch(1),
            incarnation: uuid::Uuid::from_u128(7),
            endpoints: Vec::new(),
            rack: rack.map(str::to_owned),
            directory_id: uuid::Uuid::nil(),
            is_fenced: fenced.contains(&id),
            is_shutting_down: false,
        })
    };
    let records: Vec<_> = (1..).zip(racks).map(registration).collect();
    MetadataImage::default().apply(1, &records)
}

fn place(
    image: &MetadataImage,
    partitions: usize,
    replicas: usize,
) -> Result<Vec<Vec<BrokerId>>, PlacementError> {
    let mut state = 1_u128;
    let mut random = || {
        state =
            state.wrapping_mul(0x2d99_787a_926d_46f6_9e37_79b9_7f4a_7c15).wrapping_add(0x1234_5678_9abc_def1);
        state
    };
    let mut env = Env {
        controller: BrokerId(1),
        random: &mut random,
        config_rules: &rules(),
        allowances: &mut MutationAllowances::new(Duration::ZERO),
        now: Duration::ZERO,
    };
    let mut placer = Placer::new(&mut env, image)?;
    (0..partitions).map(|_| placer.place(replicas, &mut env)).collect()
}

#[test]
fn replicas_of_a_partition_are_on_different_brokers_and_leaders_are_even() {
    let image = brokers(&[None; 5], &[]);
    let placed = place(&image, 50, 3).expect("there are enough brokers");
    let mut leads = BTreeMap::new();
    let mut holds = BTreeMap::new();
    for replicas in &placed {
        assert_eq!(replicas.iter().collect::<BTreeSet<_>>().len(), 3, "{replicas:?}");
        *leads.entry(replicas[0]).or_insert(0) += 1;
        for replica in replicas {
            *holds.entry(*replica).or_insert(0) += 1;
        }
    }
    assert_eq!(leads.into_values().collect::<Vec<_>>(), [10; 5]);
    assert_eq!(holds.into_values().collect::<Vec<_>>(), [30; 5]);
}

#[test]
fn a_partition_is_on_as_many_racks_as_it_has_replicas_or_there_are() {
    let racks = [Some("a"), Some("a"), Some("b"), Some("b"), Some("c"), None];
    let image = brokers(&racks, &[]);
    let rack = |broker: &BrokerId| image.broker(*broker).and_then(|broker| broker.rack.clone());
    for (replicas, expected) in [(1, 1), (2, 2), (4, 4), (6, 4)] {
        for placed in place(&image, 24, replicas).expect("there are enough brokers") {
            let brokers: BTreeSet<_> = placed.iter().collect();
            let racks: BTreeSet<_> = placed.iter().map(rack).collect();
            assert_eq!((brokers.len(), racks.len()), (replicas, expected), "{placed:?}");
        }
    }
}

#[test]
fn leaders_are_active_and_other_brokers_come_last() {
    let image = brokers(&[None; 4], &[2, 3]);
    for replicas in place(&image, 20, 3).expect("there are enough brokers") {
        let fenced: Vec<_> = replicas.iter().map(|broker| [2, 3].contains(&broker.0)).collect();
        assert_eq!(fenced, [false, false, true], "{replicas:?}");
    }
}

#[test]
fn what_cannot_be_placed_is_refused() {
    let two = brokers(&[None; 2], &[]);
    let too_few = PlacementError::TooFewBrokers { replication_factor: 3, brokers: 2 };
    assert_eq!(place(&two, 1, 3), Err(too_few));
    assert_eq!(place(&brokers(&[None; 2], &[1, 2]), 1, 1), Err(PlacementError::NoneActive));
    assert_eq!(place(&MetadataImage::default(), 1, 1), Err(PlacementError::NoneActive));
}
