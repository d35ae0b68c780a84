//! What can be wrong with the quorum's files, each in one plain sentence.

use replication::metadata::record::DecodeError;
use std::io;
use std::path::PathBuf;

/// Why the quorum's files cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The operating system refused an operation.
    #[error("cannot {operation} {}: {source}", path.display())]
    Io {
        /// What was tried.
        operation: &'static str,
        /// On what.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
    /// The file does not begin as ours do.
    #[error("{} is not a file of Ottla's metadata quorum", path.display())]
    Foreign {
        /// The file.
        path: PathBuf,
    },
    /// The file was written by a newer version of Ottla.
    #[error(
        "{} has format version {found}, but this version of Ottla reads {known} at most: start the version that wrote it",
        path.display()
    )]
    NewerFormat {
        /// The file.
        path: PathBuf,
        /// Its version.
        found: u32,
        /// The newest version that is known.
        known: u32,
    },
    /// The checksum of a file's head, or of a whole snapshot, is wrong.
    #[error("{} is damaged: its checksum does not match; restore it from a copy", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
    },
    /// An entry that was acknowledged is damaged: intact entries follow it.
    #[error(
        "{} is damaged at byte {position}, and intact entries follow at byte {next_intact}: \
         what was acknowledged there is lost; restore the file from a copy",
        path.display()
    )]
    DamagedWithin {
        /// The journal.
        path: PathBuf,
        /// Where the damaged entry begins.
        position: u64,
        /// Where an intact one begins.
        next_intact: u64,
    },
    /// The checksum is right, but the content is not what this version knows.
    #[error("{} cannot be read at byte {position}: {source}", path.display())]
    Undecodable {
        /// The file.
        path: PathBuf,
        /// Where the record begins.
        position: u64,
        /// What is wrong.
        source: EntryError,
    },
    /// The journal begins behind the end of the snapshot, or there is no snapshot.
    #[error(
        "{} continues a snapshot up to entry {purged}, but {} ends {}: restore it from a copy",
        journal.display(),
        snapshot.display(),
        found.map_or_else(|| "before it (there is none)".to_owned(), |index| format!("at entry {index}"))
    )]
    SnapshotTooOld {
        /// The journal.
        journal: PathBuf,
        /// The snapshot.
        snapshot: PathBuf,
        /// The last entry that is gone from the journal.
        purged: u64,
        /// The last entry of the snapshot.
        found: Option<u64>,
    },
    /// There is a snapshot without its journal.
    #[error("{} is missing beside {}: restore it from a copy", journal.display(), snapshot.display())]
    JournalMissing {
        /// The journal.
        journal: PathBuf,
        /// The snapshot.
        snapshot: PathBuf,
    },
    /// An earlier write or flush failed. It is never tried again: what the file holds is not known any more.
    #[error("{} failed before and is not written any more", path.display())]
    FailedBefore {
        /// The file.
        path: PathBuf,
    },
}

/// Why the content of a checked entry or snapshot is not understood.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EntryError {
    /// It ends within a field, or has bytes to spare.
    #[error("its fields do not fill it")]
    Length,
    /// A kind that this version does not know.
    #[error("{what} {value} is not known to this version of Ottla")]
    UnknownKind {
        /// What is unknown.
        what: &'static str,
        /// The byte found.
        value: u8,
    },
    /// A term or an index that no log reaches.
    #[error("the term or index {value} is larger than any log has")]
    TooLarge {
        /// The number.
        value: u64,
    },
    /// Entries that do not follow each other, or the entry before them, or the term of their leader.
    #[error("its entries do not follow each other")]
    NotConsecutive,
    /// A vote in whose name nothing of the kind is asked.
    #[error("its vote is not that of a leader or of a candidate, as it should be")]
    Vote,
    /// A metadata record in it is not understood.
    #[error(transparent)]
    Record(#[from] DecodeError),
}

impl From<bytes::TryGetError> for EntryError {
    fn from(_: bytes::TryGetError) -> Self {
        Self::Length
    }
}

impl StoreError {
    pub(super) fn io(operation: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::Io { operation, path, source }
    }
}
