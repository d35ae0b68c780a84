//! How the replica state of one partition changes: the one place that holds the rules.
//!
//! A decider names what it wants to be different ([`Target`]); [`Target::decide`] brings the rest along, in this order:
//!
//! 1. A reassignment whose added replicas are all in-sync completes: the removed ones go.
//! 2. An ISR of fewer than `min.insync.replicas` keeps those that left it as eligible leader replicas (KIP-966): the
//!    high watermark stands still from there on, so they hold everything below it. An ISR of enough has none.
//! 3. The leader stays where it is in-sync and active, else the first active member of the ISR in the order of the
//!    replicas leads. Where none is active, the leader stays if it is at least not fenced; else the first active eligible
//!    replica leads, alone in the ISR, and those that it replaces become eligible.
//! 4. Where a replica goes, a leader epoch begins, also under the same leader: it deletes its log, and what it reported
//!    before must not count if it is added again.
//!
//! Invariants: a leader is in-sync, and no replica leads that may lack a record below the high watermark, unless the
//! target asks for an unclean election; the ISR and the eligible replicas share no member and are replicas; the ISR
//! loses its last member only where the data of that member is gone. While nobody leads, the last known eligible
//! replicas name those whose data is gone.
//!
//! Unlike Kafka, the last member stays in the ISR while it is away (there it becomes eligible), the last known leader is never
//! elected by itself, and an ISR that shrinks begins no leader epoch. Source: `PartitionChangeBuilder.java`.

use crate::controller::Env;
use crate::metadata::image::{MetadataImage, PartitionImage, TopicImage};
use crate::metadata::record::{ConfigResource, LeaderChange, MetadataRecord, PartitionChange};
use storage::ids::{BrokerId, TopicId};

/// The key that says how small an ISR may be while the partition takes records.
pub(super) const MIN_INSYNC_REPLICAS: &str = "min.insync.replicas";

/// What decides who may lead, at one image.
pub(super) struct Rules<'a> {
    pub(super) image: &'a MetadataImage,
    default_min_insync_replicas: usize,
}

impl<'a> Rules<'a> {
    pub(super) fn new(env: &Env<'_>, image: &'a MetadataImage) -> Self {
        Self { image, default_min_insync_replicas: env.config_rules.default_min_insync_replicas }
    }

    /// `min.insync.replicas` of a topic, which may be more than it has replicas.
    pub(super) fn min_insync_replicas(&self, topic: &str) -> usize {
        let set = |resource: &ConfigResource| {
            self.image
                .configs_of(resource)
                .get(MIN_INSYNC_REPLICAS)
                .and_then(|value| value.trim().parse().ok())
        };
        set(&ConfigResource::Topic(topic.to_owned()))
            .or_else(|| set(&ConfigResource::AllBrokers))
            .unwrap_or(self.default_min_insync_replicas)
    }
}

/// Who leads where nobody has to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Election {
    /// The leader stays where it can.
    Online,
    /// The first replica leads where it can.
    Preferred,
    /// Where nobody else can, an active replica leads that may lack records.
    Unclean,
}

/// What a partition is to become.
pub(super) struct Target<'a> {
    topic_id: TopicId,
    partition: &'a PartitionImage,
    /// `min.insync.replicas` of the topic.
    min_insync_replicas: usize,
    replicas: Vec<BrokerId>,
    adding: Vec<BrokerId>,
    removing: Vec<BrokerId>,
    isr: Vec<BrokerId>,
    eligible: Vec<BrokerId>,
    last_known: Vec<BrokerId>,
    /// Not eligible, whether or not it was in-sync.
    not_eligible: Option<BrokerId>,
    election: Election,
}

impl<'a> Target<'a> {
    /// The partition as it is. `min_insync_replicas` is that of the topic.
    pub(super) fn new(topic: &TopicImage, partition: &'a PartitionImage, min_insync_replicas: usize) -> Self {
        Self {
            topic_id: topic.id,
            partition,
            min_insync_replicas,
            replicas: partition.replicas.to_vec(),
            adding: partition.adding_replicas.to_vec(),
            removing: partition.removing_replicas.to_vec(),
            isr: partition.isr.to_vec(),
            eligible: partition.eligible_leader_replicas.to_vec(),
            last_known: partition.last_known_eligible_leader_replicas.to_vec(),
            not_eligible: None,
            election: Election::Online,
        }
    }

