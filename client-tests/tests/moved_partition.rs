//! A partition's directory moves from a node of ours to Apache Kafka 4.3.1 and back: each opens what the other wrote, serves
//! every record with its offset, time and key, and appends behind it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use client_tests::access_log;
use client_tests::replica_set::ReplicaSet;
use client_tests::replica_set::network::Network;
use client_tests::replica_set::product::Product;
use client_tests::target::skip_on_foreign_broker;
use client_tests::tools::kcat::kcat;
use client_tests::tools::run;
use tempfile::TempDir;

const TOPIC: &str = "moved";
/// Small enough that the log has several segments.
const SETTINGS: [(&str, &str); 1] = [("segment.bytes", "1048576")];
const CODECS: [&str; 5] = ["none", "gzip", "snappy", "lz4", "zstd"];
const LINES_OF_A_CODEC: u64 = 20_000;
/// For the first node only: the other gives the same producer ids once more, whose sequences the directory knows.
const IDEMPOTENT: [&str; 2] = ["-X", "enable.idempotence=true"];
/// Ties a directory to its topic's id, which each cluster gives by itself.
const TOPIC_ID: &str = "partition.metadata";
/// What Kafka says of a file that it does not believe, and what it does about it.
const COMPLAINTS: [&str; 4] = ["orrupt", "Recovering unflushed segment", "Rebuilding", "stray"];

#[test]
fn partition_moves_to_kafka_and_back() -> Result<()> {
    if skip_on_foreign_broker("a partition that moves") {
        return Ok(());
    }
    let Some(kcat) = kcat()? else { return Ok(()) };
    let (Some(mut ours), Some(mut theirs)) = (with_topic(Product::Ottla)?, with_topic(Product::Kafka)?)
    else {
        return Ok(());
    };
    let home = TempDir::with_prefix("ottla-client-tests-")?;
    let lines = home.path().join("access.log");
    access_log::write(&lines, LINES_OF_A_CODEC)?;

    ours.start_all()?;
    CODECS.iter().try_for_each(|codec| produce(kcat, &ours, codec, &lines, &IDEMPOTENT))?;
    let written = consume(kcat, &ours)?;
    ensure!(written.lines().count() as u64 == LINES_OF_A_CODEC * CODECS.len() as u64, "records are missing");
    ours.stop_all()?;
    let segments =
        files(&directory(&ours)?)?.iter().filter(|file| file.extension() == Some("log".as_ref())).count();
    ensure!(segments > 1, "the log is too short to have several segments");

    move_partition(&ours, &theirs)?;
    theirs.start_all()?;
    expect_same(&written, &consume(kcat, &theirs)?)?;
    CODECS.iter().try_for_each(|codec| produce(kcat, &theirs, codec, &lines, &[]))?;
    let continued = consume(kcat, &theirs)?;
    theirs.stop_all()?;
    let said = theirs.node(1)?.log();
    let complaint = said.lines().find(|line| {
        line.contains(&format!("{TOPIC}-0")) && COMPLAINTS.iter().any(|word| line.contains(word))
    });
    ensure!(complaint.is_none(), "Kafka said {complaint:?}");

    move_partition(&theirs, &ours)?;
    ours.start_all()?;
    expect_same(&continued, &consume(kcat, &ours)?)?;
    produce(kcat, &ours, "none", &lines, &[])?;
    let whole = consume(kcat, &ours)?;
    expect_same(&continued, whole.get(..continued.len()).context("records are gone")?)?;
    ensure!(
        whole.lines().count() as u64 == LINES_OF_A_CODEC * (2 * CODECS.len() as u64 + 1),
        "{TOPIC} is short"
    );
    ours.stop_all()?;
    ours.check()
}

/// A node that has the topic and was stopped.
fn with_topic(product: Product) -> Result<Option<ReplicaSet>> {
    let Some(mut node) = ReplicaSet::prepare(product, Network::loopback()?, 1, &[])? else { return Ok(None) };
    node.start_all()?;
    node.create_topic(TOPIC, 1, &SETTINGS)?;
    node.stop_all()?;
    Ok(Some(node))
}

fn produce(kcat: &str, node: &ReplicaSet, codec: &str, lines: &Path, options: &[&str]) -> Result<()> {
    let bootstrap = node.bootstrap();
    let lines = lines.to_str().context("a plain path")?;
    let arguments = ["-P", "-b", &bootstrap, "-t", TOPIC, "-p", "0", "-z", codec, "-K", " ", "-l", lines];
    run(kcat, arguments.iter().chain(options))?;
    Ok(())
}

/// Every record from the beginning, a line each.
fn consume(kcat: &str, node: &ReplicaSet) -> Result<String> {
    let bootstrap = node.bootstrap();
    let format = ["-f", "%o %T %k %s\n"];
    let arguments = ["-C", "-b", &bootstrap, "-t", TOPIC, "-p", "0", "-o", "beginning", "-e", "-q"];
    let output = Command::new(kcat).args(arguments).args(format).output()?;
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Ok(String::from_utf8(output.stdout)?)
}

fn expect_same(expected: &str, found: &str) -> Result<()> {
    let mut both = expected.lines().zip(found.lines());
    if let Some((expected, found)) = both.find(|(expected, found)| expected != found) {
        anyhow::bail!("{expected:?} was written, {found:?} is there");
    }
    let (expected, found) = (expected.lines().count(), found.lines().count());
    ensure!(expected == found, "{expected} records were written, {found} are there");
    Ok(())
}

/// Puts the files of one stopped node's partition in place of the other's, which keeps its topic's id.
fn move_partition(from: &ReplicaSet, to: &ReplicaSet) -> Result<()> {
    let (from, to) = (directory(from)?, directory(to)?);
    for file in files(&to)? {
        fs::remove_file(file)?;
    }
    for file in files(&from)? {
        fs::copy(&file, to.join(file.file_name().context("a file has a name")?))?;
    }
    Ok(())
}

fn directory(node: &ReplicaSet) -> Result<PathBuf> {
    Ok(node.node(1)?.data_dir().join(format!("{TOPIC}-0")))
}

fn files(directory: &Path) -> Result<Vec<PathBuf>> {
    let entries = fs::read_dir(directory).with_context(|| directory.display().to_string())?;
    let mut files = entries.map(|entry| Ok(entry?.path())).collect::<Result<Vec<_>>>()?;
    files.retain(|file| !file.ends_with(TOPIC_ID));
    Ok(files)
}
