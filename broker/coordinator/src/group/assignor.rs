//! How the broker spreads partitions over the members of a consumer group: pure functions of who subscribes to what
//! and of who had what before.
//!
//! What every assignor promises: each partition of a topic that somebody subscribes to has exactly one owner, who
//! subscribes to the topic; nobody owns anything else; and the same input gives the same answer. Racks are not looked
//! at, as in Kafka.
//!
//! Source: KIP-848, UniformAssignor.java, RangeAssignor.java.

mod range;
#[cfg(test)]
mod tests;
mod uniform;
mod uniform_mixed;

use std::collections::{BTreeMap, BTreeSet};

use storage::ids::{PartitionIndex, TopicId};

use crate::ids::InstanceId;

/// Partitions by topic. A topic with no partitions is left out.
pub type PartitionSet = BTreeMap<TopicId, BTreeSet<PartitionIndex>>;

/// The assignors that the broker has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Assignor {
    /// As even as can be, and as few partitions as can be change hands.
    Uniform,
    /// Consecutive partitions of each topic, the same ones of topics that have equally many.
    Range,
}

impl Assignor {
    /// The assignor that clients and the configuration call by this name.
    #[must_use]
    pub fn by_name(name: &str) -> Option<Self> {
        match name {
            "uniform" => Some(Self::Uniform),
            "range" => Some(Self::Range),
            _ => None,
        }
    }
}

/// A member as an assignor sees it.
#[derive(Clone, Copy, Debug)]
pub struct AssignorMember<'a> {
    /// The name that it keeps, where it is static.
    pub instance_id: Option<&'a InstanceId>,
    /// The topics that it subscribes to; each has its number of partitions in [`Members::partition_counts`].
    pub topics: &'a BTreeSet<TopicId>,
    /// What it was to own until now.
    pub assigned: Option<&'a PartitionSet>,
}

/// A group as an assignor sees it.
#[derive(Clone, Debug)]
pub struct Members<'a> {
    /// Who is in the group, in the order of the member ids.
    pub members: Vec<AssignorMember<'a>>,
    /// How many partitions each topic has.
    pub partition_counts: &'a BTreeMap<TopicId, i32>,
}

impl Members<'_> {
    /// The partitions of a topic, in order.
    fn partitions_of(&self, topic: TopicId) -> impl Iterator<Item = PartitionIndex> + use<> {
        (0..self.partition_counts.get(&topic).copied().unwrap_or(0)).map(PartitionIndex)
    }

    fn all_subscribe_alike(&self) -> bool {
        self.members.windows(2).all(|pair| match pair {
            [one, other] => std::ptr::eq(one.topics, other.topics) || one.topics == other.topics,
            _ => true,
        })
    }
}

/// What each member is to own, in the order of `group.members`.
#[must_use]
pub fn assign(assignor: Assignor, group: &Members<'_>) -> Vec<PartitionSet> {
    match assignor {
        Assignor::Range => range::assign(group),
        Assignor::Uniform if group.all_subscribe_alike() => uniform::assign(group),
        Assignor::Uniform => uniform_mixed::assign(group),
    }
}
