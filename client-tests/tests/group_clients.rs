//! Every client's consumer groups: members come, die, hang and leave while records flow, and nothing is skipped.

use anyhow::Result;
use client_tests::group::client::{GroupClient, Protocol};
use client_tests::group::{SETTINGS, scenario};
use client_tests::target::Target;

fn live(client: GroupClient) -> Result<()> {
    let target = Target::start_with(&SETTINGS)?;
    scenario::members_come_and_go_while_records_flow(target.bootstrap(), client)
}

/// An administrator's `removeMembersFromConsumerGroup` is for the classic protocol, in which it names member ids.
fn taken_out(client: GroupClient) -> Result<()> {
    let target = Target::start_with(&SETTINGS)?;
    scenario::member_is_taken_out_while_records_flow(target.bootstrap(), client)
}

#[test]
fn kcat() -> Result<()> {
    live(GroupClient::Kcat)
}

#[test]
fn confluent_kafka_eager() -> Result<()> {
    live(GroupClient::Confluent(Protocol::Range))
}

#[test]
fn confluent_kafka_cooperative() -> Result<()> {
    live(GroupClient::Confluent(Protocol::CooperativeSticky))
}

#[test]
fn confluent_kafka_consumer_protocol() -> Result<()> {
    live(GroupClient::Confluent(Protocol::Consumer))
}

#[test]
fn kafka_python_eager() -> Result<()> {
    live(GroupClient::KafkaPython(Protocol::Range))
}

#[test]
fn kafka_python_cooperative() -> Result<()> {
    live(GroupClient::KafkaPython(Protocol::CooperativeSticky))
}

#[test]
fn aiokafka() -> Result<()> {
    live(GroupClient::Aiokafka)
}

#[test]
fn kafkajs() -> Result<()> {
    live(GroupClient::Kafkajs)
}

#[test]
fn java_eager() -> Result<()> {
    live(GroupClient::Java(Protocol::Range))
}

#[test]
fn java_cooperative() -> Result<()> {
    live(GroupClient::Java(Protocol::CooperativeSticky))
}

#[test]
fn java_consumer_protocol() -> Result<()> {
    live(GroupClient::Java(Protocol::Consumer))
}

#[test]
fn verifiable_consumer_eager() -> Result<()> {
    live(GroupClient::VerifiableConsumer(Protocol::Range))
}

#[test]
fn verifiable_consumer_consumer_protocol() -> Result<()> {
    live(GroupClient::VerifiableConsumer(Protocol::Consumer))
}

#[test]
fn franz_go_cooperative() -> Result<()> {
    live(GroupClient::FranzGo(Protocol::CooperativeSticky))
}

#[test]
fn franz_go_consumer_protocol() -> Result<()> {
    live(GroupClient::FranzGo(Protocol::Consumer))
}

#[test]
fn sarama() -> Result<()> {
    live(GroupClient::Sarama)
}

#[test]
fn kcat_taken_out() -> Result<()> {
    taken_out(GroupClient::Kcat)
}

#[test]
fn confluent_cooperative_taken_out() -> Result<()> {
    taken_out(GroupClient::Confluent(Protocol::CooperativeSticky))
}

#[test]
fn kafka_python_cooperative_taken_out() -> Result<()> {
    taken_out(GroupClient::KafkaPython(Protocol::CooperativeSticky))
}

#[test]
fn aiokafka_taken_out() -> Result<()> {
    taken_out(GroupClient::Aiokafka)
}

#[test]
fn kafkajs_taken_out() -> Result<()> {
    taken_out(GroupClient::Kafkajs)
}

#[test]
fn java_cooperative_taken_out() -> Result<()> {
    taken_out(GroupClient::Java(Protocol::CooperativeSticky))
}

#[test]
fn franz_go_cooperative_taken_out() -> Result<()> {
    taken_out(GroupClient::FranzGo(Protocol::CooperativeSticky))
}

#[test]
fn sarama_taken_out() -> Result<()> {
    taken_out(GroupClient::Sarama)
}
