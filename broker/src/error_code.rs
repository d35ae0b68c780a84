//! The only place where our failures become Kafka's error codes. No match has a wildcard arm, so a new failure must
//! find its code here.

use crate::api::delete_records::DeletionError;
use crate::api::fetch::FetchError;
use crate::api::list_offsets::ListOffsetsError;
use crate::api::produce::ProduceError;
use crate::coordinators::{CoordinatorError, OffsetsTopicError, WriteError};
use crate::fetch_sessions::SessionError;
use crate::loggers::LoggerError;
use crate::partition::DeleteRecordsError;
use crate::producer_ids::ProducerIdsError;
use crate::quorum::ProposeError;
use crate::telemetry::TelemetryError;
use crate::topics::CreateOnFirstUseError;
use coordinator::error::GroupError;
use kafka_protocol::ResponseError;
use replication::controller::brokers::UnregisterBrokerError;
use replication::controller::client_quotas::AlterQuotaError;
use replication::controller::configs::AlterConfigError;
use replication::controller::elections::ElectLeaderError;
use replication::controller::features::UpdateFeatureError;
use replication::controller::partitions::CreatePartitionsError;
use replication::controller::producer_ids::AllocateProducerIdsError;
use replication::controller::reassignments::ReassignError;
use replication::controller::topics::{CreateTopicError, DeleteTopicError};
use storage::batch::InvalidBatch;
use storage::error::{AppendError, ReadError};
use storage::producer_state::ProducerStateError;

/// Source: `ProduceRequest.java`, `ReplicaManager.appendRecordsToLeader`.
pub(crate) fn of_produce(error: &ProduceError) -> ResponseError {
    match error {
        ProduceError::RequiredAcks => ResponseError::InvalidRequiredAcks,
        ProduceError::UnknownTopic | ProduceError::Deleted => ResponseError::UnknownTopicOrPartition,
        ProduceError::UnknownTopicId => ResponseError::UnknownTopicId,
        ProduceError::NotEnoughReplicas => ResponseError::NotEnoughReplicas,
        ProduceError::NotEnoughReplicasAfterAppend => ResponseError::NotEnoughReplicasAfterAppend,
        ProduceError::NotLeader => ResponseError::NotLeaderOrFollower,
        ProduceError::InternalTopic => ResponseError::InvalidTopicException,
        ProduceError::Transactional => ResponseError::InvalidTxnState,
        ProduceError::Invalid(error) => of_invalid_batch(error),
        ProduceError::Append(error) => of_append(error),
        ProduceError::TimedOut => ResponseError::RequestTimedOut,
        ProduceError::LogDirectoryFailed | ProduceError::TooManyBusyPartitions => {
            ResponseError::KafkaStorageError
        }
    }
}

/// Source: `LogValidator.java`, `DefaultRecordBatch.ensureValid`, `ProduceRequest.validateRecords`.
fn of_invalid_batch(error: &InvalidBatch) -> ResponseError {
    match error {
        InvalidBatch::NoBatch
        | InvalidBatch::CutOff { .. }
        | InvalidBatch::MoreThanOneBatch { .. }
        | InvalidBatch::UnsupportedMagic { .. }
        | InvalidBatch::BadOffsets { .. }
        | InvalidBatch::BaseOffsetNotZero { .. }
        | InvalidBatch::BadRecordCount { .. }
        | InvalidBatch::ControlBatch
        | InvalidBatch::NoSequence { .. }
        | InvalidBatch::MalformedRecords(_)
        | InvalidBatch::Undecompressable(_)
        | InvalidBatch::InvalidRecords { .. } => ResponseError::InvalidRecord,
        InvalidBatch::BadLength { .. } | InvalidBatch::BadCrc { .. } => ResponseError::CorruptMessage,
        InvalidBatch::MessageTooLarge { .. } | InvalidBatch::DecompressedTooLarge { .. } => {
            ResponseError::MessageTooLarge
        }
        InvalidBatch::RecordListTooLarge { .. } => ResponseError::RecordListTooLarge,
        // Kafka's own answer: `CompressionType.forId` throws what it has no code for.
        InvalidBatch::UnknownCodec { .. } | InvalidBatch::Recompression(_) => {
            ResponseError::UnknownServerError
        }
        InvalidBatch::ZstdNotNegotiated { .. } => ResponseError::UnsupportedCompressionType,
        InvalidBatch::InvalidTimestamps { .. } => ResponseError::InvalidTimestamp,
    }
}

