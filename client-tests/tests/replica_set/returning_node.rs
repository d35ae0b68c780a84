//! A node that was away while its topics were deleted and made anew: it keeps nothing of their earlier life.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Result, ensure};
use client_tests::client::Client;
use client_tests::driver::{Producing, Start};
use client_tests::history::check::expect_none;
use client_tests::history::content::Place;
use client_tests::records::{KEPT, bulk};
use client_tests::replica_set::ReplicaSet;
use client_tests::replica_set::product::Product;
use client_tests::replica_set::replicas::Sameness;
use client_tests::wire::{Connection, create_assigned_topic};

const BEFORE: i64 = 300;
const AFTER: i64 = 100;
/// The longest that a node may take to create a topic.
const ANSWER_LIMIT: Duration = Duration::from_secs(60);

#[test]
fn topic_made_anew_holds_nothing_of_its_earlier_life_on_a_node_that_was_away() -> Result<()> {
    let Some(mut set) = ReplicaSet::start(Product::under_test()?, &[])? else { return Ok(()) };
    let Some(mut client) = Client::Java.start(&set.bootstrap())? else { return Ok(()) };
    set.create_topic("anew", 1, &KEPT)?;
    client.produce(Producing::DEFAULT, "anew", 0, &bulk(BEFORE, 100))?;
    for away in set.ids() {
        set.wait_until_whole()?;
        set.node_mut(away)?.kill()?;
        client.delete_topic("anew")?;
        // On all nodes, the one that is away among them.
        let created = set.ask(|address| {
            let mut connection = Connection::open_within(address, ANSWER_LIMIT)?;
            create_assigned_topic(&mut connection, "anew", &set.ids())
        })?;
        ensure!(created == 0, "CreateTopics answered {created}");
        let offsets = client.produce(Producing::DEFAULT, "anew", 0, &bulk(AFTER, 50))?;
        ensure!(offsets.first() == Some(&0), "the new topic begins at {offsets:?}");
        set.node_mut(away)?.start()?;
        set.node_mut(away)?.wait_until_served()?;
        set.wait_until_whole()?;
        let read = client.consume("anew", 0, Start::Offset(0), AFTER)?;
        ensure!(read.len() == usize::try_from(AFTER)?, "{} records were read", read.len());
    }
    set.stop_all()?;
    let place = Place::new(&"anew".into(), 0);
    let holders = BTreeMap::from([(place.clone(), set.ids())]);
    expect_none(&set.divergences(&BTreeMap::from([(place, AFTER)]), &holders, Sameness::Batches)?)
}
