//! A leader that wrote what nobody else has, and dies, returns to another leader: it cuts what it alone had, and the set
//! holds the same bytes everywhere. Only `acks=1` can be lost that way.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use bytes::Bytes;
use client_tests::history::check::expect_none;
use client_tests::history::content::Place;
use client_tests::records::KEPT;
use client_tests::replica_set::ReplicaSet;
use client_tests::replica_set::product::Product;
use client_tests::replica_set::replicas::{Replica, Sameness};
use client_tests::replica_set::roles::Role;
use client_tests::wait::wait_until;
use client_tests::wire::{Connection, batch, produce, produce_request};

const ALL: i16 = -1;
const LEADER_ONLY: i16 = 1;
/// The longest that another leader may take, with Apache Kafka's defaults.
const LIMIT: Duration = Duration::from_secs(60);
/// The longest that a node may take for an answer.
const ANSWER_LIMIT: Duration = Duration::from_secs(60);
/// A leader that is alone notices it after so long, which leaves it the time to write. Whoever dies is missed at once.
const NOTICES_LATE: &str = "broker.session.timeout.ms=60000";

/// Produces one batch of as many records as there are values, and returns its first offset.
fn write(set: &ReplicaSet, leader: i32, place: &Place, acks: i16, values: &[&'static str]) -> Result<i64> {
    let mut connection = Connection::open_within(set.node(leader)?.address(), ANSWER_LIMIT)?;
    let records = (0..).zip(values).map(|(offset, value)| batch::record(offset, None, Bytes::from(*value)));
    let records = batch::encode(&records.collect::<Vec<_>>())?;
    let request = produce_request(&place.topic, place.partition, acks, records);
    let answer = produce(&mut connection, 9, &request)?;
    ensure!(answer.error_code == 0, "Produce answered {}", answer.error_code);
    Ok(answer.base_offset)
}

#[test]
fn returned_leader_cuts_what_it_alone_had() -> Result<()> {
    let Some(mut set) = ReplicaSet::start(Product::under_test()?, &[NOTICES_LATE])? else { return Ok(()) };
    set.create_topic("longer", 1, &KEPT)?;
    let place = Place::new(&"longer".into(), 0);
    let mut end = 0;
    for round in 0..3 {
        let context = || format!("round {round}");
        let leader = set.who(&Role::Leader(place.clone()))?;
        ensure!(write(&set, leader, &place, ALL, &["kept", "kept too"])? == end, "elsewhere than at {end}");
        end += 2;
        let others: Vec<i32> = set.ids().into_iter().filter(|id| *id != leader).collect();
        for &other in &others {
            set.node_mut(other)?.pause()?;
        }
        let alone = write(&set, leader, &place, LEADER_ONLY, &["cut", "cut too", "cut as well"]);
        ensure!(alone.with_context(context)? == end, "the leader alone wrote elsewhere than at {end}");
        set.node_mut(leader)?.kill()?;
        for &other in &others {
            set.node_mut(other)?.resume()?;
        }
        let mut last = None;
        wait_until(LIMIT, "the new leader writes", || {
            // It may change once more, since all of them stood still for a while.
            let offset = set.who(&Role::Leader(place.clone())).and_then(|found| {
                ensure!(found != leader, "node {found} leads and is down");
                write(&set, found, &place, ALL, &["instead"])
            });
            // An earlier attempt may have been written without an answer.
            let is_there = offset.as_ref().is_ok_and(|offset| *offset >= end);
            last = Some(offset);
            Ok(is_there)
        })
        .with_context(|| format!("round {round}: {last:?}"))?;
        end = last.context("it was tried")?? + 1;
        set.node_mut(leader)?.start()?;
        set.node_mut(leader)?.wait_until_served()?;
        set.wait_until_whole().with_context(context)?;
    }
    set.stop_all()?;
    let ends = BTreeMap::from([(place.clone(), end)]);
    let holders = BTreeMap::from([(place.clone(), set.ids())]);
    expect_none(&set.divergences(&ends, &holders, Sameness::Batches)?)?;
    for id in set.ids() {
        let found = Replica::read(id, set.node(id)?.data_dir(), &place)?.end;
        ensure!(found == end, "node {id} ends at {found}, not at {end}");
    }
    Ok(())
}
