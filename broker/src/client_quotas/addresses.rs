//! How fast single addresses may connect to this node (`connection_creation_rate`).
//!
//! Whoever connects faster waits, for one window at most, and is then turned away without an answer: nothing was read from
//! the connection, so that nothing is lost, and its client connects again. What is turned away does not count against the
//! rate. Source: KIP-612, `ConnectionQuotas.recordIpConnectionMaybeThrottle`.

use super::rate::Window;
use super::rates::Rates;
use replication::metadata::image::ClientQuotas;
use replication::metadata::quota::{QuotaKey, QuotaName};
use std::collections::HashMap;
use std::net::IpAddr;
use std::time::Duration;

/// The limits, and what was measured of addresses that have one.
#[derive(Debug, Default)]
pub(super) struct Addresses {
    limits: HashMap<IpAddr, f64>,
    default: Option<f64>,
    rates: Rates<IpAddr>,
}

impl Addresses {
    /// These quotas hold from now on. What was measured stays, while any address has a quota.
    pub(super) fn follow(&mut self, quotas: &ClientQuotas) {
        (self.limits, self.default) = (HashMap::new(), None);
        for (entity, limits) in quotas {
            let Some(limit) = limits.get(&QuotaKey::ConnectionCreationRate) else { continue };
            match &entity.ip {
                Some(QuotaName::Default) => self.default = Some(limit.value()),
                Some(QuotaName::Named(name)) => {
                    if let Ok(address) = name.parse::<IpAddr>() {
                        self.limits.insert(address.to_canonical(), limit.value());
                    }
                }
                None => {}
            }
        }
        if self.limits.is_empty() && self.default.is_none() {
            self.rates = Rates::default();
        }
    }

    /// `address` connects: for how long it waits before it is turned away, or zero where it is let in.
    pub(super) fn connects(&mut self, address: IpAddr, window: Window, now: Duration) -> Duration {
        let address = address.to_canonical();
        let Some(limit) = self.limits.get(&address).copied().or(self.default) else { return Duration::ZERO };
        let rate = self.rates.of(address, window, now);
        let wait = rate.record(1.0, limit, window, now);
        if !wait.is_zero() {
            rate.record(-1.0, limit, window, now);
        }
        wait.min(window.length)
    }

    pub(super) fn measured(&self) -> usize {
        self.rates.len()
    }
}

#[cfg(test)]
mod tests {
    use super::super::rates::RATES_MAX;
    use super::{Addresses, Window};
    use replication::metadata::image::ClientQuotas;
    use replication::metadata::quota::{QuotaEntity, QuotaKey, QuotaLimit, QuotaName};
    use std::net::{IpAddr, Ipv4Addr};
    use std::time::Duration;

    const WINDOW: Window = Window { samples: 11, length: Duration::from_secs(1) };

    fn at(milliseconds: u64) -> Duration {
        Duration::from_secs(1000) + Duration::from_millis(milliseconds)
    }

    /// Quotas of addresses; `*` for all others.
    fn quotas(limits: &[(&str, f64)]) -> ClientQuotas {
        let quota = |&(name, limit): &(&str, f64)| {
            let ip = match name {
                "*" => QuotaName::Default,
                name => QuotaName::Named(name.to_owned()),
            };
            let entity = QuotaEntity { ip: Some(ip), ..QuotaEntity::default() };
            (entity, [(QuotaKey::ConnectionCreationRate, QuotaLimit::of(limit))].into())
        };
        limits.iter().map(quota).collect()
    }

    /// How many of `times` connections at once are let in.
    fn let_in(addresses: &mut Addresses, from: &str, times: usize, now: Duration) -> usize {
        let from = from.parse().expect("an address");
        (0..times).filter(|_| addresses.connects(from, WINDOW, now).is_zero()).count()
    }

    #[test]
    fn an_address_is_let_in_as_often_as_its_own_quota_says_or_the_one_of_all_others() {
        let mut addresses = Addresses::default();
        assert_eq!((let_in(&mut addresses, "10.0.0.1", 100, at(0)), addresses.measured()), (100, 0));
        addresses.follow(&quotas(&[("10.0.0.1", 1.0), ("*", 3.0)]));
        // Ten seconds' worth may come at once.
        assert_eq!(let_in(&mut addresses, "10.0.0.1", 100, at(0)), 10);
        assert_eq!(let_in(&mut addresses, "10.0.0.2", 100, at(0)), 30);
        assert_eq!(let_in(&mut addresses, "::1", 100, at(0)), 30);
        assert_eq!(let_in(&mut addresses, "::ffff:10.0.0.1", 100, at(0)), 0, "it is the same one");
        addresses.follow(&quotas(&[("10.0.0.1", 2.0)]));
        assert_eq!(let_in(&mut addresses, "10.0.0.1", 100, at(0)), 10, "what was measured stays");
        assert_eq!(let_in(&mut addresses, "10.0.0.2", 100, at(0)), 100);
        addresses.follow(&quotas(&[]));
        assert_eq!((let_in(&mut addresses, "10.0.0.1", 100, at(0)), addresses.measured()), (100, 0));
    }

    #[test]
    fn who_is_turned_away_waits_a_window_at_most_and_does_not_count() {
        let mut addresses = Addresses::default();
        addresses.follow(&quotas(&[("10.0.0.1", 1.0)]));
        let address = "10.0.0.1".parse().expect("an address");
        assert_eq!(let_in(&mut addresses, "10.0.0.1", 10, at(0)), 10);
        for tick in 0..110 {
            let wait = addresses.connects(address, WINDOW, at(tick * 100));
            assert!(!wait.is_zero() && wait <= WINDOW.length, "{wait:?} after {tick}");
        }
        // The burst is forgotten once its window is, and those that were turned away never counted.
        assert_eq!(let_in(&mut addresses, "10.0.0.1", 100, at(11_000)), 10);
    }

    #[test]
    fn addresses_without_end_take_no_more_memory_and_are_held_back_together() {
        let mut addresses = Addresses::default();
        addresses.follow(&quotas(&[("*", 1.0)]));
        let numbers = 0..2 * u32::try_from(RATES_MAX).expect("it is small");
        let waits = numbers.filter(|number| {
            let address = IpAddr::V4(Ipv4Addr::from(*number));
            !addresses.connects(address, WINDOW, at(0)).is_zero()
        });
        assert_eq!(waits.count(), RATES_MAX - 10);
        assert_eq!(addresses.measured(), RATES_MAX);
    }
}
