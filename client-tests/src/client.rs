//! The clients with a program that keeps the contract of `programs/README.md`, and what each can express.

use std::ffi::OsStr;
use std::path::Path;
use std::process::Command;

use anyhow::Result;

use crate::driver::Driver;
use crate::records::Record;
use crate::scenario::{ACKS, CODECS};
use crate::tools;

/// A client library.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Client {
    /// Kafka's own, in Java.
    Java,
    /// confluent-kafka: the newest librdkafka, from Python.
    ConfluentKafka,
    /// kafka-python: a codec of its own in pure Python.
    KafkaPython,
    /// aiokafka: asynchronous Python.
    Aiokafka,
    /// kafkajs, which never uses flexible versions.
    Kafkajs,
    /// @platformatic/kafka, which uses modern versions only.
    Platformatic,
    /// franz-go, which is strict about what it gets back.
    FranzGo,
    /// sarama, with the fixed requests of old applications.
    Sarama,
    /// segmentio's kafka-go, which negotiates few versions.
    KafkaGo,
    /// @confluentinc/kafka-javascript: librdkafka from Node.js.
    ConfluentJavascript,
    /// rskafka: pure Rust with fixed versions; its program, which cargo builds for a test.
    Rskafka(&'static str),
}

/// What the library has, or lacks: a test leaves out what cannot be said through it.
#[derive(Debug, Clone, Copy)]
pub struct Abilities {
    /// The codecs that it brings.
    pub codecs: &'static [&'static str],
    /// How many acknowledgements it can ask for.
    pub acks: &'static [&'static str],
    /// Whether it has an idempotent producer.
    pub idempotence: bool,
    /// Which headers it sends and gives back as they are.
    pub headers: Headers,
    /// Whether it gives back empty bytes as such, and not as absent ones.
    pub empty_bytes: bool,
    /// What it does not do at all.
    pub lacks: &'static [Act],
}

/// What not every library does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Act {
    /// Producing to a topic that is not there yet, to partitions of its own choice.
    ProduceToNewTopics,
    /// Giving a topic more partitions.
    CreatePartitions,
    /// Changing and telling a topic's settings.
    AlterTopics,
    /// Deleting records up to an offset.
    DeleteRecords,
}

/// Headers that a library can express.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Headers {
    /// All that the format has.
    All,
    /// Those with a value.
    WithValue,
    /// Those with a value, whose names differ.
    WithValueAndOwnName,
}

const EVERYTHING: Abilities = Abilities {
    codecs: &CODECS,
    acks: &ACKS,
    idempotence: true,
    headers: Headers::All,
    empty_bytes: true,
    lacks: &[],
};

/// What a node has for all topics, where a library gives no settings to a topic that it creates: scenarios want records
/// that are old to stay, and segments that are small.
const SETTINGS_OF_TOPICS: [&str; 2] = ["log.retention.ms=-1", "log.segment.bytes=1048576"];

impl Client {
    /// What the library has.
    #[must_use]
    pub fn abilities(self) -> Abilities {
        match self {
            Client::Java | Client::ConfluentKafka | Client::Aiokafka | Client::FranzGo | Client::Sarama => {
                EVERYTHING
            }
            Client::KafkaPython => Abilities { headers: Headers::WithValue, ..EVERYTHING },
            Client::Kafkajs => {
                Abilities { codecs: &["none", "gzip"], headers: Headers::WithValueAndOwnName, ..EVERYTHING }
            }
            // It takes zstd from Node.js, which has it from release 22 on.
            Client::Platformatic => Abilities { codecs: &["none", "gzip", "snappy", "lz4"], ..EVERYTHING },
            Client::KafkaGo => Abilities {
                idempotence: false,
                empty_bytes: false,
                lacks: &[Act::DeleteRecords],
                ..EVERYTHING
            },
            // It takes zstd from the machine, which may lack it.
            Client::ConfluentJavascript => Abilities {
                codecs: &["none", "gzip", "snappy", "lz4"],
                headers: Headers::WithValue,
                empty_bytes: false,
                lacks: &[Act::AlterTopics],
                ..EVERYTHING
            },
            Client::Rskafka(_) => Abilities {
                acks: &["all"],
                idempotence: false,
                headers: Headers::WithValueAndOwnName,
                lacks: &[Act::ProduceToNewTopics, Act::CreatePartitions, Act::AlterTopics],
                ..EVERYTHING
            },
        }
    }

