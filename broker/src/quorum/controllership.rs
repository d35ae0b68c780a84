//! What the node that leads the quorum does beside deciding: it hears the brokers, fences those that fall silent, has
//! them used again, and has `membership_keeper` and `upkeep` look around. All of it is soft: whoever takes over begins
//! anew.
//!
//! A broker whose connection ended is looked for at once, and fenced at once where its process is gone. One that is
//! silent is fenced when its session ends. Heartbeats are answered only while a majority of the voters confirmed the
//! lead a moment ago, so that a leader that is cut off lets its own broker know as well.
//!
//! Absent: safety. A broker that is fenced by mistake loses nothing but leadership.

use crate::clock;
use crate::quorum::control::{ControlAnswer, Heartbeat};
use crate::quorum::controller_task::ask_for_snapshot;
use crate::quorum::council::Council;
use crate::quorum::links::{Links, Probe};
use crate::quorum::membership_keeper::MembershipKeeper;
use crate::quorum::types::Membership;
use crate::quorum::upkeep::{Upkeep, UpkeepState};
use openraft::ServerState;
use parking_lot::Mutex;
use replication::controller::fencing::{BrokerState, ChangeBrokerState};
use replication::controller::sessions::BrokerSessions;
use replication::controller::{ControllerReply, ControllerRequest};
use replication::metadata::image::MetadataImage;
use replication::metadata::record::BrokerRegistration;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;
use storage::ids::{BrokerEpoch, BrokerId};
use tokio::time::{MissedTickBehavior, interval, timeout};

/// How often the leader looks at sessions and members. Larger: it acts later. Smaller: idle controllers work.
const TICK: Duration = Duration::from_millis(100);

/// How often it makes sure that it leads. Larger: a leader that is cut off notices later. Smaller: more calls.
const CONFIRM_EVERY: Duration = Duration::from_millis(250);

/// How long a majority may take to confirm the lead. Longer: sessions are looked at later. Shorter: a pause of a disk
/// ends sessions.
const CONFIRM_DEADLINE: Duration = Duration::from_millis(400);

/// The soft state of the leader.
pub(super) struct Controllership {
    pub(super) session_timeout: Duration,
    state: Mutex<State>,
    pub(super) membership: MembershipKeeper,
    upkeep: UpkeepState,
}

#[derive(Default)]
struct State {
    /// The term in which the sessions began; `None` while this node does not lead.
    term: Option<u64>,
    sessions: Option<BrokerSessions>,
    /// In which term the lead was last confirmed, and when that was asked for.
    confirmed: Option<(u64, Duration)>,
    brokers: BTreeMap<BrokerId, Heard>,
    /// The runs that were let in, and when.
    given: BTreeMap<BrokerId, (uuid::Uuid, Duration)>,
    /// Brokers whose state is being changed, also by what began in an earlier term and has not ended.
    changing: BTreeSet<BrokerId>,
    /// Those of them that were found to be gone meanwhile.
    gone_meanwhile: BTreeSet<BrokerId>,
}

/// Why the state of a broker changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Why {
    Ready,
    WantsToStop,
    Stopped,
    Gone,
    StartedAnew,
    Silent,
}

impl Why {
    fn state(self) -> BrokerState {
        match self {
            Self::Ready => BrokerState::Unfenced,
            Self::WantsToStop => BrokerState::ShuttingDown,
            Self::Stopped | Self::Gone | Self::StartedAnew | Self::Silent => BrokerState::Fenced,
        }
    }

    /// Whether this is seen once, where a heartbeat and the end of a session are seen again.
    fn is_seen_once(self) -> bool {
        match self {
            Self::Stopped | Self::Gone | Self::StartedAnew => true,
            Self::Ready | Self::WantsToStop | Self::Silent => false,
        }
    }

    fn say(self, node: BrokerId, session: Duration) {
        match self {
            Self::Ready => tracing::info!("node {node} serves"),
            Self::WantsToStop => tracing::info!("node {node} wants to stop; others lead what they can"),
            Self::Stopped => tracing::info!("node {node} has stopped"),
            Self::Gone => tracing::warn!("node {node} is fenced: its process is gone"),
            Self::StartedAnew => {
                tracing::warn!("node {node} is fenced: it was killed, and is being started again");
            }
            Self::Silent => tracing::warn!("node {node} is fenced: nothing was heard of it for {session:?}"),
        }
    }
}

/// What a broker said last.
#[derive(Debug, Clone, Copy)]
struct Heard {
    broker_epoch: BrokerEpoch,
    metadata_offset: i64,
    /// The offset of the metadata log at which it was told to stop.
    stops_at: Option<i64>,
}

