//! Each node in turn is asked to stop, and started again: default clients notice nothing that they would report.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use client_tests::clock::Moment;
use client_tests::load::traffic::Traffic;
use client_tests::replica_set::ReplicaSet;
use client_tests::replica_set::product::Product;

use crate::recovery::{Recoveries, count};

const ROLLS: usize = 2;
/// Who hands over first leaves no gap like that of a kill.
const LIMIT: Duration = Duration::from_secs(2);

#[test]
fn rolling_restarts_fail_nothing() -> Result<()> {
    let Some(mut set) = ReplicaSet::start(Product::under_test()?, &[])? else { return Ok(()) };
    let traffic = Traffic::start(&set, "rolls")?;
    let mut recoveries = Recoveries::new("clean stop", LIMIT);
    for roll in 0..count("OTTLA_TEST_SET_ROLLS", ROLLS)? {
        for id in set.ids() {
            let context = || format!("roll {roll}, node {id}");
            let asked = Moment::now();
            set.node_mut(id)?.stop().with_context(context)?;
            recoveries.add(&context(), &traffic.gaps(asked).with_context(context)?);
            set.node_mut(id)?.start()?;
            set.node_mut(id)?.wait_until_served().with_context(context)?;
            set.wait_until_whole().with_context(context)?;
        }
    }
    let given_up = traffic.given_up();
    traffic.judge(&mut set)?;
    ensure!(given_up == 0, "{given_up} records were reported as failed");
    recoveries.judge()
}
