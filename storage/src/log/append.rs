//! Appending: the producer's check, the copy into the mapping and the publication of the new end, under one lock.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use crate::batch::{
    AppendOrigin, BatchHeader, EndTransactionMarker, NO_SEQUENCE, POSITION_LEN, TransactionResult,
    ValidatedBatch,
};
use crate::disk::{Disk, DiskError};
use crate::error::AppendError;
use crate::ids::{LeaderEpoch, Offset, TimestampMs};
use crate::producer_state::{CompletedTransaction, ProducerStates, Verdict};
use crate::segment::PartitionDirectory;

use super::Log;
use super::writer::{ActiveWriter, zero_block};

/// Where a batch is in the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Appended {
    /// Of its first record.
    pub base_offset: Offset,
    /// Exclusive. The batch is on the disk once `flushed_end_offset` has reached this, also where it is a duplicate.
    pub end_offset: Offset,
    /// When the broker appended it, [`TimestampMs::NONE`] where the producer's timestamps count.
    pub log_append_time: TimestampMs,
    /// The first offset of the log that may be read.
    pub log_start_offset: Offset,
    /// It was in the log already, and was not appended again.
    pub is_duplicate: bool,
}

/// What only an append changes: the state behind the append lock.
pub(crate) struct Appender<D: Disk> {
    pub(crate) directory: Arc<PartitionDirectory>,
    /// The active segment, once something was appended to it since it was opened. Boxed: most partitions of a node with
    /// many of them have none.
    pub(super) writer: Option<Box<ActiveWriter<D>>>,
    pub(crate) producers: ProducerStates,
    pub(super) high_watermark: Offset,
    /// Bytes that were appended since the newest entry of the active segment's offset index.
    pub(super) bytes_since_index_entry: u64,
    /// Whether the partition's directory exists.
    pub(super) is_created: bool,
    /// The active segment holds damage: the next append starts another one.
    pub(super) must_roll: bool,
    /// Snapshots of the producers at rolls, to be written at the next checkpoint.
    pub(super) roll_snapshots: Vec<(Offset, Vec<u8>)>,
}

impl<D: Disk> Appender<D> {
    /// Of a log without a directory, which starts and ends at `end_offset`.
    pub(crate) fn empty(directory: Arc<PartitionDirectory>, end_offset: Offset) -> Self {
        Self::recovered(directory, ProducerStates::new(end_offset), 0, false)
    }

    /// Of a log that has a directory.
    pub(crate) fn with_directory(
        directory: Arc<PartitionDirectory>,
        producers: ProducerStates,
        bytes_since_index_entry: u64,
        must_roll: bool,
    ) -> Self {
        let appender = Self::recovered(directory, producers, bytes_since_index_entry, must_roll);
        Self { is_created: true, ..appender }
    }

    fn recovered(
        directory: Arc<PartitionDirectory>,
        producers: ProducerStates,
        bytes_since_index_entry: u64,
        must_roll: bool,
    ) -> Self {
        Self {
            directory,
            writer: None,
            producers,
            high_watermark: Offset(0),
            bytes_since_index_entry,
            is_created: false,
            must_roll,
            roll_snapshots: Vec::new(),
        }
    }
}

impl<D: Disk> Log<D> {
    /// Appends a batch in `epoch`, or finds that it is in the log already. It is readable at once, and on the disk once
    /// [`Log::flushed_end_offset`] has reached the end that this answers.
    ///
    /// # Errors
    /// [`AppendError`]; the log is then as it was.
    pub fn append_as_leader(
        self: &Arc<Self>,
        batch: ValidatedBatch,
        epoch: LeaderEpoch,
        now: TimestampMs,
    ) -> Result<Appended, AppendError> {
        let ValidatedBatch { header, bytes, log_append_time } = batch;
        let marker = if header.attributes.is_control() {
            EndTransactionMarker::read(&bytes).map_err(|_| AppendError::BadMarker)?
        } else {
            None
        };
        let mut appender = self.append.lock();
        self.check_is_open()?;
        let verdict = appender.producers.check(&header, marker.as_ref(), origin(&header))?;
        let log_start_offset = self.log_start_offset();
        if let Verdict::Duplicate { base_offset, last_offset, timestamp } = verdict {
            let log_append_time =
                if log_append_time == TimestampMs::NONE { log_append_time } else { timestamp };
            let end_offset = last_offset.plus(1);
            return Ok(Appended {
                base_offset,
                end_offset,
                log_append_time,
                log_start_offset,
                is_duplicate: true,
            });
        }
        if self.shared.is_below_floor() {
            return Err(AppendError::DiskFull(self.topic_partition.clone()));
        }
        if let Some(latest) = self.latest_epoch().filter(|latest| *latest > epoch) {
            return Err(AppendError::StaleLeaderEpoch { epoch, latest });
        }
        let base_offset = self.log_end_offset();
        if base_offset.0.checked_add(i64::from(header.last_offset_delta) + 1).is_none() {
            return Err(AppendError::OffsetOverflow(self.topic_partition.clone()));
        }
        let header = header.at(base_offset, epoch);
        let place = header.position_bytes(header.base_offset, header.partition_leader_epoch);
        let rest = bytes.get(POSITION_LEN..).expect("a validated batch has a header");
        self.write_batch(&mut appender, &header, [&place, rest], now)
            .map_err(|error| self.append_failed(error))?;
        self.note_batch(&mut appender, &header, marker.as_ref(), now);
        self.publish(&mut appender, &header);
        drop(appender);
        self.shared.flusher.mark_dirty(self, header.size_in_bytes() as u64);
        let end_offset = header.next_offset();
        Ok(Appended { base_offset, end_offset, log_append_time, log_start_offset, is_duplicate: false })
    }

