//! Consumers of every partition, by librdkafka: one that follows a load, and one that reads everything once.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Result, bail};
use rdkafka::config::{ClientConfig, RDKafkaLogLevel};
use rdkafka::consumer::{BaseConsumer, Consumer as _, ConsumerContext};
use rdkafka::error::KafkaError;
use rdkafka::message::Message as _;
use rdkafka::types::RDKafkaErrorCode;
use rdkafka::{ClientContext, Offset, TopicPartitionList};

use super::librdkafka::Target;
use super::{Observations, Worker};
use crate::history::Operation;
use crate::history::content::{Identity, Place, decode};

/// How often a reader looks up from its work.
const POLL: Duration = Duration::from_millis(100);
/// How many polls in a row may bring nothing where there is something to read: longer than a leader's change.
const EMPTY_POLLS_MAX: usize = 600;
/// How many records go into one operation of the history at most.
const OPERATION_RECORDS_MAX: usize = 1_000;

/// A consumer that reads along.
#[derive(Debug)]
pub struct Reader(Worker);

struct Quiet;

impl ClientContext for Quiet {
    fn log(&self, _level: RDKafkaLogLevel, _facility: &str, _message: &str) {}
    fn error(&self, _error: KafkaError, _reason: &str) {}
}

impl ConsumerContext for Quiet {}

/// What was read of a partition and is not in the history yet.
type Batch = Vec<(i64, Result<Identity, String>)>;

/// A consumer's position in every partition.
struct Reading<'a> {
    consumer: BaseConsumer<Quiet>,
    topic: Arc<str>,
    process: u32,
    into: &'a Observations,
    unwritten: BTreeMap<i32, Batch>,
    ends: BTreeMap<i32, i64>,
}

impl Reader {
    /// Starts to read every partition from its beginning.
    #[must_use]
    pub fn start(target: &Target, process: u32, into: &Arc<Observations>) -> Reader {
        let (target, into) = (target.clone(), Arc::clone(into));
        Reader(Worker::start(move |stop: &AtomicBool| {
            let mut reading = Reading::begin(&target, process, &into)?;
            while !stop.load(Ordering::Relaxed) {
                reading.step()?;
            }
            reading.write();
            Ok(())
        }))
    }

    /// Stops reading.
    ///
    /// # Errors
    /// When what it wanted to read was not there.
    pub fn finish(&mut self) -> Result<()> {
        self.0.finish()
    }
}

/// Reads every partition from its beginning to its end (exclusive) with a fresh consumer.
///
/// # Errors
/// When something that is there does not come.
pub fn read_all(
    target: &Target,
    process: u32,
    into: &Observations,
    ends: &BTreeMap<Place, i64>,
) -> Result<()> {
    let mut reading = Reading::begin(target, process, into)?;
    let mut empty = 0;
    while ends.iter().any(|(place, end)| reading.ends.get(&place.partition).copied().unwrap_or(0) < *end) {
        empty = if reading.step()? { 0 } else { empty + 1 };
        if empty > EMPTY_POLLS_MAX {
            bail!("read to {:?} only, of {ends:?}", reading.ends);
        }
    }
    reading.write();
    Ok(())
}

impl<'a> Reading<'a> {
    fn begin(target: &Target, process: u32, into: &'a Observations) -> Result<Reading<'a>> {
        let consumer: BaseConsumer<Quiet> = ClientConfig::new()
            .set("bootstrap.servers", &target.bootstrap)
            .set("group.id", "unused")
            .set("enable.auto.commit", "false")
            // Without this a consumer would start anew, silently, where its position is gone.
            .set("auto.offset.reset", "error")
            .create_with_context(Quiet)?;
        let mut places = TopicPartitionList::new();
        for partition in 0..target.partitions {
            places.add_partition_offset(&target.topic, partition, Offset::Offset(0))?;
            let place = Place::new(&target.topic, partition);
            into.history.add_ended(Operation::Assigned { process, place });
        }
        consumer.assign(&places)?;
        let topic = Arc::clone(&target.topic);
        Ok(Reading { consumer, topic, process, into, unwritten: BTreeMap::new(), ends: BTreeMap::new() })
    }

    /// Takes the next record if one comes, and says whether one did.
    fn step(&mut self) -> Result<bool> {
        let Some(polled) = self.consumer.poll(POLL) else {
            self.write();
            return Ok(false);
        };
        let message = match polled {
            Ok(message) => message,
            Err(error) if error.rdkafka_error_code() == Some(RDKafkaErrorCode::AutoOffsetReset) => {
                bail!("consumer {} at {:?}: {error}", self.process, self.ends)
            }
            Err(error) => {
                self.into.complain("consumer", &error.to_string());
                return Ok(false);
            }
        };
        let partition = message.partition();
        let place = Place::new(&self.topic, partition);
        let read = decode(&place, message.payload().unwrap_or_default());
        let batch = self.unwritten.entry(partition).or_default();
        batch.push((message.offset(), read));
        let is_full = batch.len() >= OPERATION_RECORDS_MAX;
        self.ends.insert(partition, message.offset() + 1);
        if is_full {
            self.write();
        }
        Ok(true)
    }

    /// Writes into the history what was read since the last time.
    fn write(&mut self) {
        for (partition, records) in std::mem::take(&mut self.unwritten) {
            let place = Place::new(&self.topic, partition);
            self.into.history.add_ended(Operation::Poll { process: self.process, place, records });
        }
    }
}
