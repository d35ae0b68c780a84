//! librdkafka, idempotent, with records whose number is their offset: for groups, whose members show what they read.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow};
use client_tests::ledger::acknowledgements::Acknowledgements;
use client_tests::ledger::payload;
use client_tests::wait::let_pass;
use rdkafka::config::ClientConfig;
use rdkafka::producer::{BaseRecord, Producer as _, ThreadedProducer};

/// The time between two records of a partition.
const STEP: Duration = Duration::from_millis(50);
/// The longest that records may stay without an outcome once sending has ended.
const FLUSH_LIMIT: Duration = Duration::from_secs(60);

/// A running producer.
pub(crate) struct NumberedFlow {
    acknowledgements: Acknowledgements,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<Result<()>>>,
}

impl NumberedFlow {
    /// Begins to produce to every partition of an empty topic.
    pub(crate) fn start(bootstrap: &str, topic: &str, partitions: i32) -> Result<NumberedFlow> {
        let acknowledgements = Acknowledgements::new(usize::try_from(partitions)?);
        let client: ThreadedProducer<Acknowledgements> = ClientConfig::new()
            .set("bootstrap.servers", bootstrap)
            .set("enable.idempotence", "true")
            // With more it may send a record again under a new epoch; see `client_tests::load::retries`.
            .set("max.in.flight", "1")
            .create_with_context(acknowledgements.clone())?;
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
        Ok(NumberedFlow { acknowledgements, stop, thread: Some(thread) })
    }

    /// Stops producing, and returns the offsets after the last records (exclusive), by partition.
    pub(crate) fn finish(&mut self) -> Result<Vec<i64>> {
        self.stop.store(true, Ordering::Relaxed);
        let thread = self.thread.take().context("a flow finishes once")?;
        thread.join().map_err(|_| anyhow!("the producer panicked"))??;
        let ledger = self.acknowledgements.ledger();
        ledger.check()?;
        Ok(ledger.acknowledged_ends())
    }
}

impl Drop for NumberedFlow {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}
