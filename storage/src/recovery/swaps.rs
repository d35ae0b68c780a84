//! Finishing what a crash left of a replacement by compaction.
//!
//! A record file that is named `.swap` is whole and synced, and so are its indexes. It takes the place of every segment that
//! begins within its offsets. The record file comes last: as long as it is named `.swap`, another crash is followed by
//! the same steps. Source: LogLoader.java.

use crate::batch_reader::{BatchReader, Next, READ_BYTES};
use crate::disk::{Access, Disk, DiskError, DiskFile};
use crate::ids::Offset;
use crate::log::remove_if_there;
use crate::log_dir::files::with_suffix;
use crate::segment::{FileKind, SWAP_SUFFIX, file_name, offset_of_file_name};

use super::Recovery;

impl<D: Disk> Recovery<D> {
    /// Puts new segments in their places. Answers whether names have changed.
    pub(super) fn finish_swaps(&self) -> Result<bool, DiskError> {
        let names = self.disk.list(&self.directory.path())?;
        let names = names.iter().filter(|entry| !entry.is_directory).map(|entry| entry.name.as_str());
        let swaps: Vec<&str> = names.clone().filter(|name| name.ends_with(SWAP_SUFFIX)).collect();
        if swaps.is_empty() {
            return Ok(false);
        }
        let swap_of = |kind: FileKind| format!("{}{SWAP_SUFFIX}", kind.suffix());
        let log_swap = swap_of(FileKind::Log);
        for base in swaps.iter().filter_map(|name| offset_of_file_name(name, &log_swap)) {
            let end = self.end_of_swap(base)?;
            let old = names.clone().filter_map(|name| offset_of_file_name(name, FileKind::Log.suffix()));
            for old in old.filter(|old| *old > base && *old < end) {
                for kind in FileKind::ALL {
                    remove_if_there(&self.disk, &self.directory.join(&file_name(old, kind.suffix())))?;
                }
            }
            for kind in FileKind::ALL.into_iter().rev() {
                let place = self.directory.join(&file_name(base, kind.suffix()));
                match self.disk.rename(&with_suffix(&place, SWAP_SUFFIX), &place) {
                    Err(error) if error.is_not_found() => {}
                    other => other?,
                }
            }
        }
        // Indexes whose record file had not got its name yet: their segment was not replaced.
        for name in swaps {
            remove_if_there(&self.disk, &self.directory.join(name))?;
        }
        Ok(true)
    }

    /// Where the batches of a new segment end.
    fn end_of_swap(&self, base: Offset) -> Result<Offset, DiskError> {
        let path = self.directory.join(&file_name(base, FileKind::Log.suffix()));
        let path = with_suffix(&path, SWAP_SUFFIX);
        let file = self.disk.open(&path, Access::Read)?;
        let mut reader = BatchReader::new(&file, 0, file.len()?, READ_BYTES);
        let mut end = base;
        loop {
            match reader.next(|header| header.base_offset >= end)? {
                Next::Batch(header, _) => end = header.next_offset(),
                Next::End => return Ok(end),
                Next::Bad(problem) => {
                    // The old segments behind this are still there.
                    tracing::error!(path = %path.display(), problem, "a compacted segment is damaged");
                    return Ok(end);
                }
            }
        }
    }
}
