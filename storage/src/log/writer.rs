//! The active segment as a mapping that is stored into: its space on the disk, and the zeros ahead of the end.
//!
//! Invariants: `published end <= zeroed_end` or the rest of one page, `zeroed_end <= allocated_end <= capacity`; no page
//! is stored into that is not allocated, so a full disk is an error of `allocate` and never a signal.
//! Why blocks are zeroed ahead, and the figures behind the constants: DESIGN.md §3.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use crate::disk::{Access, Disk, DiskError, DiskFile};
use crate::ids::Offset;
use crate::mapped::RegionWriter;
use crate::segment::{FileKind, OpenSegment, OpenSegments, PartitionDirectory, Segment};

/// The unit of the page cache.
pub(super) const PAGE: u64 = 4096;

/// The first allocation of a segment: larger costs idle partitions disk space, smaller costs busy ones system calls.
const ALLOCATION_MIN: u64 = 64 * 1024;

/// The largest allocation: larger makes an append wait for the file system and a clean stop give more back, smaller
/// costs system calls and fragments the file.
const ALLOCATION_MAX: u64 = 16 * 1024 * 1024;

/// The smallest block that is zeroed ahead, for partitions that flush little: it is written back whole.
const ZERO_BLOCK_MIN: u64 = PAGE;

/// The largest block that is zeroed ahead: larger ones leave the processor's cache before they are stored into.
const ZERO_BLOCK_MAX: u64 = 64 * 1024;

/// Batches from this size on go to the page cache by a system call, smaller ones through the mapping.
///
/// A store through the mapping needs a zeroed page (which a system call has made), a fault, and at the flush a
/// write-protection of each page, of which every processor that runs the node is told: with appender and flusher on two
/// cores that cost 1.5 to 2.8 CPU-seconds per GB for batches of 1 MiB, and a bare loop on one core 0.6
/// (`bench append`). Smaller than a few pages, the system call costs more than it saves.
const WRITE_CALL_MIN: usize = 8 * 1024;

static ZEROS: [u8; ZERO_BLOCK_MAX as usize] = [0; ZERO_BLOCK_MAX as usize];

/// The writer of an active segment.
pub(crate) struct ActiveWriter<D: Disk> {
    pub(super) segment: Arc<Segment<D>>,
    pub(super) open: Arc<OpenSegment<D>>,
    writer: RegionWriter,
    /// Exclusive: the file has space up to here.
    allocated_end: u64,
    /// Exclusive: pages below are in the page cache, zeros or data.
    zeroed_end: u64,
    capacity: u64,
    /// Whether anything was stored since this was last asked.
    pub(super) is_used: bool,
}

impl<D: Disk> ActiveWriter<D> {
    /// Creates the file of a new segment that starts at `base_offset`, with `first_bytes` of space at least.
    pub(super) fn create(
        disk: &D,
        directory: &Arc<PartitionDirectory>,
        base_offset: Offset,
        capacity: u64,
        first_bytes: u64,
    ) -> Result<Self, DiskError> {
        let segment = Arc::new(Segment::empty(Arc::clone(directory), base_offset));
        let path = segment.path(FileKind::Log);
        let file = disk.create(&path)?;
        let created = Self::over(file, segment, 0, capacity).and_then(|mut writer| {
            writer.ensure_space(first_bytes)?;
            Ok(writer)
        });
        if created.is_err() {
            // Best effort: what stays is an empty file, which the next start removes or fills.
            drop(disk.remove_file(&path));
        }
        created
    }

    /// Opens the file of a segment that has records, to append to it.
    pub(super) fn reopen(
        disk: &D,
        segment: &Arc<Segment<D>>,
        capacity: u64,
        others: &OpenSegments<D>,
    ) -> Result<Self, DiskError> {
        let file = disk.open(&segment.path(FileKind::Log), Access::ReadWrite)?;
        let allocated_end = file.len()?;
        let mut writer = Self::over(file, Arc::clone(segment), allocated_end, capacity.max(allocated_end))?;
        segment.take_largest_timestamp_from_index();
        writer.attach(others);
        writer.is_used = true;
        Ok(writer)
    }

    fn over(
        file: D::File,
        segment: Arc<Segment<D>>,
        allocated_end: u64,
        capacity: u64,
    ) -> Result<Self, DiskError> {
        let capacity = capacity.next_multiple_of(PAGE);
        let (region, mut writer) = file.map(capacity, segment.end())?;
        writer.set_writable_end(address(allocated_end));
        let open = Arc::new(OpenSegment { file, region });
        let zeroed_end = segment.end().next_multiple_of(PAGE);
        Ok(Self { segment, open, writer, allocated_end, zeroed_end, capacity, is_used: true })
    }

    /// Makes the mapping the one that readers use.
    pub(super) fn attach(&mut self, others: &OpenSegments<D>) {
        others.attach(&self.segment, &self.open);
    }

