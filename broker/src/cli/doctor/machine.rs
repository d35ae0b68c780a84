//! The machine that a node runs on: its disk, and the limits that the system sets.
//!
//! Where a node uses the data directory, its own limits are looked at, which `/proc` tells; otherwise those of this
//! command, which a node that is started likewise would have.

use super::{Checked, Findings};
use crate::open_files;
use config::broker::BrokerConfig;
use rustix::fs::StatVfs;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// What Linux allows by default, with which a node is tested.
const MAPS_WANTED: u64 = 65_530;

/// The share of a disk that should be free, in percent. Larger: complaints about disks that are well filled. Smaller: no time
/// left to act.
const FREE_PERCENT: u64 = 10;

/// File systems in memory, by their numbers. Source: `linux/magic.h`.
const IN_MEMORY: [i64; 2] = [0x0102_1994, 0x8584_58f6];

/// File systems on other machines: NFS, SMB, CIFS, SMB2, FUSE, 9p. Source: `linux/magic.h`.
const REMOTE: [i64; 6] = [0x6969, 0x517b, 0xff53_4d42, 0xfe53_4d42, 0x6573_5546, 0x0102_1997];

/// The columns of `/proc/PID/limits`, behind the name.
const SOFT: usize = 0;
const HARD: usize = 1;

/// The limits of a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Limits {
    open_files: u64,
    address_space: u64,
    file_size: u64,
}

/// Looks at the machine.
pub(super) fn look(config: &BrokerConfig, findings: &mut Findings) {
    let directory = existing(&config.log_dir);
    if directory != config.log_dir {
        findings.note(format!(
            "{} (log.dirs) is not there, so {} is looked at instead; --config or --set log.dirs=DIRECTORY names that of a node.",
            config.log_dir.display(),
            directory.display()
        ));
    }
    if let Ok(figures) = rustix::fs::statvfs(&directory) {
        let floor = u64::try_from(config.free_space_floor_bytes).unwrap_or(0);
        findings.check(space(&directory, &figures, floor));
        findings.check(inodes(&directory, &figures));
    }
    if let Ok(kind) = rustix::fs::statfs(&directory) {
        #[allow(clippy::unnecessary_cast, reason = "the field's type differs between systems")]
        let kind = kind.f_type as i64;
        findings.check(suited(&directory, kind));
    }
    let node = process_with_lock(&config.log_dir.join(".lock"));
    let place = node.map_or("self".to_owned(), |id| id.to_string());
    if let Some(limits) =
        fs::read_to_string(format!("/proc/{place}/limits")).ok().as_deref().map(Limits::read)
    {
        let connections = u64::try_from(config.max_connections).unwrap_or(0);
        findings.check(files(limits, connections));
        findings.check(unlimited(limits));
    }
    let maps_max = fs::read_to_string("/proc/sys/vm/max_map_count").ok();
    if let Some(max) = maps_max.and_then(|text| text.trim().parse().ok()) {
        let used = node.and_then(|id| fs::read_to_string(format!("/proc/{id}/maps")).ok());
        findings.check(maps(max, used.map(|maps| maps.lines().count() as u64)));
    }
}

/// The directory, or the nearest above it that is there.
fn existing(path: &Path) -> PathBuf {
    let mut ancestors = path.ancestors().filter(|ancestor| !ancestor.as_os_str().is_empty());
    ancestors.find(|ancestor| ancestor.exists()).map_or_else(|| PathBuf::from("."), Path::to_owned)
}

/// The process that holds the lock on a file, by its id.
fn process_with_lock(path: &Path) -> Option<u32> {
    let inode = fs::metadata(path).ok()?.ino();
    let locks = fs::read_to_string("/proc/locks").ok()?;
    owner_of(&locks, inode)
}

/// `1: FLOCK  ADVISORY  WRITE 1234 fd:01:5678 0 EOF`: the process of the lock on this inode.
fn owner_of(locks: &str, inode: u64) -> Option<u32> {
    locks.lines().find_map(|line| {
        let mut words = line.split_whitespace().skip(4);
        let (process, file) = (words.next()?, words.next()?);
        let is_it = file.rsplit(':').next()?.parse() == Ok(inode);
        process.parse().ok().filter(|_| is_it)
    })
}

