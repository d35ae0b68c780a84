//! `ottla produce` and `ottla consume` write and read records with everything that they have.

use std::io::{BufRead as _, BufReader};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use client_tests::command_line::CommandLine;
use client_tests::node;
use client_tests::target::{Target, unique_topic};
use client_tests::wait::wait_until;
use serde_json::{Value, json};

/// The exit codes that scripts are promised.
const FAILED: i32 = 1;
const NOT_UNDERSTOOD: i32 = 2;
const NO_SUCH_TOPIC: i32 = 3;

const LIMIT: Duration = Duration::from_secs(60);

struct World {
    target: Target,
    topic: String,
}

impl World {
    /// A broker, and a topic of three partitions.
    fn start() -> Result<Self> {
        let target = Target::start()?;
        let topic = unique_topic("produce-consume");
        CommandLine::new("topics", target.bootstrap()).text(&format!("create {topic} --partitions 3"))?;
        Ok(Self { target, topic })
    }

    fn produce(&self, arguments: &str, input: &str) -> Result<String> {
        let command = CommandLine::new("produce", self.target.bootstrap());
        command.fed(&format!("{} {arguments}", self.topic), input.as_bytes())
    }

    fn consume(&self, arguments: &str) -> Result<String> {
        CommandLine::new("consume", self.target.bootstrap()).text(&format!("{} -e {arguments}", self.topic))
    }

    /// The lines of what is consumed as JSON.
    fn records(&self, arguments: &str) -> Result<Vec<Value>> {
        let text = self.consume(&format!("{arguments} --output json"))?;
        text.lines().map(|line| Ok(serde_json::from_str(line)?)).collect()
    }
}

#[test]
fn lines_come_back_from_where_one_begins() -> Result<()> {
    let world = World::start()?;
    let said = world.produce("-p 1", "one\ntwo\nthree\nfour")?;
    ensure!(said == format!("Produced 4 records to {}.\n", world.topic), "{said}");
    ensure!(world.consume("")? == "one\ntwo\nthree\nfour\n", "all of them");
    ensure!(world.consume("-o 2")? == "three\nfour\n", "from an offset");
    ensure!(world.consume("-o -1")? == "four\n", "the last of each partition");
    ensure!(world.consume("-o end")?.is_empty(), "nothing after the end");
    ensure!(world.consume("-o 1h")? == world.consume("-o 2001-01-01T00:00:00")?, "by time");
    ensure!(world.consume("-o 2100-01-01T00:00:00")?.is_empty(), "nothing is that late");
    let beyond =
        CommandLine::new("consume", world.target.bootstrap()).run(&format!("{}:1 -e -o 9", world.topic))?;
    let said = String::from_utf8(beyond.stderr)?;
    ensure!(beyond.status.success() && beyond.stdout.is_empty(), "{said}");
    let expected = format!("ottla: offset 9 is beyond the end of {}-1, which is 4:", world.topic);
    ensure!(said.starts_with(&expected) && said.lines().count() == 1, "{said}");
    ensure!(world.consume("-o 2001-01-01")? == world.consume("-o s@0")?, "by date and by milliseconds");
    ensure!(world.consume("-c 2 -f %o:%p:%S,")? == "0:1:3,1:1:3,", "two, in a form of one's own");
    Ok(())
}

#[test]
fn keys_headers_tombstones_and_times_survive_every_codec() -> Result<()> {
    let world = World::start()?;
    for codec in ["none", "gzip", "snappy", "lz4", "zstd"] {
        world.produce(&format!("-K : -Z -z {codec} -H codec={codec}"), "key:value\ngone:\nplain\n")?;
    }
    let records = world.records("")?;
    ensure!(records.len() == 15, "{records:#?}");
    for codec in ["none", "gzip", "snappy", "lz4", "zstd"] {
        let of_codec: Vec<&Value> =
            records.iter().filter(|it| it["headers"] == json!([["codec", codec]])).collect();
        let has =
            |key: Value, value: Value| of_codec.iter().any(|it| it["key"] == key && it["value"] == value);
        ensure!(has(json!("key"), json!("value")) && has(json!("gone"), Value::Null), "{of_codec:#?}");
        ensure!(has(Value::Null, json!("plain")), "{of_codec:#?}");
    }
    let partitions: Vec<&Value> =
        records.iter().filter(|it| it["key"] == "key").map(|it| &it["partition"]).collect();
    ensure!(
        partitions.windows(2).all(|pair| pair[0] == pair[1]),
        "a key stays in its partition: {partitions:?}"
    );
    Ok(())
}

