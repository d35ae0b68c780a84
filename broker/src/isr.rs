//! What the leaders on this node ask of the controller: other in-sync replicas.
//!
//! The cores decide what to ask and when time itself is a reason to look; [`IsrDuties`] holds both until the task comes by.
//! One request is on its way at a time, with everything that has come up meanwhile.
//!
//! Invariants: a partition has at most one deadline here and at most one proposal on its way, so nothing grows beyond the
//! number of partitions; each proposal that was not carried out is given back to its core.

use crate::broker::Broker;
use crate::clock;
use crate::partitions::PartitionKey;
use crate::stopping::Stopping;
use parking_lot::Mutex;
use replication::controller::isr::{AlterPartition, AlterPartitionError, PartitionProposal};
use replication::controller::{ControllerReply, ControllerRequest};
use replication::leader::{IsrProposal, ProposalOutcome};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Notify;
use tokio::time::timeout;

/// Proposals in one request. Larger: one decision of the controller holds up others for longer. Smaller: more of them,
/// where very many partitions change at once.
const PROPOSALS_AT_ONCE_MAX: usize = 1000;

/// How long the controller may take. Longer: after it was lost, the next one is asked later. Shorter: a busy one is asked
/// for the same again.
const PATIENCE: Duration = Duration::from_secs(2);

/// The moment at which a leader wants to look at its followers again, and what it asks of the controller.
#[derive(Debug, Default)]
pub struct IsrDuties {
    due: Mutex<Due>,
    wake: Notify,
}

#[derive(Debug, Default)]
struct Due {
    deadlines: BTreeSet<(Duration, PartitionKey)>,
    proposals: Vec<(PartitionKey, IsrProposal)>,
}

impl IsrDuties {
    /// Moves a partition's deadline.
    pub(crate) fn reschedule(&self, key: PartitionKey, from: Option<Duration>, to: Option<Duration>) {
        let mut due = self.due.lock();
        if let Some(from) = from {
            due.deadlines.remove(&(from, key));
        }
        if let Some(to) = to {
            let is_earliest = due.deadlines.first().is_none_or(|(earliest, _)| to < *earliest);
            due.deadlines.insert((to, key));
            if is_earliest {
                self.wake.notify_one();
            }
        }
    }

    /// Asks the controller for an ISR.
    pub(crate) fn propose(&self, key: PartitionKey, proposal: IsrProposal) {
        self.due.lock().proposals.push((key, proposal));
        self.wake.notify_one();
    }

    fn take_deadlines(&self, now: Duration) -> Vec<PartitionKey> {
        let mut due = self.due.lock();
        let mut passed = Vec::new();
        while let Some((_, key)) = due.deadlines.first().copied().filter(|(deadline, _)| *deadline <= now) {
            due.deadlines.pop_first();
            passed.push(key);
        }
        passed
    }

    fn next_deadline(&self) -> Option<Duration> {
        self.due.lock().deadlines.first().map(|(deadline, _)| *deadline)
    }

    pub(crate) fn take_proposals(&self, most: usize) -> Vec<(PartitionKey, IsrProposal)> {
        let mut due = self.due.lock();
        let taken = due.proposals.len().min(most);
        due.proposals.drain(..taken).collect()
    }
}

/// Carries the duties out until `stopping` is set.
pub(crate) async fn run(broker: Arc<Broker>, mut stopping: Stopping) {
    let mut asking = None;
    loop {
        for (topic_id, index) in broker.isr_duties.take_deadlines(clock::monotonic()) {
            if let Some(partition) = broker.partitions.find(topic_id, index) {
                partition.on_isr_deadline();
            }
        }
        if asking.is_none() {
            let proposals = broker.isr_duties.take_proposals(PROPOSALS_AT_ONCE_MAX);
            if !proposals.is_empty() {
                asking = Some(Box::pin(ask_controller(Arc::clone(&broker), proposals)));
            }
        }
        let next = broker.isr_duties.next_deadline();
        tokio::select! {
            biased;
            () = stopping.requested() => return,
            () = until(next) => {}
            () = broker.isr_duties.wake.notified() => {}
            () = async { if let Some(asking) = &mut asking { asking.await } }, if asking.is_some() => asking = None,
        }
    }
}

async fn until(deadline: Option<Duration>) {
    match deadline {
        Some(deadline) => tokio::time::sleep(deadline.saturating_sub(clock::monotonic())).await,
        None => std::future::pending().await,
    }
}

/// Asks for all of it at once, and tells the leaders what was not carried out. What was is learnt from the metadata.
async fn ask_controller(broker: Arc<Broker>, proposals: Vec<(PartitionKey, IsrProposal)>) {
    let partitions = proposals.iter().map(|((topic_id, partition), proposal)| PartitionProposal {
        topic_id: *topic_id,
        partition: *partition,
        proposal: proposal.clone(),
    });
    let request = AlterPartition {
        broker_id: broker.node_id(),
        broker_epoch: broker.quorum.broker_epoch(),
        partitions: partitions.collect(),
    };
    let outcome = timeout(PATIENCE, broker.quorum.propose(ControllerRequest::AlterPartition(request))).await;
    let changes = match outcome {
        Ok(Ok(decided)) => match decided.reply {
            ControllerReply::AlterPartition(changes) => changes.map_err(|error| error.to_string()),
            other => unreachable!("the controller answered ISRs with {other:?}"),
        },
        Ok(Err(error)) => Err(error.to_string()),
        Err(_elapsed) => Err("the controller did not answer in time".to_owned()),
    };
    if let Err(error) = &changes {
        tracing::debug!("the controller was asked for {} ISRs in vain: {error}", proposals.len());
    }
    let by_key = changes.unwrap_or_default().into_iter();
    let by_key: BTreeMap<_, _> =
        by_key.map(|change| ((change.topic_id, change.partition), change.result)).collect();
    for (key, proposal) in &proposals {
        let outcome = match by_key.get(key) {
            Some(Ok(_)) => continue,
            Some(Err(AlterPartitionError::IneligibleReplica { .. })) => ProposalOutcome::Ineligible,
            Some(Err(_)) | None => ProposalOutcome::Unknown,
        };
        if let Some(partition) = broker.partitions.find(key.0, key.1) {
            partition.proposal_failed(proposal, outcome);
        }
    }
}
