//! Checkpoints while running, and the clean stop, after which a start has nothing to recover.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::files::{Unsynced, read_file, replace_file};
use super::written::Written;
use super::{CLEANED_ENDS, LOG_START_OFFSETS, LogDir, RECOVERY_POINTS};
use crate::checkpoint::encode_offsets;
use crate::disk::{Disk, DiskError};
use crate::ids::{BrokerEpoch, Offset, TopicPartition};
use crate::log::{Behind, Log};

/// The marker of a clean stop. Source: CleanShutdownFileHandler.java.
const CLEAN_STOP: &str = ".kafka_cleanshutdown";
const MARKER_BYTES_MAX: u64 = 4096;

impl<D: Disk> LogDir<D> {
    /// Writes what bounds the next start, for every log that has changed since the last checkpoint, or as far as it must
    /// ([`super::LogDirSettings::unwritten_bytes_max`]). Waits for a flush of what it writes. Also lets go of the mappings of
    /// logs that nothing was appended to since the last call.
    ///
    /// # Errors
    /// The disk failed; the directory is offline then, unless it was only full.
    pub fn checkpoint(&self) -> Result<(), DiskError> {
        let outcome = self.checkpoint_within(self.shared.settings.unwritten_bytes_max);
        self.logs().iter().for_each(|log| log.release_idle_writer());
        outcome
    }

    /// Does the same between two checkpoints, when [`super::LogDirEvents::checkpoint_due`] asks for it; mappings stay.
    ///
    /// # Errors
    /// As [`Self::checkpoint`].
    pub fn checkpoint_early(&self) -> Result<(), DiskError> {
        self.checkpoint_within(self.shared.settings.unwritten_bytes_max)
    }

    fn checkpoint_within(&self, unwritten_bytes_max: u64) -> Result<(), DiskError> {
        let mut written = self.shared.checkpointing.lock();
        self.shared.begin_checkpoint();
        let outcome = self
            .checkpoint_logs(&self.logs(), &mut written, unwritten_bytes_max)
            .and_then(|()| self.write_cleaned_ends(&mut written));
        self.fail_unless_full(&outcome);
        outcome
    }

    /// Writes where the logs start, where that has changed since it was written last: what was deleted by a person stays
    /// deleted after a crash. On the disk when this returns.
    ///
    /// # Errors
    /// The disk failed; the directory is offline then, unless it was only full.
    pub fn write_log_starts(&self) -> Result<(), DiskError> {
        let mut written = self.shared.checkpointing.lock();
        let mut unsynced = Unsynced::default();
        let log_starts = log_starts(&self.logs());
        let outcome = self
            .replace_log_starts(&log_starts, &written, &mut unsynced)
            .and_then(|()| unsynced.sync(&self.shared.disk, &self.shared.path));
        self.fail_unless_full(&outcome);
        if outcome.is_ok() {
            written.log_starts = log_starts;
        }
        outcome
    }

    fn fail_unless_full(&self, outcome: &Result<(), DiskError>) {
        if let Err(error) = outcome
            && !error.is_out_of_space()
            && !self.shared.has_failed()
        {
            self.shared.fail(error.copy());
        }
    }

    fn replace_log_starts(
        &self,
        log_starts: &BTreeMap<TopicPartition, Offset>,
        written: &Written,
        unsynced: &mut Unsynced,
    ) -> Result<(), DiskError> {
        if *log_starts == written.log_starts {
            return Ok(());
        }
        let path = self.shared.path.join(LOG_START_OFFSETS);
        unsynced.replace_file(&self.shared.disk, path, encode_offsets(log_starts).as_bytes())
    }

    fn checkpoint_logs(
        &self,
        logs: &[Arc<Log<D>>],
        written: &mut Written,
        unwritten_bytes_max: u64,
    ) -> Result<(), DiskError> {
        let disk = &self.shared.disk;
        logs.iter().try_for_each(|log| log.cut_tails())?;
        let (waiting, due) = put_off(logs, unwritten_bytes_max);
        let taken: Vec<_> =
            due.into_iter().filter_map(|log| log.take_checkpoint().map(|state| (log, state))).collect();
        if !taken.is_empty() {
            taken.iter().for_each(|(log, _)| self.shared.flusher.mark_dirty(log, 0));
            self.flush_round();
        }
        if self.shared.has_failed() {
            let offline = std::io::Error::other("the log directory is offline");
            return Err(DiskError::new("write a checkpoint of", &self.shared.path, offline));
        }
        let mut unsynced = Unsynced::default();
        taken.iter().try_for_each(|(log, state)| log.write_checkpoint(state, &mut unsynced))?;
        unsynced.sync(disk, &self.shared.path)?;
        let useless: Vec<_> =
            taken.into_iter().map(|(log, state)| (log, log.finish_checkpoint(state))).collect();
        waiting.iter().for_each(|(log, behind)| log.advance_recovery_point(behind));
        let mut unsynced = Unsynced::default();
        let points: Vec<_> = logs.iter().filter_map(|log| Some((log, log.recovery_point()?))).collect();
        let by_name = points.iter().map(|(log, point)| (log.topic_partition().clone(), *point)).collect();
        let is_changed = written.recovery_points != by_name;
        if is_changed {
            let text = encode_offsets(&by_name);
            unsynced.replace_file(disk, self.shared.path.join(RECOVERY_POINTS), text.as_bytes())?;
        }
        let log_starts = log_starts(logs);
        self.replace_log_starts(&log_starts, written, &mut unsynced)?;
        unsynced.sync(disk, &self.shared.path)?;
        written.log_starts = log_starts;
        if is_changed {
            written.recovery_points = by_name;
            points.iter().for_each(|(log, point)| log.set_durable_recovery_point(*point));
        }
        self.put_aside(useless)
    }

