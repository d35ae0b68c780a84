//! The replica state of one partition, and how a record changes it.

use crate::metadata::record::{LeaderChange, PartitionChange, PartitionRecord};
use storage::ids::{BrokerId, LeaderEpoch, PartitionEpoch, PartitionIndex, TopicId};

/// The replica state of a partition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PartitionImage {
    /// The partition's number within the topic.
    pub index: PartitionIndex,
    /// The brokers that hold it, the preferred leader first.
    pub replicas: Box<[BrokerId]>,
    /// Those of them that hold everything that was acknowledged.
    pub isr: Box<[BrokerId]>,
    /// The leader; `None` while no eligible replica is alive.
    pub leader: Option<BrokerId>,
    /// How often the partition has had a new leader.
    pub leader_epoch: LeaderEpoch,
    /// How often this state has changed.
    pub partition_epoch: PartitionEpoch,
    /// Replicas outside the ISR that hold everything below the high watermark. Source: KIP-966.
    pub eligible_leader_replicas: Box<[BrokerId]>,
    /// Replicas that came back without their data since nobody leads, which makes them a bad choice. Source: KIP-966.
    pub last_known_eligible_leader_replicas: Box<[BrokerId]>,
    /// Those of the replicas that a reassignment adds. Source: KIP-455.
    pub adding_replicas: Box<[BrokerId]>,
    /// Those of the replicas that a reassignment removes once the added ones are in-sync. Source: KIP-455.
    pub removing_replicas: Box<[BrokerId]>,
}

impl PartitionImage {
    /// Whether its replicas are about to become others.
    #[must_use]
    pub fn is_reassigning(&self) -> bool {
        !self.adding_replicas.is_empty() || !self.removing_replicas.is_empty()
    }

    /// How many replicas it has, without those that are still being added: a partition that grows is held to what it
    /// had until it has what it will have.
    #[must_use]
    pub fn settled_replication_factor(&self) -> usize {
        self.replicas.iter().filter(|replica| !self.adding_replicas.contains(replica)).count()
    }

    /// The state after a change of it.
    #[must_use]
    pub fn after(&self, change: &PartitionChange) -> Self {
        let mut after = self.clone();
        after.change(change);
        after
    }

    pub(super) fn begin_leader_epoch(&mut self) {
        self.leader_epoch.0 += 1;
        self.partition_epoch.0 += 1;
    }

    pub(super) fn change(&mut self, change: &PartitionChange) {
        let replace = |list: &mut Box<[BrokerId]>, new: &Option<Vec<BrokerId>>| {
            if let Some(new) = new {
                *list = new.as_slice().into();
            }
        };
        replace(&mut self.replicas, &change.replicas);
        replace(&mut self.isr, &change.isr);
        replace(&mut self.eligible_leader_replicas, &change.eligible_leader_replicas);
        replace(&mut self.last_known_eligible_leader_replicas, &change.last_known_eligible_leader_replicas);
        replace(&mut self.adding_replicas, &change.adding_replicas);
        replace(&mut self.removing_replicas, &change.removing_replicas);
        match change.leader {
            LeaderChange::Unchanged => self.partition_epoch.0 += 1,
            LeaderChange::NoLeader => {
                self.leader = None;
                self.begin_leader_epoch();
            }
            LeaderChange::Elected(broker) => {
                self.leader = Some(broker);
                self.begin_leader_epoch();
            }
        }
        assert!(
            self.leader.is_none_or(|leader| self.isr.contains(&leader)),
            "a leader stands outside the ISR"
        );
    }

    pub(super) fn to_record(&self, topic_id: TopicId) -> PartitionRecord {
        PartitionRecord {
            topic_id,
            partition: self.index,
            replicas: self.replicas.to_vec(),
            isr: self.isr.to_vec(),
            leader: self.leader,
            leader_epoch: self.leader_epoch,
            partition_epoch: self.partition_epoch,
            eligible_leader_replicas: self.eligible_leader_replicas.to_vec(),
            last_known_eligible_leader_replicas: self.last_known_eligible_leader_replicas.to_vec(),
            adding_replicas: self.adding_replicas.to_vec(),
            removing_replicas: self.removing_replicas.to_vec(),
        }
    }
}

impl From<&PartitionRecord> for PartitionImage {
    fn from(record: &PartitionRecord) -> Self {
        Self {
            index: record.partition,
            replicas: record.replicas.as_slice().into(),
            isr: record.isr.as_slice().into(),
            leader: record.leader,
            leader_epoch: record.leader_epoch,
            partition_epoch: record.partition_epoch,
            eligible_leader_replicas: record.eligible_leader_replicas.as_slice().into(),
            last_known_eligible_leader_replicas: record.last_known_eligible_leader_replicas.as_slice().into(),
            adding_replicas: record.adding_replicas.as_slice().into(),
            removing_replicas: record.removing_replicas.as_slice().into(),
        }
    }
}
