//! The rates of many, of whom no more are remembered than there is room for.

use super::rate::{Rate, Window};
use std::collections::HashMap;
use std::hash::Hash;
use std::time::Duration;

/// The most users and client ids, or addresses, whose rates are measured at once, of each kind of quota. Larger: those that
/// make names up, or have many addresses, take more memory, about 1 KiB each. Smaller: those beyond it share one rate, and
/// hold one another up.
pub(super) const RATES_MAX: usize = 10_000;

/// How often rates that have run out may be looked for. Shorter: names that are made up one by one cost a walk over all
/// rates each. Longer: those who share a rate share it for longer.
const SWEEP_EVERY: Duration = Duration::from_secs(1);

/// What was measured of each that has a quota.
#[derive(Debug)]
pub(super) struct Rates<K> {
    by_key: HashMap<K, Rate>,
    /// Of those for whom there was no room.
    others: Rate,
    swept_at: Duration,
}

impl<K> Default for Rates<K> {
    fn default() -> Self {
        Self { by_key: HashMap::new(), others: Rate::default(), swept_at: Duration::ZERO }
    }
}

impl<K: Eq + Hash> Rates<K> {
    /// The rate of `key`, or the one that it shares.
    pub(super) fn of(&mut self, key: K, window: Window, now: Duration) -> &mut Rate {
        let is_full = self.by_key.len() >= RATES_MAX && !self.by_key.contains_key(&key);
        if is_full && now >= self.swept_at + SWEEP_EVERY {
            self.swept_at = now;
            self.by_key.retain(|_, rate| !rate.has_run_out(window, now));
        }
        if is_full && self.by_key.len() >= RATES_MAX {
            return &mut self.others;
        }
        self.by_key.entry(key).or_default()
    }

    /// How many have a rate of their own.
    pub(super) fn len(&self) -> usize {
        self.by_key.len()
    }
}

#[cfg(test)]
mod tests {
    use super::{RATES_MAX, Rates, Window};
    use std::time::Duration;

    const WINDOW: Window = Window { samples: 11, length: Duration::from_secs(1) };

    #[test]
    fn rates_stay_bounded_and_those_that_have_run_out_make_room() {
        let mut rates = Rates::default();
        let start = Duration::from_secs(100);
        for number in 0..2 * RATES_MAX {
            let quiet = rates.of(number, WINDOW, start).record(1.0, 1.0, WINDOW, start);
            let is_alone = number < RATES_MAX;
            assert!(!is_alone || quiet.is_zero());
        }
        assert_eq!(rates.len(), RATES_MAX);
        let quiet = rates.of(5 * RATES_MAX, WINDOW, start).record(1.0, 1.0, WINDOW, start);
        assert!(!quiet.is_zero(), "those beyond it share one rate");
        let later = start + Duration::from_secs(12);
        rates.of(5 * RATES_MAX, WINDOW, later).record(1.0, 1.0, WINDOW, later);
        assert_eq!(rates.len(), 1);
    }
}
