//! The clients that were asked to push metrics: who asked when, and what they pushed.
//!
//! A core: time and random ids are parameters. A client is told what to push, and pushes once in each interval; one that comes
//! sooner is told so. The id of what it was told changes with that, so that a push of something else is known for what it is.
//! A client that is not heard of for three intervals, or whose connection ends, is forgotten with what it pushed.
//!
//! Invariant: `series_count` is the sum over the clients.
//! Source: KIP-714, ClientMetricsManager.java, ClientMetricsInstance.java.

use super::otlp::Point;
use super::series::{Series, own_labels};
use super::subscription::{Client, DEFAULT_INTERVAL, EVERY_METRIC, Subscription};
use std::collections::{BTreeMap, BTreeSet};
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::net::SocketAddr;
use std::time::Duration;
use uuid::Uuid;

/// The most clients that are remembered; beyond it the one that was heard of longest ago is forgotten. Larger: clients that make
/// ids up take more memory, some hundred bytes each. Smaller: clients of a large cluster push one another out.
const CLIENTS_MAX: usize = 10_000;

/// The most series of all clients. Larger: a scrape takes longer, and they take more memory: about half a kilobyte each,
/// and 8 KiB where clients make up long texts. Smaller: many clients that push everything are not seen as a whole.
pub(super) const SERIES_MAX: usize = 50_000;

/// A client is forgotten no sooner than this. Source: `ClientMetricsManager.DEFAULT_CACHE_EXPIRY_MS`.
const EXPIRY_MIN: Duration = Duration::from_secs(60);

/// Ids that no client may have: zero stands for none yet, and Kafka keeps one for itself. Source: `Uuid.RESERVED`.
const RESERVED: [Uuid; 2] = [Uuid::nil(), Uuid::from_u128(1)];

/// Why a client is not told what to push, or why its push is not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum TelemetryError {
    #[error("clients do not push their metrics to this node")]
    SwitchedOff,
    #[error("the client instance id is one that no client may have")]
    InvalidInstanceId,
    #[error("the client said before that it ends")]
    Terminated,
    #[error("the request came before the next push interval")]
    TooSoon,
    #[error("the push is for a subscription that the client does not have")]
    UnknownSubscription,
    #[error("the metrics are compressed in a way that there is not")]
    UnsupportedCompression,
    #[error("the metrics are larger than telemetry.max.bytes")]
    TooLarge,
    #[error("the metrics cannot be read")]
    InvalidMetrics,
}

/// What a client is to push.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Granted {
    pub(crate) instance_id: Uuid,
    pub(crate) subscription_id: i32,
    pub(crate) interval: Duration,
    pub(crate) metrics: Vec<String>,
}

/// A push, before what it holds is looked at.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Push {
    pub(crate) instance_id: Uuid,
    pub(crate) subscription_id: i32,
    /// Whether the client ends with it.
    pub(crate) is_terminating: bool,
    pub(crate) is_compression_known: bool,
    pub(crate) is_too_large: bool,
}

/// All clients that were heard of.
#[derive(Debug, Default)]
pub(super) struct Instances {
    subscriptions: BTreeMap<String, Subscription>,
    /// How often the subscriptions have changed.
    version: u64,
    by_id: BTreeMap<Uuid, Instance>,
    by_connection: BTreeMap<SocketAddr, Uuid>,
    series_count: usize,
}

#[derive(Debug)]
struct Instance {
    client: Client,
    connection: SocketAddr,
    granted: Granted,
    version: u64,
    last_get: Option<Duration>,
    last_push: Option<Duration>,
    is_terminating: bool,
    /// Its last push was refused since it had to ask again.
    must_ask_again: bool,
    heard_at: Duration,
    series: Series,
}

impl Instances {
    /// These are the subscriptions from now on.
    pub(super) fn subscribe(&mut self, subscriptions: BTreeMap<String, Subscription>) {
        self.subscriptions = subscriptions;
        self.version += 1;
    }

