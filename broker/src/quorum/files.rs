//! File operations that survive a power cut.

use crate::quorum::error::StoreError;
use std::fs::{self, File, OpenOptions};
use std::io::{ErrorKind, Write};
use std::path::Path;

/// Makes the directory and flushes every directory entry that this took.
pub(super) fn create_directory(directory: &Path) -> Result<(), StoreError> {
    let missing: Vec<&Path> = directory.ancestors().take_while(|path| !is_there(path)).collect();
    fs::create_dir_all(directory).map_err(StoreError::io("create", directory))?;
    for path in missing {
        sync_directory(path.parent().filter(|parent| is_there(parent)).unwrap_or(Path::new(".")))?;
    }
    sync_directory(directory)
}

fn is_there(path: &Path) -> bool {
    !path.as_os_str().is_empty() && path.exists()
}

/// Flushes the entries of a directory.
pub(super) fn sync_directory(directory: &Path) -> Result<(), StoreError> {
    File::open(directory).and_then(|file| file.sync_all()).map_err(StoreError::io("flush", directory))
}

/// Puts a whole file in the place of `path`: after a power cut either it or its predecessor is there.
/// Returns the open file.
pub(super) fn replace(path: &Path, content: &[u8]) -> Result<File, StoreError> {
    let new_path = path.with_extension("new");
    let mut file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(true)
        .open(&new_path)
        .map_err(StoreError::io("create", &new_path))?;
    file.write_all(content).map_err(StoreError::io("write", &new_path))?;
    file.sync_all().map_err(StoreError::io("flush", &new_path))?;
    fs::rename(&new_path, path).map_err(StoreError::io("rename", &new_path))?;
    sync_directory(path.parent().unwrap_or(Path::new(".")))?;
    confirm_flush(&file, path)?;
    Ok(file)
}

/// Confirms what flushes of files and directories reported: they may report success for what the end of their file
/// system has overtaken. The next flush of the file takes longer.
pub(super) fn confirm_flush(file: &File, path: &Path) -> Result<(), StoreError> {
    storage::disk::os::confirm_syncs(file).map_err(StoreError::io("confirm the flush of", path))
}

/// The whole content of a file, or `None` where there is no such file.
pub(super) fn read_if_there(path: &Path) -> Result<Option<Vec<u8>>, StoreError> {
    match fs::read(path) {
        Ok(content) => Ok(Some(content)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(StoreError::io("read", path)(error)),
    }
}
