//! The sparse indexes of one segment, in Kafka's format. Both are caches: a look-up that they answer badly costs a longer
//! scan, never a wrong record, and they are rebuilt where they are missing or damaged.
//!
//! ```text
//! .index      i32 relative last offset of a batch, i32 position of that batch        8 bytes an entry
//! .timeindex  i64 timestamp, i32 relative last offset of the batch that holds it    12 bytes an entry
//! ```
//! Integers are big-endian; relative means minus the segment's base offset. Entries grow strictly.
//! Source: OffsetIndex.java, TimeIndex.java, LogSegment.append.
//!
//! The newest entries stay in memory and are appended to the file at a checkpoint, at a roll and at a stop. A sealed
//! segment's entries are found by a binary search of reads in the file. Absent: mappings of index files.

use std::path::Path;

use parking_lot::RwLock;

use crate::disk::{Access, Disk, DiskError, DiskFile};

/// Entries that stay in memory after they were written to the file, so that the look-ups of consumers at the log's tail
/// read no file. 512 offset entries cover 2 MiB of log; more costs memory in each busy partition.
const HOT_ENTRIES: usize = 512;

/// How much of the end of an index is checked when it is opened after a crash: what was written shortly before and may
/// not have reached the disk. More costs time at the start of a node with many partitions.
const CHECKED_TAIL_BYTES: u64 = 64 * 1024;

/// An entry of a sparse index.
pub(crate) trait Entry: Copy + PartialOrd + std::fmt::Debug {
    /// Bytes of an entry in the file.
    const SIZE: usize;
    fn encode(self, target: &mut Vec<u8>);
    /// The entry at the start of `bytes`, or `None` where they are too few.
    fn decode(bytes: &[u8]) -> Option<Self>;
    /// Whether all of its bytes are zero, which no entry of a batch has.
    fn is_zero(self) -> bool;
    /// Whether `next` may follow this entry.
    fn grows_to(self, next: Self) -> bool;
}

/// An entry of `.index`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct OffsetEntry {
    /// Of the batch's last record, minus the segment's base offset.
    pub(crate) relative_offset: i32,
    /// Where the batch starts.
    pub(crate) position: u32,
}

/// An entry of `.timeindex`: no batch up to the one that holds the offset has a larger timestamp.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct TimeEntry {
    pub(crate) timestamp: i64,
    /// Of the last record of the batch that holds the timestamp, minus the segment's base offset.
    pub(crate) relative_offset: i32,
}

impl Entry for OffsetEntry {
    const SIZE: usize = 8;

    fn encode(self, target: &mut Vec<u8>) {
        target.extend_from_slice(&self.relative_offset.to_be_bytes());
        target.extend_from_slice(&self.position.to_be_bytes());
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
        let (offset, rest) = bytes.split_first_chunk()?;
        let (position, _) = rest.split_first_chunk()?;
        Some(Self { relative_offset: i32::from_be_bytes(*offset), position: u32::from_be_bytes(*position) })
    }

    fn is_zero(self) -> bool {
        self.relative_offset == 0 && self.position == 0
    }

    fn grows_to(self, next: Self) -> bool {
        self.relative_offset < next.relative_offset && self.position < next.position
    }
}

impl Entry for TimeEntry {
    const SIZE: usize = 12;

    fn encode(self, target: &mut Vec<u8>) {
        target.extend_from_slice(&self.timestamp.to_be_bytes());
        target.extend_from_slice(&self.relative_offset.to_be_bytes());
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
        let (timestamp, rest) = bytes.split_first_chunk()?;
        let (offset, _) = rest.split_first_chunk()?;
        Some(Self { timestamp: i64::from_be_bytes(*timestamp), relative_offset: i32::from_be_bytes(*offset) })
    }

    fn is_zero(self) -> bool {
        self.timestamp == 0 && self.relative_offset == 0
    }

    fn grows_to(self, next: Self) -> bool {
        self.timestamp < next.timestamp && self.relative_offset <= next.relative_offset
    }
}

/// One index: the entries in its file, then those in memory.
#[derive(Debug)]
pub(crate) struct SparseIndex<E> {
    entries: RwLock<Entries<E>>,
}

#[derive(Debug)]
struct Entries<E> {
    /// How many entries of the file are valid. What the file holds behind them is overwritten.
    in_file: u64,
    /// The newest entries, the last of all included. Entry 0 of this is number `first_in_memory` of all.
    memory: Vec<E>,
    first_in_memory: u64,
}

impl<E: Entry> Default for SparseIndex<E> {
    fn default() -> Self {
        Self { entries: RwLock::new(Entries { in_file: 0, memory: Vec::new(), first_in_memory: 0 }) }
    }
}