/// Source: `UnifiedLog.append`, `ReplicaManager.appendRecordsToLeader`.
fn of_append(error: &AppendError) -> ResponseError {
    match error {
        AppendError::Offline(_) | AppendError::DiskFull(_) | AppendError::Disk(_) => {
            ResponseError::KafkaStorageError
        }
        AppendError::Deleted(_) => ResponseError::UnknownTopicOrPartition,
        AppendError::StaleLeaderEpoch { .. } => ResponseError::NotLeaderOrFollower,
        AppendError::Producer(error) => of_producer_state(error),
        AppendError::BadMarker => ResponseError::InvalidRecord,
        AppendError::OffsetOverflow(_) => ResponseError::UnknownServerError,
    }
}

/// Source: `ProducerAppendInfo.java`.
fn of_producer_state(error: &ProducerStateError) -> ResponseError {
    match error {
        ProducerStateError::OutOfOrderSequence { .. } => ResponseError::OutOfOrderSequenceNumber,
        ProducerStateError::DuplicateSequence { .. } => ResponseError::DuplicateSequenceNumber,
        ProducerStateError::InvalidProducerEpoch { .. } => ResponseError::InvalidProducerEpoch,
        ProducerStateError::TransactionOpen { .. } => ResponseError::InvalidTxnState,
        ProducerStateError::CoordinatorFenced { .. } => ResponseError::TransactionCoordinatorFenced,
    }
}

/// Source: `FetchRequest.java`, `ReplicaManager.readFromLog`.
pub(crate) fn of_fetch(error: &FetchError) -> ResponseError {
    match error {
        FetchError::UnknownTopic => ResponseError::UnknownTopicOrPartition,
        FetchError::UnknownTopicId => ResponseError::UnknownTopicId,
        FetchError::FencedLeaderEpoch { .. } => ResponseError::FencedLeaderEpoch,
        FetchError::UnknownLeaderEpoch { .. } => ResponseError::UnknownLeaderEpoch,
        FetchError::NotLeader => ResponseError::NotLeaderOrFollower,
        FetchError::Read(error) => of_read(error),
    }
}

/// Source: `Partition.deleteRecordsOnLeader`, `DelayedDeleteRecords`.
pub(crate) fn of_deletion(error: &DeletionError) -> ResponseError {
    match error {
        DeletionError::UnknownTopic => ResponseError::UnknownTopicOrPartition,
        DeletionError::InternalTopic => ResponseError::InvalidTopicException,
        DeletionError::Compacted => ResponseError::PolicyViolation,
        DeletionError::Refused(DeleteRecordsError::NotLeader) => ResponseError::NotLeaderOrFollower,
        DeletionError::Refused(DeleteRecordsError::OutOfRange { .. }) => ResponseError::OffsetOutOfRange,
        DeletionError::NotWritten => ResponseError::KafkaStorageError,
        DeletionError::TimedOut { .. } => ResponseError::RequestTimedOut,
    }
}

fn of_read(error: &ReadError) -> ResponseError {
    match error {
        ReadError::OutOfRange { .. } => ResponseError::OffsetOutOfRange,
        ReadError::Corrupt { .. } | ReadError::UnreadableRecords { .. } => ResponseError::CorruptMessage,
        ReadError::Disk(_) => ResponseError::KafkaStorageError,
    }
}

/// Source: KIP-227, KIP-516.
pub(crate) fn of_fetch_session(error: SessionError) -> ResponseError {
    match error {
        SessionError::NotFound => ResponseError::FetchSessionIdNotFound,
        SessionError::InvalidEpoch => ResponseError::InvalidFetchSessionEpoch,
        SessionError::TopicIdUse => ResponseError::FetchSessionTopicIdError,
    }
}

/// Source: `ListOffsetsRequest.java`, `KafkaApis.handleListOffsetRequest`.
pub(crate) fn of_list_offsets(error: &ListOffsetsError) -> ResponseError {
    match error {
        ListOffsetsError::Duplicate => ResponseError::InvalidRequest,
        ListOffsetsError::UnknownTopic => ResponseError::UnknownTopicOrPartition,
        ListOffsetsError::UnsupportedTimestamp { .. } => ResponseError::UnsupportedVersion,
        ListOffsetsError::NotAvailable { is_known_to_client: true } => ResponseError::OffsetNotAvailable,
        ListOffsetsError::NotAvailable { is_known_to_client: false } => ResponseError::LeaderNotAvailable,
        ListOffsetsError::LeaderEpoch(error) => of_fetch(error),
        ListOffsetsError::Read(error) => of_read(error),
    }
}

