//! kafka-python's command line (`python -m kafka.admin|producer|consumer`), which some people have in place of Kafka's tools.

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use client_tests::target::{Target, unique_topic};
use client_tests::tools;
use client_tests::wait::wait_until;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

/// The longest to wait for a record that is there.
const LIMIT: Duration = Duration::from_secs(60);

/// The command line, pointed at one broker.
struct CommandLine<'a> {
    python: PathBuf,
    bootstrap: &'a str,
}

impl CommandLine<'_> {
    fn command(&self, module: &str) -> Command {
        // A test that a shell runs in the background ignores Ctrl-C, and so would what it starts.
        let mut command = Command::new("env");
        command.arg("--default-signal=INT").arg(&self.python);
        // Python would leave compiled files beside the packages, and keep lines that it has printed.
        command.args(["-B", "-u", "-m", module, "--bootstrap-servers", self.bootstrap]);
        command
    }

    fn admin(&self, arguments: &str) -> Result<Output> {
        Ok(self.command("kafka.admin").args(arguments.split(' ')).output()?)
    }

    /// What an admin command prints, which must succeed.
    fn run(&self, arguments: &str) -> Result<String> {
        let output = self.admin(arguments)?;
        ensure!(output.status.success(), "{arguments}: {output:?}");
        Ok(String::from_utf8(output.stdout)?)
    }

    /// What an admin command answers, which must succeed.
    fn ask(&self, arguments: &str) -> Result<Value> {
        let printed = self.run(&format!("--format json {arguments}"))?;
        serde_json::from_str(&printed).with_context(|| format!("{arguments}: {printed}"))
    }

    /// Runs an admin command that must fail with an error of this name.
    fn is_refused(&self, arguments: &str, error: &str) -> Result<()> {
        let output = self.admin(arguments)?;
        let printed =
            String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
        ensure!(!output.status.success() && printed.contains(error), "{arguments}: {printed}");
        Ok(())
    }

    /// Writes these lines to a topic, one record a line.
    fn produce(&self, topic: &str, lines: &str) -> Result<()> {
        let mut producer =
            self.command("kafka.producer").args(["--topic", topic]).stdin(Stdio::piped()).spawn()?;
        producer.stdin.take().context("standard input is piped")?.write_all(lines.as_bytes())?;
        ensure!(producer.wait()?.success(), "the producer failed");
        Ok(())
    }
}

