//! Why a group refuses. The broker gives each its Kafka code; a `String` is the sentence that the client gets with it.

use crate::ids::MemberId;

/// Why a request of a member, or about a group, is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum GroupError {
    /// The group id is empty where it may not be.
    #[error("the group id is not valid")]
    InvalidGroupId,
    /// There is no such group, or it is of another kind.
    #[error("{0}")]
    GroupIdNotFound(String),
    /// The group has members.
    #[error("the group is not empty")]
    NonEmptyGroup,
    /// The group has as many members as it may.
    #[error("{0}")]
    GroupMaxSizeReached(String),
    /// Nobody of this id is in the group.
    #[error("{0}")]
    UnknownMemberId(String),
    /// A new member must come back with this id. Source: KIP-394.
    #[error("the member has to join again with the id {0}")]
    MemberIdRequired(MemberId),
    /// Another member has taken over the instance id.
    #[error("another member uses the instance id")]
    FencedInstanceId,
    /// The instance id belongs to a member that has not left.
    #[error("{0}")]
    UnreleasedInstanceId(String),
    /// The generation is not the group's.
    #[error("the generation is not that of the group")]
    IllegalGeneration,
    /// The member's epoch is not the one that the group knows.
    #[error("{0}")]
    FencedMemberEpoch(String),
    /// The epoch of the one who commits is older than the member's.
    #[error("{0}")]
    StaleMemberEpoch(String),
    /// The group is being rebalanced: the member has to join again.
    #[error("the group is rebalancing")]
    RebalanceInProgress,
    /// The member has no protocol in common with the others, or another protocol type.
    #[error("the member supports no protocol that the group can use")]
    InconsistentGroupProtocol,
    /// `session.timeout.ms` is out of the range that the broker allows.
    #[error("the session timeout is out of range")]
    InvalidSessionTimeout,
    /// The broker has no such assignor.
    #[error("{0}")]
    UnsupportedAssignor(String),
    /// The pattern cannot be read.
    #[error("{0}")]
    InvalidRegularExpression(String),
    /// The request contradicts itself.
    #[error("{0}")]
    InvalidRequest(String),
    /// The group still subscribes to the topic.
    #[error("the group is subscribed to the topic")]
    GroupSubscribedToTopic,
    /// The topic is gone since the request was sent.
    #[error("there is no such topic")]
    UnknownTopic,
    /// As [`Self::UnknownTopic`], told to a client that names topics by their ids.
    #[error("there is no topic of this id")]
    UnknownTopicId,
    /// The text beside an offset is too long.
    #[error("the metadata of the offset is too long")]
    OffsetMetadataTooLarge,
    /// The request cannot be served to this kind of group.
    #[error("{0}")]
    UnsupportedVersion(String),
    /// The group's state cannot be written, since it would be too large.
    #[error("the group has too many members or too much metadata")]
    RecordTooLarge,
    /// The group is led by another node now, or what it was asked could not be written: whoever asked is to look for
    /// the coordinator again.
    #[error("the group is coordinated elsewhere")]
    NotCoordinator,
}
