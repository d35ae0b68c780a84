//! What is asked of groups and what they answer, free of versions and error codes.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use storage::ids::{LeaderEpoch, Offset, PartitionIndex, TopicId};

use crate::error::GroupError;
use crate::ids::{GenerationId, GroupId, InstanceId, MemberEpoch, MemberId};
use crate::record::TopicPartitions;

/// A request that may change a group. Reads do not come this way; see [`crate::shard::GroupShard`].
#[derive(Clone, Debug)]
pub enum Request {
    /// A classic member joins, or joins again.
    JoinGroup(JoinGroup),
    /// A classic member asks for its assignment, and the leader brings everybody's.
    SyncGroup(SyncGroup),
    /// A classic member is alive.
    Heartbeat(Heartbeat),
    /// Classic members leave.
    LeaveGroup(LeaveGroup),
    /// A member of a consumer group is alive, joins, leaves or reports what it owns.
    ConsumerGroupHeartbeat(ConsumerGroupHeartbeat),
    /// Somebody says how far it has read.
    OffsetCommit(OffsetCommit),
    /// Offsets are to be forgotten.
    OffsetDelete(OffsetDelete),
    /// A group is to be forgotten, with its offsets.
    DeleteGroup(GroupId),
}

/// The answer to the [`Request`] of the same name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply {
    /// To [`Request::JoinGroup`].
    JoinGroup(Result<JoinedGroup, GroupError>),
    /// To [`Request::SyncGroup`].
    SyncGroup(Result<SyncedGroup, GroupError>),
    /// To [`Request::Heartbeat`].
    Heartbeat(Result<(), GroupError>),
    /// To [`Request::LeaveGroup`]: what became of each member, in the order of the request.
    LeaveGroup(Result<Vec<Result<(), GroupError>>, GroupError>),
    /// To [`Request::ConsumerGroupHeartbeat`].
    ConsumerGroupHeartbeat(Result<ConsumerGroupHeartbeatReply, GroupError>),
    /// To [`Request::OffsetCommit`]: what became of each partition, in the order of the request.
    OffsetCommit(Result<Vec<Result<(), GroupError>>, GroupError>),
    /// To [`Request::OffsetDelete`]: what became of each partition, in the order of the request.
    OffsetDelete(Result<Vec<Result<(), GroupError>>, GroupError>),
    /// To [`Request::DeleteGroup`].
    DeleteGroup(Result<(), GroupError>),
}

/// A classic member joins. Source: JoinGroupRequest.json.
#[derive(Clone, Debug)]
pub struct JoinGroup {
    /// The group.
    pub group_id: GroupId,
    /// The member, or `None` where it has no id yet.
    pub member_id: Option<MemberId>,
    /// The name that it keeps, where it is static.
    pub group_instance_id: Option<InstanceId>,
    /// The name that its client gives itself.
    pub client_id: Arc<str>,
    /// The address that it comes from.
    pub client_host: Arc<str>,
    /// How long it may be silent, in milliseconds, as the client wrote it.
    pub session_timeout_ms: i32,
    /// How long it has to rejoin, in milliseconds, as the client wrote it.
    pub rebalance_timeout_ms: i32,
    /// What kind of member it is.
    pub protocol_type: Arc<str>,
    /// The protocols that it supports, with what it says for each, its favourite first.
    pub protocols: Vec<(Arc<str>, Bytes)>,
    /// Whether a new dynamic member is sent back once to join with its id (version 4 and later). Source: KIP-394.
    pub requires_known_member_id: bool,
    /// Whether a leader can be told not to assign (version 9 and later). Source: KIP-814.
    pub supports_skipping_assignment: bool,
}

/// A classic member is in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JoinedGroup {
    /// The generation that begins.
    pub generation_id: GenerationId,
    /// What kind of members the group has.
    pub protocol_type: Arc<str>,
    /// The protocol that all support.
    pub protocol_name: Arc<str>,
    /// The member that assigns.
    pub leader: MemberId,
    /// Whether the leader is to leave the assignment as it is.
    pub skip_assignment: bool,
    /// Who is answered.
    pub member_id: MemberId,
    /// Every member, for the leader; empty for the others.
    pub members: Vec<JoinedMember>,
}

/// A member as the leader sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JoinedMember {
    /// Its id.
    pub member_id: MemberId,
    /// The name that it keeps, where it is static.
    pub group_instance_id: Option<InstanceId>,
    /// What it said for the chosen protocol.
    pub metadata: Bytes,
}

/// A classic member asks for its assignment. Source: SyncGroupRequest.json.
#[derive(Clone, Debug)]
pub struct SyncGroup {
    /// The group.
    pub group_id: GroupId,
    /// The generation.
    pub generation_id: GenerationId,
    /// The member.
    pub member_id: MemberId,
    /// The name that it keeps, where it is static.
    pub group_instance_id: Option<InstanceId>,
    /// The kind of members that it believes the group to have, where it says so.
    pub protocol_type: Option<Arc<str>>,
    /// The protocol that it believes to be chosen, where it says so.
    pub protocol_name: Option<Arc<str>>,
    /// What each member is to own, from the leader.
    pub assignments: Vec<(MemberId, Bytes)>,
}

