//! Kafka's tools for groups print about ours what they print about Apache Kafka's, for the same history.
//!
//! `tests/golden/kafka-consumer-groups.txt` is what they printed about Apache Kafka 4.3.1. To renew it, start that with
//! the settings in `client_tests::group::SETTINGS` and run this test with `OTTLA_TEST_BOOTSTRAP` naming it and
//! `OTTLA_TEST_RENEW_GOLDEN=1`. Names that a run makes up are replaced (`GROUP`, `TOPIC`, `ID`, `HOST:PORT`), columns are
//! one space apart, and rows stand in the order of their text.

use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use client_tests::driver::{Driver, ToolFiles};
use client_tests::group::SETTINGS;
use client_tests::group::admin::{commit, commit_request, coordinator, create_served_topic, expect_code};
use client_tests::group::classic::RawMember;
use client_tests::group::client::{GroupClient, HEARTBEAT_INTERVAL_MS, Membership, Protocol};
use client_tests::group::journal::Journal;
use client_tests::group::member::Member;
use client_tests::records::TIMESTAMP_STEP;
use client_tests::target::{Target, unique_topic};
use client_tests::wait::wait_until;
use client_tests::wire::{self, Connection, batch};

const GOLDEN: &str = "tests/golden/kafka-consumer-groups.txt";
const CONSUMER_GROUPS: &str = "org.apache.kafka.tools.consumer.group.ConsumerGroupCommand";
const GROUPS: &str = "org.apache.kafka.tools.GroupsCommand";
const PARTITIONS: i32 = 3;
const RECORDS: i64 = 10;
/// The longest that two members may take to share, and to commit what there is.
const LIMIT: Duration = Duration::from_secs(40);

/// What was asked, and what the tools printed.
struct Transcript<'a> {
    tools: Driver,
    bootstrap: &'a str,
    /// Made-up names, and what stands for them.
    names: Vec<(String, &'static str)>,
    text: String,
}

impl Transcript<'_> {
    /// Runs `kafka-consumer-groups`.
    fn groups(&mut self, arguments: &str) -> Result<()> {
        self.run("kafka-consumer-groups", CONSUMER_GROUPS, arguments, |_| true)
    }

    /// Runs a tool with these arguments, in which the stand-ins are replaced by the names.
    fn run(&mut self, name: &str, class: &str, arguments: &str, keep: fn(&str) -> bool) -> Result<()> {
        let mut real = arguments.to_owned();
        for (made_up, stand_in) in &self.names {
            real = real.replace(stand_in, made_up);
        }
        let arguments_with_bootstrap: Vec<&str> =
            ["--bootstrap-server", self.bootstrap].into_iter().chain(real.split(' ')).collect();
        let output = self.tools.run_tool(class, &arguments_with_bootstrap, ToolFiles::default())?;
        writeln!(self.text, "$ {name} {arguments}")?;
        let printed = output.stdout + &output.stderr;
        let lines: Vec<String> = printed.lines().map(|line| self.normal(line)).collect();
        let mut lines: Vec<&str> =
            lines.iter().map(|line| &**line).filter(|line| !line.is_empty() && keep(line)).collect();
        // The places in the tool's own code are nobody's business; rows come in the order of its hash tables.
        lines.retain(|line| !line.starts_with("at ") && !line.starts_with("Caused by: "));
        lines.sort_unstable_by_key(|line| (!is_heading(line), *line));
        for line in lines {
            writeln!(self.text, "{line}")?;
        }
        writeln!(self.text)?;
        Ok(())
    }

    fn normal(&self, line: &str) -> String {
        let mut line = line.to_owned();
        for (made_up, stand_in) in &self.names {
            line = line.replace(made_up, stand_in);
        }
        let line = line.replace(self.bootstrap, "HOST:PORT");
        let words: Vec<String> = line.split_whitespace().map(without_id).collect();
        words.join(" ")
    }
}

fn is_heading(line: &str) -> bool {
    line.starts_with("GROUP ") || line.starts_with("TOPIC PARTITION ")
}

/// The word with `ID` for the identifier that it ends with: a UUID, or 16 bytes in base 64.
fn without_id(word: &str) -> String {
    const UUID: usize = 36;
    const BASE64: usize = 24;
    let (head, tail) = word.split_at_checked(word.len().saturating_sub(UUID)).unwrap_or((word, ""));
    if tail.len() == UUID && uuid::Uuid::try_parse(tail).is_ok() {
        return format!("{head}ID");
    }
    if word.len() == BASE64 && word.ends_with("==") { "ID".to_owned() } else { word.to_owned() }
}

