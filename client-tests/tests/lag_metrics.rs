//! Debian's Prometheus reads the lag of groups from a node's metrics, under the names that kafka_exporter uses.

use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use client_tests::group::SETTINGS;
use client_tests::group::admin::{commit, commit_request, coordinator, expect_code};
use client_tests::group::client::{GroupClient, Protocol};
use client_tests::group::flow::Flow;
use client_tests::group::running::RunningGroup;
use client_tests::service::Service;
use client_tests::target::{Target, skip_on_foreign_broker};
use client_tests::tools::debian;
use client_tests::wait::wait_until;
use serde_json::Value;
use tempfile::TempDir;

/// The longest that a change may take to show in Prometheus.
const LIMIT: Duration = Duration::from_secs(60);

/// How many records one of the groups is behind.
const BEHIND: i64 = 7;

/// A running Prometheus that scrapes one address each second.
struct Prometheus {
    service: Service,
    _home: TempDir,
}

impl Prometheus {
    fn scraping(address: &str) -> Result<Option<Prometheus>> {
        let Some(program) = debian::prometheus()? else { return Ok(None) };
        let home = TempDir::with_prefix("ottla-prometheus-")?;
        let config = home.path().join("prometheus.yml");
        let jobs = format!("[{{job_name: ottla, static_configs: [{{targets: ['{address}']}}]}}]");
        std::fs::write(&config, format!("global: {{scrape_interval: 1s}}\nscrape_configs: {jobs}\n"))?;
        let mut command = Command::new(program);
        command
            .arg(format!("--config.file={}", config.display()))
            .arg(format!("--storage.tsdb.path={}", home.path().join("data").display()))
            .arg("--web.listen-address=127.0.0.1:0");
        let service = Service::start(command, |line| {
            let (_, address) = line.split_once("msg=\"Listening on\" address=")?;
            address.split(' ').next()
        })?;
        // It listens before it answers queries.
        wait_until(LIMIT, "Prometheus is ready", || Ok(service.get("/-/ready").is_ok()))?;
        Ok(Some(Prometheus { service, _home: home }))
    }

    /// The value of an expression, if it has one.
    fn query(&self, expression: &str) -> Result<Option<f64>> {
        let escaped: String = expression.bytes().map(|byte| format!("%{byte:02X}")).collect();
        let body = self.service.get(&format!("/api/v1/query?query={escaped}"))?;
        let answer: Value = serde_json::from_str(&body)?;
        ensure!(answer["status"] == "success", "{answer}");
        let value = answer["data"]["result"][0]["value"][1].as_str();
        Ok(value.map(str::parse).transpose()?)
    }

    fn expect(&self, expression: &str, expected: f64) -> Result<()> {
        let mut found = None;
        wait_until(LIMIT, &format!("{expression} is {expected}"), || {
            found = self.query(expression)?;
            Ok(found.is_some_and(|found| (found - expected).abs() < 0.5))
        })
        .with_context(|| format!("Prometheus has {found:?}"))
    }
}

#[test]
fn prometheus_reads_the_lag_of_every_group() -> Result<()> {
    if skip_on_foreign_broker("lag_metrics") {
        return Ok(());
    }
    let target = Target::start_with(&SETTINGS)?;
    let node = target.node().context("no foreign broker")?;
    let group = RunningGroup::new(target.bootstrap(), GroupClient::FranzGo(Protocol::Range))?;
    let (Some(mut group), Some(prometheus)) = (group, Prometheus::scraping(node.http())?) else {
        return Ok(());
    };
    let mut flow = Flow::start(target.bootstrap(), group.topic())?;
    group.start(2)?;
    group.rest("two members share")?;
    wait_until(LIMIT, "there is something to be behind of", || {
        Ok(flow.ledger().acknowledged_ends().into_iter().all(|end| end > BEHIND))
    })?;
    flow.finish()?;
    let ends = flow.ledger().acknowledged_ends();
    group.drain(&ends)?;
    let mut connection = coordinator(target.bootstrap(), "behind")?;
    let behind = commit_request("behind", group.topic(), 1, ends[1] - BEHIND);
    expect_code("commit", commit(&mut connection, 9, &behind)?, None)?;

    let place = |group: &str, topic: &str, partition: i32| {
        format!("{{consumergroup=\"{group}\",topic=\"{topic}\",partition=\"{partition}\"}}")
    };
    for (partition, end) in (0..).zip(&ends) {
        let place = place(group.name(), group.topic(), partition);
        prometheus.expect(&format!("kafka_consumergroup_current_offset{place}"), *end as f64)?;
        prometheus.expect(&format!("kafka_consumergroup_lag{place}"), 0.0)?;
    }
    let members = format!("kafka_consumergroup_members{{consumergroup=\"{}\"}}", group.name());
    prometheus.expect(&members, 2.0)?;
    let behind = place("behind", group.topic(), 1);
    prometheus.expect(&format!("kafka_consumergroup_lag{behind}"), BEHIND as f64)?;
    prometheus.expect("sum(kafka_consumergroup_lag_sum)", BEHIND as f64)?;
    group.leave(1)?;
    prometheus.expect(&members, 1.0)
}
