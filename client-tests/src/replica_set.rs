//! Several nodes that are one: real processes on loopback addresses or in network namespaces of their own.
//!
//! - [`node`] is one process; [`product`] says how ours and Apache Kafka's are started, so that the same test can show
//!   that it is itself right.
//! - [`network`] gives nodes their addresses; [`namespaces`] cuts cables.
//! - [`roles`] asks who leads, controls and coordinates, so that a fault can find its victim.
//! - [`replicas`] compares what nodes hold on disk.
//!
//! Invariants: no process and no namespace outlives its value, and those of a test process that was killed are removed
//! by the next; a restart keeps addresses and data.

pub mod kafka;
pub mod namespaces;
pub mod network;
pub mod node;
pub mod product;
pub mod replicas;
pub mod roles;

use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use tempfile::TempDir;

use self::namespaces::Namespaces;
use self::network::Network;
use self::node::SetNode;
use self::product::Product;
use self::roles::Cluster;
use crate::wait::wait_until;

/// The longest that a set may take to be whole again after a fault: a returned node reads what it missed.
const WHOLE_LIMIT: Duration = Duration::from_secs(120);

/// How many nodes decide on the metadata; others follow.
const VOTERS: usize = 3;

/// Nodes that know of each other.
#[derive(Debug)]
pub struct ReplicaSet {
    // The order of the fields is the order in which they are dropped: processes before what they stand on.
    nodes: Vec<SetNode>,
    product: Product,
    network: Network,
    home: TempDir,
}

impl ReplicaSet {
    /// Three nodes on loopback, running.
    ///
    /// # Errors
    /// When one does not start. `None` where the product cannot be had and that is no failure.
    pub fn start(product: Product, settings: &[&str]) -> Result<Option<ReplicaSet>> {
        let Some(mut set) = ReplicaSet::prepare(product, Network::loopback()?, 3, settings)? else {
            return Ok(None);
        };
        set.start_all()?;
        Ok(Some(set))
    }

    /// Three nodes in network namespaces, running.
    ///
    /// # Errors
    /// As [`ReplicaSet::start`]; `None` also where this is not root and `CI` is not set.
    pub fn start_in_namespaces(product: Product, settings: &[&str]) -> Result<Option<ReplicaSet>> {
        let Some(network) = Network::namespaces(3)? else { return Ok(None) };
        let Some(mut set) = ReplicaSet::prepare(product, network, 3, settings)? else { return Ok(None) };
        set.start_all()?;
        Ok(Some(set))
    }

    /// As many nodes on this network, none of which runs yet.
    ///
    /// # Errors
    /// When their directories cannot be made. `None` where the product cannot be had and that is no failure.
    pub fn prepare(
        product: Product,
        network: Network,
        size: usize,
        settings: &[&str],
    ) -> Result<Option<ReplicaSet>> {
        if !product.is_there()? {
            return Ok(None);
        }
        let home = make_home()?;
        let mut set = ReplicaSet { nodes: Vec::new(), product, network, home };
        let settings: Vec<String> = settings.iter().map(|&setting| setting.to_owned()).collect();
        for id in 1..=i32::try_from(size)? {
            set.add(id, settings.clone())?;
        }
        let peers = set.hosts();
        set.nodes.iter_mut().for_each(|node| node.set_peers(&peers));
        Ok(Some(set))
    }

    /// One more node, which does not run yet and knows of the others and of itself.
    ///
    /// # Errors
    /// When its directory cannot be made.
    pub fn join(&mut self, settings: &[&str]) -> Result<i32> {
        let id = i32::try_from(self.nodes.len() + 1)?;
        self.add(id, settings.iter().map(|&setting| setting.to_owned()).collect())?;
        let peers = self.hosts();
        self.node_mut(id)?.set_peers(&peers);
        Ok(id)
    }

