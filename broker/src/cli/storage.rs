//! `ottla storage`: what is in a log directory, read while no node uses it. Nothing is ever changed.
//!
//! The exit code is 0 where all is well, 1 where the command failed, 2 where the command line cannot be understood, 3
//! where records are damaged, 4 where only indexes are, and 5 where a node uses the directory.

mod dump;
mod verify;

use anyhow::{Context, bail};
use clap::{Args, Subcommand};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use storage::disk::Disk;
use storage::disk::os::OsDisk;

/// Look at the files of a node that is stopped.
#[derive(Debug, Args)]
#[command(
    after_help = "Exit codes: 0 all is well, 1 failed, 2 not understood, 3 damaged records, 4 wrong indexes, 5 a node uses the directory."
)]
pub struct StorageArguments {
    /// What to do.
    #[command(subcommand)]
    pub command: StorageCommand,
}

/// What to do with files.
#[derive(Debug, Subcommand)]
pub enum StorageCommand {
    /// Read everything, and say what is wrong: checksums, offsets, epochs, indexes.
    Verify(verify::VerifyArguments),
    /// Show the batches, or the records, of a partition.
    Dump(dump::DumpArguments),
}

/// What is not as it should be. Each has an exit code of its own.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StorageTrouble {
    /// Records that were stored cannot be read.
    #[error("{findings}: restore the files from a copy, or let a replica copy them anew")]
    Damaged {
        /// How much is wrong, in words.
        findings: String,
    },
    /// The batches of a file end before the file does.
    #[error("{log} cannot be read further: {reason}; `ottla storage verify` says whether records are lost")]
    CutOff {
        /// The log file of a segment.
        log: String,
        /// What stands there.
        reason: String,
    },
    /// Only what is made from records is wrong.
    #[error("{findings}: remove these files while the node is stopped, and its start makes them anew")]
    Indexes {
        /// How much is wrong, in words.
        findings: String,
    },
    /// A node runs there.
    #[error("a node uses {directory}: what it writes meanwhile would look damaged; stop it first")]
    InUse {
        /// The log directory.
        directory: String,
    },
}

impl StorageTrouble {
    /// The process's exit code.
    #[must_use]
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Damaged { .. } | Self::CutOff { .. } => 3,
            Self::Indexes { .. } => 4,
            Self::InUse { .. } => 5,
        }
    }
}

/// Runs a command.
///
/// # Errors
/// When a file cannot be read, or not all is well, in one sentence.
pub fn run(arguments: &StorageArguments) -> anyhow::Result<()> {
    match &arguments.command {
        StorageCommand::Verify(verify) => verify::run(verify),
        StorageCommand::Dump(dump) => dump::run(dump),
    }
}

/// What a path leads to.
#[derive(Debug, PartialEq, Eq)]
enum Place {
    /// A log directory.
    LogDirectory(PathBuf),
    /// A partition's directory.
    Partition(PathBuf),
    /// The log file of a segment.
    Segment(PathBuf),
}

impl Place {
    fn find(path: &Path) -> anyhow::Result<Self> {
        let kind = std::fs::metadata(path).with_context(|| format!("{} cannot be read", path.display()))?;
        if kind.is_file() {
            return match path.extension().is_some_and(|extension| extension == "log") {
                true => Ok(Self::Segment(path.to_owned())),
                false => bail!("{} is no log of a segment, whose name ends in .log", path.display()),
            };
        }
        if is_partition(path)? {
            return Ok(Self::Partition(path.to_owned()));
        }
        if path.join("meta.properties").exists() {
            return Ok(Self::LogDirectory(path.to_owned()));
        }
        // Any directory may hold some whose names end in a number.
        for inner in storage::inspection::partitions(&OsDisk, path)? {
            if is_partition(&inner)? {
                return Ok(Self::LogDirectory(path.to_owned()));
            }
        }
        bail!("{} is neither a log directory (log.dirs) nor a partition's directory", path.display())
    }

    /// The log directory that this is, or is in.
    fn log_directory(&self) -> Option<PathBuf> {
        match self {
            Self::LogDirectory(path) => Some(path.clone()),
            Self::Partition(path) => path.canonicalize().ok()?.parent().map(Path::to_owned),
            Self::Segment(path) => path.canonicalize().ok()?.parent()?.parent().map(Path::to_owned),
        }
    }
}

fn is_partition(path: &Path) -> anyhow::Result<bool> {
    let has_segments = !storage::inspection::segments(&OsDisk, path)?.is_empty();
    Ok(has_segments || path.join("partition.metadata").exists())
}

/// The lock of a log directory, so that no node starts there meanwhile; `None` where there is nothing to lock.
fn lock(place: &Place) -> anyhow::Result<Option<<OsDisk as Disk>::Lock>> {
    let Some(directory) = place.log_directory() else { return Ok(None) };
    let path = directory.join(".lock");
    // A lock that is not there is not made: no node was ever there, or somebody copied the files. Where nobody can write, no
    // node runs.
    match std::fs::File::options().write(true).open(&path) {
        Ok(_is_there) => {}
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::ReadOnlyFilesystem) => {
            return Ok(None);
        }
        Err(error) => bail!("whether a node uses {} cannot be told: {error}", directory.display()),
    }
    match OsDisk.lock(&path)? {
        Some(lock) => Ok(Some(lock)),
        None => Err(StorageTrouble::InUse { directory: directory.display().to_string() }.into()),
    }
}
