//! What the controller does from time to time, while this node leads: topics grow with the set, and leadership goes back to
//! preferred replicas.

use crate::clock;
use crate::quorum::council::Council;
use parking_lot::Mutex;
use replication::controller::growth::GrowReplicas;
use replication::controller::{ControllerReply, ControllerRequest};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;
use storage::ids::{BrokerEpoch, BrokerId};

/// What the controller does from time to time.
#[derive(Debug, Clone)]
pub(crate) struct Upkeep {
    /// How topics grow when brokers come.
    pub(crate) growth: GrowReplicas,
    /// How often leadership is given back to preferred replicas; `None` for never.
    pub(crate) balance_leaders_every: Option<Duration>,
}

/// What was done already.
#[derive(Default)]
pub(super) struct UpkeepState(Mutex<State>);

#[derive(Default)]
struct State {
    /// The runs of brokers that topics have grown to.
    in_use: BTreeSet<(BrokerId, BrokerEpoch)>,
    balanced_at: Option<Duration>,
}

impl UpkeepState {
    /// This node begins to lead.
    pub(super) fn begin(&self) {
        *self.0.lock() = State::default();
    }

    /// Does what is due, in the background.
    pub(super) fn look(&self, council: &Arc<Council>, upkeep: &Upkeep) {
        let image = council.images.borrow().clone();
        let in_use = image.brokers().values().filter(|broker| !broker.is_fenced);
        let in_use: BTreeSet<_> = in_use.map(|broker| (broker.broker_id, broker.broker_epoch)).collect();
        let now = clock::monotonic();
        let mut wanted = Vec::new();
        {
            let mut state = self.0.lock();
            if state.in_use != in_use {
                state.in_use = in_use;
                wanted.push(ControllerRequest::GrowReplicas(upkeep.growth.clone()));
            }
            if let Some(every) = upkeep.balance_leaders_every
                && now >= *state.balanced_at.get_or_insert(now) + every
            {
                state.balanced_at = Some(now);
                wanted.push(ControllerRequest::BalanceLeaders);
            }
        }
        if !wanted.is_empty() {
            let council = Arc::clone(council);
            tokio::spawn(async move {
                for request in wanted {
                    decide_until_complete(&council, request).await;
                }
            });
        }
    }
}

/// Has this node decide something that takes several steps where it is large.
async fn decide_until_complete(council: &Council, request: ControllerRequest) {
    loop {
        match council.decide_here(request.clone()).await.map(|decided| decided.reply) {
            Ok(ControllerReply::GrowReplicas(done)) if !done.is_complete => {}
            Ok(ControllerReply::BalanceLeaders(done)) if !done.is_complete => {}
            Ok(_complete) => return,
            Err(error) => return tracing::debug!("the controller's upkeep was cut off: {error}"),
        }
    }
}
