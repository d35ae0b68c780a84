//! The disk of one node is full: it leaves the in-sync replicas, the set goes on, and it returns when there is space.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use client_tests::clock::Moment;
use client_tests::load::traffic::Traffic;
use client_tests::replica_set::ReplicaSet;
use client_tests::replica_set::network::Network;
use client_tests::replica_set::product::Product;
use client_tests::tools::{missing, run};
use client_tests::wait::wait_until;
use tempfile::TempDir;

/// Room for what the load writes, and for what a node sets aside.
const SIZE: u64 = 512 << 20;
const BLOCK: u64 = 1 << 20;
/// The longest that the others may take to notice.
const LIMIT: Duration = Duration::from_secs(60);

/// A small file system in a file. It is unmounted when this is dropped.
struct SmallDisk(TempDir);

impl SmallDisk {
    fn create() -> Result<Option<SmallDisk>> {
        if !rustix::process::getuid().is_root() {
            return missing("a small disk", "only root may mount one");
        }
        if !Path::new("/dev/loop-control").exists() {
            return missing("a small disk", "the kernel offers no loop device");
        }
        let disk = SmallDisk(TempDir::with_prefix("ottla-small-disk-")?);
        let image = disk.0.path().join("image");
        File::create(&image)?.set_len(SIZE)?;
        run("mkfs.ext4", ["-q".as_ref(), "-F".as_ref(), image.as_os_str()])?;
        fs::create_dir(disk.path())?;
        run("mount", ["-o".as_ref(), "loop".as_ref(), image.as_os_str(), disk.path().as_os_str()])?;
        Ok(Some(disk))
    }

    fn path(&self) -> PathBuf {
        self.0.path().join("mounted")
    }

    fn filler(&self) -> PathBuf {
        self.path().join("filler")
    }

    /// Takes all the space that is left.
    fn fill(&self) -> Result<()> {
        let file = File::create(self.filler())?;
        let mut end = 0;
        let mut step = 64 * BLOCK;
        // Ever smaller pieces, until not even one block is left.
        while step >= 4096 {
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

    fn free(&self) -> Result<()> {
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

#[test]
fn node_whose_disk_is_full_leaves_and_returns_by_itself() -> Result<()> {
    let Some(disk) = SmallDisk::create()? else { return Ok(()) };
    let product = Product::under_test()?;
    let Some(mut set) = ReplicaSet::prepare(product, Network::loopback()?, 3, &[])? else { return Ok(()) };
    set.node_mut(3)?.set_data_dir(&disk.path().join("data"));
    set.start_all()?;
    let traffic = Traffic::start(&set, "full")?;
    let fault = Moment::now();
    disk.fill()?;
    wait_until(LIMIT, "the node with the full disk is in sync nowhere and leads nothing", || {
        let cluster = set.cluster()?;
        Ok(cluster
            .partitions("full")
            .iter()
            .all(|(_, view)| !view.isr.contains(&3) && view.leader.is_some_and(|leader| leader != 3)))
    })
    .with_context(|| format!("{:?}", set.cluster().map(|cluster| cluster.partitions)))?;
    let gaps = traffic.gaps(fault)?;
    eprintln!("with the disk full, the longest times without an acknowledgement were {gaps:.1?}");
    set.check()?;
    disk.free()?;
    set.wait_until_whole()?;
    ensure!(traffic.given_up() == 0, "records were given up");
    traffic.judge(&mut set)
}
