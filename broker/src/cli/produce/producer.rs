//! Batches on their way to the leaders of a topic's partitions.
//!
//! Invariant: what is sent again has the same producer id, sequence and bytes, so that a leader that has it already
//! answers where it is.

use super::input::NewRecord;
use super::{Acks, ProduceArguments, partitioner};
use crate::api::produce::ProduceError;
use crate::cli::asking;
use crate::cli::client::{Client, ClientError, PartitionState, meaning, wire_name};
use crate::cli::topics::TopicRefusal;
use crate::clock;
use anyhow::{Context, bail};
use bytes::Bytes;
use kafka_protocol::ResponseError;
use kafka_protocol::messages::produce_request::{PartitionProduceData, TopicProduceData};
use kafka_protocol::messages::produce_response::PartitionProduceResponse;
use kafka_protocol::messages::{InitProducerIdRequest, ProduceRequest};
use kafka_protocol::protocol::StrBytes;
use serde::Serialize;
use std::collections::BTreeMap;
use storage::batch_builder::{BatchBuilder, BatchSpec};
use storage::compression::Codec;
use storage::ids::{ProducerEpoch, ProducerId, Sequence, TimestampMs};

/// Records of one partition that are sent together, uncompressed. Larger: topics with the default max.message.bytes
/// (1 MiB) refuse the batch. Smaller: more requests.
const BATCH_BYTES_MAX: usize = 512 * 1024;

/// How often a topic is looked for that the cluster may make by itself, every 100 ms.
const LOOKS_MAX: usize = 30;

/// What was written.
#[derive(Debug, Default)]
pub(super) struct Produced {
    partitions: BTreeMap<i32, ProducedPartition>,
}

/// What was written to one partition. Offsets are missing where the leader did not say them.
#[derive(Clone, Debug, Serialize)]
struct ProducedPartition {
    partition: i32,
    records: usize,
    first_offset: Option<i64>,
    last_offset: Option<i64>,
}

/// What was written, as scripts read it.
#[derive(Debug, Serialize)]
pub(super) struct ProducedTopic<'a> {
    topic: &'a str,
    records: usize,
    partitions: Vec<ProducedPartition>,
}

impl Produced {
    pub(super) fn records(&self) -> usize {
        self.partitions.values().map(|it| it.records).sum()
    }

    pub(super) fn of_topic<'a>(&self, topic: &'a str) -> ProducedTopic<'a> {
        ProducedTopic {
            topic,
            records: self.records(),
            partitions: self.partitions.values().cloned().collect(),
        }
    }

    fn note(&mut self, partition: i32, records: i32, base_offset: i64) {
        let none = ProducedPartition { partition, records: 0, first_offset: None, last_offset: None };
        let noted = self.partitions.entry(partition).or_insert(none);
        noted.records += usize::try_from(records).unwrap_or(0);
        if base_offset >= 0 {
            noted.first_offset.get_or_insert(base_offset);
            noted.last_offset = Some(base_offset + i64::from(records) - 1);
        }
    }
}

/// Records that are ready to be sent, by partition.
pub(super) type Ready = BTreeMap<i32, BatchBuilder>;

/// A batch that is under way.
struct Batch {
    bytes: Bytes,
    records: i32,
}

/// A producer to one topic.
#[derive(Debug)]
pub(super) struct Producer {
    topic: String,
    partitions: Vec<PartitionState>,
    codec: Codec,
    acks: i16,
    timeout_ms: i32,
    /// The producer's id and epoch, where batches are numbered.
    identity: Option<(ProducerId, ProducerEpoch)>,
    next_sequences: BTreeMap<i32, i32>,
    ready: Ready,
    /// Where records without a key go until the next batch: one after the other, so that batches are large.
    keyless: usize,
    /// Whether a leader may have what it has not acknowledged.
    is_in_doubt: bool,
}

impl Producer {
    /// Finds the topic, and gets a producer id.
    pub(super) async fn open(client: &mut Client, arguments: &ProduceArguments) -> anyhow::Result<Self> {
        let identity = match arguments.acks {
            Acks::All => Some(identity(client).await?),
            Acks::Leader => None,
        };
        Ok(Self {
            partitions: find(client, &arguments.topic).await?,
            topic: arguments.topic.clone(),
            codec: arguments.compression.into(),
            acks: if identity.is_some() { -1 } else { 1 },
            timeout_ms: arguments.cluster.limit_ms(),
            identity,
            next_sequences: BTreeMap::new(),
            ready: Ready::new(),
            keyless: 0,
            is_in_doubt: false,
        })
    }

