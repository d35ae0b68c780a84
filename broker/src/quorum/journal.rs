//! The quorum's journal: one file that holds the raft log and the vote, and is only appended to.
//!
//! Every change of the log or the vote is one frame. What the file says is what its frames say in their order, so
//! truncating the log of a former leader or purging what a snapshot holds appends a frame too. Once the file is larger
//! than needed, it is written anew beside the old one and renamed over it.
//!
//! # Format, version 2. Integers are big-endian.
//!
//! ```text
//! offset  bytes
//!  0      8      "OTTLAQRM"
//!  8      4      format version
//! 12      8      raft node id: random, made with the first journal of this node, kept when it is written anew
//! 20      4      CRC-32 of bytes 0 to 20
//! 24      40     zero
//! 64             frames, then zeros up to the end of the file
//!
//! frame    u32 length of the body, at least 1
//!          u32 CRC-32 of: u64 raft node id, u64 position of the frame in the file, u32 length, body
//!          body: u8 kind, and
//!            kind 1  vote       a vote
//!            kind 2  entries    u32 count, as many entries; one frame for each append
//!            kind 3  truncate   u64 index: entries from it on, inclusive, are gone
//!            kind 4  purge      log id: entries up to it, inclusive, are in the snapshot
//! ```
//!
//! Upgrade rule: a new kind of frame or another layout makes a new format version; a version of Ottla reads all versions
//! up to its own and refuses newer ones. A journal of an older version is written anew when it is opened, before anything
//! is added to it. Version 1 lacks entries of kind 3.
//!
//! # Invariants
//!
//! - A frame is written with one `pwrite` into space that holds zeros, and flushed before anyone is told. The next one
//!   is written only after that. So a damaged frame that an intact one follows was acknowledged once: the file is
//!   refused then. A damaged frame at the end is a write that a crash cut off: it is overwritten with zeros.
//! - The checksum covers the raft node id and the position, so no bytes that a client chose pass for a frame.
//! - After a failed write or flush nothing is written any more: the page cache and the disk may differ.

