//! Which brokers hold new replicas.
//!
//! Partitions go around the racks, and within a rack around its brokers, from random ones on: the first replica, which is
//! the preferred leader, moves on by one rack and one broker with each partition, and the others follow rack by rack, so that
//! leaders and replicas spread evenly and a partition has its replicas on as many racks as there are. A first replica is
//! active; brokers that are not come last among the others. Once each active broker has been first, the order is mixed, so
//! that not always the same brokers follow one another.
//!
//! Brokers without a rack are on one together, whose name is none. Source: `StripedReplicaPlacer.java`.

use crate::controller::Env;
use crate::metadata::image::MetadataImage;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use storage::ids::BrokerId;

/// Why a client's choice of replicas cannot be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
pub enum InvalidAssignment {
    /// A partition is named twice.
    #[error("Found multiple manual partition assignments for partition {partition}")]
    DuplicatePartition {
        /// The partition.
        partition: i32,
    },
    /// Partitions are not numbered from 0 without a gap.
    #[error("partitions should be a consecutive 0-based integer sequence")]
    NotConsecutive,
    /// A partition has no replica.
    #[error("The manual partition assignment includes an empty replica list.")]
    Empty,
    /// A replica is on no broker of this cluster.
    #[error("The manual partition assignment includes broker {broker}, but no such broker is registered.")]
    UnknownBroker {
        /// The broker.
        broker: BrokerId,
    },
    /// A partition has two replicas on one broker.
    #[error("The manual partition assignment includes the broker {broker} more than once.")]
    DuplicateBroker {
        /// The broker.
        broker: BrokerId,
    },
    /// Partitions have different numbers of replicas.
    #[error(
        "The manual partition assignment includes a partition with {found} replica(s), but this is not consistent \
         with previous partitions, which have {expected} replica(s)."
    )]
    Uneven {
        /// The number of replicas of this partition.
        found: usize,
        /// The number of replicas of the ones before.
        expected: usize,
    },
    /// No broker of a partition is active.
    #[error(
        "All brokers specified in the manual partition assignment for partition {partition} are fenced or in \
         controlled shutdown."
    )]
    NoneActive {
        /// The partition.
        partition: i32,
    },
}

/// Why replicas cannot be placed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
pub enum PlacementError {
    /// More replicas than brokers.
    #[error(
        "The target replication factor of {replication_factor} cannot be reached because only {brokers} broker(s) are \
         registered or some brokers have all their log directories cordoned."
    )]
    TooFewBrokers {
        /// The number that was asked for.
        replication_factor: usize,
        /// How many brokers there are.
        brokers: usize,
    },
    /// No broker is active.
    #[error("All brokers are currently fenced or in controlled shutdown.")]
    NoneActive,
}

/// Checks a client's choice for one partition; `expected` is how many replicas the others have.
pub(super) fn check_replicas(
    replicas: &[BrokerId],
    expected: Option<usize>,
    image: &MetadataImage,
) -> Result<(), InvalidAssignment> {
    if replicas.is_empty() {
        return Err(InvalidAssignment::Empty);
    }
    let mut sorted = replicas.to_vec();
    sorted.sort_unstable();
    let mut previous = None;
    for broker in sorted {
        if image.broker(broker).is_none() {
            return Err(InvalidAssignment::UnknownBroker { broker });
        }
        if previous.replace(broker) == Some(broker) {
            return Err(InvalidAssignment::DuplicateBroker { broker });
        }
    }
    match expected {
        Some(expected) if replicas.len() != expected => {
            Err(InvalidAssignment::Uneven { found: replicas.len(), expected })
        }
        Some(_) | None => Ok(()),
    }
}

/// Those of the replicas that are in-sync from the first: who is not active has nothing yet.
pub(super) fn first_isr(replicas: &[BrokerId], image: &MetadataImage) -> Vec<BrokerId> {
    replicas.iter().copied().filter(|broker| image.is_active(*broker)).collect()
}

/// Places partition after partition.
pub(super) struct Placer {
    racks: Vec<Rack>,
    brokers: usize,
    active: usize,
    /// How many partitions were placed since the order was mixed.
    round: usize,
    /// The rack of the next first replica.
    next_rack: usize,
}

