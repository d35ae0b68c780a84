//! `kill -9` of who leads a partition, controls the cluster or coordinates a group, and of any node.

use std::time::Duration;

use anyhow::{Context as _, Result};
use client_tests::clock::Moment;
use client_tests::load::traffic::Traffic;
use client_tests::replica_set::ReplicaSet;
use client_tests::replica_set::product::Product;

use crate::recovery::{Dice, Recoveries, count, role};

const KILLS: usize = 6;
/// From the kill to the next acknowledged produce in each partition, by default clients.
const LIMIT: Duration = Duration::from_secs(2);

#[test]
fn killed_nodes_lose_and_double_nothing() -> Result<()> {
    let Some(mut set) = ReplicaSet::start(Product::under_test()?, &[])? else { return Ok(()) };
    let traffic = Traffic::start(&set, "kills")?;
    let mut dice = Dice::new();
    let mut recoveries = Recoveries::new("kill", LIMIT);
    for kill in 0..count("OTTLA_TEST_SET_KILLS", KILLS)? {
        let role = role(kill, &traffic, &mut dice);
        let context = || format!("kill {kill} of {role:?}");
        let victim = set.who(&role).with_context(context)?;
        let fault = Moment::now();
        set.node_mut(victim)?.kill()?;
        recoveries.add(&context(), &traffic.gaps(fault).with_context(context)?);
        set.node_mut(victim)?.start()?;
        set.node_mut(victim)?.wait_until_served().with_context(context)?;
        set.wait_until_whole().with_context(context)?;
    }
    traffic.judge(&mut set)?;
    recoveries.judge()
}
