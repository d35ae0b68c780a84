//! How a node of each contender is told of the others, on loopback addresses that belong to this set alone.
//!
//! A node that was killed starts again at the same address. With addresses of their own, no connection that another program
//! opens meanwhile can take one of their ports.

use std::fs;
use std::hash::{BuildHasher as _, Hasher as _, RandomState};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener};
use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result, bail};

use crate::ottla;
use crate::side_by_side::{Contender, KAFKA_FLUSHES, SideBySide};

/// The numbers of the nodes.
pub(super) const NODES: [u8; 3] = [1, 2, 3];
const CLIENT_PORT: u16 = 9092;
const PEER_PORT: u16 = 9093;
/// How many networks are tried; two sets at once hardly ever draw the same.
const ATTEMPTS: usize = 20;

/// The addresses 127.A.B.ID.
#[derive(Clone, Copy, Debug)]
pub(super) struct Network(u8, u8);

impl Network {
    /// One that nobody uses.
    pub(super) fn free() -> Result<Self> {
        for _ in 0..ATTEMPTS {
            let [a, b, ..] = RandomState::new().build_hasher().finish().to_le_bytes();
            // 127.0 is where everything else on a machine listens.
            let network = Self(a.max(1), b);
            if TcpListener::bind(network.client_address(1)).is_ok() {
                return Ok(network);
            }
        }
        bail!("no loopback address is free")
    }

    /// Where a node serves clients.
    pub(super) fn client_address(self, id: u8) -> SocketAddr {
        SocketAddr::new(self.host(id), CLIENT_PORT)
    }

    fn host(self, id: u8) -> IpAddr {
        IpAddr::V4(Ipv4Addr::new(127, self.0, self.1, id))
    }

    /// `id@host:port` of every node's listener for the others.
    fn peers(self) -> String {
        NODES.map(|id| format!("{id}@{}:{PEER_PORT}", self.host(id))).join(",")
    }
}

/// The command that runs node `id` in the foreground with its data in `home`; where that is empty, Kafka's is formatted.
pub(super) fn command(
    contenders: &SideBySide<'_>,
    contender: Contender,
    network: Network,
    id: u8,
    home: &Path,
) -> Result<Command> {
    let flushed: &[&str] = match contender {
        Contender::Ottla => {
            let binary = contenders.ottla.as_deref().context("the binary was not built")?;
            let node_id = format!("node.id={id}");
            let listeners = format!("listeners=PLAINTEXT://{}", network.client_address(id));
            let replica_set = format!("ottla.replica.set={}", network.peers());
            return Ok(ottla::command(binary, home, &[&node_id, &listeners, &replica_set]));
        }
        Contender::KafkaFlushed => &[KAFKA_FLUSHES],
        Contender::Kafka => &[],
    };
    let properties = home.join("server.properties");
    fs::write(&properties, kafka_properties(network, id, home, flushed))?;
    if !home.join("data").exists() {
        contenders.kafka.format(&properties)?;
    }
    Ok(contenders.kafka.broker(&properties))
}

/// A broker that is also one of three controllers.
fn kafka_properties(network: Network, id: u8, home: &Path, settings: &[&str]) -> String {
    let address = network.client_address(id);
    format!(
        "process.roles=broker,controller\n\
         node.id={id}\n\
         controller.quorum.voters={}\n\
         listeners=PLAINTEXT://{address},CONTROLLER://{}:{PEER_PORT}\n\
         advertised.listeners=PLAINTEXT://{address}\n\
         controller.listener.names=CONTROLLER\n\
         listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT\n\
         log.dirs={}\n\
         default.replication.factor=3\n\
         min.insync.replicas=2\n\
         offsets.topic.replication.factor=3\n\
         transaction.state.log.replication.factor=3\n\
         transaction.state.log.min.isr=2\n\
         share.coordinator.state.topic.replication.factor=3\n\
         share.coordinator.state.topic.min.isr=2\n\
         {}\n",
        network.peers(),
        network.host(id),
        home.join("data").display(),
        settings.join("\n")
    )
}
