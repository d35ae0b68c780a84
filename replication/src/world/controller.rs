//! The controller's rules for one partition, as a model: small enough to be seen to be right, and independent of the
//! real ones.
//!
//! Every change makes a new image, in one history that nodes learn late but in order.

use crate::leader::{IsrProposal, Standing, effective_min_insync_replicas};
use crate::metadata::image::PartitionImage;
use std::collections::BTreeMap;
use storage::ids::{BrokerEpoch, BrokerId, LeaderEpoch, PartitionEpoch, PartitionIndex};

/// What the cluster has agreed on at one moment.
#[derive(Debug, Clone)]
pub(super) struct Image {
    pub(super) partition: PartitionImage,
    pub(super) min_insync_replicas: usize,
    brokers: BTreeMap<BrokerId, (BrokerEpoch, bool)>,
}

impl Image {
    pub(super) fn standing(&self, broker: BrokerId) -> Option<Standing> {
        let (broker_epoch, is_fenced) = *self.brokers.get(&broker)?;
        Some(Standing { broker_epoch, may_join_isr: !is_fenced })
    }

    pub(super) fn is_fenced(&self, broker: BrokerId) -> bool {
        self.standing(broker).is_none_or(|standing| !standing.may_join_isr)
    }

    fn is_enough(&self, isr: &[BrokerId]) -> bool {
        isr.len() >= effective_min_insync_replicas(&self.partition, self.min_insync_replicas)
    }
}

/// How a proposal is answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Answer {
    Done,
    Stale,
    Ineligible,
}

/// The controller, with all that it ever decided.
#[derive(Debug)]
pub(super) struct Controller {
    history: Vec<Image>,
    next_broker_epoch: i64,
    /// A broker that comes back leads on in the same epoch: a fault.
    pub(super) keeps_epochs_over_restarts: bool,
}

impl Controller {
    /// Brokers 1, 2 and 3, of which `replicas` hold the partition, all in sync, under the first.
    pub(super) fn new(replicas: &[i32], min_insync_replicas: usize) -> Self {
        let replicas: Vec<_> = replicas.iter().copied().map(BrokerId).collect();
        let partition = PartitionImage {
            index: PartitionIndex(0),
            leader: replicas.first().copied(),
            isr: replicas.clone(),
            replicas,
            leader_epoch: LeaderEpoch(0),
            partition_epoch: PartitionEpoch(0),
            eligible_leader_replicas: Vec::new(),
            last_known_eligible_leader_replicas: Vec::new(),
            adding_replicas: Vec::new(),
            removing_replicas: Vec::new(),
        };
        let brokers = (1..=3).map(|id| (BrokerId(id), (BrokerEpoch(i64::from(id)), false))).collect();
        let first = Image { partition, min_insync_replicas, brokers };
        Self { history: vec![first], next_broker_epoch: 4, keeps_epochs_over_restarts: false }
    }

    pub(super) fn latest(&self) -> &Image {
        self.history.last().expect("history begins with an image")
    }

    pub(super) fn latest_index(&self) -> usize {
        self.history.len() - 1
    }

    pub(super) fn image(&self, index: usize) -> &Image {
        &self.history[index]
    }

    fn commit(&mut self, image: Image) {
        let partition = &image.partition;
        assert!(partition.leader.is_none_or(|leader| partition.isr.contains(&leader)), "a leader is in sync");
        self.history.push(image);
    }

    /// A new run of a broker, fenced until it has shown itself.
    pub(super) fn register(&mut self, broker: BrokerId) -> BrokerEpoch {
        let mut image = self.latest().clone();
        let epoch = BrokerEpoch(self.next_broker_epoch);
        self.next_broker_epoch += 1;
        let leads_alone = image.partition.leader == Some(broker) && image.partition.isr == [broker];
        if self.keeps_epochs_over_restarts && leads_alone {
            image.brokers.insert(broker, (epoch, false));
        } else {
            image.brokers.insert(broker, (epoch, true));
            leave(&mut image, broker);
        }
        self.commit(image);
        epoch
    }

    pub(super) fn fence(&mut self, broker: BrokerId) {
        let mut image = self.latest().clone();
        image.brokers.entry(broker).and_modify(|(_, is_fenced)| *is_fenced = true);
        leave(&mut image, broker);
        self.commit(image);
    }

    pub(super) fn unfence(&mut self, broker: BrokerId) {
        let mut image = self.latest().clone();
        image.brokers.entry(broker).and_modify(|(_, is_fenced)| *is_fenced = false);
        elect(&mut image);
        self.commit(image);
    }

