//! The place of the one that goes on where all others wait.
//!
//! Invariant: there is one [`Pass`] at most. An address that waits, drawn by lot, gets it next, so that what one client
//! begins and does not send costs the others half of the time at most; of its requests in turn the newest (those that have
//! waited for long are, where a hostile client takes all room, the hostile ones) and one drawn by lot, so that who begins
//! another all the time keeps none of them waiting for good. Besides, everybody waits for room in the order of asking.

use parking_lot::Mutex;
use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use tokio::sync::oneshot;

#[derive(Debug, Default)]
pub(super) struct Lane {
    state: Mutex<State>,
    /// What the one that goes on holds without room, in bytes.
    held: AtomicUsize,
}

#[derive(Debug, Default)]
struct State {
    is_taken: bool,
    was_newest: bool,
    /// Who asked last is last.
    waiting: Vec<Waiting>,
}

#[derive(Debug)]
struct Waiting {
    from: IpAddr,
    granted: oneshot::Sender<Pass>,
}

/// The right to go on, handed to the next on drop.
#[derive(Debug)]
pub(super) struct Pass(Arc<Lane>);

impl Lane {
    /// The pass, once it is free, for a request `from` there. Who no longer waits drops the receiver.
    pub(super) fn ask(self: &Arc<Self>, from: IpAddr) -> oneshot::Receiver<Pass> {
        let (granted, receiver) = oneshot::channel();
        let mut state = self.state.lock();
        state.forget_who_left();
        state.waiting.push(Waiting { from, granted });
        let is_free = !std::mem::replace(&mut state.is_taken, true);
        drop(state);
        if is_free {
            drop(Pass(Arc::clone(self)));
        }
        receiver
    }

    /// What the one that goes on holds without room, in bytes.
    pub(super) fn held_bytes(&self) -> usize {
        self.held.load(Ordering::Relaxed)
    }
}

impl Pass {
    /// Notes what the one that goes on holds without room, in bytes.
    pub(super) fn holds(&self, bytes: usize) {
        self.0.held.store(bytes, Ordering::Relaxed);
    }
}

impl State {
    fn forget_who_left(&mut self) {
        self.waiting.retain(|waiting| !waiting.granted.is_closed());
    }

    /// Who is next by these lots.
    fn next(&mut self, of_address: u64, of_request: u64) -> Option<Waiting> {
        self.forget_who_left();
        let addresses: BTreeSet<IpAddr> = self.waiting.iter().map(|waiting| waiting.from).collect();
        let from = *addresses.iter().nth(drawn(of_address, addresses.len())?)?;
        let places = self.waiting.iter().enumerate().filter(|(_, waiting)| waiting.from == from);
        let places: Vec<usize> = places.map(|(place, _)| place).collect();
        self.was_newest = !self.was_newest;
        let chosen =
            if self.was_newest { places.last() } else { places.get(drawn(of_request, places.len())?) };
        Some(self.waiting.remove(*chosen?))
    }
}

/// One of `count` by lot; `None` of none.
fn drawn(lot: u64, count: usize) -> Option<usize> {
    usize::try_from(lot.checked_rem(count as u64)?).ok()
}

impl Drop for Pass {
    fn drop(&mut self) {
        self.holds(0);
        let (of_address, of_request) = uuid::Uuid::new_v4().as_u64_pair();
        let mut state = self.0.state.lock();
        match state.next(of_address, of_request) {
            None => state.is_taken = false,
            Some(next) => {
                drop(state);
                // Where it has left just now, what comes back goes on to the next.
                drop(next.granted.send(Pass(Arc::clone(&self.0))));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Lane, Pass, State, Waiting};
    use std::net::{IpAddr, Ipv4Addr};
    use std::sync::Arc;
    use tokio::sync::oneshot;

    fn address(number: u8) -> IpAddr {
        Ipv4Addr::new(192, 0, 2, number).into()
    }

    #[test]
    fn there_is_one_pass_and_who_left_is_passed_over() {
        let lane = Arc::new(Lane::default());
        let ask = || lane.ask(address(1));
        let first = ask().try_recv().expect("it is free");
        let (mut second, third) = (ask(), ask());
        assert!(second.try_recv().is_err(), "there is one");
        drop(third);
        drop(first);
        drop(second.try_recv().expect("the third has left"));
        assert!(ask().try_recv().is_ok(), "it is free again");
    }

    #[test]
    fn the_newest_and_any_of_an_address_take_turns_and_addresses_are_drawn_by_lot() {
        let mut state = State::default();
        // One asks again and again, another has asked once, before most of them.
        let mut asked: Vec<(u8, oneshot::Receiver<Pass>)> = Vec::new();
        for from in [1, 1, 2, 1, 1] {
            let (granted, receiver) = oneshot::channel();
            state.waiting.push(Waiting { from: address(from), granted });
            asked.push((from, receiver));
        }
        let mut next = |of_address, of_request| {
            let next = state.next(of_address, of_request)?;
            drop(next.granted);
            // Told by whose request hears of it.
            let place = asked.iter_mut().position(|(_, receiver)| {
                matches!(receiver.try_recv(), Err(oneshot::error::TryRecvError::Closed))
            })?;
            Some((asked.remove(place).0, place))
        };
        assert_eq!(next(0, 0), Some((1, 4)), "the newest of the first address");
        assert_eq!(next(2, 1), Some((1, 1)), "any of it");
        assert_eq!(next(1, 7), Some((2, 1)), "the only one of the other");
        assert_eq!(next(1, 3), Some((1, 1)), "there is one address left");
        assert_eq!(next(5, 5), Some((1, 0)));
        assert_eq!(next(5, 5), None);
    }
}
