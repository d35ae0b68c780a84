//! The ledger in the hands of librdkafka, which reports every record's outcome from a thread of its own.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use anyhow::Context as _;
use rdkafka::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::KafkaError;
use rdkafka::message::Message as _;
use rdkafka::producer::{DeliveryResult, ProducerContext};

use super::{Ledger, number_of};

/// Writes acknowledgements into a ledger that others read meanwhile; connections that break are what its tests are about.
#[derive(Debug, Clone)]
pub struct Acknowledgements(Arc<Mutex<Ledger>>);

impl Acknowledgements {
    /// An empty ledger for a topic of `partitions` empty partitions.
    #[must_use]
    pub fn new(partitions: usize) -> Acknowledgements {
        Acknowledgements(Arc::new(Mutex::new(Ledger::new(partitions))))
    }

    /// The ledger.
    pub fn ledger(&self) -> MutexGuard<'_, Ledger> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ClientContext for Acknowledgements {
    fn log(&self, _level: RDKafkaLogLevel, _facility: &str, _message: &str) {}
    fn error(&self, _error: KafkaError, _reason: &str) {}
}

impl ProducerContext for Acknowledgements {
    type DeliveryOpaque = ();

    fn delivery(&self, result: &DeliveryResult<'_>, _opaque: ()) {
        let mut ledger = self.ledger();
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