    /// What a node needs beside its defaults, so that the scenarios work with this client.
    #[must_use]
    pub fn node_settings(self) -> &'static [&'static str] {
        match self {
            Client::Rskafka(_) => &SETTINGS_OF_TOPICS,
            Client::Java
            | Client::ConfluentKafka
            | Client::KafkaPython
            | Client::Aiokafka
            | Client::Kafkajs
            | Client::Platformatic
            | Client::FranzGo
            | Client::Sarama
            | Client::KafkaGo
            | Client::ConfluentJavascript => &[],
        }
    }

    /// Starts the library's program, or skips as [`tools::missing`] does.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn start(self, bootstrap: &str) -> Result<Option<Driver>> {
        let Some(mut command) = self.command()? else { return Ok(None) };
        command.arg(bootstrap);
        Driver::start(command).map(Some)
    }

    fn command(self) -> Result<Option<Command>> {
        match self {
            Client::Java => Ok(tools::java::client_driver()?.map(|program| {
                let mut command = Command::new("java");
                command.args(program.arguments());
                command
            })),
            Client::ConfluentKafka => python("confluent.py"),
            Client::KafkaPython => python("kafka_python.py"),
            Client::Aiokafka => python("aio.py"),
            Client::Kafkajs => node("client_kafkajs.js"),
            Client::Platformatic => node("client_platformatic.js"),
            Client::FranzGo => go("client_franz"),
            Client::Sarama => go("client_sarama"),
            Client::KafkaGo => go("client_segmentio"),
            Client::ConfluentJavascript => tools::node::native_program("client_confluent.js"),
            Client::Rskafka(program) => Ok(Some(Command::new(program))),
        }
    }
}

impl Abilities {
    /// Whether the library does this.
    #[must_use]
    pub fn can(self, act: Act) -> bool {
        !self.lacks.contains(&act)
    }

    /// What of `records` can be told through the library.
    #[must_use]
    pub fn expressible(self, records: Vec<Record>) -> Vec<Record> {
        let tells_all = |record: &Record| self.empty_bytes || !record.has_empty_bytes();
        records.into_iter().filter(tells_all).map(|record| self.headers.of(record)).collect()
    }
}

impl Headers {
    /// The record without the headers that cannot be expressed.
    fn of(self, mut record: Record) -> Record {
        if self != Headers::All {
            record.headers.retain(|(_, value)| value.is_some());
        }
        if self == Headers::WithValueAndOwnName {
            let mut seen = Vec::new();
            record.headers.retain(|(name, _)| {
                let is_new = !seen.contains(name);
                seen.push(name.clone());
                is_new
            });
        }
        record
    }
}

fn python(program: &str) -> Result<Option<Command>> {
    // Python would leave compiled files in the source tree.
    let flag: &[&OsStr] = &["-B".as_ref()];
    Ok(tools::python::interpreter()?
        .map(|python| command(python, flag, &tools::program("python").join(program))))
}

fn node(program: &str) -> Result<Option<Command>> {
    Ok(tools::node::program(program)?.map(|script| command("node", &[], &script)))
}

fn go(program: &str) -> Result<Option<Command>> {
    Ok(tools::go::program(program)?.map(Command::new))
}

fn command(interpreter: impl AsRef<OsStr>, flags: &[&OsStr], program: &Path) -> Command {
    let mut command = Command::new(interpreter);
    command.args(flags).arg(program);
    command
}
