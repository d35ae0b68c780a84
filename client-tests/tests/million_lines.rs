//! A log of a million lines goes through a topic of six partitions and comes back line for line, and Kafka's own
//! `DumpLogSegments` accepts what it left on disk, while the node runs and after a clean stop.

use std::fs::File;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use client_tests::access_log::{self, Checksum, Order};
use client_tests::driver::{Driver, ToolFiles};
use client_tests::node::Node;
use client_tests::target::skip_on_foreign_broker;
use client_tests::tools::kcat::kcat;
use client_tests::tools::run;
use client_tests::wait::wait_until;
use client_tests::wire::{self, Connection, batch};
use tempfile::TempDir;

const LINES: u64 = 1_000_000;
const PARTITIONS: i32 = 6;
/// Small enough that each partition has sealed segments, however unevenly a client spreads the lines.
const SEGMENT_BYTES: &str = "4194304";
const LEADER_LIMIT: Duration = Duration::from_secs(60);
const DUMP: &str = "org.apache.kafka.tools.DumpLogSegments";

#[test]
fn kcat_brings_a_million_lines_through() -> Result<()> {
    million_lines("kcat", |bootstrap, topic, log| {
        let Some(kcat) = kcat()? else { return Ok(false) };
        let log = log.to_str().context("a plain path")?;
        run(kcat, ["-P", "-b", bootstrap, "-t", topic, "-l", log, "-X", "enable.idempotence=true"])?;
        Ok(true)
    })
}

#[test]
fn java_console_producer_brings_a_million_lines_through() -> Result<()> {
    million_lines("console", |bootstrap, topic, log| {
        let Some(mut tools) = Driver::kafka_tools()? else { return Ok(false) };
        let arguments = ["--bootstrap-server", bootstrap, "--topic", topic];
        let files = ToolFiles { stdin: log.to_str(), stdout: None };
        let output = tools.run_tool("org.apache.kafka.tools.ConsoleProducer", &arguments, files)?;
        ensure!(output.status == 0 && !output.stderr.contains("ERROR"), "{output:?}");
        Ok(true)
    })
}

/// 1. Produce the log with `produce`, which says whether its client could be had. 2. Read it back. 3. Dump the live
///    directories. 4. Stop cleanly. 5. Dump them again.
fn million_lines(topic: &str, produce: impl FnOnce(&str, &str, &Path) -> Result<bool>) -> Result<()> {
    if skip_on_foreign_broker(topic) {
        return Ok(());
    }
    let home = TempDir::with_prefix("ottla-client-tests-")?;
    let log = home.path().join("access.log");
    access_log::write(&log, LINES)?;
    let mut node = Node::start(&[])?;
    let mut connection = Connection::open(node.bootstrap())?;
    let created =
        wire::create_topic(&mut connection, topic, PARTITIONS, &[("segment.bytes", SEGMENT_BYTES)])?;
    ensure!(created == 0, "CreateTopics answered {created}");
    wait_until(LEADER_LIMIT, "the partitions lead", || {
        Ok((0..PARTITIONS).all(|partition| wire::end_offset(&mut connection, topic, partition).is_ok()))
    })?;

    if !produce(node.bootstrap(), topic, &log)? {
        return Ok(());
    }
    expect_same_lines(node.bootstrap(), topic, &log)?;

    let Some(mut dump) = Driver::kafka_tools()? else { return Ok(()) };
    let directories: Vec<PathBuf> =
        (0..PARTITIONS).map(|partition| node.data_dir().join(format!("{topic}-{partition}"))).collect();
    let mut ends = Vec::new();
    for (directory, partition) in directories.iter().zip(0..) {
        let end = wire::end_offset(&mut connection, topic, partition)?;
        ends.push(end);
        expect_live_segment_accepted(&mut dump, directory, end).context("while the node runs")?;
    }
    node.stop()?;
    for (directory, end) in directories.iter().zip(ends) {
        expect_directory_accepted(&mut dump, directory, home.path(), end).context("after a clean stop")?;
    }
    Ok(())
}

fn expect_same_lines(bootstrap: &str, topic: &str, log: &Path) -> Result<()> {
    let mut sent = Checksum::default();
    for line in BufReader::new(File::open(log)?).lines() {
        sent.add(&line?);
    }
    let mut kcat = Command::new(kcat()?.context("kcat reads the lines back")?)
        .args(["-C", "-b", bootstrap, "-t", topic, "-o", "beginning", "-e", "-q", "-f", "%p %s\n"])
        .stdout(Stdio::piped())
        .spawn()?;
    let stdout = kcat.stdout.take().context("standard output is piped")?;
    let (mut received, mut order) = (Checksum::default(), Order::default());
    for line in BufReader::with_capacity(1 << 20, stdout).lines() {
        let line = line?;
        let (partition, line) = line.split_once(' ').context("a partition before each line")?;
        received.add(line);
        order.add(partition.parse()?, line)?;
    }
    ensure!(kcat.wait()?.success(), "kcat failed to consume");
    ensure!(received == sent, "sent {sent:?}, received {received:?}");
    ensure!(order.partitions() == 6, "only {} partitions were used", order.partitions());
    Ok(())
}

