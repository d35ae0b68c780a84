//! The disk of one node is full: it leaves the in-sync replicas, the set goes on, and it returns when there is space.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use client_tests::clock::Moment;
use client_tests::load::traffic::Traffic;
use client_tests::replica_set::ReplicaSet;
use client_tests::replica_set::network::Network;
use client_tests::replica_set::product::Product;
use client_tests::small_disk::SmallDisk;
use client_tests::wait::wait_until;

/// Room for what the load writes, and for what a node sets aside.
const SIZE: u64 = 512 << 20;
/// The longest that the others may take to notice.
const LIMIT: Duration = Duration::from_secs(60);

#[test]
fn node_whose_disk_is_full_leaves_and_returns_by_itself() -> Result<()> {
    let Some(disk) = SmallDisk::create(SIZE)? else { return Ok(()) };
    let product = Product::under_test()?;
    let Some(mut set) = ReplicaSet::prepare(product, Network::loopback()?, 3, &[])? else { return Ok(()) };
    set.node_mut(3)?.set_data_dir(&disk.path().join("data"));
    set.start_all()?;
    let traffic = Traffic::start(&set, "full")?;
    let fault = Moment::now();
    disk.fill(0)?;
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
