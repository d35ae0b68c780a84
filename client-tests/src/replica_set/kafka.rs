//! Nodes of Apache Kafka: broker and controller in one process, as many voters as nodes.

use std::fs;
use std::process::Command;

use anyhow::{Context as _, Result};

use super::network::{CLIENT_PORT, PEER_PORT};
use super::product::Instructions;
use crate::tools::{self, java::JavaProgram};

/// Names the cluster in the format step; any 16 bytes in base 64 do.
const CLUSTER_ID: &str = "AAAAAAAAAAAAAAAAAAAAAQ";

pub(super) fn is_there() -> Result<bool> {
    Ok(tools::java::kafka_server()?.is_some())
}

/// The command that runs a node; an empty directory is formatted first.
pub(super) fn command(node: &Instructions<'_>) -> Result<Command> {
    let home = node.data_dir.parent().context("the data is in a directory")?;
    let properties = home.join("server.properties");
    fs::write(&properties, text(node))?;
    if !node.data_dir.join("meta.properties").exists() {
        let format = tools::java::kafka_storage_tool()?.context("the tools were there before")?;
        let mut format = java(&format);
        format.args(["format", "-t", CLUSTER_ID, "-c"]).arg(&properties);
        if node.peers.len() == 1 {
            // Alone it has no use for the feature, which writes min.insync.replicas among every topic's own settings.
            format.args(["--feature", "eligible.leader.replicas.version=0"]);
        }
        let output = format.output().context("java cannot be started")?;
        anyhow::ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }
    let mut command = java(&tools::java::kafka_server()?.context("the server was there before")?);
    command.arg(&properties);
    Ok(command)
}

fn java(program: &JavaProgram) -> Command {
    let mut command = Command::new("java");
    command.args(program.arguments());
    command
}

fn text(node: &Instructions<'_>) -> String {
    let voters: Vec<String> =
        node.peers.iter().map(|(id, host)| format!("{id}@{host}:{PEER_PORT}")).collect();
    let replicas = voters.len().min(3);
    let in_sync = replicas.div_ceil(2);
    let Instructions { id, host, data_dir, settings, .. } = node;
    format!(
        "process.roles=broker,controller\n\
         node.id={id}\n\
         controller.quorum.voters={}\n\
         listeners=PLAINTEXT://{host}:{CLIENT_PORT},CONTROLLER://{host}:{PEER_PORT}\n\
         advertised.listeners=PLAINTEXT://{host}:{CLIENT_PORT}\n\
         controller.listener.names=CONTROLLER\n\
         listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT\n\
         log.dirs={}\n\
         default.replication.factor={replicas}\n\
         min.insync.replicas={in_sync}\n\
         offsets.topic.replication.factor={replicas}\n\
         transaction.state.log.replication.factor={replicas}\n\
         transaction.state.log.min.isr={in_sync}\n\
         share.coordinator.state.topic.replication.factor={replicas}\n\
         share.coordinator.state.topic.min.isr={in_sync}\n\
         group.initial.rebalance.delay.ms=0\n\
         {}\n",
        voters.join(","),
        data_dir.display(),
        settings.join("\n")
    )
}
