//! Clocks that are hours apart: nothing depends on what time it is.

use std::time::Duration;

use anyhow::{Context as _, Result};
use client_tests::clock::Moment;
use client_tests::load::traffic::Traffic;
use client_tests::replica_set::ReplicaSet;
use client_tests::replica_set::network::Network;
use client_tests::replica_set::product::Product;
use client_tests::replica_set::roles::Role;
use client_tests::tools::debian;

use crate::recovery::Recoveries;

const KILLS: i32 = 3;
const LIMIT: Duration = Duration::from_secs(2);

#[test]
fn clocks_an_hour_apart_change_nothing() -> Result<()> {
    let Some(library) = debian::faketime()? else { return Ok(()) };
    let product = Product::under_test()?;
    let Some(mut set) = ReplicaSet::prepare(product, Network::loopback()?, 3, &[])? else { return Ok(()) };
    for (id, offset) in [(1, "-1h"), (2, "+0"), (3, "+1h")] {
        let node = set.node_mut(id)?;
        node.set_environment("LD_PRELOAD", &library.display().to_string());
        node.set_environment("FAKETIME", offset);
        // What a machine's clock shows does not change how fast time passes.
        node.set_environment("DONT_FAKE_MONOTONIC", "1");
    }
    set.start_all()?;
    let traffic = Traffic::start(&set, "clocks")?;
    let mut recoveries = Recoveries::new("kill with clocks apart", LIMIT);
    for kill in 0..KILLS {
        let context = || format!("kill {kill}");
        let victim = set.who(&Role::Controller).with_context(context)?;
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
