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
use client_tests::driver::Driver;
use client_tests::group::SETTINGS;
use client_tests::group::admin::{commit, commit_request, coordinator, create_served_topic, expect_code};
use client_tests::group::classic::RawMember;
use client_tests::group::client::{GroupClient, HEARTBEAT_INTERVAL_MS, Membership, Protocol};
use client_tests::group::journal::Journal;
use client_tests::group::member::Member;
use client_tests::records::TIMESTAMP_STEP;
use client_tests::target::{Target, unique_topic};
use client_tests::transcript::Transcript;
use client_tests::wait::wait_until;
use client_tests::wire::{self, Connection, batch};

const GOLDEN: &str = "tests/golden/kafka-consumer-groups.txt";
const PARTITIONS: i32 = 3;
const RECORDS: i64 = 10;
/// The longest that two members may take to share, and to commit what there is.
const LIMIT: Duration = Duration::from_secs(60);

/// What was asked, and what the tools printed.
struct Story {
    transcript: Transcript,
    text: String,
}

impl Story {
    /// Runs `kafka-consumer-groups`.
    fn groups(&mut self, arguments: &str) -> Result<()> {
        self.run("kafka-consumer-groups", arguments, |_| true)
    }

    /// Runs a tool and keeps these lines of what it prints.
    fn run(&mut self, tool: &str, arguments: &str, keep: fn(&str) -> bool) -> Result<()> {
        let printed = self.transcript.run(tool, arguments, None)?;
        writeln!(self.text, "$ {tool} {arguments}")?;
        for line in printed.lines.iter().filter(|line| keep(line)) {
            writeln!(self.text, "{line}")?;
        }
        writeln!(self.text)?;
        Ok(())
    }
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
    let names = stand_ins.iter().map(|name| (unique_topic("tools"), (*name).to_owned())).collect();
    let transcript = Transcript::new(tools, bootstrap, names);
    let name = |stand_in| transcript.name(stand_in).map(str::to_owned);
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

    let mut story = Story { transcript, text: String::new() };
    describe(&mut story)?;
    reset(&mut story)?;
    delete(&mut story)?;

    let golden = client_tests::tools::workspace().join("client-tests").join(GOLDEN);
    if std::env::var_os("OTTLA_TEST_RENEW_GOLDEN").is_some() {
        std::fs::write(&golden, &story.text)?;
    }
    let expected = std::fs::read_to_string(&golden)?;
    let differing = expected.lines().zip(story.text.lines()).find(|(expected, found)| expected != found);
    ensure!(
        expected == story.text,
        "beginning with {differing:?}, the tools differ from {GOLDEN}:\n{}",
        story.text
    );
    Ok(())
}

fn describe(story: &mut Story) -> Result<()> {
    // Other tests' groups are on a broker that is not ours alone.
    let ours = |line: &str| line.starts_with("GROUP");
    for arguments in
        ["--list", "--list --state", "--list --state empty", "--list --type", "--list --type consumer"]
    {
        story.run("kafka-consumer-groups", arguments, ours)?;
    }
    for arguments in
        ["--list", "--list --consumer", "--list --group-type classic", "--list --protocol consumer"]
    {
        story.run("kafka-groups", arguments, ours)?;
    }
    for group in ["GROUP-CLASSIC", "GROUP-CONSUMER", "GROUP-SIMPLE", "GROUP-LEFT", "GROUP-NONE"] {
        for what in ["--offsets", "--members", "--state"] {
            story.groups(&format!("--describe --group {group} {what}"))?;
            story.groups(&format!("--describe --group {group} {what} --verbose"))?;
        }
    }
    Ok(())
}

fn reset(story: &mut Story) -> Result<()> {
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
        story.groups(&format!("--reset-offsets --group GROUP-SIMPLE --all-topics {mode} --dry-run"))?;
    }
    for (scope, mode) in [
        ("--topic TOPIC:0,1", "--to-offset 7 --execute"),
        ("--topic TOPIC:2", "--shift-by -1 --execute"),
        ("--all-topics", "--to-current --export"),
        ("--topic NO-SUCH-TOPIC", "--to-earliest --dry-run"),
    ] {
        story.groups(&format!("--reset-offsets --group GROUP-SIMPLE {scope} {mode}"))?;
    }
    let plan = tempfile::NamedTempFile::new()?;
    let topic = story.transcript.name("TOPIC")?;
    std::fs::write(plan.path(), format!("{topic},0,1\n{topic},1,2\n"))?;
    story.transcript.add_name(plan.path().display().to_string(), "PLAN");
    story.groups("--reset-offsets --group GROUP-SIMPLE --from-file PLAN --execute")?;
    story.groups("--describe --group GROUP-SIMPLE")?;
    story.groups("--reset-offsets --group GROUP-NEW-ONE --topic TOPIC --to-offset 5 --dry-run")?;
    for group in ["GROUP-CLASSIC", "GROUP-CONSUMER"] {
        story.groups(&format!("--reset-offsets --group {group} --all-topics --to-earliest --execute"))?;
    }
    Ok(())
}

fn delete(story: &mut Story) -> Result<()> {
    for (group, topic) in [
        ("GROUP-SIMPLE", "TOPIC:0"),
        ("GROUP-SIMPLE", "NO-SUCH-TOPIC:0"),
        ("GROUP-CLASSIC", "TOPIC"),
        ("GROUP-CONSUMER", "TOPIC"),
        ("GROUP-NONE", "TOPIC"),
    ] {
        story.groups(&format!("--delete-offsets --group {group} --topic {topic}"))?;
    }
    story.groups("--describe --group GROUP-SIMPLE")?;
    for group in ["GROUP-SIMPLE", "GROUP-LEFT", "GROUP-CLASSIC", "GROUP-CONSUMER", "GROUP-NONE"] {
        story.groups(&format!("--delete --group {group}"))?;
    }
    story.groups("--describe --group GROUP-SIMPLE")
}