impl Placer {
    /// Places on the brokers of `image`.
    pub(super) fn new(env: &mut Env<'_>, image: &MetadataImage) -> Result<Self, PlacementError> {
        let mut racks: BTreeMap<Option<&str>, Rack> = BTreeMap::new();
        for broker in image.brokers().values() {
            let rack = racks.entry(broker.rack.as_deref()).or_default();
            let list = if broker.is_active() { &mut rack.active } else { &mut rack.others };
            list.brokers.push(broker.broker_id);
        }
        let mut racks: Vec<Rack> = racks.into_values().collect();
        for rack in &mut racks {
            for list in [&mut rack.active, &mut rack.others] {
                list.offset = below(list.brokers.len(), env);
            }
        }
        let active = racks.iter().map(|rack| rack.active.brokers.len()).sum();
        if active == 0 {
            return Err(PlacementError::NoneActive);
        }
        let next_rack = below(racks.len(), env);
        Ok(Self { racks, brokers: image.brokers().len(), active, round: 0, next_rack })
    }

    /// The replicas of the next partition, the preferred leader first.
    pub(super) fn place(
        &mut self,
        replication_factor: usize,
        env: &mut Env<'_>,
    ) -> Result<Vec<BrokerId>, PlacementError> {
        if replication_factor > self.brokers {
            return Err(PlacementError::TooFewBrokers { replication_factor, brokers: self.brokers });
        }
        if self.round == self.active && self.active > 1 {
            self.mix(env);
        }
        let from = self.next_rack % self.racks.len();
        let mut replicas = Vec::with_capacity(replication_factor);
        let mut first_rack = None;
        for index in self.around(from) {
            let round = self.round;
            let first = self.racks.get_mut(index).and_then(|rack| rack.active.next(round));
            if let Some(first) = first {
                replicas.push(first);
                first_rack = Some(index);
                break;
            }
        }
        // Each rack gives one broker before the first one gives its second.
        while replicas.len() < replication_factor {
            for index in self.around(from) {
                if replicas.len() == replication_factor
                    || first_rack.take_if(|first| *first == index).is_some()
                {
                    continue;
                }
                let round = self.round;
                replicas.extend(self.racks.get_mut(index).and_then(|rack| rack.next(round)));
            }
        }
        self.round += 1;
        self.next_rack = from + 1;
        Ok(replicas)
    }

    /// The racks, from one on.
    fn around(&self, from: usize) -> impl Iterator<Item = usize> + use<> {
        let count = self.racks.len();
        (0..count).map(move |step| (from + step) % count)
    }

    fn mix(&mut self, env: &mut Env<'_>) {
        self.round = 0;
        shuffle(&mut self.racks, env);
        for rack in &mut self.racks {
            shuffle(&mut rack.active.brokers, env);
            shuffle(&mut rack.others.brokers, env);
        }
    }
}

#[derive(Default)]
struct Rack {
    active: BrokerList,
    others: BrokerList,
}

impl Rack {
    fn next(&mut self, round: usize) -> Option<BrokerId> {
        self.active.next(round).or_else(|| self.others.next(round))
    }
}

/// Brokers that are gone around once in each round, from one further on than in the round before.
#[derive(Default)]
struct BrokerList {
    brokers: Vec<BrokerId>,
    offset: usize,
    taken: usize,
    round: usize,
}

impl BrokerList {
    fn next(&mut self, round: usize) -> Option<BrokerId> {
        if self.round != round {
            self.round = round;
            self.taken = 0;
            self.offset += 1;
        }
        if self.taken >= self.brokers.len() {
            return None;
        }
        let at = (self.offset + self.taken) % self.brokers.len();
        self.taken += 1;
        self.brokers.get(at).copied()
    }
}

fn below(count: usize, env: &mut Env<'_>) -> usize {
    let random = (env.random)() >> 64;
    usize::try_from(random % (count.max(1) as u128)).unwrap_or(0)
}

/// Fisher and Yates.
fn shuffle<T>(list: &mut [T], env: &mut Env<'_>) {
    for last in (1..list.len()).rev() {
        list.swap(last, below(last + 1, env));
    }
}

#[cfg(test)]
mod tests;