    /// Adds a record. Where its batch would become too large, what was there before is returned, to be sent.
    pub(super) fn add(&mut self, record: &NewRecord) -> anyhow::Result<Option<Ready>> {
        let partition = self.choose(record)?;
        let size = record.value.as_ref().map_or(0, Vec::len) + record.key.as_ref().map_or(0, Vec::len);
        let before = self.ready.get(&partition).map_or(0, BatchBuilder::records_len);
        let full = (before > 0 && before + size > BATCH_BYTES_MAX).then(|| self.take());
        let spec = self.spec(partition);
        let headers: Vec<(&[u8], Option<&[u8]>)> =
            record.headers.iter().map(|(name, value)| (name.as_slice(), value.as_deref())).collect();
        let timestamp = record.timestamp.map_or_else(clock::now, TimestampMs);
        let batch = self.ready.entry(partition).or_insert_with(|| BatchBuilder::new(spec));
        batch.push(timestamp, record.key.as_deref(), record.value.as_deref(), &headers);
        Ok(full)
    }

    /// The header of the next batch: its place among those of this producer.
    fn spec(&self, partition: i32) -> BatchSpec {
        let spec = BatchSpec { codec: self.codec, level: self.codec.default_level(), ..BatchSpec::default() };
        match self.identity {
            None => spec,
            Some((producer_id, producer_epoch)) => BatchSpec {
                producer_id,
                producer_epoch,
                base_sequence: Sequence(self.next_sequences.get(&partition).copied().unwrap_or(0)),
                ..spec
            },
        }
    }

    /// What is ready.
    pub(super) fn take(&mut self) -> Ready {
        self.keyless = self.keyless.wrapping_add(1);
        for (partition, batch) in &self.ready {
            let next = self.next_sequences.entry(*partition).or_insert(0);
            *next = sequence_behind(*next, batch.record_count());
        }
        std::mem::take(&mut self.ready)
    }

    fn choose(&self, record: &NewRecord) -> anyhow::Result<i32> {
        let count = self.partitions.len();
        if let Some(partition) = record.partition {
            if !self.partitions.iter().any(|it| it.partition == partition) {
                bail!("{} has no partition {partition}; it has {count}", self.topic);
            }
            return Ok(partition);
        }
        let place = match &record.key {
            Some(key) => partitioner::of_key(key, count),
            None => self.keyless % count.max(1),
        };
        Ok(i32::try_from(place)?)
    }

    /// Whether records that were sent and not acknowledged may have been written all the same.
    pub(super) fn is_in_doubt(&self) -> bool {
        self.is_in_doubt
    }

    /// Sends batches until each is acknowledged. Leaders that move are followed.
    pub(super) async fn send(
        &mut self,
        client: &mut Client,
        ready: Ready,
        produced: &mut Produced,
    ) -> anyhow::Result<()> {
        let mut waiting = BTreeMap::new();
        for (partition, builder) in ready {
            let batch = Batch { bytes: builder.build()?.into(), records: builder.record_count() };
            waiting.insert(partition, batch);
        }
        loop {
            let trouble = self.send_once(client, &mut waiting, produced).await?;
            if waiting.is_empty() {
                self.is_in_doubt = false;
                return Ok(());
            }
            client.pause(trouble).await;
            if let Ok(topic) = client.topic(&self.topic).await? {
                self.partitions = topic.partitions;
            }
        }
    }

    /// One attempt. What was acknowledged leaves `waiting`; returns why the rest has not.
    async fn send_once(
        &mut self,
        client: &mut Client,
        waiting: &mut BTreeMap<i32, Batch>,
        produced: &mut Produced,
    ) -> anyhow::Result<String> {
        let mut trouble = format!("{} has partitions without a leader", self.topic);
        for (address, partitions) in self.by_leader(client, waiting) {
            // Without a connection nothing is sent, which leaves no doubt.
            match client.serves::<ProduceRequest>(&address).await {
                Ok(_whether) => {}
                Err(error @ ClientError::Io { .. }) => {
                    trouble = error.to_string();
                    continue;
                }
                Err(error) => return Err(error.into()),
            }
            // Until there is an answer, also where nobody waits for it any more.
            let was_in_doubt = std::mem::replace(&mut self.is_in_doubt, true);
            let response = match client.call(&address, &self.request(&partitions, waiting)).await {
                Ok(response) => response,
                Err(error @ ClientError::Io { .. }) if self.identity.is_some() => {
                    trouble = error.to_string();
                    continue;
                }
                Err(error) => {
                    self.is_in_doubt = was_in_doubt || !matches!(error, ClientError::Unsupported { .. });
                    return Err(error.into());
                }
            };
            self.is_in_doubt = was_in_doubt;
            for answer in response.responses.into_iter().flat_map(|topic| topic.partition_responses) {
                match judge(&self.topic, &answer)? {
                    None => {
                        if let Some(batch) = waiting.remove(&answer.index) {
                            produced.note(answer.index, batch.records, answer.base_offset);
                        }
                    }
                    Some(passing) => {
                        self.is_in_doubt |= is_appended_perhaps(&passing, answer.error_message.as_ref());
                        trouble = format!("{}-{}: {}", self.topic, answer.index, meaning(&passing));
                    }
                }
            }
        }
        Ok(trouble)
    }

