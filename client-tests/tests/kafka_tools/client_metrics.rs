//! `kafka-client-metrics` and `kafka-configs` for subscriptions, and a Java client that pushes what they ask for (KIP-714).

use super::{CONFIGS, TOPICS, Tools, with_tools};
use anyhow::{Context as _, Result, ensure};
use client_tests::driver::Driver;
use client_tests::http;
use client_tests::node::Node;
use client_tests::target::{Target, skip_on_foreign_broker, unique_topic};
use client_tests::wait::let_pass;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

const CLIENT_METRICS: &str = "org.apache.kafka.tools.ClientMetricsCommand";
const PERFORMANCE: &str = "org.apache.kafka.tools.ProducerPerformance";

#[test]
fn subscriptions_are_made_described_listed_and_deleted() -> Result<()> {
    with_tools(|tools| {
        let name = &*unique_topic("subscription");
        let named = ["--name", name];
        let alter = [
            "--alter",
            "--metrics",
            "org.apache.kafka.producer.",
            "--interval",
            "10000",
            "--match",
            "client_id=a.*",
        ];
        tools.run(CLIENT_METRICS, &[&alter[..], &named].concat())?;
        let listed = tools.run(CLIENT_METRICS, &["--list"])?;
        ensure!(listed.lines().any(|line| line == name), "{listed}");
        let described = tools.run(CLIENT_METRICS, &[&["--describe"][..], &named].concat())?;
        for part in ["interval.ms=10000", "match=client_id=a.*", "metrics=org.apache.kafka.producer."] {
            ensure!(described.contains(part), "{part:?} is not in {described}");
        }
        let entity = ["--entity-type", "client-metrics", "--entity-name", name, "--alter", "--add-config"];
        for (setting, sentence) in [
            (
                "interval.ms=1",
                "Invalid value 1 for interval.ms, interval must be between 100 and 3600000 (1 hour)",
            ),
            ("coffee=1", "Unknown client metrics configuration: coffee"),
        ] {
            let refused = tools.run_to_failure(CONFIGS, &[&entity[..], &[setting]].concat())?;
            ensure!(refused.contains(sentence), "{setting}: {refused}");
        }
        let refused = tools
            .run_to_failure(CLIENT_METRICS, &[&["--alter", "--match", "colour=red"][..], &named].concat())?;
        ensure!(refused.contains("Illegal client matching pattern: colour=red"), "{refused}");
        tools.run(CLIENT_METRICS, &[&["--delete"][..], &named].concat())?;
        let listed = tools.run(CLIENT_METRICS, &["--list"])?;
        ensure!(!listed.contains(name), "{listed}");
        Ok(())
    })
}

#[test]
fn metrics_that_a_java_producer_pushes_are_shown() -> Result<()> {
    if skip_on_foreign_broker("metrics_that_a_java_producer_pushes_are_shown") {
        return Ok(());
    }
    let target = Target::start_with(&["ottla.client.metrics.enable=true"])?;
    let Some(driver) = Driver::kafka_tools()? else { return Ok(()) };
    let node = target.node().context("it was started here")?;
    let mut tools = Tools { driver, bootstrap: target.bootstrap() };
    let subscription =
        ["--alter", "--name", "all", "--metrics", "*", "--interval", "200", "--match", "client_id=pusher"];
    tools.run(CLIENT_METRICS, &subscription)?;
    tools.run(TOPICS, &["--create", "--topic", "pushed"])?;
    // Longer and longer, since nobody knows when a slow machine comes to push.
    let mut shown = None;
    for seconds in [5, 10, 20, 40] {
        shown = shown_beside_producer(&mut tools, node, seconds)?;
        if shown.is_some() {
            break;
        }
    }
    let shown = shown.with_context(|| format!("nothing was shown: {}", node.stderr()))?;
    let sample =
        shown.lines().find(|line| line.starts_with("kafka_client_producer_")).context("it was there")?;
    for part in
        ["client_id=\"pusher\"", "client_software_name=\"apache-kafka-java\"", "client_instance_id=\""]
    {
        ensure!(sample.contains(part), "{part} is not in {sample}");
    }
    Ok(())
}

/// What is shown of a producer that runs for so long; `None` where it is nothing. What a client pushed goes when it goes, so it
/// is looked at while the producer runs.
fn shown_beside_producer(tools: &mut Tools, node: &Node, seconds: u32) -> Result<Option<String>> {
    let bootstrap = format!("bootstrap.servers={}", tools.bootstrap);
    let records = (100 * seconds).to_string();
    let load =
        ["--topic", "pushed", "--num-records", &records, "--record-size", "100", "--throughput", "100"];
    let client = ["--command-property", &bootstrap, "client.id=pusher"];
    let is_over = AtomicBool::new(false);
    let (output, shown) = std::thread::scope(|scope| {
        let looking = scope.spawn(|| -> Result<Option<String>> {
            while !is_over.load(Ordering::Acquire) {
                let metrics = http::get(node.http(), "/metrics")?;
                if metrics.contains("\nkafka_client_producer_") {
                    return Ok(Some(metrics));
                }
                let_pass(Duration::from_millis(100));
            }
            Ok(None)
        });
        let output = tools.driver.run_tool(PERFORMANCE, &[&load[..], &client].concat(), Default::default());
        is_over.store(true, Ordering::Release);
        (output, looking.join())
    });
    let output = output?;
    ensure!(output.status == 0, "{output:?}");
    shown.ok().context("the thread that looks does not panic")?
}
