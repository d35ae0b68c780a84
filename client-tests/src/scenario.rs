//! What every client must be able to do: the same claims, made with each client's own program.
//!
//! Each function creates its own topic, so that they run against a broker that others use too.

use anyhow::{Result, ensure};

use crate::driver::{Driver, Producing, Start};
use crate::records::{FIRST_TIMESTAMP, Record, StoredRecord, TIMESTAMP_STEP, bulk, sample};
use crate::target::unique_topic;

/// Every codec that Kafka knows.
pub const CODECS: [&str; 5] = ["none", "gzip", "snappy", "lz4", "zstd"];

/// The sample, produced with each codec by an idempotent producer, comes back as it was.
///
/// # Errors
/// When a client fails or a record differs.
pub fn every_codec_comes_back(client: &mut Driver) -> Result<()> {
    let topic = unique_topic("codecs");
    client.create_topic(&topic, 5, &[])?;
    for (codec, partition) in CODECS.into_iter().zip(0..) {
        let how = Producing { codec, ..Producing::DEFAULT };
        produce_and_read_back(client, how, &topic, partition)?;
    }
    Ok(())
}

/// The sample, produced with each number of acknowledgements by a plain producer, comes back as it was.
///
/// # Errors
/// When a client fails or a record differs.
pub fn every_acks_comes_back(client: &mut Driver) -> Result<()> {
    let topic = unique_topic("acks");
    client.create_topic(&topic, 3, &[])?;
    for (acks, partition) in ["0", "1", "all"].into_iter().zip(0..) {
        let how = Producing { acks, idempotent: false, codec: "none" };
        produce_and_read_back(client, how, &topic, partition)?;
    }
    Ok(())
}

/// A consumer that starts at any offset of a batch gets the records from there on, and no earlier ones.
///
/// # Errors
/// When a client fails or a record differs.
pub fn consuming_starts_in_the_middle_of_a_batch(client: &mut Driver) -> Result<()> {
    let topic = unique_topic("middle");
    client.create_topic(&topic, 1, &[])?;
    let records = bulk(100, 50);
    // Compressed, a batch cannot be cut by the broker: the client has to skip what it did not ask for.
    let how = Producing { codec: "lz4", ..Producing::DEFAULT };
    client.produce(how, &topic, 0, &records)?;
    for start in [0, 1, 50, 99] {
        let read = client.consume(&topic, 0, Start::Offset(start), 100)?;
        expect_records(&read, &topic, 0, start, &records)?;
    }
    Ok(())
}

/// A consumer that looks up a time starts at the first record of that time or later.
///
/// # Errors
/// When a client fails or a record differs.
pub fn consuming_starts_at_a_timestamp(client: &mut Driver) -> Result<()> {
    let topic = unique_topic("timestamp");
    client.create_topic(&topic, 1, &[])?;
    let records = bulk(100, 50);
    client.produce(Producing::DEFAULT, &topic, 0, &records)?;
    let between = FIRST_TIMESTAMP + 41 * TIMESTAMP_STEP + 1;
    for (timestamp, first) in [(0, 0), (FIRST_TIMESTAMP + 41 * TIMESTAMP_STEP, 41), (between, 42)] {
        let read = client.consume(&topic, 0, Start::Timestamp(timestamp), 100)?;
        expect_records(&read, &topic, 0, first, &records)?;
    }
    Ok(())
}

/// A log of several segments reads as one, from its start, from an offset and from a time in a sealed segment.
///
/// # Errors
/// When a client fails or a record differs.
pub fn consuming_crosses_segments(client: &mut Driver) -> Result<()> {
    let topic = unique_topic("segments");
    client.create_topic(&topic, 1, &[("segment.bytes", "1048576")])?;
    let records = bulk(40, 100_000);
    for part in records.chunks(5) {
        client.produce(Producing::DEFAULT, &topic, 0, part)?;
    }
    let starts =
        [(Start::Offset(0), 0), (Start::Offset(17), 17), (Start::Timestamp(records[8].timestamp), 8)];
    for (start, first) in starts {
        let read = client.consume(&topic, 0, start, 40)?;
        expect_records(&read, &topic, 0, first, &records)?;
    }
    Ok(())
}

/// A deleted topic is gone, and one of the same name begins anew.
///
/// # Errors
/// When a client fails or sees the old topic's records.
pub fn deleted_topic_begins_anew(client: &mut Driver) -> Result<()> {
    let topic = unique_topic("deleted");
    client.create_topic(&topic, 1, &[])?;
    client.produce(Producing::DEFAULT, &topic, 0, &bulk(10, 10))?;
    client.delete_topic(&topic)?;
    client.create_topic(&topic, 1, &[])?;
    produce_and_read_back(client, Producing::DEFAULT, &topic, 0)
}

fn produce_and_read_back(client: &mut Driver, how: Producing, topic: &str, partition: i32) -> Result<()> {
    let mut records = sample();
    if !client.sends_null_header_values() {
        records.iter_mut().for_each(|record| record.headers.retain(|(_, value)| value.is_some()));
    }
    let count = i64::try_from(records.len())?;
    let offsets = client.produce(how, topic, partition, &records)?;
    let expected: Vec<i64> = if how.acks == "0" { vec![-1; records.len()] } else { (0..count).collect() };
    ensure!(offsets == expected, "{how:?} was acknowledged at {offsets:?}");
    let read = client.consume(topic, partition, Start::Offset(0), count)?;
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