    fn by_leader(&self, client: &Client, waiting: &BTreeMap<i32, Batch>) -> BTreeMap<String, Vec<i32>> {
        let mut by_leader: BTreeMap<String, Vec<i32>> = BTreeMap::new();
        for partition in self.partitions.iter().filter(|it| waiting.contains_key(&it.partition)) {
            if let Some(address) = partition.leader.and_then(|leader| client.address_of(leader)) {
                by_leader.entry(address).or_default().push(partition.partition);
            }
        }
        by_leader
    }

    fn request(&self, partitions: &[i32], waiting: &BTreeMap<i32, Batch>) -> ProduceRequest {
        let batches = partitions.iter().filter_map(|partition| Some((*partition, waiting.get(partition)?)));
        let data = batches.map(|(partition, batch)| {
            PartitionProduceData::default().with_index(partition).with_records(Some(batch.bytes.clone()))
        });
        let topic =
            TopicProduceData::default().with_name(wire_name(&self.topic)).with_partition_data(data.collect());
        ProduceRequest::default()
            .with_acks(self.acks)
            .with_timeout_ms(self.timeout_ms)
            .with_topic_data(vec![topic])
    }
}

/// The sequence behind `records` records from `sequence` on; behind the largest comes 0. Source:
/// `DefaultRecordBatch.incrementSequence`.
fn sequence_behind(sequence: i32, records: i32) -> i32 {
    sequence.checked_add(records).unwrap_or_else(|| records - (i32::MAX - sequence) - 1)
}

/// Whether a leader that answers so may have the records.
fn is_appended_perhaps(error: &ResponseError, message: Option<&StrBytes>) -> bool {
    match error {
        ResponseError::RequestTimedOut
        | ResponseError::NotEnoughReplicasAfterAppend
        | ResponseError::NetworkException => true,
        // It may be refused before anything is written, which only the words tell.
        ResponseError::KafkaStorageError => {
            let refused = ProduceError::TooManyBusyPartitions.to_string();
            message.is_none_or(|message| message.as_str() != refused)
        }
        _ => false,
    }
}

/// What an answer says: `None` where the batch is written, otherwise why it is to be sent again.
fn judge(topic: &str, answer: &PartitionProduceResponse) -> anyhow::Result<Option<ResponseError>> {
    match ResponseError::try_from_code(answer.error_code) {
        None | Some(ResponseError::DuplicateSequenceNumber) => Ok(None),
        Some(
            error @ (ResponseError::NotLeaderOrFollower
            | ResponseError::LeaderNotAvailable
            | ResponseError::UnknownTopicOrPartition
            | ResponseError::FencedLeaderEpoch
            | ResponseError::RequestTimedOut
            | ResponseError::NotEnoughReplicas
            | ResponseError::NotEnoughReplicasAfterAppend
            | ResponseError::KafkaStorageError
            | ResponseError::NetworkException),
        ) => Ok(Some(error)),
        Some(_refused) => {
            let name = format!("{topic}-{}", answer.index);
            let refusal = asking::refusal(&name, answer.error_code, answer.error_message.as_ref());
            Err(refusal.context("an error has a sentence")?)
        }
    }
}

/// The partitions of the topic, which the cluster may make by itself.
async fn find(client: &mut Client, name: &str) -> anyhow::Result<Vec<PartitionState>> {
    for _ in 0..LOOKS_MAX {
        let trouble = match client.topic_or_new(name).await? {
            Ok(topic) if topic.is_led() => return Ok(topic.partitions),
            Ok(_topic) => "it has partitions without a leader".to_owned(),
            Err(error @ (ResponseError::UnknownTopicOrPartition | ResponseError::LeaderNotAvailable)) => {
                meaning(&error)
            }
            Err(error) => return Err(ClientError::Refused { what: name.to_owned(), error }.into()),
        };
        client.pause(format!("{name}: {trouble}")).await;
    }
    match client.topic(name).await? {
        // Those of its partitions that are led may be all that is written to.
        Ok(topic) => Ok(topic.partitions),
        Err(_error) => Err(TopicRefusal::NoSuchTopic { topic: name.to_owned() }.into()),
    }
}

