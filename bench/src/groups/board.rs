//! Where the members of a group write what they own, and where the measurement waits for that to be complete.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Result, bail};
use parking_lot::{Condvar, Mutex};

/// How long a group may take until everybody owns something.
const LIMIT: Duration = Duration::from_secs(120);

/// What a member owns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Owned {
    /// The generation, or the member epoch.
    pub(super) epoch: i32,
    /// How many partitions.
    pub(super) partitions: usize,
}

#[derive(Debug, Default)]
struct State {
    owned: BTreeMap<usize, Owned>,
    /// Members that are not to be in the group.
    absent: Vec<usize>,
    is_over: bool,
    failure: Option<String>,
}

/// Shared by the members of one group and who measures them.
#[derive(Debug, Default)]
pub(super) struct Board {
    state: Mutex<State>,
    changed: Condvar,
}

impl Board {
    /// What member `number` owns now.
    pub(super) fn owns(&self, number: usize, owned: Owned) {
        self.state.lock().owned.insert(number, owned);
        self.changed.notify_all();
    }

    /// Member `number` owns nothing: it is joining, or gone.
    pub(super) fn owns_nothing(&self, number: usize) {
        self.state.lock().owned.remove(&number);
    }

    /// Member `number` cannot go on.
    pub(super) fn failed(&self, number: usize, error: &anyhow::Error) {
        self.state.lock().failure.get_or_insert_with(|| format!("member {number}: {error:#}"));
        self.changed.notify_all();
    }

    /// Whether member `number` is to be in the group.
    pub(super) fn is_wanted(&self, number: usize) -> bool {
        let state = self.state.lock();
        !state.is_over && !state.absent.contains(&number)
    }

    /// Whether the measurement is over.
    pub(super) fn is_over(&self) -> bool {
        self.state.lock().is_over
    }

    /// Has member `number` leave the group.
    pub(super) fn send_away(&self, number: usize) {
        self.state.lock().absent.push(number);
    }

    /// Has member `number` join again.
    pub(super) fn call_back(&self, number: usize) {
        self.state.lock().absent.retain(|absent| *absent != number);
    }

    /// Has every member end.
    pub(super) fn end(&self) {
        self.state.lock().is_over = true;
    }

    /// Waits until `members` members own `partitions` partitions, all in the same epoch, and each its fair part: a member
    /// that has joined and is not yet assigned to is not done.
    pub(super) fn wait_for(&self, members: usize, partitions: usize) -> Result<()> {
        let mut state = self.state.lock();
        loop {
            if let Some(failure) = &state.failure {
                bail!("{failure}");
            }
            let mut epochs = state.owned.values().map(|owned| owned.epoch);
            let first = epochs.next();
            let is_same_epoch = epochs.all(|epoch| Some(epoch) == first);
            let owned: usize = state.owned.values().map(|owned| owned.partitions).sum();
            let fair = partitions / members;
            let is_fair = state.owned.values().all(|owned| owned.partitions >= fair);
            if state.owned.len() == members && is_same_epoch && is_fair && owned == partitions {
                return Ok(());
            }
            if self.changed.wait_for(&mut state, LIMIT).timed_out() {
                bail!("after {LIMIT:?} {} members own {owned} partitions", state.owned.len());
            }
        }
    }
}