impl Controllership {
    pub(super) fn new(session_timeout: Duration) -> Self {
        Self {
            session_timeout,
            state: Mutex::default(),
            membership: MembershipKeeper::default(),
            upkeep: UpkeepState::default(),
        }
    }

    /// Whether the sessions are those of this lead, so that who is alive is known.
    pub(super) fn is_established(&self, council: &Council) -> bool {
        council.is_leading() && self.state.lock().term == Some(council.term())
    }

    /// Gives a run that wants to be let in its `node.id` for a session, in which it registers; false where another run with
    /// this id is alive.
    pub(super) fn take_id(&self, council: &Council, broker_id: BrokerId, incarnation: uuid::Uuid) -> bool {
        let now = clock::monotonic();
        let image = council.images.borrow().clone();
        let mut state = self.state.lock();
        let live = state.sessions.as_ref().and_then(|sessions| sessions.live(broker_id, now));
        let is_registered = image
            .broker(broker_id)
            .is_some_and(|known| live == Some(known.broker_epoch) && known.incarnation != incarnation);
        let is_given = state
            .given
            .get(&broker_id)
            .is_some_and(|(other, given_at)| *other != incarnation && now < *given_at + self.session_timeout);
        // This node itself tells nobody that it is alive before it has registered.
        let is_own = council.identity.broker_id == broker_id && council.identity.incarnation != incarnation;
        if is_registered || is_given || is_own {
            return false;
        }
        state.given.retain(|_, (_, given_at)| now < *given_at + self.session_timeout);
        state.given.insert(broker_id, (incarnation, now));
        true
    }

    /// Answers a heartbeat; `None` where this node is not sure that it leads.
    pub(super) fn heartbeat(
        self: &Arc<Self>,
        council: &Arc<Council>,
        beat: &Heartbeat,
    ) -> Option<ControlAnswer> {
        let image = council.images.borrow().clone();
        let known = image.broker(beat.broker_id)?.clone();
        if known.broker_epoch > beat.broker_epoch {
            return Some(ControlAnswer::Superseded);
        }
        let now = clock::monotonic();
        let mut state = self.state.lock();
        let term = council.term();
        let is_confirmed = state
            .confirmed
            .is_some_and(|(confirmed, at)| confirmed == term && now < at + self.session_timeout / 2);
        if known.broker_epoch != beat.broker_epoch || !is_confirmed || state.term != Some(term) {
            return None;
        }
        state.sessions.as_mut()?.heard(beat.broker_id, beat.broker_epoch, now);
        let heard = state.brokers.entry(beat.broker_id).or_insert(Heard {
            broker_epoch: beat.broker_epoch,
            metadata_offset: beat.metadata_offset,
            stops_at: None,
        });
        if heard.broker_epoch != beat.broker_epoch {
            *heard = Heard { broker_epoch: beat.broker_epoch, metadata_offset: 0, stops_at: None };
        }
        heard.metadata_offset = beat.metadata_offset;
        if !beat.wants_to_stop {
            heard.stops_at = None;
        }
        let stops_at = heard.stops_at;
        let may_stop = stops_at.is_some_and(|offset| state.others_know(beat.broker_id, offset, &image));
        drop(state);
        if beat.wants_to_stop && stops_at.is_none() {
            self.change_in_background(council, &known, Why::WantsToStop);
        } else if !beat.wants_to_stop && beat.is_ready && !known.is_active() {
            self.change_in_background(council, &known, Why::Ready);
        }
        Some(ControlAnswer::Alive { may_stop })
    }

    /// The connection over which a run of a broker sent its heartbeats has ended.
    pub(super) fn hung_up(
        self: &Arc<Self>,
        council: &Arc<Council>,
        broker_id: BrokerId,
        incarnation: uuid::Uuid,
    ) {
        if !council.is_leading() {
            return;
        }
        self.state.lock().given.retain(|_, (given, _)| *given != incarnation);
        let image = council.images.borrow().clone();
        if let Some(known) = image.broker(broker_id).filter(|known| known.incarnation == incarnation) {
            self.look_for(council, known);
        }
    }

    /// The run of a broker that is registered may be gone.
    pub(super) fn look_for_registered(self: &Arc<Self>, council: &Arc<Council>, broker_id: BrokerId) {
        let image = council.images.borrow().clone();
        if let Some(known) = image.broker(broker_id).filter(|known| !known.is_fenced) {
            self.look_for(council, known);
        }
    }

