//! Three nodes of one contender: started, killed and started again; what they say of themselves, and what they cost together.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use tempfile::TempDir;

use super::Setting;
use super::product::{NODES, Network, command};
use super::requests::{self, View, connect};
use crate::clock::{Stopwatch, pause};
use crate::compare::clients::Clients;
use crate::connection::Connection;
use crate::process::{Background, Memory};

/// How long a set may take to be whole: a node that returned reads all that it missed.
const LIMIT: Duration = Duration::from_secs(300);
/// How often it is looked at meanwhile. Larger rounds figures up; smaller takes CPU from what is measured.
const STEP: Duration = Duration::from_millis(20);

/// The nodes, which end with this value.
pub(super) struct NodeSet<'a> {
    // Dropped first: processes before their data.
    nodes: Vec<Node>,
    setting: &'a Setting<'a>,
    network: Network,
    _home: TempDir,
}

struct Node {
    id: u8,
    home: PathBuf,
    process: Option<Background>,
    /// Each start says what it says in a file of its own.
    starts: u32,
}

impl<'a> NodeSet<'a> {
    /// Three empty nodes, none of which runs.
    pub(super) fn prepare(setting: &'a Setting<'a>) -> Result<Self> {
        let home = setting.contenders.home()?;
        let mut nodes = Vec::new();
        for id in NODES {
            let own = home.path().join(format!("node-{id}"));
            std::fs::create_dir(&own)?;
            nodes.push(Node { id, home: own, process: None, starts: 0 });
        }
        Ok(Self { nodes, setting, network: Network::free()?, _home: home })
    }

    /// Three nodes that were empty, know of each other, and serve.
    pub(super) fn start(setting: &'a Setting<'a>) -> Result<Self> {
        let mut set = Self::prepare(setting)?;
        set.spawn_all()?;
        set.wait_until_whole()?;
        Ok(set)
    }

    /// Starts all nodes at once, without waiting; answers when the first of the processes was started: what formats
    /// their directories is not a part of a start.
    pub(super) fn spawn_all(&mut self) -> Result<Stopwatch> {
        let mut commands = Vec::new();
        for node in &self.nodes {
            let Setting { contenders, contender, .. } = self.setting;
            commands.push(command(contenders, *contender, self.network, node.id, &node.home)?);
        }
        let started = Stopwatch::start();
        for (node, mut command) in self.nodes.iter_mut().zip(commands) {
            node.spawn(&mut command)?;
        }
        Ok(started)
    }

    /// Starts a node that does not run, without waiting.
    pub(super) fn spawn(&mut self, id: u8) -> Result<()> {
        let Setting { contenders, contender, .. } = self.setting;
        let network = self.network;
        let node = self.node_mut(id)?;
        let mut command = command(contenders, *contender, network, id, &node.home)?;
        node.spawn(&mut command)
    }

    /// Kills a node (SIGKILL).
    pub(super) fn kill(&mut self, id: u8) -> Result<()> {
        self.node_mut(id)?.process.take().with_context(|| format!("node {id} does not run"))?.kill()
    }

    /// Kills all nodes, none of which may have ended by itself. What they hold is thrown away, and the last node of a set
    /// of Apache Kafka takes minutes to stop.
    pub(super) fn end(mut self) -> Result<()> {
        self.must_run()?;
        self.nodes.iter_mut().filter_map(|node| node.process.take()).try_for_each(Background::kill)
    }

    fn node_mut(&mut self, id: u8) -> Result<&mut Node> {
        self.nodes.iter_mut().find(|node| node.id == id).with_context(|| format!("there is no node {id}"))
    }

    /// The nodes that run, and where they serve clients.
    pub(super) fn running(&self) -> impl Iterator<Item = (u8, SocketAddr, &Background)> {
        self.nodes
            .iter()
            .filter_map(|node| Some((node.id, self.network.client_address(node.id), node.process.as_ref()?)))
    }

    /// Where all nodes serve clients.
    pub(super) fn addresses(&self) -> Vec<(u8, SocketAddr)> {
        NODES.map(|id| (id, self.network.client_address(id))).into()
    }