    pub(super) fn elect(mut self, election: Election) -> Self {
        self.election = election;
        self
    }

    /// The in-sync replicas; there is at least one.
    pub(super) fn with_isr(mut self, isr: Vec<BrokerId>) -> Self {
        assert!(!isr.is_empty(), "an ISR is made empty");
        self.isr = isr;
        self
    }

    pub(super) fn with_replicas(
        mut self,
        replicas: Vec<BrokerId>,
        adding: Vec<BrokerId>,
        removing: Vec<BrokerId>,
    ) -> Self {
        (self.replicas, self.adding, self.removing) = (replicas, adding, removing);
        self
    }

    /// The broker leaves the ISR, unless it is the last member.
    pub(super) fn leave_isr(mut self, broker: BrokerId) -> Self {
        if self.isr.iter().any(|member| *member != broker) {
            self.isr.retain(|member| *member != broker);
        }
        self
    }

    /// The broker may have lost records below the high watermark: it is not eligible.
    pub(super) fn leave_eligible(mut self, broker: BrokerId) -> Self {
        self.not_eligible = Some(broker);
        self
    }

    /// The broker has lost what it had: it leaves the ISR, also as the last member, and is not eligible. If nobody comes
    /// to lead by this, it is remembered as one that is not to be chosen.
    pub(super) fn lose(mut self, broker: BrokerId) -> Self {
        self.isr.retain(|member| *member != broker);
        self.not_eligible = Some(broker);
        if !self.last_known.contains(&broker) {
            self.last_known.push(broker);
        }
        self
    }

    /// What changes, or `None` where nothing does.
    pub(super) fn decide(mut self, rules: &Rules<'_>) -> Option<PartitionChange> {
        self.complete_reassignment();
        self.settle_eligible();
        let leader = self.elect_leader(rules);
        if leader.is_some() {
            self.last_known.clear();
        }
        self.changes(leader)
    }

    /// Source: `PartitionReassignmentReplicas.maybeCompleteReassignment`.
    fn complete_reassignment(&mut self) {
        if self.adding.is_empty() && self.removing.is_empty() {
            return;
        }
        let staying = |list: &[BrokerId]| -> Vec<BrokerId> {
            list.iter().copied().filter(|broker| !self.removing.contains(broker)).collect()
        };
        let (isr, replicas) = (staying(&self.isr), staying(&self.replicas));
        let in_sync = |brokers: &[BrokerId]| brokers.iter().all(|broker| isr.contains(broker));
        let is_smaller = self.adding.len() < self.removing.len();
        if isr.is_empty() || !in_sync(&self.adding) || (is_smaller && !in_sync(&replicas)) {
            return;
        }
        (self.isr, self.replicas) = (isr, replicas);
        self.adding.clear();
        self.removing.clear();
    }

    /// How small the ISR may be while the partition takes records. Replicas that are being added do not count: what
    /// grows is not held to its new size before it has it.
    fn min_isr(&self) -> usize {
        let settled = self.replicas.iter().filter(|replica| !self.adding.contains(replica)).count();
        self.min_insync_replicas.min(settled).max(1)
    }

    fn settle_eligible(&mut self) {
        let is_enough = self.isr.len() >= self.min_isr();
        let was_in_sync =
            |broker: &BrokerId| self.partition.isr.contains(broker) || self.eligible.contains(broker);
        let stays = |broker: &&BrokerId| {
            !is_enough
                && was_in_sync(broker)
                && !self.isr.contains(broker)
                && self.not_eligible != Some(**broker)
        };
        self.eligible = self.replicas.iter().filter(stays).copied().collect();
    }

