//! Records leave a running node by the settings of their topic, also as these are changed, and by nothing else.

use std::fs;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use client_tests::command_line::CommandLine;
use client_tests::node::Node;
use client_tests::target::skip_on_foreign_broker;
use client_tests::wait::wait_until;
use client_tests::wire::{self, Connection, batch, fetch};

/// The longest to wait; removed files go some ten seconds after their segments.
const LIMIT: Duration = Duration::from_secs(60);
/// Records of each topic, years old, of which one fits into the smallest segment, and two do not.
const COUNT: i64 = 4;
const VALUE: usize = 700_000;

/// The first offset that there is, and the one after the last.
fn offsets(node: &Node, topic: &str) -> Result<(i64, i64)> {
    let described = CommandLine::new("topics", node.bootstrap()).json(&format!("describe {topic}"))?;
    let partition = &described[0]["partitions"][0];
    let offset = |name: &str| partition[name].as_i64().with_context(|| format!("{name} of {partition}"));
    Ok((offset("first_offset")?, offset("end_offset")?))
}

fn wait_for_offsets(node: &Node, topic: &str, expected: (i64, i64)) -> Result<()> {
    let what = format!("{topic} has the offsets {expected:?}");
    wait_until(LIMIT, &what, || Ok(offsets(node, topic)? == expected))
}

fn alter(node: &Node, topic: &str, setting: &str) -> Result<()> {
    CommandLine::new("topics", node.bootstrap()).text(&format!("alter {topic} --set {setting}")).map(drop)
}

/// The names of a partition's files that begin with an offset below `end`, or whose segment was deleted.
fn old_files(partition: &Path, end: i64) -> Result<Vec<String>> {
    let mut old = Vec::new();
    for entry in fs::read_dir(partition)? {
        let name = entry?.file_name().to_string_lossy().into_owned();
        let base = name.split('.').next().and_then(|base| base.parse::<i64>().ok());
        if base.is_some_and(|base| base < end) || name.ends_with(".deleted") {
            old.push(name);
        }
    }
    Ok(old)
}

#[test]
fn records_go_by_the_settings_of_their_topic_and_by_nothing_else() -> Result<()> {
    if skip_on_foreign_broker("retention") {
        return Ok(());
    }
    let mut node = Node::start(&["log.retention.check.interval.ms=50"])?;
    let mut connection = Connection::open(node.bootstrap())?;
    for (topic, delay_ms) in [("kept", "0"), ("aged", "0"), ("shortened", "600000")] {
        let settings =
            [("retention.ms", "-1"), ("segment.bytes", "1048576"), ("file.delete.delay.ms", delay_ms)];
        ensure!(wire::create_topic(&mut connection, topic, 1, &settings)? == 0, "{topic} is not created");
        for _ in 0..COUNT {
            let request = wire::produce_request(topic, 0, -1, batch::plain(1, VALUE)?);
            let answer = wire::produce(&mut connection, 9, &request)?;
            ensure!(answer.error_code == 0, "Produce answered {answer:?}");
        }
    }

    alter(&node, "aged", "retention.ms=3600000")?;
    wait_for_offsets(&node, "aged", (COUNT, COUNT))?;
    alter(&node, "shortened", "retention.bytes=1000000")?;
    wait_for_offsets(&node, "shortened", (2, COUNT))?;
    CommandLine::new("produce", node.bootstrap()).fed("aged", b"of today\n")?;
    alter(&node, "shortened", "retention.ms=3600000")?;
    wait_for_offsets(&node, "shortened", (COUNT, COUNT))?;
    // Rounds have passed over these as well.
    let expected = [("kept", (0, COUNT)), ("aged", (COUNT, COUNT + 1)), ("shortened", (COUNT, COUNT))];
    let expect_all = |node: &Node| {
        expected.iter().try_for_each(|&(topic, expected)| {
            let found = offsets(node, topic)?;
            ensure!(found == expected, "{topic} has the offsets {found:?}, not {expected:?}");
            anyhow::Ok(())
        })
    };
    expect_all(&node)?;
    let left = CommandLine::new("consume", node.bootstrap()).text("aged -e")?;
    ensure!(left == "of today\n", "{left}");

    let directory = node.data_dir().to_owned();
    wait_until(LIMIT, "the files of aged are gone", || {
        Ok(old_files(&directory.join("aged-0"), COUNT)?.is_empty())
    })?;
    ensure!(!old_files(&directory.join("shortened-0"), COUNT)?.is_empty(), "its files wait for ten minutes");

    node.kill()?;
    node.restart()?;
    expect_all(&node)?;
    let mut connection = Connection::open(node.bootstrap())?;
    for offset in 0..COUNT {
        let read = fetch::fetch(&mut connection, "kept", 0, offset)?;
        ensure!(read.error_code == 0 && read.records.len() > VALUE, "record {offset} of kept is not there");
    }
    Ok(())
}
