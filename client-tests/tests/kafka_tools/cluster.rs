//! Tools that ask about the cluster as a whole: features, producers, what can be configured.

use super::{CONFIGS, TOPICS, produce, with_tools};
use anyhow::{Result, ensure};
use client_tests::target::unique_topic;

const FEATURES: &str = "org.apache.kafka.tools.FeatureCommand";
const TRANSACTIONS: &str = "org.apache.kafka.tools.TransactionsCommand";

#[test]
fn features_are_described_and_changed_where_that_can_be() -> Result<()> {
    with_tools(|tools| {
        let described = tools.run(FEATURES, &["describe"])?;
        for feature in ["metadata.version", "group.version"] {
            let line = described.lines().find(|line| line.contains(&format!("Feature: {feature}")));
            ensure!(
                line.is_some_and(|line| line.contains("FinalizedVersionLevel:")),
                "{feature}: {described}"
            );
        }
        let same = tools.run(FEATURES, &["upgrade", "--feature", "group.version=1"])?;
        ensure!(same.contains("group.version was upgraded to 1."), "{same}");
        let refused = tools.run_to_failure(FEATURES, &["downgrade", "--feature", "metadata.version=7"])?;
        ensure!(refused.contains("Could not downgrade metadata.version to 7."), "{refused}");
        Ok(())
    })
}

#[test]
fn producers_of_a_partition_are_described() -> Result<()> {
    with_tools(|tools| {
        let topic = &*unique_topic("producers");
        tools.run(TOPICS, &["--create", "--topic", topic])?;
        produce(tools, topic, "one\ntwo\n")?;
        let described =
            tools.run(TRANSACTIONS, &["describe-producers", "--topic", topic, "--partition", "0"])?;
        let rows: Vec<Vec<&str>> = described
            .lines()
            .map(|line| line.split_whitespace().collect())
            .filter(|row: &Vec<_>| !row.is_empty())
            .collect();
        ensure!(rows.len() == 2 && rows[0].first() == Some(&"ProducerId"), "{described}");
        // ProducerId, ProducerEpoch, LatestCoordinatorEpoch, LastSequence, LastTimestamp, CurrentTransactionStartOffset.
        ensure!(
            rows[1].get(1..4) == Some(&["0", "-1", "1"]) && rows[1].last() == Some(&"None"),
            "{described}"
        );
        Ok(())
    })
}

#[test]
fn groups_with_settings_are_found_without_their_names() -> Result<()> {
    with_tools(|tools| {
        let group = &*unique_topic("group");
        let alter = ["--entity-type", "groups", "--entity-name", group, "--alter"];
        tools.run(CONFIGS, &[&alter[..], &["--add-config", "consumer.session.timeout.ms=50000"]].concat())?;
        let described = tools.run(CONFIGS, &["--entity-type", "groups", "--describe"])?;
        ensure!(described.contains(group) && described.contains("50000"), "{described}");
        Ok(())
    })
}
