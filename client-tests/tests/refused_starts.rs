//! A node that must not start says why in one plain sentence, and does no harm to what it found.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use client_tests::command_line::CommandLine;
use client_tests::node::{Node, run_to_exit};
use client_tests::tools;
use tempfile::TempDir;

/// The content of every file below a directory, but for the lock, which any process takes to look.
fn contents(directory: &Path) -> Result<BTreeMap<String, Vec<u8>>> {
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(directory)? {
        let path = entry?.path();
        let name = path.display().to_string();
        if path.is_dir() {
            found.extend(contents(&path)?);
        } else if path.file_name().is_some_and(|name| name != ".lock") {
            found.insert(name, fs::read(&path)?);
        }
    }
    Ok(found)
}

/// Starts a node on a directory that is not for it, and expects a sentence with all of `words`.
fn expect_refusal(directory: &Path, settings: &[&str], words: &[&str]) -> Result<()> {
    let refusal = run_to_exit(directory, settings, None)?;
    ensure!(!refusal.status.success(), "it ended as if all were well");
    refusal.expect_one_sentence(&directory.display().to_string())?;
    for word in words {
        ensure!(refusal.stderr.contains(word), "{word:?} is not in {}", refusal.stderr);
    }
    Ok(())
}

/// The same for a directory of which this version must not touch anything, since it does not know what is what.
fn expect_untouched(directory: &Path, words: &[&str]) -> Result<()> {
    let before = contents(directory)?;
    expect_refusal(directory, &[], words)?;
    ensure!(contents(directory)? == before, "the directory was changed");
    Ok(())
}

/// A node that was stopped, so that its directory is at rest.
fn stopped() -> Result<Node> {
    let mut node = Node::start(&[])?;
    node.stop()?;
    Ok(node)
}

/// Writes one line of `meta.properties` anew and returns what it said.
fn set_property(directory: &Path, key: &str, value: &str) -> Result<String> {
    let path = directory.join("meta.properties");
    let text = fs::read_to_string(&path)?;
    let old = text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix('='));
    let old = old.with_context(|| format!("no {key} in {text}"))?.to_owned();
    fs::write(&path, text.replace(&format!("{key}={old}"), &format!("{key}={value}")))?;
    Ok(old)
}

#[test]
fn directory_of_another_cluster_is_refused_by_both_names() -> Result<()> {
    let mut node = stopped()?;
    let other = "AAAAAAAAAAAAAAAAAAAAAQ";
    let own = set_property(node.data_dir(), "cluster.id", other)?;
    expect_refusal(node.data_dir(), &[], &["belongs to cluster.id", other, &own])?;
    set_property(node.data_dir(), "cluster.id", &own)?;
    node.restart().context("the mistake is undone")
}

#[test]
fn directory_of_another_node_is_refused_by_both_numbers() -> Result<()> {
    let mut node = stopped()?;
    expect_refusal(node.data_dir(), &["node.id=7"], &["belongs to node.id 1, not to 7"])?;
    node.restart().context("the mistake is undone")
}

#[test]
fn directory_of_a_newer_version_is_refused() -> Result<()> {
    let node = stopped()?;
    set_property(node.data_dir(), "ottla.format", "2")?;
    let words = ["was written by a newer version", "its format is 2, this version knows 1"];
    expect_untouched(node.data_dir(), &words)
}

#[test]
fn directory_that_apache_kafka_formatted_is_refused_by_name() -> Result<()> {
    let Some(tool) = tools::java::kafka_storage_tool()? else { return Ok(()) };
    let home = TempDir::with_prefix("ottla-client-tests-kafka-")?;
    let (directory, properties) = (home.path().join("data"), home.path().join("server.properties"));
    let text = format!(
        "process.roles=broker,controller\nnode.id=1\ncontroller.quorum.voters=1@localhost:9093\n\
         listeners=PLAINTEXT://localhost:9092,CONTROLLER://localhost:9093\n\
         controller.listener.names=CONTROLLER\nlog.dirs={}\n",
        directory.display()
    );
    fs::write(&properties, text)?;
    let mut format = Command::new("java");
    format.args(tool.arguments()).args(["format", "-t", "AAAAAAAAAAAAAAAAAAAAAQ", "-c"]).arg(&properties);
    let output = format.output().context("java cannot be started")?;
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    expect_untouched(&directory, &["was formatted by Apache Kafka", "give this node a directory of its own"])
}

#[test]
fn partitions_without_their_meta_properties_are_refused_and_left_where_they_are() -> Result<()> {
    let mut node = Node::start(&[])?;
    CommandLine::new("produce", node.bootstrap()).fed("events", b"kept")?;
    node.stop()?;
    let (directory, kept) = (node.data_dir().to_owned(), node.data_dir().join("events-0"));
    let (meta, partition) = (fs::read(directory.join("meta.properties"))?, contents(&kept)?);
    fs::remove_file(directory.join("meta.properties"))?;
    expect_refusal(&directory, &[], &["holds partitions (events-0) and no meta.properties", "log.dirs"])?;
    ensure!(contents(&kept)? == partition, "the partition was changed");
    fs::write(directory.join("meta.properties"), meta)?;
    node.restart().context("the mistake is undone")?;
    let records = CommandLine::new("consume", node.bootstrap()).text("events -e")?;
    ensure!(records == "kept\n", "{records}");
    Ok(())
}

#[test]
fn a_directory_that_cannot_be_made_is_told_with_the_key() -> Result<()> {
    let home = TempDir::with_prefix("ottla-client-tests-no-directory-")?;
    let file = home.path().join("file");
    fs::write(&file, "in the way")?;
    let refusal = run_to_exit(&file.join("data"), &[], None)?;
    ensure!(!refusal.status.success(), "it ended as if all were well");
    refusal.expect_one_sentence(&file.display().to_string())?;
    ensure!(refusal.stderr.contains("(log.dirs)"), "{}", refusal.stderr);
    Ok(())
}

#[test]
fn too_few_open_files_are_refused_with_the_fix() -> Result<()> {
    let home = TempDir::with_prefix("ottla-client-tests-files-")?;
    for open_files in [16, 64, 256] {
        let refusal = run_to_exit(&home.path().join("data"), &[], Some(open_files))?;
        ensure!(!refusal.status.success(), "it ended as if all were well");
        refusal.expect_one_sentence(&format!("may open {open_files} files"))?;
        ensure!(refusal.stderr.contains("start it after `ulimit -n "), "{}", refusal.stderr);
    }
    Ok(())
}