    /// Who leads; makes the ISR and the eligible replicas what that asks for.
    fn elect_leader(&mut self, rules: &Rules<'_>) -> Option<BrokerId> {
        if let Some(leader) = self.leader_in_sync(rules) {
            return Some(leader);
        }
        let is_active = |broker: &BrokerId| rules.image.is_active(*broker);
        let first = |wanted: &dyn Fn(&BrokerId) -> bool| {
            self.replicas.iter().find(|broker| is_active(broker) && wanted(broker)).copied()
        };
        if let Some(leader) = first(&|broker| self.eligible.contains(broker)) {
            self.isr = vec![leader];
            self.settle_eligible();
            return Some(leader);
        }
        if self.election != Election::Unclean {
            return None;
        }
        // One that came back without what it had is the last choice.
        let leader = first(&|broker| !self.last_known.contains(broker)).or_else(|| first(&|_| true))?;
        self.isr = vec![leader];
        self.eligible.clear();
        Some(leader)
    }

    fn leader_in_sync(&self, rules: &Rules<'_>) -> Option<BrokerId> {
        let may_lead = |broker: &BrokerId| self.isr.contains(broker) && rules.image.is_active(*broker);
        let is_not_fenced = |broker: &BrokerId| {
            self.isr.contains(broker) && rules.image.broker(*broker).is_some_and(|broker| !broker.is_fenced)
        };
        let preferred = match self.election {
            Election::Preferred => self.replicas.first().copied(),
            Election::Online | Election::Unclean => None,
        };
        let current = self.partition.leader;
        let in_order = || self.replicas.iter().copied().find(may_lead);
        let active = preferred.filter(may_lead).or_else(|| current.filter(may_lead)).or_else(in_order);
        active.or_else(|| current.filter(is_not_fenced))
    }

    fn changes(self, leader: Option<BrokerId>) -> Option<PartitionChange> {
        let before = self.partition;
        let loses_replica = before.replicas.iter().any(|replica| !self.replicas.contains(replica));
        let new = |list: Vec<BrokerId>, old: &[BrokerId]| (list != old).then_some(list);
        let change = PartitionChange {
            topic_id: self.topic_id,
            partition: before.index,
            replicas: new(self.replicas, &before.replicas),
            isr: new(self.isr, &before.isr),
            leader: match leader {
                leader if leader == before.leader && !loses_replica => LeaderChange::Unchanged,
                Some(leader) => LeaderChange::Elected(leader),
                None => LeaderChange::NoLeader,
            },
            eligible_leader_replicas: new(self.eligible, &before.eligible_leader_replicas),
            last_known_eligible_leader_replicas: new(
                self.last_known,
                &before.last_known_eligible_leader_replicas,
            ),
            adding_replicas: new(self.adding, &before.adding_replicas),
            removing_replicas: new(self.removing, &before.removing_replicas),
        };
        (change != PartitionChange::of(self.topic_id, before.index)).then_some(change)
    }
}

/// Changes of many partitions, up to what one decision may have.
pub(super) struct Sweep<'a> {
    rules: Rules<'a>,
    room: usize,
    pub(super) records: Vec<MetadataRecord>,
    /// Whether no partition was left out.
    pub(super) is_complete: bool,
}

impl<'a> Sweep<'a> {
    /// No changes yet, and room for `room` of them.
    pub(super) fn new(rules: Rules<'a>, room: usize) -> Self {
        Self { rules, room, records: Vec::new(), is_complete: true }
    }

    /// Decides what `target` makes of each partition that `concerns`.
    pub(super) fn over(
        &mut self,
        concerns: impl Fn(&PartitionImage) -> bool,
        target: impl Fn(Target<'a>, &PartitionImage) -> Target<'a>,
    ) {
        for topic in self.rules.image.topics() {
            if !topic.partitions.iter().any(|partition| concerns(partition)) {
                continue;
            }
            let min_insync_replicas = self.rules.min_insync_replicas(&topic.name);
            for partition in topic.partitions.iter().filter(|partition| concerns(partition)) {
                let changed = target(Target::new(topic, partition, min_insync_replicas), partition);
                let Some(change) = changed.decide(&self.rules) else { continue };
                if self.records.len() >= self.room {
                    self.is_complete = false;
                    return;
                }
                self.records.push(MetadataRecord::PartitionChange(change));
            }
        }
    }
}
