//! A group moves from the classic to the consumer protocol and back, one member after the other, while records flow.

use anyhow::Result;
use client_tests::group::SETTINGS;
use client_tests::group::client::{GroupClient, Protocol};
use client_tests::group::flow::Flow;
use client_tests::group::running::RunningGroup;
use client_tests::target::Target;

/// Replaces the members of `classic` by members of `consumer`, and those by the first kind again.
fn there_and_back(classic: GroupClient, consumer: GroupClient) -> Result<()> {
    let target = Target::start_with(&SETTINGS)?;
    let Some(mut group) = RunningGroup::new(target.bootstrap(), classic)? else { return Ok(()) };
    let mut flow = Flow::start(target.bootstrap(), group.topic())?;
    group.start(2)?;
    group.rest("two classic members share")?;
    group.expect_protocol()?;
    for (client, what) in [(consumer, "the consumer protocol"), (classic, "the classic protocol")] {
        group.continue_with(client)?;
        for step in ["the first member", "every member"] {
            group.start(1)?;
            group.rest(&format!("{step} of {what} joins the others"))?;
            group.leave(1)?;
            group.rest(&format!("{step} of {what} has replaced an old one"))?;
        }
        group.expect_protocol()?;
    }
    flow.finish()?;
    group.drain(&flow.ledger().acknowledged_ends())?;
    group.leave(2)?;
    group.expect_commits().map(drop)
}

#[test]
fn java_moves_there_and_back() -> Result<()> {
    there_and_back(GroupClient::Java(Protocol::CooperativeSticky), GroupClient::Java(Protocol::Consumer))
}

#[test]
fn eager_librdkafka_moves_there_and_back() -> Result<()> {
    there_and_back(GroupClient::Confluent(Protocol::Range), GroupClient::Confluent(Protocol::Consumer))
}

#[test]
fn kafka_python_shares_a_group_with_franz_go() -> Result<()> {
    there_and_back(GroupClient::KafkaPython(Protocol::Range), GroupClient::FranzGo(Protocol::Consumer))
}
