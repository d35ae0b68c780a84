//! Produce requests that must be refused: each with Kafka's own error code, and without a trace in the log.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use bytes::Bytes;
use client_tests::target::{Target, unique_topic};
use client_tests::wait::wait_until;
use client_tests::wire::{self, Connection, batch, produce, produce_request, topic_name};
use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::MetadataRequest;
use kafka_protocol::messages::ProduceRequest;
use kafka_protocol::messages::metadata_request::MetadataRequestTopic;
use kafka_protocol::messages::produce_request::{PartitionProduceData, TopicProduceData};
use uuid::Uuid;

/// The newest version that names topics instead of giving their ids.
const BY_NAME: i16 = 12;
const BY_ID: i16 = 13;
const LEADER_LIMIT: Duration = Duration::from_secs(60);
const UNKNOWN_SERVER_ERROR: i16 = -1;

/// A topic of one partition on a broker.
struct Fixture {
    target: Target,
    connection: Connection,
    topic: String,
}

impl Fixture {
    fn with_topic(settings: &[(&str, &str)]) -> Result<Fixture> {
        let target = Target::start()?;
        let mut connection = Connection::open(target.bootstrap())?;
        let topic = unique_topic("bad-produce");
        let created = wire::create_topic(&mut connection, &topic, 1, settings)?;
        ensure!(created == 0, "CreateTopics answered {created}");
        // Apache Kafka answers CreateTopics before its partitions lead.
        wait_until(LEADER_LIMIT, "the partition leads", || {
            Ok(wire::end_offset(&mut connection, &topic, 0).is_ok())
        })?;
        Ok(Fixture { target, connection, topic })
    }

    /// Produces `records` and expects `code`; the log stays empty.
    fn expect_refusal(&mut self, what: &str, records: Bytes, code: i16) -> Result<()> {
        self.expect_refusal_at(BY_NAME, what, records, code)
    }

    fn expect_refusal_at(&mut self, version: i16, what: &str, records: Bytes, code: i16) -> Result<()> {
        let request = produce_request(&self.topic, 0, -1, records);
        let answer = produce(&mut self.connection, version, &request).with_context(|| what.to_owned())?;
        ensure!(answer.error_code == code, "{what}: expected {code}, the answer is {answer:?}");
        ensure!(answer.base_offset == -1, "{what}: refused, yet it has the offset {}", answer.base_offset);
        let end = wire::end_offset(&mut self.connection, &self.topic, 0)?;
        ensure!(end == 0, "{what}: refused, yet the log ends at {end}");
        Ok(())
    }

    /// Produces a good batch, which must become the first one of the log.
    fn expect_good_batch_at_zero(&mut self) -> Result<()> {
        let request = produce_request(&self.topic, 0, -1, batch::plain(3, 10)?);
        let answer = produce(&mut self.connection, BY_NAME, &request)?;
        ensure!(
            answer.error_code == 0 && answer.base_offset == 0,
            "a good batch was answered with {answer:?}"
        );
        Ok(())
    }
}

#[test]
fn damaged_batch_is_a_corrupt_message() -> Result<()> {
    let mut fixture = Fixture::with_topic(&[])?;
    let good = batch::plain(3, 10)?;
    let wrong_crc = batch::with_field(&good, batch::CRC, &[0, 0, 0, 0])?;
    fixture.expect_refusal("a wrong checksum", wrong_crc, ResponseError::CorruptMessage.code())?;
    let flipped = batch::with_field(&good, good.len() - 1, b"\xff")?;
    fixture.expect_refusal("a flipped byte", flipped, ResponseError::CorruptMessage.code())?;
    fixture.expect_good_batch_at_zero()
}