    /// What the client at the other end of `connection` is to push. One that has no id yet gets `new_id`.
    pub(super) fn get(
        &mut self,
        instance_id: Uuid,
        new_id: Uuid,
        (client, connection): (Client, SocketAddr),
        now: Duration,
    ) -> Result<Granted, TelemetryError> {
        let instance_id = if instance_id.is_nil() { new_id } else { instance_id };
        let instance = self.heard(instance_id, client, connection, now);
        let last = instance.last_get.max(instance.last_push);
        let is_due = last.is_none_or(|last| now >= last + instance.granted.interval);
        if !is_due && !instance.must_ask_again {
            return Err(TelemetryError::TooSoon);
        }
        if is_due {
            instance.last_get = Some(now);
        }
        instance.must_ask_again = false;
        Ok(instance.granted.clone())
    }

    /// Judges a push, in Kafka's order.
    pub(super) fn push(
        &mut self,
        push: &Push,
        (client, connection): (Client, SocketAddr),
        now: Duration,
    ) -> Result<(), TelemetryError> {
        if RESERVED.contains(&push.instance_id) {
            return Err(TelemetryError::InvalidInstanceId);
        }
        let instance = self.heard(push.instance_id, client, connection, now);
        let judged = instance.judge(push, now);
        instance.is_terminating = push.is_terminating;
        instance.must_ask_again = matches!(
            judged,
            Err(TelemetryError::UnknownSubscription | TelemetryError::UnsupportedCompression)
        );
        judged
    }

    /// Takes in what a client pushed, and says how much of it found no room.
    pub(super) fn take(&mut self, instance_id: Uuid, points: &[Point]) -> usize {
        let Some(instance) = self.by_id.get_mut(&instance_id) else { return points.len() };
        let others = self.series_count - instance.series.len();
        let own = instance.labels();
        let is_left_out = |point: &&Point| {
            let room = SERIES_MAX.saturating_sub(others + instance.series.len());
            !instance.series.take(&own, point, room)
        };
        let left_out = points.iter().filter(is_left_out).count();
        self.series_count = others + instance.series.len();
        left_out
    }

    /// Forgets the clients that were not heard of for long.
    pub(super) fn expire(&mut self, now: Duration) {
        let is_gone =
            |instance: &&Instance| now >= instance.heard_at + EXPIRY_MIN.max(3 * instance.granted.interval);
        let gone: Vec<Uuid> =
            self.by_id.values().filter(is_gone).map(|instance| instance.granted.instance_id).collect();
        gone.into_iter().for_each(|instance_id| self.forget(instance_id));
    }

    /// The connection has ended.
    pub(super) fn disconnected(&mut self, connection: SocketAddr) {
        if let Some(instance_id) = self.by_connection.get(&connection).copied() {
            self.forget(instance_id);
        }
    }

    /// How many clients there are.
    pub(super) fn len(&self) -> usize {
        self.by_id.len()
    }

    /// Metric, labels and value of everything.
    pub(super) fn series(&self) -> impl Iterator<Item = (&str, &str, f64)> {
        self.by_id.values().flat_map(|instance| instance.series.iter())
    }

    /// The client of this id, which is told something new where the subscriptions have changed.
    fn heard(
        &mut self,
        instance_id: Uuid,
        client: Client,
        connection: SocketAddr,
        now: Duration,
    ) -> &mut Instance {
        let is_current = self.by_id.get(&instance_id).is_some_and(|known| known.version == self.version);
        if !is_current {
            let series = self.take_series(instance_id);
            self.make_room();
            self.series_count += series.len();
            let instance = Instance {
                granted: self.grant(instance_id, &client),
                client: client.clone(),
                connection,
                version: self.version,
                last_get: None,
                last_push: None,
                is_terminating: false,
                must_ask_again: false,
                heard_at: now,
                series,
            };
            self.by_id.insert(instance_id, instance);
        }
        // A connection has one client: of one that makes up another id, the first is forgotten.
        if let Some(other) =
            self.by_connection.insert(connection, instance_id).filter(|id| *id != instance_id)
        {
            self.forget_instance(other);
        }
        let instance = self.by_id.get_mut(&instance_id).expect("it was there or has just been put there");
        if instance.connection != connection {
            self.by_connection.remove(&instance.connection);
            (instance.connection, instance.client) = (connection, client);
        }
        instance.heard_at = now;
        instance
    }

