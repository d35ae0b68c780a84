//! The power goes: what the file system had not been told to keep is gone, mapped pages included.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use client_tests::node::Node;
use client_tests::target::skip_on_foreign_broker;
use client_tests::wait::wait_until;
use client_tests::wire::{self, Connection};

use crate::load::Load;
use crate::loop_disk::LoopDisk;

const PARTITIONS: i32 = 3;
const SEGMENT_BYTES: &str = "1048576";
const CUTS: u32 = 20;
const LEADER_LIMIT: Duration = Duration::from_secs(10);

/// The first cut comes as soon as the first records are acknowledged, well within a second of the first start.
#[test]
fn power_cut_loses_and_doubles_nothing() -> Result<()> {
    if skip_on_foreign_broker("power_cut") {
        return Ok(());
    }
    let cuts = std::env::var("OTTLA_TEST_POWER_CUTS").map_or(Ok(CUTS), |count| count.parse())?;
    let Some(mut disk) = LoopDisk::create()? else { return Ok(()) };
    let mut node = Node::start_in(&disk.path().join("data"), &[])?;
    let mut connection = Connection::open(node.bootstrap())?;
    let created =
        wire::create_topic(&mut connection, "cuts", PARTITIONS, &[("segment.bytes", SEGMENT_BYTES)])?;
    ensure!(created == 0, "CreateTopics answered {created}");
    let load = Load::start(node.bootstrap(), "cuts", usize::try_from(PARTITIONS)?)?;
    let mut random = 1_u32;
    for cut in 0..cuts {
        let context = || format!("at cut {cut} of {cuts}");
        random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        let more = if cut == 0 { 1 } else { 1 + (random >> 16) % 3000 };
        load.wait_for_acknowledgements(i64::from(more)).with_context(context)?;
        // A machine stops with its disk; this process would run on. Left running, it was seen to acknowledge records
        // after the shutdown of the file system had begun, and those were lost: most likely an msync that the shutdown
        // overtakes still reports success, which nobody has proven in the kernel.
        node.freeze()?;
        disk.cut_power()?;
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
    node.freeze()?;
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
