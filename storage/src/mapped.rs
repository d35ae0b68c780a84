//! Memory that is a file: the only module of the product with `unsafe` code.
//!
//! A [`Region`] is a mapping of a segment's file, reserved for the largest size that the segment may have. One
//! [`RegionWriter`] stores into it; any number of readers hold [`Bytes`] views of it.
//!
//! Invariants:
//! - bytes below `published_end` never change again, and views cover only those: no reference to a byte that may still
//!   be written ever exists;
//! - the writer stores at or above `published_end` and below `writable_end`, up to which the file is allocated: a store
//!   never meets a missing page;
//! - a region has at most one writer, which owns the right to store and to publish;
//! - no file is cut below the published end of a region of it, and no other process changes the file: the lock on the log
//!   directory and the rules of `log` keep this.
//!
//! Absent: I/O errors. A store cannot fail; whether it reached the disk is known when a flush succeeds.
#![expect(unsafe_code, reason = "stores and views of mapped memory, and two system calls that rustix lacks")]

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use memmap2::{Advice, MmapOptions, MmapRaw};

/// A mapped file, readable below its published end.
pub struct Region {
    map: MmapRaw,
    /// Exclusive: bytes below are immutable and readable.
    published_end: AtomicUsize,
}

/// The right to store into a region, and to publish what was stored. There is one for each region.
pub struct RegionWriter {
    region: Arc<Region>,
    /// Exclusive: the file is allocated up to here.
    writable_end: usize,
}

impl Region {
    /// Maps `capacity` bytes of `file`, which may be shorter; bytes below `published_end` are readable at once.
    ///
    /// # Errors
    /// What `mmap` answers: no address space, too many mappings.
    pub(crate) fn of_file(
        file: &File,
        capacity: usize,
        published_end: usize,
    ) -> io::Result<(Arc<Self>, RegionWriter)> {
        let map = MmapOptions::new().len(capacity.max(1)).map_raw(file)?;
        Ok(Self::with_writer(map, published_end))
    }

    /// Maps the first `len` bytes of `file`, all of them readable and none writable.
    ///
    /// # Errors
    /// What `mmap` answers: no address space, too many mappings.
    pub(crate) fn of_sealed_file(file: &File, len: usize) -> io::Result<Arc<Self>> {
        let map = MmapOptions::new().len(len.max(1)).map_raw_read_only(file)?;
        Ok(Arc::new(Self { map, published_end: AtomicUsize::new(len) }))
    }

    /// Memory without a file, for the simulated disk: holds `content`, then zeros up to `capacity`.
    ///
    /// # Errors
    /// What `mmap` answers: no memory.
    pub(crate) fn anonymous(capacity: usize, content: &[u8]) -> io::Result<(Arc<Self>, RegionWriter)> {
        let mut memory = MmapOptions::new().len(capacity.max(content.len()).max(1)).map_anon()?;
        if let Some(start) = memory.get_mut(..content.len()) {
            start.copy_from_slice(content);
        }
        Ok(Self::with_writer(MmapRaw::from(memory), content.len()))
    }

    fn with_writer(map: MmapRaw, published_end: usize) -> (Arc<Self>, RegionWriter) {
        assert!(published_end <= map.len(), "more is published than mapped");
        let region = Arc::new(Self { map, published_end: AtomicUsize::new(published_end) });
        let writer = RegionWriter { region: Arc::clone(&region), writable_end: published_end };
        (region, writer)
    }

    /// Bytes below this position are readable (exclusive).
    #[must_use]
    pub fn published_end(&self) -> usize {
        self.published_end.load(Ordering::Acquire)
    }

    /// How many bytes are reserved, which is where the segment must end.
    #[must_use]
    pub fn capacity(&self) -> usize {
        self.map.len()
    }

    /// The bytes from `start` to `end` (exclusive), without copying, or `None` where they are not all published.
    #[must_use]
    pub fn view(self: &Arc<Self>, start: usize, end: usize) -> Option<Bytes> {
        if start > end || end > self.published_end() {
            return None;
        }
        Some(Bytes::from_owner(View { region: Arc::clone(self), start, len: end - start }))
    }

    /// Brings the pages of a range into memory, so that a later touch of them does not wait for the disk.
    ///
    /// # Errors
    /// What `madvise` answers: an I/O error, or that the kernel (before 5.14) cannot do it.
    pub fn populate(&self, start: usize, end: usize) -> io::Result<()> {
        let end = end.min(self.published_end());
        if start >= end {
            return Ok(());
        }
        self.map.advise_range(Advice::PopulateRead, start, end - start)
    }

    /// Writes a range of the mapping to the disk and waits for it (`msync`).
    pub(crate) fn sync(&self, start: usize, end: usize) -> io::Result<()> {
        self.map.flush_range(start, end.saturating_sub(start))
    }
}

