//! A compacted topic under load, `kill -9` and cleaning, in cycles: it holds the newest value of every key.
//!
//! One idempotent producer numbers its records, and its key and whether it is a tombstone follow from the number. So the
//! number of a record is its offset, and everything that a reader may see is known beforehand.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use client_tests::driver::{Driver, ToolFiles};
use client_tests::node::Node;
use client_tests::target::skip_on_foreign_broker;
use client_tests::wait::{let_pass, wait_until};
use client_tests::wire::{self, Connection};
use rdkafka::config::{ClientConfig, RDKafkaLogLevel};
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::error::KafkaError;
use rdkafka::message::Message as _;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _, ProducerContext};
use rdkafka::types::RDKafkaErrorCode;
use rdkafka::{ClientContext, Offset, TopicPartitionList};

const TOPIC: &str = "latest";
const CYCLES: u32 = 20;
/// Bytes that do not compress, so that a cycle fills segments of the smallest size.
const VALUE_BYTES: usize = 1000;
const RECORDS_PER_CYCLE: i64 = 2500;
const KEYS: i64 = 300;
/// One in so many records deletes its key.
const TOMBSTONES: i64 = 9;
const LIMIT: Duration = Duration::from_secs(60);

/// Rounds follow one another at once, and each takes long enough to be killed in.
const SETTINGS: &[&str] = &[
    "log.cleaner.backoff.ms=1",
    "log.cleaner.io.max.bytes.per.second=20000000",
    "log.flush.offset.checkpoint.interval.ms=20",
];
const TOPIC_SETTINGS: &[(&str, &str)] = &[
    ("cleanup.policy", "compact"),
    ("segment.bytes", "1048576"),
    ("min.cleanable.dirty.ratio", "0.01"),
    ("delete.retention.ms", "200"),
    ("file.delete.delay.ms", "100"),
];

#[test]
fn compacted_topic_holds_the_newest_value_of_each_key_after_20_cycles() -> Result<()> {
    if skip_on_foreign_broker("compaction") {
        return Ok(());
    }
    let mut node = Node::start(SETTINGS)?;
    let mut connection = Connection::open(node.bootstrap())?;
    let created = wire::create_topic(&mut connection, TOPIC, 1, TOPIC_SETTINGS)?;
    ensure!(created == 0, "CreateTopics answered {created}");
    let mut load = Load::start(node.bootstrap())?;
    let directory = node.data_dir().join(format!("{TOPIC}-0"));
    let mut kills_in_rounds = 0;
    let mut random = 7_u32;
    for cycle in 0..CYCLES {
        let context = || format!("in cycle {cycle} of {CYCLES}");
        random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        // Killed while records are under way and a round runs, perhaps once more at the start, and once more while only
        // rounds run.
        load.send(RECORDS_PER_CYCLE, i64::from((random >> 16) % 2000)).with_context(context)?;
        node.kill()?;
        kills_in_rounds += u32::from(is_being_cleaned(&directory)?);
        if cycle % 4 == 0 {
            node.kill_while_starting(Duration::from_millis(u64::from((random >> 8) % 40)))?;
        }
        node.restart().with_context(context)?;
        load.wait_for_all().with_context(context)?;
        read_back(node.bootstrap(), load.next).with_context(context)?;
        let_pass(Duration::from_millis(u64::from((random >> 4) % 500)));
        node.kill()?;
        kills_in_rounds += u32::from(is_being_cleaned(&directory)?);
        node.restart().with_context(context)?;
        read_back(node.bootstrap(), load.next).with_context(context)?;
    }
    eprintln!("{} kills, {kills_in_rounds} of them in a round", 2 * CYCLES);
    ensure!(kills_in_rounds > 0, "no kill met a round");
    wait_until(LIMIT, "all but the active segment is compacted", || {
        let active = segments(&directory)?.pop().context("no segment")?;
        let cleaned = std::fs::read_to_string(node.data_dir().join("cleaner-offset-checkpoint"));
        let expected = format!("0\n1\n{TOPIC} 0 {}\n", base_offset(&active)?);
        Ok(cleaned.is_ok_and(|found| found == expected))
    })?;
    read_back(node.bootstrap(), load.next)?;
    let bytes: u64 =
        segments(&directory)?.iter().map(|path| Ok(path.metadata()?.len())).sum::<Result<_>>()?;
    let newest_bytes = KEYS as u64 * (VALUE_BYTES as u64 + 100);
    // The active segment, and what was written while the last rounds ran.
    let most = newest_bytes + 4 * 1_048_576;
    ensure!(bytes < most, "{bytes} bytes are left of {} records", load.next);
    node.stop()?;
    dump(&directory)
}

fn key_of(number: i64) -> i64 {
    (number * 7919 + number / 13) % KEYS
}

fn is_tombstone(number: i64) -> bool {
    number % TOMBSTONES == 4
}

/// The number, then bytes that look random.
fn value_of(number: i64) -> Vec<u8> {
    let mut value = number.to_be_bytes().to_vec();
    let mut state = number as u64 ^ 0x9E37_79B9_7F4A_7C15;
    while value.len() < VALUE_BYTES {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        value.push((state >> 56) as u8);
    }
    value
}

/// Says nothing: broken connections are what this test is about.
struct Silent;

impl ClientContext for Silent {
    fn log(&self, _level: RDKafkaLogLevel, _facility: &str, _message: &str) {}
    fn error(&self, _error: KafkaError, _reason: &str) {}
}

impl ProducerContext for Silent {
    type DeliveryOpaque = ();

    fn delivery(&self, result: &rdkafka::producer::DeliveryResult<'_>, _opaque: ()) {
        if let Err((error, _)) = result {
            eprintln!("the client gave a record up: {error}");
        }
    }
}

