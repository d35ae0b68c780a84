//! How operations on a log and on a log directory fail, one enum for each family.

use std::path::PathBuf;

use crate::batch::BatchError;
use crate::disk::DiskError;
use crate::ids::{LeaderEpoch, Offset, TopicPartition};
use crate::producer_state::ProducerStateError;

/// Why a batch was not appended. Nothing has changed then, and nothing of the batch is in the log.
#[derive(Debug, thiserror::Error)]
pub enum AppendError {
    /// The log directory failed earlier, or the log is closed.
    #[error("the log directory of {0} is offline")]
    Offline(TopicPartition),
    /// The log was deleted.
    #[error("{0} was deleted")]
    Deleted(TopicPartition),
    /// Too little space is left on the disk. Appends work again once there is more.
    #[error("the disk that holds {0} is full")]
    DiskFull(TopicPartition),
    /// The caller's leader epoch is over.
    #[error("leader epoch {epoch} is older than {latest}")]
    StaleLeaderEpoch {
        /// The epoch of the append.
        epoch: LeaderEpoch,
        /// The newest epoch of the log.
        latest: LeaderEpoch,
    },
    /// The producer may not append this batch.
    #[error(transparent)]
    Producer(#[from] ProducerStateError),
    /// A control batch holds no marker that could be read.
    #[error("the control batch cannot be read")]
    BadMarker,
    /// The offsets of the partition are used up.
    #[error("the offsets of {0} are used up")]
    OffsetOverflow(TopicPartition),
    /// The disk failed. The log directory is offline from now on.
    #[error(transparent)]
    Disk(DiskError),
}

/// Why what a leader sent was not appended. The batches before the one that failed are in the log.
#[derive(Debug, thiserror::Error)]
pub enum FollowerAppendError {
    /// The log directory failed earlier, or the log is closed.
    #[error("the log directory of {0} is offline")]
    Offline(TopicPartition),
    /// The log was deleted.
    #[error("{0} was deleted")]
    Deleted(TopicPartition),
    /// Too little space is left on the disk. Appends work again once there is more.
    #[error("the disk that holds {0} is full")]
    DiskFull(TopicPartition),
    /// The bytes are no row of whole batches. Nothing of them was appended.
    #[error("the leader's records are damaged at byte {position}: {source}")]
    BadBatch {
        /// Where in the bytes the batch starts.
        position: usize,
        /// What is wrong with it.
        source: BatchError,
    },
    /// A batch begins before the log, or the batch before it, ends. Nothing was appended.
    #[error("the leader's batch at offset {base_offset} begins before offset {next_offset}")]
    OffsetWentBack {
        /// Where the batch begins.
        base_offset: Offset,
        /// Where it could begin at the earliest.
        next_offset: Offset,
    },
    /// A batch is of an epoch before the newest one of the log, or of none. Nothing was appended.
    #[error("the leader's batch at offset {base_offset} is of epoch {epoch}, after epoch {latest}")]
    EpochWentBack {
        /// Where the batch begins.
        base_offset: Offset,
        /// Its epoch.
        epoch: LeaderEpoch,
        /// The newest epoch before it, or [`LeaderEpoch::NONE`].
        latest: LeaderEpoch,
    },
    /// The disk failed. The log directory is offline from now on.
    #[error(transparent)]
    Disk(DiskError),
}

impl From<TruncateError> for FollowerAppendError {
    /// A log that starts over for an append has nothing to read, and fails as an append does.
    fn from(error: TruncateError) -> Self {
        match error {
            TruncateError::Offline(partition) => Self::Offline(partition),
            TruncateError::Deleted(partition) => Self::Deleted(partition),
            TruncateError::DiskFull(partition) => Self::DiskFull(partition),
            TruncateError::Disk(error) => Self::Disk(error),
            TruncateError::Read(_) => unreachable!("an empty log is not read to start over"),
        }
    }
}

/// Why a log was not cut.
#[derive(Debug, thiserror::Error)]
pub enum TruncateError {
    /// The log directory failed earlier, or the log is closed.
    #[error("the log directory of {0} is offline")]
    Offline(TopicPartition),
    /// The log was deleted.
    #[error("{0} was deleted")]
    Deleted(TopicPartition),
    /// The disk has no space for what a cut writes. The log is as it was; a later call may succeed.
    #[error("the disk that holds {0} is full")]
    DiskFull(TopicPartition),
    /// What stays cannot be read. The log is as it was.
    #[error(transparent)]
    Read(ReadError),
    /// The disk failed. The log directory is offline from now on.
    #[error(transparent)]
    Disk(DiskError),
}

/// Why a read or a look-up has no answer.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The log does not hold the offset.
    #[error("offset {from} is outside of {log_start_offset} to {log_end_offset}")]
    OutOfRange {
        /// What was asked for.
        from: Offset,
        /// The first offset that could be read.
        log_start_offset: Offset,
        /// The exclusive end of the log.
        log_end_offset: Offset,
    },
    /// The file holds something else than what was written.
    #[error("{} is damaged at byte {position}: {source}", path.display())]
    Corrupt {
        /// The segment's file.
        path: PathBuf,
        /// Where the batch starts.
        position: u64,
        /// What is wrong with it.
        source: BatchError,
    },
    /// The records of a batch cannot be read.
    #[error("{} holds unreadable records at byte {position}", path.display())]
    UnreadableRecords {
        /// The segment's file.
        path: PathBuf,
        /// Where the batch starts.
        position: u64,
    },
    /// The disk failed.
    #[error(transparent)]
    Disk(#[from] DiskError),
}

/// Why a round of compaction ended early. The log is whole then; what the round did so far, it keeps.
#[derive(Debug, thiserror::Error)]
pub enum CleanError {
    /// It was told to stop, or the log was deleted or cut.
    #[error("compaction was stopped")]
    Stopped,
    /// A batch cannot be read, so that nothing of the log may be taken for old.
    #[error("{} is damaged at byte {position}: {problem}", path.display())]
    Unreadable {
        /// The segment's file.
        path: PathBuf,
        /// Where the batch starts.
        position: u64,
        /// What is wrong with it.
        problem: String,
    },
    /// The disk failed while the log was read.
    #[error(transparent)]
    Read(DiskError),
    /// The disk is full or failed while a segment was written. Unless it was only full, the log directory is offline.
    #[error(transparent)]
    Write(DiskError),
}

/// Why a log directory cannot be opened. Each is one sentence for the person who starts the node.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Another process holds the lock.
    #[error("{} is in use by another process: stop that one, or name another directory (log.dirs)", path.display())]
    Locked {
        /// The log directory.
        path: PathBuf,
    },
    /// Apache Kafka formatted it.
    #[error("{} was formatted by Apache Kafka: give this node a directory of its own", path.display())]
    FormattedByKafka {
        /// The log directory.
        path: PathBuf,
    },
    /// It holds partitions, and no `meta.properties` that says whose they are.
    #[error(
        "{} holds partitions ({found}) and no meta.properties that says whose they are: restore that file from a copy, or \
         give this node a directory of its own (log.dirs)",
        path.display()
    )]
    Unclaimed {
        /// The log directory.
        path: PathBuf,
        /// One of the partitions.
        found: String,
    },
    /// A newer version wrote it.
    #[error(
        "{} was written by a newer version (its format is {found}, this version knows {known}): start the version that \
         wrote it",
        path.display()
    )]
    NewerFormat {
        /// The log directory.
        path: PathBuf,
        /// What it says.
        found: String,
        /// What this version knows.
        known: u32,
    },
    /// `meta.properties` cannot be understood.
    #[error("{} cannot be read: {problem}", path.display())]
    BadMetaProperties {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        problem: String,
    },
    /// The directory belongs to another cluster or node.
    #[error(
        "{} belongs to {key} {found}, not to {wanted}: give this node its own directory (log.dirs){}",
        path.display(),
        if *key == "node.id" { format!(", or set node.id={found}") } else { String::new() }
    )]
    Foreign {
        /// The log directory.
        path: PathBuf,
        /// `cluster.id` or `node.id`.
        key: &'static str,
        /// What the directory says.
        found: String,
        /// What this node is.
        wanted: String,
    },
    /// The disk failed.
    #[error(transparent)]
    Disk(#[from] DiskError),
}

/// The failure that took a log directory offline.
#[derive(Debug)]
pub struct LogDirFailure {
    /// The log directory.
    pub path: PathBuf,
    /// What failed.
    pub error: DiskError,
}