#[test]
fn what_is_consumed_as_json_can_be_produced_again() -> Result<()> {
    let world = World::start()?;
    let line = json!({ "partition": 2, "timestamp": 1_700_000_000_123_i64, "headers": [["a", null], ["a", "1"]],
        "key": { "hex": "00ff" }, "value": "täst" });
    let told = world.produce("--input json --output json", &format!("{line}\n"))?;
    let told: Value = serde_json::from_str(&told)?;
    ensure!(
        told["partitions"] == json!([{ "partition": 2, "records": 1, "first_offset": 0, "last_offset": 0 }]),
        "{told}"
    );
    let first = world.consume("--output json")?;
    world.produce("--input json", &first)?;
    let records = world.records("")?;
    ensure!(records.len() == 2 && records[1]["offset"] == 1, "{records:#?}");
    for field in ["partition", "timestamp", "headers", "key", "value"] {
        ensure!(
            records[0][field] == line[field] && records[1][field] == line[field],
            "{field}: {records:#?}"
        );
    }
    Ok(())
}

#[test]
fn many_records_are_spread_and_none_is_missing() -> Result<()> {
    let world = World::start()?;
    let lines: Vec<String> = (0..20_000).map(|number| format!("record number {number:06} of many")).collect();
    let told = world.produce("--output json -z lz4", &lines.join("\n"))?;
    let told: Value = serde_json::from_str(&told)?;
    ensure!(
        told["records"] == 20_000 && told["partitions"].as_array().is_some_and(|it| it.len() == 3),
        "{told}"
    );
    let text = world.consume("")?;
    let mut consumed: Vec<&str> = text.lines().collect();
    consumed.sort_unstable();
    ensure!(consumed == lines, "{} of 20000 lines came back", consumed.len());
    Ok(())
}

#[test]
fn a_consumer_sees_what_a_person_types() -> Result<()> {
    let world = World::start()?;
    let mut command = node::command()?;
    command.args(["consume", &world.topic, "-o", "beginning", "--bootstrap", world.target.bootstrap()]);
    let mut consumer = command.stdout(Stdio::piped()).spawn()?;
    let mut lines = BufReader::new(consumer.stdout.take().context("standard output is piped")?).lines();
    for line in ["first", "second"] {
        world.produce("", line)?;
        ensure!(lines.next().context("a line comes")?? == line, "{line}");
    }
    consumer.kill()?;
    consumer.wait()?;
    Ok(())
}

#[test]
fn what_cannot_be_done_is_one_sentence() -> Result<()> {
    let world = World::start()?;
    let consume = CommandLine::new("consume", world.target.bootstrap());
    let said = consume.refusal(&format!("{} -e", unique_topic("nowhere")), NO_SUCH_TOPIC)?;
    ensure!(said.starts_with("ottla: there is no topic nowhere"), "{said}");
    let said = consume.refusal(&format!("{}:9 -e", world.topic), FAILED)?;
    ensure!(said.contains("has no partition 9; it has 3"), "{said}");
    let said = consume.refusal(&format!("{}:0 -g group", world.topic), NOT_UNDERSTOOD)?;
    ensure!(said.contains("reads whole topics"), "{said}");
    let nobody = CommandLine::new("produce", "127.0.0.1:1").refusal("topic", FAILED)?;
    ensure!(nobody.starts_with("ottla: no broker answers at 127.0.0.1:1"), "{nobody}");
    Ok(())
}

#[test]
fn a_group_goes_on_where_it_was() -> Result<()> {
    let world = World::start()?;
    let group = unique_topic("consume-group");
    world.produce("-p 0", "one\ntwo")?;
    ensure!(world.consume(&format!("-g {group}"))? == "one\ntwo\n", "the group begins at the beginning");
    world.produce("-p 0", "three")?;
    ensure!(world.consume(&format!("-g {group}"))? == "three\n", "it goes on where it was");
    ensure!(world.consume(&format!("-g {group}"))?.is_empty(), "there is nothing more");
    let groups = CommandLine::new("groups", world.target.bootstrap());
    let described = groups.json(&format!("describe {group}"))?;
    ensure!(described[0]["lag"] == 0 && described[0]["state"] == "Empty", "it has left: {described:#}");
    Ok(())
}

#[test]
fn a_reader_that_leaves_ends_consume_though_no_record_comes() -> Result<()> {
    let world = World::start()?;
    world.produce("-p 0", "only\n")?;
    let mut command = node::command()?;
    command.args(["consume", &world.topic, "-b", world.target.bootstrap()]);
    let mut process = command.stdout(Stdio::piped()).spawn()?;
    let mut first = String::new();
    // The pipe is closed behind its first line.
    BufReader::new(process.stdout.take().context("it is piped")?).read_line(&mut first)?;
    let ended = wait_until(LIMIT, "consume ends", || Ok(process.try_wait()?.is_some()));
    if ended.is_err() {
        process.kill()?;
    }
    let status = process.wait()?;
    ended?;
    ensure!(first == "only\n" && status.success(), "{first:?}, {status}");
    Ok(())
}
