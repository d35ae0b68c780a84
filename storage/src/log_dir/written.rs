//! What the checkpoints of a directory hold, so that they are written only where they change, and lowered before a log is
//! cut: a start takes what lies below them for whole.

use std::collections::BTreeMap;
use std::path::Path;

use super::files::Unsynced;
use super::{CLEANED_ENDS, LOG_START_OFFSETS, RECOVERY_POINTS};
use crate::checkpoint::encode_offsets;
use crate::disk::{Disk, DiskError};
use crate::ids::{Offset, TopicPartition};

type Offsets = BTreeMap<TopicPartition, Offset>;

/// The content of the checkpoints that bound what a start does.
#[derive(Debug, Default)]
pub(crate) struct Written {
    pub(super) recovery_points: Offsets,
    pub(super) log_starts: Offsets,
    pub(super) cleaned_ends: Offsets,
}

/// The most that checkpoints may say of a log.
#[derive(Clone, Copy, Debug)]
pub(crate) struct CheckpointBounds {
    /// Of the recovery point and of the end of what went through compaction.
    pub(crate) ends: Offset,
    /// Of the start of the log.
    pub(crate) start: Offset,
}

impl Written {
    /// Writes the checkpoints that say more of a partition than they may. On the disk when this returns.
    pub(crate) fn lower<D: Disk>(
        &mut self,
        disk: &D,
        directory: &Path,
        partition: &TopicPartition,
        bounds: CheckpointBounds,
    ) -> Result<(), DiskError> {
        let lowered = [
            (RECOVERY_POINTS, &mut self.recovery_points, bounds.ends),
            (CLEANED_ENDS, &mut self.cleaned_ends, bounds.ends),
            (LOG_START_OFFSETS, &mut self.log_starts, bounds.start),
        ];
        let mut unsynced = Unsynced::default();
        let mut is_lowered = false;
        let mut changes = Vec::new();
        for (name, offsets, bound) in lowered {
            if offsets.get(partition).is_none_or(|offset| *offset <= bound) {
                continue;
            }
            let mut changed = offsets.clone();
            changed.insert(partition.clone(), bound);
            unsynced.replace_file(disk, directory.join(name), encode_offsets(&changed).as_bytes())?;
            changes.push((offsets, changed));
            is_lowered = true;
        }
        if is_lowered {
            unsynced.sync(disk, directory)?;
        }
        changes.into_iter().for_each(|(offsets, changed)| *offsets = changed);
        Ok(())
    }
}