    /// The numbers and addresses of all nodes.
    #[must_use]
    pub fn hosts(&self) -> Vec<(i32, String)> {
        self.nodes.iter().map(|node| (node.id(), self.network.host(node.id()))).collect()
    }

    fn add(&mut self, id: i32, settings: Vec<String>) -> Result<()> {
        let home = self.home.path().join(format!("node-{id}"));
        std::fs::create_dir(&home)?;
        self.nodes.push(SetNode::new(id, self.product, &self.network, &home, settings));
        Ok(())
    }

    /// Starts every node at once, and waits until all of them serve clients.
    ///
    /// # Errors
    /// When one does not in time.
    pub fn start_all(&mut self) -> Result<()> {
        self.nodes.iter_mut().try_for_each(SetNode::start)?;
        self.nodes.iter_mut().try_for_each(SetNode::wait_until_served)
    }

    /// Lets every node end cleanly, the last one too, which cannot hand anything over.
    ///
    /// # Errors
    /// When one does not in time.
    pub fn stop_all(&mut self) -> Result<()> {
        let mut running: Vec<&mut SetNode> = self.nodes.iter_mut().filter(|node| node.is_started()).collect();
        running.iter_mut().try_for_each(|node| node.ask_to_stop())?;
        running.iter_mut().try_for_each(|node| node.wait_for_stop())
    }

    /// The node with this id.
    ///
    /// # Errors
    /// When there is none.
    pub fn node(&self, id: i32) -> Result<&SetNode> {
        self.nodes.iter().find(|node| node.id() == id).with_context(|| format!("there is no node {id}"))
    }

    /// The node with this id.
    ///
    /// # Errors
    /// When there is none.
    pub fn node_mut(&mut self, id: i32) -> Result<&mut SetNode> {
        self.nodes.iter_mut().find(|node| node.id() == id).with_context(|| format!("there is no node {id}"))
    }

    /// Whose nodes they are.
    #[must_use]
    pub fn product(&self) -> Product {
        self.product
    }

    /// All ids, in order.
    #[must_use]
    pub fn ids(&self) -> Vec<i32> {
        self.nodes.iter().map(SetNode::id).collect()
    }

    /// The nodes.
    #[must_use]
    pub fn nodes(&self) -> &[SetNode] {
        &self.nodes
    }

    /// Where files of the set may be kept.
    #[must_use]
    pub fn home(&self) -> &Path {
        self.home.path()
    }

    /// The cables between the nodes.
    ///
    /// # Errors
    /// When the set is on loopback.
    pub fn namespaces(&self) -> Result<&Namespaces> {
        self.network.as_namespaces().context("nodes on loopback have no cables to cut")
    }

    /// `host:port` of every node, with commas between.
    #[must_use]
    pub fn bootstrap(&self) -> String {
        let addresses: Vec<&str> = self.nodes.iter().map(SetNode::address).collect();
        addresses.join(",")
    }

    /// What the first node that answers says of the cluster.
    ///
    /// # Errors
    /// When none answers.
    pub fn cluster(&self) -> Result<Cluster> {
        self.ask(roles::cluster)
    }

    /// Asks the nodes that can answer, one after the other, until one does.
    ///
    /// # Errors
    /// The last one's, when none does.
    pub fn ask<T>(&self, question: impl Fn(&str) -> Result<T>) -> Result<T> {
        let mut outcome = Err(anyhow::anyhow!("no node runs"));
        for node in self.nodes.iter().filter(|node| node.can_answer()) {
            outcome = question(node.address());
            if outcome.is_ok() {
                return outcome;
            }
        }
        outcome
    }