    /// Keeps a snapshot of each log for the next checkpoint of that log, and removes the others.
    fn put_aside(&self, useless: Vec<(&Arc<Log<D>>, Vec<PathBuf>)>) -> Result<(), DiskError> {
        let mut unsynced = Unsynced::default();
        let mut spared = Vec::new();
        for (log, paths) in useless {
            if log.put_aside(&paths, &mut unsynced)? {
                spared.push(log);
            }
        }
        unsynced.sync(&self.shared.disk, &self.shared.path)?;
        spared.into_iter().for_each(|log| log.note_spare());
        Ok(())
    }

    /// Writes how far compaction has come, where that has changed.
    pub(super) fn write_cleaned_ends(&self, written: &mut Written) -> Result<(), DiskError> {
        let ends = self.logs();
        let ends: BTreeMap<_, _> = ends
            .iter()
            .filter_map(|log| Some((log.topic_partition().clone(), log.cleaned_end_offset()?)))
            .collect();
        if ends == written.cleaned_ends {
            return Ok(());
        }
        let path = self.shared.path.join(CLEANED_ENDS);
        replace_file(&self.shared.disk, &path, encode_offsets(&ends).as_bytes())?;
        written.cleaned_ends = ends;
        Ok(())
    }

    /// Stops cleanly: refuses appends, flushes everything, cuts the files to their ends, and leaves the marker by which
    /// the next start knows that there is nothing to recover.
    ///
    /// # Errors
    /// The disk failed: the stop is then not a clean one, and the next start recovers.
    pub fn clean_stop(&self, broker_epoch: BrokerEpoch) -> Result<(), DiskError> {
        self.shared.close();
        let logs = self.logs();
        // An append that began before the close is over, and known to the flusher.
        logs.iter().for_each(|log| log.wait_for_append());
        self.stop_flusher();
        logs.iter().for_each(|log| self.shared.flusher.mark_dirty(log, 0));
        self.checkpoint_within(0)?;
        self.flush_round();
        let mut unsynced = Unsynced::default();
        logs.iter().try_for_each(|log| log.seal_for_stop(&mut unsynced))?;
        unsynced.sync(&self.shared.disk, &self.shared.path)?;
        if self.shared.has_failed() {
            return Ok(());
        }
        let marker = format!("{{\"version\":0,\"brokerEpoch\":{broker_epoch}}}");
        replace_file(&self.shared.disk, &self.shared.path.join(CLEAN_STOP), marker.as_bytes())
    }

    pub(super) fn stop_flusher(&self) {
        self.shared.flusher.stop();
        if let Some(thread) = self.flusher.lock().take() {
            // A panic of the thread was reported when it happened.
            drop(thread.join());
        }
    }
}

/// The logs of which the state is to be written now come second. The others can wait, and what lies behind their states is
/// at most `unwritten_bytes_max` in all: where it would be more, those with the most behind them are written, until half of
/// that is left, so that few logs make much room and few are written at each checkpoint.
#[expect(clippy::type_complexity, reason = "two lists of logs, one with what is known of each")]
fn put_off<D: Disk>(
    logs: &[Arc<Log<D>>],
    unwritten_bytes_max: u64,
) -> (Vec<(&Arc<Log<D>>, Behind)>, Vec<&Arc<Log<D>>>) {
    let (mut waiting, mut due) = (Vec::new(), Vec::new());
    for log in logs {
        match log.behind() {
            Some(behind) => waiting.push((log, behind)),
            None => due.push(log),
        }
    }
    let mut unwritten_bytes: u64 = waiting.iter().map(|(_, behind)| behind.bytes).sum();
    if unwritten_bytes > unwritten_bytes_max {
        waiting.sort_unstable_by_key(|(_, behind)| behind.bytes);
        while let Some((log, behind)) = waiting.pop_if(|_| unwritten_bytes > unwritten_bytes_max / 2) {
            unwritten_bytes -= behind.bytes;
            due.push(log);
        }
    }
    (waiting, due)
}

/// Whether the last stop was clean, with the broker's epoch then. The marker is gone, also from the disk, when this
/// returns: from here on, a crash needs recovery.
pub(super) fn take_marker<D: Disk>(disk: &D, directory: &Path) -> Result<Option<BrokerEpoch>, DiskError> {
    let path = directory.join(CLEAN_STOP);
    let Some(content) = read_file(disk, &path, MARKER_BYTES_MAX)? else { return Ok(None) };
    disk.remove_file(&path)?;
    disk.sync_dir(directory)?;
    let text = String::from_utf8_lossy(&content);
    let number = text.split_once("\"brokerEpoch\":").map_or("", |(_, rest)| rest);
    let digits: String = number.chars().take_while(|c| c.is_ascii_digit() || *c == '-').collect();
    Ok(Some(BrokerEpoch(digits.parse().unwrap_or(-1))))
}

/// Where the logs start that do not start with their first segment.
fn log_starts<D: Disk>(logs: &[Arc<Log<D>>]) -> BTreeMap<TopicPartition, Offset> {
    logs.iter().filter_map(|log| log.start_to_write()).collect()
}
