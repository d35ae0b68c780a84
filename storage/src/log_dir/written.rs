//! What the checkpoints of a directory hold, so that they are written only where they change, and say less before a log is
//! cut or deleted: a start takes what lies below them for whole.

use std::collections::BTreeMap;
use std::path::Path;

use super::files::Unsynced;
use super::{CLEANED_ENDS, HIGH_WATERMARKS, LOG_START_OFFSETS, RECOVERY_POINTS};
use crate::checkpoint::encode_offsets;
use crate::disk::{Disk, DiskError};
use crate::ids::{Offset, TopicPartition};

type Offsets = BTreeMap<TopicPartition, Offset>;

/// The content of the checkpoints.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Written {
    pub(super) recovery_points: Offsets,
    pub(super) log_starts: Offsets,
    pub(super) cleaned_ends: Offsets,
    pub(super) high_watermarks: Offsets,
}

/// The most that checkpoints may say of a log.
#[derive(Clone, Copy, Debug)]
pub(crate) struct CheckpointBounds {
    /// Of the recovery point, of the end of what went through compaction, and of the high watermark.
    pub(crate) ends: Offset,
    /// Of the start of the log.
    pub(crate) start: Offset,
}

impl Written {
    /// Lets the checkpoints say no more of a partition than they may. On the disk when this returns.
    pub(crate) fn lower<D: Disk>(
        &mut self,
        disk: &D,
        directory: &Path,
        partition: &TopicPartition,
        bounds: CheckpointBounds,
    ) -> Result<(), DiskError> {
        let mut lowered = self.clone();
        for (offsets, bound) in [
            (&mut lowered.recovery_points, bounds.ends),
            (&mut lowered.cleaned_ends, bounds.ends),
            (&mut lowered.high_watermarks, bounds.ends),
            (&mut lowered.log_starts, bounds.start),
        ] {
            if let Some(offset) = offsets.get_mut(partition) {
                *offset = bound.min(*offset);
            }
        }
        self.replace(disk, directory, lowered)
    }

    /// Lets the checkpoints say nothing of partitions other than those for which `is_known` holds, so that another life of a
    /// topic does not begin where the last one ended. On the disk when this returns.
    pub(crate) fn forget_others<D: Disk>(
        &mut self,
        disk: &D,
        directory: &Path,
        is_known: impl Fn(&TopicPartition) -> bool,
    ) -> Result<(), DiskError> {
        let mut known = self.clone();
        known.recovery_points.retain(|partition, _| is_known(partition));
        known.cleaned_ends.retain(|partition, _| is_known(partition));
        known.high_watermarks.retain(|partition, _| is_known(partition));
        known.log_starts.retain(|partition, _| is_known(partition));
        self.replace(disk, directory, known)
    }

    /// Writes the high watermarks, where they are others than before. A crash leaves all of the old ones or all of the new
    /// ones.
    pub(super) fn write_high_watermarks<D: Disk>(
        &mut self,
        disk: &D,
        directory: &Path,
        high_watermarks: &Offsets,
    ) -> Result<(), DiskError> {
        if self.high_watermarks == *high_watermarks {
            return Ok(());
        }
        let high_watermarks = high_watermarks.clone();
        self.replace(disk, directory, Self { high_watermarks, ..self.clone() })
    }

    fn replace<D: Disk>(&mut self, disk: &D, directory: &Path, next: Self) -> Result<(), DiskError> {
        let files = [
            (RECOVERY_POINTS, &self.recovery_points, &next.recovery_points),
            (CLEANED_ENDS, &self.cleaned_ends, &next.cleaned_ends),
            (LOG_START_OFFSETS, &self.log_starts, &next.log_starts),
            (HIGH_WATERMARKS, &self.high_watermarks, &next.high_watermarks),
        ];
        let mut unsynced = Unsynced::default();
        let mut is_changed = false;
        for (name, _, next) in files.into_iter().filter(|(_, before, next)| before != next) {
            unsynced.replace_file(disk, directory.join(name), encode_offsets(next).as_bytes())?;
            is_changed = true;
        }
        if is_changed {
            unsynced.sync(disk, directory)?;
        }
        *self = next;
        Ok(())
    }
}
