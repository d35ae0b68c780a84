//! Opening the log of one partition: what its files hold is taken up to the recovery point, and read and checked from
//! there on.
//!
//! Past the recovery point the log ends at the first batch that is damaged, out of order or not whole: the file is cut
//! there, and later segments go. What is kept is written once more, since after a failed flush the page cache may hold
//! what the disk does not. Below the recovery point nothing is ever cut: damage there is reported.
//!
//! Indexes, snapshots and the file of leader epochs are caches; each is rebuilt where it is missing or damaged.
//! Absent: the flush of what is written here, which the caller does for all logs together. Source: LogLoader.java.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;

use config::topic::TopicConfig;

use crate::aborted_transactions::AbortedTransactions;
use crate::batch::{BatchHeader, EndTransactionMarker};
use crate::disk::{Disk, DiskError};
use crate::ids::{LeaderEpoch, Offset, TimestampMs};
use crate::leader_epochs::LeaderEpochs;
use crate::log::{
    AbortedBySegment, Appender, CheckpointedLog, LEADER_EPOCHS, LogState, SNAPSHOT_SUFFIX, WrittenState,
    aborted_by, remove_if_there,
};
use crate::log_dir::files::{TEMPORARY_SUFFIX, read_file, with_suffix};
use crate::producer_state::ProducerStates;
use crate::segment::{
    CLEANED_SUFFIX, DELETED_SUFFIX, FileKind, PartitionDirectory, file_name, offset_of_file_name,
};

mod scan;
mod sealed;
mod swaps;

/// The largest small file that is read: snapshots of 100,000 producers take 4.6 MB.
pub(crate) const SMALL_FILE_BYTES_MAX: u64 = 64 * 1024 * 1024;

/// What is known of a log before its files are looked at.
pub(crate) struct Recovery<D: Disk> {
    pub(crate) disk: D,
    pub(crate) directory: Arc<PartitionDirectory>,
    pub(crate) config: Arc<TopicConfig>,
    /// Everything below (exclusive) was flushed.
    pub(crate) recovery_point: Offset,
    /// The checkpointed start, or 0.
    pub(crate) log_start_offset: Offset,
    /// Nothing was written since the last flush.
    pub(crate) is_clean: bool,
    pub(crate) now: TimestampMs,
}

/// A log as its files have it.
pub(crate) struct Recovered<D: Disk> {
    pub(crate) state: LogState<D>,
    /// What is wrong below the recovery point, in sentences.
    pub(crate) damage: Vec<(PathBuf, String)>,
    /// Files that must be synced before anything of this log is served.
    pub(crate) written: Vec<PathBuf>,
    /// Names in the directory have changed.
    pub(crate) is_directory_changed: bool,
}

/// What the directory lists.
#[derive(Default)]
struct Found {
    base_offsets: Vec<Offset>,
    snapshots: BTreeSet<Offset>,
}

/// What is gathered while batches pass by.
struct Progress {
    /// The offset that the next batch should have.
    expected: Offset,
    epoch: LeaderEpoch,
    producers: ProducerStates,
    epochs: LeaderEpochs,
    aborted: AbortedBySegment,
    bytes_since_index_entry: u64,
    damage: Vec<(PathBuf, String)>,
    written: Vec<PathBuf>,
    must_roll: bool,
    now: TimestampMs,
}

impl Progress {
    /// Takes what a batch says of producers and epochs, once: batches that the snapshot covers say nothing new.
    fn apply(&mut self, base_offset: Offset, header: &BatchHeader, batch: &[u8]) {
        self.epoch = self.epoch.max(header.partition_leader_epoch);
        let epoch = header.partition_leader_epoch;
        if epoch.0 >= 0 && self.epochs.latest().is_none_or(|latest| latest < epoch) {
            self.epochs.assign(epoch, header.base_offset);
        }
        if header.base_offset < self.producers.end_offset() {
            return;
        }
        // A control batch without a marker that can be read ends no transaction.
        let marker =
            EndTransactionMarker::read(batch).ok().flatten().filter(|_| header.attributes.is_control());
        let completed = self.producers.apply(header, marker.as_ref(), self.now);
        if let Some(aborted) = completed.and_then(aborted_by) {
            self.aborted.push(base_offset, aborted);
        }
    }
}

