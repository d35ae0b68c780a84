//! What every client must be able to do: the same claims, made with each client's own program.
//!
//! Each function creates its own topic, so that they run against a broker that others use too.

use std::time::Duration;

use anyhow::{Result, anyhow, ensure};

use crate::client::{Abilities, Act};
use crate::driver::{Driver, Producing, Start};
use crate::http;
use crate::records::{FIRST_TIMESTAMP, Record, StoredRecord, TIMESTAMP_STEP, bulk, sample};
use crate::target::{Target, unique_topic};
use crate::wait::wait_until;
use crate::wire::{self, Connection, batch};

/// The longest to wait for a client that is to do something.
const LIMIT: Duration = Duration::from_secs(60);

/// A node's setting that topics which it makes on first use have [`NEW_PARTITIONS`].
pub const MAKES_PARTITIONS: &str = "num.partitions=3";
const NEW_PARTITIONS: i32 = 3;

/// What a library takes for one record, and no broker does unless it is told to.
const TOO_LARGE: usize = 1_500_000;

/// A client at work.
#[derive(Debug)]
pub struct Scenario<'a> {
    abilities: Abilities,
    client: Driver,
    target: &'a Target,
}

impl<'a> Scenario<'a> {
    /// What the client's program can show of a library with these abilities.
    #[must_use]
    pub fn new(abilities: Abilities, client: Driver, target: &'a Target) -> Scenario<'a> {
        Scenario { abilities, client, target }
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
pub fn every_codec_comes_back(scenario: &mut Scenario<'_>) -> Result<()> {
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
pub fn every_acks_comes_back(scenario: &mut Scenario<'_>) -> Result<()> {
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
pub fn consuming_starts_in_the_middle_of_a_batch(scenario: &mut Scenario<'_>) -> Result<()> {
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
pub fn consuming_starts_at_a_timestamp(scenario: &mut Scenario<'_>) -> Result<()> {
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
pub fn consuming_crosses_segments(scenario: &mut Scenario<'_>) -> Result<()> {
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
pub fn deleted_topic_begins_anew(scenario: &mut Scenario<'_>) -> Result<()> {
    let topic = unique_topic("deleted");
    scenario.client.create_topic(&topic, 1, &[])?;
    let how = scenario.default_producing();
    scenario.client.produce(how, &topic, 0, &bulk(10, 10))?;
    scenario.client.delete_topic(&topic)?;
    scenario.client.create_topic(&topic, 1, &[])?;
    produce_and_read_back(scenario, how, &topic, 0)
}

/// A topic is there once somebody produces to it, with the partitions that the node gives new ones; the library spreads the
/// records over these, and each comes back once, in the order of its partition.
///
/// # Errors
/// When a client fails or a record differs.
pub fn topic_is_made_on_first_use(scenario: &mut Scenario<'_>) -> Result<()> {
    if !scenario.abilities.can(Act::ProduceToNewTopics) {
        return Ok(());
    }
    let topic = unique_topic("first-use");
    let records = bulk(60, 50);
    let how = scenario.default_producing();
    scenario.client.produce_anywhere(how, &topic, &records)?;
    let mut connection = Connection::open(scenario.target.bootstrap())?;
    let (mut read, mut used) = (Vec::new(), 0);
    for partition in 0..NEW_PARTITIONS {
        let end = wire::end_offset(&mut connection, &topic, partition)?;
        if end > 0 {
            let part = scenario.client.consume(&topic, partition, Start::Beginning, end)?;
            let is_ordered = part.is_sorted_by_key(|stored| stored.record.timestamp);
            ensure!(is_ordered, "the records of partition {partition} are in another order");
            used += 1;
            read.extend(part.into_iter().map(|stored| stored.record));
        }
    }
    // Each has a time of its own.
    read.sort_by_key(|record| record.timestamp);
    ensure!(read == records, "{} records came back, or others than were sent", read.len());
    ensure!(used > 1, "all of them went to one of {NEW_PARTITIONS} partitions");
    Ok(())
}

/// A topic that gets more partitions takes records in the new ones.
///
/// # Errors
/// When a client fails or a record differs.
pub fn topic_gets_more_partitions(scenario: &mut Scenario<'_>) -> Result<()> {
    if !scenario.abilities.can(Act::CreatePartitions) {
        return Ok(());
    }
    let topic = unique_topic("grown");
    scenario.client.create_topic(&topic, 1, &[])?;
    let how = scenario.default_producing();
    produce_and_read_back(scenario, how, &topic, 0)?;
    scenario.client.create_partitions(&topic, 3)?;
    produce_and_read_back(scenario, how, &topic, 2)?;
    let fewer = scenario.client.create_partitions(&topic, 2);
    ensure!(fewer.is_err(), "a topic cannot lose partitions");
    Ok(())
}

/// A setting of a topic holds as soon as it is changed, and is told as it was set.
///
/// # Errors
/// When a client fails, or does not fail where the setting wants it to.
pub fn changed_setting_holds_at_once(scenario: &mut Scenario<'_>) -> Result<()> {
    if !scenario.abilities.can(Act::AlterTopics) {
        return Ok(());
    }
    let topic = unique_topic("altered");
    scenario.client.create_topic(&topic, 1, &[("max.message.bytes", "100000")])?;
    let how = scenario.default_producing();
    scenario.client.produce(how, &topic, 0, &bulk(1, 5_000))?;
    ensure!(scenario.client.describe_topic(&topic, "max.message.bytes")? == "100000", "it was created so");
    scenario.client.alter_topic(&topic, "max.message.bytes", "2000")?;
    ensure!(scenario.client.describe_topic(&topic, "max.message.bytes")? == "2000", "it was altered so");
    expect_too_large(scenario, &topic, 5_000)?;
    let wrong = scenario.client.alter_topic(&topic, "max.message.bytes", "much");
    ensure!(wrong.is_err(), "a size is a number");
    Ok(())
}

/// Deleted records are gone: the partition begins after them.
///
/// # Errors
/// When a client fails or a record differs.
pub fn deleted_records_are_gone(scenario: &mut Scenario<'_>) -> Result<()> {
    if !scenario.abilities.can(Act::DeleteRecords) {
        return Ok(());
    }
    let topic = unique_topic("shortened");
    scenario.client.create_topic(&topic, 1, &[])?;
    let records = bulk(10, 50);
    let how = scenario.default_producing();
    scenario.client.produce(how, &topic, 0, &records)?;
    let read = scenario.client.consume(&topic, 0, Start::Beginning, 10)?;
    expect_records(&read, &topic, 0, 0, &records)?;
    scenario.client.delete_records(&topic, 0, 4)?;
    let read = scenario.client.consume(&topic, 0, Start::Beginning, 10)?;
    expect_records(&read, &topic, 0, 4, &records)
}

/// A record that is larger than the topic takes is refused for that reason, and nothing is left of it.
///
/// # Errors
/// When the client fails otherwise, or a record differs.
pub fn record_over_the_limit_is_refused(scenario: &mut Scenario<'_>) -> Result<()> {
    let topic = unique_topic("limited");
    scenario.client.create_topic(&topic, 1, &[])?;
    expect_too_large(scenario, &topic, TOO_LARGE)?;
    let how = scenario.default_producing();
    produce_and_read_back(scenario, how, &topic, 0)
}

/// A consumer that waits at the end of a partition gets each record as it comes.
///
/// # Errors
/// When the client fails, or a record does not come.
pub fn waiting_consumer_gets_what_comes(scenario: &mut Scenario<'_>) -> Result<()> {
    const COUNT: i64 = 5;
    let topic = unique_topic("awaited");
    scenario.client.create_topic(&topic, 1, &[])?;
    let (client, target) = (&mut scenario.client, scenario.target);
    let read = std::thread::scope(|scope| {
        let writer = scope.spawn(|| (0..COUNT).try_for_each(|_| write_where_somebody_waits(target, &topic)));
        let read = client.consume(&topic, 0, Start::Offset(0), COUNT)?;
        writer.join().map_err(|_panic| anyhow!("the writer panicked"))??;
        anyhow::Ok(read)
    })?;
    let offsets: Vec<i64> = read.iter().map(|stored| stored.offset).collect();
    ensure!(offsets == (0..COUNT).collect::<Vec<_>>(), "{offsets:?}");
    Ok(())
}

/// Produces one record once a fetch waits for it; at once to a broker that is not ours to look into.
fn write_where_somebody_waits(target: &Target, topic: &str) -> Result<()> {
    if let Some(node) = target.node() {
        wait_until(LIMIT, "a consumer waits for records", || {
            Ok(http::metric(node.http(), "ottla_awaited_memory_bytes")? > 0.0)
        })?;
    }
    let mut connection = Connection::open(target.bootstrap())?;
    let request = wire::produce_request(topic, 0, -1, batch::plain(1, 100)?);
    let answer = wire::produce(&mut connection, 9, &request)?;
    ensure!(answer.error_code == 0, "Produce answered {answer:?}");
    Ok(())
}

/// A record with a value of that size is refused, in whatever words the library has for it.
fn expect_too_large(scenario: &mut Scenario<'_>, topic: &str, size: usize) -> Result<()> {
    let how = scenario.default_producing();
    let Err(refusal) = scenario.client.produce(how, topic, 0, &bulk(1, size)) else {
        anyhow::bail!("a record of {size} bytes was taken");
    };
    ensure!(refusal.to_string().to_lowercase().contains("large"), "it was refused otherwise: {refusal}");
    Ok(())
}

fn produce_and_read_back(
    scenario: &mut Scenario<'_>,
    how: Producing,
    topic: &str,
    partition: i32,
) -> Result<()> {
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
