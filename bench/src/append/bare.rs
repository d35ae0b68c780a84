//! One file that grows by batches, with nothing around it: the least that an append and a flush can cost in each way.

use std::path::Path;
use std::sync::Arc;

use anyhow::Result;
use storage::disk::os::{OsDisk, OsFile};
use storage::disk::{Disk as _, DiskFile as _};
use storage::mapped::{Region, RegionWriter};

/// The steps in which the file is allocated, as the log has them: doubling from the first to the second.
const ALLOCATION: (u64, u64) = (64 * 1024, 16 * 1024 * 1024);
/// The smallest and the largest block that is zeroed ahead, as the log has them.
const ZERO_BLOCK: (u64, u64) = (4 * 1024, 64 * 1024);
/// How far pages are populated ahead: enough that the system call does not count.
const POPULATED_BLOCK: u64 = 256 * 1024;
/// Address space of the mapping: one segment.
const CAPACITY: u64 = 1 << 30;

static ZEROS: [u8; ZERO_BLOCK.1 as usize] = [0; ZERO_BLOCK.1 as usize];

/// How a batch gets into the page cache.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Way {
    /// Stores through a mapping, into blocks of zeros that were written just before: the log's way.
    ZeroedAhead,
    /// Stores through a mapping, into pages that `MADV_POPULATE_WRITE` brought in.
    PopulatedAhead,
    /// `pwrite`, without a mapping.
    Pwrite,
}

/// A preallocated file that grows.
pub(super) struct BareFile {
    file: OsFile,
    way: Way,
    region: Arc<Region>,
    writer: RegionWriter,
    /// Exclusive, as all ends here.
    end: u64,
    flushed_end: u64,
    allocated_end: u64,
    /// Pages below are in the page cache, where `way` brings them in ahead.
    ready_end: u64,
    last_flush_bytes: u64,
}

impl BareFile {
    /// Creates an empty file.
    pub(super) fn create(path: &Path, way: Way) -> Result<Self> {
        let file = OsDisk.create(path)?;
        let (region, writer) = file.map(CAPACITY, 0)?;
        Ok(Self {
            file,
            way,
            region,
            writer,
            end: 0,
            flushed_end: 0,
            allocated_end: 0,
            ready_end: 0,
            last_flush_bytes: 0,
        })
    }

    /// How long it is, without what is only allocated.
    pub(super) fn end(&self) -> u64 {
        self.end
    }

    /// Writes `batch` at the end.
    pub(super) fn append(&mut self, batch: &[u8]) -> Result<()> {
        self.allocate(self.end + batch.len() as u64)?;
        match self.way {
            Way::Pwrite => self.file.write_at(self.end, batch)?,
            Way::ZeroedAhead | Way::PopulatedAhead => self.store(batch)?,
        }
        self.end += batch.len() as u64;
        Ok(())
    }

    /// Waits until everything is on the disk.
    pub(super) fn flush(&mut self) -> Result<()> {
        match self.way {
            Way::Pwrite => self.file.sync_data()?,
            Way::ZeroedAhead | Way::PopulatedAhead => {
                self.file.sync_mapped(&self.region, self.flushed_end..self.end)?;
            }
        }
        self.last_flush_bytes = self.end - self.flushed_end;
        self.flushed_end = self.end;
        Ok(())
    }

    fn allocate(&mut self, needed: u64) -> Result<()> {
        if needed <= self.allocated_end {
            return Ok(());
        }
        let step = self.allocated_end.clamp(ALLOCATION.0, ALLOCATION.1);
        let end = needed.max(self.allocated_end + step).next_multiple_of(ZERO_BLOCK.0).min(CAPACITY);
        self.file.allocate(self.allocated_end..end)?;
        self.writer.set_writable_end(usize::try_from(end)?);
        self.allocated_end = end;
        Ok(())
    }

    fn store(&mut self, batch: &[u8]) -> Result<()> {
        let mut position = self.end;
        let mut rest = batch;
        while !rest.is_empty() {
            if position >= self.ready_end {
                self.make_ready()?;
            }
            let room = usize::try_from(self.ready_end - position)?;
            let (piece, later) = rest.split_at(rest.len().min(room));
            self.file.store(&mut self.writer, position, piece);
            position += piece.len() as u64;
            rest = later;
        }
        Ok(())
    }

    fn make_ready(&mut self) -> Result<()> {
        let block = match self.way {
            Way::PopulatedAhead => POPULATED_BLOCK,
            Way::ZeroedAhead | Way::Pwrite => {
                let power = self.last_flush_bytes.checked_ilog2().map_or(1, |log| 1 << log);
                power.clamp(ZERO_BLOCK.0, ZERO_BLOCK.1)
            }
        };
        let end = (self.ready_end + 1).next_multiple_of(block).min(self.allocated_end);
        let len = usize::try_from(end - self.ready_end)?;
        if self.way == Way::PopulatedAhead {
            self.writer.populate(usize::try_from(self.ready_end)?, usize::try_from(end)?)?;
        } else {
            self.file.write_at(self.ready_end, ZEROS.get(..len).unwrap_or(&ZEROS))?;
        }
        self.ready_end = end;
        Ok(())
    }
}
