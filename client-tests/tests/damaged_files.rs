//! Files that came back from the disk wrong: caches are rebuilt, what cannot be rebuilt is reported, and nothing that
//! was acknowledged is dropped in silence.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, ensure};
use client_tests::node::{Node, run_to_exit};
use client_tests::records::{FIRST_TIMESTAMP, TIMESTAMP_STEP};
use client_tests::target::skip_on_foreign_broker;
use client_tests::wire::fetch::{Writer, fetch, offset_for_timestamp};
use client_tests::wire::{self, Connection, batch};

const TOPIC: &str = "damaged";
/// A batch's size, so that the ten of them that fit a segment leave entries in its indexes.
const BATCH_SIZE: usize = 100_000;
const BATCHES: usize = 45;

/// A node that has stopped cleanly after it filled five segments.
struct Stopped {
    node: Node,
    writer: Writer,
}

impl Stopped {
    fn new() -> Result<Stopped> {
        let mut node = Node::start(&[])?;
        let mut connection = Connection::open(node.bootstrap())?;
        let settings = [("segment.bytes", "1048576"), ("retention.ms", "-1")];
        ensure!(wire::create_topic(&mut connection, TOPIC, 1, &settings)? == 0, "the topic was not created");
        let mut writer = Writer::new(&mut connection, TOPIC)?;
        writer.write(&mut connection, BATCHES, BATCH_SIZE)?;
        node.stop()?;
        Ok(Stopped { node, writer })
    }

    fn directory(&self) -> PathBuf {
        self.node.data_dir().join(format!("{TOPIC}-0"))
    }

    /// Starts the node and checks that every batch, every lookup and the memory of the producer are as before, and
    /// that the log goes on where it ended.
    fn expect_whole(mut self) -> Result<()> {
        self.node.restart()?;
        let mut connection = Connection::open(self.node.bootstrap())?;
        self.writer.repeat_last(&mut connection)?;
        for start in [0, 5, 11, 30, 44] {
            self.writer.expect_all_from(&mut connection, start)?;
            let timestamp = FIRST_TIMESTAMP + start * TIMESTAMP_STEP;
            let found = offset_for_timestamp(&mut connection, TOPIC, timestamp)?;
            ensure!(found == start, "the time of {start} is found at {found}");
        }
        self.writer.write(&mut connection, 3, BATCH_SIZE)?;
        self.writer.expect_all_from(&mut connection, 0)
    }
}

/// The files below `directory`, at any depth, whose name ends in `suffix`.
fn files(directory: &Path, suffix: &str) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(directory)? {
        let path = entry?.path();
        if path.is_dir() {
            found.extend(files(&path, suffix)?);
        } else if path.to_str().is_some_and(|path| path.ends_with(suffix)) {
            found.push(path);
        }
    }
    found.sort();
    Ok(found)
}

/// Damages every file with this suffix and expects the node to come back whole.
fn expect_repaired(suffix: &str, damage: impl Fn(&Path) -> std::io::Result<()>) -> Result<()> {
    if skip_on_foreign_broker("damaged_files") {
        return Ok(());
    }
    let stopped = Stopped::new()?;
    let files = files(stopped.node.data_dir(), suffix)?;
    ensure!(!files.is_empty(), "there is no {suffix} to damage");
    for file in &files {
        damage(file).with_context(|| file.display().to_string())?;
    }
    stopped.expect_whole()
}

fn fill_with_noise(file: &Path) -> std::io::Result<()> {
    let length = fs::read(file)?.len().max(64);
    fs::write(file, vec![0xa5; length])
}

fn cut_to_three_bytes(file: &Path) -> std::io::Result<()> {
    fs::write(file, [0, 0, 1])
}

fn remove(file: &Path) -> std::io::Result<()> {
    fs::remove_file(file)
}

#[test]
fn offset_indexes_of_noise_are_repaired() -> Result<()> {
    expect_repaired(".index", fill_with_noise)
}

#[test]
fn offset_indexes_that_are_cut_off_are_repaired() -> Result<()> {
    expect_repaired(".index", cut_to_three_bytes)
}

#[test]
fn offset_indexes_that_are_gone_are_repaired() -> Result<()> {
    expect_repaired(".index", remove)
}

#[test]
fn time_indexes_of_noise_are_repaired() -> Result<()> {
    expect_repaired(".timeindex", fill_with_noise)
}

