//! The coordinators of groups: which partition of `__consumer_offsets` a group belongs to, and the tasks that run the
//! ones that this node leads.
//!
//! Each such partition is a *shard*: one `coordinator::shard::GroupShard`, run by one task (`task`), filled from the
//! partition's log when this node comes to lead it (`load`). A request goes into the shard's bounded queue; the task
//! decides it, appends what it leads to as one batch (`append`), applies that, and goes on with the next request. The
//! answer leaves once the high watermark has passed everything that was applied before it (`replies`). Reads take the
//! shard's read lock at once and see what is committed: they wait for no append and no follower.
//!
//! Invariants: only its task changes a shard; the lock is never held across an append or an await; a shard that could
//! not be loaded answers nobody. Absent: what groups do (crate `coordinator`), and error codes (`error_code`).

mod append;
mod cluster;
mod load;
mod replies;
mod routing;
mod shard;
mod task;
mod topic;

#[cfg(test)]
mod tests;

pub(crate) use append::WriteError;
pub(crate) use routing::partition_of;
pub(crate) use shard::{Shard, Submitted};
pub(crate) use topic::{OffsetsTopicError, make as make_offsets_topic};

use crate::partition::Partition;
use crate::settings::CurrentSettings;
use crate::stopping::StopSwitch;
use arc_swap::ArcSwap;
use coordinator::error::GroupError;
use parking_lot::Mutex;
use replication::metadata::image::MetadataImage;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use storage::ids::{BrokerId, LeaderEpoch, PartitionIndex};
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;

/// The topic that keeps groups and offsets. Source: `org.apache.kafka.common.internals.Topic`.
pub(crate) const OFFSETS_TOPIC: &str = "__consumer_offsets";

/// Shards that are loaded at the same time. Larger: they push one another's pages out. Smaller: one long log holds up
/// the groups of the others.
const LOADS_AT_ONCE: usize = 4;