/// The producer and the number of its next record.
struct Load {
    producer: BaseProducer<Silent>,
    next: i64,
}

impl Load {
    fn start(bootstrap: &str) -> Result<Load> {
        let producer = ClientConfig::new()
            .set("bootstrap.servers", bootstrap)
            .set("enable.idempotence", "true")
            .set("compression.codec", "zstd")
            .set("linger.ms", "1")
            .set("message.timeout.ms", "0")
            .set("reconnect.backoff.ms", "5")
            .set("reconnect.backoff.max.ms", "20")
            .set("retry.backoff.ms", "10")
            .set("retry.backoff.max.ms", "20")
            .create_with_context(Silent)?;
        Ok(Load { producer, next: 0 })
    }

    /// Sends `count` records, and returns when at most `under_way` of them are not acknowledged.
    fn send(&mut self, count: i64, under_way: i64) -> Result<()> {
        for number in self.next..self.next + count {
            let key = key_of(number).to_be_bytes();
            let value = value_of(number);
            let mut record = BaseRecord::<_, _>::to(TOPIC).partition(0).key(&key);
            if !is_tombstone(number) {
                record = record.payload(&value);
            }
            while let Err((error, refused)) = self.producer.send(record) {
                ensure!(error == KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), "{error}");
                record = refused;
                self.producer.poll(Duration::from_millis(5));
            }
        }
        self.next += count;
        wait_until(LIMIT, "enough records are acknowledged", || {
            self.producer.poll(Duration::ZERO);
            Ok(i64::from(self.producer.in_flight_count()) <= under_way)
        })
    }

    fn wait_for_all(&self) -> Result<()> {
        self.producer.flush(LIMIT).context("not every record was acknowledged")
    }
}

/// Reads the topic from 0 on and compares it with what was sent: the records before `end`.
fn read_back(bootstrap: &str, end: i64) -> Result<()> {
    let consumer: BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", bootstrap)
        .set("group.id", "unused")
        .set("enable.auto.commit", "false")
        .set("auto.offset.reset", "error")
        .set("fetch.wait.max.ms", "5")
        .create()?;
    let mut places = TopicPartitionList::new();
    places.add_partition_offset(TOPIC, 0, Offset::Offset(0))?;
    consumer.assign(&places)?;
    let mut newest_seen = BTreeMap::new();
    let mut next = 0;
    // The last record is in the active segment, which is never compacted.
    while next < end {
        let message = consumer.poll(LIMIT).with_context(|| format!("read to {next} of {end} only"))??;
        let number = message.offset();
        ensure!(number >= next, "offset {number} after {next}");
        let key = message.key().and_then(|key| key.try_into().ok()).map(i64::from_be_bytes);
        ensure!(key == Some(key_of(number)), "record {number} has the key {key:?}");
        let expected = (!is_tombstone(number)).then(|| value_of(number));
        ensure!(message.payload() == expected.as_deref(), "record {number} has another value");
        newest_seen.insert(key_of(number), number);
        next = number + 1;
    }
    let mut newest = BTreeMap::new();
    newest.extend((0..end).map(|number| (key_of(number), number)));
    for (key, number) in newest {
        let seen = newest_seen.get(&key).copied();
        let is_right = seen == Some(number) || (seen.is_none() && is_tombstone(number));
        ensure!(is_right, "the newest record of key {key} is {number}, the topic has {seen:?}");
    }
    Ok(())
}

/// Whether a round was cut off: it has left a file that it was writing, or one that was to take its place.
fn is_being_cleaned(directory: &Path) -> Result<bool> {
    let mut entries = std::fs::read_dir(directory)?.collect::<std::io::Result<Vec<_>>>()?.into_iter();
    Ok(entries.any(|entry| {
        let name = entry.file_name().into_string().unwrap_or_default();
        name.ends_with(".cleaned") || name.ends_with(".swap")
    }))
}

/// The record files, by base offset.
fn segments(directory: &Path) -> Result<Vec<PathBuf>> {
    let entries = std::fs::read_dir(directory)?.map(|entry| Ok(entry?.path()));
    let mut paths = entries.collect::<Result<Vec<_>>>()?;
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "log"));
    paths.sort();
    Ok(paths)
}

fn base_offset(segment: &Path) -> Result<i64> {
    Ok(segment.file_stem().and_then(|stem| stem.to_str()).context("a plain name")?.parse()?)
}

/// Kafka's own tool finds nothing wrong with a cleaned directory.
fn dump(directory: &Path) -> Result<()> {
    let Some(mut tools) = Driver::kafka_tools()? else { return Ok(()) };
    let tool = "org.apache.kafka.tools.DumpLogSegments";
    let names = |extension: &str| -> Result<String> {
        let paths = segments(directory)?.into_iter().map(|path| path.with_extension(extension));
        Ok(paths.map(|path| path.display().to_string()).collect::<Vec<_>>().join(","))
    };
    let output =
        tools.run_tool(tool, &["--files", &names("log")?, "--deep-iteration"], ToolFiles::default())?;
    ensure!(output.status == 0 && !output.stdout.contains("isvalid: false"), "{output:?}");
    ensure!(output.stdout.contains("deleteHorizonMs: OptionalLong["), "no tombstone has a horizon");
    for check in ["--index-sanity-check", "--verify-index-only"] {
        for extension in ["index", "timeindex"] {
            let output =
                tools.run_tool(tool, &["--files", &names(extension)?, check], ToolFiles::default())?;
            let complaint =
                ["ismatch", "out of order", "Corrupt"].iter().find(|word| output.stdout.contains(**word));
            let is_accepted = output.status == 0 && output.stderr.is_empty() && complaint.is_none();
            ensure!(is_accepted, "{check} of .{extension}: {output:?}");
        }
    }
    Ok(())
}
