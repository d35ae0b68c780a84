//! An ext4 file system in a file, whose power can be cut: `FS_IOC_SHUTDOWN` without a flush of its log drops every
//! page and every piece of metadata that was not synced.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use anyhow::{Context as _, Result, ensure};
use client_tests::tools::{missing, program, run};
use tempfile::TempDir;

/// Room for the loads of these tests many times over; the file stays sparse.
const SIZE: u64 = 1 << 30;

/// A mounted file system that can be cut off from its power.
pub(crate) trait PowerSwitch {
    /// Where it is mounted.
    fn path(&self) -> PathBuf;

    /// Cuts the power: from now on every write and sync fails, and what was not synced is lost. Processes run on.
    fn cut_power(&mut self) -> Result<()>;

    /// Mounts what is left, which replays the file system's journal. No process may use the mount any more.
    fn bring_back(&mut self) -> Result<()>;
}

/// A mounted file system. It is unmounted when this is dropped.
pub(crate) struct LoopDisk {
    home: TempDir,
    /// Waits for the end of its input to cut the power: a program that had to start first would cut too late.
    switch: Option<Child>,
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
        let home = TempDir::with_prefix("ottla-client-tests-disk-")?;
        let mut disk = LoopDisk { home, switch: None };
        std::fs::File::create(disk.image())?.set_len(SIZE)?;
        run("mkfs.ext4", ["-q".as_ref(), "-F".as_ref(), disk.image().as_os_str()])?;
        std::fs::create_dir(disk.path())?;
        disk.mount().context("the image cannot be mounted")?;
        Ok(Some(disk))
    }

    fn image(&self) -> PathBuf {
        self.home.path().join("image")
    }

    fn mount(&mut self) -> Result<()> {
        run("mount", ["-o".as_ref(), "loop".as_ref(), self.image().as_os_str(), self.path().as_os_str()])?;
        let mut switch = Command::new("python3");
        switch.arg(program("python/cut_power.py")).arg(self.path()).stdin(Stdio::piped());
        self.switch = Some(switch.spawn()?);
        Ok(())
    }
}

impl PowerSwitch for LoopDisk {
    fn path(&self) -> PathBuf {
        self.home.path().join("mounted")
    }

    fn cut_power(&mut self) -> Result<()> {
        let mut switch = self.switch.take().context("the power is on")?;
        // Waiting closes its input.
        let status = switch.wait()?;
        ensure!(status.success(), "the power was not cut: {status}");
        Ok(())
    }

    fn bring_back(&mut self) -> Result<()> {
        run("umount", [self.path()])?;
        self.mount()
    }
}

impl Drop for LoopDisk {
    fn drop(&mut self) {
        if let Some(switch) = &mut self.switch
            && let Err(error) = switch.kill().and_then(|()| switch.wait())
        {
            eprintln!("the switch could not be ended: {error}");
        }
        if let Err(error) = run("umount", ["--lazy".as_ref(), self.path().as_os_str()]) {
            eprintln!("{} stays mounted: {error:#}", self.path().display());
        }
    }
}