impl RegionWriter {
    /// The region that this stores into.
    #[must_use]
    pub fn region(&self) -> &Arc<Region> {
        &self.region
    }

    /// The file is allocated up to here (exclusive).
    #[must_use]
    pub fn writable_end(&self) -> usize {
        self.writable_end
    }

    /// Says that the file is now allocated up to `end` (exclusive).
    ///
    /// # Panics
    /// If `end` is beyond the mapping.
    pub fn set_writable_end(&mut self, end: usize) {
        assert!(end <= self.region.map.len(), "the file was extended beyond its mapping");
        self.writable_end = end;
    }

    /// Brings the pages of a range into memory, writable (`MADV_POPULATE_WRITE`). The log zeroes blocks ahead instead,
    /// which costs less; the benchmark that shows it does both. Nothing beyond the allocated part is touched.
    ///
    /// # Errors
    /// What `madvise` answers: an I/O error, or that the kernel (before 5.14) cannot do it.
    pub fn populate(&mut self, start: usize, end: usize) -> io::Result<()> {
        let end = end.min(self.writable_end);
        if start >= end {
            return Ok(());
        }
        self.region.map.advise_range(Advice::PopulateWrite, start, end - start)
    }

    /// Copies `bytes` to `position`, which no reader sees before [`Self::publish`].
    ///
    /// # Panics
    /// If the range begins below the published end, or ends beyond the allocated part of the file.
    pub(crate) fn store(&mut self, position: usize, bytes: &[u8]) {
        assert!(position >= self.region.published_end(), "a store below the published end");
        let end = position.checked_add(bytes.len());
        assert!(end.is_some_and(|end| end <= self.writable_end), "a store beyond the allocated file");
        // SAFETY: the assertions above keep the address inside the mapping.
        let target = unsafe { self.region.map.as_mut_ptr().add(position) };
        // SAFETY: the range is mapped and allocated; no reference to it exists, since views end at the published end;
        // `&mut self` is the only writer; `bytes` cannot overlap it for the same reason.
        unsafe { std::ptr::copy_nonoverlapping(bytes.as_ptr(), target, bytes.len()) };
    }

    /// Makes everything below `end` (exclusive) readable.
    ///
    /// # Panics
    /// If the end would move back, or beyond what may have been stored.
    pub fn publish(&mut self, end: usize) {
        assert!(end >= self.region.published_end(), "the published end moves back");
        assert!(end <= self.writable_end, "more is published than can be stored");
        self.region.published_end.store(end, Ordering::Release);
    }
}

/// A published range, which keeps its mapping alive.
struct View {
    region: Arc<Region>,
    start: usize,
    len: usize,
}

impl AsRef<[u8]> for View {
    fn as_ref(&self) -> &[u8] {
        // SAFETY: `Region::view` checked that the range ends at or below the published end, which is inside the mapping.
        let address = unsafe { self.region.map.as_ptr().add(self.start) };
        // SAFETY: bytes below the published end never change again, and the mapping lives as long as `self.region`.
        unsafe { std::slice::from_raw_parts(address, self.len) }
    }
}

/// Starts writing the dirty pages of a range of `file` to the disk, without waiting (`sync_file_range`).
///
/// # Errors
/// What the system call answers.
pub(crate) fn start_writeback(file: &File, start: u64, end: u64) -> io::Result<()> {
    let start = i64::try_from(start).map_err(io::Error::other)?;
    let end = i64::try_from(end).map_err(io::Error::other)?;
    // SAFETY: the descriptor is open for as long as `file` is borrowed; the call touches no memory of ours.
    let answer = unsafe {
        libc::sync_file_range(file.as_raw_fd(), start, end.saturating_sub(start), libc::SYNC_FILE_RANGE_WRITE)
    };
    if answer == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

#[cfg(test)]
mod tests {
    use super::Region;

    #[test]
    fn view_ends_at_the_published_end_and_outlives_the_writer() {
        let (region, mut writer) = Region::anonymous(64, b"abc").unwrap();
        writer.set_writable_end(64);
        writer.store(3, b"def");
        assert!(region.view(0, 6).is_none());
        writer.publish(6);
        let view = region.view(1, 5).unwrap();
        drop((region, writer));
        assert_eq!(view.as_ref(), b"bcde");
    }

    #[test]
    #[should_panic(expected = "beyond the allocated file")]
    fn store_beyond_the_allocated_file_panics() {
        let (_region, mut writer) = Region::anonymous(64, b"").unwrap();
        writer.set_writable_end(4);
        writer.store(2, b"abc");
    }

    #[test]
    #[should_panic(expected = "below the published end")]
    fn store_below_the_published_end_panics() {
        let (_region, mut writer) = Region::anonymous(64, b"abc").unwrap();
        writer.store(2, b"d");
    }
}