    fn check_is_open(&self) -> Result<(), AppendError> {
        if self.is_deleted.load(Ordering::Acquire) {
            return Err(AppendError::Deleted(self.topic_partition.clone()));
        }
        if self.shared.is_offline() {
            return Err(AppendError::Offline(self.topic_partition.clone()));
        }
        Ok(())
    }

    fn append_failed(&self, error: DiskError) -> AppendError {
        if error.is_out_of_space() {
            return AppendError::DiskFull(self.topic_partition.clone());
        }
        self.shared.fail(error.copy());
        AppendError::Disk(error)
    }

    /// Copies the parts of a batch behind the end of the active segment, which may be a new one.
    pub(super) fn write_batch(
        &self,
        appender: &mut Appender<D>,
        header: &BatchHeader,
        parts: [&[u8]; 2],
        now: TimestampMs,
    ) -> Result<(), DiskError> {
        let bytes = header.size_in_bytes() as u64;
        let block = zero_block(self.last_flush_bytes.load(Ordering::Relaxed).max(bytes));
        self.writer_for(appender, header, now)?.store(parts, block)
    }

    /// Everything that is known of the log besides its bytes. Cannot fail.
    pub(super) fn note_batch(
        &self,
        appender: &mut Appender<D>,
        header: &BatchHeader,
        marker: Option<&EndTransactionMarker>,
        now: TimestampMs,
    ) {
        let interval = u64::try_from(self.config.load().index_interval_bytes).unwrap_or(0);
        let segment = &appender.writer.as_ref().expect("a batch was just written").segment;
        let base_offset = segment.base_offset;
        let since = appender.bytes_since_index_entry;
        appender.bytes_since_index_entry = segment.note_batch(header, segment.end(), since, interval);
        let epoch = header.partition_leader_epoch;
        if self.latest_epoch().is_none_or(|latest| latest < epoch) {
            self.epochs.write().assign(epoch, header.base_offset);
        }
        let completed = appender.producers.apply(header, marker, now);
        if let Some(aborted) = completed.and_then(aborted_by) {
            self.aborted.write().push(base_offset, aborted);
        }
        if marker.is_some() || header.attributes.is_transactional() {
            self.publish_first_unstable_offset(appender);
        }
    }

    pub(super) fn publish(&self, appender: &mut Appender<D>, header: &BatchHeader) {
        let writer = appender.writer.as_mut().expect("a batch was just written");
        let end = writer.segment.end() + header.size_in_bytes() as u64;
        writer.publish(header.next_offset(), end);
        self.log_end_offset.store(header.next_offset().0, Ordering::Release);
    }
}

/// The entry of `.txnindex` for a transaction that was aborted.
pub(crate) fn aborted_by(
    completed: CompletedTransaction,
) -> Option<crate::aborted_transactions::AbortedTransaction> {
    let CompletedTransaction { producer_id, first_offset, last_offset, result, last_stable_offset } =
        completed;
    let aborted = crate::aborted_transactions::AbortedTransaction {
        producer_id,
        first_offset,
        last_offset,
        last_stable_offset,
    };
    (result == TransactionResult::Abort).then_some(aborted)
}

/// Only coordinators write control batches, and batches with a producer and without a sequence: validation refuses both
/// from clients.
fn origin(header: &BatchHeader) -> AppendOrigin {
    if header.attributes.is_control() || header.base_sequence == NO_SEQUENCE {
        AppendOrigin::Coordinator
    } else {
        AppendOrigin::Client
    }
}