#[test]
fn batch_that_breaks_the_format_is_an_invalid_record() -> Result<()> {
    let mut fixture = Fixture::with_topic(&[])?;
    let invalid = ResponseError::InvalidRecord.code();
    let good = batch::plain(3, 10)?;
    fixture.expect_refusal("two batches", [&good[..], &good[..]].concat().into(), invalid)?;
    fixture.expect_refusal("no batch", Bytes::new(), invalid)?;
    fixture.expect_refusal("half a batch", good.slice(..good.len() / 2), invalid)?;
    let one_less = batch::with_checked_field(&good, batch::RECORD_COUNT, &2_i32.to_be_bytes())?;
    fixture.expect_refusal("a count that is one less", one_less, invalid)?;
    let last = batch::with_checked_field(&good, batch::LAST_OFFSET_DELTA, &7_i32.to_be_bytes())?;
    fixture.expect_refusal("a last offset beyond the records", last, invalid)?;
    let offset = batch::with_field(&good, batch::BASE_OFFSET, &5_i64.to_be_bytes())?;
    fixture.expect_refusal("an offset of the client's choice", offset, invalid)?;
    let magic = batch::with_field(&good, batch::MAGIC, &[1])?;
    fixture.expect_refusal("a batch of the old format", magic, invalid)?;
    fixture.expect_good_batch_at_zero()
}

#[test]
fn batch_that_only_a_broker_may_write_is_an_invalid_record() -> Result<()> {
    let mut fixture = Fixture::with_topic(&[])?;
    let invalid = ResponseError::InvalidRecord.code();
    let mut control = batch::record(0, Some(vec![0, 0, 0, 1].into()), vec![0; 6].into());
    control.control = true;
    fixture.expect_refusal("a control batch", batch::encode(&[control])?, invalid)?;
    let mut without_sequence = batch::record(0, None, "v".into());
    (without_sequence.producer_id, without_sequence.producer_epoch) = (4242, 0);
    let records = batch::encode(&[without_sequence])?;
    fixture.expect_refusal("a producer id without a sequence", records, invalid)?;
    fixture.expect_good_batch_at_zero()
}

#[test]
fn codec_that_does_not_exist_or_came_later_is_refused() -> Result<()> {
    let mut fixture = Fixture::with_topic(&[])?;
    let good = batch::plain(3, 10)?;
    let unknown = batch::with_checked_field(&good, batch::ATTRIBUTES, &[0, 5])?;
    fixture.expect_refusal("codec 5", unknown, UNKNOWN_SERVER_ERROR)?;
    let zstd = batch::with_checked_field(&good, batch::ATTRIBUTES, &[0, 4])?;
    let unsupported = ResponseError::UnsupportedCompressionType.code();
    fixture.expect_refusal_at(6, "zstd before version 7", zstd, unsupported)?;
    fixture.expect_good_batch_at_zero()
}

#[test]
fn batch_over_the_topics_limit_is_too_large() -> Result<()> {
    let mut fixture = Fixture::with_topic(&[("max.message.bytes", "1000")])?;
    let too_large = ResponseError::MessageTooLarge.code();
    let batch_of_1001 = batch::plain(1, 1101 - batch::plain(1, 100)?.len())?;
    ensure!(batch_of_1001.len() == 1001, "the batch has {} bytes", batch_of_1001.len());
    fixture.expect_refusal("a batch just over max.message.bytes", batch_of_1001, too_large)?;
    fixture.expect_refusal("a batch far over it", batch::plain(100, 1000)?, too_large)?;
    fixture.expect_good_batch_at_zero()
}

#[test]
fn timestamp_too_far_ahead_is_an_invalid_timestamp() -> Result<()> {
    let mut fixture = Fixture::with_topic(&[])?;
    let mut late = batch::record(0, None, "v".into());
    late.timestamp = 32_503_680_000_000; // The year 3000.
    let records = batch::encode(&[late])?;
    fixture.expect_refusal("a record of the year 3000", records, ResponseError::InvalidTimestamp.code())?;
    fixture.expect_good_batch_at_zero()
}

