//! What every client must be able to do: the same claims, made with each client's own program.
//!
//! Each function creates its own topic, so that they run against a broker that others use too.

use anyhow::{Result, ensure};

use crate::client::Abilities;
use crate::driver::{Driver, Producing, Start};
use crate::records::{FIRST_TIMESTAMP, Record, StoredRecord, TIMESTAMP_STEP, bulk, sample};
use crate::target::unique_topic;

/// A client at work.
#[derive(Debug)]
pub struct Scenario {
    abilities: Abilities,
    client: Driver,
}

impl Scenario {
    /// What the client's program can show of a library with these abilities.
    #[must_use]
    pub fn new(abilities: Abilities, client: Driver) -> Scenario {
        Scenario { abilities, client }
    }

    /// How this client produces unless told otherwise.
    fn default_producing(&self) -> Producing {
        Producing { idempotent: self.abilities.idempotence, ..Producing::DEFAULT }
    }
}

/// Every codec that Kafka knows.
pub const CODECS: [&str; 5] = ["none", "gzip", "snappy", "lz4", "zstd"];

/// Every number of acknowledgements that a producer may ask for.
pub const ACKS: [&str; 3] = ["0", "1", "all"];

/// The sample, produced with each codec by an idempotent producer, comes back as it was.
///
/// # Errors
/// When a client fails or a record differs.
pub fn every_codec_comes_back(scenario: &mut Scenario) -> Result<()> {
    let topic = unique_topic("codecs");
    scenario.client.create_topic(&topic, 5, &[])?;
    for (&codec, partition) in scenario.abilities.codecs.iter().zip(0..) {
        let how = Producing { codec, ..scenario.default_producing() };
        produce_and_read_back(scenario, how, &topic, partition)?;
    }
    Ok(())
}

/// The sample, produced with each number of acknowledgements by a plain producer, comes back as it was.
///
/// # Errors
/// When a client fails or a record differs.
pub fn every_acks_comes_back(scenario: &mut Scenario) -> Result<()> {
    let topic = unique_topic("acks");
    scenario.client.create_topic(&topic, 3, &[])?;
    for (&acks, partition) in scenario.abilities.acks.iter().zip(0..) {
        let how = Producing { acks, idempotent: false, codec: "none" };
        produce_and_read_back(scenario, how, &topic, partition)?;
    }
    Ok(())
}

/// A consumer that starts at any offset of a batch gets the records from there on, and no earlier ones.
///
/// # Errors
/// When a client fails or a record differs.
pub fn consuming_starts_in_the_middle_of_a_batch(scenario: &mut Scenario) -> Result<()> {
    let topic = unique_topic("middle");
    scenario.client.create_topic(&topic, 1, &[])?;
    let records = bulk(100, 50);
    // Compressed, a batch cannot be cut by the broker: the client has to skip what it did not ask for.
    let how = Producing { codec: "gzip", ..scenario.default_producing() };
    scenario.client.produce(how, &topic, 0, &records)?;
    for start in [0, 1, 50, 99] {
        let read = scenario.client.consume(&topic, 0, Start::Offset(start), 100)?;
        expect_records(&read, &topic, 0, start, &records)?;
    }
    Ok(())
}

/// A consumer that looks up a time starts at the first record of that time or later.
///
/// # Errors
/// When a client fails or a record differs.
pub fn consuming_starts_at_a_timestamp(scenario: &mut Scenario) -> Result<()> {
    let topic = unique_topic("timestamp");
    scenario.client.create_topic(&topic, 1, &[])?;
    let records = bulk(100, 50);
    let how = scenario.default_producing();
    scenario.client.produce(how, &topic, 0, &records)?;
    let between = FIRST_TIMESTAMP + 41 * TIMESTAMP_STEP + 1;
    for (timestamp, first) in [(0, 0), (FIRST_TIMESTAMP + 41 * TIMESTAMP_STEP, 41), (between, 42)] {
        let read = scenario.client.consume(&topic, 0, Start::Timestamp(timestamp), 100)?;
        expect_records(&read, &topic, 0, first, &records)?;
    }
    Ok(())
}

/// A log of several segments reads as one, from its start, from an offset and from a time in a sealed segment.
///
/// # Errors
/// When a client fails or a record differs.
pub fn consuming_crosses_segments(scenario: &mut Scenario) -> Result<()> {
    let topic = unique_topic("segments");
    scenario.client.create_topic(&topic, 1, &[("segment.bytes", "1048576")])?;
    let records = bulk(40, 100_000);
    let how = scenario.default_producing();
    for part in records.chunks(5) {
        scenario.client.produce(how, &topic, 0, part)?;
    }
    let starts =
        [(Start::Offset(0), 0), (Start::Offset(17), 17), (Start::Timestamp(records[8].timestamp), 8)];
    for (start, first) in starts {
        let read = scenario.client.consume(&topic, 0, start, 40)?;
        expect_records(&read, &topic, 0, first, &records)?;
    }
    Ok(())
}

/// A deleted topic is gone, and one of the same name begins anew.
///
/// # Errors
/// When a client fails or sees the old topic's records.
pub fn deleted_topic_begins_anew(scenario: &mut Scenario) -> Result<()> {
    let topic = unique_topic("deleted");
    scenario.client.create_topic(&topic, 1, &[])?;
    let how = scenario.default_producing();
    scenario.client.produce(how, &topic, 0, &bulk(10, 10))?;
    scenario.client.delete_topic(&topic)?;
    scenario.client.create_topic(&topic, 1, &[])?;
    produce_and_read_back(scenario, how, &topic, 0)
}

fn produce_and_read_back(scenario: &mut Scenario, how: Producing, topic: &str, partition: i32) -> Result<()> {
    let records = scenario.abilities.expressible(sample());
    let count = i64::try_from(records.len())?;
    let offsets = scenario.client.produce(how, topic, partition, &records)?;
    let expected: Vec<i64> = if how.acks == "0" { vec![-1; records.len()] } else { (0..count).collect() };
    ensure!(offsets == expected, "{how:?} was acknowledged at {offsets:?}");
    let read = scenario.client.consume(topic, partition, Start::Offset(0), count)?;
    expect_records(&read, topic, partition, 0, &records)
}

/// Checks that `read` is exactly `all` (the whole partition) from the offset `first` on.
///
/// # Errors
/// When a record is missing, additional or different; the error names the first one.
pub fn expect_records(
    read: &[StoredRecord],
    topic: &str,
    partition: i32,
    first: i64,
    all: &[Record],
) -> Result<()> {
    let expected = all.iter().zip(0..).skip(usize::try_from(first)?).map(|(record, offset)| StoredRecord {
        topic: topic.to_owned(),
        partition,
        offset,
        record: record.clone(),
    });
    let mut found = read.iter();
    for expected in expected {
        let found = found.next();
        ensure!(found == Some(&expected), "expected {expected:?}, read {found:?}");
    }
    ensure!(found.next().is_none(), "{partition} of {topic} has more records than were produced");
    Ok(())
}
