//! A hundred rebalances by members that are killed, come and leave at random: no partition has two owners in one
//! generation (the journal checks that), none is left without an owner, and no record is lost.

use anyhow::{Context as _, Result};
use client_tests::group::client::{GroupClient, Protocol};
use client_tests::group::flow::Flow;
use client_tests::group::running::RunningGroup;
use client_tests::group::{SETTINGS, admin};
use client_tests::target::Target;
use client_tests::wire::Connection;

const REBALANCES: i32 = 100;
/// More members than this make each step slower and no step different.
const MEMBERS_MAX: usize = 4;
/// Sessions in which a dead member is noticed soon, and which a busy machine still keeps.
const SESSION_TIMEOUT_MS: u32 = 1_500;
const HEARTBEAT_INTERVAL_MS: u32 = 150;

fn survive(protocol: Protocol) -> Result<()> {
    let rebalances = std::env::var("OTTLA_TEST_REBALANCES").map_or(Ok(REBALANCES), |count| count.parse())?;
    let target = Target::start_with(&SETTINGS)?;
    let group = RunningGroup::new(target.bootstrap(), GroupClient::FranzGo(protocol))?;
    let Some(group) = group else { return Ok(()) };
    let mut group = group.with_session(SESSION_TIMEOUT_MS, HEARTBEAT_INTERVAL_MS);
    let mut connection = Connection::open(target.bootstrap())?;
    let settings = [
        ("consumer.session.timeout.ms", SESSION_TIMEOUT_MS.to_string()),
        ("consumer.heartbeat.interval.ms", HEARTBEAT_INTERVAL_MS.to_string()),
    ];
    admin::alter_group(&mut connection, group.name(), &settings)?;
    let mut flow = Flow::start(target.bootstrap(), group.topic())?;
    group.start(2)?;
    group.rest("two members share")?;
    group.expect_protocol()?;
    let mut random = 1_u32;
    for step in 0.. {
        let generation = group.journal().generation();
        if generation >= rebalances {
            eprintln!("{generation} generations in {step} steps");
            break;
        }
        random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        let place = usize::try_from(random >> 16)? % group.size();
        let context = || format!("in step {step}, generation {generation}");
        match (random >> 8) % 4 {
            0 | 1 if group.size() > 1 => group.kill(place),
            2 if group.size() > 1 => group.leave(1),
            _ if group.size() < MEMBERS_MAX => group.start(1).map(drop),
            // One dies, and another comes before anybody has noticed.
            _ => group.kill(place).and_then(|()| group.start(1)).map(drop),
        }
        .with_context(context)?;
        group.rest("the members that are left share").with_context(context)?;
    }
    flow.finish()?;
    group.drain(&flow.ledger().acknowledged_ends())?;
    group.leave(group.size())?;
    group.expect_commits().map(drop)
}

#[test]
fn classic_group_survives_a_hundred_rebalances() -> Result<()> {
    survive(Protocol::CooperativeSticky)
}

#[test]
fn eager_group_survives_a_hundred_rebalances() -> Result<()> {
    survive(Protocol::Range)
}

#[test]
fn consumer_group_survives_a_hundred_rebalances() -> Result<()> {
    survive(Protocol::Consumer)
}
