//! `ottla serve`: starts a node, and stops it in order.

mod log;
mod reach;
mod signals;

use super::ServeArguments;
use super::table::count;
use crate::clock;
use crate::node::{Node, StartError};
use crate::open_files::OpenFiles;
use crate::quorum::QuorumError;
use crate::stopping::StopSwitch;
use anyhow::{Context, bail};
use config::broker::{Endpoint, PeerSecurity, ReplicaSet};
use config::parse::{self, Loaded, Sources};
use signals::StopSignals;
use std::fmt::Write;
use std::net::SocketAddr;
use std::path::PathBuf;

/// The variable that names the configuration file.
const CONFIG_VARIABLE: &str = "OTTLA_CONFIG";

/// Runs a node until it is told to stop.
///
/// # Errors
/// When the node cannot start, or its log directory fails.
pub fn run(arguments: &ServeArguments) -> anyhow::Result<()> {
    log::to_standard_error()?;
    let loaded = load(arguments)?;
    for warning in &loaded.warnings {
        tracing::warn!("{warning}");
    }
    let open_files = OpenFiles::of_process(loaded.broker.max_connections)?;
    if let Some(shortage) = open_files.shortage(loaded.broker.max_connections) {
        tracing::warn!("{shortage}");
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let done = runtime.block_on(serve(loaded, open_files));
    runtime.shutdown_background();
    done
}

async fn serve(loaded: Loaded, open_files: OpenFiles) -> anyhow::Result<()> {
    let mut signals = StopSignals::new()?;
    let (stop_switch, stopping) = StopSwitch::new();
    let starting = Node::start(loaded, open_files, stopping);
    tokio::pin!(starting);
    let node = tokio::select! {
        started = &mut starting => started?,
        () = signals.recv() => return stop_early(starting, &stop_switch).await,
    };
    // A node that nobody watches, or whose output has no space left, serves all the same.
    let _unheard = super::print(&banner(&node));
    tracing::info!("{}", start_line(&node));
    let unreachable = reach::warn_if_unreachable(told_address(&node), node.broker.cluster_id());
    let failure = tokio::select! {
        () = signals.recv() => None,
        failure = node.failed() => Some(failure),
        never = unreachable => match never {},
    };
    match failure {
        None => {
            let began = clock::monotonic();
            tracing::debug!("stopping");
            tokio::select! {
                stopped = node.stop() => stopped?,
                () = signals.recv() => bail!("told to stop a second time, and stopped at once; the next start recovers"),
            }
            let took = clock::monotonic().saturating_sub(began);
            tracing::info!(
                "stopped in {took:.1?}: everything is flushed, and the next start has nothing to recover"
            );
            Ok(())
        }
        Some(failure) => Err(failure.into()),
    }
}

/// Ends a start that waits for other nodes; one that is past that goes on to its end and is stopped then.
async fn stop_early(
    starting: impl Future<Output = Result<Node, StartError>>,
    stop_switch: &StopSwitch,
) -> anyhow::Result<()> {
    stop_switch.stop();
    match starting.await {
        Ok(node) => node.stop().await,
        Err(StartError::Quorum(QuorumError::ToldToStop)) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// What the file, the environment and the command line say.
pub(super) fn load(arguments: &ServeArguments) -> anyhow::Result<Loaded> {
    let path = arguments.config.clone().or_else(|| std::env::var_os(CONFIG_VARIABLE).map(PathBuf::from));
    let file = match path {
        None => None,
        Some(path) => {
            let text = std::fs::read_to_string(&path)
                .with_context(|| format!("the configuration file {} cannot be read", path.display()))?;
            Some((path, text))
        }
    };
    let environment = std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
        .collect();
    let sources = Sources { file, environment, set: arguments.set.clone() };
    parse::load(&sources).map_err(|errors| anyhow::anyhow!("{errors}"))
}

/// The start in one line of the log.
fn start_line(node: &Node) -> String {
    let image = node.broker.image();
    let addresses: Vec<String> = node.kafka_addresses.iter().map(ToString::to_string).collect();
    format!(
        "ottla {}: node {} of cluster {} serves {} ({}) on {} after {:.1?}",
        env!("CARGO_PKG_VERSION"),
        node.broker.node_id(),
        node.broker.cluster_id(),
        count(image.topic_count(), "topic"),
        count(image.partition_count(), "partition"),
        addresses.join(", "),
        node.start_duration
    )
}

/// The address that clients are told, where that is not the one that they came to.
fn told_address(node: &Node) -> Option<Endpoint> {
    let settings = node.broker.settings.load();
    let own = settings.broker.replica_set.as_ref().and_then(|set| set.nodes.get(&node.broker.node_id().0));
    let port = node.kafka_addresses.first().map_or(0, SocketAddr::port);
    node.broker.advertised().or_else(|| own.map(|own| Endpoint { host: own.host.clone(), port }))
}

/// What the node tells the person who started it. One fact a line, for scripts too.
fn banner(node: &Node) -> String {
    let mut banner = String::new();
    // Writing to a string cannot fail.
    let mut line = |name: &str, value: &str| {
        let _infallible = writeln!(banner, "{name:<8} {value}");
    };
    line("ottla", env!("CARGO_PKG_VERSION"));
    line("cluster", &format!("{}  node {}", node.broker.cluster_id(), node.broker.node_id()));
    line("data", &node.data_directory().display().to_string());
    for address in &node.kafka_addresses {
        line("kafka", &format!("PLAINTEXT://{address}"));
    }
    if let Some(address) = node.http_address {
        line("http", &format!("http://{address}"));
    }
    let settings = node.broker.settings.load();
    let set = settings.broker.replica_set.as_ref();
    if let Some(set) = set {
        line("peers", &peers(set, node.broker.node_id().0));
    }
    line("clients", &told_to_clients(node, set));
    line("promise", promise(node.broker.waits_for_flush(), set.is_some()));
    let topics = count(node.broker.image().topic_count(), "topic");
    line("ready", &format!("{topics} in {:.1?}", node.start_duration));
    banner
}

/// Where the other nodes reach this one, whether others can listen in, and who they are.
fn peers(set: &ReplicaSet, own_id: i32) -> String {
    let how = match set.security {
        PeerSecurity::Plaintext => "plain text",
        PeerSecurity::Tls(_) => "TLS",
    };
    let others: Vec<String> = set
        .nodes
        .iter()
        .filter(|(id, _)| **id != own_id)
        .map(|(id, address)| format!("{id}@{address}"))
        .collect();
    format!("{} ({how}) for {}", set.listener, others.join(", "))
}

fn promise(waits_for_flush: bool, is_in_set: bool) -> &'static str {
    match (waits_for_flush, is_in_set) {
        (true, false) => "a record is on the disk before it is acknowledged",
        (true, true) => {
            "with acks=all a record is on the disk of every in-sync replica before it is acknowledged; \
             with acks=1 on the leader's only, and may be lost with it"
        }
        (false, false) => "records are acknowledged from the page cache (ottla.durability=replicated)",
        (false, true) => {
            "with acks=all a record is in the page cache of every in-sync replica before it is acknowledged \
             (ottla.durability=replicated); with acks=1 in the leader's only, and may be lost with it"
        }
    }
}

fn told_to_clients(node: &Node, set: Option<&ReplicaSet>) -> String {
    if let Some(endpoint) = node.broker.advertised() {
        return format!("connect to {}:{} (advertised.listeners)", endpoint.host, endpoint.port);
    }
    let port = node.kafka_addresses.first().map_or(0, SocketAddr::port);
    let is_local = node.kafka_addresses.iter().all(|address| address.ip().is_loopback());
    if let Some(own) = set.and_then(|set| set.nodes.get(&node.broker.node_id().0)) {
        let reach = if is_local { "; only this machine can reach it" } else { "" };
        return format!("connect to {}:{port} (the host of ottla.replica.set){reach}", own.host);
    }
    let reach = match is_local {
        true => {
            format!("; only this machine can reach it, listeners=PLAINTEXT://:{port} opens it to the network")
        }
        false => "; behind NAT or a port map, set advertised.listeners".to_owned(),
    };
    format!("connect to the address that they reached this node at{reach}")
}
