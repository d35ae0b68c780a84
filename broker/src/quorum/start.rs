//! How a node comes to be a registered member of the quorum: alone, or as one of a set.
//!
//! As one of a set it listens first, so that the others hear of it. Then, round by round, it asks the others what they
//! hold until `forming` knows what to do, forms the cluster or has the controller let it in, and registers. It says in the
//! log what it waits for. Each step may be repeated, and a word to stop ends it between two of them.

use crate::clock;
use crate::peer::{Mismatch, Purpose};
use crate::quorum::control::{self, ControlAnswer, ControlRequest, Introduction, LastIndex, Wish};
use crate::quorum::controllership::Controllership;
use crate::quorum::council::{Controller, Council, random};
use crate::quorum::forming::{self, Answer, Own, Step, Waiting};
use crate::quorum::link::{CallError, Link};
use crate::quorum::links::{Lane, Links};
use crate::quorum::members::Newcomer;
use crate::quorum::membership_keeper::Admitted;
use crate::quorum::service::Agreement;
use crate::quorum::types::{QuorumNode, Raft};
use crate::quorum::{Introduce, ProposeError, QuorumError};
use config::broker::Endpoint;
use futures_util::future::{join_all, pending};
use openraft::ServerState;
use openraft::error::RaftError;
use replication::controller::brokers::RegisterBrokerError;
use replication::controller::{ControllerReply, ControllerRequest};
use std::collections::{BTreeMap, BTreeSet};
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;
use storage::ids::{BrokerEpoch, BrokerId};
use tokio::time::{sleep, timeout};

/// How long a quorum of one may take to elect itself. It takes a few flushes; longer means a disk that does not answer.
const ELECTION_DEADLINE: Duration = Duration::from_secs(60);

/// How long another node may take to answer. Longer: one that is cut off delays the round. Shorter: a busy one is not heard.
const ANSWER_DEADLINE: Duration = Duration::from_millis(1500);

/// How long after a round the next one begins. Larger: a set starts later. Smaller: more calls while a node is missing.
const ROUND_PAUSE: Duration = Duration::from_millis(50);

/// How long after a round in which the controller did not find this node the next one begins. Larger: it starts later once
/// its address is corrected. Smaller: whoever has that address is bothered more often.
const UNREACHED_PAUSE: Duration = Duration::from_millis(250);

/// How many milliseconds at most, drawn each time, a node that was not agreed to by everyone waits before it asks again.
/// Larger: a set starts later. Smaller: two that collide collide again.
const AGREEMENT_PAUSE_MS: u64 = 200;

/// How often the log says what is waited for, where that changes. Larger: a person wonders. Smaller: the log fills.
const SAY_EVERY: Duration = Duration::from_secs(4);

/// How often it says the same again. Larger: a person who looks at the end of the log finds nothing. Smaller: it fills.
const SAY_AGAIN_EVERY: Duration = Duration::from_secs(60);

/// For how long beyond a session, which is taken to be as long as at the controller, a node whose `node.id` is taken asks
/// again: a node that was killed and started again may meet the session of its former run. Larger: a node that is started
/// twice notices later. Smaller: a restart fails where the controller is a moment late.
const TAKEN_PATIENCE: Duration = Duration::from_secs(2);

/// What a node that starts works with.
pub(super) struct Start {
    pub(super) council: Arc<Council>,
    pub(super) introduce: Introduce,
    /// As one of a set, what that takes.
    pub(super) set: Option<StartInSet>,
}

/// What a node of a set that starts works with.
pub(super) struct StartInSet {
    pub(super) controllership: Arc<Controllership>,
    pub(super) agreement: Arc<Agreement>,
    pub(super) links: Arc<Links>,
    /// Where the others reach this node.
    pub(super) own_address: Endpoint,
    /// The last entry of its log when this run began.
    pub(super) last_index: Option<u64>,
}

impl Start {
    /// Returns once this run of the node is registered, and its image knows it.
    pub(super) async fn run(self) -> Result<BrokerEpoch, QuorumError> {
        let council = self.council;
        match &self.set {
            Some(set) => set.enter(&council).await?,
            None => lead_alone(&council).await?,
        }
        settle(&council, ControllerRequest::FormCluster).await?;
        let mut images = council.images.clone();
        let named = images.wait_for(|image| image.cluster_id().is_some()).await;
        let image = Arc::clone(&*named.map_err(|_| QuorumError::Ended)?);
        let registration = (self.introduce)(&image)?;
        council.identity.set_directory_id(registration.directory_id);
        loop {
            let register = ControllerRequest::RegisterBroker(registration.clone());
            match settle(&council, register).await? {
                // A former run that led very much is fenced in several steps.
                ControllerReply::RegisterBroker(Err(RegisterBrokerError::FencingUnfinished { .. })) => {}
                ControllerReply::RegisterBroker(result) => return Ok(result?),
                reply => unreachable!("a registration is answered by {reply:?}"),
            }
        }
    }
}

