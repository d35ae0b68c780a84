//! A compacted topic, which each replica compacts by itself, while nodes are killed: each keeps the same latest values.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use client_tests::client::Client;
use client_tests::driver::Producing;
use client_tests::history::check::expect_none;
use client_tests::history::content::Place;
use client_tests::records::bulk;
use client_tests::replica_set::ReplicaSet;
use client_tests::replica_set::product::Product;
use client_tests::replica_set::replicas::{Replica, Sameness};
use client_tests::wait::wait_until;

const TOPIC: &str = "compacted";
/// Segments end soon, and everything but the last one is worth compacting.
const SETTINGS: [(&str, &str); 3] =
    [("cleanup.policy", "compact"), ("segment.ms", "100"), ("min.cleanable.dirty.ratio", "0.01")];
const SOON: &str = "log.cleaner.backoff.ms=200";
const RECORDS: i64 = 500;
/// The longest that the replicas may take to compact what they held first.
const LIMIT: Duration = Duration::from_secs(60);

#[test]
fn replicas_that_compact_while_nodes_are_killed_keep_the_same_latest_values() -> Result<()> {
    let Some(mut set) = ReplicaSet::start(Product::under_test()?, &[SOON])? else { return Ok(()) };
    let Some(mut client) = Client::Java.start(&set.bootstrap())? else { return Ok(()) };
    set.create_topic(TOPIC, 1, &SETTINGS)?;
    let place = Place::new(&TOPIC.into(), 0);
    let mut size = 100;
    let mut end = 0;
    // Values of another size each time, which tells them apart.
    let mut write = |end: &mut i64, size: &mut usize| -> Result<()> {
        *size += 1;
        let offsets = client.produce(Producing::DEFAULT, TOPIC, 0, &bulk(RECORDS, *size))?;
        *end = offsets.last().context("nothing was produced")? + 1;
        Ok(())
    };
    for victim in set.ids() {
        write(&mut end, &mut size)?;
        set.node_mut(victim)?.kill()?;
        write(&mut end, &mut size)?;
        set.node_mut(victim)?.start()?;
        set.node_mut(victim)?.wait_until_served()?;
        set.wait_until_whole()?;
    }
    write(&mut end, &mut size)?;
    wait_until(LIMIT, "every replica has compacted the first batch away", || {
        let mut replicas = set.nodes().iter().map(|node| Replica::read(node.id(), node.data_dir(), &place));
        // A file that is replaced just now does not read.
        Ok(replicas.all(|replica| replica.is_ok_and(|replica| !replica.batches.contains_key(&0))))
    })?;
    set.check()?;
    set.stop_all()?;
    let ends = BTreeMap::from([(place.clone(), end)]);
    let holders = BTreeMap::from([(place.clone(), set.ids())]);
    expect_none(&set.divergences(&ends, &holders, Sameness::LatestValues)?)?;
    let latest = Replica::read(1, set.node(1)?.data_dir(), &place)?.latest_values(end)?;
    let stale = latest.values().filter(|(_, value)| value.as_ref().is_none_or(|value| value.len() != size));
    ensure!(!latest.is_empty() && stale.count() == 0, "not what was written last: {latest:?}");
    Ok(())
}