    /// Fences a broker whose process is gone, or is another one by now.
    fn look_for(self: &Arc<Self>, council: &Arc<Council>, known: &BrokerRegistration) {
        let (this, council, known) = (Arc::clone(self), Arc::clone(council), known.clone());
        tokio::spawn(async move {
            let Some(links) = &council.links else { return };
            let Some(address) = peer_address(links, &council.membership(), known.broker_id) else { return };
            let why = match links.look_for(&address, this.session_timeout).await {
                Probe::Gone if known.is_shutting_down => Why::Stopped,
                Probe::Gone => Why::Gone,
                Probe::Answers { incarnation, .. } if incarnation == known.incarnation => return,
                // It stopped while nobody was left to take note.
                Probe::Answers { .. } if known.is_shutting_down => Why::Stopped,
                Probe::Answers { .. } => Why::StartedAnew,
                Probe::HungUp | Probe::Silent => return,
            };
            this.change(&council, &known, why).await;
        });
    }

    fn change_in_background(self: &Arc<Self>, council: &Arc<Council>, known: &BrokerRegistration, why: Why) {
        let (this, council, known) = (Arc::clone(self), Arc::clone(council), known.clone());
        tokio::spawn(async move { this.change(&council, &known, why).await });
    }

    /// Changes the state of a broker, step by step until all partitions follow. Of two changes at once the second is left out,
    /// and the broker looked for again where nothing else would bring it about.
    async fn change(self: &Arc<Self>, council: &Arc<Council>, known: &BrokerRegistration, why: Why) {
        if !self.begin_change(known.broker_id, why) {
            return;
        }
        let BrokerRegistration { broker_id, broker_epoch, .. } = *known;
        let change = ChangeBrokerState { broker_id, broker_epoch, to: why.state() };
        let was_fenced = council.images.borrow().broker(broker_id).is_some_and(|known| known.is_fenced);
        if let Some(offset) = change_until_complete(council, change).await {
            self.note_change(change, offset);
            // Two that looked for it may both have found it gone.
            if !(was_fenced && change.to == BrokerState::Fenced) {
                why.say(broker_id, self.session_timeout);
            }
        }
        self.end_change(council, broker_id);
    }

    /// False where another change of this broker is under way.
    pub(super) fn begin_change(&self, broker_id: BrokerId, why: Why) -> bool {
        let mut state = self.state.lock();
        let begins = state.changing.insert(broker_id);
        if !begins && why.is_seen_once() {
            state.gone_meanwhile.insert(broker_id);
        }
        begins
    }

    pub(super) fn end_change(self: &Arc<Self>, council: &Arc<Council>, broker_id: BrokerId) {
        let was_gone = {
            let mut state = self.state.lock();
            state.changing.remove(&broker_id);
            state.gone_meanwhile.remove(&broker_id)
        };
        if was_gone {
            self.look_for_registered(council, broker_id);
        }
    }

    /// Whether a broker was found to be gone while its state is being changed.
    #[cfg(test)]
    pub(super) fn is_gone_meanwhile(&self, broker_id: BrokerId) -> bool {
        self.state.lock().gone_meanwhile.contains(&broker_id)
    }

    fn note_change(&self, ChangeBrokerState { broker_id, broker_epoch, to }: ChangeBrokerState, offset: i64) {
        let mut state = self.state.lock();
        match to {
            BrokerState::Fenced => {
                if let Some(sessions) = &mut state.sessions {
                    sessions.end(broker_id, broker_epoch);
                }
            }
            // It may have fallen silent meanwhile, and be heard never again.
            BrokerState::Unfenced => {
                if let Some(sessions) = &mut state.sessions {
                    sessions.heard(broker_id, broker_epoch, clock::monotonic());
                }
            }
            BrokerState::ShuttingDown => {
                if let Some(heard) = state.brokers.get_mut(&broker_id) {
                    heard.stops_at = Some(offset);
                }
            }
        }
    }

