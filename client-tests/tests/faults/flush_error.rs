//! The disk answers a flush with `EIO`: the node says so and ends, and nothing was acknowledged after it.
//!
//! What is acknowledged counts until the process is gone. So a flush that were tried again, which Linux answers with success
//! once the pages are marked clean, would show as records that are not there when the disk works again.

use anyhow::{Result, ensure};
use client_tests::nbd_disk::NbdDisk;
use client_tests::node::Node;
use client_tests::target::skip_on_foreign_broker;
use client_tests::wire::{self, Connection};

use crate::load::Load;

const PARTITIONS: usize = 3;
const FAULTS: i64 = 3;

#[test]
fn node_whose_disk_fails_a_flush_says_so_and_ends_and_has_acknowledged_nothing_after_it() -> Result<()> {
    if skip_on_foreign_broker("flush_error") {
        return Ok(());
    }
    let Some(mut disk) = NbdDisk::create_to_break()? else { return Ok(()) };
    let data = disk.path().join("data");
    let mut node = Node::start_in(&data, &[])?;
    let mut connection = Connection::open(node.bootstrap())?;
    let created = wire::create_topic(&mut connection, "flushes", i32::try_from(PARTITIONS)?, &[])?;
    ensure!(created == 0, "CreateTopics answered {created}");
    let load = Load::start(node.bootstrap(), "flushes", PARTITIONS)?;
    for fault in 0..FAULTS {
        load.wait_for_acknowledgements(100 + 400 * fault)?;
        load.while_sending(|| {
            disk.break_writes()?;
            node.wait_for_failure()
        })?;
        let said = node.stderr();
        let sentences =
            said.lines().filter(|line| line.contains("failed: ") && line.contains("Input/output error"));
        let sentences: Vec<&str> = sentences.collect();
        ensure!(i64::try_from(sentences.len())? == fault + 1, "one sentence for each end: {said}");
        ensure!(sentences.iter().all(|line| line.contains("Check the disk, then start again")), "{said}");
        ensure!(!said.contains("panicked"), "{said}");
        disk.mend()?;
        node.restart()?;
        load.read_back(node.bootstrap())?;
    }
    load.finish(node.bootstrap())
}
