//! An ext4 file system on a disk that nbdkit makes, whose filters give it the faults of real disks.
//!
//! ```text
//! program → ext4 → loop device (direct I/O) → nbdfuse → nbdkit with a filter → image
//! ```

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result};
use tempfile::TempDir;

use crate::tools::{debian, missing, run};
use crate::wait::wait_until;

/// Room for the loads of these tests many times over; the file stays sparse.
const SIZE: u64 = 1 << 30;
/// The file that the settings of the filter `error` name: while it is there, what the filter says happens.
const FAULT: &str = "fault";
/// The longest that a server may take to start; they take milliseconds.
const LIMIT: Duration = Duration::from_secs(60);

/// A mounted file system. It is unmounted, and its servers end, when this is dropped.
#[derive(Debug)]
pub struct NbdDisk {
    home: TempDir,
    /// nbdkit's filter, and the settings of it.
    filter: &'static str,
    settings: &'static [&'static str],
    /// The disk.
    server: Option<Child>,
    /// Makes a file of the disk's protocol, which a loop device can use.
    bridge: Option<Child>,
    /// The loop device.
    device: Option<String>,
}

impl NbdDisk {
    /// Makes one whose writes and flushes fail with `EIO` from [`NbdDisk::break_writes`] on, or skips.
    ///
    /// # Errors
    /// As [`NbdDisk::create`].
    pub fn create_to_break() -> Result<Option<NbdDisk>> {
        const WRITES: [&str; 3] = ["error-pwrite=EIO", "error-pwrite-rate=100%", "error-pwrite-file=fault"];
        NbdDisk::create("error", &WRITES)
    }

    /// Makes and mounts a new file system, or skips where that is not possible.
    ///
    /// # Errors
    /// When it fails although this is root, or where `CI` is set.
    pub fn create(filter: &'static str, settings: &'static [&'static str]) -> Result<Option<NbdDisk>> {
        if !rustix::process::getuid().is_root() {
            return missing("a disk by nbdkit", "only root may mount one");
        }
        for device in ["/dev/loop-control", "/dev/fuse"] {
            if !Path::new(device).exists() {
                return missing("a disk by nbdkit", &format!("the kernel offers no {device}"));
            }
        }
        for (package, program) in [("nbdkit", "nbdkit"), ("libnbd-bin", "nbdfuse")] {
            if debian::install(package, program, "--version")?.is_none() {
                return Ok(None);
            }
        }
        let home = TempDir::with_prefix("ottla-client-tests-disk-")?;
        let mut disk = NbdDisk { home, filter, settings, server: None, bridge: None, device: None };
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

    /// Starts the disk and makes a block device of it.
    fn plug_in(&mut self) -> Result<String> {
        let (socket, disk) = (self.at("socket"), self.at("disk"));
        let mut server = Command::new("nbdkit");
        server.args(["--foreground", "--filter", self.filter, "--unix"]).arg(&socket);
        server.arg("file").arg(self.at("image")).args(self.settings).stdin(Stdio::null());
        // Where the settings name a file, it is one here.
        server.current_dir(self.home.path());
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

    /// Where it is mounted.
    #[must_use]
    pub fn path(&self) -> PathBuf {
        self.at("mounted")
    }

    /// Every write fails from now on; what the page cache holds stays readable.
    ///
    /// # Errors
    /// When the switch cannot be set.
    pub fn break_writes(&self) -> Result<()> {
        File::create(self.at(FAULT)).map(drop).context("the switch cannot be set")
    }

    /// Writes go through again, for a file system that is mounted anew.
    ///
    /// # Errors
    /// When they were not broken, or something still uses the disk.
    pub fn mend(&mut self) -> Result<()> {
        std::fs::remove_file(self.at(FAULT))?;
        let mut server = self.server.take().context("the disk is there")?;
        self.unplug()?;
        server.kill()?;
        server.wait()?;
        let device = self.plug_in()?;
        run("mount", [device.as_ref(), self.path().as_os_str()]).map(drop)
    }

    /// Lets the disk vanish from under everything, with what its filter has not passed on.
    ///
    /// # Errors
    /// When it has vanished already.
    pub fn kill(&mut self) -> Result<()> {
        let mut server = self.server.take().context("the disk is there")?;
        server.kill()?;
        server.wait()?;
        Ok(())
    }

    /// Mounts what is left of a disk that had vanished.
    ///
    /// # Errors
    /// When something still uses it.
    pub fn bring_back(&mut self) -> Result<()> {
        self.unplug()?;
        let device = self.plug_in()?;
        run("mount", [device.as_ref(), self.path().as_os_str()]).map(drop)
    }
}

impl Drop for NbdDisk {
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
