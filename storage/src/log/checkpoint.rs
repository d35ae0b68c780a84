//! What a checkpoint writes of a log: new index entries, the producers, the leader epochs. All of it is a cache that
//! recovery could rebuild; it bounds what a start must read.
//!
//! The order is what matters: a state is taken at an end of the log, the records up to there are flushed, the state is
//! written and synced, and only then does the recovery point move to that end.
//!
//! Writing the state of a log means files of its own to write, rename and sync. So a checkpoint may put it off and move the
//! recovery point alone, to where the log is flushed: a start then reads and checks what lies between the two, and does
//! not write it once more. That is allowed while the log has not rolled and its leader epochs are the same, so that the
//! state is always that of an end within the segment that holds the recovery point.
//!
//! A snapshot of the producers gets its name once the indexes up to there are synced: a start takes it for the mark of a
//! whole state. The one that is of no use any more then becomes the log's spare, into which the next is written: where a
//! file is made for each and another one removed, ext4 looks for an inode that was not removed lately, some 350 µs, which
//! took a tenth of the broker's CPU time under a load on 1,000 partitions.

use std::collections::BTreeSet;
use std::path::PathBuf;

use crate::disk::{Access, Disk, DiskError, DiskFile};
use crate::ids::Offset;
use crate::leader_epochs::LeaderEpochs;
use crate::log_dir::files::{Unsynced, replace_file};
use crate::segment::{FileKind, file_name};

use super::Log;
use super::retain::remove_if_there;

/// The file with the leader epochs of a partition.
pub(crate) const LEADER_EPOCHS: &str = "leader-epoch-checkpoint";
/// The end of the names of snapshots of the producers.
pub(crate) const SNAPSHOT_SUFFIX: &str = ".snapshot";
/// The file that the next snapshot is written into. A start removes it, as all whose names end so.
const SPARE_SNAPSHOT: &str = "spare.snapshot.tmp";

/// What the files of a log hold beside its records.
#[derive(Debug, Default)]
pub(crate) struct CheckpointedLog {
    /// Exclusive: a start reads from here on.
    pub(crate) recovery_point: Offset,
    /// The ends of the log of which there is a snapshot.
    pub(crate) snapshots: BTreeSet<Offset>,
    /// Whether there is a spare, also after a crash.
    pub(crate) has_spare: bool,
    pub(crate) epochs: LeaderEpochs,
    /// The newest state in the files, where it is known to be whole and of this log as it is: neither one that is being
    /// written, nor one from before a crash or a cut.
    pub(crate) state: Option<WrittenState>,
}

/// An end of a log of which the state was written.
#[derive(Debug)]
pub(crate) struct WrittenState {
    /// Exclusive; at most the recovery point.
    pub(crate) end_offset: Offset,
    /// Where that is in the segment that was active.
    pub(crate) position: u64,
}

/// What a log whose state can wait has behind it.
pub(crate) struct Behind {
    /// Bytes of records behind the state that was written last.
    pub(crate) bytes: u64,
    /// Exclusive: the end of the log.
    end_offset: Offset,
}

/// The state of a log at one end of it.
pub(crate) struct LogCheckpoint {
    end_offset: Offset,
    /// The end of the active segment.
    position: u64,
    snapshots: Vec<(Offset, Vec<u8>)>,
    epochs: LeaderEpochs,
}

impl<D: Disk> Log<D> {
    /// The state to write, or `None` where nothing has changed since the last checkpoint or nothing was ever written.
    pub(crate) fn take_checkpoint(&self) -> Option<LogCheckpoint> {
        let mut checkpointed = self.checkpointed.lock();
        let mut appender = self.append.lock();
        let end_offset = self.log_end_offset();
        let is_unchanged = checkpointed.state.as_ref().is_some_and(|state| state.end_offset == end_offset);
        // A start looks for what a cut has left in a file from the recovery point on.
        if !appender.is_created || is_unchanged || self.has_tails() {
            return None;
        }
        checkpointed.state = None;
        let position = self.segments.load().last().map_or(0, |active| active.end());
        let mut snapshots = std::mem::take(&mut appender.roll_snapshots);
        // A log that has just rolled has one of its end.
        if snapshots.last().is_none_or(|(offset, _)| *offset < end_offset) {
            snapshots.push((end_offset, appender.producers.encode_snapshot()));
        }
        Some(LogCheckpoint { end_offset, position, snapshots, epochs: self.epochs.read().clone() })
    }