impl<D: Disk> Recovery<D> {
    /// Opens the log.
    pub(crate) fn recover(&self) -> Result<Recovered<D>, DiskError> {
        let mut is_directory_changed = self.finish_swaps()?;
        let found = self.list()?;
        let Some(first_base) = found.base_offsets.first().copied() else { return self.empty_log(&found) };
        let recovery_point = self.recovery_point.max(first_base);
        // The segment that ends at the recovery point may have been sealed after the checkpoint, and not been cut yet.
        let first_scanned =
            found.base_offsets.partition_point(|base| *base < recovery_point).saturating_sub(1);
        let (mut epochs, written_epochs) = self.read_epochs()?;
        // The file may name epochs that were cut off since; the batches from here on say which there are.
        epochs.truncate_from_end(recovery_point);
        let (producers, has_snapshot) = self.read_snapshot(&found, recovery_point, first_base)?;
        let replay_from = if written_epochs.is_some() { producers.end_offset() } else { first_base };
        let mut progress = Progress {
            expected: first_base,
            epoch: LeaderEpoch::NONE,
            producers,
            epochs,
            aborted: AbortedBySegment::default(),
            bytes_since_index_entry: 0,
            damage: Vec::new(),
            written: Vec::new(),
            must_roll: false,
            now: self.now,
        };
        self.read_aborted(&found, &mut progress, replay_from)?;
        let mut segments = Vec::with_capacity(found.base_offsets.len());
        for (index, base) in found.base_offsets.iter().enumerate() {
            let next_base = found.base_offsets.get(index + 1).copied();
            if let (true, Some(next_base)) = (index < first_scanned, next_base) {
                let segment = self.open_sealed(*base, next_base, &mut progress)?;
                if next_base > replay_from {
                    self.replay(&segment, segment.end(), &mut progress)?;
                }
                progress.expected = next_base;
                segments.push(segment);
                continue;
            }
            let bounds = scan::Bounds { base_offset: *base, next_base, recovery_point, replay_from };
            segments.push(self.scan_segment(bounds, &mut progress)?);
            if next_base != Some(progress.expected) {
                let later = found.base_offsets.get(index + 1..).unwrap_or(&[]);
                is_directory_changed |= !later.is_empty();
                self.remove_segments(later)?;
                break;
            }
        }
        let end_offset = progress.expected;
        is_directory_changed |= self.remove_snapshots_after(&found, end_offset)?;
        let log_start_offset = self.log_start_offset.max(first_base).min(end_offset);
        progress.epochs.truncate_from_start(log_start_offset);
        progress.epochs.truncate_from_end(end_offset);
        let snapshots: BTreeSet<Offset> =
            found.snapshots.into_iter().filter(|offset| *offset <= end_offset).collect();
        let is_whole = has_snapshot && self.recovery_point == end_offset && progress.written.is_empty();
        let position = segments.last().map_or(0, |active| active.end());
        let checkpointed = CheckpointedLog {
            recovery_point,
            snapshots,
            has_spare: false,
            epochs: written_epochs.unwrap_or_default(),
            state: is_whole.then_some(WrittenState { end_offset, position }),
        };
        let Progress {
            producers, epochs, aborted, bytes_since_index_entry, damage, written, must_roll, ..
        } = progress;
        let directory = Arc::clone(&self.directory);
        let appender = Appender::with_directory(directory, producers, bytes_since_index_entry, must_roll);
        let state = LogState {
            segments,
            log_start_offset,
            log_end_offset: end_offset,
            epochs,
            aborted,
            appender,
            checkpointed,
        };
        Ok(Recovered { state, damage, written, is_directory_changed })
    }

    /// A directory without segments: the first record never came, or was never flushed.
    fn empty_log(&self, found: &Found) -> Result<Recovered<D>, DiskError> {
        let end = self.recovery_point.max(self.log_start_offset);
        let is_directory_changed = self.remove_snapshots_after(found, Offset(-1))?;
        let directory = Arc::clone(&self.directory);
        let mut damage = Vec::new();
        if self.recovery_point > self.log_start_offset {
            damage.push((
                directory.path(),
                format!("holds no segment, though offsets up to {end} were flushed"),
            ));
        }
        let appender = Appender::with_directory(directory, ProducerStates::new(end), 0, false);
        let state = LogState {
            segments: Vec::new(),
            log_start_offset: end,
            log_end_offset: end,
            epochs: LeaderEpochs::default(),
            aborted: AbortedBySegment::default(),
            appender,
            checkpointed: CheckpointedLog { recovery_point: end, ..CheckpointedLog::default() },
        };
        Ok(Recovered { state, damage, written: Vec::new(), is_directory_changed })
    }

