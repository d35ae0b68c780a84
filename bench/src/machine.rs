//! The class of the machine that a figure was measured on, without which a figure says nothing.

use std::fmt;
use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result};

use crate::table;

/// The machine, and the file system of one directory.
#[derive(Clone, Debug)]
pub(crate) struct Machine {
    kernel: String,
    processor: String,
    cores: usize,
    memory_bytes: u64,
    mount: Mount,
    load_average: String,
}

/// The file system that a directory is on.
#[derive(Clone, Debug)]
pub(crate) struct Mount {
    file_system: String,
    /// `major:minor`, as `/sys/dev/block` names devices.
    device: String,
    /// The directory is the root of the mount, so nobody else's data is in it.
    is_own: bool,
}

impl Machine {
    /// Looks at this machine and at the existing directory `directory`.
    pub(crate) fn of(directory: &Path) -> Result<Self> {
        let processor = first_field("/proc/cpuinfo", "model name")?;
        let memory = first_field("/proc/meminfo", "MemTotal")?;
        let kib: u64 = memory.trim_end_matches("kB").trim().parse()?;
        let load = fs::read_to_string("/proc/loadavg")?;
        Ok(Self {
            kernel: fs::read_to_string("/proc/sys/kernel/osrelease")?.trim().to_owned(),
            processor,
            cores: cores(),
            memory_bytes: kib * 1024,
            mount: Mount::of(directory)?,
            load_average: load.split(' ').next().unwrap_or_default().to_owned(),
        })
    }
}

impl fmt::Display for Machine {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let memory = table::significant(self.memory_bytes as f64 / f64::from(1 << 30));
        write!(
            formatter,
            "Linux {}; {} × {}; {memory} GiB; {}; load average before the run {}",
            self.kernel, self.cores, self.processor, self.mount, self.load_average
        )
    }
}

impl Mount {
    /// The mount that holds the existing directory `directory`.
    pub(crate) fn of(directory: &Path) -> Result<Self> {
        let directory = directory.canonicalize()?;
        let mounts = fs::read_to_string("/proc/self/mountinfo")?;
        // A later line covers an earlier one of the same mount point.
        let holding =
            mounts.lines().filter_map(parse_mount).filter(|mount| directory.starts_with(mount.point));
        let mount = holding.max_by_key(|mount| mount.point.len()).context("no mount holds the directory")?;
        Ok(Self {
            file_system: mount.file_system.to_owned(),
            device: mount.device.to_owned(),
            is_own: Path::new(mount.point) == directory,
        })
    }

    /// What the device has done since the machine started, or `None` where the file system has no device of its own.
    pub(crate) fn device_totals(&self) -> Option<DeviceTotals> {
        let statistics = fs::read_to_string(format!("/sys/dev/block/{}/stat", self.device)).ok()?;
        let field = |number: usize| statistics.split_whitespace().nth(number)?.parse::<u64>().ok();
        Some(DeviceTotals { written_bytes: field(6)? * SECTOR, flushes: field(15) })
    }
}

impl fmt::Display for Mount {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let place = if self.is_own { "a mount of its own" } else { "shared with others" };
        write!(formatter, "{}, {place}", self.file_system)
    }
}

/// The unit of `/sys/block/*/stat`, whatever the device's own sector size. Source: Linux, Documentation/block/stat.rst.
const SECTOR: u64 = 512;

/// Totals of a block device, everybody's work included.
#[derive(Clone, Copy, Debug)]
pub(crate) struct DeviceTotals {
    /// Bytes written.
    pub(crate) written_bytes: u64,
    /// Flushes of its cache, where the kernel counts them (5.5 and later).
    pub(crate) flushes: Option<u64>,
}

impl DeviceTotals {
    /// What was done since `earlier`.
    pub(crate) fn since(self, earlier: Self) -> Self {
        let flushes = self.flushes.zip(earlier.flushes).map(|(now, then)| now.saturating_sub(then));
        Self { written_bytes: self.written_bytes.saturating_sub(earlier.written_bytes), flushes }
    }
}

/// How many processors this process may use.
pub(crate) fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, std::num::NonZero::get)
}

/// One line of `/proc/self/mountinfo`. Source: proc_pid_mountinfo(5).
struct MountLine<'a> {
    device: &'a str,
    point: &'a str,
    file_system: &'a str,
}

fn parse_mount(line: &str) -> Option<MountLine<'_>> {
    let (before, after) = line.split_once(" - ")?;
    let mut fields = before.split(' ');
    let device = fields.nth(2)?;
    let point = fields.nth(1)?;
    Some(MountLine { device, point, file_system: after.split(' ').next()? })
}

/// The value of the first line `name: value` of a file.
fn first_field(path: &str, name: &str) -> Result<String> {
    let text = fs::read_to_string(path)?;
    let line =
        text.lines().find(|line| line.starts_with(name)).with_context(|| format!("{path}: no {name}"))?;
    let (_, value) = line.split_once(':').with_context(|| format!("{path}: no value of {name}"))?;
    Ok(value.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::parse_mount;

    #[test]
    fn mount_line_names_device_point_and_file_system() {
        let line = "36 35 98:0 /mnt1 /mnt2 rw,noatime master:1 - ext3 /dev/root rw,errors=continue";
        let mount = parse_mount(line).unwrap();
        assert_eq!((mount.device, mount.point, mount.file_system), ("98:0", "/mnt2", "ext3"));
    }
}
