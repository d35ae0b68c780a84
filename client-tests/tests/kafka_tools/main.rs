//! Apache Kafka's own command line tools, which must not notice that this is not Apache Kafka.

mod brokers;
mod client_metrics;
mod cluster;
mod deletion;
mod loggers;
mod quotas;
mod verifiable_producer;

use anyhow::{Context as _, Result, ensure};
use client_tests::driver::{Driver, ToolFiles, ToolOutput};
use client_tests::target::{Target, unique_topic};

const TOPICS: &str = "org.apache.kafka.tools.TopicCommand";
const CONFIGS: &str = "kafka.admin.ConfigCommand";
const OFFSETS: &str = "org.apache.kafka.tools.GetOffsetShell";
const PRODUCER: &str = "org.apache.kafka.tools.ConsoleProducer";
const CONSUMER: &str = "org.apache.kafka.tools.consumer.ConsoleConsumer";
const API_VERSIONS: &str = "org.apache.kafka.tools.BrokerApiVersionsCommand";

/// The tools, pointed at one broker.
struct Tools<'a> {
    driver: Driver,
    bootstrap: &'a str,
}

impl Tools<'_> {
    /// Runs a tool that must succeed and returns what it printed.
    fn run(&mut self, class: &str, arguments: &[&str]) -> Result<String> {
        let output = self.run_with_files(class, arguments, ToolFiles::default())?;
        ensure!(output.status == 0, "{class} {arguments:?} failed: {output:?}");
        Ok(output.stdout)
    }

    /// Runs a tool that must fail and returns all that it printed.
    fn run_to_failure(&mut self, class: &str, arguments: &[&str]) -> Result<String> {
        let output = self.run_with_files(class, arguments, ToolFiles::default())?;
        ensure!(output.status != 0, "{class} {arguments:?} succeeded: {output:?}");
        Ok(output.stdout + &output.stderr)
    }

    fn run_with_files(
        &mut self,
        class: &str,
        arguments: &[&str],
        files: ToolFiles<'_>,
    ) -> Result<ToolOutput> {
        let arguments = [&["--bootstrap-server", self.bootstrap], arguments].concat();
        self.driver.run_tool(class, &arguments, files)
    }
}

/// Writes these lines to a topic, one record a line.
fn produce(tools: &mut Tools<'_>, topic: &str, lines: &str) -> Result<()> {
    let input = tempfile::NamedTempFile::new()?;
    std::fs::write(input.path(), lines)?;
    let files = ToolFiles { stdin: input.path().to_str(), stdout: None };
    let produced = tools.run_with_files(PRODUCER, &["--topic", topic], files)?;
    ensure!(produced.status == 0 && !produced.stderr.contains("ERROR"), "{produced:?}");
    Ok(())
}

fn with_tools(claim: impl FnOnce(&mut Tools<'_>) -> Result<()>) -> Result<()> {
    let target = Target::start()?;
    let Some(driver) = Driver::kafka_tools()? else { return Ok(()) };
    claim(&mut Tools { driver, bootstrap: target.bootstrap() })
}

#[test]
fn topics_are_created_listed_described_and_deleted() -> Result<()> {
    with_tools(|tools| {
        let topic = &*unique_topic("tools");
        tools.run(
            TOPICS,
            &["--create", "--topic", topic, "--partitions", "3", "--config", "segment.bytes=2097152"],
        )?;
        let again = tools.run_to_failure(TOPICS, &["--create", "--topic", topic])?;
        ensure!(again.contains("already exists"), "{again}");
        let list = tools.run(TOPICS, &["--list"])?;
        ensure!(list.lines().any(|line| line == topic), "{list}");
        let described = tools.run(TOPICS, &["--describe", "--topic", topic])?;
        for part in
            ["PartitionCount: 3", "ReplicationFactor: 1", "segment.bytes=2097152", "Partition: 2", "Isr: "]
        {
            ensure!(described.contains(part), "{part:?} is not in {described}");
        }
        let (_, id) = described.split_once("TopicId: ").context("the topic has an id")?;
        let id = id.split_whitespace().next().context("the id is a word")?;
        let by_id = tools.run(TOPICS, &["--describe", "--topic-id", id])?;
        ensure!(by_id.lines().next() == described.lines().next(), "by its id: {by_id}, not {described}");
        tools.run(TOPICS, &["--delete", "--topic", topic])?;
        let list = tools.run(TOPICS, &["--list"])?;
        ensure!(!list.contains(topic), "{list}");
        tools.run_to_failure(TOPICS, &["--describe", "--topic", topic])?;
        Ok(())
    })
}

#[test]
fn topic_settings_are_altered_and_described() -> Result<()> {
    with_tools(|tools| {
        let topic = &*unique_topic("settings");
        tools.run(TOPICS, &["--create", "--topic", topic])?;
        let entity = ["--entity-type", "topics", "--entity-name", topic];
        let describe = [&entity[..], &["--describe"]].concat();
        let alter = |change: &'static [&'static str]| [&entity[..], &["--alter"], change].concat();
        tools.run(CONFIGS, &alter(&["--add-config", "retention.ms=123456789,max.message.bytes=54321"]))?;
        let described = tools.run(CONFIGS, &describe)?;
        for part in ["retention.ms=123456789", "max.message.bytes=54321"] {
            ensure!(described.contains(part), "{part:?} is not in {described}");
        }
        tools.run(CONFIGS, &alter(&["--delete-config", "retention.ms"]))?;
        let described = tools.run(CONFIGS, &describe)?;
        ensure!(!described.contains("retention.ms="), "{described}");
        let everything = tools.run(CONFIGS, &[&describe[..], &["--all"]].concat())?;
        for part in ["retention.ms=604800000", "cleanup.policy=delete", "max.message.bytes=54321"] {
            ensure!(everything.contains(part), "{part:?} is not in {everything}");
        }
        tools.run_to_failure(CONFIGS, &alter(&["--add-config", "retention.ms=soon"]))?;
        tools.run_to_failure(CONFIGS, &alter(&["--add-config", "no.such.setting=1"]))?;
        Ok(())
    })
}