/// Two members of a group that have read and committed all there is.
fn two_members(bootstrap: &str, group: &str, topic: &str, protocol: Protocol) -> Result<Option<[Member; 2]>> {
    let client = GroupClient::FranzGo(protocol);
    let membership = Membership {
        bootstrap: bootstrap.to_owned(),
        group: group.to_owned(),
        topic: topic.to_owned(),
        protocol,
        // Long, so that no pause of this machine adds a rebalance to the history.
        session_timeout_ms: 30_000,
        heartbeat_interval_ms: HEARTBEAT_INTERVAL_MS,
    };
    let journal = Arc::new(Journal::default());
    let start = |index| -> Result<Option<Member>> {
        let Some(command) = client.command(&membership)? else { return Ok(None) };
        Member::start(index, command, client.dialect(), &journal).map(Some)
    };
    let Some(first) = start(0)? else { return Ok(None) };
    wait_until(LIMIT, "the first member has committed everything", || {
        let committed = journal.committed();
        Ok(committed.len() == PARTITIONS as usize && committed.values().all(|&offset| offset == RECORDS))
    })?;
    let second = start(1)?.context("the client was there before")?;
    wait_until(LIMIT, "the members share", || {
        let (first, second) = (journal.held_by(0).len(), journal.held_by(1).len());
        Ok(first > 0 && second > 0 && first + second == PARTITIONS as usize)
    })
    .with_context(|| journal.summary())?;
    Ok(Some([first, second]))
}

/// Ten records a partition, a second apart.
fn produce(connection: &mut Connection, topic: &str) -> Result<()> {
    for partition in 0..PARTITIONS {
        let records = (0..RECORDS).map(|offset| {
            let mut record = batch::record(offset, None, "value".into());
            record.timestamp += offset * TIMESTAMP_STEP;
            record
        });
        let records = batch::encode(&records.collect::<Vec<_>>())?;
        let request = wire::produce_request(topic, partition, -1, records);
        expect_code("produce", wire::produce(connection, 9, &request)?.error_code, None)?;
    }
    Ok(())
}

#[test]
fn tools_print_what_they_print_about_apache_kafka() -> Result<()> {
    let target = Target::start_with(&SETTINGS)?;
    let bootstrap = target.bootstrap();
    let Some(tools) = Driver::kafka_tools()? else { return Ok(()) };
    let stand_ins = ["GROUP-CLASSIC", "GROUP-CONSUMER", "GROUP-SIMPLE", "GROUP-LEFT", "GROUP-NONE", "TOPIC"];
    let names: Vec<_> = stand_ins.iter().map(|name| (unique_topic("tools"), *name)).collect();
    let name = |stand_in| {
        let found = names.iter().find(|(_, name)| *name == stand_in);
        found.map(|(made_up, _)| made_up.clone()).context("an unknown name")
    };
    let (topic, simple) = (name("TOPIC")?, name("GROUP-SIMPLE")?);
    let mut connection = coordinator(bootstrap, &simple)?;
    create_served_topic(&mut connection, &topic, PARTITIONS)?;
    produce(&mut connection, &topic)?;
    expect_code("commit", commit(&mut connection, 9, &commit_request(&simple, &topic, 0, 4))?, None)?;
    expect_code("commit", commit(&mut connection, 9, &commit_request(&simple, &topic, 2, 10))?, None)?;
    let left = RawMember::alone(&mut connection, &name("GROUP-LEFT")?)?;
    expect_code("leave", left.leave(&mut connection)?, None)?;
    let classic = two_members(bootstrap, &name("GROUP-CLASSIC")?, &topic, Protocol::Range)?;
    let consumer = two_members(bootstrap, &name("GROUP-CONSUMER")?, &topic, Protocol::Consumer)?;
    let (Some(_classic), Some(_consumer)) = (classic, consumer) else { return Ok(()) };

    let mut transcript = Transcript { tools, bootstrap, names, text: String::new() };
    describe(&mut transcript)?;
    reset(&mut transcript)?;
    delete(&mut transcript)?;

    let golden = client_tests::tools::workspace().join("client-tests").join(GOLDEN);
    if std::env::var_os("OTTLA_TEST_RENEW_GOLDEN").is_some() {
        std::fs::write(&golden, &transcript.text)?;
    }
    let expected = std::fs::read_to_string(&golden)?;
    let differing = expected.lines().zip(transcript.text.lines()).find(|(expected, found)| expected != found);
    ensure!(
        expected == transcript.text,
        "beginning with {differing:?}, the tools differ from {GOLDEN}:\n{}",
        transcript.text
    );
    Ok(())
}