impl Limits {
    /// Reads `/proc/PID/limits`: names, then the soft and the hard limit. A node raises its limit of open files itself, as far
    /// as it may.
    fn read(text: &str) -> Self {
        let limit = |name: &str, column: usize| {
            let line = text.lines().find_map(|line| line.strip_prefix(name));
            let value = line.and_then(|line| line.split_whitespace().nth(column));
            // "unlimited", and what is not told, is no limit.
            value.and_then(|value| value.parse().ok()).unwrap_or(u64::MAX)
        };
        Self {
            open_files: limit("Max open files", HARD),
            address_space: limit("Max address space", SOFT),
            file_size: limit("Max file size", SOFT),
        }
    }
}

fn files(limits: Limits, connections: u64) -> Checked {
    let wanted = open_files::wanted(connections);
    let Limits { open_files, .. } = limits;
    if open_files < wanted {
        return Err(format!(
            "A process may open {open_files} files, and max.connections={connections} with the logs takes up to {wanted}: start the node \
             after `ulimit -Hn {wanted}` (systemd: LimitNOFILE={wanted}), or lower max.connections."
        ));
    }
    Ok(format!(
        "A process may open {open_files} files; max.connections={connections} with the logs takes up to {wanted}."
    ))
}

fn unlimited(limits: Limits) -> Checked {
    if limits.address_space != u64::MAX {
        return Err(
            "The address space of processes is limited, and logs are mapped whole: start the node with `ulimit -v unlimited`."
                .to_owned(),
        );
    }
    if limits.file_size != u64::MAX {
        return Err(
            "The size of files is limited, and a segment that reaches it would end the node: start it with `ulimit -f unlimited`."
                .to_owned(),
        );
    }
    Ok("Neither the address space of processes nor the size of files is limited.".to_owned())
}

fn maps(max: u64, used: Option<u64>) -> Checked {
    let fix =
        "set it to 262144 with `sysctl -w vm.max_map_count=262144`, and in /etc/sysctl.d for the next start";
    match used {
        Some(used) if used.saturating_mul(5) > max.saturating_mul(4) => {
            Err(format!("The node has {used} of the {max} mappings that vm.max_map_count allows: {fix}."))
        }
        _ if max < MAPS_WANTED => {
            Err(format!("vm.max_map_count is {max}, below the usual {MAPS_WANTED}: {fix}."))
        }
        Some(used) => Ok(format!("The node has {used} of the {max} mappings that vm.max_map_count allows.")),
        None => Ok(format!("vm.max_map_count allows {max} mappings.")),
    }
}

fn space(directory: &Path, figures: &StatVfs, floor: u64) -> Checked {
    let bytes = |blocks: u64| blocks.saturating_mul(figures.f_frsize);
    let (free, size) = (bytes(figures.f_bavail), bytes(figures.f_blocks));
    let mebibytes = |bytes: u64| bytes / (1024 * 1024);
    let (place, fix) = (directory.display(), "delete topics or lower their retention, or give it more space");
    if free < floor {
        let floor = mebibytes(floor);
        return Err(format!(
            "The disk of {place} has {} MiB free, less than ottla.free.space.floor.bytes ({floor} MiB), so records are refused: {fix}.",
            mebibytes(free)
        ));
    }
    let percent = free.saturating_mul(100) / size.max(1);
    let has = format!("The disk of {place} has {} MiB ({percent} %) free", mebibytes(free));
    match free < size / 100 * FREE_PERCENT {
        true => Err(format!("{has}: {fix} before records are refused.")),
        false => Ok(format!("{has}.")),
    }
}

fn inodes(directory: &Path, figures: &StatVfs) -> Checked {
    // File systems without a fixed number of them say 0.
    let is_scarce = figures.f_files > 0 && figures.f_favail < figures.f_files / 100;
    let place = directory.display();
    match (is_scarce, figures.f_files) {
        (true, _) => Err(format!(
            "The disk of {place} can take {} more files only: remove some, or make its file system with more inodes.",
            figures.f_favail
        )),
        (false, 0) => Ok(format!("The disk of {place} takes any number of files.")),
        (false, _) => Ok(format!("The disk of {place} can take {} more files.", figures.f_favail)),
    }
}