    /// Takes the client out and keeps what it pushed.
    fn take_series(&mut self, instance_id: Uuid) -> Series {
        let Some(instance) = self.by_id.remove(&instance_id) else { return Series::default() };
        self.by_connection.remove(&instance.connection);
        self.series_count -= instance.series.len();
        instance.series
    }

    fn make_room(&mut self) {
        if self.by_id.len() < CLIENTS_MAX {
            return;
        }
        let oldest = self.by_id.values().min_by_key(|instance| instance.heard_at);
        if let Some(instance_id) = oldest.map(|instance| instance.granted.instance_id) {
            self.forget(instance_id);
        }
    }

    fn forget(&mut self, instance_id: Uuid) {
        if let Some(connection) = self.forget_instance(instance_id) {
            self.by_connection.remove(&connection);
        }
    }

    fn forget_instance(&mut self, instance_id: Uuid) -> Option<SocketAddr> {
        let instance = self.by_id.remove(&instance_id)?;
        self.series_count -= instance.series.len();
        Some(instance.connection)
    }

    /// All that the subscriptions for the client want, at the shortest of their intervals.
    fn grant(&self, instance_id: Uuid, client: &Client) -> Granted {
        let id = base64_of(instance_id);
        let own: Vec<_> = self.subscriptions.values().filter(|one| one.is_for(&id, client)).collect();
        let shortest = own.iter().map(|one| one.interval).min();
        let interval = shortest.map_or(DEFAULT_INTERVAL, |shortest| shortest.min(DEFAULT_INTERVAL));
        let mut metrics: BTreeSet<&str> =
            own.iter().flat_map(|one| &one.metrics).map(String::as_str).collect();
        if metrics.contains(EVERY_METRIC) {
            metrics = BTreeSet::from([EVERY_METRIC]);
        }
        let mut hasher = DefaultHasher::new();
        (&metrics, interval, instance_id.as_u128()).hash(&mut hasher);
        Granted {
            instance_id,
            // Any number that differs where what is told does.
            subscription_id: (hasher.finish() as u32).cast_signed(),
            interval,
            metrics: metrics.into_iter().map(str::to_owned).collect(),
        }
    }
}

impl Instance {
    fn judge(&mut self, push: &Push, now: Duration) -> Result<(), TelemetryError> {
        if self.is_terminating {
            return Err(TelemetryError::Terminated);
        }
        // The first push after a client was told what to push comes when it likes.
        let is_due = self.last_get > self.last_push
            || self.last_push.is_none_or(|last| now >= last + self.granted.interval);
        if is_due {
            self.last_push = Some(now);
        }
        if !is_due && !push.is_terminating {
            Err(TelemetryError::TooSoon)
        } else if push.subscription_id != self.granted.subscription_id {
            Err(TelemetryError::UnknownSubscription)
        } else if !push.is_compression_known {
            Err(TelemetryError::UnsupportedCompression)
        } else if push.is_too_large {
            Err(TelemetryError::TooLarge)
        } else {
            Ok(())
        }
    }

    fn labels(&self) -> String {
        own_labels(&[
            ("client_instance_id", &base64_of(self.granted.instance_id)),
            ("client_id", &self.client.client_id),
            ("client_software_name", &self.client.software_name),
            ("client_software_version", &self.client.software_version),
            ("client_source_address", &self.client.source_address),
        ])
    }
}

/// The id as Kafka writes it: base64 without padding, in the alphabet for addresses.
fn base64_of(id: Uuid) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let bits = id.as_u128();
    // 128 bits in 22 digits of 6: the last one has four bits of nothing.
    let digit = |place: u32| {
        let shift = 128_i32 - 6 * (place.cast_signed() + 1);
        let value = if shift >= 0 { bits >> shift } else { bits << -shift };
        ALPHABET.get((value & 63) as usize).copied().map_or('?', char::from)
    };
    (0..22).map(digit).collect()
}

#[cfg(test)]
mod tests;