    /// Another member of the ISR leads.
    pub(super) fn move_leader(&mut self, to: BrokerId) {
        let mut image = self.latest().clone();
        if image.partition.isr.contains(&to) && !image.is_fenced(to) && image.partition.leader != Some(to) {
            begin_epoch(&mut image, Some(to));
            self.commit(image);
        }
    }

    /// The partition grows to all three brokers.
    pub(super) fn grow(&mut self) {
        let mut image = self.latest().clone();
        let partition = &mut image.partition;
        for broker in (1..=3).map(BrokerId) {
            if !partition.replicas.contains(&broker) {
                partition.replicas.push(broker);
                partition.adding_replicas.push(broker);
            }
        }
        partition.partition_epoch.0 += 1;
        self.commit(image);
    }

    /// `min.insync.replicas` changes. Who was eligible by the old number may not be by the new one.
    pub(super) fn set_min_insync_replicas(&mut self, min_insync_replicas: usize) {
        let mut image = self.latest().clone();
        image.min_insync_replicas = min_insync_replicas;
        settle(&mut image, &[]);
        image.partition.partition_epoch.0 += 1;
        self.commit(image);
    }

    /// Source: KIP-497, KIP-841, KIP-903.
    pub(super) fn alter_partition(&mut self, from: BrokerId, proposal: &IsrProposal) -> Answer {
        let mut image = self.latest().clone();
        let partition = &image.partition;
        let is_current = partition.leader == Some(from)
            && partition.leader_epoch == proposal.leader_epoch
            && partition.partition_epoch == proposal.partition_epoch;
        if !is_current {
            return Answer::Stale;
        }
        let is_eligible = |&(member, run): &(BrokerId, BrokerEpoch)| {
            image.standing(member).is_some_and(|known| known.broker_epoch == run && known.may_join_isr)
        };
        if !proposal.isr.iter().all(is_eligible) {
            return Answer::Ineligible;
        }
        let isr: Vec<_> = proposal.isr.iter().map(|(member, _)| *member).collect();
        assert!(isr.contains(&from), "a leader proposes itself");
        let before = std::mem::replace(&mut image.partition.isr, isr);
        let partition = &mut image.partition;
        if partition.adding_replicas.iter().all(|adding| partition.isr.contains(adding)) {
            partition.adding_replicas.clear();
        }
        partition.partition_epoch.0 += 1;
        settle(&mut image, &before);
        self.commit(image);
        Answer::Done
    }
}

/// Leaves the ISR, unless it is the last member of it, and the leadership in any case.
fn leave(image: &mut Image, broker: BrokerId) {
    let before = image.partition.isr.clone();
    if before.contains(&broker) && before.len() > 1 {
        image.partition.isr.retain(|member| *member != broker);
        image.partition.partition_epoch.0 += 1;
    }
    if image.partition.leader == Some(broker) {
        image.partition.leader = None;
        image.partition.leader_epoch.0 += 1;
        image.partition.partition_epoch.0 += 1;
    }
    settle(image, &before);
    elect(image);
}

/// Keeps those that leave an ISR as eligible while it is too small for writes.
fn settle(image: &mut Image, isr_before: &[BrokerId]) {
    if image.is_enough(&image.partition.isr) {
        image.partition.eligible_leader_replicas.clear();
        return;
    }
    let partition = &mut image.partition;
    for &member in isr_before {
        if !partition.eligible_leader_replicas.contains(&member) {
            partition.eligible_leader_replicas.push(member);
        }
    }
    let isr = partition.isr.clone();
    partition.eligible_leader_replicas.retain(|member| !isr.contains(member));
}

/// Elects a leader where there is none and somebody may be it: from the ISR, else from the eligible replicas.
fn elect(image: &mut Image) {
    if image.partition.leader.is_some() {
        return;
    }
    let usable = |members: &[BrokerId]| members.iter().copied().find(|member| !image.is_fenced(*member));
    if let Some(leader) = usable(&image.partition.isr) {
        begin_epoch(image, Some(leader));
    } else if let Some(leader) = usable(&image.partition.eligible_leader_replicas) {
        let before = std::mem::replace(&mut image.partition.isr, vec![leader]);
        settle(image, &before);
        begin_epoch(image, Some(leader));
    }
}

fn begin_epoch(image: &mut Image, leader: Option<BrokerId>) {
    image.partition.leader = leader;
    image.partition.leader_epoch.0 += 1;
    image.partition.partition_epoch.0 += 1;
}
