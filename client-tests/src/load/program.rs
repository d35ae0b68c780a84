//! A producer in another language: a program that sends until its standard input ends, and prints one outcome a line.

use std::io::{BufRead as _, BufReader};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use serde::Deserialize;
use serde_json::json;

use super::Observations;
use super::librdkafka::Target;
use crate::history::content::{Identity, Place};
use crate::history::{Operation, Outcome};
use crate::tools;
use crate::wait::wait_until;

/// The longest that records which were sent may stay without an outcome once sending has ended.
const FINISH_LIMIT: Duration = Duration::from_secs(150);

/// A client library with a program that produces.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LoadClient {
    /// The Java client.
    Java,
    /// kafka-python.
    KafkaPython,
}

/// A running program, which is killed when dropped.
#[derive(Debug)]
pub struct ProgramLoad {
    client: LoadClient,
    process: Child,
    input: Option<ChildStdin>,
    reader: Option<JoinHandle<()>>,
}

/// What a program prints.
#[derive(Debug, Deserialize)]
#[serde(tag = "event", rename_all = "lowercase")]
enum Event {
    Acknowledged { partition: i32, sequence: i64, offset: i64 },
    Failed { partition: i32, sequence: i64, message: String },
    Attempted { partition: i32, end: i64 },
}

impl ProgramLoad {
    /// Starts a program, or skips as [`tools::missing`] has it.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn start(
        client: LoadClient,
        target: &Target,
        producer: u32,
        into: &Arc<Observations>,
    ) -> Result<Option<ProgramLoad>> {
        let Some(mut command) = client.command()? else { return Ok(None) };
        let settings = json!({
            "bootstrap": target.bootstrap, "topic": &*target.topic, "partitions": target.partitions,
            "producer": producer, "step_ms": u64::try_from(target.step.as_millis())?,
        });
        command.arg(settings.to_string()).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut process = command.spawn().with_context(|| format!("{command:?} cannot be started"))?;
        let stdout = process.stdout.take().context("standard output is piped")?;
        let input = process.stdin.take();
        let (topic, into) = (Arc::clone(&target.topic), Arc::clone(into));
        let reader = std::thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                match serde_json::from_str(&line) {
                    Ok(event) => note(&into, client, producer, &topic, event),
                    Err(_) => into.complain(client.name(), &line),
                }
            }
        });
        Ok(Some(ProgramLoad { client, process, input, reader: Some(reader) }))
    }

    /// Stops sending, and waits until every record has an outcome.
    ///
    /// # Errors
    /// When the program does not end in time, or with a failure.
    pub fn finish(&mut self) -> Result<()> {
        drop(self.input.take());
        let name = self.client.name();
        let mut status = None;
        wait_until(FINISH_LIMIT, &format!("the load of {name} has ended"), || {
            status = self.process.try_wait()?;
            Ok(status.is_some())
        })?;
        if let Some(reader) = self.reader.take() {
            ensure!(reader.join().is_ok(), "the reader of {name} panicked");
        }
        ensure!(status.is_some_and(|status| status.success()), "the load of {name} ended with {status:?}");
        Ok(())
    }
}

impl Drop for ProgramLoad {
    fn drop(&mut self) {
        if let Err(error) = self.process.kill().and_then(|()| self.process.wait()) {
            eprintln!("a load could not be killed: {error}");
        }
    }
}

fn note(into: &Observations, client: LoadClient, producer: u32, topic: &Arc<str>, event: Event) {
    let record = |sequence| Identity { producer, sequence };
    let operation = match event {
        Event::Acknowledged { partition, sequence, offset } => {
            into.progress.note(producer, partition);
            let outcome = Outcome::Acknowledged(Some(offset).filter(|offset| *offset >= 0));
            Operation::Send { place: Place::new(topic, partition), record: record(sequence), outcome }
        }
        Event::Failed { partition, sequence, message } => {
            into.complain(client.name(), &format!("{sequence} in {partition} is given up: {message}"));
            let place = Place::new(topic, partition);
            Operation::Send { place, record: record(sequence), outcome: Outcome::Unknown }
        }
        Event::Attempted { partition, end } => {
            Operation::Attempted { producer, place: Place::new(topic, partition), end }
        }
    };
    into.history.add_ended(operation);
}

impl LoadClient {
    fn name(self) -> &'static str {
        match self {
            LoadClient::Java => "the Java client",
            LoadClient::KafkaPython => "kafka-python",
        }
    }

    fn command(self) -> Result<Option<Command>> {
        match self {
            LoadClient::Java => {
                let Some(program) = tools::java::load()? else { return Ok(None) };
                let mut command = Command::new("java");
                command.args(program.arguments());
                Ok(Some(command))
            }
            LoadClient::KafkaPython => {
                let Some(interpreter) = tools::python::interpreter()? else { return Ok(None) };
                let mut command = Command::new(interpreter);
                // Python would leave compiled files in the source tree.
                command.arg("-B").arg(tools::program("python/load_kafka_python.py"));
                Ok(Some(command))
            }
        }
    }
}
