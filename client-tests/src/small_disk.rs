//! A small ext4 file system in a file, to be filled.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use tempfile::TempDir;

use crate::tools::{missing, run};

/// What is taken at first in one piece. Larger: more tries near the end. Smaller: more system calls.
const STEP: u64 = 64 << 20;
/// The smallest piece: a block.
const BLOCK: u64 = 4096;

/// A mounted file system. It is unmounted when this is dropped.
#[derive(Debug)]
pub struct SmallDisk(TempDir);

impl SmallDisk {
    /// Makes and mounts one of `size` bytes, or skips where that is not possible.
    ///
    /// # Errors
    /// When it fails although this is root, or where `CI` is set.
    pub fn create(size: u64) -> Result<Option<SmallDisk>> {
        if !rustix::process::getuid().is_root() {
            return missing("a small disk", "only root may mount one");
        }
        if !Path::new("/dev/loop-control").exists() {
            return missing("a small disk", "the kernel offers no loop device");
        }
        let disk = SmallDisk(TempDir::with_prefix("ottla-small-disk-")?);
        let image = disk.0.path().join("image");
        File::create(&image)?.set_len(size)?;
        run("mkfs.ext4", ["-q".as_ref(), "-F".as_ref(), image.as_os_str()])?;
        fs::create_dir(disk.path())?;
        run("mount", ["-o".as_ref(), "loop".as_ref(), image.as_os_str(), disk.path().as_os_str()])?;
        Ok(Some(disk))
    }

    /// Where it is mounted.
    #[must_use]
    pub fn path(&self) -> PathBuf {
        self.0.path().join("mounted")
    }

    fn filler(&self) -> PathBuf {
        self.path().join("filler")
    }

    /// Takes all the space but `left` bytes; a later call goes on where an earlier one ended.
    ///
    /// # Errors
    /// When it fails for another reason than a lack of space.
    pub fn fill(&self, left: u64) -> Result<()> {
        let file = File::options().create(true).append(true).open(self.filler())?;
        let mut end = file.metadata()?.len();
        let mut step = STEP;
        // Ever smaller pieces, until not even one block may be taken.
        while step >= BLOCK {
            let figures = rustix::fs::statvfs(self.path())?;
            if left > 0 && figures.f_bavail * figures.f_frsize < left + step {
                step /= 2;
                continue;
            }
            match rustix::fs::fallocate(&file, rustix::fs::FallocateFlags::empty(), end, step) {
                Ok(()) => end += step,
                Err(rustix::io::Errno::NOSPC) => {
                    file.set_len(end)?;
                    step /= 2;
                }
                Err(error) => return Err(error).context("the disk cannot be filled"),
            }
        }
        Ok(())
    }

    /// Gives the space back.
    ///
    /// # Errors
    /// When nothing was taken.
    pub fn free(&self) -> Result<()> {
        Ok(fs::remove_file(self.filler())?)
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        if let Err(error) = run("umount", ["--lazy".as_ref(), self.path().as_os_str()]) {
            eprintln!("{} stays mounted: {error:#}", self.path().display());
        }
    }
}
