//! Files and bytes: everything that storage asks of a disk, and nothing of Kafka.
//!
//! Two implementations: [`os::OsDisk`] is the operating system; [`simulated::SimulatedDisk`] lives in memory, forgets at
//! a crash what was not synced, and returns errors when told to. Absent: retries. An error of a sync is never retried
//! by anyone, since the second call may succeed while the data is gone. A success is confirmed before anyone is told
//! ([`DiskFile::confirm_syncs`]), since a sync that is overtaken by the end of its file system may report one.

use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::ids::TimestampMs;
use crate::mapped::{Region, RegionWriter};

pub mod os;
pub mod simulated;

/// An operation on a file or directory failed.
#[derive(Debug, thiserror::Error)]
#[error("cannot {operation} {}: {source}", path.display())]
pub struct DiskError {
    /// What was tried, as a verb: `open`, `sync`.
    pub operation: &'static str,
    /// The file or directory.
    pub path: PathBuf,
    /// What the operating system answered.
    pub source: io::Error,
}

impl DiskError {
    /// An error of `operation` on `path`.
    pub fn new(operation: &'static str, path: &Path, source: impl Into<io::Error>) -> Self {
        Self { operation, path: path.to_owned(), source: source.into() }
    }

    /// The same error once more, for another who has to know.
    #[must_use]
    pub fn copy(&self) -> Self {
        let source = self.source.raw_os_error().map(io::Error::from_raw_os_error);
        Self::new(self.operation, &self.path, source.unwrap_or_else(|| self.source.kind().into()))
    }

    /// The disk or a quota is full; nothing else is wrong.
    #[must_use]
    pub fn is_out_of_space(&self) -> bool {
        matches!(self.source.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
    }

    /// There is no such file or directory.
    #[must_use]
    pub fn is_not_found(&self) -> bool {
        self.source.kind() == io::ErrorKind::NotFound
    }
}

/// One name in a directory.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct DirectoryEntry {
    /// The name, without the directory. Names that are not UTF-8 are never ours and are not listed.
    pub name: String,
    /// Whether it is a directory itself.
    pub is_directory: bool,
}

/// What a file is opened for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Reading only.
    Read,
    /// Reading and writing.
    ReadWrite,
}

/// A disk. Cheap to clone: clones are the same disk.
pub trait Disk: Clone + Send + Sync + 'static {
    /// An open file.
    type File: DiskFile;
    /// Holds a lock for as long as it lives.
    type Lock: Send + Sync + 'static;

    /// Creates an empty file, open for reading and writing; one that exists is emptied.
    ///
    /// # Errors
    /// The directory is missing, or the disk failed.
    fn create(&self, path: &Path) -> Result<Self::File, DiskError>;

    /// Opens an existing file.
    ///
    /// # Errors
    /// [`DiskError::is_not_found`] where there is none.
    fn open(&self, path: &Path, access: Access) -> Result<Self::File, DiskError>;

    /// Gives a file or directory another name, replacing a file of that name.
    ///
    /// # Errors
    /// There is none, or the disk failed.
    fn rename(&self, from: &Path, to: &Path) -> Result<(), DiskError>;

    /// Removes the name of a file; who has it open or mapped keeps its bytes.
    ///
    /// # Errors
    /// There is none, or the disk failed.
    fn remove_file(&self, path: &Path) -> Result<(), DiskError>;

    /// Removes an empty directory.
    ///
    /// # Errors
    /// It is missing or not empty, or the disk failed.
    fn remove_dir(&self, path: &Path) -> Result<(), DiskError>;

    /// The names in a directory, sorted.
    ///
    /// # Errors
    /// It is missing, or the disk failed.
    fn list(&self, path: &Path) -> Result<Vec<DirectoryEntry>, DiskError>;

    /// Creates a directory; that it exists is no error.
    ///
    /// # Errors
    /// The parent is missing, or the disk failed.
    fn create_dir(&self, path: &Path) -> Result<(), DiskError>;

    /// Writes the names of a directory to the disk and waits: what was created, renamed or removed in it stays so.
    ///
    /// # Errors
    /// The disk failed: the names in question are lost or not, and no second call will tell.
    fn sync_dir(&self, path: &Path) -> Result<(), DiskError>;

    /// Writes everything of the file system that holds `path` to the disk and waits.
    ///
    /// # Errors
    /// The disk failed.
    fn sync_file_system(&self, path: &Path) -> Result<(), DiskError>;

    /// Whether the directory is the root of a file system of its own, so that nobody else's data is in it.
    fn is_own_file_system(&self, path: &Path) -> bool;

    /// How many bytes an unprivileged process could still write.
    ///
    /// # Errors
    /// The disk failed.
    fn free_bytes(&self, path: &Path) -> Result<u64, DiskError>;

    /// How many bytes the file system holds in all.
    ///
    /// # Errors
    /// The disk failed.
    fn total_bytes(&self, path: &Path) -> Result<u64, DiskError>;

    /// When a file was last written.
    ///
    /// # Errors
    /// There is none, or the disk failed.
    fn modified(&self, path: &Path) -> Result<TimestampMs, DiskError>;

    /// Takes the exclusive lock on a file, creating it, or answers `None` where another process holds it.
    ///
    /// # Errors
    /// The disk failed.
    fn lock(&self, path: &Path) -> Result<Option<Self::Lock>, DiskError>;
}