/// Has the controller decide something that may be asked for twice, and waits until the image of this node holds it.
async fn settle(council: &Council, request: ControllerRequest) -> Result<ControllerReply, QuorumError> {
    let settled = async {
        let decided = loop {
            match council.propose(request.clone()).await {
                Err(ProposeError::LeadLost | ProposeError::Busy) if council.links.is_some() => {
                    sleep(ROUND_PAUSE).await;
                }
                other => break other?,
            }
        };
        let mut images = council.images.clone();
        let reached = images.wait_for(|image| image.offset() >= decided.offset).await;
        reached.map_err(|_| QuorumError::Ended)?;
        Ok(decided.reply)
    };
    tokio::select! {
        reply = settled => reply,
        never = say_who_is_to_register(council) => match never {},
    }
}

/// Says what the registration of a node of a set waits for, where it takes long.
async fn say_who_is_to_register(council: &Council) -> Infallible {
    let Some(links) = &council.links else { return pending().await };
    let mut patience = SAY_EVERY;
    loop {
        sleep(patience).await;
        patience = SAY_AGAIN_EVERY;
        let controller = council.leader().map(|(_, node)| node.broker_id);
        let reached = match controller.filter(|id| *id != council.identity.broker_id) {
            Some(controller) => {
                links.dial(controller, Purpose::Control, &council.membership()).await.map(drop)
            }
            None => Ok(()),
        };
        let unreached = reached.err().map(|error| error.to_string());
        tracing::info!("{}", Waiting::Registration { controller, unreached });
    }
}

/// Makes a quorum of one where there is none, and leads it without waiting for an election to time out.
async fn lead_alone(council: &Council) -> Result<(), QuorumError> {
    if council.raft.is_initialized().await? {
        let others = others_that_vote(council);
        if !others.is_empty() {
            return Err(QuorumError::SetMissing { nodes: forming::named(&others) });
        }
        council.raft.trigger().elect().await?;
    } else {
        initialise(council, None).await?;
    }
    wait_for_lead(&council.raft).await
}

fn others_that_vote(council: &Council) -> Vec<BrokerId> {
    let membership = council.membership();
    let others = membership.voter_ids().filter(|voter| *voter != council.identity.raft_node_id);
    let others = others.filter_map(|voter| membership.get_node(&voter).map(|node| node.broker_id));
    others.collect::<BTreeSet<_>>().into_iter().collect()
}

async fn initialise(council: &Council, address: Option<Endpoint>) -> Result<(), QuorumError> {
    let node = QuorumNode { broker_id: council.identity.broker_id, address };
    let formed = council.raft.initialize(BTreeMap::from([(council.identity.raft_node_id, node)])).await;
    formed.map_err(|error| match error {
        RaftError::Fatal(error) => error.into(),
        RaftError::APIError(error) => QuorumError::Forming(Box::new(error)),
    })?;
    council.identity.set_initialised(true);
    Ok(())
}

async fn wait_for_lead(raft: &Raft) -> Result<(), QuorumError> {
    let leading =
        raft.wait(Some(ELECTION_DEADLINE)).state(ServerState::Leader, "a quorum of one leads itself").await;
    leading.map(drop).map_err(QuorumError::NoLeader)
}

/// Another node of the configured set.
struct Other {
    broker_id: BrokerId,
    address: Endpoint,
    link: Link,
}

/// What became of an attempt to be let in.
enum Entry {
    Joined,
    Taken,
    /// This node's journal is that of this other node.
    Copied(BrokerId),
    /// This node's journal ends before this entry, which it had, as this controller knows.
    OlderCopy {
        controller: BrokerId,
        last_index: u64,
    },
    /// This controller did not find this node where it looks for it.
    Unreached {
        controller: BrokerId,
        address: Endpoint,
    },
    /// Nobody who could let this node in was reached.
    Closed,
}

