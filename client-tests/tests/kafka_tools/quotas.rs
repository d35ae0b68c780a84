//! `kafka-configs` for users and clients, and what a producer feels of its quota.

use super::{CONFIGS, TOPICS, with_tools};
use anyhow::{Context as _, Result, ensure};
use client_tests::target::unique_topic;

const PERFORMANCE: &str = "org.apache.kafka.tools.ProducerPerformance";

#[test]
fn quotas_are_set_described_and_removed() -> Result<()> {
    with_tools(|tools| {
        let client = &*unique_topic("client");
        let entity = ["--entity-type", "clients", "--entity-name", client];
        let both = [
            "--entity-type",
            "users",
            "--entity-default",
            "--entity-type",
            "clients",
            "--entity-name",
            client,
        ];
        tools
            .run(CONFIGS, &[&entity[..], &["--alter", "--add-config", "producer_byte_rate=1024"]].concat())?;
        tools.run(CONFIGS, &[&both[..], &["--alter", "--add-config", "request_percentage=12.5"]].concat())?;
        let described = tools.run(CONFIGS, &[&entity[..], &["--describe"]].concat())?;
        let expected = format!("Quota configs for client-id '{client}' are producer_byte_rate=1024.0");
        ensure!(described.contains(&expected), "{expected:?} is not in {described}");
        let described = tools.run(CONFIGS, &[&both[..], &["--describe"]].concat())?;
        ensure!(described.contains("request_percentage=12.5"), "{described}");
        tools.run(CONFIGS, &[&both[..], &["--alter", "--delete-config", "request_percentage"]].concat())?;
        let described = tools.run(CONFIGS, &[&both[..], &["--describe"]].concat())?;
        ensure!(!described.contains("request_percentage"), "{described}");
        tools.run_to_failure(
            CONFIGS,
            &[&entity[..], &["--alter", "--add-config", "producer_byte_rate=0"]].concat(),
        )?;
        Ok(())
    })
}

#[test]
fn a_producer_is_slowed_down_to_its_quota_and_loses_nothing() -> Result<()> {
    with_tools(|tools| {
        let topic = &*unique_topic("throttled");
        tools.run(TOPICS, &["--create", "--topic", topic])?;
        let client = format!("client-{topic}");
        let entity = ["--entity-type", "clients", "--entity-name", &client, "--alter"];
        tools.run(CONFIGS, &[&entity[..], &["--add-config", "producer_byte_rate=100000"]].concat())?;
        // Ten seconds' worth may come at once; this is twelve.
        let bootstrap = format!("bootstrap.servers={}", tools.bootstrap);
        let client = format!("client.id={client}");
        let arguments = [
            &["--topic", topic, "--num-records", "1200", "--record-size", "1000", "--throughput", "-1"][..],
            &["--print-metrics", "--command-property", &bootstrap, &client, "batch.size=16384"],
        ]
        .concat();
        let output = tools.driver.run_tool(PERFORMANCE, &arguments, Default::default())?;
        ensure!(output.status == 0, "{output:?}");
        let summary = output.stdout.lines().find(|line| line.starts_with("1200 records sent"));
        ensure!(summary.is_some(), "{}", output.stdout);
        let line = output.stdout.lines().find(|line| line.contains("produce-throttle-time-max"));
        let line = line.context("the producer counts for how long it was throttled")?;
        let milliseconds: f64 = line.rsplit(':').next().unwrap_or_default().trim().parse()?;
        ensure!(milliseconds > 0.0, "{line}");
        Ok(())
    })
}
