//! Quotas of clients: how much each user and client id may produce, fetch and keep this node busy, and how fast each address
//! may connect.
//!
//! A request that puts its client over a quota is carried out and answered at once, and its answer says for how long the
//! client is to keep quiet (`throttle_time_ms`); for so long nothing more is read from that connection, whether the client
//! keeps to it or not (KIP-219). A fetch over its quota is answered without records. Where nobody has a quota, nothing is
//! measured.
//!
//! `table` says which quota holds for whom, `rate`, `rates` and `addresses` measure; all are pure. Absent: who sets quotas
//! (`replication::controller::client_quotas`), and how many partitions clients make and delete, which the controller counts
//! (`replication::controller::mutations`). Source: KIP-13, KIP-124, KIP-219, `ClientQuotaManager.java`,
//! `ClientRequestQuotaManager.java`.

mod addresses;
mod meter;
mod mutations;
mod rate;
mod rates;
mod table;

use crate::clock;
use addresses::Addresses;
use parking_lot::Mutex;
use rate::Window;
use rates::Rates;
use replication::metadata::image::ClientQuotas as QuotasOfImage;
use replication::metadata::quota::{QuotaEntity, QuotaKey};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;
use table::Table;

pub(crate) use meter::{Meter, Mute, Throttled};

/// Who makes a request, as quotas see it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Client<'a> {
    /// The user's name.
    pub(crate) user: &'a str,
    /// The name that the client gave itself.
    pub(crate) client_id: &'a str,
}

/// The quotas in force, and what was measured of those that have one.
#[derive(Debug)]
pub(crate) struct ClientQuotas {
    produce: Quota,
    fetch: Quota,
    request: Quota,
    addresses: Mutex<Addresses>,
    window: Window,
}

/// One kind of quota.
#[derive(Debug)]
struct Quota {
    key: QuotaKey,
    table: arc_swap::ArcSwap<Table>,
    rates: Mutex<Rates<QuotaEntity>>,
}

impl ClientQuotas {
    /// No quotas yet, measured over `samples` windows of this length (`quota.window.num`, `quota.window.size.seconds`).
    pub(crate) fn new(samples: usize, length: Duration) -> Self {
        Self {
            produce: Quota::new(QuotaKey::ProducerByteRate),
            fetch: Quota::new(QuotaKey::ConsumerByteRate),
            request: Quota::new(QuotaKey::RequestPercentage),
            addresses: Mutex::default(),
            window: Window { samples: samples.max(1), length },
        }
    }

    /// These quotas hold from now on. What was measured stays.
    pub(crate) fn follow(&self, quotas: &QuotasOfImage) {
        for quota in [&self.produce, &self.fetch, &self.request] {
            quota.table.store(Arc::new(Table::of(quotas, quota.key)));
        }
        self.addresses.lock().follow(quotas);
    }

    /// Whether anybody has a quota that requests are measured for.
    pub(crate) fn are_set(&self) -> bool {
        [&self.produce, &self.fetch, &self.request].iter().any(|quota| !quota.table.load().is_empty())
    }

    /// `client` has produced so many bytes: for how long it is to keep quiet.
    pub(crate) fn produced(&self, client: Client<'_>, bytes: usize) -> Duration {
        self.produce.record(client, bytes as f64, self.window, clock::monotonic())
    }

    /// The most bytes that one fetch of `client` should answer: what its quota lets through in the time over which it is
    /// measured.
    pub(crate) fn fetch_bytes_max(&self, client: Client<'_>) -> usize {
        let table = self.fetch.table.load();
        let limit = table.find(client.user, client.client_id).map(|(_, limit)| limit);
        limit.map_or(usize::MAX, |limit| (limit * self.window.full_seconds()) as usize)
    }

    /// `client` is about to be sent so many bytes: for how long it is to keep quiet instead, without them.
    pub(crate) fn fetches(&self, client: Client<'_>, bytes: usize) -> Duration {
        let now = clock::monotonic();
        let quiet = self.fetch.record(client, bytes as f64, self.window, now);
        if !quiet.is_zero() {
            self.fetch.record(client, -(bytes as f64), self.window, now);
        }
        quiet
    }

    /// A request of `client` has kept a thread of this node busy for so long: for how long it is to keep quiet, one window at
    /// most.
    pub(crate) fn kept_busy(&self, client: Client<'_>, busy: Duration) -> Duration {
        let percent = busy.as_secs_f64() * 100.0;
        let quiet = self.request.record(client, percent, self.window, clock::monotonic());
        quiet.min(self.window.length)
    }

    /// Somebody connects from `address`: for how long the connection waits before it is turned away, or zero where it is let
    /// in.
    pub(crate) fn connects(&self, address: IpAddr) -> Duration {
        self.addresses.lock().connects(address, self.window, clock::monotonic())
    }

    /// How many users, client ids and addresses are measured.
    pub(crate) fn measured(&self) -> usize {
        [&self.produce, &self.fetch, &self.request]
            .iter()
            .map(|quota| quota.rates.lock().len())
            .sum::<usize>()
            + self.addresses.lock().measured()
    }
}

impl Quota {
    fn new(key: QuotaKey) -> Self {
        Self { key, table: arc_swap::ArcSwap::default(), rates: Mutex::default() }
    }

    fn record(&self, client: Client<'_>, amount: f64, window: Window, now: Duration) -> Duration {
        let table = self.table.load();
        let Some((sharers, limit)) = table.find(client.user, client.client_id) else { return Duration::ZERO };
        self.rates.lock().of(sharers, window, now).record(amount, limit, window, now)
    }
}

#[cfg(test)]
mod tests {
    use super::{Client, ClientQuotas};
    use replication::metadata::quota::{QuotaEntity, QuotaKey, QuotaLimit, QuotaName};
    use std::time::Duration;

    #[test]
    fn a_fetch_that_is_answered_without_records_does_not_count() {
        let quotas = ClientQuotas::new(11, Duration::from_secs(1));
        let client = Client { user: "ANONYMOUS", client_id: "c" };
        assert!(!quotas.are_set());
        assert_eq!(quotas.fetch_bytes_max(client), usize::MAX);
        let entity =
            QuotaEntity { client_id: Some(QuotaName::Named("c".to_owned())), ..QuotaEntity::default() };
        quotas.follow(&[(entity, [(QuotaKey::ConsumerByteRate, QuotaLimit::of(100.0))].into())].into());
        assert!(quotas.are_set());
        assert_eq!(quotas.fetch_bytes_max(client), 1000);
        assert!(!quotas.fetches(client, 5000).is_zero());
        assert!(quotas.fetches(client, 900).is_zero());
        assert!(quotas.fetches(Client { client_id: "d", ..client }, 1 << 30).is_zero());
        assert_eq!(quotas.produced(client, 1 << 30), Duration::ZERO);
        assert_eq!(quotas.measured(), 1);
    }
}
