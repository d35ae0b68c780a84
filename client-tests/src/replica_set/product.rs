//! How a node of ours, or of Apache Kafka, is started.

use std::path::Path;
use std::process::Command;

use anyhow::{Result, bail};

use super::kafka;
use super::network::{CLIENT_PORT, HTTP_PORT, PEER_PORT};

/// Whose nodes a set has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Product {
    /// Ours.
    Ottla,
    /// Apache Kafka, whose sets show whether a test itself is right.
    Kafka,
}

/// What a node is told.
#[derive(Debug)]
pub struct Instructions<'a> {
    /// Its number.
    pub id: i32,
    /// Its own address.
    pub host: &'a str,
    /// The numbers and addresses of all nodes that it is told of, itself among them.
    pub peers: &'a [(i32, String)],
    /// Where its data goes.
    pub data_dir: &'a Path,
    /// Further `key=value` settings.
    pub settings: &'a [String],
}

impl Product {
    /// What `OTTLA_TEST_PRODUCT` names: ours unless it is `kafka`.
    ///
    /// # Errors
    /// When it names something else.
    pub fn under_test() -> Result<Product> {
        match std::env::var("OTTLA_TEST_PRODUCT").as_deref() {
            Err(_) | Ok("ottla") => Ok(Product::Ottla),
            Ok("kafka") => Ok(Product::Kafka),
            Ok(other) => bail!("OTTLA_TEST_PRODUCT is {other:?}, which is neither ottla nor kafka"),
        }
    }

    /// Whether it can be started.
    ///
    /// # Errors
    /// Where `CI` is set and it cannot be had.
    pub fn is_there(self) -> Result<bool> {
        match self {
            Product::Ottla => Ok(true),
            Product::Kafka => kafka::is_there(),
        }
    }

    /// The command that runs a node in the foreground.
    ///
    /// # Errors
    /// When the binary cannot be built, or the directory not be formatted.
    pub fn command(self, node: &Instructions<'_>) -> Result<Command> {
        match self {
            Product::Ottla => ottla(node),
            Product::Kafka => kafka::command(node),
        }
    }
}

fn ottla(node: &Instructions<'_>) -> Result<Command> {
    let peers: Vec<String> = node.peers.iter().map(|(id, host)| format!("{id}@{host}:{PEER_PORT}")).collect();
    let mut command = crate::node::command()?;
    command.arg("serve");
    let mut own = vec![
        format!("node.id={}", node.id),
        format!("listeners=PLAINTEXT://{}:{CLIENT_PORT}", node.host),
        format!("ottla.http.listener={}:{HTTP_PORT}", node.host),
        format!("log.dirs={}", node.data_dir.display()),
    ];
    // A node that is told of no other is alone, and grows into a set when it is told of them.
    if peers.len() > 1 {
        own.push(format!("ottla.replica.set={}", peers.join(",")));
    }
    let says_how = node.settings.iter().any(|setting| setting.starts_with("ottla.peer."));
    if !node.host.starts_with("127.") && !says_how {
        own.push("ottla.peer.allow.plaintext=true".to_owned());
    }
    for setting in own.iter().chain(node.settings) {
        command.args(["--set", setting]);
    }
    Ok(command)
}
