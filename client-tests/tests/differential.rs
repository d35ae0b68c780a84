//! Kafka's tools print about a node of ours what they print about a node of Apache Kafka 4.3.1: the same commands, a third
//! of them mistakes, run against both. Identifiers, times, addresses and paths may differ; so may what [`DIFFERENCES`]
//! lists, with its reason.

use std::fs;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use client_tests::driver::Driver;
use client_tests::replica_set::ReplicaSet;
use client_tests::replica_set::network::Network;
use client_tests::replica_set::product::Product;
use client_tests::transcript::{Printed, Transcript};
use client_tests::wait::wait_until;
use client_tests::wire::{self, Connection};
use tempfile::TempDir;

/// Lines that may differ, by how they begin, and why.
const DIFFERENCES: [(&[&str], &str); 3] = [
    (&["Feature: "], "what may be switched on differs: README's table says which APIs are there"),
    (&["CurrentVoters: "], "a node alone has no address for others; Kafka names one, and no directory"),
    (
        &["errors.deadletterqueue.", "remote.copy.lag."],
        "keys of Kafka 4.4, which the tests' 4.3.1 does not know",
    ),
];

/// Tools and their arguments, in order: later ones see what earlier ones did. `< FILE` is the standard input.
const COMMANDS: &str = "
kafka-topics --create --topic orders --partitions 3
kafka-topics --create --topic orders
kafka-topics --create --if-not-exists --topic orders
kafka-topics --create --topic bad/name
kafka-topics --create --topic spread --replication-factor 5
kafka-topics --create --topic none --partitions 0
kafka-topics --create --topic compacted --config cleanup.policy=compact --config min.cleanable.dirty.ratio=0.1
kafka-topics --create --topic unknown --config no.such.key=1
kafka-topics --create --topic unread --config retention.ms=soon
kafka-topics --create --topic tiny --config segment.bytes=1
kafka-topics --create --topic placed --replica-assignment 1,1
kafka-topics --create --topic misplaced --replica-assignment 9
kafka-topics --create --topic dotted.name
kafka-topics --create --topic dotted_name
kafka-topics --list
kafka-topics --list --exclude-internal
kafka-topics --describe
kafka-topics --describe --topic orders
kafka-topics --describe --topic nowhere
kafka-topics --describe --topic or.*
kafka-topics --describe --topics-with-overrides
kafka-topics --describe --under-replicated-partitions
kafka-topics --describe --unavailable-partitions
kafka-topics --describe --at-min-isr-partitions
kafka-topics --alter --topic orders --partitions 5
kafka-topics --alter --topic orders --partitions 2
kafka-topics --alter --topic nowhere --partitions 5
kafka-topics --delete --topic nowhere
kafka-topics --delete --if-exists --topic nowhere
kafka-topics --delete --topic placed
kafka-configs --entity-type topics --entity-name compacted --describe
kafka-configs --entity-type topics --entity-name compacted --describe --all
kafka-configs --entity-type topics --entity-name compacted --alter --add-config retention.ms=1000,max.message.bytes=2000
kafka-configs --entity-type topics --entity-name compacted --alter --delete-config retention.ms
kafka-configs --entity-type topics --entity-name compacted --alter --delete-config retention.ms
kafka-configs --entity-type topics --entity-name compacted --alter --add-config retention.ms=never
kafka-configs --entity-type topics --entity-name compacted --alter --add-config cleanup.policy=burn
kafka-configs --entity-type topics --entity-name compacted --alter --add-config min.insync.replicas=0
kafka-configs --entity-type topics --entity-name nowhere --alter --add-config retention.ms=1
kafka-configs --entity-type topics --entity-name nowhere --describe
kafka-configs --entity-type topics --describe
kafka-configs --entity-type brokers --entity-name 1 --describe
kafka-configs --entity-type brokers --entity-default --describe
kafka-configs --entity-type brokers --entity-name 1 --alter --add-config log.cleaner.threads=2
kafka-configs --entity-type brokers --entity-name 1 --alter --add-config log.cleaner.threads=8
kafka-configs --entity-type brokers --entity-name 1 --alter --add-config num.recovery.threads.per.data.dir=4
kafka-configs --entity-type brokers --entity-name 1 --alter --add-config num.recovery.threads.per.data.dir=9
kafka-configs --entity-type brokers --entity-name 1 --describe
kafka-configs --entity-type brokers --entity-name 1 --alter --add-config node.id=7
kafka-configs --entity-type brokers --entity-default --alter --add-config log.retention.ms=777777
kafka-configs --entity-type brokers --entity-default --describe
kafka-configs --entity-type brokers --entity-default --alter --delete-config log.retention.ms
kafka-configs --entity-type brokers --entity-name 1 --alter --add-config message.max.bytes=2000000
kafka-configs --entity-type brokers --entity-name 1 --describe
kafka-configs --entity-type brokers --entity-name 1 --alter --delete-config message.max.bytes
kafka-configs --entity-type brokers --entity-name 1 --alter --delete-config message.max.bytes
kafka-configs --entity-type brokers --entity-name 1 --alter --add-config log.retention.ms=soon
kafka-configs --entity-type brokers --entity-name 1 --alter --add-config num.partitions=3
kafka-configs --entity-type brokers --entity-default --alter --add-config advertised.listeners=PLAINTEXT://here:9092
kafka-configs --entity-type brokers --entity-default --alter --add-config log.retention.bytes=much
kafka-configs --entity-type brokers --entity-name 1 --alter --add-config num.io.threads=12,no.such.key=1
kafka-configs --entity-type brokers --entity-name 1 --alter --add-config num.io.threads=25
kafka-configs --entity-type brokers --entity-name 1 --alter --add-config background.threads=0
kafka-configs --entity-type brokers --entity-default --alter --add-config no.such.key=2,remote.log.reader.threads=11
kafka-configs --entity-type brokers --entity-name 1 --describe
kafka-configs --entity-type brokers --entity-default --describe
kafka-configs --entity-type brokers --entity-name 1 --alter --delete-config num.io.threads,no.such.key
kafka-configs --entity-type brokers --entity-default --alter --delete-config no.such.key,remote.log.reader.threads
kafka-configs --entity-type brokers --entity-name 9 --describe
kafka-configs --entity-type brokers --entity-name one --describe
kafka-configs --entity-type brokers --entity-name 9 --alter --add-config log.retention.ms=1000
kafka-configs --entity-type brokers --alter --add-config log.retention.ms=1000
kafka-configs --entity-type broker-loggers --entity-name 1 --alter --add-config root=ERROR
kafka-configs --entity-type broker-loggers --entity-name 1 --alter --add-config root=LOUD
kafka-configs --entity-type broker-loggers --entity-name 1 --alter --add-config no.such.logger=DEBUG
kafka-configs --entity-type broker-loggers --entity-name 1 --alter --delete-config root
kafka-configs --entity-type broker-loggers --entity-name 9 --describe
kafka-configs --entity-type clients --entity-name loader --alter --add-config producer_byte_rate=1048576
kafka-configs --entity-type clients --entity-name loader --describe
kafka-configs --entity-type clients --entity-name loader --alter --add-config producer_byte_rate=fast
kafka-configs --entity-type clients --entity-name loader --alter --add-config coffee_rate=1
kafka-configs --entity-type users --describe
kafka-configs --entity-type users --entity-default --alter --add-config consumer_byte_rate=2097152
kafka-configs --entity-type users --describe
kafka-configs --entity-type users --entity-default --describe
kafka-configs --entity-type users --entity-name nobody --describe
kafka-configs --entity-type users --entity-name nobody --alter --delete-config consumer_byte_rate
kafka-configs --entity-type users --entity-name nobody --alter --add-config producer_byte_rate=-1
kafka-configs --entity-type clients --entity-name loader --alter --add-config controller_mutation_rate=12.5
kafka-configs --entity-type clients --entity-name loader --describe
kafka-configs --entity-type clients --entity-name loader --alter --add-config controller_mutation_rate=0
kafka-configs --entity-type clients --entity-name loader --alter --add-config connection_creation_rate=1
kafka-configs --entity-type users --entity-default --alter --add-config controller_mutation_rate=0.001
kafka-topics --create --topic limited --partitions 2
kafka-topics --create --topic limited
kafka-topics --create --topic beyond
kafka-topics --delete --topic limited
kafka-configs --entity-type users --entity-default --alter --delete-config controller_mutation_rate
kafka-topics --delete --topic limited
kafka-configs --entity-type ips --entity-name 127.0.0.1 --alter --add-config connection_creation_rate=5000
kafka-configs --entity-type ips --entity-name 127.0.0.1 --alter --add-config connection_creation_rate=0
kafka-configs --entity-type ips --entity-name 127.0.0.1 --alter --add-config connection_creation_rate=1.5
kafka-configs --entity-type ips --entity-name 127.0.0.1 --alter --add-config connection_creation_rate=2147483648
kafka-configs --entity-type ips --entity-name 127.0.0.1 --alter --add-config controller_mutation_rate=1
kafka-configs --entity-type ips --entity-default --alter --add-config connection_creation_rate=4000
kafka-configs --entity-type ips --entity-name 127.0.0.1 --describe
kafka-configs --entity-type ips --entity-default --describe
kafka-configs --entity-type ips --describe
kafka-configs --entity-type ips --entity-name 127.0.0.1 --alter --delete-config connection_creation_rate
kafka-configs --entity-type ips --entity-name 127.0.0.1 --alter --delete-config connection_creation_rate
kafka-configs --entity-type groups --entity-name readers --alter --add-config consumer.session.timeout.ms=50000
kafka-configs --entity-type groups --entity-name readers --describe
kafka-configs --entity-type groups --entity-name readers --alter --add-config consumer.session.timeout.ms=1
kafka-configs --entity-type groups --entity-name readers --alter --add-config no.such.key=1
kafka-configs --entity-type groups --entity-name readers --alter --delete-config consumer.session.timeout.ms
kafka-configs --entity-type groups --entity-name readers --describe
kafka-configs --entity-type client-metrics --describe
kafka-configs --entity-type client-metrics --entity-name nothing --describe
kafka-configs --entity-type ips --describe
kafka-configs --entity-type ips --entity-name 127.0.0.1 --describe
kafka-configs --entity-type cups --describe
kafka-console-producer --topic orders --command-property linger.ms=0 --command-property request.timeout.ms=30000 < LINES
kafka-console-producer --topic dotted.name --command-property request.timeout.ms=30000 < LINES
kafka-get-offsets --topic dotted.name
kafka-get-offsets --topic dotted.name --time earliest
kafka-get-offsets --topic dotted.name --time 1
kafka-get-offsets --topic-partitions dotted.name:0,orders:4 --time -2
kafka-get-offsets --topic nowhere
kafka-get-offsets --topic-partitions nowhere:0
kafka-get-offsets --topic-partitions dotted.name:9
kafka-get-offsets --topic-partitions dotted.name:first
kafka-get-offsets --topic dotted.name --partitions 7
kafka-get-offsets --topic dotted.name --time yesterday
kafka-console-consumer --topic dotted.name --partition 0 --offset 1 --max-messages 2 --timeout-ms 20000
kafka-delete-records --offset-json-file DELETE-RECORDS
kafka-get-offsets --topic dotted.name --time earliest
kafka-delete-records --offset-json-file DELETE-TOO-MANY
kafka-delete-records --offset-json-file DELETE-NOTHING
kafka-delete-records --offset-json-file DELETE-ALL
kafka-get-offsets --topic dotted.name --time earliest
kafka-delete-records --offset-json-file DELETE-BEFORE-THAT
kafka-delete-records --offset-json-file DELETE-NEGATIVE
kafka-delete-records --offset-json-file DELETE-TWICE
kafka-delete-records --offset-json-file DELETE-COMPACTED
kafka-delete-records --offset-json-file DELETE-MALFORMED
kafka-delete-records --offset-json-file absent.json
kafka-log-dirs --describe --topic-list dotted.name
kafka-log-dirs --describe --topic-list dotted.name,nowhere
kafka-log-dirs --describe --broker-list 1 --topic-list dotted.name
kafka-log-dirs --describe --broker-list 9
kafka-log-dirs --describe --broker-list 1,9
kafka-log-dirs --describe --broker-list one
kafka-log-dirs --topic-list orders
kafka-leader-election --election-type preferred --all-topic-partitions
kafka-leader-election --election-type preferred --topic orders --partition 0
kafka-leader-election --election-type preferred --topic nowhere --partition 0
kafka-leader-election --election-type unclean --topic orders --partition 0
kafka-reassign-partitions --list
kafka-reassign-partitions --verify --reassignment-json-file REASSIGN
kafka-reassign-partitions --execute --reassignment-json-file MOVE-NOWHERE
kafka-reassign-partitions --generate --topics-to-move-json-file TOPICS --broker-list 1
kafka-cluster cluster-id --bootstrap-server HOST:PORT
kafka-cluster unregister --bootstrap-server HOST:PORT --id 9
kafka-cluster list-endpoints --bootstrap-server HOST:PORT
kafka-metadata-quorum describe --replication
kafka-metadata-quorum describe --status
kafka-features describe
kafka-features upgrade --feature no.such.feature=1
kafka-features upgrade --feature no.such.feature=1 --dry-run
kafka-features downgrade --feature no.such.feature=1
kafka-features disable --feature no.such.feature
kafka-features upgrade --feature group.version=one
kafka-features upgrade --release-version 99.0
kafka-client-metrics --list
kafka-client-metrics --describe
kafka-client-metrics --describe --name nothing
kafka-client-metrics --alter
kafka-client-metrics --alter --name watched --metrics org.apache.kafka.producer. --interval 10000 --match client_id=a.*
kafka-client-metrics --alter --name hurried --interval 1
kafka-client-metrics --alter --name coloured --match colour=red
kafka-configs --entity-type client-metrics --entity-name watched --alter --add-config coffee=1
kafka-configs --entity-type client-metrics --entity-name watched --describe
kafka-configs --entity-type client-metrics --describe
kafka-client-metrics --alter --name watched --match client_id=b.*,client_software_name=.*
kafka-configs --entity-type client-metrics --entity-name watched --alter --delete-config metrics
kafka-configs --entity-type client-metrics --entity-name watched --describe --all
kafka-client-metrics --describe --name watched
kafka-client-metrics --list
kafka-client-metrics --delete
kafka-client-metrics --delete --name watched
kafka-client-metrics --delete --name watched
kafka-client-metrics --list
kafka-consumer-groups --list
kafka-consumer-groups --describe --group nobody
kafka-groups --list
";