fn with_command_line(claim: impl FnOnce(&CommandLine<'_>) -> Result<()>) -> Result<()> {
    let target = Target::start()?;
    let Some(python) = tools::python::interpreter()? else { return Ok(()) };
    claim(&CommandLine { python, bootstrap: target.bootstrap() })
}

#[test]
fn topics_and_their_records_come_and_go() -> Result<()> {
    with_command_line(|cli| {
        let topic = &*unique_topic("python-cli");
        cli.ask(&format!("topics create --topic {topic} --num-partitions 1"))?;
        cli.is_refused(&format!("topics create --topic {topic}"), "TopicAlreadyExistsError")?;
        let topics = cli.ask("topics list")?;
        ensure!(topics.as_array().is_some_and(|topics| topics.contains(&json!(topic))), "{topics}");
        cli.produce(topic, "one\ntwo\nthree\n")?;
        cli.run(&format!("partitions delete-records --record {topic}:0:2"))?;
        cli.is_refused(&format!("partitions delete-records --record {topic}:0:9"), "OffsetOutOfRangeError")?;
        for (spec, offset) in [("earliest", 2), ("latest", 3)] {
            let offsets = cli.ask(&format!("partitions list-offsets --topic {topic} --spec {spec}"))?;
            ensure!(offsets[topic]["0"]["offset"] == offset, "{spec}: {offsets}");
        }
        cli.ask(&format!("partitions create --topic-partitions {topic}:3"))?;
        let described = cli.ask(&format!("topics describe --topic {topic}"))?;
        ensure!(described[0]["partitions"].as_array().map(Vec::len) == Some(3), "{described}");
        cli.ask(&format!("topics delete --topic {topic}"))?;
        let topics = cli.ask("topics list")?;
        ensure!(topics.as_array().is_some_and(|topics| !topics.contains(&json!(topic))), "{topics}");
        Ok(())
    })
}

#[test]
fn settings_change_and_the_cluster_describes_itself() -> Result<()> {
    with_command_line(|cli| {
        let topic = &*unique_topic("python-cli");
        cli.ask(&format!("topics create --topic {topic}"))?;
        let resource = format!("--resource-type topic --resource-name {topic}");
        cli.ask(&format!("configs alter {resource} --config retention.ms=12345678"))?;
        let described = cli.ask(&format!("configs describe {resource}"))?;
        ensure!(described["topic"][topic]["retention.ms"]["value"] == "12345678", "{described}");
        cli.ask(&format!("configs reset {resource} --config retention.ms"))?;
        let described = cli.ask(&format!("configs describe {resource}"))?;
        ensure!(described["topic"][topic]["retention.ms"]["value"] == "604800000", "{described}");

        let cluster = cli.ask("cluster describe")?;
        let node = &cluster["controller_id"];
        ensure!(cluster["brokers"].as_array().is_some_and(|brokers| brokers.len() == 1), "{cluster}");
        let version = cli.ask(&format!("cluster broker-version --broker {node}"))?;
        ensure!(version[node.to_string()] == "4.3", "it takes the node for {version}");
        let features = cli.ask("cluster describe-features")?;
        ensure!(!features["metadata.version"].is_null(), "{features}");
        let quorum = cli.ask("cluster describe-quorum")?;
        ensure!(quorum["topics"][0]["partitions"][0]["leader_id"] == *node, "{quorum}");
        let directories = cli.ask("cluster describe-log-dirs")?;
        let topics = directories[0]["log_dirs"][0]["topics"].as_array();
        ensure!(
            topics.is_some_and(|topics| topics.iter().any(|found| found["name"] == topic)),
            "{directories}"
        );
        cli.run("users describe-scram-credentials")?;
        Ok(())
    })
}

#[test]
fn a_group_reads_commits_and_is_reset() -> Result<()> {
    with_command_line(|cli| {
        let topic = &*unique_topic("python-cli");
        let group = &*unique_topic("readers");
        cli.ask(&format!("topics create --topic {topic} --num-partitions 1"))?;
        cli.produce(topic, "one\ntwo\nthree\n")?;
        let mut consumer = Consumer::start(cli, topic, group)?;
        ensure!(consumer.read(3)? == ["one", "two", "three"], "other lines came than were sent");
        consumer.interrupt()?;
        let groups = cli.ask("groups list")?;
        let is_there = |groups: &Vec<Value>| groups.iter().any(|found| found["group_id"] == group);
        ensure!(groups.as_array().is_some_and(is_there), "{groups}");
        let offsets = cli.ask(&format!("groups list-offsets --group-id {group}"))?;
        ensure!(offsets[topic]["0"]["offset"] == 3 && offsets[topic]["0"]["lag"] == 0, "{offsets}");
        cli.run(&format!("groups reset-offsets --group-id {group} --partition {topic}:0 --to-offset 1"))?;
        let offsets = cli.ask(&format!("groups list-offsets --group-id {group}"))?;
        ensure!(offsets[topic]["0"]["offset"] == 1 && offsets[topic]["0"]["lag"] == 2, "{offsets}");
        cli.ask(&format!("groups delete --group-id {group}"))?;
        let groups = cli.ask("groups list")?;
        ensure!(groups.as_array().is_some_and(|groups| !is_there(groups)), "{groups}");
        Ok(())
    })
}

/// A running console consumer.
struct Consumer {
    process: Child,
    lines: Receiver<String>,
}

impl Consumer {
    fn start(cli: &CommandLine<'_>, topic: &str, group: &str) -> Result<Consumer> {
        let mut process = cli
            .command("kafka.consumer")
            .args(["--topic", topic, "--group", group, "--extra-config", "auto_offset_reset=earliest"])
            .stdout(Stdio::piped())
            .spawn()?;
        let stdout = process.stdout.take().context("standard output is piped")?;
        let (sender, lines) = mpsc::sync_channel(1);
        std::thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                if sender.send(line).is_err() {
                    return;
                }
            }
        });
        Ok(Consumer { process, lines })
    }

    /// The next lines.
    fn read(&self, count: usize) -> Result<Vec<String>> {
        let line =
            |number| self.lines.recv_timeout(LIMIT).with_context(|| format!("only {number} lines came"));
        (0..count).map(line).collect()
    }

    /// Stops it as a person does, and waits until it has committed and gone.
    fn interrupt(&mut self) -> Result<()> {
        let pid = Pid::from_raw(self.process.id().try_into()?).context("a process id is positive")?;
        kill_process(pid, Signal::INT)?;
        let mut ended = None;
        wait_until(LIMIT, "the consumer has gone", || {
            ended = self.process.try_wait()?;
            Ok(ended.is_some())
        })?;
        ensure!(ended.is_some_and(|status| status.success()), "the consumer ended with {ended:?}");
        Ok(())
    }
}

impl Drop for Consumer {
    fn drop(&mut self) {
        if let Err(error) = self.process.kill().and_then(|()| self.process.wait().map(drop)) {
            eprintln!("a consumer could not be killed: {error}");
        }
    }
}
