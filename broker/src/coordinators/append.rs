//! What a shard decided becomes one batch of `__consumer_offsets`.
//!
//! Records that stand for themselves (tombstones of old offsets, of which there may be very many) go in as many batches
//! as they need.

use crate::partition::{Leadership, Partition};
use coordinator::record::Record;
use coordinator::record::codec::{self, TextTooLong};
use storage::batch::{self, AppendOrigin, AppendRules, InvalidBatch};
use storage::batch_builder::{BatchBuilder, BatchSpec, BuildError};
use storage::compression::Codec;
use storage::error::AppendError;
use storage::ids::{Offset, TimestampMs};

/// Bytes of records that stand for themselves in one batch. Larger than `max.message.bytes` may be: they would never be
/// written. Smaller: more batches.
pub(super) const PART_BYTES: usize = 256 * 1024;

/// Why what a shard decided is not in the log, or not known to be there for good.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum WriteError {
    /// A text of a client is longer than Kafka's records can hold.
    #[error(transparent)]
    TextTooLong(#[from] TextTooLong),
    /// The records are larger than a batch of the topic may be.
    #[error("what the group would have to write is more than a batch of its topic may hold: {0}")]
    TooLarge(String),
    /// The batch cannot be made: our own mistake, or a topic with settings that no group can be kept under.
    #[error("what the group would have to write is refused: {0}")]
    Refused(String),
    /// The disk is full or has failed.
    #[error("what the group would have to write cannot be stored: {0}")]
    Storage(String),
    /// This node leads the partition no longer.
    #[error("the partition has another leader")]
    NotLeader,
    /// The topic was deleted.
    #[error("the topic that keeps the group was deleted")]
    Deleted,
    /// The replicas did not take it within `offsets.commit.timeout.ms`.
    #[error("what the group wrote was not confirmed in time")]
    TimedOut,
}

/// Whether records belong together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unity {
    /// All or none of them: one batch.
    Whole,
    /// Each for itself: as many batches as they need.
    Parts,
}

/// Appends `records` to the log of `partition` as its leader in the time of `leadership`, and hands each to `applied` with its offset once its batch is in the log.
///
/// # Errors
/// [`WriteError`]; no record has been handed over of the batch that failed and of later ones.
pub(super) fn append(
    partition: &Partition,
    leadership: &Leadership,
    records: &[Record],
    unity: Unity,
    codec: Codec,
    now: TimestampMs,
    mut applied: impl FnMut(&[Record], Offset),
) -> Result<(), WriteError> {
    let spec = BatchSpec { codec, level: default_level(codec), ..BatchSpec::default() };
    let mut builder = BatchBuilder::new(spec);
    let mut begun = 0;
    for (index, record) in records.iter().enumerate() {
        let encoded = codec::encode(record)?;
        builder.push(now, Some(&encoded.key), encoded.value.as_deref(), &[]);
        let is_last = index + 1 == records.len();
        if is_last || (unity == Unity::Parts && builder.records_len() >= PART_BYTES) {
            let base_offset = append_batch(partition, leadership, &builder, now)?;
            applied(records.get(begun..=index).unwrap_or_default(), base_offset);
            begun = index + 1;
            builder = BatchBuilder::new(spec);
        }
    }
    Ok(())
}

fn append_batch(
    partition: &Partition,
    leadership: &Leadership,
    builder: &BatchBuilder,
    now: TimestampMs,
) -> Result<Offset, WriteError> {
    let bytes = builder.build().map_err(|error| of_build(&error))?;
    let rules = AppendRules::of_topic(&partition.log.config(), AppendOrigin::Coordinator, 0);
    let validated = batch::validate(bytes.into(), &rules, now).map_err(|error| of_invalid(&error))?;
    let appended = partition.append(validated, leadership, now).map_err(|error| of_append(&error))?;
    Ok(appended.base_offset)
}

/// The level that Kafka's own compression takes where none is set.
fn default_level(codec: Codec) -> i32 {
    match codec {
        Codec::None | Codec::Snappy => 0,
        Codec::Gzip => -1,
        Codec::Lz4 => 9,
        Codec::Zstd => 3,
    }
}

fn of_build(error: &BuildError) -> WriteError {
    match error {
        BuildError::TooLarge { .. } => WriteError::TooLarge(error.to_string()),
        BuildError::Compress(_) => WriteError::Refused(error.to_string()),
    }
}

fn of_invalid(error: &InvalidBatch) -> WriteError {
    match error {
        InvalidBatch::MessageTooLarge { .. }
        | InvalidBatch::RecordListTooLarge { .. }
        | InvalidBatch::DecompressedTooLarge { .. } => WriteError::TooLarge(error.to_string()),
        InvalidBatch::NoBatch
        | InvalidBatch::CutOff { .. }
        | InvalidBatch::MoreThanOneBatch { .. }
        | InvalidBatch::UnsupportedMagic { .. }
        | InvalidBatch::BadLength { .. }
        | InvalidBatch::BadCrc { .. }
        | InvalidBatch::BadOffsets { .. }
        | InvalidBatch::BaseOffsetNotZero { .. }
        | InvalidBatch::BadRecordCount { .. }
        | InvalidBatch::ControlBatch
        | InvalidBatch::NoSequence { .. }
        | InvalidBatch::UnknownCodec { .. }
        | InvalidBatch::ZstdNotNegotiated { .. }
        | InvalidBatch::MalformedRecords(_)
        | InvalidBatch::Undecompressable(_)
        | InvalidBatch::Recompression(_)
        | InvalidBatch::InvalidRecords { .. }
        | InvalidBatch::InvalidTimestamps { .. } => WriteError::Refused(error.to_string()),
    }
}

fn of_append(error: &AppendError) -> WriteError {
    match error {
        AppendError::Offline(_) | AppendError::DiskFull(_) | AppendError::Disk(_) => {
            WriteError::Storage(error.to_string())
        }
        AppendError::Deleted(_) => WriteError::Deleted,
        AppendError::StaleLeaderEpoch { .. } => WriteError::NotLeader,
        AppendError::Producer(_) | AppendError::BadMarker | AppendError::OffsetOverflow(_) => {
            WriteError::Refused(error.to_string())
        }
    }
}