    /// Waits until the cluster is so as every running node sees it: a client may ask any of them next, and one may hear of a
    /// change later than another.
    ///
    /// # Errors
    /// When that does not come in time; the error has the first view that is otherwise.
    pub fn wait_until_all_see(&self, what: &str, holds: impl Fn(&Cluster) -> bool) -> Result<()> {
        let mut other = None;
        let outcome = wait_until(WHOLE_LIMIT, what, || {
            let views = self.nodes.iter().filter(|node| node.can_answer());
            let mut views = views.map(|node| roles::cluster(node.address()));
            other = views.find(|view| !view.as_ref().is_ok_and(&holds));
            Ok(other.is_none())
        });
        outcome.with_context(|| format!("{other:?}"))
    }

    /// Waits until every running node agrees that all replicas of all partitions are in sync and that each is led, and as
    /// many nodes decide on the metadata as can.
    ///
    /// # Errors
    /// When that does not come in time; the error says what is missing.
    pub fn wait_until_whole(&self) -> Result<()> {
        let mut missing = String::new();
        let outcome = wait_until(WHOLE_LIMIT, "the set is whole", || {
            let views = self.nodes.iter().filter(|node| node.can_answer());
            let mut views = views.map(|node| roles::cluster(node.address()));
            missing.clear();
            if let Some(reason) = views.find_map(|view| {
                view.map_or_else(|error| Some(format!("{error:#}")), |view| view.is_missing())
            }) {
                missing = reason;
            } else if let Some(reason) = self.lacks_voters() {
                missing = reason;
            }
            Ok(missing.is_empty())
        });
        outcome.with_context(|| missing)
    }

    /// Whether fewer nodes decide on the metadata than run, of three at most.
    fn lacks_voters(&self) -> Option<String> {
        let running = self.nodes.iter().filter(|node| node.can_answer()).count().min(VOTERS);
        match self.ask(roles::quorum) {
            Ok(quorum) if quorum.voters.len() >= running => None,
            Ok(quorum) => Some(format!("the quorum is {quorum:?}")),
            Err(error) => Some(format!("{error:#}")),
        }
    }

    /// Creates a topic and waits until each partition is led and whole.
    ///
    /// # Errors
    /// When it is refused, or not whole in time.
    pub fn create_topic(&self, topic: &str, partitions: i32, settings: &[(&str, &str)]) -> Result<()> {
        let mut code = 0;
        wait_until(WHOLE_LIMIT, "the topic is created", || {
            let created = self.ask(|address| roles::create_topic(address, topic, partitions, settings));
            code = created.unwrap_or(-1);
            Ok(code == 0 || code == roles::TOPIC_ALREADY_EXISTS)
        })
        .with_context(|| format!("the last answer was {code}"))?;
        wait_until(WHOLE_LIMIT, "the topic is known", || {
            let mut known = self.nodes.iter().filter(|node| node.can_answer());
            Ok(known.all(|node| {
                roles::cluster(node.address())
                    .is_ok_and(|view| view.partitions(topic).len() == partitions as usize)
            }))
        })?;
        self.wait_until_whole()
    }

    /// Checks that no node ended by itself, nor said that a person must look.
    ///
    /// # Errors
    /// When one did.
    pub fn check(&mut self) -> Result<()> {
        for node in &mut self.nodes {
            ensure!(!node.has_ended()?, "node {} ended by itself", node.id());
            let log = node.log();
            let error = log.lines().find(|line| self.product == Product::Ottla && line.contains(" ERROR "));
            ensure!(error.is_none(), "node {} said {error:?}", node.id());
        }
        Ok(())
    }
}

/// A directory that is removed with the set, or stays where `OTTLA_TEST_KEEP` says.
fn make_home() -> Result<TempDir> {
    const PREFIX: &str = "ottla-replica-set-";
    let Some(kept) = std::env::var_os("OTTLA_TEST_KEEP") else {
        return Ok(TempDir::with_prefix(PREFIX)?);
    };
    let mut home = TempDir::with_prefix_in(PREFIX, &kept).with_context(|| kept.display().to_string())?;
    home.disable_cleanup(true);
    eprintln!("the set stays in {}", home.path().display());
    Ok(home)
}
