//! A file system of our own in a file: ext4 on a loop device, for as long as the value lives. Needs root.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result};
use tempfile::TempDir;

use crate::process::run;
use crate::workspace;

/// Large enough for the load of `bench flush` and the free-space floor of the log directory.
const IMAGE_BYTES: u64 = 4 << 30;

/// A mounted file system, unmounted and removed when dropped.
#[derive(Debug)]
pub(crate) struct LoopMount {
    point: PathBuf,
    _home: TempDir,
}

impl LoopMount {
    /// Makes one below `directory`, or answers `None` where this process may not mount.
    pub(crate) fn create(directory: &Path) -> Result<Option<Self>> {
        if !rustix::process::geteuid().is_root() {
            return Ok(None);
        }
        let home = workspace::scratch(directory)?;
        let image = home.path().join("image");
        File::create(&image)?.set_len(IMAGE_BYTES)?;
        run(Command::new("mkfs.ext4").args(["-q", "-F"]).arg(&image)).context("no ext4 can be made")?;
        let point = home.path().join("mount");
        std::fs::create_dir(&point)?;
        run(Command::new("mount").args(["-o", "loop"]).arg(&image).arg(&point))
            .context("the loop device cannot be mounted")?;
        Ok(Some(Self { point, _home: home }))
    }

    /// Its root.
    pub(crate) fn point(&self) -> &Path {
        &self.point
    }
}

impl Drop for LoopMount {
    fn drop(&mut self) {
        if let Err(error) = run(Command::new("umount").arg(&self.point)) {
            eprintln!("{} stays mounted: {error}", self.point.display());
        }
    }
}