#[test]
fn time_indexes_that_are_gone_are_repaired() -> Result<()> {
    expect_repaired(".timeindex", remove)
}

#[test]
fn producer_snapshots_of_noise_are_repaired() -> Result<()> {
    expect_repaired(".snapshot", fill_with_noise)
}

#[test]
fn producer_snapshots_that_are_gone_are_repaired() -> Result<()> {
    expect_repaired(".snapshot", remove)
}

#[test]
fn checkpoints_of_noise_are_repaired() -> Result<()> {
    expect_repaired("-checkpoint", fill_with_noise)
}

#[test]
fn checkpoints_that_are_gone_are_repaired() -> Result<()> {
    expect_repaired("-checkpoint", remove)
}

#[test]
fn torn_write_behind_the_acknowledged_end_is_cut() -> Result<()> {
    if skip_on_foreign_broker("damaged_files") {
        return Ok(());
    }
    let mut stopped = Stopped::new()?;
    stopped.node.restart()?;
    let mut connection = Connection::open(stopped.node.bootstrap())?;
    stopped.writer.write(&mut connection, 3, 1000)?;
    stopped.node.kill()?;
    let segment = files(&stopped.directory(), ".log")?.pop().context("no segment")?;
    let mut bytes = fs::read(&segment)?;
    let end = valid_length(&bytes);
    // Half of a batch that would have come next: its header whole, its records zeros.
    let mut torn = batch::plain(1, 5000)?.to_vec();
    let offset = stopped.writer.end().to_be_bytes();
    torn.splice(..offset.len(), offset);
    torn.truncate(2000);
    bytes.splice(end..(end + torn.len()).min(bytes.len()), torn);
    fs::write(&segment, bytes)?;
    stopped.expect_whole()
}

/// How many bytes of a segment are whole batches.
fn valid_length(bytes: &[u8]) -> usize {
    let mut position = 0;
    while let Some((length, _)) = batch::extent(bytes.get(position..).unwrap_or_default()) {
        position += length;
    }
    position
}

#[test]
fn damage_below_the_checkpoint_is_not_cut_and_not_skipped() -> Result<()> {
    if skip_on_foreign_broker("damaged_files") {
        return Ok(());
    }
    let Stopped { mut node, writer } = Stopped::new()?;
    let segment = files(node.data_dir(), ".log")?.into_iter().next().context("no segment")?;
    let mut bytes = fs::read(&segment)?;
    let damaged_offset = 5;
    let position = usize::try_from(damaged_offset)? * (bytes.len() / 10) + 500;
    *bytes.get_mut(position).context("within the segment")? ^= 0xff;
    fs::write(&segment, &bytes)?;
    node.restart()?;
    let mut connection = Connection::open(node.bootstrap())?;
    writer.expect_all_from(&mut connection, 20).context("the other segments")?;
    let fetched = fetch(&mut connection, TOPIC, 0, damaged_offset)?;
    let next = batch::extent(&fetched.records).map(|(_, next)| next);
    ensure!(
        fetched.error_code != 0 || next == Some(damaged_offset + 1),
        "{damaged_offset} was skipped: {next:?}"
    );
    ensure!(fs::read(&segment)?.len() == bytes.len(), "the damaged segment was cut");
    Ok(())
}

#[test]
fn damaged_metadata_journal_refuses_the_start_in_one_sentence() -> Result<()> {
    if skip_on_foreign_broker("damaged_files") {
        return Ok(());
    }
    let stopped = Stopped::new()?;
    let journal = files(stopped.node.data_dir(), "/journal")?.pop().context("no journal")?;
    let whole = fs::read(&journal)?;
    // The magic number, and the body of the first frame, which others follow.
    for position in [0, 75] {
        let mut damaged = whole.clone();
        *damaged.get_mut(position).context("within the journal")? ^= 0xff;
        fs::write(&journal, &damaged)?;
        let refusal = run_to_exit(stopped.node.data_dir(), &[], None)?;
        ensure!(!refusal.status.success(), "a journal with damage at {position} was accepted");
        refusal.expect_one_sentence(&journal.display().to_string())?;
        ensure!(fs::read(&journal)? == damaged, "the refused journal was changed");
    }
    fs::write(&journal, whole)?;
    stopped.expect_whole()
}
