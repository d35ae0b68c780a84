//! Broken cables between nodes in network namespaces: in both directions, in one, to one of the others, and for a share of
//! the packets; and one node without any cable, which clients lose sight of, too.

use std::time::Duration;

use anyhow::{Context as _, Result, anyhow};
use client_tests::clock::Moment;
use client_tests::load::traffic::Traffic;
use client_tests::replica_set::ReplicaSet;
use client_tests::replica_set::namespaces::{Fault, Namespaces};
use client_tests::replica_set::product::Product;
use client_tests::wait::let_pass;

use crate::recovery::{Dice, Recoveries, count, role};

const FAULTS: usize = CABLES.len();
/// From the fault until a fresh client's produce is acknowledged in each partition.
const LIMIT: Duration = Duration::from_secs(4);
/// The longest fault, in seconds: several sessions.
const LONGEST: i32 = 8;
const LOST_OF_A_HUNDRED: u8 = 30;

/// Which of a node's cables are broken.
#[derive(Debug, Clone, Copy)]
enum Cables {
    ToTheOthers(Fault),
    /// Each of the two still reaches the third.
    ToOneOther(Fault),
    /// Those to the clients, too.
    All,
}

const CABLES: [Cables; 6] = [
    Cables::ToTheOthers(Fault::Cut),
    Cables::ToTheOthers(Fault::Deaf),
    Cables::ToTheOthers(Fault::Mute),
    Cables::ToTheOthers(Fault::Loss(LOST_OF_A_HUNDRED)),
    Cables::ToOneOther(Fault::Cut),
    Cables::All,
];

fn disturb(namespaces: &Namespaces, victim: i32, others: &[i32], cables: Cables) -> Result<()> {
    match cables {
        Cables::ToTheOthers(fault) => namespaces.disturb(victim, others, fault),
        Cables::ToOneOther(fault) => namespaces.disturb(victim, others.get(..1).unwrap_or_default(), fault),
        Cables::All => namespaces.unplug(victim),
    }
}

#[test]
fn parted_nodes_lose_and_double_nothing() -> Result<()> {
    let Some(mut set) = ReplicaSet::start_in_namespaces(Product::under_test()?, &[])? else { return Ok(()) };
    let traffic = Traffic::start(&set, "partitions")?;
    let mut dice = Dice::new();
    let mut recoveries = Recoveries::new("partition", LIMIT);
    let faults = count("OTTLA_TEST_SET_PARTITIONS", FAULTS)?;
    for (number, cables) in CABLES.into_iter().cycle().take(faults).enumerate() {
        // Each kind of break meets each role in time.
        let role = role(number + number / 12, &traffic, &mut dice);
        let victim = set.who(&role)?;
        let others: Vec<i32> = set.ids().into_iter().filter(|id| *id != victim).collect();
        let seconds = u64::try_from(2 + dice.roll(LONGEST - 1))?;
        let context = || format!("partition {number} of {role:?}, node {victim}, {cables:?} for {seconds} s");
        let namespaces = set.namespaces()?;
        let fault = Moment::now();
        disturb(namespaces, victim, &others, cables)?;
        let times = std::thread::scope(|scope| {
            let probe = scope.spawn(|| traffic.recoveries(fault));
            let_pass(Duration::from_secs(seconds));
            namespaces.heal()?;
            probe.join().map_err(|_| anyhow!("the probe panicked"))?
        });
        recoveries.add(&context(), &times.with_context(context)?);
        traffic.gaps(fault).with_context(context)?;
        set.wait_until_whole().with_context(context)?;
    }
    traffic.judge(&mut set)?;
    recoveries.judge()
}