    /// How far the log is beyond its written state, where that may stay so.
    pub(crate) fn behind(&self) -> Option<Behind> {
        let checkpointed = self.checkpointed.lock();
        let state = checkpointed.state.as_ref()?;
        let appender = self.append.lock();
        if !appender.roll_snapshots.is_empty() || *self.epochs.read() != checkpointed.epochs {
            return None;
        }
        let bytes = self.segments.load().last()?.end().checked_sub(state.position)?;
        Some(Behind { bytes, end_offset: self.log_end_offset() })
    }

    /// Moves the recovery point to where the log is flushed, and leaves its state to a later checkpoint. The log was not cut
    /// since `behind` was asked for; where it has rolled since, the recovery point does not follow it.
    pub(crate) fn advance_recovery_point(&self, behind: &Behind) {
        let mut checkpointed = self.checkpointed.lock();
        let flushed = behind.end_offset.min(self.flushed_end_offset());
        checkpointed.recovery_point = checkpointed.recovery_point.max(flushed);
    }

    /// Writes a state of which the records are flushed. What is to be synced and renamed is added to `unsynced`.
    pub(crate) fn write_checkpoint(
        &self,
        state: &LogCheckpoint,
        unsynced: &mut Unsynced,
    ) -> Result<(), DiskError> {
        assert!(state.end_offset <= self.flushed_end_offset(), "a checkpoint ahead of the flushed end");
        let disk = &self.shared.disk;
        let mut checkpointed = self.checkpointed.lock();
        self.write_indexes(checkpointed.recovery_point, unsynced)?;
        self.write_aborted()?;
        for (offset, snapshot) in &state.snapshots {
            let path = self.directory.join(&file_name(*offset, SNAPSHOT_SUFFIX));
            if std::mem::take(&mut checkpointed.has_spare) {
                unsynced.reuse_file(disk, self.directory.join(SPARE_SNAPSHOT), path, snapshot)?;
            } else {
                unsynced.replace_file(disk, path, snapshot)?;
            }
        }
        if state.epochs != checkpointed.epochs {
            let path = self.directory.join(LEADER_EPOCHS);
            unsynced.replace_file(disk, path, state.epochs.encode().as_bytes())?;
        }
        unsynced.add_directory(self.directory.path());
        Ok(())
    }

    /// Appends the newest entries to the index files, from the segment that ends at or holds `from` on: a segment gets its
    /// last entry of the time index only when the next one is started.
    fn write_indexes(&self, from: Offset, unsynced: &mut Unsynced) -> Result<(), DiskError> {
        let disk = &self.shared.disk;
        let segments = self.segments.load_full();
        let first = segments.partition_point(|segment| segment.base_offset < from).saturating_sub(1);
        for (index, segment) in segments.iter().enumerate().skip(first) {
            // The active segment's index of offsets may lose what is written here: a start reads the segment from the last
            // entry on. Of what lies before that, only the index of times says what the largest is.
            let is_sealed = index + 1 < segments.len();
            let offsets = segment.path(FileKind::OffsetIndex);
            if segment.offsets.write(disk, &offsets)? && is_sealed {
                unsynced.add_file(offsets);
            }
            let times = segment.path(FileKind::TimeIndex);
            if segment.times.write(disk, &times)? {
                unsynced.add_file(times);
            }
        }
        Ok(())
    }

    /// Writes the indexes of aborted transactions that lack something. A crash leaves the old or the new one, since what is
    /// below the recovery point is not looked for again; and each is in its place when this returns, since compaction may
    /// put others there later.
    fn write_aborted(&self) -> Result<(), DiskError> {
        let unwritten = self.aborted.write().take_unwritten();
        let suffix = FileKind::AbortedTransactions.suffix();
        let mut outcome = Ok(());
        for (base_offset, content) in unwritten {
            let path = self.directory.join(&file_name(base_offset, suffix));
            if outcome.is_ok() {
                outcome = replace_file(&self.shared.disk, &path, &content);
            }
            if outcome.is_err() {
                self.aborted.write().put_back(base_offset);
            }
        }
        outcome
    }

