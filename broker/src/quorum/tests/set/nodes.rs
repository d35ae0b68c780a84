//! The nodes of a set in this process, and what a test does with them.

use crate::peer::PeerSockets;
use crate::peer::testing::free_address;
use crate::quorum::tests::{any_config, create, settings};
use crate::quorum::{
    MemberStatus, ProposeError, Quorum, QuorumError, QuorumSettings, QuorumStatus, SetSettings, Upkeep,
};
use crate::stopping::{StopSwitch, Stopping};
use config::broker::Endpoint;
use replication::controller::brokers::RegisterBroker;
use replication::controller::growth::GrowReplicas;
use replication::metadata::image::MetadataImage;
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use storage::ids::BrokerId;
use tempfile::TempDir;
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};

/// Longer than anything takes on a machine that does other things as well.
pub(super) const PATIENCE: Duration = Duration::from_secs(60);

/// What is looked at again and again, since nothing tells when it changes.
pub(super) const LOOK_AGAIN: Duration = Duration::from_millis(10);

/// How long a node may be silent, where a test does not say otherwise.
const SESSION_TIMEOUT: Duration = Duration::from_millis(1200);

/// A node that starts, runs, or is gone. Its directory and its address outlive it.
pub(super) struct Node {
    pub(super) id: i32,
    pub(super) directory: TempDir,
    pub(super) address: Endpoint,
    pub(super) stop_switch: StopSwitch,
    pub(super) state: State,
}

pub(super) enum State {
    Gone,
    Starting(JoinHandle<Result<Quorum, QuorumError>>),
    Running(Arc<Quorum>),
}

/// Nodes that name each other.
pub(super) struct Set {
    pub(super) nodes: Vec<Node>,
    pub(super) session_timeout: Duration,
}

impl Set {
    /// Nodes with the ids 1, 2, … that hold nothing and do not run.
    pub(super) fn of(count: i32) -> Self {
        let filter = tracing_subscriber::EnvFilter::from_env("OTTLA_LOG");
        // Another test of this process may have set it up already.
        let _is_first =
            tracing_subscriber::fmt().with_env_filter(filter).with_test_writer().try_init().is_ok();
        let mut set = Self { nodes: Vec::new(), session_timeout: SESSION_TIMEOUT };
        for id in 1..=count {
            set.add(id);
        }
        set
    }

    pub(super) fn add(&mut self, id: i32) {
        let directory = TempDir::new().expect("a temporary directory");
        let stop_switch = StopSwitch::new().0;
        self.nodes.push(Node { id, directory, address: free_address(), stop_switch, state: State::Gone });
    }

    pub(super) fn node(&self, id: i32) -> &Node {
        self.nodes.iter().find(|node| node.id == id).expect("it is one of the set")
    }

    pub(super) fn node_mut(&mut self, id: i32) -> &mut Node {
        self.nodes.iter_mut().find(|node| node.id == id).expect("it is one of the set")
    }

    pub(super) fn quorum(&self, id: i32) -> &Arc<Quorum> {
        match &self.node(id).state {
            State::Running(quorum) => quorum,
            State::Gone | State::Starting(_) => panic!("node {id} does not run"),
        }
    }

    pub(super) fn running(&self) -> Vec<i32> {
        self.nodes.iter().filter(|node| matches!(node.state, State::Running(_))).map(|node| node.id).collect()
    }

    /// Begins to start a node that names all nodes of the set.
    pub(super) async fn begin(&mut self, id: i32) {
        let named: Vec<i32> = self.nodes.iter().map(|node| node.id).collect();
        self.begin_naming(id, &named).await;
    }

    /// Begins to start a node that names these.
    pub(super) async fn begin_naming(&mut self, id: i32, named: &[i32]) {
        let nodes = named.iter().map(|id| (BrokerId(*id), self.node(*id).address.clone())).collect();
        let directory = self.node(id).directory.path().to_owned();
        let (stop_switch, stopping) = StopSwitch::new();
        let mut settings = in_set(&directory, BrokerId(id), nodes, stopping).await;
        settings.set.as_mut().expect("it is in a set").session_timeout = self.session_timeout;
        let node = self.node_mut(id);
        node.stop_switch = stop_switch;
        node.state = State::Starting(tokio::task::spawn_blocking(move || Quorum::open(settings)));
    }