    /// Kafka's programs as clients of all nodes.
    pub(super) fn clients(&self) -> Clients<'a> {
        let addresses: Vec<String> =
            self.addresses().iter().map(|(_, address)| address.to_string()).collect();
        Clients { kafka: &self.setting.contenders.kafka, bootstrap: addresses.join(",") }
    }

    /// The CPU time that the nodes which run have taken so far.
    pub(super) fn cpu(&self) -> Result<Duration> {
        self.running().map(|(_, _, process)| process.cpu()).sum()
    }

    /// The memory of the nodes: of each kind, that of the node with the most.
    pub(super) fn memory(&self) -> Result<Memory> {
        let mut most = Memory { resident: 0, anonymous: 0 };
        for (_, _, process) in self.running() {
            let memory = process.memory()?;
            most.resident = most.resident.max(memory.resident);
            most.anonymous = most.anonymous.max(memory.anonymous);
        }
        Ok(most)
    }

    /// Asks one running node after the other until one answers.
    pub(super) fn ask<T>(&self, question: impl Fn(&mut Connection) -> Result<T>) -> Result<T> {
        let mut outcome = Err(anyhow::anyhow!("no node runs"));
        for (_, address, _) in self.running() {
            outcome = connect(address).and_then(|mut connection| question(&mut connection));
            if outcome.is_ok() {
                break;
            }
        }
        outcome
    }

    /// Makes a topic with a replica on each node, and waits until each is in sync.
    pub(super) fn create_topic(&mut self, name: &str, partitions: i32) -> Result<()> {
        self.wait("the topic is made", |set| {
            let is_made = set.ask(|connection| requests::create_topic(connection, name, partitions))?;
            Ok(if is_made { None } else { Some("not now".to_owned()) })
        })?;
        let partitions = usize::try_from(partitions)?;
        self.wait("the topic is known", |set| {
            let view = set.ask(|connection| View::of(connection, Some(name)))?;
            Ok((view.partitions.len() != partitions).then(|| format!("{} partitions", view.partitions.len())))
        })?;
        self.wait_until_whole()
    }

    /// Waits until every node that runs knows all of them, each partition is led, and each replica in sync.
    pub(super) fn wait_until_whole(&mut self) -> Result<()> {
        self.wait("the set is whole", |set| {
            let nodes = set.running().count();
            for (id, address, _) in set.running() {
                let view = View::of(&mut connect(address)?, None)?;
                if view.brokers != nodes {
                    return Ok(Some(format!("node {id} knows {} nodes of {nodes}", view.brokers)));
                }
                if let Some(partition) = view.incomplete() {
                    return Ok(Some(format!("node {id} says {partition}")));
                }
            }
            Ok(None)
        })
    }

    /// Has every partition led by its preferred replica, so that each node leads its part.
    pub(super) fn balance(&mut self) -> Result<()> {
        self.ask(requests::elect_preferred_leaders)?;
        self.wait("the preferred replicas lead", |set| {
            let view = set.ask(|connection| View::of(connection, None))?;
            let mut partitions = view.partitions.iter();
            let other = partitions.find(|partition| partition.leader != partition.replicas.first().copied());
            Ok(other.map(ToString::to_string))
        })
    }

    /// Waits until `missing` says nothing. A node that ends meanwhile fails the run.
    pub(super) fn wait(
        &mut self,
        what: &str,
        missing: impl Fn(&Self) -> Result<Option<String>>,
    ) -> Result<()> {
        self.wait_by(STEP, what, missing)
    }

    /// As [`NodeSet::wait`], looking each `step`.
    pub(super) fn wait_by(
        &mut self,
        step: Duration,
        what: &str,
        missing: impl Fn(&Self) -> Result<Option<String>>,
    ) -> Result<()> {
        let started = Stopwatch::start();
        loop {
            let reason = match missing(self) {
                Ok(None) => return Ok(()),
                Ok(Some(reason)) => reason,
                // A node that has just been started does not answer yet.
                Err(error) => format!("{error:#}"),
            };
            self.must_run()?;
            if started.elapsed() > LIMIT {
                bail!("after {LIMIT:?} it is not so that {what}: {reason}");
            }
            pause(step);
        }
    }

    /// Fails, with what it said, when a node has ended by itself.
    pub(super) fn must_run(&mut self) -> Result<()> {
        for node in &mut self.nodes {
            if let Some(process) = &mut node.process {
                process.must_run().with_context(|| format!("node {}", node.id))?;
            }
        }
        Ok(())
    }
}

impl Node {
    fn spawn(&mut self, command: &mut std::process::Command) -> Result<()> {
        self.starts += 1;
        let stderr = self.home.join(format!("stderr-{}", self.starts));
        self.process = Some(Background::start(command, None, &stderr)?);
        Ok(())
    }
}
