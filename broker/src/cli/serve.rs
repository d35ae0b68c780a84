//! `ottla serve`: starts a node, and stops it in order.

use super::ServeArguments;
use crate::node::{Node, StartError};
use crate::quorum::QuorumError;
use crate::stopping::StopSwitch;
use anyhow::{Context, bail};
use config::parse::{self, Loaded, Sources};
use std::fmt::Write;
use std::io::IsTerminal;
use std::net::SocketAddr;
use std::path::PathBuf;
use tokio::signal::unix::{SignalKind, signal};

/// The variable that sets what is logged, in the syntax of `tracing`'s filters.
const LOG_VARIABLE: &str = "OTTLA_LOG";

/// The variable that names the configuration file.
const CONFIG_VARIABLE: &str = "OTTLA_CONFIG";

/// Runs a node until it is told to stop.
///
/// # Errors
/// When the node cannot start, or its log directory fails.
pub fn run(arguments: &ServeArguments) -> anyhow::Result<()> {
    log_to_standard_error()?;
    let loaded = load(arguments)?;
    for warning in &loaded.warnings {
        tracing::warn!("{warning}");
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let done = runtime.block_on(serve(loaded));
    runtime.shutdown_background();
    done
}

async fn serve(loaded: Loaded) -> anyhow::Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let (stop_switch, stopping) = StopSwitch::new();
    let starting = Node::start(loaded, stopping);
    tokio::pin!(starting);
    let node = tokio::select! {
        started = &mut starting => started?,
        _ = terminate.recv() => return stop_early(starting, &stop_switch).await,
        _ = interrupt.recv() => return stop_early(starting, &stop_switch).await,
    };
    super::print(&banner(&node))?;
    let failure = tokio::select! {
        _ = terminate.recv() => None,
        _ = interrupt.recv() => None,
        failure = node.failed() => Some(failure),
    };
    match failure {
        None => {
            tracing::info!("stopping");
            let told_again = async {
                tokio::select! {
                    _ = terminate.recv() => {}
                    _ = interrupt.recv() => {}
                }
            };
            tokio::select! {
                stopped = node.stop() => stopped?,
                () = told_again => bail!("told to stop a second time, and stopped at once; the next start recovers"),
            }
            tracing::info!("stopped");
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

fn load(arguments: &ServeArguments) -> anyhow::Result<Loaded> {
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

fn log_to_standard_error() -> anyhow::Result<()> {
    let filter = tracing_subscriber::EnvFilter::try_from_env(LOG_VARIABLE)
        .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new("info,openraft=off"));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .with_target(false)
        .try_init()
        .map_err(|error| anyhow::anyhow!("the log cannot be set up: {error}"))
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
    line("clients", &told_to_clients(node));
    if node.broker.waits_for_flush() {
        line("promise", "a record is on the disk before it is acknowledged");
    } else {
        line("promise", "records are acknowledged from the page cache (ottla.durability=replicated)");
    }
    line("ready", &format!("{} topics in {:?}", node.broker.image().topic_count(), node.start_duration));
    banner
}

fn told_to_clients(node: &Node) -> String {
    let advertised = node.broker.advertised();
    if let Some(endpoint) = advertised {
        return format!("connect to {}:{} (advertised.listeners)", endpoint.host, endpoint.port);
    }
    let is_loopback = |address: &SocketAddr| address.ip().is_loopback();
    let reach = match node.kafka_addresses.iter().all(is_loopback) {
        true => "; only this machine can reach it, listeners=PLAINTEXT://:9092 opens it to the network",
        false => "; behind NAT or a port map, set advertised.listeners",
    };
    format!("connect to the address that they reached this node at{reach}")
}
