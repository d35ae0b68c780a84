//! Metrics that clients push (KIP-714): which they are asked for, and what they pushed last, as `/metrics` shows it.
//!
//! Served where `ottla.client.metrics.enable` says so. `subscription` says who is to push what, `instances` remembers who was
//! asked when, `otlp` reads what comes and `series` shows it; all of them are pure. Values are kept in memory alone, until their
//! client is gone. Absent: exponential histograms and summaries, which no client of Kafka's sends.

mod instances;
mod otlp;
mod series;
mod subscription;

use crate::api::RequestContext;
use crate::clock;
use bytes::Bytes;
use instances::Instances;
use otlp::Point;
use parking_lot::Mutex;
use replication::metadata::image::MetadataImage;
use replication::metadata::record::ConfigResource;
use std::net::SocketAddr;
use std::sync::{Arc, OnceLock};
use storage::compression::{Codec, decompress};
use uuid::Uuid;

pub(crate) use instances::{Granted, Push, TelemetryError};
#[cfg(test)]
pub(crate) use otlp::gauge_for_tests;
pub(crate) use subscription::{Client, Subscription, SubscriptionError};

/// The most bytes of metrics of one push once they are decompressed, where `telemetry.max.bytes` is not more. Larger: read, they
/// take up to 150 times that while one push at a time is looked at. Smaller: clients that push everything are refused.
const DECOMPRESSED_BYTES_MAX: usize = 1024 * 1024;

/// The most values of one push that are looked at: those of a client that pushes all that there is room for.
const POINTS_PER_PUSH_MAX: usize = series::SERIES_PER_CLIENT_MAX;

/// What software a client says it is, once it has. Source: KIP-511.
#[derive(Debug, Default)]
pub(crate) struct ClientSoftware(OnceLock<(String, String)>);

impl ClientSoftware {
    /// It said so; what it said first holds.
    pub(crate) fn set(&self, name: &str, version: &str) {
        if !name.is_empty() {
            self.0.get_or_init(|| (name.to_owned(), version.to_owned()));
        }
    }

    /// Name and version.
    fn get(&self) -> (String, String) {
        let unknown = || ("unknown".to_owned(), "unknown".to_owned());
        self.0.get().cloned().unwrap_or_else(unknown)
    }
}

/// What clients are asked to measure, and what they have.
#[derive(Debug, Default)]
pub(crate) struct Telemetry {
    instances: Mutex<Instances>,
    /// One push is read at a time, since it takes more memory than it has bytes.
    reading: Arc<tokio::sync::Mutex<()>>,
}

impl Telemetry {
    /// Follows the subscriptions that `image` has.
    pub(crate) fn follow(&self, image: &MetadataImage) {
        let subscriptions = image.configured_resources().filter_map(|resource| match resource {
            ConfigResource::ClientMetrics(name) => {
                // They were checked before they were agreed on.
                let subscription = Subscription::read(image.configs_of(resource));
                subscription
                    .inspect_err(|error| tracing::error!("the subscription {name} is not in force: {error}"))
                    .ok()
                    .map(|subscription| (name.clone(), subscription))
            }
            ConfigResource::Topic(_)
            | ConfigResource::Broker(_)
            | ConfigResource::AllBrokers
            | ConfigResource::Group(_) => None,
        });
        let subscriptions = subscriptions.collect();
        self.instances.lock().subscribe(subscriptions);
    }

    /// What the client is to push; a nil id asks for one.
    ///
    /// # Errors
    /// [`TelemetryError`] where it asks too soon.
    pub(crate) fn get(&self, context: &RequestContext, instance_id: Uuid) -> Result<Granted, TelemetryError> {
        let now = clock::monotonic();
        self.instances.lock().get(instance_id, Uuid::new_v4(), asking(context), now)
    }

    /// Takes in what a client pushed, in this codec. Says how many values found no room.
    ///
    /// # Errors
    /// [`TelemetryError`]; nothing of it is shown then.
    pub(crate) async fn push(
        &self,
        context: &RequestContext,
        push: Push,
        codec: Option<Codec>,
        metrics: Bytes,
        bytes_max: usize,
    ) -> Result<usize, TelemetryError> {
        self.instances.lock().push(&push, asking(context), clock::monotonic())?;
        let codec = codec.ok_or(TelemetryError::UnsupportedCompression)?;
        if metrics.is_empty() {
            return Ok(0);
        }
        let turn = Arc::clone(&self.reading).lock_owned().await;
        let read = tokio::task::spawn_blocking(move || {
            // To its end, also where the client is gone meanwhile.
            let _turn = turn;
            read(codec, &metrics, bytes_max.max(DECOMPRESSED_BYTES_MAX))
        });
        // A panic has already ended the process; see `panics`.
        let points = read.await.map_err(|_stopping| TelemetryError::InvalidMetrics)??;
        Ok(self.instances.lock().take(push.instance_id, &points))
    }

    /// Forgets the clients that were not heard of for long.
    pub(crate) fn expire(&self) {
        self.instances.lock().expire(clock::monotonic());
    }

    /// The connection to this client has ended.
    pub(crate) fn disconnected(&self, peer: SocketAddr) {
        self.instances.lock().disconnected(peer);
    }

    /// How many clients there are.
    pub(crate) fn clients(&self) -> usize {
        self.instances.lock().len()
    }

    /// All that they pushed, in the text format of Prometheus.
    pub(crate) fn render(&self) -> String {
        series::render(self.instances.lock().series())
    }
}

fn asking(context: &RequestContext) -> (Client, SocketAddr) {
    let (software_name, software_version) = context.software.get();
    let peer = context.peer_address;
    let client = Client {
        client_id: context.client_id.clone(),
        software_name,
        software_version,
        source_address: peer.ip().to_canonical().to_string(),
        source_port: peer.port(),
    };
    (client, peer)
}

fn read(codec: Codec, metrics: &[u8], bytes_max: usize) -> Result<Vec<Point>, TelemetryError> {
    let invalid = |error: &dyn std::error::Error| {
        tracing::debug!("what a client pushed is not shown: {error}");
        TelemetryError::InvalidMetrics
    };
    let metrics = decompress(codec, metrics, bytes_max).map_err(|error| invalid(&error))?;
    otlp::read(&metrics, POINTS_PER_PUSH_MAX).map_err(|error| invalid(&error))
}
