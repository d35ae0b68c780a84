//! SIGSTOP of a node for some seconds: connections stay open and say nothing.

use std::time::Duration;

use anyhow::{Context as _, Result, anyhow};
use client_tests::clock::Moment;
use client_tests::load::traffic::Traffic;
use client_tests::replica_set::ReplicaSet;
use client_tests::replica_set::product::Product;
use client_tests::wait::let_pass;

use crate::recovery::{Dice, Recoveries, count, role};

const PAUSES: usize = 4;
/// From the pause until a fresh client's produce is acknowledged in each partition.
const LIMIT: Duration = Duration::from_secs(4);
/// The longest pause, in seconds: many sessions.
const LONGEST: i32 = 10;

#[test]
fn paused_nodes_lose_and_double_nothing() -> Result<()> {
    let Some(mut set) = ReplicaSet::start(Product::under_test()?, &[])? else { return Ok(()) };
    let traffic = Traffic::start(&set, "pauses")?;
    let mut dice = Dice::new();
    let mut recoveries = Recoveries::new("pause", LIMIT);
    for pause in 0..count("OTTLA_TEST_SET_PAUSES", PAUSES)? {
        let role = role(pause, &traffic, &mut dice);
        let seconds = u64::try_from(1 + dice.roll(LONGEST))?;
        let context = || format!("pause {pause} of {role:?} for {seconds} s");
        let victim = set.who(&role).with_context(context)?;
        let fault = Moment::now();
        set.node_mut(victim)?.pause()?;
        let times = std::thread::scope(|scope| {
            let probe = scope.spawn(|| traffic.recoveries(fault));
            let_pass(Duration::from_secs(seconds));
            set.node_mut(victim)?.resume()?;
            probe.join().map_err(|_| anyhow!("the probe panicked"))?
        });
        recoveries.add(&context(), &times.with_context(context)?);
        traffic.gaps(fault).with_context(context)?;
        set.wait_until_whole().with_context(context)?;
    }
    traffic.judge(&mut set)?;
    recoveries.judge()
}
