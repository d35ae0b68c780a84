//! The rest of a file behind the end of its segment, until nobody maps it any more.
//!
//! A view of what a cut took away reads the file itself, so the file keeps those bytes as long as any mapping that shows
//! them lives. As long as it does, a start must be told to look there: the recovery point stays where the log was cut.

use std::sync::{Arc, Weak};

use crate::disk::{Disk, DiskError, DiskFile};
use crate::mapped::Region;
use crate::segment::Segment;

use super::super::Log;

/// A file that is longer than its segment.
pub(in crate::log) struct Tail<F> {
    file: F,
    /// Exclusive: where the segment ends.
    end: u64,
    /// The mappings of the file from before the cut.
    regions: Vec<Weak<Region>>,
}

impl<F: DiskFile> Tail<F> {
    /// Of a segment that was retired, and whose file stays up to `end`.
    pub(super) fn new<D: Disk<File = F>>(retired: &Arc<Segment<D>>, file: F, end: u64) -> Self {
        assert!(retired.is_cut(), "who can still be mapped is not cut");
        Self { file, end, regions: retired.regions() }
    }

    fn is_mapped(&self) -> bool {
        self.regions.iter().any(|region| region.strong_count() > 0)
    }

    fn cut(&self) -> Result<(), DiskError> {
        // Another cut of the same segment may have left less.
        if self.file.len()? > self.end {
            self.file.set_len(self.end)?;
        }
        self.file.sync_data()
    }
}

impl<D: Disk> Log<D> {
    /// Cuts the files of segments behind which nobody reads any more.
    pub(crate) fn cut_tails(&self) -> Result<(), DiskError> {
        let mut outcome = Ok(());
        let mut leftovers = self.leftovers.lock();
        let Some(leftovers) = leftovers.as_mut() else { return outcome };
        leftovers.tails.retain(|tail| {
            if outcome.is_err() || tail.is_mapped() {
                return true;
            }
            outcome = tail.cut();
            outcome.is_err()
        });
        outcome
    }

    /// Whether files are longer than their segments.
    pub(in crate::log) fn has_tails(&self) -> bool {
        self.leftovers.lock().as_ref().is_some_and(|leftovers| !leftovers.tails.is_empty())
    }
}
