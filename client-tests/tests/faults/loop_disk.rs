//! An ext4 file system in a file, whose power can be cut: `FS_IOC_SHUTDOWN` without a flush of its log drops every
//! page and every piece of metadata that was not synced.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use client_tests::tools::{missing, program, run};
use tempfile::TempDir;

/// Room for the loads of these tests many times over; the file stays sparse.
const SIZE: u64 = 1 << 30;

/// A mounted file system. It is unmounted when this is dropped.
pub(crate) struct LoopDisk {
    home: TempDir,
}

impl LoopDisk {
    /// Makes and mounts a new file system, or skips where that is not allowed.
    ///
    /// # Errors
    /// When it fails although this is root, or where `CI` is set.
    pub(crate) fn create() -> Result<Option<LoopDisk>> {
        if !rustix::process::getuid().is_root() {
            return missing("a loop device", "only root may mount one");
        }
        if !Path::new("/dev/loop-control").exists() {
            return missing("a loop device", "the kernel offers none");
        }
        let disk = LoopDisk { home: TempDir::with_prefix("ottla-client-tests-disk-")? };
        std::fs::File::create(disk.image())?.set_len(SIZE)?;
        run("mkfs.ext4", ["-q".as_ref(), "-F".as_ref(), disk.image().as_os_str()])?;
        std::fs::create_dir(disk.path())?;
        disk.mount().context("the image cannot be mounted")?;
        Ok(Some(disk))
    }

    /// Where it is mounted.
    pub(crate) fn path(&self) -> PathBuf {
        self.home.path().join("mounted")
    }

    fn image(&self) -> PathBuf {
        self.home.path().join("image")
    }

    fn mount(&self) -> Result<()> {
        run("mount", ["-o".as_ref(), "loop".as_ref(), self.image().as_os_str(), self.path().as_os_str()])
            .map(drop)
    }

    /// Cuts the power: from now on every write and sync fails, and what was not synced is lost.
    pub(crate) fn cut_power(&mut self) -> Result<()> {
        run("python3", [program("python/cut_power.py").as_os_str(), self.path().as_os_str()]).map(drop)
    }

    /// Mounts what is left, which replays the file system's journal. No process may use the mount any more.
    pub(crate) fn bring_back(&mut self) -> Result<()> {
        run("umount", [self.path()])?;
        self.mount()
    }
}

impl Drop for LoopDisk {
    fn drop(&mut self) {
        if let Err(error) = run("umount", ["--lazy".as_ref(), self.path().as_os_str()]) {
            eprintln!("{} stays mounted: {error:#}", self.path().display());
        }
    }
}
