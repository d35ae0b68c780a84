//! A shard as those who ask it see it: a queue for what may change it, a look at what is committed.

use super::CoordinatorError;
use super::replies::Answer;
use coordinator::error::GroupError;
use coordinator::request::{Reply, Request};
use coordinator::shard::GroupShard;
use parking_lot::{Mutex, RwLock};
use std::collections::BTreeSet;
use std::sync::{Arc, OnceLock};
use tokio::sync::{Notify, mpsc, oneshot};

/// Requests that wait for a shard. Larger: after a stall of the disk, more is done that nobody waits for any more.
/// Smaller: a burst of very many groups is told to come back although the shard would have served it in time.
pub(super) const REQUESTS_WAITING_MAX: usize = 4096;

/// A request on its way to the task. Boxed, since the queue of each of fifty shards has places for some.
pub(super) type Queued = Box<(Request, Answer)>;

/// The groups of one partition of `__consumer_offsets`.
#[derive(Debug)]
pub(crate) struct Shard {
    /// What the task has loaded: nothing yet, the groups, or the finding that they cannot be.
    loaded: OnceLock<Option<RwLock<GroupShard>>>,
    queue: mpsc::Sender<Queued>,
    /// Topics that were deleted, whose offsets the task is to forget.
    deleted_topics: Mutex<BTreeSet<Arc<str>>>,
    /// Wakes the task: the high watermark has moved, or topics were deleted.
    pub(super) wake: Arc<Notify>,
}

/// A request that is in the queue of a shard.
#[derive(Debug)]
pub(crate) struct Submitted(oneshot::Receiver<Result<Reply, CoordinatorError>>);

impl Submitted {
    /// What the shard answers. Waits until it has decided, and until what it decided is committed.
    ///
    /// # Errors
    /// [`CoordinatorError`]; what the group itself refuses is within the reply.
    pub(crate) async fn answer(self) -> Result<Reply, CoordinatorError> {
        // Who drops the sender has stopped, with the shard.
        self.0.await.unwrap_or(Err(CoordinatorError::NotCoordinator))
    }
}

impl Shard {
    /// A shard that is to be loaded, and the other end of its queue.
    pub(super) fn new() -> (Arc<Self>, mpsc::Receiver<Queued>) {
        let (queue, queued) = mpsc::channel(REQUESTS_WAITING_MAX);
        let shard = Self {
            loaded: OnceLock::new(),
            queue,
            deleted_topics: Mutex::default(),
            wake: Arc::new(Notify::new()),
        };
        (Arc::new(shard), queued)
    }

    /// Puts `request` behind those that wait, in the order of the calls.
    ///
    /// # Errors
    /// Where the groups are not loaded, or too many requests wait.
    pub(crate) fn submit(&self, request: Request) -> Result<Submitted, CoordinatorError> {
        self.core()?;
        let (answer, answered) = oneshot::channel();
        self.queue.try_send(Box::new((request, answer))).map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => CoordinatorError::Busy,
            mpsc::error::TrySendError::Closed(_) => CoordinatorError::NotCoordinator,
        })?;
        Ok(Submitted(answered))
    }

    /// Looks at what is committed, at once.
    ///
    /// # Errors
    /// Where the groups are not loaded; what `look` refuses.
    pub(crate) fn read<T>(
        &self,
        look: impl FnOnce(&GroupShard) -> Result<T, GroupError>,
    ) -> Result<T, CoordinatorError> {
        Ok(look(&self.core()?.read())?)
    }

    pub(super) fn forget_topics(&self, names: &[Arc<str>]) {
        self.deleted_topics.lock().extend(names.iter().cloned());
        self.wake.notify_one();
    }

    pub(super) fn take_deleted_topics(&self) -> Vec<Arc<str>> {
        std::mem::take(&mut *self.deleted_topics.lock()).into_iter().collect()
    }

    /// The groups, for the task and for reads.
    pub(super) fn core(&self) -> Result<&RwLock<GroupShard>, CoordinatorError> {
        match self.loaded.get() {
            Some(Some(core)) => Ok(core),
            Some(None) => Err(CoordinatorError::NotCoordinator),
            None => Err(CoordinatorError::Loading),
        }
    }

    /// Says what came of the load: the groups, or `None` where they cannot be known.
    pub(super) fn set_loaded(&self, core: Option<GroupShard>) {
        assert!(self.loaded.set(core.map(RwLock::new)).is_ok(), "a shard is loaded once");
    }
}