/// Source: `ReplicationControlManager.createTopic`, kafka-topics' expectations.
pub(crate) fn of_create_topic(error: &CreateTopicError) -> ResponseError {
    match error {
        CreateTopicError::InvalidName(_) | CreateTopicError::Collides { .. } => {
            ResponseError::InvalidTopicException
        }
        CreateTopicError::AlreadyExists { .. } => ResponseError::TopicAlreadyExists,
        CreateTopicError::DuplicateName
        | CreateTopicError::MetadataTopic
        | CreateTopicError::ReplicationFactorBesideAssignment
        | CreateTopicError::PartitionsBesideAssignment => ResponseError::InvalidRequest,
        CreateTopicError::InvalidPartitions => ResponseError::InvalidPartitions,
        CreateTopicError::InvalidReplicationFactor | CreateTopicError::NotPlaced { .. } => {
            ResponseError::InvalidReplicationFactor
        }
        CreateTopicError::InvalidAssignment(_) => ResponseError::InvalidReplicaAssignment,
        CreateTopicError::NullConfigs { .. } => ResponseError::InvalidConfig,
        CreateTopicError::InvalidConfig(error) => of_alter_config(error),
        CreateTopicError::QuotaExceeded(_) => ResponseError::ThrottlingQuotaExceeded,
        CreateTopicError::RequestTooLarge
        | CreateTopicError::TooManyTopics
        | CreateTopicError::TooManyPartitions => ResponseError::PolicyViolation,
    }
}

/// Source: `ReplicationControlManager.createPartitions`.
pub(crate) fn of_create_partitions(error: &CreatePartitionsError) -> ResponseError {
    match error {
        CreatePartitionsError::DuplicateName => ResponseError::InvalidRequest,
        CreatePartitionsError::UnknownTopic => ResponseError::UnknownTopicOrPartition,
        CreatePartitionsError::Unchanged { .. } | CreatePartitionsError::NoIncrease { .. } => {
            ResponseError::InvalidPartitions
        }
        CreatePartitionsError::AssignmentCount { .. } | CreatePartitionsError::InvalidAssignment(_) => {
            ResponseError::InvalidReplicaAssignment
        }
        CreatePartitionsError::NotPlaced { .. } => ResponseError::InvalidReplicationFactor,
        CreatePartitionsError::QuotaExceeded(_) => ResponseError::ThrottlingQuotaExceeded,
        CreatePartitionsError::RequestTooLarge | CreatePartitionsError::TooManyPartitions => {
            ResponseError::PolicyViolation
        }
    }
}

/// Source: `ReplicationControlManager.electLeader`.
pub(crate) fn of_elect_leader(error: &ElectLeaderError) -> ResponseError {
    match error {
        ElectLeaderError::UnknownTopic | ElectLeaderError::UnknownPartition => {
            ResponseError::UnknownTopicOrPartition
        }
        ElectLeaderError::NotNeeded => ResponseError::ElectionNotNeeded,
        ElectLeaderError::PreferredLeaderNotAvailable => ResponseError::PreferredLeaderNotAvailable,
        ElectLeaderError::EligibleLeadersNotAvailable => ResponseError::EligibleLeadersNotAvailable,
        ElectLeaderError::TooMany => ResponseError::PolicyViolation,
    }
}

/// Source: `ReplicationControlManager.alterPartitionReassignment`.
pub(crate) fn of_reassign(error: &ReassignError) -> ResponseError {
    match error {
        ReassignError::UnknownPartition { .. } | ReassignError::UnknownTopic { .. } => {
            ResponseError::UnknownTopicOrPartition
        }
        ReassignError::DuplicatePartition { .. } => ResponseError::InvalidRequest,
        ReassignError::NoReassignmentInProgress => ResponseError::NoReassignmentInProgress,
        ReassignError::InvalidAssignment(_) | ReassignError::Unclean { .. } => {
            ResponseError::InvalidReplicaAssignment
        }
        ReassignError::ReplicationFactorChanged { .. } => ResponseError::InvalidReplicationFactor,
        ReassignError::RequestTooLarge => ResponseError::PolicyViolation,
    }
}

