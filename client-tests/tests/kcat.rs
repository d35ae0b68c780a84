//! kcat as Debian ships it, on a librdkafka of 2023: the smoke gate.

use std::io::Write as _;
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, ensure};
use client_tests::target::{Target, unique_topic};
use client_tests::tools::kcat::kcat;
use client_tests::tools::run;
use serde_json::{Value, json};

/// kcat, pointed at one topic of one broker.
struct Kcat {
    program: &'static str,
    target: Target,
    topic: String,
}

impl Kcat {
    fn with_topic(prefix: &str) -> Result<Option<Kcat>> {
        let Some(program) = kcat()? else { return Ok(None) };
        Ok(Some(Kcat { program, target: Target::start()?, topic: unique_topic(prefix) }))
    }

    /// Produces what stands in `input`, a message a line unless the arguments say otherwise.
    fn produce(&self, arguments: &[&str], input: &[u8]) -> Result<()> {
        let mut child = Command::new(self.program)
            .args(["-P", "-b", self.target.bootstrap(), "-t", &self.topic, "-p", "0"])
            .args(arguments)
            .stdin(Stdio::piped())
            .spawn()?;
        child.stdin.take().context("standard input is piped")?.write_all(input)?;
        ensure!(child.wait()?.success(), "kcat failed to produce with {arguments:?}");
        Ok(())
    }

    /// Consumes to the end of the partition and returns each message as kcat's JSON.
    fn consume(&self, arguments: &[&str]) -> Result<Vec<Value>> {
        let place = ["-C", "-q", "-e", "-J", "-b", self.target.bootstrap(), "-t", &self.topic, "-p", "0"];
        let output = run(self.program, place.iter().chain(arguments))?;
        let lines = String::from_utf8(output)?;
        lines.lines().map(|line| serde_json::from_str(line).with_context(|| line.to_owned())).collect()
    }
}

#[test]
fn every_codec_and_acks_comes_back_from_a_topic_that_was_created_on_first_use() -> Result<()> {
    let Some(kcat) = Kcat::with_topic("kcat")? else { return Ok(()) };
    let settings = ["compression.codec=none", "compression.codec=gzip", "compression.codec=snappy"]
        .into_iter()
        .chain(["compression.codec=lz4", "compression.codec=zstd"])
        .chain(["request.required.acks=0", "request.required.acks=1", "enable.idempotence=true"]);
    let mut expected = Vec::new();
    for setting in settings {
        let lines: Vec<String> = (0..50).map(|number| format!("{setting}-{number}-grün")).collect();
        kcat.produce(&["-X", setting], (lines.join("\n") + "\n").as_bytes())?;
        expected.extend(lines);
    }
    let read = kcat.consume(&["-o", "beginning"])?;
    let offsets: Vec<i64> = read.iter().filter_map(|message| message["offset"].as_i64()).collect();
    ensure!(offsets == (0..i64::try_from(expected.len())?).collect::<Vec<_>>(), "{offsets:?}");
    for (message, expected) in read.iter().zip(expected) {
        ensure!(message["payload"] == *expected && message["topic"] == *kcat.topic, "{message}");
    }
    Ok(())
}

#[test]
fn keys_headers_and_null_values_come_back() -> Result<()> {
    let Some(kcat) = Kcat::with_topic("kcat-records")? else { return Ok(()) };
    kcat.produce(&["-K", ":", "-H", "a=1", "-H", "b=", "-H", "a=2"], b"key:value\n")?;
    kcat.produce(&["-K", ":", "-Z"], b"deleted:\n")?;
    kcat.produce(&[], b"no key\n")?;
    let read = kcat.consume(&["-o", "beginning"])?;
    let [with_headers, tombstone, no_key] = &*read else { anyhow::bail!("{read:?}") };
    ensure!(with_headers["key"] == "key" && with_headers["payload"] == "value", "{with_headers}");
    ensure!(with_headers["headers"] == json!(["a", "1", "b", "", "a", "2"]), "{with_headers}");
    ensure!(tombstone["key"] == "deleted" && tombstone["payload"].is_null(), "{tombstone}");
    ensure!(no_key["key"].is_null() && no_key["payload"] == "no key", "{no_key}");
    Ok(())
}

#[test]
fn value_of_one_megabyte_comes_back() -> Result<()> {
    let Some(kcat) = Kcat::with_topic("kcat-large")? else { return Ok(()) };
    let value = "0123456789".repeat(100_000);
    kcat.produce(&["-X", "message.max.bytes=2000000"], value.as_bytes())?;
    let read = kcat.consume(&["-o", "beginning"])?;
    ensure!(read.len() == 1 && read[0]["payload"] == *value, "{} messages came", read.len());
    Ok(())
}

#[test]
fn consuming_starts_at_offsets_and_times() -> Result<()> {
    let Some(kcat) = Kcat::with_topic("kcat-offsets")? else { return Ok(()) };
    let lines: String = (0..100).map(|number| format!("{number}\n")).collect();
    kcat.produce(&[], lines.as_bytes())?;
    for (start, first) in [("42", 42), ("-10", 90), ("s@1", 0)] {
        let read = kcat.consume(&["-o", start])?;
        let offsets: Vec<i64> = read.iter().filter_map(|message| message["offset"].as_i64()).collect();
        ensure!(offsets == (first..100).collect::<Vec<_>>(), "from {start}: {offsets:?}");
    }
    Ok(())
}

#[test]
fn metadata_names_the_broker_and_the_topic() -> Result<()> {
    let Some(kcat) = Kcat::with_topic("kcat-metadata")? else { return Ok(()) };
    kcat.produce(&[], b"created on first use\n")?;
    let output = run(kcat.program, ["-L", "-J", "-b", kcat.target.bootstrap()])?;
    let metadata: Value = serde_json::from_slice(&output)?;
    ensure!(metadata["brokers"][0]["name"] == *kcat.target.bootstrap(), "{metadata}");
    let topics = metadata["topics"].as_array().context("topics are a list")?;
    ensure!(topics.iter().any(|topic| topic["topic"] == *kcat.topic), "{metadata}");
    Ok(())
}
