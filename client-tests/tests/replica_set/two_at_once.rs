//! Two of three nodes are lost at once: the third refuses to write what it alone would hold, and the set recovers.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use client_tests::clock::Moment;
use client_tests::load::traffic::Traffic;
use client_tests::replica_set::ReplicaSet;
use client_tests::replica_set::product::Product;

/// How long the one that is left is asked to write.
const ALONE: Duration = Duration::from_secs(4);

#[test]
fn one_of_three_writes_nothing_and_the_set_recovers() -> Result<()> {
    let Some(mut set) = ReplicaSet::start(Product::under_test()?, &[])? else { return Ok(()) };
    let traffic = Traffic::start(&set, "two-at-once")?;
    for survivor in set.ids() {
        let context = || format!("node {survivor} is left");
        let victims: Vec<i32> = set.ids().into_iter().filter(|id| *id != survivor).collect();
        let fault = Moment::now();
        for &victim in &victims {
            set.node_mut(victim)?.kill()?;
        }
        let written = traffic.written_alone(set.node(survivor)?.address(), ALONE)?;
        ensure!(written.is_empty(), "node {survivor} alone acknowledged in {written:?}");
        for &victim in &victims {
            set.node_mut(victim)?.start()?;
        }
        for &victim in &victims {
            set.node_mut(victim)?.wait_until_served().with_context(context)?;
        }
        traffic.gaps(fault).with_context(context)?;
        set.wait_until_whole().with_context(context)?;
    }
    traffic.judge(&mut set)
}
