//! An idempotent producer that never gives up, and the full read-back of what it sent.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow, bail, ensure};
use client_tests::ledger::acknowledgements::Acknowledgements;
use client_tests::ledger::{ReadBack, payload};
use client_tests::wait::wait_until;
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::error::KafkaError;
use rdkafka::message::Message as _;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _};
use rdkafka::types::RDKafkaErrorCode;
use rdkafka::{Offset, TopicPartitionList};

/// The longest to wait for a client to come back to a restarted node.
const LIMIT: Duration = Duration::from_secs(60);
/// The longest to wait for a record that is there.
const READ_LIMIT: Duration = Duration::from_secs(60);
/// How many records may be under way. More make a cycle longer, fewer leave a crash less to lose.
const QUEUE: usize = 400;

/// A running load.
pub(crate) struct Load {
    partitions: usize,
    topic: String,
    acknowledgements: Acknowledgements,
    /// How many records may be sent in all. Without it a fast node would make every read-back longer than the last.
    allowed: Arc<AtomicUsize>,
    finish: Arc<AtomicBool>,
    thread: Option<JoinHandle<Result<()>>>,
}

impl Load {
    /// Starts to send records to every partition of an existing, empty topic.
    pub(crate) fn start(bootstrap: &str, topic: &str, partitions: usize) -> Result<Load> {
        let acknowledgements = Acknowledgements::new(partitions);
        let finish = Arc::new(AtomicBool::new(false));
        let producer: BaseProducer<Acknowledgements> = ClientConfig::new()
            .set("bootstrap.servers", bootstrap)
            .set("enable.idempotence", "true")
            .set("queue.buffering.max.messages", QUEUE.to_string())
            .set("linger.ms", "1")
            .set("message.timeout.ms", "0")
            .set("reconnect.backoff.ms", "5")
            .set("reconnect.backoff.max.ms", "20")
            .set("retry.backoff.ms", "10")
            .set("retry.backoff.max.ms", "20")
            .create_with_context(acknowledgements.clone())?;
        let allowed = Arc::new(AtomicUsize::new(QUEUE));
        let (to, limit, until) = (topic.to_owned(), Arc::clone(&allowed), Arc::clone(&finish));
        let thread = std::thread::spawn(move || send_until(&producer, &to, partitions, &limit, &until));
        Ok(Load {
            partitions,
            topic: topic.to_owned(),
            acknowledgements,
            allowed,
            finish,
            thread: Some(thread),
        })
    }

    /// Waits until `more` further records have been acknowledged, while others are under way.
    pub(crate) fn wait_for_acknowledgements(&self, more: i64) -> Result<()> {
        let goal = self.acknowledged() + more;
        self.allowed.fetch_max(usize::try_from(goal)? + QUEUE, Ordering::Relaxed);
        wait_until(LIMIT, &format!("{more} more records are acknowledged"), || {
            self.acknowledgements.ledger().check()?;
            Ok(self.acknowledged() >= goal)
        })
    }

    /// Does something while records are sent without a limit, so that it meets the node at work.
    pub(crate) fn while_sending<T>(&self, act: impl FnOnce() -> Result<T>) -> Result<T> {
        self.allowed.store(usize::MAX, Ordering::Relaxed);
        let outcome = act();
        self.allowed.store(usize::try_from(self.acknowledged())? + QUEUE, Ordering::Relaxed);
        outcome
    }

    /// The offsets after the last acknowledged records (exclusive), by partition.
    pub(crate) fn acknowledged_ends(&self) -> Vec<i64> {
        self.acknowledgements.ledger().acknowledged_ends()
    }

    /// How many records have been acknowledged.
    pub(crate) fn acknowledged(&self) -> i64 {
        self.acknowledgements.ledger().acknowledged()
    }

    /// Reads the whole topic and checks that what was acknowledged before is in it, each record once, at its offset.
    pub(crate) fn read_back(&self, bootstrap: &str) -> Result<()> {
        let ends: Vec<i64> = {
            let ledger = self.acknowledgements.ledger();
            ledger.check()?;
            (0..self.partitions).map(|partition| ledger.acknowledged_end(partition)).collect()
        };
        let read = read_to_ends(bootstrap, &self.topic, &ends)?;
        for (partition, (end, read)) in ends.iter().zip(read).enumerate() {
            ensure!(
                read.end() >= *end,
                "partition {partition} ends at {}, acknowledged to {end}",
                read.end()
            );
        }
        Ok(())
    }

    /// Stops sending, waits until everything that was sent is acknowledged, and reads it back.
    pub(crate) fn finish(mut self, bootstrap: &str) -> Result<()> {
        self.finish.store(true, Ordering::Relaxed);
        let thread = self.thread.take().context("a load finishes once")?;
        thread.join().map_err(|_| anyhow!("the load panicked"))??;
        self.read_back(bootstrap)
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        self.finish.store(true, Ordering::Relaxed);
    }
}

/// Sends records to each partition in turn, as many as allowed, until told to finish; then waits for all of them.
fn send_until(
    producer: &BaseProducer<Acknowledgements>,
    topic: &str,
    partitions: usize,
    allowed: &AtomicUsize,
    finish: &AtomicBool,
) -> Result<()> {
    let mut sent = 0;
    'sending: for number in 0.. {
        while sent >= allowed.load(Ordering::Relaxed) {
            if finish.load(Ordering::Relaxed) {
                break 'sending;
            }
            producer.poll(Duration::from_millis(5));
        }
        sent += partitions;
        let value = payload(number);
        for partition in 0..partitions {
            let partition = i32::try_from(partition)?;
            let mut record = BaseRecord::<(), _>::to(topic).partition(partition).payload(&value);
            while let Err((error, refused)) = producer.send(record) {
                ensure!(error == KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), "{error}");
                if finish.load(Ordering::Relaxed) {
                    break 'sending;
                }
                record = refused;
                producer.poll(Duration::from_millis(5));
            }
        }
        producer.poll(Duration::ZERO);
    }
    producer.flush(LIMIT)?;
    Ok(())
}

/// Reads each partition from its start to its end, which is at least `ends`, and checks every record.
fn read_to_ends(bootstrap: &str, topic: &str, ends: &[i64]) -> Result<Vec<ReadBack>> {
    let consumer: BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", bootstrap)
        .set("group.id", "unused")
        .set("enable.auto.commit", "false")
        .set("auto.offset.reset", "error")
        .set("fetch.wait.max.ms", "5")
        .create()?;
    let mut places = TopicPartitionList::new();
    for (partition, _) in (0..).zip(ends) {
        places.add_partition_offset(topic, partition, Offset::Offset(0))?;
    }
    consumer.assign(&places)?;
    let mut read: Vec<ReadBack> = ends.iter().map(|_| ReadBack::default()).collect();
    while read.iter().zip(ends).any(|(read, end)| read.end() < *end) {
        let Some(message) = consumer.poll(READ_LIMIT) else {
            let ranges: Vec<_> = (0..)
                .zip(ends)
                .map(|(partition, _)| consumer.fetch_watermarks(topic, partition, READ_LIMIT))
                .collect();
            bail!("read {read:?} of {ends:?} only; the broker has {ranges:?}");
        };
        let message = message?;
        let partition = usize::try_from(message.partition())?;
        let read = read.get_mut(partition).context("a partition that the topic does not have")?;
        read.add(message.offset(), message.payload().context("no payload")?)
            .with_context(|| format!("in partition {partition}"))?;
    }
    Ok(read)
}
