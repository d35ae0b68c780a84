//! `ottla groups`: consumer groups as their coordinators know them, over the Kafka protocol.
//!
//! Each command prints either text for people or JSON for scripts. The exit code is 0 where it was done, 1 where it
//! failed, 2 where the command line cannot be understood, 3 where there is no such group, and 4 where the group has
//! members that stand in the way.

mod assignment;
mod delete;
mod describe;
mod description;
mod list;
mod offsets;
mod reset;
mod stability;

use clap::{Args, Subcommand};
use kafka_protocol::messages::GroupId;
use kafka_protocol::protocol::StrBytes;

pub(in crate::cli) use offsets::committed;

use super::client::Client;
use super::{ClusterArguments, Form, asking};

/// List, describe, reset and delete consumer groups, on Ottla or on any other Kafka broker.
#[derive(Debug, Args)]
#[command(
    after_help = "Exit codes: 0 done, 1 failed, 2 not understood, 3 there is no such group, 4 it has members."
)]
pub struct GroupsArguments {
    /// What to do with them.
    #[command(subcommand)]
    pub command: GroupsCommand,
    /// Which cluster, and how it is shown.
    #[command(flatten)]
    pub cluster: ClusterArguments,
}

/// What to do with groups.
#[derive(Debug, Subcommand)]
pub enum GroupsCommand {
    /// List the groups of the cluster.
    List(list::ListArguments),
    /// Show how groups stand: their state and why, their lag, their members.
    Describe(describe::DescribeArguments),
    /// Set the committed offsets of a group without members. Shows what it would do, unless --execute is given.
    Reset(reset::ResetArguments),
    /// Delete groups without members, or what a group has committed of some topics.
    Delete(delete::DeleteArguments),
}

/// Why a group cannot be dealt with as asked. Each has an exit code of its own.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum GroupRefusal {
    /// There is none of this name.
    #[error("there is no group {group_id}")]
    NoSuchGroup {
        /// The name.
        group_id: String,
    },
    /// It has members.
    #[error("{group_id} has members ({detail}); stop them first")]
    HasMembers {
        /// The group.
        group_id: String,
        /// What the broker says of it.
        detail: String,
    },
}

impl GroupRefusal {
    /// The process's exit code.
    #[must_use]
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::NoSuchGroup { .. } => 3,
            Self::HasMembers { .. } => 4,
        }
    }
}

/// Runs one of the commands, and prints what it answers.
///
/// # Errors
/// When no broker can be reached, one refuses, the time is over, or standard output is closed.
pub fn run(arguments: &GroupsArguments) -> anyhow::Result<()> {
    let text = asking::ask(&arguments.cluster, async |client| answer(client, arguments).await)?;
    super::print(&text)
}

async fn answer(client: &mut Client, arguments: &GroupsArguments) -> anyhow::Result<String> {
    let form = arguments.cluster.output;
    match &arguments.command {
        GroupsCommand::List(list) => list::run(client, list, form).await,
        GroupsCommand::Describe(describe) => describe::run(client, describe, form).await,
        GroupsCommand::Reset(reset) => reset::run(client, reset, form).await,
        GroupsCommand::Delete(delete) => delete::run(client, delete, form).await,
    }
}

/// A group's name as the messages have it.
fn wire_id(group_id: &str) -> GroupId {
    GroupId(StrBytes::from_string(group_id.to_owned()))
}
