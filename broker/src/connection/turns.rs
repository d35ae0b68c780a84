//! The order in which requests of a connection begin that take turns.
//!
//! Invariant: each begins once the one that was read before it is done, in whatever order their futures are polled. A place
//! in the queue that is given up counts as done; only the end of a connection gives them up, and then all of them.

use crate::limits;
use std::convert::Infallible;
use std::sync::Arc;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};

/// The requests of a connection that take turns.
pub(super) struct Turns {
    /// Room for those that wait for their turn.
    pub(super) places: Arc<Semaphore>,
    /// Ends when the request that was read last is done.
    last: Option<oneshot::Receiver<Infallible>>,
}

/// A request's place behind those that were read before it.
pub(super) struct InTurn {
    place: OwnedSemaphorePermit,
    before: Option<oneshot::Receiver<Infallible>>,
    turn: Turn,
}

/// A request's turn, which lasts as long as this is there.
#[derive(Debug)]
pub(super) struct Turn {
    _until: oneshot::Sender<Infallible>,
}

impl Turns {
    pub(super) fn new() -> Self {
        Self { places: Arc::new(Semaphore::new(limits::REQUESTS_THAT_TAKE_TURNS)), last: None }
    }

    /// The next turn, for the request that has been read now and was given `place`.
    pub(super) fn next(&mut self, place: OwnedSemaphorePermit) -> InTurn {
        let (until, done) = oneshot::channel();
        InTurn { place, before: self.last.replace(done), turn: Turn { _until: until } }
    }
}

impl InTurn {
    /// Waits until the turn has come, and gives the place up.
    pub(super) async fn comes(self) -> Turn {
        if let Some(before) = self.before {
            match before.await {
                Ok(never) => match never {},
                Err(_done) => {}
            }
        }
        drop(self.place);
        self.turn
    }
}

#[cfg(test)]
mod tests {
    use super::Turns;
    use crate::limits::REQUESTS_THAT_TAKE_TURNS;
    use futures_util::FutureExt;
    use std::sync::Arc;

    #[test]
    fn turns_come_in_the_order_of_reading_whoever_asks_first() {
        let mut turns = Turns::new();
        let [first, second, third] = [(); 3].map(|()| {
            let place = Arc::clone(&turns.places).try_acquire_owned().expect("there is one");
            Box::pin(turns.next(place).comes())
        });
        let (mut first, mut second, mut third) = (first, second, third);
        assert!(third.as_mut().now_or_never().is_none());
        assert!(second.as_mut().now_or_never().is_none());
        let turn = first.as_mut().now_or_never().expect("nobody is before it");
        assert_eq!(turns.places.available_permits(), REQUESTS_THAT_TAKE_TURNS - 2);
        assert!(third.as_mut().now_or_never().is_none() && second.as_mut().now_or_never().is_none());
        drop(turn);
        assert!(third.as_mut().now_or_never().is_none(), "the second has not had its turn");
        drop(second.as_mut().now_or_never().expect("the first is done"));
        drop(third.as_mut().now_or_never().expect("the second is done"));
        assert_eq!(turns.places.available_permits(), REQUESTS_THAT_TAKE_TURNS);
    }
}
