//! librdkafka as a producer in this process, by the Rust crate rdkafka.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Result, ensure};
use rdkafka::ClientContext;
use rdkafka::config::{ClientConfig, RDKafkaLogLevel};
use rdkafka::error::KafkaError;
use rdkafka::message::Message as _;
use rdkafka::producer::{BaseRecord, DeliveryResult, Producer as _, ProducerContext, ThreadedProducer};

use super::{Observations, Worker};
use crate::history::content::{Identity, Place, decode, encode};
use crate::history::{Operation, Outcome};
use crate::wait::let_pass;

/// The longest that records which were sent may stay without an outcome once sending has ended.
const FLUSH_LIMIT: Duration = Duration::from_secs(120);

/// Where a load goes.
#[derive(Debug, Clone)]
pub struct Target {
    /// `host:port` of the nodes, with commas between.
    pub bootstrap: String,
    /// The topic.
    pub topic: Arc<str>,
    /// Its partitions.
    pub partitions: i32,
    /// The time between two records to the same partition.
    pub step: Duration,
}

/// A running producer.
#[derive(Debug)]
pub struct LibrdkafkaLoad(Worker);

/// Writes what librdkafka reports into the observations.
struct Reports(Arc<Observations>);

impl ClientContext for Reports {
    fn log(&self, _level: RDKafkaLogLevel, _facility: &str, _message: &str) {}

    fn error(&self, error: KafkaError, reason: &str) {
        self.0.complain("librdkafka", &format!("{error}: {reason}"));
    }
}

impl ProducerContext for Reports {
    type DeliveryOpaque = ();

    fn delivery(&self, result: &DeliveryResult<'_>, _opaque: ()) {
        let (message, error) = match result {
            Ok(message) => (message, None),
            Err((error, message)) => (message, Some(error)),
        };
        let place = Place::new(&message.topic().into(), message.partition());
        let Ok(record) = decode(&place, message.payload().unwrap_or_default()) else {
            return self.0.complain("librdkafka", "it reports a record that was never sent");
        };
        let outcome = match error {
            None => {
                self.0.progress.note(record.producer, place.partition);
                Outcome::Acknowledged(Some(message.offset()).filter(|offset| *offset >= 0))
            }
            Some(error) => {
                self.0.complain("librdkafka", &format!("{record} in {place} is given up: {error}"));
                Outcome::Unknown
            }
        };
        self.0.history.add_ended(Operation::Send { place, record, outcome });
    }
}

impl LibrdkafkaLoad {
    /// Starts to send.
    ///
    /// # Errors
    /// When the client cannot be made.
    pub fn start(target: &Target, producer: u32, into: &Arc<Observations>) -> Result<LibrdkafkaLoad> {
        let client: ThreadedProducer<Reports> = ClientConfig::new()
            .set("bootstrap.servers", &target.bootstrap)
            .set("enable.idempotence", "true")
            .set("acks", "all")
            .create_with_context(Reports(Arc::clone(into)))?;
        let (target, into) = (target.clone(), Arc::clone(into));
        Ok(LibrdkafkaLoad(Worker::start(move |stop| send(&client, &target, producer, &into, stop))))
    }

    /// Stops sending, and waits until every record has an outcome.
    ///
    /// # Errors
    /// When one has none in time.
    pub fn finish(&mut self) -> Result<()> {
        self.0.finish()
    }
}

fn send(
    client: &ThreadedProducer<Reports>,
    target: &Target,
    producer: u32,
    into: &Observations,
    stop: &AtomicBool,
) -> Result<()> {
    let places = || (0..target.partitions).map(|partition| Place::new(&target.topic, partition));
    let mut sequence = 0;
    while !stop.load(Ordering::Relaxed) {
        for place in places() {
            let value = encode(&place, Identity { producer, sequence });
            let mut record = BaseRecord::<(), _>::to(&place.topic).partition(place.partition).payload(&value);
            // The queue is full while nothing is acknowledged.
            while let Err((error, refused)) = client.send(record) {
                ensure!(
                    error.rdkafka_error_code() == Some(rdkafka::types::RDKafkaErrorCode::QueueFull),
                    "{error}"
                );
                let_pass(target.step);
                record = refused;
            }
        }
        sequence += 1;
        let_pass(target.step);
    }
    for place in places() {
        into.history.add_ended(Operation::Attempted { producer, place, end: sequence });
    }
    Ok(client.flush(FLUSH_LIMIT)?)
}