    /// Does what the leader does, while this node leads. Never returns.
    pub(super) async fn run(
        self: Arc<Self>,
        council: Arc<Council>,
        upkeep: Upkeep,
        journal_bytes: Arc<AtomicU64>,
    ) {
        let mut ticks = interval(TICK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut metrics = council.raft.metrics();
        // A lead that is not confirmed at once is looked at again with the next tick.
        let mut woken_in = None;
        let mut looked_at = clock::monotonic();
        loop {
            let begins_to_lead = metrics.wait_for(|metrics| {
                metrics.state == ServerState::Leader && woken_in != Some(metrics.current_term)
            });
            tokio::select! {
                _ = ticks.tick() => {}
                began = begins_to_lead => match began.map(|metrics| metrics.current_term) {
                    Ok(term) => woken_in = Some(term),
                    Err(_stopped) => return,
                },
            }
            // Every member keeps its own journal short.
            ask_for_snapshot(&council.raft, &journal_bytes).await;
            let stalled = clock::monotonic().saturating_sub(looked_at);
            looked_at = clock::monotonic();
            if !council.is_leading() || stalled > self.session_timeout / 2 {
                // What the brokers said while this process stood still has not been read yet: sessions begin anew.
                self.state.lock().term = None;
            }
            if !council.is_leading() {
                continue;
            }
            self.confirm(&council).await;
            if !self.is_established(&council) {
                self.begin(&council);
            }
            self.fence_the_silent(&council);
            self.membership.look(&council);
            self.upkeep.look(&council, &upkeep);
        }
    }

    /// Makes sure that this node leads, and that its image holds everything that was decided before.
    async fn confirm(&self, council: &Council) {
        let (term, asked_at) = (council.term(), clock::monotonic());
        let newest = self.state.lock().confirmed;
        if newest.is_some_and(|(confirmed, at)| confirmed == term && asked_at < at + CONFIRM_EVERY) {
            return;
        }
        let confirmed = timeout(CONFIRM_DEADLINE, council.raft.ensure_linearizable()).await;
        if matches!(confirmed, Ok(Ok(_))) && council.term() == term {
            self.state.lock().confirmed = Some((term, asked_at));
        }
    }

    /// Gives every broker in use a session, and looks at once for those that are gone.
    fn begin(self: &Arc<Self>, council: &Arc<Council>) {
        let now = clock::monotonic();
        let image = council.images.borrow().clone();
        {
            let mut state = self.state.lock();
            let term = council.term();
            if state.confirmed.is_none_or(|(confirmed, _)| confirmed != term) {
                return;
            }
            let predecessor =
                council.election.lock().take_predecessor().and_then(|(raft_node_id, heard_at)| {
                    Some((council.membership().get_node(&raft_node_id)?.broker_id, heard_at))
                });
            let mut sessions = BrokerSessions::new(self.session_timeout);
            sessions.begin(&image, now, predecessor);
            state.term = Some(term);
            state.sessions = Some(sessions);
            state.brokers.clear();
            state.given.clear();
        }
        self.upkeep.begin();
        let own_id = council.identity.broker_id;
        let others =
            image.brokers().values().filter(|broker| !broker.is_fenced && broker.broker_id != own_id);
        others.into_iter().for_each(|broker| self.look_for(council, broker));
    }

    fn fence_the_silent(self: &Arc<Self>, council: &Arc<Council>) {
        let now = clock::monotonic();
        let expired = self.state.lock().sessions.as_ref().map(|sessions| sessions.expired(now));
        let image = council.images.borrow().clone();
        for (broker_id, broker_epoch) in expired.unwrap_or_default() {
            match image.broker(broker_id) {
                Some(known) if known.broker_epoch == broker_epoch && !known.is_fenced => {
                    self.change_in_background(council, known, Why::Silent);
                }
                Some(_) | None => {
                    if let Some(sessions) = &mut self.state.lock().sessions {
                        sessions.end(broker_id, broker_epoch);
                    }
                }
            }
        }
    }
}

impl State {
    /// Whether every broker in use but this one follows the metadata up to `offset`.
    fn others_know(&self, but: BrokerId, offset: i64, image: &MetadataImage) -> bool {
        let others = image.brokers().values().filter(|broker| !broker.is_fenced && broker.broker_id != but);
        others.into_iter().all(|broker| {
            self.brokers.get(&broker.broker_id).is_some_and(|heard| heard.metadata_offset >= offset)
        })
    }
}

/// The offset of the metadata log at which the change was complete; `None` where it did not come to it.
async fn change_until_complete(council: &Council, change: ChangeBrokerState) -> Option<i64> {
    loop {
        match council.decide_here(ControllerRequest::ChangeBrokerState(change)).await {
            Ok(decided) => match decided.reply {
                ControllerReply::ChangeBrokerState(Ok(done)) if done.is_complete => {
                    return Some(decided.offset);
                }
                ControllerReply::ChangeBrokerState(Ok(_incomplete)) => {}
                ControllerReply::ChangeBrokerState(Err(error)) => {
                    tracing::debug!("the state of node {} was not changed: {error}", change.broker_id);
                    return None;
                }
                other => unreachable!("a change of a broker's state is answered by {other:?}"),
            },
            Err(error) => {
                tracing::debug!("the state of node {} was not changed: {error}", change.broker_id);
                return None;
            }
        }
    }
}

fn peer_address(
    links: &Links,
    membership: &Membership,
    broker_id: BrokerId,
) -> Option<config::broker::Endpoint> {
    membership.nodes().find(|(_, node)| node.broker_id == broker_id).and_then(|(_, node)| links.address(node))
}
