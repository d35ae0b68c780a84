//! An ext4 file system on a disk with a volatile cache, which forgets at a power cut what it was not told to flush.
//!
//! ```text
//! node → ext4 → loop device (direct I/O) → nbdfuse → nbdkit: cache in memory and a temporary file → image
//! ```
//!
//! nbdkit's cache filter passes writes on to the image at a flush only. `kill -9` of nbdkit is the power cut: the disk
//! vanishes from under everything that runs, in the middle of what it was doing, and comes back with what was flushed.
//! Nothing above the disk is told, so a file system that omits a flush, or claims one, is found out as well.

use std::path::PathBuf;

use anyhow::Result;
use client_tests::nbd_disk::NbdDisk;

use crate::loop_disk::PowerSwitch;

/// A mounted file system. It is unmounted, and its servers end, when this is dropped.
pub(crate) struct CachedDisk(NbdDisk);

impl CachedDisk {
    /// Makes and mounts a new file system, or skips where that is not possible.
    ///
    /// # Errors
    /// When it fails although this is root, or where `CI` is set.
    pub(crate) fn create() -> Result<Option<CachedDisk>> {
        Ok(NbdDisk::create("cache", &["cache=writeback"])?.map(CachedDisk))
    }
}

impl PowerSwitch for CachedDisk {
    fn path(&self) -> PathBuf {
        self.0.path()
    }

    fn cut_power(&mut self) -> Result<()> {
        self.0.kill()
    }

    fn bring_back(&mut self) -> Result<()> {
        self.0.bring_back()
    }
}
