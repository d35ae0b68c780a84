//! Appending what a leader has, byte for byte.
//!
//! Invariants: what is appended was checked here, as if it came from anyone; the state beside the bytes becomes what a
//! recovery of the same bytes finds. Absent: what producers may do, which the leader has decided.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use bytes::Bytes;

use crate::batch::{BatchHeader, EndTransactionMarker, check};
use crate::disk::{Disk, DiskError};
use crate::error::FollowerAppendError;
use crate::ids::{LeaderEpoch, Offset, TimestampMs};

use super::Log;

/// One batch of a leader.
struct LeaderBatch<'a> {
    header: BatchHeader,
    marker: Option<EndTransactionMarker>,
    bytes: &'a [u8],
}

impl<D: Disk> Log<D> {
    /// Appends batches of a leader as they are and answers the new end of the log (exclusive). `bytes` are whole batches one
    /// behind the other, at offsets that grow from the end of this log on; compaction at the leader may have left gaps.
    ///
    /// A leader's log may start in the middle of a batch, which comes as a whole: an empty log that starts there starts
    /// over with the batch, and below where it started until [`Log::follow_log_start`] says so again.
    /// Source: UnifiedLog.appendAsFollower, UnexpectedAppendOffsetException.
    ///
    /// # Errors
    /// [`FollowerAppendError`]; batches before one that found the disk full or failing are in the log.
    pub fn append_as_follower(
        self: &Arc<Self>,
        bytes: &Bytes,
        now: TimestampMs,
    ) -> Result<Offset, FollowerAppendError> {
        let batches = batches_of(bytes)?;
        if let Some(first) = batches.first().filter(|first| self.is_empty_within(&first.header)) {
            self.start_over_at(first.header.base_offset)?;
        }
        let mut appender = self.append.lock();
        self.check_may_follow()?;
        if let Some(first) = batches.first() {
            let latest = self.latest_epoch().unwrap_or(LeaderEpoch::NONE);
            check_follows(&first.header, self.log_end_offset(), latest)?;
        }
        let mut appended_bytes = 0;
        let mut failed = None;
        for LeaderBatch { header, marker, bytes } in &batches {
            if let Err(error) = self.write_batch(&mut appender, header, [bytes, &[]], now) {
                failed = Some(error);
                break;
            }
            self.note_batch(&mut appender, header, marker.as_ref(), now);
            self.publish(&mut appender, header);
            appended_bytes += bytes.len() as u64;
        }
        let log_end_offset = self.log_end_offset();
        drop(appender);
        if appended_bytes > 0 {
            self.shared.flusher.mark_dirty(self, appended_bytes);
        }
        failed.map_or(Ok(log_end_offset), |error| Err(self.follower_append_failed(error)))
    }

    /// Whether the log has no record and would begin in the middle of that batch.
    fn is_empty_within(&self, header: &BatchHeader) -> bool {
        let start = self.log_start_offset();
        start == self.log_end_offset() && header.base_offset < start && start < header.next_offset()
    }

    fn check_may_follow(&self) -> Result<(), FollowerAppendError> {
        let topic_partition = || self.topic_partition.clone();
        if self.is_deleted.load(Ordering::Acquire) {
            return Err(FollowerAppendError::Deleted(topic_partition()));
        }
        if self.shared.is_offline() {
            return Err(FollowerAppendError::Offline(topic_partition()));
        }
        if self.shared.is_below_floor() {
            return Err(FollowerAppendError::DiskFull(topic_partition()));
        }
        Ok(())
    }

    fn follower_append_failed(&self, error: DiskError) -> FollowerAppendError {
        if error.is_out_of_space() {
            return FollowerAppendError::DiskFull(self.topic_partition.clone());
        }
        self.shared.fail(error.copy());
        FollowerAppendError::Disk(error)
    }
}

/// The batches in `bytes`, all of them whole and in order.
fn batches_of(bytes: &[u8]) -> Result<Vec<LeaderBatch<'_>>, FollowerAppendError> {
    let mut batches: Vec<LeaderBatch<'_>> = Vec::new();
    let mut rest = bytes;
    while !rest.is_empty() {
        let position = bytes.len() - rest.len();
        let header = check(rest).map_err(|source| FollowerAppendError::BadBatch { position, source })?;
        let (batch, later) = rest.split_at_checked(header.size_in_bytes()).unwrap_or((rest, &[]));
        if let Some(before) = batches.last().map(|before| before.header) {
            check_follows(&header, before.next_offset(), before.partition_leader_epoch)?;
        }
        // As in a recovery, a control batch without a marker that can be read ends no transaction.
        let is_control = header.attributes.is_control();
        let marker = if is_control { EndTransactionMarker::read(batch).ok().flatten() } else { None };
        batches.push(LeaderBatch { header, marker, bytes: batch });
        rest = later;
    }
    Ok(batches)
}

/// Whether a batch may come behind one that ends at `next_offset` (exclusive), of epoch `latest`.
fn check_follows(
    header: &BatchHeader,
    next_offset: Offset,
    latest: LeaderEpoch,
) -> Result<(), FollowerAppendError> {
    let (base_offset, epoch) = (header.base_offset, header.partition_leader_epoch);
    if base_offset < next_offset {
        return Err(FollowerAppendError::OffsetWentBack { base_offset, next_offset });
    }
    if epoch.0 < 0 || epoch < latest {
        return Err(FollowerAppendError::EpochWentBack { base_offset, epoch, latest });
    }
    Ok(())
}
