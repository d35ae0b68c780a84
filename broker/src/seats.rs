//! Who is connected, counted against `max.connections` and `max.connections.per.ip`.
//!
//! Invariant: the total is the sum over the addresses, and an address without a seat is not remembered, so that a
//! flood from many addresses leaves nothing behind.

use dashmap::DashMap;
use dashmap::mapref::entry::Entry;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// The seats of a node; a clone shares them.
#[derive(Clone, Debug, Default)]
pub struct Seats {
    by_address: Arc<DashMap<IpAddr, usize>>,
    in_total: Arc<AtomicUsize>,
}

/// One connection's seat, given back on drop.
#[derive(Debug)]
pub struct Seat {
    seats: Seats,
    address: IpAddr,
}

impl Seats {
    /// A seat, or `None` where `in_total_max` are taken, or `per_address_max` by `address`.
    #[must_use]
    pub fn take(&self, address: IpAddr, in_total_max: usize, per_address_max: usize) -> Option<Seat> {
        let is_free = |taken: usize| (taken < in_total_max).then_some(taken + 1);
        self.in_total.fetch_update(Ordering::AcqRel, Ordering::Acquire, is_free).ok()?;
        if !self.take_of_address(address, per_address_max) {
            self.in_total.fetch_sub(1, Ordering::AcqRel);
            return None;
        }
        Some(Seat { seats: self.clone(), address })
    }

    fn take_of_address(&self, address: IpAddr, per_address_max: usize) -> bool {
        match self.by_address.entry(address) {
            Entry::Vacant(vacant) if per_address_max > 0 => {
                vacant.insert(1);
                true
            }
            Entry::Occupied(mut taken) if *taken.get() < per_address_max => {
                *taken.get_mut() += 1;
                true
            }
            Entry::Vacant(_) | Entry::Occupied(_) => false,
        }
    }

    /// How many are taken.
    #[must_use]
    pub fn taken(&self) -> usize {
        self.in_total.load(Ordering::Acquire)
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        if let Entry::Occupied(mut taken) = self.seats.by_address.entry(self.address) {
            match taken.get().checked_sub(1) {
                None | Some(0) => drop(taken.remove()),
                Some(left) => *taken.get_mut() = left,
            }
        }
        self.seats.in_total.fetch_sub(1, Ordering::AcqRel);
    }
}

#[cfg(test)]
mod tests {
    use super::Seats;
    use std::net::{IpAddr, Ipv4Addr};

    #[test]
    fn seats_are_bounded_in_total_and_for_each_address_and_come_back() {
        let address = |last| IpAddr::V4(Ipv4Addr::new(127, 0, 0, last));
        let seats = Seats::default();
        let take = |last| seats.take(address(last), 3, 2);
        let first = take(1);
        let second = take(1);
        assert!(first.is_some() && second.is_some());
        assert!(take(1).is_none(), "two for each address");
        let third = take(2);
        assert!(third.is_some());
        assert!(take(3).is_none(), "three in total");
        assert!(seats.take(address(4), 9, 0).is_none());
        assert_eq!(seats.by_address.len(), 2, "who has no seat is not remembered");
        drop((first, second));
        assert!(take(3).is_some());
        assert_eq!(seats.taken(), 1);
        drop(third);
        assert_eq!((seats.taken(), seats.by_address.len()), (0, 0));
    }
}
