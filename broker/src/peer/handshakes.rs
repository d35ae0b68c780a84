//! The connections that have not said hello yet.
//!
//! Invariants: there are never more than [`HANDSHAKES_MAX`], and none older than [`HANDSHAKE_DEADLINE`]. When one too
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
#[derive(Debug, Default)]
pub(super) struct Handshakes {
    tasks: JoinSet<Option<PeerStream>>,
    /// Oldest first.
    under_way: VecDeque<(IpAddr, AbortHandle)>,
}

impl Handshakes {
    /// Begins one with a connection from `address`. It gives up after [`HANDSHAKE_DEADLINE`].
    pub(super) fn begin<F>(&mut self, address: IpAddr, handshake: F)
    where
        F: Future<Output = Option<PeerStream>> + Send + 'static,
    {
        while self.under_way.len() >= HANDSHAKES_MAX {
            self.give_up_one();
        }
        let limited = async move { timeout(HANDSHAKE_DEADLINE, handshake).await.ok().flatten() };
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
