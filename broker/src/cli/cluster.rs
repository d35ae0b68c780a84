//! `ottla cluster`: what concerns the nodes of a replica set together.

pub(crate) mod certificates;

use clap::{Args, Subcommand};

/// A replica set as a whole.
#[derive(Debug, Args)]
pub struct ClusterCommandArguments {
    /// What to do with it.
    #[command(subcommand)]
    pub command: ClusterCommand,
}

/// What to do with a replica set.
#[derive(Debug, Subcommand)]
pub enum ClusterCommand {
    /// Make the certificates by which the nodes of a set know each other. Asks no node; the files are to be copied.
    Certificates(certificates::CertificatesArguments),
}

/// Runs a command.
///
/// # Errors
/// When it cannot be done, in one sentence.
pub fn run(arguments: &ClusterCommandArguments) -> anyhow::Result<()> {
    match &arguments.command {
        ClusterCommand::Certificates(arguments) => certificates::run(arguments),
    }
}
