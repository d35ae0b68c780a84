//! A client program as a child process: one JSON command per line in, one JSON answer per line out.
//!
//! `programs/README.md` is the contract that every program keeps.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::records::{Record, StoredRecord};
use crate::tools;

/// The longest that a program may take for one command, a million lines through the console tools included.
const ANSWER_LIMIT: Duration = Duration::from_secs(120);

/// A running client program.
#[derive(Debug)]
pub struct Driver {
    process: Child,
    commands: ChildStdin,
    answers: Receiver<String>,
}

/// How to produce.
#[derive(Debug, Clone, Copy)]
pub struct Producing {
    /// The codec by Kafka's name: `none`, `gzip`, `snappy`, `lz4` or `zstd`.
    pub codec: &'static str,
    /// `0`, `1` or `all`.
    pub acks: &'static str,
    /// Whether the producer is idempotent, which needs `acks` of `all`.
    pub idempotent: bool,
}

impl Producing {
    /// What clients do today unless told otherwise.
    pub const DEFAULT: Producing = Producing { codec: "none", acks: "all", idempotent: true };
}

/// Where a consumer begins.
#[derive(Debug, Clone, Copy)]
pub enum Start {
    /// At the first record that there is, wherever the library finds that.
    Beginning,
    /// At this offset.
    Offset(i64),
    /// At the first record with this time or a later one, in milliseconds since the epoch.
    Timestamp(i64),
}

/// How one of Kafka's tools ended.
#[derive(Debug, Deserialize)]
pub struct ToolOutput {
    /// The exit status that the tool asked for.
    pub status: i32,
    /// What it wrote on standard output, unless that went to a file.
    pub stdout: String,
    /// What it wrote on standard error.
    pub stderr: String,
}

#[derive(Deserialize)]
struct Offsets {
    offsets: Vec<i64>,
}

#[derive(Deserialize)]
struct Configs {
    configs: BTreeMap<String, String>,
}

#[derive(Deserialize)]
struct Records {
    records: Vec<StoredRecord>,
}