impl<E: Entry> SparseIndex<E> {
    /// Opens the index in `path`, of which the entries for which `is_kept` holds are taken. A missing file is an empty
    /// index. Answers beside it whether the file was as it should be.
    pub(crate) fn open<D: Disk>(
        disk: &D,
        path: &Path,
        is_kept: impl Fn(E) -> bool,
    ) -> Result<(Self, bool), DiskError> {
        let file = match disk.open(path, Access::Read) {
            Ok(file) => file,
            Err(error) if error.is_not_found() => return Ok((Self::default(), false)),
            Err(error) => return Err(error),
        };
        let len = file.len()?;
        let size = E::SIZE as u64;
        let mut is_sound = len % size == 0;
        let mut end = len / size;
        let (mut first, mut tail) = (end, Vec::new());
        while tail.is_empty() && end > 0 {
            first = end.saturating_sub(CHECKED_TAIL_BYTES / size);
            tail = read_entries::<E>(&file, first, end)?;
            // Zeros are the unused part of a file that Kafka preallocated and did not get to cut.
            while tail.last().is_some_and(|last| last.is_zero()) {
                tail.pop();
            }
            // From the end of the sound part on, everything goes: an index holds no gap.
            let grows = |pair: &[E]| matches!(pair, [a, b] if a.grows_to(*b));
            let sound = 1 + tail.windows(2).take_while(|pair| grows(pair)).count();
            is_sound &= sound >= tail.len();
            tail.truncate(sound);
            while tail.last().is_some_and(|last| !is_kept(*last)) {
                tail.pop();
            }
            end = first;
        }
        let count = first + tail.len() as u64;
        let kept_from = tail.len().saturating_sub(1);
        let memory = tail.split_off(kept_from);
        let first_in_memory = count - memory.len() as u64;
        Ok((Self { entries: RwLock::new(Entries { in_file: count, memory, first_in_memory }) }, is_sound))
    }

    /// How many entries there are.
    pub(crate) fn len(&self) -> u64 {
        let entries = self.entries.read();
        entries.first_in_memory + entries.memory.len() as u64
    }

    /// The newest entry.
    pub(crate) fn last(&self) -> Option<E> {
        self.entries.read().memory.last().copied()
    }

    /// Appends an entry where it grows, and otherwise leaves the index as it is.
    pub(crate) fn push_if_larger(&self, entry: E) {
        let mut entries = self.entries.write();
        if entries.memory.last().is_none_or(|last| last.grows_to(entry)) {
            entries.memory.push(entry);
        }
    }

    /// The last entry for which `is_low` holds, which must hold for a prefix of the entries.
    pub(crate) fn last_where<F: DiskFile>(
        &self,
        open: impl FnOnce() -> Result<F, DiskError>,
        is_low: impl Fn(E) -> bool,
    ) -> Result<Option<E>, DiskError> {
        let in_file = {
            let entries = self.entries.read();
            let low = entries.memory.partition_point(|entry| is_low(*entry));
            if low > 0 {
                return Ok(entries.memory.get(low - 1).copied());
            }
            entries.first_in_memory.min(entries.in_file)
        };
        if in_file == 0 {
            return Ok(None);
        }
        let file = match open() {
            Ok(file) => file,
            Err(error) if error.is_not_found() => return Ok(None),
            Err(error) => return Err(error),
        };
        let (mut low, mut high) = (0, in_file);
        let mut found = None;
        while low < high {
            let middle = low + (high - low) / 2;
            match read_entries::<E>(&file, middle, middle + 1)?.first() {
                Some(entry) if is_low(*entry) => {
                    found = Some(*entry);
                    low = middle + 1;
                }
                Some(_) | None => high = middle,
            }
        }
        Ok(found)
    }

    /// Appends to the file what only memory holds, and lets go of all but the newest entries. Answers whether the file
    /// changed; it is not synced. The caller sees to it that two calls do not overlap.
    pub(crate) fn write<D: Disk>(&self, disk: &D, path: &Path) -> Result<bool, DiskError> {
        let (in_file, bytes, count) = {
            let entries = self.entries.read();
            let skipped = usize::try_from(entries.in_file - entries.first_in_memory).unwrap_or(usize::MAX);
            let new = entries.memory.get(skipped..).unwrap_or(&[]);
            let mut bytes = Vec::with_capacity(new.len() * E::SIZE);
            new.iter().for_each(|entry| entry.encode(&mut bytes));
            (entries.in_file, bytes, new.len() as u64)
        };
        let size = E::SIZE as u64;
        let file = match disk.open(path, Access::ReadWrite) {
            Ok(file) if count == 0 && file.len()? == in_file * size => return Ok(false),
            Ok(file) => file,
            Err(error) if error.is_not_found() => disk.create(path)?,
            Err(error) => return Err(error),
        };
        file.write_at(in_file * size, &bytes)?;
        file.set_len((in_file + count) * size)?;
        let mut entries = self.entries.write();
        entries.in_file += count;
        let in_both = usize::try_from(entries.in_file - entries.first_in_memory).unwrap_or(0);
        let released = in_both.saturating_sub(HOT_ENTRIES).min(entries.memory.len().saturating_sub(1));
        entries.memory.drain(..released);
        entries.first_in_memory += released as u64;
        Ok(true)
    }
}

/// The entries with the numbers `first` to `end` (exclusive), or fewer where the file ends before.
fn read_entries<E: Entry>(file: &impl DiskFile, first: u64, end: u64) -> Result<Vec<E>, DiskError> {
    let size = E::SIZE as u64;
    let count = usize::try_from(end.saturating_sub(first)).unwrap_or(0);
    let mut bytes = vec![0; count * E::SIZE];
    let filled = file.read_at(first * size, &mut bytes)?;
    bytes.truncate(filled);
    Ok(bytes.chunks_exact(E::SIZE).filter_map(E::decode).collect())
}