    /// Waits until a start is over.
    pub(super) async fn outcome(&mut self, id: i32) -> Result<(), QuorumError> {
        let State::Starting(starting) = std::mem::replace(&mut self.node_mut(id).state, State::Gone) else {
            panic!("node {id} does not start")
        };
        let outcome =
            timeout(PATIENCE, starting).await.expect("the start is over in time").expect("no panic");
        let quorum = Arc::new(outcome?);
        quorum.say_ready();
        self.node_mut(id).state = State::Running(quorum);
        Ok(())
    }

    pub(super) async fn start(&mut self, ids: &[i32]) {
        for id in ids {
            self.begin(*id).await;
        }
        for id in ids {
            self.outcome(*id).await.expect("it starts");
        }
    }

    /// Ends a node at once. What it was about to do is cut off, as by a kill; what it was told is on its disk stays.
    pub(super) async fn kill(&mut self, id: i32) {
        let state = std::mem::replace(&mut self.node_mut(id).state, State::Gone);
        tokio::task::spawn_blocking(move || drop(state)).await.expect("no panic");
    }

    /// Takes a node's disk away.
    pub(super) fn wipe(&mut self, id: i32) {
        self.node_mut(id).directory = TempDir::new().expect("a temporary directory");
    }

    /// Waits until some running node knows a status of the quorum that is as wanted.
    pub(super) async fn status(&self, what: &str, is_wanted: impl Fn(&QuorumStatus) -> bool) -> QuorumStatus {
        let mut last = None;
        let looked = timeout(PATIENCE, async {
            loop {
                for id in self.running() {
                    let status = self.quorum(id).status().await;
                    if let Some(status) = status.clone().filter(&is_wanted) {
                        return status;
                    }
                    last = status.or(last.take());
                }
                sleep(LOOK_AGAIN).await;
            }
        });
        looked.await.unwrap_or_else(|_| panic!("{what}, but {last:?}"))
    }

    pub(super) async fn wait_for_voters(&self, voters: &[i32], observers: &[i32]) -> QuorumStatus {
        let what = format!("waited for the voters {voters:?} and the observers {observers:?}");
        let is_wanted = |status: &QuorumStatus| {
            !status.is_changing && ids(&status.voters) == voters && ids(&status.observers) == observers
        };
        self.status(&what, is_wanted).await
    }

    /// Waits until a node's image is as wanted.
    pub(super) async fn image(
        &self,
        id: i32,
        is_wanted: impl Fn(&MetadataImage) -> bool,
    ) -> Arc<MetadataImage> {
        let mut images = self.quorum(id).subscribe();
        let image = timeout(PATIENCE, images.wait_for(|image| is_wanted(image))).await;
        Arc::clone(&*image.expect("the image comes in time").expect("the quorum runs"))
    }

    pub(super) async fn create_topic(&self, through: i32, name: &str) -> i64 {
        self.image(through, |image| is_used(image, through)).await;
        let created = timeout(PATIENCE, async {
            loop {
                match self.quorum(through).propose(create(name.to_owned())).await {
                    // It may exist by now, which is as good.
                    Err(ProposeError::LeadLost) => {}
                    other => return other,
                }
            }
        });
        created.await.expect("the controller answers in time").expect("the controller answers").offset
    }

    pub(super) async fn leader(&self) -> i32 {
        self.status("waited for a leader", |_| true).await.leader.0
    }
}

pub(super) fn ids(members: &[MemberStatus]) -> Vec<i32> {
    members.iter().map(|member| member.broker_id.0).collect()
}

pub(super) async fn in_set(
    directory: &Path,
    broker_id: BrokerId,
    nodes: BTreeMap<BrokerId, Endpoint>,
    stopping: Stopping,
) -> QuorumSettings {
    let own = nodes.get(&broker_id).expect("it is one of the set");
    let sockets = PeerSockets::bind(own).await.expect("its address is free");
    let alone = settings(directory, broker_id, stopping);
    let introduce = alone.introduce;
    QuorumSettings {
        introduce: Box::new(move |image| Ok(RegisterBroker { starts_fenced: true, ..introduce(image)? })),
        config_rules: any_config(),
        set: Some(SetSettings {
            nodes,
            sockets,
            tls: None,
            heartbeat_interval: Duration::from_millis(100),
            session_timeout: SESSION_TIMEOUT,
            upkeep: Upkeep {
                growth: GrowReplicas { default_replication_factor: 3, replication_factors: BTreeMap::new() },
                balance_leaders_every: None,
            },
        }),
        ..alone
    }
}

pub(super) fn is_used(image: &MetadataImage, id: i32) -> bool {
    image.broker(BrokerId(id)).is_some_and(|known| !known.is_fenced)
}
