//! Small files beside the segments, written so that a crash leaves the old or the new content.

use std::path::{Path, PathBuf};

use crate::disk::{Access, Disk, DiskError, DiskFile};

/// Above this many files one sync of the whole file system is cheaper than one of each, though it waits for what others
/// have written there too.
const SINGLE_SYNCS_MAX: usize = 16;

/// The end of the name of a file that is to replace another.
pub(crate) const TEMPORARY_SUFFIX: &str = ".tmp";

/// Files that are written and not synced, and renames that wait for it.
#[derive(Debug, Default)]
pub(crate) struct Unsynced {
    files: Vec<PathBuf>,
    renames: Vec<(PathBuf, PathBuf)>,
    directories: Vec<PathBuf>,
}

impl Unsynced {
    /// A file that is to be synced under the name it has.
    pub(crate) fn add_file(&mut self, path: PathBuf) {
        self.files.push(path);
    }

    /// A directory of which names have changed.
    pub(crate) fn add_directory(&mut self, path: PathBuf) {
        self.directories.push(path);
    }

    /// Writes `content` beside `path`, to take its place once it is synced.
    pub(crate) fn replace_file<D: Disk>(
        &mut self,
        disk: &D,
        path: PathBuf,
        content: &[u8],
    ) -> Result<(), DiskError> {
        let temporary = with_suffix(&path, TEMPORARY_SUFFIX);
        write_file(disk, &temporary, content)?;
        self.files.push(temporary.clone());
        self.renames.push((temporary, path));
        Ok(())
    }

    /// The same with `spare`, a file that nobody needs, in the place of a new one, where somebody did not take it away. That
    /// it has this name must be on the disk: else a crash may leave the content under the name before.
    pub(crate) fn reuse_file<D: Disk>(
        &mut self,
        disk: &D,
        spare: PathBuf,
        path: PathBuf,
        content: &[u8],
    ) -> Result<(), DiskError> {
        let file = match disk.open(&spare, Access::ReadWrite) {
            Err(error) if error.is_not_found() => return self.replace_file(disk, path, content),
            other => other?,
        };
        file.write_at(0, content)?;
        if file.len()? > content.len() as u64 {
            file.set_len(content.len() as u64)?;
        }
        self.files.push(spare.clone());
        self.renames.push((spare, path));
        Ok(())
    }

    /// Syncs the files, renames, and syncs the directories. `root` is any path on the same file system.
    pub(crate) fn sync<D: Disk>(mut self, disk: &D, root: &Path) -> Result<(), DiskError> {
        let parents = self.renames.iter().filter_map(|(_, path)| path.parent().map(Path::to_owned));
        self.directories.extend(parents);
        self.directories.sort_unstable();
        self.directories.dedup();
        if self.files.len() > SINGLE_SYNCS_MAX {
            disk.sync_file_system(root)?;
        } else {
            for path in &self.files {
                match disk.open(path, Access::ReadWrite) {
                    Ok(file) => file.sync_data()?,
                    // Retention took the segment of an index meanwhile.
                    Err(error) if error.is_not_found() => {}
                    Err(error) => return Err(error),
                }
            }
        }
        for (from, to) in &self.renames {
            disk.rename(from, to)?;
        }
        if self.directories.len() > SINGLE_SYNCS_MAX {
            return disk.sync_file_system(root);
        }
        self.directories.iter().try_for_each(|path| disk.sync_dir(path))
    }
}

/// Writes a whole file, not synced.
pub(crate) fn write_file<D: Disk>(disk: &D, path: &Path, content: &[u8]) -> Result<(), DiskError> {
    disk.create(path)?.write_at(0, content)
}

/// Writes a whole file in the place of another: a crash leaves one of both. The rename is on the disk when this returns.
pub(crate) fn replace_file<D: Disk>(disk: &D, path: &Path, content: &[u8]) -> Result<(), DiskError> {
    let mut unsynced = Unsynced::default();
    unsynced.replace_file(disk, path.to_owned(), content)?;
    unsynced.sync(disk, path)
}

/// The whole content of a small file, or `None` where there is none. What is longer than `max` is cut off there.
pub(crate) fn read_file<D: Disk>(disk: &D, path: &Path, max: u64) -> Result<Option<Vec<u8>>, DiskError> {
    let file = match disk.open(path, Access::Read) {
        Ok(file) => file,
        Err(error) if error.is_not_found() => return Ok(None),
        Err(error) => return Err(error),
    };
    let len = file.len()?.min(max);
    let mut content = vec![0; usize::try_from(len).unwrap_or(usize::MAX)];
    let filled = file.read_at(0, &mut content)?;
    content.truncate(filled);
    Ok(Some(content))
}

/// The same path with more at the end of its name.
pub(crate) fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.to_owned().into_os_string();
    name.push(suffix);
    PathBuf::from(name)
}