fn describe(transcript: &mut Transcript<'_>) -> Result<()> {
    // Other tests' groups are on a broker that is not ours alone.
    let ours = |line: &str| line.starts_with("GROUP");
    for arguments in
        ["--list", "--list --state", "--list --state empty", "--list --type", "--list --type consumer"]
    {
        transcript.run("kafka-consumer-groups", CONSUMER_GROUPS, arguments, ours)?;
    }
    for arguments in
        ["--list", "--list --consumer", "--list --group-type classic", "--list --protocol consumer"]
    {
        transcript.run("kafka-groups", GROUPS, arguments, ours)?;
    }
    for group in ["GROUP-CLASSIC", "GROUP-CONSUMER", "GROUP-SIMPLE", "GROUP-LEFT", "GROUP-NONE"] {
        for what in ["--offsets", "--members", "--state"] {
            transcript.groups(&format!("--describe --group {group} {what}"))?;
            transcript.groups(&format!("--describe --group {group} {what} --verbose"))?;
        }
    }
    Ok(())
}

fn reset(transcript: &mut Transcript<'_>) -> Result<()> {
    let modes = [
        "--to-earliest",
        "--to-latest",
        "--to-current",
        "--to-offset 3",
        "--to-offset 99",
        "--shift-by 2",
        "--shift-by -2",
        "--shift-by 99",
        "--to-datetime 2023-11-14T22:13:25.000Z",
        "--to-datetime 2030-01-01T00:00:00.000Z",
        "--by-duration PT1S",
    ];
    for mode in modes {
        transcript.groups(&format!("--reset-offsets --group GROUP-SIMPLE --all-topics {mode} --dry-run"))?;
    }
    for (scope, mode) in [
        ("--topic TOPIC:0,1", "--to-offset 7 --execute"),
        ("--topic TOPIC:2", "--shift-by -1 --execute"),
        ("--all-topics", "--to-current --export"),
        ("--topic NO-SUCH-TOPIC", "--to-earliest --dry-run"),
    ] {
        transcript.groups(&format!("--reset-offsets --group GROUP-SIMPLE {scope} {mode}"))?;
    }
    let plan = tempfile::NamedTempFile::new()?;
    let topic =
        transcript.names.iter().find(|(_, name)| *name == "TOPIC").map(|(made_up, _)| made_up.clone());
    let topic = topic.context("an unknown name")?;
    std::fs::write(plan.path(), format!("{topic},0,1\n{topic},1,2\n"))?;
    let path = plan.path().display().to_string();
    transcript.names.push((path, "PLAN"));
    transcript.groups("--reset-offsets --group GROUP-SIMPLE --from-file PLAN --execute")?;
    transcript.groups("--describe --group GROUP-SIMPLE")?;
    transcript.groups("--reset-offsets --group GROUP-NEW-ONE --topic TOPIC --to-offset 5 --dry-run")?;
    for group in ["GROUP-CLASSIC", "GROUP-CONSUMER"] {
        transcript
            .groups(&format!("--reset-offsets --group {group} --all-topics --to-earliest --execute"))?;
    }
    Ok(())
}

fn delete(transcript: &mut Transcript<'_>) -> Result<()> {
    for (group, topic) in [
        ("GROUP-SIMPLE", "TOPIC:0"),
        ("GROUP-SIMPLE", "NO-SUCH-TOPIC:0"),
        ("GROUP-CLASSIC", "TOPIC"),
        ("GROUP-CONSUMER", "TOPIC"),
        ("GROUP-NONE", "TOPIC"),
    ] {
        transcript.groups(&format!("--delete-offsets --group {group} --topic {topic}"))?;
    }
    transcript.groups("--describe --group GROUP-SIMPLE")?;
    for group in ["GROUP-SIMPLE", "GROUP-LEFT", "GROUP-CLASSIC", "GROUP-CONSUMER", "GROUP-NONE"] {
        transcript.groups(&format!("--delete --group {group}"))?;
    }
    transcript.groups("--describe --group GROUP-SIMPLE")
}
