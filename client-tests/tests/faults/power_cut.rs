//! The power goes: what the file system had not been told to keep is gone, mapped pages included.
//!
//! Two ways, both while the node works and nobody has stopped it. A machine stops with its disk, this one runs on; so what
//! is acknowledged after the cut has begun counts too.
//!
//! - The disk below the file system forgets what it was not told to flush: this is what a power cut is. It holds the whole
//!   path to its promise, the file system and its flushes included.
//! - The file system is shut down (`FS_IOC_SHUTDOWN` without a flush of its log). Here a sync that is under way may report
//!   success for what is lost, on ext4 and on XFS, also to a program of a few lines: the transaction that makes written
//!   what was allocated is thrown away while the sync waits for it, and nobody tells the sync. So the flusher confirms
//!   each round before anyone is answered (`storage::disk::os::confirm_syncs` has the measurements); without that, this
//!   test fails within a few cuts.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use client_tests::node::Node;
use client_tests::target::skip_on_foreign_broker;
use client_tests::wait::wait_until;
use client_tests::wire::{self, Connection};

use crate::cached_disk::CachedDisk;
use crate::load::Load;
use crate::loop_disk::{LoopDisk, PowerSwitch};

const SEGMENT_BYTES: &str = "1048576";
const SHUTDOWNS: u32 = 20;
const CACHE_LOSSES: u32 = 10;
const LEADER_LIMIT: Duration = Duration::from_secs(60);

/// The file system loses what it was not told to sync, and the answers to syncs that were under way.
#[test]
fn shutdown_of_the_file_system_loses_and_doubles_nothing() -> Result<()> {
    if skip_on_foreign_broker("power_cut") {
        return Ok(());
    }
    let Some(disk) = LoopDisk::create()? else { return Ok(()) };
    // One partition: a round of the flusher that has several files meets an error at the next one.
    cut_again_and_again(disk, 1, cuts(SHUTDOWNS)?)
}

/// The disk loses what it was not told to flush, while the node runs.
#[test]
fn power_cut_of_a_disk_with_a_volatile_cache_loses_and_doubles_nothing() -> Result<()> {
    if skip_on_foreign_broker("power_cut") {
        return Ok(());
    }
    let Some(disk) = CachedDisk::create()? else { return Ok(()) };
    cut_again_and_again(disk, 3, cuts(CACHE_LOSSES)?)
}

fn cuts(usual: u32) -> Result<u32> {
    Ok(std::env::var("OTTLA_TEST_POWER_CUTS").map_or(Ok(usual), |count| count.parse())?)
}

/// The first cut comes as soon as the first records are acknowledged, well within a second of the first start.
fn cut_again_and_again(mut disk: impl PowerSwitch, partitions: i32, cuts: u32) -> Result<()> {
    let mut node = Node::start_in(&disk.path().join("data"), &[])?;
    let mut connection = Connection::open(node.bootstrap())?;
    let created =
        wire::create_topic(&mut connection, "cuts", partitions, &[("segment.bytes", SEGMENT_BYTES)])?;
    ensure!(created == 0, "CreateTopics answered {created}");
    let load = Load::start(node.bootstrap(), "cuts", usize::try_from(partitions)?)?;
    let mut random = 1_u32;
    for cut in 0..cuts {
        let context = || format!("at cut {cut} of {cuts}");
        random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        let more = if cut == 0 { 1 } else { 1 + (random >> 16) % 3000 };
        load.wait_for_acknowledgements(i64::from(more)).with_context(context)?;
        load.while_sending(|| disk.cut_power())?;
        node.kill()?;
        disk.bring_back()?;
        node.restart().with_context(context)?;
        load.read_back(node.bootstrap()).with_context(context)?;
    }
    eprintln!("{cuts} power cuts, {} records acknowledged", load.acknowledged());
    load.finish(node.bootstrap())
}

/// A node that is cut off before anyone used it starts again, as the same cluster.
#[test]
fn power_cut_right_after_the_first_start_leaves_a_node_that_starts() -> Result<()> {
    if skip_on_foreign_broker("power_cut") {
        return Ok(());
    }
    let Some(mut disk) = LoopDisk::create()? else { return Ok(()) };
    let mut node = Node::start_in(&disk.path().join("data"), &[])?;
    let before = cluster_id(&node)?;
    disk.cut_power()?;
    node.kill()?;
    disk.bring_back()?;
    node.restart()?;
    let after = cluster_id(&node)?;
    ensure!(before == after, "the cluster {before:?} came back as {after:?}");
    Ok(())
}

fn cluster_id(node: &Node) -> Result<String> {
    let mut connection = Connection::open(node.bootstrap())?;
    let mut id = None;
    wait_until(LEADER_LIMIT, "the broker names its cluster", || {
        id = wire::cluster_id(&mut connection)?;
        Ok(id.is_some())
    })?;
    id.context("the broker names its cluster")
}
