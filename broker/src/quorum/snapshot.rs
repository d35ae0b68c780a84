//! The file that holds the metadata up to one entry of the log, so that the entries before it can go.
//!
//! # Format, version 2. Integers are big-endian.
//!
//! ```text
//! offset  bytes
//!  0      8      "OTTLASNP"
//!  8      4      format version
//! 12      4      CRC-32 of everything from byte 16 on
//! 16             ?log id of the last entry, stored membership (see `entry_codec`), a batch of metadata records that
//!                make the image from an empty one
//! ```
//!
//! The file is only ever replaced whole. Version 1 differs in its membership. Upgrade rule: as for the journal.

use crate::quorum::entry_codec::{
    put_optional_log_id, put_stored_membership, read_optional_log_id, read_stored_membership,
};
use crate::quorum::error::{EntryError, StoreError};
use crate::quorum::files;
use crate::quorum::types::{LogId, Snapshot, SnapshotMeta, StoredMembership};
use bytes::Buf;
use replication::metadata::image::MetadataImage;
use replication::metadata::record::{decode_batch, encode_batch};
use std::io::Cursor;
use std::path::{Path, PathBuf};

const MAGIC: &[u8; 8] = b"OTTLASNP";
const FORMAT_VERSION: u32 = 2;

/// What a state machine holds.
#[derive(Debug, Clone, Default)]
pub(super) struct State {
    pub(super) last_applied: Option<LogId>,
    pub(super) membership: StoredMembership,
    pub(super) image: MetadataImage,
}

/// The newest snapshot on disk, and where it goes.
#[derive(Debug)]
pub(super) struct SnapshotFile {
    path: PathBuf,
    saved: Option<State>,
}

impl SnapshotFile {
    /// Reads and checks the snapshot, where there is one.
    pub(super) fn open(path: &Path) -> Result<Self, StoreError> {
        let saved = files::read_if_there(path)?.map(|content| read(path, &content)).transpose()?;
        Ok(Self { path: path.to_owned(), saved })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn is_there(&self) -> bool {
        self.saved.is_some()
    }

    pub(super) fn last_log_id(&self) -> Option<LogId> {
        self.saved.as_ref().and_then(|state| state.last_applied)
    }

    /// What the snapshot holds.
    pub(super) fn saved(&self) -> Option<&State> {
        self.saved.as_ref()
    }

    /// Replaces the snapshot by a later one. It is on disk when this returns. One that is not later changes nothing: it was
    /// begun before the one that is there was received, and the journal no longer holds what lies between.
    pub(super) fn save(&mut self, state: State) -> Result<(), StoreError> {
        if self.is_there() && state.last_applied <= self.last_log_id() {
            return Ok(());
        }
        drop(files::replace(&self.path, &write(&state))?);
        self.saved = Some(state);
        Ok(())
    }
}

impl State {
    /// The state as openraft passes it around: its data are a batch of metadata records.
    pub(super) fn to_snapshot(&self) -> Snapshot {
        let id = self
            .last_applied
            .map_or_else(|| "empty".to_owned(), |id| format!("{}-{}", id.leader_id.term, id.index));
        Snapshot {
            meta: SnapshotMeta {
                last_log_id: self.last_applied,
                last_membership: self.membership.clone(),
                snapshot_id: id,
            },
            snapshot: Box::new(Cursor::new(encode_batch(&self.image.to_records()))),
        }
    }

    /// The state that a snapshot of another node describes.
    pub(super) fn from_snapshot(meta: &SnapshotMeta, data: &[u8]) -> Result<Self, EntryError> {
        Ok(Self {
            last_applied: meta.last_log_id,
            membership: meta.last_membership.clone(),
            image: image(meta.last_log_id, data)?,
        })
    }
}

fn image(last_log_id: Option<LogId>, records: &[u8]) -> Result<MetadataImage, EntryError> {
    let records = decode_batch(records)?;
    Ok(last_log_id
        .map_or_else(MetadataImage::default, |id| MetadataImage::default().apply(offset(&id), &records)))
}

/// The offset of the metadata log that an entry has.
pub(super) fn offset(log_id: &LogId) -> i64 {
    i64::try_from(log_id.index).expect("2^63 entries are never written")
}

fn write(state: &State) -> Vec<u8> {
    let mut body = Vec::new();
    put_optional_log_id(&mut body, state.last_applied.as_ref());
    put_stored_membership(&mut body, &state.membership);
    body.extend_from_slice(&encode_batch(&state.image.to_records()));
    let mut content = Vec::with_capacity(16 + body.len());
    content.extend_from_slice(MAGIC);
    content.extend_from_slice(&FORMAT_VERSION.to_be_bytes());
    content.extend_from_slice(&crc32fast::hash(&body).to_be_bytes());
    content.extend_from_slice(&body);
    content
}

fn read(path: &Path, content: &[u8]) -> Result<State, StoreError> {
    let foreign = || StoreError::Foreign { path: path.to_owned() };
    let mut bytes = content.strip_prefix(MAGIC).ok_or_else(foreign)?;
    let version = bytes.try_get_u32().map_err(|_| foreign())?;
    if version > FORMAT_VERSION {
        return Err(StoreError::NewerFormat { path: path.to_owned(), found: version, known: FORMAT_VERSION });
    }
    let checksum = bytes.try_get_u32().map_err(|_| foreign())?;
    if checksum != crc32fast::hash(bytes) {
        return Err(StoreError::Damaged { path: path.to_owned() });
    }
    read_body(bytes, version).map_err(|source| StoreError::Undecodable {
        path: path.to_owned(),
        position: 16,
        source,
    })
}

fn read_body(mut bytes: &[u8], version: u32) -> Result<State, EntryError> {
    let last_applied = read_optional_log_id(&mut bytes)?;
    let membership = read_stored_membership(&mut bytes, version)?;
    Ok(State { last_applied, membership, image: image(last_applied, bytes)? })
}
