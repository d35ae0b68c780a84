//! The segment that is to replace others: its files under names that a start removes, until they are whole and synced.
//!
//! Records are flushed each MiB, so that no flush of theirs is ever so large that appends to other logs wait behind it.

use std::sync::Arc;

use crate::aborted_transactions::{AbortedTransaction, AbortedTransactions};
use crate::batch::BatchHeader;
use crate::disk::{Access, Disk, DiskError, DiskFile};
use crate::ids::Offset;
use crate::log::remove_if_there;
use crate::log_dir::files::write_file;
use crate::segment::{FileKind, PartitionDirectory, Segment};

/// Bytes between two flushes. Larger holds up the flushes of appends for longer, smaller costs flushes of the device.
const FLUSH_BYTES: usize = 1024 * 1024;

/// Writes one segment.
pub(crate) struct CleanedWriter<D: Disk> {
    disk: D,
    segment: Arc<Segment<D>>,
    file: D::File,
    buffer: Vec<u8>,
    /// Bytes that are in the file.
    written: u64,
    bytes_since_index_entry: u64,
    index_interval_bytes: u64,
    aborted: AbortedTransactions,
}

impl<D: Disk> CleanedWriter<D> {
    pub(crate) fn create(
        disk: &D,
        directory: &Arc<PartitionDirectory>,
        base_offset: Offset,
        index_interval_bytes: u64,
    ) -> Result<Self, DiskError> {
        let segment = Arc::new(Segment::cleaned(Arc::clone(directory), base_offset));
        let file = disk.create(&segment.path(FileKind::Log))?;
        Ok(Self {
            disk: disk.clone(),
            segment,
            file,
            buffer: Vec::new(),
            written: 0,
            bytes_since_index_entry: 0,
            index_interval_bytes,
            aborted: AbortedTransactions::default(),
        })
    }

    /// Adds a batch behind the others.
    pub(crate) fn push(&mut self, batch: &[u8]) -> Result<(), DiskError> {
        let header = BatchHeader::parse(batch).expect("a batch that was read or built has a header");
        let position = self.written + self.buffer.len() as u64;
        let since = self.bytes_since_index_entry;
        self.bytes_since_index_entry =
            self.segment.note_batch(&header, position, since, self.index_interval_bytes);
        self.buffer.extend_from_slice(batch);
        if self.buffer.len() >= FLUSH_BYTES { self.flush() } else { Ok(()) }
    }

    /// Notes that a marker that was added hides data.
    pub(crate) fn hide(&mut self, aborted: AbortedTransaction) {
        self.aborted.push(aborted);
    }

    fn flush(&mut self) -> Result<(), DiskError> {
        self.file.write_at(self.written, &self.buffer)?;
        self.written += self.buffer.len() as u64;
        self.buffer.clear();
        self.file.sync_data()
    }

    /// Ends the segment at `next_offset`; its files are on the disk then, but for their names. With `has_aborted_index`
    /// there is an index of aborted transactions even where it is empty, to replace one.
    pub(crate) fn finish(
        &mut self,
        next_offset: Offset,
        has_aborted_index: bool,
    ) -> Result<(Arc<Segment<D>>, AbortedTransactions), DiskError> {
        self.flush()?;
        let segment = &self.segment;
        segment.set_ends(next_offset, self.written);
        segment.finish_time_index();
        segment.offsets.write(&self.disk, &segment.path(FileKind::OffsetIndex))?;
        segment.times.write(&self.disk, &segment.path(FileKind::TimeIndex))?;
        let mut kinds = vec![FileKind::OffsetIndex, FileKind::TimeIndex];
        if has_aborted_index || !self.aborted.entries().is_empty() {
            write_file(&self.disk, &segment.path(FileKind::AbortedTransactions), &self.aborted.encode())?;
            kinds.push(FileKind::AbortedTransactions);
        }
        for kind in kinds {
            self.disk.open(&segment.path(kind), Access::ReadWrite)?.sync_data()?;
        }
        Ok((Arc::clone(segment), std::mem::take(&mut self.aborted)))
    }

    /// Removes what was written. What stays, the next start removes.
    pub(crate) fn abandon(&self) {
        for kind in FileKind::ALL {
            drop(remove_if_there(&self.disk, &self.segment.path(kind)));
        }
    }
}
