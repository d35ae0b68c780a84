//! When records were acknowledged in each partition, and how long none was after a fault.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use crate::clock::Moment;

/// Moments of acknowledgements by partition; those of all clients together, and each client's own.
#[derive(Debug, Default)]
pub struct Progress(Mutex<BTreeMap<(u32, i32), Vec<Moment>>>);

impl Progress {
    /// Notes that a record of this producer was acknowledged just now.
    pub fn note(&self, producer: u32, partition: i32) {
        let mut moments = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        moments.entry((producer, partition)).or_default().push(Moment::now());
    }

    /// For each partition the longest time from `from` until now in which no client of all had a record acknowledged.
    #[must_use]
    pub fn longest_gaps(&self, from: Moment) -> BTreeMap<i32, Duration> {
        let moments = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut partitions: BTreeMap<i32, Vec<Moment>> = BTreeMap::new();
        for (&(_, partition), moments) in moments.iter() {
            let first = moments.partition_point(|moment| *moment < from);
            partitions.entry(partition).or_default().extend(moments.get(first..).unwrap_or_default());
        }
        partitions.into_iter().map(|(partition, moments)| (partition, longest_gap(from, moments))).collect()
    }

    /// The producers and partitions where no record was acknowledged since `from`.
    #[must_use]
    pub fn silent_since(&self, from: Moment) -> Vec<(u32, i32)> {
        let moments = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let silent = moments.iter().filter(|(_, moments)| moments.last().is_none_or(|last| *last < from));
        silent.map(|(&of, _)| of).collect()
    }

    /// Whose record was acknowledged last, in which partition, and when.
    #[must_use]
    pub fn latest(&self) -> Option<((u32, i32), Moment)> {
        let moments = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let last = moments.iter().filter_map(|(&of, moments)| Some((of, *moments.last()?)));
        last.max_by_key(|(_, moment)| *moment)
    }

    /// How many producers there are, times the partitions in which they have had anything acknowledged.
    #[must_use]
    pub fn flows(&self) -> usize {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).len()
    }
}

fn longest_gap(from: Moment, mut moments: Vec<Moment>) -> Duration {
    moments.sort_unstable();
    moments.push(Moment::now());
    let before = std::iter::once(from).chain(moments.iter().copied());
    before.zip(&moments).map(|(before, after)| after.since(before)).max().unwrap_or_default()
}

/// The value that 99 of 100 are not above; the highest of fewer than 100.
#[must_use]
pub fn p99(mut values: Vec<Duration>) -> Duration {
    values.sort_unstable();
    let rank = (values.len() * 99).div_ceil(100);
    rank.checked_sub(1).and_then(|index| values.get(index)).copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{Progress, p99};
    use crate::clock::Moment;
    use crate::wait::let_pass;

    #[test]
    fn gap_is_the_longest_time_without_an_acknowledgement_since_the_fault() {
        let progress = Progress::default();
        progress.note(1, 0);
        let fault = Moment::now();
        let_pass(Duration::from_millis(30));
        progress.note(2, 0);
        let middle = Moment::now();
        progress.note(1, 0);
        let gap = progress.longest_gaps(fault)[&0];
        assert!(gap >= Duration::from_millis(30), "{gap:?}");
        assert!(progress.longest_gaps(middle)[&0] <= middle.elapsed());
        assert_eq!(progress.silent_since(Moment::now()), [(1, 0), (2, 0)]);
        assert_eq!(progress.silent_since(middle), [(2, 0)]);
        assert!(progress.silent_since(fault).is_empty());
    }

    #[test]
    fn p99_of_few_values_is_the_highest() {
        assert_eq!(p99(vec![]), Duration::ZERO);
        assert_eq!(p99(vec![Duration::from_secs(2), Duration::from_secs(1)]), Duration::from_secs(2));
        let hundred = (1..=100).map(Duration::from_secs).collect();
        assert_eq!(p99(hundred), Duration::from_secs(99));
    }
}
