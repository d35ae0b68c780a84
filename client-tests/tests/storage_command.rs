//! `ottla storage` looks at the files of a node that is stopped, and leaves them as they are.

use std::collections::BTreeMap;
use std::fs::{self, OpenOptions};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::process::Output;

use anyhow::{Result, ensure};
use client_tests::command_line::CommandLine;
use client_tests::node::{self, Node};
use serde_json::Value;

/// The exit codes that scripts are promised.
const WELL: i32 = 0;
const FAILED: i32 = 1;
const DAMAGED: i32 = 3;
const INDEXES: i32 = 4;
const IN_USE: i32 = 5;

fn storage(command: &str, path: &Path, options: &str) -> Result<Output> {
    let mut process = node::command()?;
    process.args(["storage", command]).arg(path).args(options.split_whitespace());
    Ok(process.output()?)
}

/// What a command that must end with this code prints.
fn text(command: &str, path: &Path, options: &str, exit_code: i32) -> Result<String> {
    let output = storage(command, path, options)?;
    ensure!(output.status.code() == Some(exit_code), "{command} {options}: {output:?}");
    Ok(String::from_utf8(output.stdout)?)
}

/// Every file under a directory, with its content.
fn content(directory: &Path) -> Result<BTreeMap<PathBuf, Vec<u8>>> {
    let mut files = BTreeMap::new();
    for entry in fs::read_dir(directory)? {
        let path = entry?.path();
        match path.is_dir() {
            true => files.extend(content(&path)?),
            false => drop(files.insert(path.clone(), fs::read(&path)?)),
        }
    }
    Ok(files)
}

/// A node that was stopped; in one partition of its topic are three batches, of one record each.
fn stopped_node() -> Result<(Node, PathBuf)> {
    let mut node = Node::start(&[])?;
    let produce = CommandLine::new("produce", node.bootstrap());
    CommandLine::new("topics", node.bootstrap()).text("create events --partitions 2")?;
    for line in ["one", "two", "three"] {
        produce.fed("events -p 0 -k key", line.as_bytes())?;
    }
    let partition = node.data_dir().join("events-0");
    let used = storage("verify", node.data_dir(), "")?;
    ensure!(used.status.code() == Some(IN_USE), "{used:?}");
    let live = text("dump", &partition, "--records --format %s;", WELL)?;
    ensure!(live == "one;two;three;", "{live}");
    node.stop()?;
    Ok((node, partition))
}

#[test]
fn sound_files_are_described_and_left_as_they_are() -> Result<()> {
    let (node, partition) = stopped_node()?;
    let before = content(node.data_dir())?;
    let verified = text("verify", node.data_dir(), "", WELL)?;
    ensure!(verified.contains("Every batch is whole"), "{verified}");
    let verified: Value = serde_json::from_str(&text("verify", node.data_dir(), "--output json", WELL)?)?;
    let events = verified.as_array().and_then(|all| all.iter().find(|it| it["partition"] == "events-0"));
    ensure!(events.is_some_and(|it| it["records"] == 3 && it["end_offset"] == 3), "{verified:#}");

    let batches = text("dump", &partition, "", WELL)?;
    ensure!(batches.lines().count() == 3 && batches.contains("offsets 2-2, 1 record,"), "{batches}");
    let record = text("dump", &partition, "--records --from-offset 1 -c 1 --output json", WELL)?;
    let record: Value = serde_json::from_str(&record)?;
    ensure!(record["value"] == "two" && record["key"] == "key" && record["topic"] == "events", "{record}");
    ensure!(content(node.data_dir())? == before, "nothing is changed");
    let nothing = storage("verify", Path::new("/proc"), "")?;
    ensure!(nothing.status.code() == Some(FAILED), "{nothing:?}");
    Ok(())
}

#[test]
fn damage_is_found_and_told_from_what_a_start_mends() -> Result<()> {
    let (_node, partition) = stopped_node()?;
    let index = partition.join("00000000000000000000.timeindex");
    let sound = fs::read(&index)?;
    fs::write(&index, [0xff; 24])?;
    let found = text("verify", &partition, "", INDEXES)?;
    ensure!(found.contains("index: ") && found.contains("00000000000000000000.timeindex"), "{found}");
    fs::write(&index, &sound)?;
    text("verify", &partition, "", WELL)?;

    let log = partition.join("00000000000000000000.log");
    let file = OpenOptions::new().write(true).open(&log)?;
    file.write_all_at(b"X", 70)?;
    let output = storage("verify", &partition, "")?;
    ensure!(output.status.code() == Some(DAMAGED), "{output:?}");
    let found = String::from_utf8(output.stdout)?;
    ensure!(found.contains("DAMAGE: ") && found.contains("cannot be read from offset 0 on"), "{found}");
    let said = String::from_utf8(output.stderr)?;
    ensure!(said.starts_with("ottla: damaged in 1 place: restore") && said.lines().count() == 1, "{said}");
    let shown = text("dump", &partition, "--records", DAMAGED)?;
    ensure!(shown.is_empty(), "nothing can be read: {shown}");
    Ok(())
}
