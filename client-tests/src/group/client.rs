//! The clients whose groups are tested, each as the command that starts one member.

use std::ffi::OsString;
use std::process::Command;

use anyhow::Result;
use serde::Serialize;

use super::event::Dialect;
use crate::tools;

/// The shortest session that Kafka grants with its defaults, in milliseconds.
pub const SESSION_TIMEOUT_MS: u32 = 6_000;
/// How often members of the classic protocol send heartbeats, in milliseconds: the time in which they learn of a
/// rebalance.
pub const HEARTBEAT_INTERVAL_MS: u32 = 500;

/// How a group shares its partitions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Protocol {
    /// The classic protocol, eager: everything is taken back in each rebalance.
    Range,
    /// The classic protocol, cooperative: only what moves is taken back.
    CooperativeSticky,
    /// The consumer protocol (KIP-848), in which the broker assigns.
    Consumer,
}

/// A client that can be a member of a group.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GroupClient {
    /// `kcat -G`, as Debian ships it.
    Kcat,
    /// confluent-kafka: librdkafka.
    Confluent(Protocol),
    /// kafka-python.
    KafkaPython(Protocol),
    /// aiokafka.
    Aiokafka,
    /// kafkajs.
    Kafkajs,
    /// The Java client.
    Java(Protocol),
    /// Kafka's own tool for its system tests.
    VerifiableConsumer(Protocol),
    /// franz-go.
    FranzGo(Protocol),
    /// sarama.
    Sarama,
}

/// Which group a member joins, and how.
#[derive(Debug, Clone, Serialize)]
pub struct Membership {
    /// `host:port` of the broker.
    pub bootstrap: String,
    /// The group.
    pub group: String,
    /// The one topic that it subscribes to.
    pub topic: String,
    /// How partitions are shared.
    pub protocol: Protocol,
    /// The session timeout of the classic protocol; the consumer protocol's is the broker's to choose.
    pub session_timeout_ms: u32,
    /// The heartbeat interval of the classic protocol.
    pub heartbeat_interval_ms: u32,
}

impl GroupClient {
    /// How this client's groups share partitions.
    #[must_use]
    pub fn protocol(self) -> Protocol {
        match self {
            GroupClient::Confluent(protocol)
            | GroupClient::KafkaPython(protocol)
            | GroupClient::Java(protocol)
            | GroupClient::VerifiableConsumer(protocol)
            | GroupClient::FranzGo(protocol) => protocol,
            GroupClient::Kcat | GroupClient::Aiokafka | GroupClient::Kafkajs | GroupClient::Sarama => {
                Protocol::Range
            }
        }
    }

    /// Whether a member that is asked to leave drops records that it then commits all the same.
    #[must_use]
    pub fn drops_records_on_leaving(self) -> bool {
        // kcat takes no message any more once it has the signal, and librdkafka has stored its offset by then.
        self == GroupClient::Kcat
    }

    /// Whose words its members use.
    #[must_use]
    pub fn dialect(self) -> Dialect {
        match self {
            GroupClient::Kcat => Dialect::Kcat,
            GroupClient::VerifiableConsumer(_) => Dialect::VerifiableConsumer,
            _ => Dialect::Contract,
        }
    }

    /// The command that starts one member, or a skip as [`tools::missing`] has it.
    ///
    /// # Errors
    /// Where `CI` is set and the client cannot be had.
    pub fn command(self, membership: &Membership) -> Result<Option<Command>> {
        let (program, arguments): (OsString, Vec<OsString>) = match self {
            GroupClient::Kcat => match tools::kcat::kcat()? {
                Some(program) => return Ok(Some(kcat(program, membership))),
                None => return Ok(None),
            },
            GroupClient::VerifiableConsumer(_) => match tools::java::verifiable_consumer()? {
                Some(program) => return Ok(Some(verifiable_consumer(program.arguments(), membership))),
                None => return Ok(None),
            },
            GroupClient::Confluent(_) => return python("member_confluent.py", membership),
            GroupClient::KafkaPython(_) => return python("member_kafka_python.py", membership),
            GroupClient::Aiokafka => return python("member_aiokafka.py", membership),
            GroupClient::Kafkajs => match tools::node::program("member_kafkajs.js")? {
                Some(script) => ("node".into(), vec![script.into()]),
                None => return Ok(None),
            },
            GroupClient::Java(_) => match tools::java::group_member()? {
                Some(program) => ("java".into(), program.arguments()),
                None => return Ok(None),
            },
            GroupClient::FranzGo(_) => match tools::go::program("member_franz")? {
                Some(binary) => (binary.into(), Vec::new()),
                None => return Ok(None),
            },
            GroupClient::Sarama => match tools::go::program("member_sarama")? {
                Some(binary) => (binary.into(), Vec::new()),
                None => return Ok(None),
            },
        };
        let mut command = Command::new(program);
        command.args(arguments).arg(serde_json::to_string(membership)?);
        Ok(Some(command))
    }
}

fn python(program: &str, membership: &Membership) -> Result<Option<Command>> {
    let Some(interpreter) = tools::python::interpreter()? else { return Ok(None) };
    let mut command = Command::new(interpreter);
    // Python would leave compiled files in the source tree.
    command.arg("-B").arg(tools::program("python").join(program)).arg(serde_json::to_string(membership)?);
    Ok(Some(command))
}

fn kcat(program: &str, membership: &Membership) -> Command {
    let mut command = Command::new(program);
    // Unbuffered, so that what was processed is known also of a member that is killed.
    command.args(["-b", &membership.bootstrap, "-J", "-u"]);
    let session = format!("session.timeout.ms={}", membership.session_timeout_ms);
    let heartbeat = format!("heartbeat.interval.ms={}", membership.heartbeat_interval_ms);
    let settings = [&*session, &*heartbeat, "auto.offset.reset=earliest", "auto.commit.interval.ms=200"];
    for setting in settings {
        command.args(["-X", setting]);
    }
    command.args(["-G", &membership.group, &membership.topic]);
    command
}

fn verifiable_consumer(java: Vec<OsString>, membership: &Membership) -> Command {
    let mut command = Command::new("java");
    command.args(java).arg("--verbose").args(["--reset-policy", "earliest"]);
    command.args(["--bootstrap-server", &membership.bootstrap, "--group-id", &membership.group]);
    command.args(["--topic", &membership.topic]);
    if membership.protocol == Protocol::Consumer {
        command.args(["--group-protocol", "consumer"]);
    } else {
        command.args(["--session-timeout", &membership.session_timeout_ms.to_string()]);
    }
    command
}