fn suited(directory: &Path, kind: i64) -> Checked {
    let place = directory.display();
    match kind {
        kind if IN_MEMORY.contains(&kind) => Err(format!(
            "{place} is in memory: everything that was acknowledged is gone with the machine; put log.dirs on a disk."
        )),
        kind if REMOTE.contains(&kind) => Err(format!(
            "{place} is on a network file system, where a flush may not mean what it says: put log.dirs on a local disk."
        )),
        _ => Ok(format!("{place} is neither in memory nor on a network file system.")),
    }
}

#[cfg(test)]
mod tests {
    use super::{IN_MEMORY, Limits, existing, files, maps, owner_of, space, suited, unlimited};
    use rustix::fs::{StatVfs, StatVfsMountFlags};
    use std::path::Path;

    const LIMITS: &str = "\
Limit                     Soft Limit           Hard Limit           Units
Max file size             unlimited            unlimited            bytes
Max open files            1024                 2048                 files
Max address space         unlimited            unlimited            bytes
";

    #[test]
    fn limits_are_those_that_the_process_has_now() {
        let limits = Limits::read(LIMITS);
        assert_eq!(limits, Limits { open_files: 2048, address_space: u64::MAX, file_size: u64::MAX });
        let said = files(limits, 10_000).unwrap_err();
        assert!(said.contains("may open 2048 files") && said.contains("`ulimit -Hn 14352`"), "{said}");
        assert!(files(Limits { open_files: 20_000, ..limits }, 10_000).is_ok());
        assert!(unlimited(limits).is_ok());
        assert!(unlimited(Limits { address_space: 1, ..limits }).is_err());
        assert!(unlimited(Limits { file_size: 1, ..limits }).is_err());
    }

    #[test]
    fn mappings_that_run_out_are_a_problem_before_they_have() {
        assert!(maps(65_530, Some(1_000)).is_ok_and(|it| it.starts_with("The node has 1000 of the 65530")));
        assert!(
            maps(65_530, Some(60_000)).is_err_and(|it| it.starts_with("The node has 60000 of the 65530"))
        );
        assert!(maps(1_000, None).is_err());
    }

    #[test]
    fn a_disk_is_full_below_the_floor_and_nearly_full_above() {
        let figures = |free: u64| StatVfs {
            f_bsize: 4096,
            f_frsize: 4096,
            f_blocks: 256 * 1024,
            f_bfree: free,
            f_bavail: free,
            f_files: 0,
            f_ffree: 0,
            f_favail: 0,
            f_fsid: 0,
            f_flag: StatVfsMountFlags::empty(),
            f_namemax: 255,
        };
        let judged =
            |free_mebibytes: u64| space(Path::new("/data"), &figures(free_mebibytes * 256), 50 << 20);
        assert_eq!(judged(500).as_deref(), Ok("The disk of /data has 500 MiB (48 %) free."));
        assert!(judged(80).is_err_and(|it| it.contains("has 80 MiB (7 %) free")));
        assert!(judged(20).is_err_and(|it| it.contains("(50 MiB), so records are refused")));
    }

    #[test]
    fn data_in_memory_is_a_problem() {
        assert!(IN_MEMORY.iter().all(|kind| suited(Path::new("/dev/shm"), *kind).is_err()));
        assert!(suited(Path::new("/data"), 0xef53).is_ok(), "ext4");
    }

    #[test]
    fn who_holds_a_lock_is_found_by_the_inode_of_its_file() {
        let locks =
            "1: POSIX  ADVISORY  READ 77 fd:01:123 0 EOF\n2: FLOCK  ADVISORY  WRITE 4242 fd:01:5678 0 EOF\n";
        assert_eq!((owner_of(locks, 5678), owner_of(locks, 678)), (Some(4242), None));
    }

    #[test]
    fn a_directory_that_is_not_there_yet_is_judged_by_its_parent() {
        assert_eq!(existing(Path::new("/no-such-directory/data")), Path::new("/"));
        assert_eq!(existing(Path::new("no-such-directory")), Path::new("."));
    }
}