    /// The state is synced: the recovery point moves there. Answers the snapshots that are of no use any more.
    pub(crate) fn finish_checkpoint(&self, state: LogCheckpoint) -> Vec<PathBuf> {
        let mut checkpointed = self.checkpointed.lock();
        checkpointed.recovery_point = state.end_offset;
        checkpointed.state = Some(WrittenState { end_offset: state.end_offset, position: state.position });
        checkpointed.epochs = state.epochs;
        checkpointed.snapshots.extend(state.snapshots.iter().map(|(offset, _)| *offset));
        let segments = self.segments.load();
        let mut useless = Vec::new();
        checkpointed.snapshots.retain(|offset| {
            // Those at the start of a segment are where a log may be cut to, and Kafka keeps them too.
            let is_kept = *offset == state.end_offset
                || segments.binary_search_by_key(offset, |segment| segment.base_offset).is_ok();
            if !is_kept {
                useless.push(self.directory.join(&file_name(*offset, SNAPSHOT_SUFFIX)));
            }
            is_kept
        });
        useless
    }

    /// Makes one of the snapshots that are of no use any more the spare, where retention did not take them, and removes the
    /// others. Answers whether there is a spare now, which has its name on the disk once `unsynced` is synced. The recovery
    /// point of the state behind all of them is there already.
    pub(crate) fn put_aside(&self, useless: &[PathBuf], unsynced: &mut Unsynced) -> Result<bool, DiskError> {
        let (disk, spare) = (&self.shared.disk, self.directory.join(SPARE_SNAPSHOT));
        let mut is_there = false;
        for path in useless {
            if is_there {
                remove_if_there(disk, path)?;
                continue;
            }
            match disk.rename(path, &spare) {
                Err(error) if error.is_not_found() => {}
                other => {
                    other?;
                    is_there = true;
                    unsynced.add_directory(self.directory.path());
                }
            }
        }
        Ok(is_there)
    }

    /// The spare has its name on the disk.
    pub(crate) fn note_spare(&self) {
        self.checkpointed.lock().has_spare = true;
    }

    /// Everything below (exclusive) need not be looked at by the next start.
    pub(crate) fn recovery_point(&self) -> Option<Offset> {
        let is_created = self.append.lock().is_created;
        is_created.then(|| self.checkpointed.lock().recovery_point)
    }

    /// Ends the active segment for a clean stop: the last time index entry, and a file of exactly its length.
    pub(crate) fn seal_for_stop(&self, unsynced: &mut Unsynced) -> Result<(), DiskError> {
        if std::mem::take(&mut self.checkpointed.lock().has_spare) {
            remove_if_there(&self.shared.disk, &self.directory.join(SPARE_SNAPSHOT))?;
        }
        let mut appender = self.append.lock();
        let segments = self.segments.load_full();
        let Some(active) = segments.last() else { return Ok(()) };
        appender.writer = None;
        self.flush.lock().clear();
        active.finish_time_index();
        let path = active.path(FileKind::Log);
        let file = self.shared.disk.open(&path, Access::ReadWrite)?;
        if file.len()? != active.end() {
            file.set_len(active.end())?;
            unsynced.add_file(path);
        }
        for (index, path) in [
            (
                active.offsets.write(&self.shared.disk, &active.path(FileKind::OffsetIndex))?,
                FileKind::OffsetIndex,
            ),
            (active.times.write(&self.shared.disk, &active.path(FileKind::TimeIndex))?, FileKind::TimeIndex),
        ] {
            if index {
                unsynced.add_file(active.path(path));
                unsynced.add_directory(self.directory.path());
            }
        }
        Ok(())
    }

    /// Lets go of the mapping for writing where nothing was appended since the last call and nothing waits to be
    /// flushed. The next append opens it again.
    pub(crate) fn release_idle_writer(&self) {
        let Some(mut appender) = self.append.try_lock() else { return };
        let Some(writer) = appender.writer.as_mut() else { return };
        if std::mem::take(&mut writer.is_used) {
            return;
        }
        let mut flush = self.flush.lock();
        if flush.is_clean() && self.flushed_end_offset() == self.log_end_offset() {
            flush.clear();
            if let Some(writer) = appender.writer.take() {
                writer.detach(&self.shared.open_segments);
            }
        }
    }
}