/// How many digits a time has, in milliseconds since the epoch.
const EPOCH_MS_DIGITS: usize = 13;

/// How long Apache Kafka is given to hold a setting that it has acknowledged: its broker hears of it from its controller a
/// moment later, on a busy machine after the next command. Ottla has no such moment, and is asked once.
const APPLIED_WITHIN: Duration = Duration::from_secs(10);

/// Files that commands name, by their stand-ins.
const FILES: [(&str, &str); 13] = [
    ("LINES", "one\ntwo\nthree\nfour\n"),
    ("DELETE-RECORDS", r#"{"version":1,"partitions":[{"topic":"dotted.name","partition":0,"offset":2}]}"#),
    ("DELETE-TOO-MANY", r#"{"version":1,"partitions":[{"topic":"dotted.name","partition":0,"offset":99}]}"#),
    ("DELETE-NOTHING", r#"{"version":1,"partitions":[]}"#),
    ("DELETE-ALL", r#"{"version":1,"partitions":[{"topic":"dotted.name","partition":0,"offset":-1}]}"#),
    (
        "DELETE-BEFORE-THAT",
        r#"{"version":1,"partitions":[{"topic":"dotted.name","partition":0,"offset":1}]}"#,
    ),
    ("DELETE-NEGATIVE", r#"{"version":1,"partitions":[{"topic":"dotted.name","partition":0,"offset":-7}]}"#),
    (
        "DELETE-TWICE",
        r#"{"version":1,"partitions":[{"topic":"orders","partition":0,"offset":0},{"topic":"orders","partition":0,"offset":1}]}"#,
    ),
    ("DELETE-COMPACTED", r#"{"version":1,"partitions":[{"topic":"compacted","partition":0,"offset":0}]}"#),
    ("DELETE-MALFORMED", r#"{"version":1,"partitions":["#),
    ("MOVE-NOWHERE", r#"{"version":1,"partitions":[{"topic":"nowhere","partition":0,"replicas":[1]}]}"#),
    ("REASSIGN", r#"{"version":1,"partitions":[{"topic":"orders","partition":0,"replicas":[1]}]}"#),
    ("TOPICS", r#"{"version":1,"topics":[{"topic":"orders"}]}"#),
];

/// One node, and the tools that are pointed at it.
struct Broker {
    transcript: Transcript,
    home: TempDir,
    _node: ReplicaSet,
}

impl Broker {
    fn start(product: Product) -> Result<Option<Broker>> {
        let Some(tools) = Driver::kafka_tools()? else { return Ok(None) };
        let settings = ["auto.create.topics.enable=false", "min.insync.replicas=1"];
        let Some(mut node) = ReplicaSet::prepare(product, Network::loopback()?, 1, &settings)? else {
            return Ok(None);
        };
        node.start_all()?;
        let home = TempDir::with_prefix("ottla-differential-")?;
        let data = node.node(1)?.data_dir().display().to_string();
        let (_, host) = node.hosts().into_iter().next().context("there is a node")?;
        let cluster =
            wire::cluster_id(&mut Connection::open(&node.bootstrap())?)?.context("it is in no cluster")?;
        let mut names =
            vec![(data, "DATA".to_owned()), (host, "HOST".to_owned()), (cluster, "CLUSTER".to_owned())];
        for (stand_in, content) in FILES {
            fs::write(home.path().join(stand_in), content)?;
            names.push((path(home.path(), stand_in), stand_in.to_owned()));
        }
        let transcript = Transcript::new(tools, &node.bootstrap(), names);
        Ok(Some(Broker { transcript, home, _node: node }))
    }

    fn run(&mut self, command: &str) -> Result<Printed> {
        let (command, input) = match command.split_once(" < ") {
            Some((command, input)) => (command, Some(path(self.home.path(), input))),
            None => (command, None),
        };
        let (tool, arguments) = command.split_once(' ').context("a tool without arguments")?;
        let mut printed = self.transcript.run(tool, arguments, input.as_deref())?;
        let is_listed = |line: &String| {
            DIFFERENCES.iter().any(|(begin, _)| begin.iter().any(|begin| line.starts_with(begin)))
        };
        printed.lines.retain(|line| !is_listed(line));
        printed.lines.iter_mut().for_each(|line| *line = without_varying(command, line));
        Ok(printed)
    }
}

fn path(home: &Path, name: &str) -> String {
    home.join(name).display().to_string()
}

/// The line without times and without how far the metadata log is: numbers that no two brokers share.
fn without_varying(command: &str, line: &str) -> String {
    let varies = |word: &str| {
        let is_number = word.len() > 1 && word.bytes().all(|byte| byte.is_ascii_digit());
        is_number && (word.len() == EPOCH_MS_DIGITS || command.starts_with("kafka-metadata-quorum"))
    };
    let words = line.split(' ').map(|word| if varies(word) { "N" } else { word });
    words.collect::<Vec<_>>().join(" ")
}

/// Whether a command may be run again: it only asks, or was refused.
fn changes_nothing(command: &str, printed: &Printed) -> bool {
    let asks = ["--describe", "--list"].iter().any(|option| command.contains(option));
    asks || printed.status != 0 || printed.lines.iter().any(|line| line.contains("Exception"))
}

#[test]
fn tools_print_the_same_about_both() -> Result<()> {
    let (Some(mut theirs), Some(mut ours)) = (Broker::start(Product::Kafka)?, Broker::start(Product::Ottla)?)
    else {
        return Ok(());
    };
    let mut differing = String::new();
    for command in COMMANDS.lines().filter(|command| !command.is_empty()) {
        let (mut expected, found) = (theirs.run(command)?, ours.run(command)?);
        if expected != found && changes_nothing(command, &expected) {
            // What is still different then is judged below.
            let _differs = wait_until(APPLIED_WITHIN, "Apache Kafka holds what it acknowledged", || {
                expected = theirs.run(command)?;
                Ok(expected == found)
            });
        }
        if expected != found {
            differing += &format!("$ {command}\n");
            let only = |of: &Printed, other: &Printed, mark: &str| -> String {
                of.lines
                    .iter()
                    .filter(|line| !other.lines.contains(line))
                    .map(|line| format!("{mark} {line}\n"))
                    .collect()
            };
            differing += &only(&expected, &found, "kafka");
            differing += &only(&found, &expected, "ottla");
            if expected.status != found.status {
                differing += &format!("status {} of kafka, {} of ottla\n", expected.status, found.status);
            }
        }
    }
    ensure!(differing.is_empty(), "the tools differ:\n{differing}");
    Ok(())
}