impl Driver {
    /// Starts the program that runs Kafka's tools, or skips.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn kafka_tools() -> Result<Option<Driver>> {
        let Some(program) = tools::java::tool_runner()? else { return Ok(None) };
        let mut command = Command::new("java");
        command.args(program.arguments());
        Driver::start(command).map(Some)
    }

    /// Starts a program that keeps the contract.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn start(mut command: Command) -> Result<Driver> {
        // Standard error goes where the test's own goes: a client's complaint belongs beside the failure.
        let mut process = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        let commands = process.stdin.take().context("standard input is piped")?;
        let stdout = process.stdout.take().context("standard output is piped")?;
        let (sender, answers) = mpsc::sync_channel(1);
        std::thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                if sender.send(line).is_err() {
                    return;
                }
            }
        });
        Ok(Driver { process, commands, answers })
    }

    /// Creates a topic with these settings and keeps its records whatever their age.
    ///
    /// # Errors
    /// When the client reports one.
    pub fn create_topic(&mut self, topic: &str, partitions: i32, settings: &[(&str, &str)]) -> Result<()> {
        // The samples carry old timestamps, and a broker may apply time retention while a test runs.
        let mut configs = serde_json::Map::from_iter([("retention.ms".to_owned(), json!("-1"))]);
        configs.extend(settings.iter().map(|&(key, value)| (key.to_owned(), json!(value))));
        let command =
            json!({"do": "create_topic", "topic": topic, "partitions": partitions, "configs": configs});
        self.call::<Value>(&command).map(drop)
    }

    /// Deletes a topic.
    ///
    /// # Errors
    /// When the client reports one.
    pub fn delete_topic(&mut self, topic: &str) -> Result<()> {
        self.call::<Value>(&json!({"do": "delete_topic", "topic": topic})).map(drop)
    }

    /// Makes a topic have so many partitions.
    ///
    /// # Errors
    /// When the client reports one.
    pub fn create_partitions(&mut self, topic: &str, partitions: i32) -> Result<()> {
        let command = json!({"do": "create_partitions", "topic": topic, "partitions": partitions});
        self.call::<Value>(&command).map(drop)
    }

    /// Gives a setting of a topic this value.
    ///
    /// # Errors
    /// When the client reports one.
    pub fn alter_topic(&mut self, topic: &str, key: &str, value: &str) -> Result<()> {
        self.call::<Value>(&json!({"do": "alter_topic", "topic": topic, "configs": {key: value}})).map(drop)
    }

    /// The value of a setting of a topic.
    ///
    /// # Errors
    /// When the client reports one, or knows nothing of the setting.
    pub fn describe_topic(&mut self, topic: &str, key: &str) -> Result<String> {
        let command = json!({"do": "describe_topic", "topic": topic, "keys": [key]});
        let mut answer: Configs = self.call(&command)?;
        answer.configs.remove(key).with_context(|| format!("the client says nothing of {key}"))
    }

    /// Deletes a partition's records before this offset.
    ///
    /// # Errors
    /// When the client reports one.
    pub fn delete_records(&mut self, topic: &str, partition: i32, before: i64) -> Result<()> {
        let command =
            json!({"do": "delete_records", "topic": topic, "partition": partition, "before": before});
        self.call::<Value>(&command).map(drop)
    }

    /// Produces the records to a topic, each to the partition that the library chooses.
    ///
    /// # Errors
    /// When the client reports one.
    pub fn produce_anywhere(&mut self, how: Producing, topic: &str, records: &[Record]) -> Result<()> {
        self.call::<Value>(&produce_command(how, topic, None, records)).map(drop)
    }

    /// Produces the records to one partition and returns the offset that each was acknowledged with, or -1 where
    /// `acks` is `0`.
    ///
    /// # Errors
    /// When the client reports one.
    pub fn produce(
        &mut self,
        how: Producing,
        topic: &str,
        partition: i32,
        records: &[Record],
    ) -> Result<Vec<i64>> {
        let answer: Offsets = self.call(&produce_command(how, topic, Some(partition), records))?;
        Ok(answer.offsets)
    }

    /// Consumes one assigned partition until the record before `end_offset` (exclusive) has been read.
    ///
    /// # Errors
    /// When the client reports one.
    pub fn consume(
        &mut self,
        topic: &str,
        partition: i32,
        from: Start,
        end: i64,
    ) -> Result<Vec<StoredRecord>> {
        let (kind, position) = match from {
            Start::Beginning => ("beginning", 0),
            Start::Offset(offset) => ("offset", offset),
            Start::Timestamp(timestamp) => ("timestamp", timestamp),
        };
        let command = json!({
            "do": "consume", "topic": topic, "partition": partition, "from": kind, "position": position, "end": end,
        });
        let answer: Records = self.call(&command)?;
        Ok(answer.records)
    }

    /// Runs one of Kafka's tools, whose standard input is the file `stdin` and whose output goes to the file `stdout`,
    /// where these are given.
    ///
    /// # Errors
    /// When the program around the tools fails; a tool's own failure is its status.
    pub fn run_tool(&mut self, class: &str, arguments: &[&str], files: ToolFiles<'_>) -> Result<ToolOutput> {
        let command = json!({
            "class": class, "arguments": arguments, "stdin": files.stdin, "stdout": files.stdout,
        });
        self.call(&command)
    }

    fn call<T: DeserializeOwned>(&mut self, command: &Value) -> Result<T> {
        let mut line = serde_json::to_vec(command)?;
        line.push(b'\n');
        self.commands.write_all(&line).context("the client program has gone")?;
        self.commands.flush()?;
        let Ok(answer) = self.answers.recv_timeout(ANSWER_LIMIT) else {
            bail!("the client program gave no answer to {:?}", command.get("do").or(command.get("class")));
        };
        let answer: Value =
            serde_json::from_str(&answer).with_context(|| format!("not JSON: {answer:.200}"))?;
        if let Some(error) = answer.get("error") {
            bail!("{} failed in the client: {error}", command.get("do").unwrap_or(command));
        }
        Ok(serde_json::from_value(answer)?)
    }
}

fn produce_command(how: Producing, topic: &str, partition: Option<i32>, records: &[Record]) -> Value {
    json!({
        "do": "produce", "codec": how.codec, "acks": how.acks, "idempotent": how.idempotent,
        "topic": topic, "partition": partition, "records": records,
    })
}

/// Files in place of a tool's standard streams.
#[derive(Debug, Default, Clone, Copy)]
pub struct ToolFiles<'a> {
    /// Read as standard input; otherwise that is empty.
    pub stdin: Option<&'a str>,
    /// Written as standard output; otherwise that comes back in the answer.
    pub stdout: Option<&'a str>,
}

impl Drop for Driver {
    fn drop(&mut self) {
        if let Err(error) = self.process.kill().and_then(|()| self.process.wait()) {
            eprintln!("a client program could not be killed: {error}");
        }
    }
}