impl StartInSet {
    /// Returns once this node is a member of a quorum that has a leader.
    async fn enter(&self, council: &Council) -> Result<(), QuorumError> {
        let others = self.others(council);
        if others_that_vote(council).is_empty() && council.identity.is_initialised() {
            council.raft.trigger().elect().await?;
        }
        let began = clock::monotonic();
        let mut said: Option<(Duration, Waiting)> = None;
        let mut taken_since = None;
        loop {
            let (answers, heard) = ask(&others, Wish::Nothing).await;
            let own = self.own(council);
            let waiting = match forming::next_step(&own, &answers) {
                Step::Refuse(refusal) => return Err(QuorumError::Refused(refusal)),
                Step::Wait(waiting) => waiting,
                Step::AskToAgree | Step::Initialise => match self.form(council, &own, &others).await? {
                    None => continue,
                    Some(waiting) => waiting,
                },
                Step::Resume | Step::Join { .. } => match self.join(council, &others).await {
                    Entry::Joined => return Ok(()),
                    Entry::Taken => Waiting::Taken { own: own.broker_id },
                    Entry::Copied(other) => {
                        return Err(QuorumError::Copied { own: own.broker_id, other });
                    }
                    Entry::OlderCopy { controller, last_index } => {
                        return Err(QuorumError::OlderCopy { own: own.broker_id, controller, last_index });
                    }
                    Entry::Unreached { controller, address } => {
                        Waiting::Unreached { own: own.broker_id, controller, address }
                    }
                    Entry::Closed => Waiting::Controller,
                },
            };
            let now = clock::monotonic();
            let mut pause = ROUND_PAUSE;
            match waiting {
                Waiting::Taken { own } => {
                    let since = *taken_since.get_or_insert(now);
                    if now > since + self.controllership.session_timeout + TAKEN_PATIENCE {
                        return Err(QuorumError::Taken { broker_id: own });
                    }
                }
                Waiting::Unreached { .. } => (taken_since, pause) = (None, UNREACHED_PAUSE),
                _ => taken_since = None,
            }
            let is_due = match &said {
                // A set whose nodes start together has nothing to say.
                None => now > began + SAY_EVERY / 4,
                // What is heard may be worded differently each time, and changes nothing.
                Some((at, last)) => now > *at + if *last == waiting { SAY_AGAIN_EVERY } else { SAY_EVERY },
            };
            if is_due {
                tracing::info!("{}", waiting.with(&heard));
                said = Some((now, waiting));
            }
            sleep(pause).await;
        }
    }

    fn others(&self, council: &Council) -> Vec<Other> {
        let configured = self.links.configured().iter();
        let others = configured.filter(|(id, _)| **id != council.identity.broker_id);
        let linked = others.map(|(id, address)| Other {
            broker_id: *id,
            address: address.clone(),
            link: self.links.to_address(address.clone()),
        });
        linked.collect()
    }

    fn own(&self, council: &Council) -> Own {
        Own {
            broker_id: council.identity.broker_id,
            cluster_id: council.identity.cluster_id(),
            is_initialised: council.identity.is_initialised(),
            set: self.links.configured().keys().copied().collect(),
        }
    }

    /// Forms the cluster if every other node agrees; else says whom this waits for.
    async fn form(
        &self,
        council: &Council,
        own: &Own,
        others: &[Other],
    ) -> Result<Option<Waiting>, QuorumError> {
        if !self.agreement.to_itself(council.identity.raft_node_id) {
            return Ok(Some(Waiting::Agreement { nodes: vec![own.broker_id] }));
        }
        let (answers, _) = ask(others, Wish::Agreement).await;
        match forming::next_step(own, &answers) {
            Step::Initialise => {
                initialise(council, Some(self.own_address.clone())).await?;
                wait_for_lead(&council.raft).await?;
                tracing::info!("this node forms the cluster; the others join it");
                Ok(None)
            }
            step => {
                // Of two that were each given half of the agreements, one must get them all the next time.
                ask(others, Wish::Release).await;
                self.agreement.release(council.identity.raft_node_id);
                sleep(Duration::from_millis(random() % AGREEMENT_PAUSE_MS)).await;
                Ok((step == Step::AskToAgree).then(|| forming::missing_agreement(&answers)))
            }
        }
    }

