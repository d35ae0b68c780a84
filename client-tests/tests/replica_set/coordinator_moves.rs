//! The coordinator of a group is killed, again and again: members go on, and no acknowledged commit is lost.

use anyhow::{Context as _, Result};
use client_tests::group::client::{GroupClient, Protocol};
use client_tests::group::running::{PARTITIONS, RunningGroup};
use client_tests::replica_set::ReplicaSet;
use client_tests::replica_set::product::Product;
use client_tests::replica_set::roles::Role;

use crate::numbered_flow::NumberedFlow;

const MOVES: usize = 3;

fn go_on(client: GroupClient) -> Result<()> {
    let Some(mut set) = ReplicaSet::start(Product::under_test()?, &[])? else { return Ok(()) };
    set.create_topic("grouped", PARTITIONS, &[])?;
    let Some(mut group) = RunningGroup::on_topic(&set.bootstrap(), client, "grouped")? else { return Ok(()) };
    let mut flow = NumberedFlow::start(&set.bootstrap(), "grouped", PARTITIONS)?;
    group.start(2)?;
    group.rest("two members share")?;
    for number in 0..MOVES {
        let context = || format!("move {number}");
        group.commit_on("a coordinator is there")?;
        let victim = set.who(&Role::Coordinator(group.name().to_owned())).with_context(context)?;
        set.node_mut(victim)?.kill()?;
        group.commit_on("the coordinator has moved").with_context(context)?;
        group.rest("two members share in spite of the move").with_context(context)?;
        set.node_mut(victim)?.start()?;
        set.node_mut(victim)?.wait_until_served()?;
        set.wait_until_whole().with_context(context)?;
    }
    let ends = flow.finish()?;
    group.drain(&ends)?;
    group.leave(2)?;
    group.expect_commits().map(drop)
}

#[test]
fn consumer_group_of_the_java_client_goes_on() -> Result<()> {
    go_on(GroupClient::Java(Protocol::Consumer))
}

#[test]
fn classic_group_of_librdkafka_goes_on() -> Result<()> {
    go_on(GroupClient::Confluent(Protocol::CooperativeSticky))
}
