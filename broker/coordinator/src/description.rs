//! What reads are answered: groups and offsets as they are committed.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use storage::ids::{LeaderEpoch, Offset, PartitionIndex, TopicId};

use crate::ids::{GroupEpoch, GroupId, InstanceId, MemberEpoch, MemberId};
use crate::record::TopicPartitions;

/// How far a group has read, asked by a member or by anybody. Source: OffsetFetchRequest.json.
#[derive(Clone, Debug)]
pub struct OffsetFetch {
    /// The group.
    pub group_id: GroupId,
    /// Who asks, with its member epoch or generation, where it says so (version 9 and later); checked where present.
    pub member: Option<(MemberId, MemberEpoch)>,
    /// Of which partitions, or `None` for all that the group has offsets of.
    pub partitions: Option<Vec<(Arc<str>, PartitionIndex)>>,
}

/// A committed offset. The fields are those of [`crate::record::OffsetCommitValue`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FetchedOffset {
    /// The topic.
    pub topic: Arc<str>,
    /// The topic's id when the offset was committed, [`TopicId::ZERO`] where unknown.
    pub topic_id: TopicId,
    /// The partition.
    pub partition: PartitionIndex,
    /// The next offset to read, or `None` where none is committed.
    pub committed: Option<(Offset, LeaderEpoch, Arc<str>)>,
}

/// What kind of group it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum GroupKind {
    /// Of the classic protocol, or one that only keeps offsets.
    Classic,
    /// Of the consumer protocol.
    Consumer,
}

/// How a group stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum GroupState {
    /// It has no members.
    Empty,
    /// Classic: members are joining.
    PreparingRebalance,
    /// Classic: the leader assigns.
    CompletingRebalance,
    /// Consumer: the target assignment is to be computed.
    Assigning,
    /// Consumer: members move towards the target assignment.
    Reconciling,
    /// Everybody owns what it is to own.
    Stable,
    /// There is no such group.
    Dead,
}

/// A group in a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupListing {
    /// Its name.
    pub group_id: GroupId,
    /// What kind of members it has, as the wire writes it (`consumer`, `connect`, empty).
    pub protocol_type: Arc<str>,
    /// How it stands.
    pub state: GroupState,
    /// What kind of group it is.
    pub kind: GroupKind,
    /// How many members it has.
    pub member_count: usize,
}

/// A classic group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClassicGroupDescription {
    /// How it stands.
    pub state: GroupState,
    /// What kind of members it has; empty where it has had none.
    pub protocol_type: Arc<str>,
    /// The protocol that was chosen; empty unless it is stable.
    pub protocol: Arc<str>,
    /// Its members, in the order of their ids.
    pub members: Vec<ClassicMemberDescription>,
}

/// A member of a classic group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClassicMemberDescription {
    /// Its id.
    pub member_id: MemberId,
    /// The name that it keeps, where it is static.
    pub group_instance_id: Option<InstanceId>,
    /// The name that its client gives itself.
    pub client_id: Arc<str>,
    /// The address that it comes from.
    pub client_host: Arc<str>,
    /// What it said for the chosen protocol; empty unless the group is stable.
    pub metadata: Bytes,
    /// What the leader assigned to it; empty unless the group is stable.
    pub assignment: Bytes,
    /// For how long the group has waited for this one to join or to ask for its assignment, where it does.
    pub awaited_for: Option<Duration>,
}

/// A consumer group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConsumerGroupDescription {
    /// How it stands.
    pub state: GroupState,
    /// Its epoch.
    pub group_epoch: GroupEpoch,
    /// The epoch of the target assignment.
    pub assignment_epoch: GroupEpoch,
    /// The assignor that most members prefer; `None` where nobody does, so that it is the broker's first.
    pub assignor: Option<Arc<str>>,
    /// Its members, in the order of their ids.
    pub members: Vec<ConsumerMemberDescription>,
}

/// A member of a consumer group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConsumerMemberDescription {
    /// Its id.
    pub member_id: MemberId,
    /// The name that it keeps, where it is static.
    pub instance_id: Option<InstanceId>,
    /// Its rack.
    pub rack_id: Option<Arc<str>>,
    /// The epoch that it has reached.
    pub member_epoch: MemberEpoch,
    /// The name that its client gives itself.
    pub client_id: Arc<str>,
    /// The address that it comes from.
    pub client_host: Arc<str>,
    /// The topics that it named.
    pub subscribed_topic_names: Vec<Arc<str>>,
    /// The pattern that it subscribed to.
    pub subscribed_topic_regex: Option<Arc<str>>,
    /// What it owns.
    pub assignment: Vec<TopicPartitions>,
    /// What it is to own.
    pub target_assignment: Vec<TopicPartitions>,
    /// Whether it speaks the classic protocol.
    pub is_classic: bool,
}