    /// Leaves the mapping to readers, to be closed when it was not used for long.
    pub(super) fn detach(self, others: &OpenSegments<D>) -> (Arc<Segment<D>>, Arc<OpenSegment<D>>) {
        self.segment.is_written.store(false, Ordering::Release);
        others.opened(&self.segment);
        (self.segment, self.open)
    }

    /// Where the segment must end, whatever `segment.bytes` says by now.
    pub(super) fn capacity(&self) -> u64 {
        self.capacity
    }

    /// Sees to it that the file has space for `bytes` more behind the published end.
    pub(super) fn ensure_space(&mut self, bytes: u64) -> Result<(), DiskError> {
        let needed = (self.segment.end() + bytes).next_multiple_of(PAGE);
        if needed <= self.allocated_end {
            return Ok(());
        }
        let step = self.allocated_end.clamp(ALLOCATION_MIN, ALLOCATION_MAX);
        let wanted =
            needed.max((self.allocated_end + step).next_multiple_of(PAGE)).min(self.capacity.max(needed));
        match self.allocate(wanted) {
            Err(error) if error.is_out_of_space() && needed < wanted => self.allocate(needed),
            other => other,
        }
    }

    fn allocate(&mut self, end: u64) -> Result<(), DiskError> {
        let start = self.allocated_end / PAGE * PAGE;
        if let Err(error) = self.open.file.allocate(start..end) {
            // ext4 keeps what it could allocate, and the disk stays full for everybody.
            self.open.file.set_len(self.allocated_end)?;
            return Err(error);
        }
        self.allocated_end = end;
        self.writer.set_writable_end(address(end));
        Ok(())
    }

    /// Stores the parts of a batch one behind the other at the published end, invisible to readers until
    /// [`Self::publish`]. There must be space for them.
    pub(super) fn store(&mut self, parts: [&[u8]; 2], block: u64) -> Result<(), DiskError> {
        let start = self.segment.end();
        if parts.iter().map(|part| part.len()).sum::<usize>() >= WRITE_CALL_MIN {
            return self.write(start, parts);
        }
        let mut position = start;
        for mut rest in parts {
            while !rest.is_empty() {
                if let Err(error) = self.zero_ahead(position, block) {
                    self.erase(start, position);
                    return Err(error);
                }
                let room = usize::try_from(self.zeroed_end - position).unwrap_or(usize::MAX);
                let (piece, later) = rest.split_at(rest.len().min(room));
                self.open.file.store(&mut self.writer, position, piece);
                position += piece.len() as u64;
                rest = later;
            }
        }
        self.is_used = true;
        Ok(())
    }

    /// The same by a system call; the kernel zeroes the rest of the last page.
    fn write(&mut self, start: u64, parts: [&[u8]; 2]) -> Result<(), DiskError> {
        let end = start + parts.iter().map(|part| part.len() as u64).sum::<u64>();
        if let Err(error) = self.open.file.write_parts(&mut self.writer, start, parts) {
            self.erase(start, end);
            return Err(error);
        }
        self.zeroed_end = self.zeroed_end.max(end.next_multiple_of(PAGE));
        self.is_used = true;
        Ok(())
    }

    /// Zeros the next block where `position` has reached the end of the zeros.
    fn zero_ahead(&mut self, position: u64, block: u64) -> Result<(), DiskError> {
        if position < self.zeroed_end {
            return Ok(());
        }
        let block_end = (self.zeroed_end + 1).next_multiple_of(block).min(self.allocated_end);
        let len = address(block_end - self.zeroed_end);
        self.open.file.write_at(self.zeroed_end, ZEROS.get(..len).unwrap_or(&ZEROS))?;
        self.zeroed_end = block_end;
        Ok(())
    }

    /// Puts zeros over an attempt that failed: what it left must never be taken for a batch.
    fn erase(&mut self, start: u64, end: u64) {
        let mut position = start;
        while position < end {
            let len = (end - position).min(ZERO_BLOCK_MAX);
            self.open.file.store(&mut self.writer, position, ZEROS.get(..address(len)).unwrap_or(&ZEROS));
            position += len;
        }
    }

    /// Makes what was stored readable: the segment now ends at `end` and `next_offset` (both exclusive).
    pub(super) fn publish(&mut self, next_offset: Offset, end: u64) {
        self.writer.publish(address(end));
        self.segment.set_ends(next_offset, end);
    }
}

/// The size of the blocks to zero ahead: what the last flush wrote, so that little more than the data is written back.
pub(super) fn zero_block(last_flush_bytes: u64) -> u64 {
    let power = last_flush_bytes.checked_ilog2().map_or(1, |log| 1 << log);
    power.clamp(ZERO_BLOCK_MIN, ZERO_BLOCK_MAX)
}

fn address(position: u64) -> usize {
    usize::try_from(position).expect("a position in a segment fits the address space")
}