/// Source: `ReplicationControlManager.unregisterBroker`; who must stay is Kafka's to remove, not ours.
pub(crate) fn of_unregister_broker(error: &UnregisterBrokerError) -> ResponseError {
    match error {
        UnregisterBrokerError::NotRegistered { .. } => ResponseError::BrokerIdNotRegistered,
        UnregisterBrokerError::Running { .. } | UnregisterBrokerError::LastInSync { .. } => {
            ResponseError::InvalidRequest
        }
        UnregisterBrokerError::Unfinished { .. } => ResponseError::RequestTimedOut,
    }
}

/// Source: `KafkaApis.metadataResponseTopic`, `AutoTopicCreationManager`.
pub(crate) fn of_create_on_first_use(error: &CreateOnFirstUseError) -> ResponseError {
    match error {
        CreateOnFirstUseError::Refused(error) => match of_create_topic(error) {
            ResponseError::InvalidTopicException => ResponseError::InvalidTopicException,
            _ => ResponseError::UnknownTopicOrPartition,
        },
        // The codes of a controller mean nothing to who asks for metadata; this one every client waits for.
        CreateOnFirstUseError::Propose(_) => ResponseError::LeaderNotAvailable,
        CreateOnFirstUseError::TooMany => ResponseError::UnknownTopicOrPartition,
    }
}

/// Source: `ReplicationControlManager.deleteTopics`, `ControllerApis.deleteTopics`.
pub(crate) fn of_delete_topic(error: &DeleteTopicError) -> ResponseError {
    match error {
        DeleteTopicError::UnknownTopic => ResponseError::UnknownTopicOrPartition,
        DeleteTopicError::UnknownTopicId => ResponseError::UnknownTopicId,
        DeleteTopicError::DuplicateName | DeleteTopicError::DuplicateId | DeleteTopicError::NameOfGivenId => {
            ResponseError::InvalidRequest
        }
        DeleteTopicError::QuotaExceeded(_) => ResponseError::ThrottlingQuotaExceeded,
    }
}

/// Source: `ClientMetricsManager.processPushTelemetryRequest`.
pub(crate) fn of_telemetry(error: TelemetryError) -> ResponseError {
    match error {
        TelemetryError::SwitchedOff => ResponseError::UnsupportedVersion,
        TelemetryError::InvalidInstanceId | TelemetryError::Terminated => ResponseError::InvalidRequest,
        TelemetryError::TooSoon => ResponseError::ThrottlingQuotaExceeded,
        TelemetryError::UnknownSubscription => ResponseError::UnknownSubscriptionId,
        TelemetryError::UnsupportedCompression => ResponseError::UnsupportedCompressionType,
        TelemetryError::TooLarge => ResponseError::TelemetryTooLarge,
        TelemetryError::InvalidMetrics => ResponseError::InvalidRecord,
    }
}

/// Source: `ConfigurationControlManager.incrementalAlterConfigResource`.
pub(crate) fn of_alter_config(error: &AlterConfigError) -> ResponseError {
    match error {
        AlterConfigError::DuplicateResource
        | AlterConfigError::DuplicateKey
        | AlterConfigError::NullValue { .. }
        | AlterConfigError::InvalidRequest { .. }
        | AlterConfigError::UnknownBroker { .. } => ResponseError::InvalidRequest,
        AlterConfigError::NotAList { .. }
        | AlterConfigError::ValueTooLong { .. }
        | AlterConfigError::InvalidConfig { .. } => ResponseError::InvalidConfig,
        AlterConfigError::TooManyGroups | AlterConfigError::TooManySubscriptions => {
            ResponseError::PolicyViolation
        }
        AlterConfigError::UnknownTopic { .. } => ResponseError::UnknownTopicOrPartition,
    }
}

/// Source: `RuntimeLoggerManager.validateLogLevelConfigs`.
pub(crate) fn of_logger(error: &LoggerError) -> ResponseError {
    match error {
        LoggerError::UnknownLogger { .. } | LoggerError::UnknownLevel { .. } => ResponseError::InvalidConfig,
        LoggerError::Duplicate
        | LoggerError::NoLevel { .. }
        | LoggerError::RootWithoutLevel
        | LoggerError::Operation { .. } => ResponseError::InvalidRequest,
    }
}

