//! The place of the one that goes on where all others wait.
//!
//! Invariant: there is one [`Pass`] at most. Who asked last gets it next: those that have waited for long are, where
//! hostile clients take all room, the hostile ones, and everybody waits for room in the order of asking besides.

use parking_lot::Mutex;
use std::sync::Arc;
use tokio::sync::oneshot;

#[derive(Debug, Default)]
pub(super) struct Lane {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    is_taken: bool,
    /// Who asked last is last.
    waiting: Vec<oneshot::Sender<Pass>>,
}

/// The right to go on, handed to the next on drop.
#[derive(Debug)]
pub(super) struct Pass(Arc<Lane>);

impl Lane {
    /// The pass, once it is free. Who no longer waits drops the receiver.
    pub(super) fn ask(self: &Arc<Self>) -> oneshot::Receiver<Pass> {
        let (sender, receiver) = oneshot::channel();
        let mut state = self.state.lock();
        state.waiting.retain(|waiting| !waiting.is_closed());
        state.waiting.push(sender);
        let is_free = !std::mem::replace(&mut state.is_taken, true);
        drop(state);
        if is_free {
            drop(Pass(Arc::clone(self)));
        }
        receiver
    }
}

impl Drop for Pass {
    fn drop(&mut self) {
        let mut state = self.0.state.lock();
        let next = std::iter::from_fn(|| state.waiting.pop()).find(|waiting| !waiting.is_closed());
        match next {
            None => state.is_taken = false,
            Some(next) => {
                drop(state);
                // Where it has left just now, what comes back goes on to the next.
                drop(next.send(Pass(Arc::clone(&self.0))));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Lane;
    use std::sync::Arc;

    #[test]
    fn the_last_who_asked_and_still_waits_is_next() {
        let lane = Arc::new(Lane::default());
        let first = lane.ask().try_recv().expect("it is free");
        let (mut second, third, mut fourth) = (lane.ask(), lane.ask(), lane.ask());
        assert!(fourth.try_recv().is_err(), "there is one");
        drop(first);
        let fourth = fourth.try_recv().expect("it asked last");
        drop(third);
        drop(fourth);
        drop(second.try_recv().expect("the third has left"));
        assert!(lane.ask().try_recv().is_ok(), "it is free again");
    }
}
