//! Reading a partition batch by batch, exactly as its bytes come, and producing what will be read.

use anyhow::{Context as _, Result, ensure};
use bytes::Bytes;
use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::fetch_request::{FetchPartition, FetchTopic};
use kafka_protocol::messages::list_offsets_request::{ListOffsetsPartition, ListOffsetsTopic};
use kafka_protocol::messages::{
    BrokerId, FetchRequest, InitProducerIdRequest, ListOffsetsRequest, ProducerId,
};
use kafka_protocol::records::Record;

use super::{Connection, batch, produce, produce_request, topic_name};
use crate::records::{FIRST_TIMESTAMP, TIMESTAMP_STEP};

/// The newest Fetch version that names topics.
const VERSION: i16 = 12;
/// How much one Fetch may bring, in bytes.
const MAX_BYTES: i32 = 4 << 20;

/// What one Fetch of one partition answered.
#[derive(Debug)]
pub struct Fetched {
    /// Kafka's error code.
    pub error_code: i16,
    /// Whole batches, the first of which holds the offset that was asked for.
    pub records: Bytes,
}

/// Fetches one partition from `offset` on, without a session.
///
/// # Errors
/// When no answer comes, or it names no partition.
pub fn fetch(connection: &mut Connection, topic: &str, partition: i32, offset: i64) -> Result<Fetched> {
    let partition = FetchPartition::default()
        .with_partition(partition)
        .with_fetch_offset(offset)
        .with_current_leader_epoch(-1)
        .with_log_start_offset(-1)
        .with_partition_max_bytes(MAX_BYTES);
    let topic = FetchTopic::default().with_topic(topic_name(topic)).with_partitions(vec![partition]);
    let request = FetchRequest::default()
        .with_replica_id(BrokerId(-1))
        .with_max_wait_ms(0)
        .with_max_bytes(MAX_BYTES)
        .with_session_epoch(-1)
        .with_topics(vec![topic]);
    let response = connection.call(VERSION, &request)?;
    ensure!(response.error_code == 0, "Fetch answered {}", response.error_code);
    let partition =
        response.responses.into_iter().next().and_then(|topic| topic.partitions.into_iter().next());
    let partition = partition.context("the answer names no partition")?;
    Ok(Fetched { error_code: partition.error_code, records: partition.records.unwrap_or_default() })
}

/// The first offset whose record has this time or a later one, or -1.
///
/// # Errors
/// When no answer comes, or it is an error.
pub fn offset_for_timestamp(connection: &mut Connection, topic: &str, timestamp: i64) -> Result<i64> {
    let partition = ListOffsetsPartition::default().with_timestamp(timestamp).with_current_leader_epoch(-1);
    let topic = ListOffsetsTopic::default().with_name(topic_name(topic)).with_partitions(vec![partition]);
    let request = ListOffsetsRequest::default().with_replica_id(BrokerId(-1)).with_topics(vec![topic]);
    let response = connection.call(7, &request)?;
    let partition = response.topics.first().and_then(|topic| topic.partitions.first());
    let partition = partition.context("the answer names no partition")?;
    ensure!(partition.error_code == 0, "ListOffsets answered {}", partition.error_code);
    Ok(partition.offset)
}

/// An idempotent producer of batches with one record each, which remembers them.
#[derive(Debug)]
pub struct Writer {
    topic: String,
    producer_id: ProducerId,
    producer_epoch: i16,
    batches: Vec<Bytes>,
}

impl Writer {
    /// A writer with a producer id of its own, for partition 0 of an empty topic.
    ///
    /// # Errors
    /// When the broker gives no producer id.
    pub fn new(connection: &mut Connection, topic: &str) -> Result<Writer> {
        let request = InitProducerIdRequest::default()
            .with_transactional_id(None)
            .with_transaction_timeout_ms(60_000)
            .with_producer_id(ProducerId(-1));
        let response = connection.call(4, &request.with_producer_epoch(-1))?;
        ensure!(response.error_code == 0, "InitProducerId answered {}", response.error_code);
        let (producer_id, producer_epoch) = (response.producer_id, response.producer_epoch);
        Ok(Writer { topic: topic.to_owned(), producer_id, producer_epoch, batches: Vec::new() })
    }

    /// Produces `count` batches of about `size` bytes, each acknowledged by `acks=all` at the offset that follows. The
    /// record at an offset is that many seconds after the first.
    ///
    /// # Errors
    /// When one is not acknowledged, or elsewhere.
    pub fn write(&mut self, connection: &mut Connection, count: usize, size: usize) -> Result<()> {
        for _ in 0..count {
            let number = i32::try_from(self.batches.len())?;
            let mut value = number.to_string().into_bytes();
            value.resize(size, b'.');
            let record = Record {
                producer_id: self.producer_id.0,
                producer_epoch: self.producer_epoch,
                sequence: number,
                timestamp: FIRST_TIMESTAMP + i64::from(number) * TIMESTAMP_STEP,
                ..batch::record(0, Some("key".into()), value.into())
            };
            self.batches.push(batch::encode(&[record])?);
            ensure!(
                self.send(connection, number)? == i64::from(number),
                "acknowledged elsewhere than at {number}"
            );
        }
        Ok(())
    }

    /// Sends the last batch again, which must be answered as the first time.
    ///
    /// # Errors
    /// When it is not recognised.
    pub fn repeat_last(&self, connection: &mut Connection) -> Result<()> {
        let last = self.end() - 1;
        let offset = self.send(connection, i32::try_from(last)?)?;
        ensure!(offset == last, "the duplicate of {last} was acknowledged at {offset}");
        Ok(())
    }

    fn send(&self, connection: &mut Connection, number: i32) -> Result<i64> {
        let batch = self.batches.get(usize::try_from(number)?).context("a batch that was made")?;
        let answer = produce(connection, 9, &produce_request(&self.topic, 0, -1, batch.clone()))?;
        let code = answer.error_code;
        ensure!(
            code == 0,
            "batch {number} was answered with {code} {:?}",
            ResponseError::try_from_code(code)
        );
        Ok(answer.base_offset)
    }

    /// The offset after the last batch (exclusive).
    #[must_use]
    pub fn end(&self) -> i64 {
        i64::try_from(self.batches.len()).unwrap_or(i64::MAX)
    }

    /// Reads the partition from `start` and checks each batch byte for byte, except for the base offset and the leader
    /// epoch, which are the broker's.
    ///
    /// # Errors
    /// When one is missing, doubled or different, or the log ends elsewhere.
    pub fn expect_all_from(&self, connection: &mut Connection, start: i64) -> Result<()> {
        let end = super::end_offset(connection, &self.topic, 0)?;
        ensure!(end == self.end(), "the log ends at {end} instead of {}", self.end());
        let mut offset = start;
        while offset < end {
            let fetched = fetch(connection, &self.topic, 0, offset)?;
            ensure!(fetched.error_code == 0, "offset {offset} was answered with {}", fetched.error_code);
            let mut rest = fetched.records;
            let before = offset;
            while let Some((length, next)) = batch::extent(&rest).filter(|(length, _)| *length <= rest.len())
            {
                ensure!(next == offset + 1, "the batch before {next} came where {offset} was due");
                let sent =
                    self.batches.get(usize::try_from(offset)?).and_then(|batch| batch.get(batch::MAGIC..));
                let found = rest.split_to(length);
                ensure!(
                    found.get(batch::MAGIC..) == sent,
                    "the batch at {offset} is not the one that was sent"
                );
                offset = next;
            }
            ensure!(offset > before, "offset {offset} gives no batch");
        }
        Ok(())
    }
}
