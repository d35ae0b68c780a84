//! librdkafka, idempotent, with records whose number is their offset: for groups, whose members show what they read.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow};
use client_tests::ledger::{Ledger, number_of, payload};
use client_tests::wait::let_pass;
use rdkafka::ClientContext;
use rdkafka::config::{ClientConfig, RDKafkaLogLevel};
use rdkafka::error::KafkaError;
use rdkafka::message::Message as _;
use rdkafka::producer::{BaseRecord, DeliveryResult, Producer as _, ProducerContext, ThreadedProducer};

/// The time between two records of a partition.
const STEP: Duration = Duration::from_millis(50);
/// The longest that records may stay without an outcome once sending has ended.
const FLUSH_LIMIT: Duration = Duration::from_secs(60);

/// A running producer.
pub(crate) struct NumberedFlow {
    ledger: Arc<Mutex<Ledger>>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<Result<()>>>,
}

struct Acknowledgements(Arc<Mutex<Ledger>>);

impl ClientContext for Acknowledgements {
    fn log(&self, _level: RDKafkaLogLevel, _facility: &str, _message: &str) {}
    fn error(&self, _error: KafkaError, _reason: &str) {}
}

impl ProducerContext for Acknowledgements {
    type DeliveryOpaque = ();

    fn delivery(&self, result: &DeliveryResult<'_>, _opaque: ()) {
        let mut ledger = lock(&self.0);
        match result {
            Ok(message) => {
                let number = message.payload().context("no payload").and_then(number_of);
                match (usize::try_from(message.partition()), number) {
                    (Ok(partition), Ok(number)) => ledger.acknowledge(partition, number, message.offset()),
                    (_, number) => ledger.violate(format!("an acknowledgement of {number:?}")),
                }
            }
            Err((error, _)) => ledger.violate(format!("the client gave a record up: {error}")),
        }
    }
}

fn lock(ledger: &Mutex<Ledger>) -> MutexGuard<'_, Ledger> {
    ledger.lock().unwrap_or_else(PoisonError::into_inner)
}

impl NumberedFlow {
    /// Begins to produce to every partition of an empty topic.
    pub(crate) fn start(bootstrap: &str, topic: &str, partitions: i32) -> Result<NumberedFlow> {
        let ledger = Arc::new(Mutex::new(Ledger::new(usize::try_from(partitions)?)));
        let client: ThreadedProducer<Acknowledgements> = ClientConfig::new()
            .set("bootstrap.servers", bootstrap)
            .set("enable.idempotence", "true")
            // With more it may send a record again under a new epoch; see `client_tests::load::retries`.
            .set("max.in.flight", "1")
            .create_with_context(Acknowledgements(Arc::clone(&ledger)))?;
        let stop = Arc::new(AtomicBool::new(false));
        let (topic, until) = (topic.to_owned(), Arc::clone(&stop));
        let thread = std::thread::spawn(move || {
            for number in 0.. {
                if until.load(Ordering::Relaxed) {
                    break;
                }
                let value = payload(number);
                for partition in 0..partitions {
                    let record = BaseRecord::<(), _>::to(&topic).partition(partition).payload(&value);
                    client.send(record).map_err(|(error, _)| error)?;
                }
                let_pass(STEP);
            }
            Ok(client.flush(FLUSH_LIMIT)?)
        });
        Ok(NumberedFlow { ledger, stop, thread: Some(thread) })
    }

    /// Stops producing, and returns the offsets after the last records (exclusive), by partition.
    pub(crate) fn finish(&mut self) -> Result<Vec<i64>> {
        self.stop.store(true, Ordering::Relaxed);
        let thread = self.thread.take().context("a flow finishes once")?;
        thread.join().map_err(|_| anyhow!("the producer panicked"))??;
        let ledger = lock(&self.ledger);
        ledger.check()?;
        Ok(ledger.acknowledged_ends())
    }
}

impl Drop for NumberedFlow {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}