/// What a classic member is to own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SyncedGroup {
    /// What kind of members the group has.
    pub protocol_type: Option<Arc<str>>,
    /// The protocol that was chosen.
    pub protocol_name: Option<Arc<str>>,
    /// The leader's words.
    pub assignment: Bytes,
}

/// A classic member is alive.
#[derive(Clone, Debug)]
pub struct Heartbeat {
    /// The group.
    pub group_id: GroupId,
    /// The generation.
    pub generation_id: GenerationId,
    /// The member.
    pub member_id: MemberId,
    /// The name that it keeps, where it is static.
    pub group_instance_id: Option<InstanceId>,
}

/// Classic members leave.
#[derive(Clone, Debug)]
pub struct LeaveGroup {
    /// The group.
    pub group_id: GroupId,
    /// Who.
    pub members: Vec<LeavingMember>,
}

/// Who leaves.
#[derive(Clone, Debug)]
pub struct LeavingMember {
    /// Its id, or `None` where a static member is removed by its instance id alone.
    pub member_id: Option<MemberId>,
    /// The name that it keeps, where it is static.
    pub group_instance_id: Option<InstanceId>,
    /// Why, in the client's words.
    pub reason: Option<String>,
}

/// A heartbeat of the consumer protocol; `None` means that nothing changed. Source: ConsumerGroupHeartbeatRequest.json.
#[derive(Clone, Debug)]
pub struct ConsumerGroupHeartbeat {
    /// The group.
    pub group_id: GroupId,
    /// The member; empty where it joins in version 0, which leaves its name to the broker.
    pub member_id: MemberId,
    /// Whether the client has to name the member (version 1 and later). Source: KIP-1082.
    pub is_named_by_client: bool,
    /// The epoch that it has reached, or one of [`MemberEpoch`]'s words.
    pub member_epoch: MemberEpoch,
    /// The name that it keeps, where it is static.
    pub instance_id: Option<InstanceId>,
    /// Its rack.
    pub rack_id: Option<Arc<str>>,
    /// How long it has to give partitions up, in milliseconds, as the client wrote it.
    pub rebalance_timeout_ms: i32,
    /// The name that its client gives itself.
    pub client_id: Arc<str>,
    /// The address that it comes from.
    pub client_host: Arc<str>,
    /// The topics that it names.
    pub subscribed_topic_names: Option<Vec<Arc<str>>>,
    /// The pattern that it subscribes to; empty text ends that subscription.
    pub subscribed_topic_regex: Option<Arc<str>>,
    /// The assignor that it prefers.
    pub server_assignor: Option<Arc<str>>,
    /// What it owns.
    pub owned: Option<Vec<TopicPartitions>>,
}

/// The answer to a heartbeat of the consumer protocol.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConsumerGroupHeartbeatReply {
    /// Who is answered.
    pub member_id: MemberId,
    /// The epoch that it has reached now.
    pub member_epoch: MemberEpoch,
    /// How soon it is to speak again.
    pub heartbeat_interval: Duration,
    /// What it may own from now on, or `None` where nothing changed.
    pub assignment: Option<Vec<TopicPartitions>>,
}

/// Somebody says how far it has read. Topics were looked up before.
#[derive(Clone, Debug)]
pub struct OffsetCommit {
    /// The group.
    pub group_id: GroupId,
    /// The member; empty where who commits is none.
    pub member_id: MemberId,
    /// The generation, or the member's epoch, or -1 where who commits is no member.
    pub generation_id_or_member_epoch: i32,
    /// The name that it keeps, where it is static.
    pub group_instance_id: Option<InstanceId>,
    /// How long to keep the offsets, where the client chose that itself (up to version 4).
    pub retention: Option<Duration>,
    /// Whether the client knows the consumer protocol (version 9 and later).
    pub supports_consumer_protocol: bool,
    /// Whether the client names topics by their ids (version 10 and later), which are then kept with the offsets.
    pub names_topics_by_id: bool,
    /// How far, by partition.
    pub offsets: Vec<CommittingOffset>,
}

/// How far a partition was read.
#[derive(Clone, Debug)]
pub struct CommittingOffset {
    /// The topic.
    pub topic: Arc<str>,
    /// Its id, also where the client named the topic.
    pub topic_id: TopicId,
    /// The partition.
    pub partition: PartitionIndex,
    /// The next offset to read.
    pub offset: Offset,
    /// The leader epoch of the last record read, [`LeaderEpoch::NONE`] where the client did not say.
    pub leader_epoch: LeaderEpoch,
    /// What the client wants kept beside it.
    pub metadata: Arc<str>,
}

/// Offsets are to be forgotten.
#[derive(Clone, Debug)]
pub struct OffsetDelete {
    /// The group.
    pub group_id: GroupId,
    /// Which.
    pub partitions: Vec<(Arc<str>, PartitionIndex)>,
}
