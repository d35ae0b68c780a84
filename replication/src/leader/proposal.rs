//! What a leader asks of the controller: another ISR.
//!
//! Whether a proposal was carried out is often unknown: its answer is lost, or it waits in a queue somewhere. It can
//! come true until the partition epoch that it is made on has passed, so those who would join count until then. A
//! proposal that cannot come true any more is dropped; one that was sent more than once, and of which a copy was
//! refused, is *withdrawn* by proposing the ISR that is committed, which moves the partition epoch.
//!
//! Source: KIP-497, `Partition.handleAlterPartitionError`.

use crate::leader::Leader;
use crate::leader::replica::Replica;
use serde::{Deserialize, Serialize};
use std::time::Duration;
use storage::ids::{BrokerEpoch, BrokerId, LeaderEpoch, PartitionEpoch};

/// How long a proposal that was not carried out waits before it is sent again. Larger: a change of controllers delays
/// changes of the ISR by more. Smaller: a controller that is busy gets more of the same.
pub(super) const PROPOSAL_RETRY: Duration = Duration::from_millis(200);

/// An ISR for the controller to commit. It must move the partition epoch by it also where the ISR is the committed one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct IsrProposal {
    /// The leader's epoch; the controller refuses any but the current one.
    pub leader_epoch: LeaderEpoch,
    /// The state that it was made on; the controller refuses any but the current one.
    pub partition_epoch: PartitionEpoch,
    /// The members, each with the run that is meant; the controller refuses a member whose run is another.
    pub isr: Vec<(BrokerId, BrokerEpoch)>,
}

/// What became of a proposal. That it was carried out is learnt from the metadata.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProposalOutcome {
    /// The controller knows the state that it was made on, and refuses a member: fenced, stopping, or another run.
    Ineligible,
    /// Anything else that is no success: it may have been carried out or not, or come true later.
    Unknown,
}

/// The one proposal that is on its way or waits to be sent again.
#[derive(Debug, Clone)]
pub(super) struct Pending {
    proposal: IsrProposal,
    /// Those outside the committed ISR whom it would add, or a proposal that it withdraws.
    joining: Vec<BrokerId>,
    /// How often this state's proposals were sent.
    sent: u32,
    /// `None` while an answer is awaited.
    retry_at: Option<Duration>,
}

impl Pending {
    pub(super) fn joins(&self, broker_id: BrokerId) -> bool {
        self.joining.contains(&broker_id)
    }
}

impl Leader {
    /// What to send to the controller now, if anything. From then on it is on its way, until the metadata changes or
    /// [`Self::proposal_failed`] is called, which the caller owes for each that it was given and that did not succeed.
    pub fn proposal(&mut self, now: Duration) -> Option<IsrProposal> {
        if let Some(pending) = &mut self.pending {
            if pending.retry_at.is_none_or(|at| now < at) {
                return None;
            }
            pending.retry_at = None;
            pending.sent = pending.sent.saturating_add(1);
            return Some(pending.proposal.clone());
        }
        if self.local_epoch.is_none() || self.quiet_until.is_some_and(|until| now < until) {
            return None;
        }
        let joining = self.joining(now);
        let staying: Vec<_> = self.isr.iter().copied().filter(|&id| !self.is_lagging(id, now)).collect();
        if joining.is_empty() && staying.len() == self.isr.len() {
            return None;
        }
        let proposal = self.propose(staying.iter().chain(&joining).copied());
        let pending = Pending { proposal: proposal.clone(), joining, sent: 1, retry_at: None };
        self.pending = Some(Box::new(pending));
        Some(proposal)
    }

    /// A proposal was answered with anything but success, or not at all.
    pub fn proposal_failed(&mut self, proposal: &IsrProposal, outcome: ProposalOutcome, now: Duration) {
        let Some(mut pending) = self.pending.take_if(|pending| pending.proposal == *proposal) else { return };
        let retry_at = now + PROPOSAL_RETRY;
        match outcome {
            ProposalOutcome::Ineligible => {
                for broker_id in &pending.joining {
                    if let Some(replica) = self.followers.get_mut(broker_id) {
                        replica.refused_until = Some(retry_at);
                    }
                }
                self.quiet_until = Some(retry_at);
                if pending.sent > 1 {
                    // A copy may still reach the controller at a time when the member is eligible.
                    pending.proposal = self.propose(self.isr.iter().copied());
                    pending.retry_at = Some(retry_at);
                    self.pending = Some(pending);
                }
            }
            ProposalOutcome::Unknown => {
                pending.retry_at = Some(retry_at);
                self.pending = Some(pending);
            }
        }
        self.on_deadline(now);
    }

    /// When [`Self::on_deadline`] is to be called and [`Self::proposal`] asked, if nothing happens before; always
    /// after `now`, which is the time that both were called with last.
    #[must_use]
    pub fn next_deadline(&self, now: Duration) -> Option<Duration> {
        let retry_at = self.pending.as_ref().and_then(|pending| pending.retry_at);
        let replicas = self.followers.iter().flat_map(|(&broker_id, replica)| {
            let patience = if self.isr.contains(&broker_id) {
                self.rules.replica_lag_time_max
            } else {
                self.join_patience(replica)
            };
            let is_behind = !replica.has_reached(self.durable_end_offset);
            [replica.lags_from(patience).filter(|_| is_behind), replica.refused_until]
        });
        let moments = replicas.chain([retry_at, self.quiet_until]);
        moments.flatten().filter(|&moment| moment > now).min()
    }

    /// Who can be added: close enough, and welcome.
    fn joining(&self, now: Duration) -> Vec<BrokerId> {
        let bound = self.high_watermark.max(self.epoch_start_offset);
        self.followers
            .iter()
            .filter(|(id, replica)| {
                !self.isr.contains(id) && replica.may_join_isr(now) && replica.has_reached(bound)
            })
            .map(|(&broker_id, _)| broker_id)
            .collect()
    }

    fn is_lagging(&self, member: BrokerId, now: Duration) -> bool {
        if member == self.local {
            return false;
        }
        let caught_up = |replica: &Replica| {
            replica.standing.is_some()
                && replica.is_caught_up(self.durable_end_offset, self.rules.replica_lag_time_max, now)
        };
        !self.followers.get(&member).is_some_and(caught_up)
    }

    fn propose(&self, isr: impl Iterator<Item = BrokerId>) -> IsrProposal {
        let run_of = |member: BrokerId| {
            if member == self.local {
                return self.local_epoch;
            }
            self.followers.get(&member)?.standing.map(|standing| standing.broker_epoch)
        };
        IsrProposal {
            leader_epoch: self.leader_epoch,
            partition_epoch: self.partition_epoch,
            isr: isr.filter_map(|member| Some((member, run_of(member)?))).collect(),
        }
    }
}