#[test]
fn broker_settings_are_described() -> Result<()> {
    with_tools(|tools| {
        let broker = ["--entity-type", "brokers", "--entity-name", "1", "--describe", "--all"];
        let described = tools.run(CONFIGS, &broker)?;
        for part in ["num.partitions=1", "log.segment.bytes=1073741824", "node.id=1"] {
            ensure!(described.contains(part), "{part:?} is not in {described}");
        }
        Ok(())
    })
}

#[test]
fn console_producer_feeds_console_consumer() -> Result<()> {
    with_tools(|tools| {
        let topic = &*unique_topic("console");
        tools.run(TOPICS, &["--create", "--topic", topic, "--partitions", "2"])?;
        let lines: Vec<String> =
            (0..1000).map(|number| format!("key-{number}\tline {number} grün")).collect();
        let input = tempfile::NamedTempFile::new()?;
        std::fs::write(input.path(), lines.join("\n"))?;
        let files = ToolFiles { stdin: input.path().to_str(), stdout: None };
        let properties = ["--reader-property", "parse.key=true", "--compression-codec", "lz4"];
        let produce = [&["--topic", topic], &properties[..]].concat();
        let produced = tools.run_with_files(PRODUCER, &produce, files)?;
        ensure!(produced.status == 0 && !produced.stderr.contains("ERROR"), "{produced:?}");

        let ends = tools.run(OFFSETS, &["--topic", topic, "--time", "latest"])?;
        let counts = ends.lines().filter_map(|line| line.rsplit(':').next()?.parse().ok());
        let counts: Vec<usize> = counts.collect();
        ensure!(counts.len() == 2 && counts.iter().sum::<usize>() == 1000, "{ends}");

        let mut read = Vec::new();
        for (partition, count) in ["0", "1"].into_iter().zip(counts) {
            let count = count.to_string();
            let place = ["--topic", topic, "--partition", partition, "--offset", "earliest"];
            let shape =
                ["--formatter-property", "print.key=true", "--timeout-ms", "30000", "--max-messages", &count];
            let consumed = tools.run(CONSUMER, &[&place[..], &shape[..]].concat())?;
            read.extend(consumed.lines().map(str::to_owned));
        }
        read.sort();
        let mut lines = lines;
        lines.sort();
        ensure!(read == lines, "{} lines came back, or others than were sent", read.len());
        Ok(())
    })
}

#[test]
fn offsets_are_found_by_special_and_by_real_times() -> Result<()> {
    with_tools(|tools| {
        let topic = &*unique_topic("offsets");
        tools.run(TOPICS, &["--create", "--topic", topic])?;
        produce(tools, topic, "one\ntwo\nthree\n")?;
        for (time, offset) in [("earliest", 0), ("latest", 3), ("earliest-local", 0), ("1", 0)] {
            let found = tools.run(OFFSETS, &["--topic", topic, "--time", time])?;
            ensure!(found.trim() == format!("{topic}:0:{offset}"), "{time}: {found}");
        }
        let found = tools.run(OFFSETS, &["--topic", topic, "--time", "max-timestamp"])?;
        ensure!(found.starts_with(&format!("{topic}:0:")), "{found}");
        Ok(())
    })
}

#[test]
fn records_carry_the_time_of_their_append_where_the_topic_says_so() -> Result<()> {
    with_tools(|tools| {
        for (setting, printed) in [("LogAppendTime", "LogAppendTime:"), ("CreateTime", "CreateTime:")] {
            let topic = &*unique_topic("times");
            let config = format!("message.timestamp.type={setting}");
            tools.run(TOPICS, &["--create", "--topic", topic, "--config", &config])?;
            produce(tools, topic, "one\n")?;
            let place = ["--topic", topic, "--partition", "0", "--offset", "earliest"];
            let shape = ["--formatter-property", "print.timestamp=true", "--timeout-ms", "30000"];
            let read = tools.run(CONSUMER, &[&place[..], &shape[..], &["--max-messages", "1"]].concat())?;
            ensure!(read.starts_with(printed) && read.trim_end().ends_with("\tone"), "{setting}: {read}");
        }
        Ok(())
    })
}

#[test]
fn broker_says_which_versions_it_serves() -> Result<()> {
    with_tools(|tools| {
        let versions = tools.run(API_VERSIONS, &[])?;
        for api in
            ["Produce(0)", "Fetch(1)", "ListOffsets(2)", "Metadata(3)", "ApiVersions(18)", "CreateTopics(19)"]
        {
            let line = versions.lines().find(|line| line.contains(api));
            ensure!(line.is_some_and(|line| line.contains("usable")), "{api}: {line:?}");
        }
        Ok(())
    })
}