    /// Asks to be let in: here, of the node that led when this one was last a member, and of all others. Each of them may
    /// name another one.
    async fn join(&self, council: &Council, others: &[Other]) -> Entry {
        let request = control::encode(&ControlRequest::Join {
            address: self.own_address.clone().into(),
            last: LastIndex { begun_with: self.last_index, now: council.log.last().map(|last| last.index) },
        });
        let known = match council.controller(Lane::Control) {
            Controller::Here => return self.join_here(council).await,
            Controller::There(link) => Some(link),
            Controller::Unknown => None,
        };
        let mut entry = Entry::Closed;
        for link in known.iter().chain(others.iter().map(|other| &other.link)) {
            let mut answer = call(link, request.clone()).await;
            if let Some(ControlAnswer::NotController { controller: Some(address) }) = answer {
                answer = call(&self.links.to_address(address.into()), request.clone()).await;
            }
            match answer {
                Some(ControlAnswer::Joined) => return Entry::Joined,
                Some(ControlAnswer::Taken { .. }) => return Entry::Taken,
                Some(ControlAnswer::Copied { broker_id }) => return Entry::Copied(broker_id),
                Some(ControlAnswer::OlderCopy { controller, last_index }) => {
                    return Entry::OlderCopy { controller, last_index };
                }
                Some(ControlAnswer::Unreached { controller, address }) => {
                    // Another one may know better who leads.
                    entry = Entry::Unreached { controller, address: address.into() };
                }
                // Nobody who leads, or an answer to another request, which is none at all.
                None
                | Some(
                    ControlAnswer::Introduction(_)
                    | ControlAnswer::Decided(..)
                    | ControlAnswer::Failed(_)
                    | ControlAnswer::Alive { .. }
                    | ControlAnswer::Superseded
                    | ControlAnswer::Status(_)
                    | ControlAnswer::NotController { .. },
                ) => {}
            }
        }
        entry
    }

    async fn join_here(&self, council: &Council) -> Entry {
        let node =
            QuorumNode { broker_id: council.identity.broker_id, address: Some(self.own_address.clone()) };
        let newcomer = Newcomer { raft_node_id: council.identity.raft_node_id, node };
        match self.controllership.membership.admit(council, &newcomer).await {
            Admitted::Member => Entry::Joined,
            Admitted::Copied(other) => Entry::Copied(other),
            Admitted::Unknown => Entry::Closed,
        }
    }
}

async fn call(link: &Link, request: Vec<u8>) -> Option<ControlAnswer> {
    let answer = timeout(ANSWER_DEADLINE, link.call(request)).await.ok()?.ok()?;
    control::decode(&answer)
}

/// What the others hold, and what a person is told about each.
async fn ask(others: &[Other], wish: Wish) -> (BTreeMap<BrokerId, Answer>, Vec<(BrokerId, String)>) {
    let request = control::encode(&ControlRequest::Introduce { wish });
    let asked = others.iter().map(|other| {
        let request = request.clone();
        async move { (other, timeout(ANSWER_DEADLINE, other.link.call(request)).await) }
    });
    let mut answers = BTreeMap::new();
    let mut heard = Vec::new();
    for (&Other { broker_id, ref address, .. }, outcome) in join_all(asked).await {
        let words = match outcome {
            Ok(Ok(bytes)) => match control::decode(&bytes) {
                Some(ControlAnswer::Introduction(introduction)) => {
                    let words = described(&introduction);
                    answers.insert(broker_id, introduction.into());
                    words
                }
                None | Some(_) => format!("{address} answers what this version does not understand"),
            },
            Ok(Err(error)) => {
                answers.extend(of_another_cluster(&error).map(|answer| (broker_id, answer)));
                error.to_string()
            }
            Err(_elapsed) => format!("{address} does not answer"),
        };
        heard.push((broker_id, words));
    }
    (answers, heard)
}

fn described(introduction: &Introduction) -> String {
    match introduction.leader {
        Some(leader) if leader == introduction.broker_id => "it runs, and leads".to_owned(),
        Some(leader) => format!("it runs, and follows node {leader}"),
        None => "it runs, and knows no controller".to_owned(),
    }
}

impl From<Introduction> for Answer {
    fn from(introduction: Introduction) -> Self {
        let Introduction { broker_id, cluster_id, is_initialised, agrees, leader: _ } = introduction;
        Self { broker_id, cluster_id, is_initialised, agrees }
    }
}

/// The answer that the refusal of a node of another cluster amounts to.
fn of_another_cluster(error: &CallError) -> Option<Answer> {
    match error {
        CallError::Mismatch(Mismatch::ForeignCluster { accepting, accepting_cluster, .. }) => Some(Answer {
            broker_id: BrokerId(*accepting),
            cluster_id: Some(accepting_cluster.clone()),
            is_initialised: true,
            agrees: false,
        }),
        _ => None,
    }
}
