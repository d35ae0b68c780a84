//! Emptying a log.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use crate::disk::{Disk, DiskError, DiskFile};
use crate::error::TruncateError;
use crate::ids::Offset;
use crate::leader_epochs::LeaderEpochs;
use crate::log_dir::CheckpointBounds;
use crate::producer_state::ProducerStates;
use crate::segment::{FileKind, Segment};

use super::super::checkpoint::LEADER_EPOCHS;
use super::super::retain::remove_if_there;
use super::super::transactions::AbortedBySegment;
use super::{AfterCut, Cutting};

impl<D: Disk> Cutting<'_, D> {
    /// Takes everything out of the log, which starts and ends at `offset` then.
    pub(super) fn start_over(mut self, offset: Offset) -> Result<(), TruncateError> {
        let log = self.log;
        // A start takes whatever a crash leaves of the segments for all that there was.
        let bounds = CheckpointBounds { ends: Offset(0), start: offset };
        self.lower_checkpoints(bounds).map_err(|error| log.cut_not_begun(error))?;
        log.set_cleaned_end_offset(Offset(-1));
        let next = Arc::new(Segment::empty(Arc::clone(&log.directory), offset));
        let is_created = self.appender.is_created;
        let gone = self.show(AfterCut {
            segments: if is_created { vec![Arc::clone(&next)] } else { Vec::new() },
            start_offset: log.log_start_offset().min(offset),
            end_offset: offset,
            flushed_end_offset: log.flushed_end_offset().min(offset),
            producers: ProducerStates::new(offset),
        });
        *log.epochs.write() = LeaderEpochs::default();
        *log.aborted.write() = AbortedBySegment::default();
        self.appender.roll_snapshots.clear();
        if is_created {
            self.replace_all(&gone, &next).map_err(|error| log.cut_failed(error))?;
        }
        // Once a crash leaves the log there.
        log.flushed_end_offset.store(offset.0, Ordering::Release);
        log.log_start_offset.store(offset.0, Ordering::Release);
        Ok(())
    }

    fn replace_all(&mut self, gone: &[Arc<Segment<D>>], next: &Segment<D>) -> Result<(), DiskError> {
        let log = self.log;
        // Without the file, a start makes the epochs of what it finds out of the batches.
        remove_if_there(log.disk(), &log.directory.join(LEADER_EPOCHS))?;
        self.checkpointed.epochs = LeaderEpochs::default();
        self.remove_snapshots(|_| true)?;
        gone.iter().try_for_each(|segment| self.remove_segment(segment))?;
        if let Some(leftovers) = log.leftovers.lock().as_mut() {
            leftovers.tails.clear();
        }
        log.disk().create(&next.path(FileKind::Log))?;
        log.disk().sync_dir(&log.directory.path())?;
        // The partition's directory may be as new.
        log.disk().sync_dir(&log.shared.path)?;
        log.shared.lock_file.confirm_syncs()
    }
}