    /// Lists the files, and removes what an interrupted deletion or replacement left.
    fn list(&self) -> Result<Found, DiskError> {
        let directory = self.directory.path();
        let mut found = Found::default();
        let mut others = Vec::new();
        for entry in self.disk.list(&directory)?.into_iter().filter(|entry| !entry.is_directory) {
            let name = entry.name.as_str();
            let is_left_over =
                [DELETED_SUFFIX, TEMPORARY_SUFFIX, CLEANED_SUFFIX].iter().any(|end| name.ends_with(end));
            if is_left_over {
                remove_if_there(&self.disk, &directory.join(name))?;
            } else if let Some(base) = offset_of_file_name(name, FileKind::Log.suffix()) {
                found.base_offsets.push(base);
            } else if let Some(offset) = offset_of_file_name(name, SNAPSHOT_SUFFIX) {
                found.snapshots.insert(offset);
            } else {
                others.push(entry.name);
            }
        }
        found.base_offsets.sort_unstable();
        for name in others {
            let base = FileKind::ALL.iter().find_map(|kind| offset_of_file_name(&name, kind.suffix()));
            if base.is_some_and(|base| found.base_offsets.binary_search(&base).is_err()) {
                remove_if_there(&self.disk, &directory.join(&name))?;
            }
        }
        Ok(found)
    }

    /// The leader epochs, and the same as the file has them; `None` where it is missing or damaged.
    fn read_epochs(&self) -> Result<(LeaderEpochs, Option<LeaderEpochs>), DiskError> {
        let path = self.directory.join(LEADER_EPOCHS);
        let content = read_file(&self.disk, &path, SMALL_FILE_BYTES_MAX)?;
        let problem = match content.map(|content| LeaderEpochs::decode(&String::from_utf8_lossy(&content))) {
            Some(Ok(epochs)) => return Ok((epochs.clone(), Some(epochs))),
            Some(Err(error)) => error.to_string(),
            None if self.recovery_point == Offset(0) => return Ok((LeaderEpochs::default(), None)),
            None => "it is missing".to_owned(),
        };
        tracing::warn!(path = %path.display(), problem, "the leader epochs are rebuilt from the log");
        Ok((LeaderEpochs::default(), None))
    }

    /// The producers from the newest usable snapshot at or below the recovery point, and whether it was one at that very
    /// point. Without any, all batches are replayed.
    fn read_snapshot(
        &self,
        found: &Found,
        recovery_point: Offset,
        first_base: Offset,
    ) -> Result<(ProducerStates, bool), DiskError> {
        for offset in found.snapshots.range(..=recovery_point).rev() {
            let path = self.directory.join(&file_name(*offset, SNAPSHOT_SUFFIX));
            let content = read_file(&self.disk, &path, SMALL_FILE_BYTES_MAX)?.unwrap_or_default();
            match ProducerStates::decode_snapshot(&content, *offset, self.now) {
                Ok(producers) => return Ok((producers, *offset == recovery_point)),
                Err(error) => {
                    tracing::warn!(path = %path.display(), %error, "a snapshot of the producers is damaged");
                    remove_if_there(&self.disk, &path)?;
                }
            }
        }
        if recovery_point > first_base {
            let path = self.directory.path();
            tracing::warn!(path = %path.display(), "no snapshot of the producers: reading the whole log");
        }
        Ok((ProducerStates::new(first_base), false))
    }

    fn read_aborted(
        &self,
        found: &Found,
        progress: &mut Progress,
        replay_from: Offset,
    ) -> Result<(), DiskError> {
        for base in &found.base_offsets {
            let path = self.directory.join(&file_name(*base, FileKind::AbortedTransactions.suffix()));
            let content = read_file(&self.disk, &path, SMALL_FILE_BYTES_MAX)?;
            match AbortedTransactions::decode(&content.unwrap_or_default()) {
                Ok(aborted) => progress.aborted.insert(*base, aborted),
                Err(error) => {
                    tracing::warn!(path = %path.display(), %error, "an index of transactions is damaged");
                }
            }
        }
        progress.aborted.truncate_from(replay_from);
        Ok(())
    }

    fn remove_segments(&self, base_offsets: &[Offset]) -> Result<(), DiskError> {
        for base in base_offsets {
            for kind in FileKind::ALL {
                let path = self.directory.join(&file_name(*base, kind.suffix()));
                let renamed = with_suffix(&path, DELETED_SUFFIX);
                match self.disk.rename(&path, &renamed) {
                    Err(error) if error.is_not_found() => {}
                    other => other.and_then(|()| remove_if_there(&self.disk, &renamed))?,
                }
            }
        }
        Ok(())
    }

    fn remove_snapshots_after(&self, found: &Found, end_offset: Offset) -> Result<bool, DiskError> {
        let mut is_changed = false;
        for offset in found.snapshots.iter().filter(|offset| **offset > end_offset) {
            remove_if_there(&self.disk, &self.directory.join(&file_name(*offset, SNAPSHOT_SUFFIX)))?;
            is_changed = true;
        }
        Ok(is_changed)
    }
}