/// Why a coordinator did not do what it was asked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum CoordinatorError {
    /// The group is coordinated by another node, or by none.
    #[error("this node does not coordinate the group")]
    NotCoordinator,
    /// The groups of the shard are being loaded.
    #[error("the coordinator is loading the group")]
    Loading,
    /// As many requests wait for the shard as may.
    #[error("the coordinator has too many requests waiting")]
    Busy,
    /// What the request led to could not be written, or not be confirmed.
    #[error(transparent)]
    Write(#[from] WriteError),
    /// The group refused.
    #[error(transparent)]
    Group(#[from] GroupError),
}

/// What every shard needs of the node.
#[derive(Debug)]
pub(crate) struct Surroundings {
    pub(crate) node_id: BrokerId,
    pub(crate) settings: Arc<CurrentSettings>,
    /// The metadata as requests see it.
    pub(crate) image: Arc<ArcSwap<MetadataImage>>,
    /// Set once the log directory has failed.
    pub(crate) failure: Arc<AtomicBool>,
    loads: Semaphore,
}

/// The shards that this node leads.
#[derive(Debug)]
pub(crate) struct Coordinators {
    surroundings: Arc<Surroundings>,
    shards: ArcSwap<BTreeMap<PartitionIndex, Arc<Shard>>>,
    /// Their tasks; `None` once the node stops.
    running: Mutex<Option<BTreeMap<PartitionIndex, Running>>>,
    /// Tasks of shards that are no longer led, until they have ended.
    ending: Mutex<Vec<JoinHandle<()>>>,
}

/// The task of a shard.
#[derive(Debug)]
struct Running {
    /// The epoch that it began in.
    leader_epoch: LeaderEpoch,
    switch: StopSwitch,
    task: JoinHandle<()>,
}

impl Coordinators {
    pub(crate) fn new(
        node_id: BrokerId,
        settings: Arc<CurrentSettings>,
        image: Arc<ArcSwap<MetadataImage>>,
        failure: Arc<AtomicBool>,
    ) -> Self {
        let loads = Semaphore::new(LOADS_AT_ONCE);
        Self {
            surroundings: Arc::new(Surroundings { node_id, settings, image, failure, loads }),
            shards: ArcSwap::default(),
            running: Mutex::new(Some(BTreeMap::new())),
            ending: Mutex::default(),
        }
    }

    /// The shard of `group_id`, where this node leads it.
    ///
    /// # Errors
    /// [`CoordinatorError::NotCoordinator`], or [`CoordinatorError::Loading`] where the shard is about to begin.
    pub(crate) fn shard_of(&self, group_id: &str) -> Result<Arc<Shard>, CoordinatorError> {
        let image = self.surroundings.image.load();
        let topic = image.topic_by_name(OFFSETS_TOPIC).ok_or(CoordinatorError::NotCoordinator)?;
        let partition = routing::partition_of(group_id, topic.partitions.len());
        match self.shards.load().get(&partition) {
            Some(shard) => Ok(Arc::clone(shard)),
            None => {
                let leader = topic.partition(partition).and_then(|partition| partition.leader);
                match leader == Some(self.surroundings.node_id) {
                    true => Err(CoordinatorError::Loading),
                    false => Err(CoordinatorError::NotCoordinator),
                }
            }
        }
    }

    /// Every shard that this node leads.
    pub(crate) fn shards(&self) -> Vec<Arc<Shard>> {
        self.shards.load().values().cloned().collect()
    }

    /// Begins to coordinate the groups of a partition that this node leads; nothing where it does already in this epoch.
    /// In a later epoch they are loaded anew. Only the task that follows the metadata calls it.
    pub(crate) fn lead(&self, index: PartitionIndex, partition: &Arc<Partition>) {
        let Some(leadership) = partition.leadership() else { return };
        let leader_epoch = leadership.epoch;
        let began_in = |all: &BTreeMap<_, Running>| all.get(&index).map(|running| running.leader_epoch);
        let began_in = self.running.lock().as_ref().and_then(began_in);
        if began_in.is_some_and(|began_in| began_in < leader_epoch) {
            self.resign(index);
        }
        let mut running = self.running.lock();
        let Some(running) = running.as_mut() else { return };
        if running.contains_key(&index) {
            return;
        }
        let (switch, stopping) = StopSwitch::new();
        let (shard, task) =
            task::begin(index, Arc::clone(partition), leadership, Arc::clone(&self.surroundings), stopping);
        running.insert(index, Running { leader_epoch, switch, task: tokio::spawn(task) });
        self.change(|shards| shards.insert(index, shard));
    }

    /// Ends the coordination of a partition that this node leads no longer. Only the task that follows the metadata
    /// calls it.
    pub(crate) fn resign(&self, index: PartitionIndex) {
        let Some(Running { switch, task, .. }) =
            self.running.lock().as_mut().and_then(|all| all.remove(&index))
        else {
            return;
        };
        self.change(|shards| shards.remove(&index));
        switch.stop();
        let mut ending = self.ending.lock();
        ending.retain(|task| !task.is_finished());
        ending.push(task);
    }

    /// Tells the shards that topics were deleted, whose offsets are to be forgotten.
    pub(crate) fn topics_deleted(&self, names: &[Arc<str>]) {
        for shard in self.shards() {
            shard.forget_topics(names);
        }
    }

    /// Stops every shard: who waits for one is answered, and no other begins. To be called once nobody can ask any more.
    pub(crate) async fn stop(&self) {
        let running = self.running.lock().take().unwrap_or_default();
        self.shards.store(Arc::default());
        for shard in running.values() {
            shard.switch.stop();
        }
        let ending = std::mem::take(&mut *self.ending.lock());
        for task in running.into_values().map(|running| running.task).chain(ending) {
            // A panic of the task has already ended the process; see `panics`.
            drop(task.await);
        }
    }

    fn change<R>(&self, change: impl FnOnce(&mut BTreeMap<PartitionIndex, Arc<Shard>>) -> R) {
        let mut shards = BTreeMap::clone(&self.shards.load());
        change(&mut shards);
        self.shards.store(Arc::new(shards));
    }
}
