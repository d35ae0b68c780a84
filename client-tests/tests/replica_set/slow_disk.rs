//! The disk of one node takes its time for every write: what is acknowledged waits for it, and nothing is lost.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use client_tests::clock::Moment;
use client_tests::load::traffic::Traffic;
use client_tests::nbd_disk::NbdDisk;
use client_tests::replica_set::ReplicaSet;
use client_tests::replica_set::network::Network;
use client_tests::replica_set::product::Product;
use client_tests::wait::let_pass;

/// How long the load runs beside it.
const LOAD: Duration = Duration::from_secs(5);

#[test]
fn slow_disk_slows_and_loses_nothing() -> Result<()> {
    let Some(disk) = NbdDisk::create("delay", &["delay-write=30ms"])? else { return Ok(()) };
    let product = Product::under_test()?;
    let Some(mut set) = ReplicaSet::prepare(product, Network::loopback()?, 3, &[])? else { return Ok(()) };
    set.node_mut(3)?.set_data_dir(&disk.path().join("data"));
    set.start_all()?;
    let traffic = Traffic::start(&set, "slow")?;
    let begin = Moment::now();
    let_pass(LOAD);
    let gaps = traffic.gaps(begin)?;
    eprintln!("with a slow disk, the longest times without an acknowledgement were {gaps:.1?}");
    // The same once more where another has to take over from the slow one.
    set.node_mut(3)?.kill()?;
    traffic.gaps(Moment::now())?;
    set.node_mut(3)?.start()?;
    set.node_mut(3)?.wait_until_served().context("with a slow disk")?;
    set.wait_until_whole().context("with a slow disk")?;
    ensure!(traffic.given_up() == 0, "records were given up");
    traffic.judge(&mut set)
}