/// An open file. Positions and lengths are bytes; ranges end exclusively.
pub trait DiskFile: Send + Sync + 'static {
    /// How long the file is.
    ///
    /// # Errors
    /// The disk failed.
    fn len(&self) -> Result<u64, DiskError>;

    /// Whether the file holds no byte.
    ///
    /// # Errors
    /// The disk failed.
    fn is_empty(&self) -> Result<bool, DiskError> {
        Ok(self.len()? == 0)
    }

    /// Fills `buffer` from `position` on, and answers how much of it the file could fill.
    ///
    /// # Errors
    /// The disk failed.
    fn read_at(&self, position: u64, buffer: &mut [u8]) -> Result<usize, DiskError>;

    /// Writes all of `bytes` at `position`, extending the file where needed.
    ///
    /// # Errors
    /// The disk failed or is full; part of the bytes may have been written.
    fn write_at(&self, position: u64, bytes: &[u8]) -> Result<(), DiskError>;

    /// Gives the range space on the disk, zeros where nothing was written, and extends the file to its end.
    ///
    /// # Errors
    /// [`DiskError::is_out_of_space`]: part of the range may have been allocated, [`Self::set_len`] gives it back.
    fn allocate(&self, range: Range<u64>) -> Result<(), DiskError>;

    /// Cuts or extends the file.
    ///
    /// # Errors
    /// The disk failed.
    fn set_len(&self, len: u64) -> Result<(), DiskError>;

    /// Writes the content and the length to the disk and waits (`fdatasync`).
    ///
    /// # Errors
    /// The disk failed: the bytes in question are lost or not, and no second call will tell.
    fn sync_data(&self) -> Result<(), DiskError>;

    /// Confirms that the syncs that were reported as done so far, of any file of this file system, were. It changes this
    /// file, which nobody writes to and which should be at hand for this alone: its next sync takes longer.
    ///
    /// # Errors
    /// The file system has given up, perhaps before those syncs: what they wrote may be lost.
    fn confirm_syncs(&self) -> Result<(), DiskError>;

    /// Starts writing a range to the disk without waiting; a hint that a sync of it follows.
    ///
    /// # Errors
    /// The disk failed.
    fn start_writeback(&self, range: Range<u64>) -> Result<(), DiskError>;

    /// Maps the file for one writer, for a length of at most `capacity`; bytes below `published_end` are readable.
    ///
    /// # Errors
    /// There is no address space left, or there are too many mappings.
    fn map(&self, capacity: u64, published_end: u64) -> Result<(Arc<Region>, RegionWriter), DiskError>;

    /// Maps the first `len` bytes for reading.
    ///
    /// # Errors
    /// There is no address space left, or there are too many mappings.
    fn map_sealed(&self, len: u64) -> Result<Arc<Region>, DiskError>;

    /// Stores `bytes` into the mapping of this file; see [`RegionWriter`] for where this is allowed.
    fn store(&self, writer: &mut RegionWriter, position: u64, bytes: &[u8]);

    /// Writes `parts` one behind the other where [`Self::store`] may store, by one system call instead of through the
    /// mapping, which shows them all the same.
    ///
    /// # Errors
    /// The disk failed; part of the bytes may have been written.
    fn write_parts(
        &self,
        writer: &mut RegionWriter,
        position: u64,
        parts: [&[u8]; 2],
    ) -> Result<(), DiskError>;

    /// Writes a range of the mapping of this file to the disk and waits (`msync`), with the file's length.
    ///
    /// # Errors
    /// The disk failed: the bytes in question are lost or not, and no second call will tell.
    fn sync_mapped(&self, region: &Region, range: Range<u64>) -> Result<(), DiskError>;
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::path::Path;

    use super::DiskError;

    #[test]
    fn copy_of_an_error_says_what_the_operating_system_said() {
        let error = DiskError::new("write", Path::new("/a"), io::Error::from_raw_os_error(libc::EIO));
        assert_eq!(error.copy().to_string(), error.to_string());
        assert!(error.to_string().contains("Input/output error"), "{error}");
    }
}
