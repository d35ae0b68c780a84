//! The connections that have not said hello yet.
//!
//! Invariants: there are never more than [`HANDSHAKES_MAX`], and none older than its deadline. When one too
//! many comes, the oldest one from the address that has most of them goes: a flood from one address cannot keep the
//! nodes at other addresses out, and one from the same address only if it is faster than a hello.

use super::transport::PeerStream;
use std::collections::{BTreeMap, VecDeque};
use std::net::IpAddr;
use std::time::Duration;
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::timeout;

/// The most connections that have not said hello. Larger: more memory and descriptors for strangers. Smaller: nodes that
/// start at the same time push each other out.
pub(super) const HANDSHAKES_MAX: usize = 64;

/// How long a connection may take to say hello. Longer: a silent stranger holds a place longer. Shorter: a busy node
/// does not get through.
pub(super) const HANDSHAKE_DEADLINE: Duration = Duration::from_secs(3);

/// The handshakes under way.
#[derive(Debug)]
pub(super) struct Handshakes {
    deadline: Duration,
    tasks: JoinSet<Option<PeerStream>>,
    /// Oldest first.
    under_way: VecDeque<(IpAddr, AbortHandle)>,
}

impl Handshakes {
    /// None, of which each may take `deadline`.
    pub(super) fn new(deadline: Duration) -> Self {
        Self { deadline, tasks: JoinSet::new(), under_way: VecDeque::new() }
    }

    /// Begins one with a connection from `address`. It gives up at its deadline.
    pub(super) fn begin<F>(&mut self, address: IpAddr, handshake: F)
    where
        F: Future<Output = Option<PeerStream>> + Send + 'static,
    {
        while self.under_way.len() >= HANDSHAKES_MAX {
            self.give_up_one();
        }
        let deadline = self.deadline;
        let limited = async move { timeout(deadline, handshake).await.ok().flatten() };
        self.under_way.push_back((address, self.tasks.spawn(limited)));
    }

    /// The next connection that has said hello. Cancel-safe. Waits for ever while there is none.
    pub(super) async fn next(&mut self) -> PeerStream {
        loop {
            let Some(ended) = self.tasks.join_next().await else { return std::future::pending().await };
            self.under_way.retain(|(_, task)| !task.is_finished());
            match ended {
                Ok(Some(stream)) => return stream,
                Ok(None) => {}
                Err(error) if error.is_cancelled() => {}
                Err(error) => std::panic::resume_unwind(error.into_panic()),
            }
        }
    }

    fn give_up_one(&mut self) {
        let mut counts = BTreeMap::<IpAddr, usize>::new();
        for (address, _) in &self.under_way {
            *counts.entry(*address).or_default() += 1;
        }
        let crowded = counts.into_iter().max_by_key(|(_, count)| *count).map(|(address, _)| address);
        let oldest = self.under_way.iter().position(|(address, _)| Some(*address) == crowded);
        if let Some((_, task)) = oldest.and_then(|oldest| self.under_way.remove(oldest)) {
            task.abort();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{HANDSHAKE_DEADLINE, HANDSHAKES_MAX, Handshakes};
    use futures_util::FutureExt;
    use std::future::pending;
    use std::net::IpAddr;
    use std::time::Duration;

    #[tokio::test]
    async fn a_flood_from_one_address_pushes_out_its_own_and_nobody_elses() {
        let [node, flood] = ["10.0.0.1", "10.0.0.2"].map(|address| address.parse::<IpAddr>().unwrap());
        let mut handshakes = Handshakes::new(HANDSHAKE_DEADLINE);
        handshakes.begin(node, pending());
        for _ in 0..4 * HANDSHAKES_MAX {
            handshakes.begin(flood, pending());
            assert!(handshakes.under_way.len() <= HANDSHAKES_MAX);
        }
        assert!(handshakes.under_way.iter().any(|(address, _)| *address == node));
    }

    #[tokio::test]
    async fn a_connection_that_stays_silent_loses_its_place() {
        let mut handshakes = Handshakes::new(Duration::ZERO);
        handshakes.begin("10.0.0.1".parse().unwrap(), pending());
        let (_, silent) = handshakes.under_way.front().cloned().unwrap();
        while !silent.is_finished() {
            tokio::task::yield_now().await;
        }
        assert!(handshakes.next().now_or_never().is_none());
        assert!(handshakes.under_way.is_empty());
    }
}