/// Source: `ClientQuotaControlManager.alterClientQuotaEntity`.
pub(crate) fn of_alter_quota(error: &AlterQuotaError) -> ResponseError {
    match error {
        AlterQuotaError::DuplicateEntity
        | AlterQuotaError::EmptyEntity
        | AlterQuotaError::DuplicatePart { .. }
        | AlterQuotaError::UnknownPart { .. }
        | AlterQuotaError::Address
        | AlterQuotaError::EmptyName { .. }
        | AlterQuotaError::NameTooLong { .. }
        | AlterQuotaError::DuplicateKey { .. }
        | AlterQuotaError::UnknownKey { .. }
        | AlterQuotaError::NotPositive { .. }
        | AlterQuotaError::Fractional { .. }
        | AlterQuotaError::NotAnAddress { .. }
        | AlterQuotaError::TooLargeInt { .. }
        | AlterQuotaError::TooLarge { .. } => ResponseError::InvalidRequest,
        AlterQuotaError::TooManyEntities => ResponseError::PolicyViolation,
    }
}

/// Source: `FeatureControlManager.updateFeature`.
pub(crate) fn of_update_feature(error: &UpdateFeatureError) -> ResponseError {
    match error {
        UpdateFeatureError::InvalidLevel { .. }
        | UpdateFeatureError::MetadataDowngrade { .. }
        | UpdateFeatureError::UnsafeMetadataDowngrade { .. } => ResponseError::InvalidUpdateVersion,
    }
}

/// Source: `KafkaApis.handleInitProducerIdRequest`, `RPCProducerIdManager`.
pub(crate) fn of_producer_ids(error: &ProducerIdsError) -> ResponseError {
    match error {
        // Kafka's broker answers so while it has no block, and clients try again.
        ProducerIdsError::Propose(_)
        | ProducerIdsError::Refused(AllocateProducerIdsError::StaleBrokerEpoch { .. }) => {
            ResponseError::CoordinatorLoadInProgress
        }
        ProducerIdsError::Refused(AllocateProducerIdsError::Exhausted) => ResponseError::UnknownServerError,
    }
}

/// Source: `ForwardingManager`, `ControllerApis`: what a broker answers for a controller that does not.
pub(crate) fn of_propose(error: &ProposeError) -> ResponseError {
    match error {
        ProposeError::NotController | ProposeError::LeadLost => ResponseError::NotController,
        ProposeError::Busy => ResponseError::ThrottlingQuotaExceeded,
        ProposeError::TimedOut => ResponseError::RequestTimedOut,
        ProposeError::Stopped => ResponseError::BrokerNotAvailable,
    }
}

/// Source: `KafkaApis.getCoordinator`: while the topic is not there, clients try again.
pub(crate) fn of_offsets_topic(error: &OffsetsTopicError) -> ResponseError {
    match error {
        OffsetsTopicError::Refused(_) | OffsetsTopicError::Propose(_) => {
            ResponseError::CoordinatorNotAvailable
        }
    }
}

/// A coordinator that has too much to do is asked again later; one that loads says so itself.
/// Source: `CoordinatorRuntime`, `CoordinatorOperationExceptionHelper`.
pub(crate) fn of_coordinator(error: &CoordinatorError) -> ResponseError {
    match error {
        CoordinatorError::NotCoordinator => ResponseError::NotCoordinator,
        CoordinatorError::Loading => ResponseError::CoordinatorLoadInProgress,
        CoordinatorError::Busy => ResponseError::CoordinatorNotAvailable,
        CoordinatorError::Write(error) => of_coordinator_write(error),
        CoordinatorError::Group(error) => of_group(error),
    }
}

fn of_coordinator_write(error: &WriteError) -> ResponseError {
    match error {
        WriteError::TextTooLong(_) | WriteError::TooLarge(_) | WriteError::Refused(_) => {
            ResponseError::UnknownServerError
        }
        WriteError::Storage(_) | WriteError::NotLeader => ResponseError::NotCoordinator,
        WriteError::Deleted | WriteError::TimedOut => ResponseError::CoordinatorNotAvailable,
    }
}

