//! A client that writes to more partitions at once than the node may have files open for.

use std::fs;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow, ensure};
use client_tests::wait::let_pass;
use client_tests::wire::{self, Connection};
use rdkafka::ClientConfig;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _};

use crate::{GROWTH_MAX, LIMIT, LOOK, Siege};

const PARTITIONS: i32 = 1000;
const TOPIC: &str = "wide";
/// Room for 128 partitions that are written to, beside as many clients and more for readers.
const OPEN_FILES: u32 = 1024;
/// What of them are segments: those 128, and 256 for readers; those of the broker's own logs and of the bystander beside them.
const SEGMENTS_MAX: usize = 128 + 256 + 16;
/// Fewer are not looked for where they are.
const SEGMENTS_MIN: usize = 16;
/// Those that are written to again, once others have taken their places.
const AGAIN: i32 = 200;
/// Each partition waits for its turn.
const FLUSH_LIMIT: Duration = Duration::from_secs(280);

#[test]
fn writing_to_more_partitions_than_there_are_files_for_takes_turns_and_loses_nothing() -> Result<()> {
    let Some(siege) = Siege::begin_with_open_files(OPEN_FILES, &[], 1000, 0)? else { return Ok(()) };
    let mut connection = Connection::open_within(siege.node.bootstrap(), LIMIT)?;
    ensure!(wire::create_topic(&mut connection, TOPIC, PARTITIONS, &[])? == 0, "the topic is not created");
    let producer: BaseProducer = ClientConfig::new()
        .set("bootstrap.servers", siege.node.bootstrap())
        .set("enable.idempotence", "true")
        .create()?;
    let written = || {
        for partitions in [PARTITIONS, AGAIN] {
            for partition in 0..partitions {
                let record = BaseRecord::<(), str>::to(TOPIC).partition(partition).payload("a reading");
                producer.send(record).map_err(|(error, _)| anyhow!("partition {partition}: {error}"))?;
            }
            producer.flush(FLUSH_LIMIT).with_context(|| format!("{partitions} partitions"))?;
        }
        Ok(())
    };
    let most = most_segments_open_while(siege.node.pid()?, written)?;
    eprintln!("{most} segments were open at once at most");
    ensure!((SEGMENTS_MIN..=SEGMENTS_MAX).contains(&most), "{most} segments were open at once");
    for partition in 0..PARTITIONS {
        let end = wire::end_offset(&mut connection, TOPIC, partition)?;
        let written = 1 + i64::from(partition < AGAIN);
        ensure!(end == written, "partition {partition} ends at {end}, not {written}");
    }
    let said = siege.node.stderr();
    ensure!(said.contains("clients write to more than 128 partitions at the same time"), "{said}");
    ensure!(siege.metric("ottla_busy_partitions")? <= 128.0, "more are counted than may be");
    siege.expect_service(&())?;
    siege.end(GROWTH_MAX)
}

/// The most segments that the process has open at once while `act` goes on.
fn most_segments_open_while(pid: u32, act: impl FnOnce() -> Result<()>) -> Result<usize> {
    let is_over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let watch = scope.spawn(|| -> Result<usize> {
            let mut most = 0;
            while !is_over.load(Ordering::Relaxed) {
                most = most.max(segments_open(pid)?);
                let_pass(LOOK);
            }
            Ok(most)
        });
        let acted = act();
        is_over.store(true, Ordering::Relaxed);
        let most = watch.join().map_err(|_panic| anyhow!("the watch over the files panicked"))?;
        acted.and(most)
    })
}

/// The segments that the process has open now, also those that are deleted.
fn segments_open(pid: u32) -> Result<usize> {
    let files = fs::read_dir(format!("/proc/{pid}/fd"))?;
    // Those that are closed meanwhile lead nowhere.
    let targets = files.filter_map(|file| fs::read_link(file.ok()?.path()).ok());
    let is_segment = |target: &PathBuf| {
        let target = target.to_string_lossy();
        target.trim_end_matches(" (deleted)").ends_with(".log")
    };
    Ok(targets.filter(is_segment).count())
}
