//! An ext4 file system on a disk with a volatile cache, which forgets at a power cut what it was not told to flush.
//!
//! ```text
//! node → ext4 → loop device (direct I/O) → nbdfuse → nbdkit: cache in memory and a temporary file → image
//! ```
//!
//! nbdkit's cache filter passes writes on to the image at a flush only. `kill -9` of nbdkit is the power cut: the disk
//! vanishes from under everything that runs, in the middle of what it was doing, and comes back with what was flushed.
//! Nothing above the disk is told, so a file system that omits a flush, or claims one, is found out as well.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result};
use client_tests::tools::{debian, missing, run};
use client_tests::wait::wait_until;
use tempfile::TempDir;

use crate::loop_disk::PowerSwitch;

/// Room for the loads of these tests many times over; the file stays sparse.
const SIZE: u64 = 1 << 30;
/// The longest that a server may take to start; they take milliseconds.
const LIMIT: Duration = Duration::from_secs(20);

/// A mounted file system. It is unmounted, and its servers end, when this is dropped.
pub(crate) struct CachedDisk {
    home: TempDir,
    /// The disk: it holds the cache.
    server: Option<Child>,
    /// Makes a file of the disk's protocol, which a loop device can use.
    bridge: Option<Child>,
    /// The loop device.
    device: Option<String>,
}

impl CachedDisk {
    /// Makes and mounts a new file system, or skips where that is not possible.
    ///
    /// # Errors
    /// When it fails although this is root, or where `CI` is set.
    pub(crate) fn create() -> Result<Option<CachedDisk>> {
        if !rustix::process::getuid().is_root() {
            return missing("a disk with a volatile cache", "only root may mount one");
        }
        for device in ["/dev/loop-control", "/dev/fuse"] {
            if !Path::new(device).exists() {
                return missing("a disk with a volatile cache", &format!("the kernel offers no {device}"));
            }
        }
        for (package, program) in [("nbdkit", "nbdkit"), ("libnbd-bin", "nbdfuse")] {
            if debian::install(package, program, "--version")?.is_none() {
                return Ok(None);
            }
        }
        let home = TempDir::with_prefix("ottla-client-tests-disk-")?;
        let mut disk = CachedDisk { home, server: None, bridge: None, device: None };
        File::create(disk.at("image"))?.set_len(SIZE)?;
        File::create(disk.at("disk"))?;
        std::fs::create_dir(disk.path())?;
        let device = disk.plug_in()?;
        run("mkfs.ext4", ["-q", &device])?;
        run("mount", [device.as_ref(), disk.path().as_os_str()])?;
        Ok(Some(disk))
    }

    fn at(&self, name: &str) -> PathBuf {
        self.home.path().join(name)
    }

    /// Starts the disk with an empty cache, and makes a block device of it.
    fn plug_in(&mut self) -> Result<String> {
        let (socket, disk) = (self.at("socket"), self.at("disk"));
        let mut server = Command::new("nbdkit");
        server.args(["--foreground", "--filter=cache", "--unix"]).arg(&socket);
        server.arg("file").arg(self.at("image")).arg("cache=writeback").stdin(Stdio::null());
        self.server = Some(server.spawn()?);
        wait_until(LIMIT, "nbdkit listens", || Ok(socket.exists()))?;
        let mut bridge = Command::new("nbdfuse");
        bridge.arg(&disk).arg("--unix").arg(&socket).stdin(Stdio::null()).stderr(Stdio::null());
        self.bridge = Some(bridge.spawn()?);
        wait_until(LIMIT, "nbdfuse shows the disk", || Ok(std::fs::metadata(&disk)?.len() == SIZE))?;
        let arguments = ["--find".as_ref(), "--show".as_ref(), "--direct-io=on".as_ref(), disk.as_os_str()];
        let device = String::from_utf8(run("losetup", arguments)?)?.trim().to_owned();
        self.device = Some(device.clone());
        Ok(device)
    }

    /// Takes everything away that stands above the image.
    fn unplug(&mut self) -> Result<()> {
        run("umount", [self.path()])?;
        let device = self.device.take().context("the disk is plugged in")?;
        run("losetup", ["--detach", &device])?;
        // Without its server the bridge may have ended by itself; the file that it showed is to be unmounted either way.
        let mut bridge = self.bridge.take().context("the disk is plugged in")?;
        let unmounted = run("umount", ["--lazy".as_ref(), self.at("disk").as_os_str()]);
        bridge.kill()?;
        bridge.wait()?;
        unmounted?;
        std::fs::remove_file(self.at("socket"))?;
        Ok(())
    }
}

impl PowerSwitch for CachedDisk {
    fn path(&self) -> PathBuf {
        self.at("mounted")
    }

    fn cut_power(&mut self) -> Result<()> {
        let mut server = self.server.take().context("the power is on")?;
        server.kill()?;
        server.wait()?;
        Ok(())
    }

    fn bring_back(&mut self) -> Result<()> {
        self.unplug()?;
        let device = self.plug_in()?;
        run("mount", [device.as_ref(), self.path().as_os_str()]).map(drop)
    }
}

impl Drop for CachedDisk {
    fn drop(&mut self) {
        let unplugged = run("umount", ["--lazy".as_ref(), self.path().as_os_str()]);
        let detached = self.device.take().map(|device| run("losetup", ["--detach", &device]));
        let unbridged = run("umount", ["--lazy".as_ref(), self.at("disk").as_os_str()]);
        for outcome in [Some(unplugged), detached, Some(unbridged)].into_iter().flatten() {
            if let Err(error) = outcome {
                eprintln!("{} stays mounted: {error:#}", self.path().display());
            }
        }
        for process in [&mut self.bridge, &mut self.server].into_iter().flatten() {
            if let Err(error) = process.kill().and_then(|()| process.wait()) {
                eprintln!("a server of the disk could not be ended: {error}");
            }
        }
    }
}