#[test]
fn record_without_a_key_on_a_compacted_topic_is_an_invalid_record() -> Result<()> {
    let mut fixture = Fixture::with_topic(&[("cleanup.policy", "compact")])?;
    let key = |offset: i64| (offset != 1).then(|| Bytes::from("key"));
    let records: Vec<_> = (0..3).map(|offset| batch::record(offset, key(offset), "v".into())).collect();
    let records = batch::encode(&records)?;
    fixture.expect_refusal("a record without a key", records.clone(), ResponseError::InvalidRecord.code())?;
    let request = produce_request(&fixture.topic, 0, -1, records);
    let answer = produce(&mut fixture.connection, BY_NAME, &request)?;
    let blamed: Vec<i32> = answer.record_errors.iter().map(|error| error.batch_index).collect();
    ensure!(blamed == [1], "the answer blames {blamed:?}");
    fixture.expect_good_batch_at_zero()
}

#[test]
fn topic_or_partition_that_does_not_exist_is_unknown() -> Result<()> {
    let mut fixture = Fixture::with_topic(&[])?;
    let unknown = ResponseError::UnknownTopicOrPartition.code();
    for (topic, partition) in
        [("never-created", 0), (&*fixture.topic, 1), (&*fixture.topic, -1), ("../etc", 0)]
    {
        let request = produce_request(topic, partition, -1, batch::plain(1, 10)?);
        let answer = produce(&mut fixture.connection, BY_NAME, &request)?;
        ensure!(answer.error_code == unknown, "{topic} {partition} was answered with {answer:?}");
    }
    fixture.expect_good_batch_at_zero()
}

#[test]
fn topic_id_that_does_not_exist_is_unknown() -> Result<()> {
    let mut fixture = Fixture::with_topic(&[])?;
    let partition = PartitionProduceData::default().with_records(Some(batch::plain(1, 10)?));
    let topic = TopicProduceData::default()
        .with_topic_id(Uuid::from_u128(0x0123_4567_89ab_cdef))
        .with_partition_data(vec![partition]);
    let request = ProduceRequest::default().with_acks(-1).with_timeout_ms(1000).with_topic_data(vec![topic]);
    let answer = produce(&mut fixture.connection, BY_ID, &request)?;
    ensure!(answer.error_code == ResponseError::UnknownTopicId.code(), "{answer:?}");
    Ok(())
}

#[test]
fn acks_other_than_none_one_and_all_are_invalid() -> Result<()> {
    let mut fixture = Fixture::with_topic(&[])?;
    for acks in [2, -2, i16::MAX] {
        let request = produce_request(&fixture.topic, 0, acks, batch::plain(1, 10)?);
        let answer = produce(&mut fixture.connection, BY_NAME, &request)?;
        ensure!(answer.error_code == ResponseError::InvalidRequiredAcks.code(), "{acks}: {answer:?}");
    }
    fixture.expect_good_batch_at_zero()
}

#[test]
fn refused_batch_without_acks_closes_the_connection() -> Result<()> {
    let mut fixture = Fixture::with_topic(&[])?;
    let good = batch::plain(1, 10)?;
    let mut silent = Connection::open(fixture.target.bootstrap())?;
    silent.send(
        BY_NAME,
        &produce_request(&fixture.topic, 0, 0, batch::with_field(&good, batch::CRC, &[0; 4])?),
    )?;
    ensure!(silent.read_to_close()? == 0, "a request without acks was answered");
    fixture.expect_good_batch_at_zero()
}

#[test]
fn topic_name_that_cannot_be_is_invalid() -> Result<()> {
    let mut fixture = Fixture::with_topic(&[])?;
    let invalid = ResponseError::InvalidTopicException.code();
    let long = "x".repeat(250);
    for name in ["", ".", "..", "a b", "a/b", "../a", "ünicode", &long] {
        let created = wire::create_topic(&mut fixture.connection, name, 1, &[])?;
        ensure!(created == invalid, "creating {name:?} was answered with {created}");
        let topic = MetadataRequestTopic::default().with_name(Some(topic_name(name)));
        let request =
            MetadataRequest::default().with_topics(Some(vec![topic])).with_allow_auto_topic_creation(true);
        let answer = fixture.connection.call(9, &request)?;
        let code = answer.topics.first().context("the answer names no topic")?.error_code;
        ensure!(code == invalid, "asking for {name:?} was answered with {code}");
    }
    Ok(())
}