use crate::quorum::entry_codec::{put_entries, put_log_id, put_vote, read_entries, read_log_id, read_vote};
use crate::quorum::error::{EntryError, StoreError};
use crate::quorum::files;
use crate::quorum::types::{Entry, LogId, RaftNodeId, Vote};
use bytes::Buf;
use std::fs::{File, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

const MAGIC: &[u8; 8] = b"OTTLAQRM";
const FORMAT_VERSION: u32 = 2;
const HEADER_LEN: usize = 64;
const HEADER_CRC_AT: usize = 20;
const FRAME_HEAD_LEN: usize = 8;

/// Zeros written ahead of the frames, at least. A flush of a frame then changes no metadata of the file system.
/// Larger: an empty node takes more disk. Smaller: more flushes change the file's size.
const ZEROED_AHEAD: usize = 256 * 1024;

const VOTE: u8 = 1;
const ENTRIES: u8 = 2;
const TRUNCATE: u8 = 3;
const PURGE: u8 = 4;

/// An open journal.
#[derive(Debug)]
pub(super) struct Journal {
    path: PathBuf,
    file: File,
    node_id: RaftNodeId,
    format_version: u32,
    /// Where the next frame goes.
    end: u64,
    /// Up to where the file holds zeros behind `end`.
    zeroed_end: u64,
    has_failed: bool,
}

/// One change of the log or the vote.
#[derive(Debug)]
pub(super) enum Frame<'a> {
    Vote(Vote),
    Entries(&'a [Entry]),
    Truncate { from_index: u64 },
    Purge(LogId),
}

/// A change that was read back.
#[derive(Debug)]
pub(super) enum ReadFrame {
    Vote(Vote),
    Entries(Vec<Entry>),
    Truncate { from_index: u64 },
    Purge(LogId),
}

impl Journal {
    /// Makes the first journal of a node, or writes an existing one anew with these frames alone. Everything is on
    /// disk when this returns.
    pub(super) fn create(path: &Path, node_id: RaftNodeId, frames: &[Frame<'_>]) -> Result<Self, StoreError> {
        let mut content = header(node_id);
        for frame in frames {
            let position = content.len() as u64;
            content.extend_from_slice(&encode(frame, node_id, position));
        }
        let end = content.len();
        content.resize((end + ZEROED_AHEAD).next_multiple_of(4096), 0);
        let file = files::replace(path, &content)?;
        Ok(Self {
            path: path.to_owned(),
            file,
            node_id,
            format_version: FORMAT_VERSION,
            end: end as u64,
            zeroed_end: content.len() as u64,
            has_failed: false,
        })
    }

    /// Opens an existing journal and gives its frames to `replay` in their order; `None` where there is no file.
    pub(super) fn open(path: &Path, mut replay: impl FnMut(ReadFrame)) -> Result<Option<Self>, StoreError> {
        let Some(content) = files::read_if_there(path)? else { return Ok(None) };
        let (format_version, node_id) = read_header(path, &content)?;
        let mut position = HEADER_LEN;
        while let Some(body) = frame_at(&content, position, node_id) {
            let frame = decode(body).map_err(|source| StoreError::Undecodable {
                path: path.to_owned(),
                position: position as u64,
                source,
            })?;
            replay(frame);
            position += FRAME_HEAD_LEN + body.len();
        }
        let file =
            OpenOptions::new().read(true).write(true).open(path).map_err(StoreError::io("open", path))?;
        let mut journal = Self {
            path: path.to_owned(),
            file,
            node_id,
            format_version,
            end: position as u64,
            zeroed_end: content.len() as u64,
            has_failed: false,
        };
        journal.clear_tail(&content, position)?;
        Ok(Some(journal))
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn node_id(&self) -> RaftNodeId {
        self.node_id
    }

    /// Whether the file is of an older version, so that it must be written anew before anything is added to it.
    pub(super) fn is_outdated(&self) -> bool {
        self.format_version < FORMAT_VERSION
    }

    /// Where the next frame goes: how much has been written.
    pub(super) fn len(&self) -> u64 {
        self.end
    }

    /// Appends a frame. It is on disk when this returns.
    pub(super) fn append(&mut self, frame: &Frame<'_>) -> Result<(), StoreError> {
        if self.has_failed {
            return Err(StoreError::FailedBefore { path: self.path.clone() });
        }
        let mut bytes = encode(frame, self.node_id, self.end);
        let frame_end = self.end + bytes.len() as u64;
        if frame_end > self.zeroed_end {
            bytes.resize(bytes.len() + ZEROED_AHEAD, 0);
        }
        self.write_and_flush(&bytes)?;
        self.zeroed_end = self.zeroed_end.max(self.end + bytes.len() as u64);
        self.end = frame_end;
        Ok(())
    }

    /// Overwrites what a crash left behind the last frame, unless an intact frame stands there.
    fn clear_tail(&mut self, content: &[u8], end: usize) -> Result<(), StoreError> {
        let tail = content.get(end..).unwrap_or_default();
        if tail.iter().all(|byte| *byte == 0) {
            return Ok(());
        }
        let next_intact =
            (end + 1..content.len()).find(|position| frame_at(content, *position, self.node_id).is_some());
        if let Some(next_intact) = next_intact {
            return Err(StoreError::DamagedWithin {
                path: self.path.clone(),
                position: end as u64,
                next_intact: next_intact as u64,
            });
        }
        self.write_and_flush(&vec![0; tail.len()])
    }

    fn write_and_flush(&mut self, bytes: &[u8]) -> Result<(), StoreError> {
        let is_longer = self.end + bytes.len() as u64 > self.zeroed_end;
        let written = self.file.write_all_at(bytes, self.end).map_err(StoreError::io("write", &self.path));
        let mut flushed =
            written.and_then(|()| self.file.sync_data().map_err(StoreError::io("flush", &self.path)));
        // A flush within the length of the file changes no metadata, so there is none that it could miss.
        if is_longer {
            flushed = flushed.and_then(|()| files::confirm_flush(&self.file, &self.path));
        }
        self.has_failed |= flushed.is_err();
        flushed
    }
}

fn header(node_id: RaftNodeId) -> Vec<u8> {
    let mut header = Vec::with_capacity(HEADER_LEN);
    header.extend_from_slice(MAGIC);
    header.extend_from_slice(&FORMAT_VERSION.to_be_bytes());
    header.extend_from_slice(&node_id.to_be_bytes());
    header.extend_from_slice(&crc32fast::hash(&header).to_be_bytes());
    header.resize(HEADER_LEN, 0);
    header
}

/// The format version and the raft node id.
fn read_header(path: &Path, content: &[u8]) -> Result<(u32, RaftNodeId), StoreError> {
    let foreign = || StoreError::Foreign { path: path.to_owned() };
    let (checked, mut rest) = content.split_at_checked(HEADER_CRC_AT).ok_or_else(foreign)?;
    let mut fields = checked.strip_prefix(MAGIC).ok_or_else(foreign)?;
    let version = fields.try_get_u32().map_err(|_| foreign())?;
    let node_id = fields.try_get_u64().map_err(|_| foreign())?;
    if version > FORMAT_VERSION {
        return Err(StoreError::NewerFormat { path: path.to_owned(), found: version, known: FORMAT_VERSION });
    }
    if rest.try_get_u32() != Ok(crc32fast::hash(checked)) || content.len() < HEADER_LEN {
        return Err(StoreError::Damaged { path: path.to_owned() });
    }
    Ok((version, node_id))
}

fn checksum(node_id: RaftNodeId, position: u64, body: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&node_id.to_be_bytes());
    hasher.update(&position.to_be_bytes());
    hasher.update(&u32::try_from(body.len()).unwrap_or(u32::MAX).to_be_bytes());
    hasher.update(body);
    hasher.finalize()
}

/// The body of the intact frame at `position`, or `None` where none begins there.
fn frame_at(content: &[u8], position: usize, node_id: RaftNodeId) -> Option<&[u8]> {
    let mut bytes = content.get(position..)?;
    let length = bytes.try_get_u32().ok()? as usize;
    let crc = bytes.try_get_u32().ok()?;
    let body = bytes.get(..length)?;
    let is_known_kind = matches!(body.first(), Some(&(VOTE | ENTRIES | TRUNCATE | PURGE)));
    (is_known_kind && checksum(node_id, position as u64, body) == crc).then_some(body)
}

fn encode(frame: &Frame<'_>, node_id: RaftNodeId, position: u64) -> Vec<u8> {
    let mut body = Vec::new();
    match frame {
        Frame::Vote(vote) => {
            body.push(VOTE);
            put_vote(&mut body, vote);
        }
        Frame::Entries(entries) => {
            body.push(ENTRIES);
            put_entries(&mut body, entries);
        }
        Frame::Truncate { from_index } => {
            body.push(TRUNCATE);
            body.extend_from_slice(&from_index.to_be_bytes());
        }
        Frame::Purge(log_id) => {
            body.push(PURGE);
            put_log_id(&mut body, log_id);
        }
    }
    let length = u32::try_from(body.len()).expect("a frame is far below 4 GiB");
    let mut bytes = Vec::with_capacity(FRAME_HEAD_LEN + body.len());
    bytes.extend_from_slice(&length.to_be_bytes());
    bytes.extend_from_slice(&checksum(node_id, position, &body).to_be_bytes());
    bytes.extend_from_slice(&body);
    bytes
}

fn decode(mut body: &[u8]) -> Result<ReadFrame, EntryError> {
    let frame = match body.try_get_u8()? {
        VOTE => ReadFrame::Vote(read_vote(&mut body)?),
        ENTRIES => ReadFrame::Entries(read_entries(&mut body)?),
        TRUNCATE => ReadFrame::Truncate { from_index: body.try_get_u64()? },
        PURGE => ReadFrame::Purge(read_log_id(&mut body)?),
        value => return Err(EntryError::UnknownKind { what: "kind of frame", value }),
    };
    if body.is_empty() { Ok(frame) } else { Err(EntryError::Length) }
}

#[cfg(test)]
mod tests;