/// An id for batches that are numbered.
async fn identity(client: &mut Client) -> anyhow::Result<(ProducerId, ProducerEpoch)> {
    let request = InitProducerIdRequest::default()
        .with_transactional_id(None)
        .with_transaction_timeout_ms(i32::MAX)
        .with_producer_id((-1).into())
        .with_producer_epoch(-1);
    loop {
        let address = client.any_address().to_owned();
        let told = client.call(&address, &request).await?;
        match ResponseError::try_from_code(told.error_code) {
            None => return Ok((ProducerId(told.producer_id.0), ProducerEpoch(told.producer_epoch))),
            Some(
                error @ (ResponseError::CoordinatorLoadInProgress
                | ResponseError::CoordinatorNotAvailable
                | ResponseError::NotController
                | ResponseError::RequestTimedOut),
            ) => client.pause(format!("a producer id: {}", meaning(&error))).await,
            Some(error) => {
                return Err(ClientError::Refused { what: "a producer id".to_owned(), error }.into());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{NewRecord, Produced, Producer, Ready, is_appended_perhaps};
    use crate::api::produce::ProduceError;
    use crate::cli::client::PartitionState;
    use kafka_protocol::ResponseError;
    use kafka_protocol::protocol::StrBytes;
    use std::collections::BTreeMap;
    use storage::batch::BatchHeader;
    use storage::compression::Codec;
    use storage::ids::{ProducerEpoch, ProducerId, Sequence};

    fn producer() -> Producer {
        let state = |partition| PartitionState {
            partition,
            leader: Some(1),
            leader_epoch: 0,
            replicas: vec![1],
            in_sync: vec![1],
        };
        Producer {
            topic: "events".to_owned(),
            partitions: (0..3).map(state).collect(),
            codec: Codec::Zstd,
            acks: -1,
            timeout_ms: 1000,
            identity: Some((ProducerId(7), ProducerEpoch(2))),
            next_sequences: BTreeMap::from([(1, i32::MAX - 1)]),
            ready: Ready::new(),
            keyless: 0,
            is_in_doubt: false,
        }
    }

    fn record(partition: Option<i32>, bytes: usize) -> NewRecord {
        NewRecord { partition, value: Some(vec![b'v'; bytes]), ..NewRecord::default() }
    }

    #[test]
    fn a_batch_that_is_full_is_sent_before_the_next_record() {
        let mut producer = producer();
        assert!(producer.add(&record(None, 400_000)).is_ok_and(|full| full.is_none()));
        let full =
            producer.add(&record(None, 400_000)).expect("it has a partition").expect("the first is sent");
        assert_eq!(full.keys().collect::<Vec<_>>(), [&0]);
        assert_eq!(producer.take().keys().collect::<Vec<_>>(), [&0], "it was chosen before");
        assert!(producer.add(&record(None, 10)).is_ok());
        assert_eq!(producer.take().keys().collect::<Vec<_>>(), [&2], "records without a key go round");
        assert!(producer.add(&record(Some(3), 10)).is_err());
    }

    #[test]
    fn a_partition_that_waits_for_its_turn_has_surely_written_nothing() {
        let is_in_doubt = |error: &ProduceError| {
            let message = StrBytes::from_string(error.to_string());
            is_appended_perhaps(&ResponseError::KafkaStorageError, Some(&message))
        };
        assert!(!is_in_doubt(&ProduceError::TooManyBusyPartitions));
        assert!(is_in_doubt(&ProduceError::LogDirectoryFailed));
        assert!(is_appended_perhaps(&ResponseError::KafkaStorageError, None));
    }

    #[test]
    fn batches_are_numbered_and_numbers_begin_again_behind_the_largest() {
        let mut producer = producer();
        for _ in 0..5 {
            assert!(producer.add(&record(Some(1), 10)).is_ok());
        }
        let ready = producer.take();
        let batch = ready.get(&1).expect("it has records").build().expect("it is built");
        let header = BatchHeader::parse(&batch).expect("it is a batch");
        assert_eq!((header.producer_id, header.producer_epoch), (ProducerId(7), ProducerEpoch(2)));
        assert_eq!(header.base_sequence, Sequence(i32::MAX - 1));
        assert_eq!(
            producer.next_sequences.get(&1),
            Some(&3),
            "two sequences up to the largest, then 0, 1, 2"
        );
    }

    #[test]
    fn what_was_written_is_summed_up() {
        let mut produced = Produced::default();
        produced.note(0, 3, 10);
        produced.note(0, 2, 13);
        produced.note(1, 1, -1);
        let told = serde_json::to_value(produced.of_topic("events")).expect("it is JSON");
        let expected = serde_json::json!({ "topic": "events", "records": 6, "partitions": [
            { "partition": 0, "records": 5, "first_offset": 10, "last_offset": 14 },
            { "partition": 1, "records": 1, "first_offset": null, "last_offset": null },
        ] });
        assert_eq!(told, expected);
    }
}
