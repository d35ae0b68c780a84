//! `ottla cluster`: what concerns the nodes of a cluster together.
//!
//! `status`, `balance` and `drain` speak the Kafka protocol alone, and work on any cluster of Apache Kafka too. What
//! changes something shows what it would do, unless `--execute` is given. The exit code is 0 where all is well or done, 1
//! where the command failed, 2 where the command line cannot be understood, 3 where the cluster works, but not as it
//! should (or moves go on), and 4 where a partition has no leader.

mod balance;
pub(crate) mod certificates;
mod drain;
mod moves;
mod picture;
mod plan;
mod status;

use crate::cli::client::Client;
use crate::cli::{ClusterArguments, Form, asking};
use clap::{Args, Subcommand};

/// A cluster as a whole.
#[derive(Debug, Args)]
#[command(
    after_help = "Exit codes: 0 all is well, 1 failed, 2 not understood, 3 degraded or still moving, 4 a partition without a leader."
)]
pub struct ClusterCommandArguments {
    /// What to do with it.
    #[command(subcommand)]
    pub command: ClusterCommand,
}

/// What to do with a cluster.
#[derive(Debug, Subcommand)]
pub enum ClusterCommand {
    /// Show the nodes, and whether every partition has its leader and its in-sync replicas.
    Status(status::StatusArguments),
    /// Let the first replica of each partition lead again; with --replicas also spread the replicas evenly over the nodes.
    Balance(balance::BalanceArguments),
    /// Take a node out of use: move the leaders, and then the replicas, that it has to the others.
    Drain(drain::DrainArguments),
    /// Make the certificates by which the nodes of a set know each other. Asks no node; the files are to be copied.
    Certificates(certificates::CertificatesArguments),
}

/// What is not as it should be. Each has an exit code of its own.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ClusterTrouble {
    /// Writes and reads work, but a failure more may stop them.
    #[error("the cluster is degraded: {what}")]
    Degraded {
        /// What is missing.
        what: String,
    },
    /// Some partitions can be neither written nor read.
    #[error("{partitions} without a leader: {names}")]
    Leaderless {
        /// How many, in words.
        partitions: String,
        /// Some of their names.
        names: String,
    },
    /// Some of what was to be done was refused, which standard output names.
    #[error("{moves} refused")]
    Refused {
        /// How many, in words.
        moves: String,
    },
    /// What was begun goes on.
    #[error("{partitions} still being moved; `ottla cluster status` shows when it is done")]
    Unfinished {
        /// How many, in words.
        partitions: String,
    },
}

impl ClusterTrouble {
    /// The process's exit code.
    #[must_use]
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Refused { .. } => 1,
            Self::Degraded { .. } | Self::Unfinished { .. } => 3,
            Self::Leaderless { .. } => 4,
        }
    }
}

/// What a command prints, and what is not well all the same.
struct Answer {
    text: String,
    trouble: Option<ClusterTrouble>,
}

/// Runs a command.
///
/// # Errors
/// When it cannot be done, or not all is well, in one sentence.
pub fn run(arguments: &ClusterCommandArguments) -> anyhow::Result<()> {
    match &arguments.command {
        ClusterCommand::Status(status) => {
            ask(&status.cluster, async |client, form| status::run(client, form).await)
        }
        ClusterCommand::Balance(balance) => {
            ask(&balance.cluster, async |client, form| balance::run(client, balance, form).await)
        }
        ClusterCommand::Drain(drain) => {
            ask(&drain.cluster, async |client, form| drain::run(client, drain, form).await)
        }
        ClusterCommand::Certificates(certificates) => certificates::run(certificates),
    }
}

fn ask(
    cluster: &ClusterArguments,
    act: impl AsyncFnOnce(&mut Client, Form) -> anyhow::Result<Answer>,
) -> anyhow::Result<()> {
    let answer = asking::ask(cluster, async |client| act(client, cluster.output).await)?;
    super::print(&answer.text)?;
    answer.trouble.map_or(Ok(()), |trouble| Err(trouble.into()))
}
