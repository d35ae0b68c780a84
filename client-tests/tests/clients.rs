//! What every client must be able to do, with each client's own program and no option beyond the address.

use anyhow::Result;
use client_tests::client::Client;
use client_tests::scenario::{self, Scenario};
use client_tests::target::Target;

fn with(client: Client, scenario: impl FnOnce(&mut Scenario<'_>) -> Result<()>) -> Result<()> {
    let target = Target::start_with(&[client.node_settings(), &[scenario::MAKES_PARTITIONS]].concat())?;
    let Some(driver) = client.start(target.bootstrap())? else { return Ok(()) };
    scenario(&mut Scenario::new(client.abilities(), driver, &target))
}

macro_rules! every_claim {
    ($($module:ident: $client:expr),* $(,)?) => {
        $(mod $module {
            use super::{Client, Result, scenario, with};

            #[test]
            fn every_codec_comes_back() -> Result<()> {
                with($client, scenario::every_codec_comes_back)
            }

            #[test]
            fn every_acks_comes_back() -> Result<()> {
                with($client, scenario::every_acks_comes_back)
            }

            #[test]
            fn consuming_starts_in_the_middle_of_a_batch() -> Result<()> {
                with($client, scenario::consuming_starts_in_the_middle_of_a_batch)
            }

            #[test]
            fn consuming_starts_at_a_timestamp() -> Result<()> {
                with($client, scenario::consuming_starts_at_a_timestamp)
            }

            #[test]
            fn consuming_crosses_segments() -> Result<()> {
                with($client, scenario::consuming_crosses_segments)
            }

            #[test]
            fn deleted_topic_begins_anew() -> Result<()> {
                with($client, scenario::deleted_topic_begins_anew)
            }

            #[test]
            fn topic_is_made_on_first_use() -> Result<()> {
                with($client, scenario::topic_is_made_on_first_use)
            }

            #[test]
            fn topic_gets_more_partitions() -> Result<()> {
                with($client, scenario::topic_gets_more_partitions)
            }

            #[test]
            fn changed_setting_holds_at_once() -> Result<()> {
                with($client, scenario::changed_setting_holds_at_once)
            }

            #[test]
            fn deleted_records_are_gone() -> Result<()> {
                with($client, scenario::deleted_records_are_gone)
            }

            #[test]
            fn record_over_the_limit_is_refused() -> Result<()> {
                with($client, scenario::record_over_the_limit_is_refused)
            }

            #[test]
            fn waiting_consumer_gets_what_comes() -> Result<()> {
                with($client, scenario::waiting_consumer_gets_what_comes)
            }
        })*
    };
}

every_claim! {
    java: Client::Java,
    confluent_kafka: Client::ConfluentKafka,
    kafka_python: Client::KafkaPython,
    aiokafka: Client::Aiokafka,
    kafkajs: Client::Kafkajs,
    platformatic: Client::Platformatic,
    franz_go: Client::FranzGo,
    sarama: Client::Sarama,
    kafka_go: Client::KafkaGo,
    confluent_javascript: Client::ConfluentJavascript,
    rskafka: Client::Rskafka(env!("CARGO_BIN_EXE_client_rskafka")),
}