/// Source: `GroupMetadataManager.java`, `OffsetMetadataManager.java`.
pub(crate) fn of_group(error: &GroupError) -> ResponseError {
    match error {
        GroupError::InvalidGroupId => ResponseError::InvalidGroupId,
        GroupError::GroupIdNotFound(_) => ResponseError::GroupIdNotFound,
        GroupError::NonEmptyGroup => ResponseError::NonEmptyGroup,
        GroupError::GroupMaxSizeReached(_) => ResponseError::GroupMaxSizeReached,
        GroupError::UnknownMemberId(_) => ResponseError::UnknownMemberId,
        GroupError::MemberIdRequired(_) => ResponseError::MemberIdRequired,
        GroupError::FencedInstanceId => ResponseError::FencedInstanceId,
        GroupError::UnreleasedInstanceId(_) => ResponseError::UnreleasedInstanceId,
        GroupError::IllegalGeneration => ResponseError::IllegalGeneration,
        GroupError::FencedMemberEpoch(_) => ResponseError::FencedMemberEpoch,
        GroupError::StaleMemberEpoch(_) => ResponseError::StaleMemberEpoch,
        GroupError::RebalanceInProgress => ResponseError::RebalanceInProgress,
        GroupError::InconsistentGroupProtocol => ResponseError::InconsistentGroupProtocol,
        GroupError::InvalidSessionTimeout => ResponseError::InvalidSessionTimeout,
        GroupError::UnsupportedAssignor(_) => ResponseError::UnsupportedAssignor,
        GroupError::InvalidRegularExpression(_) => ResponseError::InvalidRegularExpression,
        GroupError::InvalidRequest(_) => ResponseError::InvalidRequest,
        GroupError::GroupSubscribedToTopic => ResponseError::GroupSubscribedToTopic,
        GroupError::UnknownTopic => ResponseError::UnknownTopicOrPartition,
        GroupError::UnknownTopicId => ResponseError::UnknownTopicId,
        GroupError::OffsetMetadataTooLarge => ResponseError::OffsetMetadataTooLarge,
        GroupError::UnsupportedVersion(_) => ResponseError::UnsupportedVersion,
        GroupError::RecordTooLarge => ResponseError::UnknownServerError,
        GroupError::NotCoordinator => ResponseError::NotCoordinator,
    }
}

#[cfg(test)]
mod tests {
    use super::{of_coordinator, of_fetch, of_list_offsets, of_produce, of_propose};
    use crate::api::fetch::FetchError;
    use crate::api::list_offsets::ListOffsetsError;
    use crate::api::produce::ProduceError;
    use crate::coordinators::CoordinatorError;
    use crate::quorum::ProposeError;
    use kafka_protocol::ResponseError;
    use storage::error::ReadError;
    use storage::ids::{LeaderEpoch, Offset};

    /// Who is told that a coordinator loads waits for it; the other code sends a client to ask where the coordinator is.
    #[test]
    fn coordinator_with_too_much_to_do_does_not_say_that_it_loads() {
        assert_eq!(of_coordinator(&CoordinatorError::Busy), ResponseError::CoordinatorNotAvailable);
        assert_eq!(of_coordinator(&CoordinatorError::Loading), ResponseError::CoordinatorLoadInProgress);
    }

    /// What a client does about an error rests on this property of its code. Source: `Errors.java`, where the exception
    /// of each extends `RetriableException` or does not.
    #[test]
    fn what_may_pass_is_retriable_and_what_is_lost_is_not() {
        let retriable = [
            of_produce(&ProduceError::TimedOut),
            of_produce(&ProduceError::NotLeader),
            of_produce(&ProduceError::NotEnoughReplicas),
            of_produce(&ProduceError::NotEnoughReplicasAfterAppend),
            of_produce(&ProduceError::LogDirectoryFailed),
            of_produce(&ProduceError::TooManyBusyPartitions),
            of_produce(&ProduceError::UnknownTopicId),
            of_propose(&ProposeError::NotController),
            of_propose(&ProposeError::LeadLost),
            of_propose(&ProposeError::TimedOut),
            of_propose(&ProposeError::Busy),
            of_fetch(&FetchError::UnknownTopic),
        ];
        for error in retriable {
            assert!(error.is_retriable(), "{error:?}");
        }
        let final_ones = [of_produce(&ProduceError::RequiredAcks), of_produce(&ProduceError::InternalTopic)];
        for error in final_ones {
            assert!(!error.is_retriable(), "{error:?}");
        }
    }

    #[test]
    fn reads_outside_the_log_and_epochs_of_other_leaders_have_their_own_codes() {
        let out_of_range =
            ReadError::OutOfRange { from: Offset(9), log_start_offset: Offset(0), log_end_offset: Offset(5) };
        assert_eq!(of_fetch(&FetchError::Read(out_of_range)), ResponseError::OffsetOutOfRange);
        let [asked, current] = [1, 2].map(LeaderEpoch);
        assert_eq!(
            of_fetch(&FetchError::FencedLeaderEpoch { asked, current }),
            ResponseError::FencedLeaderEpoch
        );
        let unknown = FetchError::UnknownLeaderEpoch { asked: current, current: asked };
        assert_eq!(
            of_list_offsets(&ListOffsetsError::LeaderEpoch(unknown)),
            ResponseError::UnknownLeaderEpoch
        );
    }
}