/// Dumps the active segment as far as the log goes: behind its end stand zeros until it is sealed.
fn expect_live_segment_accepted(dump: &mut Driver, directory: &Path, end_offset: i64) -> Result<()> {
    let segment = files(directory, "log")?.pop().context("no segment")?;
    let end = end_position(&segment, end_offset)?.to_string();
    let segment = segment.to_str().context("a plain path")?;
    let output = dump.run_tool(
        DUMP,
        &["--files", segment, "--deep-iteration", "--max-bytes", &end],
        ToolFiles::default(),
    )?;
    let last = output.stdout.lines().filter_map(record_offset).next_back();
    ensure!(output.status == 0 && !complains(&output.stderr), "{segment}: {}", output.stderr);
    ensure!(last == Some(end_offset - 1), "{segment} ends at {end_offset}, the dump at {last:?}");
    Ok(())
}

/// Where in the file the batch before `end_offset` (exclusive) ends.
fn end_position(segment: &Path, end_offset: i64) -> Result<usize> {
    let bytes = std::fs::read(segment)?;
    let mut position = 0;
    while let Some((length, next_offset)) = batch::extent(bytes.get(position..).unwrap_or_default()) {
        position += length;
        if next_offset == end_offset {
            return Ok(position);
        }
    }
    bail!("{} has no batch that ends at {end_offset}; the last one is at {position}", segment.display())
}

/// Dumps every segment record by record and every index against its segment.
fn expect_directory_accepted(
    dump: &mut Driver,
    directory: &Path,
    scratch: &Path,
    end_offset: i64,
) -> Result<()> {
    let list = |extension| -> Result<String> {
        let files = files(directory, extension)?;
        ensure!(files.len() > 1, "{} has {} .{extension} files", directory.display(), files.len());
        Ok(files.iter().map(|file| file.display().to_string()).collect::<Vec<_>>().join(","))
    };
    let out = scratch.join("dump");
    let to_file = ToolFiles { stdin: None, stdout: out.to_str() };
    let output = dump.run_tool(DUMP, &["--files", &list("log")?, "--deep-iteration"], to_file)?;
    ensure!(output.status == 0 && !complains(&output.stderr), "{}", output.stderr);
    let mut expected = 0;
    for line in BufReader::new(File::open(&out)?).lines() {
        let line = line?;
        ensure!(!line.contains("isvalid: false"), "{line}");
        if let Some(offset) = record_offset(&line) {
            ensure!(offset == expected, "expected the record {expected}: {line}");
            expected += 1;
        }
    }
    ensure!(expected == end_offset, "the log ends at {end_offset}, the dump at {expected}");

    for check in ["--index-sanity-check", "--verify-index-only"] {
        for extension in ["index", "timeindex"] {
            let output = dump.run_tool(DUMP, &["--files", &list(extension)?, check], ToolFiles::default())?;
            let complaint =
                ["ismatch", "out of order", "Corrupt"].iter().find(|word| output.stdout.contains(**word));
            let accepted = output.status == 0 && output.stderr.is_empty() && complaint.is_none();
            ensure!(accepted, "{check} of .{extension}: {output:?}");
        }
    }
    Ok(())
}

/// Whether the tool found fault. It takes the first record of every later segment for one that follows offset -1.
fn complains(stderr: &str) -> bool {
    let mut lines = stderr.lines().map(str::trim).filter(|line| !line.is_empty());
    lines
        .any(|line| !line.starts_with("Non-consecutive offsets in") && !line.starts_with("-1 is followed by"))
}

fn record_offset(line: &str) -> Option<i64> {
    line.strip_prefix("| offset: ")?.split(' ').next()?.parse().ok()
}

/// The directory's files with this extension, by base offset.
fn files(directory: &Path, extension: &str) -> Result<Vec<PathBuf>> {
    let entries = std::fs::read_dir(directory).with_context(|| directory.display().to_string())?;
    let mut files = entries.map(|entry| Ok(entry?.path())).collect::<Result<Vec<_>>>()?;
    files.retain(|path| path.extension().is_some_and(|found| found == extension));
    files.sort();
    Ok(files)
}
